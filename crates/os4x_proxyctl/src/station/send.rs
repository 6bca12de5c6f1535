//! `station send`.

use std::path::Path;
use std::process::ExitCode;

use daemon::failure::Failure;
use oftp::tls::Trust;
use oftp::{Event, FileToSend, Inbox, Response, SessionReport, Settings};

use super::call::{Called, Callee};
use super::{news, read};
use crate::cli::SendOptions;
use crate::figure::{Bytes, Time};
use crate::print;

/// Sends the files in one session.
///
/// # Errors
/// Why the call failed, or that not every file was accepted.
pub async fn run(options: SendOptions) -> Result<ExitCode, Failure> {
    options.files.iter().try_for_each(|path| check(path))?;
    let files: Vec<FileToSend> = options
        .files
        .iter()
        .map(|path| FileToSend { destination: options.destination, ..FileToSend::from_path(path) })
        .collect();
    let callee = Callee {
        at: options.to.clone(),
        via: options.socks.clone(),
        trust: trust(&options)?,
        wait: options.timeout,
    };
    let settings = settings(&options);
    let payload = match (&options.pin, options.tls) {
        (Some(_), _) => "TLS, pinned certificate",
        (None, true) => "TLS, certificate not verified",
        (None, false) => "plain OFTP",
    };
    print::line(format!("calling {} ({payload}) as \"{}\"", options.to, settings.code));
    let mut shown = 0;
    let on_event = move |event: Event| match event {
        Event::Sending { .. } => shown = 0,
        Event::Progress { bytes } if bytes >= shown + PROGRESS_BYTES => {
            shown = bytes;
            print::line(format!("  {} so far", Bytes(bytes)));
        }
        _ => {
            if let Some(line) = news::of_session(&event) {
                print::line(line);
            }
        }
    };
    let Called { report, .. } =
        Box::pin(callee.send(&settings, &files, on_event)).await.map_err(Failure::operator)?;
    tell_missing_responses(&report);
    let refused = report.sent.iter().filter(|file| !is_fine(file)).count();
    if refused > 0 {
        let all = report.sent.len();
        return Err(Failure::Operator(format!(
            "{refused} of {all} files did not get there: see the reasons above"
        )));
    }
    print::line(format!("session ended in order after {}", Time(report.duration)));
    Ok(ExitCode::SUCCESS)
}

/// Accepted, and not reported as lost afterwards.
fn is_fine(file: &oftp::SentFile) -> bool {
    file.is_accepted() && !matches!(file.response, Some(Response::NotDelivered { .. }))
}

fn tell_missing_responses(report: &SessionReport) {
    for file in report.sent.iter().filter(|file| file.is_accepted() && file.response.is_none()) {
        let name = file.name;
        print::line(format!(
            "no EERP for {name} in this session; it may come later, in a call of the other station"
        ));
    }
}

fn settings(options: &SendOptions) -> Settings {
    let who = &options.identification;
    let mut settings = Settings::new(who.code, who.password, Inbox::Closed);
    settings.buffer_bytes = who.buffer;
    settings.credit = who.credit;
    settings.answer_wait = options.timeout;
    settings
}

fn trust(options: &SendOptions) -> Result<Option<Trust>, Failure> {
    let trust = match &options.pin {
        Some(path) => Trust::pinned_pem(&read(path, "certificate")?),
        None if options.tls => Trust::anyone(),
        None => return Ok(None),
    };
    trust.map(Some).map_err(Failure::operator)
}

/// What is wrong with a file is said before anybody is called.
fn check(path: &Path) -> Result<(), Failure> {
    let wrong = |reason: String| Failure::Operator(format!("cannot send {}: {reason}", path.display()));
    match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(wrong(String::from("it is no regular file"))),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// A large file says so often that it is still on its way.
const PROGRESS_BYTES: u64 = 1 << 30;
