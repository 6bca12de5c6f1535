//! What is looked for in source text.

/// The source with the content of comments, texts and characters blanked out, so that what is left is code. Lines
/// stay lines, and columns stay columns in bytes.
pub(crate) fn code(source: &str) -> String {
    let mut out: Vec<u8> = source.as_bytes().to_vec();
    let mut at = 0;
    while at < out.len() {
        let end =
            at + skipped(&source.as_bytes()[at..], at.checked_sub(1).map(|before| source.as_bytes()[before]));
        if end == at {
            at += 1;
            continue;
        }
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How many bytes at the start of `rest` are a comment, a text or a character; 0 where code goes on. `before` is the
/// byte in front.
fn skipped(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => 1 + quoted(&rest[1..], b'"'),
        [b'b' | b'c', b'"', ..] if !in_word => 2 + quoted(&rest[2..], b'"'),
        [b'r', ..] if !in_word => raw_text(rest, 1),
        [b'b' | b'c', b'r', ..] if !in_word => raw_text(rest, 2),
        [b'\'', ..] => character(rest),
        _ => 0,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Up to and including the closing quote.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r#"…"#` with any number of `#`; 0 for a name that merely begins with `r`, or a raw identifier.
fn raw_text(rest: &[u8], prefix: usize) -> usize {
    let marks = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let start = prefix + marks + 1;
    if rest.get(start - 1) != Some(&b'"') {
        return 0;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; marks]].concat();
    let found = rest[start..].windows(close.len()).position(|window| window == close);
    found.map_or(rest.len(), |at| start + at + close.len())
}

/// `'x'` or `'\n'`; 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    match rest {
        [_, b'\\', ..] => 1 + quoted(&rest[1..], b'\''),
        _ => {
            let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]);
            let length = text.chars().next().map_or(0, char::len_utf8);
            if rest.get(1 + length) == Some(&b'\'') { 2 + length } else { 0 }
        }
    }
}

/// The functions with more than `most` lines, signature and braces included.
pub(crate) fn long_functions(source: &str, most: usize) -> Vec<String> {
    let code = code(source);
    let mut complaints = vec![];
    for (at, _) in words(&code).filter(|(_, word)| *word == "fn") {
        let Some(name) = words(&code[at + 2..]).next().filter(|(gap, _)| *gap <= 1) else { continue };
        let Some(length) = body_end(&code[at..]) else { continue };
        let lines = code[at..at + length].lines().count();
        if lines > most {
            let line = line_of(&code, at);
            complaints.push(format!("{line}: function {} has {lines} lines, {most} is the most", name.1));
        }
    }
    complaints
}

/// The words of a text with their places.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_part)?;
        let length = text[start..].find(|c| !is_part(c)).unwrap_or(text.len() - start);
        at = start + length;
        Some((start, &text[start..at]))
    })
}

