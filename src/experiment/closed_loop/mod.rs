//! Policies in closed loop: cases, each from several starts, under several policies, in virtual
//! time or on the engine or on both.
//!
//! One kind of definition serves every figure in which a policy decides: what differs between them
//! is data. Invariant: rows in virtual time depend on the definition, the scale and the seeds
//! alone, except for the time that decisions took.

mod capacity;
mod case;
mod generated;
mod like;
mod loads;
mod measures;
mod needs;
mod probe;
mod row;
mod timed;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use capacity::Capacities;
pub use case::{Case, Told, Variant};
pub use generated::{Layers, RandomGraph};
pub use like::write_out;
pub use loads::{FurtherLoads, add_loads};
pub use probe::Probe;

use super::frame::{Frame, row as cells, text};
use super::policies::Setting;
use super::run::RunFailure;
use super::scale::{Scale, Scaled};
use super::scenario::Scenario;
use super::study::{Ask, At, Host, Measured, Progress, Study, Trial};

/// The policy that the others' instances are compared with.
pub const ORACLE: &str = "oracle";

/// Policies in closed loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedLoop {
    /// Where cases run that do not say so themselves.
    #[serde(default = "in_virtual_time")]
    pub hosts: Vec<Host>,
    /// Seeds of each case in virtual time, or on the engine if that is the only host; with both,
    /// the engine has one.
    #[serde(default = "once")]
    pub seeds: Scaled<u64>,
    /// The first of them.
    #[serde(default)]
    pub first_seed: u64,
    /// Policies, each of which runs every case.
    pub policies: Vec<Variant>,
    /// What is run.
    pub cases: Vec<Case>,
    /// Of which runs all that happened is kept.
    #[serde(default)]
    pub keep: Keep,
    /// How loads of a folder become further cases, where they can.
    #[serde(default)]
    pub loads: Option<FurtherLoads>,
    /// Whether the time of decisions is looked at: then runs do not share the machine.
    #[serde(default)]
    pub timed: bool,
    /// Capacities of cases whose loads are in them, once they have been measured.
    #[serde(skip)]
    pub capacities: Capacities,
}

/// Of which runs there is a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Of none: rows say it all.
    #[default]
    None,
    /// Of those of the first case and start.
    First,
    /// Of all.
    All,
}

fn in_virtual_time() -> Vec<Host> {
    vec![Host::Sim]
}

fn once() -> Scaled<u64> {
    Scaled::always(1)
}

/// Of every run: records that the sink should have, once and counted right.
const CHECKS: &str = r#"
[[check]]
column = "records_lost+records_duplicated+records_miscounted"
at_most = 0
"#;

impl ClosedLoop {
    fn hosts_of<'d>(&'d self, case: &'d Case) -> &'d [Host] {
        case.hosts.as_deref().unwrap_or(&self.hosts)
    }

    /// Where a case runs. One for both hosts takes long: at the smaller scale it runs if the engine
    /// or the case is asked for, or if all are such.
    fn asked_hosts(&self, case: &Case, ask: &Ask) -> Vec<Host> {
        let hosts = self.hosts_of(case);
        let all_on_both = self.cases.iter().all(|case| self.hosts_of(case).len() > 1);
        match (hosts, ask.host) {
            ([Host::Engine], Some(host)) => vec![host],
            ([only], host) => {
                if host.is_none_or(|host| host == *only) {
                    vec![*only]
                } else {
                    Vec::new()
                }
            }
            (_, Some(Host::Sim)) if all_on_both => vec![Host::Sim],
            (_, Some(Host::Engine)) => hosts.to_vec(),
            (_, None) if all_on_both || ask.scale == Scale::Full || ask.cases.contains(&case.name) => hosts.to_vec(),
            _ => Vec::new(),
        }
    }

    fn seeds(&self, case: &Case, host: Host, ask: &Ask) -> impl Iterator<Item = u64> {
        let many = case.seeds.unwrap_or(self.seeds).at(ask.scale).max(1);
        let each = if host == Host::Engine && self.hosts_of(case).len() > 1 { many } else { 1 };
        ask.seeds_from(self.first_seed, many).step_by(each as usize)
    }

    fn keeps(&self, trial: &Trial) -> bool {
        let first = &self.cases[0];
        match self.keep {
            Keep::None => false,
            Keep::First => (&trial.case, &trial.start) == (&first.name, &first.start_text(0)),
            Keep::All => true,
        }
    }

    /// The case and the variant of a trial.
    fn parts(&self, trial: &Trial) -> Option<(&Case, &Variant)> {
        let case = self.cases.iter().find(|case| case.name == trial.case)?;
        Some((case, self.policies.iter().find(|policy| policy.label() == trial.variant)?))
    }

