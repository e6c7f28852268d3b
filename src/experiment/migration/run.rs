//! One run of a job whose bins move by plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::job::{MigrationJob, Placement};
use super::latency::Latencies;
use super::memory::Memory;
use crate::engine::EngineJob;
use crate::engine::key_count::KeyVerdict;
use crate::engine::{RunError, Running};
use crate::experiment::carrying_out::CarryingOut;
use crate::experiment::frame::{self, Row};
use crate::migration::{Measures, Schedule, Strategy};
use crate::time::{Timestamp, Window};

/// How long after its last bin arrived a migration still counts: what waited for it arrives.
const SETTLE: Duration = Duration::from_millis(250);
/// While bins move, reports are looked for this often.
const LOOK: Duration = Duration::from_millis(1);
/// What the largest latency is without a migration is taken from stretches of this length before
/// it.
const BASELINE: Duration = Duration::from_millis(100);
/// Otherwise whenever records are handed over, or this often.
const IDLE: Duration = Duration::from_millis(10);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct MigrationRun {
    /// The job. It is stopped before its schedule ends when there is nothing more to see.
    pub job: MigrationJob,
    /// How bins move; not at all when missing.
    pub strategy: Option<Strategy>,
    /// Where everything is afterwards; no migration is planned when missing.
    pub to: Option<Placement>,
    /// What is not judged at the start.
    pub warm_up: Duration,
    /// From when records become due until the migration.
    pub before: Duration,
    /// From the end of the migration until the end of the run.
    pub after: Duration,
    /// Length of a row of the timeline.
    pub window: Duration,
}

/// A migration that was carried out; or, without a strategy, the moment it would have begun.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// When the job was told to stop.
    pub end: Timestamp,
    /// Latency.
    pub latencies: Latencies,
    /// Memory.
    pub memory: Memory,
    /// The migration, where one was planned.
    pub span: Option<MigrationSpan>,
    /// What reached the sinks against a sequential count.
    pub verdict: KeyVerdict,
    /// Activity records that did not fit and were dropped.
    pub dropped_records: u64,
}

impl MigrationRun {
    /// Runs it; `show` is called now and then with the time since records became due.
    ///
    /// # Errors
    /// When the engine fails, or the migration is not complete when the job ends.
    pub fn run(&self, show: impl FnMut(Duration)) -> Result<Migrated, RunError> {
        let stop = Arc::new(AtomicBool::new(false));
        match &self.job {
            MigrationJob::KeyCount(job) => self.follow(job.start(&stop)?, &stop, show, |tallies| job.verify(tallies)),
            MigrationJob::Query(job) => self.follow(job.start_until(&stop)?, &stop, show, |tallies| job.verify(tallies).into()),
        }
    }

