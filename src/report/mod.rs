//! Tables made from recorded rows only; the same rows produce the same text.

mod bottleneck;
mod comparison;
mod decisions;
mod epochs;
mod explain;
mod explanation;
mod fidelity;
mod migration;
mod overhead;
mod page;
mod ranking;
mod simulated;
mod spread;
mod suite;
mod table;
mod window_latency;

pub use bottleneck::{ranking, waits};
pub use comparison::comparison;
pub use decisions::{DecisionLine, decisions};
pub use epochs::{epochs, part_label};
pub use explain::{Chapter, Course, Divided, OperatorSeen, Outcome, Quiet, Recorded, Rescaled, Seen, Span, Speed, Told, Turns, explain};
pub use explanation::explanation;
pub use fidelity::fidelity_table;
pub use migration::migration_table;
pub use overhead::overhead_table;
pub use page::{Page, Section, claims_table, page};
pub use ranking::ranking_table;
pub use simulated::simulated_table;
pub use spread::spread;
pub use suite::{order_table, path_table, suite_table};
pub use window_latency::window_latency_table;
