//! The protocol machine of section 9. No I/O, no clock: commands of the other station come in, indications and
//! answers come out.
//!
//! The order of calls: [`Session::initiator`] or [`Session::responder`]; then [`Session::on_command`] (and
//! [`Session::on_data`] for data) for everything that is received, until [`Session::turn`] says who may speak.
//! The requests of a speaker are in `speaker.rs`, the answers of a listener in `listener.rs`. Each returns the
//! command to be sent. Calling one in a state that does not have it is a mistake of our own and asserts, except
//! that the table itself can be asked before with [`Session::turn`] and [`Session::may_release`].

mod connect;
mod listener;
mod speaker;

use crate::command::{
    BufferBytes, Capability, Code, Command, CommandKind, Credit, EndFile, EndResponse, EndSession,
    FileReason, NegativeEndResponse, Password, StartFile, UserData,
};
use crate::error::PeerFault;
use crate::settings::{Partner, Settings};

/// One session with another station.
#[derive(Debug)]
pub struct Session {
    state: State,
    terms: Terms,
    agreed: Option<Agreed>,
    /// V.Credit_S as speaker, V.Credit_L as listener (section 9.6); never both at once.
    credit_left: u16,
}

/// What this side brings to the negotiation: the local constants of section 9.7.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Our code.
    pub code: Code,
    /// Our password.
    pub password: Password,
    /// Our user data.
    pub user_data: UserData,
    /// Largest buffer we take.
    pub buffer_bytes: BufferBytes,
    /// Largest credit we give.
    pub credit: Credit,
    /// What we can do with files.
    pub capability: Capability,
    /// Who may be at the other end; empty for anyone.
    pub partners: Vec<Partner>,
}

/// What both sides agreed on: the local variables of section 9.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The other station.
    pub peer: Code,
    /// Data exchange buffer size.
    pub buffer_bytes: BufferBytes,
    /// Credit window.
    pub credit: Credit,
    /// What this side may do with files.
    pub capability: Capability,
}

/// The states of section 9.3, as far as they are needed: this station never asks for the turn out of turn
/// (WF_CD and its kin) and has no secure authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// I_WF_RM: the caller waits for the ready message.
    AwaitReady,
    /// I_WF_SSID: the caller waits for the answer to its SSID.
    AwaitAnswer,
    /// A_NC_ONLY: the called side waits for the caller's SSID.
    AwaitCaller,
    /// IDLESP: speaker.
    Speaker,
    /// IDLESPCD: speaker that has just got the turn, and so may end the session.
    SpeakerByChange,
    /// WF_RTR: speaker that waits for the answer to a response.
    AwaitReadyToReceive,
    /// OPOP: speaker that waits for the answer to SFID.
    OpenPending,
    /// OPO: speaker that may send data.
    Open,
    /// OPOWFC: speaker whose credit is used up.
    AwaitCredit,
    /// CLOP: speaker that waits for the answer to EFID.
    ClosePending,
    /// IDLELI: listener.
    Listener,
    /// IDLELICD: listener that has just given the turn away.
    ListenerByChange,
    /// OPIP: listener that owes the answer to SFID.
    IncomingPending,
    /// OPI: listener that receives data.
    Incoming,
    /// CLIP: listener that owes the answer to EFID.
    IncomingClosing,
    /// RTRP: listener that owes RTR.
    ResponsePending,
    /// WF_NDISC: ESID was sent; what remains is the other side's disconnect.
    AwaitDisconnect,
    /// IDLE: ESID was received; this side disconnects.
    Over,
}

/// Who may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This side, with one of the requests of a speaker.
    Ours,
    /// The other side; this side waits for a command.
    Theirs,
    /// Nobody any more.
    Over,
}

/// What a command of the other station means.
#[derive(Debug, PartialEq, Eq)]
pub enum Indication {
    /// The ready message; our SSID is the answer.
    Ready,
    /// Both sides have agreed. The caller has the turn.
    Started(Agreed),
    /// F_START_FILE_IND: answer with [`Session::accept_file`] or [`Session::refuse_file`].
    FileOffered(Box<StartFile>),
    /// F_START_FILE_CF(+).
    FileAccepted,
    /// F_START_FILE_CF(-).
    FileRefused {
        /// SFNAREAS.
        reason: FileReason,
        /// SFNARRTR.
        retry: bool,
        /// SFNAREAST.
        text: String,
    },
    /// New credit.
    Credit,
    /// F_CLOSE_FILE_IND: answer with [`Session::confirm_file`] or [`Session::reject_file`].
    FileEnded(EndFile),
    /// F_CLOSE_FILE_CF(+). If the listener wanted the turn, it has it with the answer.
    FileConfirmed,
    /// F_CLOSE_FILE_CF(-).
    FileRejected {
        /// EFNAREAS.
        reason: FileReason,
        /// EFNAREAST.
        text: String,
    },
    /// F_EERP_IND: answer with [`Session::ready_to_receive`].
    Response(Box<EndResponse>),
    /// F_NERP_IND: answer with [`Session::ready_to_receive`].
    NegativeResponse(Box<NegativeEndResponse>),
    /// F_RTR_CF.
    ReadyToReceive,
    /// F_CD_IND: this side has the turn.
    Turn,
    /// F_RELEASE_IND or F_ABORT_IND: the other side ended the session; this side disconnects.
    Ended {
        /// Reason and text.
        end: EndSession,
        /// Whether no file was open, so that nothing was lost.
        idle: bool,
    },
}

/// An indication and what has to be sent at once, without asking anyone.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    /// What the command means.
    pub indication: Indication,
    /// What to send.
    pub answer: Option<Command>,
}

