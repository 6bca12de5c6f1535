//! `init …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use daemon::address::HostPort;
use seal::PublicKey;

/// `init …`.
#[derive(Debug, Subcommand)]
pub enum InitCommand {
    /// On the DMZ host: key, test license, configuration and list of clients of os4x_proxy
    Proxy(InitProxyOptions),
    /// Inside: key, configuration and list of proxies of os4x_proxyclient
    Client(InitClientOptions),
}

/// `init proxy`.
#[derive(Clone, Debug, Args)]
pub struct InitProxyOptions {
    /// The folder for the files; made if it is missing. Nothing in it is written over
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Name or address of this host as the inside sees it [default: the name that this host has]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// The public key of a client that may attach, if it is known already; repeatable
    #[arg(long = "client-key", value_name = "KEY")]
    pub client_keys: Vec<PublicKey>,
}

/// `init client`.
#[derive(Clone, Debug, Args)]
pub struct InitClientOptions {
    /// The folder for the files; made if it is missing. Nothing in it is written over
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The proxy to attach to, as this host sees it; port 65432 if none is given
    #[arg(long, value_name = "HOST[:PORT]", value_parser = proxy)]
    pub proxy: HostPort,
    /// Its public key, as `init proxy` or `os4x_proxy -K` prints it there
    #[arg(long, value_name = "KEY")]
    pub proxy_key: PublicKey,
    /// The folder that was given to `init proxy` there
    #[arg(long, default_value = "/etc/os4x_proxy", value_name = "DIR")]
    pub proxy_dir: PathBuf,
}

fn proxy(text: &str) -> Result<HostPort, String> {
    HostPort::parse_with_default_port(text, INTERNAL_PORT).map_err(|error| error.to_string())
}

/// The internal port of a proxy that was not told another.
pub(crate) const INTERNAL_PORT: u16 = 65_432;
