//! A policy of your own on the engine: a few seconds of a word count, then its decision log.
//!
//! Run it with `cargo run --release --example your_policy`.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use thalweg::controller::ControllerConfig;
use thalweg::dataflow::Plan;
use thalweg::experiment::figures::Figure;
use thalweg::experiment::run::{RunSpec, run};
use thalweg::migration::Strategy;
use thalweg::observation::Observation;
use thalweg::policy::{Decision, Policy, Reason};
use thalweg::time::Timestamp;
use thalweg::workload::Text;

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
    let Figure::Policies(definition) = Figure::named("ds2-fig6")? else { unreachable!("it compares policies") };
    let job = definition.job;
    let text = Arc::new(Text::liber_primus(job.sentence_length()));
    let spec = RunSpec {
        needed: job.needed(&text),
        job: job.word_count(text, 0, Duration::from_secs(8)),
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
