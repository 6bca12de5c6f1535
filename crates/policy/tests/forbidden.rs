//! No policy that names no forbidden address opens a way to one, whatever is asked for and however it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use policy::{Asked, Policy, Rule};
use proptest::prelude::*;

/// Rules that name no guarded address: any host, names, and networks that hold others as well.
fn general_rules() -> impl Strategy<Value = Vec<Rule>> {
    let host = prop_oneof![
        Just(String::from("*")),
        "[a-z]{1,8}\\.example".prop_map(|name| name),
        Just(String::from("*.example")),
        (0_u8..=7).prop_map(|length| {
            let first = u32::from(Ipv4Addr::new(126, 0, 0, 0))
                & (!0_u32).checked_shl(32 - u32::from(length)).unwrap_or(0);
            format!("{}/{length}", Ipv4Addr::from(first))
        }),
        Just(String::from("[::/0]")),
        Just(String::from("[64:ff9b::/96]")),
        Just(String::from("[2002::/16]")),
        Just(String::from("[2001::/32]")),
        Just(String::from("192.0.2.0/24")),
        Just(String::from("169.0.0.0/8")),
        Just(String::from("[fe00::/9]")),
    ];
    let rule = (host, prop_oneof![Just("*"), Just("6619"), Just("3305-6619")])
        .prop_map(|(host, ports)| format!("{host}:{ports}").parse().expect("a rule"));
    prop::collection::vec(rule, 0..6)
}

/// The host on which the policy is in force has these.
const OWN: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

fn forbidden_v4() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(127, b, c, d)),
        any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(0, b, c, d)),
        any::<[u8; 2]>().prop_map(|[c, d]| Ipv4Addr::new(169, 254, c, d)),
        (224_u8..=255, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d)),
        Just(Ipv4Addr::new(192, 0, 2, 1)),
    ]
}

/// A forbidden address in one of the forms in which it can be dialled.
fn forbidden() -> impl Strategy<Value = IpAddr> {
    let in_v6 = (forbidden_v4(), any::<u64>(), 0_u8..8).prop_map(|(v4, rest, form)| {
        let [a, b, c, d] = v4.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let [r0, r1, r2, r3] = [rest, rest >> 16, rest >> 32, rest >> 48].map(|part| part as u16);
        IpAddr::V6(match form {
            0 => Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            1 => Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            2 => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            3 => Ipv6Addr::new(0x64, 0xff9b, 1, r0, r1, r2, high, low),
            4 => Ipv6Addr::new(0x2002, high, low, r0, r1, r2, r3, r0),
            5 => Ipv6Addr::new(0x2001, 0, r0, r1, r2, r3, !high, !low),
            6 => Ipv6Addr::new(0x64, 0xff9b, 1, high, u16::from(c), u16::from(d) << 8, r0, r1),
            _ => Ipv6Addr::new(r0, r1, r2, r3, 0, 0x5efe, high, low),
        })
    });
    prop_oneof![
        forbidden_v4().prop_map(IpAddr::V4),
        in_v6,
        Just(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        Just(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        any::<u64>().prop_map(|rest| IpAddr::V6(Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(rest)))),
        any::<u128>().prop_map(|rest| IpAddr::V6(Ipv6Addr::from(rest | (0xff_u128 << 120)))),
        Just(OWN[1]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_way_leads_to_a_forbidden_address(
        rules in general_rules(),
        ip in forbidden(),
        port in prop_oneof![Just(22_u16), Just(3_305), Just(6_619), any::<u16>()],
        name in prop_oneof![Just("localhost"), Just("a.example"), Just("127.0.0.1."), Just("2130706433")],
    ) {
        let policy = Policy::new(rules);
        let address = SocketAddr::new(ip, port);
        let is_own = |ip: IpAddr| OWN.contains(&ip);
        prop_assert!(!policy.permits(Asked::Name(name), address, &is_own), "{name} as {address} by {policy}");
        prop_assert!(!policy.permits(Asked::Ip(ip), address, &is_own), "{address} by {policy}");
    }

    /// A rule that names one forbidden address opens that one, and no other.
    #[test]
    fn a_named_address_opens_itself_alone(named in forbidden_v4(), other in forbidden(), port in 1_u16..) {
        let policy = Policy::new(vec![format!("{named}:{port}").parse().expect("a rule")]);
        let is_own = |ip: IpAddr| OWN.contains(&ip);
        let named = IpAddr::V4(named);
        let opens = |ip: IpAddr| policy.permits(Asked::Name("a.example"), SocketAddr::new(ip, port), &is_own);
        prop_assert!(opens(named));
        prop_assert_eq!(opens(other), other.to_canonical() == named);
    }

    /// What was not permitted to be asked for is not permitted to be dialled either.
    #[test]
    fn asking_forbids_nothing_that_dialling_would_permit(
        rules in general_rules(),
        octets in any::<[u8; 4]>(),
        port in 1_u16..,
        name in prop_oneof![Just("a.example"), Just("b.other")],
    ) {
        let policy = Policy::new(rules);
        let address = SocketAddr::new(IpAddr::V4(octets.into()), port);
        for asked in [Asked::Name(name), Asked::Ip(address.ip())] {
            let permitted = policy.permits(asked, address, &|ip| OWN.contains(&ip));
            prop_assert!(!permitted || policy.may_ask(asked, port));
        }
    }
}
