//! How the daemons of a test are set up.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::command::run;
use crate::daemon::{Daemon, Program, Room};
use crate::site::{Site, write_private};

/// An external listener of a proxy.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Where partners call.
    pub address: SocketAddr,
    /// Whether callers have to begin with a TLS ClientHello.
    pub tls: bool,
}

/// What both daemons are set up with.
#[derive(Clone, Debug)]
struct Files {
    program: Program,
    /// The name of the daemon; its files are called after it.
    name: String,
    directory: PathBuf,
}

impl Files {
    fn new(program: Program, name: &str, site: &Site) -> Self {
        Self { program, name: name.to_owned(), directory: site.path("") }
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name))
    }

    fn public_key(&self) -> String {
        self.ask("-K")
    }

    /// What it answers to a flag that only asks.
    fn ask(&self, flag: &str) -> String {
        let key = self.path("key");
        let outcome =
            run(self.program, [flag.as_ref(), "-c".as_ref(), nothing(), "-k".as_ref(), key.as_os_str()]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stdout.trim().to_owned()
    }

    fn trust(&self, keys: &[&str]) {
        write_private(&self.path("authorized"), &format!("{}\n", keys.join("\n")));
    }

    /// The part of the configuration that both have.
    fn common(&self, step_s: u64, idle_s: u64, drain_s: u64) -> String {
        format!(
            "timeout = {step_s}\nidle = {idle_s}\ndrain = {drain_s}\nkey = {:?}\nauthorized = {:?}\n",
            self.path("key"),
            self.path("authorized")
        )
    }

    fn start(&self, format: &str, debug: bool, room: &Room) -> Daemon {
        let config = self.path("toml");
        let level = if debug { "-d" } else { "-f" };
        let flags = [level, "--log-format", format, "-c"].map(AsRef::as_ref);
        Daemon::start(&self.name, self.program, flags.into_iter().chain([config.as_os_str()]), room)
    }
}

/// A configuration file in which nothing stands, for commands that shall not look for one at its usual place.
fn nothing() -> &'static std::ffi::OsStr {
    "/dev/null".as_ref()
}

/// A proxy before it is started. Change what the test is about.
#[derive(Clone, Debug)]
pub struct ProxySetup {
    files: Files,
    /// Where clients connect to.
    pub internal: SocketAddr,
    /// Where partners call.
    pub listeners: Vec<Listener>,
    /// `-T`, in seconds.
    pub step_s: u64,
    /// Seconds after which a silent call is ended; 0: never.
    pub idle_s: u64,
    /// Seconds that calls may go on when the daemon ends.
    pub drain_s: u64,
    /// What it may have.
    pub room: Room,
    /// Further lines at the top of its configuration file.
    pub extra: String,
    /// The section `[outgoing]` of its configuration file; as it is by default where this is empty.
    pub outgoing: String,
    /// `text` or `json`.
    pub log_format: &'static str,
    /// Whether it writes the debug log.
    pub debug: bool,
}

impl ProxySetup {
    /// A proxy with one listener, that trusts nobody. Its files are called `name`.
    pub fn new(site: &Site, name: &str) -> Self {
        let listener = Listener { name: String::from("default"), address: site.free_port(), tls: false };
        Self {
            files: Files::new(Program::Proxy, name, site),
            internal: site.free_port(),
            listeners: vec![listener],
            step_s: 180,
            idle_s: 3_600,
            drain_s: 30,
            room: Room::default(),
            extra: String::new(),
            outgoing: String::new(),
            log_format: "json",
            debug: false,
        }
    }

    /// Its public key.
    ///
    /// # Panics
    /// When it has none.
    pub fn public_key(&self) -> String {
        self.files.public_key()
    }

    /// Writes its list of trusted keys.
    ///
    /// # Panics
    /// When that is impossible.
    pub fn trust(&self, keys: &[&str]) {
        self.files.trust(keys);
    }

    /// Its file of this kind: `key`, `authorized`, `toml`, `lic`.
    pub fn path(&self, extension: &str) -> PathBuf {
        self.files.path(extension)
    }

    /// Its Proxy ID, as it prints it.
    ///
    /// # Panics
    /// When it prints none.
    pub fn proxy_id(&self) -> String {
        self.files.ask("-L").trim_start_matches("OS4X Proxy ID: ").to_owned()
    }

    /// Puts a license in its place, from today on and for so many days after today, made with the development key.
    ///
    /// # Panics
    /// When that is impossible.
    pub fn license(&self, days: i64) {
        self.license_for(&self.proxy_id(), days);
    }

    /// As [`ProxySetup::license`], for the installation with this Proxy ID.
    ///
    /// # Panics
    /// When that is impossible.
    pub fn license_for(&self, proxy_id: &str, days: i64) {
        let license = issuer::grant(
            proxy_id.parse().unwrap(),
            "the tests".parse().unwrap(),
            license::Day::today(),
            days,
        );
        let signed = issuer::SigningKey::development().and_then(|key| key.sign(&license)).unwrap();
        std::fs::write(self.path("lic"), signed).unwrap();
    }

