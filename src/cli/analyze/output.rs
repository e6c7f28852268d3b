//! What `thalweg analyze` prints beside its tables: JSON as windows close, and notes on what was strange.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::activity::{Lane, Names};
use crate::critical_path::{Entity, Entry, Firsts, TraceSummary, WindowSummary};
use crate::id::{ChannelId, InstanceId};
use crate::pag::Oddities;
use crate::readers::Trace;

/// One JSON object on standard output, written window by window. Nothing is printed before the first.
pub(super) struct Json {
    out: BufWriter<Stdout>,
    has_windows: bool,
}

impl Default for Json {
    fn default() -> Json {
        Json { out: BufWriter::new(io::stdout()), has_windows: false }
    }
}

#[derive(Serialize)]
struct RankingEntry {
    #[serde(flatten)]
    entry: Entry,
    name: String,
    /// Of a whole trace only.
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

    pub(super) fn finish(mut self, summary: &TraceSummary, names: &Names, oddities: &Oddities, trace: &Trace) -> io::Result<()> {
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
        let oddities = AllOddities { graph: oddities, files: files.collect(), windows_without_path: summary.without_path() };
        self.out.write_all(b"\n],\"ranking\":")?;
        serde_json::to_writer(&mut self.out, &ranking)?;
        self.out.write_all(b",\"waits\":")?;
        serde_json::to_writer(&mut self.out, &waits)?;
        self.out.write_all(b",\"oddities\":")?;
        serde_json::to_writer(&mut self.out, &oddities)?;
        self.out.write_all(b"}\n")?;
        self.out.flush()
    }
}

/// A line for everything that had to be left out or changed.
pub(super) fn notes(oddities: &Oddities, trace: &Trace, summary: &TraceSummary) -> Vec<String> {
    let mut notes: Vec<String> =
        trace.oddities().into_iter().map(|odd| format!("{}: {} ({})", odd.file.display(), odd.what, odd.count)).collect();
    let counted = [
        (oddities.late_records, "records came later than their worker had said and were shortened or moved"),
        (oddities.reused_keys, "messages were sent under a key that was still in use"),
        (oddities.given_up_messages, "messages were forgotten because too many were in flight"),
        (oddities.unmatched_receipts, "messages were received that nobody had sent by then"),
        (oddities.cycles, "messages were left out because they closed a cycle"),
        (oddities.lanes_left_out, "records were left out because they were of too many lanes"),
        (oddities.corrected_clocks, "workers' clocks were corrected, because messages arrived before they were sent"),
        (summary.without_path(), "windows have no path from their start to their end and count for nothing"),
    ];
    notes.extend(counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    notes
}
