//! A configuration that is read again while the daemons run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use testkit::{Chain, Daemon, Ending, Listener, Peer, Plan, Program, Room, Signal, Station, wait_until};

fn greeting_of(address: SocketAddr) -> u8 {
    Peer::call(address).receive(1)[0]
}

/// A call that is held open over what the test does.
fn held_call(chain: &Chain) -> Peer {
    let mut partner = chain.call();
    partner.receive(1);
    partner
}

fn ends_well(mut partner: Peer) {
    partner.finish();
    assert_eq!(partner.ending(), Ending::Fin, "running calls survive a reload");
}

#[test]
fn targets_change_without_a_restart() {
    let (plan, _first) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    let mut chain = plan.start();
    let second = Station::greeting(&chain.plan.site, b"2");
    let held = held_call(&chain);
    chain.plan.client.aim(second.address());
    chain.plan.client.reload(&chain.client);
    assert_eq!(greeting_of(chain.external()), b'2');
    // A target for a listener that had none.
    chain.plan.client.targets[0].0 = String::from("elsewhere");
    chain.plan.client.reload(&chain.client);
    wait_until("calls are refused", || chain.call().ending() == Ending::Reset);
    chain.plan.client.aim(second.address());
    chain.plan.client.reload(&chain.client);
    assert_eq!(greeting_of(chain.external()), b'2');
    ends_well(held);
}

#[test]
fn listeners_change_without_a_restart() {
    let (mut plan, _first) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    let second = Station::greeting(&plan.site, b"2");
    // The client is ready for it before the proxy is.
    plan.client.targets.push((String::from("second"), second.address()));
    let mut chain = plan.start();
    let held = held_call(&chain);
    let address = chain.plan.site.free_port();
    chain.plan.proxy.listeners.push(Listener { name: String::from("second"), address, tls: false });
    let mark = chain.proxy.mark();
    chain.plan.proxy.reload(&chain.proxy);
    chain.wait_listening(mark, address);
    assert_eq!((greeting_of(chain.external()), greeting_of(address)), (b'1', b'2'));
    chain.plan.proxy.listeners.pop();
    let mark = chain.proxy.mark();
    chain.plan.proxy.reload(&chain.proxy);
    chain.proxy.wait_after(mark, &[("event", "closed"), ("listener", "second")]);
    assert!(Peer::connect(address).is_err());
    assert_eq!(greeting_of(chain.external()), b'1');
    let untouched = chain.proxy.all(&[("event", "closed"), ("listener", "default")]).is_empty();
    assert!(untouched, "a listener that stays is not closed for a moment");
    ends_well(held);
}

#[test]
fn a_listener_may_take_over_the_port_of_another() {
    let (mut plan, _first) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    let second = Station::greeting(&plan.site, b"2");
    plan.client.targets.push((String::from("second"), second.address()));
    let mut chain = plan.start();
    for (name, greeting) in [("second", b'2'), ("default", b'1')].repeat(5) {
        chain.plan.proxy.listeners[0].name = String::from(name);
        let mark = chain.proxy.mark();
        chain.plan.proxy.reload(&chain.proxy);
        chain.proxy.wait_after(mark, &[("event", "listening"), ("listener", name)]);
        assert_eq!(greeting_of(chain.external()), greeting);
    }
    assert!(chain.proxy.all(&[("level", "error")]).is_empty(), "the port is free when it is opened again");
}

#[test]
fn a_reload_that_changes_nothing_closes_nothing() {
    let (plan, _station) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    let chain = plan.start();
    let held = held_call(&chain);
    for _ in 0..5 {
        chain.plan.proxy.reload(&chain.proxy);
        chain.plan.client.reload(&chain.client);
        assert_eq!(greeting_of(chain.external()), b'1');
    }
    for (daemon, event) in [(&chain.proxy, "closed"), (&chain.proxy, "lost"), (&chain.client, "lost")] {
        assert!(daemon.all(&[("event", event)]).is_empty(), "{event}");
    }
    ends_well(held);
}

#[test]
fn what_is_wrong_is_reported_and_the_old_stays_in_force() {
    let (plan, _station) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    let chain = plan.start();
    let held = held_call(&chain);
    let files = [chain.plan.proxy.path("toml"), chain.plan.client.path("toml")];
    for (daemon, file) in [&chain.proxy, &chain.client].into_iter().zip(files) {
        for wrong in ["\n\ntiemout = 3\n", "timeout = \"soon\"\n", "timeout = 0\n", "this is no TOML"] {
            std::fs::write(&file, wrong).unwrap();
            let mark = daemon.mark();
            daemon.signal(Signal::HUP);
            let line = daemon.wait_saying(mark, "not reloaded, what was in force stays so");
            assert_eq!(line.field("level"), "error");
            check_reason(wrong, &line.raw, &file.display().to_string());
        }
        std::fs::remove_file(&file).unwrap();
        let mark = daemon.mark();
        daemon.signal(Signal::HUP);
        daemon.wait_saying(mark, "cannot read the configuration file");
        assert_eq!(greeting_of(chain.external()), b'1');
    }
    ends_well(held);
}

fn check_reason(wrong: &str, said: &str, file: &str) {
    if wrong.contains("tiemout") {
        assert!(said.contains(&format!("{file}:3: ")) && said.contains("tiemout"), "{said}");
    } else if wrong.contains("soon") {
        assert!(said.contains(&format!("{file}:1: ")) && said.contains("timeout"), "{said}");
    }
}

#[test]
fn a_proxy_that_is_taken_off_the_list_is_left_and_comes_back() {
    let (plan, _station) = Plan::to(|site| Station::greeting(site, b"1"), Station::address);
    let mut chain = plan.start();
    let held = held_call(&chain);
    let proxies = std::mem::take(&mut chain.plan.client.proxies);
    chain.plan.client.proxies = vec![chain.plan.site.free_port()];
    chain.plan.client.reload(&chain.client);
    let lost = chain.proxy.wait(&[("event", "lost")]);
    assert!(!lost.field("reason").contains("broken"), "{}", lost.raw);
    let mark = chain.proxy.mark();
    chain.plan.client.proxies = proxies;
    chain.plan.client.reload(&chain.client);
    chain.proxy.wait_after(mark, &[("event", "attached")]);
    chain.wait_open(mark);
    assert_eq!(greeting_of(chain.external()), b'1');
    ends_well(held);
}

#[test]
fn the_log_file_is_opened_again_by_its_name() {
    let plan = Plan::new();
    plan.proxy.write();
    let path = plan.site.path("proxy.log");
    let config = plan.proxy.path("toml");
    let arguments =
        ["-f".as_ref(), "-c".as_ref(), config.as_os_str(), "--log-file".as_ref(), path.as_os_str()];
    let daemon = Daemon::start("proxy", Program::Proxy, arguments, &Room::default());
    let says = |words: &str| std::fs::read_to_string(&path).is_ok_and(|text| text.contains(words));
    wait_until("it serves", || says("event=\"ready\""));
    std::fs::rename(&path, plan.site.path("proxy.log.1")).unwrap();
    daemon.signal(Signal::HUP);
    wait_until("the new file is written to", || says("event=\"reloaded\""));
    assert!(!says("event=\"ready\""));
}
