//! What a peer may send in which state. What the table does not list ends the link or the session.

use crate::frame::Kind;

/// Where the receiver of a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Proxy, internal port: sealed, and nothing was said yet.
    DoorOpened,
    /// Proxy, control link of a session that stands.
    ProxySession,
    /// Proxy, link on standby.
    ProxyStandby,
    /// Proxy, link: a call was offered and not yet answered.
    ProxyOffered,
    /// Proxy, link: a call was offered and aborted before it was answered; answer and abort may have crossed.
    ProxyGivenUp,
    /// Proxy, link: the call was accepted and the client's direction is open.
    ProxyAccepted,
    /// Proxy, link: its own direction is unsealed, and the client's is open.
    ProxyUnsealed,
    /// Client, control link: `Hello` was sent.
    ClientGreeting,
    /// Client, control link of a session that stands.
    ClientSession,
    /// Client, link on standby.
    ClientStandby,
    /// Client, link: a claim was sent and not yet answered.
    ClientClaiming,
    /// Client, link: a call was offered and the proxy's direction is open, accepted or not.
    ClientOffered,
    /// Proxy, outward link without a call.
    ProxyOutward,
    /// Proxy, outward link: a call was dialled and not yet connected, and the client's direction is open.
    ProxyDialled,
    /// Proxy, outward link: the call was connected and the client's direction is open.
    ProxyConnected,
    /// Client, outward link without a call.
    ClientOutward,
    /// Client, outward link: a call was dialled and not yet answered.
    ClientDialled,
    /// Client, outward link: a call was dialled and aborted before it was answered; answer and abort may have crossed.
    ClientGivenUp,
    /// Client, outward link: the call was connected and the proxy's direction is open.
    ClientConnected,
    /// Client, link: it has permitted to unseal the call, and the proxy's direction is open and sealed.
    ClientPermitted,
    /// Either, link: the peer's direction is unsealed, or was when its call ended. There are no frames any more.
    PeerUnsealed,
    /// Either, link: the peer has closed its direction of the call, and this end has not.
    PeerClosed,
}

/// The table.
pub const TABLE: &[(State, &[Kind])] = &[
    (State::DoorOpened, &[Kind::Hello, Kind::Standby, Kind::Claim, Kind::Outward]),
    (State::ProxySession, &[Kind::Heartbeat, Kind::Ringing, Kind::Refuse, Kind::Targets, Kind::Drain]),
    (State::ProxyStandby, &[Kind::Heartbeat]),
    (State::ProxyOffered, &[Kind::Heartbeat, Kind::Ringing, Kind::Accept, Kind::Refuse]),
    (State::ProxyGivenUp, &[Kind::Heartbeat, Kind::Ringing, Kind::Accept, Kind::Refuse, Kind::Abort]),
    (State::ProxyAccepted, &[Kind::Data, Kind::End, Kind::Abort, Kind::MayUnseal]),
    (State::ProxyUnsealed, &[Kind::Data, Kind::End, Kind::Abort, Kind::Unseal]),
    (State::ClientGreeting, &[Kind::Welcome, Kind::Reject]),
    (State::ClientSession, &[Kind::Heartbeat, Kind::Announce, Kind::Withdraw, Kind::Listeners, Kind::Drain]),
    (State::ClientStandby, &[Kind::Heartbeat, Kind::Offer]),
    (State::ClientClaiming, &[Kind::Offer, Kind::Gone]),
    (State::ClientOffered, &[Kind::Data, Kind::End, Kind::Abort]),
    (State::ProxyOutward, &[Kind::Heartbeat, Kind::Dial]),
    (State::ProxyDialled, &[Kind::Data, Kind::End, Kind::Abort]),
    (State::ProxyConnected, &[Kind::Data, Kind::End, Kind::Abort, Kind::MayUnseal]),
    (State::ClientOutward, &[Kind::Heartbeat]),
    (State::ClientDialled, &[Kind::Heartbeat, Kind::Ringing, Kind::Connected, Kind::Failed]),
    (State::ClientGivenUp, &[Kind::Heartbeat, Kind::Ringing, Kind::Connected, Kind::Failed, Kind::Abort]),
    (State::ClientConnected, &[Kind::Data, Kind::End, Kind::Abort]),
    (State::ClientPermitted, &[Kind::Data, Kind::End, Kind::Abort, Kind::Unseal]),
    (State::PeerUnsealed, &[]),
    (State::PeerClosed, &[]),
];

/// Whether a peer may send a frame of `kind` to a receiver in `state`.
pub fn permitted(state: State, kind: Kind) -> bool {
    TABLE.iter().any(|(row, kinds)| *row == state && kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_one_row_and_every_kind_a_place() {
        for (index, (state, _)) in TABLE.iter().enumerate() {
            assert!(TABLE[index + 1..].iter().all(|(other, _)| other != state), "{state:?} twice");
        }
        for kind in Kind::ALL {
            assert!(TABLE.iter().any(|(_, kinds)| kinds.contains(&kind)), "{kind:?} is never permitted");
        }
    }

    #[test]
    fn payload_only_travels_on_a_link_with_a_call() {
        let carriers = TABLE.iter().filter(|(_, kinds)| kinds.contains(&Kind::Data)).map(|(state, _)| *state);
        let with_call = [
            State::ProxyAccepted,
            State::ProxyUnsealed,
            State::ClientOffered,
            State::ProxyDialled,
            State::ProxyConnected,
            State::ClientConnected,
            State::ClientPermitted,
        ];
        assert!(carriers.eq(with_call));
    }

    #[test]
    fn no_heartbeat_travels_on_a_link_whose_call_was_answered() {
        let beating =
            TABLE.iter().filter(|(_, kinds)| kinds.contains(&Kind::Heartbeat)).map(|(state, _)| *state);
        let without_answer = [
            State::ProxySession,
            State::ProxyStandby,
            State::ProxyOffered,
            State::ProxyGivenUp,
            State::ClientSession,
            State::ClientStandby,
            State::ProxyOutward,
            State::ClientOutward,
            State::ClientDialled,
            State::ClientGivenUp,
        ];
        assert!(beating.eq(without_answer));
    }
}
