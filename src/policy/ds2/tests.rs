//! DS2 against the released program's answers, and what must hold of it for any input.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::dataflow::{Configuration, Role};
use crate::policy::fixture;

/// What the plan makes of the configuration; the configuration itself when the policy holds.
fn after(config: Ds2Config, topology: &Topology, observation: &Observation) -> (String, Reason) {
    match Ds2::new(topology.clone(), config).decide(observation.window.end, observation) {
        Decision::Hold(reason) => (observation.configuration.to_string(), reason),
        Decision::Rescale(plan, reason) => (plan.apply(topology, &observation.configuration).unwrap().to_string(), reason),
    }
}

/// The Heron word count of the paper in records a second: FlatMap 1,667 sentences, Count 16,667
/// words, 20 words a sentence.
fn heron(flatmap: u32, count: u32, offered: f64, achieved: f64) -> Observation {
    let mut observation = fixture::idle(&fixture::word_count(), &fixture::instances(flatmap, count), 60.0, 60.0);
    fixture::source(&mut observation, OperatorId(0), offered / 60.0, achieved / 60.0);
    fixture::true_rates(&mut observation, OperatorId(1), &vec![(1e5 / 60.0, 2e6 / 60.0); flatmap as usize]);
    fixture::true_rates(&mut observation, OperatorId(2), &vec![(1e6 / 60.0, 1e6 / 60.0); count as usize]);
    observation
}

#[test]
fn one_step_from_one_instance_to_the_papers_answer_and_then_rest() {
    let decide = |observation| after(Ds2Config::default(), &fixture::word_count(), &observation);
    assert_eq!(decide(heron(1, 1, 1e6, 5e4)).0, "1/10/20/1");
    assert_eq!(decide(heron(10, 20, 1e6, 1e6)).0, "1/10/20/1");
    assert_eq!(decide(heron(30, 60, 1e6, 1e6)).0, "1/10/20/1");
}

#[test]
fn a_decrease_of_one_is_left_alone_unless_told_otherwise() {
    let topology = fixture::word_count();
    assert_eq!(after(Ds2Config::default(), &topology, &heron(11, 20, 1e6, 1e6)).0, "1/11/20/1");
    assert_eq!(after(Ds2Config::default(), &topology, &heron(12, 20, 1e6, 1e6)).0, "1/10/20/1");
    let exact = Ds2Config { ignored_decrease: 0, ..Ds2Config::default() };
    assert_eq!(after(exact, &topology, &heron(11, 20, 1e6, 1e6)).0, "1/10/20/1");
}

#[test]
fn more_than_needed_is_rounded_up_only_once() {
    let fifth_more = Ds2Config { overprovisioning: 1.2, ..Ds2Config::default() };
    assert!(fifth_more.check().is_ok() && Ds2Config { overprovisioning: 0.9, ..Ds2Config::default() }.check().is_err());
    let decide = |observation| after(fifth_more.clone(), &fixture::word_count(), &observation).0;
    assert_eq!(decide(heron(1, 1, 1e6, 5e4)), "1/12/24/1");
    // 10.5 and 21 are needed; rounded up first, FlatMap would have 14.
    assert_eq!(decide(heron(1, 1, 1.05e6, 5e4)), "1/13/26/1");
}

#[test]
fn the_target_rate_ratio_speaks_only_when_the_equations_ask_for_nothing_more() {
    let topology = fixture::word_count();
    let ratio = |ratio| Ds2Config { target_rate_ratio: ratio, ..Ds2Config::default() };
    assert_eq!(after(ratio(1.05), &topology, &heron(10, 20, 1e6, 0.96e6)).0, "1/10/20/1");
    let (configuration, reason) = after(ratio(1.05), &topology, &heron(10, 20, 1e6, 0.9e6));
    assert_eq!((configuration.as_str(), reason.rule.as_str()), ("1/12/23/1", "target-rate-ratio"));
    // The paper's ratio of 1.0 adds an instance for a thousandth.
    assert_eq!(after(ratio(1.0), &topology, &heron(10, 20, 1e6, 0.999e6)).0, "1/11/21/1");
    // Equation 7 asks for more FlatMap: no correction of Count.
    let (configuration, reason) = after(ratio(1.05), &topology, &heron(9, 20, 1e6, 0.9e6));
    assert_eq!((configuration.as_str(), reason.rule.as_str()), ("1/10/20/1", "equation-7"));
    // A source that emitted nothing gives no ratio to multiply with.
    assert_eq!(after(ratio(1.05), &topology, &heron(10, 20, 1e6, 0.0)).0, "1/10/20/1");
}

