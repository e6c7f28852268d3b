//! Workloads: when records are due, and their content. Deterministic; seeds and times are passed
//! in.

pub mod load;
pub mod nexmark;
mod partition;
mod schedule;
mod shape;
mod text;
mod work;

pub use partition::Partition;
pub use schedule::{Phase, RateSchedule, ScheduleError};
pub use shape::{Shape, ShapeError, Step};
pub use text::{Sentence, SentenceLength, Text, TextError};
pub use work::{Computation, Documents, MOST_TIMES, Work};
