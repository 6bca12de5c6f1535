//! One rule, as an operator writes it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::guarded;

/// `HOST:PORTS`. HOST is `*`, a name, `*.` and a domain, an address, a network in CIDR notation (RFC 4632), or
/// `localhost` for loopback; IPv6 stands in brackets. PORTS is a port, a range `3305-3310`, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rule {
    hosts: Hosts,
    first_port: u16,
    last_port: u16,
}

/// What a station asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// A name, which has addresses.
    Name(&'a str),
    /// An address.
    Ip(IpAddr),
}

/// Which hosts a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Any,
    /// A name, in lower case.
    Name(String),
    /// Every name below a domain, in lower case with the dot in front.
    Below(String),
    Net(IpNet),
    Loopback,
}

impl Rule {
    /// Whether the rule is about a port.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        (self.first_port..=self.last_port).contains(&port)
    }

    /// Whether the rule may turn out to be about a host, once its addresses are known.
    pub(crate) fn may_match(&self, asked: Asked<'_>) -> bool {
        match (&self.hosts, asked) {
            (Hosts::Any | Hosts::Net(_) | Hosts::Loopback, Asked::Name(_)) => true,
            (Hosts::Name(_) | Hosts::Below(_), Asked::Name(_)) => self.matches_name(asked),
            (_, Asked::Ip(ip)) => self.matches(asked, ip.to_canonical()),
        }
    }

    /// Whether the rule is about a host by its name, whatever that resolves to.
    pub(crate) fn matches_name(&self, asked: Asked<'_>) -> bool {
        let Asked::Name(name) = asked else { return false };
        let name = canonical_name(name);
        match &self.hosts {
            Hosts::Any => true,
            Hosts::Name(own) => *own == name,
            Hosts::Below(domain) => name.len() > domain.len() && name.ends_with(domain.as_str()),
            Hosts::Net(_) => false,
            Hosts::Loopback => name == "localhost",
        }
    }

    /// Whether the rule is about a host that was asked for and has this address.
    fn matches(&self, asked: Asked<'_>, ip: IpAddr) -> bool {
        match &self.hosts {
            Hosts::Any => true,
            Hosts::Name(_) | Hosts::Below(_) => self.matches_name(asked),
            Hosts::Net(net) => net.contains(&ip),
            Hosts::Loopback => ip.is_loopback(),
        }
    }

    /// As [`Rule::matches`], with the port.
    pub(crate) fn matches_at(&self, asked: Asked<'_>, address: SocketAddr) -> bool {
        self.has_port(address.port()) && self.matches(asked, address.ip())
    }

    /// Whether the rule names a guarded address itself: by the address, or by a network that has nothing but guarded
    /// addresses of the same kind.
    pub(crate) fn names_guarded(&self, ip: IpAddr) -> bool {
        match &self.hosts {
            Hosts::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr() == ip,
            Hosts::Net(net) => {
                net.contains(&ip) && guarded::block_of(ip).is_some_and(|block| block.contains(net))
            }
            Hosts::Loopback => ip.is_loopback(),
            Hosts::Any | Hosts::Name(_) | Hosts::Below(_) => false,
        }
    }
}

/// Without the dot of the root, in lower case (RFC 4343).
fn canonical_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// A text that is no rule, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub(crate) text: String,
    pub(crate) why: &'static str,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.text, self.why)
    }
}

impl std::error::Error for RuleError {}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |why| RuleError { text: text.to_owned(), why };
        let (host, ports) = text.rsplit_once(':').ok_or_else(|| error(NO_PORT))?;
        let (first_port, last_port) = read_ports(ports).ok_or_else(|| error(BAD_PORT))?;
        let hosts = read_hosts(host).map_err(error)?;
        Ok(Self { hosts, first_port, last_port })
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Below(domain) => write!(f, "*{domain}")?,
            Hosts::Loopback => f.write_str("localhost")?,
            Hosts::Net(net) => {
                let is_host = net.prefix_len() == net.max_prefix_len();
                let net = if is_host { net.addr().to_string() } else { net.to_string() };
                if net.contains(':') { write!(f, "[{net}]")? } else { f.write_str(&net)? }
            }
        }
        match (self.first_port, self.last_port) {
            (1, u16::MAX) => f.write_str(":*"),
            (first, last) if first == last => write!(f, ":{first}"),
            (first, last) => write!(f, ":{first}-{last}"),
        }
    }
}

