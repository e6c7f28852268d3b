//! The columns of an experiment on migration.

/// The name of the run in which nothing moves.
pub const NO_MIGRATION: &str = "none";

/// Columns of a run.
///
/// Latencies *during the migration* are those of what arrived from the moment its first step was
/// sent until a quarter of a second after its last bin arrived. The *usual* largest latency is the
/// median of the largest in stretches of the same length before.
///
/// - `processes`, `workers`: the latter of all processes together
/// - `keys`, `bins`, `rate_per_s`: keys (for a query, events that come before the schedule), bins
///   of each operator with state (0 for plain timely, which has none) and records due per second
/// - `moved_bins`, `moved_keys`, `moved_bytes`: bins that moved, keys in these as a share of all
///   keys, and what these keys and their counts take in their tables, as an estimate; the last two
///   are 0 for a query, whose keys are not counted
/// - `steps`, `migration_start_s`, `migration_end_s`, `duration_ns`: steps, when the first was sent
///   and the last bin had arrived, in seconds since records became due, and the time between
/// - `usual_…`, `migration_…`, `overall_…`: latencies before and during the migration and of all
///   judged records, which so many percent of the records did not exceed; `added_ns`: how much
///   larger the largest during the migration is than usual; may be negative
/// - `memory_before_bytes`, `memory_peak_bytes`, `memory_after_bytes`, `memory_rise_bytes`:
///   resident memory of all processes before the migration, the most of all together at any time
///   during it, at the end, and by how much the peak exceeds what was before
/// - `memory_rise_process_bytes`: by how much the memory of that process rose at most whose memory
///   rose most
/// - `records`, `records_lost`, `records_duplicated`, `groups_miscounted`: emitted, those that
///   built the state up included, results that are missing or too many, and groups of keys whose
///   results are not those of a sequential count
/// - `dropped_records`: activity records that did not fit
pub const COLUMNS: [&str; 34] = [
    "processes",
    "workers",
    "keys",
    "bins",
    "rate_per_s",
    "moved_bins",
    "moved_keys",
    "moved_bytes",
    "steps",
    "migration_start_s",
    "migration_end_s",
    "duration_ns",
    "usual_ns_p50",
    "usual_ns_p99",
    "usual_ns_max",
    "migration_ns_p50",
    "migration_ns_p99",
    "migration_ns_max",
    "added_ns",
    "overall_ns_p50",
    "overall_ns_p90",
    "overall_ns_p99",
    "overall_ns_p9999",
    "overall_ns_max",
    "memory_before_bytes",
    "memory_peak_bytes",
    "memory_after_bytes",
    "memory_rise_bytes",
    "memory_rise_process_bytes",
    "records",
    "records_lost",
    "records_duplicated",
    "groups_miscounted",
    "dropped_records",
];
