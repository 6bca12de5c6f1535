//! The speaker: the tables of 9.10 and 9.11.

use super::{Heard, Indication, Session, State, Turn};
use crate::command::{Command, EndFile, EndReason, EndResponse, EndSession, StartFile};
use crate::error::PeerFault;

impl Session {
    /// F_START_FILE_RQ: offers a file.
    pub fn start_file(&mut self, file: StartFile) -> Command {
        assert_eq!(self.turn(), Turn::Ours, "a file can only be offered by the speaker");
        assert!(self.may_send_files(), "files cannot go this way in this session");
        self.state = State::OpenPending;
        Command::StartFile(Box::new(file))
    }

    /// How many data exchange buffers may be sent now; zero while credit is awaited.
    #[must_use]
    pub fn credit(&self) -> u16 {
        if self.state == State::Open { self.credit_left } else { 0 }
    }

    /// F_DATA_RQ: so many data exchange buffers go out.
    pub fn on_data_sent(&mut self, buffers: u16) {
        assert!(self.state == State::Open && buffers <= self.credit_left, "data beyond the credit");
        self.credit_left -= buffers;
        if self.credit_left == 0 {
            self.state = State::AwaitCredit;
        }
    }

    /// F_CLOSE_FILE_RQ: all data is out. Not allowed while credit is awaited (9.11.3, note 1).
    pub fn end_file(&mut self, end: EndFile) -> Command {
        assert_eq!(self.state, State::Open, "a file can only be ended with credit in hand");
        self.credit_left = 0;
        self.state = State::ClosePending;
        Command::EndFile(end)
    }

    /// F_EERP_RQ: sends a response; RTR has to follow.
    pub fn respond(&mut self, response: EndResponse) -> Command {
        assert_eq!(self.turn(), Turn::Ours, "a response can only be sent by the speaker");
        self.state = State::AwaitReadyToReceive;
        Command::EndResponse(Box::new(response))
    }

    /// F_CD_RQ: gives the turn away. Not allowed to a speaker that has just got it, which has to end the session
    /// when it has nothing to say.
    pub fn change_direction(&mut self) -> Command {
        assert_eq!(self.state, State::Speaker, "the turn cannot be given back at once");
        self.state = State::ListenerByChange;
        Command::ChangeDirection
    }

    /// Whether the session may be ended in order: only by a speaker that has just got the turn (section 4.6.1).
    #[must_use]
    pub fn may_release(&self) -> bool {
        self.state == State::SpeakerByChange
    }

    /// F_REL_RQ(Ok): ends the session in order.
    pub fn release(&mut self) -> Command {
        assert!(self.may_release(), "the session can only be ended by who has just got the turn");
        self.state = State::AwaitDisconnect;
        Command::EndSession(EndSession { reason: EndReason::NORMAL, text: String::new() })
    }

    /// Whether files may go from this side to the other (V.Mode, 9.10.3, P1).
    #[must_use]
    pub fn may_send_files(&self) -> bool {
        self.agreed.is_some_and(|agreed| agreed.capability.sends())
    }

    pub(super) fn on_listeners_answer(&mut self, answer: Command) -> Result<Heard, PeerFault> {
        match answer {
            // We never ask for a restart, so any position but zero is beyond what was asked for (9.10.3, P2).
            Command::StartFilePositive { restart } if restart > 0 => Err(PeerFault::Restart),
            Command::StartFilePositive { .. } => {
                self.credit_left = self.window();
                self.state = State::Open;
                Ok(Indication::FileAccepted.into())
            }
            Command::StartFileNegative(answer) => {
                self.state = State::Speaker;
                let (reason, retry, text) = (answer.reason, answer.retry, answer.text);
                Ok(Indication::FileRefused { reason, retry, text }.into())
            }
            Command::SetCredit => {
                self.credit_left = self.window();
                self.state = State::Open;
                Ok(Indication::Credit.into())
            }
            Command::EndFilePositive { change_direction } => {
                self.state = if change_direction { State::Listener } else { State::Speaker };
                let answer = change_direction.then_some(Command::ChangeDirection);
                Ok(Heard { indication: Indication::FileConfirmed, answer })
            }
            Command::EndFileNegative(answer) => {
                self.state = State::Speaker;
                Ok(Indication::FileRejected { reason: answer.reason, text: answer.text }.into())
            }
            Command::ReadyToReceive => {
                self.state = State::Speaker;
                Ok(Indication::ReadyToReceive.into())
            }
            other => unreachable!("{} is no answer of a listener", other.kind()),
        }
    }
}
