//! The command line. What comes out of it is ready to use.

mod init;
mod license;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use daemon::address::{HostPort, ListenAddress};
use daemon::version::{BUILD_DATE, COMMIT, PACKAGE};
use oftp::Partner;
use oftp::command::{BufferBytes, Code, Credit, Password};

pub use self::init::{InitClientOptions, InitCommand, InitProxyOptions};
pub(crate) use self::license::TEST_LICENSEE;
pub use self::license::{IssueOptions, KeygenOptions, LicenseCommand, ServeOptions, ShowOptions};
use crate::figure::{Bytes, parse_bytes};

/// Everything that can be asked for.
#[derive(Debug, Parser)]
#[command(name = "os4x_proxyctl", version = VERSION.as_str(), arg_required_else_help = true)]
#[command(about = "The administrator's tool of OS4X Proxy")]
pub struct Cli {
    /// What is asked for.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a complete system on this machine and see files go through it
    Demo(DemoOptions),
    /// A small OFTP2 station for commissioning: receive files into a folder, or send some
    #[command(subcommand)]
    Station(StationCommand),
    /// Licenses: make keys, issue, look at one, hand out test licenses on a web page
    #[command(subcommand)]
    License(LicenseCommand),
    /// Everything that a first start needs, in one step; says what to run next, here and on the other machine
    #[command(subcommand)]
    Init(InitCommand),
}

/// `station …`.
#[derive(Debug, Subcommand)]
pub enum StationCommand {
    /// Receive files into a folder until Ctrl-C
    Listen(ListenOptions),
    /// Send files to a station, directly or through an external port of os4x_proxy
    Send(SendOptions),
}

/// `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoOptions {
    /// Size of the large file: bytes, or with K, M, G
    #[arg(long, default_value = "64M", value_parser = parse_bytes, value_name = "BYTES")]
    pub size: Bytes,
    /// End after the steps; the exit code is 0 if all was right, else 1
    #[arg(long, conflicts_with = "seconds")]
    pub once: bool,
    /// Stay up for so long after the steps [default: until Ctrl-C]
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
}

/// Who this station is and what it offers.
#[derive(Clone, Debug, Args)]
pub struct Identification {
    /// Identification code of this station (SSIDCODE), up to 25 characters
    #[arg(long, default_value = "OS4X-PROXYCTL", value_parser = code)]
    pub code: Code,
    /// Password that this station shows (SSIDPSWD), up to 8 characters [default: none]
    #[arg(long, default_value = "", hide_default_value = true, value_parser = password)]
    pub password: Password,
    /// Largest exchange buffer (SSIDSDEB), from 128
    #[arg(long, default_value = "99999", value_parser = buffer_bytes, value_name = "BYTES")]
    pub buffer: BufferBytes,
    /// Buffers sent before an answer must come (SSIDCRED), from 1
    #[arg(long, default_value = "999", value_parser = credit, value_name = "BUFFERS")]
    pub credit: Credit,
}

/// `station listen`.
#[derive(Clone, Debug, Args)]
pub struct ListenOptions {
    /// Where to accept calls: IP:PORT or :PORT; port 0 lets the system choose (default :3305, with --tls :6619)
    #[arg(value_name = "ADDR:PORT")]
    pub address: Option<ListenAddress>,
    /// Folder for received files; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub inbox: PathBuf,
    /// Speak TLS; without --certificate with a certificate made for this run
    #[arg(long)]
    pub tls: bool,
    /// Certificate (chain) to show
    #[arg(long, value_name = "PEM", requires = "tls", requires = "private_key")]
    pub certificate: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "PEM", requires = "certificate")]
    pub private_key: Option<PathBuf>,
    /// A station that may call, and its password; repeatable [default: any station]
    #[arg(long = "partner", value_name = "CODE:PASSWORD", value_parser = partner)]
    pub partners: Vec<Partner>,
    /// Who this station is.
    #[command(flatten)]
    pub identification: Identification,
    /// End after the first call; the exit code is 0 if it went well, else 1
    #[arg(long)]
    pub once: bool,
}

