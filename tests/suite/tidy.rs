//! What review would otherwise have to look for: layers, who names timely, module docs, citations, length of files, and
//! whether the README shows the example as it is.
//!
//! Each check takes file names and texts and gives offences; a last test feeds every check a text that offends, so that a
//! check that finds nothing is known to be able to. No shell, no parser: the sources are read as text, which `cargo fmt`
//! keeps regular.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layer of every module of `src/`, those to come included. A path points to a smaller layer or into its own module.
const LAYERS: [(&str, u32); 30] = [
    ("id", 0),
    ("time", 0),
    ("rate", 0),
    ("stats", 1),
    ("dataflow", 1),
    ("activity", 1),
    ("workload", 1),
    ("pag", 2),
    ("metrics", 2),
    ("migration", 2),
    ("critical_path", 3),
    ("observation", 4),
    ("model", 5),
    ("policy", 6),
    ("controller", 7),
    ("engine", 8),
    ("sim", 8),
    ("flink", 8),
    ("readers", 8),
    ("experiment", 9),
    ("export", 10),
    ("plot", 10),
    ("report", 10),
    ("live", 11),
    ("cli", 12),
    ("main", 12),
    // The rest is the crate's own root and what cargo builds beside it; nothing in `src/` can name these.
    ("lib", 13),
    ("tests", 13),
    ("benches", 13),
    ("examples", 13),
];

/// Paths that the table forbids and the code needs: from, to.
const EXCEPTIONS: [(&str, &str); 1] = [
    // The program is one call of the library's command line.
    ("main", "cli"),
];

/// Modules of `src/policy/` that are no policies: every policy may name them.
const SHARED_BY_POLICIES: [&str; 5] = ["changes", "reason", "fixture", "kind", "settings"];

/// Beyond this, ask where a second concept begins.
const MOST_LINES: usize = 500;

/// A file by its path from the root of the project, with `/` between folders.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// The module path of a file of `src/`, such as `["policy", "ds2", "demand"]`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut module: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
        if module.last() == Some(&"mod") {
            module.pop();
        }
        module
    }

    fn is_rust_below(&self, folder: &str) -> bool {
        self.path.starts_with(folder) && self.path.ends_with(".rs")
    }

    fn offence(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    fn line_at(&self, byte: usize) -> usize {
        1 + self.text[..byte].matches('\n').count()
    }
}

/// A path of this crate that a file names, from the crate's root.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    line: usize,
    path: Vec<String>,
}

/// Every path that begins with `crate`, `thalweg` or `super`, in code and in doc comments; groups are taken apart.
fn named(source: &Source) -> Vec<Named> {
    let text = &source.text;
    let module: Vec<String> = source.module().into_iter().map(str::to_owned).collect();
    // Tests inside a file are its last module; `super` there is the file.
    let tests = text.find("\nmod tests {").unwrap_or(text.len());
    let mut found = Vec::new();
    for (at, root) in ["crate::", "thalweg::", "super::"].iter().flat_map(|root| text.match_indices(root)) {
        let before = text[..at].chars().next_back();
        let (mut base, mut rest) = (Vec::new(), &text[at + root.len()..]);
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
            continue;
        }
        if root == "super::" {
            base.clone_from(&module);
            if at > tests {
                base.push("tests".to_owned());
            }
            base.pop();
            while let Some(further) = rest.strip_prefix("super::") {
                base.pop();
                rest = further;
            }
        }
        take_apart(&base, rest, &mut |path| found.push(Named { line: source.line_at(at), path }));
    }
    found.sort_by_key(|named| named.line);
    found
}

/// Follows a path to its ends, `{a, b::{c, d}}` to each of them; gives what is left of the text.
fn take_apart<'t>(base: &[String], text: &'t str, give: &mut dyn FnMut(Vec<String>)) -> &'t str {
    let mut path = base.to_vec();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut member = group.trim_start();
            while !member.is_empty() {
                if let Some(after) = member.strip_prefix('}') {
                    return after;
                }
                // `*`, and `as` with another name, say nothing about where the path points.
                let left = take_apart(&path, member, give);
                let left = &left[left.find([',', '}']).unwrap_or(left.len())..];
                member = left.strip_prefix(',').unwrap_or(left).trim_start();
            }
            return member;
        }
        match rest.strip_prefix("::") {
            Some(further) => rest = further,
            None => break,
        }
    }
    give(path);
    rest
}

