//! The queries in differential dataflow, as collections: without epochs, timers or state, from the whole stream at once.
//!
//! All of them are made of one join, of events by key, and one reduction, of rows of numbers by key, which are compiled once:
//! their functions are boxed.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use differential_dataflow::VecCollection;
use differential_dataflow::input::Input;
use thalweg::engine::nexmark::{Answer, Offer, Query, Spans, Welcome};
use thalweg::workload::nexmark::{Bid, Event};

use super::Case;

type Collection<'s, D> = VecCollection<'s, u64, D, isize>;
type Key = (u64, u64);
type Row = [u64; 4];
/// Rows by key.
type Keyed = Vec<(Key, Row)>;
/// Rows of a key, with how often each is there.
type Counted = Vec<(Row, isize)>;
type Reduction = Box<dyn Fn(&[(Row, isize)]) -> Counted>;
type Rows<'s> = Collection<'s, (Key, Row)>;

/// Answers of a case, sorted.
pub fn differential(case: &Arc<Case>) -> Vec<Answer> {
    let (sender, answers) = mpsc::channel();
    let case = Arc::clone(case);
    timely::execute_directly(move |worker| {
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, events) = scope.new_collection::<Event, isize>();
            // Answers are taken as differences; those that cancel are none.
            query(case.query, case.spans, events)
                .consolidate()
                .inspect(move |(answer, _, times)| sender.send((answer.clone(), *times)).unwrap());
            input
        });
        case.events.values().flatten().for_each(|event| input.insert(event.clone()));
        input.close();
        while worker.step() {}
    });
    let mut all: Vec<Answer> = Vec::new();
    for (answer, times) in answers {
        assert!(times > 0, "{answer:?} {times} times");
        all.extend((0..times).map(|_| answer.clone()));
    }
    all.sort_unstable();
    all
}

/// Pairs of events that have a key in common.
fn joined<'s>(events: Collection<'s, Event>, left: KeyOf, right: KeyOf) -> Collection<'s, (Event, Event)> {
    by_key(events.clone(), left).join(by_key(events, right)).map(|(_, pair)| pair)
}

type KeyOf = Box<dyn Fn(&Event) -> Option<Key>>;

