//! Compares the results of queries with a computation from scratch at every window, and checks what
//! state they keep.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use proptest::prelude::*;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};

use super::*;
use crate::activity::{ActivityKind, MessageKind};
use crate::critical_path::{Row, Subject, WaitPattern};
use crate::id::{OperatorId, WorkerId};
use crate::time::Timestamp;

/// A window: its number, its summary, and what took too long in it.
type Seen = (Time, WindowSummary, Vec<Fact>);

/// What `watch` reports on `windows`, and the most updates that its arrangements and their inputs
/// held at a window's end.
fn watched(queries: &[StandingQuery], windows: Vec<Seen>) -> (Vec<(Fact, Time, isize)>, isize) {
    let queries: Arc<[StandingQuery]> = queries.into();
    timely::execute_directly(move |worker| {
        let held = Rc::new(RefCell::new(0isize));
        let sum = Rc::clone(&held);
        worker.log_register().unwrap().insert::<DifferentialEventBuilder, _>("differential/arrange", move |_, events| {
            for (_, event) in events.iter().flat_map(|events| events.iter()) {
                *sum.borrow_mut() += match event {
                    DifferentialEvent::Batch(batch) => batch.length as isize,
                    DifferentialEvent::Merge(merge) => {
                        merge.complete.map_or(0, |left| left as isize - (merge.length1 + merge.length2) as isize)
                    }
                    DifferentialEvent::Drop(drop) => -(drop.length as isize),
                    DifferentialEvent::Batcher(batcher) => batcher.records_diff,
                    _ => 0,
                };
            }
        });
        let (mut input, probe, found) = (InputHandleVec::new(), ProbeHandle::new(), Rc::new(RefCell::new(Vec::new())));
        let (out, asked) = (Rc::clone(&found), Arc::clone(&queries));
        worker.dataflow(|scope| {
            let changes = watch(input.to_stream(scope), asked);
            changes.inspect(move |change| out.borrow_mut().push(*change)).probe_with(&probe);
        });
        let mut most = 0;
        for (time, summary, long) in windows {
            input.advance_to(time);
            input.send_batch(&mut facts(&queries, time, &summary, &long));
            input.advance_to(time + 1);
            while probe.less_than(input.time()) {
                worker.step();
            }
            // One more, so that what has been logged is handed over.
            worker.step();
            most = most.max(*held.borrow());
        }
        drop(input);
        while worker.has_dataflows() {
            worker.step();
        }
        let found = found.borrow().clone();
        (found, most)
    })
}

/// What holds at window number `now`, from scratch.
fn direct(queries: &[StandingQuery], windows: &[Seen], now: Time) -> BTreeSet<Fact> {
    let mut holds = BTreeSet::new();
    for (number, query) in (0..).zip(queries) {
        let seen: Vec<&Seen> = windows.iter().filter(|(time, ..)| *time <= now && now - time < u64::from(query.windows())).collect();
        // Shares of 1/1000, whole numbers of ns: exact in integers.
        let amount = |subject: &QuerySubject, (_, summary, _): &Seen| -> u64 {
            let rows = summary.rows.iter().filter(|row| match (subject, row.subject) {
                (QuerySubject::Entity(Entity::Operator(operator)), Subject::Work(_, instance)) => *operator == instance.operator,
                (QuerySubject::Entity(Entity::Instance(instance)), Subject::Work(_, other)) => *instance == other,
                (QuerySubject::Entity(Entity::Channel(channel)), Subject::Message(_, other, _)) => *channel == other,
                _ => false,
            });
            let waits = summary.waits.iter().filter(|wait| subject == &pattern(wait)).map(|wait| wait.ns);
            rows.map(|row| (row.participation * 1000.0).round() as u64).chain(waits).sum()
        };
        let mut subjects = BTreeSet::new();
        for (_, summary, _) in &seen {
            match query {
                StandingQuery::ParticipationOver { part, .. } | StandingQuery::ParticipationInEach { part, .. } => {
                    subjects.extend(summary.rows.iter().filter_map(|row| match (row.subject, part) {
                        (Subject::Work(_, instance), Part::Operator) => Some(QuerySubject::Entity(Entity::Operator(instance.operator))),
                        (Subject::Work(_, instance), Part::Instance) => Some(QuerySubject::Entity(Entity::Instance(instance))),
                        (Subject::Message(_, channel, _), Part::Channel) => Some(QuerySubject::Entity(Entity::Channel(channel))),
                        _ => None,
                    }));
                }
                StandingQuery::Longer { .. } => {}
                _ => subjects.extend(summary.waits.iter().map(pattern)),
            }
        }
        let long = seen.iter().flat_map(|(.., long)| long).filter(|fact| fact.0 == number);
        holds.extend(long.copied());
        for subject in subjects {
            let sum = || seen.iter().map(|window| amount(&subject, window)).sum::<u64>();
            let is = match *query {
                StandingQuery::ParticipationOver { above, windows, .. } => sum() * 1_000_000 > above * u64::from(windows),
                StandingQuery::ParticipationInEach { above, windows, .. } => {
                    seen.len() == windows as usize && seen.iter().all(|window| amount(&subject, window) * 1_000_000 > above)
                }
                StandingQuery::Longer { .. } => false,
                StandingQuery::WaitOver { above, .. } => u128::from(sum()) > above.as_nanos(),
                StandingQuery::WaitIn { least, .. } => {
                    seen.iter().filter(|(_, summary, _)| summary.waits.iter().any(|wait| pattern(wait) == subject)).count()
                        >= least as usize
                }
            };
            if is {
                holds.insert((number, subject));
            }
        }
    }
    holds
}

