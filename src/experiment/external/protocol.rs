//! The two lines of a decision: an observation as JSON, and the decision it is answered with.
//!
//! Operators have their names here, not numbers. The fields are described in `docs/external-policy.md`; what is not known is `null`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::paths;
use crate::dataflow::{Configuration, Operator, Plan, Role, Topology};
use crate::id::WorkerId;
use crate::metrics::{InstanceMetrics, OperatorMetrics, SourceMetrics, WorkerMetrics};
use crate::observation::Observation;
use crate::policy::{Decision, Reason};
use crate::rate::Rate;

/// The line that tells a program of a window; without its end.
pub(super) fn line(topology: &Topology, observation: &Observation, refused: Option<String>) -> String {
    let seconds = observation.window.length().as_secs_f64();
    let per_second = |records: u64| if seconds > 0.0 { records as f64 / seconds } else { 0.0 };
    let rate = |rate: Option<Rate>| rate.map(Rate::as_per_second);
    let name = |operator| topology.operator(operator).name.as_str();
    let source = |source: &SourceMetrics| {
        json!({
            "name": name(source.operator),
            "offered_per_s": source.offered.as_per_second(),
            "achieved_per_s": source.achieved.as_per_second(),
            "lag_records": source.lag_records,
        })
    };
    let placement = observation.configuration.placement();
    let instance = |instance: &InstanceMetrics| {
        let mut seen = json!({
            "utilisation": instance.utilisation(),
            "wait_share": instance.wait_share(),
            "true_processing_per_s": rate(instance.true_processing_rate()),
            "processed_per_s": per_second(instance.processed),
            "arrived_per_s": per_second(instance.arrivals),
            "queue_records": instance.queue_records,
            "queue_slope_per_s": instance.queue_slope,
            "backpressure_share": instance.backpressure_share(),
        });
        if let Some(worker) = placement.and_then(|placement| placement.worker(instance.instance)) {
            seen["worker"] = worker.0.into();
        }
        seen
    };
    let worker = |worker: &WorkerMetrics| {
        let part = |time: Duration| if seconds > 0.0 { time.as_secs_f64() / seconds } else { 0.0 };
        json!({
            "busy": part(worker.busy()),
            "ran": worker.core.map(|core| part(core.ran)),
            "denied": worker.core.map(|core| part(core.denied)),
        })
    };
    let operator = |(operator, metrics): (&Operator, &OperatorMetrics)| {
        let role = match operator.role {
            Role::Source => "source",
            Role::Stateless => "stateless",
            Role::Keyed { .. } => "keyed",
            Role::Sink => "sink",
        };
        let mut seen = json!({
            "name": operator.name,
            "role": role,
            "scalable": operator.is_scalable(),
            "inputs": topology.inputs(operator.id).map(name).collect::<Vec<_>>(),
            "parallelism": observation.configuration.parallelism(operator.id),
            "max_parallelism": operator.max_parallelism,
            "processed_per_s": per_second(metrics.processed()),
            "produced_per_s": per_second(metrics.produced()),
            "true_processing_per_s": rate(metrics.true_processing_rate()),
            "true_output_per_s": rate(metrics.true_output_rate()),
            "selectivity": metrics.selectivity(),
            "utilisation": metrics.utilisation(),
            "queue_records": metrics.queue_records(),
            "backpressure_sum": metrics.backpressure_sum(),
            "extrapolated": metrics.is_extrapolated(),
            "instances": metrics.instances.iter().map(instance).collect::<Vec<_>>(),
        });
        let feedback: Vec<&str> = topology.feedback().iter().filter(|edge| edge.to == operator.id).map(|edge| name(edge.from)).collect();
        if !feedback.is_empty() {
            seen["feedback"] = json!(feedback);
        }
        seen
    };
    let mut seen = json!({
        "window": { "start_s": observation.window.start.as_secs_f64(), "end_s": observation.window.end.as_secs_f64() },
        "sources": observation.sources.iter().map(source).collect::<Vec<_>>(),
        "operators": topology.operators().iter().zip(&observation.operators).map(operator).collect::<Vec<_>>(),
        "latency": observation.latency,
    });
    if placement.is_some() {
        seen["workers"] = observation.workers.iter().map(worker).collect();
    }
    if let Some(window) = &observation.paths {
        seen["paths"] = paths::seen(topology, window);
    }
    if let Some(why) = refused {
        seen["refused"] = why.into();
    }
    seen.to_string()
}

