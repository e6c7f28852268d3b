//! Query 4: mean winning price of each category over sliding windows. An auction belongs to the
//! windows in which it expires; the first window begins at 0; the mean is rounded to the nearest
//! cent, halves up. A result is emitted one grid step after its window's end.

use std::collections::BTreeMap;
use std::ops::Range;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::kind::QueryKind;
use super::plain::{Notifications, share_of};
use super::winner::{self, Won};
use super::{Answer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticWindow, KeyBy, WindowFunction, Windows};
use crate::workload::nexmark::{Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind = QueryKind {
    summary: "mean winning price by category",
    reads: Kinds::AuctionsAndBids,
    operators: |bins| vec![("winner", Role::Keyed { bins }), ("average", Role::Keyed { bins })],
    elastic,
    plain,
};

/// `sum / count`, rounded.
pub(super) fn mean(sum: u64, count: u64) -> u64 {
    (sum + count / 2) / count
}

/// Sum and number of prices.
type Sum = (u64, u64);

struct Mean;

impl WindowFunction<u64, Won> for Mean {
    type State = Sum;
    type Result = Answer;

    fn time(&self, won: &Won) -> u64 {
        won.at
    }

    fn add(&mut self, _: &u64, won: Won, sum: &mut Sum) {
        *sum = (sum.0 + won.price, sum.1 + 1);
    }

    fn merge(&mut self, sum: &mut Sum, other: Sum) {
        *sum = (sum.0 + other.0, sum.1 + other.1);
    }

    fn result(&mut self, &of: &u64, window: Range<u64>, (sum, count): Sum) -> Answer {
        Answer::Average { of, until: window.end, price: mean(sum, count) }
    }
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    let Spans { average_size: size, average_slide: slide, grid, .. } = parts.spans;
    let won = winner::elastic(events, parts).key_by(|won: Won| (won.category, won));
    let windows = Windows::Sliding { size, slide };
    won.elastic_window(parts.control(), parts.context, parts.spec(1), &parts.first(1), windows, grid, Mean)
}

fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Answer> {
    let Spans { average_size: size, average_slide: slide, grid, .. } = spans;
    let by_category = Exchange::new(|won: &Won| share_of(&won.category));
    winner::plain(events, spans).unary_frontier::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_category, "Average", |_, _| {
        // A window's end, and the prices in it by category.
        let mut due: Notifications<(u64, BTreeMap<u64, Sum>)> = Notifications::new();
        move |(input, frontier), output| {
            input.for_each(|cap, all| {
                for won in all.drain(..) {
                    let mut start = won.at - won.at % slide;
                    loop {
                        let until = start + size;
                        if until <= won.at {
                            break;
                        }
                        let window = due.at(until + grid, &cap);
                        window.0 = until;
                        let sum = window.1.entry(won.category).or_default();
                        *sum = (sum.0 + won.price, sum.1 + 1);
                        let Some(before) = start.checked_sub(slide) else { break };
                        start = before;
                    }
                }
            });
            while let Some((cap, (until, categories))) = due.next(frontier) {
                let answer = |(of, (sum, count))| Answer::Average { of, until, price: mean(sum, count) };
                output.session(&cap).give_iterator(categories.into_iter().map(answer));
            }
        }
    })
}
