//! The timely host: elastic operators, the worker threads of a process, jobs, and recording.
//!
//! The only module that names timely. It executes [`migration::Step`](crate::migration::Step)s and
//! emits [`activity::Record`](crate::activity::Record)s; it makes no decisions and computes no
//! metrics.
//!
//! | wing | contents |
//! |---|---|
//! | `elastic` | elastic operators: routing by bins, keyed state, timers, migration |
//! | `host` | worker threads of one process: start and stop, clock, commands, activity log, queue lengths |
//! | [`cluster`] | several processes: rendezvous, control and data connections |
//! | `jobs` | word count, key count, chain of operators; sources and sinks |
//! | [`nexmark`] | the NEXMark queries, with elastic operators and in plain timely |
//! | `record` | recording of any timely or differential program |
//! | `analysis` | the activity analysis as a timely computation, and standing queries on it |
//!
//! How an elastic operator is built (after Megaphone, VLDB'19, with the differences of
//! `papers/megaphone-vldb19.md#single-round`):
//!
//! ```text
//!            control (broadcast, a horizon ahead of the data)
//!               │                       │
//!  batches ──► router ──exchange──► operator ──► batches
//!                                    │    ▲
//!                                    └────┘ state of migrating bins (feedback, no path back to the data)
//! ```
//!
//! The router looks up the owner of a record's bin in the routing table of the record's epoch. The
//! operator applies epochs in order, ships the state of a bin as soon as nothing older can arrive
//! for it, and delays only records of bins *in flight*.
//!
//! Four forms of keyed operators share this: [`ElasticKeyed`] (a state machine), [`ElasticUnary`]
//! (with timers), [`ElasticBinary`] (two inputs), [`ElasticWindow`] (event-time windows). Stateless
//! operators are [`ElasticStateless`].

mod analysis;
pub mod cluster;
mod elastic;
mod host;
mod jobs;
pub mod nexmark;
mod record;
#[cfg(test)]
mod seeded_faults;

pub use analysis::queries::{MOST_WINDOWS, Part, QueryChange, QueryError, QuerySubject, Span, StandingQuery};
pub use analysis::{Analysis, AnalysisConfig, AnalysisResult, merged, path_numbers};
pub use elastic::{
    Batch, BatchStream, ElasticBinary, ElasticKeyed, ElasticStateless, ElasticUnary, ElasticWindow, IntoBatches, KeyBy, KeyedStream,
    Session, WindowFunction, Windows, WithKeys, bin_of,
};
pub use host::{
    Ack, Clock, Command, Context, ControlStream, Dropped, ExternalWait, Link, LogBatch, OperatorSpec, Places, Progress, QueueBoard,
    QueueMeters, Recorder, RunError, Running, WorkerPart, commands_of, link, stay_on_core, time_on_core,
};
pub use jobs::{DrainToSink, EngineJob, Job, OpenLoop, OperatorConfig, SourceConfig, Verdict, chain, key_count, word_count, work_chain};
pub use record::{AsEpoch, RecordError, Recorded, Recording, RecordingFile, RecordingSink, record};

/// Logical time of the engine: the number of an [`Epoch`](crate::time::Epoch).
pub type Time = u64;
