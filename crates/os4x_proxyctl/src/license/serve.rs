//! `license serve`: a small web page that hands out test licenses.
//!
//! It is for a network of one's own: who can reach it can have licenses. It is on loopback unless told otherwise,
//! and keeps within bounds: connections and how long each may last (`door`), bytes of a request, licenses a minute
//! (`limit`).

mod door;
mod limit;
mod page;
mod routes;

use std::process::ExitCode;

use daemon::bind::BACKLOG;
use daemon::failure::Failure;
use tokio::net::TcpListener;

use super::signing_key;
use crate::cli::ServeOptions;
use crate::print;
use crate::signals::Ending;
use door::{Caller, Door};

/// Serves the page until a signal comes.
///
/// # Errors
/// The key cannot be used, or the address is taken.
pub async fn run(options: ServeOptions) -> Result<ExitCode, Failure> {
    let mut ending = Ending::new()?;
    let key = signing_key(options.secret_key.as_deref())?;
    let listener = options.address.bind(BACKLOG).map_err(Failure::operator)?;
    let listener = TcpListener::from_std(listener).map_err(Failure::operator)?;
    let bound = listener.local_addr().map_err(Failure::operator)?;
    print::line(format!("test licenses at http://{bound}/ ; Ctrl-C ends"));
    if !bound.ip().is_loopback() {
        print::line("whoever reaches this address can have test licenses");
    }
    let service = routes::routes(key).into_make_service_with_connect_info::<Caller>();
    let ended = tokio::select! {
        ended = axum::serve(Door::new(listener), service) => ended,
        () = ending.asked() => Ok(()),
    };
    ended.map_err(Failure::operator)?;
    Ok(ExitCode::SUCCESS)
}