fn read_ports(text: &str) -> Option<(u16, u16)> {
    if text == "*" {
        return Some((1, u16::MAX));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (first, last): (u16, u16) = (number(first)?, number(last)?);
    (1..=last).contains(&first).then_some((first, last))
}

fn read_hosts(text: &str) -> Result<Hosts, &'static str> {
    if text == "*" {
        return Ok(Hosts::Any);
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_none() && text.contains(':') {
        return Err("an IPv6 address or network stands in brackets, [2001:db8::/32]:6619");
    }
    if let Some(net) = read_net(bracketed.unwrap_or(text)) {
        return net;
    }
    if bracketed.is_some() || text.contains('/') {
        return Err("this is no network; write one as 192.0.2.0/24:PORT or [2001:db8::/32]:PORT");
    }
    let name = canonical_name(text);
    match name.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') && is_name(&domain[1..]) => {
            Ok(Hosts::Below(domain.to_owned()))
        }
        None if name == "localhost" => Ok(Hosts::Loopback),
        None if is_name(&name) => Ok(Hosts::Name(name)),
        _ => Err("this is no host; write a name, *.DOMAIN, an address, a network, or * for any"),
    }
}

/// `None` for what does not look like an address at all.
fn read_net(text: &str) -> Option<Result<Hosts, &'static str>> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        // An IPv4-mapped address is dialled, and shown, as IPv4.
        return Some(Ok(Hosts::Net(IpNet::from(ip.to_canonical()))));
    }
    let net: IpNet = text.parse().ok()?;
    Some(match net {
        net if net.trunc() != net => {
            Err("the address has bits beyond the length of the network; write its first address")
        }
        IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some() => {
            Err("write an IPv4-mapped network as IPv4")
        }
        net => Ok(Hosts::Net(net)),
    })
}

/// A host name (RFC 1123, section 2.1); underscores occur.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

const NO_PORT: &str = "a rule is HOST:PORT, HOST:PORT-PORT or HOST:*";
const BAD_PORT: &str = "a port is 1 to 65535, a range 3305-3310, or *";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in [
            "*:3305",
            "*:*",
            "partner.example.com:6619",
            "*.example.com:3305-3310",
            "192.0.2.7:6619",
            "10.0.0.0/8:6619",
            "[2001:db8::/32]:6619",
            "[2001:db8::1]:1-65534",
            "localhost:3305",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        assert_eq!("Partner.Example.COM.:1".parse::<Rule>().unwrap().to_string(), "partner.example.com:1");
        assert_eq!("[::ffff:10.0.0.1]:1".parse::<Rule>().unwrap().to_string(), "10.0.0.1:1");
    }

    #[test]
    fn what_is_no_rule_says_why() {
        for (text, part) in [
            ("partner.example.com", "HOST:PORT"),
            ("*:0", "1 to 65535"),
            ("*:70000", "1 to 65535"),
            ("*:10-9", "1 to 65535"),
            ("*:+5", "1 to 65535"),
            ("2001:db8::1:6619", "in brackets"),
            ("10.0.0.1/8:1", "first address"),
            ("10.0.0.0/40:1", "no network"),
            ("[::ffff:10.0.0.0/104]:1", "as IPv4"),
            ("*example.com:1", "no host"),
            ("exa mple.com:1", "no host"),
            ("a..b:1", "no host"),
            ("127.1:1", "no host"),
            (":1", "no host"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(text), "{text}: {error}");
        }
    }
}
