//! Paths against a simulator that knows the truth, and the tiling on whatever may come.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::path::{Behind, EpochPath, EpochPieceKind};
use super::paths::EpochPaths;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::pag::{GraphBuilder, GraphConfig};
use crate::time::{Epoch, Timestamp};

/// A dataflow to simulate: operator 0 is the source, the one after the last is the sink.
#[derive(Clone, Debug)]
struct Flow {
    /// Instances of each operator between.
    instances: Vec<u32>,
    /// Whether an operator also sends to the one after the next.
    forks: Vec<bool>,
    /// Results are released at multiples of this.
    grid: u64,
    /// By epoch: time since the one before, delay of the source, its work, time to complete.
    epochs: Vec<(u64, u64, u64, u64)>,
    /// Decides lengths and ways.
    seed: u64,
}

fn flows(grids: &'static [u64]) -> impl Strategy<Value = Flow> {
    let epochs = prop::collection::vec((0u64..40, 0u64..10, 1u64..5, 0u64..5), 1..12);
    (prop::collection::vec((1u32..4, any::<bool>()), 1..5), prop::sample::select(grids), epochs, any::<u64>()).prop_map(
        |(operators, grid, epochs, seed)| {
            let (instances, forks) = operators.into_iter().unzip();
            Flow { instances, forks, grid, epochs, seed }
        },
    )
}

/// What made a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    Source(usize),
    Job(usize),
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    epoch: usize,
    maker: Maker,
    to: InstanceId,
    sent: u64,
    arrived: u64,
}

#[derive(Clone, Copy, Debug)]
struct Job {
    instance: InstanceId,
    message: usize,
    epoch: usize,
    start: u64,
    end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Emission {
    due: u64,
    at: u64,
    end: u64,
    sent: u64,
    completed: u64,
}

/// What happened, in the order of time; within an instant work ends, then results go out, then
/// messages arrive, then work begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End(InstanceId),
    GiveOut(InstanceId),
    Arrive(usize),
    Begin(InstanceId),
}

/// A simulated run.
#[derive(Default)]
struct Run {
    emissions: Vec<Emission>,
    messages: Vec<Sent>,
    jobs: Vec<Job>,
    log: Vec<Record>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    seed: u64,
}

