//! Documents have what the registries of policies and of NEXMark queries have.

use std::fs;
use std::path::Path;

use thalweg::engine::nexmark::Query;
use thalweg::experiment::policies::POLICIES;

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of a document's tables, as cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|-"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_table_of_queries_is_the_registry() {
    let text = document("docs/nexmark.md");
    let found: Vec<Vec<&str>> = rows(&text).into_iter().filter(|cells| cells[0].starts_with("`q")).collect();
    let row = |query: Query| {
        let operators: Vec<String> = query.operators(1).iter().map(|(name, _)| format!("`{name}`")).collect();
        vec![format!("`{query}`"), query.summary().to_owned(), operators.join(", ")]
    };
    assert_eq!(found, Query::ALL.map(row));
}

#[test]
fn every_query_is_defined_in_the_notes() {
    let text = document("papers/nexmark.md");
    for query in Query::ALL {
        let number = query.to_string()[1..].to_owned();
        assert!(rows(&text).iter().any(|cells| cells[0] == number), "{query}");
    }
}

#[test]
fn every_policy_is_in_the_table_of_policies() {
    let text = document("docs/running.md");
    for policy in POLICIES {
        let is_named = |cells: &Vec<&str>| cells[0].split(", ").any(|name| name == format!("`{policy}`"));
        assert!(rows(&text).iter().any(is_named), "{policy}");
    }
}
