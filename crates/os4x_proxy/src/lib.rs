//! `os4x_proxy`, the DMZ daemon: partners call it, and clients from the inside take the calls.
//!
//! It links nothing that speaks HTTP, SOCKS or OFTP, and it holds nothing but bytes on their way.
//!
//! A call: `outer_door` accepts a partner and tells the `switchboard`, which seats it in the `waiting_room`
//! and hands it to a `call_link` that waits, or announces it on the control link of a `session`, upon which a
//! link comes through the `inner_door` and claims it. The `call_link` carries it to its end.
//!
//! A call outward: a link that a client has opened for such calls comes through the `inner_door`, and `dial_out`
//! connects to what the client dials on it, if the policy allows.
#![forbid(unsafe_code)]

mod call_link;
mod dial_out;
mod handshakes;
mod inner_door;
mod license_watch;
pub mod options;
mod orders;
mod outer_door;
mod partner;
mod proxy;
mod session;
mod switchboard;
mod waiting_room;

pub use license_watch::Licensed;
pub use options::Options;
pub use proxy::Proxy;