/// What a program answers. Without rescales and rebalances it wants nothing to change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    rescale: BTreeMap<String, u32>,
    rebalance: Vec<String>,
    speeds: BTreeMap<String, Vec<f64>>,
    place: BTreeMap<String, Vec<u32>>,
    reason: String,
    values: BTreeMap<String, f64>,
}

/// An answer that is no decision.
#[derive(Debug, thiserror::Error)]
pub(super) enum Nonsense {
    #[error("expected a decision such as {{\"rescale\": {{\"{example}\": 2}}}} or {{}}, found {found}: {why}")]
    Json { example: String, found: String, why: serde_json::Error },
    #[error("expected an operator that may be rescaled, one of {names}, found '{found}'")]
    Operator { names: String, found: String },
}

/// The decision that a line stands for.
pub(super) fn decision(line: &[u8], topology: &Topology, present: &Configuration) -> Result<Decision, Nonsense> {
    let example = topology.scalable().next().map_or("map", |operator| &operator.name);
    let answer: Answer =
        serde_json::from_slice(line).map_err(|why| Nonsense::Json { example: example.to_owned(), found: excerpt(line), why })?;
    let operator = |name: &str| {
        topology.scalable().find(|operator| operator.name == *name).map(|operator| operator.id).ok_or_else(|| Nonsense::Operator {
            names: topology.scalable().map(|operator| format!("'{}'", operator.name)).collect::<Vec<_>>().join(", "),
            found: excerpt(name.as_bytes()).trim_matches('"').to_owned(),
        })
    };
    let mut plan = Plan::default();
    for (name, &instances) in &answer.rescale {
        let operator = operator(name)?;
        // What is as it should be needs no plan.
        if present.parallelism(operator) != instances {
            plan.rescales.insert(operator, instances);
        }
    }
    for name in &answer.rebalance {
        plan.rebalances.insert(operator(name)?);
    }
    for (name, speeds) in answer.speeds {
        plan.speeds.insert(operator(&name)?, speeds);
    }
    for (name, workers) in answer.place {
        let (operator, workers): (_, Vec<WorkerId>) = (operator(&name)?, workers.into_iter().map(WorkerId).collect());
        // As with instances, what is as it should be needs no plan.
        if present.placement().is_none_or(|placement| placement.of(operator) != workers) {
            plan.placement.insert(operator, workers);
        }
    }
    let mut reason = Reason::new("external").saying(answer.reason);
    reason.values = answer.values;
    // Speeds alone change nothing.
    let holds = plan.rescales.is_empty() && plan.rebalances.is_empty() && plan.placement.is_empty();
    Ok(if holds { Decision::Hold(reason) } else { Decision::Rescale(plan, reason) })
}

