//! Open-loop source: emits records as they become due, pauses under backpressure, and keeps track
//! of due times.
//!
//! Every tick it emits the records that have become due since the last one as one epoch, or more
//! when it has fallen behind (up to `catch_up` times the highest rate of its schedule). The epoch's
//! due time is that of its earliest record, so no record's latency is understated. While the queue
//! of any instance is above its mark it emits nothing, like Heron's spouts.
//!
//! A source may close epochs [sooner](OpenLoop::eager) while all that it emitted is done with, so that
//! at rest no record waits for a tick.
//!
//! A source may have several [partitions](OpenLoop::partition), each on a worker of its own: each
//! emits its part of the schedule, and has a lag and due times of its own.
//!
//! Where workers say when they are late ([`paced`](OpenLoop::paced)), an epoch has no more records
//! than they have time for, as learned from how long they were late after the last ones. What is
//! due and not emitted is counted, never stored: lag costs no memory and is in front of nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use timely::ExchangeData;
use timely::dataflow::operators::core::input::Handle;
use timely::dataflow::{Scope, Stream};

use super::pace::Pace;
use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::engine::Time;
use crate::engine::elastic::{Batch, BatchBuilder, BatchStream};
use crate::engine::host::Context;
use crate::id::{InstanceId, OperatorId};
use crate::time::{Epoch, Timestamp};
use crate::workload::{Partition, RateSchedule};

/// What the number of an epoch counts, unless a source is eager.
const MILLISECOND: Duration = Duration::from_millis(1);
/// What a paced source may emit and has no time for is kept for so long: pauses of milliseconds do
/// not slow it down.
const KEPT: Duration = Duration::from_millis(100);
/// A paced source looks at the clock after so many records.
const AT_ONCE: u64 = 64;
/// Progress is recorded this often, on a grid of instants.
const SAMPLE: Duration = Duration::from_millis(100);
/// The longest time between epochs of a source that is behind: the shorter, the less a late worker
/// has before it, but the more epochs it has to complete.
const BEHIND: Duration = Duration::from_millis(5);
/// A paced source emits for no longer than this at a time.
const BUDGET: Duration = Duration::from_millis(8);

/// Configuration of an open-loop source.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Its number in the topology.
    pub operator: OperatorId,
    /// When records are due.
    pub schedule: RateSchedule,
    /// Time between epochs; at least a millisecond.
    pub tick: Duration,
    /// Factor by which it may exceed the highest rate of its schedule while it is behind; at least
    /// 1.
    pub catch_up: f64,
    /// When it ends.
    pub until: Timestamp,
}

/// A source, or a partition of one, on one worker. The worker loop calls [`poll`](OpenLoop::poll).
pub struct OpenLoop<D: ExchangeData + Clone> {
    config: SourceConfig,
    partition: Partition,
    /// What the number of an epoch counts.
    unit: Duration,
    /// Time between epochs while none is open.
    finest: Duration,
    context: Context,
    /// Instances of the job above their mark.
    pressing: Arc<AtomicUsize>,
    pace: Option<Pace>,
    input: Option<Handle<Time, BatchBuilder<D>>>,
    record: Box<dyn FnMut(u64, Epoch) -> D>,
    /// Start of the schedule.
    origin: Timestamp,
    /// Records that were emitted before the schedule.
    preloaded: u64,
    /// Records that were emitted by the schedule.
    emitted: u64,
    ticked: Time,
    polled: Timestamp,
    next_sample: Timestamp,
    /// Epochs that were emitted and are not yet known to be complete.
    open: Rc<RefCell<VecDeque<Time>>>,
}

impl<D: ExchangeData + Clone> OpenLoop<D> {
    /// A source whose n-th record (from 0) is `record(n)`.
    pub fn new(
        config: SourceConfig,
        context: &Context,
        pressing: Arc<AtomicUsize>,
        mut record: impl FnMut(u64) -> D + 'static,
    ) -> OpenLoop<D> {
        OpenLoop::dated(config, context, pressing, move |n, _| record(n))
    }

