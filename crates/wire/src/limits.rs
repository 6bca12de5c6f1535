//! Every bound of the protocol, in one place, related to each other by const asserts.
//!
//! Times are milliseconds, sizes are bytes, the rest are counts.

/// The version of the protocol that this build speaks. Both ends must name the same one.
pub const VERSION: u16 = 4;

/// Bytes before the body of every frame: one of kind, three of length.
pub const FRAME_HEADER_BYTES: usize = 4;
/// Plaintext that one TLS 1.3 record carries at most (RFC 8446, section 5.1).
pub const RECORD_BYTES: usize = 16_384;
/// Payload of one `Data` frame at most: with its header it fills four records to the byte.
pub const DATA_BYTES_MAX: usize = 4 * RECORD_BYTES - FRAME_HEADER_BYTES;
/// Body of any other frame at most. The largest is a `Hello` with all its targets:
/// 2 + 4 + 4 + 1 + 32 × (1 + 32 + 1 + 255) = 9,259.
pub const BODY_BYTES_MAX: usize = 10_240;
/// Length of a listener's name.
pub const NAME_BYTES_MAX: usize = 32;
/// Length of a target's address, `host:port`.
pub const TARGET_BYTES_MAX: usize = 255;
/// Listeners of a proxy, and targets of a client.
pub const NAMES_MAX: usize = 32;
/// Length of the host that a station asks for: of a name (RFC 1035, section 3.1), or of an address as text.
pub const HOST_BYTES_MAX: usize = 255;

/// Payload that may follow an offer before it is accepted. The proxy keeps a copy of it until then, so that
/// it can be sent again to another client.
pub const EARLY_BYTES_MAX: usize = RECORD_BYTES - FRAME_HEADER_BYTES;

/// Payload of a call, of both directions together, after which it goes on unsealed where it may. Leaving the seal costs
/// the link, and with it a handshake (some 2 ms of processor time at both ends together); what goes on sealed costs some
/// 0.8 ms a MiB more. A call that has moved half of what pays for it mostly moves more than the other half: files do.
pub const UNSEAL_AFTER_BYTES: u64 = 512 * 1_024;
/// First bytes of a call by which it is told whether its payload is TLS.
pub const CLIENT_HELLO_BYTES: usize = 6;

/// Attached clients at one proxy.
pub const SESSIONS_MAX: usize = 64;
/// Links of one session, in use or on standby. A call needs one link and each end of it one more descriptor.
pub const LINKS_PER_SESSION_MAX: usize = 32_768;
/// Partners that have been accepted and whose call no link has taken yet.
pub const WAITING_CALLS_MAX: usize = 1_024;
/// Links that a client keeps on standby when nothing has happened for a while.
pub const STANDBY_LINKS_MIN: usize = 2;
/// Links on standby above which a client closes the one whose call has just ended.
pub const STANDBY_LINKS_MAX: usize = 128;
/// Links that a client keeps ready at most because calls come faster than links can be opened.
pub const STANDBY_GROWN_MAX: usize = 32;
/// Links that a client opens at the same time to fill up its standby.
pub const STANDBY_OPENING_MAX: usize = 8;
/// Outward links that a client from which stations may call keeps idle when nothing has happened for a while.
pub const OUTWARD_LINKS_MIN: usize = 1;
/// Outward links that a client opens at the same time, for calls that wait for one. Fewer than the handshakes that
/// the proxy grants one address.
pub const OUTWARD_OPENING_MAX: usize = 32;

/// Handshakes under way at the internal port, in all.
pub const HANDSHAKES_MAX: usize = 256;
/// Handshakes under way from one address.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = 64;
/// From the accept to the first frame of a peer at the internal port. `-T` may shorten it.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;

/// Silence on a control link after which the peer counts as lost. `-T` may shorten it.
pub const SILENCE_MS_MAX: u64 = 45_000;
/// The shortest silence that a peer may ask us to respect; anything less would be a flood of heartbeats.
pub const SILENCE_MS_MIN: u64 = 500;
/// Heartbeats that fit into the silence which the peer allows: two may be late or lost.
pub const HEARTBEATS_PER_SILENCE: u64 = 3;

/// Heartbeats on a link on standby that a client misses before the link is dead: the proxy, which sends them,
/// has found it dead by then as well.
pub const PROBES_MISSED_MAX: u64 = 2;

