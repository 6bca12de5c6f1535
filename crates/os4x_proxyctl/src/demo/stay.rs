//! After the steps: what to try, and what happens then.

use std::time::Duration;

use tokio::time::sleep;

use super::Demo;
use super::daemon_process::DaemonProcess;
use super::inside::Door;
use super::place::{CERTIFICATE, INBOX};
use crate::figure::Time;
use crate::print;
use crate::signals::Ending;
use crate::station::news;

impl Demo {
    /// Everything stays up until a signal or for so many seconds. A daemon that ends is started again, as systemd
    /// would.
    pub(super) async fn stay(&mut self, ending: &mut Ending, seconds: Option<u64>) {
        self.inside.news.forget();
        self.say_what_to_try();
        match seconds {
            None => print::line("\nEverything stays up. Ctrl-C ends it."),
            Some(seconds) => print::line(format!("\nEverything stays up for {seconds} s.")),
        }
        let over = async {
            match seconds {
                Some(seconds) => sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ending.asked() => {}
            () = over => {}
            () = self.watch() => {}
        }
    }

    /// Tells of everything that happens. Ends only when a daemon cannot be had again.
    async fn watch(&mut self) {
        loop {
            let ended = tokio::select! {
                (door, event) = self.inside.news.next() => {
                    if let Some(line) = news::of_listener(&event) {
                        let door = if door == Door::Plain { "plain" } else { "TLS" };
                        print::line(format!("station inside, {door}: {line}"));
                    }
                    continue;
                }
                how = ended(&mut self.proxy) => (true, how),
                how = ended(&mut self.client) => (false, how),
            };
            let (is_proxy, how) = ended;
            if let Err(reason) = self.start_again(is_proxy, &how).await {
                self.account.bad(reason);
                return self.show_logs();
            }
        }
    }

    async fn start_again(&mut self, is_proxy: bool, how: &str) -> Result<(), String> {
        let (Some(proxy), Some(client)) = (&mut self.proxy, &mut self.client) else { return Ok(()) };
        client.mark();
        let daemon = if is_proxy { &mut *proxy } else { &mut *client };
        print::line(format!("\n{} has ended ({how}). {}", daemon.name(), daemon.tail(TAIL_LINES)));
        daemon.start_again()?;
        let (name, pid) = (daemon.name(), daemon.pid());
        print::line(format!("Started again, as systemd would: {name} is process {pid}"));
        if is_proxy {
            proxy.await_event("listening", &[("door", "internal")]).await?;
        }
        client.await_event("attached", &[]).await?;
        let age = if is_proxy { proxy.age() } else { client.age() };
        print::line(format!("The client is attached again {} after that", Time(age)));
        Ok(())
    }

    fn say_what_to_try(&self) {
        let Self { place, proxy, client, .. } = self;
        let (Some(proxy), Some(client)) = (proxy, client) else { return };
        let own = std::env::current_exe()
            .map_or_else(|_| String::from("os4x_proxyctl"), |path| path.display().to_string());
        let shown = |relative: &str| place.path(relative).display().to_string();
        let (file, certificate) = (shown("outside/ONE-BYTE"), shown(CERTIFICATE));
        let (plain, tls) = (place.plain.address(), place.tls.address());
        let (plain_port, proxy_log, client_log) =
            (plain.port(), proxy.log().display(), client.log().display());
        print::line(format!(
            "\nTry, in another terminal:\n\
             \x20 send a file as a partner      {own} station send {plain} {file}\n\
             \x20 with TLS                      {own} station send {tls} --tls --pin {certificate} {file}\n\
             \x20 hear the station speak first  nc 127.0.0.1 {plain_port}\n\
             \x20 see it in the logs            tail -f {proxy_log} {client_log}\n\
             \x20 what the station received     ls -l {}\n\
             \x20 kill a daemon                 kill -9 {}   (os4x_proxy)\n\
             \x20                               kill -9 {}   (os4x_proxyclient)\n\
             \x20 the configuration             {}\n\
             \x20                               {}",
            shown(INBOX),
            proxy.pid(),
            client.pid(),
            shown(super::place::PROXY_CONFIG),
            shown(super::place::CLIENT_CONFIG),
        ));
    }
}

async fn ended(daemon: &mut Option<DaemonProcess>) -> String {
    match daemon {
        Some(daemon) => daemon.ended().await,
        None => std::future::pending().await,
    }
}

/// Enough to see what it was doing.
const TAIL_LINES: usize = 3;
