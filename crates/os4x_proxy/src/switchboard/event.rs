//! What the switchboard is told, and by what handle; and what it tells the links.

use std::net::SocketAddr;
use std::sync::Arc;

use daemon::rate::HeldBack;
use relay::call_event::{CallResult, Ender};
use seal::Authorized;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tracing::warn;
use wire::proxy_side::{LinkDenied, Returned};
use wire::{CallId, CallToken, FailReason, Frame, Hello, LinkId, PeerKey, RejectReason, SessionId, Welcome};

use crate::options::Options;
use crate::orders::Orders;
use crate::partner::Partner;
use daemon::complaints::Complaints;

/// What a link is told.
pub(crate) enum LinkOrder {
    /// Here is a call. In a place of its own, which travels on with it.
    Offer(Box<Offer>),
    /// The claimed call is gone.
    Gone(CallId),
    /// Say that this end lives, and expect the same.
    Probe,
}

/// A call for a link; see [`wire::proxy_side::Action::Offer`].
pub(crate) struct Offer {
    /// The call.
    pub(crate) call: CallId,
    /// Its partner.
    pub(crate) partner: Partner,
    /// When the partner's patience is over.
    pub(crate) deadline: Instant,
}

/// A link, as the switchboard knows it. The link closes when this is dropped while it is on standby.
pub(crate) type LinkOrders = Orders<LinkOrder>;

/// What a link was opened for.
#[derive(Clone, Copy)]
pub(crate) enum Opening {
    /// To wait for calls.
    Standby,
    /// To claim an announced call.
    Claim(CallId, CallToken),
    /// For calls outward, which its client begins.
    Outward,
}

impl Opening {
    /// Whether the link is for calls outward.
    pub(crate) fn is_outward(self) -> bool {
        matches!(self, Self::Outward)
    }
}

/// What the switchboard is told.
pub(crate) enum Event {
    /// A client says hello.
    Hello {
        /// Who it is.
        key: PeerKey,
        /// What it said.
        hello: Hello,
        /// Where the frames for it go.
        outbox: mpsc::Sender<Frame>,
        /// Whether it is attached.
        answer: oneshot::Sender<Result<Welcome, RejectReason>>,
    },
    /// A frame came on a control link.
    Frame(SessionId, Frame),
    /// A control link has ended.
    SessionLost(SessionId, String),
    /// A link was opened.
    Link {
        /// Who opened it.
        key: PeerKey,
        /// The session it names.
        session: SessionId,
        /// What for.
        opening: Opening,
        /// Where its orders go.
        orders: LinkOrders,
        /// What it is called here, if it is welcome.
        answer: oneshot::Sender<Result<LinkId, LinkDenied>>,
    },
    /// A partner was accepted.
    Arrived(Partner),
    /// A parked partner has left.
    PartnerLeft(CallId, Partner),
    /// An offered call was accepted.
    Accepted(CallId),
    /// An offered call was not accepted; the partner is back.
    Returned(CallId, Partner, Returned),
    /// A call that was offered or running is over.
    Ended(CallId),
    /// A client has dialled on an outward link; may it?
    Dialled(LinkId, oneshot::Sender<Result<(), FailReason>>),
    /// The call that was dialled on a link is over.
    DialEnded(LinkId),
    /// The call on a link is over in both directions.
    LinkFree(LinkId),
    /// A link has ended.
    LinkLost(LinkId),
    /// The operator changed the configuration.
    Reload(Box<Options>, Arc<Authorized>),
    /// The operator wants the daemon to end.
    Drain,
}

/// Where events go.
#[derive(Clone)]
pub(crate) struct Switchboard {
    events: mpsc::Sender<Event>,
    complaints: Complaints,
    places: Arc<Semaphore>,
}

impl Switchboard {
    /// A handle whose events go to `events`.
    pub(super) fn new(events: mpsc::Sender<Event>, calls_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(calls_max.min(Semaphore::MAX_PERMITS)));
        Self { events, complaints: Complaints::default(), places }
    }

    /// A place for a partner; `None` where the descriptors do not suffice for another call.
    pub(crate) fn take_place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Resets a partner for which there is no place, and says so at a bounded rate.
    pub(crate) fn crowded_out(&self, socket: TcpStream, address: SocketAddr) {
        relay::socket::reset(socket);
        if let Some(held_back) = self.complaints.may_say("crowded out") {
            let reason = "as many calls as the descriptors allow; raise the limit (ulimit -n, LimitNOFILE=)";
            warn!(event = "turned_away", address = %address, reason, "{held_back}");
        }
    }

    /// Tells an event, in order with others of the same teller.
    pub(crate) async fn tell(&self, event: Event) {
        // It only fails when the whole daemon is ending.
        let _ = self.events.send(event).await;
    }

    /// Tells of an arrival. Where too many events wait already the partner is given back.
    #[must_use = "a partner that is given back has to be turned away"]
    pub(crate) fn try_arrive(&self, partner: Partner) -> Option<Partner> {
        match self.events.try_send(Event::Arrived(partner)).map_err(mpsc::error::TrySendError::into_inner) {
            Err(Event::Arrived(partner)) => Some(partner),
            _ => None,
        }
    }

    /// Turns a partner away that never got as far as being a call, and says so at a bounded rate.
    pub(crate) fn deny(&self, partner: Partner, reason: &'static str, ended_by: Ender) {
        match self.complaints.may_say(reason) {
            Some(HeldBack(0)) => partner.turn_away(CallId(0), CallResult::Denied, ended_by, reason),
            Some(held_back) => {
                let reason = format!("{reason} {held_back}");
                partner.turn_away(CallId(0), CallResult::Denied, ended_by, &reason);
            }
            None => relay::socket::reset(partner.caller.socket),
        }
    }
}
