//! What is recorded of an experiment on migration.

use serde::{Deserialize, Serialize};

/// The name of the run in which nothing moves.
pub const NO_MIGRATION: &str = "none";

/// The order of strategies in tables and figures; others come last.
pub const STRATEGY_ORDER: [&str; 7] = [NO_MIGRATION, "all-at-once", "fluid", "batched", "optimized", "hot-first", "adaptive"];

/// Position of a strategy in [`STRATEGY_ORDER`]; the number in `batched:16` does not count.
pub fn strategy_rank(strategy: &str) -> usize {
    let name = strategy.split(':').next().unwrap_or_default();
    STRATEGY_ORDER.iter().position(|known| *known == name).unwrap_or(STRATEGY_ORDER.len())
}

/// One run; `migrations.csv`. A run that failed has its `error` and no results.
///
/// Latencies *during the migration* are those of what arrived from the moment its first step was sent until a quarter of a second
/// after its last bin arrived. The *usual* largest latency is the median of the largest in stretches of the same length before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MigrationRow {
    /// The experiment.
    pub experiment: String,
    /// The setting.
    pub setting: String,
    /// The strategy; `none` if nothing moves.
    pub strategy: String,
    /// Where the job ran.
    pub host: String,
    /// Size of the run.
    pub scale: String,
    /// Decides which key comes when.
    pub seed: u64,
    /// Processes.
    pub processes: u32,
    /// Workers, of all processes together.
    pub workers: u32,
    /// Keys; for a query, events that come before the schedule.
    pub keys: u64,
    /// Bins of each operator with state; 0 for plain timely, which has none.
    pub bins: u32,
    /// Records due per second.
    pub rate_per_s: f64,
    /// Bins that moved.
    pub moved_bins: u64,
    /// Keys in these, as a share of all keys; 0 for a query, whose keys are not counted.
    pub moved_keys: u64,
    /// What these keys and their counts take in their tables, as an estimate; 0 for a query.
    pub moved_bytes: u64,
    /// Steps.
    pub steps: u64,
    /// When the first step was sent, in seconds since records became due.
    pub migration_start_s: Option<f64>,
    /// When the last bin had arrived.
    pub migration_end_s: Option<f64>,
    /// From the first step to the last arrival.
    pub duration_ns: Option<u64>,
    /// Half of the records before the migration were not slower.
    pub usual_ns_p50: Option<u64>,
    /// 99 % of the records before the migration were not slower.
    pub usual_ns_p99: Option<u64>,
    /// The usual largest latency.
    pub usual_ns_max: Option<u64>,
    /// Half of the records during the migration were not slower.
    pub migration_ns_p50: Option<u64>,
    /// 99 % of the records during the migration were not slower.
    pub migration_ns_p99: Option<u64>,
    /// The slowest during the migration.
    pub migration_ns_max: Option<u64>,
    /// How much slower that is than usual; may be negative.
    pub added_ns: Option<i64>,
    /// Half of all judged records were not slower.
    pub overall_ns_p50: Option<u64>,
    /// 90 %.
    pub overall_ns_p90: Option<u64>,
    /// 99 %.
    pub overall_ns_p99: Option<u64>,
    /// 99.99 %.
    pub overall_ns_p9999: Option<u64>,
    /// The slowest.
    pub overall_ns_max: Option<u64>,
    /// Resident memory of all processes before the migration.
    pub memory_before_bytes: Option<u64>,
    /// The most of all processes together at any time during the migration.
    pub memory_peak_bytes: Option<u64>,
    /// At the end.
    pub memory_after_bytes: Option<u64>,
    /// By how much the peak exceeds what was before.
    pub memory_rise_bytes: Option<u64>,
    /// By how much the memory of that process rose at most whose memory rose most: one that receives keeps what it received.
    pub memory_rise_process_bytes: Option<u64>,
    /// Records emitted, those that built the state up included.
    pub records: Option<u64>,
    /// Results that are missing.
    pub records_lost: Option<u64>,
    /// Results that are too many.
    pub records_duplicated: Option<u64>,
    /// Groups of keys whose results are not those of a sequential count.
    pub groups_miscounted: Option<u64>,
    /// Activity records that did not fit and were dropped.
    pub dropped_records: Option<u64>,
    /// Why the run failed; empty if it did not.
    pub error: Option<String>,
    /// Revision of the program.
    pub revision: String,
    /// The machine.
    pub machine: String,
    /// The command line.
    pub command: String,
    /// When the command began.
    pub started_utc: String,
}

/// One run and window; `migration_timeline.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MigrationTimelineRow {
    /// The setting.
    pub setting: String,
    /// The strategy.
    pub strategy: String,
    /// Decides which key comes when.
    pub seed: u64,
    /// Start of the window, in seconds since records became due.
    pub window_start_s: f64,
    /// End of the window.
    pub window_end_s: f64,
    /// Records that arrived.
    pub records: u64,
    /// Half of them were not slower.
    pub latency_ns_p50: Option<u64>,
    /// 99 % of them.
    pub latency_ns_p99: Option<u64>,
    /// The slowest.
    pub latency_ns_max: Option<u64>,
    /// The most resident memory of the first process.
    pub memory_bytes: Option<u64>,
    /// The most of the others, summed up.
    pub memory_others_bytes: Option<u64>,
}
