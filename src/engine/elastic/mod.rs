//! Elastic operators: routing by bins, keyed state, timers, and migration between workers.

mod batch;
mod bin;
mod bin_queues;
mod binary;
mod delay;
mod erased;
pub(in crate::engine) mod fault;
mod key_by;
mod key_space;
mod keyed;
mod migrate;
mod router;
mod servers;
mod service_time;
mod session;
mod state_machine;
mod stateless;
mod store;
mod table;
mod timer_queue;
mod timers;
mod transfer;
mod unary;
mod window;

pub(super) use batch::BatchBuilder;
pub use batch::{Batch, BatchStream, IntoBatches};
pub(super) use bin::Bin;
pub use binary::ElasticBinary;
pub use key_by::{KeyBy, KeyedStream, WithKeys};
pub use key_space::bin_of;
pub(super) use key_space::hash_of;
pub use session::Session;
pub use state_machine::ElasticKeyed;
pub use stateless::ElasticStateless;
pub use unary::ElasticUnary;
pub use window::{ElasticWindow, WindowFunction, Windows};