impl Run {
    fn draw(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn happen(&mut self, at: u64, event: Event) {
        self.events.push(Reverse((at, event)));
    }

    fn work(&mut self, lane: Lane, kind: ActivityKind, instance: InstanceId, epoch: usize, start: u64, end: u64) {
        let (epoch, start, end) = (Epoch(epoch as u64), Timestamp(start), Timestamp(end));
        self.log.push(Record::Activity(Activity { lane, kind, instance, epoch, start, end, records_in: 1, records_out: 1 }));
    }

    fn side(&self, number: usize, at: u64, flow: &Flow) -> Message {
        let message = self.messages[number];
        let from_lane = match message.maker {
            Maker::Source(_) => SOURCE_LANE,
            Maker::Job(job) => Lane::Instance(self.jobs[job].instance),
        };
        Message {
            at: Timestamp(at),
            kind: MessageKind::Data,
            channel: ChannelId(message.to.operator.0),
            sequence: number as u64,
            from: WorkerId(0),
            from_lane,
            to_lane: if message.to.operator.0 as usize > flow.instances.len() { SINK_LANE } else { Lane::Instance(message.to) },
            epoch: Epoch(message.epoch as u64),
            records: 1,
        }
    }

    /// Sends to each operator behind `operator`.
    fn send(&mut self, flow: &Flow, operator: usize, epoch: usize, maker: Maker, at: u64) {
        let last = flow.instances.len() + 1;
        let fork = operator > 0 && flow.forks[operator - 1] && operator + 2 <= last;
        for to in [Some(operator + 1), fork.then_some(operator + 2)].into_iter().flatten() {
            let index = if to == last { 0 } else { self.draw(u64::from(flow.instances[to - 1])) as u32 };
            let (number, arrived) = (self.messages.len(), at + self.draw(6));
            self.messages.push(Sent { epoch, maker, to: InstanceId::new(OperatorId(to as u32), index), sent: at, arrived });
            let side = self.side(number, at, flow);
            self.log.push(Record::Sent(side));
            self.happen(arrived, Event::Arrive(number));
        }
    }

    fn of(flow: &Flow) -> Run {
        let mut run = Run { seed: flow.seed, ..Run::default() };
        let (mut due, mut free) = (0, 0);
        for (epoch, &(after, delay, work, _)) in flow.epochs.iter().enumerate() {
            due += after;
            let at = free.max(due + delay);
            let sent = at + work + run.draw(3);
            run.emissions.push(Emission { due, at, end: at + work, sent, completed: 0 });
            let (number, source) = (Epoch(epoch as u64), OperatorId(0));
            run.log.push(Record::EpochOpened {
                at: Timestamp(at),
                source: InstanceId::new(source, 0),
                epoch: number,
                due: Timestamp(due),
                records: 1,
            });
            run.work(SOURCE_LANE, ActivityKind::Source, InstanceId::new(source, 0), epoch, at, at + work);
            run.send(flow, 0, epoch, Maker::Source(epoch), sent);
            free = sent;
        }
        let mut queues: BTreeMap<InstanceId, VecDeque<usize>> = BTreeMap::new();
        let mut busy: BTreeMap<InstanceId, bool> = BTreeMap::new();
        let mut results: BTreeMap<InstanceId, Vec<usize>> = BTreeMap::new();
        while let Some(Reverse((now, event))) = run.events.pop() {
            match event {
                Event::Arrive(number) => {
                    let message = run.messages[number];
                    let side = run.side(number, now, flow);
                    run.log.push(Record::Received(side));
                    if side.to_lane == SINK_LANE {
                        run.work(SINK_LANE, ActivityKind::Sink, message.to, message.epoch, now, now);
                        run.emissions[message.epoch].completed = now + flow.epochs[message.epoch].3;
                    } else {
                        queues.entry(message.to).or_default().push_back(number);
                        run.happen(now, Event::Begin(message.to));
                    }
                }
                Event::Begin(instance) => {
                    if busy.get(&instance) == Some(&true) {
                        continue;
                    }
                    let Some(number) = queues.entry(instance).or_default().pop_front() else { continue };
                    busy.insert(instance, true);
                    let (epoch, end) = (run.messages[number].epoch, now + 1 + run.draw(12));
                    results.entry(instance).or_default().push(run.jobs.len());
                    run.jobs.push(Job { instance, message: number, epoch, start: now, end });
                    run.work(Lane::Instance(instance), ActivityKind::Processing, instance, epoch, now, end);
                    run.happen(end, Event::End(instance));
                    run.happen(end.next_multiple_of(flow.grid), Event::GiveOut(instance));
                }
                Event::End(instance) => {
                    busy.insert(instance, false);
                    run.happen(now, Event::Begin(instance));
                }
                Event::GiveOut(instance) => {
                    let all = results.remove(&instance).unwrap_or_default();
                    let (ready, rest): (Vec<usize>, Vec<usize>) = all.into_iter().partition(|&job| run.jobs[job].end <= now);
                    results.insert(instance, rest);
                    // One batch for each epoch; the last job is what it waited for.
                    let last: BTreeMap<usize, usize> = ready.into_iter().map(|job| (run.jobs[job].epoch, job)).collect();
                    for (epoch, job) in last {
                        run.send(flow, instance.operator.0 as usize, epoch, Maker::Job(job), now);
                    }
                }
            }
        }
        for (epoch, emission) in run.emissions.iter().enumerate() {
            let at = Timestamp(emission.completed);
            run.log.push(Record::EpochCompleted { at, worker: WorkerId(0), epoch: Epoch(epoch as u64) });
        }
        run
    }

    /// When `epoch` completes if the work of `operator` that began once the epoch was due takes at
    /// most `less` less.
    fn again(&self, flow: &Flow, epoch: usize, operator: OperatorId, less: u64) -> u64 {
        let due = self.emissions[epoch].due;
        let length = |of: OperatorId, start: u64, end: u64| {
            let less = if of == operator && start >= due { less } else { 0 };
            (end - start).saturating_sub(less)
        };
        let mut free: BTreeMap<InstanceId, u64> = BTreeMap::new();
        let mut ends: Vec<u64> = Vec::new();
        let arrives = |message: &Sent, ends: &[u64]| {
            let (made, now) = match message.maker {
                Maker::Source(epoch) => {
                    let emission = self.emissions[epoch];
                    (emission.end, emission.at + length(OperatorId(0), emission.at, emission.end))
                }
                Maker::Job(job) => (self.jobs[job].end, ends[job]),
            };
            now + (message.arrived - made)
        };
        // Jobs are numbered in the order in which they began: what they depend on comes first.
        for job in &self.jobs {
            let free = free.entry(job.instance).or_default();
            *free = arrives(&self.messages[job.message], &ends).max(*free) + length(job.instance.operator, job.start, job.end);
            ends.push(*free);
        }
        let sunk = self.messages.iter().filter(|message| message.epoch == epoch && self.is_sink(flow, message));
        sunk.map(|message| arrives(message, &ends)).max().unwrap() + flow.epochs[epoch].3
    }

    /// When `epoch` completes if what `operator` makes of it comes `later`; the order of work on
    /// each instance stays, and what belongs to other epochs arrives as it did.
    fn delayed(&self, flow: &Flow, epoch: usize, operator: OperatorId, later: u64) -> u64 {
        let mut free: BTreeMap<InstanceId, u64> = BTreeMap::new();
        let mut ends: Vec<u64> = Vec::new();
        let arrives = |message: &Sent, ends: &[u64]| {
            let (made, now, by) = match message.maker {
                Maker::Source(epoch) => (self.emissions[epoch].end, self.emissions[epoch].end, OperatorId(0)),
                Maker::Job(job) => (self.jobs[job].end, ends[job], self.jobs[job].instance.operator),
            };
            let later = if by == operator { later } else { 0 };
            if message.epoch == epoch { now + (message.arrived - made) + later } else { message.arrived }
        };
        for job in &self.jobs {
            let free = free.entry(job.instance).or_default();
            *free = arrives(&self.messages[job.message], &ends).max(*free) + job.end - job.start;
            ends.push(*free);
        }
        let own = self.jobs.iter().zip(&ends).filter(|(job, _)| job.epoch == epoch).map(|(_, end)| *end);
        let sunk = self.messages.iter().filter(|message| message.epoch == epoch && self.is_sink(flow, message));
        sunk.map(|message| arrives(message, &ends)).chain(own).max().unwrap() + flow.epochs[epoch].3
    }

    fn is_sink(&self, flow: &Flow, message: &Sent) -> bool {
        message.to.operator.0 as usize > flow.instances.len()
    }

    /// The decomposition of an epoch, from what happened instead of from the log.
    fn truth(&self, flow: &Flow, epoch: usize) -> Sums {
        use EpochPieceKind::{Network, Processing, Progress, Queueing, Release, Scheduling, SourceDelay};
        let mut sums = Sums::new();
        let mut add = |kind, instance: Option<InstanceId>, behind, length: u64| {
            if length > 0 {
                *sums.entry((kind, instance, behind)).or_default() += length;
            }
        };
        let mine = || self.messages.iter().enumerate().filter(|(_, message)| message.epoch == epoch);
        // Events of an instant happen in the order of their numbers.
        let sunk = mine().filter(|(_, message)| self.is_sink(flow, message)).max_by_key(|(number, message)| (message.arrived, *number));
        let mut message = sunk.unwrap().1;
        add(Progress, None, None, self.emissions[epoch].completed - message.arrived);
        loop {
            add(Network, None, None, message.arrived - message.sent);
            let mut job = match message.maker {
                Maker::Job(job) => self.jobs[job],
                Maker::Source(epoch) => {
                    let (source, emission) = (Some(InstanceId::default()), self.emissions[epoch]);
                    add(Scheduling, source, None, emission.sent - emission.end);
                    add(Processing, source, None, emission.end - emission.at);
                    add(SourceDelay, source, None, emission.at - emission.due);
                    return sums;
                }
            };
            add(Release, Some(job.instance), None, message.sent - job.end);
            let input = loop {
                add(Processing, Some(job.instance), None, job.end - job.start);
                let here = || self.jobs.iter().filter(|other| other.instance == job.instance && other.start < job.start);
                let input = mine().filter(|(_, message)| message.to == job.instance && message.arrived <= job.start);
                let input = input.max_by_key(|(number, message)| (message.arrived, *number)).unwrap().1;
                let before = here().rfind(|other| other.epoch == epoch);
                let from = before.map_or(0, |before| before.end).max(input.arrived);
                for other in here().filter(|other| other.end > from && other.epoch != epoch) {
                    let (instance, epoch) = (other.instance, Epoch(other.epoch as u64));
                    let behind = Behind { instance, epoch, activity: ActivityKind::Processing };
                    add(Queueing, Some(job.instance), Some(behind), other.end - other.start.max(from));
                }
                match before {
                    Some(before) if before.end > input.arrived => job = *before,
                    _ => break input,
                }
            };
            message = input;
        }
    }
}

const SOURCE_LANE: Lane = Lane::Worker(WorkerId(0));
const SINK_LANE: Lane = Lane::Worker(WorkerId(1));

type Sums = BTreeMap<(EpochPieceKind, Option<InstanceId>, Option<Behind>), u64>;

fn sums(path: &EpochPath) -> Sums {
    let mut sums = Sums::new();
    for piece in &path.pieces {
        *sums.entry((piece.kind, piece.instance, piece.behind)).or_default() += piece.end.0 - piece.start.0;
    }
    sums
}

fn assert_tiled(path: &EpochPath) {
    let mut at = path.due;
    for piece in &path.pieces {
        assert!(piece.start == at && piece.end > piece.start, "{piece:?} in {path:?}");
        at = piece.end;
    }
    assert_eq!(at, path.completed, "{path:?}");
}

/// Paths of a log, taken whenever a window closes as soon as `known` of each record says.
fn paths(log: &[Record], window: u64, history: u64, mut known: impl FnMut(usize) -> Timestamp) -> Vec<EpochPath> {
    let config = GraphConfig {
        history: Duration::from_nanos(history),
        least_wait: Duration::from_nanos(1),
        ..GraphConfig::new(Duration::from_nanos(window))
    };
    let (mut graph, mut epochs, mut paths) = (GraphBuilder::new(config), EpochPaths::default().with_slack(), Vec::new());
    for (index, record) in log.iter().enumerate() {
        graph.push(record);
        epochs.push(record);
        while let Some(closed) = graph.close(known(index)) {
            paths.extend(epochs.walk(&graph, closed.window.end));
        }
    }
    let mut windows = 0;
    while let Some(closed) = graph.close(Timestamp(u64::MAX)) {
        paths.extend(epochs.walk(&graph, closed.window.end));
        windows += 1;
        assert!(windows < 10_000);
    }
    paths.extend(epochs.walk(&graph, Timestamp(u64::MAX)));
    paths.iter().for_each(assert_tiled);
    paths
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn paths_are_what_happened(flow in flows(&[1, 7, 16]), window in prop::sample::select(vec![10u64, 64, 100_000])) {
        let run = Run::of(&flow);
        let paths = paths(&run.log, window, u64::MAX, |_| Timestamp::ZERO);
        prop_assert_eq!(paths.len(), flow.epochs.len());
        for path in &paths {
            prop_assert_eq!(sums(path), run.truth(&flow, path.epoch.0 as usize), "{:?} {:#?}", path, run.log);
        }
    }

    #[test]
    fn nobody_gains_more_than_the_bound(flow in flows(&[1]), less in prop::sample::select(vec![1u64, 3, 8, 1000])) {
        let run = Run::of(&flow);
        for path in paths(&run.log, 64, u64::MAX, |_| Timestamp::ZERO) {
            prop_assert_eq!(path.gains.others, 0);
            for operator in (0..=flow.instances.len() as u32).map(OperatorId) {
                let bound = path.gains.of(operator);
                let gain = path.completed.0 - run.again(&flow, path.epoch.0 as usize, operator, less);
                prop_assert!(gain <= bound, "{operator} gains {gain}, at most {bound}: {path:?} {:#?}", run.log);
                prop_assert!(bound <= path.completed.0 - path.due.0);
            }
        }
    }

    #[test]
    fn what_has_slack_may_come_later_by_as_much(flow in flows(&[1])) {
        let run = Run::of(&flow);
        let mut known = 0;
        for path in paths(&run.log, 64, u64::MAX, |_| Timestamp::ZERO) {
            for &(operator, slack) in &path.slack {
                let later = run.delayed(&flow, path.epoch.0 as usize, operator, slack);
                prop_assert!(later <= path.completed.0, "{operator} has {slack}, and ends at {later}: {path:?} {:#?}", run.log);
                known += usize::from(slack == 0);
            }
        }
        prop_assert!(known >= flow.epochs.len(), "somebody is critical in each");
    }

    /// As timely's own log is: no epochs on the steps, progress between workers.
    #[test]
    fn without_epochs_the_walk_goes_over_the_messages_that_ended_waits(lengths in prop::collection::vec((1u64..50, 1u64..20), 1..20), due in 0u64..30) {
        let (mut log, mut now) = (Vec::new(), 40);
        let opened = Timestamp(now - 3);
        log.push(Record::EpochOpened { at: opened, source: InstanceId::new(OperatorId(0), 0), epoch: Epoch(7), due: Timestamp(due), records: 1 });
        let mut expected = vec![(EpochPieceKind::SourceDelay, opened.0 - due), (EpochPieceKind::Unknown, 3)];
        for (number, &(length, delay)) in (0u32..).zip(&lengths) {
            let (from, to) = (WorkerId(number % 2), WorkerId((number + 1) % 2));
            let (start, end) = (Timestamp(now), Timestamp(now + length));
            let instance = InstanceId::new(OperatorId(1), from.0);
            let (lane, kind, epoch) = (Lane::Worker(from), ActivityKind::Processing, Epoch::UNKNOWN);
            log.push(Record::Activity(Activity { lane, kind, instance, epoch, start, end, records_in: 1, records_out: 1 }));
            let (kind, channel, to_lane) = (MessageKind::Progress, ChannelId(0), Lane::Worker(to));
            let sent = Message { at: end, kind, channel, sequence: u64::from(number), from, from_lane: lane, to_lane, epoch, records: 0 };
            now += length + delay;
            log.extend([Record::Sent(sent), Record::Received(Message { at: Timestamp(now), ..sent })]);
            expected.extend([(EpochPieceKind::Processing, length), (EpochPieceKind::Progress, delay)]);
        }
        let worker = WorkerId(lengths.len() as u32 % 2);
        log.push(Record::EpochCompleted { at: Timestamp(now), worker, epoch: Epoch(7) });
        let paths = paths(&log, 1 << 20, u64::MAX, |_| Timestamp::ZERO);
        let found: Vec<_> = paths[0].pieces.iter().map(|piece| (piece.kind, piece.end.0 - piece.start.0)).collect();
        // The worker that began had been silent before.
        expected[1].0 = found[1].0;
        prop_assert_eq!(found, expected);
        let work: u64 = lengths.iter().map(|(length, _)| length).sum();
        // What the first work waited for is not known.
        prop_assert_eq!(paths[0].gains.others, 40 - due);
        prop_assert_eq!(paths[0].gains.of(OperatorId(1)), 40 - due + work);
    }

    /// Records dropped, times moved, epochs forgotten, windows closed before everything is known.
    #[test]
    fn whatever_comes_is_tiled(
        flow in flows(&[1, 7]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0u8..6, prop_oneof![0u64..300, Just(u64::MAX)]), 0..40),
        window in prop::sample::select(vec![10u64, 64, 1 << 62]),
        history in prop::sample::select(vec![0u64, 50, u64::MAX]),
        early in 0u64..400,
    ) {
        let mut log = Run::of(&flow).log;
        // A story from one end of time to the other would be that many windows.
        let limit = if window < 1 << 60 { 3_000 } else { u64::MAX };
        for (index, what, number) in damage {
            let index = index.index(log.len());
            harm(&mut log, index, what, number.min(limit));
            if log.is_empty() {
                break;
            }
        }
        let known = |index: usize| if index % 16 == 15 { Timestamp(early) } else { Timestamp::ZERO };
        paths(&log, window, history, known);
    }
}

