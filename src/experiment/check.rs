//! What recorded rows are expected to show, and what papers claim of them: one language for both.
//!
//! A check is held in every group of the rows that it is about; it turns an experiment into a test.
//! One that says something, with its source, is a claim: its verdict follows from the paper's
//! number, ours, and bounds that were written down beforehand.

use serde::{Deserialize, Serialize};

use super::frame::{Expression, Frame, Row, Take, Values, Where, text};

/// Claims about all figures, which are part of the program.
const CLAIMS: &str = include_str!("../../experiments/claims.toml");

/// A check, or a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The experiment, where that is not clear already.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub figure: String,
    /// The rows that it is about.
    #[serde(default, rename = "where")]
    pub only: Where,
    /// What is looked at. A claim without a column counts the checks of the experiment that do not
    /// hold.
    #[serde(default)]
    pub column: String,
    /// What is taken of the rows of a group; every row is looked at by itself without it.
    #[serde(default)]
    pub take: Option<Take>,
    /// Columns whose values make the groups: case, variant and host by default; the rows of a claim
    /// are one group.
    #[serde(default)]
    pub per: Option<Vec<String>>,
    /// What is taken of the groups, where they are compared with each other.
    #[serde(default)]
    pub then: Option<Take>,
    /// What each number is multiplied with.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub times: f64,
    /// The rows whose number ours is divided by: as `where` and the group, but for these columns.
    #[serde(default)]
    pub over: Where,
    /// The number is at least this.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The number is at most this.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Exactly this text; its number is 1 where it is, 0 where it is not.
    #[serde(default)]
    pub is: Option<String>,
    /// As `is`, with text that contains this.
    #[serde(default)]
    pub contains: Option<String>,
    /// What is claimed, in a sentence.
    #[serde(default)]
    pub says: String,
    /// Where: a file of `papers/` and an anchor in it, or what of ours claims it.
    #[serde(default)]
    pub source: String,
    /// The paper's number; none where it prints none, or where what counts is whether a bound
    /// holds.
    #[serde(default)]
    pub paper: Option<f64>,
    /// Ours is the paper's if it differs by no more than this part of it.
    #[serde(default)]
    pub within: f64,
    /// Unit of both numbers; empty for plain numbers.
    #[serde(default)]
    pub unit: String,
    /// Why it cannot be shown on a machine such as this one, if it does not hold.
    #[serde(default)]
    pub not_here: Option<String>,
}

fn one() -> f64 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(times: &f64) -> bool {
    *times == 1.0
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Our number is the paper's; or there is none and the bounds hold.
    Reproduced,
    /// The number is another one, but the bounds hold.
    ShapeOnly,
    /// It does not hold, for a reason that was given beforehand and lies in the machine.
    NotHere,
    /// It does not hold.
    NotReproduced,
    /// There is no number of ours: the experiment failed, or was not run.
    NotMeasured,
}

impl Verdict {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Reproduced => "reproduced",
            Verdict::ShapeOnly => "shape only",
            Verdict::NotHere => "not reproducible on this machine",
            Verdict::NotReproduced => "not reproduced",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// A claim with what we found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The claim.
    #[serde(flatten)]
    pub claim: Check,
    /// Our number.
    pub found: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// All claims, in the order of the file.
pub fn claims() -> Vec<Check> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        claims: Vec<Check>,
    }
    toml::from_str::<File>(CLAIMS).expect("the claims are tested").claims
}

/// Rounding, not a difference.
const TOLERANCE: f64 = 1e-9;

impl Check {
    /// What does not hold, a sentence each. Rows that are not there were not asked for, and columns
    /// that are not there were not yet measured when they were recorded: neither is looked at.
    pub fn violations(&self, frame: &Frame) -> Vec<String> {
        if self.columns().iter().any(|column| !frame.has(column)) {
            return Vec::new();
        }
        let per = self.per.clone().unwrap_or_else(|| ["case", "variant", "host"].map(str::to_owned).to_vec());
        let groups = frame.only(&self.only).per(&per);
        if let Some(then) = self.then {
            let numbers: Vec<f64> = groups.iter().filter_map(|(_, group)| self.taken().of(self.numbers(group))).collect();
            let found = then.of(numbers);
            return if groups.is_empty() { Vec::new() } else { self.beyond("all", (found, found), 1.0, None) };
        }
        groups.iter().flat_map(|(key, group)| self.of_group(&per, key, group, frame)).collect()
    }