impl Session {
    /// The calling side. It begins by waiting for the ready message.
    #[must_use]
    pub fn initiator(terms: Terms) -> Self {
        Self { state: State::AwaitReady, terms, agreed: None, credit_left: 0 }
    }

    /// The called side, and the ready message it begins with (9.8.2, B).
    #[must_use]
    pub fn responder(terms: Terms) -> (Self, Command) {
        (Self { state: State::AwaitCaller, terms, agreed: None, credit_left: 0 }, Command::Ready)
    }

    /// Who may speak.
    #[must_use]
    pub fn turn(&self) -> Turn {
        match self.state {
            State::Speaker | State::SpeakerByChange => Turn::Ours,
            State::AwaitDisconnect | State::Over => Turn::Over,
            _ => Turn::Theirs,
        }
    }

    /// The state, for tests and messages.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What was agreed; `None` before both sides have introduced themselves.
    #[must_use]
    pub fn agreed(&self) -> Option<Agreed> {
        self.agreed
    }

    /// A whole command of the other station. After an error the session is over: [`PeerFault::end_reason`] goes out
    /// with [`Self::abort`].
    pub fn on_command(&mut self, command: Command) -> Result<Heard, PeerFault> {
        let kind = command.kind();
        if !self.state.permits(kind) {
            return Err(PeerFault::Unexpected { command: kind, awaiting: self.state.awaiting() });
        }
        match command {
            Command::EndSession(end) => {
                let idle = matches!(self.state, State::Listener | State::ListenerByChange);
                self.state = State::Over;
                Ok(Heard { indication: Indication::Ended { end, idle }, answer: None })
            }
            Command::Ready | Command::StartSession(_) => self.on_connecting(command),
            Command::StartFile(_)
            | Command::EndFile(_)
            | Command::ChangeDirection
            | Command::EndResponse(_)
            | Command::NegativeEndResponse(_) => self.on_speakers_command(command),
            Command::Data(_) => Err(PeerFault::Unexpected { command: kind, awaiting: self.state.awaiting() }),
            _ => self.on_listeners_answer(command),
        }
    }

    /// Ends the session from any state because of an error (F_ABORT_RQ, F_REL_RQ(Err)): the ESID to be sent.
    pub fn abort(&mut self, end: EndSession) -> Command {
        self.state = State::AwaitDisconnect;
        Command::EndSession(end)
    }

    fn window(&self) -> u16 {
        self.agreed.map_or(0, |agreed| agreed.credit.buffers())
    }
}

impl State {
    /// Whether the other station may send this command now: the tables of 9.8.1, 9.10.1, 9.11.1 and 9.12.1.
    /// What is not listed ends the session with ESID 02.
    #[must_use]
    pub fn permits(self, command: CommandKind) -> bool {
        use CommandKind::{
            Cd, Cdt, Data, Eerp, Efid, Efna, Efpa, Esid, Nerp, Rtr, Sfid, Sfna, Sfpa, Ssid, Ssrm,
        };
        let listed: &[CommandKind] = match self {
            Self::AwaitReady => &[Ssrm],
            Self::AwaitAnswer => &[Ssid, Esid],
            Self::AwaitCaller => &[Ssid],
            // CDT can only be waited for, so a credit that comes too early is seen here as one that comes in time.
            Self::AwaitCredit => &[Cdt, Esid],
            Self::OpenPending => &[Sfpa, Sfna, Esid],
            Self::ClosePending => &[Efpa, Efna, Esid],
            Self::AwaitReadyToReceive => &[Rtr, Esid],
            Self::Listener => &[Sfid, Cd, Eerp, Nerp, Esid],
            // Who was just given the turn has to use it or end the session, but not give it back (9.10.1, F_CD_RQ).
            Self::ListenerByChange => &[Sfid, Eerp, Nerp, Esid],
            Self::Incoming => &[Data, Efid, Esid],
            Self::Speaker
            | Self::SpeakerByChange
            | Self::Open
            | Self::IncomingPending
            | Self::IncomingClosing
            | Self::ResponsePending => &[Esid],
            Self::AwaitDisconnect | Self::Over => &[],
        };
        listed.contains(&command)
    }

    /// What the other station owes in this state, in words.
    #[must_use]
    pub fn awaiting(self) -> &'static str {
        match self {
            Self::AwaitReady => "the ready message (SSRM)",
            Self::AwaitAnswer => "the answer to the start of the session (SSID)",
            Self::AwaitCaller => "the start of the session (SSID)",
            Self::AwaitReadyToReceive => "the answer to a response (RTR)",
            Self::OpenPending => "the answer to the start of a file (SFPA or SFNA)",
            Self::Open => "nothing, as data goes out,",
            Self::AwaitCredit => "new credit (CDT)",
            Self::ClosePending => "the answer to the end of a file (EFPA or EFNA)",
            Self::Listener => "a file, a response or the turn (SFID, EERP, CD)",
            Self::ListenerByChange => "a file, a response or the end of the session (SFID, EERP, ESID)",
            Self::Incoming => "data or the end of the file (DATA, EFID)",
            Self::AwaitDisconnect => "the disconnect",
            Self::Speaker
            | Self::SpeakerByChange
            | Self::IncomingPending
            | Self::IncomingClosing
            | Self::ResponsePending => "nothing, as it is this side's turn,",
            Self::Over => "nothing, as the session is over,",
        }
    }
}

impl Terms {
    /// The terms a station's settings give.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            code: settings.code,
            password: settings.password,
            user_data: settings.user_data,
            buffer_bytes: settings.buffer_bytes,
            credit: settings.credit,
            capability: settings.capability(),
            partners: settings.partners.clone(),
        }
    }
}

impl From<Indication> for Heard {
    fn from(indication: Indication) -> Self {
        Self { indication, answer: None }
    }
}
