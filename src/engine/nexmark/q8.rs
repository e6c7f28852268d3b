//! Query 8: what people offer in the window in which they registered: each of them with each such auction, whichever comes first, in
//! windows of a fixed length. At the end of a window all of it is forgotten.

// The tables are only looked up.
#![allow(clippy::disallowed_types)]

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::batches::mapped;
use super::plain::{Due, share_of};
use super::spans::end_of;
use super::{Answer, Parts, Spans, Welcome};
use crate::engine::{BatchStream, ElasticUnary, Session, Time};
use crate::time::Epoch;
use crate::workload::nexmark::Event;

/// One of the two sides.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Side {
    /// Name of a person.
    Person(String),
    /// Reserve of an auction.
    Auction(u64),
}

/// What is known of a person in a window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    name: Option<String>,
    /// Reserves of auctions, while the person has not registered.
    waiting: Vec<u64>,
}

impl Known {
    fn learn(&mut self, person: u64, side: Side, mut give: impl FnMut(Answer)) {
        let welcome = |name: &String, reserve| Answer::Welcome(Box::new(Welcome { person, name: name.clone(), reserve }));
        match (side, &self.name) {
            (Side::Auction(reserve), Some(name)) => give(welcome(name, reserve)),
            (Side::Auction(reserve), None) => self.waiting.push(reserve),
            (Side::Person(name), _) => {
                std::mem::take(&mut self.waiting).into_iter().for_each(|reserve| give(welcome(&name, reserve)));
                self.name = Some(name);
            }
        }
    }
}

/// The person whom an event concerns, when it happened, and what it says.
fn side(event: Event) -> (u64, (u64, Side)) {
    match event {
        Event::Person(person) => (person.id, (person.at, Side::Person(person.name))),
        Event::Auction(auction) => (auction.seller, (auction.at, Side::Auction(auction.reserve))),
        Event::Bid(_) => unreachable!("the query reads no bids"),
    }
}

pub(super) fn elastic<'s>(events: BatchStream<'s, Event>, parts: &Parts<'_, 's>) -> BatchStream<'s, Answer> {
    let size = parts.spans.welcome_size;
    mapped(events, side).elastic_unary(
        parts.control(),
        parts.context,
        parts.spec(0),
        &parts.first(0),
        move |&person: &u64, (at, side), known: &mut Known, session: &mut Session<'_, Answer>| {
            // The key is forgotten with the window, so all that it holds is of one.
            if known.name.is_none() && known.waiting.is_empty() {
                session.notify_at(Epoch(end_of(at, size)));
            }
            known.learn(person, side, |answer| session.give(answer));
        },
        |_, _, session| session.forget(),
    )
}

pub(super) fn plain(events: StreamVec<'_, Time, Event>, spans: Spans) -> StreamVec<'_, Time, Answer> {
    let size = spans.welcome_size;
    let by_person = Exchange::new(|event: &Event| match event {
        Event::Person(person) => share_of(&person.id),
        Event::Auction(auction) => share_of(&auction.seller),
        Event::Bid(bid) => share_of(&bid.bidder),
    });
    events.unary_frontier::<CapacityContainerBuilder<Vec<Answer>>, _, _, _>(by_person, "Join", |_, _| {
        let mut due: Due<FxHashMap<u64, Known>> = Due::new();
        move |(input, frontier), output| {
            input.for_each(|cap, events| {
                let mut session = output.session(&cap);
                for event in events.drain(..) {
                    let (person, (at, side)) = side(event);
                    let people = due.at(end_of(at, size), &cap);
                    people.entry(person).or_default().learn(person, side, |answer| session.give(answer));
                }
            });
            while due.next(frontier).is_some() {}
        }
    })
}
