//! Who inside may have calls made.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// Networks whose hosts may connect to a local port; each is an address, or CIDR notation (RFC 4632).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Clients(Vec<IpNet>);

impl Clients {
    /// Whoever has a private or local address: this host, its links, and the networks of RFC 1918 and RFC 4193.
    pub fn private() -> Self {
        let net = |text: &str| text.parse().expect("a network of our own, which a test reads");
        Self(PRIVATE.iter().copied().map(net).collect())
    }

    /// Whether a host may connect.
    pub fn admit(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }
}

impl TryFrom<Vec<String>> for Clients {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let net = |text: &String| {
            let ip = text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
            let net = ip.or_else(|_| text.parse::<IpNet>());
            net.map(|net| net.trunc()).map_err(|_| {
                format!("{text:?} is no network; write an address, or one like 10.1.0.0/16 or fd00:1::/32")
            })
        };
        texts.iter().map(net).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, net) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            net.fmt(f)?;
        }
        Ok(())
    }
}

const PRIVATE: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(clients: &Clients, ip: &str) -> bool {
        clients.admit(ip.parse().unwrap())
    }

    #[test]
    fn private_is_private() {
        let private = Clients::private();
        for ip in ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.1"]
        {
            assert!(admits(&private, ip), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!admits(&private, ip), "{ip}");
        }
    }

    #[test]
    fn a_list_is_what_it_says() {
        let clients =
            Clients::try_from(vec![String::from("10.1.0.0/16"), String::from("192.0.2.7")]).unwrap();
        assert_eq!(clients.to_string(), "10.1.0.0/16, 192.0.2.7/32");
        assert!(admits(&clients, "10.1.9.9") && admits(&clients, "192.0.2.7"));
        assert!(!admits(&clients, "127.0.0.1") && !admits(&clients, "10.2.0.1"));
        let error = Clients::try_from(vec![String::from("10.1.0.0/99")]).unwrap_err();
        assert!(error.contains("10.1.0.0/99"), "{error}");
    }
}
