//! The steps in which a partner uses the system.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon::address::{Host, HostPort};
use oftp::command::DatasetName;
use oftp::tls::Trust;
use oftp::{Content, FileToSend, Inbox, SentFile, Sha256};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::inside::{Door, News, settings};
use super::record::Record;
use super::{Demo, content};
use crate::figure::{Bytes, Rate, Time};
use crate::station::call::{Called, Callee};

/// The partner's steps. An error is what keeps the next ones from making sense.
pub(super) async fn run(demo: &mut Demo, size: Bytes) -> Result<(), String> {
    let files = make_files(demo, size).await?;
    stay_silent(demo).await;
    let (plain, tls) = (demo.place.plain.address(), demo.place.tls.address());
    demo.account.step(format!("The partner sends all three through {plain} (\"plain\"), plain OFTP"));
    let call = send(demo, Door::Plain, plain, None, &files).await;
    demo.account
        .step(format!("The partner sends the large one through {tls} (\"tls\"), TLS between the stations"));
    let trust = demo.inside.trust.clone();
    send(demo, Door::Tls, tls, Some(trust), &files[2..]).await;
    meet_closed_target(demo).await;
    let Some(partner) = call else { return Ok(()) };
    demo.account.step("What the logs of both daemons say of the call in which the three files came");
    compare_logs(demo, &[("partner", &partner.to_string())]).await
}

/// A file that is sent.
pub(super) struct Prepared {
    /// Its name in OFTP.
    pub(super) name: DatasetName,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) bytes: Bytes,
    /// Its hash.
    pub(super) sha256: Sha256,
}

async fn make_files(demo: &mut Demo, size: Bytes) -> Result<Vec<Prepared>, String> {
    demo.account.step("Outside: a partner has three files");
    let mut files = Vec::new();
    for (name, bytes) in [("EMPTY", Bytes(0)), ("ONE-BYTE", Bytes(1)), ("LARGE", size)] {
        let path = demo.place.path(&format!("outside/{name}"));
        let sha256 = content::generate(path.clone(), bytes).await?;
        demo.account.good(format!("{name:8} {sha256}  {bytes}"));
        files.push(Prepared { name: DatasetName::lossy(name), path, bytes, sha256 });
    }
    Ok(files)
}

/// On plain OFTP the called station speaks first (RFC 5024, section 4.2): a caller that waits must be served.
async fn stay_silent(demo: &mut Demo) {
    let address = demo.place.plain.address();
    demo.account.step(format!("The partner calls {address} (\"plain\") and says nothing"));
    let began = Instant::now();
    match callee(address, None).probe().await {
        Ok(ready) => {
            let time = Time(began.elapsed());
            demo.account.good(format!("the station inside says \"{ready}\" after {time}"));
        }
        Err(error) => demo.account.bad(error),
    }
}

/// Sends files in one session and compares what arrived. Gives the partner's address.
async fn send(
    demo: &mut Demo,
    door: Door,
    to: SocketAddr,
    trust: Option<Trust>,
    files: &[Prepared],
) -> Option<SocketAddr> {
    let callee = callee(to, trust);
    let called = match call(&callee, PARTNER, files).await {
        Ok(called) => called,
        Err(reason) => {
            demo.account.bad(reason);
            return None;
        }
    };
    for (file, sent) in files.iter().zip(&called.report.sent) {
        match compare(&mut demo.inside.news, door, file, sent).await {
            Ok(text) => demo.account.good(text),
            Err(text) => demo.account.bad(format!("{}: {text}", file.name)),
        }
    }
    Some(called.local)
}

/// A file has arrived when the receiver has it on its disk with the same hash, and has said so.
pub(super) async fn compare(
    news: &mut News,
    door: Door,
    file: &Prepared,
    sent: &SentFile,
) -> Result<String, String> {
    if !sent.is_accepted() {
        return Err(sent.outcome.to_string());
    }
    let received = news.received(door, file.name).await?;
    let path = received.path.ok_or("it was not kept")?;
    let sha256 = content::hash(path).await?;
    if sha256 != file.sha256 {
        return Err(format!("{} arrived with another SHA-256: {sha256}", Bytes(received.bytes)));
    }
    if !sent.is_delivered() {
        return Err(String::from("it arrived, and no EERP came back"));
    }
    let (name, bytes, time) = (file.name, file.bytes, Time(sent.duration));
    let rate = Rate(bytes, time);
    Ok(format!("{:8} same SHA-256 there, EERP came back; {bytes} in {time}{rate}", name.as_str()))
}