    /// A source whose n-th record (from 0) is `record(n, epoch)`, emitted in that epoch.
    pub fn dated(
        config: SourceConfig,
        context: &Context,
        pressing: Arc<AtomicUsize>,
        record: impl FnMut(u64, Epoch) -> D + 'static,
    ) -> OpenLoop<D> {
        OpenLoop {
            unit: MILLISECOND,
            finest: config.tick,
            config,
            partition: Partition::WHOLE,
            context: context.clone(),
            pressing,
            pace: None,
            input: Some(Handle::new_with_builder()),
            record: Box::new(record),
            origin: Timestamp::ZERO,
            preloaded: 0,
            emitted: 0,
            ticked: 0,
            polled: Timestamp::ZERO,
            next_sample: Timestamp::ZERO,
            open: Rc::default(),
        }
    }

    /// The part of the same source that is `partition`: its n-th record is the one that has this
    /// number in the whole schedule. At most `catch_up` times its share of the highest rate is
    /// emitted.
    pub fn partition(self, partition: Partition) -> OpenLoop<D> {
        OpenLoop { partition, ..self }
    }

    /// The same source for a job whose workers say how many of its instances are `late`: an epoch
    /// has no more records than there is time for.
    pub fn paced(self, late: Arc<AtomicUsize>) -> OpenLoop<D> {
        OpenLoop { pace: Some(Pace::new(late)), ..self }
    }

    /// The same source, which emits what is due every `finest` while all its epochs are complete.
    /// Epochs are counted in that time then: an operator that asks for timers has to know.
    pub(super) fn eager(self, finest: Duration) -> OpenLoop<D> {
        self.context.horizon.count_in(finest);
        OpenLoop { unit: finest, finest, ..self }
    }

    /// Time until it looks for what is due, at most.
    pub(in crate::engine) fn tick(&self) -> Duration {
        if self.open.borrow().is_empty() { self.finest.min(self.config.tick) } else { self.config.tick }
    }

    /// Whether more is due than could be emitted at the last tick, and is to be emitted before the
    /// next one.
    pub(in crate::engine) fn is_behind(&self) -> bool {
        self.pace.as_ref().is_some_and(Pace::is_behind)
    }

