//! The life of the DMZ daemon, in order.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use daemon::common_flags::Wish;
use daemon::failure::Failure;
use daemon::life::{Service, Shell, answer, live};
use daemon::version::{Program, version_text};
use os4x_proxy::options::USAGE;
use os4x_proxy::{Licensed, Options, Proxy};
use seal::{Authorized, IdentityKey};

const PROGRAM: &str = "os4x_proxy";

fn main() -> ExitCode {
    run().unwrap_or_else(|failure| failure.report(PROGRAM))
}

fn run() -> Result<ExitCode, Failure> {
    let options = read_options()?;
    match options.wish {
        Wish::Serve => {}
        Wish::Help => return answer(USAGE.trim_end()),
        Wish::Version => return answer(&version_text(Program::Proxy)),
        Wish::PublicKey => return answer(&own_key(&options)?.public_key().to_string()),
        Wish::ProxyId => return answer(&format!("OS4X Proxy ID: {}", options.proxy_id()?)),
        Wish::Check => return check(&options),
    }
    // Before anything is opened, the log included.
    let licensed = Licensed::check(&options)?;
    let shell = Shell {
        program: PROGRAM,
        place: options.place,
        log: options.log.clone(),
        pid_file: options.pid_file.clone(),
    };
    live(&shell, || {
        relay::keep_timers_in_kernel().map_err(Failure::operator)?;
        Proxy::start(options, licensed).map(Running)
    })
}

struct Running(Proxy);

impl Service for Running {
    fn status(&self) -> Option<String> {
        Some(self.0.license_status().to_string())
    }

    fn before_waiting() {
        relay::gather();
    }

    async fn reload(&mut self) -> Result<(), Failure> {
        self.0.reload(read_options()?).await
    }

    async fn drain(self, hurry: impl Future<Output = ()>) {
        self.0.drain(hurry).await;
    }
}

fn read_options() -> Result<Options, Failure> {
    Options::read(std::env::args_os().skip(1))
}

fn own_key(options: &Options) -> Result<IdentityKey, Failure> {
    IdentityKey::load_or_create(&options.key).map_err(Failure::operator)
}

fn check(options: &Options) -> Result<ExitCode, Failure> {
    let license = format!("license {}: {}", options.license.display(), Licensed::check(options)?.status());
    let authorized = Authorized::load(&options.authorized).map_err(Failure::operator)?;
    let key = match options.key.exists() {
        true => format!("key {}, public {}", options.key.display(), own_key(options)?.public_key()),
        false => format!("key {} will be made at the first start", options.key.display()),
    };
    let trusted = match authorized.len() {
        0 => format!("no client is trusted: {} is empty or missing", options.authorized.display()),
        count => format!("{count} trusted clients in {}", options.authorized.display()),
    };
    answer(&format!("{}{key}\n{trusted}\n{license}", options.summary()))
}
