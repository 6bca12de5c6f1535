//! What the documents say, beside what the code says.

/// The constants of a file with their values as the documents write them: `16384`, `5 s`, `100 ms`. `known` are those of
/// other files. A constant whose value is neither a sum of numbers nor a time is left out.
pub(crate) fn constants(source: &str, known: &[(String, String)]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = vec![];
    for line in source.replace("=\n", "= ").lines() {
        let line = line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        let Some((name, value)) = line.strip_prefix("const ").and_then(|rest| rest.split_once('=')) else {
            continue;
        };
        let name = name.split(':').next().unwrap_or(name).trim().to_owned();
        let all = [known, &found].concat();
        let value = value.trim().trim_end_matches(';');
        if name != "_"
            && let Some(value) = time(value).or_else(|| sum(value, &all).map(|value| value.to_string()))
        {
            found.push((name, value));
        }
    }
    found
}

fn time(value: &str) -> Option<String> {
    let (constructor, rest) = value.strip_prefix("Duration::from_")?.split_once('(')?;
    let number = rest.trim_end_matches(')').replace('_', "");
    match constructor {
        "secs" => Some(format!("{number} s")),
        "millis" => Some(format!("{number} ms")),
        _ => None,
    }
}

/// The value of sums, differences and products of numbers and names.
fn sum(value: &str, known: &[(String, String)]) -> Option<i64> {
    let value = value.trim();
    let inner = value.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    if let Some(inner) = inner.filter(|inner| !inner.contains('(')) {
        return sum(inner, known);
    }
    let outside = |wanted: [char; 2]| {
        let mut depth = 0;
        value.char_indices().rev().find(|(_, c)| {
            depth += i32::from(*c == ')') - i32::from(*c == '(');
            depth == 0 && wanted.contains(c)
        })
    };
    if let Some((at, sign)) = outside(['+', '-']).or_else(|| outside(['*', '*'])) {
        let (left, right) = (sum(&value[..at], known)?, sum(&value[at + 1..], known)?);
        return Some(match sign {
            '+' => left + right,
            '-' => left - right,
            _ => left * right,
        });
    }
    let name = value.trim_start_matches("limits::");
    let of_name = known.iter().find(|(other, _)| other == name).and_then(|(_, value)| value.parse().ok());
    of_name.or_else(|| value.replace('_', "").parse().ok())
}

/// Every constant of `limits` has a row "`NAME` | value | …" in the document, and every such row is true. A row whose
/// name is a path and a name, `crates/x/src/y.rs: NAME`, is about that file, whose constants `of_file` gives.
pub(crate) fn bounds(
    document: &str,
    limits: &[(String, String)],
    of_file: impl Fn(&str) -> Option<Vec<(String, String)>>,
) -> Vec<String> {
    let mut complaints = vec![];
    let mut named = vec![];
    for cells in rows(document) {
        let [name, value, ..] = &cells[..] else { continue };
        let is_constant = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b"_0123456789".contains(&b))
        };
        let (file, name) =
            name.split_once(": ").map_or((None, name.as_str()), |(file, name)| (Some(file), name));
        if !is_constant(name) || (file.is_none() && !name.contains('_') && name != "VERSION") {
            continue;
        }
        let held = file.map_or_else(|| Some(limits.to_vec()), &of_file).unwrap_or_default();
        let said = value.replace(',', "");
        match held.iter().find(|(other, _)| other == name) {
            None => complaints.push(format!("{name} is in the document and not in the code ({file:?})")),
            Some((_, value)) if *value != said => {
                complaints.push(format!("{name} is {value}, the document says {said}"));
            }
            Some(_) if file.is_none() => named.push(name.to_owned()),
            Some(_) => {}
        }
    }
    let missing = limits.iter().filter(|(name, _)| !named.contains(name));
    complaints.extend(missing.map(|(name, value)| format!("{name} = {value} is not in the document")));
    complaints
}

/// The rows of all tables, cell by cell, without the marks of code.
fn rows(document: &str) -> impl Iterator<Item = Vec<String>> {
    document.lines().filter_map(|line| {
        let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(inside.split('|').map(|cell| cell.trim().replace('`', "")).collect())
    })
}

/// The table of the document says the same as that of `permit.rs`: state by state, kind by kind, in the same order.
pub(crate) fn permits(document: &str, source: &str) -> Vec<String> {
    let flat = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let table =
        flat.split("pub const TABLE").nth(1).and_then(|rest| rest.split("];").next()).unwrap_or_default();
    let in_code: Vec<(String, Vec<String>)> = table
        .split("(State::")
        .skip(1)
        .map(|row| {
            let state = row.split(',').next().unwrap_or_default().to_owned();
            let kinds = row
                .split("Kind::")
                .skip(1)
                .map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect());
            (state, kinds.collect())
        })
        .collect();
    let in_document: Vec<(String, Vec<String>)> = rows(document)
        .filter(|cells| cells.len() == 3 && in_code.iter().any(|(state, _)| *state == cells[0]))
        .map(|cells| {
            let kinds = cells[2].split(", ").filter(|kind| *kind != "nothing").map(str::to_owned).collect();
            (cells[0].clone(), kinds)
        })
        .collect();
    match in_code.is_empty() || in_code != in_document {
        true => vec![format!("permitted by the code: {in_code:?}\nand by the document: {in_document:?}")],
        false => vec![],
    }
}