    /// Its stream in `scope`.
    pub fn stream<'s>(&mut self, scope: Scope<'s, Time>) -> BatchStream<'s, D> {
        let stream: Stream<'s, Time, Batch<D>> = self.input.as_mut().expect("a source is built before it ends").to_stream(scope);
        stream
    }

    /// Epochs that were emitted and are not yet known to be complete; the worker loop removes them
    /// when they are.
    pub fn open_epochs(&self) -> Rc<RefCell<VecDeque<Time>>> {
        Rc::clone(&self.open)
    }

    /// Records emitted so far.
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Emits its next `records` records as an epoch of their own, if a tick has passed since the
    /// last one; returns whether it did.
    ///
    /// Used to build up state before the schedule [`begins`](OpenLoop::begin). These records are
    /// never due: nothing is logged for them, so they do not count for latency, and they are not
    /// among those [`emitted`](OpenLoop::emitted).
    pub fn preload(&mut self, records: u64) -> bool {
        let epoch = self.tick_of(self.context.clock.now());
        if epoch <= self.ticked {
            return false;
        }
        self.ticked = epoch;
        let first = self.preloaded;
        self.preloaded += records;
        let partition = self.partition;
        let records = (first..self.preloaded).map(|n| (self.record)(partition.nth(n), Epoch(epoch))).collect();
        let input = self.input.as_mut().expect("an open source has its input");
        input.advance_to(epoch);
        self.open.borrow_mut().push_back(epoch);
        input.send_batch(&mut Batch::new(Lane::Worker(self.context.worker), records));
        input.advance_to(epoch + 1);
        true
    }

    /// Starts the schedule, and the time until the source ends.
    pub fn begin(&mut self) {
        let now = self.context.clock.now();
        self.config.until = now + self.config.until.since(self.origin);
        (self.origin, self.polled) = (now, now);
    }

    /// Ends the source now, regardless of its schedule.
    pub fn end(&mut self) {
        self.config.until = self.config.until.min(self.context.clock.now());
    }

    /// Records of this partition due by `at`; the last one may be due in part.
    fn due(&self, at: Timestamp) -> f64 {
        self.partition.due(&self.config.schedule, Timestamp::ZERO + at.since(self.origin))
    }

    /// When the `n`-th record (counted from 1) is due; none if it never is.
    fn time_of(&self, n: u64) -> Option<Timestamp> {
        self.partition.time_of(&self.config.schedule, n).map(|at| self.origin + at.since(Timestamp::ZERO))
    }

    /// Emits what is due by now, if a tick has passed; returns whether the source is still open.
    pub fn poll(&mut self) -> bool {
        let now = self.context.clock.now();
        let until = self.config.until;
        self.sample_until(now.min(until));
        if now >= until {
            if let Some(input) = self.input.take() {
                if self.next_sample - SAMPLE < until {
                    self.sample(until);
                }
                input.close();
            }
            return false;
        }
        let tick = self.tick_of(now);
        if tick > self.ticked {
            self.ticked = tick;
            let (at_most, before) = (self.allowed(now), self.emitted);
            self.emit(tick, now, at_most);
            if self.is_behind() {
                self.keep(at_most - (self.emitted - before), now);
            }
        }
        true
    }

    /// The epoch that begins with the tick before `now`, or with a shorter interval before it if the
    /// source is [behind](BEHIND).
    fn tick_of(&self, now: Timestamp) -> Time {
        let tick = if self.is_behind() { self.config.tick.min(BEHIND) } else { self.tick() };
        let units = |time: Duration| (time.as_nanos() / self.unit.as_nanos()) as u64;
        let epoch = now.0 / self.unit.as_nanos() as u64;
        epoch - epoch % units(tick).max(1)
    }

    /// Records per second that it may emit.
    fn fastest(&self) -> f64 {
        self.config.catch_up * self.config.schedule.highest().as_per_second() * self.partition.share()
    }

    /// How many records may be emitted at `now`, however many are due.
    fn allowed(&mut self, now: Timestamp) -> u64 {
        let fastest = self.fastest();
        let passed = now.since(std::mem::replace(&mut self.polled, now));
        let allowed = fastest * passed.as_secs_f64();
        if !self.is_behind() || fastest <= 0.0 {
            return allowed.ceil() as u64;
        }
        // Rounded up at each of these short intervals, it would be too much.
        self.polled = now - Duration::from_secs_f64(allowed.fract() / fastest);
        allowed as u64
    }

    /// Allows what a late worker had no time for at the next emission.
    fn keep(&mut self, unused: u64, now: Timestamp) {
        let fastest = self.fastest();
        if fastest > 0.0 {
            let time = Duration::from_secs_f64(unused as f64 / fastest);
            self.polled = (self.polled - time).max(now - KEPT);
        }
    }

    fn emit(&mut self, epoch: Time, now: Timestamp, at_most: u64) {
        let due = self.due(now) as u64;
        // A record that is due only by the last bit of a sum is due now.
        let earliest = self.time_of(self.emitted + 1).unwrap_or(now).min(now);
        let waiting = due.saturating_sub(self.emitted).min(at_most);
        let pauses = self.pressing.load(Ordering::SeqCst) > 0;
        let most = self.pace.as_mut().map_or(waiting, |pace| pace.most(waiting, pauses, now));
        let source = self.instance();
        let input = self.input.as_mut().expect("an open source has its input");
        input.advance_to(epoch);
        if most > 0 && !pauses {
            let clock = self.context.clock;
            let until = self.pace.as_ref().map(|_| now + BUDGET);
            let (partition, first) = (self.partition, self.preloaded + self.emitted);
            let mut records: Vec<D> = Vec::with_capacity(most as usize);
            // The clock is looked at now and then.
            while (records.len() as u64) < most && (records.is_empty() || until.is_none_or(|until| clock.now() < until)) {
                let from = first + records.len() as u64;
                let some = if until.is_some() { (from + AT_ONCE).min(first + most) } else { first + most };
                records.extend((from..some).map(|n| (self.record)(partition.nth(n), Epoch(epoch))));
            }
            let count = records.len() as u64;
            self.emitted += count;
            if let Some(pace) = &mut self.pace {
                pace.emitted(count, waiting, due.saturating_sub(self.emitted), now);
            }
            let lane = Lane::Worker(self.context.worker);
            let recorder = &self.context.recorder;
            recorder.log(Record::EpochOpened { at: now, source, epoch: Epoch(epoch), due: earliest, records: count });
            recorder.log(Record::Activity(Activity {
                lane,
                kind: ActivityKind::Source,
                instance: source,
                epoch: Epoch(epoch),
                start: now,
                end: self.context.clock.now(),
                records_in: count,
                records_out: count,
            }));
            self.open.borrow_mut().push_back(epoch);
            input.send_batch(&mut Batch::new(lane, records));
        }
        // Nothing more comes in this epoch, so it need not wait for the next tick to complete.
        input.advance_to(epoch + 1);
    }

    /// Takes the samples that were due by `now`, each for its own instant: nothing has been emitted
    /// since the last poll, so however late the worker is, they are exact.
    fn sample_until(&mut self, now: Timestamp) {
        // The first is taken wherever the source begins.
        let begins = self.next_sample <= self.origin;
        let mut at = if begins { now } else { self.next_sample };
        while at <= now {
            self.sample(at);
            at = Timestamp((at.0 + 1).next_multiple_of(SAMPLE.as_nanos() as u64));
        }
        self.next_sample = at;
    }

    /// How it is named in the log.
    fn instance(&self) -> InstanceId {
        InstanceId::new(self.config.operator, self.partition.index())
    }

    fn sample(&self, at: Timestamp) {
        let (source, due) = (self.instance(), self.due(at));
        self.context.recorder.log(Record::Source { source, at, due, emitted: self.emitted });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::engine::host::{Clock, Recorder, link};
    use crate::id::WorkerId;
    use crate::rate::Rate;

    #[test]
    fn an_eager_source_closes_epochs_sooner_while_none_is_open() {
        timely::execute_directly(|worker| {
            let context = Context::alone();
            let config = SourceConfig {
                operator: OperatorId(0),
                schedule: RateSchedule::constant(Rate::per_second(1e6)),
                tick: Duration::from_millis(1),
                catch_up: 1e6,
                until: Timestamp(u64::MAX),
            };
            let finest = Duration::from_micros(100);
            let mut source = OpenLoop::new(config, &context, Arc::default(), |n| n).eager(finest);
            worker.dataflow(|scope| drop(source.stream(scope)));
            assert_eq!(source.tick(), finest);
            let open = source.open_epochs();
            while open.borrow().is_empty() {
                source.poll();
            }
            // Epochs are counted in tenths of milliseconds; with one open the next one waits for a whole one.
            let epoch = open.borrow()[0];
            assert!(epoch >= context.clock.now().0 / 100_000 / 2 && source.tick() == Duration::from_millis(1), "{epoch}");
            let next = source.tick_of(Timestamp((epoch / 10 * 10 + 9) * 100_000));
            assert_eq!(next, epoch / 10 * 10);
            open.borrow_mut().clear();
            assert_eq!(source.tick_of(Timestamp((epoch / 10 * 10 + 9) * 100_000)), epoch / 10 * 10 + 9);
        });
    }

    /// A worker that is late for several samples.
    #[test]
    fn samples_that_were_missed_are_taken_for_their_own_instants() {
        let ms = |ms: u64| Timestamp(ms * 1_000_000);
        timely::execute_directly(move |worker| {
            let (link, log) = link();
            let clock = Clock::start();
            let context = Context::new(WorkerId(0), 1, clock, Recorder::new(WorkerId(0), link), channel().0);
            let config = SourceConfig {
                operator: OperatorId(0),
                schedule: RateSchedule::constant(Rate::per_second(1000.0)),
                tick: Duration::from_millis(1),
                catch_up: 1e6,
                until: ms(600_000),
            };
            let mut source = OpenLoop::new(config, &context, Arc::default(), |n| n);
            worker.dataflow(|scope| drop(source.stream(scope)));
            source.poll();
            let before = source.emitted();
            while clock.now() <= ms(350) {
                std::hint::spin_loop();
            }
            source.poll();
            assert!(source.emitted() > before);
            context.recorder.finish(clock.now());
            let samples = log.try_iter().flat_map(|batch| batch.records).filter_map(|record| match record {
                Record::Source { at, due, emitted, .. } => Some((at, due, emitted)),
                _ => None,
            });
            let samples: Vec<_> = samples.take_while(|(at, ..)| *at <= ms(350)).collect();
            // The first is that of the first poll.
            let grid: Vec<Timestamp> = [100, 200, 300].map(ms).into_iter().filter(|at| *at > samples[0].0).collect();
            assert_eq!(samples[1..].iter().map(|(at, ..)| *at).collect::<Vec<_>>(), grid);
            for (at, due, emitted) in &samples[1..] {
                assert!((due - at.as_secs_f64() * 1000.0).abs() < 1e-3 && *emitted == before, "{at:?}: {due} due, {emitted} emitted");
            }
        });
    }
}
