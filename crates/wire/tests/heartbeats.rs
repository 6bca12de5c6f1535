//! Heartbeats on links without a call: which links the two machines send them on, how often, and what a
//! client concludes when they stay away.
#![allow(clippy::unwrap_used, reason = "what these helpers meet is a failed test")]

use wire::client_side::{Action, ClientSettings, ClientSide, Purpose};
use wire::limits::{
    HEARTBEATS_PER_SILENCE, OFFER_SIGN_MS, PROBES_MISSED_MAX, REFILL_PAUSE_MS, VERSION, probe_ms,
};
use wire::proxy_side::{self, ProxySettings, ProxySide};
use wire::{CallId, CallToken, Frame, Hello, LinkId, Millis, PeerKey, SessionId, Target, Welcome};

const START: Millis = Millis(1_000);
const SILENCE_MS: u64 = 45_000;
/// What a client bears on a link on standby.
const PATIENCE_MS: u64 = PROBES_MISSED_MAX * probe_ms(SILENCE_MS / HEARTBEATS_PER_SILENCE);

/// A client that is attached to a proxy which allows it so much silence.
fn client(calls_out: bool, silence_ms: u32) -> ClientSide {
    let mut side = ClientSide::new(ClientSettings {
        targets: vec![Target::new("plain".parse().unwrap(), "station:6619").unwrap()],
        calls_out,
        attach_ms: 5_000,
        silence_ms: SILENCE_MS,
        jitter: Box::new(|_| 0),
    });
    side.on_tick(START);
    side.on_dialled();
    let (session, listeners) = (SessionId(5), Vec::new());
    let welcome = Welcome { version: VERSION, capabilities: 0, silence_ms, session, listeners };
    side.on_frame(START, Frame::Welcome(welcome)).unwrap();
    side
}

/// The links on which a client acts in one way.
fn links(side: &mut ClientSide, of: impl Fn(Action) -> Option<LinkId>) -> Vec<LinkId> {
    std::iter::from_fn(|| side.poll_action()).filter_map(of).collect()
}

fn opened(side: &mut ClientSide) -> Vec<LinkId> {
    links(side, |action| match action {
        Action::OpenLink(link, Purpose::Standby(_)) => Some(link),
        _ => None,
    })
}

fn opened_outward(side: &mut ClientSide) -> Vec<LinkId> {
    links(side, |action| match action {
        Action::OpenLink(link, Purpose::Outward(_)) => Some(link),
        _ => None,
    })
}

fn silent(side: &mut ClientSide) -> Vec<LinkId> {
    links(side, |action| match action {
        Action::LinkSilent(link) => Some(link),
        _ => None,
    })
}

fn probed(side: &mut ClientSide) -> Vec<LinkId> {
    links(side, |action| match action {
        Action::Probe(link) => Some(link),
        _ => None,
    })
}

/// A client that has its links on standby.
fn standing_by() -> (ClientSide, Vec<LinkId>) {
    let mut side = client(false, SILENCE_MS as u32);
    let ready = opened(&mut side);
    ready.iter().for_each(|&link| side.on_link_standby(START, link));
    (side, ready)
}

#[test]
fn a_link_on_standby_on_which_nothing_is_heard_is_given_up_and_replaced() {
    let (mut side, ready) = standing_by();
    side.on_frame(START.plus(1), Frame::Heartbeat).unwrap();
    side.on_link_heard(START.plus(1), ready[1]);
    side.on_tick(START.plus(PATIENCE_MS - 1));
    assert!(silent(&mut side).is_empty());
    side.on_tick(START.plus(PATIENCE_MS));
    assert_eq!((silent(&mut side), side.standby_count()), (vec![ready[0]], 1));
    assert_eq!(
        side.next_deadline(),
        Some(START.plus(PATIENCE_MS + 1)),
        "when the other one is silent as well"
    );
    // Whatever is still said of it changes nothing.
    side.on_link_heard(START.plus(PATIENCE_MS), ready[0]);
    side.on_link_lost(START.plus(PATIENCE_MS), ready[0]);
    assert!(opened(&mut side).is_empty(), "as after every loss there is a pause");
    side.on_link_heard(START.plus(PATIENCE_MS), ready[1]);
    side.on_tick(START.plus(PATIENCE_MS + REFILL_PAUSE_MS));
    assert_eq!((opened(&mut side).len(), side.standby_count()), (1, 1));
}

#[test]
fn a_call_is_a_sign_of_life_of_its_link() {
    let (mut side, ready) = standing_by();
    let end = START.plus(PATIENCE_MS);
    side.on_frame(end, Frame::Heartbeat).unwrap();
    side.on_link_busy(START, ready[0]);
    side.on_tick(end);
    assert_eq!(silent(&mut side), [ready[1]], "a link with a call is nobody's business");
    side.on_link_free(end, ready[0]);
    side.on_tick(end.plus(PATIENCE_MS - 1));
    assert!(silent(&mut side).is_empty());
    side.on_tick(end.plus(PATIENCE_MS));
    assert_eq!(silent(&mut side), [ready[0]]);
}

