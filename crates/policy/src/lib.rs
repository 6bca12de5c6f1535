//! Whom the inside may call through the DMZ, from which address, and who inside may ask for it.
//!
//! Pure: no I/O, no clock, no look-ups. What an operator writes becomes rules, once; names and addresses come in as
//! arguments, and a decision comes out.
//!
//! * [`Policy`]: the list `[outgoing] allow`. The decision is made on the address that is really dialled, so that a name
//!   cannot be turned against the DMZ host.
//! * [`Sources`]: the list `[[outgoing.source]]`.
//! * [`Clients`]: the list `[outgoing] from`.
//! * [`guarded`]: the addresses that no general rule opens.
#![forbid(unsafe_code)]

mod allow;
mod clients;
pub mod guarded;
mod rule;
mod source;

pub use allow::Policy;
pub use clients::Clients;
pub use rule::{Asked, Rule, RuleError};
pub use source::{Source, SourceChoice, Sources};
