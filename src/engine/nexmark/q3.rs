//! Query 3: who in Oregon, Idaho or California offers something in category 10: each such person with each such auction of theirs,
//! whichever comes first. Nothing is forgotten, so the state grows as long as the stream goes on.

// The table is only looked up.
#![allow(clippy::disallowed_types)]

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::vec::Map;

use super::plain::share_of;
use super::{Answer, Offer, Parts};
use crate::engine::{BatchStream, ElasticKeyed, ElasticStateless, Time};
use crate::workload::nexmark::Event;

const CATEGORY: u64 = 10;
const STATES: [&str; 3] = ["OR", "ID", "CA"];

/// One of the two sides, by person.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Side {
    /// Name, town and state.
    Seller(Box<[String; 3]>),
    Auction(u64),
}

/// What is known of a person.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    seller: Option<Box<[String; 3]>>,
    /// Auctions of a person who has not come.
    waiting: Vec<u64>,
}

impl Known {
    #[inline]
    fn learn(&mut self, side: Side, mut give: impl FnMut(Answer)) {
        match (side, &self.seller) {
            (Side::Auction(auction), Some(seller)) => give(offer(seller, auction)),
            (Side::Auction(auction), None) => self.waiting.push(auction),
            (Side::Seller(seller), _) => {
                std::mem::take(&mut self.waiting).into_iter().for_each(|auction| give(offer(&seller, auction)));
                self.seller = Some(seller);
            }
        }
    }
}

fn offer([name, city, state]: &[String; 3], auction: u64) -> Answer {
    Answer::Offer(Box::new(Offer { name: name.clone(), city: city.clone(), state: state.clone(), auction }))
}

fn filter(event: Event) -> Option<(u64, Side)> {
    match event {
        Event::Person(person) if STATES.contains(&person.state.as_str()) => {
            Some((person.id, Side::Seller(Box::new([person.name, person.city, person.state]))))
        }
        Event::Auction(auction) if auction.category == CATEGORY => Some((auction.seller, Side::Auction(auction.id))),
        _ => None,
    }
}

pub(super) fn elastic<'s>(events: BatchStream<'s, Event>, parts: &Parts<'_, 's>) -> BatchStream<'s, Answer> {
    let instances = parts.instances(0);
    events
        .elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, |event, sides| sides.extend(filter(event)))
        .elastic_keyed(parts.control(), parts.context, parts.spec(1), &parts.first(1), |_: &u64, side, known: &mut Known, answers| {
            known.learn(side, |answer| answers.push(answer));
        })
}

pub(super) fn plain(events: StreamVec<'_, Time, Event>) -> StreamVec<'_, Time, Answer> {
    let by_person = Exchange::new(|(person, _): &(u64, Side)| share_of(person));
    events.flat_map(filter).unary::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_person, "Join", |_, _| {
        let mut people: FxHashMap<u64, Known> = FxHashMap::default();
        move |input, output| {
            input.for_each(|cap, sides| {
                let mut session = output.session(&cap);
                for (person, side) in sides.drain(..) {
                    people.entry(person).or_default().learn(side, |answer| session.give(answer));
                }
            });
        }
    })
}
