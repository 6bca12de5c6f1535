//! What nobody should have to watch over by eye: lengths, left-overs, walls between crates, and documents that say
//! what the code says.
//!
//! Every check is a function from text to complaints, so that each is also shown to complain (at the end).

#![allow(clippy::panic, reason = "a test fails by panicking")]

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use documents::{bounds, constants, kinds, offer, permits};
use house::{WALLS, dependencies, tree_names};
use source::{developer_paths, left_overs, long_functions, waits};

/// Lines of one file at most.
const FILE_LINES_MAX: usize = 400;
/// Lines of one function at most.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_and_functions_are_short() {
    let mut complaints = vec![];
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{path}: {lines} lines, {FILE_LINES_MAX} is the most"));
        }
        complaints
            .extend(long_functions(&text, FUNCTION_LINES_MAX).iter().map(|what| format!("{path}:{what}")));
    }
    nothing(&complaints);
}

#[test]
fn nothing_is_left_over() {
    let files = rust_files();
    nothing(&files.iter().flat_map(|(path, text)| at(path, left_overs(text))).collect::<Vec<_>>());
}

#[test]
fn tests_wait_for_events() {
    let files = rust_files();
    let of_tests = files.iter().filter(|(path, _)| path.contains("tests/"));
    nothing(&of_tests.flat_map(|(path, text)| at(path, waits(text))).collect::<Vec<_>>());
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let root = root().display().to_string();
    let complaints = files(|_| true)
        .iter()
        .filter_map(|path| Some((relative(path), fs::read_to_string(path).ok()?)))
        .flat_map(|(path, text)| at(&path, developer_paths(&text, &root)))
        .collect::<Vec<_>>();
    nothing(&complaints);
}

#[test]
fn crates_link_what_the_walls_let_through() {
    let ours: Vec<String> =
        files(|path| path.ends_with("Cargo.toml")).iter().filter_map(|path| package(path)).collect();
    let mut complaints = vec![];
    for (name, allowed) in WALLS {
        let linked = dependencies(&read(&format!("crates/{name}/Cargo.toml")));
        for other in linked.iter().filter(|other| ours.contains(other) && !allowed.contains(&other.as_str()))
        {
            complaints.push(format!("{name} links {other}"));
        }
        if *name == "wire" && !linked.is_empty() {
            complaints.push(format!("wire is pure, and depends on {linked:?}"));
        }
    }
    nothing(&complaints);
}

#[test]
fn no_daemon_links_what_only_tools_may() {
    for daemon in ["os4x_proxy", "os4x_proxyclient"] {
        let names = cargo_tree(daemon);
        assert!(names.iter().any(|name| name == "wire"), "{daemon}: this is no list of crates: {names:?}");
        for tool in
            ["oftp", "issuer", "testkit", "os4x_proxyctl", "rcgen", "clap", "axum", "hyper", "minisign"]
        {
            assert!(!names.iter().any(|name| name == tool), "{daemon} links {tool}");
        }
    }
}

#[test]
fn the_dmz_daemon_links_what_was_reviewed() {
    let reviewed: Vec<String> = read("dmz-dependencies.txt").lines().map(str::to_owned).collect();
    let linked = cargo_tree("os4x_proxy");
    let new: Vec<&String> = linked.iter().filter(|name| !reviewed.contains(name)).collect();
    let gone: Vec<&String> = reviewed.iter().filter(|name| !linked.contains(name)).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "os4x_proxy links crates that nobody has reviewed: {new:?}, and no longer links {gone:?}; \
         review, then bring dmz-dependencies.txt up to date"
    );
    assert_eq!(reviewed, linked, "the list is sorted, and names everything once");
}

#[test]
fn the_document_names_every_bound() {
    let document = read("PROTOCOL.md");
    let limits = read("crates/wire/src/limits.rs");
    nothing(&bounds(&document, &constants(&limits, &[]), |file| {
        fs::read_to_string(root().join(file)).map(|text| constants(&text, &constants(&limits, &[]))).ok()
    }));
}

#[test]
fn the_document_has_the_permit_table() {
    nothing(&permits(&read("PROTOCOL.md"), &read("crates/wire/src/permit.rs")));
}

#[test]
fn the_document_has_every_kind_of_frame_and_the_tested_offer() {
    let document = read("PROTOCOL.md");
    nothing(&kinds(&document, &read("crates/wire/src/frame.rs")));
    nothing(&offer(&document, &read("crates/wire/src/codec.rs")));
}

fn at(path: &str, complaints: Vec<String>) -> Vec<String> {
    complaints.into_iter().map(|what| format!("{path}:{what}")).collect()
}

#[track_caller]
fn nothing(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace").to_owned()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of ours, with its path from the root.
fn rust_files() -> Vec<(String, String)> {
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let found: Vec<_> = files(is_rust)
        .iter()
        .map(|path| (relative(path), fs::read_to_string(path).expect("it is text")))
        .collect();
    assert!(found.len() > 50, "only {} files were found", found.len());
    found
}

/// Every file that belongs to the project, but what is built, fetched, found by fuzzing or data of a test.
fn files(wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be read") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let is_ours = !OTHERS.contains(&name.as_str()) && (!name.starts_with('.') || name == ".ci");
            match (is_ours, path.is_dir()) {
                (true, true) => folders.push(path),
                (true, false) if wanted(&path) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

const OTHERS: [&str; 6] = ["target", "corpus", "artifacts", "coverage", "results", "data"];

/// The name of the package that a manifest describes.
fn package(manifest: &Path) -> Option<String> {
    let text = fs::read_to_string(manifest).ok()?;
    let name = text.split("[package]").nth(1)?.lines().find_map(|line| line.strip_prefix("name = "))?;
    Some(name.trim_matches('"').to_owned())
}

/// What a package links, itself included, as cargo resolves it from the lock file.
fn cargo_tree(name: &str) -> Vec<String> {
    let arguments =
        ["tree", "--locked", "--offline", "-p", name, "-e", "normal", "--prefix", "none", "-f", "{p}"];
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    tree_names(&String::from_utf8_lossy(&output.stdout))
}
