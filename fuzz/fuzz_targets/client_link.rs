//! A proxy may send what it likes on a link: the client's end answers by a violation and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::limits::EARLY_BYTES_MAX;
use wire::{Kind, LinkState, Role};

fuzz_target!(|bytes: &[u8]| {
    if bytes.first().is_some_and(|byte| byte % 3 == 2) {
        return on_outward_link(&bytes[1..]);
    }
    let claims = bytes.first().is_some_and(|byte| byte % 3 == 1);
    let mut link = if claims { LinkState::claiming() } else { LinkState::standby(Role::Client) };
    let mut early = 0;
    let mut given_up = false;
    for pair in bytes.get(1..).unwrap_or_default().chunks_exact(2) {
        let outcome = match pair[0] {
            // What this end does, where it may.
            0..=63 => {
                let kinds = [Kind::Ringing, Kind::Accept, Kind::Refuse, Kind::End, Kind::Abort];
                let kind = kinds[usize::from(pair[0] % 5)];
                let answers = matches!(kind, Kind::Ringing | Kind::Accept | Kind::Refuse);
                // Before it accepts, this end aborts only in answer to an abort.
                let may =
                    if link.is_accepted() { !answers } else { answers || (given_up && kind == Kind::Abort) };
                if link.may_send() && may {
                    link.on_sent(kind);
                }
                Ok(())
            }
            64..=95 => {
                link.on_payload_sent(usize::from(pair[1]).min(link.payload_allowance()));
                Ok(())
            }
            96..=159 => {
                let length = usize::from(pair[1]) * 257;
                let outcome = link.on_payload_received(length);
                early = if link.is_accepted() || !link.may_send() { 0 } else { early + length };
                assert!(outcome.is_err() || early <= EARLY_BYTES_MAX);
                outcome
            }
            _ => match Kind::from_byte(pair[1] % (Kind::ALL.len() as u8 + 1)) {
                Ok(Kind::Heartbeat) => {
                    let outcome = link.on_received(Kind::Heartbeat);
                    if outcome.is_ok() {
                        link.on_sent(Kind::Heartbeat);
                    }
                    outcome
                }
                Ok(kind) => {
                    early = if kind == Kind::Offer { 0 } else { early };
                    given_up = kind == Kind::Abort && !link.is_accepted();
                    link.on_received(kind)
                }
                Err(_) => Ok(()),
            },
        };
        // A violation ends the link.
        if outcome.is_err() {
            return;
        }
        assert!(!link.is_standby() || (!link.may_send() && !link.may_receive()));
    }
});

/// The mirror: here this end begins the calls.
fn on_outward_link(bytes: &[u8]) {
    let mut link = LinkState::outward(Role::Client);
    for pair in bytes.chunks_exact(2) {
        let outcome = match pair[0] {
            0..=63 => {
                let kind = [Kind::Dial, Kind::End, Kind::Abort, Kind::Heartbeat][usize::from(pair[0] % 4)];
                let is_idle = matches!(kind, Kind::Dial | Kind::Heartbeat);
                let may = kind != Kind::Heartbeat || !link.is_unanswered();
                if link.is_standby() == is_idle && (link.is_standby() || link.may_send()) && may {
                    link.on_sent(kind);
                }
                Ok(())
            }
            64..=95 => {
                link.on_payload_sent(usize::from(pair[1]).min(link.payload_allowance()));
                Ok(())
            }
            96..=127 => link.on_payload_received(usize::from(pair[1]) * 257),
            _ => match Kind::from_byte(pair[1] % (Kind::ALL.len() as u8 + 1)) {
                Ok(kind) => link.on_received(kind),
                Err(_) => Ok(()),
            },
        };
        if outcome.is_err() {
            return;
        }
        assert_eq!(link.is_standby(), !link.may_send() && !link.may_receive());
    }
}
