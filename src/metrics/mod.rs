//! Rates, queues, backpressure and latency of one window, computed from activity records and nothing else.
//!
//! [`WindowMetrics`] takes records in any order and gives per-instance sums; the formulas of DS2 are methods on them, so
//! that a reader finds each equation in one place. Where records are missing or came twice ([`Ledger`], [`MetricIssue`]), a window is no ground
//! for a decision, or is mended ([`Mend`]).

mod grid;
mod instance;
mod ledger;
mod mend;
mod metric_issue;
mod operator;
mod recorded_slots;
mod source;
mod window;

pub use instance::InstanceMetrics;
pub use ledger::{Balance, Ledger};
pub use mend::Mend;
pub use metric_issue::MetricIssue;
pub use operator::OperatorMetrics;
pub use source::{SourceMetrics, SourceSample};
pub use window::WindowMetrics;
