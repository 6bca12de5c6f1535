//! Which crate may link which.

/// What each crate may link of ours. The compiler holds the walls; this holds the manifests.
pub(crate) const WALLS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("seal", &[]),
    ("relay", &["wire", "seal"]),
    ("daemon", &[]),
    ("license", &[]),
    ("policy", &[]),
    ("issuer", &["license"]),
    ("oftp", &[]),
    ("os4x_proxy", &["wire", "seal", "relay", "daemon", "license", "policy"]),
    ("os4x_proxyclient", &["wire", "seal", "relay", "daemon", "policy"]),
];

/// What a manifest links or builds with: the keys of every table of dependencies but those of tests.
pub(crate) fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = vec![];
    let mut is_list = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            let of_tests = header.contains("dev-dependencies");
            is_list = header.ends_with("dependencies") && !of_tests;
            if let Some((table, name)) = header.rsplit_once('.')
                && table.ends_with("dependencies")
                && !of_tests
            {
                names.push(name.to_owned());
            }
        } else if is_list
            && !line.starts_with('#')
            && let Some((key, _)) = line.split_once('=')
        {
            // `name.workspace = true` or `name = …`.
            names.push(key.split('.').next().unwrap_or(key).trim().to_owned());
        }
    }
    names
}

/// The names in the output of `cargo tree --prefix none -f {p}`, sorted, each once.
pub(crate) fn tree_names(output: &str) -> Vec<String> {
    let mut names: Vec<String> =
        output.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn dependencies_are_read_wherever_they_stand() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# a = 1\nwire.workspace = true\ntokio = { version = \"1\" }\n\
                    [dependencies.seal]\npath = \"../seal\"\n[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n\
                    [dev-dependencies]\noftp.workspace = true\n[build-dependencies]\ncc = \"1\"\n[lints]\nworkspace = true\n";
    assert_eq!(dependencies(manifest), ["wire", "tokio", "seal", "libc", "cc"]);
}

#[test]
fn tree_lines_become_names() {
    assert_eq!(tree_names("b v1.0.0 (*)\na v0.1.0 (/x/a)\nb v1.0.0\n\n"), ["a", "b"]);
}