#[test]
fn the_target_rate_ratio_does_not_speak_of_the_window_after_a_move() {
    let mut ds2 = Ds2::new(fixture::word_count(), Ds2Config::default());
    let mut rule = |observation: Observation| match ds2.decide(observation.window.end, &observation) {
        Decision::Hold(reason) | Decision::Rescale(_, reason) => reason.rule,
    };
    assert_eq!(rule(heron(1, 1, 1e6, 5e4)), "equation-7");
    // The move has just ended, and sources were held back by it.
    assert_eq!(rule(heron(10, 20, 1e6, 0.7e6)), "settling");
    // It lasts: overheads that no instance's useful time shows.
    assert_eq!(rule(heron(10, 20, 1e6, 0.7e6)), "target-rate-ratio");
    // What the ratio added is not taken away before it can have helped, and is once it has.
    assert_eq!(rule(heron(15, 29, 1e6, 0.9e6)), "settling");
    assert_eq!(rule(heron(15, 29, 1e6, 1.1e6)), "equation-7");
    // The equations are not silenced by a move.
    assert_eq!(rule(heron(9, 20, 1e6, 0.7e6)), "equation-7");
}

#[test]
fn an_operator_that_was_not_measured_is_kept_and_named() {
    let topology = fixture::word_count();
    let mut observation = heron(1, 3, 1e6, 5e4);
    for instance in &mut observation.operators[2].instances {
        (instance.useful, instance.processed) = (std::time::Duration::ZERO, 0);
    }
    let (configuration, reason) = after(Ds2Config::default(), &topology, &observation);
    assert_eq!(configuration, "1/10/3/1");
    assert_eq!(reason.values["count kept for want of a true rate"], 3.0);
    let nothing = fixture::idle(&topology, &fixture::instances(2, 2), 60.0, 60.0);
    let (configuration, reason) = after(Ds2Config::default(), &topology, &nothing);
    assert_eq!((configuration.as_str(), reason.rule.as_str()), ("1/2/2/1", "not-measured"));
}

#[test]
fn demand_beyond_the_maximum_is_clamped_and_said() {
    let topology = fixture::word_count();
    let (configuration, _) = after(Ds2Config::default(), &topology, &heron(10, 20, 1e7, 1e6));
    assert_eq!(configuration, "1/64/64/1");
    let (configuration, reason) = after(Ds2Config::default(), &topology, &heron(64, 64, 1e7, 3.2e6));
    assert_eq!((configuration.as_str(), reason.rule.as_str()), ("1/64/64/1", "at-limit"));
}

/// A file of real rates, or nothing where the data are not at hand.
fn data(file: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ds2").join(file);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {} is not there", path.display());
    }
    text
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| line.split(',').collect())
}

