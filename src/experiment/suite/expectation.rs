//! What a suite is expected to show: a number of a policy's runs against a bound, or against the same number of another policy.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::row::{Column, SuiteRow};
use super::runs::{Host, SuiteOutcome};
use crate::stats::median;

/// One expectation, held in each of its cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteExpectation {
    /// The policy.
    pub policy: String,
    /// Names of the cases; every one by default.
    #[serde(default)]
    pub cases: Vec<String>,
    /// Where it holds; in virtual time by default.
    #[serde(default)]
    pub host: Host,
    /// The number that is looked at; none if only reasons are.
    #[serde(default)]
    pub column: Option<Column>,
    /// What is taken of the runs with different seeds.
    #[serde(default)]
    pub over: Over,
    /// The number is at least this.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The number is at most this.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// The number is at least what another policy has.
    #[serde(default)]
    pub at_least_of: Option<Against>,
    /// The number is at most what another policy has.
    #[serde(default)]
    pub at_most_of: Option<Against>,
    /// Some reason that the policy gave, in every run, contains this.
    #[serde(default)]
    pub tells: Option<String>,
}

/// What is taken of runs with different seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// The median.
    #[default]
    Median,
    /// The mean.
    Mean,
    /// Every one of them by itself, the worst of them that is: the largest against what it may be at most, the smallest against what it
    /// should be at least.
    Each,
}

/// Another policy's number in the same case, taken of its seeds in the same way, times a factor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// The other policy.
    pub policy: String,
    /// The factor.
    #[serde(default = "one")]
    pub times: f64,
}

fn one() -> f64 {
    1.0
}

/// Rounding, not a difference.
const TOLERANCE: f64 = 1e-9;

impl SuiteExpectation {
    /// What is not as expected, a line each. A case that has no runs of a policy, because it was not asked for, is not looked at.
    pub fn violations(&self, outcomes: &[SuiteOutcome]) -> Vec<String> {
        let every: BTreeSet<&String> = outcomes.iter().map(|outcome| &outcome.row.scenario).collect();
        let cases: Vec<&String> = if self.cases.is_empty() { every.into_iter().collect() } else { self.cases.iter().collect() };
        cases.into_iter().flat_map(|case| self.of_case(case, outcomes)).collect()
    }

    fn of_case(&self, case: &str, outcomes: &[SuiteOutcome]) -> Vec<String> {
        let of = |policy: &str| -> Vec<&SuiteOutcome> {
            let of = |row: &SuiteRow| row.scenario == case && row.policy == policy && row.host == self.host.name();
            outcomes.iter().filter(|outcome| of(&outcome.row)).collect()
        };
        let (mine, name) = (of(&self.policy), format!("{} {case}", self.policy));
        let mut found = Vec::new();
        if mine.is_empty() {
            return found;
        }
        if let Some(tells) = &self.tells {
            for outcome in mine.iter().filter(|outcome| !outcome.reasons.iter().any(|reason| reason.contains(tells))) {
                let reasons = outcome.reasons.join(", ");
                found.push(format!("{name} seed {}: expected a reason with '{tells}', found {reasons}", outcome.row.seed));
            }
        }
        let Some(column) = self.column else { return found };
        let numbers = |outcomes: &[&SuiteOutcome]| outcomes.iter().filter_map(|outcome| column.of(&outcome.row)).collect::<Vec<f64>>();
        let text = column.name();
        // The worst of each seed: against an upper bound the largest, and of the one compared with the smallest.
        let most = |numbers: &[f64]| self.over.of(numbers, f64::max);
        let least = |numbers: &[f64]| self.over.of(numbers, f64::min);
        let mine = numbers(&mine);
        let against = |against: &Against| (numbers(&of(&against.policy)), against.times, against.policy.clone());
        let mut check = |holds: bool, found_text: String, expected: String| {
            if !holds {
                found.push(format!("{name}: expected {text} ({}) {expected}, found {found_text}", self.over.name()));
            }
        };
        let written = |number: Option<f64>| number.map_or("none".to_owned(), |number| format!("{number:.4}"));
        if let Some(bound) = self.at_most {
            let number = most(&mine);
            check(number.is_some_and(|number| number <= bound + TOLERANCE), written(number), format!("of at most {bound}"));
        }
        if let Some(bound) = self.at_least {
            let number = least(&mine);
            check(number.is_some_and(|number| number >= bound - TOLERANCE), written(number), format!("of at least {bound}"));
        }
        if let Some((others, times, policy)) = self.at_most_of.as_ref().map(against)
            && let Some(bound) = least(&others).map(|other| other * times)
        {
            let number = most(&mine);
            let expected = format!("of at most {bound:.4} ({times} times {policy})");
            check(number.is_some_and(|number| number <= bound + TOLERANCE), written(number), expected);
        }
        if let Some((others, times, policy)) = self.at_least_of.as_ref().map(against)
            && let Some(bound) = most(&others).map(|other| other * times)
        {
            let number = least(&mine);
            let expected = format!("of at least {bound:.4} ({times} times {policy})");
            check(number.is_some_and(|number| number >= bound - TOLERANCE), written(number), expected);
        }
        found
    }
}

