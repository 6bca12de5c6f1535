//! Hostile clients against the proxy's decisions: whatever they do, it never panics, and its counts stay true.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use wire::limits::{BODY_BYTES_MAX, VERSION, WAITING_CALLS_MAX};
use wire::proxy_side::{Action, ProxySettings, ProxySide, Returned};
use wire::{
    CallId, CallToken, Frame, Hello, Kind, LinkId, Millis, Name, PeerKey, RefuseReason, SessionId, Target,
};

fuzz_target!(|bytes: &[u8]| {
    let mut run = Run::new(bytes);
    while run.step().is_some() {}
});

/// What a link of the daemon holds.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    Standby,
    Offered(CallId),
    Running(CallId),
    /// For calls outward: no call, one that the machine counts, one that it does not.
    Outward,
    Dialled,
    Settling,
}

struct Run<'a> {
    input: &'a [u8],
    now: Millis,
    side: ProxySide,
    name: Name,
    sessions: BTreeSet<SessionId>,
    links: BTreeMap<LinkId, Task>,
    parked: BTreeSet<CallId>,
    announced: Vec<(SessionId, CallId, CallToken)>,
    ports_open: bool,
    last_link: u64,
}

impl<'a> Run<'a> {
    fn new(input: &'a [u8]) -> Self {
        let name: Name = "plain".parse().expect("a name");
        let mut last_token = 0_u8;
        let settings = ProxySettings {
            listeners: vec![name],
            call_wait_ms: 5_000,
            silence_ms: 3_000,
            first_id: 0,
            make_token: Box::new(move || {
                last_token = last_token.wrapping_add(1);
                CallToken([last_token; 16])
            }),
        };
        Self {
            input,
            now: Millis(1),
            side: ProxySide::new(settings),
            name,
            sessions: BTreeSet::new(),
            links: BTreeMap::new(),
            parked: BTreeSet::new(),
            announced: Vec::new(),
            ports_open: false,
            last_link: 0,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.input.split_first()?;
        self.input = rest;
        Some(first)
    }

    fn key(&mut self) -> Option<PeerKey> {
        self.byte().map(|byte| PeerKey([byte % 3; 32]))
    }

    fn session(&mut self) -> Option<SessionId> {
        self.byte().map(|byte| SessionId(u64::from(byte % 16)))
    }

    fn call(&mut self) -> Option<CallId> {
        self.byte().map(|byte| CallId(u64::from(byte % 32)))
    }

    fn step(&mut self) -> Option<()> {
        match self.byte()? % 18 {
            0 => self.hello()?,
            16 => {
                let (link, key, session) = (self.fresh_link(), self.key()?, self.session()?);
                if self.side.on_outward(link, key, session).is_ok() {
                    self.links.insert(link, Task::Outward);
                }
            }
            1 => {
                let (link, key, session) = (self.fresh_link(), self.key()?, self.session()?);
                if self.side.on_standby(link, key, session).is_ok() {
                    self.links.insert(link, Task::Standby);
                }
            }
            2 | 3 => self.claim()?,
            4..=6 => self.frame()?,
            7 => {
                let session = self.session()?;
                self.sessions.remove(&session);
                self.side.on_session_lost(self.now, session);
            }
            8 | 9 => {
                let partner = "192.0.2.1:1".parse().expect("an address");
                if let Ok(call) = self.side.on_arrival(self.now, self.name, partner) {
                    assert!(self.parked.insert(call));
                }
            }
            10 => {
                let call = self.call()?;
                self.side.on_partner_left(call);
            }
            11..=13 => self.link_event()?,
            14 => {
                self.now = self.now.plus(u64::from(self.byte()?) * 32);
                self.side.on_tick(self.now);
                assert!(self.side.next_deadline().is_none_or(|at| at > self.now));
            }
            _ => match self.byte()? {
                0 => self.side.on_drain(),
                1..=9 => self.side.on_settings(vec![self.name], 5_000),
                10..=40 => {
                    let lost = self.key()?;
                    self.side.on_trust_changed(self.now, |key| *key != lost);
                }
                _ => {}
            },
        }
        self.act();
        self.check();
        Some(())
    }

    fn hello(&mut self) -> Option<()> {
        let key = self.key()?;
        let version = if self.byte()? == 0 { VERSION + 1 } else { VERSION };
        let hello = Hello {
            version,
            capabilities: 0,
            silence_ms: u32::MAX,
            targets: match self.byte()? {
                0..=31 => Vec::new(),
                _ => vec![Target::new(self.name, "station:6619").expect("a target")],
            },
        };
        if let Ok(welcome) = self.side.on_hello(self.now, key, hello) {
            self.sessions.insert(welcome.session);
        }
        Some(())
    }

    fn claim(&mut self) -> Option<()> {
        let (link, key, mut session, mut call) =
            (self.fresh_link(), self.key()?, self.session()?, self.call()?);
        let mut token = CallToken([self.byte()?; 16]);
        let chosen = usize::from(self.byte()?);
        if let Some(known) = self.announced.get(chosen) {
            (session, call, token) = *known;
        }
        if self.side.on_claim(link, key, session, call, token).is_ok() {
            self.links.insert(link, Task::Standby);
        }
        Some(())
    }

    /// Any frame on a control link.
    fn frame(&mut self) -> Option<()> {
        let session = self.session()?;
        let kind = Kind::from_byte(self.byte()?).ok()?;
        let length = usize::from(self.byte()?).min(self.input.len()).min(BODY_BYTES_MAX);
        let (body, rest) = self.input.split_at(length);
        self.input = rest;
        let frame = Frame::decode(kind, body).ok()?;
        if self.side.on_frame(self.now, session, frame).is_err() {
            self.sessions.remove(&session);
            self.side.on_session_lost(self.now, session);
        }
        Some(())
    }

    /// What the daemon's task on a link reports.
    fn link_event(&mut self) -> Option<()> {
        let index = usize::from(self.byte()?) % self.links.len().max(1);
        let choice = self.byte()?;
        let (&link, task) = self.links.iter_mut().nth(index)?;
        match (*task, choice % 4) {
            (Task::Offered(call), 0) => {
                *task = Task::Running(call);
                self.side.on_accepted(call);
            }
            (Task::Offered(call), 1) => {
                *task = Task::Standby;
                self.parked.insert(call);
                self.side.on_returned(self.now, call, Returned::Refused(RefuseReason::Refused));
                self.side.on_link_free(link);
            }
            (Task::Offered(call) | Task::Running(call), 2) => {
                *task = Task::Standby;
                self.side.on_ended(call);
                self.side.on_link_free(link);
            }
            (Task::Offered(call), _) => {
                self.links.remove(&link);
                self.parked.insert(call);
                self.side.on_returned(self.now, call, Returned::LinkDead);
                self.side.on_link_lost(link);
            }
            (Task::Running(call), 3) => {
                self.links.remove(&link);
                self.side.on_ended(call);
                self.side.on_link_lost(link);
            }
            (Task::Outward, 0 | 1) => {
                *task = if self.side.on_dial(link).is_ok() { Task::Dialled } else { Task::Settling };
            }
            (Task::Dialled, 0) => {
                *task = Task::Settling;
                self.side.on_dial_ended(link);
            }
            (Task::Settling, 0 | 1) => {
                *task = Task::Outward;
                self.side.on_link_free(link);
            }
            (Task::Standby | Task::Outward | Task::Dialled | Task::Settling, 3) => {
                self.links.remove(&link);
                self.side.on_link_lost(link);
            }
            _ => {}
        }
        Some(())
    }

    fn act(&mut self) {
        while let Some(action) = self.side.poll_action() {
            match action {
                Action::OpenListeners => self.ports_open = true,
                Action::CloseListeners => self.ports_open = false,
                Action::Send(session, frame) => {
                    assert!(self.sessions.contains(&session), "{frame:?} for a session that is over");
                    if let Frame::Announce { call, token, .. } = frame {
                        self.announced.push((session, call, token));
                    }
                }
                Action::EndSession(session, _) => assert!(self.sessions.remove(&session)),
                Action::Offer { link, call, .. } => {
                    assert!(self.parked.remove(&call), "a call that is not parked");
                    let before = self.links.insert(link, Task::Offered(call));
                    assert!(before == Some(Task::Standby), "a link that is not on standby");
                }
                Action::Probe(link) => assert!(self.links[&link] == Task::Standby, "a link that has a call"),
                Action::Gone(link, _) => assert!(self.links[&link] == Task::Standby),
                Action::CloseLink(link) => {
                    let closed = self.links.remove(&link);
                    assert!(matches!(closed, Some(Task::Standby | Task::Outward)), "a link with a call");
                }
                Action::ClosePartner(call, _) => assert!(self.parked.remove(&call)),
            }
        }
    }

    fn check(&self) {
        let offered = self.links.values().filter(|task| matches!(task, Task::Offered(_))).count();
        let running = self.links.values().filter(|task| matches!(task, Task::Running(_))).count();
        assert_eq!(self.side.waiting_count(), self.parked.len() + offered);
        let dialled = self.links.values().filter(|task| matches!(task, Task::Dialled)).count();
        let standby = self.links.values().filter(|task| matches!(task, Task::Standby)).count();
        assert_eq!(self.side.call_count(), self.parked.len() + offered + running + dialled);
        assert_eq!(self.side.session_count(), self.sessions.len());
        assert_eq!(self.side.link_count(), self.links.len());
        assert_eq!(self.side.standby_count(), standby);
        assert_eq!(self.side.listeners_open(), self.ports_open);
        assert!(self.side.waiting_count() <= WAITING_CALLS_MAX);
    }

    fn fresh_link(&mut self) -> LinkId {
        self.last_link += 1;
        LinkId(self.last_link)
    }
}
