//! Scenarios: what is simulated, as a file that people write.
//!
//! The files in `experiments/scenarios/` are part of the program, so that they can be asked for by
//! name; any other file is as good. Unknown keys are errors, and every error names its line.

mod check;
mod engine;
mod form;
mod work;

use std::time::Duration;

pub use check::ScenarioError;
pub use form::{Coarse, Control, EngineForm, Input, NexmarkForm, OperatorForm, Place, RoleForm, Scenario, StragglerForm, TextForm};

use crate::controller::ControllerConfig;
use crate::sim::{Disturbance, MoveModel};

/// Names and texts of the scenarios that are part of the program.
const SCENARIOS: [(&str, &str); 9] = [
    ("diamond", include_str!("../../../experiments/scenarios/diamond.toml")),
    ("dynamic", include_str!("../../../experiments/scenarios/dynamic.toml")),
    ("external-limit", include_str!("../../../experiments/scenarios/external-limit.toml")),
    ("external-wait", include_str!("../../../experiments/scenarios/external-wait.toml")),
    ("heron-wordcount", include_str!("../../../experiments/scenarios/heron-wordcount.toml")),
    ("hot-bins", include_str!("../../../experiments/scenarios/hot-bins.toml")),
    ("skewed", include_str!("../../../experiments/scenarios/skewed.toml")),
    ("straggler", include_str!("../../../experiments/scenarios/straggler.toml")),
    ("sublinear", include_str!("../../../experiments/scenarios/sublinear.toml")),
];

impl Scenario {
    /// Text of the scenario of that name, if there is one.
    pub fn text(name: &str) -> Option<&'static str> {
        SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Names of the scenarios that are part of the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SCENARIOS.iter().map(|(name, _)| *name)
    }

    /// A scenario of which nothing but its operators is said.
    pub fn new(title: String, seconds: f64, operators: Vec<OperatorForm>) -> Scenario {
        Scenario {
            title,
            seconds,
            tick_ms: form::ten(),
            coarse: None,
            catch_up: form::catch_up(),
            delay_ms: 0.0,
            control: Control::default(),
            moves: MoveModel::default(),
            disturb: Disturbance::default(),
            nexmark: None,
            engine: EngineForm::default(),
            workers: None,
            operators,
        }
    }

    /// The same with what is drawn once a run: a repetition at each point of measured capacities.
    pub fn drawn(mut self, seed: u64) -> Scenario {
        for (number, form) in (0u64..).zip(&mut self.operators) {
            form.capacity = form.capacity.drawn(seed.wrapping_mul(1 << 20).wrapping_add(number));
        }
        self
    }

    /// How long it runs.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How long a row of its timeline is, if it says so.
    pub fn row_window(&self) -> Option<Duration> {
        self.coarse.map(|coarse| Duration::from_secs_f64(coarse.row_s))
    }

    /// How its policy is paced.
    pub fn controller(&self) -> ControllerConfig {
        ControllerConfig {
            policy_interval: Duration::from_secs_f64(self.control.policy_interval_s),
            warm_up_windows: self.control.warm_up_windows,
            activation_windows: self.control.activation_windows,
            strategy: self.control.strategy,
        }
    }
}

#[cfg(test)]
mod tests;
