//! `license serve`: over plain HTTP, and in a browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Answer, Browser, Serving, request, send};
use license::{DEVELOPMENT_KEY, Day, License, TrustedKey, file};
use testkit::wait_until;

const ID: &str = "e3e3a99fc336637a24514be19e8a5e692ba90f21fefa67bba1e7940a895d3d0dpx";
const FORM: &str = "application/x-www-form-urlencoded";

fn opened(bytes: &[u8]) -> License {
    file::open(bytes, &TrustedKey::parse(DEVELOPMENT_KEY).unwrap()).unwrap()
}

fn ask_for(serving: &Serving, text: &str) -> Answer {
    request(serving.address, "POST", "/license", FORM, &format!("proxy_id={text}"))
}

#[test]
fn a_license_is_downloaded() {
    let serving = Serving::start();
    assert!(serving.address.ip().is_loopback(), "unless told otherwise");
    for pasted in [ID, &format!("++{ID}%0A"), &format!("OS4X+Proxy+ID:+{ID}")] {
        let answer = ask_for(&serving, pasted);
        assert_eq!(answer.code, 200, "{}", answer.head);
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"os4x_proxy.lic\"");
        let license = opened(&answer.body);
        assert_eq!(license.proxy_id.to_string(), ID);
        assert_eq!(license.days_left(Day::today()), 30);
    }
}

#[test]
fn whatever_is_asked_the_answer_is_a_page_with_rules() {
    let serving = Serving::start();
    let long = "x".repeat(5_000);
    let answers = [
        (200, request(serving.address, "GET", "/", "", "")),
        (200, request(serving.address, "GET", "/license", "", "")),
        (200, request(serving.address, "GET", "/style.css", "", "")),
        (404, request(serving.address, "GET", "/etc/passwd", "", "")),
        (405, request(serving.address, "DELETE", "/license", "", "")),
        (422, ask_for(&serving, "")),
        (422, ask_for(&serving, &ID.to_uppercase())),
        (422, ask_for(&serving, &ID[..64])),
        (400, request(serving.address, "POST", "/license", FORM, "other=1")),
        (400, request(serving.address, "POST", "/license", "text/plain", "proxy_id=1")),
        (400, ask_for(&serving, &long)),
    ];
    for (code, answer) in answers {
        assert_eq!(answer.code, code, "{}", answer.head);
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none';"),
            "{}",
            answer.head
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(code < 400 || code == 405 || answer.text().contains("role=\"alert\""), "{}", answer.text());
    }
    let page = ask_for(&serving, "%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    assert!(!page.text().contains("<script"), "{}", page.text());
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n", "y".repeat(1 << 20));
    assert_eq!(send(serving.address, &head).code, 431);
}

#[test]
fn one_address_gets_only_so_many() {
    let serving = Serving::start();
    let codes: Vec<u16> = (0..12).map(|_| ask_for(&serving, ID).code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 200).count(), 10, "{codes:?}");
    let answer = ask_for(&serving, ID);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!(answer.code == 429 && (1..=60).contains(&seconds), "{}", answer.head);
    assert!(answer.text().contains("Try again in"), "{}", answer.text());
    assert_eq!(request(serving.address, "GET", "/", "", "").code, 200, "looking is free");
}

#[test]
fn a_browser_gets_a_license_with_and_without_script() {
    for has_script in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving::start();
        let Some(browser) = Browser::start(folder.path(), has_script) else { return };
        browser.open(&format!("http://{}/", serving.address));
        assert_eq!(browser.title(), "Test license - OS4X Proxy");
        keep_picture(&browser, "page");
        assert_eq!(browser.find("input").label(), "OS4X Proxy ID");
        assert_ne!(
            browser.find("button").style("background-color"),
            "rgba(0, 0, 0, 0)",
            "the style is there"
        );

        browser.find("input").type_in(&ID.replace("px", "qx"));
        browser.find("button").click();
        wait_until("the page says what is wrong", || browser.source().contains("role=\"alert\""));
        keep_picture(&browser, "problem");
        assert!(browser.find("[role=alert]").text().starts_with("This is no Proxy ID"));
        assert_eq!(
            browser.find("input").property("value"),
            ID.replace("px", "qx"),
            "what was typed is still there"
        );

        browser.find("input").type_in(ID);
        browser.find("button").click();
        let path = folder.path().join("os4x_proxy.lic");
        wait_until("the license is there", || path.metadata().is_ok_and(|file| file.len() > 0));
        assert_eq!(opened(&std::fs::read(&path).unwrap()).proxy_id.to_string(), ID);
    }
}

/// For people to look at, where `OS4X_PICTURES` names a folder.
fn keep_picture(browser: &Browser, name: &str) {
    use base64::Engine;
    if let Some(folder) = std::env::var_os("OS4X_PICTURES") {
        let picture = base64::engine::general_purpose::STANDARD.decode(browser.picture()).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(name).with_extension("png"), picture).unwrap();
    }
}
