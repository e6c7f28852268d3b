//! NEXMark three times: of elastic operators that migrate at random, in plain timely, and in differential dataflow. The same finite
//! streams give the same answers, exactly, for every query.
//!
//! What only this test catches: a query that one of the forms understands otherwise, a window that is cut off wrongly, a tie that depends
//! on an order, a timer or a state of a query that a migration loses.

use std::sync::Arc;

use crate::nexmark::{Case, differential, elastic, plain};
use thalweg::engine::nexmark::Query;

/// Streams of each query; half of them with one worker, half with four.
const SEEDS: u64 = 60;

fn check(query: Query) {
    let (mut answers, mut moves) = (0, 0);
    for seed in 0..SEEDS {
        let case = Arc::new(Case::new(query, seed, if seed % 2 == 0 { 1 } else { 4 }));
        let expected = differential(&case);
        let what = || format!("{query}, seed {seed}, {} workers", case.workers);
        assert!(plain(&case) == expected, "plain timely differs: {}", what());
        assert!(elastic(&case) == expected, "the elastic form differs: {}", what());
        answers += expected.len();
        moves += case.moves();
    }
    // A query without answers, or a run without migrations, would show nothing.
    assert!(answers > 5 * SEEDS as usize, "{query}: {answers} answers");
    assert!(moves >= 2 * SEEDS as usize, "{query}: {moves} moves");
}

#[test]
fn every_event_as_it_is() {
    check(Query::Q0);
}

#[test]
fn prices_in_another_currency() {
    check(Query::Q1);
}

#[test]
fn bids_for_some_auctions() {
    check(Query::Q2);
}

#[test]
fn who_nearby_offers_something() {
    check(Query::Q3);
}

#[test]
fn mean_winning_price_by_category() {
    check(Query::Q4);
}

#[test]
fn auctions_with_the_most_bids() {
    check(Query::Q5);
}

#[test]
fn mean_winning_price_by_seller() {
    check(Query::Q6);
}

#[test]
fn highest_bids() {
    check(Query::Q7);
}

#[test]
fn who_offers_something_soon_after_registering() {
    check(Query::Q8);
}

#[test]
fn bids_of_a_person_while_active() {
    check(Query::Q11);
}
