//! Configuration of an analysis.

use std::time::Duration;

use super::queries::StandingQuery;
use crate::pag::GraphConfig;
use crate::time::{Timestamp, Window};

/// Windows under way for each worker, at most.
pub(super) const UNDER_WAY_A_WORKER: usize = 4;
/// Default number of batches of records that may wait.
pub(super) const WAITING_BATCHES: usize = 256;

/// Configuration of an analysis.
#[derive(Clone, Debug)]
pub struct AnalysisConfig {
    /// Worker threads; at least 1.
    pub workers: u32,
    /// How the graph is built; its window is that of the summaries.
    pub graph: GraphConfig,
    /// Whether epochs are followed too. Their paths reach back as far as [`GraphConfig::history`]:
    /// set it to the longest latency that is to be explained.
    pub epochs: bool,
    /// Seed of the random paths; each window's path depends on it and on the window's start.
    pub seed: u64,
    /// Workers of the job. No window closes before that many have reported how far their log has
    /// come ([`Record::UpTo`](crate::activity::Record::UpTo)); 0 to go by those that are known.
    pub awaited: usize,
    /// Standing queries.
    pub queries: Vec<StandingQuery>,
    /// Windows outside of it are left out. Once one begins after its end, the analysis takes no
    /// more records.
    pub stretch: Window,
    /// Batches of records that may wait, at most; a batch is whatever is pushed at once.
    pub waiting_batches: usize,
}

impl AnalysisConfig {
    /// One worker, windows of `window`, no queries.
    pub fn new(window: Duration) -> AnalysisConfig {
        let stretch = Window { start: Timestamp::ZERO, end: Timestamp(u64::MAX) };
        AnalysisConfig {
            workers: 1,
            graph: GraphConfig::new(window),
            epochs: false,
            seed: 0,
            awaited: 0,
            queries: Vec::new(),
            stretch,
            waiting_batches: WAITING_BATCHES,
        }
    }
}

/// A length of time in nanoseconds.
pub(super) fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
