//! What changes would give: a sentence on the change that was asked for, and a table of what each operator's speed-up would give.

use std::fmt::Write as _;

use super::bottleneck::percent;
use super::table::{UNKNOWN, latency, table};
use crate::activity::Names;
use crate::critical_path::{Change, Curve, EpochSummary, Forecast, Predicted};
use crate::id::OperatorId;

/// Points of a curve that have a column, as numbers from the first.
const SHOWN: [usize; 6] = [0, 2, 4, 6, 8, 9];
/// A world without a change that differs by more than this part from the trace is mentioned.
const FAITHFUL: f64 = 0.05;

/// What `change` would give, and each operator's speed-up alone, the `top` first.
pub fn what_if(forecast: &Forecast, change: Option<&Change>, epochs: &EpochSummary, names: &Names, top: usize) -> String {
    let mut text = String::new();
    let what = match forecast.epochs() {
        0 => "the whole time".to_owned(),
        1 => "the latency of 1 epoch".to_owned(),
        many => format!("the mean latency of {many} epochs (by their records)"),
    };
    if let (Some(change), Some(predicted)) = (change, forecast.change()) {
        let _ = writeln!(text, "What if {change}: {}", sentence(&predicted, &what));
    }
    let curves = forecast.curves();
    if curves.is_empty() {
        return text;
    }
    let before = forecast.as_it_was();
    if (before.before_s / before.recorded_s - 1.0).abs() > FAITHFUL {
        let _ = writeln!(
            text,
            "Timed again without a change, {what} is {} instead of {}: predictions are about as far off.",
            of(before.before_s),
            of(before.recorded_s)
        );
    }
    let line = |curve: &Curve| {
        let gains = SHOWN.iter().filter_map(|&index| curve.points.get(index)).map(|(_, gain)| percent(*gain));
        let bound = bound(epochs, curve.operator).map_or(UNKNOWN.to_owned(), percent);
        std::iter::once(names.operator(curve.operator)).chain(gains).chain([bound]).collect::<Vec<String>>()
    };
    let lines: Vec<Vec<String>> = curves.iter().take(top).map(line).collect();
    let speedups = SHOWN.iter().filter_map(|&index| curves[0].points.get(index)).map(|(speedup, _)| format!("{:.0} %", speedup * 100.0));
    let header: Vec<String> = std::iter::once("operator".to_owned()).chain(speedups).chain(["at most".to_owned()]).collect();
    let _ = write!(text, "By how much {what} would be shorter if one operator's work were shorter by:\n\n{}", table(&header, &lines));
    if curves.len() > top {
        let _ = writeln!(text, "and {} more (--top)", curves.len() - top);
    }
    if forecast.left_out() > 0 {
        let _ = writeln!(text, "{} operators that began to work later were left out.", forecast.left_out());
    }
    text
}

/// The bound on what an operator could gain, as a part of the latency.
pub fn bound(epochs: &EpochSummary, operator: OperatorId) -> Option<f64> {
    let known = epochs.operators().into_iter().find(|one| one.operator == operator)?;
    (epochs.mean_ns() > 0.0).then(|| known.gain_mean_ns / epochs.mean_ns())
}

fn of(seconds: f64) -> String {
    latency((seconds * 1e9) as u64)
}

fn sentence(predicted: &Predicted, what: &str) -> String {
    let gain = predicted.gain();
    let (part, than) = if gain >= 0.0 { (gain, "shorter") } else { (-gain, "longer") };
    let times = predicted.speedup();
    let times = if times.is_finite() { format!(", {times:.2} times as fast") } else { String::new() };
    format!("{what} is {} and would be {}: {} {than}{times}.", of(predicted.before_s), of(predicted.after_s), percent(part))
}
