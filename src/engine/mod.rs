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

mod analysis;
pub mod cluster;
mod elastic;
mod host;
mod jobs;
pub mod nexmark;
mod record;

pub use analysis::queries::{MOST_WINDOWS, Part, QueryChange, QueryError, QuerySubject, Span, StandingQuery};
pub use analysis::{Analysis, AnalysisConfig, AnalysisResult, merged, path_numbers};
pub use elastic::{
    Batch, BatchStream, ElasticBinary, ElasticKeyed, ElasticStateless, ElasticUnary, ElasticWindow, IntoBatches, KeyBy, KeyedStream,
    Session, WindowFunction, Windows, WithKeys, bin_of, fault,
};
pub use host::{
    Ack, Board, Clock, Command, Context, ControlStream, Dropped, ExternalWait, Gauges, Link, LogBatch, OperatorSpec, Progress, Recorder,
    RunError, Running, WorkerPart, commands_of, link,
};
pub use jobs::{DrainToSink, EngineJob, Job, OpenLoop, OperatorConfig, SourceConfig, Verdict, chain, key_count, word_count};
pub use record::{AsEpoch, RecordError, Recorded, Recording, RecordingFile, RecordingSink, record};

/// Logical time of the engine: the number of an [`Epoch`](crate::time::Epoch).
pub type Time = u64;
