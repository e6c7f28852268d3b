//! Rates, queues, backpressure and latency of one window, computed from activity records only.
//!
//! [`WindowMetrics`] takes records in any order and returns sums per instance; the formulas of DS2
//! are methods on them, so that each equation is in one place. A window with missing or duplicated
//! records ([`Ledger`], [`MetricIssue`]) is not used for decisions, or is corrected ([`Mend`]).

mod grid;
mod instance;
mod ledger;
mod mend;
mod metric_issue;
mod operator;
mod recorded_slots;
mod source;
mod window;
mod worker;

pub use instance::InstanceMetrics;
pub use ledger::{Balance, Ledger};
pub use mend::Mend;
pub use metric_issue::MetricIssue;
pub use operator::OperatorMetrics;
pub use source::{SourceMetrics, SourceSample};
pub use window::WindowMetrics;
pub use worker::{CoreSample, CoreTime, WorkerMetrics};
