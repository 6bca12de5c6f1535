//! The frames and their bytes.
//!
//! A frame is one byte of [`Kind`], three bytes of length (big endian) and a body of that length. Integers are
//! big endian. A name is one byte of length and its characters; a list of names is one byte of count and the
//! names. A target is a name, one byte of length and the text of its address; a list of targets as that of names. An address is one byte of family (4 or 6), 4 or 16 bytes, and two of port; where it may be missing, a family of 0 stands alone. A destination is one byte of length, the text of a host, and two of port.
//!
//! The body of [`Kind::Data`] is payload and is never handled here: whoever reads a link passes it on as it comes.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::call::{
    AbortReason, CallId, CallToken, Destination, FailReason, Name, RefuseReason, RejectReason, SessionId,
    Target,
};
use crate::limits::{BODY_BYTES_MAX, DATA_BYTES_MAX, FRAME_HEADER_BYTES};

/// The kind of a frame: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Opens a control link. Client to proxy.
    Hello = 1,
    /// Answers `Hello`: the session stands. Proxy to client.
    Welcome = 2,
    /// Answers `Hello`: no session. Proxy to client.
    Reject = 3,
    /// I am alive. Control link, both ways.
    Heartbeat = 4,
    /// A partner has called and no link was on standby. Control link, proxy to client.
    Announce = 5,
    /// The announced call is over before it was claimed. Control link, proxy to client.
    Withdraw = 6,
    /// I know of the call and am still trying to reach its other end. Control link, client to proxy; link, to the end
    /// at which the call began.
    Ringing = 7,
    /// I do not take the call. Client to proxy.
    Refuse = 8,
    /// The client's targets have changed. Control link, client to proxy.
    Targets = 9,
    /// The names of the proxy's external listeners have changed. Control link, proxy to client.
    Listeners = 10,
    /// No new calls, please: I am ending. Control link, both ways.
    Drain = 11,
    /// Opens a link that waits for calls. Client to proxy.
    Standby = 12,
    /// Opens a link that is meant for one announced call. Client to proxy.
    Claim = 13,
    /// Here is a call. Link, proxy to client.
    Offer = 14,
    /// The claimed call is not to be had any more; the link is on standby. Link, proxy to client.
    Gone = 15,
    /// I take the call. Link, client to proxy.
    Accept = 16,
    /// Payload of the call. Link, both ways.
    Data = 17,
    /// No more payload in this direction: a half-close. Link, both ways.
    End = 18,
    /// The call is aborted. Link, both ways.
    Abort = 19,
    /// Opens a link for calls outward, which the client begins. Client to proxy.
    Outward = 20,
    /// A station calls: connect it to this destination. Outward link, client to proxy.
    Dial = 21,
    /// The destination is connected. Outward link, proxy to client.
    Connected = 22,
    /// The destination cannot be had. Outward link, proxy to client.
    Failed = 23,
    /// The payload of the call needs no second seal: either direction may go on without. Link, client to proxy.
    MayUnseal = 24,
    /// This direction goes on without a seal, behind the seal's goodbye. Link, both ways.
    Unseal = 25,
}

impl Kind {
    /// Every kind there is, in the order of the byte, which begins at 1.
    pub const ALL: [Self; 25] = [
        Self::Hello,
        Self::Welcome,
        Self::Reject,
        Self::Heartbeat,
        Self::Announce,
        Self::Withdraw,
        Self::Ringing,
        Self::Refuse,
        Self::Targets,
        Self::Listeners,
        Self::Drain,
        Self::Standby,
        Self::Claim,
        Self::Offer,
        Self::Gone,
        Self::Accept,
        Self::Data,
        Self::End,
        Self::Abort,
        Self::Outward,
        Self::Dial,
        Self::Connected,
        Self::Failed,
        Self::MayUnseal,
        Self::Unseal,
    ];

    /// Reads the first byte of a frame.
    pub fn from_byte(byte: u8) -> Result<Self, Malformed> {
        let index = usize::from(byte).checked_sub(1).ok_or(Malformed::Kind)?;
        Self::ALL.get(index).copied().ok_or(Malformed::Kind)
    }
}

/// The first four bytes of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What kind of frame follows.
    pub kind: Kind,
    /// Length of its body, in bytes.
    pub length: usize,
}

impl Header {
    /// Reads a header; refuses lengths above the bound of the kind before anything is allocated for them.
    pub fn decode(bytes: [u8; FRAME_HEADER_BYTES]) -> Result<Self, Malformed> {
        let kind = Kind::from_byte(bytes[0])?;
        let length = u32::from_be_bytes([0, bytes[1], bytes[2], bytes[3]]) as usize;
        let bound = if kind == Kind::Data { DATA_BYTES_MAX } else { BODY_BYTES_MAX };
        if length > bound || (kind == Kind::Data && length == 0) {
            return Err(Malformed::Length);
        }
        Ok(Self { kind, length })
    }

    /// The header's bytes.
    pub fn encode(self) -> [u8; FRAME_HEADER_BYTES] {
        debug_assert!(self.length < 1 << 24);
        let length = (self.length as u32).to_be_bytes();
        [self.kind as u8, length[1], length[2], length[3]]
    }

    /// The header before `length` bytes of payload.
    pub fn data(length: usize) -> Self {
        assert!((1..=DATA_BYTES_MAX).contains(&length), "a data frame of {length} bytes");
        Self { kind: Kind::Data, length }
    }
}

