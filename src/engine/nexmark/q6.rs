//! Query 6: mean winning price of a seller's last ten auctions that sold, whenever one or several
//! at once expire, in the order of their expiry and then of their numbers. The mean is rounded to
//! the nearest cent, halves up.

// The table is only looked up.
#![allow(clippy::disallowed_types)]

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::kind::QueryKind;
use super::plain::{Notifications, share_of};
use super::q4::mean;
use super::winner::{self, Won};
use super::{Answer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticUnary, KeyBy, Session};
use crate::time::Epoch;
use crate::workload::nexmark::{Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind = QueryKind {
    summary: "mean winning price of a seller's last ten auctions",
    reads: Kinds::AuctionsAndBids,
    operators: |bins| vec![("winner", Role::Keyed { bins }), ("average", Role::Keyed { bins })],
    elastic,
    plain,
};

/// How many auctions count.
const LAST: usize = 10;

/// Prices of the last auctions, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Last(VecDeque<u64>);

impl Last {
    /// Adds auctions that expired after all others; returns the mean after all that expired at the
    /// same time.
    fn add(&mut self, seller: u64, mut closing: Vec<Won>, mut give: impl FnMut(Answer)) {
        closing.sort_unstable_by_key(|won| (won.at, won.auction));
        for same in closing.chunk_by(|one, next| one.at == next.at) {
            for won in same {
                self.0.push_back(won.price);
                if self.0.len() > LAST {
                    self.0.pop_front();
                }
            }
            let price = mean(self.0.iter().sum(), self.0.len() as u64);
            give(Answer::Average { of: seller, until: same[0].at, price });
        }
    }
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    let grid = parts.spans.grid;
    winner::elastic(events, parts).key_by(|won: Won| (won.seller, won)).elastic_unary(
        parts.control(),
        parts.context,
        parts.spec(1),
        &parts.first(1),
        move |_: &u64, won, (_, closing): &mut (Last, Vec<Won>), session: &mut Session<'_, Answer>| {
            // What expires at once comes in one epoch.
            if closing.is_empty() {
                session.notify_at(Epoch(session.epoch().0 + grid));
            }
            closing.push(won);
        },
        |&seller, (last, closing), session| last.add(seller, std::mem::take(closing), |answer| session.give(answer)),
    )
}

fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Answer> {
    let by_seller = Exchange::new(|won: &Won| share_of(&won.seller));
    winner::plain(events, spans).unary_frontier::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_seller, "Average", |_, _| {
        let mut sellers: FxHashMap<u64, Last> = FxHashMap::default();
        let mut due: Notifications<Vec<Won>> = Notifications::new();
        move |(input, frontier), output| {
            input.for_each(|cap, all| {
                let closed = *cap.least().expect("records have a time");
                due.at(closed + spans.grid, &cap).append(all);
            });
            while let Some((cap, mut closing)) = due.next(frontier) {
                closing.sort_unstable_by_key(|won| won.seller);
                let mut session = output.session(&cap);
                for same in closing.chunk_by(|one, next| one.seller == next.seller) {
                    let seller = same[0].seller;
                    sellers.entry(seller).or_default().add(seller, same.to_vec(), |answer| session.give(answer));
                }
            }
        }
    })
}
