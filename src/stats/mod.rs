//! Statistics shared by several modules: latency histograms, medians and slopes.

mod histogram;
mod median;
mod slope;

pub use histogram::LatencyHistogram;
pub use median::{lower_median, median};
pub use slope::slope;
