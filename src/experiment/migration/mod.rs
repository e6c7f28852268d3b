//! What a migration does to latency and memory: the experiments after Megaphone (VLDB'19) and its
//! precursor (BeyondMR'18).
//!
//! A count over many keys, or a query of NEXMark, runs under an open loop while bins move by plan.
//! Each setting runs under each strategy, and under none: what the machine does to latency by
//! itself is measured with the same eyes. Definition, run and rows are a file each.

mod definition;
mod job;
mod latency;
mod memory;
mod rows;
mod run;

pub use definition::{Layout, MigrationDefinition, Setting};
pub use job::{MigrationJob, Placement};
pub use latency::{Latencies, Stretch};
pub use memory::{Memory, resident_bytes};
pub use rows::NO_MIGRATION;
pub use run::{Migrated, MigrationRun, MigrationSpan};
