//! Addresses that no general rule opens: whoever dials them talks to this very host or its nearest surroundings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The blocks, by the registries of special-purpose addresses (RFC 6890).
pub const BLOCKS: &[IpNet] = &[
    // "This network" (RFC 791, section 3.2); Linux takes 0.0.0.0 for loopback.
    v4([0, 0, 0, 0], 8),
    // Loopback (RFC 1122, section 3.2.1.3).
    v4([127, 0, 0, 0], 8),
    // Link-local (RFC 3927), where clouds keep their metadata services.
    v4([169, 254, 0, 0], 16),
    // Multicast (RFC 5771), and what is reserved beyond it, the broadcast address included (RFC 1112, section 4).
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    // Unspecified and loopback (RFC 4291, sections 2.5.2 and 2.5.3).
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    // Link-local (RFC 4291, section 2.5.6) and multicast (section 2.7).
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

/// The block of an address that is guarded by its own value.
pub fn block_of(ip: IpAddr) -> Option<&'static IpNet> {
    BLOCKS.iter().find(|block| block.contains(&ip))
}

/// Whether dialling `ip` reaches a guarded address, or one of this host's own, directly or in one of the forms in which
/// an IPv6 address stands for an IPv4 address.
pub fn is_guarded(ip: IpAddr, is_own: &dyn Fn(IpAddr) -> bool) -> bool {
    let is_closed = |ip: IpAddr| block_of(ip).is_some() || is_own(ip);
    is_closed(ip) || embedded(ip).any(|v4| is_closed(IpAddr::V4(v4)))
}

/// The IPv4 addresses that an IPv6 address stands for, by every mapping that has a prefix of its own. IPv4-mapped ones
/// (::ffff:0:0/96) are IPv4 to the kernel and to [`IpAddr::to_canonical`], and are also told here.
pub fn embedded(ip: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let found: [Option<Ipv4Addr>; 2] = match ip {
        IpAddr::V4(_) => [None, None],
        IpAddr::V6(ip) => embedded_in(ip),
    };
    found.into_iter().flatten()
}

fn embedded_in(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let last = last_32(ip);
    match ip.segments() {
        // IPv4-compatible (RFC 4291, section 2.5.5.1), IPv4-mapped (section 2.5.5.2), IPv4-translated (RFC 7915).
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => {
            [Some(last), None]
        }
        // NAT64: the well-known prefix (RFC 6052, section 2.1).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => [Some(last), None],
        // NAT64 of local use (RFC 8215), with a prefix of 96 bits or with one of 48 (RFC 6052, section 2.2).
        [0x64, 0xff9b, 1, high, middle, low, ..] => {
            let [b0, b1] = high.to_be_bytes();
            [Some(last), Some(Ipv4Addr::new(b0, b1, middle.to_be_bytes()[1], low.to_be_bytes()[0]))]
        }
        // 6to4 (RFC 3056, section 2).
        [0x2002, high, low, ..] => [Some(pair(high, low)), None],
        // Teredo (RFC 4380, section 4): the server, and the client with its bits turned over.
        [0x2001, 0, high, low, ..] => [Some(pair(high, low)), Some(Ipv4Addr::from(!u32::from(last)))],
        // ISATAP (RFC 5214, section 6.1).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => [Some(last), None],
        _ => [None, None],
    }
}

fn last_32(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., high, low] = ip.segments();
    pair(high, low)
}

fn pair(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_ipv4_address_is_seen_through() {
        for text in [
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::127.0.0.1",
            "64:ff9b:1:7f00:0:100::",
            "2002:7f00:1::1",
            "2001:0:7f00:1::",
            "2001:0:c000:201::80ff:fffe",
            "fd00::5efe:127.0.0.1",
            "2001:db8::200:5efe:127.0.0.1",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert!(embedded(ip).any(|v4| v4 == Ipv4Addr::LOCALHOST), "{text}");
            assert!(is_guarded(ip, &|_| false), "{text}");
        }
        for text in
            ["2001:db8::1", "64:ff9b::192.0.2.1", "192.0.2.1", "10.1.2.3", "fd00::1", "2002:c000:201::1"]
        {
            assert!(!is_guarded(text.parse().unwrap(), &|_| false), "{text}");
        }
    }

    #[test]
    fn the_own_addresses_are_guarded_in_every_form() {
        let own: IpAddr = "192.0.2.1".parse().unwrap();
        for text in ["192.0.2.1", "64:ff9b::192.0.2.1", "2002:c000:201::1"] {
            assert!(is_guarded(text.parse().unwrap(), &|ip| ip == own), "{text}");
        }
    }
}
