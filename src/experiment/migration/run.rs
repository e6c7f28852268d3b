//! One run of a key count whose bins move by plan.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::latency::Latencies;
use super::memory::Memory;
use super::rows::{MigrationRow, MigrationTimelineRow};
use crate::dataflow::Configuration;
use crate::engine::RunError;
use crate::engine::key_count::{COUNT, Counting, KeyCount, KeyVerdict};
use crate::experiment::environment::Environment;
use crate::experiment::run::Migration;
use crate::migration::{Assignment, Schedule, Strategy};
use crate::time::{Timestamp, Window};

/// How long after its last bin arrived a migration still counts: what waited for it arrives.
const SETTLE: Duration = Duration::from_millis(250);
/// Bytes of a key with its count.
const BYTES_PER_KEY: u64 = 16;
/// While bins move, reports are looked for this often.
const LOOK: Duration = Duration::from_millis(1);
/// Otherwise whenever records are handed over, or this often.
const IDLE: Duration = Duration::from_millis(10);

/// What is to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationRun {
    /// The job.
    pub job: KeyCount,
    /// How bins move; not at all when missing.
    pub strategy: Option<Strategy>,
    /// From when on bins are to lie how, counted from when records become due. A plan that is not complete when the next one is due
    /// delays it.
    pub moves: Vec<(Duration, Assignment)>,
    /// What is not judged at the start.
    pub warm_up: Duration,
    /// Length of a row of the timeline.
    pub window: Duration,
}

/// A migration that was carried out; or, without a strategy, the moment it would have begun.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationSpan {
    /// When its first step was sent.
    pub start: Timestamp,
    /// When its last bin had arrived.
    pub end: Timestamp,
    /// Steps.
    pub steps: usize,
    /// Bins that moved.
    pub bins: usize,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Migrated {
    /// When records became due.
    pub begin: Timestamp,
    /// When the last record was due.
    pub end: Timestamp,
    /// Latency.
    pub latencies: Latencies,
    /// Memory.
    pub memory: Memory,
    /// Migrations, in order.
    pub spans: Vec<MigrationSpan>,
    /// What reached the sinks against a sequential count.
    pub verdict: KeyVerdict,
    /// Activity records that did not fit and were dropped.
    pub dropped_records: u64,
}