impl Over {
    fn of(self, numbers: &[f64], worst: fn(f64, f64) -> f64) -> Option<f64> {
        match self {
            Over::Median => median(numbers.iter().copied()),
            Over::Mean => (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64),
            Over::Each => numbers.iter().copied().reduce(worst),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Over::Median => "median",
            Over::Mean => "mean",
            Over::Each => "each seed",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn outcome(policy: &str, seed: u64, actions: u32) -> SuiteOutcome {
        let row = SuiteRow { scenario: "under".into(), host: "sim".into(), policy: policy.into(), seed, actions, ..SuiteRow::default() };
        SuiteOutcome { row, last: BTreeMap::new(), reasons: vec!["as-is count".into()] }
    }

    #[test]
    fn every_expectation_can_be_disappointed() {
        // Median 2, mean 2.5, 1 to 5; the other one 6 in all.
        let mut outcomes: Vec<SuiteOutcome> = [1, 2, 2, 5].iter().zip(1..).map(|(&actions, seed)| outcome("ours", seed, actions)).collect();
        outcomes.extend([6, 6].iter().zip(1..).map(|(&actions, seed)| outcome("ds2", seed, actions)));
        let violations = |text: &str| {
            let text = format!("policy = \"ours\"\ncases = [\"under\"]\n{text}");
            toml::from_str::<SuiteExpectation>(&text).unwrap().violations(&outcomes)
        };
        for (holds, fails) in [
            ("column = 'actions'\nat_most = 2", "column = 'actions'\nat_most = 1.9"),
            ("column = 'actions'\nat_least = 2", "column = 'actions'\nat_least = 2.1"),
            ("column = 'actions'\nover = 'mean'\nat_most = 2.5", "column = 'actions'\nover = 'mean'\nat_most = 2.4"),
            ("column = 'actions'\nover = 'each'\nat_most = 5", "column = 'actions'\nover = 'each'\nat_most = 4"),
            ("column = 'actions'\nover = 'each'\nat_least = 1", "column = 'actions'\nover = 'each'\nat_least = 2"),
            (
                "column = 'actions'\nat_most_of = { policy = 'ds2', times = 0.34 }",
                "column = 'actions'\nat_most_of = { policy = 'ds2', times = 0.3 }",
            ),
            ("column = 'actions'\nat_least_of = { policy = 'ds2', times = 0.3 }", "column = 'actions'\nat_least_of = { policy = 'ds2' }"),
            // A number that a run does not have is none that is small enough.
            ("column = 'bytes_moved'\nat_most_of = { policy = 'ds2' }", "column = 'bytes_moved'\nat_most = 1"),
        ] {
            assert_eq!(violations(holds), Vec::<String>::new());
            assert_eq!(violations(fails).len(), 1, "{fails}");
        }
        let on_engine = "policy = 'ours'\nhost = 'engine'\ncolumn = 'actions'\nat_most = 0";
        assert_eq!(toml::from_str::<SuiteExpectation>(on_engine).unwrap().violations(&outcomes), Vec::<String>::new());
        let everywhere = "policy = 'ours'\ncolumn = 'actions'\nat_most = 0";
        assert_eq!(toml::from_str::<SuiteExpectation>(everywhere).unwrap().violations(&outcomes).len(), 1);
        assert_eq!(violations("tells = 'is c'"), Vec::<String>::new());
        assert_eq!(violations("tells = 'skew'").len(), 4, "every run by itself");
        let text = &violations("column = 'actions'\nat_most_of = { policy = 'ds2', times = 0.3 }")[0];
        assert_eq!(text, "ours under: expected actions (median) of at most 1.8000 (0.3 times ds2), found 2.0000");
    }
}
