//! Small statistics that more than one module needs: latency histograms, medians and slopes.

mod histogram;
mod median;
mod slope;

pub use histogram::LatencyHistogram;
pub use median::{lower_median, median};
pub use slope::slope;
