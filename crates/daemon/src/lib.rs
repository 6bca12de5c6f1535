//! The Unix shell of a service: everything around the work of a daemon that is the same for both of them.
//!
//! A daemon's `main` calls it in this order: parse the command line and the file, check, go to the background
//! ([`background::start`]), open the log ([`log::init`]), bind, write the pid file ([`pid_file::PidFile`]), report
//! ready ([`background::Readiness::ready`]), then serve until [`signals::Signals::next`] says otherwise.

#![forbid(unsafe_code)]

pub mod address;
pub mod background;
pub mod bind;
pub mod civil;
pub mod common_flags;
pub mod complaints;
pub mod config_file;
pub mod failure;
pub mod life;
pub mod limits;
pub mod log;
pub mod pid_file;
pub mod rate;
pub mod service_manager;
pub mod signals;
pub mod version;