/// (a) Paths point down the layers; every module is in the table.
fn layers(sources: &[Source]) -> Vec<String> {
    let table: BTreeMap<&str, u32> = LAYERS.into_iter().collect();
    let mut offences = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust_below("src/")) {
        let from = source.module()[0];
        let Some(&layer) = table.get(from) else {
            offences.push(source.offence(1, &format!("module '{from}' is not in the layer table")));
            continue;
        };
        for Named { line, path } in named(source) {
            let Some((to, &below)) = path.first().and_then(|to| table.get_key_value(to.as_str())) else { continue };
            if *to != from && below >= layer && !EXCEPTIONS.contains(&(from, to)) {
                offences.push(source.offence(line, &format!("'{from}' (layer {layer}) names '{to}' (layer {below})")));
            }
        }
        if source.path == "src/lib.rs" {
            for (line, text) in (1..).zip(source.text.lines()) {
                let declared = text.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
                if let Some(module) = declared.filter(|module| !table.contains_key(module)) {
                    offences.push(source.offence(line, &format!("module '{module}' is not in the layer table")));
                }
            }
        }
    }
    offences
}

/// (a) A policy names no other policy and no activity graph; hosts are above it anyway.
fn policies(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    let Some(root) = sources.iter().find(|source| source.path == "src/policy/mod.rs") else { return offences };
    // What `policy` exports, by the module it comes from: naming either is naming the policy.
    let mut owner: BTreeMap<String, String> = BTreeMap::new();
    for line in root.text.lines() {
        let module = line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        owner.extend(module.map(|module| (module.to_owned(), module.to_owned())));
    }
    for (at, _) in root.text.match_indices("pub use ") {
        take_apart(&[], &root.text[at + "pub use ".len()..], &mut |path| {
            owner.insert(path.last().expect("a path has a name").clone(), path[0].clone());
        });
    }
    for source in sources.iter().filter(|source| source.is_rust_below("src/policy/") && source.path != root.path) {
        let own = source.module()[1];
        // The registry names them all.
        if SHARED_BY_POLICIES.contains(&own) || own == "registry" {
            continue;
        }
        for Named { line, path } in named(source) {
            let of = match path.first().map(String::as_str) {
                Some("policy") => path.get(1).and_then(|name| owner.get(name)),
                _ => None,
            };
            if let Some(other) = of.filter(|other| *other != own && !SHARED_BY_POLICIES.contains(&other.as_str())) {
                offences.push(source.offence(line, &format!("policy '{own}' names policy '{other}'")));
            }
            if path.first().is_some_and(|module| module == "pag") {
                offences.push(source.offence(line, &format!("policy '{own}' names 'pag': it sees observations only")));
            }
        }
    }
    offences
}

/// (b) Only the engine names timely or differential dataflow.
fn hosts(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust_below("src/") && !source.path.starts_with("src/engine/")) {
        for (line, text) in (1..).zip(source.text.lines()) {
            for name in ["timely::", "timely_communication", "differential_dataflow"] {
                if text.contains(name) {
                    offences.push(source.offence(line, &format!("only src/engine names {name}")));
                }
            }
        }
    }
    offences
}

/// (c) Every file says at its top what it is for.
fn module_docs(sources: &[Source]) -> Vec<String> {
    let rust = sources.iter().filter(|source| source.path.ends_with(".rs"));
    // The crate's documentation is a page of its own.
    let opens = |source: &Source| source.text.starts_with("//!") || source.text.starts_with("#![doc = include_str!(");
    rust.filter(|source| !opens(source)).map(|source| source.offence(1, "expected the file to open with '//!'")).collect()
}

