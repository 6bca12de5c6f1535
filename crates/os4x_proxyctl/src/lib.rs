//! The administrator's tool, as a library so that its parts can be tested.
//!
//! * [`cli`]: the command line, as ready values.
//! * [`station`]: a small OFTP2 station, `station listen` and `station send`.
//! * [`demo`]: a complete system on this machine.
//! * [`license`]: keys, licenses, and a web page that hands out test licenses.
//! * [`init`]: the files of a first start.
//! * [`figure`]: sizes, times and rates, read and written.
#![forbid(unsafe_code)]

pub mod cli;
pub mod demo;
pub mod figure;
pub mod init;
pub mod license;
mod print;
mod signals;
pub mod station;
