//! Critical participation against an enumeration of all paths, and its invariant on whatever may come.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use thalweg::activity::{Message, Record};
use thalweg::critical_path::Participation;
use thalweg::pag::{GraphBuilder, GraphConfig, PieceKind, Point, WindowGraph};
use thalweg::time::Timestamp;

use crate::activity::{config, message, processing};

fn work(worker: u32, start: u64, end: u64) -> Record {
    processing(worker, 1, start, end)
}

fn graphs(records: &[Record], config: GraphConfig) -> Vec<WindowGraph> {
    let mut builder = GraphBuilder::new(config);
    records.iter().for_each(|record| builder.push(record));
    std::iter::from_fn(|| builder.close(Timestamp(u64::MAX))).collect()
}

/// All paths, by walking every one of them: what leads through each segment and each message, counted.
fn enumerate(graph: &WindowGraph) -> (u64, Vec<u64>, Vec<u64>) {
    enum At {
        Segment(u32),
        Message(u32),
    }
    fn walk(graph: &WindowGraph, at: At, path: &mut Vec<At>, counts: &mut (u64, Vec<u64>, Vec<u64>)) {
        let next = match at {
            At::Segment(segment) if graph.blocked[segment as usize] => return,
            At::Segment(segment) => {
                let lane = graph.ranges.iter().position(|range| segment <= range.first_segment + range.points.len() as u32).unwrap();
                let point = graph.ranges[lane].points.start + (segment - graph.ranges[lane].first_segment);
                (point < graph.ranges[lane].points.end).then_some(point)
            }
            At::Message(edge) if graph.messages[edge as usize].blocked => return,
            At::Message(edge) => graph.messages[edge as usize].to,
        };
        path.push(at);
        match next {
            None => {
                counts.0 += 1;
                for at in path.iter() {
                    match at {
                        At::Segment(segment) => counts.1[*segment as usize] += 1,
                        At::Message(edge) => counts.2[*edge as usize] += 1,
                    }
                }
            }
            Some(point) => {
                walk(graph, At::Segment(graph.segment_before(point) + 1), path, counts);
                for (index, _) in graph.messages.iter().enumerate().filter(|(_, edge)| edge.from == Some(point)) {
                    walk(graph, At::Message(index as u32), path, counts);
                }
            }
        }
        path.pop();
    }
    let mut counts = (0, vec![0; graph.blocked.len()], vec![0; graph.messages.len()]);
    for range in &graph.ranges {
        walk(graph, At::Segment(range.first_segment), &mut Vec::new(), &mut counts);
    }
    for (index, _) in graph.messages.iter().enumerate().filter(|(_, edge)| edge.from.is_none()) {
        walk(graph, At::Message(index as u32), &mut Vec::new(), &mut counts);
    }
    counts
}

/// What a sound host logs: lanes work and send; what is received was sent before.
fn sound(workers: u32, moves: &[(u32, u32, u8, u8)]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut now = vec![0u64; workers as usize];
    for (sequence, &(from, to, length, delay)) in (0..).zip(moves) {
        let (from, to) = (from % workers, to % workers);
        let start = now[from as usize];
        let end = start + u64::from(length);
        records.push(work(from, start, end));
        now[from as usize] = end + u64::from(length % 3);
        if from != to {
            let sent = message(from, to, sequence, end);
            let arrival = (end + u64::from(delay)).max(now[to as usize]);
            records.push(Record::Sent(sent));
            records.push(Record::Received(Message { at: Timestamp(arrival), ..sent }));
            now[to as usize] = arrival;
        }
    }
    records
}

fn check(graph: &WindowGraph, participation: &Participation) {
    for piece in &graph.pieces {
        assert!(graph.window.start <= piece.start && piece.start < piece.end && piece.end <= graph.window.end, "{piece:?}");
    }
    for edge in &graph.messages {
        assert!(graph.window.start <= edge.start && edge.start <= edge.end && edge.end <= graph.window.end, "{edge:?}");
    }
    // Each lane's pieces tile the window.
    for range in &graph.ranges {
        let pieces = &graph.pieces[range.pieces.start as usize..range.pieces.end as usize];
        assert_eq!(pieces.first().unwrap().start, graph.window.start);
        assert_eq!(pieces.last().unwrap().end, graph.window.end);
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
    let sum = participation.sum(graph);
    assert!((sum - 1.0).abs() < 1e-9, "{sum} in {:?}", graph.window);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn shares_are_those_of_all_paths_counted_one_by_one(
        workers in 1u32..5,
        moves in prop::collection::vec((0u32..5, 0u32..5, 0u8..20, 0u8..30), 1..14),
        window in prop::sample::select(vec![7u64, 20, 50, 1000]),
        through_queues in any::<bool>(),
    ) {
        for graph in graphs(&sound(workers, &moves), GraphConfig { through_queues, ..config(window) }) {
            let participation = Participation::of(&graph);
            check(&graph, &participation);
            let (paths, segments, messages) = enumerate(&graph);
            prop_assert!((participation.log2_paths - (paths as f64).log2()).abs() < 1e-9);
            for (found, count) in participation.segments.iter().zip(&segments) {
                prop_assert!((found - *count as f64 / paths as f64).abs() < 1e-12);
            }
            for (found, count) in participation.messages.iter().zip(&messages) {
                prop_assert!((found - *count as f64 / paths as f64).abs() < 1e-12);
            }
        }
    }

    /// Records that no sound host would write: overlapping work, receipts before sends, reused keys, times at the ends of the range.
    #[test]
    fn whatever_comes_is_a_graph_whose_participations_sum_to_one(
        records in prop::collection::vec((0u8..5, 0u32..4, 0u32..4, 0u64..6, prop_oneof![0u64..200, Just(u64::MAX), Just(u64::MAX - 1)], 0u64..40), 1..60),
        window in prop::sample::select(vec![3u64, 10, 64, 1 << 60]),
        through_queues in any::<bool>(),
        cut in 0u64..200,
    ) {
        // A wait from one end of time to the other would be that many windows.
        let limit = if window < 1 << 60 { 300 } else { u64::MAX };
        let records = records.into_iter().map(|(what, from, to, sequence, at, length)| (what, from, to, sequence, at.min(limit), length));
        let records = records.map(|(what, from, to, sequence, at, length)| match what {
            0 | 1 => work(from, at, at.saturating_add(length)),
            2 => Record::Sent(message(from, to, sequence, at)),
            3 => Record::Received(message(from, to, sequence, at)),
            _ => work(from, at, at.saturating_sub(length)),
        });
        let mut builder = GraphBuilder::new(GraphConfig { through_queues, ..config(window) });
        let mut windows = 0;
        for (index, record) in records.enumerate() {
            builder.push(&record);
            // Some windows are closed too early, so that records come late.
            let known = if index % 8 == 7 { Timestamp(cut) } else { Timestamp::ZERO };
            while let Some(graph) = builder.close(known) {
                check(&graph, &Participation::of(&graph));
            }
        }
        while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
            check(&graph, &Participation::of(&graph));
            windows += 1;
            prop_assert!(windows < 10_000);
        }
    }
}