/// A partner must not be left waiting for a target that is not there.
async fn meet_closed_target(demo: &mut Demo) {
    let address = demo.place.closed.address();
    demo.account.step(format!("The partner calls {address} (\"closed\"), whose target refuses"));
    let began = Instant::now();
    let closed = timeout(CLOSE_WAIT, async {
        let mut partner = TcpStream::connect(address).await?;
        partner.read(&mut [0; 64]).await
    });
    match closed.await {
        // However it is closed, by FIN or by reset: nothing was said before.
        Ok(Ok(0) | Err(_)) => {
            let took = began.elapsed();
            demo.account.check(took < AT_ONCE, format!("closed after {}", Time(took)));
        }
        Ok(Ok(_)) => demo.account.bad("somebody answered"),
        Err(_) => demo.account.bad(format!("still open after {}", Time(CLOSE_WAIT))),
    }
}

/// The call event with these values, as both daemons log it.
pub(super) async fn compare_logs(demo: &mut Demo, values: &[(&str, &str)]) -> Result<(), String> {
    let (Some(proxy), Some(client)) = (&mut demo.proxy, &mut demo.client) else {
        return Err(String::from("the daemons have not been started"));
    };
    let outer = proxy.await_event("call", values).await?;
    let inner = client.await_event("call", values).await?;
    print_beside(demo, &outer, &inner);
    check_alike(demo, &outer, &inner);
    Ok(())
}

/// One call, in both logs.
fn check_alike(demo: &mut Demo, outer: &Record, inner: &Record) {
    let is_same = |name| outer.field(name) == inner.field(name);
    let call = outer.field("call");
    let is_one_call = is_same("call") && !call.is_empty();
    demo.account.check(is_one_call, format!("the same id: grep call={call} finds the call on both sides"));
    let is_alike =
        ["result", "bytes_in", "bytes_out"].into_iter().all(is_same) && outer.field("result") == "ok";
    demo.account.check(is_alike, "the same result and the same bytes");
}

fn print_beside(demo: &Demo, outer: &Record, inner: &Record) {
    let shown = |name: &str| !matches!(name, "event" | "reason");
    let width = outer.names().filter(|name| shown(name)).map(|name| outer.field(name).len()).max();
    let width = width.unwrap_or_default().max("os4x_proxy".len()) + 2;
    demo.account.detail(format!("{:12} {:width$} os4x_proxyclient", "", "os4x_proxy"));
    for name in outer.names().filter(|name| shown(name)) {
        demo.account.detail(format!("{name:12} {:width$} {}", outer.field(name), inner.field(name)));
    }
    // Too long to stand beside each other.
    demo.account.detail(format!("{:12} {}", "reason", outer.field("reason")));
    if outer.field("reason") != inner.field("reason") {
        demo.account.detail(format!("{:12} {}", "", inner.field("reason")));
    }
}

/// A station of this host.
pub(super) fn callee(at: SocketAddr, trust: Option<Trust>) -> Callee {
    Callee { at: host_port(at), via: None, trust, wait: ANSWER_WAIT }
}

/// An address as the command line has it.
pub(super) fn host_port(at: SocketAddr) -> HostPort {
    HostPort { host: Host::Ip(at.ip()), port: at.port() }
}

/// One session in which these files are sent by a station with this code.
pub(super) async fn call(callee: &Callee, code: &str, files: &[Prepared]) -> Result<Called, String> {
    let outgoing: Vec<FileToSend> =
        files.iter().map(|file| FileToSend::new(file.name, Content::File(file.path.clone()))).collect();
    let mut settings = settings(code, Inbox::Closed)?;
    settings.answer_wait = ANSWER_WAIT;
    let called = Box::pin(callee.send(&settings, &outgoing, |_| {})).await;
    called.map_err(|error| error.to_string())
}

/// The code of the partner's station.
pub(super) const PARTNER: &str = "PARTNER-OUTSIDE";
/// For each answer; a machine that compiles beside the demo is slow.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// How long a partner waits to be closed.
const CLOSE_WAIT: Duration = Duration::from_secs(10);
/// A few milliseconds are usual; a busy machine has its time, and a timeout of the network is not mistaken for it.
const AT_ONCE: Duration = Duration::from_secs(1);