/// Runs every epoch of a rates log over its topology and compares demand, parallelism and workers
/// with `expected`.
///
/// Without `source_rate` the source's own true output rate is taken for the offered rate, as the
/// released program does.
fn released(topology: &str, rates: &str, source_rate: Option<f64>, expected: &str) {
    let (Some(topology), Some(rates), Some(expected)) = (data(topology), data(rates), data(expected)) else { return };
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    let mut names: Vec<String> = Vec::new();
    let mut edges = Vec::new();
    for edge in lines(&topology) {
        let mut position = |name: &str| {
            names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            }) as u32
        };
        edges.push((position(edge[0]), position(edge[3])));
    }
    let role = |position: usize| if position == 0 { Role::Source } else { Role::Stateless };
    let operators: Vec<_> = names.iter().enumerate().map(|(position, name)| (name.as_str(), role(position), 64)).collect();
    let topology = Topology::new(&operators, &edges).unwrap();
    // Lines of one instance are epochs 0, 1, 2... in order of their time stamp.
    let mut epochs: BTreeMap<(u32, u32), BTreeMap<u64, (f64, f64)>> = BTreeMap::new();
    let mut configuration = Configuration::ones(&topology);
    for line in lines(&rates) {
        let operator = topology.named(line[0]).unwrap().id;
        configuration = configuration.with(operator, line[2].parse().unwrap());
        let key = (operator.0, line[1].parse().unwrap());
        epochs.entry(key).or_default().insert(line[3].parse().unwrap(), (line[4].parse().unwrap(), line[5].parse().unwrap()));
    }
    let count = epochs.values().next().unwrap().len();
    for epoch in 0..count {
        let mut observation = fixture::idle(&topology, &configuration, 60.0, 60.0);
        for operator in topology.operators() {
            let instances = epochs.range((operator.id.0, 0)..=(operator.id.0, u32::MAX));
            let rates: Vec<(f64, f64)> = instances.map(|(_, epochs)| *epochs.values().nth(epoch).unwrap()).collect();
            match operator.role {
                Role::Source => {
                    let offered = source_rate.unwrap_or(rates.iter().map(|rate| rate.1).sum());
                    fixture::source(&mut observation, operator.id, offered, offered);
                }
                _ => fixture::true_rates(&mut observation, operator.id, &rates),
            }
        }
        let demands = demands(&topology, &observation);
        let near = |found: f64, expected: &serde_json::Value, what: &str| {
            let expected = expected.as_f64().unwrap();
            assert!((found / expected - 1.0).abs() < 1e-9, "{what} of epoch {epoch}: expected {expected}, found {found}");
        };
        for operator in topology.scalable() {
            let (demand, expected) = (&demands[operator.id.0 as usize], &expected[&operator.name][epoch.to_string()]);
            near(demand.target.unwrap().as_per_second(), &expected["target"], "target rate");
            near(demand.true_processing_rate.unwrap().as_per_second(), &expected["true_proc"], "true rate");
            assert_eq!(u64::from(round_up(demand.instances().unwrap(), 1e-6)), expected["pi"], "{} in epoch {epoch}", operator.name);
        }
        let workers = &expected["_workers"][epoch.to_string()];
        near(demands.iter().filter_map(Demand::instances).sum(), &workers["sum"], "sum of instances");
        assert_eq!(u64::from(workers_needed(&demands, 1e-6)), workers["ceil"], "workers of epoch {epoch}");
    }
}

#[test]
fn the_released_programs_answers_are_reproduced() {
    let flink = "flink_wordcount_topology.csv";
    released(flink, "flink_rates.log", None, "expected/flink_offline_verbose.canon.json");
    released(flink, "flink_11epochs.log", Some(1e6), "expected/flink_11epochs_src1m.canon.json");
    released("heron_1_1_1_topology.csv", "heron_1_1_1_rates.csv", Some(1e6), "expected/heron_paper_1_1_1.canon.json");
}

proptest! {
    #[test]
    fn parallelism_stays_in_range_and_grows_with_the_offered_rate(
        loads in prop::collection::vec((0u64..1 << 50, 0u64..1 << 50, 0u64..1 << 40), 6),
        (flatmap, count) in (1u32..7, 1u32..7),
        (offered, more, achieved) in (0.0..1e12, 0.0..1e12, 0.0..1e12),
        (target_rate_ratio, ignored_decrease) in (1.0..2.0, 0u32..3),
    ) {
        let topology = fixture::word_count();
        let observe = |offered: f64| {
            let mut observation = fixture::idle(&topology, &fixture::instances(flatmap, count), 60.0, 60.0);
            fixture::source(&mut observation, OperatorId(0), offered, achieved);
            let instances = observation.operators[1..3].iter_mut().flat_map(|metrics| &mut metrics.instances);
            for (instance, load) in instances.zip(&loads) {
                (instance.processed, instance.produced) = (load.0, load.1);
                instance.useful = std::time::Duration::from_nanos(load.2);
            }
            observation
        };
        let chosen = |config: Ds2Config, offered: f64| {
            let observation = observe(offered);
            match Ds2::new(topology.clone(), config).decide(observation.window.end, &observation) {
                Decision::Hold(_) => observation.configuration,
                // A plan out of range would be refused here.
                Decision::Rescale(plan, _) => plan.apply(&topology, &observation.configuration).unwrap(),
            }
        };
        chosen(Ds2Config { target_rate_ratio, ..Ds2Config::default() }, offered);
        // The correction takes turns with the equations, so only the equations are monotone.
        let equations = Ds2Config { target_rate_ratio: f64::INFINITY, ignored_decrease, ..Ds2Config::default() };
        let (low, high) = (chosen(equations.clone(), offered), chosen(equations, offered + more));
        for (operator, instances) in low.iter() {
            prop_assert!(instances <= high.parallelism(operator), "{operator}: {low} at {offered}, {high} at {}", offered + more);
        }
    }
}
