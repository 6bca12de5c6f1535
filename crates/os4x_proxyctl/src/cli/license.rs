//! `license …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use daemon::address::ListenAddress;
use issuer::{DAYS_MAX, TEST_DAYS};
use license::{Licensee, ProxyId};

/// `license …`.
#[derive(Debug, Subcommand)]
pub enum LicenseCommand {
    /// Make a pair of keys: one to sign licenses with, one to build the proxy with
    Keygen(KeygenOptions),
    /// Make out a license for one OS4X Proxy ID
    Issue(IssueOptions),
    /// Say what a license is for and whether it holds; the exit code is 0 if it does, else 1
    Show(ShowOptions),
    /// A web page that hands out test licenses of 30 days, until Ctrl-C
    Serve(ServeOptions),
}

/// `license keygen`.
#[derive(Clone, Debug, Args)]
pub struct KeygenOptions {
    /// The files are called NAME.key and NAME.pub; existing ones are never written over
    #[arg(short, long = "output", default_value = "os4x_license", value_name = "NAME")]
    pub output: PathBuf,
    /// Do not encrypt the secret key; without this, a password is asked for
    #[arg(long)]
    pub no_password: bool,
}

/// `license issue`.
#[derive(Clone, Debug, Args)]
pub struct IssueOptions {
    /// For which installation: 64 hexadecimal digits and px, as `os4x_proxy -L` prints them
    #[arg(long, value_name = "ID")]
    pub proxy_id: ProxyId,
    /// For whom, up to 100 characters
    #[arg(long, default_value = TEST_LICENSEE, value_name = "NAME")]
    pub licensee: Licensee,
    /// Days for which it holds after today, by UTC
    #[arg(long, default_value_t = TEST_DAYS, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..=DAYS_MAX), value_name = "DAYS")]
    pub days: i64,
    /// The secret key to sign with, from `license keygen` or `minisign -G` [default: the development key]
    #[arg(long, value_name = "FILE")]
    pub secret_key: Option<PathBuf>,
    /// Where the license is written to; an existing file is never written over [default: stdout]
    #[arg(short, long = "output", value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `license show`.
#[derive(Clone, Debug, Args)]
pub struct ShowOptions {
    /// The license file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The public key to check it with, the second line of a .pub file [default: the one that this build trusts]
    #[arg(long, value_name = "KEY")]
    pub public_key: Option<String>,
}

/// `license serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeOptions {
    /// Where to listen: IP:PORT; a port alone is on loopback; port 0 lets the system choose
    #[arg(default_value = "127.0.0.1:65435", value_parser = ListenAddress::parse_loopback_default, value_name = "IP:PORT")]
    pub address: ListenAddress,
    /// The secret key to sign with [default: the development key]
    #[arg(long, value_name = "FILE")]
    pub secret_key: Option<PathBuf>,
}

/// To whom a license is made out that names nobody.
pub(crate) const TEST_LICENSEE: &str = "test license";
