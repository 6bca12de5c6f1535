//! The command line and the configuration file become one value that is ready to use, before anything opens.

mod outgoing;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::address::{AddressError, HostPort, ListenAddress, ListenerName, Named};
use daemon::background::Place;
use daemon::common_flags::{CommonFlags, Flag, Wish, file_path, file_seconds, next_flag, unknown_flag};
use daemon::config_file;
use daemon::failure::Failure;
use daemon::log::LogOptions;
use lexopt::{Parser, ValueExt};
use policy::Clients;
use serde::Deserialize;
use wire::{Name, limits};

use outgoing::{FileOutgoing, Forward, Listen, read_forward};
pub use outgoing::{LocalDoor, Outgoing, Way};

/// What `-h` prints.
pub const USAGE: &str = "\
os4x_proxyclient: the inner daemon of OS4X Proxy. It attaches to the proxy in the DMZ, takes its calls to the
station, and has it call the station's partners.

usage: os4x_proxyclient -e PROXY [FLAGS]

  -e, --proxy HOST[:PORT]          the proxy to attach to; repeatable; required [port 65432]
  -i, --target [NAME=][IP]:PORT    where calls of the listener NAME go; repeatable; off: no calls inward
                                                                                [localhost:6619]
  -Q, --outgoing [IP:]PORT         accept connections from stations that call out, by SOCKS or HTTP CONNECT;
                                   off: none                                    [65433, loopback]
      --forward [IP]:PORT=HOST:PORT
                                   static call-out: what connects here is connected there; repeatable
      --status [IP]:PORT|off       status page, metrics and health              [127.0.0.1:65434]
  -T, --timeout SECONDS            TCP/IP timeout                               [180]
  -k, --key FILE                   own identity key, made at first start        [/etc/os4x_proxyclient.key]
  -a, --authorized FILE            public keys of the proxies to trust, one per line, optionally preceded by
                                   the host it holds for                        [/etc/os4x_proxyclient.authorized]
  -c, --config FILE                configuration file (TOML)                    [/etc/os4x_proxyclient.toml if there]
  -p, --pid-file FILE              written when ready                           [none]
  -f, --foreground                 stay in the foreground with the normal log
  -d, --debug                      debug log, stay in the foreground
  -t, --trace                      extreme log, stay in the foreground
      --log-file FILE              [stderr in the foreground, syslog in the background]
      --log-format text|json       [text]
  -K, --public-key                 print the own public key (made if missing) and exit
      --check                      read everything, open nothing, say what would be run
  -v, --version                    print the version and exit
  -h, --help                       print this text and exit

This build does not serve --status yet. IPv6 stands in brackets: [::1]:6619. Flags win over the file.
";

/// Everything that `os4x_proxyclient` goes by.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the process was called for.
    pub wish: Wish,
    /// Where it runs.
    pub place: Place,
    /// Its log.
    pub log: LogOptions,
    /// `-e`.
    pub proxies: Vec<HostPort>,
    /// `-i`; none where calls inward are switched off.
    pub targets: Vec<(Name, HostPort)>,
    /// Calls of stations.
    pub outgoing: Outgoing,
    /// `-T`.
    pub step: Duration,
    /// How long a call may be silent; `None`: for ever.
    pub idle: Option<Duration>,
    /// Whether calls whose payload is TLS already may leave the seal (`seal = "auto"`).
    pub unseal: bool,
    /// How long running calls may go on when the daemon ends.
    pub drain: Duration,
    /// `-k`.
    pub key: PathBuf,
    /// `-a`.
    pub authorized: PathBuf,
    /// `-p`.
    pub pid_file: Option<PathBuf>,
    /// What the operator should think about once more, in words.
    pub cautions: Vec<String>,
    /// What was asked for that this build does not carry yet, in words.
    pub not_carried: Vec<String>,
}

/// The configuration file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    proxy: Vec<FileProxy>,
    timeout: Option<u64>,
    idle: Option<u64>,
    drain: Option<u64>,
    key: Option<PathBuf>,
    authorized: Option<PathBuf>,
    status: Option<Status>,
    seal: Option<Seal>,
    target: Option<Vec<FileTarget>>,
    #[serde(default)]
    outgoing: FileOutgoing,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Seal {
    Auto,
    Always,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTarget {
    #[serde(default)]
    name: ListenerName,
    connect: FileConnect,
}

/// A proxy, whose port may be left out.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct FileProxy(HostPort);

impl TryFrom<String> for FileProxy {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        HostPort::parse_with_default_port(&text, DEFAULT_PROXY_PORT).map(Self)
    }
}

/// A target, whose host may be left out.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct FileConnect(HostPort);

