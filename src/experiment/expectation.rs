//! What a run is expected to show: it turns an experiment into a test.
//!
//! Expectations are about decisions and correctness, never about how fast the machine is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::Summary;

/// What the run of one policy is expected to show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The policy.
    pub policy: String,
    /// Fewest plans carried out.
    pub least_actions: usize,
    /// Most plans carried out; any number when missing.
    pub most_actions: Option<usize>,
    /// Instances at the end of the operators named.
    #[serde(default)]
    pub last: BTreeMap<String, u32>,
    /// How the configuration at the end compares with what is needed; not looked at when missing.
    pub provisioning: Option<Provisioning>,
    /// Least share of the offered rate that the source achieves after the last plan.
    pub least_achieved_over_offered: Option<f64>,
}

/// A configuration compared with what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provisioning {
    /// Some operator has fewer instances than it needs.
    Under,
    /// Every operator has as many as it needs.
    Exact,
    /// Every operator has enough and some have more.
    Over,
}

impl Provisioning {
    /// Compares instances with need, by operator.
    pub fn of(instances: &BTreeMap<String, u32>, needed: &BTreeMap<String, u32>) -> Provisioning {
        let has = |name: &String| instances.get(name).copied().unwrap_or(0);
        if needed.iter().any(|(name, &needs)| has(name) < needs) {
            Provisioning::Under
        } else if needed.iter().any(|(name, &needs)| has(name) > needs) {
            Provisioning::Over
        } else {
            Provisioning::Exact
        }
    }
}

impl Expectation {
    /// What `summary` shows otherwise, a sentence each; empty when the expectation holds.
    pub fn violations(&self, summary: &Summary, needed: &BTreeMap<String, u32>) -> Vec<String> {
        let mut violations = Vec::new();
        let mut expect = |holds: bool, what: &str, expected: String, found: String| {
            if !holds {
                violations.push(format!("{}: expected {what} {expected}, found {found}", self.policy));
            }
        };
        let most = self.most_actions.unwrap_or(usize::MAX);
        let range =
            if most == usize::MAX { format!("at least {}", self.least_actions) } else { format!("{} to {most}", self.least_actions) };
        expect((self.least_actions..=most).contains(&summary.actions), "actions", range, summary.actions.to_string());
        for (name, &instances) in &self.last {
            let found = summary.last.get(name).copied();
            expect(found == Some(instances), &format!("final instances of {name}"), instances.to_string(), format!("{found:?}"));
        }
        if let Some(provisioning) = self.provisioning {
            let found = Provisioning::of(&summary.last, needed);
            expect(found == provisioning, "provisioning at the end", format!("{provisioning:?}"), format!("{found:?}"));
        }
        if let Some(least) = self.least_achieved_over_offered {
            let found = summary.achieved_over_offered.unwrap_or(0.0);
            expect(found >= least, "achieved over offered rate", format!("at least {least}"), format!("{found:.4}"));
        }
        for (what, found) in
            [("lost", summary.records_lost), ("duplicated", summary.records_duplicated), ("miscounted", summary.words_miscounted)]
        {
            expect(found == 0, &format!("words {what}"), "0".to_owned(), found.to_string());
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_shows_otherwise_is_named() {
        let needed: BTreeMap<String, u32> = [("flatmap".into(), 10), ("count".into(), 20)].into();
        let expectation = Expectation {
            policy: "ds2".into(),
            least_actions: 1,
            most_actions: Some(1),
            last: needed.clone(),
            provisioning: Some(Provisioning::Exact),
            least_achieved_over_offered: Some(0.97),
        };
        let good = Summary { actions: 1, last: needed.clone(), achieved_over_offered: Some(1.0), ..Summary::default() };
        assert_eq!(expectation.violations(&good, &needed), Vec::<String>::new());
        let last = [("flatmap".into(), 11), ("count".into(), 20)].into();
        let bad = Summary { actions: 2, last, achieved_over_offered: Some(0.5), records_lost: 3, ..good };
        assert_eq!(
            expectation.violations(&bad, &needed),
            [
                "ds2: expected actions 1 to 1, found 2",
                "ds2: expected final instances of flatmap 10, found Some(11)",
                "ds2: expected provisioning at the end Exact, found Over",
                "ds2: expected achieved over offered rate at least 0.97, found 0.5000",
                "ds2: expected words lost 0, found 3",
            ]
        );
    }
}