/// Why bytes are not a frame. Only a peer that is broken or hostile sends such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The first byte names no kind of frame.
    Kind,
    /// The length is above the bound of the kind, or the body is shorter or longer than its fields.
    Length,
    /// A name, an address family, a reason or a count is not one that exists.
    Field,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Kind => "a frame of unknown kind",
            Self::Length => "a frame of impossible length",
            Self::Field => "a frame with an impossible field",
        })
    }
}

/// What the client says first on a control link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the protocol that the client speaks.
    pub version: u16,
    /// Bits of what the client can do beyond it. None is defined yet; unknown ones are ignored.
    pub capabilities: u32,
    /// Milliseconds of silence after which the client will take the proxy for lost.
    pub silence_ms: u32,
    /// The client's targets, by the names of the listeners.
    pub targets: Vec<Target>,
}

/// The proxy's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version of the protocol that the proxy speaks.
    pub version: u16,
    /// Bits of what both can do: the client's, less those that the proxy does not know.
    pub capabilities: u32,
    /// Milliseconds of silence after which the proxy will take the client for lost.
    pub silence_ms: u32,
    /// The name of this session, which every link of it says first.
    pub session: SessionId,
    /// Names of the proxy's external listeners.
    pub listeners: Vec<Name>,
}

/// A station's call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The call; the client names it.
    pub call: CallId,
    /// The client's local port at which it came in. For the log.
    pub listener: Name,
    /// The station's address, as the client saw it. For the log.
    pub station: SocketAddr,
    /// Whom it calls.
    pub destination: Destination,
}

/// Any frame but `Data`, whose body is never held in one piece.
#[derive(Clone, Debug)]
pub enum Frame {
    /// See [`Kind::Hello`].
    Hello(Hello),
    /// See [`Kind::Welcome`].
    Welcome(Welcome),
    /// See [`Kind::Reject`].
    Reject(RejectReason),
    /// See [`Kind::Heartbeat`].
    Heartbeat,
    /// See [`Kind::Announce`].
    Announce {
        /// The call.
        call: CallId,
        /// The secret that claims it.
        token: CallToken,
        /// The external listener at which it came in.
        listener: Name,
        /// The partner's address, as the proxy saw it.
        partner: SocketAddr,
    },
    /// See [`Kind::Withdraw`].
    Withdraw(CallId),
    /// See [`Kind::Ringing`].
    Ringing(CallId),
    /// See [`Kind::Refuse`].
    Refuse(CallId, RefuseReason),
    /// See [`Kind::Targets`].
    Targets(Vec<Target>),
    /// See [`Kind::Listeners`].
    Listeners(Vec<Name>),
    /// See [`Kind::Drain`].
    Drain,
    /// See [`Kind::Standby`].
    Standby(SessionId),
    /// See [`Kind::Claim`].
    Claim {
        /// The session to which the link belongs.
        session: SessionId,
        /// The announced call.
        call: CallId,
        /// The secret of its announcement.
        token: CallToken,
    },
    /// See [`Kind::Offer`].
    Offer {
        /// The call.
        call: CallId,
        /// The external listener at which it came in.
        listener: Name,
        /// The partner's address, as the proxy saw it.
        partner: SocketAddr,
    },
    /// See [`Kind::Gone`].
    Gone(CallId),
    /// See [`Kind::Accept`].
    Accept(CallId),
    /// See [`Kind::End`].
    End,
    /// See [`Kind::Abort`].
    Abort(AbortReason),
    /// See [`Kind::Outward`].
    Outward(SessionId),
    /// See [`Kind::Dial`].
    Dial(Dial),
    /// See [`Kind::Connected`].
    Connected {
        /// The call.
        call: CallId,
        /// The partner's address, which the proxy has dialled.
        partner: SocketAddr,
    },
    /// See [`Kind::MayUnseal`].
    MayUnseal,
    /// See [`Kind::Unseal`].
    Unseal,
    /// See [`Kind::Failed`].
    Failed {
        /// The call.
        call: CallId,
        /// Why.
        reason: FailReason,
        /// The address that was tried last, if it came that far.
        partner: Option<SocketAddr>,
    },
}

impl Frame {
    /// The frame's first byte.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Welcome(_) => Kind::Welcome,
            Self::Reject(_) => Kind::Reject,
            Self::Heartbeat => Kind::Heartbeat,
            Self::Announce { .. } => Kind::Announce,
            Self::Withdraw(_) => Kind::Withdraw,
            Self::Ringing(_) => Kind::Ringing,
            Self::Refuse(..) => Kind::Refuse,
            Self::Targets(_) => Kind::Targets,
            Self::Listeners(_) => Kind::Listeners,
            Self::Drain => Kind::Drain,
            Self::Standby(_) => Kind::Standby,
            Self::Claim { .. } => Kind::Claim,
            Self::Offer { .. } => Kind::Offer,
            Self::Gone(_) => Kind::Gone,
            Self::Accept(_) => Kind::Accept,
            Self::End => Kind::End,
            Self::Abort(_) => Kind::Abort,
            Self::Outward(_) => Kind::Outward,
            Self::Dial(_) => Kind::Dial,
            Self::Connected { .. } => Kind::Connected,
            Self::Failed { .. } => Kind::Failed,
            Self::MayUnseal => Kind::MayUnseal,
            Self::Unseal => Kind::Unseal,
        }
    }
}
