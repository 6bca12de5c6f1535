//! The command line and the configuration file become one value that is ready to use, before anything opens.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemon::address::{ListenAddress, Named};
use daemon::background::Place;
use daemon::common_flags::{self, CommonFlags, Flag, Wish, file_path, file_seconds, next_flag, unknown_flag};
use daemon::config_file;
use daemon::failure::Failure;
use daemon::log::LogOptions;
use lexopt::{Parser, ValueExt};
use license::ProxyId;
use policy::{Policy, Rule, Source, Sources};
use seal::IdentityKey;
use serde::Deserialize;
use wire::{Name, limits};

/// What `-h` prints.
pub const USAGE: &str = "\
os4x_proxy: the DMZ daemon of OS4X Proxy. Partners call it and clients from the inside take the calls; what the
inside calls, it dials.

usage: os4x_proxy [FLAGS]

  -i, --internal [IP]:PORT         accept connections from the inside           [0.0.0.0:65432]
  -e, --external [NAME=][IP]:PORT  accept partners; repeatable; off: none       [0.0.0.0:6619]
  -T, --timeout SECONDS            TCP/IP timeout                               [180]
  -l, --license FILE               license file                                 [/etc/os4x_proxy.lic]
  -k, --key FILE                   own identity key, made at first start        [/etc/os4x_proxy.key]
  -a, --authorized FILE            public keys of the clients that may attach   [/etc/os4x_proxy.authorized]
  -c, --config FILE                configuration file (TOML)                    [/etc/os4x_proxy.toml if there]
  -p, --pid-file FILE              written when ready                           [none]
  -f, --foreground                 stay in the foreground with the normal log
  -d, --debug                      debug log, stay in the foreground
  -t, --trace                      extreme log, stay in the foreground
      --log-file FILE              [stderr in the foreground, syslog in the background]
      --log-format text|json       [text]
  -L                               print the OS4X Proxy ID and exit
  -K, --public-key                 print the own public key (made if missing) and exit
      --check                      read everything, open nothing, say what would be run
  -v, --version                    print the version and exit
  -h, --help                       print this text and exit

A port alone (6619) is any device, as :6619 is. IPv6 stands in brackets: [::1]:6619. Flags win over the file.
What the inside may call stands in the file: [outgoing] allow                   [\"*:3305\", \"*:6619\"]
";

/// An external listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Its name, by which the client knows the target.
    pub name: Name,
    /// Where it listens.
    pub listen: ListenAddress,
    /// What callers have to begin with.
    pub payload: Payload,
}

/// What callers at a listener have to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// Anything, or nothing: on plain OFTP the called station speaks first.
    #[default]
    Any,
    /// A TLS ClientHello; others are turned away.
    Tls,
}

/// What the inside may call through this host.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Whom.
    pub policy: Policy,
    /// From which of this host's addresses.
    pub sources: Sources,
}

/// Everything that `os4x_proxy` goes by.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the process was called for.
    pub wish: Wish,
    /// Where it runs.
    pub place: Place,
    /// Its log.
    pub log: LogOptions,
    /// `-i`.
    pub internal: ListenAddress,
    /// `-e`; none where calls inward are switched off.
    pub externals: Vec<External>,
    /// What the inside may call.
    pub outgoing: Arc<Outgoing>,
    /// `-T`.
    pub step: Duration,
    /// How long a call may be silent; `None`: for ever.
    pub idle: Option<Duration>,
    /// How long running calls may go on when the daemon ends.
    pub drain: Duration,
    /// `-k`.
    pub key: PathBuf,
    /// `-a`.
    pub authorized: PathBuf,
    /// `-l`.
    pub license: PathBuf,
    /// `-p`.
    pub pid_file: Option<PathBuf>,
}

/// The configuration file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    internal: Option<ListenAddress>,
    timeout: Option<u64>,
    idle: Option<u64>,
    drain: Option<u64>,
    key: Option<PathBuf>,
    authorized: Option<PathBuf>,
    license: Option<PathBuf>,
    external: Option<Vec<FileExternal>>,
    #[serde(default)]
    outgoing: FileOutgoing,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileExternal {
    #[serde(default)]
    name: daemon::address::ListenerName,
    listen: ListenAddress,
    #[serde(default)]
    payload: Payload,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOutgoing {
    allow: Option<Vec<Rule>>,
    #[serde(default)]
    source: Vec<FileSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSource {
    to: Rule,
    from: IpAddr,
}

#[derive(Debug, Default)]
struct Flags {
    common: CommonFlags,
    internal: Option<ListenAddress>,
    /// `Some` of nothing: `-e off`.
    externals: Option<Vec<External>>,
    license: Option<PathBuf>,
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
        resolve(flags, file)
    }

    /// The Proxy ID of the daemon that goes by these options. Where it depends on the key, that is made if it is
    /// missing, as at the first start.
    ///
    /// # Errors
    /// There is neither a machine id nor a key.
    pub fn proxy_id(&self) -> Result<ProxyId, Failure> {
        let key = || IdentityKey::load_or_create(&self.key).ok().map(|key| *key.public_key().as_bytes());
        ProxyId::of_installation(key).map_err(Failure::operator)
    }

    /// What `--check` prints.
    pub fn summary(&self) -> String {
        let mut text = format!("internal {}\n", self.internal.shown());
        for External { name, listen, payload } in &self.externals {
            let payload = if *payload == Payload::Tls { ", TLS only" } else { "" };
            let _ = writeln!(text, "external {name} {}{payload}, while a client is attached", listen.shown());
        }
        if self.externals.is_empty() {
            text.push_str("no external listener: calls inward are switched off\n");
        }
        let Outgoing { policy, sources } = self.outgoing.as_ref();
        let _ = match policy.is_empty() {
            true => writeln!(text, "the inside may call nobody: calls outward are switched off"),
            false => writeln!(text, "the inside may call {policy}"),
        };
        for Source { to, from } in sources.iter() {
            let _ = writeln!(text, "what goes to {to} comes from {from}");
        }
        let idle = self.idle.map_or(String::from("never"), |idle| format!("{} s", idle.as_secs()));
        let _ = writeln!(
            text,
            "timeout {} s, idle {idle}, drain {} s",
            self.step.as_secs(),
            self.drain.as_secs()
        );
        text
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
            Flag::Short('i') => "internal",
            Flag::Short('e') => "external",
            Flag::Short('l') => "license",
            Flag::Short('L') => {
                flags.common.wish(Wish::ProxyId);
                continue;
            }
            Flag::Short(_) => return Err(unknown_flag(&flag)),
        };
        match name {
            "internal" => {
                flags.internal = Some(parser.value()?.string()?.parse().map_err(Failure::usage)?);
            }
            "external" => add_external(&mut flags.externals, &parser.value()?.string()?)?,
            "license" => flags.license = Some(common_flags::path(&mut parser)?),
            _ => return Err(unknown_flag(&flag)),
        }
    }
    Ok(flags)
}

