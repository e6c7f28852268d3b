//! The graph where logs are hard on it: clocks that differ, messages that nobody takes, completions that straddle what is settled.

use thalweg::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use thalweg::critical_path::{By, Entity, Participation, Subject, WindowSummary};
use thalweg::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use thalweg::pag::{GraphBuilder, GraphConfig, Oddities, PieceKind, WindowGraph};
use thalweg::time::{Epoch, Timestamp};

use crate::activity::{activity, config, message, processing as processed};

const MILLISECOND: u64 = 1_000_000;

fn work(kind: ActivityKind, worker: u32, epoch: u64, start: u64, end: u64) -> Record {
    Record::Activity(Activity { epoch: Epoch(epoch), ..activity(kind, worker, 1 + worker, start, end) })
}

fn check(graph: &WindowGraph) {
    for edge in &graph.messages {
        assert!(
            graph.window.start <= edge.start && edge.start <= edge.end && edge.end <= graph.window.end,
            "{edge:?} in {:?}",
            graph.window
        );
    }
    let sum = Participation::of(graph).sum(graph);
    assert!((sum - 1.0).abs() < 1e-9, "{sum} in {:?}", graph.window);
}

/// Two workers hand work to and fro, 4 ms each and 1 ms on the way; worker 1's clock is ahead. In order of the stamps, as files are read.
fn ping_pong(rounds: u64, ahead: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for round in 0..rounds {
        let start = 10 * round * MILLISECOND;
        let at = |tenths: u64| start + tenths * MILLISECOND / 10;
        let (there, back) = (message(0, 1, round, at(40)), message(1, 0, round, at(90) + ahead));
        records.push((at(40), work(ActivityKind::Processing, 0, 0, at(0), at(40))));
        records.push((at(40), Record::Sent(there)));
        records.push((at(50) + ahead, Record::Received(Message { at: Timestamp(at(50) + ahead), ..there })));
        records.push((at(90) + ahead, work(ActivityKind::Processing, 1, 0, at(50) + ahead, at(90) + ahead)));
        records.push((at(90) + ahead, Record::Sent(back)));
        records.push((at(100), Record::Received(Message { at: Timestamp(at(100)), ..back })));
        for (worker, ahead) in [(0, 0), (1, ahead)] {
            records.push((at(100) + ahead, Record::UpTo { worker: WorkerId(worker), at: Timestamp(at(100) + ahead) }));
        }
    }
    records.sort_by_key(|(at, _)| *at);
    records.into_iter().map(|(_, record)| record).collect()
}

/// Waits for a message of the other worker, over all windows; and the builder as it is at the end.
fn waits(records: &[Record], config: GraphConfig) -> (u64, GraphBuilder) {
    let mut builder = GraphBuilder::new(config);
    let mut waits = 0;
    let mut count = |graph: WindowGraph| {
        check(&graph);
        waits += graph.pieces.iter().filter(|piece| matches!(piece.kind, PieceKind::Wait { .. })).count() as u64;
    };
    for record in records {
        builder.push(record);
        while let Some(graph) = builder.close(builder.known()) {
            count(graph);
        }
    }
    while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
        count(graph);
    }
    (waits, builder)
}

/// Two workers tell each other something every 100 ns, and each has it 3 before the other says that it sent it: no correction of clocks
/// makes that right.
#[test]
fn a_receipt_whose_send_is_in_the_log_is_matched_whatever_the_clocks_say() {
    let mut builder = GraphBuilder::new(config(1000));
    let mut records = Vec::new();
    for round in 0..50 {
        let at = 100 * round;
        for (from, to) in [(0, 1), (1, 0)] {
            records.push(processed(from, 7, at + 10, at + 60));
            let sent = message(from, to, round, at + 60);
            records.extend([Record::Received(Message { at: Timestamp(at + 57), ..sent }), Record::Sent(sent)]);
        }
    }
    records.iter().for_each(|record| builder.push(record));
    while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
        check(&graph);
    }
    assert_eq!(builder.oddities().unmatched_receipts, 0);
}

