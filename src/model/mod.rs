//! What is known of a job beyond its last window: what the load asks of each operator, how much its instances can do together, how
//! long records would take through a configuration, and what a change of it costs.
//!
//! Everything here is learned from [`Observation`](crate::observation::Observation)s and nothing else, and keeps what it learned: a
//! curve seen under one load holds under the next. Invariant: what was not measured is absent, and every number given out is finite.

mod change;
mod curve;
mod flow;
mod latency;
mod relative;
mod speed;
mod what_if;

pub use change::{ChangeCost, ChangeModel};
pub use curve::CapacityModel;
pub use flow::FlowModel;
pub use latency::{Hop, LatencyModel, longest};
pub use relative::RelativeSpeeds;
pub use speed::Speeds;
pub use what_if::{Prediction, Predictor, Station, WhatIf, WorkedOut};
