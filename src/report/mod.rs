//! Tables made from recorded rows only; the same rows produce the same text.

mod analysed;
mod bottleneck;
mod columns;
mod comparison;
mod diagnosis;
mod epochs;
mod explain;
mod explanation;
mod merged;
mod page;
mod slow_epochs;
mod spread;
mod table;
mod what_if;

pub use analysed::{Analysed, Division};
pub use bottleneck::{forgotten_waits, merged, ranking, waits};
pub use columns::{order_table, tables};
pub use comparison::{Comparison, Difference, Observed, Side, Unit, Verdict};
pub use diagnosis::{Cause, Diagnosis, diagnosis};
pub use epochs::{epochs, part_label};
pub use explain::{
    Asked, Chapter, Course, Divided, OperatorSeen, Outcome, Parts, Quiet, Recorded, Rescaled, Seen, Span, Speed, Told, Turns, amount_text,
    disables, explain, finding_text, piece_text, rule_text, short_reason,
};
pub use explanation::explanation;
pub use merged::Merged;
pub use page::{Page, Section, claims_table, page};
pub use slow_epochs::{slow_epochs, slow_parts};
pub use spread::merge;
pub use what_if::{bound, what_if};
