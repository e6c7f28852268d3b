//! Who is first, and who is first with them: in two steps, first in parts and then in all.

use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::plain::{Due, share_of};
use super::{Answer, Parts, Spans};
use crate::engine::{BatchStream, ElasticUnary, Session, Time};
use crate::time::Epoch;

/// Elastic queries look for the first in so many parts: enough that instances have nearly equal numbers of them.
pub(super) const PARTS: u64 = 1024;

/// Those of the highest rank.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Leaders<T> {
    pub(super) rank: u64,
    /// None only before the first has come.
    pub(super) items: Vec<T>,
}

impl<T> Default for Leaders<T> {
    fn default() -> Self {
        Leaders { rank: 0, items: Vec::new() }
    }
}

impl<T> Leaders<T> {
    /// Takes `item` into account.
    #[inline]
    pub(super) fn enter(&mut self, rank: u64, item: T) {
        if self.items.is_empty() || rank > self.rank {
            self.rank = rank;
            self.items.clear();
        }
        if rank == self.rank {
            self.items.push(item);
        }
    }

    /// Takes others into account.
    pub(super) fn merge(&mut self, other: Leaders<T>) {
        let rank = other.rank;
        other.items.into_iter().for_each(|item| self.enter(rank, item));
    }
}

/// The leaders of each window, of those of its parts; windows are told apart by their ends, in whose epochs the leaders of the parts
/// come. Operator `index` of the query.
pub(super) fn elastic<'s, T: ExchangeData>(
    leaders: BatchStream<'s, (u64, Leaders<T>)>,
    parts: &Parts<'_, 's>,
    index: usize,
    answer: fn(u64, u64, T) -> Answer,
) -> BatchStream<'s, Answer> {
    let grid = parts.spans.grid;
    leaders.elastic_unary(
        parts.control(),
        parts.context,
        parts.spec(index),
        &parts.first(index),
        move |_: &u64, other: Leaders<T>, all: &mut Leaders<T>, session: &mut Session<'_, Answer>| {
            all.merge(other);
            session.notify_at(Epoch(session.epoch().0 + grid));
        },
        move |&until, all, session| {
            let Leaders { rank, items } = std::mem::take(all);
            items.into_iter().for_each(|item| session.give(answer(until, rank, item)));
            session.forget();
        },
    )
}

/// The same in plain timely.
pub(super) fn plain<'s, T: ExchangeData>(
    leaders: StreamVec<'s, Time, (u64, Leaders<T>)>,
    spans: Spans,
    answer: fn(u64, u64, T) -> Answer,
) -> StreamVec<'s, Time, Answer> {
    let by_window = Exchange::new(|(until, _): &(u64, Leaders<T>)| share_of(until));
    leaders.unary_frontier::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_window, "Top", |_, _| {
        let mut due: Due<(u64, Leaders<T>)> = Due::new();
        move |(input, frontier), output| {
            input.for_each(|cap, leaders| {
                for (until, other) in leaders.drain(..) {
                    let all = due.at(until + spans.grid, &cap);
                    all.0 = until;
                    all.1.merge(other);
                }
            });
            while let Some((cap, (until, Leaders { rank, items }))) = due.next(frontier) {
                output.session(&cap).give_iterator(items.into_iter().map(|item| answer(until, rank, item)));
            }
        }
    })
}
