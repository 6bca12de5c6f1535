//! The administrator's tool, as a library so that its parts can be tested.
//!
//! * [`cli`]: the command line, as ready values.
//! * [`station`]: a small OFTP2 station, `station listen` and `station send`.
//! * [`demo`]: a complete system on this machine.
//! * [`figure`]: sizes, times and rates, read and written.
#![forbid(unsafe_code)]

pub mod cli;
pub mod demo;
pub mod figure;
mod print;
mod signals;
pub mod station;
