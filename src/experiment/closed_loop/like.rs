//! The cases of a definition, each written out, named by a scenario file, or as what is different
//! from another one.

use std::path::Path;

use toml::{Table, Value};

use crate::experiment::scenario::Scenario;

/// Writes out cases that say which one they are `like` or name a scenario, and what they are `but`:
/// tables are merged, operators by their names, and everything else is replaced. The other one is
/// named before.
///
/// # Errors
/// When there is no such case or scenario, or it has no such operator.
pub fn write_out(definition: &mut Table, folder: Option<&Path>) -> Result<(), String> {
    let Some(Value::Array(cases)) = definition.get_mut("cases") else { return Ok(()) };
    for index in 0..cases.len() {
        let (before, here) = cases.split_at_mut(index);
        let Some(case) = here[0].as_table_mut() else { return Err(format!("case {}: expected a table", index + 1)) };
        let name = case.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let wrong = |what: String| format!("case '{name}': {what}");
        let (like, but) = (case.remove("like"), case.remove("but"));
        let mut scenario = match (like, case.get("scenario")) {
            (Some(like), _) => {
                let other = before.iter().find(|other| other.get("name") == Some(&like)).and_then(|other| other.get("scenario"));
                other.cloned().ok_or_else(|| wrong(format!("expected 'like' to name a case before it, found {like}")))?
            }
            (None, Some(Value::String(file))) => of_file(file, folder).map_err(wrong)?,
            (None, _) if but.is_some() => return Err(wrong("expected 'like' or the name of a scenario beside 'but'".to_owned())),
            (None, Some(_)) => case["scenario"].clone(),
            (None, None) => continue,
        };
        if let Some(but) = but {
            merge(&mut scenario, but).map_err(wrong)?;
        }
        // Files of loads that the definition names itself.
        place_loads(&mut scenario, folder.unwrap_or(Path::new("")));
        case.insert("scenario".to_owned(), scenario);
    }
    Ok(())
}

/// Makes relative paths of loads absolute ones, below `folder`.
fn place_loads(scenario: &mut Value, folder: &Path) {
    let operators = scenario.get_mut("operators").and_then(Value::as_array_mut);
    for operator in operators.into_iter().flatten() {
        if let Some(Value::String(file)) = operator.get_mut("load").and_then(|load| load.get_mut("file")) {
            let below = folder.join(&*file);
            *file = std::path::absolute(&below).unwrap_or(below).to_string_lossy().into_owned();
        }
    }
}

/// The scenario of that name or in that file.
fn of_file(asked: &str, folder: Option<&Path>) -> Result<Value, String> {
    let path = folder.unwrap_or(Path::new("")).join(asked);
    let text = match Scenario::text(asked) {
        Some(text) if !path.is_file() => text.to_owned(),
        _ => std::fs::read_to_string(&path).map_err(|why| {
            let known: Vec<String> = Scenario::names().map(|name| format!("'{name}'")).collect();
            format!("expected a scenario file or one of {}, found '{}': {why}", known.join(", "), path.display())
        })?,
    };
    let mut scenario: Value = toml::from_str(&text).map_err(|why: toml::de::Error| format!("{}: {}", path.display(), why.message()))?;
    place_loads(&mut scenario, path.parent().unwrap_or(Path::new("")));
    Ok(scenario)
}

fn merge(value: &mut Value, change: Value) -> Result<(), String> {
    match (value, change) {
        (Value::Table(table), Value::Table(changes)) => {
            for (key, change) in changes {
                match (table.get_mut(&key), change) {
                    (Some(Value::Array(operators)), Value::Table(changes)) if key == "operators" => merge_operators(operators, changes)?,
                    // A value with a kind of its own is another one, not a part of the one there
                    // was.
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
        let mut table: Table = toml::from_str(text).unwrap();
        write_out(&mut table, None)?;
        Ok(table["cases"].as_array().unwrap().clone())
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
            ("name = \"b\"\nbut = { title = \"B\" }", "case 'b': expected 'like' or the name of a scenario beside 'but'"),
            ("name = \"b\"\nlike = \"a\"\nbut = { operators = { z = {} } }", "case 'b': expected an operator of the other case, found 'z'"),
        ] {
            assert_eq!(read(&format!("{FIRST}\n[[cases]]\n{second}\n")).unwrap_err(), expected);
        }
    }
}
