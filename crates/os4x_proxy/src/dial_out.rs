//! Calls outward: a client dials on a link of its own, and the proxy connects where its policy allows.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use daemon::address::Host;
use policy::{Asked, SourceChoice};
use relay::call_event::{CallResult, Ender, OutwardCall, Side, verdict_on};
use relay::callee::{Outcome, join_late, wait_for};
use relay::connect::{ConnectError, NotConnected, Route, connect_by, is_own};
use relay::join::{abort, settle};
use relay::{Either, Link, LinkError, Stream, heartbeat, race, socket};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout};
use tracing::debug;
use wire::{AbortReason, Dial, FailReason, Frame, Kind, LinkId, LinkState, Role};

use crate::call_link::Surroundings;
use crate::options::Outgoing;
use crate::orders::Ordered;
use crate::switchboard::{Event, LinkOrder};

/// Serves an outward link that the switchboard has admitted, until one of the two sides ends it. Nobody orders
/// anything of such a link: `orders` only says by its end that the link is to close when it is next idle.
pub(crate) fn serve<S: Stream>(
    link: Link<S>,
    id: LinkId,
    mut orders: Ordered<LinkOrder>,
    around: Surroundings,
) -> impl Future<Output = ()> {
    let mut dialler = Dialler { link, id, state: LinkState::outward(Role::Proxy), around };
    async move {
        let reason = dialler.serve(&mut orders).await;
        debug!(link = %id, reason = %reason, "outward link ends");
        dialler.around.board.tell(Event::LinkLost(id)).await;
        let step = dialler.around.times.borrow().step;
        // A goodbye for a client that is still there.
        let _ = timeout(step, dialler.link.writer.close()).await;
    }
}

struct Dialler<S: Stream> {
    link: Link<S>,
    id: LinkId,
    state: LinkState,
    around: Surroundings,
}

/// A partner that was reached.
struct Reached {
    socket: TcpStream,
    partner: SocketAddr,
    /// Its share of the descriptors, which is free again when the call is over.
    _place: OwnedSemaphorePermit,
}

/// Why a partner was not reached: for the client, and in words for our own log.
struct Unreached {
    reason: FailReason,
    partner: Option<SocketAddr>,
    words: String,
}

impl Unreached {
    fn new(reason: FailReason, words: impl Into<String>) -> Self {
        Self { reason, partner: None, words: words.into() }
    }
}

