//! Instances at work: queues, service, what is recorded of it.
//!
//! A worker hosts any number of [`Station`]s, one for each instance placed on it. A `Cpu` station works its queue off at once
//! and is measured; a `Limited` one gives its results out when its [`Pace`] says they are complete. Stations of one operator
//! share one timer, rounded up to a grid, so that thirty instances cost no more wake-ups than one.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use std::vec::IntoIter;

use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::scheduling::Activator;

use super::batch::{Batch, BatchBuilder};
use super::pace::Pace;
use super::{Context, OperatorSpec, Time};
use crate::activity::{Activity, Lane, Record};
use crate::dataflow::Capacity;
use crate::id::InstanceId;
use crate::time::{Epoch, Timestamp};

/// Completed work of limited instances is released on this grid.
const GRID: Duration = Duration::from_millis(5);
/// Queues are looked at this often.
const SAMPLE: Duration = Duration::from_millis(100);

/// The right to give out results of an epoch, and to ship them on while they are not processed.
pub(super) struct Caps {
    pub(super) results: Capability<Time>,
    /// Missing for records that came along with migrated state: they are processed where they are.
    pub(super) ship: Option<Capability<Time>>,
}

/// Records of one epoch that wait for an instance.
pub(super) struct Work<D> {
    pub(super) caps: Rc<Caps>,
    pub(super) records: IntoIter<D>,
}

impl<D> Work<D> {
    pub(super) fn new(caps: &Rc<Caps>, records: Vec<D>) -> Work<D> {
        Work { caps: Rc::clone(caps), records: records.into_iter() }
    }

    pub(super) fn epoch(&self) -> Time {
        *self.caps.results.time()
    }
}

/// One instance and its queue.
pub(super) struct Station<D> {
    id: InstanceId,
    lane: Lane,
    /// For limited instances.
    pace: Option<Pace>,
    pub(super) queue: VecDeque<Work<D>>,
    /// Since the last sample.
    arrivals: u64,
    pub(super) processed: u64,
    pub(super) useful: Duration,
}

impl<D> Station<D> {
    /// Puts work at the end of the queue.
    pub(super) fn arrive(&mut self, work: Work<D>, now: Timestamp) {
        self.arrivals += work.records.len() as u64;
        self.queue.push_back(work);
        self.wake(now);
    }

    /// Puts work before the queue, in the order given.
    pub(super) fn overtake(&mut self, works: impl DoubleEndedIterator<Item = Work<D>>, now: Timestamp) {
        for work in works.rev() {
            self.arrivals += work.records.len() as u64;
            self.queue.push_front(work);
        }
        self.wake(now);
    }

    /// To be called when the queue was changed from outside.
    pub(super) fn wake(&mut self, now: Timestamp) {
        if let Some(pace) = &mut self.pace {
            if self.queue.is_empty() { pace.work_ran_out() } else { pace.work_arrived(now) }
        }
    }
}

/// The instances of one operator on one worker.
pub(super) struct Stations<D> {
    context: Context,
    spec: OperatorSpec,
    stations: BTreeMap<u32, Station<D>>,
    next_sample: Timestamp,
    armed: Timestamp,
}

impl<D> Stations<D> {
    pub(super) fn new(context: &Context, spec: &OperatorSpec) -> Stations<D> {
        let start = Timestamp::ZERO;
        Stations { context: context.clone(), spec: spec.clone(), stations: BTreeMap::new(), next_sample: start, armed: start }
    }

    /// The station of instance `index`.
    pub(super) fn station(&mut self, index: u32) -> &mut Station<D> {
        debug_assert!(self.context.hosts(index), "{}-{index} is placed on another worker", self.spec.name);
        self.stations.entry(index).or_insert_with(|| {
            let id = InstanceId::new(self.spec.id, index);
            let slow = self.spec.slow.filter(|slow| slow.instance == index);
            let pace = match self.spec.capacity {
                Capacity::Cpu => None,
                Capacity::Limited { rate } => Some(Pace::new(rate, slow)),
                Capacity::Exponential { rate, seed } => {
                    Some(Pace::exponential(rate, slow, seed ^ (u64::from(id.operator.0) << 32 | u64::from(index))))
                }
            };
            let lane = self.context.lane(id, self.spec.capacity);
            Station { id, lane, pace, queue: VecDeque::new(), arrivals: 0, processed: 0, useful: Duration::ZERO }
        })
    }

