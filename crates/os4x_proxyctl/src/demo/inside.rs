//! The OFTP2 station inside, at two ports: plain and with TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oftp::command::{Code, DatasetName, Password};
use oftp::tls::{Identity, Trust};
use oftp::{Event, Inbox, ListenEvent, ReceivedFile, Settings};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::place::{CERTIFICATE, INBOX, Place};

/// The running station. It ends when this is dropped.
pub(super) struct Inside {
    /// Where it listens for plain OFTP.
    pub(super) plain: SocketAddr,
    /// Where it listens for TLS.
    pub(super) tls: SocketAddr,
    /// Its certificate, pinned.
    pub(super) trust: Trust,
    /// What happens there.
    pub(super) news: News,
}

/// Which port of the station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// For plain OFTP.
    Plain,
    /// For TLS.
    Tls,
}

impl Inside {
    /// Opens the station.
    pub(super) async fn open(place: &Place) -> Result<Self, String> {
        let identity = Identity::self_made(&["station.inside.example"]).map_err(|error| error.to_string())?;
        let trust = Trust::pinned(identity.certificate().clone()).map_err(|error| error.to_string())?;
        place.write(CERTIFICATE, &pem(identity.certificate()))?;
        let settings = Arc::new(settings(STATION, Inbox::Folder(place.path(INBOX)))?);
        let (plain, plain_address) = bind().await?;
        let (tls, tls_address) = bind().await?;
        let news = News::listening([(Door::Plain, plain, None), (Door::Tls, tls, Some(identity))], &settings);
        Ok(Self { plain: plain_address, tls: tls_address, trust, news })
    }
}

/// What happens at the ports of a station, which listens for as long as this lives.
pub(super) struct News {
    news: mpsc::Receiver<(Door, ListenEvent)>,
    _tasks: JoinSet<()>,
}

impl News {
    /// Has a station listen.
    pub(super) fn listening(
        ports: impl IntoIterator<Item = (Door, TcpListener, Option<Identity>)>,
        settings: &Arc<Settings>,
    ) -> Self {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let mut tasks = JoinSet::new();
        for (door, listener, identity) in ports {
            let sender = sender.clone();
            let on_event = move |event: ListenEvent| {
                if !is_progress(&event) {
                    // Where nobody listens to the news for long, the news are of no interest.
                    let _ = sender.try_send((door, event));
                }
            };
            let for_ever = std::future::pending();
            tasks.spawn(oftp::listen(listener, settings.clone(), identity, for_ever, on_event));
        }
        Self { news, _tasks: tasks }
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> (Door, ListenEvent) {
        match self.news.recv().await {
            Some(news) => news,
            // The listeners hold the other end for ever.
            None => std::future::pending().await,
        }
    }

    /// Forgets what has happened so far.
    pub(super) fn forget(&mut self) {
        while self.news.try_recv().is_ok() {}
    }

    /// Waits for a file to have come in.
    pub(super) async fn received(&mut self, at: Door, name: DatasetName) -> Result<ReceivedFile, String> {
        let search = async {
            loop {
                if let (door, ListenEvent::Session { event: Event::Received(file), .. }) = self.next().await
                    && door == at
                    && file.name == name
                {
                    return file;
                }
            }
        };
        let found = timeout(NEWS_WAIT, search).await;
        found.map_err(|_| format!("the station knows nothing of {name}"))
    }
}

/// A station with this code, which neither shows nor asks for a password.
pub(super) fn settings(code: &str, inbox: Inbox) -> Result<Settings, String> {
    let code = Code::new(code).map_err(|error| error.to_string())?;
    let password = Password::new("").map_err(|error| error.to_string())?;
    Ok(Settings::new(code, password, inbox))
}

/// A port of this host.
pub(super) async fn bind() -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error| format!("cannot listen on {}: {error}", Ipv4Addr::LOCALHOST);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn is_progress(event: &ListenEvent) -> bool {
    matches!(event, ListenEvent::Session { event: Event::Progress { .. }, .. })
}

/// RFC 7468, section 2: lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for start in (0..text.len()).step_by(64) {
        pem.push_str(&text[start..text.len().min(start + 64)]);
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// The code of the station inside.
pub(super) const STATION: &str = "STATION-INSIDE";
const NEWS_MAX: usize = 1_024;
/// The sender has been told already that the file is complete.
const NEWS_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_can_be_pinned_from_its_file() {
        let identity = Identity::self_made(&["a.example"]).unwrap();
        let text = pem(identity.certificate());
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        Trust::pinned_pem(text.as_bytes()).unwrap();
    }
}
