//! A policy of your own on the engine: a few seconds of a word count, then its decision log.
//!
//! Run it with `cargo run --release --example your_policy`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use thalweg::controller::ControllerConfig;
use thalweg::dataflow::Plan;
use thalweg::experiment::run::{RunSpec, run};
use thalweg::experiment::scenario::Scenario;
use thalweg::migration::Strategy;
use thalweg::observation::Observation;
use thalweg::policy::{Decision, Policy, Reason};
use thalweg::time::Timestamp;

/// Doubles whatever is busier than nine tenths of the time.
struct Doubling;

impl Policy for Doubling {
    fn name(&self) -> &'static str {
        "doubling"
    }

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        let busiest = observation.operators.iter().max_by(|a, b| a.utilisation().total_cmp(&b.utilisation()));
        let Some(busy) = busiest.filter(|operator| operator.utilisation() > 0.9) else {
            return Decision::Hold(Reason::new("nothing-busy"));
        };
        let instances = 2 * observation.configuration.parallelism(busy.operator);
        Decision::Rescale(Plan::rescale(busy.operator, instances), Reason::new("busy").with("utilisation", busy.utilisation()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let text = Scenario::text("heron-wordcount").expect("it is part of the program");
    let scenario = Scenario { seconds: 8.0, ..Scenario::read(text)? };
    let spec = RunSpec {
        needed: BTreeMap::new(),
        job: scenario.word_count(0)?,
        controller: ControllerConfig {
            policy_interval: Duration::from_millis(500),
            warm_up_windows: 0,
            activation_windows: 1,
            strategy: Strategy::AllAtOnce,
        },
        policy: Box::new(Doubling),
        row_window: Duration::from_millis(500),
    };
    let result = run(spec, None, |_| {})?;
    for event in &result.events {
        println!("{}", serde_json::to_string(event)?);
    }
    let parallelism: BTreeMap<_, _> =
        result.topology.scalable().map(|operator| (&operator.name, result.last_configuration().parallelism(operator.id))).collect();
    println!("at the end {parallelism:?}, {} words lost, {} duplicated", result.verdict.lost, result.verdict.duplicated);
    Ok(())
}