    fn follow<O: Send>(
        &self,
        mut running: Running<O>,
        stop: &AtomicBool,
        mut show: impl FnMut(Duration),
        verify: impl FnOnce(&[O]) -> KeyVerdict,
    ) -> Result<Migrated, RunError> {
        let mut latencies = self.job.latencies();
        let mut span: Option<MigrationSpan> = None;
        let mut migration: Option<CarryingOut> = None;
        let mut end: Option<Timestamp> = None;
        let mut memory = Memory::of(&running.process_ids());
        loop {
            match running.log.recv_timeout(if migration.is_some() { LOOK } else { IDLE }) {
                Ok(batch) => batch.records.iter().for_each(|record| latencies.push(record)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = running.clock().now();
            memory.sample(now);
            let (Some(begin), None) = (latencies.first_due(), end) else { continue };
            show(now.since(begin));
            if let (Some(moving), Some(span)) = (&mut migration, &mut span) {
                if moving.advance(&mut running, latencies.take_latest()) {
                    (span.end, span.steps) = (now, moving.complete().len());
                    migration = None;
                }
                continue;
            }
            match span {
                None if now.since(begin) >= self.before => {
                    migration = self.begin(&mut latencies, begin, &mut running);
                    span = Some(MigrationSpan { start: now, end: now, steps: 0, bins: self.moves() });
                }
                Some(span) if now.since(span.end) >= self.after => {
                    stop.store(true, Ordering::SeqCst);
                    end = Some(now);
                }
                _ => {}
            }
        }
        let dropped_records = running.dropped();
        let verdict = verify(&running.join()?);
        let begin = latencies.first_due().unwrap_or_default();
        let Some(end) = end else {
            let most = self.job.duration();
            return Err(RunError::Worker(format!("the job ended after {most:?} without a complete migration")));
        };
        let span = span.filter(|_| self.to.is_some());
        Ok(Migrated { begin, end, latencies, memory, span, verdict, dropped_records })
    }

    /// Bins that move.
    fn moves(&self) -> usize {
        let Some((_, to)) = self.to.as_ref().filter(|_| self.strategy.is_some()) else { return 0 };
        self.job.first().1.iter().map(|(operator, owned)| owned.moves_to(&to[operator]).count()).sum()
    }

    /// Begins to carry the plan out.
    fn begin<O: Send>(&self, latencies: &mut Latencies, begin: Timestamp, running: &mut Running<O>) -> Option<CarryingOut> {
        let (strategy, to) = (self.strategy?, self.to.as_ref()?);
        let now = running.clock().now();
        let calm = Window { start: (begin + self.warm_up).min(now), end: now };
        let baseline = latencies.usual_max(calm, BASELINE).map(Duration::from_nanos);
        // What was seen before the first step says nothing about it.
        latencies.take_latest();
        Some(CarryingOut::begin(self.schedule(strategy, to), strategy, baseline, running))
    }

    fn schedule(&self, strategy: Strategy, (after, owned_after): &Placement) -> Schedule {
        let (before, owned_before) = self.job.first();
        // Keys are spread evenly, so that all bins are equal: nothing needs to be measured.
        strategy.schedule(&self.job.topology(), (&before, &owned_before), (after, owned_after), &Measures::default())
    }

    /// The row of the run.
    pub fn row(&self, migrated: &Migrated) -> Row {
        let Migrated { begin, end, latencies, memory, span, verdict, dropped_records } = migrated;
        let judged = Window { start: *begin + self.warm_up, end: *end };
        let overall = latencies.over(judged);
        let sum = |bytes: &[u64]| bytes.iter().sum::<u64>();
        let mut cells = frame::row([
            ("processes", &self.job.deployment().processes),
            ("workers", &self.job.deployment().peers()),
            ("keys", &self.job.keys()),
            ("bins", &self.job.bins()),
            ("rate_per_s", &self.job.rate().as_per_second()),
            ("moved_bins", &0_u64),
            ("moved_keys", &0_u64),
            ("moved_bytes", &0_u64),
            ("steps", &0_u64),
            ("overall_ns_p50", &overall.ns_p50),
            ("overall_ns_p90", &overall.ns_p90),
            ("overall_ns_p99", &overall.ns_p99),
            ("overall_ns_p9999", &overall.ns_p9999),
            ("overall_ns_max", &overall.ns_max),
            ("memory_before_bytes", &memory.before(span.map_or(judged.start, |span| span.start)).map(sum)),
            ("memory_after_bytes", &memory.before(*end).map(sum)),
            ("records", &verdict.records),
            ("records_lost", &verdict.lost),
            ("records_duplicated", &verdict.duplicated),
            ("groups_miscounted", &verdict.miscounted),
            ("dropped_records", dropped_records),
        ]);
        if let Some(span) = span {
            cells.extend(self.of_migration(span, migrated));
        }
        cells
    }

    /// What a migration adds to the row.
    fn of_migration(&self, span: &MigrationSpan, migrated: &Migrated) -> Row {
        let Migrated { begin, latencies, memory, .. } = migrated;
        let during = Window { start: span.start, end: span.end + SETTLE };
        let calm = Window { start: (*begin + self.warm_up).min(span.start), end: span.start };
        let (usual, worst) = (latencies.over(calm), latencies.over(during));
        let usual_max = latencies.usual_max(calm, during.length());
        let moved = span.bins as u64;
        // What a query knows is not counted.
        let (keys, bytes) = match &self.job {
            MigrationJob::KeyCount(job) => (job.keys * moved / job.first.owners().len() as u64, moved * job.bin_bytes()),
            MigrationJob::Query(_) => (0, 0),
        };
        let (before, peak) = (memory.before(span.start), memory.most_together(during));
        let rise = peak.zip(before).map(|(peak, before)| peak.saturating_sub(before.iter().sum()));
        let by_process = memory.most(during).zip(before);
        let rises = by_process.map(|(peak, before)| peak.iter().zip(before).map(|(peak, before)| peak.saturating_sub(*before)).max());
        frame::row([
            ("moved_bins", &moved),
            ("moved_keys", &keys),
            ("moved_bytes", &bytes),
            ("steps", &span.steps),
            ("migration_start_s", &span.start.since(*begin).as_secs_f64()),
            ("migration_end_s", &span.end.since(*begin).as_secs_f64()),
            ("duration_ns", &self.strategy.map(|_| span.end.since(span.start).as_nanos() as u64)),
            ("usual_ns_p50", &usual.ns_p50),
            ("usual_ns_p99", &usual.ns_p99),
            ("usual_ns_max", &usual_max),
            ("migration_ns_p50", &worst.ns_p50),
            ("migration_ns_p99", &worst.ns_p99),
            ("migration_ns_max", &worst.ns_max),
            ("added_ns", &worst.ns_max.zip(usual_max).map(|(worst, usual)| worst as i64 - usual as i64)),
            ("memory_peak_bytes", &peak),
            ("memory_rise_bytes", &rise),
            ("memory_rise_process_bytes", &rises.flatten()),
        ])
    }

    /// The timeline of the run: latency and memory (of the first process, and of the others summed
    /// up) of each window.
    pub fn timeline(&self, migrated: &Migrated) -> Vec<Row> {
        let windows = migrated.end.since(migrated.begin).as_nanos() / self.window.as_nanos().max(1);
        let starts = (0..windows as u32).map(|n| migrated.begin + self.window * n);
        let of_window = |start: Timestamp| {
            let window = Window::starting(start, self.window);
            let (latency, memory) = (migrated.latencies.over(window), migrated.memory.most(window));
            frame::row([
                ("window_start_s", &window.start.since(migrated.begin).as_secs_f64()),
                ("window_end_s", &window.end.since(migrated.begin).as_secs_f64()),
                ("records", &latency.records),
                ("latency_ns_p50", &latency.ns_p50),
                ("latency_ns_p99", &latency.ns_p99),
                ("latency_ns_max", &latency.ns_max),
                ("memory_bytes", &memory.as_ref().map(|bytes| bytes[0])),
                ("memory_others_bytes", &memory.as_ref().filter(|bytes| bytes.len() > 1).map(|bytes| bytes[1..].iter().sum::<u64>())),
            ])
        };
        starts.map(of_window).collect()
    }
}