/// `station send`.
#[derive(Clone, Debug, Args)]
pub struct SendOptions {
    /// The station, or an external port of os4x_proxy; IPv6 in brackets
    #[arg(value_name = "HOST:PORT")]
    pub to: HostPort,
    /// Call through this SOCKS5 port: -Q of os4x_proxyclient
    #[arg(long, value_name = "HOST:PORT")]
    pub socks: Option<HostPort>,
    /// The files to send, in this order
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Speak TLS; without --pin the other station's certificate is not verified
    #[arg(long)]
    pub tls: bool,
    /// The certificate that the other station must show
    #[arg(long, value_name = "PEM", requires = "tls")]
    pub pin: Option<PathBuf>,
    /// Who this station is.
    #[command(flatten)]
    pub identification: Identification,
    /// Final recipient of the files (SFIDDEST) [default: the station that answers]
    #[arg(long, value_name = "CODE", value_parser = code)]
    pub destination: Option<Code>,
    /// How long to wait for the connection, and then for each answer
    #[arg(long, default_value = "90", value_parser = seconds, value_name = "SECONDS")]
    pub timeout: Duration,
}

fn code(text: &str) -> Result<Code, String> {
    match Code::new(text) {
        Ok(code) if code == Code::BLANK => Err(String::from("a station needs a code")),
        Ok(code) => Ok(code),
        Err(error) => Err(error.to_string()),
    }
}

fn password(text: &str) -> Result<Password, String> {
    Password::new(text).map_err(|error| error.to_string())
}

fn partner(text: &str) -> Result<Partner, String> {
    let (code_text, password_text) = text.split_once(':').unwrap_or((text, ""));
    Ok(Partner { code: code(code_text)?, password: password(password_text)? })
}

fn buffer_bytes(text: &str) -> Result<BufferBytes, String> {
    let bytes = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    BufferBytes::new(bytes).map_err(|error| error.to_string())
}

fn credit(text: &str) -> Result<Credit, String> {
    let buffers = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    Credit::new(buffers).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("must be a number from 1 to {SECONDS_MAX}")),
    }
}

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("build {BUILD_DATE}\nversion {PACKAGE}, commit {COMMIT}"));

/// A day. Longer waits are mistyped ones.
const SECONDS_MAX: u64 = 86_400;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words = std::iter::once("os4x_proxyctl").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.command).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_demo_has_defaults() {
        let Ok(Command::Demo(options)) = parse("demo") else { panic!() };
        assert_eq!((options.size, options.once, options.seconds), (Bytes(64 << 20), false, None));
        let Ok(Command::Demo(options)) = parse("demo --size 1G --once") else { panic!() };
        assert_eq!((options.size, options.once), (Bytes(1 << 30), true));
        assert!(parse("demo --once --seconds 5").is_err());
    }

    #[test]
    fn a_listening_station() {
        let line =
            "station listen [::1]:0 --inbox in --tls --partner A:SECRET --partner B --buffer 512 --credit 7";
        let Ok(Command::Station(StationCommand::Listen(options))) = parse(line) else { panic!() };
        assert_eq!(options.address.unwrap().to_string(), "[::1]:0");
        assert_eq!(options.identification.buffer.bytes(), 512);
        assert_eq!(options.identification.credit.buffers(), 7);
        assert_eq!(options.partners[0].password, Password::new("SECRET").unwrap());
        assert_eq!(options.partners[1].code.as_str(), "B");
        assert!(parse("station listen").unwrap_err().contains("--inbox"));
        assert!(parse("station listen --inbox in --certificate a --private-key b").is_err(), "without --tls");
        assert!(parse("station listen --inbox in --tls --certificate a").is_err(), "without a key");
    }

    #[test]
    fn a_sending_station() {
        let line = "station send dmz.example.com:6619 a b --tls --pin c.pem --destination D --timeout 5";
        let Ok(Command::Station(StationCommand::Send(options))) = parse(line) else { panic!() };
        assert_eq!(options.to.to_string(), "dmz.example.com:6619");
        assert_eq!((options.files.len(), options.timeout), (2, Duration::from_secs(5)));
        assert_eq!(options.destination.unwrap().as_str(), "D");
        let line = "station send partner.example.com:6619 a --socks localhost:65433";
        let Ok(Command::Station(StationCommand::Send(options))) = parse(line) else { panic!() };
        assert_eq!(options.socks.unwrap().to_string(), "localhost:65433");
        assert!(parse("station send h:1").is_err(), "no file");
        assert!(parse("station send h:1 a --pin c").is_err(), "a pin without TLS");
        assert!(parse("station send h:1 a --timeout 0").is_err());
        assert!(parse("station send ::1:6619 a").unwrap_err().contains("in brackets"));
        assert!(parse("station send h:1 a --code ABCDEFGHIJKLMNOPQRSTUVWXYZ").unwrap_err().contains("25"));
        assert!(parse("station send h:1 a --buffer 100").unwrap_err().contains("128 to 99999"));
    }
}
