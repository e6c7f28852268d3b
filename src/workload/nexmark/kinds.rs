//! Which events a query reads: its source emits no others.

use std::ops::Range;

use super::generator::{AUCTIONS, BIDS, PEOPLE, ROUND};

/// A selection of kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// All events.
    All,
    /// Only bids.
    Bids,
    /// Persons and auctions.
    PeopleAndAuctions,
    /// Auctions and bids.
    AuctionsAndBids,
}

impl Kinds {
    /// The positions of these kinds in each round of the stream.
    fn in_round(self) -> Range<u64> {
        match self {
            Kinds::All => 0..ROUND,
            Kinds::Bids => ROUND - BIDS..ROUND,
            Kinds::PeopleAndAuctions => 0..PEOPLE + AUCTIONS,
            Kinds::AuctionsAndBids => PEOPLE..ROUND,
        }
    }

    /// Their share of all events, more than 0 and at most 1.
    pub fn share(self) -> f64 {
        let range = self.in_round();
        (range.end - range.start) as f64 / ROUND as f64
    }

    /// The number, in the whole stream, of the `n`-th event of these kinds, both counted from 0.
    pub fn number(self, n: u64) -> u64 {
        let range = self.in_round();
        let in_round = range.end - range.start;
        n / in_round * ROUND + range.start + n % in_round
    }

    /// The same after this many rounds of the stream.
    pub fn number_after(self, rounds: u64, n: u64) -> u64 {
        rounds * ROUND + self.number(n)
    }

    /// How many of the first `events` events of the stream are of these kinds.
    pub fn among(self, events: u64) -> u64 {
        let range = self.in_round();
        let last = (events % ROUND).clamp(range.start, range.end) - range.start;
        events / ROUND * (range.end - range.start) + last
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Generator, GeneratorConfig};
    use super::*;

    #[test]
    fn a_choice_leaves_out_all_others_and_nothing_else() {
        let generator = Generator::new(GeneratorConfig::default());
        let of = |kinds: Kinds, event: &Event| match event {
            Event::Person(_) => matches!(kinds, Kinds::All | Kinds::PeopleAndAuctions),
            Event::Auction(_) => kinds != Kinds::Bids,
            Event::Bid(_) => kinds != Kinds::PeopleAndAuctions,
        };
        for kinds in [Kinds::All, Kinds::Bids, Kinds::PeopleAndAuctions, Kinds::AuctionsAndBids] {
            let chosen: Vec<u64> = (0..500).filter(|&n| of(kinds, &generator.event(n))).collect();
            let numbered: Vec<u64> = (0..chosen.len() as u64).map(|n| kinds.number(n)).collect();
            assert_eq!(chosen, numbered, "{kinds:?}");
            assert_eq!(chosen.len() as f64 / 500.0, kinds.share());
            for events in 0..500 {
                assert_eq!(kinds.among(events), chosen.iter().filter(|&&n| n < events).count() as u64);
            }
        }
    }
}
