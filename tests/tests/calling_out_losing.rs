//! Calls of stations, when links and proxies are lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use testkit::{
    Ending, Mute, Peer, Plan, ProxySetup, Station, http_connect, socks5_request, socks5_to, wait_until,
};

#[test]
fn a_dead_outward_link_is_replaced_and_the_station_does_not_notice() {
    let plan = Plan::new().calling_here().with_tunnel();
    let partner = Station::greeting(&plan.site, b"ready");
    let chain = plan.start();
    let to = partner.address();
    assert_eq!(socks5_to(chain.outgoing(), to).0, 0);
    // All but the control link, by a reset and then in silence.
    chain.tunnel().cut(|number| number > 0);
    let (code, mut station) = socks5_to(chain.outgoing(), to);
    assert_eq!((code, station.receive(5)), (0, b"ready".to_vec()));
    drop(station);
    chain.tunnel().freeze(|number| number > 0);
    let (code, mut station) = socks5_to(chain.outgoing(), to);
    assert_eq!((code, station.receive(5)), (0, b"ready".to_vec()));
}

#[test]
fn outward_links_that_went_silent_are_replaced_before_a_call_meets_them() {
    let plan = Plan::new().calling_here().step_s(2).with_tunnel().debugging();
    let partner = Station::greeting(&plan.site, b"ready");
    let chain = plan.start();
    let (stands, ends) =
        ([("message", "link stands"), ("outward", "true")], [("message", "outward link ends")]);
    chain.proxy.wait(&stands);
    chain.tunnel().freeze(|number| number > 0);
    let end = chain.client.wait(&ends);
    assert!(end.field("reason").contains("timed out"), "{end:?}");
    wait_until("another outward link stands", || chain.proxy.all(&stands).len() == 2);
    let (code, mut station) = socks5_to(chain.outgoing(), partner.address());
    assert_eq!((code, station.receive(5)), (0, b"ready".to_vec()));
    let was_dead = [("message", "an outward link was dead; the next is tried")];
    assert!(chain.client.all(&was_dead).is_empty(), "the call has met no dead link");
    assert_eq!(chain.client.all(&ends).len(), 1);
}

#[test]
fn a_link_that_breaks_in_a_call_resets_both_ends() {
    let plan = Plan::new().calling_here().with_tunnel();
    let partner = Station::open(&plan.site);
    let chain = plan.start();
    let to = partner.address();
    let (_, mut station) = socks5_to(chain.outgoing(), to);
    let mut far = partner.accept();
    chain.tunnel().cut(|number| number > 0);
    assert_eq!((station.ending(), far.ending()), (Ending::Reset, Ending::Reset));
    for daemon in [&chain.proxy, &chain.client] {
        daemon.wait(&[("event", "call"), ("result", "aborted"), ("ended_by", "tunnel")]);
    }
}

#[test]
fn a_running_call_outlives_its_control_link() {
    let plan = Plan::new().calling_here().with_tunnel();
    let partner = Station::open(&plan.site);
    let chain = plan.start();
    let to = partner.address();
    let (_, mut station) = socks5_to(chain.outgoing(), to);
    let mut far = partner.accept();
    let mark = chain.client.mark();
    chain.tunnel().cut(|number| number == 0);
    chain.client.wait_after(mark, &[("event", "attached")]);
    station.send(b"before and after");
    assert_eq!(far.receive(16), b"before and after");
    far.send(b"and back");
    assert_eq!(station.receive(8), b"and back");
}

#[test]
fn the_other_proxy_is_asked_when_one_is_gone() {
    let mut plan = Plan::new().calling_here();
    let partner = Station::greeting(&plan.site, b"ready");
    let mut second = ProxySetup::new(&plan.site, "second");
    second.outgoing.clone_from(&plan.proxy.outgoing);
    second.trust(&[&plan.client.public_key()]);
    plan.client.trust(&[&plan.proxy.public_key(), &second.public_key()]);
    plan.client.proxies.push(second.internal);
    let other = second.start();
    let mut chain = plan.start();
    let both = [chain.plan.proxy.internal, second.internal];
    for proxy in both {
        chain.client.wait(&[("event", "attached"), ("proxy", &proxy.to_string())]);
    }
    let to = partner.address();
    let ask = |chain: &testkit::Chain| {
        let (code, mut station) = socks5_to(chain.outgoing(), to);
        assert_eq!((code, station.receive(5)), (0, b"ready".to_vec()));
        station.finish();
        assert_eq!(station.ending(), Ending::Fin);
    };
    (0..4).for_each(|_| ask(&chain));
    for daemon in [&chain.proxy, &other] {
        daemon.wait(&[("event", "call"), ("direction", "out"), ("result", "ok")]);
    }
    chain.proxy.kill();
    (0..4).for_each(|_| ask(&chain));
}

#[test]
fn a_partner_that_does_not_answer_times_out_with_the_right_code() {
    let plan = Plan::new().calling_here().step_s(1);
    let mute = Mute::new(&plan.site);
    let chain = plan.start();
    let to = mute.address();
    let (code, _) = socks5_to(chain.outgoing(), to);
    assert_eq!(code, 6);
    let line = chain.proxy.wait(&[("event", "call"), ("direction", "out"), ("result", "timeout")]);
    assert_eq!(line.field("partner"), to.to_string(), "{line:?}");
    assert_eq!(http_connect(chain.outgoing(), &to.to_string()).0, 504);
}

#[test]
fn a_station_that_leaves_while_its_partner_is_dialled_ends_the_dialling() {
    let plan = Plan::new().calling_here();
    let mute = Mute::new(&plan.site);
    let chain = plan.start();
    let to = mute.address();
    let mut station = Peer::call(chain.outgoing());
    station.send(&[&[5, 1, 0], &socks5_request(&to.ip().to_string(), to.port())[..]].concat());
    assert_eq!(station.receive(2), [5, 0]);
    wait_until("the proxy dials", || mute.callers() > 1);
    station.reset();
    let line = chain.proxy.wait(&[("event", "call"), ("direction", "out"), ("result", "aborted")]);
    assert_eq!(line.field("ended_by"), "target", "{line:?}");
    chain.client.wait(&[("event", "call"), ("call", &line.field("call")), ("ended_by", "target")]);
}
