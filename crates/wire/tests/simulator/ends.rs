//! The two who talk to each other in the end: partners outside, stations inside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wire::{CallId, Name, Target};

use super::{Check, Event, World};

/// A partner, numbered once for the whole run.
pub(crate) type PartnerId = u64;
/// A station, likewise: every time a target was reached is one.
pub(crate) type StationId = u64;

/// Somebody who says so many bytes, then ends or aborts, and hears what the other says.
pub(crate) struct Speaker {
    /// Decides the bytes.
    tone: u64,
    /// Bytes it will say.
    pub(crate) total: usize,
    /// Bytes it has said so far.
    pub(crate) made: usize,
    /// Whether it aborts when all is said.
    pub(crate) aborts: bool,
    /// Whether it has ended in good order.
    ended: bool,
    /// Bytes that its daemon has passed on.
    pub(crate) sent: usize,
    /// Whether its daemon has passed its end on.
    pub(crate) sent_end: bool,
    /// Bytes it has heard.
    heard: usize,
    /// Whether it has heard an orderly end.
    pub(crate) heard_end: bool,
}

/// A partner.
pub(crate) struct Partner {
    /// The proxy that it called.
    pub(crate) proxy: usize,
    pub(crate) call: CallId,
    pub(crate) listener: Name,
    pub(crate) speaker: Speaker,
    pub(crate) joined: Option<Joined>,
}

/// With whom a partner was joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// With a station, by a client of ours.
    Station(StationId),
    /// With whatever a hostile client took for a station.
    Hostile,
}

/// A station.
pub(crate) struct Station {
    /// The partner that it is to talk to; a hostile proxy has none.
    pub(crate) partner: Option<PartnerId>,
    /// The client that reached it, the proxy there, and the life of the client.
    pub(crate) client: (usize, usize, u64),
    pub(crate) speaker: Speaker,
    pub(crate) open: bool,
}

impl Speaker {
    /// Says up to `share` bytes more. When everything is said it ends, unless it aborts.
    pub(crate) fn say(&mut self, share: usize) {
        self.made = (self.made + share).min(self.total);
        self.ended = self.made == self.total && !self.aborts;
    }

    /// The next bytes for the link, `length` at most.
    pub(crate) fn next_bytes(&mut self, length: usize) -> Vec<u8> {
        let length = length.min(self.made - self.sent);
        let bytes = (self.sent..self.sent + length).map(|at| byte(self.tone, at)).collect();
        self.sent += length;
        bytes
    }

    /// Whether the daemon has passed on everything, so that it is time for the end.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.ended && self.sent == self.total && !self.sent_end
    }

    /// Which bytes it says, and how many it has said.
    pub(crate) fn spoken(&self) -> (u64, usize) {
        (self.tone, self.made)
    }

    /// Whether it has ended, and how many bytes there are in all.
    pub(crate) fn said(&self) -> (bool, usize) {
        (self.ended, self.total)
    }

    /// What was sent to one client is to be sent to another.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
        self.sent_end = false;
    }
}

/// The byte that a speaker of some tone says at some place.
fn byte(tone: u64, at: usize) -> u8 {
    (tone.wrapping_mul(197) ^ (at as u64).wrapping_mul(31) ^ (at as u64 >> 8)) as u8
}

/// What arrives is what was said, in order and not before it was said.
pub(crate) fn hear(listener: &mut Speaker, (tone, made): (u64, usize), bytes: &[u8]) -> Check {
    let start = listener.heard;
    if start + bytes.len() > made {
        return Err(format!("{} bytes heard of {made} said", start + bytes.len()));
    }
    if let Some(at) = (0..bytes.len()).find(|&at| bytes[at] != byte(tone, start + at)) {
        return Err(format!("wrong payload at byte {}", start + at));
    }
    listener.heard += bytes.len();
    Ok(())
}

/// An end is only heard from somebody who ended, and after everything.
pub(crate) fn hear_end(listener: &mut Speaker, (ended, total): (bool, usize)) -> Check {
    if !ended || listener.heard != total || listener.heard_end {
        return Err(format!("an end after {} of {total} bytes (said: {ended})", listener.heard));
    }
    listener.heard_end = true;
    Ok(())
}

impl World {
    /// Somebody who will have things to say.
    pub(crate) fn speaker(&mut self) -> Speaker {
        let total = match self.rng.below(10) {
            0 => 0,
            1..=4 => self.rng.between(1_000, 40_000),
            _ => self.rng.between(1, 600),
        };
        let aborts = self.rng.chance(self.scenario.aborts);
        let tone = self.rng.next();
        Speaker {
            tone,
            total: total as usize,
            made: 0,
            aborts,
            ended: false,
            sent: 0,
            sent_end: false,
            heard: 0,
            heard_end: false,
        }
    }

    /// How long a speaker waits before it goes on: long enough that the network matters.
    pub(crate) fn pause(&mut self) -> u64 {
        self.rng.between(1, 400 + 2 * self.scenario.delay_ms_max)
    }

    /// A partner calls at a proxy, if its external ports are open.
    pub(crate) fn partner_arrives(&mut self, proxy: usize) -> Check {
        let mean = self.scenario.arrival_ms;
        if !self.healing {
            let wait = self.rng.between(1, 2 * mean);
            self.after(wait, Event::Arrival(proxy));
        }
        if !self.proxies[proxy].ports_open || self.healing {
            return Ok(());
        }
        let names = self.proxies[proxy].listeners.clone();
        let Some(listener) = self.rng.pick(&names) else {
            return Ok(());
        };
        let speaker = self.speaker();
        self.last_partner += 1;
        self.proxy_accepts(proxy, listener, self.last_partner, speaker)
    }

