//! The list of what may be called.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::guarded::is_guarded;
use crate::rule::{Asked, Rule};

/// What may be called. What no rule allows is not called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// A policy of these rules; without any, nothing may be called.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The policy of a proxy whose operator has said nothing: the two ports of OFTP2 (RFC 5024, section 7), anywhere.
    pub fn standard() -> Self {
        let rule = |text: &str| text.parse().expect("a rule of our own, which a test reads");
        Self { rules: STANDARD.iter().copied().map(rule).collect() }
    }

    /// Whether nothing may be called.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether it is worth finding out the addresses of a host: whether there are any that would be permitted. A name
    /// that may not be called is not looked up, lest the look-up tells something to somebody.
    pub fn may_ask(&self, asked: Asked<'_>, port: u16) -> bool {
        self.rules.iter().any(|rule| rule.has_port(port) && rule.may_match(asked))
    }

    /// Whether this address may be dialled for what was asked for. `is_own` tells the addresses of this host.
    ///
    /// An address that is guarded ([`crate::guarded`]) or this host's own is permitted by a rule that names it, and by no
    /// other: not by `*`, not by a name that resolves to it, not by a larger network.
    pub fn permits(&self, asked: Asked<'_>, address: SocketAddr, is_own: &dyn Fn(IpAddr) -> bool) -> bool {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        let guarded = is_guarded(ip, is_own);
        self.rules.iter().any(|rule| match guarded {
            true => rule.has_port(address.port()) && rule.names_guarded(ip),
            false => rule.matches_at(asked, address),
        })
    }

    /// Whether a host may be asked for, where its addresses are found out elsewhere: a name is permitted by a rule for the
    /// name, and not by a network.
    pub fn permits_asked(&self, asked: Asked<'_>, port: u16) -> bool {
        match asked {
            Asked::Name(_) => self.rules.iter().any(|rule| rule.has_port(port) && rule.matches_name(asked)),
            Asked::Ip(ip) => self.permits(asked, SocketAddr::new(ip, port), &|_| false),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            rule.fmt(f)?;
        }
        Ok(())
    }
}

const STANDARD: [&str; 2] = ["*:3305", "*:6619"];

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        Policy::new(rules.iter().map(|rule| rule.parse().unwrap()).collect())
    }

    fn permits(policy: &Policy, name: &str, address: &str) -> bool {
        let own: IpAddr = "192.0.2.1".parse().unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let asked = match name {
            "" => Asked::Ip(address.ip()),
            name => Asked::Name(name),
        };
        policy.may_ask(asked, address.port()) && policy.permits(asked, address, &|ip| ip == own)
    }

    #[test]
    fn the_standard_is_the_two_ports_of_oftp_and_not_this_host() {
        let standard = Policy::standard();
        assert_eq!(standard.to_string(), "*:3305, *:6619");
        for address in ["203.0.113.9:6619", "10.1.2.3:3305", "[2001:db8::1]:6619", "[fd00::1]:3305"] {
            assert!(permits(&standard, "", address) && permits(&standard, "a.example", address), "{address}");
        }
        for address in [
            "203.0.113.9:22",
            "127.0.0.1:6619",
            "[::1]:6619",
            "[::ffff:127.0.0.1]:6619",
            "0.0.0.0:6619",
            "169.254.169.254:6619",
            "224.0.0.1:3305",
            "192.0.2.1:6619",
            "[64:ff9b::192.0.2.1]:6619",
            "[2002:7f00:1::]:3305",
        ] {
            assert!(
                !permits(&standard, "", address) && !permits(&standard, "a.example", address),
                "{address}"
            );
        }
    }

    #[test]
    fn a_guarded_address_is_opened_by_its_own_name_alone() {
        for (rule, address, opens) in [
            ("127.0.0.1:3305", "127.0.0.1:3305", true),
            ("127.0.0.1:3305", "127.0.0.1:3306", false),
            ("127.0.0.0/8:*", "127.9.9.9:22", true),
            ("localhost:3305", "127.0.0.1:3305", true),
            ("localhost:3305", "[::1]:3305", true),
            ("localhost:3305", "[::1]:22", false),
            ("0.0.0.0/0:*", "127.0.0.1:3305", false),
            ("[::/0]:*", "[::1]:3305", false),
            ("192.0.2.0/24:*", "192.0.2.1:3305", false),
            ("192.0.2.0/24:*", "192.0.2.2:3305", true),
            ("192.0.2.1:*", "192.0.2.1:3305", true),
            ("[fe80::/10]:*", "[fe80::1]:3305", true),
            ("[64:ff9b::/96]:*", "[64:ff9b::127.0.0.1]:3305", false),
            ("[64:ff9b::127.0.0.1]:*", "[64:ff9b::127.0.0.1]:3305", true),
            ("127.0.0.1:*", "[::ffff:127.0.0.1]:1", true),
        ] {
            let policy = policy(&[rule]);
            assert_eq!(permits(&policy, "", address), opens, "{rule} and {address}");
            assert_eq!(
                permits(&policy, "rebound.example", address),
                opens,
                "{rule} and a name for {address}"
            );
        }
    }

    #[test]
    fn names_are_compared_as_names() {
        let policy = policy(&["Partner.example.com:6619", "*.supplier.example:3305-3310"]);
        let outside = "203.0.113.9:6619";
        for name in ["partner.example.com", "PARTNER.EXAMPLE.COM", "partner.example.com."] {
            assert!(permits(&policy, name, outside), "{name}");
        }
        for name in ["example.com", "xpartner.example.com", "partner.example.com.evil.example", ""] {
            assert!(!permits(&policy, name, outside), "{name}");
        }
        assert!(permits(&policy, "a.supplier.example", "203.0.113.9:3307"));
        assert!(permits(&policy, "a.b.supplier.example", "203.0.113.9:3305"));
        assert!(!permits(&policy, "supplier.example", "203.0.113.9:3305"));
        assert!(!permits(&policy, "evilsupplier.example", "203.0.113.9:3305"));
        assert!(!permits(&policy, "a.supplier.example", "203.0.113.9:3311"));
        assert!(!permits(&policy, "partner.example.com", "127.0.0.1:6619"), "rebinding");
    }

    #[test]
    fn a_name_that_may_not_be_called_is_not_asked_for() {
        let names = policy(&["partner.example.com:6619"]);
        assert!(names.may_ask(Asked::Name("partner.example.com"), 6619));
        assert!(!names.may_ask(Asked::Name("secret.attacker.example"), 6619));
        assert!(!names.may_ask(Asked::Name("partner.example.com"), 22));
        let nets = policy(&["203.0.113.0/24:6619"]);
        assert!(nets.may_ask(Asked::Name("any.example"), 6619), "its address may be in the network");
        assert!(!nets.permits_asked(Asked::Name("any.example"), 6619), "nobody looks it up here");
        assert!(nets.permits_asked(Asked::Ip("203.0.113.1".parse().unwrap()), 6619));
        assert!(!Policy::new(Vec::new()).may_ask(Asked::Name("any.example"), 6619));
    }
}