impl TryFrom<String> for FileConnect {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        HostPort::parse_with_local_default(&text).map(Self)
    }
}

/// `--status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Status {
    Off,
    At(ListenAddress),
}

impl TryFrom<String> for Status {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        match text.as_str() {
            OFF => Ok(Self::Off),
            _ => ListenAddress::parse_loopback_default(&text).map(Self::At),
        }
    }
}

#[derive(Debug, Default)]
struct Flags {
    common: CommonFlags,
    proxies: Vec<HostPort>,
    /// `Some` of nothing: `-i off`.
    targets: Option<Vec<(Name, HostPort)>>,
    outgoing: Option<Listen>,
    forwards: Vec<Forward>,
    status: Option<Status>,
}

impl Options {
    /// Reads the command line, without the program's name, and the file that it names.
    ///
    /// # Errors
    /// [`Failure::Usage`] for the command line, [`Failure::Operator`] for the file.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let flags = read_flags(Parser::from_args(arguments))?;
        let file: File = match flags.common.wish {
            // These print something, whatever state the file is in.
            Wish::Help | Wish::Version => File::default(),
            _ => config_file::load_or_default(flags.common.config.as_deref(), Path::new(DEFAULT_CONFIG))
                .map_err(Failure::operator)?,
        };
        let config = flags.common.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG));
        let mut options = resolve(flags, file)?;
        if !options.outgoing.users.is_empty() {
            options.cautions.extend(config_file::readable_by_others(&config));
        }
        Ok(options)
    }

    /// What `--check` prints.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for proxy in &self.proxies {
            let _ = writeln!(text, "proxy {proxy}");
        }
        for (name, target) in &self.targets {
            let _ = writeln!(text, "calls of listener {name} go to {target}");
        }
        if self.targets.is_empty() {
            text.push_str("no target: calls inward are switched off, and the proxy opens no external port for this client\n");
        }
        self.summarize_outgoing(&mut text);
        for what in &self.not_carried {
            let _ = writeln!(text, "not carried by this build: {what}");
        }
        let idle = self.idle.map_or(String::from("never"), |idle| format!("{} s", idle.as_secs()));
        let (step, drain) = (self.step.as_secs(), self.drain.as_secs());
        let _ = writeln!(text, "timeout {step} s, idle {idle}, drain {drain} s");
        text
    }

    fn summarize_outgoing(&self, text: &mut String) {
        let Outgoing { doors, from, users, allow } = &self.outgoing;
        if doors.is_empty() {
            text.push_str("calls outward are switched off\n");
        }
        for door in doors {
            let who = match (door.is_local(), from) {
                (true, _) => String::from("from this host"),
                (false, Some(from)) => format!("from {from}"),
                (false, None) => format!("from private addresses ({})", Clients::private()),
            };
            let _ = writeln!(text, "{door}, {who}");
        }
        if !users.is_empty() {
            text.push_str("user and password are asked for\n");
        }
        if let Some(allow) = allow {
            let _ = writeln!(text, "stations may call {allow}, and of that what the proxy allows");
        }
    }
}

fn read_flags(mut parser: Parser) -> Result<Flags, Failure> {
    let mut flags = Flags::default();
    while let Some(flag) = next_flag(&mut parser)? {
        if flags.common.take(&flag, &mut parser)? {
            continue;
        }
        let name = match &flag {
            Flag::Long(name) => name.as_str(),
            Flag::Short('e') => "proxy",
            Flag::Short('i') => "target",
            Flag::Short('Q') => "outgoing",
            Flag::Short(_) => return Err(unknown_flag(&flag)),
        };
        match name {
            "proxy" => flags.proxies.push(to_proxy(&parser.value()?.string()?)?),
            "target" => {
                let text = parser.value()?.string()?;
                add_target(&mut flags.targets, &text)?;
            }
            "outgoing" => {
                flags.outgoing = Some(parser.value()?.string()?.try_into().map_err(Failure::usage)?);
            }
            "forward" => flags.forwards.push(read_forward(&parser.value()?.string()?)?),
            "status" => {
                flags.status = Some(parser.value()?.string()?.try_into().map_err(Failure::usage)?);
            }
            _ => return Err(unknown_flag(&flag)),
        }
    }
    Ok(flags)
}

