//! Calls that begin inside: on links that a client has opened for them.
//!
//! The daemon dials and carries such a call by itself. What is decided here is whether it may be at all, and what has to
//! be waited for when the daemon ends.

use super::{LinkDenied, LinkUse, ProxySide};
use crate::call::{FailReason, LinkId, PeerKey, SessionId};

impl ProxySide {
    /// A link says that it is for calls outward of a session.
    pub fn on_outward(&mut self, link: LinkId, key: PeerKey, session: SessionId) -> Result<(), LinkDenied> {
        self.admit(link, key, session, LinkUse::Outward)
    }

    /// A station has called on an outward link. An error is the answer to it.
    pub fn on_dial(&mut self, id: LinkId) -> Result<(), FailReason> {
        // A link that is not known any more is one of a session that is over.
        let link = self.links.get_mut(&id).ok_or(FailReason::Draining)?;
        assert!(link.state == LinkUse::Outward, "link {id} dials twice, or is no outward link");
        link.state = LinkUse::Settling;
        let session = self.sessions.get_mut(&link.session).filter(|_| !self.draining);
        let session = session.ok_or(FailReason::Draining)?;
        link.state = LinkUse::Dialled;
        session.calls += 1;
        self.dialled += 1;
        Ok(())
    }

    /// The call that was dialled on a link is over, if it was permitted at all.
    pub fn on_dial_ended(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.state == LinkUse::Dialled) else {
            return;
        };
        link.state = LinkUse::Settling;
        self.dialled -= 1;
        if let Some(session) = self.sessions.get_mut(&link.session) {
            session.calls -= 1;
        }
    }
}