/// The beginning of what was found, as a person can read it.
fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let text = String::from_utf8_lossy(bytes);
    let short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{InstanceId, OperatorId};
    use crate::metrics::CoreTime;
    use crate::observation::LatencySummary;
    use crate::time::{Timestamp, Window};

    fn job() -> (Topology, Observation) {
        let listed = [("source", Role::Source, 1), ("map", Role::Stateless, 8), ("count", Role::Keyed { bins: 16 }, 8)];
        let topology = Topology::new(&listed, &[(0, 1), (1, 2)]).unwrap();
        let window = Window { start: Timestamp(0), end: Timestamp(2_000_000_000) };
        let metrics = |operator| OperatorMetrics {
            operator,
            instances: vec![InstanceMetrics::idle(InstanceId::new(operator, 0), window.length())],
            bins: Vec::new(),
        };
        let offered = Rate::per_second(100.0);
        let observation = Observation {
            window,
            configuration: Configuration::ones(&topology),
            sources: vec![SourceMetrics { operator: OperatorId(0), offered, achieved: Rate::ZERO, lag_records: 200.0 }],
            operators: (0..3).map(|id| metrics(OperatorId(id))).collect(),
            latency: LatencySummary::default(),
            doubts: Vec::new(),
            workers: Vec::new(),
            paths: None,
        };
        (topology, observation)
    }

    #[test]
    fn the_line_has_names_and_units_and_no_line_feed() {
        let (topology, observation) = job();
        let line = line(&topology, &observation, Some("because\nof that".into()));
        assert!(!line.contains('\n'));
        let seen: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(seen["window"]["end_s"], 2.0);
        assert_eq!(seen["sources"][0]["lag_records"], 200.0);
        assert_eq!(seen["operators"][2]["inputs"][0], "map");
        assert!(seen["operators"][2]["true_processing_per_s"].is_null());
        assert_eq!(seen["operators"][2]["instances"][0]["wait_share"], 0.0);
        assert_eq!(seen["refused"], "because\nof that");
        assert!(seen.get("paths").is_none(), "who did not ask sees none");
    }

    #[test]
    fn where_workers_are_shared_they_are_in_the_line_and_an_answer_may_place_instances() {
        let (topology, mut observation) = job();
        observation.configuration = observation.configuration.spread_over(&topology, 2);
        let core = Some(CoreTime { ran: Duration::from_secs(1), denied: Duration::ZERO });
        let window = observation.window.length();
        observation.workers = (0..2).map(|worker| WorkerMetrics { worker: WorkerId(worker), window, used: Vec::new(), core }).collect();
        let seen: serde_json::Value = serde_json::from_str(&line(&topology, &observation, None)).unwrap();
        assert_eq!((&seen["operators"][1]["instances"][0]["worker"], &seen["workers"][1]["ran"]), (&1.into(), &0.5.into()));
        let decide = |line: &str| decision(line.as_bytes(), &topology, &observation.configuration).unwrap();
        let Decision::Rescale(plan, _) = decide(r#"{"place":{"map":[0],"count":[0]}}"#) else { panic!("a plan") };
        // Count is there already.
        assert_eq!(plan, Plan { placement: [(OperatorId(1), vec![WorkerId(0)])].into(), ..Plan::default() });
        assert!(matches!(decide(r#"{"place":{"count":[0]}}"#), Decision::Hold(_)));
    }

    #[test]
    fn an_answer_is_a_plan_or_none_and_what_is_neither_is_refused() {
        let (topology, observation) = job();
        let decide = |line: &str| decision(line.as_bytes(), &topology, &observation.configuration);
        let Ok(Decision::Rescale(plan, reason)) = decide(r#"{"rescale":{"map":4},"rebalance":["count"],"reason":"busy","values":{"x":1}}"#)
        else {
            panic!("a plan")
        };
        assert_eq!(plan, Plan { rescales: [(OperatorId(1), 4)].into(), rebalances: [OperatorId(2)].into(), ..Plan::default() });
        assert_eq!(reason.to_string(), "external: x 1 (busy)");
        let by_speed = r#"{"rebalance":["map"],"speeds":{"map":[1,0.3],"count":[0.5]}}"#;
        let Ok(Decision::Rescale(plan, _)) = decide(by_speed) else { panic!("a plan") };
        let speeds = [(OperatorId(1), vec![1.0, 0.3]), (OperatorId(2), vec![0.5])].into();
        assert_eq!(plan, Plan { rebalances: [OperatorId(1)].into(), speeds, ..Plan::default() });
        for line in ["{}", r#"{"speeds":{"map":[0.5]}}"#, r#"{"reason":"fine"}"#, r#"{"rescale":{"map":1}}"#, "{}\r"] {
            assert!(matches!(decide(line), Ok(Decision::Hold(_))), "{line}");
        }
        for (line, expected) in [
            ("", "found \"\": EOF"),
            ("hello", "expected a decision such as {\"rescale\": {\"map\": 2}} or {}, found \"hello\": expected value"),
            (r#"{"rescale":{"map":-1}}"#, "invalid value: integer `-1`, expected u32"),
            (r#"{"rescale":{"map":1.5}}"#, "invalid type: floating point"),
            (r#"{"scale":{"map":1}}"#, "unknown field `scale`"),
            (r#"{"rescale":{"maps":2}}"#, "expected an operator that may be rescaled, one of 'map', 'count', found 'maps'"),
            (r#"{"rescale":{"source":2}}"#, "found 'source'"),
            (r#"{"speeds":{"sink":[1]}}"#, "found 'sink'"),
            (r#"{"speeds":{"map":1}}"#, "expected a sequence"),
            ("{} {}", "trailing characters"),
        ] {
            let error = decide(line).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert!(decision(&[0xff, 0xfe], &topology, &observation.configuration).is_err());
    }
}
