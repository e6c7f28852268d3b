//! Query 11: number of bids per person and session. Bids closer together than the session gap
//! belong together, and the result is emitted when the gap after the last one has passed.

// The table is only looked up.
#![allow(clippy::disallowed_types)]

use std::ops::Range;

use rustc_hash::FxHashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::kind::QueryKind;
use super::plain::{Notifications, share_of};
use super::{Answer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticWindow, KeyBy, WindowFunction, Windows};
use crate::workload::nexmark::{Bid, Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind = QueryKind {
    summary: "bids of a person while active",
    reads: Kinds::Bids,
    operators: |bins| vec![("sessions", Role::Keyed { bins })],
    elastic,
    plain,
};

struct HowMany;

impl WindowFunction<u64, u64> for HowMany {
    type State = u64;
    type Result = Answer;

    fn time(&self, &at: &u64) -> u64 {
        at
    }

    fn add(&mut self, _: &u64, _: u64, bids: &mut u64) {
        *bids += 1;
    }

    fn merge(&mut self, bids: &mut u64, other: u64) {
        *bids += other;
    }

    fn result(&mut self, &bidder: &u64, window: Range<u64>, bids: u64) -> Answer {
        Answer::Session { bidder, from: window.start, until: window.end, bids }
    }
}

fn bidder_and_time(event: Event) -> (u64, u64) {
    let Event::Bid(Bid { bidder, at, .. }) = event else { unreachable!("the query reads bids") };
    (bidder, at)
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    let windows = Windows::Session { gap: parts.spans.silence };
    let bids = events.key_by(bidder_and_time);
    bids.elastic_window(parts.control(), parts.context, parts.spec(0), &parts.first(0), windows, 0, HowMany)
}

/// A session that may go on.
struct Open {
    from: u64,
    last: u64,
    bids: u64,
}

fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Answer> {
    let by_bidder = Exchange::new(|event: &Event| match event {
        Event::Bid(bid) => share_of(&bid.bidder),
        _ => 0,
    });
    events.unary_frontier::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_bidder, "Sessions", |_, _| {
        let mut sessions: FxHashMap<u64, Open> = FxHashMap::default();
        // Bids by their time, and who may have been silent for long enough then. In the order of
        // time no session is ever joined to another, and one look a silence at each is enough.
        let mut due: Notifications<(Vec<Vec<Event>>, Vec<u64>)> = Notifications::new();
        move |(input, frontier), output| {
            input.for_each(|cap, events| {
                let at = *cap.least().expect("records have a time");
                due.at(at, &cap).0.push(std::mem::take(events));
            });
            while let Some((cap, (batches, silent))) = due.next(frontier) {
                let now = *cap.time();
                let mut session = output.session(&cap);
                for bidder in silent {
                    let Open { from, last, bids } = sessions[&bidder];
                    if last + spans.silence <= now {
                        sessions.remove(&bidder);
                        session.give(Answer::Session { bidder, from, until: last + spans.silence, bids });
                    } else {
                        due.again(last + spans.silence, &cap).1.push(bidder);
                    }
                }
                for (bidder, at) in batches.into_iter().flatten().map(bidder_and_time) {
                    let open = sessions.entry(bidder).or_insert_with(|| {
                        due.again(at + spans.silence, &cap).1.push(bidder);
                        Open { from: at, last: at, bids: 0 }
                    });
                    (open.last, open.bids) = (at, open.bids + 1);
                }
            }
        }
    })
}
