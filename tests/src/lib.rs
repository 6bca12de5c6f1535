//! Tests of the whole system stand in `tests/`, one file a topic. They start the real daemons as processes: run
//! them with `cargo test --workspace`, which builds these as well.
#![forbid(unsafe_code)]
