//! Query 7: the bids with the highest price, including ties, in each window of a fixed length. A
//! result is emitted one grid step after its window's end.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use super::kind::QueryKind;
use super::leaders::{self, Leaders};
use super::plain::Notifications;
use super::spans::end_of;
use super::{Answer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticStateless};
use crate::workload::nexmark::{Bid, Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind = QueryKind {
    summary: "highest bids",
    reads: Kinds::Bids,
    operators: |bins| vec![("best", Role::Stateless), ("top", Role::Keyed { bins })],
    elastic,
    plain,
};

#[inline]
fn bid(event: Event) -> Bid {
    let Event::Bid(bid) = event else { unreachable!("the query reads bids") };
    bid
}

/// The highest bids of each window among bids that come together: any instance may find them among
/// any bids.
#[inline]
fn enter(best: &mut Vec<(u64, Leaders)>, bid: Bid, spans: Spans) {
    let until = end_of(bid.at, spans.best_size);
    let place = best.iter().rposition(|(other, _)| *other == until).unwrap_or(best.len());
    if place == best.len() {
        best.push((until, Leaders::default()));
    }
    best[place].1.enter(bid.price, || Answer::Bid(bid));
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    let (spans, instances) = (parts.spans, parts.instances(0));
    let best = events.elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, move |event, best| {
        enter(best, bid(event), spans);
    });
    leaders::elastic(best, parts, 1)
}

fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Answer> {
    // Any worker may find the best of any bids, so they stay where they are.
    let best = events.unary_frontier::<CapacityContainerBuilder<Vec<(u64, Leaders)>>, _, _, _>(Pipeline, "Best", |_, _| {
        let mut due: Notifications<(u64, Leaders)> = Notifications::new();
        move |(input, frontier), output| {
            input.for_each(|cap, events| {
                for bid in events.drain(..).map(bid) {
                    let until = end_of(bid.at, spans.best_size);
                    let best = due.at(until, &cap);
                    best.0 = until;
                    best.1.enter(bid.price, || Answer::Bid(bid));
                }
            });
            while let Some((cap, best)) = due.next(frontier) {
                output.session(&cap).give(best);
            }
        }
    });
    leaders::plain(best, spans)
}