fn resolve(flags: Flags, file: File) -> Result<Options, Failure> {
    let (place, log) = (flags.common.place(), flags.common.log_options());
    let Flags { common, internal, externals, license } = flags;
    let externals = match (externals, file.external) {
        (Some(externals), _) => externals,
        (None, Some(external)) => external.into_iter().map(External::try_from).collect::<Result<_, _>>()?,
        (None, None) => vec![External {
            name: to_name(&daemon::address::ListenerName::default())?,
            listen: ListenAddress::any(DEFAULT_EXTERNAL_PORT),
            payload: Payload::Any,
        }],
    };
    if externals.len() > limits::NAMES_MAX {
        let count = externals.len();
        return Err(Failure::Operator(format!(
            "{count} external listeners are given; {} is the most",
            limits::NAMES_MAX
        )));
    }
    let step = match (common.timeout, file.timeout) {
        (Some(step), _) => step,
        (None, step) => file_seconds("timeout", step, DEFAULT_STEP_S, 1)?,
    };
    let idle = file_seconds("idle", file.idle, DEFAULT_IDLE_S, 0)?;
    Ok(Options {
        wish: common.wish,
        place,
        log,
        internal: internal.or(file.internal).unwrap_or(ListenAddress::any(DEFAULT_INTERNAL_PORT)),
        externals,
        outgoing: Arc::new(file.outgoing.into()),
        step,
        idle: (!idle.is_zero()).then_some(idle),
        drain: file_seconds("drain", file.drain, DEFAULT_DRAIN_S, 0)?,
        key: file_path(common.key, file.key, DEFAULT_KEY)?,
        authorized: file_path(common.authorized, file.authorized, DEFAULT_AUTHORIZED)?,
        license: file_path(license, file.license, DEFAULT_LICENSE)?,
        pid_file: common.pid_file,
    })
}

/// `-e`, once more: a listener, or `off` and nothing else.
fn add_external(externals: &mut Option<Vec<External>>, text: &str) -> Result<(), Failure> {
    let is_off = text == OFF;
    match externals {
        Some(others) if is_off || others.is_empty() => {
            return Err(Failure::Usage(format!(
                "-e {OFF} excludes any other -e; calls inward are on or off"
            )));
        }
        _ if is_off => *externals = Some(Vec::new()),
        _ => {
            let external: Named<ListenAddress> = text.parse().map_err(Failure::usage)?;
            let name = to_name(&external.name)?;
            let external = External { name, listen: external.value, payload: Payload::Any };
            externals.get_or_insert_default().push(external);
        }
    }
    Ok(())
}

impl From<FileOutgoing> for Outgoing {
    fn from(file: FileOutgoing) -> Self {
        let sources = file.source.into_iter().map(|FileSource { to, from }| Source { to, from });
        Self {
            policy: file.allow.map_or_else(Policy::standard, Policy::new),
            sources: Sources::new(sources.collect()),
        }
    }
}

impl TryFrom<FileExternal> for External {
    type Error = Failure;

    fn try_from(file: FileExternal) -> Result<Self, Failure> {
        Ok(Self { name: to_name(&file.name)?, listen: file.listen, payload: file.payload })
    }
}

fn to_name(name: &daemon::address::ListenerName) -> Result<Name, Failure> {
    name.as_str().parse().map_err(|error| Failure::Usage(format!("listener {name}: {error}")))
}

/// Where an address could stand: the role is switched off.
const OFF: &str = "off";
const DEFAULT_CONFIG: &str = "/etc/os4x_proxy.toml";
const DEFAULT_KEY: &str = "/etc/os4x_proxy.key";
const DEFAULT_AUTHORIZED: &str = "/etc/os4x_proxy.authorized";
const DEFAULT_LICENSE: &str = "/etc/os4x_proxy.lic";
const DEFAULT_INTERNAL_PORT: u16 = 65_432;
const DEFAULT_EXTERNAL_PORT: u16 = 6_619;
const DEFAULT_STEP_S: u64 = 180;
const DEFAULT_IDLE_S: u64 = 3_600;
const DEFAULT_DRAIN_S: u64 = 30;
