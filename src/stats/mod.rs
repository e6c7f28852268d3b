//! Small statistics that more than one module needs: latency histograms and slopes.

mod histogram;
mod slope;

pub use histogram::LatencyHistogram;
pub use slope::slope;
