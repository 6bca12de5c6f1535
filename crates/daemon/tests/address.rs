//! How addresses are written and read back.

use std::net::{IpAddr, Ipv6Addr};

use daemon::address::{AddressFault, Host, HostPort, ListenAddress, ListenerName, Named};
use proptest::prelude::*;

fn listen(text: &str) -> Result<String, AddressFault> {
    text.parse::<ListenAddress>().map(|address| address.to_string()).map_err(|error| error.fault)
}

fn target(text: &str) -> Result<String, AddressFault> {
    text.parse::<HostPort>().map(|address| address.to_string()).map_err(|error| error.fault)
}

#[test]
fn listening_addresses() {
    assert_eq!(listen(":6619").as_deref(), Ok(":6619"));
    assert_eq!(listen("6619").as_deref(), Ok(":6619"));
    assert_eq!(listen("*:6619").as_deref(), Ok(":6619"));
    assert_eq!(listen("0.0.0.0:6619").as_deref(), Ok("0.0.0.0:6619"));
    assert_eq!(listen("[::1]:6619").as_deref(), Ok("[::1]:6619"));
    assert_eq!(listen("localhost:6619").as_deref(), Ok("127.0.0.1:6619"));
    assert_eq!(listen("127.0.0.1:0").as_deref(), Ok("127.0.0.1:0"));
    assert_eq!(listen("::1:6619"), Err(AddressFault::NoBrackets));
    assert_eq!(listen("example.com:6619"), Err(AddressFault::NotADevice));
    assert_eq!(listen("127.0.0.1"), Err(AddressFault::NoPort));
    for bad in ["65536", ":65536", ":+80", ":", ": 80", "1.2.3.4:"] {
        assert_eq!(listen(bad), Err(AddressFault::BadPort), "{bad}");
    }
}

#[test]
fn a_bare_port_is_loopback_where_that_is_the_default() {
    let parse = |text| ListenAddress::parse_loopback_default(text).map(|address| address.to_string());
    assert_eq!(parse("65433").as_deref(), Ok("127.0.0.1:65433"));
    assert_eq!(parse(":65433").as_deref(), Ok(":65433"));
    assert_eq!(parse("[::]:65433").as_deref(), Ok("[::]:65433"));
    assert!(parse("65536").is_err());
}

#[test]
fn any_device_is_shown_as_operators_know_it() {
    assert_eq!(ListenAddress::any(65432).shown().to_string(), "0.0.0.0:65432");
}

#[test]
fn hosts_and_ports() {
    assert_eq!(target("dmz1.example.com:65432").as_deref(), Ok("dmz1.example.com:65432"));
    assert_eq!(target("[::1]:1").as_deref(), Ok("[::1]:1"));
    assert_eq!(target("station_2:3305").as_deref(), Ok("station_2:3305"));
    assert_eq!(target("host"), Err(AddressFault::NoPort));
    assert_eq!(target("host:0"), Err(AddressFault::BadPort));
    assert_eq!(target("::1:80"), Err(AddressFault::NoBrackets));
    for bad in
        ["a b:1", "-a:1", "a..b:1", ":1", "1.2.3:1", "1.2.3.4.5:1", "[1.2.3.4]:1", "a\n:1", "[::1%1]:1"]
    {
        assert_eq!(target(bad), Err(AddressFault::NotAHost), "{bad}");
    }
}

#[test]
fn a_default_port_is_added_where_none_is_given() {
    let parse = |text| HostPort::parse_with_default_port(text, 65432).map(|address| address.to_string());
    assert_eq!(parse("dmz1").as_deref(), Ok("dmz1:65432"));
    assert_eq!(parse("dmz1:1").as_deref(), Ok("dmz1:1"));
    assert_eq!(parse("::1").as_deref(), Ok("[::1]:65432"));
    assert_eq!(parse("[::1]").as_deref(), Ok("[::1]:65432"));
    assert_eq!(parse("[::1]:7").as_deref(), Ok("[::1]:7"));
    assert!(parse("dmz1:").is_err() && parse("").is_err());
}

#[test]
fn a_target_without_a_host_is_this_one() {
    let parse = |text| HostPort::parse_with_local_default(text).map(|address| address.to_string());
    assert_eq!(parse(":6619").as_deref(), Ok("localhost:6619"));
    assert_eq!(parse("6619").as_deref(), Ok("localhost:6619"));
    assert_eq!(parse("10.0.0.7:6619").as_deref(), Ok("10.0.0.7:6619"));
    assert_eq!(parse("99999").unwrap_err().to_string().split(' ').next(), Some("\"99999\""));
}

#[test]
fn names_in_front() {
    let named: Named<ListenAddress> = "plain-1=:3305".parse().unwrap();
    assert_eq!((named.name.as_str(), named.value), ("plain-1", ListenAddress::any(3305)));
    let unnamed: Named<ListenAddress> = ":6619".parse().unwrap();
    assert_eq!(unnamed.name, ListenerName::default());
    for bad in ["=:1", "a b=:1", "a.b=:1", &format!("{}=:1", "n".repeat(33))] {
        let error = bad.parse::<Named<ListenAddress>>().unwrap_err();
        assert_eq!(error.fault, AddressFault::BadName, "{bad}");
    }
}

proptest! {
    #[test]
    fn listening_addresses_round_trip(ip in any::<Option<IpAddr>>(), port: u16) {
        let address = ListenAddress { ip, port };
        prop_assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn targets_round_trip(name in "[a-z][a-z0-9_]{0,20}(\\.[a-z][a-z0-9]{0,9}){0,3}", ip: u128, port in 1_u16..) {
        for host in [Host::Name(name), Host::Ip(IpAddr::V6(Ipv6Addr::from(ip)))] {
            let address = HostPort { host, port };
            prop_assert_eq!(address.to_string().parse(), Ok(address.clone()));
            prop_assert_eq!(HostPort::parse_with_default_port(&address.to_string(), 9), Ok(address));
        }
    }

    #[test]
    fn names_round_trip(name in "[A-Za-z0-9_-]{1,32}", port: u16) {
        let named = Named { name: name.parse().unwrap(), value: ListenAddress::any(port) };
        prop_assert_eq!(named.to_string().parse(), Ok(named));
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = text.parse::<Named<ListenAddress>>();
        let _ = text.parse::<Named<HostPort>>();
        let _ = HostPort::parse_with_default_port(&text, 1);
        let _ = ListenAddress::parse_loopback_default(&text);
    }
}
