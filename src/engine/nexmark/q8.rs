//! Query 8: people who registered in a window with their auctions of the same window, in either
//! order of arrival; windows of a fixed length. At the end of a window all its state is dropped.

// The tables are only looked up.
#![allow(clippy::disallowed_types)]

use rustc_hash::FxHashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::join::{self, AnswerOf, JoinSide, PersonState};
use super::kind::QueryKind;
use super::plain::{Notifications, share_of};
use super::spans::end_of;
use super::{Answer, QueryParts, Spans, Welcome};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::{BatchStream, KeyBy};
use crate::workload::nexmark::{Event, Kinds};

/// The query in the registry.
pub(super) const KIND: QueryKind = QueryKind {
    summary: "persons who open an auction soon after registering",
    reads: Kinds::PeopleAndAuctions,
    operators: |bins| vec![("join", Role::Keyed { bins })],
    elastic,
    plain,
};

const WELCOME: AnswerOf<String> = |person, name, reserve| Answer::Welcome(Box::new(Welcome { person, name: name.clone(), reserve }));

/// The person whom an event concerns, and what it says.
fn side(event: Event) -> (u64, JoinSide<String>) {
    match event {
        Event::Person(person) => (person.id, JoinSide::Person(person.name)),
        Event::Auction(auction) => (auction.seller, JoinSide::Auction(auction.reserve)),
        Event::Bid(_) => unreachable!("the query reads no bids"),
    }
}

fn elastic<'s>(events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
    join::elastic(events.key_by(side), parts, 0, Some(parts.spans.welcome_size), WELCOME)
}

fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Answer> {
    let size = spans.welcome_size;
    let by_person = Exchange::new(|event: &Event| match event {
        Event::Person(person) => share_of(&person.id),
        Event::Auction(auction) => share_of(&auction.seller),
        Event::Bid(bid) => share_of(&bid.bidder),
    });
    events.unary_frontier::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_person, "Join", |_, _| {
        let mut due: Notifications<FxHashMap<u64, PersonState<String>>> = Notifications::new();
        move |(input, frontier), output| {
            input.for_each(|cap, events| {
                let mut session = output.session(&cap);
                // An event happens in the epoch in which it comes.
                let at = *cap.least().expect("records have a time");
                let people = due.at(end_of(at, size), &cap);
                for (person, side) in events.drain(..).map(side) {
                    people.entry(person).or_default().learn(person, side, WELCOME, |answer| session.give(answer));
                }
            });
            while due.next(frontier).is_some() {}
        }
    })
}