fn harm(log: &mut Vec<Record>, index: usize, what: u8, number: u64) {
    let unknown = if number.is_multiple_of(2) { Epoch::UNKNOWN } else { Epoch(number % 9) };
    match (&mut log[index], what) {
        (_, 0) => {
            log.remove(index);
        }
        (_, 1) => {
            let again = log[index].clone();
            log.push(again);
        }
        (Record::Activity(activity), 2) => activity.epoch = unknown,
        (Record::Activity(activity), 3) => (activity.start, activity.end) = (activity.start.min(Timestamp(number)), Timestamp(number)),
        (Record::Activity(activity), 4) => activity.kind = ActivityKind::Migration,
        (Record::Activity(activity), _) => activity.lane = SINK_LANE,
        (Record::Sent(message) | Record::Received(message), 2) => message.epoch = unknown,
        (Record::Sent(message) | Record::Received(message), 3) => message.at = Timestamp(number),
        (Record::Sent(message) | Record::Received(message), 4) => message.from_lane = SINK_LANE,
        (Record::Sent(message) | Record::Received(message), _) => message.to_lane = SOURCE_LANE,
        (Record::EpochOpened { due, .. }, 2) => *due = Timestamp(number),
        (Record::EpochOpened { at, .. } | Record::EpochCompleted { at, .. }, 3) => *at = Timestamp(number),
        (Record::EpochOpened { epoch, .. } | Record::EpochCompleted { epoch, .. }, _) => *epoch = unknown,
        _ => {}
    }
}
