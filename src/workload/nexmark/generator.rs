//! Generates the event with a given number.
//!
//! Events come in rounds of fifty: one person, three auctions, forty-six bids. Each event draws
//! from its own random generator, seeded by the seed and its number. It refers to persons and
//! auctions that came before it, mostly the newest: half of the bids go to one hot auction, three
//! quarters of auctions and bids belong to one hot person, and the hot ones change as the stream
//! goes on.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::{Auction, Bid, Event, Person};
use crate::rate::Rate;

/// Events per round.
// papers/nexmark.md#generator
pub const ROUND: u64 = PEOPLE + AUCTIONS + BIDS;
/// Persons per round; they come first.
pub(super) const PEOPLE: u64 = 1;
/// Auctions per round; they follow the persons.
pub const AUCTIONS: u64 = 3;
/// Bids per round; they come last.
pub(super) const BIDS: u64 = 46;

/// Number of the first person and of the first auction.
pub const FIRST_ID: u64 = 1000;
/// Number of the first category.
const FIRST_CATEGORY: u64 = 10;
/// Number of categories.
const CATEGORIES: u64 = 5;
/// One of this many persons, and of this many auctions, is hot at a time.
const HOT_EVERY: u64 = 100;

/// Parameters of the stream. The defaults are Beam's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Seed of the stream.
    pub seed: u64,
    /// Events per second of event time; more than 0.
    pub rate: Rate,
    /// All but one of this many bids are for the hot auction; at least 1.
    pub hot_auction_ratio: u64,
    /// All but one of this many auctions belong to the hot seller; at least 1.
    pub hot_seller_ratio: u64,
    /// All but one of this many bids belong to the hot bidder; at least 1.
    pub hot_bidder_ratio: u64,
    /// Bids are for one of this many newest auctions, and an auction stays open while this many
    /// others open, on average; at least 1.
    pub auctions_in_flight: u64,
    /// Sellers and bidders are among this many newest persons; at least 1.
    pub active_people: u64,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        GeneratorConfig {
            seed: 0,
            rate: Rate::per_second(DEFAULT_RATE),
            hot_auction_ratio: 2,
            hot_seller_ratio: 4,
            hot_bidder_ratio: 4,
            auctions_in_flight: 100,
            active_people: 1000,
        }
    }
}

/// Default number of events per second.
const DEFAULT_RATE: f64 = 10_000.0;

impl GeneratorConfig {
    /// A stream with another rate in which auctions stay open, and persons stay active, as long as
    /// in the default one.
    pub fn at_rate(seed: u64, rate: Rate) -> GeneratorConfig {
        let default = GeneratorConfig::default();
        let scaled = |number: u64| ((number as f64 * rate.as_per_second() / DEFAULT_RATE) as u64).max(1);
        let (auctions_in_flight, active_people) = (scaled(default.auctions_in_flight), scaled(default.active_people));
        GeneratorConfig { seed, rate, auctions_in_flight, active_people, ..default }
    }
}

/// Generates events.
#[derive(Clone, Debug)]
pub struct Generator {
    config: GeneratorConfig,
    /// The longest time that an auction may stay open, in milliseconds.
    longest_auction_ms: u64,
}

impl Generator {
    /// The generator of a stream.
    ///
    /// # Panics
    /// If the rate, a ratio or a number of the configuration is 0.
    pub fn new(config: GeneratorConfig) -> Generator {
        assert!(config.rate > Rate::ZERO, "events come at a rate");
        let least =
            [config.hot_auction_ratio, config.hot_seller_ratio, config.hot_bidder_ratio, config.auctions_in_flight, config.active_people];
        assert!(!least.contains(&0), "ratios and numbers are at least 1: {config:?}");
        let auctions_per_ms = config.rate.as_per_second() * AUCTIONS as f64 / ROUND as f64 / 1e3;
        let longest_auction_ms = (2.0 * config.auctions_in_flight as f64 / auctions_per_ms).round().max(1.0) as u64;
        Generator { config, longest_auction_ms }
    }

    /// When event `n` happens if the stream keeps up with its rate, in milliseconds.
    pub fn time_of(&self, n: u64) -> u64 {
        (n as f64 * 1e3 / self.config.rate.as_per_second()) as u64
    }

    /// Event `n`, counted from 0, at the time given by the rate.
    pub fn event(&self, n: u64) -> Event {
        self.event_at(n, self.time_of(n))
    }