    fn of_group(&self, per: &[String], key: &[String], group: &Frame, frame: &Frame) -> Vec<String> {
        let numbers = self.numbers(group);
        // Without `take`, the worst row decides.
        let (least, most) = (self.take.unwrap_or(Take::Least), self.take.unwrap_or(Take::Most));
        let found = (least.of(numbers.clone()), most.of(numbers));
        let name = key.iter().filter(|name| !name.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ");
        let texts = self.is_text().then(|| group.distinct(&self.column).join("; "));
        if self.over.is_empty() {
            return self.beyond(&name, found, 1.0, texts);
        }
        let labels = per.iter().cloned().zip(key.iter().cloned().map(Values::One));
        let others = frame.only(&self.but_for_over(labels));
        if others.is_empty() {
            return Vec::new();
        }
        // A comparison with what was not measured does not hold.
        self.beyond(&name, found, self.taken().of(self.numbers(&others)).unwrap_or(f64::NAN), texts)
    }

    /// Which rows are divided by.
    fn but_for_over(&self, labels: impl Iterator<Item = (String, Values)>) -> Where {
        let mut which: Where = self.only.clone().into_iter().chain(labels).collect();
        which.extend(self.over.clone());
        which
    }

    /// What of the bounds, times `other`, does not hold for the least and the most.
    fn beyond(&self, name: &str, (least, most): (Option<f64>, Option<f64>), other: f64, texts: Option<String>) -> Vec<String> {
        let take = self.take.map_or(String::new(), |take| format!(" ({take:?})").to_lowercase());
        let shown = |found: Option<f64>| match (&texts, found) {
            (Some(texts), _) => format!("'{texts}'"),
            (None, Some(found)) => format!("{found:.4}"),
            (None, None) => "nothing".to_owned(),
        };
        let sentence = |what: String, found: Option<f64>| {
            let expected = match (&self.is, &self.contains) {
                (Some(text), _) => format!("{} '{text}'", self.column),
                (_, Some(text)) => format!("{} with '{text}'", self.column),
                _ => format!("{}{take} of {what}", self.column),
            };
            format!("{name}: expected {expected}, found {}", shown(found))
        };
        let against = |bound: f64| match self.over.is_empty() {
            true => format!("{bound}"),
            false => {
                let others: Vec<String> = self.over.values().map(ToString::to_string).collect();
                format!("{:.4} ({bound} times {})", bound * other, others.join(", "))
            }
        };
        let (at_least, at_most) = self.bounds();
        let mut found = Vec::new();
        if let Some(bound) = at_most
            && most.is_none_or(|most| most.is_nan() || other.is_nan() || most > bound * other + TOLERANCE)
        {
            found.push(sentence(format!("at most {}", against(bound)), most));
        }
        if let Some(bound) = at_least
            && least.is_none_or(|least| least.is_nan() || other.is_nan() || least < bound * other - TOLERANCE)
        {
            found.push(sentence(format!("at least {}", against(bound)), least));
        }
        found
    }

    /// The bounds; text has to be as it should everywhere, unless they say otherwise.
    fn bounds(&self) -> (Option<f64>, Option<f64>) {
        let alone = self.is_text() && self.at_least.is_none() && self.at_most.is_none() && self.paper.is_none();
        (self.at_least.or(alone.then_some(1.0)), self.at_most)
    }

    fn is_text(&self) -> bool {
        self.is.is_some() || self.contains.is_some()
    }

    /// What is taken where one number is needed.
    fn taken(&self) -> Take {
        self.take.unwrap_or(if self.is_text() { Take::Mean } else { Take::Median })
    }

    fn numbers(&self, group: &Frame) -> Vec<f64> {
        if !self.is_text() {
            return group.numbers(&Expression(self.column.clone())).into_iter().map(|number| number * self.times).collect();
        }
        let holds = |row: &Row| {
            let cell = text(row, &self.column);
            self.is.as_ref().is_none_or(|is| is == cell) && self.contains.as_ref().is_none_or(|part| cell.contains(part.as_str()))
        };
        group.rows().iter().map(|row| f64::from(u8::from(holds(row)))).collect()
    }

    /// The columns that are looked at.
    pub fn columns(&self) -> Vec<String> {
        if self.column.is_empty() {
            return Vec::new();
        }
        let all = self.only.keys().chain(self.over.keys()).chain(self.per.iter().flatten()).map(String::as_str);
        let expression = Expression(self.column.clone());
        all.chain(expression.columns()).map(str::to_owned).collect()
    }

    /// Judges it as a claim; `checks` are those of the experiment.
    pub fn judge(&self, frame: &Frame, checks: &[Check]) -> Judged {
        let found = if frame.is_empty() {
            None
        } else if self.column.is_empty() {
            Some(checks.iter().map(|check| check.violations(frame).len()).sum::<usize>() as f64)
        } else {
            let number = |which: &Where| self.taken().of(self.numbers(&frame.only(which)));
            let other = if self.over.is_empty() { Some(1.0) } else { number(&self.but_for_over(std::iter::empty())) };
            number(&self.only).zip(other.filter(|other| *other != 0.0)).map(|(ours, other)| ours / other)
        };
        Judged { claim: self.clone(), found, verdict: self.verdict(found) }
    }

    fn verdict(&self, found: Option<f64>) -> Verdict {
        let Some(found) = found else { return Verdict::NotMeasured };
        if self.paper.is_some_and(|paper| (found - paper).abs() <= self.within * paper.abs() + TOLERANCE) {
            return Verdict::Reproduced;
        }
        let (at_least, at_most) = self.bounds();
        let bounded = at_least.is_some() || at_most.is_some();
        let holds = bounded && at_least.is_none_or(|bound| found >= bound) && at_most.is_none_or(|bound| found <= bound);
        match (holds, self.paper, &self.not_here) {
            (true, None, _) => Verdict::Reproduced,
            (true, Some(_), _) => Verdict::ShapeOnly,
            (false, _, Some(_)) => Verdict::NotHere,
            (false, _, None) => Verdict::NotReproduced,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::experiment::definition::Definition;
    use crate::experiment::frame::{Recorded, row};

    #[test]
    fn the_claims_are_about_figures_and_can_fail() {
        let claims = claims();
        for claim in &claims {
            assert!(Definition::named(&claim.figure).is_ok(), "{}", claim.figure);
            let bounds = claim.bounds();
            assert!(claim.paper.is_some() || bounds.0.is_some() || bounds.1.is_some(), "{} cannot fail", claim.says);
            if let Some((file, anchor)) = claim.source.split_once('#') {
                let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
                assert!(text.contains(&format!("<a id=\"{anchor}\"></a>")), "{}: no anchor {}", claim.figure, claim.source);
            }
        }
        let missing: Vec<&str> = Definition::names().filter(|name| claims.iter().all(|claim| claim.figure != *name)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "figures that claim nothing");
    }

    #[test]
    fn a_verdict_follows_from_numbers_and_bounds() {
        let verdict =
            |more: &str, found: Option<f64>| toml::from_str::<Check>(&format!("column = 'actions'\n{more}")).unwrap().verdict(found);
        assert_eq!(verdict("paper = 4\nwithin = 0.5", Some(5.9)), Verdict::Reproduced);
        assert_eq!(verdict("paper = 4\nwithin = 0.25\nat_most = 8", Some(6.0)), Verdict::ShapeOnly);
        assert_eq!(verdict("paper = 4", Some(6.0)), Verdict::NotReproduced);
        assert_eq!(verdict("at_most = 8", Some(6.0)), Verdict::Reproduced);
        assert_eq!(verdict("at_least = 8\nnot_here = 'two cores'", Some(6.0)), Verdict::NotHere);
        assert_eq!(verdict("at_least = 8", None), Verdict::NotMeasured);
    }

    /// Actions of two policies: median 2, mean 2.5, 1 to 5; and 6 of the other one.
    fn rows() -> Frame {
        let line = |variant: &str, seed: u64, actions: u32, last: &str| {
            let labels = row([("case", &"under"), ("variant", &variant), ("host", &"sim"), ("seed", &seed)]);
            labels.into_iter().chain(row([("actions", &actions), ("bytes", &""), ("last", &last)])).collect()
        };
        let ours = [1, 2, 2, 5].into_iter().zip(1..).map(|(actions, seed)| line("ours", seed, actions, "map=2 count=3"));
        Frame::new(&[], ours.chain([line("ds2", 1, 6, "map=9"), line("ds2", 2, 6, "map=9")]).collect())
    }

    #[test]
    fn every_check_can_be_disappointed() {
        let frame = rows();
        let violations =
            |text: &str| toml::from_str::<Check>(&format!("where = {{ variant = 'ours' }}\n{text}")).unwrap().violations(&frame);
        for (holds, fails) in [
            ("column = 'actions'\ntake = 'median'\nat_most = 2", "column = 'actions'\ntake = 'median'\nat_most = 1.9"),
            ("column = 'actions'\ntake = 'median'\nat_least = 2", "column = 'actions'\ntake = 'median'\nat_least = 2.1"),
            ("column = 'actions'\ntake = 'mean'\nat_most = 2.5", "column = 'actions'\ntake = 'mean'\nat_most = 2.4"),
            ("column = 'actions'\nat_most = 5", "column = 'actions'\nat_most = 4"),
            ("column = 'actions'\nat_least = 1", "column = 'actions'\nat_least = 2"),
            ("column = 'actions'\ntimes = 10\nat_most = 50", "column = 'actions'\ntimes = 10\nat_most = 5"),
            (
                "column = 'actions'\ntake = 'median'\nover = { variant = 'ds2' }\nat_most = 0.34",
                "column = 'actions'\ntake = 'median'\nover = { variant = 'ds2' }\nat_most = 0.3",
            ),
            (
                "column = 'actions'\nper = ['seed']\ntake = 'median'\nthen = 'spread'\nat_most = 5",
                "column = 'actions'\nper = ['seed']\ntake = 'median'\nthen = 'spread'\nat_most = 4",
            ),
            ("column = 'last.count'\nat_most = 3", "column = 'last.count'\nat_least = 4"),
            ("column = 'last'\nis = 'map=2 count=3'", "column = 'last'\nis = 'map=2'"),
            ("column = 'last'\ncontains = 'count'", "column = 'last'\ncontains = 'source'"),
            // Nothing is compared with what was not asked for; what was not measured is nothing
            // that is small enough.
            ("column = 'actions'\nover = { variant = 'heron' }\nat_most = 0", "column = 'bytes'\nat_most = 1"),
            ("column = 'later'\nat_most = 1", "column = 'bytes'\nover = { variant = 'ds2' }\nat_most = 1"),
        ] {
            assert_eq!(violations(holds), Vec::<String>::new(), "{holds}");
            assert_eq!(violations(fails).len(), 1, "{fails}");
        }
        let text = |check: &str| violations(check)[0].clone();
        assert_eq!(
            text("column = 'actions'\ntake = 'median'\nat_most = 1"),
            "under, ours, sim: expected actions (median) of at most 1, found 2.0000"
        );
        assert_eq!(text("column = 'last'\nis = 'map=2'"), "under, ours, sim: expected last 'map=2', found 'map=2 count=3'");
    }

    #[test]
    fn a_claim_takes_its_number_from_all_rows_that_fit() {
        let frame = rows();
        let failing: Check = toml::from_str("column = 'actions'\nat_most = 1").unwrap();
        let found = |text: &str| toml::from_str::<Check>(text).unwrap().judge(&frame, std::slice::from_ref(&failing)).found;
        assert_eq!(found("column = 'actions'\nwhere = { variant = 'ours' }\ntake = 'most'"), Some(5.0));
        assert_eq!(found("column = 'actions'\nwhere = { variant = 'ours' }\nover = { variant = 'ds2' }"), Some(2.0 / 6.0));
        assert_eq!(found("column = 'last'\nis = 'map=9'"), Some(2.0 / 6.0));
        assert_eq!(found("at_most = 0"), Some(2.0), "two groups in which the check does not hold");
        assert_eq!(found("column = 'actions'\nwhere = { variant = 'heron' }"), None);
    }

    /// What was recorded and published shows what its definition expects of it.
    #[test]
    fn what_is_recorded_shows_what_is_expected_and_names_columns_that_there_are() {
        let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/record");
        let mut looked_at = 0;
        for folder in record.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            let mut recorded = Recorded::read(&folder).unwrap();
            let definition = Definition::named(&recorded.figure().unwrap()).unwrap();
            definition.complete(&mut recorded.frame);
            for check in &definition.check {
                assert_eq!(check.violations(&recorded.frame), Vec::<String>::new(), "{}", folder.display());
                let reversed = Check {
                    at_least: check.at_most.map(|most| most * 2.0 + 1.0),
                    at_most: check.at_least.map(|least| least / 2.0 - 1.0),
                    ..check.clone()
                };
                looked_at += usize::from(!reversed.violations(&recorded.frame).is_empty());
            }
        }
        assert!(looked_at > 40, "{looked_at}");
    }
}
