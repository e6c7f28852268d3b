//! Output of `thalweg analyze` other than tables: JSON, written as windows close, and notes on
//! anomalies.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::activity::Names;
use crate::critical_path::{
    CountedWindows, Curve, Entry, EpochOddities, EpochSummary, Forecast, Further, FurtherParts, OperatorLatency, PartLatency, SlowEpochs,
    TraceSummary, WaitPattern, WindowSummary,
};
use crate::engine::QueryChange;
use crate::pag::Oddities;
use crate::readers::Trace;
use crate::report::{Diagnosis, bound, part_label, slow_parts};

/// One JSON object on standard output, written window by window; nothing is printed before the
/// first.
pub(super) struct Json {
    out: BufWriter<Stdout>,
    has_windows: bool,
    findings: Vec<Value>,
}

impl Default for Json {
    fn default() -> Json {
        Json { out: BufWriter::new(io::stdout()), has_windows: false, findings: Vec::new() }
    }
}

#[derive(Serialize)]
struct RankingEntry {
    #[serde(flatten)]
    entry: Entry,
    name: String,
}

#[derive(Serialize)]
struct WindowEntry {
    start_ns: u64,
    end_ns: u64,
    participation_sum: f64,
    log2_paths: Option<f64>,
    ranking: Vec<RankingEntry>,
}

/// What is printed of a trace in the end.
pub(super) struct Printed<'a> {
    pub(super) whole: &'a TraceSummary,
    pub(super) windows: &'a CountedWindows,
    pub(super) epochs: Option<(&'a EpochSummary, EpochOddities)>,
    /// The epochs above a quantile.
    pub(super) slow: Option<&'a (f64, SlowEpochs)>,
    /// What changes would give, if that is asked for; the bounds beside it are those of `bounds`.
    pub(super) forecast: Option<&'a Forecast>,
    pub(super) bounds: &'a EpochSummary,
    pub(super) is_watched: bool,
    pub(super) diagnosis: &'a Diagnosis,
    pub(super) names: &'a Names,
    pub(super) oddities: &'a Oddities,
    pub(super) trace: &'a Trace,
}

/// An entry with its name.
fn named(mut entry: Value, name: String) -> Value {
    entry["name"] = name.into();
    entry
}

impl Json {
    pub(super) fn window(&mut self, summary: &WindowSummary, ranking: &[Entry], names: &Names) -> io::Result<()> {
        self.out.write_all(if self.has_windows { b",\n" } else { b"{\"windows\":[\n" })?;
        self.has_windows = true;
        let named = |entry: &Entry| RankingEntry { entry: *entry, name: entry.entity.label(names) };
        let window = WindowEntry {
            start_ns: summary.window.start.0,
            end_ns: summary.window.end.0,
            participation_sum: summary.participation_sum,
            log2_paths: summary.log2_paths,
            ranking: ranking.iter().map(named).collect(),
        };
        Ok(serde_json::to_writer(&mut self.out, &window)?)
    }

    /// Kept until the windows are written.
    pub(super) fn change(&mut self, change: &QueryChange, subject: String) {
        self.findings.push(json!({
            "window_start_ns": change.window.start.0,
            "window_end_ns": change.window.end.0,
            "query": change.query,
            "subject": subject,
            "appeared": change.appeared,
        }));
    }

