//! The programs that administrators and stations use call out as they are: curl, ncat, openssl, Java.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use testkit::{Chain, Peer, Plan, Station};

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nbehind";

/// A chain and, beyond its proxy, a web server.
fn web() -> (Chain, Station) {
    let plan = Plan::new();
    let server = Station::serving(&plan.site, |mut peer: Peer| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(peer.receive(1));
        }
        // The caller may have gone.
        let _ = peer.try_send(PAGE);
    });
    let here = format!("{}:*", plan.site.address());
    (plan.calling_out(&[&here]).start(), server)
}

/// Whether a program is there; says so where it is not.
fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    if !found.status.success() {
        eprintln!("skipped: {program} is not installed");
    }
    found.status.success()
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Whatever proxy is meant in the environment is not ours.
    for name in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ] {
        command.env_remove(name);
    }
    let mut child = command.spawn().unwrap();
    // A program that does not read its input ends without it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn curl_by_every_protocol() {
    if !has("curl") {
        return;
    }
    let (chain, server) = web();
    let (at, url) = (chain.outgoing(), format!("http://{}/", server.address()));
    for proxy in ["socks5://", "socks5h://", "socks4://", "socks4a://", "http://"] {
        let proxy = format!("{proxy}{at}");
        let output = run("curl", &["-sS", "-m", "50", "-p", "--noproxy", "", "-x", &proxy, &url], b"");
        assert_eq!(output.stdout, b"behind", "{proxy}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let denied =
        ["-sS", "-m", "50", "-p", "--noproxy", "", "-x", &format!("http://{at}"), "http://192.0.2.7:6619/"];
    let output = run("curl", &denied, b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout.is_empty() && said.contains("403"), "{said}");
}

#[test]
fn curl_with_a_name_that_is_resolved_in_the_dmz() {
    if !has("curl") || !testkit::is_root("an /etc/hosts of its own for the proxy") {
        return;
    }
    let mut plan = Plan::new();
    let server = Station::serving(&plan.site, |mut peer: Peer| {
        peer.receive(18);
        // The caller may have gone.
        let _ = peer.try_send(PAGE);
    });
    let hosts = plan.site.write("hosts", &format!("{} partner.dmz.example\n", plan.site.address()));
    plan.proxy.room.hosts = Some(hosts);
    let here = format!("{}:*", plan.site.address());
    let chain = plan.calling_out(&[&here]).start();
    let url = format!("http://partner.dmz.example:{}/", server.address().port());
    for proxy in ["socks5h", "socks4a", "http"] {
        let proxy = format!("{proxy}://{}", chain.outgoing());
        let output = run("curl", &["-sS", "-m", "50", "-p", "--noproxy", "", "-x", &proxy, &url], b"");
        assert_eq!(output.stdout, b"behind", "{proxy}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn curl_with_user_and_password() {
    if !has("curl") {
        return;
    }
    let mut plan = Plan::new().calling_here();
    plan.client.outgoing_lines = String::from("users = [\"station:sec:ret\"]");
    let server = Station::serving(&plan.site, |mut peer: Peer| {
        peer.receive(18);
        // The caller may have gone.
        let _ = peer.try_send(PAGE);
    });
    let chain = plan.start();
    let url = format!("http://{}/", server.address());
    for (user, comes) in [("station:sec:ret", true), ("station:wrong", false)] {
        for scheme in ["socks5h", "http"] {
            let proxy = format!("{scheme}://{}", chain.outgoing());
            let arguments = ["-sS", "-m", "50", "-p", "--noproxy", "", "-x", &proxy, "-U", user, &url];
            let output = run("curl", &arguments, b"");
            assert_eq!(output.stdout == b"behind", comes, "{scheme} as {user}: {output:?}");
        }
    }
}

#[test]
fn ncat_by_every_protocol() {
    if !has("ncat") {
        return;
    }
    let (chain, server) = web();
    let (at, to) = (chain.outgoing().to_string(), server.address());
    let (host, port) = (to.ip().to_string(), to.port().to_string());
    for kind in ["socks5", "socks4", "http"] {
        let arguments = ["--proxy", &at, "--proxy-type", kind, &host, &port];
        let output = run("ncat", &arguments, b"GET / HTTP/1.0\r\n\r\n");
        assert_eq!(output.stdout, PAGE, "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn openssl_through_connect() {
    if !has("openssl") {
        return;
    }
    let plan = Plan::new().calling_here();
    let (key, certificate) = (plan.site.path("tls.key"), plan.site.path("tls.crt"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    let made = run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ed25519",
            "-nodes",
            "-subj",
            "/CN=partner",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        b"",
    );
    assert!(made.status.success(), "{made:?}");
    let to = plan.site.free_port().to_string();
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &to, "-key", key, "-cert", certificate, "-www"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = to.parse().unwrap();
    testkit::wait_until("the TLS server listens", || Peer::connect(address).is_ok());
    let chain = plan.start();
    let at = chain.outgoing().to_string();
    let arguments = ["s_client", "-proxy", &at, "-connect", &to, "-ign_eof", "-quiet"];
    let output = run("openssl", &arguments, b"GET / HTTP/1.0\r\n\r\n");
    server.kill().unwrap();
    server.wait().unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains("HTTP/1.0 200"), "{}", String::from_utf8_lossy(&output.stderr));
}

/// As many OFTP2 stations are: a socket and nothing else, and the proxy comes from the command line of the JVM.
const JAVA: &str = r#"
import java.io.*;
import java.net.*;
public class Caller {
    public static void main(String[] to) throws Exception {
        if (to.length > 2) {
            Authenticator.setDefault(new Authenticator() {
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication(to[2], to[3].toCharArray());
                }
            });
        }
        try (Socket socket = new Socket(to[0], Integer.parseInt(to[1]))) {
            socket.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes("US-ASCII"));
            socket.shutdownOutput();
            socket.getInputStream().transferTo(System.out);
        }
        System.out.flush();
    }
}
"#;

#[test]
fn java_by_socks_with_and_without_a_password() {
    if !has("javac") {
        return;
    }
    for users in [&[][..], &["station", "secret"]] {
        let mut plan = Plan::new().calling_here();
        if let [user, password] = users {
            plan.client.outgoing_lines = format!("users = {{ {user} = \"{password}\" }}");
        }
        let source = plan.site.write("Caller.java", JAVA);
        let server = Station::serving(&plan.site, |mut peer: Peer| {
            peer.receive(18);
            // The caller may have gone.
            let _ = peer.try_send(PAGE);
        });
        let to = server.address();
        let chain = plan.start();
        let at = chain.outgoing();
        let flags = [format!("-DsocksProxyHost={}", at.ip()), format!("-DsocksProxyPort={}", at.port())];
        let (host, port) = (to.ip().to_string(), to.port().to_string());
        // Java calls loopback itself unless it is told otherwise.
        let mut arguments =
            vec![&*flags[0], &flags[1], "-DsocksNonProxyHosts=", source.to_str().unwrap(), &host, &port];
        arguments.extend_from_slice(users);
        let output = run("java", &arguments, b"");
        assert_eq!(output.stdout, PAGE, "{users:?}: {}", String::from_utf8_lossy(&output.stderr));
        chain.client.wait(&[("event", "call"), ("direction", "out"), ("result", "ok")]);
    }
}
