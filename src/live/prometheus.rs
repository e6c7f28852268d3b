//! What is known of a run in Prometheus' text format, version 0.0.4.
//!
//! Names follow its conventions: base units, `_total` for counters, `_ratio` for shares. Figures of
//! windows are those of the last one that closed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::model::Model;
use super::story::{OperatorAt, State};
use super::teller::{BUCKETS_MS, Latencies};
use crate::controller::EventKind;
use crate::dataflow::Plan;

/// The type of the answer.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of a run.
pub fn text(model: &Model, latencies: Option<&Latencies>) -> String {
    let mut out = Out::default();
    let about = model.about();
    let labels = [("policy", about.policy.as_str()), ("host", &about.host), ("title", &about.title), ("revision", &about.revision)];
    out.family("thalweg_run_info", "gauge", "The run; its value is 1.").sample("", &labels, 1.0);
    let running = f64::from(u8::from(about.state == State::Running));
    out.family("thalweg_run_running", "gauge", "1 while the run goes on, 0 afterwards.").sample("", &[], running);
    if let Some(window) = model.last_window() {
        let mut one = |name, help, value: Option<f64>| {
            if let Some(value) = value {
                out.family(name, "gauge", help).sample("", &[], value);
            }
        };
        let seconds = |ms: Option<f64>| ms.map(|ms| ms / 1e3);
        one("thalweg_run_time_seconds", "Time of the run at the end of the last window.", Some(window.end_s));
        one("thalweg_offered_records_per_second", "Records due, of all sources together.", Some(window.offered_per_s));
        one("thalweg_achieved_records_per_second", "Records emitted by all sources together.", Some(window.achieved_per_s));
        one("thalweg_lag_records", "Records due but not emitted.", Some(window.lag_records));
        one("thalweg_window_latency_p50_seconds", "Median latency over the last window.", seconds(window.p50_ms));
        one("thalweg_window_latency_p99_seconds", "99th percentile of latency over the last window.", seconds(window.p99_ms));
        one("thalweg_latency_goal_seconds", "The latency goal of the policy.", seconds(model.goal_ms()));
        of_operators(&mut out, model, &window.operators);
    }
    if let Some(latencies) = latencies {
        histogram(&mut out, latencies);
    }
    if let Some(path) = model.paths().last() {
        let mut shares: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for part in &path.parts {
            *shares.entry((&part.operator, &part.kind)).or_default() += part.share;
        }
        out.family("thalweg_critical_path_share_ratio", "gauge", "Share of the critical path of the slowest epochs, as last looked at.");
        shares.iter().for_each(|((operator, kind), share)| out.sample("", &[("operator", operator), ("kind", kind)], *share));
    }
    out.family("thalweg_decisions_total", "counter", "Plans, by what became of them.");
    for (status, count) in counts(model.decisions().iter().map(|decision| decision.status), &["carried-out", "interrupted", "refused"]) {
        out.sample("", &[("status", status)], count);
    }
    let migrations = model.migrations();
    out.family("thalweg_migrations_total", "counter", "Migrations, by how they ended.");
    for (status, count) in counts(migrations.iter().map(|migration| migration.status), &["done", "interrupted"]) {
        out.sample("", &[("status", status)], count);
    }
    let bins: usize = migrations.iter().filter_map(|migration| migration.moved).sum();
    out.family("thalweg_migrated_bins_total", "counter", "Bins that have moved.").sample("", &[], bins as f64);
    let moves = migrations.last().is_some_and(|last| last.status == "running");
    out.family("thalweg_migration_running", "gauge", "1 while bins are moving.").sample("", &[], f64::from(u8::from(moves)));
    out.family("thalweg_warnings", "gauge", "Warnings that hold, by severity (1 is the worst).");
    let warnings = model.warnings();
    for severity in 1..=3u8 {
        let held = warnings.iter().filter(|warning| warning.severity == severity && warning.until_s.is_none()).count();
        out.sample("", &[("severity", &severity.to_string())], held as f64);
    }
    out.text
}

