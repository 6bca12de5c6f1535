//! Places for handshakes at the internal port.
//!
//! There are [`limits::HANDSHAKES_MAX`] in all and [`limits::HANDSHAKES_PER_ADDRESS_MAX`] for one address. Where
//! there is none left the oldest gives way: of the newcomer's own address if that has used up its share, otherwise of
//! the address that has the most. A genuine handshake takes milliseconds; one that is silent or drips is old soon.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use wire::limits::{HANDSHAKES_MAX, HANDSHAKES_PER_ADDRESS_MAX};

/// All places.
#[derive(Clone, Default)]
pub(crate) struct Handshakes(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    taken: usize,
    by_address: HashMap<IpAddr, VecDeque<Arc<Notify>>>,
}

/// A place. It is free again when this is dropped.
pub(crate) struct Place {
    all: Handshakes,
    address: IpAddr,
    taken_away: Arc<Notify>,
}

impl Handshakes {
    /// Takes a place, and if need be takes it away from an older handshake.
    pub(crate) fn enter(&self, address: IpAddr) -> Place {
        let address = address.to_canonical();
        let taken_away = Arc::new(Notify::new());
        let mut places = self.lock();
        let own = places.by_address.get(&address).map_or(0, VecDeque::len);
        if own >= HANDSHAKES_PER_ADDRESS_MAX {
            places.evict(address);
        } else if places.taken >= HANDSHAKES_MAX {
            let busiest = places.by_address.iter().max_by_key(|(_, queue)| queue.len()).map(|(&ip, _)| ip);
            if let Some(busiest) = busiest {
                places.evict(busiest);
            }
        }
        places.taken += 1;
        places.by_address.entry(address).or_default().push_back(taken_away.clone());
        drop(places);
        Place { all: self.clone(), address, taken_away }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn evict(&mut self, address: IpAddr) {
        if let Some(oldest) = self.by_address.get(&address).and_then(VecDeque::front).cloned() {
            oldest.notify_one();
            self.remove(address, &oldest);
        }
    }

    fn remove(&mut self, address: IpAddr, place: &Arc<Notify>) {
        let Some(queue) = self.by_address.get_mut(&address) else { return };
        let before = queue.len();
        queue.retain(|other| !Arc::ptr_eq(other, place));
        self.taken -= before - queue.len();
        if queue.is_empty() {
            self.by_address.remove(&address);
        }
    }
}

impl Place {
    /// Returns when a newer handshake needs the place.
    pub(crate) async fn taken_away(&self) {
        self.taken_away.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.lock().remove(self.address, &self.taken_away);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    async fn is_taken_away(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.taken_away()).await.is_ok()
    }

    #[tokio::test]
    async fn one_address_displaces_its_own_oldest() {
        let handshakes = Handshakes::default();
        let places: Vec<Place> =
            (0..=HANDSHAKES_PER_ADDRESS_MAX).map(|_| handshakes.enter(address(1))).collect();
        assert!(is_taken_away(&places[0]).await);
        assert!(!is_taken_away(&places[1]).await);
        assert_eq!(handshakes.lock().taken, HANDSHAKES_PER_ADDRESS_MAX);
        drop(places);
        assert_eq!(handshakes.lock().taken, 0);
        assert!(handshakes.lock().by_address.is_empty());
    }

    #[tokio::test]
    async fn a_newcomer_displaces_the_busiest_address() {
        let handshakes = Handshakes::default();
        let full = HANDSHAKES_MAX / HANDSHAKES_PER_ADDRESS_MAX;
        let mut places = Vec::new();
        for last in 0..full as u8 {
            places.extend((0..HANDSHAKES_PER_ADDRESS_MAX).map(|_| handshakes.enter(address(last))));
        }
        let newcomer = handshakes.enter(address(200));
        let mut displaced = 0;
        for place in &places {
            displaced += usize::from(is_taken_away(place).await);
        }
        assert_eq!((displaced, is_taken_away(&newcomer).await), (1, false));
        assert_eq!(handshakes.lock().taken, HANDSHAKES_MAX);
    }
}
