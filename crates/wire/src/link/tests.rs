use std::vec::Vec;

use super::*;

/// Moves one frame from one end to the other.
fn pass(from: &mut LinkState, to: &mut LinkState, kind: Kind) {
    from.on_sent(kind);
    to.on_received(kind).unwrap();
}

fn pair() -> (LinkState, LinkState) {
    (LinkState::standby(Role::Proxy), LinkState::standby(Role::Client))
}

#[test]
fn a_link_carries_call_after_call() {
    let (mut proxy, mut client) = pair();
    for _ in 0..3 {
        pass(&mut proxy, &mut client, Kind::Offer);
        pass(&mut client, &mut proxy, Kind::Accept);
        pass(&mut proxy, &mut client, Kind::End);
        assert!(client.may_send() && !client.may_receive());
        client.on_payload_sent(1 << 30);
        proxy.on_payload_received(100).unwrap();
        pass(&mut client, &mut proxy, Kind::End);
        assert!(proxy.is_standby() && client.is_standby());
    }
}

#[test]
fn a_refused_call_leaves_a_link_on_standby() {
    let (mut proxy, mut client) = pair();
    pass(&mut proxy, &mut client, Kind::Offer);
    pass(&mut client, &mut proxy, Kind::Ringing);
    pass(&mut client, &mut proxy, Kind::Refuse);
    assert!(!proxy.is_standby() && proxy.may_send());
    pass(&mut proxy, &mut client, Kind::Abort);
    assert!(proxy.is_standby() && client.is_standby());
}

#[test]
fn aborts_that_cross_settle() {
    let (mut proxy, mut client) = pair();
    pass(&mut proxy, &mut client, Kind::Offer);
    client.on_sent(Kind::Accept);
    client.on_sent(Kind::Abort);
    proxy.on_sent(Kind::Abort);
    proxy.on_received(Kind::Accept).unwrap();
    proxy.on_received(Kind::Abort).unwrap();
    client.on_received(Kind::Abort).unwrap();
    assert!(proxy.is_standby() && client.is_standby());
}

#[test]
fn before_it_accepts_a_client_only_aborts_in_answer() {
    let (mut proxy, mut client) = pair();
    pass(&mut proxy, &mut client, Kind::Offer);
    assert!({ proxy }.on_received(Kind::Abort).is_err());
    let mut ended = proxy;
    ended.on_sent(Kind::End);
    assert!(ended.on_received(Kind::Abort).is_err(), "an early end makes no difference");
    pass(&mut proxy, &mut client, Kind::Abort);
    pass(&mut client, &mut proxy, Kind::Abort);
    assert!(proxy.is_standby() && client.is_standby());
    pass(&mut proxy, &mut client, Kind::Offer);
    assert!(proxy.on_received(Kind::Abort).is_err(), "the next call begins anew");
}

#[test]
fn an_outward_link_is_the_mirror() {
    let (mut proxy, mut client) = (LinkState::outward(Role::Proxy), LinkState::outward(Role::Client));
    for _ in 0..2 {
        pass(&mut client, &mut proxy, Kind::Dial);
        assert_eq!((client.payload_allowance(), proxy.payload_allowance()), (EARLY_BYTES_MAX, 0));
        pass(&mut proxy, &mut client, Kind::Ringing);
        pass(&mut proxy, &mut client, Kind::Connected);
        pass(&mut client, &mut proxy, Kind::End);
        pass(&mut proxy, &mut client, Kind::End);
        assert!(proxy.is_standby() && client.is_standby());
        pass(&mut client, &mut proxy, Kind::Dial);
        pass(&mut proxy, &mut client, Kind::Failed);
        pass(&mut client, &mut proxy, Kind::Abort);
        assert!(proxy.is_standby() && client.is_standby());
    }
    pass(&mut client, &mut proxy, Kind::Dial);
    client.on_sent(Kind::Abort);
    pass(&mut proxy, &mut client, Kind::Connected);
    proxy.on_received(Kind::Abort).unwrap();
    pass(&mut proxy, &mut client, Kind::Abort);
    assert!(proxy.is_standby() && client.is_standby(), "answer and abort have crossed");
    for kind in Kind::ALL {
        assert!({ client }.on_received(kind).is_err(), "{kind:?} to a client's idle outward link");
        let may = matches!(kind, Kind::Dial | Kind::Heartbeat);
        assert_eq!({ proxy }.on_received(kind).is_ok(), may, "{kind:?} to the proxy");
    }
}

