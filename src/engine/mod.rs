//! The timely host: elastic operators, their routing and migration, sources, sinks, recording.
//!
//! The only module that names timely. It obeys [`migration::Step`](crate::migration::Step)s and emits
//! [`activity::Record`](crate::activity::Record)s; it decides nothing and computes no metric.
//!
//! How an elastic operator is built (after Megaphone, VLDB'19, with the differences of
//! `papers/megaphone-vldb19.md#single-round`):
//!
//! ```text
//!            control (broadcast, a horizon ahead of the data)
//!               │                       │
//!  batches ──► router ──exchange──► operator ──► batches
//!                                    │    ▲
//!                                    └────┘ state of moving bins (feedback, no path back to the data)
//! ```
//!
//! The router looks the owner of a record's bin up in the routing table that holds at the record's epoch. The operator
//! applies epochs in order, ships the state of a bin as soon as nothing older can arrive for it, and makes only records of
//! bins *in flight* wait.
//!
//! Four forms of operators with state by key share that: [`ElasticKeyed`] (a state machine), [`ElasticUnary`] (with timers),
//! [`ElasticBinary`] (two inputs), [`ElasticWindow`] (windows by event time). Stateless ones are [`ElasticStateless`].

mod alarm;
mod analysis;
mod batch;
mod bin;
mod binary;
mod bins;
pub mod chain;
mod clock;
mod closed_loop;
pub mod cluster;
mod contents;
mod context;
mod control;
mod crew;
mod delay;
mod due;
pub mod fault;
mod feed;
mod gauge;
mod job;
mod key_by;
pub mod key_count;
mod keyed;
mod motion;
pub mod nexmark;
mod pace;
mod queries;
mod record;
mod recorder;
mod router;
mod running;
mod seal;
mod serve;
mod session;
mod sink;
mod source;
mod space;
mod state_machine;
mod stateless;
mod table;
mod timers;
mod transfer;
mod unary;
mod waits;
mod window;
pub mod word_count;

pub use analysis::{Analysis, AnalysisConfig, AnalysisResult, merged, path_numbers};
pub use batch::{Batch, BatchStream, IntoBatches};
pub use bin::bin_of;
pub use binary::ElasticBinary;
pub use clock::Clock;
pub use context::{Context, OperatorSpec};
pub use control::{Ack, Command, ControlStream, Progress, commands_of};
pub use crew::WorkerPart;
pub use gauge::{Board, Gauges};
pub use job::{EngineJob, Job};
pub use key_by::{KeyBy, KeyedStream, WithKeys};
pub use queries::{MOST_WINDOWS, Part, QueryChange, QueryError, QuerySubject, Span, StandingQuery};
pub use record::{AsEpoch, RecordError, Recorded, Recording, RecordingFile, RecordingSink, record};
pub use recorder::{Dropped, Link, LogBatch, Recorder, link};
pub use running::{RunError, Running};
pub use session::Session;
pub use sink::DrainToSink;
pub use source::{OpenLoop, SourceConfig};
pub use state_machine::ElasticKeyed;
pub use stateless::ElasticStateless;
pub use unary::ElasticUnary;
pub use waits::ExternalWait;
pub use window::{ElasticWindow, WindowFunction, Windows};
pub use word_count::Verdict;

/// Logical time of the engine: the number of an [`Epoch`](crate::time::Epoch).
pub type Time = u64;
