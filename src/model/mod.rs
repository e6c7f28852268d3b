//! Models of a job, learned over windows: the demand of each operator for a given load, capacity
//! curves, the latency of a configuration, and the cost of changing it.
//!
//! Everything here is learned from [`Observation`](crate::observation::Observation)s only, and is
//! kept: a curve observed under one load is valid under the next. Invariant: values that were not
//! measured are absent, and every returned number is finite.

mod change;
mod curve;
mod flow;
mod latency;
mod relative;
mod sharing;
mod speed;
mod what_if;

pub use change::{ChangeCost, ChangeModel};
pub use curve::CapacityModel;
pub use flow::FlowModel;
pub use latency::{Hop, LatencyModel, longest};
pub use relative::RelativeSpeeds;
pub use sharing::{Fit, Needs, Sharing};
pub use speed::Speeds;
pub use what_if::{Prediction, Predictor, Station, WhatIf, WorkedOut};
