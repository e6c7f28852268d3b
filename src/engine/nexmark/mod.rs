//! The NEXMark queries, each in two forms: with elastic operators, and in plain timely as one would
//! write it by hand.
//!
//! Each query is a file, whose top says what it asks and how ties count
//! (`papers/nexmark.md#queries`), and a line in the [registry](Query). Both forms read a stream of
//! [`Event`](crate::workload::nexmark::Event)s of the kinds that the query [reads](Query::kinds),
//! each in the epoch of its time, and emit the same [`Answer`]s, regardless of migration, the
//! number of workers and the order of events within an epoch. `tests/suite/nexmark_oracle.rs`
//! compares them with a third form, in differential dataflow.
//!
//! Delayed answers are emitted at multiples of a [grid](Spans::grid), so that they belong to epochs
//! that a source opens.

mod answer;
mod job;
mod join;
mod kind;
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
