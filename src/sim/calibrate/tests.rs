//! Logs with known parameters: calibration has to find them.

use std::time::Duration;

use super::*;
use crate::activity::{BinLoad, Lane, Message, MessageKind};
use crate::id::{BinId, ChannelId, InstanceId, WorkerId};
use crate::rate::Rate;
use crate::sim::{Random, ServiceTimes};
use crate::time::Epoch;
use crate::workload::{Partition, Phase, RateSchedule};

fn work(kind: ActivityKind, index: u32, epoch: u64, start: u64, ns: u64, records: (u64, u64)) -> Record {
    let instance = InstanceId::new(OperatorId(1), index);
    let (start, end) = (Timestamp(start), Timestamp(start + ns));
    let (records_in, records_out) = records;
    Record::Activity(Activity { lane: Lane::Instance(instance), kind, instance, epoch: Epoch(epoch), start, end, records_in, records_out })
}

fn measured(records: impl IntoIterator<Item = Record>) -> Measured {
    let mut calibrator = Calibrator::default();
    records.into_iter().for_each(|record| calibrator.push(&record));
    calibrator.finish(Timestamp::from_secs_f64(100.0))
}

fn near(found: f64, expected: f64, most: f64) {
    assert!((found / expected - 1.0).abs() <= most, "{found}, not {expected}");
}

#[test]
fn service_times_have_their_mean_and_the_variation_of_single_records() {
    let (mut random, times) = (Random::new(5), ServiceTimes::LogNormal { variation: 0.8 });
    let mut now = 0;
    let records: Vec<Record> = (0..40_000u64)
        .flat_map(|epoch| {
            let n = 1 + random.below(50);
            let ns = (n as f64 * 1e5 * times.factor(n, &mut random)) as u64;
            now += 2 * ns;
            // One batch in two pieces.
            let of_first = ns / 3;
            [(now, of_first, (1, 2)), (now + of_first, ns - of_first, (n - 1, 2 * n - 2))]
                .map(|(start, ns, records)| work(ActivityKind::Processing, 0, epoch, start, ns, records))
        })
        .collect();
    let found = &measured(records).operators[&OperatorId(1)];
    let service = found.service.unwrap();
    near(service.mean_s, 1e-4, 0.02);
    near(service.variation, 0.8, 0.05);
    assert_eq!(service.slowest, (0, 1.0));
    assert_eq!((service.batches, found.selectivity(), found.wait), (40_000, Some(2.0), None));
}

#[test]
fn what_took_no_time_has_no_rate_and_waits_are_no_work() {
    let found =
        measured([work(ActivityKind::Processing, 0, 1, 5, 0, (10, 10)), work(ActivityKind::ExternalWait, 0, 1, 5, 4_000_000, (2, 0))]);
    let found = &found.operators[&OperatorId(1)];
    assert_eq!((found.service, found.wait.map(|wait| wait.mean_s)), (None, Some(0.002)));
    let found =
        measured([work(ActivityKind::Processing, 0, 1, 5, 7, (10, 10)), work(ActivityKind::ExternalWait, 0, 1, 12, 4_000_000, (0, 0))]);
    assert_eq!(found.operators[&OperatorId(1)].wait, Some(WaitFit { mean_s: 0.0004, records: 10 }));
    assert_eq!(measured([]), Measured::default());
}