    /// All stations that exist, by instance.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Station<D>)> {
        self.stations.iter_mut().map(|(&index, station)| (index, station))
    }

    /// The oldest epoch that waits for instance `index`; far beyond all epochs if nothing does.
    pub(super) fn oldest(&self, index: u32) -> Time {
        let queue = self.stations.get(&index).map(|station| &station.queue);
        queue.into_iter().flatten().map(Work::epoch).min().unwrap_or(Time::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stations.values().all(|station| station.queue.is_empty())
    }

    /// Works off what is complete by now; `apply` turns records, with their rights and their epoch, into results.
    pub(super) fn serve<R: 'static>(
        &mut self,
        output: &mut OutputBuilderSession<'_, Time, BatchBuilder<R>>,
        mut apply: impl FnMut(&Caps, Time, IntoIter<D>, &mut Vec<R>),
    ) {
        let Stations { context, spec, stations, .. } = self;
        let mut now = context.clock.now();
        for (&index, station) in stations.iter_mut() {
            while let Some(work) = station.queue.front_mut() {
                let (epoch, waiting) = (work.epoch(), work.records.len());
                let count = match &station.pace {
                    None => waiting,
                    Some(pace) => waiting.min(usize::try_from(pace.completed_by(now)).unwrap_or(usize::MAX)),
                };
                if count == 0 && waiting > 0 {
                    break;
                }
                let mut results = Vec::with_capacity(count);
                let complete = match count == waiting {
                    true => std::mem::take(&mut work.records),
                    false => work.records.by_ref().take(count).collect::<Vec<D>>().into_iter(),
                };
                apply(&work.caps, epoch, complete, &mut results);
                let (start, end) = match &mut station.pace {
                    None => (now, context.clock.now()),
                    Some(pace) => pace.serve(count as u64),
                };
                if station.pace.is_none() {
                    now = end;
                }
                context.recorder.log(Record::Activity(Activity {
                    lane: station.lane,
                    kind: spec.work,
                    instance: station.id,
                    epoch: Epoch(epoch),
                    start,
                    end,
                    records_in: count as u64,
                    records_out: results.len() as u64,
                }));
                station.processed += count as u64;
                station.useful += end.since(start);
                if !results.is_empty() {
                    output.session_with_builder(&work.caps.results).give_container(&mut Batch::new(station.lane, results));
                }
                if work.records.len() == 0 {
                    station.queue.pop_front();
                }
                if let Some((start, end)) = spec.gauges.remove(index, count as u64, now) {
                    context.recorder.log(Record::Backpressure { instance: station.id, start, end });
                }
            }
            if station.queue.is_empty() {
                station.wake(now);
            }
        }
    }

    /// Records a sample of each queue when one is due; says whether it did. Call before `serve` changes nothing further.
    pub(super) fn sample(&mut self) -> bool {
        let now = self.context.clock.now();
        if now < self.next_sample {
            return false;
        }
        self.next_sample = now + SAMPLE;
        for (&index, station) in &mut self.stations {
            if let Some((start, end)) = self.spec.gauges.cut(index, now) {
                self.context.recorder.log(Record::Backpressure { instance: station.id, start, end });
            }
            let (length, arrivals) = (self.spec.gauges.waiting(index), std::mem::take(&mut station.arrivals));
            self.context.recorder.log(Record::Queue { instance: station.id, at: now, length, arrivals });
        }
        true
    }

    /// Asks to be scheduled when the next work completes or the next sample is due.
    pub(super) fn arm(&mut self, activator: &Activator) {
        let now = self.context.clock.now();
        let completions = self.stations.values().filter(|station| !station.queue.is_empty()).filter_map(|station| station.pace.as_ref());
        let grid = GRID.as_nanos() as u64;
        let release = completions.map(|pace| Timestamp(pace.completion(1).0.next_multiple_of(grid))).min();
        let due = release.unwrap_or(self.next_sample).min(self.next_sample);
        if self.armed <= now || due < self.armed {
            activator.activate_after(due.since(now));
            self.armed = due;
        }
    }
}
