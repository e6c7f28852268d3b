//! The epoch critical path: a breakdown of each completed epoch's latency.
//!
//! ```text
//!  records ─► EpochPaths::push: due, opened, completed; LagLedger: who made the lag of each source
//!  GraphBuilder (lanes' stories) ─► Index: where each open epoch's work and receipts lie
//!                                        └► Walk, backwards from the completion ─► EpochPath ─► EpochSummary
//!                                           LagLedger, before the source emitted  ─┘
//!                                           Chains, over what was binding         ─► Gains
//!                                           OwnGraph, forwards and backwards     ─► slack, where asked for
//! ```
//!
//! The latency of an epoch is `completed - due`. The pieces of an [`EpochPath`] tile `[due,
//! completed]`: each starts where the previous one ended, so they add up to the latency to the
//! nanosecond, whatever the log contains. Time that the log does not explain is a piece of kind
//! [`EpochPieceKind::Unknown`].
// papers/snailtrail-nsdi18.md#epoch-critical-path

mod backpressure;
mod chain;
mod index;
mod lag;
mod ledger;
mod moves;
mod partitions;
mod path;
mod paths;
mod slack;
mod summary;
#[cfg(test)]
mod tests;
mod walk;

pub use lag::LagOwner;
pub use ledger::{LagLedger, SourceLag};
pub use path::{Behind, EpochPath, EpochPiece, EpochPieceKind, Gains};
pub use paths::{EpochOddities, EpochPaths};
pub use summary::{EpochPart, EpochSummary, FurtherParts, OperatorLatency, PartLatency};
