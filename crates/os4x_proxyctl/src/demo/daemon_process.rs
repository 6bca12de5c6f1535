//! A daemon as a process: started, watched by its log, ended.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::record::Record;

/// A running daemon.
pub(super) struct DaemonProcess {
    name: &'static str,
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Child,
    began: Instant,
    /// Where in the log that what is waited for can begin.
    mark: u64,
}

impl DaemonProcess {
    /// Starts a daemon in the foreground; `stem` is its configuration and log without their extensions.
    pub(super) fn start(name: &'static str, program: &Path, stem: &Path) -> Result<Self, String> {
        let (config, log) = (stem.with_extension("toml"), stem.with_extension("log"));
        let child = spawn(program, &config, &log)?;
        let program = program.to_path_buf();
        Ok(Self { name, program, config, log, child, began: Instant::now(), mark: 0 })
    }

    /// Starts it again, as the service manager would.
    pub(super) fn start_again(&mut self) -> Result<(), String> {
        self.mark();
        self.began = Instant::now();
        self.child = spawn(&self.program, &self.config, &self.log)?;
        Ok(())
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Its log.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        // Without one it has ended, and nobody asks.
        self.child.id().unwrap_or_default()
    }

    /// Since it was started.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// From now on only what is new in the log counts.
    pub(super) fn mark(&mut self) {
        self.mark = fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
    }

    /// Waits until the log has an event. When it does not come, or the daemon ends, says so with the end of the log.
    pub(super) async fn await_event(
        &mut self,
        event: &str,
        values: &[(&str, &str)],
    ) -> Result<Record, String> {
        let deadline = Instant::now() + EVENT_WAIT;
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let has_ended = self.child.try_wait().ok().flatten();
            if let Some(record) = self.records().find(|record| record.is(event, values)) {
                return Ok(record);
            }
            if let Some(status) = has_ended {
                return Err(format!("{} has ended ({status}); see the end of its log below", self.name));
            }
            if Instant::now() > deadline {
                let (name, wait) = (self.name, EVENT_WAIT.as_secs());
                let values: String = values.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                return Err(format!(
                    "{name} did not log event=\"{event}\"{values} within {wait} s; see its log below"
                ));
            }
        }
    }

    /// Returns when it ends by itself.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// SIGTERM, and SIGKILL if it must be. Says how it ended.
    pub(super) async fn end(mut self) -> Result<String, String> {
        let name = self.name;
        let began = Instant::now();
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended just now, which the wait tells.
            let _ = kill_process(pid, Signal::TERM);
        }
        let how =
            |status: ExitStatus| format!("{name} ended ({status}) after {} ms", began.elapsed().as_millis());
        match timeout(END_WAIT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(how(status)),
            Ok(Ok(status)) => Err(how(status)),
            Ok(Err(error)) => Err(format!("{name}: {error}")),
            Err(_) => {
                let _ = self.child.kill().await;
                Err(format!("{name} did not end within {} s and was killed", END_WAIT.as_secs()))
            }
        }
    }

    /// The last lines of the log, with a headline.
    pub(super) fn tail(&self, count: usize) -> String {
        let text = self.read_from(0);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(count)..].join("\n  ");
        format!("The end of {}:\n  {tail}", self.log.display())
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        let mut text = self.read_from(self.mark);
        // What is being written is looked at when it is complete.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        text.lines().filter_map(Record::parse).collect::<Vec<_>>().into_iter()
    }

    fn read_from(&self, start: u64) -> String {
        let mut bytes = Vec::new();
        let read = fs::File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(start))?;
            file.read_to_end(&mut bytes)
        });
        // It is not there before the daemon has made it.
        read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

/// In a process group of its own, so that a Ctrl-C meets this program alone, which ends the daemons in order. What a
/// daemon says before it has a log goes where its log will be.
fn spawn(program: &Path, config: &Path, log: &Path) -> Result<Child, String> {
    let early = fs::OpenOptions::new().append(true).create(true).open(log);
    let early = early.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    Command::new(program)
        .arg("-f")
        .arg("-c")
        .arg(config)
        .arg("--log-file")
        .arg(log)
        .args(["--log-format", "text"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(early)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))
}

/// For anything that a daemon does by itself; a client looks for its proxy again after a minute at most.
const EVENT_WAIT: Duration = Duration::from_secs(60);
/// How often a log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The drain that the configuration has, and the farewells after it.
const END_WAIT: Duration = Duration::from_secs(15);
