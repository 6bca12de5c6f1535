//! The life of the inner daemon, in order.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use daemon::common_flags::Wish;
use daemon::failure::Failure;
use daemon::life::{Service, Shell, answer, live};
use daemon::version::{Program, version_text};
use os4x_proxyclient::options::USAGE;
use os4x_proxyclient::{Client, Options};
use seal::{Authorized, IdentityKey};

const PROGRAM: &str = "os4x_proxyclient";

fn main() -> ExitCode {
    run().unwrap_or_else(|failure| failure.report(PROGRAM))
}

fn run() -> Result<ExitCode, Failure> {
    let options = read_options()?;
    match options.wish {
        Wish::Serve => {}
        Wish::Help => return answer(USAGE.trim_end()),
        Wish::Version => return answer(&version_text(Program::Client)),
        Wish::PublicKey => return answer(&own_key(&options)?.public_key().to_string()),
        Wish::ProxyId => return Err(Failure::Usage(String::from("unknown flag -L"))),
        Wish::Check => return check(&options),
    }
    let shell = Shell {
        program: PROGRAM,
        place: options.place,
        log: options.log.clone(),
        pid_file: options.pid_file.clone(),
    };
    live(&shell, || {
        relay::keep_timers_in_kernel().map_err(Failure::operator)?;
        Client::start(options).map(Running)
    })
}

struct Running(Client);

impl Service for Running {
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
    let authorized = Authorized::load(&options.authorized).map_err(Failure::operator)?;
    let key = match options.key.exists() {
        true => format!("key {}, public {}", options.key.display(), own_key(options)?.public_key()),
        false => format!("key {} will be made at the first start", options.key.display()),
    };
    let trusted = match authorized.len() {
        0 => format!("no proxy is trusted: {} is empty or missing", options.authorized.display()),
        count => format!("{count} trusted proxies in {}", options.authorized.display()),
    };
    answer(&format!("{}{key}\n{trusted}", options.summary()))
}
