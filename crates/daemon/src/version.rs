//! Which program this is.

/// The programs that have a version of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `os4x_proxy`.
    Proxy,
    /// `os4x_proxyclient`.
    Client,
}

/// Day of the build, `YYYYMMDD`: that of the commit, or of `SOURCE_DATE_EPOCH` where it is set.
pub const BUILD_DATE: &str = env!("BUILD_DATE");

/// The commit that was built, 12 hexadecimal digits, or `unknown` outside a checkout.
pub const COMMIT: &str = env!("BUILD_COMMIT");

/// Version of the package.
pub const PACKAGE: &str = env!("CARGO_PKG_VERSION");

/// What `-v` prints: two lines, without the last line break.
pub fn version_text(program: Program) -> String {
    let name = match program {
        Program::Proxy => "OS4X Proxy daemon",
        Program::Client => "OS4X Proxy client",
    };
    format!("{name} build {BUILD_DATE}\nversion {PACKAGE}, commit {COMMIT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_is_what_scripts_look_for() {
        let text = version_text(Program::Proxy);
        let date = text.lines().next().unwrap().strip_prefix("OS4X Proxy daemon build ").unwrap();
        assert!(date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()), "{date}");
        assert!(version_text(Program::Client).starts_with("OS4X Proxy client build 2"));
        assert!(COMMIT == "unknown" || COMMIT.len() >= 12);
    }
}
