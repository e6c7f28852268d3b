//! Scenarios that are drawn or built, not written: random graphs, and many operators in layers.
//!
//! Invariant: what an operator needs is known when it is made, and lies half an instance from where
//! another number would do, so that no rounding of records decides.

use serde::{Deserialize, Serialize};

use crate::experiment::scenario::{Control, Input, OperatorForm, RoleForm, Scenario};
use crate::rate::Rate;
use crate::sim::{CapacityCurve, Disturbance};

/// A random acyclic graph: two to twenty operators behind one to three sources, each of which needs
/// up to forty instances and begins with up to forty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomGraph {
    /// Seconds of virtual time.
    pub seconds: f64,
    /// `p` instances do the work of `p^exponent`.
    pub exponent: f64,
    /// Standard deviation of the logarithm of recorded useful times.
    pub noise: f64,
}

/// Operators side by side and one after the other, all of which need the same number of instances
/// and begin with half of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// Seconds of virtual time.
    pub seconds: f64,
    /// Operators, a multiple of `depth`.
    pub operators: u32,
    /// Operators one after the other.
    pub depth: u32,
    /// Instances that each needs.
    pub instances: u32,
}

/// Long enough that every operator, also one behind nineteen others that hold it up, has work to be
/// measured by.
const POLICY_INTERVAL_S: f64 = 10.0;

/// An operator without anything special.
fn operator(name: String, role: RoleForm, inputs: Vec<Input>) -> OperatorForm {
    OperatorForm { inputs, max_parallelism: 256, ..OperatorForm::new(&name, role, &[]) }
}

fn scenario(title: String, seconds: f64, tick_ms: u64, noise: f64, operators: Vec<OperatorForm>) -> Scenario {
    Scenario {
        tick_ms,
        control: Control { policy_interval_s: POLICY_INTERVAL_S, warm_up_windows: 1, ..Control::default() },
        disturb: Disturbance { noise, ..Disturbance::default() },
        ..Scenario::new(title, seconds, operators)
    }
}

impl RandomGraph {
    /// The graph of a seed.
    pub(super) fn scenario(&self, seed: u64) -> Scenario {
        let mut random = fastrand::Rng::with_seed(seed);
        let sources = random.usize(1..=3);
        let count = random.usize(2..=20);
        let mut operators: Vec<OperatorForm> = Vec::new();
        // What each gives out at full load.
        let mut outputs: Vec<f64> = Vec::new();
        let mut is_last: Vec<bool> = Vec::new();
        for index in 0..sources {
            // So high that part of a record is nothing: a true rate is measured in whole records,
            // of which an operator that is held up by those before it may see a handful. Records
            // are counted, so they cost nothing.
            let rate = 1e8 * 30.0f64.powf(random.f64());
            let source = operator(format!("source{index}"), RoleForm::Source, Vec::new());
            operators.push(OperatorForm { rate: Some(Rate::per_second(rate)), ..source });
            outputs.push(rate);
            is_last.push(true);
        }
        for index in 0..count {
            // Every source is read, and some operators join two inputs.
            let first = if index < sources { index } else { random.usize(0..operators.len()) };
            let second = Some(random.usize(0..operators.len())).filter(|second| *second != first && random.f64() < 0.3);
            let inputs: Vec<usize> = [Some(first), second].into_iter().flatten().collect();
            let demand: f64 = inputs.iter().map(|&input| outputs[input]).sum();
            let needed = random.u32(1..=40);
            let selectivity = 0.3 * 6.0f64.powf(random.f64());
            let named = inputs.iter().map(|&input| Input::All(operators[input].name.clone())).collect();
            let form = operator(format!("op{index}"), RoleForm::Stateless, named);
            operators.push(OperatorForm {
                // As if half an instance less would do.
                limit: Some(Rate::per_second(demand / (f64::from(needed) - 0.5).powf(self.exponent))),
                capacity: if self.exponent == 1.0 { CapacityCurve::Linear } else { CapacityCurve::Power { exponent: self.exponent } },
                selectivity,
                instances: random.u32(1..=40),
                ..form
            });
            inputs.iter().for_each(|&input| is_last[input] = false);
            outputs.push(demand * selectivity);
            is_last.push(true);
        }
        let last = operators.iter().zip(&is_last).filter(|(_, last)| **last).map(|(form, _)| Input::All(form.name.clone())).collect();
        operators.push(operator("sink".to_owned(), RoleForm::Sink, last));
        scenario(format!("Random graph {seed}"), self.seconds, 50, self.noise, operators)
    }
}

impl Layers {
    pub(super) fn scenario(&self) -> Scenario {
        let rows = (self.operators / self.depth).max(1);
        let rate = 1000.0;
        let (mut operators, mut ends) = (Vec::new(), Vec::new());
        for row in 0..rows {
            // A source a row: DS2 knows one output rate an operator, not one an edge.
            let source = operator(format!("source{row}"), RoleForm::Source, Vec::new());
            let mut input = Input::All(source.name.clone());
            operators.push(OperatorForm { rate: Some(Rate::per_second(rate)), ..source });
            for layer in 0..self.depth {
                let form = operator(format!("op{row}-{layer}"), RoleForm::Stateless, vec![input]);
                input = Input::All(form.name.clone());
                let limit = Some(Rate::per_second(rate / (f64::from(self.instances) - 0.5)));
                operators.push(OperatorForm { limit, instances: (self.instances / 2).max(1), ..form });
            }
            ends.push(input);
        }
        operators.push(operator("sink".to_owned(), RoleForm::Sink, ends));
        scenario(format!("{} operators in layers", self.operators), self.seconds, 200, 0.0, operators)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn drawn_graphs_are_scenarios_whose_needs_are_within_reach() {
        for (seed, exponent) in (0..200).zip([1.0, 0.85, 0.7].into_iter().cycle()) {
            let graph = RandomGraph { seconds: 10.0, exponent, noise: 0.0 };
            let scenario = graph.scenario(seed);
            let text = toml::to_string(&scenario).unwrap();
            assert_eq!(Scenario::read(&text).unwrap(), scenario, "seed {seed}");
            let needed = scenario.job().needed(Timestamp::ZERO);
            assert!(needed.iter().all(|(_, instances)| (1..=40).contains(instances)), "seed {seed}: {needed:?}");
        }
    }

    #[test]
    fn layers_need_what_was_asked() {
        let scenario = Layers { seconds: 4.0, operators: 20, depth: 5, instances: 100 }.scenario();
        let needed = scenario.job().needed(Timestamp::ZERO);
        assert_eq!(needed.len(), 20);
        assert!(needed.iter().all(|(_, instances)| *instances == 100), "{needed:?}");
    }
}
