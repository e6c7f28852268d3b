//! Whether the measures name what slows a job down, on logs of which that is known; and that they hold on long logs.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg::activity::Record;
use thalweg::critical_path::{By, Entity, Entry, Participation, WindowSummary};
use thalweg::pag::{GraphBuilder, GraphConfig, WindowGraph};
use thalweg::sim::{Cause, CauseKind, ExchangeLog, Flow, Random};
use thalweg::time::Timestamp;

const KINDS: [CauseKind; 4] = [CauseKind::Operator, CauseKind::Instance, CauseKind::Channel, CauseKind::Outside];

/// Gives the graph of each window of a log as soon as it is complete.
fn each_window(config: GraphConfig, records: impl Iterator<Item = Record>, mut look: impl FnMut(&WindowGraph)) {
    let mut builder = GraphBuilder::new(config);
    for record in records {
        builder.push(&record);
        if matches!(record, Record::UpTo { .. }) {
            while let Some(graph) = builder.close(builder.known()) {
                look(&graph);
                builder.recycle(graph);
            }
        }
    }
    while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
        look(&graph);
    }
}

/// Summaries of the whole windows in which the flow is at work, without the first second, in which it fills up.
fn summaries(flow: &Flow, window: Duration, end: Timestamp) -> Vec<WindowSummary> {
    let mut summaries = Vec::new();
    let mut random = Random::new(0);
    each_window(GraphConfig::new(window), flow.records(end), |graph| {
        if graph.window.start >= Timestamp(1_000_000_000) && graph.window.end <= end {
            summaries.push(WindowSummary::of(graph, || random.uniform()));
        }
    });
    summaries
}

/// The rule, for all cases: the first entry that names something. Time of which the log tells nothing names nothing.
fn top(ranking: &[Entry]) -> Option<Entity> {
    ranking.iter().map(|entry| entry.entity).find(|entity| *entity != Entity::Unknown)
}

/// What the summary names, and whether that is the cause: by instance if the cause is an instance, else by operator.
fn names(summary: &WindowSummary, cause: Cause) -> (Option<Entity>, bool) {
    let (by, expected) = match cause {
        Cause::Operator(operator) => (By::Operator, Entity::Operator(operator)),
        Cause::Instance(instance) => (By::Instance, Entity::Instance(instance)),
        Cause::Channel(channel) => (By::Operator, Entity::Channel(channel)),
        Cause::Outside(operator) => (By::Operator, Entity::Outside(operator)),
    };
    let top = top(&summary.ranking(by));
    (top, top == Some(expected))
}

/// What an entity is, for the table.
fn sort(entity: Option<Entity>) -> &'static str {
    match entity {
        Some(Entity::Operator(_)) => "operator",
        Some(Entity::Instance(_)) => "instance",
        Some(Entity::Channel(_)) => "channel",
        Some(Entity::Outside(_)) => "outside",
        _ => "other",
    }
}

#[test]
fn the_top_entry_names_the_injected_cause() {
    const SEEDS: u64 = 60;
    let end = Timestamp(4_000_000_000);
    let mut table: BTreeMap<(CauseKind, String), u64> = BTreeMap::new();
    let (mut windows, mut right, mut cases, mut failed) = (0, 0, 0, Vec::new());
    for kind in KINDS {
        for seed in 0..SEEDS {
            let flow = Flow::random(seed, kind);
            let summaries = summaries(&flow, Duration::from_secs(1), end);
            assert_eq!(summaries.len(), 3, "{kind:?} {seed}");
            let mut all = true;
            for summary in &summaries {
                assert!((summary.participation_sum - 1.0).abs() < 1e-9, "{kind:?} {seed}: {}", summary.participation_sum);
                let (named, is_cause) = names(summary, flow.cause);
                let column = if is_cause { "the cause".to_owned() } else { format!("another {}", sort(named)) };
                *table.entry((kind, column)).or_default() += 1;
                windows += 1;
                right += u64::from(is_cause);
                all &= is_cause;
            }
            cases += 1;
            if !all {
                failed.push((kind, seed, flow.cause, names(&summaries[0], flow.cause).0));
            }
        }
    }
    println!("injected, named: windows of 1 s");
    for ((kind, column), count) in &table {
        println!("{kind:?}, {column}: {count}");
    }
    println!("{right} of {windows} windows; cases with a window that names something else: {failed:?}");
    assert!(cases >= 200);
    assert!(right as f64 >= 0.95 * windows as f64, "{right} of {windows}");
    assert!(failed.len() as f64 <= 0.05 * f64::from(cases), "{failed:?}");
}

/// Ten times shorter or longer windows name the same.
#[test]
fn the_length_of_a_window_does_not_change_what_it_names() {
    let end = Timestamp(20_000_000_000);
    for kind in KINDS {
        for seed in 1000..1003 {
            let flow = Flow::random(seed, kind);
            for (window, expected) in [(100, 190), (1000, 19), (10_000, 1)] {
                let summaries = summaries(&flow, Duration::from_millis(window), end);
                assert_eq!(summaries.len(), expected);
                let right = summaries.iter().filter(|summary| names(summary, flow.cause).1).count();
                println!("{kind:?} {seed}, {window} ms: {right} of {expected}");
                assert!(right as f64 >= 0.95 * expected as f64, "{kind:?} {seed} {window} ms: {right} of {expected}");
            }
        }
    }
}

/// Where the released program overflows: 8 and 32 workers, windows of 1 s and 5 s. Who waits goes on from the message that came last
/// only, so there are fewer paths here; `tests/suite/participation.rs` has the closed form for those that overflow.
#[test]
fn participations_sum_to_one_however_many_paths_there_are() {
    for workers in [8, 32] {
        for seconds in [1, 5] {
            for through_queues in [false, true] {
                let config = GraphConfig { through_queues, ..GraphConfig::new(Duration::from_secs(seconds)) };
                let (mut windows, mut most_paths) = (0, 0.0f64);
                each_window(config, ExchangeLog::of_all(workers, 100, 10).records(), |graph| {
                    let participation = Participation::of(graph);
                    let sum = participation.sum(graph);
                    assert!((sum - 1.0).abs() < 1e-9, "{workers} workers, {:?}: {sum}", graph.window);
                    most_paths = most_paths.max(participation.log2_paths);
                    windows += 1;
                });
                assert!(windows >= 10 / seconds);
                println!("{workers} workers, {seconds} s, through queues {through_queues}: up to 2^{most_paths:.1} paths");
            }
        }
    }
}
