//! From which of its addresses a host calls whom: partners filter by address.

use std::net::{IpAddr, SocketAddr};

use crate::rule::{Asked, Rule};

/// Calls to these destinations come from this address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// To whom.
    pub to: Rule,
    /// From where.
    pub from: IpAddr,
}

/// What [`Sources`] says of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChoice {
    /// Nothing: the system chooses.
    Any,
    /// It is dialled from here.
    From(IpAddr),
    /// The destination has a source, and that is of the other family: this address cannot be dialled from there, and a
    /// partner that filters by address would not let any other source in.
    WrongFamily,
}

/// The list; the first entry that fits an address counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// The list in its order.
    pub fn new(sources: Vec<Source>) -> Self {
        Self(sources)
    }

    /// Its entries.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// From where an address is dialled for what was asked for.
    pub fn choose(&self, asked: Asked<'_>, address: SocketAddr) -> SourceChoice {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        let mut fitting = self.0.iter().filter(|source| source.to.matches_at(asked, address)).peekable();
        if fitting.peek().is_none() {
            return SourceChoice::Any;
        }
        let same_family = fitting.find(|source| source.from.is_ipv4() == ip.is_ipv4());
        same_family.map_or(SourceChoice::WrongFamily, |source| SourceChoice::From(source.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_source_of_the_right_family_counts() {
        let source = |to: &str, from: &str| Source { to: to.parse().unwrap(), from: from.parse().unwrap() };
        let sources = Sources::new(vec![
            source("partner.example:6619", "192.0.2.1"),
            source("203.0.113.0/24:*", "192.0.2.2"),
            source("*:3305", "2001:db8::2"),
            source("*:3305", "192.0.2.3"),
        ]);
        let choose = |asked, address: &str| sources.choose(asked, address.parse().unwrap());
        let from = |ip: &str| SourceChoice::From(ip.parse().unwrap());
        let partner = Asked::Name("Partner.example");
        assert_eq!(choose(partner, "203.0.113.9:6619"), from("192.0.2.1"));
        assert_eq!(choose(partner, "[2001:db8::9]:6619"), SourceChoice::WrongFamily);
        assert_eq!(choose(Asked::Name("other.example"), "203.0.113.9:6619"), from("192.0.2.2"));
        assert_eq!(choose(Asked::Name("other.example"), "198.51.100.1:3305"), from("192.0.2.3"));
        assert_eq!(choose(Asked::Name("other.example"), "[2001:db8::9]:3305"), from("2001:db8::2"));
        assert_eq!(choose(Asked::Name("other.example"), "198.51.100.1:6619"), SourceChoice::Any);
    }
}
