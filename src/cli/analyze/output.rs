//! Output of `thalweg analyze` other than tables: JSON, written as windows close, and notes on
//! anomalies.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::activity::{Lane, Names};
use crate::critical_path::{Entity, Entry, EpochOddities, EpochSummary, Firsts, OperatorLatency, PartLatency, TraceSummary, WindowSummary};
use crate::engine::{QueryChange, StandingQuery};
use crate::id::{ChannelId, InstanceId};
use crate::pag::Oddities;
use crate::readers::Trace;
use crate::report::part_label;

/// One JSON object on standard output, written window by window; nothing is printed before the
/// first.
pub(super) struct Json {
    out: BufWriter<Stdout>,
    has_windows: bool,
    findings: Vec<Finding>,
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
    /// Only for a whole trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_in_windows: Option<Firsts>,
}

#[derive(Serialize)]
struct WindowEntry {
    start_ns: u64,
    end_ns: u64,
    participation_sum: f64,
    log2_paths: Option<f64>,
    ranking: Vec<RankingEntry>,
}

/// A query that started or stopped matching.
#[derive(Serialize)]
struct Finding {
    window_start_ns: u64,
    window_end_ns: u64,
    query: StandingQuery,
    subject: String,
    appeared: bool,
}

#[derive(Serialize)]
struct WaitEntry {
    lane: Lane,
    lane_name: String,
    from: Lane,
    from_name: String,
    channel: ChannelId,
    channel_name: String,
    cause: Option<InstanceId>,
    cause_name: Option<String>,
    count: u64,
    ns: u64,
}

/// One part of the epochs' latency.
#[derive(Serialize)]
struct EpochEntry {
    #[serde(flatten)]
    latency: PartLatency,
    name: String,
}

/// Share of the epochs' latency that is attributed to an operator, and the most that could be
/// gained there.
#[derive(Serialize)]
struct OperatorEntry {
    #[serde(flatten)]
    latency: OperatorLatency,
    name: String,
}

#[derive(Serialize)]
struct EpochLatency {
    epochs: u64,
    mean_ns: f64,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
}

#[derive(Serialize)]
struct FileOddity {
    file: String,
    what: String,
    count: u64,
}

#[derive(Serialize)]
struct AllOddities<'a> {
    graph: &'a Oddities,
    files: Vec<FileOddity>,
    windows_without_path: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<EpochOddities>,
}

impl Json {
    pub(super) fn window(&mut self, summary: &WindowSummary, ranking: &[Entry], names: &Names) -> io::Result<()> {
        self.out.write_all(if self.has_windows { b",\n" } else { b"{\"windows\":[\n" })?;
        self.has_windows = true;
        let named = |entry: &Entry| RankingEntry { entry: *entry, name: entry.entity.label(names), first_in_windows: None };
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
        self.findings.push(Finding {
            window_start_ns: change.window.start.0,
            window_end_ns: change.window.end.0,
            query: change.query,
            subject,
            appeared: change.appeared,
        });
    }

    pub(super) fn finish(
        mut self,
        summary: &TraceSummary,
        epochs: Option<(&EpochSummary, EpochOddities)>,
        watched: bool,
        names: &Names,
        oddities: &Oddities,
        trace: &Trace,
    ) -> io::Result<()> {
        let firsts = |entity: Entity| Some(summary.firsts(entity));
        let named = |entry: &Entry| RankingEntry { entry: *entry, name: entry.entity.label(names), first_in_windows: firsts(entry.entity) };
        let ranking: Vec<RankingEntry> = summary.ranking(summary.by()).iter().map(named).collect();
        let waits = summary.waits().into_iter().map(|wait| WaitEntry {
            lane: wait.lane,
            lane_name: names.lane(wait.lane),
            from: wait.from,
            from_name: names.lane(wait.from),
            channel: wait.channel,
            channel_name: names.channel(wait.channel),
            cause: wait.cause,
            cause_name: wait.cause.map(|cause| names.instance(cause)),
            count: wait.count,
            ns: wait.ns,
        });
        let waits: Vec<WaitEntry> = waits.collect();
        let files = trace.oddities().into_iter();
        let files = files.map(|odd| FileOddity { file: odd.file.display().to_string(), what: odd.what, count: odd.count });
        let oddities = AllOddities {
            graph: oddities,
            files: files.collect(),
            windows_without_path: summary.without_path(),
            epochs: epochs.map(|(_, oddities)| oddities),
        };
        self.out.write_all(b"\n],\"ranking\":")?;
        serde_json::to_writer(&mut self.out, &ranking)?;
        self.out.write_all(b",\"waits\":")?;
        serde_json::to_writer(&mut self.out, &waits)?;
        if let Some((epochs, _)) = epochs {
            let named = |latency: PartLatency| EpochEntry { name: part_label(&latency.part, names), latency };
            let parts: Vec<EpochEntry> = epochs.parts().into_iter().map(named).collect();
            let quantile = |share| epochs.quantile(share).map(|latency| latency.as_nanos() as u64);
            let latency =
                EpochLatency { epochs: epochs.epochs(), mean_ns: epochs.mean_ns(), p50_ns: quantile(0.5), p99_ns: quantile(0.99) };
            self.out.write_all(b",\"epoch_latency\":")?;
            serde_json::to_writer(&mut self.out, &latency)?;
            self.out.write_all(b",\"epochs\":")?;
            serde_json::to_writer(&mut self.out, &parts)?;
            let named = |latency: OperatorLatency| OperatorEntry { name: names.operator(latency.operator), latency };
            let operators: Vec<OperatorEntry> = epochs.operators().into_iter().map(named).collect();
            self.out.write_all(b",\"epoch_operators\":")?;
            serde_json::to_writer(&mut self.out, &operators)?;
        }
        if watched {
            self.out.write_all(b",\"findings\":")?;
            serde_json::to_writer(&mut self.out, &self.findings)?;
        }
        self.out.write_all(b",\"oddities\":")?;
        serde_json::to_writer(&mut self.out, &oddities)?;
        self.out.write_all(b"}\n")?;
        self.out.flush()
    }
}

/// One line for each kind of record that was skipped or corrected.
pub(super) fn notes(oddities: &Oddities, epochs: Option<EpochOddities>, trace: &Trace, summary: &TraceSummary) -> Vec<String> {
    let mut notes: Vec<String> =
        trace.oddities().into_iter().map(|odd| format!("{}: {} ({})", odd.file.display(), odd.what, odd.count)).collect();
    let epochs = epochs.unwrap_or_default();
    let counted = [
        (oddities.late_records, "records arrived after their worker's reported progress and were shortened or moved"),
        (oddities.reused_keys, "messages were sent with a key that was still in use"),
        (oddities.given_up_messages, "messages were dropped because too many were in flight"),
        (oddities.unmatched_receipts, "messages were received before anything was sent"),
        (oddities.cycles, "messages were skipped because they closed a cycle"),
        (oddities.lanes_left_out, "records were skipped because there were too many lanes"),
        (oddities.corrected_clocks, "workers' clocks were corrected, because messages arrived before they were sent"),
        (summary.without_path(), "windows have no path from start to end and were ignored"),
        (epochs.given_up, "epochs were not analysed because too many were open"),
        (epochs.not_open, "epochs were completed whose start is not in the log"),
    ];
    notes.extend(counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    notes
}
