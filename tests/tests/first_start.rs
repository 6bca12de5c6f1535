//! From nothing to a running pair on two hosts, by the commands of the README and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use testkit::{Namespace, Peer, Program, Site, wait_until};

#[test]
fn the_five_commands_of_the_readme() {
    let (Some(dmz), Some(inside)) = (Namespace::new(), Namespace::new()) else { return };
    let host = dmz.connect(&inside).to_string();
    let site = Site::new();
    let programs = Program::Proxy.path().parent().unwrap().to_owned();
    let [dmz_folder, inside_folder] = ["dmz", "inside"].map(|name| site.path(name).display().to_string());
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut running = Running { hosts: [&dmz, &inside], station: None };

    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let commands = commands(&readme);
    assert_eq!(commands.len(), 5, "{commands:?}");
    // What the README's commands have printed, and the keys in it, in the order in which they were made.
    let (mut printed, mut keys) = (String::new(), Vec::<String>::new());
    for (place, command) in commands {
        let namespace = if place == "dmz" { &dmz } else { &inside };
        let mut command = command
            .replace("/etc/os4x_proxyclient", &inside_folder)
            .replace("/etc/os4x_proxy", &dmz_folder)
            .replace("dmz1.example.com", &host)
            .replace("plant1", name.trim());
        for (key, example) in keys.iter().zip(EXAMPLE_KEYS) {
            command = command.replace(example, key);
        }
        // The folder for the client is not known before it has been chosen.
        let announced = [command.clone(), command.replace(&inside_folder, "/etc/os4x_proxyclient")];
        let was_announced = announced.iter().any(|command| printed.contains(&format!("  {command}\n")));
        assert!(was_announced || printed.is_empty(), "{command:?} was announced by none of:\n{printed}");
        let outcome = namespace.shell(&format!("PATH={}:$PATH; {command}", programs.display()));
        assert_eq!(outcome.code, Some(0), "{command}: {outcome:?}");
        printed.push_str(&outcome.stdout);
        let made = outcome.stdout.lines().find_map(|line| line.strip_prefix("Public key:"));
        keys.extend(made.map(|key| key.trim().to_owned()));
    }

    let inbox = site.path("inbox");
    running.station(&inside, &programs, &inbox);
    let external = dmz.external(6_619);
    wait_until("the client is attached", || Peer::connect(external).is_ok());
    let file = site.write("INVOICE", &"a line of it\n".repeat(10_000));
    let sent = Command::new(programs.join("os4x_proxyctl"))
        .args(["station", "send", &external.to_string()])
        .arg(&file)
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let received: Vec<_> = fs::read_dir(&inbox).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(fs::read(&received[0]).unwrap(), fs::read(&file).unwrap());
}

/// The commands of the first block of the README that has `init proxy` in it, with where they are typed.
fn commands(readme: &str) -> Vec<(&str, &str)> {
    let is_command = |line: &&str| line.starts_with("    dmz#") || line.starts_with("    inside#");
    readme
        .lines()
        .skip_while(|line| !(is_command(line) && line.contains("init proxy")))
        .take_while(is_command)
        .filter_map(|line| line.trim().split_once('#'))
        .map(|(place, command)| (place, command.trim()))
        .collect()
}

/// What runs on the two hosts, and is killed when this is dropped.
struct Running<'a> {
    hosts: [&'a Namespace; 2],
    station: Option<Child>,
}

impl Running<'_> {
    /// Starts a station at port 6619 of a host, and waits until it listens.
    fn station(&mut self, host: &Namespace, programs: &Path, inbox: &Path) {
        let child = Command::new("ip")
            .args(["netns", "exec", host.name()])
            .arg(programs.join("os4x_proxyctl"))
            .args(["station", "listen", "127.0.0.1:6619", "--inbox"])
            .arg(inbox)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let child = self.station.insert(child);
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.starts_with("listening on"), "{first}");
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        for host in self.hosts {
            host.end_all();
        }
        if let Some(station) = &mut self.station {
            station.wait().unwrap();
        }
    }
}

/// The keys in the README: the proxy's, then the client's.
const EXAMPLE_KEYS: [&str; 2] =
    ["8l0QHB1dL8jOOI7ZkEd2yXBvSySrJFX5uPvr5/A+46g=", "A8iEQ0wVh4V0tK5RgJ1aPSo1asBgc3SVIOKEb8BfQEs="];
