//! The suite of `tests/suite/migration_oracle.rs` sees every fault of [`Fault`].
//!
//! Most of its time it waits for jobs that hang, so it is run when asked for:
//! `cargo test --lib seeded_faults -- --ignored`. A fault holds for a whole process, so it has one to itself. It stands here and not
//! beside the suite because only the unit tests' build of the engine has faults.

#[path = "../../tests/suite/alone.rs"]
mod alone;
#[path = "../../tests/suite/oracle/mod.rs"]
#[expect(dead_code, reason = "the suite uses the rest")]
mod oracle;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::alone::is_alone;
use self::oracle::{Wire, case, elastic, sequential};
use super::elastic::fault::{Fault, choose};

/// A job that hangs has been caught; healthy ones take a few hundredths of that.
const CAUGHT: Duration = Duration::from_secs(5);
/// Longer than a healthy job takes on any machine.
const FOR_EVER: Duration = Duration::from_secs(60);
/// Cases that a fault may pass: a tenth of what the suite runs.
const MOST_CASES: usize = 200;

/// How many cases it takes until one goes wrong, or hangs for `for_ever`; nothing if none does.
fn caught_after(most: usize, for_ever: Duration) -> Option<usize> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (1..=most).find(|index| {
        let case = case(1..=4).new_tree(&mut runner).unwrap().current();
        let wire = if index % 2 == 0 { Wire::Parts } else { Wire::Memory };
        let right = catch_unwind(AssertUnwindSafe(|| elastic(&case, &wire, for_ever) == sequential(&case)));
        !right.unwrap_or(false)
    })
}

#[test]
#[ignore = "waits for jobs that hang; .ci/run asks for it"]
fn every_fault_is_caught() {
    if !is_alone("engine::seeded_faults::every_fault_is_caught") {
        return;
    }
    // What the panics of a faulty engine say is of no interest.
    std::panic::set_hook(Box::new(|_| {}));
    let caught: Vec<(Fault, Option<usize>)> = Fault::ALL
        .into_iter()
        .map(|fault| {
            choose(Some(fault));
            (fault, caught_after(MOST_CASES, CAUGHT))
        })
        .collect();
    choose(None);
    let sound = caught_after(MOST_CASES, FOR_EVER);
    let _ = std::panic::take_hook();
    caught.iter().for_each(|(fault, cases)| println!("{fault:?}: caught by case {cases:?}"));
    assert!(caught.iter().all(|(_, cases)| cases.is_some()), "{caught:?}");
    assert_eq!(sound, None, "a case fails without any fault");
}