    /// The scenario of a case as it is written.
    pub fn scenario(&self, case: &str) -> Option<&Scenario> {
        self.cases.iter().find(|known| known.name == case)?.scenario.as_deref()
    }
}

impl Study for ClosedLoop {
    fn columns(&self) -> Vec<&'static str> {
        row::columns()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let runs = |policy: &&Variant| ask.scale.includes(policy.from_scale) || ask.variants.iter().any(|name| name == policy.label());
        let mut trials = Vec::new();
        for case in self.cases.iter().filter(|case| ask.scale.includes(case.from_scale)) {
            for start in 0..case.starts.len().max(1) {
                for host in self.asked_hosts(case, ask) {
                    for policy in self.policies.iter().filter(runs) {
                        let (start, variant) = (case.start_text(start), policy.label().to_owned());
                        let trial = |seed| Trial { case: case.name.clone(), start: start.clone(), variant: variant.clone(), host, seed };
                        trials.extend(self.seeds(case, host, ask).map(trial));
                    }
                }
            }
        }
        trials
    }

    fn runs_alone(&self, trial: &Trial) -> bool {
        // Of runs that are kept one after the other is shown.
        self.timed || self.keep == Keep::All || trial.host != Host::Sim
    }

    fn companion(&self) -> Option<&str> {
        self.policies.iter().map(Variant::label).find(|label| *label == ORACLE)
    }

    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let (case, variant) = self.parts(trial).expect("trials are of the study");
        let run = case::Run { case, variant, trial };
        let capacity = self.capacities.of(case, trial, progress)?;
        let scenario = run.scenario(at.scale, capacity);
        let measured = run.run(&scenario, progress);
        // Also of a run that was interrupted there is something to see.
        let partial = |why: &anyhow::Error| why.downcast_ref::<RunFailure>().and_then(RunFailure::partial).cloned();
        let kept = measured.as_ref().map_or_else(partial, |(result, _)| Some(result.clone())).filter(|_| self.keeps(trial));
        if let Some(result) = kept {
            // Two hosts have a folder each.
            let host = if self.hosts_of(case).len() > 1 { format!("-{}", trial.host.name()) } else { String::new() };
            run.keep(at, &format!("{}{host}", trial.variant), &scenario, &result)?;
        }
        let (result, slowest) = measured?;
        let mut row = row::row(case, &scenario, &result, case.paper_of(&trial.start), slowest);
        row.extend(cells([("capacity_per_s", &capacity)]));
        progress.ended(trial, Some(&result));
        Ok(Measured { rows: vec![row], series: Vec::new() })
    }

    /// Compares instances with the oracle's, and both costs with those of all others, in the same
    /// case on the same host with the same seed.
    fn complete(&self, frame: &mut Frame) {
        compare_costs(frame);
        let key = |row: &super::frame::Row| ["case", "start", "host", "seed"].map(|label| text(row, label).to_owned());
        let number = |row: &super::frame::Row| text(row, "instance_s").parse::<f64>().ok();
        let oracles = frame.rows().iter().filter(|row| text(row, "variant") == ORACLE);
        let oracle: BTreeMap<_, f64> = oracles.filter_map(|row| Some((key(row), number(row)?))).collect();
        if frame.has("instance_s") {
            frame.set("excess_instance_s", |row| {
                let excess = number(row).zip(oracle.get(&key(row))).map(|(instance_s, oracle)| (instance_s - oracle).to_string());
                excess.unwrap_or_else(|| text(row, "excess_instance_s").to_owned())
            });
            if frame.has("over_oracle") {
                frame.set("over_oracle", |row| {
                    let over = number(row).zip(oracle.get(&key(row)).filter(|oracle| **oracle > 0.0));
                    over.map_or_else(|| text(row, "over_oracle").to_owned(), |(instance_s, oracle)| (instance_s / oracle).to_string())
                });
            }
        }
    }

    fn checks(&self) -> &'static str {
        CHECKS
    }

    fn tables(&self) -> &'static [&'static str] {
        &["costs", "paths"]
    }

    fn check(&self) -> Result<(), String> {
        if self.cases.is_empty() || self.policies.is_empty() || self.hosts.is_empty() {
            return Err("expected at least one case, one policy and one host".to_owned());
        }
        for text in self.policies.iter().flat_map(|policy| &policy.set) {
            text.parse::<Setting>()?;
        }
        self.cases.iter().try_for_each(Case::check)
    }
}

