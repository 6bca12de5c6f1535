//! Whatever is in a license file, reading it ends in a license or a reason; and the text of a license has only one
//! spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use license::{DEVELOPMENT_KEY, License, Refusal, TrustedKey, file};

const TITLE: &[u8] = b"OS4X Proxy license, format 1\n";

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // What is behind the first line would hardly be reached otherwise.
    read(&[TITLE, bytes].concat());
});

fn read(bytes: &[u8]) {
    let Ok(trusted) = TrustedKey::parse(DEVELOPMENT_KEY) else { return };
    // Nobody guesses a signature, but the fuzzer may have been given one.
    let read = file::open(bytes, &trusted);
    if let Err(Refusal::NotUnderstood(error)) = &read {
        assert!(error.line > 0);
    }
    if let Ok(text) = str::from_utf8(bytes)
        && let Ok(license) = text.parse::<License>()
    {
        assert_eq!(license.to_string(), text);
        let _ = license.check(&license.proxy_id, license.issued);
    }
}
