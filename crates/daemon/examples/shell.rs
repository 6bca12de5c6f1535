//! The smallest daemon that there is, for the tests of going to the background: `shell PLACE FATE PID_FILE`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use daemon::background::{self, Place, Role};
use daemon::failure::Failure;
use daemon::log::{self, LogDestination, LogFormat, LogLevel, LogOptions};
use daemon::pid_file::PidFile;
use daemon::signals::{Signal, Signals};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => failure.report("shell"),
    }
}

fn run() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, fate, file] = arguments.as_slice() else {
        return Err(Failure::Usage(String::from("three arguments are needed")));
    };
    let pid_path = std::path::absolute(file).map_err(Failure::operator)?;
    let place = if place == "background" { Place::Background } else { Place::Foreground };
    let readiness = match background::start(place).map_err(Failure::operator)? {
        Role::Launcher(code) => return Ok(code),
        Role::Daemon(readiness) => readiness,
    };
    match fate.as_str() {
        "fail" => return Err(Failure::Operator(String::from("the key is gone"))),
        "usage" => return Err(Failure::Usage(String::from("no such flag"))),
        "vanish" => return Ok(ExitCode::from(7)),
        "end" => return Ok(ExitCode::SUCCESS),
        _ => {}
    }
    let destination = LogDestination::File(log_path(&pid_path));
    let options = LogOptions { level: LogLevel::Normal, format: LogFormat::Text, destination };
    let log = log::init(&options, "shell").map_err(Failure::operator)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::operator)?;
    runtime.block_on(async {
        let mut signals = Signals::new().map_err(Failure::operator)?;
        let _pid_file = PidFile::write(&pid_path).map_err(Failure::operator)?;
        eprintln!("a warning on the way");
        readiness.ready();
        // Would panic, were the pipe of a launcher that has gone still there.
        println!("unheard");
        loop {
            let signal = signals.next().await;
            tracing::info!(target: "daemon", signal = ?signal, "heard");
            match signal {
                Signal::Reload => log.reopen().map_err(Failure::operator)?,
                Signal::Drain if fate == "patient" => {}
                Signal::Drain | Signal::EndNow => return Ok(ExitCode::SUCCESS),
            }
        }
    })
}

fn log_path(pid_path: &Path) -> PathBuf {
    pid_path.with_extension("log")
}
