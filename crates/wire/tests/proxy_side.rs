//! The proxy's decisions, one at a time: who is asked, who is next, and who is turned away.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what these helpers meet is a failed test")]

use std::net::SocketAddr;

use wire::limits::{ANNOUNCE_SIGN_MS, SESSIONS_MAX, VERSION, WAITING_CALLS_MAX};
use wire::proxy_side::{
    Action, ArrivalDenied, CallFailure, LinkDenied, ProxySettings, ProxySide, Returned, SessionEnd,
};
use wire::{
    CallId, CallToken, Frame, Hello, LinkId, Millis, Name, PeerKey, RefuseReason, RejectReason, SessionId,
    Target,
};

const CALL_WAIT_MS: u64 = 30_000;
const SILENCE_MS: u64 = 15_000;
const START: Millis = Millis(1_000);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn key(number: u8) -> PeerKey {
    PeerKey([number; 32])
}

fn proxy() -> ProxySide {
    let mut last = 0_u128;
    let make_token = move || {
        last += 1;
        CallToken(last.to_be_bytes())
    };
    ProxySide::new(ProxySettings {
        listeners: vec![name("plain")],
        call_wait_ms: CALL_WAIT_MS,
        silence_ms: SILENCE_MS,
        first_id: 100,
        make_token: Box::new(make_token),
    })
}

fn hello(targets: &[&str]) -> Hello {
    let targets = targets.iter().map(|text| Target::new(name(text), "station:6619").unwrap()).collect();
    Hello { version: VERSION, capabilities: 0, silence_ms: 15_000, targets }
}

fn attach(side: &mut ProxySide, number: u8) -> SessionId {
    side.on_hello(START, key(number), hello(&["plain"])).unwrap().session
}

fn arrive(side: &mut ProxySide, now: Millis) -> CallId {
    let partner: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    side.on_arrival(now, name("plain"), partner).unwrap()
}

fn actions(side: &mut ProxySide) -> Vec<Action> {
    std::iter::from_fn(|| side.poll_action()).collect()
}

/// The session to which the only announcement among the actions goes, and its token.
fn announced(side: &mut ProxySide) -> (SessionId, CallToken) {
    let mut found = actions(side).into_iter().filter_map(|action| match action {
        Action::Send(session, Frame::Announce { token, .. }) => Some((session, token)),
        _ => None,
    });
    let only = found.next().expect("an announcement");
    assert!(found.next().is_none(), "a call is announced once");
    only
}

/// How the partner of a call was closed.
fn closed(side: &mut ProxySide) -> Option<CallFailure> {
    actions(side).into_iter().find_map(|action| match action {
        Action::ClosePartner(_, why) => Some(why),
        _ => None,
    })
}

#[test]
fn the_least_busy_client_is_asked_first_then_the_one_attached_longest() {
    let mut side = proxy();
    let (first, second) = (attach(&mut side, 1), attach(&mut side, 2));
    actions(&mut side);
    let order: Vec<SessionId> = (0..4)
        .map(|_| {
            arrive(&mut side, START);
            announced(&mut side).0
        })
        .collect();
    assert_eq!(order, [first, second, first, second]);
}

#[test]
fn a_client_with_the_target_comes_before_an_idle_one_without() {
    let mut side = proxy();
    side.on_hello(START, key(1), hello(&["other"])).unwrap();
    let able = attach(&mut side, 2);
    actions(&mut side);
    for _ in 0..3 {
        arrive(&mut side, START);
        assert_eq!(announced(&mut side).0, able);
    }
}

#[test]
fn a_link_on_standby_is_offered_the_call_and_the_last_used_comes_first() {
    let mut side = proxy();
    let session = attach(&mut side, 1);
    side.on_standby(LinkId(1), key(1), session).unwrap();
    side.on_standby(LinkId(2), key(1), session).unwrap();
    actions(&mut side);
    let call = arrive(&mut side, START);
    let offer = actions(&mut side);
    assert!(matches!(offer[..], [Action::Offer { link: LinkId(2), call: offered, deadline }]
        if offered == call && deadline == START.plus(CALL_WAIT_MS)));
    assert_eq!((side.standby_count(), side.link_count(), side.waiting_count()), (1, 2, 1));
    side.on_accepted(call);
    assert_eq!((side.call_count(), side.waiting_count()), (1, 0));
    side.on_ended(call);
    side.on_link_free(LinkId(2));
    assert_eq!((side.call_count(), side.standby_count()), (0, 2));
}