/// Figures of operators over the last window.
fn of_operators(out: &mut Out, model: &Model, operators: &[OperatorAt]) {
    let recommended = recommended(model);
    let mut each = |name, help, value: &dyn Fn(&OperatorAt) -> Option<f64>| {
        out.family(name, "gauge", help);
        for at in operators {
            if let (Some(operator), Some(value)) = (model.names().get(at.operator as usize), value(at)) {
                out.sample("", &[("operator", operator)], value);
            }
        }
    };
    each("thalweg_instances", "Instances of an operator.", &|at| Some(at.instances.into()));
    each("thalweg_recommended_parallelism", "Instances that the policy asked for last; those there are if it asked for none.", &|at| {
        Some(recommended.get(&at.operator).copied().unwrap_or(at.instances).into())
    });
    each("thalweg_busy_ratio", "Mean useful share of an operator's instances.", &|at| Some(at.busy));
    each("thalweg_external_wait_ratio", "Mean share of external waits of an operator's instances.", &|at| Some(at.external_wait));
    each("thalweg_backpressure_ratio", "Mean share for which an instance of an operator paused the sources.", &|at| Some(at.backpressure));
    each("thalweg_queue_records", "Records queued at an operator.", &|at| Some(at.queue_records as f64));
    each("thalweg_processed_records_per_second", "Records processed by an operator.", &|at| Some(at.processed_per_s));
    each("thalweg_true_instance_records_per_second", "Records per useful second of an instance, on average.", &|at| at.true_per_instance_s);
}

/// What the last plan asks for, whether it was carried out or not, by operator.
fn recommended(model: &Model) -> BTreeMap<u32, u32> {
    let asked = |kind: &EventKind| -> Option<BTreeMap<u32, u32>> {
        let of = |plan: &Plan| plan.rescales.iter().map(|(id, &instances)| (id.0, instances)).collect();
        match kind {
            EventKind::Rescaling { plan, .. } | EventKind::Activating { plan, .. } | EventKind::Postponed { plan, .. } => Some(of(plan)),
            // A policy that asks for nothing is content with what there is.
            kind => kind.reason().map(|_| BTreeMap::new()),
        }
    };
    model.events().iter().rev().find_map(|event| asked(&event.kind)).unwrap_or_default()
}

fn histogram(out: &mut Out, latencies: &Latencies) {
    out.family("thalweg_latency_seconds", "histogram", "Latency of all records so far, from the time they were due.");
    for (bound, count) in BUCKETS_MS.iter().zip(&latencies.cumulative) {
        out.sample("_bucket", &[("le", &(*bound as f64 / 1e3).to_string())], *count as f64);
    }
    out.sample("_bucket", &[("le", "+Inf")], latencies.records as f64);
    out.sample("_sum", &[], latencies.sum_s);
    out.sample("_count", &[], latencies.records as f64);
}

/// How often each of `known` occurs.
fn counts<'a>(found: impl Iterator<Item = &'a str>, known: &[&'a str]) -> BTreeMap<&'a str, f64> {
    let mut counts: BTreeMap<&str, f64> = known.iter().map(|name| (*name, 0.0)).collect();
    found.for_each(|name| {
        if let Some(count) = counts.get_mut(name) {
            *count += 1.0;
        }
    });
    counts
}

/// The text so far, and the metric that follows.
#[derive(Default)]
struct Out {
    text: String,
    family: &'static str,
}

impl Out {
    /// Begins a metric.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Out {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.family = name;
        self
    }

    /// Adds a sample of it.
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let value = match value {
            value if value.is_nan() => "NaN".to_owned(),
            value if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
            value => value.to_string(),
        };
        let _ = writeln!(self.text, "{}{suffix}{labels} {value}", self.family);
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
