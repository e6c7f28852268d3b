//! Results of an analysis.

use serde::Serialize;

use super::queries::QueryChange;
use crate::activity::Names;
use crate::critical_path::{EpochOddities, EpochPath, WindowSummary};
use crate::pag::Oddities;

/// Results of an analysis, in order of windows: names that are new, the window's summary, the
/// epochs completed in it, the changes it brings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnalysisResult {
    /// Names that are new from here on, to be [added](Names::add) to those before.
    Names(Names),
    /// A window is complete.
    Window(WindowSummary),
    /// The path of an epoch that was completed in the window before, or after the last one.
    Epoch(EpochPath),
    /// A subject started or stopped matching a query.
    Query(QueryChange),
    /// The log has ended; always the last result. Without it the analysis stopped early.
    End {
        /// What the graph had to leave out.
        oddities: Oddities,
        /// The same for epochs; all zero if they were not followed.
        epoch_oddities: EpochOddities,
        /// Records that [`Analysis::try_push`](super::Analysis::try_push) dropped.
        dropped_records: u64,
    },
}
