//! `license issue`.

use std::process::ExitCode;

use daemon::failure::Failure;
use daemon::life::answer;
use issuer::grant;
use license::Day;

use super::{create, signing_key};
use crate::cli::IssueOptions;
use crate::print;

/// Makes out a license.
///
/// # Errors
/// The key cannot be used, or the file cannot be written.
pub fn run(options: IssueOptions) -> Result<ExitCode, Failure> {
    let IssueOptions { proxy_id, licensee, days, secret_key, output } = options;
    let key = signing_key(secret_key.as_deref())?;
    let license = grant(proxy_id, licensee, Day::today(), days);
    let signed = key.sign(&license).map_err(Failure::operator)?;
    let Some(path) = output else { return answer(signed.trim_end()) };
    create(&path, 0o644, &signed)?;
    print::line(format!("{}: for {} until {}", path.display(), license.licensee, license.expires));
    Ok(ExitCode::SUCCESS)
}