impl<S: Stream> Dialler<S> {
    /// Carries calls until the link is of no more use.
    async fn serve(&mut self, orders: &mut Ordered<LinkOrder>) -> LinkError {
        loop {
            let frame = match race(orders.next(), self.link.receive()).await {
                Either::Left(_) => return LinkError::Closed,
                Either::Right(Ok(frame)) => frame,
                Either::Right(Err(error)) => return error,
            };
            if let Err(violation) = self.state.on_received(frame.kind()) {
                return violation.into();
            }
            // Nothing but a heartbeat and a call is permitted on an idle outward link.
            let outcome = match frame {
                Frame::Dial(dial) => self.carry(&dial).await,
                _ => heartbeat::answer(&mut self.link, &mut self.state).await,
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    /// Carries one call to its end. `Ok` means that the link is idle again.
    async fn carry(&mut self, dial: &Dial) -> Result<(), LinkError> {
        let arrived = Instant::now();
        let mut early = Vec::new();
        let far_end = reach(dial, self.id, &self.around);
        let named = (dial.call, arrived);
        // In a place of its own, so that a call that stands for hours does not keep the room for its beginning.
        let outcome = Box::pin(wait_for(far_end, &mut self.link, &mut self.state, named, &mut early)).await;
        let record = OutwardCall {
            id: dial.call,
            listener: dial.listener,
            station: dial.station,
            destination: dial.destination.to_string(),
            arrived,
        };
        match outcome {
            Outcome::Reached(reached) => self.join(&record, reached, &early).await,
            Outcome::Unreached(unreached) => {
                let Unreached { reason, partner, words } = unreached;
                self.link.writer.queue(&Frame::Failed { call: dial.call, reason, partner });
                self.state.on_sent(Kind::Failed);
                let (result, ended_by) = verdict_on(reason);
                record.log_unjoined(partner, result, ended_by, &words);
            }
            Outcome::GivenUp => {
                abort(&mut self.link, &mut self.state, AbortReason::Answer);
                let words = "the station left, or its patience was over, before the partner was reached";
                record.log_unjoined(None, CallResult::Aborted, Ender::Target, words);
            }
            Outcome::LinkDead(error) => {
                self.around.board.tell(Event::DialEnded(self.id)).await;
                let words = format!("the link ended before the partner was reached: {error}");
                record.log_unjoined(None, CallResult::Aborted, Ender::Tunnel, &words);
                return Err(error);
            }
        }
        self.around.board.tell(Event::DialEnded(self.id)).await;
        settle(&mut self.link, &mut self.state).await?;
        self.around.board.tell(Event::LinkFree(self.id)).await;
        Ok(())
    }

    async fn join(&mut self, record: &OutwardCall, reached: Reached, early: &[u8]) {
        let setup = record.arrived.elapsed();
        let partner = reached.partner;
        self.link.writer.queue(&Frame::Connected { call: record.id, partner });
        self.state.on_sent(Kind::Connected);
        let times = *self.around.times.borrow().as_ref();
        let stop = pin!(self.around.stop.wished());
        let times = (times.step, times.join);
        let joined = join_late(reached.socket, early, &mut self.link, &mut self.state, times, stop).await;
        record.log_joined(Side::Partner, partner, setup, &joined);
    }
}

/// Asks whether the call may be, and connects to its destination.
async fn reach(dial: &Dial, link: LinkId, around: &Surroundings) -> Result<Reached, Unreached> {
    let place = around.board.take_place().ok_or_else(|| {
        let words = "as many calls as the descriptors allow; raise the limit (ulimit -n, LimitNOFILE=)";
        Unreached::new(FailReason::NoResources, words)
    })?;
    let (answer, answered) = oneshot::channel();
    around.board.tell(Event::Dialled(link, answer)).await;
    answered
        .await
        .unwrap_or(Err(FailReason::Draining))
        .map_err(|reason| Unreached::new(reason, reason.to_string()))?;
    let outgoing = around.outgoing.borrow().clone();
    let step = around.times.borrow().step;
    let socket = connect(dial, &outgoing, step).await?;
    // A partner that has gone already is noticed by whoever reads from it.
    let _ = socket::tune(&socket, step);
    // A call that is over before it is joined, or a daemon that dies, is no orderly end for the partner either.
    socket::reset_on_close(&socket, true);
    let partner = socket.peer_addr().map_err(|_| {
        Unreached::new(FailReason::Refused, "the partner reset the connection as soon as it stood")
    })?;
    Ok(Reached { socket, partner, _place: place })
}

/// Connects to the destination of a call, if the policy allows it: before its name is looked up, and once more for the
/// address that is really dialled, which is the one that was looked up.
async fn connect(dial: &Dial, outgoing: &Outgoing, step: Duration) -> Result<TcpStream, Unreached> {
    let destination = &dial.destination;
    let (text, port) = (destination.host(), destination.port());
    let Ok(host) = text.parse::<Host>() else {
        let words = format!("{text:?} is neither a host name nor an IP address");
        return Err(Unreached::new(FailReason::UnknownName, words));
    };
    let asked = match &host {
        Host::Name(name) => Asked::Name(name),
        Host::Ip(ip) => Asked::Ip(*ip),
    };
    if !outgoing.policy.may_ask(asked, port) {
        return Err(Unreached::new(
            FailReason::NotAllowed,
            "[outgoing] allow has no rule for this destination",
        ));
    }
    let route = |address: SocketAddr| {
        if !outgoing.policy.permits(asked, address, &is_own) {
            return Route::Closed;
        }
        match outgoing.sources.choose(asked, address) {
            SourceChoice::Any => Route::Open,
            SourceChoice::From(source) => Route::From(source),
            SourceChoice::WrongFamily => Route::NoSource,
        }
    };
    connect_by(&host.to_string(), port, step, route).await.map_err(explain)
}

fn explain(failure: NotConnected) -> Unreached {
    let NotConnected { error, address } = failure;
    let reason = match &error {
        ConnectError::Forbidden => FailReason::NotAllowed,
        ConnectError::UnknownName(_) => FailReason::UnknownName,
        ConnectError::Refused => FailReason::Refused,
        ConnectError::NetworkUnreachable(_) => FailReason::NetworkUnreachable,
        ConnectError::HostUnreachable(_) => FailReason::HostUnreachable,
        ConnectError::TimedOut(_) => FailReason::TimedOut,
        ConnectError::NoSource => FailReason::NetworkUnreachable,
        ConnectError::Exhausted(_) | ConnectError::WrongSource(..) => FailReason::NoResources,
    };
    let words = match &error {
        ConnectError::Forbidden => String::from("[outgoing] allow has no rule for this address"),
        error => error.to_string(),
    };
    Unreached { reason, partner: address, words }
}
