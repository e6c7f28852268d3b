//! Join of people with their auctions, in either order of arrival; shared by queries 3 and 8.

use serde::{Deserialize, Serialize};
use timely::ExchangeData;

use super::spans::end_of;
use super::{Answer, QueryParts};
use crate::engine::elastic::{BatchStream, ElasticUnary, KeyedStream, Session};
use crate::time::Epoch;

/// The answer for the person of a number, of whom the query asks `P`, with what it asks of an
/// auction.
pub(super) type AnswerOf<P> = fn(u64, &P, u64) -> Answer;

/// One of the two sides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum JoinSide<P> {
    Person(P),
    Auction(u64),
}

/// What is known of a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PersonState<P> {
    person: Option<P>,
    /// Auctions of a person who has not come.
    waiting: Vec<u64>,
}

impl<P> Default for PersonState<P> {
    fn default() -> Self {
        PersonState { person: None, waiting: Vec::new() }
    }
}

impl<P> PersonState<P> {
    #[inline]
    pub(super) fn learn(&mut self, number: u64, side: JoinSide<P>, answer: AnswerOf<P>, mut give: impl FnMut(Answer)) {
        match (side, &self.person) {
            (JoinSide::Auction(auction), Some(person)) => give(answer(number, person, auction)),
            (JoinSide::Auction(auction), None) => self.waiting.push(auction),
            (JoinSide::Person(person), _) => {
                std::mem::take(&mut self.waiting).into_iter().for_each(|auction| give(answer(number, &person, auction)));
                self.person = Some(person);
            }
        }
    }

    fn is_new(&self) -> bool {
        self.person.is_none() && self.waiting.is_empty()
    }
}

/// Operator `index` of the query. What is known is forgotten at the end of each window, if there
/// are windows.
pub(super) fn elastic<'s, P: ExchangeData>(
    sides: impl KeyedStream<'s, u64, JoinSide<P>>,
    parts: &QueryParts<'_, 's>,
    index: usize,
    window: Option<u64>,
    answer: AnswerOf<P>,
) -> BatchStream<'s, Answer> {
    sides.elastic_unary(
        parts.control(),
        parts.context,
        parts.spec(index),
        &parts.first(index),
        move |&number: &u64, side, known: &mut PersonState<P>, session: &mut Session<'_, Answer>| {
            // An event happens in the epoch in which it comes.
            if let Some(size) = window.filter(|_| known.is_new()) {
                session.notify_at(Epoch(end_of(session.epoch().0, size)));
            }
            known.learn(number, side, answer, |answer| session.give(answer));
        },
        |_, _, session| session.forget(),
    )
}
