//! What simulated runs are expected to show.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::row::Outcome;

/// What the runs of a policy are expected to show; what is left out is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedExpectation {
    /// The policy.
    pub policy: String,
    /// Cases whose label begins with this; all of them by default.
    pub case: String,
    /// The start, as the table writes it; every one by default.
    pub start: String,
    /// Plans at most.
    pub most_actions: Option<usize>,
    /// Plans at least.
    pub least_actions: Option<usize>,
    /// Exactly this path.
    pub path: Option<String>,
    /// Every operator has exactly what it needs at the end, in at least this share of the runs.
    pub least_share_at_minimum: Option<f64>,
    /// Least and most instances by operator, at `at_s`.
    pub instances: BTreeMap<String, (u32, u32)>,
    /// When `instances` hold; at the end by default.
    pub at_s: Option<f64>,
    /// Emitted over due records after the last plan, at least.
    pub least_achieved: Option<f64>,
    /// Emitted over due records after the last plan, at most.
    pub most_achieved: Option<f64>,
    /// The longest that a decision may take, in milliseconds.
    pub most_decision_ms: Option<f64>,
}

impl SimulatedExpectation {
    /// What is not as expected, a line each.
    pub fn violations(&self, outcomes: &[Outcome]) -> Vec<String> {
        let concerns = |outcome: &&Outcome| {
            let row = &outcome.row;
            row.policy == self.policy && row.case.starts_with(&self.case) && (self.start.is_empty() || row.start == self.start)
        };
        let concerned: Vec<&Outcome> = outcomes.iter().filter(concerns).collect();
        let mut violations: Vec<String> = concerned.iter().flat_map(|outcome| self.of_one(outcome)).collect();
        if let Some(least) = self.least_share_at_minimum
            && !concerned.is_empty()
        {
            let at_minimum = concerned.iter().filter(|outcome| outcome.row.at_minimum).count();
            if (at_minimum as f64) < least * concerned.len() as f64 {
                let what = format!("expected {:.0} % of the runs at the minimum, found {at_minimum} of {}", least * 100.0, concerned.len());
                violations.push(format!("{} {}: {what}", self.policy, self.case));
            }
        }
        violations
    }

    fn of_one(&self, outcome: &Outcome) -> Vec<String> {
        let row = &outcome.row;
        let mut found = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                found.push(format!("{} {} {} seed {}: {what}", row.policy, row.case, row.start, row.seed));
            }
        };
        if let Some(most) = self.most_actions {
            check(row.actions <= most, format!("expected at most {most} actions, found {} ({})", row.actions, row.path));
        }
        if let Some(least) = self.least_actions {
            check(row.actions >= least, format!("expected at least {least} actions, found {} ({})", row.actions, row.path));
        }
        if let Some(path) = &self.path {
            check(row.path == *path, format!("expected {path}, found {}", row.path));
        }
        for (operator, &(least, most)) in &self.instances {
            let instances = outcome.instances(operator, self.at_s.unwrap_or(f64::INFINITY));
            let holds = instances.is_some_and(|instances| (least..=most).contains(&instances));
            check(holds, format!("expected {least} to {most} instances of {operator}, found {instances:?} ({})", row.path));
        }
        let achieved = row.achieved_over_offered;
        if let Some(least) = self.least_achieved {
            check(achieved.is_some_and(|achieved| achieved >= least), format!("expected at least {least} achieved, found {achieved:?}"));
        }
        if let Some(most) = self.most_achieved {
            check(achieved.is_some_and(|achieved| achieved <= most), format!("expected at most {most} achieved, found {achieved:?}"));
        }
        if let Some(most) = self.most_decision_ms {
            let slowest = row.slowest_decision_ms;
            check(slowest <= most, format!("expected decisions within {most} ms, found {slowest:.3} ms"));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::simulated_figure::SimulatedRow;

    #[test]
    fn every_expectation_can_be_disappointed() {
        let row = SimulatedRow {
            policy: "ds2".into(),
            case: "Q1 on a curve".into(),
            start: "8".into(),
            actions: 2,
            path: "8 > 12 > 16".into(),
            achieved_over_offered: Some(0.9),
            slowest_decision_ms: 3.0,
            ..SimulatedRow::default()
        };
        let at = |seconds: f64, instances| (seconds, BTreeMap::from([("map".to_owned(), instances)]));
        let outcome = Outcome { row, configurations: vec![at(0.0, 8), at(10.0, 12), at(20.0, 16)] };
        let violations = |expected: SimulatedExpectation| {
            SimulatedExpectation { policy: "ds2".into(), ..expected }.violations(std::slice::from_ref(&outcome))
        };
        let none = SimulatedExpectation::default;
        let instances = |least, most| BTreeMap::from([("map".to_owned(), (least, most))]);
        for (holds, fails) in [
            (SimulatedExpectation { most_actions: Some(2), ..none() }, SimulatedExpectation { most_actions: Some(1), ..none() }),
            (SimulatedExpectation { least_actions: Some(2), ..none() }, SimulatedExpectation { least_actions: Some(3), ..none() }),
            (
                SimulatedExpectation { path: Some("8 > 12 > 16".into()), ..none() },
                SimulatedExpectation { path: Some("8".into()), ..none() },
            ),
            (
                SimulatedExpectation { instances: instances(16, 16), ..none() },
                SimulatedExpectation { instances: instances(1, 15), ..none() },
            ),
            (
                SimulatedExpectation { instances: instances(12, 12), at_s: Some(19.0), ..none() },
                SimulatedExpectation { instances: instances(12, 12), at_s: Some(20.0), ..none() },
            ),
            (SimulatedExpectation { least_achieved: Some(0.9), ..none() }, SimulatedExpectation { least_achieved: Some(0.95), ..none() }),
            (SimulatedExpectation { most_achieved: Some(0.9), ..none() }, SimulatedExpectation { most_achieved: Some(0.8), ..none() }),
            (
                SimulatedExpectation { most_decision_ms: Some(3.0), ..none() },
                SimulatedExpectation { most_decision_ms: Some(1.0), ..none() },
            ),
            (
                SimulatedExpectation { least_share_at_minimum: Some(0.0), ..none() },
                SimulatedExpectation { least_share_at_minimum: Some(0.1), ..none() },
            ),
            (
                SimulatedExpectation { case: "Q2".into(), most_actions: Some(0), ..none() },
                SimulatedExpectation { case: "Q1".into(), start: "8".into(), most_actions: Some(0), ..none() },
            ),
        ] {
            assert_eq!(violations(holds), Vec::<String>::new());
            assert_eq!(violations(fails).len(), 1);
        }
    }
}