#[test]
fn early_payload_is_bounded_at_both_ends() {
    let (mut proxy, mut client) = pair();
    pass(&mut proxy, &mut client, Kind::Offer);
    proxy.on_payload_sent(EARLY_BYTES_MAX);
    assert_eq!(proxy.payload_allowance(), 0);
    client.on_payload_received(EARLY_BYTES_MAX).unwrap();
    assert!(client.on_payload_received(1).is_err());
    assert_eq!(client.payload_allowance(), 0, "the client sends nothing before it accepts");
}

#[test]
fn what_comes_out_of_turn_is_a_violation() {
    let (mut proxy, mut client) = pair();
    for kind in Kind::ALL {
        assert!(proxy.on_received(kind).is_err(), "{kind:?} to a proxy's link on standby");
        let may = matches!(kind, Kind::Offer | Kind::Heartbeat);
        assert_eq!(client.on_received(kind).is_ok(), may, "{kind:?} on standby");
        client = LinkState::standby(Role::Client);
    }
    proxy.on_sent(Kind::Offer);
    assert!(proxy.on_payload_received(1).is_err(), "payload before accept");
    proxy.on_received(Kind::Accept).unwrap();
    assert!(proxy.on_received(Kind::Refuse).is_err(), "refusal after accept");
    proxy.on_received(Kind::End).unwrap();
    assert!(proxy.on_payload_received(1).is_err(), "payload after the end");
    assert!(proxy.on_received(Kind::Abort).is_err(), "a second end");
}

#[test]
fn a_call_leaves_the_seal_one_direction_after_the_other() {
    for outward in [false, true] {
        let (mut proxy, mut client) = if outward {
            (LinkState::outward(Role::Proxy), LinkState::outward(Role::Client))
        } else {
            pair()
        };
        if outward {
            pass(&mut client, &mut proxy, Kind::Dial);
            assert!({ proxy }.on_received(Kind::MayUnseal).is_err(), "before it is connected");
            pass(&mut proxy, &mut client, Kind::Connected);
        } else {
            pass(&mut proxy, &mut client, Kind::Offer);
            assert!(!client.may_permit());
            pass(&mut client, &mut proxy, Kind::Accept);
        }
        assert!(!proxy.may_permit() && !proxy.may_unseal() && client.may_permit() && !client.may_unseal());
        assert!({ client }.on_received(Kind::Unseal).is_err(), "nobody has permitted it");
        pass(&mut client, &mut proxy, Kind::MayUnseal);
        assert!(!client.may_permit() && !client.may_unseal() && proxy.may_unseal());
        assert!({ proxy }.on_received(Kind::Unseal).is_err(), "the proxy goes first");
        pass(&mut proxy, &mut client, Kind::Unseal);
        assert!(!proxy.may_send() && proxy.is_sending() && proxy.payload_allowance() == 0);
        assert!(!client.may_receive() && client.is_receiving());
        proxy.on_payload_received(1).unwrap();
        pass(&mut client, &mut proxy, Kind::Unseal);
        for kind in Kind::ALL {
            assert!(
                { proxy }.on_received(kind).is_err() && { client }.on_received(kind).is_err(),
                "{kind:?}"
            );
        }
        proxy.on_fin_sent();
        client.on_fin_received();
        client.on_fin_sent();
        proxy.on_fin_received();
        assert!(proxy.is_spent() && client.is_spent() && !proxy.is_standby() && !client.is_standby());
    }
}

#[test]
fn what_was_permitted_and_not_done_is_forgotten_with_the_call() {
    let (mut proxy, mut client) = pair();
    pass(&mut proxy, &mut client, Kind::Offer);
    pass(&mut client, &mut proxy, Kind::Accept);
    proxy.on_sent(Kind::End);
    pass(&mut client, &mut proxy, Kind::MayUnseal);
    assert!(!proxy.may_unseal(), "its direction has ended");
    client.on_received(Kind::End).unwrap();
    pass(&mut client, &mut proxy, Kind::End);
    assert!(proxy.is_standby() && client.is_standby());
    pass(&mut proxy, &mut client, Kind::Offer);
    pass(&mut client, &mut proxy, Kind::Accept);
    assert!(!proxy.may_unseal() && client.may_permit());
    assert!(client.on_received(Kind::Unseal).is_err());
}

#[test]
fn a_direction_that_ended_under_the_seal_lets_the_other_leave_it() {
    let (mut proxy, mut client) = pair();
    pass(&mut proxy, &mut client, Kind::Offer);
    pass(&mut client, &mut proxy, Kind::Accept);
    pass(&mut client, &mut proxy, Kind::MayUnseal);
    proxy.on_sent(Kind::Unseal);
    // It crosses the proxy's word.
    pass(&mut client, &mut proxy, Kind::End);
    client.on_received(Kind::Unseal).unwrap();
    assert!(!client.may_unseal() && !client.is_standby());
    proxy.on_fin_sent();
    client.on_fin_received();
    assert!(proxy.is_spent() && client.is_spent());
}