/// (d) Every cited note and anchor exists; no anchor stands twice.
fn citations(sources: &[Source]) -> Vec<String> {
    let mut anchors: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut offences = Vec::new();
    for note in sources.iter().filter(|source| source.path.starts_with("papers/")) {
        let known = anchors.entry(&note.path).or_default();
        for (at, mark) in note.text.match_indices("<a id=\"") {
            let id = note.text[at + mark.len()..].split('"').next().unwrap_or_default();
            if !known.insert(id) {
                offences.push(note.offence(note.line_at(at), &format!("the anchor '{id}' stands twice")));
            }
        }
    }
    for source in sources {
        for (at, _) in source.text.match_indices("papers/") {
            let cited = &source.text[at..];
            let part = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
            let Some(end) = cited.find(".md").filter(|&end| end == "papers/".len() + part(&cited["papers/".len()..])) else { continue };
            let (note, rest) = cited.split_at(end + ".md".len());
            let line = source.line_at(at);
            match (anchors.get(note), rest.strip_prefix('#')) {
                (None, _) => offences.push(source.offence(line, &format!("expected the file {note}, found none"))),
                (Some(known), Some(anchor)) => {
                    let anchor = &anchor[..part(anchor)];
                    if !known.contains(anchor) {
                        offences.push(source.offence(line, &format!("expected <a id=\"{anchor}\"> in {note}, found none")));
                    }
                }
                (Some(_), None) => {}
            }
        }
    }
    offences
}

/// (e) No file of `src/` is longer than somebody will read.
fn lengths(sources: &[Source]) -> Vec<String> {
    let long = |source: &&Source| source.is_rust_below("src/") && source.text.lines().count() > MOST_LINES;
    let offence = |source: &Source| {
        let lines = source.text.lines().count();
        source.offence(lines, &format!("expected at most {MOST_LINES} lines, found {lines}"))
    };
    sources.iter().filter(long).map(offence).collect()
}

/// Every text file of the project that a check reads.
fn project() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    for folder in ["src", "tests", "benches", "examples", "experiments", "papers"] {
        collect(&root.join(folder), &mut files);
    }
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(root).expect("collected below the root").components();
        let name: Vec<_> = relative.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        Some(Source { path: name.join("/"), text: fs::read_to_string(&path).ok()? })
    };
    let sources: Vec<Source> = files.into_iter().filter_map(read).collect();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the sources are beside the manifest");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = folder.read_dir() else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = path.extension().is_some_and(|extension| ["rs", "md", "toml"].iter().any(|known| extension == *known));
        if path.is_dir() {
            collect(&path, files);
        } else if text {
            files.push(path);
        }
    }
    files.sort();
}

fn none(mut offences: Vec<String>) {
    offences.sort();
    assert!(offences.is_empty(), "{} offences\n{}", offences.len(), offences.join("\n"));
}

#[test]
fn imports_go_to_smaller_layers() {
    none(layers(&project()));
}

#[test]
fn no_policy_names_another() {
    none(policies(&project()));
}

#[test]
fn only_the_engine_names_timely() {
    none(hosts(&project()));
}

#[test]
fn every_file_says_what_it_is_for() {
    none(module_docs(&project()));
}

#[test]
fn every_citation_has_its_anchor() {
    none(citations(&project()));
}

#[test]
fn no_file_is_too_long() {
    none(lengths(&project()));
}

/// What the README shows of the example is the example.
#[test]
fn the_readme_shows_the_example_as_it_is() {
    let sources = project();
    let text = |path: &str| &sources.iter().find(|source| source.path == path).expect("a file of the project").text;
    let shown: Vec<&str> = text("README.md").split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!shown.is_empty() && shown.iter().all(|code| text("examples/your_policy.rs").contains(code)), "{shown:?}");
}

