//! The listener: the table of 9.12.

use super::{Heard, Indication, Session, State};
use crate::command::{Command, CommandKind, EndFileNegative, StartFileNegative};
use crate::error::PeerFault;

impl Session {
    /// A data exchange buffer of so many octets, command octet included, header not. Says whether the speaker's
    /// credit is used up, so that CDT has to be sent (9.12.2, I).
    pub fn on_data(&mut self, buffer_bytes: usize) -> Result<Option<Command>, PeerFault> {
        if !self.state.permits(CommandKind::Data) {
            return Err(PeerFault::Unexpected {
                command: CommandKind::Data,
                awaiting: self.state.awaiting(),
            });
        }
        let bytes_max = self.agreed.map_or(0, |agreed| agreed.buffer_bytes.bytes());
        if buffer_bytes > bytes_max {
            return Err(PeerFault::BufferTooLarge { bytes: buffer_bytes, bytes_max });
        }
        // Credit is renewed the moment it is used up, so it cannot be seen exceeded here, unless the caller
        // withholds the CDT it was given.
        self.credit_left = self.credit_left.checked_sub(1).ok_or(PeerFault::CreditExceeded)?;
        Ok((self.credit_left == 0).then_some(Command::SetCredit))
    }

    /// CDT has been handed to the stream: from now on the speaker may send again.
    pub fn on_credit_sent(&mut self) {
        self.credit_left = self.window();
    }

    /// F_START_FILE_RS(+): takes the file, from its beginning.
    pub fn accept_file(&mut self) -> Command {
        assert_eq!(self.state, State::IncomingPending, "there is no file to accept");
        self.credit_left = self.window();
        self.state = State::Incoming;
        Command::StartFilePositive { restart: 0 }
    }

    /// F_START_FILE_RS(-): does not take the file.
    pub fn refuse_file(&mut self, answer: StartFileNegative) -> Command {
        assert_eq!(self.state, State::IncomingPending, "there is no file to refuse");
        self.state = State::Listener;
        Command::StartFileNegative(answer)
    }

    /// F_CLOSE_FILE_RS(+): has the file. The turn is not asked for.
    pub fn confirm_file(&mut self) -> Command {
        assert_eq!(self.state, State::IncomingClosing, "there is no file to confirm");
        self.state = State::Listener;
        Command::EndFilePositive { change_direction: false }
    }

    /// F_CLOSE_FILE_RS(-): threw the file away.
    pub fn reject_file(&mut self, answer: EndFileNegative) -> Command {
        assert_eq!(self.state, State::IncomingClosing, "there is no file to reject");
        self.state = State::Listener;
        Command::EndFileNegative(answer)
    }

    /// F_RTR_RS: took the response.
    pub fn ready_to_receive(&mut self) -> Command {
        assert_eq!(self.state, State::ResponsePending, "there is no response to take");
        self.state = State::Listener;
        Command::ReadyToReceive
    }

    pub(super) fn on_speakers_command(&mut self, command: Command) -> Result<Heard, PeerFault> {
        match command {
            Command::StartFile(file) => {
                if file.restart > 0 {
                    return Err(PeerFault::Restart);
                }
                if !self.agreed.is_some_and(|agreed| agreed.capability.receives()) {
                    return Err(PeerFault::Direction);
                }
                self.state = State::IncomingPending;
                Ok(Indication::FileOffered(file).into())
            }
            Command::EndFile(end) => {
                self.state = State::IncomingClosing;
                Ok(Indication::FileEnded(end).into())
            }
            Command::ChangeDirection => {
                self.state = State::SpeakerByChange;
                Ok(Indication::Turn.into())
            }
            Command::EndResponse(response) => {
                self.state = State::ResponsePending;
                Ok(Indication::Response(response).into())
            }
            Command::NegativeEndResponse(response) => {
                self.state = State::ResponsePending;
                Ok(Indication::NegativeResponse(response).into())
            }
            other => unreachable!("{} is no command of a speaker", other.kind()),
        }
    }
}
