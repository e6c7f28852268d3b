//! What queries 3 and 8 share: each person with each auction of theirs, whichever comes first.

use serde::{Deserialize, Serialize};

use super::spans::end_of;
use super::{Answer, Parts};
use crate::engine::{BatchStream, ElasticUnary, Session};
use crate::time::Epoch;
use crate::workload::nexmark::Person;

/// The answer for a person, with what the query asks of an auction.
pub(super) type AnswerOf = fn(&Person, u64) -> Answer;

/// One of the two sides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Side {
    /// What the query asks of a person; the rest is empty.
    Person(Box<Person>),
    /// What it asks of an auction.
    Auction(u64),
}

/// What is known of a person.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Known {
    person: Option<Box<Person>>,
    /// Auctions of a person who has not come.
    waiting: Vec<u64>,
}

impl Known {
    #[inline]
    pub(super) fn learn(&mut self, side: Side, answer: AnswerOf, mut give: impl FnMut(Answer)) {
        match (side, &self.person) {
            (Side::Auction(auction), Some(person)) => give(answer(person, auction)),
            (Side::Auction(auction), None) => self.waiting.push(auction),
            (Side::Person(person), _) => {
                std::mem::take(&mut self.waiting).into_iter().for_each(|auction| give(answer(&person, auction)));
                self.person = Some(person);
            }
        }
    }

    fn is_new(&self) -> bool {
        self.person.is_none() && self.waiting.is_empty()
    }
}

/// Operator `index` of the query. What is known is forgotten at the end of each window, if there are windows.
pub(super) fn elastic<'s>(
    sides: BatchStream<'s, (u64, Side)>,
    parts: &Parts<'_, 's>,
    index: usize,
    window: Option<u64>,
    answer: AnswerOf,
) -> BatchStream<'s, Answer> {
    sides.elastic_unary(
        parts.control(),
        parts.context,
        parts.spec(index),
        &parts.first(index),
        move |_: &u64, side, known: &mut Known, session: &mut Session<'_, Answer>| {
            // An event happens in the epoch in which it comes.
            if let Some(size) = window.filter(|_| known.is_new()) {
                session.notify_at(Epoch(end_of(session.epoch().0, size)));
            }
            known.learn(side, answer, |answer| session.give(answer));
        },
        |_, _, session| session.forget(),
    )
}