#[test]
fn phases_of_a_schedule_are_found_with_the_instants_between_looks_at_which_they_begin() {
    let phase = |ms, rate| Phase { start: Duration::from_millis(ms), rate: Rate::per_second(rate) };
    let phases = vec![phase(0, 1000.0), phase(2030, 0.0), phase(4000, 3000.0), phase(7077, 2500.0)];
    let schedule = RateSchedule::new(phases.clone()).unwrap();
    let look = |tick: u64| {
        let at = Timestamp(tick * 100_000_000);
        Record::Source { source: InstanceId::new(OperatorId(0), 0), at, due: schedule.due(at), emitted: 0 }
    };
    let check = |found: Measured| {
        let found = &found.operators[&OperatorId(0)];
        assert_eq!((found.schedule.len(), found.schedule_samples), (4, 100));
        for (found, expected) in found.schedule.iter().zip(&phases) {
            assert!((found.start.as_secs_f64() - expected.start.as_secs_f64()).abs() < 1e-6, "{found:?}, not {expected:?}");
            assert!((found.rate.as_per_second() - expected.rate.as_per_second()).abs() < 1e-3, "{found:?}, not {expected:?}");
        }
    };
    check(measured((1..=100).map(look)));
    // The same of what is due at two partitions together, at instants at which both were looked at.
    let part = |tick: u64, index| {
        let at = Timestamp(tick * 100_000_000);
        let due = Partition::new(index, 2).due(&schedule, at);
        Record::Source { source: InstanceId::new(OperatorId(0), index), at, due, emitted: 0 }
    };
    check(measured((1..=100).flat_map(|tick| [part(tick, 0), part(tick, 1)]).chain([part(101, 0)])));
}

/// A message from one worker to another, each on its own clock.
fn message(sequence: u64, (from, to): (u32, u32), (sent, received): (u64, u64)) -> [Record; 2] {
    let side = |at| Message {
        at: Timestamp(at),
        kind: MessageKind::Data,
        channel: ChannelId(3),
        sequence,
        from: WorkerId(from),
        from_lane: Lane::Worker(WorkerId(from)),
        to_lane: Lane::Worker(WorkerId(to)),
        epoch: Epoch(1),
        records: 1,
    };
    // As a receiver may be heard of first.
    [Record::Received(side(received)), Record::Sent(side(sent))]
}

#[test]
fn clocks_that_differ_change_no_delay() {
    let second = 1_000_000_000;
    let delay = |offset: u64| {
        let records = (0..101u64).flat_map(|n| {
            let (sent, delay) = (offset + n * second, 400_000 + 1000 * n);
            let there = message(2 * n, (0, 1), (sent, sent + delay - offset));
            let back = message(2 * n, (1, 0), (sent - offset, sent + delay));
            there.into_iter().chain(back).collect::<Vec<_>>()
        });
        measured(records).delay.unwrap()
    };
    for offset in [0, 5 * second] {
        let found = delay(offset);
        near(found.median_s, 0.00045, 1e-9);
        assert_eq!((found.messages, found.left_out), (202, 0));
    }
    let one_way = measured(message(0, (0, 1), (second, 5)).into_iter().chain(message(1, (2, 3), (5, 25)))).delay.unwrap();
    assert_eq!((one_way.messages, one_way.left_out, one_way.median_s), (1, 1, 2e-8));
}

#[test]
fn steps_of_several_sizes_give_a_fixed_cost_and_a_rate() {
    let load = |bin| BinLoad { bin: BinId(bin), arrivals: 10 + u64::from(bin == 0) * 70, useful: Duration::ZERO, keys: 3, bytes: 1000 };
    let bins = Record::Bins { instance: InstanceId::new(OperatorId(1), 0), at: Timestamp(1), loads: (0..4).map(load).collect() };
    // 2 ms, and 10 us a bin: 1000 bytes each.
    let step = |n: u64| work(ActivityKind::Migration, 0, 9, n, 2_000_000 + 10_000 * n, (n, 0));
    let found = measured([bins.clone()].into_iter().chain((1..30).map(step)));
    let moves = found.moves.unwrap();
    near(moves.fixed_s, 0.002, 1e-6);
    near(moves.bins_per_s.unwrap(), 1e5, 1e-6);
    near(moves.bytes_per_s.unwrap(), 1e8, 1e-6);
    assert_eq!((moves.steps, moves.bins), (29, (1..30).sum::<u64>()));
    let state = found.operators[&OperatorId(1)].state.unwrap();
    assert_eq!(state, StateFit { keys: 12, bytes: 4000, bins: 4, largest_share: 80.0 / 110.0 });
    // Steps of one size have a cost and no rate; steps of which only the time is known have
    // neither.
    let same = measured([bins, step(5), step(5)]).moves.unwrap();
    assert_eq!((same.bins_per_s, same.fixed_s), (None, 0.00205));
    assert_eq!(measured([work(ActivityKind::Migration, 0, 9, 1, 0, (4, 0))]).moves, None);
}