/// Fills in by how many other policies each run is dominated: they had both fewer instances and
/// fewer seconds behind. The oracle is no competitor.
fn compare_costs(frame: &mut Frame) {
    if !frame.has("dominated_by") {
        return;
    }
    let key = |row: &super::frame::Row| ["case", "start", "host", "seed"].map(|label| text(row, label).to_owned());
    let costs = |row: &super::frame::Row| {
        let number = |column: &str| text(row, column).parse::<f64>().ok();
        Some((number("instance_s")?, number("behind_s")?))
    };
    let all: Vec<_> = frame.rows().iter().filter(|row| text(row, "variant") != ORACLE).map(|row| (key(row), costs(row))).collect();
    frame.set("dominated_by", |row| {
        let Some((instances, behind)) = costs(row) else { return String::new() };
        let own = key(row);
        let others = all.iter().filter(|(key, _)| *key == own).filter_map(|(_, costs)| *costs);
        others.filter(|other| other.0 < instances && other.1 < behind).count().to_string()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::bench::Bench;
    use crate::experiment::definition::Definition;
    use crate::experiment::frame::Row;
    use crate::experiment::record::{Manifest, read_toml};

    const SUITE: &str = r#"
figure = "small"
title = "A small suite"
kind = "closed-loop"
seeds = { quick = 2, full = 3 }
first_seed = 1
policies = [{ name = "oracle" }, { name = "ds2" }, { name = "ds2", label = "calm", set = ["ignored_decrease=5"], told = ["budget"] }]

[[cases]]
name = "one"
[cases.scenario]
title = "One operator"
seconds = 8
disturb = { noise = 0.3 }
[[cases.scenario.operators]]
name = "source"
role = "source"
rate = 950
[[cases.scenario.operators]]
name = "map"
role = "stateless"
inputs = ["source"]
limit = 100
[[cases.scenario.operators]]
name = "sink"
role = "sink"
inputs = ["map"]

[[cases]]
name = "two"
like = "one"
but = { operators = { map = { instances = 20 } } }
"#;

    fn run(text: &str, ask: Ask) -> anyhow::Result<Vec<Row>> {
        let definition = Definition::read(text, None)?;
        let folder = tempfile::tempdir()?;
        let measured = Bench::here(&definition, ask, folder.path()).run(&())?;
        Ok(measured.frame.rows().to_vec())
    }

    #[test]
    fn runs_side_by_side_are_those_one_after_the_other() {
        let rows = run(SUITE, Ask::default()).unwrap();
        assert_eq!(rows.len(), 2 * 3 * 2);
        let alone = run(&SUITE.replace("first_seed", "timed = true\nfirst_seed"), Ask::default()).unwrap();
        for (row, mut alone) in rows.iter().zip(alone) {
            alone.insert("slowest_decision_ms".to_owned(), text(row, "slowest_decision_ms").to_owned());
            assert_eq!(*row, alone);
            assert_ne!(text(row, "excess_instance_s"), "");
        }
        let number = |row: &Row, column: &str| text(row, column).parse::<f64>().unwrap();
        assert_eq!(text(&rows[0], "final_configuration"), "map=10");
        assert_eq!((number(&rows[0], "under_provisioned_s") > 2.0, number(&rows[6], "under_provisioned_s")), (true, 0.0));
    }

    #[test]
    fn a_case_may_have_seeds_of_its_own() {
        let of_two = SUITE.replacen("name = \"two\"", "name = \"two\"\nseeds = { quick = 1, full = 2 }", 1);
        let definition = Definition::read(&of_two, None).unwrap();
        let seeds = |scale| {
            let ask = Ask { scale, first_seed: 6, variants: vec!["oracle".into()], ..Ask::default() };
            let trials = Bench::trials(&definition, &ask).unwrap();
            trials.iter().map(|trial| (trial.case.clone(), trial.seed)).collect::<Vec<_>>()
        };
        let of = |case: &str, seeds: std::ops::Range<u64>| seeds.map(|seed| (case.to_owned(), seed)).collect::<Vec<_>>();
        assert_eq!(seeds(Scale::Quick), [of("one", 7..9), of("two", 7..8)].concat());
        assert_eq!(seeds(Scale::Full), [of("one", 7..10), of("two", 7..9)].concat());
    }

    #[test]
    fn what_is_kept_of_a_run_names_its_policy() {
        let definition = Definition::read(&SUITE.replace("first_seed", "keep = 'all'\nfirst_seed"), None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ask = Ask { cases: vec!["one".into()], variants: vec!["calm".into()], seeds: vec![1], ..Ask::default() };
        Bench::here(&definition, ask, folder.path()).run(&()).unwrap();
        let manifest: Manifest = read_toml(&folder.path().join("calm/run.toml")).unwrap();
        let scenario = manifest.scenario.unwrap();
        assert_eq!((manifest.policy.as_str(), scenario.control.policy.as_str()), ("calm", "ds2"));
    }

    #[test]
    fn who_is_asked_for_runs_and_the_oracle_does_for_their_sake() {
        let asked = |variants: &[&str]| {
            let variants = variants.iter().map(|name| (*name).to_owned()).collect();
            let rows = run(SUITE, Ask { cases: vec!["one".into()], variants, ..Ask::default() })?;
            assert!(rows.iter().all(|row| !text(row, "excess_instance_s").is_empty()));
            Ok(rows.iter().map(|row| (text(row, "variant").to_owned(), text(row, "seed").to_owned())).collect::<Vec<_>>())
        };
        let asked = |variants: &[&str]| -> Result<_, String> { asked(variants).map_err(|why: anyhow::Error| why.to_string()) };
        let with_seeds = |label: &str| (1..=2).map(|seed| (label.to_owned(), seed.to_string())).collect::<Vec<_>>();
        assert_eq!(asked(&["calm"]), Ok(with_seeds("calm")));
        assert_eq!(asked(&["oracle"]), Ok(with_seeds("oracle")));
        assert_eq!(
            asked(&["calmer"]),
            Err("expected policies or other variants of small, among oracle, ds2, calm, found 'calmer'".to_owned())
        );
    }

    #[test]
    fn a_case_tells_what_a_policy_can_be_told() {
        let text_of = SUITE.replacen("name = \"one\"", "name = \"one\"\nbudget = 7", 1);
        let asked = |case: &str, variant: &str| Ask { cases: vec![case.into()], variants: vec![variant.into()], ..Ask::default() };
        // DS2 knows no budget, and says so.
        let error = format!("{:#}", run(&text_of, asked("one", "calm")).unwrap_err());
        assert!(error.contains("'one' under 'calm'") && error.contains("budget=7: expected a parameter, one of "), "{error}");
        assert!(run(&text_of, asked("two", "calm")).is_ok());
        assert_eq!(text(&run(&text_of, asked("one", "oracle")).unwrap()[0], "final_configuration"), "map=7");
    }

    #[test]
    fn a_load_in_capacities_is_measured_once_for_all_and_only_with_too_much_due() {
        let text_of = |probe: f64| {
            let probe = format!("name = \"one\"\nin_capacities = {{ rate = {probe}, seconds = 8 }}");
            let one = SUITE.split("\n[[cases]]\nname = \"two\"").next().unwrap().to_owned() + "\n";
            let hold = one.replace("{ name = \"oracle\" }", "{ name = \"hold\" }").replace("disturb = { noise = 0.3 }", "");
            hold.replace("name = \"one\"", &probe).replace("rate = 950", "load = { shape = \"constant\", rate = 2.5 }")
        };
        let rows = run(&text_of(5_000.0), Ask::default()).unwrap();
        let number = |row: &Row, column: &str| text(row, column).parse::<f64>().unwrap();
        // An instance does 100 records per second, whatever the policy and the seed.
        let capacity = number(&rows[0], "capacity_per_s");
        assert!((90.0..=115.0).contains(&capacity), "{capacity}");
        assert!(rows.iter().all(|row| number(row, "capacity_per_s") == capacity), "{rows:?}");
        let done = |variant: &str| number(rows.iter().find(|row| text(row, "variant") == variant).unwrap(), "achieved_at_end");
        assert!((0.33..=0.45).contains(&done("hold")) && done("ds2") > 0.95, "{} {}", done("hold"), done("ds2"));
        // Where the job does all that is due, its capacity was not measured.
        let error = format!("{:#}", run(&text_of(90.0), Ask::default()).unwrap_err());
        assert!(error.contains("the capacity of 'one': expected a probe of which the job does less than 0.9, found "), "{error}");
    }

    #[test]
    fn a_scenario_of_ones_own_is_named_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.toml"), Scenario::text("heron-wordcount").unwrap()).unwrap();
        let text_of = |scenario: &str| {
            format!(
                "figure = 'mine'\ntitle = 'Mine'\nkind = 'closed-loop'\npolicies = [{{ name = 'hold' }}]\n[[cases]]\nname = 'a'\n\
                 scenario = '{scenario}'\nbut = {{ seconds = 5, operators = {{ count = {{ instances = 3 }} }} }}\n"
            )
        };
        for scenario in ["mine.toml", "heron-wordcount"] {
            let definition = Definition::read(&text_of(scenario), Some(folder.path())).unwrap();
            let rows = Bench::here(&definition, Ask::default(), folder.path()).run(&()).unwrap().frame;
            assert_eq!(text(&rows.rows()[0], "final_configuration"), "flatmap=1 count=3");
        }
        let error = Definition::read(&text_of("none.toml"), None).unwrap_err().to_string();
        assert!(error.starts_with("case 'a': expected a scenario file or one of 'diamond', "), "{error}");
    }
}