impl MigrationRun {
    /// Runs it; `show` is called now and then with the time since records became due.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn run(&self, mut show: impl FnMut(Duration)) -> Result<Migrated, RunError> {
        let (mut latencies, mut memory) = (Latencies::default(), Memory::of(&[]));
        let mut owners = self.job.first.clone();
        let mut due = self.moves.iter().peekable();
        let mut spans: Vec<MigrationSpan> = Vec::new();
        let mut migration: Option<Migration> = None;
        let running = self.job.start()?;
        loop {
            match running.log.recv_timeout(if migration.is_some() { LOOK } else { IDLE }) {
                Ok(batch) => batch.records.iter().for_each(|record| latencies.push(record)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = running.clock().now();
            memory.sample(now);
            if let Some(at) = migration.as_mut().and_then(|migration| migration.advance(&running)) {
                migration = None;
                spans.last_mut().expect("a migration has begun").end = at;
            }
            let Some(begin) = latencies.first_due() else { continue };
            show(now.since(begin));
            if migration.is_none()
                && let Some((_, after)) = due.next_if(|(at, _)| now.since(begin) >= *at)
            {
                let schedule = self.schedule(&owners, after);
                spans.push(MigrationSpan { start: now, end: now, steps: schedule.steps.len(), bins: schedule.moves() });
                if self.strategy.is_some() {
                    owners = after.clone();
                    migration = Some(Migration::begin(schedule.steps));
                }
            }
        }
        let dropped_records = running.dropped();
        let verdict = self.job.verify(&running.join()?);
        let begin = latencies.first_due().unwrap_or_default();
        if migration.is_some() {
            return Err(RunError::Worker("the job ended before its migration was complete".to_owned()));
        }
        Ok(Migrated { begin, end: begin + self.job.duration, latencies, memory, spans, verdict, dropped_records })
    }

    fn schedule(&self, before: &Assignment, after: &Assignment) -> Schedule {
        let topology = self.job.topology();
        let configuration = Configuration::ones(&topology).with(COUNT, self.job.instances);
        let assignments = |owners: &Assignment| BTreeMap::from([(COUNT, owners.clone())]);
        let schedule = |strategy: Strategy| {
            let (before, after) = (assignments(before), assignments(after));
            strategy.schedule(&topology, (&configuration, &before), (&configuration, &after))
        };
        self.strategy.map(schedule).unwrap_or_default()
    }

    /// The row of the run, as far as it says what was asked.
    pub fn row(&self, environment: &Environment) -> MigrationRow {
        let Environment { revision, machine, command, started_utc } = environment.clone();
        let bins = if self.job.counting == Counting::Native { 0 } else { self.job.first.owners().len() as u32 };
        MigrationRow {
            host: "engine".to_owned(),
            seed: self.job.seed,
            processes: 1,
            workers: self.job.workers,
            keys: self.job.keys,
            bins,
            rate_per_s: self.job.rate.as_per_second(),
            revision,
            machine,
            command,
            started_utc,
            ..MigrationRow::default()
        }
    }

    /// Adds to the row of the run what came of it.
    pub fn complete(&self, row: &mut MigrationRow, migrated: &Migrated) {
        let Migrated { begin, end, latencies, memory, spans, verdict, dropped_records } = migrated;
        let judged = Window { start: *begin + self.warm_up, end: *end };
        let overall = latencies.over(judged);
        (row.overall_ns_p50, row.overall_ns_p90, row.overall_ns_p99) = (overall.ns_p50, overall.ns_p90, overall.ns_p99);
        (row.overall_ns_p9999, row.overall_ns_max) = (overall.ns_p9999, overall.ns_max);
        (row.records, row.records_lost, row.records_duplicated) = (Some(verdict.records), Some(verdict.lost), Some(verdict.duplicated));
        (row.groups_miscounted, row.dropped_records) = (Some(verdict.miscounted), Some(*dropped_records));
        let sum = |bytes: &[u64]| bytes.iter().sum::<u64>();
        row.memory_after_bytes = memory.before(*end).map(sum);
        let Some((span, earlier)) = spans.split_last() else { return };
        // What an earlier migration left behind is not usual.
        let calm_from = earlier.last().map_or(judged.start, |span| (span.end + SETTLE).max(judged.start));
        let during = Window { start: span.start, end: span.end + SETTLE };
        let calm = Window { start: calm_from.min(span.start), end: span.start };
        let (usual, worst) = (latencies.over(calm), latencies.over(during));
        row.moved_bins = span.bins as u64;
        row.moved_keys = (self.job.keys as f64 * span.bins as f64 / self.job.first.owners().len() as f64) as u64;
        row.moved_bytes = row.moved_keys * BYTES_PER_KEY;
        row.steps = span.steps as u64;
        row.migration_start_s = Some(span.start.since(*begin).as_secs_f64());
        row.migration_end_s = Some(span.end.since(*begin).as_secs_f64());
        row.duration_ns = self.strategy.map(|_| span.end.since(span.start).as_nanos() as u64);
        (row.usual_ns_p50, row.usual_ns_p99) = (usual.ns_p50, usual.ns_p99);
        row.usual_ns_max = latencies.usual_max(calm, during.length());
        (row.migration_ns_p50, row.migration_ns_p99, row.migration_ns_max) = (worst.ns_p50, worst.ns_p99, worst.ns_max);
        row.added_ns = row.migration_ns_max.zip(row.usual_ns_max).map(|(worst, usual)| worst as i64 - usual as i64);
        if let (Some(before), Some(peak)) = (memory.before(span.start), memory.most(during)) {
            (row.memory_before_bytes, row.memory_peak_bytes) = (Some(sum(before)), Some(sum(&peak)));
            row.memory_rise_bytes = peak.iter().zip(before).map(|(peak, before)| peak.saturating_sub(*before)).max();
        }
    }

    /// The timeline of the run.
    pub fn timeline(&self, row: &MigrationRow, migrated: &Migrated) -> Vec<MigrationTimelineRow> {
        let windows = self.job.duration.as_nanos() / self.window.as_nanos().max(1);
        let starts = (0..windows as u32).map(|n| migrated.begin + self.window * n);
        let of_window = |start: Timestamp| {
            let window = Window::starting(start, self.window);
            let (latency, memory) = (migrated.latencies.over(window), migrated.memory.most(window));
            MigrationTimelineRow {
                setting: row.setting.clone(),
                strategy: row.strategy.clone(),
                seed: row.seed,
                window_start_s: window.start.since(migrated.begin).as_secs_f64(),
                window_end_s: window.end.since(migrated.begin).as_secs_f64(),
                records: latency.records,
                latency_ns_p50: latency.ns_p50,
                latency_ns_p99: latency.ns_p99,
                latency_ns_max: latency.ns_max,
                memory_bytes: memory.as_ref().map(|bytes| bytes[0]),
                memory_others_bytes: memory.filter(|bytes| bytes.len() > 1).map(|bytes| bytes[1..].iter().sum()),
            }
        };
        starts.map(of_window).collect()
    }
}
