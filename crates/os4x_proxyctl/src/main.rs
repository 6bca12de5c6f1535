//! The administrator's tool.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use os4x_proxyctl::cli::{Cli, Command, InitCommand, LicenseCommand, StationCommand};
use os4x_proxyctl::{demo, init, license, station};

fn main() -> ExitCode {
    // Ends by itself, with exit code 2, when the command line is wrong.
    let Cli { command } = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return daemon::failure::Failure::operator(error).report(PROGRAM),
    };
    let ended = runtime.block_on(async {
        match command {
            Command::Demo(options) => Box::pin(demo::run(&options)).await,
            Command::Station(StationCommand::Listen(options)) => station::listen::run(options).await,
            Command::Station(StationCommand::Send(options)) => station::send::run(options).await,
            Command::License(LicenseCommand::Keygen(options)) => license::keygen::run(&options),
            Command::License(LicenseCommand::Issue(options)) => license::issue::run(options),
            Command::License(LicenseCommand::Show(options)) => license::show::run(&options),
            Command::License(LicenseCommand::Serve(options)) => license::serve::run(options).await,
            Command::Init(InitCommand::Proxy(options)) => init::proxy::run(&options),
            Command::Init(InitCommand::Client(options)) => init::client::run(&options),
        }
    });
    ended.unwrap_or_else(|failure| failure.report(PROGRAM))
}

const PROGRAM: &str = "os4x_proxyctl";
