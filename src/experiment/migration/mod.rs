//! What a migration does to latency and memory: the experiments after Megaphone (VLDB'19) and its precursor (BeyondMR'18).
//!
//! A count over many keys, or a query of NEXMark, runs under an open loop while bins move by plan. Each setting runs under each strategy, and under none:
//! what the machine does to latency by itself is measured with the same eyes. Definition, run, rows, summary are a file each.

mod definition;
mod job;
mod latency;
mod memory;
mod rows;
mod run;
mod summary;

pub use definition::{Chart, Layout, MigrationDefinition, MigrationExpectation, PaperPoint, ScaledCount, ScaledSeconds, Setting};
pub use job::{MigrationJob, Placement};
pub use latency::{Latencies, Stretch};
pub use memory::{Memory, resident_bytes};
pub use rows::{MigrationRow, MigrationTimelineRow, NO_MIGRATION, STRATEGY_ORDER, strategy_rank};
pub use run::{Migrated, MigrationRun, MigrationSpan};
pub use summary::MigrationSummary;
