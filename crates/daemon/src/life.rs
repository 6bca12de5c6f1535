//! The life of a daemon from the moment its command line has been understood, in order.

use std::process::ExitCode;

use tokio::runtime::Builder;
use tracing::{error, info};

use crate::background::{self, Place, Role};
use crate::failure::{self, Failure};
use crate::limits;
use crate::log::{self, LogHandle, LogOptions};
use crate::pid_file::PidFile;
use crate::service_manager;
use crate::signals::{Signal, Signals};
use std::path::PathBuf;

/// How a daemon lives.
#[derive(Clone, Debug)]
pub struct Shell {
    /// Its name, as it stands before messages and in the syslog.
    pub program: &'static str,
    /// Where it runs.
    pub place: Place,
    /// Its log.
    pub log: LogOptions,
    /// Where its process id is written.
    pub pid_file: Option<PathBuf>,
}

/// What a daemon does in its life.
pub trait Service: Sized + 'static {
    /// How it stands, in one line, for the log when it is ready and when it was reloaded.
    fn status(&self) -> Option<String> {
        None
    }

    /// Its thread has nothing to do and is about to wait.
    fn before_waiting() {}

    /// Reads the configuration again and takes over what has changed.
    ///
    /// # Errors
    /// What is wrong with it; the service goes on as before.
    fn reload(&mut self) -> impl Future<Output = Result<(), Failure>>;

    /// Ends: no new calls; running ones go on for a while, or until `hurry` is ready.
    fn drain(self, hurry: impl Future<Output = ()>) -> impl Future<Output = ()>;
}

/// Tasks that run before the sockets are looked at again. A call that moves data has a turn at a time, and this many turns
/// at most go before whoever has just been heard from.
const TASKS_BETWEEN_LOOKS: u32 = 8;

/// Goes to the background if need be, opens the log, starts the service inside a Tokio runtime of one thread, says that it is
/// ready, and serves until a signal ends it. Gives the exit code for `main`.
///
/// # Errors
/// What the operator has to mend before the daemon can start.
pub fn live<S: Service>(
    shell: &Shell,
    start: impl FnOnce() -> Result<S, Failure>,
) -> Result<ExitCode, Failure> {
    if let Some(path) = &shell.pid_file {
        PidFile::check(path).map_err(Failure::operator)?;
    }
    let readiness = match background::start(shell.place).map_err(Failure::operator)? {
        Role::Launcher(code) => return Ok(code),
        Role::Daemon(readiness) => readiness,
    };
    failure::log_panics();
    let log = log::init(&shell.log, shell.program).map_err(Failure::operator)?;
    let open_files = limits::raise_open_files().map_err(Failure::operator)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(TASKS_BETWEEN_LOOKS)
        .on_thread_park(S::before_waiting)
        .build()
        .map_err(Failure::operator)?;
    runtime.block_on(async {
        let mut signals = Signals::new().map_err(Failure::operator)?;
        let service = start()?;
        let pid_file =
            shell.pid_file.as_deref().map(PidFile::write).transpose().map_err(Failure::operator)?;
        info!(event = "ready", pid = std::process::id(), open_files, status = service.status());
        readiness.ready();
        serve(service, &mut signals, &log, shell.program).await;
        drop(pid_file);
        info!(event = "ended");
        Ok(ExitCode::SUCCESS)
    })
}

async fn serve<S: Service>(mut service: S, signals: &mut Signals, log: &LogHandle, program: &str) {
    loop {
        match signals.next().await {
            Signal::Reload => match reload(&mut service, log).await {
                Ok(()) => info!(event = "reloaded", status = service.status()),
                Err(failure) => {
                    error!("not reloaded, what was in force stays so: {}", failure.message(program));
                }
            },
            Signal::Drain => {
                service_manager::stopping();
                let hurry = async { while signals.next().await != Signal::EndNow {} };
                return service.drain(hurry).await;
            }
            Signal::EndNow => return,
        }
    }
}

async fn reload<S: Service>(service: &mut S, log: &LogHandle) -> Result<(), Failure> {
    log.reopen().map_err(Failure::operator)?;
    service.reload().await
}

/// Prints an answer on stdout, for a command that only asks.
///
/// # Errors
/// Nobody reads it.
pub fn answer(text: &str) -> Result<ExitCode, Failure> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}").map_err(Failure::operator)?;
    Ok(ExitCode::SUCCESS)
}
