//! The NEXMark queries, each in two forms: with elastic operators, and in plain timely as one would
//! write it by hand.
//!
//! Each query is a file, whose top says what it asks and how ties count
//! (`papers/nexmark.md#queries`). Both forms read a stream of [`Event`]s of the kinds that the
//! query [reads](Query::kinds), each in the epoch of its time, and emit the same [`Answer`]s,
//! regardless of migration, the number of workers and the order of events within an epoch.
//! `tests/suite/nexmark_oracle.rs` compares them with a third form, in differential dataflow.
//!
//! Delayed answers are emitted at multiples of a [grid](Spans::grid), so that they belong to epochs
//! that a source opens.

mod answer;
mod job;
mod join;
mod leaders;
mod load;
mod parts;
mod plain;
mod q0;
mod q1;
mod q11;
mod q2;
mod q3;
mod q4;
mod q5;
mod q6;
mod q7;
mod q8;
mod query;
mod spans;
mod stateless;
mod tally;
mod winner;

pub use answer::{Answer, Offer, Welcome};
pub use job::{Form, Nexmark};
pub use load::{Load, Loaded};
pub use parts::QueryParts;
pub use query::{Query, QueryError};
pub use spans::Spans;
pub use tally::NexmarkTally;

use timely::dataflow::StreamVec;

use crate::engine::Time;
use crate::engine::elastic::BatchStream;
use crate::workload::nexmark::Event;

/// `query` of elastic operators.
///
/// # Panics
/// If there are fewer parts than operators.
pub fn elastic<'s>(query: Query, events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    match query {
        Query::Q0 | Query::Q1 | Query::Q2 => stateless::elastic(query, events, parts),
        Query::Q3 => q3::elastic(events, parts),
        Query::Q4 => q4::elastic(events, parts),
        Query::Q5 => q5::elastic(events, parts),
        Query::Q6 => q6::elastic(events, parts),
        Query::Q7 => q7::elastic(events, parts),
        Query::Q8 => q8::elastic(events, parts),
        Query::Q11 => q11::elastic(events, parts),
    }
}

/// `query` in plain timely.
pub fn plain<'s>(query: Query, events: StreamVec<'s, Time, Event>, spans: Spans) -> StreamVec<'s, Time, Answer> {
    match query {
        Query::Q0 | Query::Q1 | Query::Q2 => stateless::plain(query, events),
        Query::Q3 => q3::plain(events),
        Query::Q4 => q4::plain(events, spans),
        Query::Q5 => q5::plain(events, spans),
        Query::Q6 => q6::plain(events, spans),
        Query::Q7 => q7::plain(events, spans),
        Query::Q8 => q8::plain(events, spans),
        Query::Q11 => q11::plain(events, spans),
    }
}
