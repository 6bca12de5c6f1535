//! Bytes and sockets: what both daemons do with connections.
//!
//! * [`accept`]: an accept loop that survives running out of descriptors.
//! * [`alarm`]: one timer for whatever is waited for on a link.
//! * [`call_event`]: what the log says of a call.
//! * [`beginning`]: whether a caller begins with TLS.
//! * [`caller`], [`callee`]: the two ends of a link while a call is set up on it.
//! * [`heartbeat`]: links without a call are proved alive.
//! * [`connect()`]: names, both families, one deadline.
//! * [`socket`]: the options of every socket, and how one is reset.
//! * [`stop`]: the wish that running calls end.
//! * [`stream`]: what lies between the daemons, a sealed connection.
//! * [`link`]: such a stream, cut into the frames of [`wire`].
//! * [`keep_timers_in_kernel()`]: timers that cost nothing while nothing is due.
//! * `transfer`: bytes between a connection and memory.
//! * `pump`: bytes from one connection to another, in the kernel.
//! * [`gather()`]: under load they come together first.
//! * [`join()`]: the heart: a plain socket and a link become one call.
#![forbid(unsafe_code)]

pub mod accept;
pub mod alarm;
pub mod beginning;
pub mod call_event;
pub mod callee;
pub mod caller;
pub mod connect;
mod gather;
pub mod heartbeat;
pub mod join;
pub mod link;
mod pump;
pub mod race;
mod registered;
pub mod socket;
pub mod stop;
pub mod stream;
mod timer;
mod transfer;

pub use beginning::Beginning;
pub use caller::{Answer, Caller};
pub use connect::{ConnectError, connect};
pub use gather::gather;
pub use join::{End, EndedBy, JoinLimits, Joined, Path, join};
pub use link::{Incoming, Link, LinkError};
pub use race::{Either, race};
pub use stop::Stop;
pub use stream::Stream;
pub use timer::keep_timers_in_kernel;
