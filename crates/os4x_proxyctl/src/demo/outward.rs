//! The steps in which the station inside calls its partner, and the partner's station that it calls.

use std::net::SocketAddr;
use std::sync::Arc;

use oftp::Inbox;
use oftp::command::DatasetName;

use super::inside::{Door, News, STATION, bind, settings};
use super::partner::{PARTNER, Prepared, call, callee, compare, compare_logs, host_port};
use super::place::{OUTER_INBOX, Place};
use super::{Demo, content};
use crate::figure::Bytes;
use crate::station::call::{CallFault, Callee};

/// The partner's station. It ends when this is dropped.
pub(super) struct Outside {
    /// Where it listens for plain OFTP.
    pub(super) address: SocketAddr,
    news: News,
}

impl Outside {
    /// Opens the station.
    pub(super) async fn open(place: &Place) -> Result<Self, String> {
        let (listener, address) = bind().await?;
        let settings = Arc::new(settings(PARTNER, Inbox::Folder(place.path(OUTER_INBOX)))?);
        Ok(Self { address, news: News::listening([(Door::Plain, listener, None)], &settings) })
    }
}

/// The station's steps. An error is what keeps the next ones from making sense.
pub(super) async fn run(demo: &mut Demo, size: Bytes) -> Result<(), String> {
    let partner = demo.outside.address;
    let (outgoing, forward) = (demo.place.outgoing.address(), demo.place.forward.address());
    demo.account
        .step(format!("Inside: the station has a file for the partner, whose station listens at {partner}"));
    let files = [make_file(demo, size).await?];
    demo.account
        .step(format!("The station sends it through {outgoing} (-Q), which it asks for {partner} by SOCKS5"));
    let by_socks = Callee { via: Some(host_port(outgoing)), ..callee(partner, None) };
    send(demo, &by_socks, &files).await;
    demo.account.step(format!("The station sends it through {forward}, which stands for the partner"));
    send(demo, &callee(forward, None), &files).await;
    meet_policy(demo, outgoing).await;
    demo.account.step("What the logs of both daemons say of the call through -Q");
    let partner = partner.to_string();
    let values = [("direction", "out"), ("listener", "outgoing"), ("partner", partner.as_str())];
    compare_logs(demo, &values).await
}

async fn make_file(demo: &mut Demo, size: Bytes) -> Result<Prepared, String> {
    let bytes = Bytes(size.0.min(OUTWARD_BYTES_MAX));
    let path = demo.place.path("inside/ORDERS");
    let sha256 = content::generate(path.clone(), bytes).await?;
    demo.account.good(format!("ORDERS   {sha256}  {bytes}"));
    Ok(Prepared { name: DatasetName::lossy("ORDERS"), path, bytes, sha256 })
}

async fn send(demo: &mut Demo, callee: &Callee, files: &[Prepared; 1]) {
    let [file] = files;
    let outcome = match call(callee, STATION, files).await {
        Ok(called) => match called.report.sent.first() {
            Some(sent) => compare(&mut demo.outside.news, Door::Plain, file, sent).await,
            None => Err(String::from("nothing was sent")),
        },
        Err(reason) => Err(reason),
    };
    match outcome {
        Ok(text) => demo.account.good(text),
        Err(text) => demo.account.bad(text),
    }
}

/// The DMZ host itself is no destination, whatever asks for it.
async fn meet_policy(demo: &mut Demo, outgoing: SocketAddr) {
    let internal = demo.place.internal.address();
    demo.account.step(format!("The station asks for {internal}, which is the proxy's own internal port"));
    let callee = Callee { via: Some(host_port(outgoing)), ..callee(internal, None) };
    let answer = callee.probe().await.map_err(|error| {
        let is_denied =
            matches!(error.fault(), CallFault::Socks(tokio_socks::Error::ConnectionNotAllowedByRuleset));
        (is_denied, error)
    });
    match answer {
        Err((is_denied, error)) => demo.account.check(is_denied, error),
        Ok(ready) => demo.account.bad(format!("it was connected, and heard {ready:?}")),
    }
}

/// What goes outward shows the way; how fast it is has been seen inward.
const OUTWARD_BYTES_MAX: u64 = 8 << 20;