#[test]
fn paths_are_found_however_they_are_written() {
    let text = "use crate::{id::OperatorId, time::{Epoch as E, Timestamp}};\n// super::super::rate::Rate and $crate::no\nuse super::{\n    Decision,\n    \
                hold::Hold,\n};\nmod tests {\n    use super::*;\n    use super::super::Reason;\n}\n";
    let found = named(&Source::new("src/policy/ds2/mod.rs", text));
    let paths: Vec<(usize, String)> = found.into_iter().map(|named| (named.line, named.path.join("::"))).collect();
    let expected = [
        (1, "id::OperatorId"),
        (1, "time::Epoch"),
        (1, "time::Timestamp"),
        (2, "rate::Rate"),
        (3, "policy::Decision"),
        (3, "policy::hold::Hold"),
        (8, "policy::ds2"),
        (9, "policy::Reason"),
    ];
    assert_eq!(paths, expected.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn the_checks_catch_what_they_are_for() {
    let policy = "mod ds2;\npub mod heron;\nmod reason;\npub use ds2::{Ds2, Ds2Config};\npub use heron::Heron;\npub use reason::Reason;\n";
    // In two parts, or this file would cite what is not there.
    let cited = |name: &str| format!("{}{name}", "papers/");
    let sources = [
        Source::new("src/lib.rs", "//! .\npub mod id;\nmod unknown;\n"),
        Source::new("src/unknown.rs", "//! .\n"),
        Source::new(
            "src/metrics/window.rs",
            "//! .\nuse crate::id;\nuse crate::{rate::Rate, policy::Policy};\nuse super::super::migration;\n",
        ),
        Source::new("src/policy/mod.rs", policy),
        Source::new(
            "src/policy/ds2.rs",
            "//! .\nuse super::{Ds2Config, Heron, Reason};\nuse crate::pag::Graph;\nuse crate::engine::Clock;\n",
        ),
        Source::new("src/policy/heron/mod.rs", "//! .\nuse super::ds2::Ds2;\nuse super::Heron;\n"),
        Source::new("src/sim/mod.rs", &format!("//! .\nuse {}::Scope;\n{}", "timely", "\n".repeat(MOST_LINES))),
        Source::new(&cited("a.md"), "<a id=\"one\"></a>\n<a id=\"one\"></a>\n"),
        Source::new("tests/x.rs", &["fn main() {}\n// ", "a.md#one ", "a.md#two ", "b.md"].join("papers/")),
    ];
    let check = |offences: Vec<String>, expected: &[&str]| assert_eq!(offences, expected);
    check(
        layers(&sources),
        &[
            "src/lib.rs:3: module 'unknown' is not in the layer table",
            "src/unknown.rs:1: module 'unknown' is not in the layer table",
            "src/metrics/window.rs:3: 'metrics' (layer 2) names 'policy' (layer 6)",
            "src/metrics/window.rs:4: 'metrics' (layer 2) names 'migration' (layer 2)",
            "src/policy/ds2.rs:4: 'policy' (layer 6) names 'engine' (layer 8)",
        ],
    );
    check(
        policies(&sources),
        &[
            "src/policy/ds2.rs:2: policy 'ds2' names policy 'heron'",
            "src/policy/ds2.rs:3: policy 'ds2' names 'pag': it sees observations only",
            "src/policy/heron/mod.rs:2: policy 'heron' names policy 'ds2'",
        ],
    );
    check(hosts(&sources), &["src/sim/mod.rs:2: only src/engine names timely::"]);
    check(
        module_docs(&sources),
        &["src/policy/mod.rs:1: expected the file to open with '//!'", "tests/x.rs:1: expected the file to open with '//!'"],
    );
    assert_eq!(
        citations(&sources),
        [
            format!("{}:2: the anchor 'one' stands twice", cited("a.md")),
            format!("tests/x.rs:2: expected <a id=\"two\"> in {}, found none", cited("a.md")),
            format!("tests/x.rs:2: expected the file {}, found none", cited("b.md")),
        ]
    );
    check(lengths(&sources), &["src/sim/mod.rs:502: expected at most 500 lines, found 502"]);
}

/// (f) No circle among files: what a file names does not lead back to it.
///
/// A name that a `mod.rs` passes on from one of its files leads to that file. Comments and unit tests do not count.
fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let code: Vec<Source> = sources
        .iter()
        .filter(|source| source.is_rust_below("src/") && !source.path.ends_with("/tests.rs"))
        .map(|source| Source::new(&source.path, &code_of(&source.text)))
        .collect();
    let files: BTreeMap<Vec<String>, usize> = (0..code.len()).map(|file| (owned(&code[file].module()), file)).collect();
    let passed_on: Vec<BTreeMap<String, Vec<String>>> = code.iter().map(|source| exports(source, &files)).collect();
    let names: Vec<BTreeSet<usize>> = (0..code.len())
        .map(|file| {
            let paths = named(&code[file]).into_iter().map(|named| named.path).chain(own_children(&code[file], &files));
            paths.filter_map(|path| defined_in(path, &files, &passed_on)).filter(|&to| to != file).collect()
        })
        .collect();
    let reached: Vec<BTreeSet<usize>> = (0..code.len()).map(|file| reached_from(file, &names)).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for file in 0..code.len() {
        let circle: Vec<String> =
            reached[file].iter().filter(|&&to| reached[to].contains(&file)).map(|&to| code[to].path.clone()).collect();
        found.extend((!circle.is_empty()).then_some(circle));
    }
    found.into_iter().collect()
}

/// A file's text without comments, unit tests and visibilities, which name no file to depend on.
fn code_of(text: &str) -> String {
    let tests = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..tests].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.replace("pub(in crate::engine)", "pub(super)").replace("pub(in crate::cli)", "pub(super)") + "\n").collect()
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|part| (*part).to_owned()).collect()
}

