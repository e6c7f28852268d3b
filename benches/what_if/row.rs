//! What a trial found, as a row, and what many of them say together.

use serde::Serialize;
use thalweg::stats::median;

use crate::asked::Forecast;
use crate::trial::{Kind, Trial};

/// The interval reaches from predicted over to predicted times the exponential of so many standard
/// deviations: 80 % of a normal distribution.
const DEVIATIONS: f64 = 1.28;
/// Utilisations after the change by which errors are told apart.
const LOADS: [(f64, f64); 4] = [(0.0, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, f64::INFINITY)];

/// One change.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Where the job ran: `sim` or `engine`.
    pub host: &'static str,
    /// Seed of the job.
    pub job: u64,
    /// Whether the job kept up before: `steady`, or `relief` if the change brought that about.
    pub set: &'static str,
    /// What the change does.
    pub change: String,
    /// The operator that changes.
    pub operator: String,
    /// Its instances before.
    pub from: u32,
    /// Its instances after.
    pub to: u32,
    /// Predicted busy part of the fullest instance after the change.
    pub utilisation: f64,
    /// 99th percentile of the last window before.
    pub before_ms_p99: Option<f64>,
    /// ... of the time that was measured after it.
    pub measured_ms_p99: f64,
    /// What the model predicted; empty where it expected the job not to keep up.
    pub predicted_ms_p99: Option<f64>,
    /// Lower end of its interval.
    pub low_ms: Option<f64>,
    /// Upper end of its interval.
    pub high_ms: Option<f64>,
    /// What the formula predicted; empty where it had never seen the job keep up.
    pub formula_ms_p99: Option<f64>,
    /// Records that were measured.
    pub records: u64,
    /// What the job looks like.
    pub shape: String,
}

/// What was measured after a change.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// 99th percentile of latency.
    pub ms_p99: f64,
    /// Records behind it.
    pub records: u64,
}

impl Row {
    /// Of a trial that ran on `host`.
    pub fn of(host: &'static str, trial: &Trial, forecast: &Forecast, measured: Measured) -> Row {
        let predicted = forecast.prediction.as_ref().map(|prediction| (prediction.quantile_s(0.99) * 1e3, prediction.error));
        let end = |sign: f64| predicted.map(|(ms, error)| rounded(ms * (sign * DEVIATIONS * error).exp()));
        Row {
            host,
            job: trial.number,
            set: if forecast.kept_up { "steady" } else { "relief" },
            change: trial.kind.to_string(),
            operator: trial.scenario.operators[trial.operator.0 as usize].name.clone(),
            from: trial.instances.0,
            to: trial.instances.1,
            utilisation: (forecast.utilisation * 1e3).round() / 1e3,
            before_ms_p99: forecast.before_ms_p99.map(rounded),
            measured_ms_p99: rounded(measured.ms_p99),
            predicted_ms_p99: predicted.map(|(ms, _)| rounded(ms)),
            low_ms: end(-1.0),
            high_ms: end(1.0),
            formula_ms_p99: forecast.formula_s.map(|seconds| rounded(seconds * 1e3)),
            records: measured.records,
            shape: trial.shape.clone(),
        }
    }

    /// Relative error of what was `predicted`; one of no number is as good as infinite.
    fn error(&self, predicted: Option<f64>) -> f64 {
        predicted.map_or(f64::INFINITY, |predicted| (predicted / self.measured_ms_p99 - 1.0).abs())
    }

    fn within(&self) -> bool {
        let (low, high) = (self.low_ms.unwrap_or(f64::INFINITY), self.high_ms.unwrap_or(0.0));
        (low..=high).contains(&self.measured_ms_p99)
    }
}

/// Prints what the rows of a host say together, and by kind of change and utilisation.
pub fn summarise(host: &str, rows: &[Row]) {
    let (relief, steady): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.set == "relief");
    line(&format!("{host}, kept up before and after"), &steady);
    for kind in Kind::ALL.map(|kind| kind.to_string()) {
        line(&format!("  {kind}"), &steady.iter().filter(|row| row.change == kind).copied().collect::<Vec<_>>());
    }
    for (from, until) in LOADS {
        let of: Vec<&Row> = steady.iter().filter(|row| (from..until).contains(&row.utilisation)).copied().collect();
        line(&format!("  utilisation from {from}"), &of);
    }
    line(&format!("{host}, from overload to relief"), &relief);
    line(&format!("{host}, all"), &rows.iter().collect::<Vec<_>>());
}

fn line(of: &str, rows: &[&Row]) {
    if rows.is_empty() {
        return;
    }
    let (ours, formula) = (errors(rows, |row| row.predicted_ms_p99), errors(rows, |row| row.formula_ms_p99));
    let within = rows.iter().filter(|row| row.within()).count() as f64 / rows.len() as f64 * 100.0;
    let more = rows.iter().filter_map(|row| Some((row.predicted_ms_p99? / row.measured_ms_p99).ln()));
    let bias = median(more).map_or(f64::NAN, f64::exp);
    let none = rows.iter().filter(|row| row.predicted_ms_p99.is_none()).count();
    eprintln!(
        "{of}: {} changes, relative error of p99: median {:.1} %, p90 {:.1} % (formula: {:.1} %, {:.1} %); interval holds {within:.0} %; \
         median of predicted over measured {bias:.2}; not predicted {none}",
        rows.len(),
        ours.0 * 100.0,
        ours.1 * 100.0,
        formula.0 * 100.0,
        formula.1 * 100.0,
    );
}

/// Median and 90th percentile of the errors.
fn errors(rows: &[&Row], predicted: impl Fn(&Row) -> Option<f64>) -> (f64, f64) {
    let mut errors: Vec<f64> = rows.iter().map(|row| row.error(predicted(row))).collect();
    errors.sort_by(f64::total_cmp);
    let nearest = |quantile: f64| errors[((errors.len() as f64 * quantile).ceil() as usize).clamp(1, errors.len()) - 1];
    (nearest(0.5), nearest(0.9))
}

/// To a hundredth.
fn rounded(ms: f64) -> f64 {
    (ms * 100.0).round() / 100.0
}
