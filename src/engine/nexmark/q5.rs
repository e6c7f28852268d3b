//! Query 5: the auctions with the most bids, including ties, in each sliding window that has any
//! bids. The first windows begin before 0. A result is emitted one grid step after its window's
//! end.
//!
//! Auctions are counted in parts and the maxima of the parts compared, so that the work of the
//! second step does not grow with the number of auctions.

// Counts are only looked up and compared, and those that are equal sorted.
#![allow(clippy::disallowed_types)]

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::kind::QueryKind;
use super::leaders::{self, Leaders};
use super::plain::{Notifications, share_of};
use super::spans::end_of;
use super::{Answer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticUnary, KeyBy, Session};
use crate::time::Epoch;
use crate::workload::nexmark::{Bid, Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind = QueryKind {
    summary: "auctions with the most bids",
    reads: Kinds::Bids,
    operators: |bins| vec![("count", Role::Keyed { bins }), ("top", Role::Keyed { bins })],
    elastic,
    plain,
};

/// Number of parts in which auctions are counted: enough that instances have nearly equal numbers
/// of them.
const PARTS: u64 = 1024;

/// Bids by auction, of the last window and of slices that are not over: a slice is as long as a
/// slide.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counts {
    /// Slices that are not over, by their ends, the latest last.
    open: VecDeque<(u64, FxHashMap<u64, u32>)>,
    /// Slices that are over, by their ends, oldest first, as far as they are in the last window.
    over: VecDeque<(u64, Vec<(u64, u32)>)>,
    /// Sums of these.
    window: FxHashMap<u64, u32>,
}

impl Counts {
    /// Counts a bid in the slice that ends at `end`; returns whether it is the slice's first.
    #[inline]
    fn add(&mut self, end: u64, auction: u64) -> bool {
        let place = self.open.iter().rposition(|(other, _)| *other <= end);
        if let Some((_, counts)) = place.map(|place| &mut self.open[place]).filter(|(other, _)| *other == end) {
            *counts.entry(auction).or_default() += 1;
            return false;
        }
        self.open.insert(place.map_or(0, |place| place + 1), (end, FxHashMap::from_iter([(auction, 1)])));
        true
    }

    /// Ends the slice up to `end` and gives the auctions with the most bids in the window of that
    /// many slices of `slide` that ends with it.
    fn close(&mut self, end: u64, Spans { hot_slide, hot_slides, .. }: Spans) -> Option<Leaders> {
        if let Some((_, counts)) = take_first(&mut self.open, |first| first <= end) {
            let counts: Vec<(u64, u32)> = counts.into_iter().collect();
            counts.iter().for_each(|&(auction, count)| *self.window.entry(auction).or_default() += count);
            self.over.push_back((end, counts));
        }
        while let Some((_, counts)) = take_first(&mut self.over, |first| first + hot_slide * hot_slides <= end) {
            for (auction, count) in counts {
                let left = self.window.get_mut(&auction).expect("what was added");
                *left -= count;
                if *left == 0 {
                    self.window.remove(&auction);
                }
            }
        }
        let mut leaders = Leaders::default();
        for (&auction, &count) in &self.window {
            let bids = u64::from(count);
            leaders.enter(bids, || Answer::Hot { until: end, auction, bids });
        }
        leaders.answers.sort_unstable();
        (!leaders.answers.is_empty()).then_some(leaders)
    }
}

/// Takes the first of what has times off, if its time is such.
fn take_first<T>(all: &mut VecDeque<(u64, T)>, such: impl Fn(u64) -> bool) -> Option<(u64, T)> {
    all.front().is_some_and(|&(at, _)| such(at)).then(|| all.pop_front()).flatten()
}

fn part_and_bid(event: Event) -> (u64, (u64, u64)) {
    let Event::Bid(Bid { auction, at, .. }) = event else { unreachable!("the query reads bids") };
    (auction % PARTS, (auction, at))
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    let spans = parts.spans;
    let hot = events.key_by(part_and_bid).elastic_unary(
        parts.control(),
        parts.context,
        parts.spec(0),
        &parts.first(0),
        move |_: &u64, (auction, at), counts: &mut Counts, session: &mut Session<'_, (u64, Leaders)>| {
            let end = end_of(at, spans.hot_slide);
            if counts.add(end, auction) {
                session.notify_at(Epoch(end));
            }
        },
        move |_, counts, session| {
            let until = session.epoch().0;
            match counts.close(until, spans) {
                Some(leaders) => {
                    session.give((until, leaders));
                    session.notify_at(Epoch(until + spans.hot_slide));
                }
                None if counts.open.is_empty() => session.forget(),
                None => {}
            }
        },
    );
    leaders::elastic(hot, parts, 1)
}

fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Answer> {
    let by_auction = Exchange::new(|event: &Event| match event {
        Event::Bid(bid) => share_of(&bid.auction),
        _ => 0,
    });
    let hot = events.unary_frontier::<CapacityContainerBuilder<Vec<(u64, Leaders)>>, _, _, _>(by_auction, "Count", |_, _| {
        let mut counts = Counts::default();
        // The window's end.
        let mut due: Notifications<u64> = Notifications::new();
        move |(input, frontier), output| {
            input.for_each(|cap, events| {
                for event in events.drain(..) {
                    let (_, (auction, at)) = part_and_bid(event);
                    let end = end_of(at, spans.hot_slide);
                    if counts.add(end, auction) {
                        *due.at(end, &cap) = end;
                    }
                }
            });
            while let Some((cap, until)) = due.next(frontier) {
                if let Some(leaders) = counts.close(until, spans) {
                    output.session(&cap).give((until, leaders));
                    *due.again(until + spans.hot_slide, &cap) = until + spans.hot_slide;
                }
            }
        }
    });
    leaders::plain(hot, spans)
}
