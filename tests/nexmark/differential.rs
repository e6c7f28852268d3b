//! The queries in differential dataflow, as collections: without epochs, timers or state, from the whole stream at once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, mpsc};

use differential_dataflow::VecCollection;
use differential_dataflow::input::Input;
use thalweg::engine::nexmark::{Answer, Offer, Query, Spans, Welcome};
use thalweg::workload::nexmark::{Auction, Bid, Event, Person};

use super::Case;

type Collection<'s, D> = VecCollection<'s, u64, D, isize>;

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

fn people(events: Collection<'_, Event>) -> Collection<'_, Person> {
    events.flat_map(|event| if let Event::Person(person) = event { Some(*person) } else { None })
}

fn auctions(events: Collection<'_, Event>) -> Collection<'_, Auction> {
    events.flat_map(|event| if let Event::Auction(auction) = event { Some(*auction) } else { None })
}

fn bids(events: Collection<'_, Event>) -> Collection<'_, Bid> {
    events.flat_map(|event| if let Event::Bid(bid) = event { Some(bid) } else { None })
}

fn query(query: Query, spans: Spans, events: Collection<'_, Event>) -> Collection<'_, Answer> {
    match query {
        Query::Q0 => events.map(Answer::Event),
        Query::Q1 => bids(events).map(|bid| Answer::Bid(Bid { price: bid.price * 89 / 100, ..bid })),
        Query::Q2 => {
            let chosen = bids(events).filter(|bid| bid.auction % 123 == 0);
            chosen.map(|bid| Answer::Price { auction: bid.auction, price: bid.price })
        }
        Query::Q3 => {
            let near = people(events.clone()).filter(|person| ["OR", "ID", "CA"].contains(&person.state.as_str()));
            let sellers = near.map(|person| (person.id, (person.name, person.city, person.state)));
            let offers = auctions(events).filter(|auction| auction.category == 10).map(|auction| (auction.seller, auction.id));
            let joined = sellers.join(offers);
            joined.map(|(_, ((name, city, state), auction))| Answer::Offer(Box::new(Offer { name, city, state, auction })))
        }
        Query::Q4 => {
            let Spans { average_size: size, average_slide: slide, .. } = spans;
            // The k-th window begins at k slides.
            let windows = move |at: u64| at.saturating_sub(size - 1).div_ceil(slide)..=at / slide;
            let prices = winners(events).flat_map(move |won| {
                let until = |window: u64| window * slide + size;
                windows(won.at).map(move |window| ((won.category, until(window)), (won.auction, won.price))).collect::<Vec<_>>()
            });
            let means = prices.reduce(|_, prices, means| means.push((mean(prices.iter().map(|((_, price), _)| *price)), 1)));
            means.map(|((of, until), price)| Answer::Average { of, until, price })
        }
        Query::Q5 => {
            let Spans { hot_slide: slide, hot_slides: slides, .. } = spans;
            // The k-th window ends at k slides; the last that a bid is in has begun by then.
            let windows = move |at: u64| -> RangeInclusive<u64> { at / slide + 1..=at / slide + slides };
            let counts = bids(events).flat_map(move |bid| windows(bid.at).map(move |window| (window * slide, bid.auction))).count();
            let by_window = counts.map(|((until, auction), bids)| (until, (bids, auction)));
            let first = by_window.reduce(|_, auctions, first| {
                let most = auctions.iter().map(|((bids, _), _)| bids).max().unwrap();
                first.extend(auctions.iter().filter(|((bids, _), _)| bids == most).map(|(auction, _)| (**auction, 1)));
            });
            first.map(|(until, (bids, auction))| Answer::Hot { until, auction, bids: bids as u64 })
        }
        Query::Q6 => {
            let by_seller = winners(events).map(|won| (won.seller, (won.at, won.auction, won.price)));
            let means = by_seller.reduce(|_, won, means| {
                // In the order of expiry, then of numbers: of those that expire at the same time, the last has the mean of all.
                let prices: Vec<(u64, u64)> = won.iter().map(|((at, _, price), _)| (*at, *price)).collect();
                for (index, &(at, _)) in prices.iter().enumerate() {
                    if prices.get(index + 1).is_none_or(|next| next.0 > at) {
                        let last = &prices[(index + 1).saturating_sub(10)..=index];
                        means.push(((at, mean(last.iter().map(|(_, price)| *price))), 1));
                    }
                }
            });
            means.map(|(of, (until, price))| Answer::Average { of, until, price })
        }
        Query::Q7 => {
            let size = spans.best_size;
            let by_window = bids(events).map(move |bid| (bid.at / size, bid));
            let best = by_window.reduce(|_, bids, best| {
                let most = bids.iter().map(|(bid, _)| bid.price).max().unwrap();
                best.extend(bids.iter().filter(|(bid, _)| bid.price == most).map(|(bid, times)| (**bid, *times)));
            });
            best.map(|(_, bid)| Answer::Bid(bid))
        }
        Query::Q8 => {
            let size = spans.welcome_size;
            let new = people(events.clone()).map(move |person| ((person.id, person.at / size), person.name));
            let offers = auctions(events).map(move |auction| ((auction.seller, auction.at / size), auction.reserve));
            let joined = new.join(offers);
            joined.map(|((person, _), (name, reserve))| Answer::Welcome(Box::new(Welcome { person, name, reserve })))
        }
        Query::Q11 => {
            let silence = spans.silence;
            let by_bidder = bids(events).map(|bid| (bid.bidder, bid.at));
            let sessions = by_bidder.reduce(move |_, times, sessions| {
                let mut all: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
                for &(&at, bids) in times {
                    let before = all.iter().next_back().map(|(&from, &(last, _))| (from, last));
                    let from = before.filter(|(_, last)| at - last < silence).map_or(at, |(from, _)| from);
                    let session = all.entry(from).or_insert((at, 0));
                    *session = (at, session.1 + bids as u64);
                }
                sessions.extend(all.into_iter().map(|(from, (last, bids))| ((from, last + silence, bids), 1)));
            });
            sessions.map(|(bidder, (from, until, bids))| Answer::Session { bidder, from, until, bids })
        }
    }
}

/// An auction that sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
struct Won {
    auction: u64,
    category: u64,
    seller: u64,
    at: u64,
    price: u64,
}

fn winners(events: Collection<'_, Event>) -> Collection<'_, Won> {
    let sales = auctions(events.clone()).map(|auction| (auction.id, auction));
    let valid = sales
        .join(bids(events).map(|bid| (bid.auction, (bid.price, bid.at))))
        .filter(|(_, (auction, (price, at)))| *price >= auction.reserve && auction.at <= *at && *at < auction.expires);
    let prices = valid.map(|(_, (auction, (price, _)))| ((auction.id, auction.category, auction.seller, auction.expires), price));
    let best = prices.reduce(|_, prices, best| best.push((*prices.last().unwrap().0, 1)));
    best.map(|((auction, category, seller, at), price)| Won { auction, category, seller, at, price })
}

/// The mean, halves up.
fn mean(prices: impl ExactSizeIterator<Item = u64>) -> u64 {
    let number = prices.len() as u64;
    (2 * prices.sum::<u64>() + number) / (2 * number)
}
