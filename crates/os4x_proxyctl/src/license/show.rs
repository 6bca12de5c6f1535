//! `license show`.

use std::process::ExitCode;

use daemon::failure::Failure;
use issuer::check_command;
use license::{Day, License, ProxyId, Status, TRUSTED_KEY, TrustedKey, file};

use crate::cli::ShowOptions;
use crate::print;

/// Says what a license is for, and whether it holds today; for this machine where that can be told.
///
/// # Errors
/// The file is no license that counts, with the reason.
pub fn run(options: &ShowOptions) -> Result<ExitCode, Failure> {
    let key = options.public_key.as_deref().unwrap_or(TRUSTED_KEY);
    let trusted = TrustedKey::parse(key).map_err(Failure::usage)?;
    let named = |reason: String| Failure::Operator(format!("{}: {reason}", options.file.display()));
    let license = file::read(&options.file, &trusted).map_err(|refusal| named(refusal.to_string()))?;
    let whose =
        if trusted.is_development() { "the development key, with which anybody can sign" } else { key };
    print::line(format!(
        "{}\nsigned with {whose}\n\nminisign says the same, in bash:\n\n  {}\n",
        license.to_string().trim_end(),
        check_command(&options.file, key)
    ));
    let today = Day::today();
    license.check(&license.proxy_id, today).map_err(|refusal| named(refusal.to_string()))?;
    print::line(verdict(license, today));
    Ok(ExitCode::SUCCESS)
}

fn verdict(license: License, today: Day) -> String {
    // The key of an installation without a machine id is not asked for: whose it is cannot be told here.
    let place = match ProxyId::of_installation(|| None) {
        Ok(own) if own == license.proxy_id => "this machine",
        _ => "the installation with this Proxy ID (os4x_proxy -L says which one is here)",
    };
    format!("good for {place}: {}", Status { license, today, refusal: None })
}
