//! The client's decisions, one at a time: when it returns, what it keeps ready, and what it gives up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what these helpers meet is a failed test")]

use std::net::SocketAddr;

use wire::client_side::{Action, ClientSettings, ClientSide, Lost, Purpose};
use wire::limits::{
    RECONNECT_MS_FIRST, RECONNECT_MS_MAX, REFILL_PAUSE_MS, SHRINK_MS, STANDBY_LINKS_MAX, STANDBY_LINKS_MIN,
    STEADY_MS, VERSION,
};
use wire::{
    CallId, CallToken, Frame, LinkId, Millis, Name, RefuseReason, RejectReason, SessionId, Target, Welcome,
};

const START: Millis = Millis(1_000);
const SILENCE_MS: u64 = 45_000;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn target(listener: &str) -> Target {
    Target::new(name(listener), "station:6619").unwrap()
}

/// A client whose spread is the same share of what is allowed each time.
fn client(percent: u64) -> ClientSide {
    ClientSide::new(ClientSettings {
        targets: vec![target("plain")],
        calls_out: false,
        attach_ms: 5_000,
        silence_ms: SILENCE_MS,
        jitter: Box::new(move |bound| (bound * percent / 100).min(bound - 1)),
    })
}

fn actions(side: &mut ClientSide) -> Vec<Action> {
    std::iter::from_fn(|| side.poll_action()).collect()
}

fn welcome(version: u16) -> Frame {
    let (session, listeners) = (SessionId(5), Vec::new());
    Frame::Welcome(Welcome { version, capabilities: 0, silence_ms: 45_000, session, listeners })
}

/// Attaches; returns the links that are asked for.
fn attach(side: &mut ClientSide, now: Millis) -> Vec<LinkId> {
    side.on_tick(now);
    side.on_dialled();
    side.on_frame(now, welcome(VERSION)).unwrap();
    assert!(side.is_attached());
    opened(side)
}

fn opened(side: &mut ClientSide) -> Vec<LinkId> {
    let links = actions(side).into_iter().filter_map(|action| match action {
        Action::OpenLink(link, _) => Some(link),
        _ => None,
    });
    links.collect()
}

/// The proxy says on the control link and on every link that it lives, and the client looks what is due.
fn beat(side: &mut ClientSide, now: Millis) {
    side.on_frame(now, Frame::Heartbeat).unwrap();
    (0..1_000).for_each(|link| side.on_link_heard(now, LinkId(link)));
    side.on_tick(now);
}

fn announce(call: u64, listener: &str) -> Frame {
    let partner: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    Frame::Announce { call: CallId(call), token: CallToken([1; 16]), listener: name(listener), partner }
}

/// Announces a call; returns the link that is opened for it.
fn announced(side: &mut ClientSide, now: Millis, call: u64) -> LinkId {
    side.on_frame(now, announce(call, "plain")).unwrap();
    let sent = actions(side);
    assert!(matches!(sent[0], Action::Send(Frame::Ringing(CallId(other))) if other == call));
    assert!(matches!(sent[1], Action::Reach { call: CallId(other), .. } if other == call));
    let Action::OpenLink(link, Purpose::Claim(SessionId(5), ..)) = sent[2] else {
        panic!("{:?} instead of a link", sent[2]);
    };
    link
}

/// The pause before each of so many attempts that fail.
fn pauses(side: &mut ClientSide, attempts: usize) -> Vec<u64> {
    let mut now = START;
    let mut pauses = Vec::new();
    for _ in 0..attempts {
        side.on_tick(now);
        side.on_lost(now);
        let due = side.next_deadline().unwrap();
        pauses.push(due.since(now));
        now = due;
    }
    pauses
}

#[test]
fn the_pause_grows_within_its_spread_up_to_its_bound() {
    let (least, most) = (pauses(&mut client(0), 20), pauses(&mut client(100), 20));
    for index in 0..20 {
        let full = (RECONNECT_MS_FIRST << index.min(16)).min(RECONNECT_MS_MAX);
        assert_eq!((least[index], most[index]), (full / 2, full), "attempt {index}");
    }
}