/// The client says `Ringing` when the target has not answered by then.
pub const RINGING_AFTER_MS: u64 = 500;
/// That a call is accepted is told at once, or with what the target says by then: as one segment.
pub const ANSWER_WAITS_MS: u64 = 2;
/// Without any sign on a link for so long after an offer, the link is dead and the next one is tried.
pub const OFFER_SIGN_MS: u64 = 3_000;
/// The proxy answers a claim within this, or the link that made it is dead.
pub const CLAIM_ANSWER_MS: u64 = 5_000;
/// Without any sign for an announced call for so long, another client is asked where there is one.
pub const ANNOUNCE_SIGN_MS: u64 = 3_000;
/// After this end has closed its direction of a call and given its socket up, the other end closes its own within
/// this, or the link is of no more use.
pub const SETTLE_MS: u64 = 10_000;

/// The first delay between two attempts to attach; the very first attempt after a loss is made at once.
pub const RECONNECT_MS_FIRST: u64 = 250;
/// The longest delay between two attempts to attach.
pub const RECONNECT_MS_MAX: u64 = 30_000;
/// A session that lasted this long was a good one: the next attempt to attach is again made at once.
pub const STEADY_MS: u64 = 10_000;
/// Pause after a link could not be opened.
pub const REFILL_PAUSE_MS: u64 = 1_000;
/// How often a client looks whether it keeps more links on standby than it has needed.
pub const SHRINK_MS: u64 = 30_000;

/// How often the end of a link at which calls begin sends a heartbeat on it while it has no call, by how
/// often it sends one on the control link: as often, or as seldom as leaves each of them [`OFFER_SIGN_MS`] to
/// be answered.
pub const fn probe_ms(heartbeat_ms: u64) -> u64 {
    heartbeat_ms * OFFER_SIGN_MS.div_ceil(heartbeat_ms)
}

/// The silence that a daemon allows its peer on a control link: `-T`, within the bounds above.
pub fn silence_ms(step_ms: u64) -> u64 {
    step_ms.clamp(SILENCE_MS_MIN, SILENCE_MS_MAX)
}

const _: () = assert!((DATA_BYTES_MAX + FRAME_HEADER_BYTES).is_multiple_of(RECORD_BYTES));
const _: () = assert!(DATA_BYTES_MAX < 1 << 24, "a length has three bytes");
const _: () =
    assert!(2 + 4 + 4 + 1 + NAMES_MAX * (1 + NAME_BYTES_MAX + 1 + TARGET_BYTES_MAX) <= BODY_BYTES_MAX);
const _: () = assert!(EARLY_BYTES_MAX <= DATA_BYTES_MAX);
const _: () = assert!(CLIENT_HELLO_BYTES < EARLY_BYTES_MAX);
const _: () =
    assert!(NAME_BYTES_MAX < 256 && NAMES_MAX < 256 && TARGET_BYTES_MAX < 256, "all are counted in one byte");
const _: () = assert!(STANDBY_LINKS_MIN <= STANDBY_OPENING_MAX && STANDBY_OPENING_MAX <= STANDBY_LINKS_MAX);
const _: () = assert!(STANDBY_LINKS_MIN <= STANDBY_GROWN_MAX && STANDBY_GROWN_MAX <= STANDBY_LINKS_MAX);
const _: () = assert!(STANDBY_LINKS_MAX + WAITING_CALLS_MAX <= LINKS_PER_SESSION_MAX);
const _: () = assert!(OUTWARD_LINKS_MIN <= OUTWARD_OPENING_MAX);
const _: () = assert!(OUTWARD_OPENING_MAX + STANDBY_OPENING_MAX < HANDSHAKES_PER_ADDRESS_MAX);
const _: () = assert!(HOST_BYTES_MAX < 256, "counted in one byte");
const _: () = assert!(HANDSHAKES_PER_ADDRESS_MAX < HANDSHAKES_MAX, "one address cannot use up all");
const _: () = assert!(RINGING_AFTER_MS * 3 <= OFFER_SIGN_MS, "ringing must have time to travel");
const _: () =
    assert!(RINGING_AFTER_MS + ANSWER_WAITS_MS * 100 < OFFER_SIGN_MS, "nobody notices that an answer waits");
const _: () = assert!(SILENCE_MS_MIN / HEARTBEATS_PER_SILENCE > 100);
const _: () =
    assert!(probe_ms(SILENCE_MS_MIN / HEARTBEATS_PER_SILENCE) >= OFFER_SIGN_MS, "no offer is more patient");
const _: () = assert!(SILENCE_MS_MIN < SILENCE_MS_MAX && OFFER_SIGN_MS < SILENCE_MS_MAX);