/// Where the body of a function ends; `None` where it has none.
fn body_end(from: &str) -> Option<usize> {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (at, byte) in from.bytes().enumerate() {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b';' if braces == 0 && others == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 && others == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// Macros that say that something is still to be done.
pub(crate) fn left_overs(source: &str) -> Vec<String> {
    let code = code(source);
    words(&code)
        .filter(|(at, word)| {
            ["todo", "unimplemented", "dbg"].contains(word) && code[at + word.len()..].starts_with('!')
        })
        .map(|(at, word)| format!("{}: {word}! is left over", line_of(&code, at)))
        .collect()
}

/// Sleeps by which a test might wait. One that is no wait says so by the comment `// not a wait: …` in its line or
/// in the one before. In a test whose clock is paused (`start_paused`) nothing waits in earnest.
pub(crate) fn waits(source: &str) -> Vec<String> {
    let code = code(source);
    let lines: Vec<&str> = source.lines().collect();
    let is_excused =
        |line: usize| lines[line.saturating_sub(2)..line].iter().any(|text| text.contains("// not a wait:"));
    let is_paused = |at: usize| {
        let attribute =
            source[..at].rfind("#[tokio::test").map(|attribute| source[attribute..].lines().next());
        attribute.flatten().is_some_and(|attribute| attribute.contains("start_paused = true"))
    };
    words(&code)
        .filter(|(at, word)| {
            ["sleep", "sleep_until"].contains(word) && code[at + word.len()..].starts_with('(')
        })
        .filter(|(at, _)| !code[..*at].trim_end().ends_with("fn"))
        .filter(|(at, _)| !is_excused(line_of(&code, *at)) && !is_paused(*at))
        .map(|(at, word)| format!("{}: {word} in a test; wait for an event instead", line_of(&code, at)))
        .collect()
}

/// Absolute paths that exist on one machine only: below `root`, or below somebody's home.
pub(crate) fn developer_paths(text: &str, root: &str) -> Vec<String> {
    // In two parts each, so that this file does not name them.
    let homes =
        [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!(r"C:\Us", r"ers\")];
    let needles = homes.into_iter().chain((root.matches('/').count() > 1).then_some(root));
    let mut complaints = vec![];
    for needle in needles {
        for (at, _) in text.match_indices(needle) {
            // What goes on here from a relative path, a variable or a host is none.
            let before = text[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || "_-./}$:".contains(c)) {
                complaints.push(format!("{}: names the path {needle:?} of one machine", line_of(text, at)));
            }
        }
    }
    complaints
}

#[test]
fn only_code_is_code() {
    let blanked =
        code("a \"{\\\"\" b '{' 'x: '\\'' // {\nc /* { /* } */ */ r#\"\"{\"# br\"{\" r#type '\u{fc}' d");
    let kept: String = blanked.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(kept, "a b 'x: c r#type d");
    assert_eq!(blanked.lines().count(), 2);
}

#[test]
fn a_long_function_is_seen() {
    let source = "trait T { fn short(a: [u8; 2]); }\nfn long<F: Fn(u8)>(f: F) -> [u8; 2] {\n    let a = '{';\n    g(a)\n}\n";
    assert_eq!(long_functions(source, 4), [] as [String; 0]);
    assert_eq!(long_functions(source, 3), ["2: function long has 4 lines, 3 is the most"]);
    assert_eq!(
        long_functions("type F = fn(u8);\nfn f() {\n}", 1),
        ["2: function f has 2 lines, 1 is the most"]
    );
}

#[test]
fn left_overs_are_seen() {
    let source = "fn f() {\n    todo!()\n}\n// dbg!(1)\nconst S: &str = \"dbg!\"; fn todo() {}";
    assert_eq!(left_overs(source), ["2: todo! is left over"]);
}

#[test]
fn waits_are_seen() {
    let sleep = "    tokio::time::sleep(pause).await;\n";
    assert_eq!(waits(&format!("fn f() {{\n{sleep}}}")).len(), 1);
    assert_eq!(waits(&format!("fn f() {{\n    // not a wait: a slow reader\n{sleep}}}")), [] as [String; 0]);
    assert_eq!(waits("thread::sleep(a); // not a wait: load\n\nsleep(b);").len(), 1);
    let paused = format!("#[tokio::test(start_paused = true)]\nasync fn a() {{\n{sleep}}}\n");
    assert_eq!(waits(&paused), [] as [String; 0]);
    assert_eq!(waits(&format!("{paused}#[tokio::test]\nasync fn b() {{\n{sleep}}}")).len(), 1);
    assert_eq!(waits("fn sleep(a: u8) {} // sleep(1)"), [] as [String; 0]);
}

#[test]
fn developer_paths_are_seen() {
    let home = concat!("see /ho", "me/jo/x");
    assert_eq!(developer_paths(home, "/w").len(), 1);
    assert_eq!(developer_paths(concat!("a/ho", "me/jo"), "/w"), [] as [String; 0]);
    assert_eq!(developer_paths("in /srv/build/x", "/srv/build").len(), 1);
    assert_eq!(developer_paths("${X}/srv/build/x and /srv", "/srv/build"), [] as [String; 0]);
}
