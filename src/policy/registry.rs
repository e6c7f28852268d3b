//! The registry of policies, in the order of figures and tables: a policy is one file or folder and
//! one line here.

pub use super::kind::PolicyKind;
use super::settings::{Given, PolicyError};
use super::{Policy, aws, critical_path, dhalion, ds2, flink_autoscaler, heron, hold, oracle, schedule, scripted, threshold};
use crate::dataflow::Topology;

/// All policies.
pub const KINDS: [PolicyKind; 9] = [
    hold::KIND,
    oracle::KIND,
    threshold::KIND,
    dhalion::KIND,
    heron::KIND,
    ds2::KIND,
    flink_autoscaler::KIND,
    aws::KIND,
    critical_path::KIND,
];

/// Names of all policies.
pub const POLICIES: [&str; KINDS.len()] = {
    let mut names = [""; KINDS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = KINDS[index].name;
        index += 1;
    }
    names
};

/// Creates the policy called `name`, with all times divided by `time_factor`.
///
/// # Errors
/// If the policy is unknown, a parameter is unknown or invalid, or the policy needs more input.
pub fn policy_with(name: &str, topology: &Topology, time_factor: f64, given: &Given) -> Result<Box<dyn Policy>, PolicyError> {
    let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| unknown(name))?;
    (kind.make)(topology, time_factor, given)
}

fn unknown(name: &str) -> PolicyError {
    let known = POLICIES.map(|name| format!("'{name}'")).join(", ");
    PolicyError::Unknown { known, found: name.to_owned() }
}

/// The same with its published parameters.
///
/// # Errors
/// If the policy is unknown, or needs more input.
pub fn policy(name: &str, topology: &Topology, time_factor: f64) -> Result<Box<dyn Policy>, PolicyError> {
    policy_with(name, topology, time_factor, &Given::default())
}

/// The meaning of a rule, as the end of a sentence; `None` for a rule of no policy here. A rule has
/// the same meaning in every policy.
pub fn meaning(rule: &str) -> Option<&'static str> {
    let all = KINDS.iter().flat_map(|kind| kind.rules).chain(&scripted::RULES).chain(&schedule::RULES);
    all.into_iter().find(|(name, _)| *name == rule).map(|(_, meaning)| *meaning)
}

/// Rank of `policy` in figures and tables: sort by it with a stable sort, so that unregistered
/// policies keep their order at the end. A variant of a policy, such as `ds2-ratio`, follows the
/// policy.
pub fn rank(policy: &str) -> usize {
    let is_variant = |kind: &PolicyKind| policy.strip_prefix(kind.name).is_some_and(|rest| rest.starts_with(['-', ' ']));
    match KINDS.iter().position(|kind| kind.name == policy) {
        Some(index) => 2 * index,
        None if policy == "scripted" => 2 * KINDS.iter().position(|kind| kind.name == "oracle").unwrap_or_default() + 1,
        None => KINDS.iter().position(is_variant).map_or(2 * KINDS.len(), |index| 2 * index + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn figures_have_the_order_of_the_registry() {
        let mut policies =
            ["mine", "critical-path", "ds2-ratio", "scripted", "ds2", "external", "hold", "critical-path paths=off", "threshold", "oracle"];
        policies.sort_by_key(|policy| rank(policy));
        let sorted =
            ["hold", "oracle", "scripted", "threshold", "ds2", "ds2-ratio", "critical-path", "critical-path paths=off", "mine", "external"];
        assert_eq!(policies, sorted);
    }

    #[test]
    fn a_rule_means_the_same_in_every_policy() {
        let mut meanings: BTreeMap<&str, &str> = BTreeMap::new();
        for (rule, meaning) in KINDS.iter().flat_map(|kind| kind.rules) {
            assert_eq!(meanings.insert(rule, meaning).unwrap_or(meaning), *meaning, "{rule}");
        }
    }

    /// Literals in the policies' sources that are passed to a reason, or look like a rule.
    fn rules_in(path: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() {
                rules_in(&entry, found);
                continue;
            }
            if ["tests.rs", "fixture.rs", "mod.rs", "registry.rs", "settings.rs", "reason.rs"].contains(&name.as_str())
                && path.ends_with("policy")
            {
                continue;
            }
            let text = fs::read_to_string(&entry).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for (before, literal) in code.split('"').collect::<Vec<_>>().chunks(2).filter_map(|pair| Some((pair.first()?, pair.get(1)?))) {
                let is_given =
                    ["Reason::new(", "reason(", "about(", "told(", "rule: ", "=> ", "Some("].iter().any(|place| before.ends_with(place));
                if is_given && literal.contains('-') && literal.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-') {
                    found.push((*literal).to_owned());
                }
            }
        }
    }

    #[test]
    fn every_rule_that_a_policy_gives_has_a_meaning() {
        let mut found = Vec::new();
        rules_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy"), &mut found);
        assert!(found.len() > 30, "{found:?}");
        let without: Vec<&String> = found.iter().filter(|rule| meaning(rule).is_none()).collect();
        assert!(without.is_empty(), "{without:?}");
    }
}
