//! The cases of a suite, each written out or as what is different from another one.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::experiment::definition::Scale;
use crate::experiment::scenario::Scenario;
use crate::experiment::simulated_figure::Seeds;

/// A case: a scenario, and what is asked of a policy beside keeping up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteCase {
    /// Its name.
    pub name: String,
    /// The smallest scale at which it runs.
    #[serde(default)]
    pub from_scale: Scale,
    /// Its seeds; those of the suite by default. A case in which nothing is random needs one.
    #[serde(default)]
    pub seeds: Option<Seeds>,
    /// What the paper's run went through, written as [`SuiteRow::path`](super::SuiteRow::path) is.
    #[serde(default)]
    pub paper: Option<String>,
    /// The latency, in milliseconds, that 99 % of the records of every window of half a second should not exceed.
    #[serde(default)]
    pub goal_ms: Option<f64>,
    /// The most instances that all operators should have together.
    #[serde(default)]
    pub budget: Option<u32>,
    /// What is run.
    pub scenario: Scenario,
}

/// Writes out cases that say which one they are `like` and what they are `but`: tables are merged, operators by their names, and everything
/// else is replaced. The other one is `known`, or named before.
pub(super) fn written_out(cases: &mut [Value], known: &[Value]) -> Result<(), String> {
    for index in 0..cases.len() {
        let (before, here) = cases.split_at_mut(index);
        let Some(case) = here[0].as_table_mut() else { return Err(format!("case {}: expected a table", index + 1)) };
        let name = case.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let wrong = |what: String| format!("case '{name}': {what}");
        let (like, but) = (case.remove("like"), case.remove("but"));
        let Some(like) = like else {
            if but.is_some() {
                return Err(wrong("expected 'like' beside 'but'".to_owned()));
            }
            continue;
        };
        let other = known.iter().chain(&*before).find(|other| other.get("name") == Some(&like));
        let mut scenario = other
            .and_then(|other| other.get("scenario"))
            .cloned()
            .ok_or_else(|| wrong(format!("expected 'like' to name a case before it, found {like}")))?;
        if let Some(but) = but {
            merge(&mut scenario, but).map_err(wrong)?;
        }
        case.insert("scenario".to_owned(), scenario);
    }
    Ok(())
}

fn merge(value: &mut Value, change: Value) -> Result<(), String> {
    match (value, change) {
        (Value::Table(table), Value::Table(changes)) => {
            for (key, change) in changes {
                match (table.get_mut(&key), change) {
                    (Some(Value::Array(operators)), Value::Table(changes)) if key == "operators" => merge_operators(operators, changes)?,
                    // A value with a kind of its own is another one, not a part of the one there was.
                    (Some(old @ Value::Table(_)), change @ Value::Table(_)) if !is_one_of_a_kind(&change) => merge(old, change)?,
                    (_, change) => drop(table.insert(key, change)),
                }
            }
        }
        (value, change) => *value = change,
    }
    Ok(())
}

fn merge_operators(operators: &mut [Value], changes: Table) -> Result<(), String> {
    for (name, change) in changes {
        let named = operators.iter_mut().find(|operator| operator.get("name").and_then(Value::as_str) == Some(name.as_str()));
        merge(named.ok_or_else(|| format!("expected an operator of the other case, found '{name}'"))?, change)?;
    }
    Ok(())
}

/// Whether a table says by one of these keys what it is.
fn is_one_of_a_kind(table: &Value) -> bool {
    ["kind", "shape", "curve", "distribution"].iter().any(|tag| table.get(tag).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Value>, String> {
        let table: Table = toml::from_str(text).unwrap();
        let mut cases = table["cases"].as_array().unwrap().clone();
        written_out(&mut cases, &[])?;
        Ok(cases)
    }

    const FIRST: &str = r#"
[[cases]]
name = "a"
[cases.scenario]
title = "A"
disturb = { noise = 0.5, lost = 0.1 }
[[cases.scenario.operators]]
name = "x"
load = { shape = "constant", rate = 5 }
[[cases.scenario.operators]]
name = "y"
instances = 2
"#;

    #[test]
    fn a_case_is_another_one_but_for_what_it_says() {
        let second = r#"
[[cases]]
name = "b"
like = "a"
[cases.but]
title = "B"
disturb = { noise = 0.0 }
[cases.but.operators]
x = { load = { shape = "sine", mean = 1 } }
y = { instances = 3, bins = 8 }
"#;
        let cases = read(&format!("{FIRST}{second}")).unwrap();
        let expected = r#"
name = "b"
[scenario]
title = "B"
disturb = { noise = 0.0, lost = 0.1 }
[[scenario.operators]]
name = "x"
load = { shape = "sine", mean = 1 }
[[scenario.operators]]
name = "y"
instances = 3
bins = 8
"#;
        assert_eq!(cases[1], toml::from_str::<Value>(expected).unwrap());
        assert_eq!(cases[0]["scenario"]["title"].as_str(), Some("A"), "the other one stays as it was");
    }

    #[test]
    fn what_is_like_nothing_is_named() {
        for (second, expected) in [
            ("name = \"b\"\nlike = \"c\"", "case 'b': expected 'like' to name a case before it, found \"c\""),
            ("name = \"b\"\nbut = { title = \"B\" }", "case 'b': expected 'like' beside 'but'"),
            ("name = \"b\"\nlike = \"a\"\nbut = { operators = { z = {} } }", "case 'b': expected an operator of the other case, found 'z'"),
        ] {
            assert_eq!(read(&format!("{FIRST}\n[[cases]]\n{second}\n")).unwrap_err(), expected);
        }
    }
}
