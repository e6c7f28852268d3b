//! Random streams of NEXMark with random migrations, and the three forms of its queries.

mod case;
mod differential;
mod forms;

pub use case::Case;
pub use differential::differential;
pub use forms::{elastic, plain};
