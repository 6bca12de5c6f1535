//! The options of every socket, and how one is reset.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Keepalive probes before the peer counts as dead.
const KEEPALIVE_PROBES: u32 = 5;
/// The longest `TCP_USER_TIMEOUT` that the kernel takes.
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);
/// The kernel's bounds for the two times of keepalive, in seconds.
const KEEPALIVE_SECONDS: std::ops::RangeInclusive<u64> = 1..=32_767;

/// Sets what every connection of ours has: no delay for small segments, and a peer that leaves data
/// unacknowledged (`TCP_USER_TIMEOUT`, RFC 5482) or keepalives unanswered (RFC 9293, section 3.8.4) for `step`
/// (`-T`) counts as dead. What a listener accepts inherits all of this from it.
///
/// # Errors
/// The socket's, which is then of no use: mostly the peer has gone already.
pub fn tune(socket: &impl AsFd, step: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(step.min(USER_TIMEOUT_MAX)))?;
    // Half of the time is silence before the first probe, the other half is spent on the probes.
    let seconds = |time: Duration| time.as_secs().clamp(*KEEPALIVE_SECONDS.start(), *KEEPALIVE_SECONDS.end());
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(seconds(step / 2)))
        .with_interval(Duration::from_secs(seconds(step / (2 * KEEPALIVE_PROBES))))
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Closes a connection by a reset, so that its peer cannot take the end for an orderly one.
pub fn reset(stream: TcpStream) {
    reset_on_close(&stream, true);
    drop(stream);
}

/// From now on the connection is closed by a reset, whoever closes it: also a panic, or the end of the process.
/// Or no more so. FIN by a shutdown is not concerned. What a listener accepts inherits it.
pub fn reset_on_close(socket: &impl AsFd, by_reset: bool) {
    // Where this fails the peer has reset the connection already.
    let _ = SockRef::from(socket).set_linger(by_reset.then_some(Duration::ZERO));
}