#[test]
fn outward_links_without_a_call_get_heartbeats_that_leave_time_for_an_answer() {
    for (silence_ms, expected_ms) in [(45_000, 15_000), (3_000, OFFER_SIGN_MS), (500, 19 * 166)] {
        let mut side = client(true, silence_ms);
        let first = opened_outward(&mut side)[0];
        side.on_link_outward(START, first);
        side.on_link_wanted(START, CallId(1));
        let second = opened_outward(&mut side)[0];
        side.on_link_outward(START, second);
        let mut probed_at = Vec::new();
        while probed_at.len() < 3 {
            let now = side.next_deadline().unwrap();
            side.on_frame(now, Frame::Heartbeat).unwrap();
            side.on_tick(now);
            let probed = probed(&mut side);
            if !probed.is_empty() {
                assert_eq!(probed, [second], "the other one has a call");
                probed_at.push(now.since(START));
            }
        }
        assert_eq!(probed_at, [expected_ms, 2 * expected_ms, 3 * expected_ms], "{silence_ms} ms of silence");
        side.on_link_free(START, first);
        side.on_tick(START.plus(4 * expected_ms));
        assert_eq!(probed(&mut side), [second, first]);
    }
}

fn proxy() -> ProxySide {
    ProxySide::new(ProxySettings {
        listeners: vec!["plain".parse().unwrap()],
        call_wait_ms: 30_000,
        silence_ms: SILENCE_MS,
        first_id: 100,
        make_token: Box::new(|| CallToken([1; 16])),
    })
}

/// Attaches a client that allows so much silence.
fn attach(side: &mut ProxySide, key: u8, silence_ms: u32) -> SessionId {
    let targets = vec![Target::new("plain".parse().unwrap(), "station:6619").unwrap()];
    let hello = Hello { version: VERSION, capabilities: 0, silence_ms, targets };
    side.on_hello(START, PeerKey([key; 32]), hello).unwrap().session
}

/// The links on which a heartbeat is to be sent, as time goes on to `now`; nobody is silent meanwhile.
fn probed_by_proxy(side: &mut ProxySide, sessions: &[SessionId], now: Millis) -> Vec<LinkId> {
    let mut probed = Vec::new();
    while let Some(due) = side.next_deadline().filter(|due| *due <= now) {
        sessions.iter().for_each(|&session| side.on_frame(due, session, Frame::Heartbeat).unwrap());
        side.on_tick(due);
        probed.extend(std::iter::from_fn(|| side.poll_action()).filter_map(|action| match action {
            proxy_side::Action::Probe(link) => Some(link),
            _ => None,
        }));
    }
    probed
}

#[test]
fn links_on_standby_get_heartbeats_and_those_with_a_call_do_not() {
    let mut side = proxy();
    let session = attach(&mut side, 1, 15_000);
    for link in 1..=3 {
        side.on_standby(LinkId(link), PeerKey([1; 32]), session).unwrap();
    }
    side.on_outward(LinkId(4), PeerKey([1; 32]), session).unwrap();
    // Every third of the silence that the client allows.
    assert_eq!(probed_by_proxy(&mut side, &[session], START.plus(4_999)), []);
    assert_eq!(probed_by_proxy(&mut side, &[session], START.plus(5_000)), [LinkId(1), LinkId(2), LinkId(3)]);
    let partner = "192.0.2.1:40000".parse().unwrap();
    let call = side.on_arrival(START.plus(5_000), "plain".parse().unwrap(), partner).unwrap();
    side.on_link_lost(LinkId(1));
    assert_eq!(probed_by_proxy(&mut side, &[session], START.plus(10_000)), [LinkId(2)]);
    side.on_ended(call);
    side.on_link_free(LinkId(3));
    assert_eq!(probed_by_proxy(&mut side, &[session], START.plus(15_000)), [LinkId(2), LinkId(3)]);
}

#[test]
fn heartbeats_on_links_leave_time_for_an_answer() {
    let mut side = proxy();
    let (hasty, calm) = (attach(&mut side, 1, 1_200), attach(&mut side, 2, 15_000));
    side.on_standby(LinkId(1), PeerKey([1; 32]), hasty).unwrap();
    side.on_standby(LinkId(2), PeerKey([2; 32]), calm).unwrap();
    // The control link has one every 400 ms.
    let both = [hasty, calm];
    assert_eq!(probed_by_proxy(&mut side, &both, START.plus(OFFER_SIGN_MS)), []);
    assert_eq!(probed_by_proxy(&mut side, &both, START.plus(3_200)), [LinkId(1)]);
    assert_eq!(probed_by_proxy(&mut side, &both, START.plus(6_399)), [LinkId(2)]);
    assert_eq!(probed_by_proxy(&mut side, &both, START.plus(6_400)), [LinkId(1)]);
}