#[test]
fn a_refused_call_goes_to_the_other_client_and_its_last_reason_is_kept() {
    let mut side = proxy();
    attach(&mut side, 1);
    attach(&mut side, 2);
    actions(&mut side);
    let call = arrive(&mut side, START);
    let (first, _) = announced(&mut side);
    side.on_frame(START, first, Frame::Refuse(call, RefuseReason::Refused)).unwrap();
    let (second, _) = announced(&mut side);
    assert_ne!(first, second);
    // Only the client that has the call may refuse it.
    side.on_frame(START, first, Frame::Refuse(call, RefuseReason::Refused)).unwrap();
    assert!(actions(&mut side).is_empty());
    side.on_frame(START, second, Frame::Refuse(call, RefuseReason::TimedOut)).unwrap();
    assert_eq!(closed(&mut side), Some(CallFailure::Refused(RefuseReason::TimedOut)));
    assert_eq!(side.call_count(), 0);
}

#[test]
fn an_announcement_without_a_sign_goes_to_another_client() {
    let mut side = proxy();
    let first = attach(&mut side, 1);
    attach(&mut side, 2);
    actions(&mut side);
    let call = arrive(&mut side, START);
    assert_eq!(announced(&mut side).0, first);
    let late = START.plus(ANNOUNCE_SIGN_MS);
    assert_eq!(side.next_deadline(), Some(late));
    side.on_tick(late);
    let sent = actions(&mut side);
    assert!(
        matches!(sent[0], Action::Send(session, Frame::Withdraw(other)) if (session, other) == (first, call))
    );
    assert!(matches!(sent[1], Action::Send(session, Frame::Announce { .. }) if session != first));
}

#[test]
fn an_announcement_with_a_sign_stays_where_it_is() {
    let mut side = proxy();
    let first = attach(&mut side, 1);
    attach(&mut side, 2);
    actions(&mut side);
    let call = arrive(&mut side, START);
    side.on_frame(START, first, Frame::Ringing(call)).unwrap();
    actions(&mut side);
    side.on_tick(START.plus(ANNOUNCE_SIGN_MS));
    assert!(actions(&mut side).is_empty());
}

#[test]
fn a_client_that_returns_gets_the_call_that_its_dead_session_still_holds() {
    let mut side = proxy();
    let ghost = attach(&mut side, 1);
    actions(&mut side);
    arrive(&mut side, START);
    assert_eq!(announced(&mut side).0, ghost);
    side.on_tick(START.plus(ANNOUNCE_SIGN_MS));
    assert!(actions(&mut side).is_empty(), "there is nobody else");
    let successor = attach(&mut side, 1);
    side.on_tick(START.plus(2 * ANNOUNCE_SIGN_MS));
    assert_eq!(announced(&mut side).0, successor);
}

#[test]
fn a_client_whose_link_was_dead_is_asked_last_until_it_is_heard_again() {
    let mut side = proxy();
    let (dead, alive) = (attach(&mut side, 1), attach(&mut side, 2));
    side.on_standby(LinkId(1), key(1), dead).unwrap();
    side.on_standby(LinkId(2), key(1), dead).unwrap();
    actions(&mut side);
    let call = arrive(&mut side, START);
    assert!(matches!(actions(&mut side)[..], [Action::Offer { link: LinkId(2), .. }]));
    side.on_returned(START, call, Returned::LinkDead);
    side.on_link_lost(LinkId(2));
    assert_eq!(announced(&mut side).0, alive, "not the next link of the same client");
    arrive(&mut side, START);
    assert_eq!(announced(&mut side).0, alive, "although it is busier");
    side.on_frame(START, dead, Frame::Heartbeat).unwrap();
    arrive(&mut side, START);
    assert!(matches!(actions(&mut side)[..], [Action::Offer { link: LinkId(1), .. }]));
}

#[test]
fn the_only_client_is_tried_again_when_a_link_was_dead() {
    let mut side = proxy();
    let session = attach(&mut side, 1);
    side.on_standby(LinkId(1), key(1), session).unwrap();
    actions(&mut side);
    let call = arrive(&mut side, START);
    actions(&mut side);
    side.on_returned(START, call, Returned::LinkDead);
    side.on_link_lost(LinkId(1));
    assert_eq!(announced(&mut side).0, session);
    side.on_tick(START.plus(CALL_WAIT_MS));
    assert_eq!(closed(&mut side), Some(CallFailure::TimedOut));
}

#[test]
fn a_lost_session_gives_its_calls_to_others_and_the_last_one_closes_the_ports() {
    let mut side = proxy();
    let (first, second) = (attach(&mut side, 1), attach(&mut side, 2));
    side.on_standby(LinkId(1), key(2), second).unwrap();
    assert!(matches!(actions(&mut side)[..], [Action::OpenListeners]));
    arrive(&mut side, START);
    assert_eq!(announced(&mut side).0, first);
    side.on_session_lost(START, first);
    assert!(matches!(actions(&mut side)[..], [Action::Offer { link: LinkId(1), .. }]));
    arrive(&mut side, START);
    assert_eq!(announced(&mut side).0, second);
    side.on_session_lost(START, second);
    side.on_session_lost(START, second);
    let last = actions(&mut side);
    assert!(matches!(last[..], [Action::CloseListeners, Action::ClosePartner(_, CallFailure::NoClient)]));
    assert_eq!((side.session_count(), side.call_count()), (0, 1), "the offered call is its link's affair");
}

