//! `station listen`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use daemon::address::ListenAddress;
use daemon::bind::BACKLOG;
use daemon::failure::Failure;
use oftp::tls::Identity;
use oftp::{Inbox, ListenEvent, Settings};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{news, read};
use crate::cli::ListenOptions;
use crate::print;
use crate::signals::Ending;

/// Receives files until a signal comes, or with `--once` until the first call is over.
///
/// # Errors
/// What the operator has to mend before the station can listen.
pub async fn run(options: ListenOptions) -> Result<ExitCode, Failure> {
    let mut ending = Ending::new()?;
    let identity = identity(&options)?;
    make_inbox(&options.inbox)?;
    let default = if options.tls { PORT_TLS } else { PORT_PLAIN };
    let address = options.address.unwrap_or(ListenAddress::any(default));
    let listener = address.bind(BACKLOG).map_err(Failure::operator)?;
    let listener = TcpListener::from_std(listener).map_err(Failure::operator)?;
    let bound = listener.local_addr().map_err(Failure::operator)?;
    let (code, payload) = (options.identification.code, if options.tls { "TLS" } else { "plain OFTP" });
    print::line(format!("listening on {bound} ({payload}) as \"{code}\"; Ctrl-C ends"));
    if options.tls && options.certificate.is_none() {
        print::line(
            "the certificate was made for this run; for one to pin, use --certificate and --private-key",
        );
    }
    let once = options.once;
    let settings = Arc::new(settings(options));
    let (over, mut is_over) = watch::channel(None);
    let on_event = move |event: ListenEvent| {
        if let Some(line) = news::of_listener(&event) {
            print::line(line);
        }
        if let ListenEvent::Ended { result, .. } = event
            && once
        {
            // Of calls at the same time, the first to end counts.
            over.send_if_modified(|went_well| went_well.replace(result.is_ok()).is_none());
        }
    };
    let mut went_well = is_over.clone();
    let shutdown = async move {
        tokio::select! {
            () = ending.asked() => {}
            _ = went_well.wait_for(Option::is_some) => {}
        }
    };
    Box::pin(oftp::listen(listener, settings, identity, shutdown, on_event)).await;
    match *is_over.borrow_and_update() {
        Some(false) => Ok(ExitCode::FAILURE),
        Some(true) | None => Ok(ExitCode::SUCCESS),
    }
}

fn settings(options: ListenOptions) -> Settings {
    let who = options.identification;
    let mut settings = Settings::new(who.code, who.password, Inbox::Folder(options.inbox));
    settings.buffer_bytes = who.buffer;
    settings.credit = who.credit;
    settings.partners = options.partners;
    settings
}

fn identity(options: &ListenOptions) -> Result<Option<Identity>, Failure> {
    let identity = match (&options.certificate, &options.private_key) {
        (Some(certificate), Some(key)) => {
            Identity::from_pem(&read(certificate, "certificate")?, &read(key, "private key")?)
        }
        _ if options.tls => Identity::self_made(&["localhost"]),
        _ => return Ok(None),
    };
    identity.map(Some).map_err(Failure::operator)
}

/// Partners' files are nobody else's business: a folder made here is the operator's alone.
fn make_inbox(inbox: &Path) -> Result<(), Failure> {
    if inbox.is_dir() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(inbox).map_err(|error| {
        let inbox = inbox.display();
        Failure::Operator(format!("cannot make the folder {inbox} for received files: {error}"))
    })
}

/// RFC 5024, section 2.1.
const PORT_PLAIN: u16 = 3_305;
/// RFC 5024, section 2.3.
const PORT_TLS: u16 = 6_619;
