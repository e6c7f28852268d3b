//! Maximum with ties in two stages: first per part, then over all parts.

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::plain::{Notifications, share_of};
use super::{Answer, QueryParts, Spans};
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticUnary, Session};
use crate::time::Epoch;

/// The answers of the highest rank.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Leaders {
    rank: u64,
    /// None only before the first has come.
    pub(super) answers: Vec<Answer>,
}

impl Leaders {
    /// Takes an answer into account.
    #[inline]
    pub(super) fn enter(&mut self, rank: u64, answer: impl FnOnce() -> Answer) {
        if self.answers.is_empty() || rank > self.rank {
            self.rank = rank;
            self.answers.clear();
        }
        if rank == self.rank {
            self.answers.push(answer());
        }
    }

    /// Takes others into account.
    pub(super) fn merge(&mut self, other: Leaders) {
        let rank = other.rank;
        other.answers.into_iter().for_each(|answer| self.enter(rank, || answer));
    }
}

/// The leaders of each window, of those of its parts; windows are told apart by their ends, and the
/// leaders of the parts come in the epochs of these ends at the latest. Operator `index` of the
/// query.
pub(super) fn elastic<'s>(leaders: BatchStream<'s, (u64, Leaders)>, parts: &QueryParts<'_, 's>, index: usize) -> BatchStream<'s, Answer> {
    let grid = parts.spans.grid;
    leaders.elastic_unary(
        parts.control(),
        parts.context,
        parts.spec(index),
        &parts.first(index),
        move |until: &u64, other: Leaders, all: &mut Leaders, session: &mut Session<'_, Answer>| {
            if all.answers.is_empty() {
                session.notify_at(Epoch(until + grid));
            }
            all.merge(other);
        },
        |_, all, session| {
            std::mem::take(all).answers.into_iter().for_each(|answer| session.give(answer));
            session.forget();
        },
    )
}

/// The same in plain timely.
pub(super) fn plain<'s>(leaders: StreamVec<'s, Time, (u64, Leaders)>, spans: Spans) -> StreamVec<'s, Time, Answer> {
    let by_window = Exchange::new(|(until, _): &(u64, Leaders)| share_of(until));
    leaders.unary_frontier::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_window, "Top", |_, _| {
        let mut due: Notifications<Leaders> = Notifications::new();
        move |(input, frontier), output| {
            input.for_each(|cap, leaders| {
                for (until, other) in leaders.drain(..) {
                    due.at(until + spans.grid, &cap).merge(other);
                }
            });
            while let Some((cap, all)) = due.next(frontier) {
                output.session(&cap).give_iterator(all.answers.into_iter());
            }
        }
    })
}
