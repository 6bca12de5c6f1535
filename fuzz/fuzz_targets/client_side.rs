//! A hostile proxy against the client's decisions: whatever it does, the client never panics and never hoards.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use wire::client_side::{Action, ClientSettings, ClientSide, Purpose};
use wire::limits::{BODY_BYTES_MAX, STANDBY_LINKS_MAX, VERSION, WAITING_CALLS_MAX};
use wire::{CallId, Frame, Kind, LinkId, Millis, Name, RefuseReason, SessionId, Target, Welcome};

fuzz_target!(|bytes: &[u8]| {
    let mut run = Run::new(bytes);
    while run.step().is_some() {}
});

struct Run<'a> {
    input: &'a [u8],
    now: Millis,
    side: ClientSide,
    name: Name,
    control: bool,
    opening: BTreeMap<LinkId, Purpose>,
    standby: BTreeSet<LinkId>,
    busy: BTreeSet<LinkId>,
    reaches: BTreeSet<CallId>,
    /// Links for calls of stations: without a call, and lent to one.
    ready: BTreeSet<LinkId>,
    lent: BTreeSet<LinkId>,
    /// Calls of stations that wait for a link.
    wanting: BTreeSet<CallId>,
    last_call: u64,
}

fn target(name: Name) -> Target {
    Target::new(name, "station:6619").expect("a target")
}

