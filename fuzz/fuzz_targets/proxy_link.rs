//! A client may send what it likes on a link: the proxy's end answers by a violation and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{Kind, LinkState, Role};

fuzz_target!(|bytes: &[u8]| {
    let is_outward = bytes.first().is_some_and(|byte| byte % 2 == 1);
    let mut link = if is_outward { LinkState::outward(Role::Proxy) } else { LinkState::standby(Role::Proxy) };
    for pair in bytes.get(1..).unwrap_or_default().chunks_exact(2) {
        let outcome = match pair[0] {
            // What this end does, where it may.
            0..=63 if is_outward => {
                let kinds = [Kind::Ringing, Kind::Connected, Kind::Failed, Kind::End];
                let kind = kinds[usize::from(pair[0] % 4)];
                let answers = kind != Kind::End;
                if link.may_send() && link.is_accepted() != answers {
                    link.on_sent(kind);
                }
                Ok(())
            }
            0..=63 => {
                let kinds = [Kind::Offer, Kind::Gone, Kind::End, Kind::Abort, Kind::Heartbeat];
                let kind = kinds[usize::from(pair[0] % 5)];
                let is_idle = matches!(kind, Kind::Offer | Kind::Gone | Kind::Heartbeat);
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
                Ok(kind) => {
                    let asked = link.is_unanswered();
                    let outcome = link.on_received(kind);
                    if kind == Kind::Heartbeat && outcome.is_ok() {
                        assert!(is_outward || asked, "a sign of life for which nobody has asked");
                        if is_outward {
                            link.on_sent(kind);
                        }
                    }
                    outcome
                }
                Err(_) => Ok(()),
            },
        };
        // A violation ends the link.
        if outcome.is_err() {
            return;
        }
        assert_eq!(link.is_standby(), !link.may_send() && !link.may_receive());
        assert!(link.may_send() || link.payload_allowance() == 0);
    }
});
