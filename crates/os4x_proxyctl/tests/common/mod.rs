//! A `license serve`, a plain client of HTTP, and a browser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A `license serve` on a port that the system chose. It is killed when this is dropped.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Serving {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_os4x_proxyctl"))
            .args(["license", "serve", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut first).unwrap();
        let address = first.split(['/', ' ']).find_map(|word| word.parse().ok());
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, address: address.unwrap_or_else(|| panic!("{first}")) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What came back over HTTP.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header<'a>(&'a self, name: &str) -> &'a str {
        let of_line = |line: &'a str| line.split_once(':').filter(|(other, _)| *other == name);
        self.head.lines().find_map(of_line).map_or("", |(_, value)| value.trim())
    }
}

/// One request on a connection of its own (RFC 9112).
pub(crate) fn request(address: SocketAddr, method: &str, path: &str, kind: &str, body: &str) -> Answer {
    let length = body.len();
    send(
        address,
        &format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {length}\r\n\r\n{body}"
        ),
    )
}

pub(crate) fn send(address: SocketAddr, text: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(testkit::DEADLINE)).unwrap();
    // A server that has seen enough may close before it has read all.
    let _ = stream.write_all(text.as_bytes());
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "no answer: {head}");
    }
    let head = head.to_ascii_lowercase();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { code, head, body: Vec::new() };
    let length = answer.header("content-length").parse().unwrap_or(0);
    answer.body.resize(length, 0);
    reader.read_exact(&mut answer.body).unwrap();
    answer
}

/// A headless Chromium, driven as W3C's WebDriver says. It ends when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    /// `None`, with the reason printed, where there is none. What is downloaded goes into `folder`.
    pub(crate) fn start(folder: &Path, has_script: bool) -> Option<Self> {
        let find = |name: &str| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
        };
        let (Some(browser), Some(driver)) = (find("chromium"), find("chromedriver")) else {
            eprintln!(
                "skipped: there is no chromium with chromedriver here (Debian: chromium, chromium-driver)"
            );
            return None;
        };
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("successfully on port ") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "chromedriver has ended");
        }
        let port: u16 = line.trim_end().trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let mut started = Self { driver, address: ([127, 0, 0, 1], port).into(), session: String::new() };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=900,1000",
            &format!("--user-data-dir={}", folder.join("profile").display()),
        ];
        let script = if has_script { 1 } else { 2 };
        let options = json!({"binary": browser, "args": arguments, "prefs": {
            "download.default_directory": folder,
            "profile.default_content_setting_values.javascript": script,
        }});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let session = started.ask("POST", "/session", &wanted);
        started.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        Some(started)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = request(self.address, method, path, "application/json", &body);
        let mut value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.code, 200, "{path}: {value}");
        value["value"].take()
    }

    fn own(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("{}{path}", self.session), body)
    }

    pub(crate) fn open(&self, url: &str) {
        self.own("POST", "/url", &json!({ "url": url }));
    }

    /// The first element that a selector of CSS finds.
    pub(crate) fn find(&self, selector: &str) -> Element<'_> {
        let found = self.own("POST", "/element", &json!({"using": "css selector", "value": selector}));
        // The key is a constant of the standard.
        let id = found["element-6066-11e4-a52e-4f735466cecf"].as_str().unwrap().to_owned();
        Element { browser: self, id }
    }

    pub(crate) fn title(&self) -> String {
        self.own("GET", "/title", &Value::Null).as_str().unwrap().to_owned()
    }

    /// What the page is made of, now.
    pub(crate) fn source(&self) -> String {
        self.own("GET", "/source", &Value::Null).as_str().unwrap().to_owned()
    }

    /// A picture of the page, PNG in base64.
    pub(crate) fn picture(&self) -> String {
        self.own("GET", "/screenshot", &Value::Null).as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is to go as well, and to say so if the test has failed already would end all of them.
        let quit = || self.own("DELETE", "", &Value::Null);
        let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(quit));
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
        assert!(gone.is_ok() || std::thread::panicking(), "the browser did not end");
    }
}

/// A part of the page.
pub(crate) struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Element<'_> {
    fn own(&self, method: &str, path: &str, body: &Value) -> Value {
        self.browser.own(method, &format!("/element/{}{path}", self.id), body)
    }

    pub(crate) fn text(&self) -> String {
        self.own("GET", "/text", &Value::Null).as_str().unwrap().to_owned()
    }

    /// What it is called for those who do not see it (accessible name).
    pub(crate) fn label(&self) -> String {
        self.own("GET", "/computedlabel", &Value::Null).as_str().unwrap().to_owned()
    }

    pub(crate) fn property(&self, name: &str) -> String {
        self.own("GET", &format!("/property/{name}"), &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn style(&self, name: &str) -> String {
        self.own("GET", &format!("/css/{name}"), &Value::Null).as_str().unwrap().to_owned()
    }

    pub(crate) fn type_in(&self, text: &str) {
        self.own("POST", "/clear", &json!({}));
        self.own("POST", "/value", &json!({ "text": text }));
    }

    pub(crate) fn click(&self) {
        self.own("POST", "/click", &json!({}));
    }
}