#[test]
fn after_a_steady_session_the_client_returns_at_once_and_begins_anew() {
    let mut side = client(100);
    pauses(&mut side, 6);
    let now = side.next_deadline().unwrap();
    attach(&mut side, now);
    side.on_lost(now.plus(STEADY_MS - 1));
    let later = side.next_deadline().unwrap();
    assert!(later.since(now) > STEADY_MS, "a session that does not last is one more failure");
    attach(&mut side, later);
    let lost = later.plus(STEADY_MS);
    side.on_lost(lost);
    assert_eq!(side.next_deadline(), Some(lost));
    side.on_tick(lost);
    assert!(actions(&mut side).iter().any(|action| matches!(action, Action::Dial)));
    side.on_lost(lost);
    assert_eq!(side.next_deadline(), Some(lost.plus(RECONNECT_MS_FIRST)));
}

#[test]
fn dialling_greeting_and_silence_are_bounded() {
    let mut side = client(0);
    side.on_tick(START);
    side.on_dialled();
    side.on_tick(START.plus(5_000));
    let ended = actions(&mut side);
    assert!(ended.iter().any(|action| matches!(action, Action::HangUp(Lost::AttachTimedOut))));
    let now = side.next_deadline().unwrap();
    attach(&mut side, now);
    side.on_tick(now.plus(SILENCE_MS));
    let ended = actions(&mut side);
    assert!(ended.iter().any(|action| matches!(action, Action::HangUp(Lost::Silent))));
}

#[test]
fn a_proxy_that_does_not_want_this_client_is_left_and_tried_again() {
    for (answer, why) in [
        (Frame::Reject(RejectReason::Draining), Lost::Rejected(RejectReason::Draining)),
        (welcome(VERSION + 1), Lost::Version),
    ] {
        let mut side = client(0);
        side.on_tick(START);
        side.on_dialled();
        side.on_frame(START, answer).unwrap();
        let ended = actions(&mut side);
        assert!(ended.iter().any(|action| matches!(action, Action::HangUp(other) if *other == why)));
        assert!(side.next_deadline() > Some(START));
    }
}

#[test]
fn standby_is_filled_and_what_is_lost_is_replaced_after_a_pause() {
    let mut side = client(0);
    let links = attach(&mut side, START);
    assert_eq!(links.len(), STANDBY_LINKS_MIN);
    links.iter().for_each(|&link| side.on_link_standby(START, link));
    assert_eq!(side.standby_count(), STANDBY_LINKS_MIN);
    side.on_link_busy(START, links[0]);
    assert_eq!(opened(&mut side).len(), 1, "a link that is used is replaced at once");
    side.on_link_lost(START, links[1]);
    assert!(opened(&mut side).is_empty());
    side.on_tick(START.plus(REFILL_PAUSE_MS));
    assert_eq!(opened(&mut side).len(), 1);
}

#[test]
fn what_was_not_needed_for_a_while_is_closed_by_halves() {
    let mut side = client(0);
    let mut links = attach(&mut side, START);
    for call in 0..200 {
        let link = announced(&mut side, START, call);
        assert!(side.on_claiming(link, CallId(call)));
        side.on_link_claims(link);
        links.push(link);
    }
    links.drain(..STANDBY_LINKS_MIN).for_each(|link| side.on_link_standby(START, link));
    links.into_iter().for_each(|link| side.on_link_free(START, link));
    let closed = actions(&mut side).len();
    assert_eq!((side.standby_count(), closed), (STANDBY_LINKS_MAX, 202 - STANDBY_LINKS_MAX));
    let mut counts = Vec::new();
    let mut now = START;
    for _ in 0..9 {
        now = now.plus(SHRINK_MS);
        beat(&mut side, now);
        actions(&mut side);
        counts.push(side.standby_count());
    }
    // Two hundred calls have found no link: from 32 on, what is kept for such a rate is halved as well.
    assert_eq!(counts, [128, 72, 40, 22, 12, 7, 4, 3, 2]);
}

#[test]
fn calls_that_keep_their_links_have_more_of_them_kept_ready() {
    let mut side = client(0);
    let mut ready: Vec<LinkId> = Vec::new();
    let mut opening = attach(&mut side, START);
    let mut kept = Vec::new();
    for _ in 0..4 {
        for link in opening.drain(..) {
            side.on_link_standby(START, link);
            ready.push(link);
        }
        kept.push(ready.len());
        // As many calls at once as there are links, and none of them ends.
        for link in ready.drain(..) {
            side.on_link_busy(START, link);
        }
        opening.extend(opened(&mut side));
    }
    assert_eq!(kept, [2, 2, 4, 8]);
    let mut now = START;
    for _ in 0..9 {
        now = now.plus(SHRINK_MS);
        beat(&mut side, now);
        for link in opening.drain(..).chain(opened(&mut side)) {
            side.on_link_standby(START, link);
        }
        actions(&mut side);
    }
    assert_eq!(side.standby_count(), STANDBY_LINKS_MIN, "without such calls it is as before");
}

