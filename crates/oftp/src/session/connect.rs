//! The start of a session: section 4.2 and the table of 9.8.

use super::{Agreed, Heard, Indication, Session, State};
use crate::command::{Capability, Command, LEVEL, StartSession};
use crate::error::PeerFault;

impl Session {
    pub(super) fn on_connecting(&mut self, command: Command) -> Result<Heard, PeerFault> {
        match command {
            Command::Ready => {
                self.state = State::AwaitAnswer;
                let ours = self.start_session();
                Ok(Heard { indication: Indication::Ready, answer: Some(Command::StartSession(ours)) })
            }
            Command::StartSession(theirs) if self.state == State::AwaitCaller => self.on_caller(&theirs),
            Command::StartSession(theirs) => self.on_answer(&theirs),
            other => unreachable!("{} is not part of the start of a session", other.kind()),
        }
    }

    /// The called side (9.8.2, E and G): answer with the smaller of everything.
    fn on_caller(&mut self, theirs: &StartSession) -> Result<Heard, PeerFault> {
        // A higher level than ours is answered with ours, which is the lower (5.3.2).
        let agreed = self.check(theirs, theirs.level >= LEVEL)?;
        self.state = State::Listener;
        self.agreed = Some(agreed);
        let answer = StartSession {
            buffer_bytes: agreed.buffer_bytes,
            credit: agreed.credit,
            capability: agreed.capability,
            ..self.start_session()
        };
        Ok(Heard { indication: Indication::Started(agreed), answer: Some(Command::StartSession(answer)) })
    }

    /// The calling side (9.8.2, D).
    fn on_answer(&mut self, theirs: &StartSession) -> Result<Heard, PeerFault> {
        if theirs.credit > self.terms.credit {
            return Err(PeerFault::CreditRaised);
        }
        let agreed = self.check(theirs, theirs.level == LEVEL)?;
        self.state = State::Speaker;
        self.agreed = Some(agreed);
        Ok(Indication::Started(agreed).into())
    }

    /// What both sides have to check in the other's SSID. Compression, restart and special logic need no check:
    /// each is used only if both sides have it, and this side never does.
    fn check(&self, theirs: &StartSession, level_fits: bool) -> Result<Agreed, PeerFault> {
        if !self.terms.partners.is_empty() {
            let mut known =
                self.terms.partners.iter().filter(|partner| partner.code == theirs.code).peekable();
            if known.peek().is_none() {
                return Err(PeerFault::UnknownCode(theirs.code));
            }
            if !known.any(|partner| partner.password == theirs.password) {
                return Err(PeerFault::WrongPassword(theirs.code));
            }
        }
        if !level_fits {
            return Err(PeerFault::Level(theirs.level));
        }
        if theirs.authentication {
            return Err(PeerFault::Authentication);
        }
        let capability: Option<Capability> = self.terms.capability.against(theirs.capability);
        Ok(Agreed {
            peer: theirs.code,
            buffer_bytes: self.terms.buffer_bytes.min(theirs.buffer_bytes),
            credit: self.terms.credit.min(theirs.credit),
            capability: capability.ok_or(PeerFault::Incompatible)?,
        })
    }

    fn start_session(&self) -> StartSession {
        StartSession {
            level: LEVEL,
            code: self.terms.code,
            password: self.terms.password,
            buffer_bytes: self.terms.buffer_bytes,
            capability: self.terms.capability,
            compression: false,
            restart: false,
            special_logic: false,
            credit: self.terms.credit,
            authentication: false,
            user_data: self.terms.user_data,
        }
    }
}