/// Both kinds of links: the caller, the callee, and the frames by which a call begins and is answered.
fn both_ways() -> [(LinkState, LinkState, [Kind; 3]); 2] {
    let (proxy, client) = pair();
    let (dialled, dialling) = (LinkState::outward(Role::Proxy), LinkState::outward(Role::Client));
    [
        (proxy, client, [Kind::Offer, Kind::Accept, Kind::Refuse]),
        (dialling, dialled, [Kind::Dial, Kind::Connected, Kind::Failed]),
    ]
}

#[test]
fn a_heartbeat_is_answered_once() {
    for (mut caller, mut callee, _) in both_ways() {
        for _ in 0..3 {
            pass(&mut caller, &mut callee, Kind::Heartbeat);
            assert!(caller.is_unanswered() && callee.is_unanswered());
            pass(&mut callee, &mut caller, Kind::Heartbeat);
            assert!(!caller.is_unanswered() && !callee.is_unanswered());
            assert!(caller.is_standby() && callee.is_standby());
            assert!({ caller }.on_received(Kind::Heartbeat).is_err(), "nobody has asked");
        }
    }
    assert!(LinkState::claiming().on_received(Kind::Heartbeat).is_err(), "the claim is answered first");
}

#[test]
fn an_answer_to_a_heartbeat_may_cross_the_beginning_of_a_call() {
    for (mut caller, mut callee, [begins, accepts, refuses]) in both_ways() {
        caller.on_sent(Kind::Heartbeat);
        caller.on_sent(begins);
        callee.on_received(Kind::Heartbeat).unwrap();
        pass(&mut callee, &mut caller, Kind::Heartbeat);
        assert!({ caller }.on_received(Kind::Heartbeat).is_err(), "a second one");
        callee.on_received(begins).unwrap();
        assert!({ callee }.on_received(Kind::Heartbeat).is_err(), "in a call");
        pass(&mut callee, &mut caller, refuses);
        pass(&mut caller, &mut callee, Kind::Abort);
        assert!(caller.is_standby() && callee.is_standby());

        let mut given_up = caller;
        given_up.on_sent(Kind::Heartbeat);
        given_up.on_sent(begins);
        given_up.on_sent(Kind::Abort);
        given_up.on_received(Kind::Heartbeat).unwrap();
        assert!(given_up.on_received(Kind::Heartbeat).is_err(), "a second one after the call was given up");

        caller.on_sent(Kind::Heartbeat);
        caller.on_sent(begins);
        caller.on_received(accepts).unwrap();
        assert!(!caller.is_unanswered(), "whatever comes is an answer");
        assert!(caller.on_received(Kind::Heartbeat).is_err(), "and then it is too late for another");
    }
}

/// What an end may send where it stands.
fn sendable(state: &LinkState) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let inward = state.way == Way::Inward;
    if state.is_standby() && state.is_caller() {
        kinds.push(if inward { Kind::Offer } else { Kind::Dial });
    }
    if !state.is_caller() && state.send_open && state.phase == Phase::Offered {
        kinds.push(if inward { Kind::Accept } else { Kind::Connected });
    }
    if state.may_send() && state.is_accepted() {
        kinds.extend([Kind::End, Kind::Abort]);
    }
    if state.may_permit() {
        kinds.push(Kind::MayUnseal);
    }
    if state.may_unseal() {
        kinds.push(Kind::Unseal);
    }
    kinds
}

#[test]
fn payload_of_an_accepted_call_is_in_turn_for_as_long_as_its_direction_is_open() {
    let mut reached: Vec<LinkState> = [Role::Proxy, Role::Client]
        .iter()
        .flat_map(|role| [LinkState::standby(*role), LinkState::outward(*role)])
        .collect();
    let (mut at, mut accepted) = (0, 0);
    while let Some(&state) = reached.get(at) {
        at += 1;
        if state.is_accepted() && state.may_receive() {
            accepted += 1;
            assert_eq!({ state }.on_payload_received(1 << 40), Ok(()), "{state:?}");
        }
        if state.is_accepted() && state.may_send() {
            assert_eq!(state.payload_allowance(), usize::MAX, "{state:?}");
        }
        let heard = Kind::ALL.into_iter().filter_map(|kind| {
            let mut next = state;
            (kind != Kind::Data && next.on_received(kind).is_ok()).then_some(next)
        });
        let said = sendable(&state).into_iter().map(|kind| {
            let mut next = state;
            next.on_sent(kind);
            next
        });
        let next: Vec<_> = heard.chain(said).collect();
        for state in next {
            if !reached.contains(&state) {
                reached.push(state);
            }
        }
    }
    assert!(accepted > 10, "{accepted} of {at} states");
}
