//! How many licenses are made out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Counts requests minute by minute, all of them and those of each address. Reads no clock.
///
/// It holds no more addresses than requests that it lets through in a minute.
#[derive(Debug)]
pub(super) struct Limit {
    began: Instant,
    all: u32,
    of_address: HashMap<IpAddr, u32>,
}

impl Limit {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, all: 0, of_address: HashMap::new() }
    }

    /// A request from this address. `Err`: it is one too many, and there is room again after so long.
    pub(super) fn on_request(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.began);
        if passed >= MINUTE {
            *self = Self::new(now);
        }
        let network = network(address);
        let of_address = self.of_address.get(&network).copied().unwrap_or(0);
        if self.all >= REQUESTS_MAX || of_address >= ADDRESS_REQUESTS_MAX {
            return Err(MINUTE.saturating_sub(passed));
        }
        self.all += 1;
        self.of_address.insert(network, of_address + 1);
        Ok(())
    }
}

/// Who has one address of an IPv6 network has them all: the first 64 bits count.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Requests of all addresses in a minute.
const REQUESTS_MAX: u32 = 60;
/// Requests of one address in a minute.
pub(super) const ADDRESS_REQUESTS_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_and_all_together_are_bounded() {
        let now = Instant::now();
        let mut limit = Limit::new(now);
        let address = |number: u32| IpAddr::V4(number.into());
        let let_through = |limit: &mut Limit, address, now| {
            (0..100).filter(|_| limit.on_request(address, now).is_ok()).count()
        };
        assert_eq!(let_through(&mut limit, address(1), now), 10);
        assert_eq!((2..1_000).map(|number| let_through(&mut limit, address(number), now)).sum::<usize>(), 50);
        assert!(limit.of_address.len() <= 60);
        let later = now + Duration::from_secs(59);
        assert_eq!(limit.on_request(address(1), later), Err(Duration::from_secs(1)));
        assert_eq!(let_through(&mut limit, address(1), now + MINUTE), 10);
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let now = Instant::now();
        let mut limit = Limit::new(now);
        for last in 0..10 {
            assert_eq!(limit.on_request(format!("2001:db8::{last}").parse().unwrap(), now), Ok(()));
        }
        assert!(limit.on_request("2001:db8::ffff".parse().unwrap(), now).is_err());
        assert!(limit.on_request("2001:db8:0:1::1".parse().unwrap(), now).is_ok());
    }
}