    /// The partner was parked: its life begins.
    pub(crate) fn partner_begins(&mut self, id: PartnerId) {
        let wait = self.rng.below(300);
        self.after(wait, Event::PartnerSpeaks(id));
        if self.rng.chance(self.scenario.aborts) {
            let wait = self.rng.below(6_000);
            self.after(wait, Event::PartnerLeaves(id));
        }
    }

    /// The partner says its next bytes, or aborts.
    pub(crate) fn partner_speaks(&mut self, id: PartnerId) -> Check {
        if !self.open_partners.contains(&id) {
            return Ok(());
        }
        let share = self.rng.between(1, 20_000) as usize;
        let pause = self.pause();
        let Some(partner) = self.partners.get_mut(&id) else {
            return Ok(());
        };
        let speaker = &mut partner.speaker;
        speaker.say(share);
        if speaker.made < speaker.total {
            self.after(pause, Event::PartnerSpeaks(id));
        } else if speaker.aborts {
            return self.partner_leaves(id);
        }
        self.proxy_pumps(id)
    }

    /// The station likewise.
    pub(crate) fn station_speaks(&mut self, id: StationId) -> Check {
        let share = self.rng.between(1, 20_000) as usize;
        let pause = self.pause();
        let Some(station) = self.stations.get_mut(&id).filter(|station| station.open) else {
            return Ok(());
        };
        let speaker = &mut station.speaker;
        speaker.say(share);
        if speaker.made < speaker.total {
            self.after(pause, Event::StationSpeaks(id));
        } else if speaker.aborts {
            return self.station_aborts(id);
        }
        self.client_pumps(id)
    }

    /// Payload reaches a partner.
    pub(crate) fn partner_hears(&mut self, id: PartnerId, bytes: &[u8]) -> Check {
        let partner = self.partners.get_mut(&id).ok_or("payload for nobody")?;
        match partner.joined {
            None => Err(format!("payload for partner {id}, which is not joined")),
            Some(Joined::Hostile) => Ok(()),
            Some(Joined::Station(station)) => {
                let said = &self.stations[&station].speaker;
                hear(&mut partner.speaker, said.spoken(), bytes).map_err(|why| format!("partner {id}: {why}"))
            }
        }
    }

    /// An orderly end reaches a partner.
    pub(crate) fn partner_hears_end(&mut self, id: PartnerId) -> Check {
        let partner = self.partners.get_mut(&id).ok_or("an end for nobody")?;
        match partner.joined {
            None => Err(format!("an end for partner {id}, which is not joined")),
            Some(Joined::Hostile) => Ok(()),
            Some(Joined::Station(station)) => {
                let said = &self.stations[&station].speaker;
                hear_end(&mut partner.speaker, said.said()).map_err(|why| format!("partner {id}: {why}"))
            }
        }
    }

    /// Payload reaches a station.
    pub(crate) fn station_hears(&mut self, id: StationId, bytes: &[u8]) -> Check {
        let station = self.stations.get_mut(&id).ok_or("payload for no station")?;
        let Some(partner) = station.partner else {
            return Ok(());
        };
        let said = &self.partners[&partner].speaker;
        hear(&mut station.speaker, said.spoken(), bytes).map_err(|why| format!("station {id}: {why}"))
    }

    /// An orderly end reaches a station.
    pub(crate) fn station_hears_end(&mut self, id: StationId) -> Check {
        let station = self.stations.get_mut(&id).ok_or("an end for no station")?;
        let Some(partner) = station.partner else {
            return Ok(());
        };
        let said = &self.partners[&partner].speaker;
        hear_end(&mut station.speaker, said.said()).map_err(|why| format!("station {id}: {why}"))
    }

    /// A partner's connection is closed. It has one end.
    pub(crate) fn partner_closed(&mut self, id: PartnerId) -> Check {
        if !self.open_partners.remove(&id) {
            return Err(format!("partner {id} ended twice"));
        }
        self.tally.ended += 1;
        Ok(())
    }

    /// A station's connection is closed.
    pub(crate) fn station_closed(&mut self, id: StationId) {
        if let Some(station) = self.stations.get_mut(&id) {
            station.open = false;
        }
    }
}

/// The names that listeners and targets have in every run.
pub(crate) fn names() -> Vec<Name> {
    ["plain", "tls", "extra"].iter().map(|name| name.parse().expect("a name")).collect()
}

/// A target for each of the names.
pub(crate) fn targets(names: &[Name]) -> Vec<Target> {
    names.iter().filter_map(|name| Target::new(*name, "station:6619")).collect()
}

/// The address of a partner tells which one it is.
pub(crate) fn address_of(id: PartnerId) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from((id >> 16) as u32), id as u16))
}

/// The partner that has an address; a hostile proxy uses others.
pub(crate) fn partner_at(address: SocketAddr) -> Option<PartnerId> {
    match address.ip() {
        IpAddr::V4(ip) => Some(u64::from(u32::from(ip)) << 16 | u64::from(address.port())),
        IpAddr::V6(_) => None,
    }
}