/// The document has a row for every kind of frame, with its byte.
pub(crate) fn kinds(document: &str, source: &str) -> Vec<String> {
    let list =
        source.split("pub enum Kind {").nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_default();
    let in_code: Vec<(String, String)> = list
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "))
        .map(|(kind, byte)| (byte.to_owned(), kind.to_owned()))
        .collect();
    let in_document: Vec<(String, String)> = rows(document)
        .filter(|cells| cells.len() > 2 && cells[0].parse::<u8>().is_ok())
        .map(|cells| (cells[0].clone(), cells[1].clone()))
        .filter(|(_, kind)| in_code.iter().any(|(_, other)| other == kind))
        .collect();
    match in_code.is_empty() || in_code != in_document {
        true => vec![format!("frames of the code: {in_code:?}\nand of the document: {in_document:?}")],
        false => vec![],
    }
}

/// The document writes the offer in hexadecimal digits as the test of `codec.rs` has it.
pub(crate) fn offer(document: &str, source: &str) -> Vec<String> {
    let test = source.split("fn the_bytes_of_an_offer_are_those_of_the_document").nth(1).unwrap_or_default();
    let list = |begin: &str| {
        let inside = test.split(begin).nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
        inside.split(',').filter_map(|item| byte(item.trim())).collect::<Vec<u8>>()
    };
    let bytes = [list("[&["), list("let body = [")].concat();
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let said = document.split_whitespace().collect::<Vec<_>>().join(" ");
    match bytes.len() > 4 && said.contains(&digits.join(" ")) {
        true => vec![],
        false => vec![format!("the offer of the test is not in the document: {}", digits.join(" "))],
    }
}

/// `14`, `0x19` or `b'a'`.
fn byte(text: &str) -> Option<u8> {
    match (text.strip_prefix("0x"), text.strip_prefix("b'")) {
        (Some(digits), _) => u8::from_str_radix(digits, 16).ok(),
        (_, Some(character)) => character.bytes().next(),
        _ => text.parse().ok(),
    }
}

#[test]
fn constants_are_worked_out() {
    let source = "pub const A_A: usize = 1_000;\npub const B_B: usize = 4 * A_A - 2;\nconst C: Duration = Duration::from_secs(5);\n\
                  const D: usize = 4 * (A_A + 5 + 1);\nconst E: &str = \"e\";\nconst _: () = assert!(true);";
    let pairs = constants(source, &[]);
    let expected = [("A_A", "1000"), ("B_B", "3998"), ("C", "5 s"), ("D", "4024")];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_bound_that_is_missing_wrong_or_gone_is_seen() {
    let limits = constants("pub const A_A: u8 = 1;\npub const B_B: u8 = 2_000;\n", &[]);
    let file =
        |name: &str| (name == "x.rs").then(|| constants("const C: Duration = Duration::from_secs(5);", &[]));
    let good = "| `A_A` | 1 | x |\n| `B_B` | 2,000 | y |\n| `x.rs`: `C` | 5 s | z |\n";
    assert_eq!(bounds(good, &limits, file), [] as [String; 0]);
    assert_eq!(bounds("| `A_A` | 1 | x |", &limits, file).len(), 1, "missing");
    assert_eq!(bounds(&good.replace("2,000", "2,001"), &limits, file).len(), 2, "wrong, and so not named");
    assert_eq!(bounds(&format!("{good}| `D_D` | 1 | x |"), &limits, file).len(), 1, "gone");
    assert_eq!(bounds(&good.replace("5 s", "6 s"), &limits, file).len(), 1, "wrong in another file");
}

#[test]
fn a_permit_table_that_differs_is_seen() {
    let source =
        "pub const TABLE: X = &[\n    (State::A, &[Kind::Hello, Kind::End]),\n    (State::B, &[]),\n];";
    let good = "| `A` | here | `Hello`, `End` |\n| `B` | there | nothing |\n";
    assert_eq!(permits(good, source), [] as [String; 0]);
    assert_eq!(permits(&good.replace(", `End`", ""), source).len(), 1);
    assert_eq!(permits(&good.replace("nothing", "`End`"), source).len(), 1);
    assert_eq!(permits("", source).len(), 1);
}

#[test]
fn a_frame_that_differs_is_seen() {
    let source = "pub enum Kind {\n    /// One.\n    Hello = 1,\n    /// Two.\n    End = 2,\n}";
    let good = "| 1 | `Hello` | x |\n| 2 | `End` | x |\n";
    assert_eq!(kinds(good, source), [] as [String; 0]);
    assert_eq!(kinds(&good.replace("| 2", "| 3"), source).len(), 1);
    let test = "fn the_bytes_of_an_offer_are_those_of_the_document() { let body = [1, b'a', 0x19]; [&[14, 0][..], &body]";
    assert_eq!(offer("0e 00\n01 61 19", test), [] as [String; 0]);
    assert_eq!(offer("0e 00 01 61 18", test).len(), 1);
}