#[test]
fn standby_stays_bounded_when_many_calls_are_withdrawn_at_once() {
    let mut side = client(0);
    attach(&mut side, START);
    let links: Vec<LinkId> = (0..200).map(|call| announced(&mut side, START, call)).collect();
    for (call, link) in links.into_iter().enumerate() {
        side.on_frame(START, Frame::Withdraw(CallId(call as u64))).unwrap();
        assert!(!side.on_claiming(link, CallId(call as u64)));
        side.on_link_standby(START, link);
    }
    assert_eq!((side.standby_count(), side.announced_count()), (STANDBY_LINKS_MAX, 0));
}

#[test]
fn a_withdrawn_call_is_forgotten_and_its_link_waits() {
    let mut side = client(0);
    attach(&mut side, START);
    let link = announced(&mut side, START, 9);
    side.on_frame(START, Frame::Withdraw(CallId(9))).unwrap();
    assert!(matches!(actions(&mut side)[..], [Action::Forget(CallId(9))]));
    side.on_frame(START, Frame::Withdraw(CallId(9))).unwrap();
    assert!(actions(&mut side).is_empty());
    assert!(!side.on_claiming(link, CallId(9)));
    side.on_link_standby(START, link);
    assert_eq!(side.standby_count(), 1);
}

#[test]
fn a_call_that_cannot_be_taken_is_refused_once() {
    let mut side = client(0);
    attach(&mut side, START);
    side.on_frame(START, announce(1, "unknown")).unwrap();
    let sent = actions(&mut side);
    assert!(matches!(sent[0], Action::Send(Frame::Refuse(CallId(1), RefuseReason::NoTarget))));
    let link = announced(&mut side, START, 2);
    assert!(side.on_unreached(CallId(2), RefuseReason::Refused));
    assert!(!side.on_unreached(CallId(2), RefuseReason::Refused));
    actions(&mut side);
    side.on_link_failed(START, link, Some(CallId(2)));
    assert!(actions(&mut side).is_empty(), "it was refused already");
    let link = announced(&mut side, START, 3);
    side.on_link_failed(START, link, Some(CallId(3)));
    let sent = actions(&mut side);
    assert!(matches!(sent[0], Action::Send(Frame::Refuse(CallId(3), RefuseReason::NoLink))));
    assert!(matches!(sent[1], Action::Forget(CallId(3))));
    let link = announced(&mut side, START, 4);
    assert!(side.on_claiming(link, CallId(4)));
    assert!(!side.on_unreached(CallId(4), RefuseReason::Refused), "its link has to refuse it");
    announced(&mut side, START, 5);
    assert!(side.on_frame(START, announce(5, "plain")).is_err(), "a call is announced once");
}

#[test]
fn a_client_that_drains_takes_and_opens_nothing_more_and_does_not_spin() {
    let mut side = client(0);
    let links = attach(&mut side, START);
    links.iter().for_each(|&link| side.on_link_standby(START, link));
    side.on_link_lost(START, links[0]);
    side.on_drain();
    actions(&mut side);
    let now = START.plus(REFILL_PAUSE_MS);
    side.on_tick(now);
    assert!(opened(&mut side).is_empty());
    assert!(side.next_deadline() > Some(now), "a pause that is over must not be due for ever");
    assert_eq!(side.admits(&name("plain")), Err(RefuseReason::Draining));
    side.on_lost(now);
    assert_eq!(side.next_deadline(), None);
}

#[test]
fn links_of_a_session_that_is_over_close_whenever_they_turn_up() {
    let mut side = client(0);
    let old = attach(&mut side, START);
    side.on_link_standby(START, old[0]);
    let claim = announced(&mut side, START, 1);
    side.on_lost(START);
    let given_up = actions(&mut side);
    assert!(matches!(given_up[..], [Action::CloseLink(link), Action::Forget(CallId(1))] if link == old[0]));
    let now = side.next_deadline().unwrap();
    attach(&mut side, now);
    assert!(!side.on_claiming(claim, CallId(1)));
    side.on_link_standby(now, claim);
    assert!(matches!(actions(&mut side)[..], [Action::CloseLink(link)] if link == claim));
    side.on_link_failed(now, old[1], None);
    let links = announced(&mut side, now, 2);
    side.on_link_failed(now, links, Some(CallId(2)));
    assert_eq!(side.standby_count(), 0);
}