    pub(super) fn finish(mut self, printed: &Printed<'_>) -> io::Result<()> {
        let &Printed { whole: summary, windows, epochs, slow, forecast, bounds, is_watched, diagnosis, names, oddities, trace } = printed;
        let ranked = |entry: &Entry| {
            let mut value = named(json!(entry), entry.entity.label(names));
            value["first_in_windows"] = json!(windows.firsts(entry.entity));
            value
        };
        let ranking: Value = summary.ranking(summary.by()).iter().map(ranked).collect();
        let wait = |wait: WaitPattern| {
            json!({
                "lane": wait.lane,
                "lane_name": names.lane(wait.lane),
                "from": wait.from,
                "from_name": names.lane(wait.from),
                "channel": wait.channel,
                "channel_name": names.channel(wait.channel),
                "cause": wait.cause,
                "cause_name": wait.cause.map(|cause| names.instance(cause)),
                "count": wait.count,
                "ns": wait.ns,
            })
        };
        let waits: Vec<Value> = summary.waits().into_iter().map(wait).collect();
        let files = trace.oddities().into_iter();
        let files = files.map(|odd| json!({ "file": odd.file.display().to_string(), "what": odd.what, "count": odd.count }));
        let mut odd = json!({ "graph": oddities, "files": files.collect::<Vec<_>>(), "windows_without_path": windows.without_path() });
        let further = summary.further();
        if further != Further::default() {
            odd["merged"] = json!(further);
        }
        let mut parts = vec![("ranking", ranking), ("waits", json!(waits)), ("diagnosis", json!(diagnosis))];
        if let Some((epochs, oddities)) = epochs {
            odd["epochs"] = json!(oddities);
            let further = epochs.further();
            if further != FurtherParts::default() {
                odd["epochs_merged"] = json!(further);
            }
            let quantile = |share| epochs.quantile(share).map(|latency| latency.as_nanos() as u64);
            let latency = json!({
                "epochs": epochs.epochs(),
                "mean_ns": epochs.mean_ns(),
                "p50_ns": quantile(0.5),
                "p99_ns": quantile(0.99),
            });
            let part = |latency: PartLatency| named(json!(latency), part_label(&latency.part, names));
            let operator = |latency: OperatorLatency| named(json!(latency), names.operator(latency.operator));
            parts.push(("epoch_latency", latency));
            parts.push(("epochs", epochs.parts().into_iter().map(part).collect()));
            parts.push(("epoch_operators", epochs.operators().into_iter().map(operator).collect()));
        }
        if let (Some((quantile, slow)), Some((all, _))) = (slow, epochs) {
            let part = |(part, mean_of_all): (PartLatency, f64)| {
                let mut value = named(json!(part), part_label(&part.part, names));
                value["mean_of_all_ns"] = json!(mean_of_all);
                value
            };
            parts.push((
                "slow_epochs",
                json!({
                    "quantile": quantile,
                    "epochs": slow.meant,
                    "analysed": slow.summary.epochs(),
                    "from_ns": slow.from_ns,
                    "mean_ns": slow.summary.mean_ns(),
                    "parts": slow_parts(all, slow).into_iter().map(part).collect::<Vec<_>>(),
                }),
            ));
        }
        if let Some(forecast) = forecast {
            let curve = |curve: Curve| {
                let points = curve.points.iter().map(|(speedup, gain)| json!({ "speedup": speedup, "gain": gain }));
                json!({
                    "operator": curve.operator,
                    "name": names.operator(curve.operator),
                    "at_most": bound(bounds, curve.operator),
                    "points": points.collect::<Vec<_>>(),
                })
            };
            let seconds = |one: crate::critical_path::Predicted| json!({ "before_s": one.before_s, "after_s": one.after_s, "recorded_s": one.recorded_s });
            parts.push((
                "what_if",
                json!({
                    "epochs": forecast.epochs(),
                    "as_it_was": seconds(forecast.as_it_was()),
                    "change": forecast.change().map(seconds),
                    "curves": forecast.curves().into_iter().map(curve).collect::<Vec<_>>(),
                }),
            ));
        }
        if is_watched {
            parts.push(("findings", Value::from(self.findings)));
        }
        parts.push(("oddities", odd));
        self.out.write_all(b"\n]")?;
        for (name, part) in parts {
            write!(self.out, ",\"{name}\":{part}")?;
        }
        self.out.write_all(b"}\n")?;
        self.out.flush()
    }
}

/// One line for each kind of record that was skipped or corrected.
pub(super) fn notes(oddities: &Oddities, epochs: Option<EpochOddities>, trace: &Trace, windows: &CountedWindows) -> Vec<String> {
    let mut notes: Vec<String> =
        trace.oddities().into_iter().map(|odd| format!("{}: {} ({})", odd.file.display(), odd.what, odd.count)).collect();
    let epochs = epochs.unwrap_or_default();
    let counted = [
        (oddities.late_records, "records arrived after their worker's reported progress and were shortened or moved"),
        (oddities.reused_keys, "messages were sent with a key that was still in use"),
        (oddities.given_up_messages, "messages were dropped because too many were in flight"),
        (oddities.unmatched_receipts, "messages were received whose sender is not in the log"),
        (oddities.cycles, "messages were skipped because they closed a cycle"),
        (oddities.lanes_left_out, "records were skipped because there were too many lanes"),
        (oddities.corrected_clocks, "workers' clocks were corrected, because messages arrived before they were sent"),
        (windows.without_path(), "windows have no path from start to end and were ignored"),
        (epochs.given_up, "epochs were not analysed because too many were open"),
        (epochs.not_open, "epochs were completed whose start is not in the log"),
        (epochs.begun_too_early, "epochs began before what fits into memory: their beginning is unknown, and no gain is counted for them"),
    ];
    notes.extend(counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    notes
}
