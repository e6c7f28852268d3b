//! Migration changes nothing but where work is done: for random workloads, operators, workers, strategies and plans at random times,
//! the output equals that of a sequential model and that of the same job without migration, record for record and epoch for epoch.
//!
//! What only this test catches: a record routed by the table of another epoch, state that overtakes records or is overtaken by
//! them, a timer called too early, too late or not at all, a bin that is lost (the last epoch asks every key) or owned twice
//! (counts would split, or an owner would be out of turn), queued records that stay behind or change their order, a queue that is counted
//! at the wrong instance.
//! `src/engine/seeded_faults.rs` shows that it does.
//!
//! `THALWEG_ORACLE_CASES` asks for more cases than continuous integration runs; see `scripts/oracle`.

use std::net::TcpListener;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::oracle::{Case, Form, KEYED, Output, Wire, case, check_owners, elastic, sequential};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use thalweg::id::BinId;
use thalweg::migration::{BinMove, Step};

/// Far beyond what a case takes on any machine.
const FOR_EVER: Duration = Duration::from_secs(30);

/// `usual`, or its share of all cases that are asked for.
fn share(usual: u32) -> u32 {
    let asked: Option<u32> = std::env::var("THALWEG_ORACLE_CASES").ok().map(|asked| asked.parse().expect("a number of cases"));
    asked.map_or(usual, |asked| (u64::from(asked) * u64::from(usual) / 2000) as u32)
}

fn cases(usual: u32) -> ProptestConfig {
    ProptestConfig { cases: share(usual), failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1200))]

    #[test]
    fn output_with_migration_equals_that_of_a_sequential_model(case in case(1..=4)) {
        prop_assert_eq!(elastic(&case, &Wire::Memory, FOR_EVER), sequential(&case));
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn output_with_migration_equals_output_without(case in case(1..=4)) {
        prop_assert_eq!(elastic(&case, &Wire::Memory, FOR_EVER), elastic(&case.unmigrated(), &Wire::Memory, FOR_EVER));
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn serialized_migration_changes_nothing_either(case in case(2..=4)) {
        prop_assert_eq!(elastic(&case, &Wire::Serialized, FOR_EVER), sequential(&case));
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn nor_does_state_in_parts(case in case(2..=4)) {
        prop_assert_eq!(elastic(&case, &Wire::Parts, FOR_EVER), sequential(&case));
    }
}

/// The check of owners is no formality: an owner before its turn is seen, and one after it.
#[test]
fn an_owner_out_of_turn_is_seen() {
    let to = |to, from| Step { moves: vec![BinMove { operator: KEYED, bin: BinId(0), from, to }], ..Step::default() };
    let steps = [(3, vec![to(1, 0)]), (6, vec![to(0, 1)])].into();
    let case = Case { form: Form::StateMachine, bins: 1, steps, ..seeded(0) };
    let seen = |workers: [u32; 3]| {
        let applied = [2, 4, 7].into_iter().zip(1..).zip(workers).map(|((epoch, count), worker)| ((epoch, 0, [count, 1, 0, 0]), worker));
        catch_unwind(|| check_owners(&case, &applied.collect::<Vec<_>>())).is_err()
    };
    // As owned; late, as what waits with its bin is; by nobody's turn.
    assert_eq!([[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 1]].map(seen), [false, false, false, true, true]);
}

/// Cases of two processes.
const CLUSTERS: u32 = 24;
/// Tells a process that it is the second of a pair: seed, addresses, and the file for its output.
const SECOND: &str = "THALWEG_ORACLE_SECOND";

/// The case of a seed, for two workers; the same in every process.
fn seeded(seed: u64) -> Case {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    case(2..=2).new_tree(&mut runner).unwrap().current()
}

/// Loopback addresses that nobody listens on.
fn free_addresses() -> Vec<String> {
    let listeners: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

/// Two real processes, a worker in each: this one, and itself once more with another test filter.
#[test]
fn nor_does_another_process() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..u64::from(share(CLUSTERS)) {
        let (case, addresses, file) = (seeded(seed), free_addresses(), folder.path().join(seed.to_string()));
        let second = serde_json::to_string(&(seed, &addresses, &file)).unwrap();
        let arguments = ["--exact", "migration_oracle::the_second_process", "--nocapture"];
        let mut child = Command::new(std::env::current_exe().unwrap());
        let mut child = child.args(arguments).env(SECOND, second).stdout(Stdio::null()).spawn().unwrap();
        let mut output = elastic(&case, &Wire::Processes { process: 0, addresses }, FOR_EVER);
        assert!(child.wait().unwrap().success(), "the second process of seed {seed}");
        let theirs: Vec<Output> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        output.extend(theirs);
        output.sort_unstable();
        assert_eq!(output, sequential(&case), "seed {seed}: {case:?}");
    }
}

/// The other half of [`nor_does_another_process`]; alone it has nothing to do.
#[test]
fn the_second_process() {
    let Ok(second) = std::env::var(SECOND) else { return };
    let (seed, addresses, file): (u64, Vec<String>, std::path::PathBuf) = serde_json::from_str(&second).unwrap();
    let output = elastic(&seeded(seed), &Wire::Processes { process: 1, addresses }, FOR_EVER);
    std::fs::write(file, serde_json::to_vec(&output).unwrap()).unwrap();
}