    /// Writes its configuration file, and a license if there is none in its place.
    ///
    /// # Panics
    /// When that is impossible.
    pub fn write(&self) {
        if !self.path("lic").exists() {
            self.license(LICENSE_DAYS);
        }
        let mut text = format!("internal = \"{}\"\nlicense = {:?}\n", self.internal, self.path("lic"));
        text.push_str(&self.files.common(self.step_s, self.idle_s, self.drain_s));
        text.push_str(&self.extra);
        for Listener { name, address, tls } in &self.listeners {
            let payload = if *tls { "tls" } else { "any" };
            let listener =
                format!("[[external]]\nname = \"{name}\"\nlisten = \"{address}\"\npayload = \"{payload}\"\n");
            text.push_str(&listener);
        }
        if !self.outgoing.is_empty() {
            text.push_str(&format!("[outgoing]\n{}\n", self.outgoing));
        }
        write_private(&self.path("toml"), &text);
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(&self) -> Daemon {
        self.write();
        let daemon = self.files.start(self.log_format, self.debug, &self.room);
        daemon.wait_saying(0, "ready");
        daemon
    }

    /// Writes its configuration file and has a running daemon read it. Waits until it has.
    ///
    /// # Panics
    /// When it does not.
    pub fn reload(&self, daemon: &Daemon) {
        self.write();
        reload(daemon);
    }
}

/// A client before it is started. Change what the test is about.
#[derive(Clone, Debug)]
pub struct ClientSetup {
    files: Files,
    /// The proxies to attach to.
    pub proxies: Vec<SocketAddr>,
    /// Where the calls of each listener go.
    pub targets: Vec<(String, SocketAddr)>,
    /// `-T`, in seconds.
    pub step_s: u64,
    /// Seconds after which a silent call is ended; 0: never.
    pub idle_s: u64,
    /// Seconds that calls may go on when the daemon ends.
    pub drain_s: u64,
    /// Where stations call out; `None`: nowhere.
    pub outgoing: Option<SocketAddr>,
    /// What else stands in the section `[outgoing]` of its configuration file.
    pub outgoing_lines: String,
    /// What it may have.
    pub room: Room,
    /// `auto` or `always`.
    pub seal: &'static str,
    /// `text` or `json`.
    pub log_format: &'static str,
    /// Whether it writes the debug log.
    pub debug: bool,
}

impl ClientSetup {
    /// A client without a proxy, that trusts nobody, and whose target is closed. Its files are called `name`.
    pub fn new(site: &Site, name: &str) -> Self {
        Self {
            files: Files::new(Program::Client, name, site),
            proxies: Vec::new(),
            targets: vec![(String::from("default"), site.free_port())],
            step_s: 180,
            idle_s: 3_600,
            drain_s: 30,
            outgoing: None,
            outgoing_lines: String::new(),
            room: Room::default(),
            seal: "auto",
            log_format: "json",
            debug: false,
        }
    }

    /// Its public key.
    ///
    /// # Panics
    /// When it has none.
    pub fn public_key(&self) -> String {
        self.files.public_key()
    }

    /// Writes its list of trusted keys.
    ///
    /// # Panics
    /// When that is impossible.
    pub fn trust(&self, keys: &[&str]) {
        self.files.trust(keys);
    }

    /// Its file of this kind: `key`, `authorized`, `toml`.
    pub fn path(&self, extension: &str) -> PathBuf {
        self.files.path(extension)
    }

    /// Has all calls of the listener `default` go to `target`.
    pub fn aim(&mut self, target: SocketAddr) {
        self.targets = vec![(String::from("default"), target)];
    }

    /// Writes its configuration file.
    pub fn write(&self) {
        let proxies: Vec<String> = self.proxies.iter().map(|proxy| format!("\"{proxy}\"")).collect();
        let proxies = proxies.join(", ");
        let mut text = format!("proxy = [{proxies}]\nstatus = \"off\"\nseal = \"{}\"\n", self.seal);
        text.push_str(&self.files.common(self.step_s, self.idle_s, self.drain_s));
        if self.targets.is_empty() {
            text.push_str("target = []\n");
        }
        for (name, target) in &self.targets {
            text.push_str(&format!("[[target]]\nname = \"{name}\"\nconnect = \"{target}\"\n"));
        }
        let listen = self.outgoing.map_or_else(|| String::from("off"), |address| address.to_string());
        text.push_str(&format!("[outgoing]\nlisten = \"{listen}\"\n{}\n", self.outgoing_lines));
        write_private(&self.path("toml"), &text);
    }

    /// Starts it and waits until it has begun to attach.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(&self) -> Daemon {
        self.write();
        let daemon = self.files.start(self.log_format, self.debug, &self.room);
        daemon.wait_saying(0, "ready");
        daemon
    }

    /// Writes its configuration file and has a running daemon read it. Waits until it has.
    ///
    /// # Panics
    /// When it does not.
    pub fn reload(&self, daemon: &Daemon) {
        self.write();
        reload(daemon);
    }
}

fn reload(daemon: &Daemon) {
    let mark = daemon.mark();
    daemon.signal(Signal::HUP);
    daemon.wait_after(mark, &[("event", "reloaded")]);
}

/// Long enough that no test is warned of its end.
const LICENSE_DAYS: i64 = 365;
