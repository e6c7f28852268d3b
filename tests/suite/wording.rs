//! Bans wordings that a native reader of technical English stumbles over, and bounds the README.
//!
//! Checked are string literals of the modules that talk to users, the help in the doc comments of
//! `src/cli`, and the first paragraph of every file's documentation. Sources are read as text, which
//! `cargo fmt` keeps regular; a last test feeds each check a text that offends.

use std::fs;
use std::path::Path;

/// Phrases, in lower case, that may not occur as whole words.
const BANNED: [&str; 15] = [
    "anew",
    "give out",
    "gives out",
    "given out",
    "work off",
    "works off",
    "worked off",
    "so many",
    "is told",
    "told of",
    "tells nothing",
    "whoever",
    "what is the matter",
    "nothing is to be done",
    "is none.",
];

/// Units that take "per", not "a": "a line per policy".
const UNITS: [&str; 5] = ["line", "row", "instance", "policy", "operator"];

/// Folders whose string literals users read.
const TALKS_TO_USERS: [&str; 3] = ["src/cli/", "src/report/", "src/plot/"];

/// Ends of the paths of files whose first paragraph is not rewritten yet. A file that is mended or gone
/// leaves the list.
const NOT_YET: [&str; 8] =
    ["/due.rs", "/nexmark/q4.rs", "/nexmark/q5.rs", "/nexmark/q7.rs", "/nexmark/q11.rs", "/recorder.rs", "/sim/job.rs", "/what_if.rs"];

/// Size of the README, in bytes, at most: one screen of what there is, and links to `docs/`.
const MOST_README: usize = 8 * 1024;

#[test]
fn users_read_plain_english() {
    let mut offences = Vec::new();
    for (path, text) in sources() {
        if TALKS_TO_USERS.iter().any(|folder| path.starts_with(folder)) && !path.ends_with("tests.rs") {
            offences.extend(offences_in(&path, &literals(without_tests(&text))));
        }
        if path.starts_with("src/cli/") {
            offences.extend(offences_in(&path, &documentation(without_tests(&text))));
        }
        if !NOT_YET.iter().any(|end| path.ends_with(end)) {
            offences.extend(offences_in(&path, &first_paragraph(&text)));
        }
    }
    assert!(offences.is_empty(), "{} offences\n{}", offences.len(), offences.join("\n"));
}

#[test]
fn the_readme_is_one_screen() {
    let size = fs::metadata(root().join("README.md")).expect("there is a README").len();
    assert!(size <= MOST_README as u64, "README.md: expected at most {MOST_README} bytes, found {size}; docs/ has room");
}

#[test]
fn each_check_finds_what_offends() {
    let found = |text: &str| banned(text);
    assert_eq!(found("Draw the figure Anew."), Some("anew".to_owned()));
    assert_eq!(found("prints a line a policy"), Some("a line a ".to_owned()));
    assert_eq!(found("cut into so\nmany words"), Some("so many".to_owned()));
    for plain in ["renewed", "one line per policy", "some policy, a line, a row", "told often", "a policy and a plan", "None if empty"] {
        assert_eq!(found(plain), None, "{plain}");
    }
    let code = "/// Help of so\n/// many words.\nfn f(c: char) {\n    // \"in a comment\"\n    g('\"', \"one \\\"two\\\"\", r#\"a \"b\" c\"#);\n}\n";
    assert_eq!(literals(code), ["one \"two\"", "a \"b\" c"]);
    assert_eq!(documentation(code), ["Help of so many words."]);
    assert_eq!(first_paragraph("//! One\n//! two.\n//!\n//! Three.\n"), ["One two."]);
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
    assert_eq!(offences_in("x.rs", &["whoever it is".to_owned()]), ["x.rs: \"whoever\" in \"whoever it is\""]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file by its path from the root of the project, with `/` between folders.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders: Vec<_> = ["src", "tests", "benches", "examples"].iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for path in folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name: Vec<_> = path.strip_prefix(root()).expect("below the root").iter().map(|part| part.to_string_lossy()).collect();
                let name = name.join("/");
                // This file names what is banned.
                if !name.ends_with("/wording.rs") {
                    sources.push((name, fs::read_to_string(&path).expect("a readable source")));
                }
            }
        }
    }
    sources.sort();
    assert!(sources.iter().any(|(path, _)| path == "src/lib.rs"), "the sources are beside the manifest");
    sources
}

fn offences_in(path: &str, texts: &[String]) -> Vec<String> {
    texts.iter().filter_map(|text| banned(text).map(|phrase| format!("{path}: \"{phrase}\" in \"{text}\""))).collect()
}

/// The first banned phrase in a text.
fn banned(text: &str) -> Option<String> {
    let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let is_word = |c: char| c.is_alphanumeric();
    let whole = |phrase: &str| {
        text.match_indices(phrase).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + phrase.len()..].chars().next();
            let ends_in_word = phrase.ends_with(is_word);
            !(before.is_some_and(is_word) || ends_in_word && after.is_some_and(is_word))
        })
    };
    let per = UNITS.iter().map(|unit| format!("a {unit} a "));
    BANNED.iter().map(|phrase| (*phrase).to_owned()).chain(per).find(|phrase| whole(phrase))
}

/// A source up to its unit tests.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

/// The paragraphs of a source's doc comments, each in one line.
fn documentation(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines().map(str::trim_start) {
        match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim) {
            Some(words) if !words.is_empty() => {
                let paragraph = paragraphs.last_mut().expect("never empty");
                if !paragraph.is_empty() {
                    paragraph.push(' ');
                }
                paragraph.push_str(words);
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// The first paragraph of a file's documentation, if it has one.
fn first_paragraph(text: &str) -> Vec<String> {
    let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//! ")).collect();
    documentation(&head.join("\n"))
}

/// The string literals of a source, without those in comments.
fn literals(text: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'', '/', 'r']) {
        let (before, from) = rest.split_at(at);
        let inside_a_word = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        rest = if from.starts_with("//") {
            from.find('\n').map_or("", |end| &from[end..])
        } else if let Some(string) = from.strip_prefix('"') {
            let (literal, after) = quoted(string);
            literals.push(literal);
            after
        } else if let Some((hashes, raw)) = raw_string(from).filter(|_| !inside_a_word) {
            let (literal, after) = raw.split_once(&format!("\"{hashes}")).unwrap_or((raw, ""));
            literals.push(literal.to_owned());
            after
        } else if let Some(rest) = from.strip_prefix('\'') {
            // A character, or the name of a lifetime.
            let escaped = usize::from(rest.starts_with('\\'));
            let mut end = from.char_indices().skip(2 + escaped);
            end.next().filter(|(_, c)| *c == '\'').map_or(&from[1..], |(end, _)| &from[end + 1..])
        } else {
            &from[1..]
        };
    }
    literals
}

/// What follows `r#"`, with its hashes.
fn raw_string(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('r')?;
    let hashes = text.len() - text.trim_start_matches('#').len();
    Some((&text[..hashes], text[hashes..].strip_prefix('"')?))
}

/// A literal up to its closing quote, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let (mut literal, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                // A line feed or its continuation separates words.
                literal.push(if matches!(c, 'n' | '\n') { ' ' } else { c });
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (literal, &text[at + 1..]),
            _ => literal.push(c),
        }
    }
    (literal, "")
}