/// What the log calls a wait is one, also where no message ended it and at the end of a trace.
#[test]
fn a_wait_that_the_log_states_is_on_no_path() {
    let mut builder = GraphBuilder::new(config(1000));
    let waited = Record::Waited { worker: WorkerId(0), start: Timestamp(100), end: Timestamp(900) };
    for record in [processed(0, 7, 0, 100), waited, processed(0, 7, 900, 1000), processed(1, 8, 0, 1000)] {
        builder.push(&record);
    }
    let graph = builder.close(Timestamp(u64::MAX)).unwrap();
    let summary = WindowSummary::of(&graph, || 0.5);
    let share = |operator| {
        let entries = summary.ranking(By::Operator);
        entries.iter().find(|entry| entry.entity == Entity::Operator(OperatorId(operator))).map_or(0.0, |entry| entry.participation)
    };
    assert_eq!((share(7), share(8)), (0.0, 1.0), "{:?}", summary.rows);
}

#[test]
fn waits_are_found_although_a_clock_is_ahead() {
    for ahead in [0, 20, 3_000] {
        let (found, builder) = waits(&ping_pong(1_000, ahead * MILLISECOND), config(100 * MILLISECOND));
        let oddities = builder.oddities();
        // Two a round, but for the time until the clocks are known to differ: so long there are no stamps of the other one.
        let rounds = 1_000 - ahead / 10;
        assert!(found > 2 * rounds - 100, "{ahead} ms ahead: {found} waits, {oddities:?}");
        assert!(oddities.unmatched_receipts < 50 + ahead / 10, "{ahead} ms ahead: {oddities:?}");
        assert!(oddities.late_records < 50 + 3 * ahead / 20, "{ahead} ms ahead: {oddities:?}");
        assert_eq!(oddities.corrected_clocks > 0, ahead > 0);
    }
}

/// More messages than are kept, none of them received: the places of those given up are taken by others, which are none of them.
#[test]
fn messages_that_were_given_up_leave_nothing_behind() {
    let mut builder = GraphBuilder::new(config(1_000 * MILLISECOND));
    let at = |ms: u64| ms * MILLISECOND;
    let many = 600_000;
    for sequence in 0..many {
        builder.push(&Record::Sent(message(0, 9, sequence, at(900) + sequence)));
        builder.push(&Record::Sent(message(1, 9, sequence, at(100) + sequence)));
    }
    let first = builder.close(Timestamp(at(2_000))).expect("the first window");
    check(&first);
    for sequence in many..many + 1_000 {
        let sent = message(1, 0, sequence, at(2_500) + sequence);
        builder.push(&work(ActivityKind::Processing, 1, 0, at(1_500), at(1_600)));
        builder.push(&Record::Sent(sent));
        builder.push(&Record::Received(Message { at: Timestamp(at(2_700) + sequence), ..sent }));
    }
    while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
        check(&graph);
    }
}

/// A sink took the last of an epoch before what is settled, and the word of it came after.
#[test]
fn word_of_completion_is_no_late_record() {
    let at = |ms: u64| ms * MILLISECOND;
    let mut builder = GraphBuilder::new(config(at(100)));
    let push = |builder: &mut GraphBuilder, records: &[Record]| records.iter().for_each(|record| builder.push(record));
    push(&mut builder, &[work(ActivityKind::Processing, 0, 7, 0, at(150)), work(ActivityKind::Processing, 1, 7, 0, at(199))]);
    push(&mut builder, &[work(ActivityKind::Sink, 1, 7, at(199), at(199)), work(ActivityKind::Processing, 1, 8, at(199), at(220))]);
    check(&builder.close(Timestamp(at(200))).expect("the first window"));
    push(&mut builder, &[Record::EpochCompleted { at: Timestamp(at(201)), worker: WorkerId(0), epoch: Epoch(7) }]);
    push(&mut builder, &[work(ActivityKind::Processing, 0, 8, at(201), at(220))]);
    while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
        check(&graph);
    }
    assert_eq!(builder.oddities(), Default::default());
}

/// The graphs of a whole log, in windows of 100 ns, and what was odd.
fn whole(records: &[Record]) -> (Vec<WindowGraph>, Oddities) {
    let mut builder = GraphBuilder::new(config(100));
    records.iter().for_each(|record| builder.push(record));
    let graphs: Vec<WindowGraph> = std::iter::from_fn(|| builder.close(Timestamp(u64::MAX))).collect();
    graphs.iter().for_each(check);
    (graphs, builder.oddities())
}

/// Both sides of a message from one worker to another.
fn sides(from: u32, to: u32, sequence: u64, sent: u64, received: u64) -> [Record; 2] {
    let message = message(from, to, sequence, sent);
    [Record::Sent(message), Record::Received(Message { at: Timestamp(received), ..message })]
}

fn processing(worker: u32, start: u64, end: u64) -> Record {
    work(ActivityKind::Processing, worker, 0, start, end)
}

