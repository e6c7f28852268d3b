//! What is recorded is published as it is: each folder of `experiments/record` has a page with the
//! table that its rows give, and `experiments/README.md` leads to all of them, with their verdicts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use thalweg::experiment::check::{Verdict, claims};
use thalweg::experiment::definition::Definition;
use thalweg::experiment::frame::Recorded;

fn experiments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Names of the recorded folders, without those of `reproduce all`.
fn recorded() -> Vec<String> {
    let entries = experiments().join("record").read_dir().unwrap().map(|entry| entry.unwrap());
    let figures = entries.filter(|entry| !entry.path().join("all.toml").exists());
    let mut names: Vec<String> = figures.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// What stands between the marks of a table; none without marks.
fn published<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<!-- table {name} -->\n\n"))?;
    Some(rest.split_once(&format!("\n<!-- /table {name} -->"))?.0)
}

/// Where the links of a text lead, without anchors.
fn links(text: &str) -> Vec<String> {
    let all = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    all.map(|link| link.split('#').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_published_table_is_what_its_rows_give() {
    let root = read(&experiments().parent().unwrap().join("README.md"));
    let mut shown_twice = 0;
    for name in recorded() {
        let folder = experiments().join("record").join(&name);
        let output = Command::new(env!("CARGO_BIN_EXE_thalweg")).arg("report").arg(&folder).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(table.lines().count() > 2, "{name}: {table}");
        let page = read(&folder.join("README.md"));
        assert!(published(&page, &name) == Some(&table), "{name}: scripts/record puts the table into its page");
        if let Some(shown) = published(&root, &name) {
            assert!(shown == table, "{name}: scripts/record puts the table into README.md");
            shown_twice += 1;
        }
    }
    assert!(shown_twice > 0, "README.md shows a table");
}

#[test]
fn the_index_leads_to_every_figure_and_every_recorded_table() {
    let index = read(&experiments().join("README.md"));
    let leads_to = links(&index);
    for name in recorded() {
        assert!(leads_to.contains(&format!("record/{name}/README.md")), "{name}");
    }
    for figure in Definition::names() {
        assert!(index.contains(&format!("`thalweg reproduce {figure}`")), "{figure}");
    }
}

#[test]
fn links_between_these_pages_lead_somewhere() {
    let pages = recorded().into_iter().map(|name| experiments().join("record").join(name).join("README.md"));
    let pages: Vec<PathBuf> = pages.chain(["README.md", "LOOP.md"].map(|name| experiments().join(name))).collect();
    for page in pages {
        for link in links(&read(&page)).into_iter().filter(|link| !link.is_empty() && !link.contains("://")) {
            assert!(page.parent().unwrap().join(&link).exists(), "{}: {link}", page.display());
        }
    }
}

/// The verdict of the index is the worst of the figure's claims by what is recorded.
#[test]
fn the_index_has_the_verdict_of_what_is_recorded() {
    let index = read(&experiments().join("README.md"));
    let mut wrong = Vec::new();
    for name in recorded().into_iter().filter(|name| Definition::named(name).is_ok()) {
        let definition = Definition::named(&name).unwrap();
        let mut rows = Recorded::read(&experiments().join("record").join(&name)).unwrap().frame;
        definition.complete(&mut rows);
        let claims = claims().into_iter().filter(|claim| claim.figure == name);
        let verdict = claims.map(|claim| claim.judge(&rows, &definition.check).verdict).max().expect("every figure claims something");
        let line = index.lines().find(|line| line.contains(&format!("(record/{name}/README.md)"))).unwrap();
        let cells: Vec<&str> = line.split(" | ").collect();
        if cells[2] != verdict.text() {
            wrong.push(format!("{name}: expected '{}', found '{}'", verdict.text(), cells[2]));
        }
    }
    assert!(wrong.is_empty() && Verdict::Reproduced < Verdict::NotReproduced, "{}", wrong.join("\n"));
}
