//! Query 3: people in Oregon, Idaho or California with their auctions in category 10, in either
//! order of arrival. Nothing is dropped, so the state grows for as long as the stream lasts.

// The table is only looked up.
#![allow(clippy::disallowed_types)]

use rustc_hash::FxHashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::vec::Map;

use super::join::{self, JoinSide, PersonState};
use super::kind::QueryKind;
use super::plain::share_of;
use super::{Answer, Offer, QueryParts, Spans};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, ElasticStateless};
use crate::workload::nexmark::{Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind = QueryKind {
    summary: "sellers in three states with an auction in one category",
    reads: Kinds::PeopleAndAuctions,
    operators: |bins| vec![("filter", Role::Stateless), ("join", Role::Keyed { bins })],
    elastic,
    plain,
};

const CATEGORY: u64 = 10;
const STATES: [&str; 3] = ["OR", "ID", "CA"];

/// Name, town and state of a person.
type Seller = Box<[String; 3]>;

fn offer(_: u64, seller: &Seller, auction: u64) -> Answer {
    let [name, city, state] = (**seller).clone();
    Answer::Offer(Box::new(Offer { name, city, state, auction }))
}

/// The two sides, by person.
fn filter(event: Event) -> Option<(u64, JoinSide<Seller>)> {
    match event {
        Event::Person(person) if STATES.contains(&person.state.as_str()) => {
            Some((person.id, JoinSide::Person(Box::new([person.name, person.city, person.state]))))
        }
        Event::Auction(auction) if auction.category == CATEGORY => Some((auction.seller, JoinSide::Auction(auction.id))),
        _ => None,
    }
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    let instances = parts.instances(0);
    let sides =
        events.elastic_flat_map(parts.control(), parts.context, parts.spec(0), instances, |event, sides| sides.extend(filter(event)));
    join::elastic(sides, parts, 1, None, offer)
}

fn plain(events: StreamVec<'_, Time, Event>, _: Spans) -> StreamVec<'_, Time, Answer> {
    let by_person = Exchange::new(|(person, _): &(u64, JoinSide<Seller>)| share_of(person));
    events.flat_map(filter).unary::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_person, "Join", |_, _| {
        let mut people: FxHashMap<u64, PersonState<Seller>> = FxHashMap::default();
        move |input, output| {
            input.for_each(|cap, sides| {
                let mut session = output.session(&cap);
                for (person, side) in sides.drain(..) {
                    people.entry(person).or_default().learn(person, side, offer, |answer| session.give(answer));
                }
            });
        }
    })
}
