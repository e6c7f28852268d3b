//! The epoch critical path: of what each completed epoch's latency consists, piece by piece.
//!
//! ```text
//!  records ─► EpochPaths::push: due, opened, completed, backpressure
//!  GraphBuilder (lanes' stories) ─► Index: where each open epoch's work and receipts lie
//!                                        └► Walk, backwards from the completion ─► EpochPath ─► EpochSummary
//!                                           Chain, from what was binding          ─► most to gain
//! ```
//!
//! Latency of an epoch is `completed - due`. The pieces of an [`EpochPath`] tile `[due, completed]`: each begins where the one
//! before ended, so they add up to the latency to the nanosecond whatever the log says. What the log does not tell is one piece
//! of kind [`EpochPieceKind::Unknown`].
// papers/snailtrail-nsdi18.md#epoch-critical-path

mod backpressure;
mod index;
mod path;
mod paths;
mod summary;
#[cfg(test)]
mod tests;
mod walk;

pub use path::{Behind, EpochPath, EpochPiece, EpochPieceKind};
pub use paths::{EpochOddities, EpochPaths};
pub use summary::{EpochPart, EpochSummary, OperatorLatency, PartLatency};