    /// Event `n`, counted from 0, at time `at` (milliseconds): a source that lags emits it later
    /// than the rate says.
    pub fn event_at(&self, n: u64, at: u64) -> Event {
        let mut random = Rng::with_seed(self.config.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        match n % ROUND {
            place if place < PEOPLE => Event::Person(Box::new(person(n / ROUND * PEOPLE + place, at, &mut random))),
            place if place < PEOPLE + AUCTIONS => Event::Auction(Box::new(self.auction(n, at, &mut random))),
            _ => Event::Bid(self.bid(n, at, &mut random)),
        }
    }

    fn auction(&self, n: u64, at: u64, random: &mut Rng) -> Auction {
        let hot = random.u64(0..self.config.hot_seller_ratio) > 0;
        let newest = newest_person(n);
        let seller = if hot { newest / HOT_EVERY * HOT_EVERY } else { self.active_person(newest, random) };
        let initial_bid = price(random);
        Auction {
            id: FIRST_ID + newest_auction(n),
            item: letters(20, random),
            initial_bid,
            reserve: initial_bid + price(random),
            at,
            expires: at + 1 + random.u64(0..self.longest_auction_ms),
            seller: FIRST_ID + seller,
            category: FIRST_CATEGORY + random.u64(0..CATEGORIES),
        }
    }

    fn bid(&self, n: u64, at: u64, random: &mut Rng) -> Bid {
        let newest = newest_auction(n);
        let auction = if random.u64(0..self.config.hot_auction_ratio) > 0 {
            newest / HOT_EVERY * HOT_EVERY
        } else {
            random.u64(newest.saturating_sub(self.config.auctions_in_flight)..=newest)
        };
        let person = newest_person(n);
        let bidder = if random.u64(0..self.config.hot_bidder_ratio) > 0 {
            // Not the hot seller, once there is another one.
            (person / HOT_EVERY * HOT_EVERY + 1).min(person)
        } else {
            self.active_person(person, random)
        };
        Bid { auction: FIRST_ID + auction, bidder: FIRST_ID + bidder, price: price(random), at }
    }

    /// One of the persons who are active when `newest` is the newest, from 0.
    fn active_person(&self, newest: u64, random: &mut Rng) -> u64 {
        random.u64((newest + 1).saturating_sub(self.config.active_people)..=newest)
    }
}

/// The newest person when event `n` happens, from 0.
fn newest_person(n: u64) -> u64 {
    // A round starts with its only person.
    const { assert!(PEOPLE == 1) };
    n / ROUND
}

/// The newest auction when event `n`, which is no person, happens, from 0.
fn newest_auction(n: u64) -> u64 {
    n / ROUND * AUCTIONS + (n % ROUND - PEOPLE).min(AUCTIONS - 1)
}

fn person(number: u64, at: u64, random: &mut Rng) -> Person {
    let mut one = |of: &[&str]| of[random.usize(0..of.len())].to_owned();
    let (first, last, city, state) = (one(&FIRST_NAMES), one(&LAST_NAMES), one(&CITIES), one(&STATES));
    let email = format!("{}@{}.com", letters(7, random), letters(5, random));
    let mut group = || random.u32(0..10_000);
    let credit_card = format!("{:04} {:04} {:04} {:04}", group(), group(), group(), group());
    Person { id: FIRST_ID + number, name: format!("{first} {last}"), email, credit_card, city, state, at }
}

/// A price in cents, from one dollar to a million dollars. The number of digits is drawn uniformly,
/// then the price among those: the result is the same on every machine, unlike with floating-point
/// powers.
fn price(random: &mut Rng) -> u64 {
    let least = 10u64.pow(random.u32(2..8));
    random.u64(least..least * 10)
}

fn letters(number: usize, random: &mut Rng) -> String {
    (0..number).map(|_| random.lowercase()).collect()
}

const FIRST_NAMES: [&str; 11] =
    ["Ada", "Barbara", "Charles", "Edsger", "Frances", "Grace", "John", "Kathleen", "Leslie", "Niklaus", "Tony"];
const LAST_NAMES: [&str; 9] = ["Allen", "Booth", "Dijkstra", "Hoare", "Hopper", "Lamport", "Liskov", "Lovelace", "Wirth"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn generator(seed: u64) -> Generator {
        Generator::new(GeneratorConfig { seed, ..GeneratorConfig::default() })
    }

    #[test]
    fn a_number_and_a_seed_give_the_same_event_and_another_seed_others() {
        let (one, other) = (generator(7), generator(8));
        let backwards: Vec<Event> = (0..1000).rev().map(|n| one.event(n)).collect();
        assert!((0..1000).map(|n| generator(7).event(n)).eq(backwards.into_iter().rev()));
        assert!((0..1000).filter(|&n| one.event(n) == other.event(n)).count() < 10);
    }

    #[test]
    fn the_sequence_is_that_of_the_first_version() {
        // A recorded run must always read the same events.
        let Event::Bid(bid) = generator(1).event(123_456) else { panic!("a bid") };
        let Event::Auction(auction) = generator(1).event(123_452) else { panic!("an auction") };
        let found = ((bid.auction, bid.bidder, bid.price, bid.at), (auction.id, auction.seller, auction.reserve, auction.expires));
        assert_eq!(found, ((8400, 3401, 2429, 12345), (8408, 3400, 79_446_915, 12349)));
    }

    #[test]
    fn whoever_and_whatever_an_event_names_came_before_it() {
        for config in [GeneratorConfig::default(), GeneratorConfig { auctions_in_flight: 3, active_people: 2, ..Default::default() }] {
            let generator = Generator::new(config);
            let (mut people, mut auctions, mut last) = (0, 0, 0);
            for event in (0..200_000).map(|n| generator.event(n)) {
                assert!(event.at() >= last);
                last = event.at();
                match event {
                    Event::Person(person) => {
                        assert_eq!(person.id, FIRST_ID + people);
                        people += 1;
                    }
                    Event::Auction(auction) => {
                        assert_eq!(auction.id, FIRST_ID + auctions);
                        assert!((FIRST_ID..FIRST_ID + people).contains(&auction.seller));
                        assert!(auction.expires > auction.at && auction.reserve > auction.initial_bid);
                        assert!((10..15).contains(&auction.category));
                        auctions += 1;
                    }
                    Event::Bid(bid) => {
                        assert!((FIRST_ID..FIRST_ID + auctions).contains(&bid.auction));
                        assert!((FIRST_ID..FIRST_ID + people).contains(&bid.bidder));
                        assert!((100..1_000_000_000).contains(&bid.price));
                    }
                }
            }
            assert_eq!((people, auctions), (4000, 12_000));
        }
    }

    #[test]
    fn the_hot_ones_have_their_shares() {
        let generator = generator(3);
        let (mut of_auctions, mut of_sellers, mut of_bidders): (BTreeMap<u64, u64>, BTreeMap<u64, u64>, BTreeMap<u64, u64>) =
            Default::default();
        let (mut auctions, mut bids) = (0.0, 0.0);
        // While the hot ones stay the same: 33 rounds make 100 auctions.
        for event in (ROUND * 1000..ROUND * 1033).map(|n| generator.event(n)) {
            match event {
                Event::Person(_) => {}
                Event::Auction(auction) => {
                    auctions += 1.0;
                    *of_sellers.entry(auction.seller).or_default() += 1;
                }
                Event::Bid(bid) => {
                    bids += 1.0;
                    *of_auctions.entry(bid.auction).or_default() += 1;
                    *of_bidders.entry(bid.bidder).or_default() += 1;
                }
            }
        }
        let share = |counts: &BTreeMap<u64, u64>, all: f64| *counts.values().max().unwrap() as f64 / all;
        assert!((share(&of_auctions, bids) - 0.5).abs() < 0.05, "{}", share(&of_auctions, bids));
        assert!((share(&of_sellers, auctions) - 0.75).abs() < 0.15, "{}", share(&of_sellers, auctions));
        assert!((share(&of_bidders, bids) - 0.75).abs() < 0.05, "{}", share(&of_bidders, bids));
    }

    #[test]
    fn auctions_last_as_long_as_so_many_are_opened() {
        for rate in [500.0, 10_000.0, 1e6] {
            let generator = Generator::new(GeneratorConfig::at_rate(1, Rate::per_second(rate)));
            let lengths: Vec<f64> = (0..100_000)
                .filter_map(|n| match generator.event(n) {
                    Event::Auction(auction) => Some((auction.expires - auction.at) as f64),
                    _ => None,
                })
                .collect();
            let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
            // A hundred auctions at 600 a second.
            assert!((mean / (1e5 / 600.0) - 1.0).abs() < 0.05, "{rate}: {mean}");
        }
    }
}