fn resolve(flags: Flags, file: File) -> Result<Options, Failure> {
    let (place, log) = (flags.common.place(), flags.common.log_options());
    let not_carried = not_carried(&flags, &file);
    let Flags { common, proxies, targets, outgoing, forwards, .. } = flags;
    let proxies = match proxies.is_empty() {
        false => proxies,
        true => file.proxy.into_iter().map(|FileProxy(proxy)| proxy).collect(),
    };
    if proxies.is_empty() && matches!(common.wish, Wish::Serve | Wish::Check) {
        return Err(Failure::Usage(String::from("no proxy is given: name it with -e HOST[:PORT]")));
    }
    let fault = if targets.is_none() { Failure::Operator } else { Failure::Usage };
    let targets = match (targets, file.target) {
        (Some(targets), _) => targets,
        (None, Some(targets)) => targets.into_iter().map(to_target).collect::<Result<_, _>>()?,
        (None, None) => vec![(to_name(&ListenerName::default())?, to_local(DEFAULT_TARGET_PORT)?)],
    };
    check_targets(&targets).map_err(fault)?;
    let step = match (common.timeout, file.timeout) {
        (Some(step), _) => step,
        (None, step) => file_seconds("timeout", step, DEFAULT_STEP_S, 1)?,
    };
    let idle = file_seconds("idle", file.idle, DEFAULT_IDLE_S, 0)?;
    Ok(Options {
        wish: common.wish,
        place,
        log,
        proxies,
        targets,
        outgoing: outgoing::resolve(outgoing, forwards, file.outgoing)?,
        step,
        idle: (!idle.is_zero()).then_some(idle),
        unseal: !matches!(file.seal, Some(Seal::Always)),
        drain: file_seconds("drain", file.drain, DEFAULT_DRAIN_S, 0)?,
        key: file_path(common.key, file.key, DEFAULT_KEY)?,
        authorized: file_path(common.authorized, file.authorized, DEFAULT_AUTHORIZED)?,
        pid_file: common.pid_file,
        cautions: Vec::new(),
        not_carried,
    })
}

/// What was asked for, by flag or file, that is not carried yet. Defaults are not asked for.
fn not_carried(flags: &Flags, file: &File) -> Vec<String> {
    match flags.status.or(file.status) {
        Some(Status::At(address)) => vec![format!("--status {address}")],
        Some(Status::Off) | None => Vec::new(),
    }
}

/// `-i`, once more: a target, or `off` and nothing else.
fn add_target(targets: &mut Option<Vec<(Name, HostPort)>>, text: &str) -> Result<(), Failure> {
    let is_off = text == OFF;
    match targets {
        Some(others) if is_off || others.is_empty() => {
            return Err(Failure::Usage(format!(
                "-i {OFF} excludes any other -i; calls inward are on or off"
            )));
        }
        _ if is_off => *targets = Some(Vec::new()),
        _ => {
            let target = Named::parse_with(text, HostPort::parse_with_local_default);
            let target = target.map_err(Failure::usage)?;
            targets.get_or_insert_default().push((to_name(&target.name)?, target.value));
        }
    }
    Ok(())
}

fn check_targets(targets: &[(Name, HostPort)]) -> Result<(), String> {
    if targets.len() > limits::NAMES_MAX {
        return Err(format!("{} targets are given; {} is the most", targets.len(), limits::NAMES_MAX));
    }
    for (index, (name, target)) in targets.iter().enumerate() {
        if let Some((_, other)) = targets[index + 1..].iter().find(|(other, _)| other == name) {
            return Err(format!(
                "two targets are named {name}, {target} and {other}: give each listener one"
            ));
        }
    }
    Ok(())
}

fn to_proxy(text: &str) -> Result<HostPort, Failure> {
    HostPort::parse_with_default_port(text, DEFAULT_PROXY_PORT).map_err(Failure::usage)
}

fn to_target(file: FileTarget) -> Result<(Name, HostPort), Failure> {
    Ok((to_name(&file.name)?, file.connect.0))
}

fn to_local(port: u16) -> Result<HostPort, Failure> {
    HostPort::parse_with_local_default(&port.to_string()).map_err(Failure::usage)
}

fn to_name(name: &ListenerName) -> Result<Name, Failure> {
    name.as_str().parse().map_err(|error| Failure::Usage(format!("target {name}: {error}")))
}

/// Where an address could stand: it is switched off.
const OFF: &str = "off";
const DEFAULT_CONFIG: &str = "/etc/os4x_proxyclient.toml";
const DEFAULT_KEY: &str = "/etc/os4x_proxyclient.key";
const DEFAULT_AUTHORIZED: &str = "/etc/os4x_proxyclient.authorized";
const DEFAULT_PROXY_PORT: u16 = 65_432;
const DEFAULT_TARGET_PORT: u16 = 6_619;
const DEFAULT_STEP_S: u64 = 180;
const DEFAULT_IDLE_S: u64 = 3_600;
const DEFAULT_DRAIN_S: u64 = 30;
