//! The identity of an installation, to which a license is issued.

#![forbid(unsafe_code)]

mod proxy_id;

pub use proxy_id::{ProxyId, ProxyIdError, ProxyIdTextError};
