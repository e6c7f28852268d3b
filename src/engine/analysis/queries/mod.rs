//! Standing queries on the analysis, kept incrementally with differential dataflow.
//!
//! Every query comes down to the same: each window contributes an amount to some subjects,
//! contributions of the last n windows add up, and a sum above a bound is a hit.
//!
//! ```text
//!  window w ─► facts ((query, subject), w, +amount) ─► and at w + n, -amount ─► sums by (query, subject) ─► above the bound?
//! ```
//!
//! The amount is the *difference* of an update, so that a sum is the multiplicity of its subject:
//! one number is kept for a subject that some query still sees, and one retraction for each
//! contribution of the last n windows. Invariant: at each window the changes so far add up to what
//! a computation from scratch over the last n windows finds; state does not grow with the length of
//! the run.

mod language;
mod spans;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::operators::ThresholdTotal;
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;

pub use language::{MOST_WINDOWS, Part, QueryError, Span, StandingQuery};
pub(super) use spans::LongSpans;

use self::language::WHOLE;
use crate::activity::{Lane, Names};
use crate::critical_path::{By, Entity, WindowSummary};
use crate::engine::Time;
use crate::id::{ChannelId, InstanceId};
use crate::time::Window;

/// Subject of a query's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuerySubject {
    /// An operator, an instance or a channel; what an operator waits for outside.
    Entity(Entity),
    /// The job's epochs.
    Epochs,
    /// Waits of one pattern.
    Wait {
        /// The waiting instance.
        lane: Lane,
        /// Channel of the message.
        channel: ChannelId,
        /// Its sender.
        from: Lane,
        /// What the sender does before, if known.
        cause: Option<InstanceId>,
    },
}

/// Number of a query, and what it concerns.
pub(super) type Fact = (u32, QuerySubject);

/// A subject started or stopped matching a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueryChange {
    /// The query.
    pub query: StandingQuery,
    /// The window from which on it holds or no longer holds. In order with the summaries; one in
    /// which nothing happened has none.
    pub window: Window,
    /// What it is about.
    pub subject: QuerySubject,
    /// The subject as text.
    pub text: String,
    /// Whether it started to match; otherwise it stopped.
    pub appeared: bool,
}

impl StandingQuery {
    /// Whether contributions of the last windows that add up to `sum` are a hit.
    fn holds(&self, sum: i128) -> bool {
        match *self {
            StandingQuery::ParticipationOver { above, windows, .. } => sum > i128::from(above) * i128::from(windows),
            StandingQuery::ParticipationInEach { windows, .. } => sum >= i128::from(windows),
            StandingQuery::Longer { .. } => sum > 0,
            StandingQuery::WaitOver { above, .. } => sum > above.as_nanos() as i128,
            StandingQuery::WaitIn { least, .. } => sum >= i128::from(least),
        }
    }
}

/// What window number `time` contributes to `queries`; `long` took too long in it.
pub(super) fn facts(queries: &[StandingQuery], time: Time, summary: &WindowSummary, long: &[Fact]) -> Vec<(Fact, Time, i128)> {
    let mut amounts: BTreeMap<Fact, i128> = long.iter().map(|fact| (*fact, 1)).collect();
    for (number, query) in (0..).zip(queries) {
        match query {
            StandingQuery::ParticipationOver { part, .. } => {
                for (entity, share) in shares(summary, *part) {
                    amounts.insert((number, entity), share.into());
                }
            }
            StandingQuery::ParticipationInEach { part, above, .. } => {
                for (entity, _) in shares(summary, *part).filter(|(_, share)| share > above) {
                    amounts.insert((number, entity), 1);
                }
            }
            StandingQuery::Longer { .. } => {}
            StandingQuery::WaitOver { .. } | StandingQuery::WaitIn { .. } => {
                for wait in &summary.waits {
                    let subject = QuerySubject::Wait { lane: wait.lane, channel: wait.channel, from: wait.from, cause: wait.cause };
                    let amount = if matches!(query, StandingQuery::WaitIn { .. }) { 1 } else { wait.ns.into() };
                    amounts.insert((number, subject), amount);
                }
            }
        }
    }
    amounts.into_iter().filter(|(_, amount)| *amount != 0).map(|(fact, amount)| (fact, time, amount)).collect()
}

/// Participations in parts per billion.
fn shares(summary: &WindowSummary, part: Part) -> impl Iterator<Item = (QuerySubject, u64)> {
    let by = match part {
        Part::Operator => By::Operator,
        Part::Instance => By::Instance,
        Part::Channel => By::Channel,
    };
    let asked = move |entity: &Entity| match part {
        Part::Operator | Part::Instance => matches!(entity, Entity::Operator(_) | Entity::Instance(_) | Entity::Outside(_)),
        Part::Channel => matches!(entity, Entity::Channel(_)),
    };
    let entries = summary.ranking(by).into_iter().filter(move |entry| asked(&entry.entity));
    entries.map(|entry| (QuerySubject::Entity(entry.entity), (entry.participation * WHOLE as f64).round() as u64))
}

/// The changes that `facts` bring about, at the number of the window in which they do.
pub(super) fn watch<'s>(
    facts: StreamVec<'s, Time, (Fact, Time, i128)>,
    queries: Arc<[StandingQuery]>,
) -> StreamVec<'s, Time, (Fact, Time, isize)> {
    use timely::dataflow::operators::vec::Map;

    let asked = Arc::clone(&queries);
    let sliding = facts.flat_map(move |(fact, time, amount)| {
        let windows = asked[fact.0 as usize].windows();
        [(fact, time, amount), (fact, time.saturating_add(windows.into()), -amount)]
    });
    sliding.as_collection().threshold_total(move |(query, _), sum| isize::from(queries[*query as usize].holds(*sum))).inner
}

impl QueryChange {
    /// The change of `subject` as an answer to `query` at `window`.
    pub(super) fn new(query: StandingQuery, window: Window, subject: QuerySubject, appeared: bool) -> QueryChange {
        let verb = if appeared { "appeared" } else { "vanished" };
        QueryChange { query, window, subject, text: format!("{subject} {verb} at {}: {query}", window.start), appeared }
    }
}

impl fmt::Display for QueryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl QuerySubject {
    /// Its name for people, with the names that the log gives.
    pub fn label(&self, names: &Names) -> String {
        match self {
            QuerySubject::Entity(entity) => entity.label(names),
            QuerySubject::Epochs => "epochs".to_owned(),
            QuerySubject::Wait { lane, channel, from, cause } => {
                let wait = format!("{} waiting for {} on {}", names.lane(*lane), names.lane(*from), names.channel(*channel));
                cause.map_or(wait.clone(), |cause| format!("{wait}, which was at work for {}", names.instance(cause)))
            }
        }
    }
}

impl fmt::Display for QuerySubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label(&Names::default()))
    }
}
