//! How close a simulated run comes to the same run on the engine: one definition, both hosts, side by side.

use serde::{Deserialize, Serialize};

use super::definition::{JobDefinition, Seconds};
use super::record::Summary;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FidelityDefinition {
    /// Name of the figure.
    pub figure: String,
    /// Title of the figure.
    pub title: String,
    /// The policy.
    pub policy: String,
    /// How many times faster control time runs than published.
    pub time_factor: f64,
    /// Seconds of run.
    pub seconds: Seconds,
    /// The job.
    pub job: JobDefinition,
    /// What is expected.
    #[serde(default)]
    pub expect: Vec<FidelityExpectation>,
}

/// How close a quantity is expected to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FidelityExpectation {
    /// The quantity.
    pub quantity: String,
    /// Largest difference, as a part of what the engine did.
    pub most_difference: f64,
}

/// A quantity on both hosts; `fidelity.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FidelityRow {
    /// The experiment.
    pub experiment: String,
    /// Index of the first sentence on the engine, and seed of the simulation.
    pub seed: u64,
    /// What it is.
    pub quantity: String,
    /// Its unit; empty for a number.
    pub unit: String,
    /// On the engine; nothing where it has none, such as the time of the last action where there was none.
    pub engine: Option<f64>,
    /// In virtual time.
    pub sim: Option<f64>,
    /// In virtual time over on the engine.
    pub ratio: Option<f64>,
    /// Revision of the program.
    pub revision: String,
    /// The machine.
    pub machine: String,
}

impl FidelityDefinition {
    /// The rows of both hosts' summaries; `like` has what all rows share.
    pub fn rows(&self, seed: u64, engine: &Summary, sim: &Summary, like: &FidelityRow) -> Vec<FidelityRow> {
        let milliseconds = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
        let mut quantities = vec![("actions".to_owned(), "", Some(engine.actions as f64), Some(sim.actions as f64))];
        for (name, &instances) in &engine.last {
            let simulated = sim.last.get(name).map(|&instances| f64::from(instances));
            quantities.push((format!("final {name}"), "", Some(f64::from(instances)), simulated));
        }
        let both = |name: &str, unit, of: &dyn Fn(&Summary) -> Option<f64>| (name.to_owned(), unit, of(engine), of(sim));
        quantities.push(both("settling time", "s", &|summary| summary.settle_s));
        quantities.push(both("achieved / offered", "", &|summary| summary.achieved_over_offered));
        quantities.push(both("latency p50", "ms", &|summary| milliseconds(summary.latency_ns_p50)));
        quantities.push(both("latency p99", "ms", &|summary| milliseconds(summary.latency_ns_p99)));
        let row = |(quantity, unit, engine, sim): (String, &str, Option<f64>, Option<f64>)| {
            let ratio = engine.zip(sim).filter(|(engine, _)| *engine > 0.0).map(|(engine, sim)| sim / engine);
            FidelityRow { experiment: self.figure.clone(), seed, quantity, unit: unit.to_owned(), engine, sim, ratio, ..like.clone() }
        };
        quantities.into_iter().map(row).collect()
    }

    /// What is expected of `rows` and is not so.
    pub fn violations(&self, rows: &[FidelityRow]) -> Vec<String> {
        let violation = |expected: &FidelityExpectation, row: &FidelityRow| {
            let FidelityRow { seed, quantity, engine, sim, .. } = row;
            let most = expected.most_difference;
            let close = engine.zip(*sim).is_some_and(|(engine, sim)| (sim - engine).abs() <= most * engine.abs() + 1e-9);
            let shown = |value: &Option<f64>| value.map_or("nothing".to_owned(), |value| format!("{value:.3}"));
            (!close).then(|| {
                let (engine, sim) = (shown(engine), shown(sim));
                format!("{quantity} (seed {seed}): expected within {:.0} % of the engine's {engine}, found {sim}", most * 100.0)
            })
        };
        let of = |expected: &FidelityExpectation| {
            let found: Vec<&FidelityRow> = rows.iter().filter(|row| row.quantity == expected.quantity).collect();
            if found.is_empty() {
                return vec![format!("{}: expected to be measured, found no row of it", expected.quantity)];
            }
            found.into_iter().filter_map(|row| violation(expected, row)).collect()
        };
        self.expect.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_differs_too_much_is_told_and_what_is_missing_too() {
        let text = include_str!("../../experiments/definitions/sim-fidelity.toml");
        let definition: FidelityDefinition = toml::from_str(text).unwrap();
        let engine = Summary {
            actions: 1,
            last: BTreeMap::from([("flatmap".to_owned(), 10), ("count".to_owned(), 20)]),
            achieved_over_offered: Some(1.0),
            latency_ns_p50: Some(100_000_000),
            ..Summary::default()
        };
        let like = FidelityRow::default();
        let close = Summary { latency_ns_p50: Some(114_000_000), ..engine.clone() };
        let rows = definition.rows(3, &engine, &close, &like);
        assert_eq!(definition.violations(&rows), [""; 0]);
        assert_eq!(rows.iter().find(|row| row.quantity == "latency p50").and_then(|row| row.ratio), Some(1.14));
        let far = Summary { actions: 2, latency_ns_p50: None, ..engine.clone() };
        assert_eq!(
            definition.violations(&definition.rows(3, &engine, &far, &like)),
            [
                "actions (seed 3): expected within 0 % of the engine's 1.000, found 2.000",
                "latency p50 (seed 3): expected within 15 % of the engine's 100.000, found nothing"
            ]
        );
        assert_eq!(definition.violations(&[]).len(), definition.expect.len());
    }
}