/// Time by label and participation by worker of the work in a graph.
fn by_worker(graph: &WindowGraph) -> BTreeMap<u32, f64> {
    let participation = Participation::of(graph);
    check(graph, &participation);
    let mut shares: BTreeMap<u32, f64> = BTreeMap::new();
    for piece in &graph.pieces {
        if let PieceKind::Work { instance, .. } = piece.kind {
            let share = participation.segments[piece.segment as usize] * piece.end.since(piece.start).as_nanos() as f64;
            *shares.entry(instance.index).or_default() += share / graph.window.length().as_nanos() as f64;
        }
    }
    shares
}

/// The released program loses this lane in its second window and calls the other one's wait unknown (research: straddle).
#[test]
fn a_silent_straggler_keeps_its_lane_and_the_wait_for_it_is_a_wait() {
    let second = 1_000_000_000;
    let at = |tenths: u64| tenths * second / 10;
    let sent = message(1, 0, 0, at(29));
    let records = [
        work(0, 0, at(1)),
        work(1, at(1), at(29)),
        Record::Sent(sent),
        Record::Received(Message { at: Timestamp(at(29) + 1000), ..sent }),
        work(0, at(29) + 1000, at(30)),
    ];
    let config = GraphConfig { lookahead: Duration::from_secs(2), ..GraphConfig::new(Duration::from_secs(1)) };
    let graphs = graphs(&records, config);
    assert_eq!(graphs.len(), 3);
    for (index, graph) in graphs.iter().enumerate() {
        let shares = by_worker(graph);
        let least = [0.9, 1.0, 0.9][index];
        assert!(shares[&1] >= least - 1e-9, "window {index}: {shares:?}");
        let waits = graph.pieces.iter().filter(|piece| matches!(piece.kind, PieceKind::Wait { from_lane: 1, .. }));
        assert_eq!(waits.count(), 1, "window {index}");
    }
}

/// Workers that all meet `rounds` times: worker w sends to all at the end of each round and waits for the slowest.
fn meetings(workers: u32, rounds: u64, length: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for round in 0..rounds {
        let start = round * length;
        let busy = |worker: u32| length / 2 + u64::from(worker) * (length / 4) / u64::from(workers);
        for from in 0..workers {
            records.push(work(from, start, start + busy(from)));
            for to in (0..workers).filter(|&to| to != from) {
                let sent = message(from, to, round * u64::from(workers) + u64::from(to), start + busy(from));
                records.push(Record::Sent(sent));
                records.push(Record::Received(Message { at: Timestamp(start + length - 10), ..sent }));
            }
        }
    }
    records
}

/// 8 workers that meet 100 times a second have more than 7^100 paths a window, beyond 2^64: the released program prints a sum of 1e71 at 1 s and
/// infinity at 5 s (research: section 2.9).
#[test]
fn numbers_of_paths_that_overflow_elsewhere_do_not_here() {
    for (workers, seconds) in [(8, 1), (8, 5), (32, 1), (32, 5)] {
        let records = meetings(workers, 100 * seconds, 10_000_000);
        let config = GraphConfig { through_queues: true, ..GraphConfig::new(Duration::from_secs(seconds)) };
        let graphs = graphs(&records, config);
        assert_eq!(graphs.len(), 1);
        let participation = Participation::of(&graphs[0]);
        // Each round a path goes on to one of the other workers; it begins at any of them.
        let expected = (100 * seconds) as f64 * f64::from(workers - 1).log2() + f64::from(workers).log2();
        assert!((participation.log2_paths - expected).abs() < 1e-6, "{}", participation.log2_paths);
        check(&graphs[0], &participation);
    }
}

#[test]
fn points_are_ordered_so_that_every_message_goes_forward() {
    for graph in graphs(&meetings(8, 20, 1_000), config(4_000)) {
        let place: BTreeMap<u32, usize> = graph.order.iter().enumerate().map(|(place, &point)| (point, place)).collect();
        assert_eq!(place.len(), graph.points.len());
        for (point, kind) in (0..).zip(&graph.points) {
            if let Point::Received { edge: Some(edge) } = kind
                && let Some(from) = graph.messages[*edge as usize].from
            {
                assert!(place[&from] < place[&point]);
            }
        }
    }
}
