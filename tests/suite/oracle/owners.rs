//! Who applied what: every bin has one owner at every logical time.

use std::collections::BTreeMap;

use thalweg::engine::{Time, bin_of};
use thalweg::id::BinId;

use super::{Case, Form, INSTANCES, KEYED, Output};

/// Asserts that the records of each key were applied along the list of its bin's owners, each by one that owned the bin at the record's
/// epoch or later, and none by an earlier owner after a later one. `applied` are results with the worker that gave them, of all workers.
///
/// Counts of a key say in which order its records were applied; so this looks at state machines, and only where no bin is split.
pub fn check_owners(case: &Case, applied: &[(Output, u32)]) {
    let steps = || case.steps.iter().flat_map(|(&at, steps)| steps.iter().map(move |step| (at, step)));
    if case.form != Form::StateMachine || steps().any(|(_, step)| !step.splits.is_empty()) {
        return;
    }
    // Workers of the owners of each bin, and those of the instances.
    let mut owners: BTreeMap<BinId, Vec<(Time, u32)>> = (0..case.bins).map(|bin| (BinId(bin), vec![(0, 0)])).collect();
    let mut places: Vec<u32> = (0..INSTANCES).map(|index| index % case.workers as u32).collect();
    for (at, step) in steps() {
        if let Some(moved) = step.placement.get(&KEYED) {
            places = moved.iter().map(|worker| worker.0).collect();
        }
        for to in step.moves.iter().filter(|to| to.operator == KEYED) {
            owners.get_mut(&to.bin).expect("a bin of the operator").push((at, places[to.to as usize]));
        }
    }
    // Epochs and workers by key and count.
    let mut records: BTreeMap<u16, BTreeMap<u64, (Time, u32)>> = BTreeMap::new();
    for &((epoch, key, [count, ..]), worker) in applied {
        records.entry(key).or_default().insert(count, (epoch, worker));
    }
    for (key, records) in records {
        let owners = &owners[&bin_of(&key, case.bins)];
        let mut turn = 0;
        for (count, (epoch, worker)) in records {
            let at_epoch = owners.iter().rposition(|&(since, _)| since <= epoch).expect("a bin has a first owner");
            let from = at_epoch.max(turn);
            let next = owners[from..].iter().position(|&(_, of)| of == worker);
            turn =
                from + next.unwrap_or_else(|| panic!("record {count} of key {key}, epoch {epoch}, on worker {worker}: owners {owners:?}"));
        }
    }
}