impl<'a> Run<'a> {
    fn new(input: &'a [u8]) -> Self {
        let name: Name = "plain".parse().expect("a name");
        let settings = ClientSettings {
            targets: vec![target(name)],
            calls_out: true,
            attach_ms: 5_000,
            silence_ms: 3_000,
            jitter: Box::new(|bound| bound / 2),
        };
        Self {
            input,
            now: Millis(1),
            side: ClientSide::new(settings),
            name,
            control: false,
            opening: BTreeMap::new(),
            standby: BTreeSet::new(),
            busy: BTreeSet::new(),
            reaches: BTreeSet::new(),
            ready: BTreeSet::new(),
            lent: BTreeSet::new(),
            wanting: BTreeSet::new(),
            last_call: 0,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.input.split_first()?;
        self.input = rest;
        Some(first)
    }

    fn step(&mut self) -> Option<()> {
        match self.byte()? % 18 {
            0 | 1 => {
                self.now = self.now.plus(u64::from(self.byte()?) * 32);
                self.side.on_tick(self.now);
                let again = self.side.next_deadline().is_some_and(|at| at <= self.now);
                assert!(!again || !self.side.is_attached(), "a tick that asks for another");
            }
            2 => self.side.on_dialled(),
            3 => {
                if self.control {
                    self.control = false;
                    self.side.on_lost(self.now);
                }
            }
            4 => {
                let (version, session) = (VERSION, SessionId(u64::from(self.byte()?)));
                let welcome =
                    Welcome { version, capabilities: 0, silence_ms: 0, session, listeners: Vec::new() };
                self.receive(Frame::Welcome(welcome));
            }
            5..=8 => self.frame()?,
            9..=11 => self.opening_ends()?,
            12 | 13 => self.link_event()?,
            16 => {
                self.last_call += 1;
                let call = CallId(self.last_call);
                self.wanting.insert(call);
                self.side.on_link_wanted(self.now, call);
            }
            17 => self.outward_event()?,
            14 => {
                let call = CallId(u64::from(self.byte()? % 8));
                let unclaimed = self.side.on_unreached(call, RefuseReason::Refused);
                assert_eq!(unclaimed, self.reaches.remove(&call));
            }
            _ => match self.byte()? {
                0 => self.side.on_drain(),
                1..=60 => self.side.on_targets(vec![target(self.name)]),
                61..=90 => self.side.on_targets(Vec::new()),
                _ => {}
            },
        }
        self.act();
        assert_eq!(self.side.announced_count(), self.reaches.len());
        assert_eq!(self.side.standby_count(), self.standby.len());
        assert_eq!(self.side.outward_count(), self.ready.len());
        assert_eq!(self.side.wanting_count(), self.wanting.len());
        assert!(self.side.outward_count() <= STANDBY_LINKS_MAX);
        assert!(self.side.standby_count() <= STANDBY_LINKS_MAX);
        assert!(self.side.announced_count() <= WAITING_CALLS_MAX);
        assert!(self.control || !self.side.is_attached());
        Some(())
    }

    /// Any frame on the control link.
    fn frame(&mut self) -> Option<()> {
        let choice = self.byte()?;
        let call = CallId(u64::from(choice % 8));
        let frame = match choice {
            0..=99 => {
                let token = wire::CallToken([choice; 16]);
                let partner = "192.0.2.1:1".parse().expect("an address");
                Frame::Announce { call, token, listener: self.name, partner }
            }
            100..=149 => Frame::Withdraw(call),
            _ => {
                let kind = Kind::from_byte(self.byte()?).ok()?;
                let length = usize::from(self.byte()?).min(self.input.len()).min(BODY_BYTES_MAX);
                let (body, rest) = self.input.split_at(length);
                self.input = rest;
                Frame::decode(kind, body).ok()?
            }
        };
        self.receive(frame);
        Some(())
    }

    fn receive(&mut self, frame: Frame) {
        if self.control && self.side.on_frame(self.now, frame).is_err() {
            self.act();
            self.control = false;
            self.side.on_lost(self.now);
        }
    }

    /// A link that is being opened is open, or is not.
    fn opening_ends(&mut self) -> Option<()> {
        let index = usize::from(self.byte()?) % self.opening.len().max(1);
        let well = self.byte()? < 160;
        let (&link, &purpose) = self.opening.iter().nth(index)?;
        self.opening.remove(&link);
        match (purpose, well) {
            (Purpose::Claim(_, call, _), true) if self.side.on_claiming(link, call) => {
                assert!(self.reaches.remove(&call));
                self.side.on_link_claims(link);
                self.busy.insert(link);
            }
            (Purpose::Outward(_), true) => {
                self.ready.insert(link);
                self.side.on_link_outward(self.now, link);
            }
            (_, true) => {
                self.standby.insert(link);
                self.side.on_link_standby(self.now, link);
            }
            (Purpose::Standby(_) | Purpose::Outward(_), false) => {
                self.side.on_link_failed(self.now, link, None)
            }
            (Purpose::Claim(_, call, _), false) => self.side.on_link_failed(self.now, link, Some(call)),
        }
        Some(())
    }

    /// What the daemon's task on a link reports.
    fn link_event(&mut self) -> Option<()> {
        let index = usize::from(self.byte()?);
        let choice = self.byte()? % 5;
        let links = if choice < 2 || choice == 4 { &mut self.standby } else { &mut self.busy };
        let link = *links.iter().nth(index % links.len().max(1))?;
        if choice == 4 {
            self.side.on_link_heard(self.now, link);
            return Some(());
        }
        links.remove(&link);
        match choice {
            0 => {
                self.busy.insert(link);
                self.side.on_link_busy(self.now, link);
            }
            2 => {
                self.standby.insert(link);
                self.side.on_link_free(self.now, link);
            }
            _ => self.side.on_link_lost(self.now, link),
        }
        Some(())
    }

    /// What becomes of a link for calls of stations.
    fn outward_event(&mut self) -> Option<()> {
        let index = usize::from(self.byte()?);
        let choice = self.byte()? % 3;
        let links = if choice == 0 { &mut self.ready } else { &mut self.lent };
        let link = *links.iter().nth(index % links.len().max(1))?;
        links.remove(&link);
        if choice == 1 {
            self.ready.insert(link);
            self.side.on_link_free(self.now, link);
        } else {
            self.side.on_link_lost(self.now, link);
        }
        Some(())
    }

    fn act(&mut self) {
        while let Some(action) = self.side.poll_action() {
            match action {
                Action::Dial => {
                    assert!(!self.control);
                    self.control = true;
                }
                Action::Send(_) => assert!(self.control),
                Action::HangUp(_) => {
                    assert!(self.control);
                    self.control = false;
                }
                Action::OpenLink(link, purpose) => assert!(self.opening.insert(link, purpose).is_none()),
                Action::CloseLink(link) => {
                    let is_idle = self.standby.remove(&link) || self.ready.remove(&link);
                    assert!(is_idle, "a link that has a call");
                }
                Action::LinkSilent(link) => assert!(self.standby.remove(&link), "a link that has a call"),
                Action::Probe(link) => assert!(self.ready.contains(&link), "a link that has a call"),
                Action::Lend(link, call) => {
                    assert!(self.ready.remove(&link) && self.lent.insert(link), "a link that is not ready");
                    assert!(self.wanting.remove(&call), "a link for nobody");
                }
                Action::NoLink(call) => assert!(self.wanting.remove(&call), "an answer for nobody"),
                Action::Reach { call, .. } => assert!(self.reaches.insert(call)),
                Action::Forget(call) => {
                    self.reaches.remove(&call);
                }
                Action::Attached(..)
                | Action::Refused { .. }
                | Action::Listeners(_)
                | Action::ProxyDraining => {}
            }
        }
    }
}
