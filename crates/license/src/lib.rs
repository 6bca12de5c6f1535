//! What a proxy needs to know about its license: for which installation it is, and whether it holds.
//!
//! * [`ProxyId`]: the identity of an installation, to which a license is issued.
//! * [`License`]: what was granted, as text; [`file::read`] gets it out of a signed file, and a [`Refusal`] says why
//!   it cannot.
//! * [`TrustedKey`]: whose signature counts, fixed when the program is built.
//! * [`Watch`]: what is to be said of a license day by day while the proxy runs.
//!
//! Licenses are made by the crate `issuer`, which no daemon links.

#![forbid(unsafe_code)]

mod day;
pub mod file;
mod grant;
mod proxy_id;
mod refusal;
mod trusted;
mod watch;

pub use day::{Day, DayTextError};
pub use grant::{FEATURE, Features, GrantError, License, Licensee};
pub use proxy_id::{ProxyId, ProxyIdError, ProxyIdTextError};
pub use refusal::Refusal;
pub use trusted::{DEVELOPMENT_KEY, TRUSTED_KEY, TrustedKey, TrustedKeyError};
pub use watch::{Notice, Status, WARNING_DAYS, Watch};