/// What a file passes on from its own modules: by name, the path it stands for.
fn exports(source: &Source, files: &BTreeMap<Vec<String>, usize>) -> BTreeMap<String, Vec<String>> {
    let module = owned(&source.module());
    let mut exports = BTreeMap::new();
    for (at, _) in source.text.match_indices("\npub") {
        let line = &source.text[at + 1..];
        let Some((_, tree)) = line.split_once(" use ").filter(|(visibility, _)| !visibility.contains([' ', '\n'])) else { continue };
        take_apart(&[], tree.trim_start_matches("self::"), &mut |path| {
            let below: Vec<String> = module.iter().chain(&path).cloned().collect();
            let own = files.contains_key(&below[..=module.len()]);
            if let Some(name) = path.last().filter(|_| own) {
                exports.insert(name.clone(), below);
            }
        });
    }
    exports
}

/// Paths into modules of its own that a file names, other than those that it passes on.
fn own_children(source: &Source, files: &BTreeMap<Vec<String>, usize>) -> Vec<Vec<String>> {
    let module = owned(&source.module());
    let mut paths = Vec::new();
    let is_child = |path: &[String]| path.len() == module.len() + 1 && path.starts_with(&module);
    for child in files.keys().filter(|path| is_child(path)).filter_map(|path| path.last()) {
        let root = format!("{child}::");
        for (at, _) in source.text.match_indices(&root) {
            let before = &source.text[..at];
            let statement = before[before.rfind([';', '{', '}']).map_or(0, |end| end + 1)..].trim_start();
            let part_of_a_path = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') && !before.ends_with("self::");
            if !part_of_a_path && !statement.starts_with("pub") {
                take_apart(&module, &source.text[at..], &mut |path| paths.push(path));
            }
        }
    }
    paths
}

/// The file that defines what a path from the crate's root leads to.
fn defined_in(path: Vec<String>, files: &BTreeMap<Vec<String>, usize>, passed_on: &[BTreeMap<String, Vec<String>>]) -> Option<usize> {
    let mut path = path;
    loop {
        let depth = (1..=path.len()).rev().find(|&depth| files.contains_key(&path[..depth]))?;
        let file = files[&path[..depth]];
        let Some(further) = path.get(depth).and_then(|name| passed_on[file].get(name)) else { return Some(file) };
        path = further.iter().chain(&path[depth + 1..]).cloned().collect();
    }
}

fn reached_from(file: usize, names: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![file]);
    while let Some(next) = open.pop() {
        open.extend(names[next].iter().filter(|&&to| reached.insert(to)));
    }
    reached
}

#[test]
fn no_file_leads_back_to_itself() {
    none(circles(&project()).iter().map(|circle| circle.join(" ")).collect());
}

#[test]
fn circles_are_seen_through_what_modules_pass_on() {
    let sources = [
        Source::new("src/a/mod.rs", "//! .\nmod x;\nmod y;\nmod z;\npub use x::X;\npub(super) use y::{Y, Z as W};\n"),
        Source::new("src/a/x.rs", "//! .\nuse super::Y;\n"),
        Source::new(
            "src/a/y.rs",
            "//! See [`z`](super::z).\nuse crate::a::X;\n#[cfg(test)]\nmod tests {\n    use super::super::z::Z;\n}\n",
        ),
        Source::new("src/a/z.rs", "//! .\nuse super::{X, y};\npub(in crate::engine) struct Z;\n"),
        Source::new("src/b/mod.rs", "//! .\nmod p;\nmod q;\nuse self::p::P;\npub use q::Q;\nstruct B;\n"),
        Source::new("src/b/p.rs", "//! .\nuse super::B;\n"),
        Source::new("src/b/q.rs", "//! .\nuse super::B;\n"),
    ];
    assert_eq!(circles(&sources), [vec!["src/a/x.rs", "src/a/y.rs"], vec!["src/b/mod.rs", "src/b/p.rs"]]);
}