#[test]
fn silence_ends_a_session_and_any_frame_prolongs_it() {
    let mut side = proxy();
    let session = attach(&mut side, 1);
    actions(&mut side);
    side.on_frame(START.plus(SILENCE_MS - 1), session, Frame::Heartbeat).unwrap();
    side.on_tick(START.plus(SILENCE_MS));
    assert_eq!(side.session_count(), 1);
    side.on_tick(START.plus(2 * SILENCE_MS - 1));
    let ended = actions(&mut side);
    let is_end = |action: &Action| matches!(action, Action::EndSession(_, SessionEnd::Silent));
    assert!(ended.iter().any(is_end) && side.session_count() == 0);
}

#[test]
fn whoever_drains_gets_no_new_calls() {
    let mut side = proxy();
    let (first, second) = (attach(&mut side, 1), attach(&mut side, 2));
    side.on_frame(START, first, Frame::Drain).unwrap();
    actions(&mut side);
    arrive(&mut side, START);
    assert_eq!(announced(&mut side).0, second);
    side.on_frame(START, second, Frame::Drain).unwrap();
    assert!(matches!(actions(&mut side)[..], [Action::CloseListeners]));
    let partner = "192.0.2.1:1".parse().unwrap();
    assert_eq!(side.on_arrival(START, name("plain"), partner), Err(ArrivalDenied::NoClient));
    side.on_drain();
    let told = actions(&mut side);
    assert!(matches!(told[..], [Action::Send(_, Frame::Drain), Action::Send(_, Frame::Drain)]));
    assert_eq!(side.on_hello(START, key(3), hello(&[])), Err(RejectReason::Draining));
}

#[test]
fn the_waiting_room_and_the_sessions_are_bounded() {
    let mut side = proxy();
    attach(&mut side, 1);
    (0..WAITING_CALLS_MAX).for_each(|_| assert!(arrive(&mut side, START).0 > 0));
    let partner = "192.0.2.1:1".parse().unwrap();
    assert_eq!(side.on_arrival(START, name("plain"), partner), Err(ArrivalDenied::RoomFull));
    side.on_tick(START.plus(CALL_WAIT_MS));
    assert_eq!(side.waiting_count(), 0);
    let mut side = proxy();
    (0..SESSIONS_MAX).for_each(|_| assert!(attach(&mut side, 1).0 > 0));
    assert_eq!(side.on_hello(START, key(1), hello(&[])), Err(RejectReason::TooManySessions));
}

#[test]
fn a_token_is_good_once_and_only_for_whom_it_was_made() {
    let mut side = proxy();
    let (first, second) = (attach(&mut side, 1), attach(&mut side, 2));
    actions(&mut side);
    let call = arrive(&mut side, START);
    let (session, token) = announced(&mut side);
    assert_eq!(session, first);
    assert_eq!(side.on_claim(LinkId(1), key(2), first, call, token), Err(LinkDenied::NoSession));
    assert_eq!(side.on_standby(LinkId(1), key(2), first), Err(LinkDenied::NoSession));
    side.on_claim(LinkId(2), key(2), second, call, token).unwrap();
    assert!(matches!(actions(&mut side)[..], [Action::Gone(LinkId(2), gone)] if gone == call));
    side.on_claim(LinkId(3), key(1), first, call, CallToken([99; 16])).unwrap();
    assert!(matches!(actions(&mut side)[..], [Action::Gone(LinkId(3), _)]));
    side.on_claim(LinkId(4), key(1), first, call, token).unwrap();
    assert!(matches!(actions(&mut side)[..], [Action::Offer { link: LinkId(4), .. }]));
    side.on_claim(LinkId(5), key(1), first, call, token).unwrap();
    assert!(matches!(actions(&mut side)[..], [Action::Gone(LinkId(5), _)]));
    assert_eq!(side.standby_count(), 3, "a link whose call is gone waits for the next");
}

#[test]
fn a_partner_that_leaves_is_withdrawn() {
    let mut side = proxy();
    attach(&mut side, 1);
    actions(&mut side);
    let call = arrive(&mut side, START);
    let (_, token) = announced(&mut side);
    side.on_partner_left(call);
    let sent = actions(&mut side);
    assert!(matches!(sent[0], Action::Send(session, Frame::Withdraw(gone))
        if gone == call && side.on_claim(LinkId(1), key(1), session, call, token).is_ok()));
    assert!(matches!(sent[1], Action::ClosePartner(_, CallFailure::PartnerLeft)));
    assert!(matches!(actions(&mut side)[..], [Action::Gone(LinkId(1), _)]));
}