#[test]
fn work_inside_other_work_is_what_the_lane_did() {
    let (graphs, _) = whole(&[processing(0, 0, 100), work(ActivityKind::Serialization, 0, 0, 20, 60)]);
    let found = graphs[0]
        .pieces
        .iter()
        .map(|piece| (piece.start.0, matches!(piece.kind, PieceKind::Work { kind: ActivityKind::Serialization, .. })));
    assert_eq!(found.collect::<Vec<_>>(), [(0, false), (20, true), (60, false)]);
}

#[test]
fn work_that_takes_its_message_while_it_runs_had_waited_for_it() {
    let mut records = vec![processing(0, 0, 10), processing(1, 0, 50), processing(0, 60, 100)];
    records.extend(sides(1, 0, 0, 50, 65));
    let (graphs, oddities) = whole(&records);
    assert_eq!(oddities, Oddities::default());
    let summary = WindowSummary::of(&graphs[0], || 0.5);
    let [wait] = &summary.waits[..] else { panic!("{:?}", summary.waits) };
    let lane = |worker| Lane::Worker(WorkerId(worker));
    assert_eq!((wait.lane, wait.from, wait.ns, wait.cause), (lane(0), lane(1), 50, Some(InstanceId::new(OperatorId(2), 1))));
    let row = |lane, subject| summary.rows.iter().find(|row| row.lane == lane && row.subject == subject).map(|row| row.ns);
    assert_eq!(row(lane(0), Subject::Wait(ChannelId(0), lane(1))), Some(50));
    assert_eq!(row(lane(1), Subject::Message(MessageKind::Data, ChannelId(0), lane(0))), Some(10));
}

/// Whether paths lead through each message of the first window, in order of the receivers' story.
fn open(records: &[Record]) -> Vec<bool> {
    whole(records).0[0].messages.iter().map(|edge| !edge.blocked).collect()
}

#[test]
fn every_message_that_came_during_a_wait_had_been_waited_for_until_the_work_begun_by_it_is_over() {
    let mut records = vec![processing(0, 0, 10), processing(1, 0, 40), processing(2, 0, 50)];
    records.extend(sides(1, 0, 0, 40, 60));
    let [second, _] = sides(2, 0, 0, 50, 60);
    let second_at = |at| sides(2, 0, 0, 50, at)[1].clone();
    records.push(second);
    let with = |more: &[Record]| open(&[&records[..], more].concat());
    // Taken by the work that the first one began, right behind it without any work, and by later work.
    assert_eq!(with(&[processing(0, 60, 90), second_at(65)]), [true, true]);
    assert_eq!(with(&[second_at(61)]), [true, true]);
    assert_eq!(with(&[processing(0, 60, 90), processing(0, 91, 99), second_at(95)]), [true, false]);
}

#[test]
fn a_message_under_way_for_many_windows_is_on_the_paths_of_the_last_before_it_comes() {
    let mut records = vec![processing(0, 0, 10), processing(1, 0, 700)];
    records.extend(sides(1, 0, 0, 50, 550));
    let (graphs, _) = whole(&records);
    assert!(graphs[4].messages.iter().any(|edge| edge.from.is_none() && edge.to.is_none() && !edge.blocked));
}

#[test]
fn who_waits_for_a_completion_waits_for_the_last_sink() {
    let sink = |worker, at| work(ActivityKind::Sink, worker, 7, at, at);
    let completed = Record::EpochCompleted { at: Timestamp(60), worker: WorkerId(0), epoch: Epoch(7) };
    let lanes = [processing(0, 0, 10), processing(1, 0, 50), processing(2, 0, 30), processing(0, 60, 90), completed];
    let (graphs, oddities) = whole(&[&lanes[..], &[sink(2, 30), sink(1, 50)]].concat());
    assert_eq!(oddities, Oddities::default());
    let senders: Vec<Lane> = WindowSummary::of(&graphs[0], || 0.5).waits.iter().map(|wait| wait.from).collect();
    assert_eq!(senders, [Lane::Worker(WorkerId(1))]);
    // A sink that took something later than that cannot have told.
    let (_, oddities) = whole(&[&lanes[..], &[sink(1, 70)]].concat());
    assert_eq!(oddities, Oddities::default());
}

#[test]
fn a_key_used_again_is_another_message() {
    let (graphs, oddities) = whole(&[sides(1, 0, 0, 10, 20), sides(1, 0, 0, 30, 40)].concat());
    assert_eq!((oddities.reused_keys, graphs[0].messages.len()), (1, 2));
}
