//! Further cases of a definition: one for each load in a folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::workload::load::{Columns, Gaps, ScaleTo, Trace, read};

/// How a load of a folder becomes a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherLoads {
    /// The case that it is like but for its load.
    pub like: String,
    /// The source that gets it.
    pub operator: String,
    /// How high it is.
    pub scale_to: ScaleTo,
    /// See [`Trace::remove_base`].
    #[serde(default)]
    pub remove_base: f64,
    /// See [`Trace::gaps`].
    #[serde(default)]
    pub gaps: Gaps,
}

/// The names of files that are looked at.
const KINDS: [&str; 3] = ["csv", "json", "jsonl"];

/// Adds a case for each load in `folder`, in the order of their names, to a definition that has been
/// [written out](super::write_out). A load that is shorter than the case it is like runs as long as
/// it lasts.
///
/// # Errors
/// When the definition does not say how, the folder has no loads, one of them is none, or its name
/// without the ending is that of another case.
pub fn add_loads(definition: &mut Table, folder: &Path) -> Result<(), String> {
    let how = definition.get("loads").cloned().ok_or("expected a figure that takes loads, with a table 'loads', found none")?;
    let how: FurtherLoads = how.try_into().map_err(|why: toml::de::Error| format!("loads: {}", why.message()))?;
    let entries = folder.read_dir().map_err(|why| format!("{}: expected a folder with loads: {why}", folder.display()))?;
    let is_load = |path: &PathBuf| path.extension().is_some_and(|extension| KINDS.iter().any(|kind| extension == *kind));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_load).collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: expected files that end in .csv, .json or .jsonl, found none", folder.display()));
    }
    let Some(Value::Array(cases)) = definition.get_mut("cases") else { return Err("expected cases, found none".to_owned()) };
    let named = |case: &&Value| case.get("name").and_then(Value::as_str) == Some(&how.like);
    let like = cases.iter().find(named).cloned().ok_or_else(|| format!("loads: expected 'like' to name a case, found '{}'", how.like))?;
    for file in files {
        let length_s = read(&file, &Columns::default()).map_err(|why| why.to_string())?.length_s();
        let mut trace = Trace::of_file(&file);
        trace.within(Path::new(""));
        (trace.gaps, trace.remove_base, trace.scale_to) = (how.gaps, how.remove_base, Some(how.scale_to));
        let mut load = Value::try_from(&trace).map_err(|why| why.to_string())?;
        load.as_table_mut().expect("a load is a table").insert("shape".to_owned(), "trace".into());
        let mut case = like.clone();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wrong = || format!("loads: expected a scenario of '{}' with an operator '{}'", how.like, how.operator);
        // Of two cases with one name only the first would run.
        if cases.iter().any(|case| case.get("name").and_then(Value::as_str) == Some(&name)) {
            return Err(format!("{}: expected a name that no other case and no other file has, found '{name}'", file.display()));
        }
        case.as_table_mut().ok_or_else(wrong)?.insert("name".to_owned(), name.into());
        let scenario = case.get_mut("scenario").and_then(Value::as_table_mut).ok_or_else(wrong)?;
        let seconds = scenario.get("seconds").and_then(|seconds| seconds.as_float().or(seconds.as_integer().map(|whole| whole as f64)));
        scenario.insert("seconds".to_owned(), Value::Float(seconds.unwrap_or(f64::MAX).min(length_s.floor())));
        let operators = scenario.get_mut("operators").and_then(Value::as_array_mut).ok_or_else(wrong)?;
        let source = operators.iter_mut().find(|operator| operator.get("name").and_then(Value::as_str) == Some(&how.operator));
        let source = source.and_then(Value::as_table_mut).ok_or_else(wrong)?;
        source.insert("load".to_owned(), load);
        cases.push(case);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::definition::Definition;
    use crate::experiment::study::Ask;

    const TEXT: &str = r#"
figure = "small"
title = "A small one"
kind = "closed-loop"
policies = [{ name = "hold" }]

[loads]
like = "own"
operator = "source"
scale_to = { peak = "50/s" }

[[cases]]
name = "own"
[cases.scenario]
title = "One operator"
seconds = 20
[[cases.scenario.operators]]
name = "source"
role = "source"
load = { shape = "trace", preset = "daily", seed = 1 }
[[cases.scenario.operators]]
name = "map"
role = "stateless"
inputs = ["source"]
limit = 100
[[cases.scenario.operators]]
name = "sink"
role = "sink"
inputs = ["map"]
"#;

    #[test]
    fn each_load_of_a_folder_is_a_case() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.csv"), "t,v\n0,1\n5,2\n").unwrap();
        std::fs::write(folder.path().join("a.json"), "[[0, 1], [100, 2]]").unwrap();
        std::fs::write(folder.path().join("README"), "none").unwrap();
        let definition = Definition::read(TEXT, None).unwrap();
        let with = definition.with_loads(folder.path()).unwrap();
        let cases: Vec<String> = with.study.trials(&Ask::default()).into_iter().map(|trial| trial.case).collect();
        assert_eq!(cases, ["own", "a", "b"]);
        let scenario = |index: usize| -> Value { with.written["cases"][index]["scenario"].clone() };
        assert_eq!((scenario(1)["seconds"].as_float(), scenario(2)["seconds"].as_float()), (Some(20.0), Some(10.0)));
        for (file, text, expected) in [
            ("c.csv", "t,v\n0,1\n5,x\n", "c.csv, line 3: expected a number, found 'x'"),
            ("d.csv", "", "d.csv: expected a load, found an empty file"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(file), text).unwrap();
            let found = definition.with_loads(folder.path()).unwrap_err().to_string();
            assert!(found.ends_with(expected), "{found}");
        }
        for (files, expected) in [
            (&["own.csv"][..], "own.csv: expected a name that no other case and no other file has, found 'own'"),
            (&["a.csv", "a.json"], "a.json: expected a name that no other case and no other file has, found 'a'"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                let text = if file.ends_with("json") { "[[0, 1], [5, 2]]" } else { "t,v\n0,1\n5,2\n" };
                std::fs::write(folder.path().join(file), text).unwrap();
            }
            let found = definition.with_loads(folder.path()).unwrap_err().to_string();
            assert!(found.ends_with(expected), "{found}");
        }
        let none = Definition::named("ds2-skew").unwrap().with_loads(folder.path()).unwrap_err().to_string();
        assert!(none.contains("expected a figure that takes loads"), "{none}");
        let empty = tempfile::tempdir().unwrap();
        assert!(definition.with_loads(empty.path()).unwrap_err().to_string().contains("found none"));
    }
}