fn pattern(wait: &WaitPattern) -> QuerySubject {
    QuerySubject::Wait { lane: wait.lane, channel: wait.channel, from: wait.from, cause: wait.cause }
}

fn lane(worker: u32) -> Lane {
    Lane::Worker(WorkerId(worker))
}

/// Work of instances and messages with participations in 1/1000, waits in ns.
fn summary(number: Time, rows: &[(u32, u32, u32)], waits: &[(u32, u64)]) -> WindowSummary {
    let row = |&(operator, index, share): &(u32, u32, u32)| {
        let subject = match index {
            0 => Subject::Message(MessageKind::Data, ChannelId(operator), lane(1)),
            _ => Subject::Work(ActivityKind::Processing, InstanceId::new(OperatorId(operator), index)),
        };
        Row { lane: lane(index), subject, participation: f64::from(share) / 1000.0, ns: 1, path_ns: 0, count: 1 }
    };
    let wait = |&(from, ns): &(u32, u64)| {
        let cause = (from > 1).then(|| InstanceId::new(OperatorId(from), 0));
        WaitPattern { lane: lane(0), channel: ChannelId(1), from: lane(from), cause, count: 1, whole_ns: ns, ns }
    };
    // A pattern and a subject occur once in a summary.
    let rows: std::collections::BTreeMap<_, _> = rows.iter().map(|row| ((row.0, row.1), row)).collect();
    let waits: std::collections::BTreeMap<_, _> = waits.iter().map(|wait| (wait.0, wait)).collect();
    WindowSummary {
        window: Window::starting(Timestamp(number * 1000), Duration::from_nanos(1000)),
        participation_sum: 1.0,
        log2_paths: None,
        rows: rows.into_values().map(row).collect(),
        waits: waits.into_values().map(wait).collect(),
    }
}

fn queries() -> Vec<StandingQuery> {
    let texts = [
        "participation operator > 50% over 3 windows",
        "participation instance > 25%",
        "participation channel > 0% over 7 windows",
        "participation operator > 20% in each of 2 windows",
        "epoch > 200ms over 3 windows",
        "activity > 20ms",
        "wait > 15ns over 5 windows",
        "wait in 2 of 4 windows",
    ];
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn changes_add_up_to_what_a_computation_from_scratch_finds(
        windows in prop::collection::vec(
            (
                // Mostly the next window, sometimes one long after.
                prop_oneof![4 => Just(1u64), 1 => 2..12u64],
                // Shares on both sides of and on the bounds.
                prop::collection::vec((0u32..3, 0u32..3, prop::sample::select(vec![0, 125, 200, 201, 250, 500, 501, 1000])), 0..6),
                prop::collection::vec((0u32..4, prop::sample::select(vec![0u64, 5, 15, 16])), 0..4),
                prop::collection::vec((4u32..6, 0u32..2), 0..3),
            ),
            1..25,
        ),
    ) {
        let mut number = 0;
        let windows: Vec<Seen> = windows.into_iter().map(|(step, rows, waits, long)| {
            number += step;
            let long: BTreeSet<Fact> = long.into_iter().map(|(query, operator)| match query {
                4 => (4, QuerySubject::Epochs),
                _ => (5, QuerySubject::Entity(Entity::Operator(OperatorId(operator)))),
            }).collect();
            (number, summary(number, &rows, &waits), long.into_iter().collect())
        }).collect();
        let queries = queries();
        let (changes, _) = watched(&queries, windows.clone());
        let mut holds: BTreeSet<Fact> = BTreeSet::new();
        for now in 0..=number + 8 {
            for (fact, _, change) in changes.iter().filter(|(_, time, _)| *time == now) {
                // Appears only if it was not there, vanishes only if it was.
                prop_assert!(if *change == 1 { holds.insert(*fact) } else { *change == -1 && holds.remove(fact) }, "{fact:?} {change} at {now}");
            }
            prop_assert_eq!(&holds, &direct(&queries, &windows, now), "at {}", now);
        }
        prop_assert!(holds.is_empty(), "everything vanishes in the end");
    }
}

/// Every window brings subjects that were never there before and never come again.
#[test]
fn what_is_kept_does_not_grow_with_the_length_of_the_run() {
    let queries = queries();
    let most = |windows: u64| {
        let seen = (0..windows).map(|number| {
            let rows: Vec<_> = (0..100).map(|index| (number as u32 * 100 + index, 1, 10)).collect();
            let waits: Vec<_> = (0..10).map(|index| (number as u32 * 10 + index, 20)).collect();
            (number, summary(number, &rows, &waits), Vec::new())
        });
        watched(&queries, seen.collect()).1
    };
    let (short, long) = (most(100), most(1000));
    // What the queries look back on: each contribution and what will take it back.
    let needed = 2 * (100 * (3 + 1 + 2) + 10 * (5 + 4));
    assert!(short >= needed / 2, "{short} updates seen of at least {needed}: is the log read?");
    assert!(long <= short + short / 10, "{short} updates after 100 windows, {long} after 1000");
}

#[test]
fn a_change_can_be_read() {
    let wait = QuerySubject::Wait { lane: lane(0), channel: ChannelId(3), from: lane(1), cause: Some(InstanceId::new(OperatorId(2), 1)) };
    let window = Window::starting(Timestamp(2_000_000_000), Duration::from_secs(1));
    let change = QueryChange::new("wait > 100ms over 5 windows".parse().unwrap(), window, wait, true);
    let text = "worker0 waiting for worker1 on channel3, which was at work for op2[1] appeared at 2.000 s: wait > 100ms over 5 windows";
    assert_eq!(change.to_string(), text);
    let json = serde_json::to_value(&change).unwrap();
    assert_eq!((&json["query"], &json["appeared"]), (&"wait > 100ms over 5 windows".into(), &true.into()));
}
