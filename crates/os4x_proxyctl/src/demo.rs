//! `demo`: a complete system on this machine, as an administrator would set it up, with a partner to use it.
//!
//! Both daemons are real processes with keys, lists, configuration files and logs in a folder of their own. The
//! stations inside and the partner outside live in this process. Every step is told, checked and timed.

mod account;
mod content;
mod daemon_process;
mod inside;
mod outward;
mod partner;
mod place;
mod programs;
mod record;
mod setup;
mod stay;

use std::process::ExitCode;

use daemon::failure::Failure;

use crate::cli::DemoOptions;
use crate::figure::Bytes;
use crate::print;
use crate::signals::Ending;
use account::Account;
use daemon_process::DaemonProcess;
use inside::Inside;
use outward::Outside;
use place::Place;
use programs::Programs;

/// Runs the demo: the steps, then everything stays up until it is ended.
///
/// # Errors
/// What keeps the demo from beginning at all.
pub async fn run(options: &DemoOptions) -> Result<ExitCode, Failure> {
    let mut ending = Ending::new()?;
    let programs = Programs::beside_this_one()?;
    let place = Place::make(options.size)?;
    let inside = Inside::open(&place).await.map_err(Failure::Operator)?;
    let outside = Outside::open(&place).await.map_err(Failure::Operator)?;
    let mut demo = Demo { place, inside, outside, account: Account::default(), proxy: None, client: None };
    demo.introduce();
    let is_up = tokio::select! {
        is_up = Box::pin(demo.steps(&programs, options)) => Some(is_up),
        () = ending.asked() => None,
    };
    match is_up {
        Some(true) if !options.once => demo.stay(&mut ending, options.seconds).await,
        Some(_) => {}
        None => print::line("\nInterrupted."),
    }
    Ok(demo.end(is_up.is_some()).await)
}

/// The running system.
struct Demo {
    place: Place,
    inside: Inside,
    outside: Outside,
    account: Account,
    proxy: Option<DaemonProcess>,
    client: Option<DaemonProcess>,
}

impl Demo {
    fn introduce(&self) {
        print::line(format!(
            "OS4X Proxy demo: a complete system on this machine\n\n{DRAWING}\nConfiguration, keys, logs and files are in \
             {}",
            self.place.root().display()
        ));
    }

    /// All steps in order. Whether the system is up and worth staying for.
    async fn steps(&mut self, programs: &Programs, options: &DemoOptions) -> bool {
        let built = match setup::run(self, programs).await {
            Ok(()) => self.use_it(options.size).await,
            Err(reason) => Err(reason),
        };
        if let Err(reason) = &built {
            self.account.bad(reason);
        }
        if !self.account.is_all_right() {
            self.show_logs();
        }
        self.account.sum_up();
        built.is_ok()
    }

    /// Partner and station use the system.
    async fn use_it(&mut self, size: Bytes) -> Result<(), String> {
        partner::run(self, size).await?;
        outward::run(self, size).await
    }

    /// What the daemons had to say, when something went wrong.
    fn show_logs(&self) {
        for daemon in [&self.proxy, &self.client].into_iter().flatten() {
            print::line(format!("\n{}", daemon.tail(TAIL_LINES)));
        }
    }

    /// Ends the daemons, the inner one first, and tidies up unless there is something wrong to look at. What was
    /// interrupted is removed, but did not go well.
    async fn end(mut self, is_complete: bool) -> ExitCode {
        print::line("\nEnding it all");
        for daemon in [self.client.take(), self.proxy.take()].into_iter().flatten() {
            match daemon.end().await {
                Ok(text) => self.account.good(text),
                Err(text) => self.account.bad(text),
            }
        }
        drop((self.inside, self.outside));
        if !self.account.is_all_right() {
            print::line(format!("Left to look at: {}", self.place.keep().display()));
            return ExitCode::FAILURE;
        }
        match self.place.remove() {
            Ok(text) => self.account.good(text),
            Err(text) => self.account.bad(text),
        }
        if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

const DRAWING: &str = "  partner  ──▶  os4x_proxy  ◀──  os4x_proxyclient  ──▶  OFTP2 station
  outside       DMZ              inside                 inside
";

/// Of each log, when something went wrong.
const TAIL_LINES: usize = 20;
