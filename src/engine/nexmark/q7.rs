//! Query 7: the bids with the highest price, all of them at a tie, in each window of a fixed length. An answer is given out a grid after
//! its window's end.

use std::ops::Range;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use super::batches::mapped;
use super::leaders::{self, Leaders, PARTS};
use super::plain::Due;
use super::spans::end_of;
use super::{Answer, Parts, Spans};
use crate::engine::{BatchStream, ElasticWindow, Time, WindowFunction, Windows};
use crate::workload::nexmark::{Bid, Event};

struct Best;

impl WindowFunction<u64, Bid> for Best {
    type State = Leaders;
    type Result = (u64, Leaders);

    fn time(&self, bid: &Bid) -> u64 {
        bid.at
    }

    fn add(&mut self, _: &u64, bid: Bid, best: &mut Leaders) {
        best.enter(bid.price, || Answer::Bid(bid));
    }

    fn merge(&mut self, best: &mut Leaders, other: Leaders) {
        best.merge(other);
    }

    fn result(&mut self, _: &u64, window: Range<u64>, best: Leaders) -> (u64, Leaders) {
        (window.end, best)
    }
}

fn bid(event: Event) -> Bid {
    let Event::Bid(bid) = event else { unreachable!("the query reads bids") };
    bid
}

pub(super) fn elastic<'s>(events: BatchStream<'s, Event>, parts: &Parts<'_, 's>) -> BatchStream<'s, Answer> {
    let windows = Windows::Tumbling { size: parts.spans.best_size };
    // Parts by price: no price is hot.
    let bids = mapped(events, |event| {
        let bid = bid(event);
        (bid.price % PARTS, bid)
    });
    let best = bids.elastic_window(parts.control(), parts.context, parts.spec(0), &parts.first(0), windows, 0, Best);
    leaders::elastic(best, parts, 1)
}

pub(super) fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Answer> {
    // Any worker may find the best of any bids, so they stay where they are.
    let best = events.unary_frontier::<CapacityContainerBuilder<Vec<(u64, Leaders)>>, _, _, _>(Pipeline, "Best", |_, _| {
        let mut due: Due<(u64, Leaders)> = Due::new();
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