fn by_key(events: Collection<'_, Event>, key: KeyOf) -> Collection<'_, (Key, Event)> {
    events.flat_map(move |event| key(&event).map(|key| (key, event)))
}

/// Rows of bids.
fn bids(events: Collection<'_, Event>, rows: Box<dyn Fn(Bid) -> Keyed>) -> Rows<'_> {
    events.flat_map(move |event| if let Event::Bid(bid) = event { rows(bid) } else { Vec::new() })
}

/// Rows of rows.
fn rows(all: Rows<'_>, rows: Box<dyn Fn(Key, Row) -> Keyed>) -> Rows<'_> {
    all.flat_map(move |(key, row)| rows(key, row))
}

/// Answers of rows.
fn answers(rows: Rows<'_>, answer: fn(Key, Row) -> Answer) -> Collection<'_, Answer> {
    rows.map(move |(key, row)| answer(key, row))
}

/// What `function` makes of the rows of each key, which come in order, with how often each is there.
fn reduced(all: Rows<'_>, function: Reduction) -> Rows<'_> {
    all.reduce(move |_, rows, results| {
        let rows: Counted = rows.iter().map(|&(&row, times)| (row, times)).collect();
        results.extend(function(&rows));
    })
}

/// Of rows in order those with the highest first number.
fn highest(rows: &[(Row, isize)]) -> Counted {
    let most = rows.last().expect("a key has rows").0[0];
    rows.iter().filter(|(row, _)| row[0] == most).copied().collect()
}

fn query(query: Query, spans: Spans, events: Collection<'_, Event>) -> Collection<'_, Answer> {
    let Spans { average_size, average_slide, hot_slide, hot_slides, best_size, welcome_size, silence, .. } = spans;
    match query {
        Query::Q0 | Query::Q1 | Query::Q2 => events.flat_map(move |event| match (query, event) {
            (Query::Q0, event) => Some(Answer::Event(event)),
            (Query::Q1, Event::Bid(bid)) => Some(Answer::Bid(Bid { price: bid.price * 89 / 100, ..bid })),
            (Query::Q2, Event::Bid(bid)) if bid.auction % 123 == 0 => Some(Answer::Price { auction: bid.auction, price: bid.price }),
            _ => None,
        }),
        Query::Q3 | Query::Q8 => {
            let near = |state: &str| ["OR", "ID", "CA"].contains(&state);
            let person = move |event: &Event| match (query, event) {
                (Query::Q3, Event::Person(person)) => near(&person.state).then_some((person.id, 0)),
                (_, Event::Person(person)) => Some((person.id, person.at / welcome_size)),
                _ => None,
            };
            let offer = move |event: &Event| match (query, event) {
                (Query::Q3, Event::Auction(auction)) => (auction.category == 10).then_some((auction.seller, 0)),
                (_, Event::Auction(auction)) => Some((auction.seller, auction.at / welcome_size)),
                _ => None,
            };
            joined(events, Box::new(person), Box::new(offer)).map(move |pair| {
                let (Event::Person(person), Event::Auction(auction)) = pair else { unreachable!("people and auctions") };
                match query {
                    Query::Q3 => {
                        Answer::Offer(Box::new(Offer { name: person.name, city: person.city, state: person.state, auction: auction.id }))
                    }
                    _ => Answer::Welcome(Box::new(Welcome { person: person.id, name: person.name, reserve: auction.reserve })),
                }
            })
        }
        Query::Q4 => {
            // The k-th window begins at k slides.
            let windows = move |at: u64| at.saturating_sub(average_size - 1).div_ceil(average_slide)..=at / average_slide;
            let prices = rows(
                winners(events),
                Box::new(move |(auction, _), [price, category, _, at]| {
                    let until = |window: u64| window * average_slide + average_size;
                    windows(at).map(|window| ((category, until(window)), [auction, price, 0, 0])).collect()
                }),
            );
            let means = reduced(prices, Box::new(|prices| vec![([mean(prices.iter().map(|(row, _)| row[1])), 0, 0, 0], 1)]));
            answers(means, |(of, until), [price, ..]| Answer::Average { of, until, price })
        }
        Query::Q5 => {
            // The k-th window ends at k slides; the last that a bid is in has begun by then.
            let windows = move |at: u64| at / hot_slide + 1..=at / hot_slide + hot_slides;
            let all =
                bids(events, Box::new(move |bid| windows(bid.at).map(|window| ((window * hot_slide, bid.auction), [0; 4])).collect()));
            let counts = reduced(all, Box::new(|bids| vec![([bids[0].1 as u64, 0, 0, 0], 1)]));
            let by_window = rows(counts, Box::new(|(until, auction), [bids, ..]| vec![((until, 0), [bids, auction, 0, 0])]));
            answers(reduced(by_window, Box::new(highest)), |(until, _), [bids, auction, ..]| Answer::Hot { until, auction, bids })
        }
        Query::Q6 => {
            let by_seller =
                rows(winners(events), Box::new(|(auction, _), [price, _, seller, at]| vec![((seller, 0), [at, auction, price, 0])]));
            let means = reduced(
                by_seller,
                Box::new(|won| {
                    // In the order of expiry, then of numbers: of those that expire at the same time, the last has the mean of all.
                    let ends = (0..won.len()).filter(|&index| won.get(index + 1).is_none_or(|(next, _)| next[0] > won[index].0[0]));
                    let last = |index: usize| won[(index + 1).saturating_sub(10)..=index].iter().map(|(row, _)| row[2]);
                    ends.map(|index| ([won[index].0[0], mean(last(index)), 0, 0], 1)).collect()
                }),
            );
            answers(means, |(of, _), [until, price, ..]| Answer::Average { of, until, price })
        }
        Query::Q7 => {
            let by_window =
                bids(events, Box::new(move |bid| vec![((bid.at / best_size, 0), [bid.price, bid.auction, bid.bidder, bid.at])]));
            answers(reduced(by_window, Box::new(highest)), |_, [price, auction, bidder, at]| {
                Answer::Bid(Bid { auction, bidder, price, at })
            })
        }
        Query::Q11 => {
            let by_bidder = bids(events, Box::new(|bid| vec![((bid.bidder, 0), [bid.at, 0, 0, 0])]));
            let sessions = reduced(
                by_bidder,
                Box::new(move |times| {
                    let mut all: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
                    for &([at, ..], bids) in times {
                        let before = all.iter().next_back().map(|(&from, &(last, _))| (from, last));
                        let from = before.filter(|(_, last)| at - last < silence).map_or(at, |(from, _)| from);
                        let session = all.entry(from).or_insert((at, 0));
                        *session = (at, session.1 + bids as u64);
                    }
                    all.into_iter().map(|(from, (last, bids))| ([from, last + silence, bids, 0], 1)).collect()
                }),
            );
            answers(sessions, |(bidder, _), [from, until, bids, _]| Answer::Session { bidder, from, until, bids })
        }
    }
}

/// Each auction that sold: price, category, seller, when it expired.
fn winners(events: Collection<'_, Event>) -> Rows<'_> {
    let auction = |event: &Event| if let Event::Auction(auction) = event { Some((auction.id, 0)) } else { None };
    let bid = |event: &Event| if let Event::Bid(bid) = event { Some((bid.auction, 0)) } else { None };
    let valid = joined(events, Box::new(auction), Box::new(bid)).flat_map(|pair| {
        let (Event::Auction(auction), Event::Bid(bid)) = pair else { unreachable!("auctions and bids") };
        let counts = bid.price >= auction.reserve && auction.at <= bid.at && bid.at < auction.expires;
        counts.then_some(((auction.id, 0), [bid.price, auction.category, auction.seller, auction.expires]))
    });
    reduced(valid, Box::new(|prices| vec![(prices[prices.len() - 1].0, 1)]))
}

/// The mean, halves up.
fn mean(prices: impl ExactSizeIterator<Item = u64>) -> u64 {
    let number = prices.len() as u64;
    (2 * prices.sum::<u64>() + number) / (2 * number)
}
