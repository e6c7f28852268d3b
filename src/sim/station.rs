//! One simulated operator: its instances, and how arrivals are divided among them.
//!
//! Shares are exact in the long run: rounding errors of less than a record are carried over.
//! Everything is processed in the order of instance numbers, and within an instance in the order of
//! epochs.

use std::time::Duration;

use super::instance::{Batch, Instance};
use super::job::OperatorModel;
use super::motion::Motion;
use super::skew::Bins;
use super::tick_context::TickContext;
use super::{Random, ServiceTimes};
use crate::activity::{Activity, ActivityKind, BinLoad, Lane, Record};
use crate::dataflow::{Operator, Role};
use crate::id::{BinId, InstanceId, OperatorId, WorkerId};
use crate::migration::{Assignment, Turns, Weights};
use crate::time::{Epoch, Timestamp};

/// Records of epochs, the oldest first.
pub(super) type Flow = Vec<(u64, u64)>;

/// Adds records of an epoch to a flow.
pub(super) fn add(flow: &mut Flow, epoch: u64, records: u64) {
    match flow.iter_mut().rev().find(|(known, _)| *known == epoch) {
        Some((_, sum)) => *sum += records,
        None => flow.push((epoch, records)),
    }
}

/// The whole number nearest to `x`, the larger of two; 0 for what is negative. The same as
/// [`f64::round`], which is a call of a function where a build is for any x86-64 processor.
fn nearest(x: f64) -> u64 {
    let whole = x as u64;
    whole.saturating_add(u64::from(x - whole as f64 >= 0.5))
}

/// An operator that is neither source nor sink.
#[derive(Clone, Debug)]
pub(super) struct Station {
    pub(super) id: OperatorId,
    pub(super) model: OperatorModel,
    pub(super) parallelism: u32,
    /// How instances share what arrives; nothing where they take equal turns. Stateless operators
    /// only.
    turns: Option<Turns>,
    /// The number of instances for records of epochs before that one, and how they shared them.
    before: Option<(u64, u32, Option<Turns>)>,
    pub(super) instances: Vec<Instance>,
    pub(super) bins: Option<Bins>,
    /// Arrivals of this tick.
    pub(super) inbox: Flow,
    /// Output of this tick.
    pub(super) outbox: Flow,
    /// Bins in transit.
    pub(super) motions: Vec<Motion>,
    /// Records that have arrived since the start.
    pub(super) arrived: u64,
    /// Since the last sample of bins.
    arrived_sampled: u64,
    /// By bin, by how much the reported arrivals fall short of its share.
    bin_debts: Vec<f64>,
    /// The next stateless instance to get a record more than others.
    cursor: u32,
    pub(super) work_ns: f64,
    wait_ns: f64,
    /// External time for a record of one instance.
    outside_ns: f64,
    /// Where workers are shared, those of its instances.
    places: Vec<WorkerId>,
}

impl Station {
    pub(super) fn new(operator: &Operator, model: &OperatorModel, instances: u32, random: &mut Random) -> Station {
        let bins = match operator.role {
            Role::Keyed { bins } => Some(model.skew.bins(model.keys, Assignment::even(bins, instances).owners().to_vec(), random)),
            _ => None,
        };
        let bin_debts = vec![0.0; bins.as_ref().map_or(0, |bins| bins.owners.len())];
        let mut station = Station {
            id: operator.id,
            model: model.clone(),
            parallelism: instances,
            turns: None,
            before: None,
            instances: (0..instances).map(|_| Instance::starting(0.0)).collect(),
            bins,
            inbox: Flow::new(),
            outbox: Flow::new(),
            motions: Vec::new(),
            arrived: 0,
            arrived_sampled: 0,
            bin_debts,
            cursor: 0,
            work_ns: 0.0,
            wait_ns: model.wait.as_secs_f64() * 1e9,
            outside_ns: 0.0,
            places: Vec::new(),
        };
        station.resize(instances, 0.0);
        station.find_shares();
        station
    }

    /// Sets the number of instances to `parallelism`; those that are new work from `from` (ns) on.
    /// The others process what they have.
    pub(super) fn resize(&mut self, parallelism: u32, from: f64) {
        self.parallelism = parallelism;
        self.work_ns = self.model.service_s(parallelism) * 1e9;
        self.outside_ns = self.model.outside_s(parallelism) * 1e9;
        while self.instances.len() < parallelism as usize {
            self.instances.push(Instance::starting(from));
        }
    }

    /// Records of `epoch` and later go to `parallelism` instances, by `weights` if there are any,
    /// those of before to as many as there were.
    pub(super) fn reroute(&mut self, epoch: u64, parallelism: u32, weights: Option<&Weights>, from: f64) {
        self.before = Some((epoch, self.parallelism, std::mem::replace(&mut self.turns, weights.map(Turns::new))));
        self.resize(parallelism, from);
        self.cursor = 0;
    }

    /// Puts its first instances on these workers; those that leave stay where they were.
    pub(super) fn place(&mut self, places: &[WorkerId]) {
        self.places.resize(self.places.len().max(places.len()), WorkerId(0));
        self.places[..places.len()].copy_from_slice(places);
    }

    /// Whether its instances take time of shared workers.
    pub(super) fn is_shared(&self) -> bool {
        !self.places.is_empty() && self.work_ns > 0.0
    }

    /// The worker of an instance; the first where workers are not shared.
    pub(super) fn worker(&self, index: u32) -> WorkerId {
        self.places.get(index as usize).copied().unwrap_or_default()
    }

    /// The lane on which an instance works.
    pub(super) fn lane(&self, index: u32) -> Lane {
        if self.is_shared() { Lane::Worker(self.worker(index)) } else { Lane::Instance(InstanceId::new(self.id, index)) }
    }

    /// Nanoseconds of work and of waiting for something external that a record of an instance takes.
    fn service_ns(&self, index: u32, now: u64) -> (f64, f64) {
        let mut work_ns = self.work_ns;
        for slow in self.model.stragglers.iter().filter(|slow| slow.instance == index) {
            if (slow.from.0..slow.until.0).contains(&now) {
                work_ns /= slow.speed;
            }
        }
        // The outside goes on while an instance works.
        (work_ns, self.wait_ns.max(self.outside_ns - work_ns))
    }

    /// Serves an instance on its worker from `from` until `until` (ns), or until its queue is empty,
    /// with the part `speed` of the worker's core; returns when it stops.
    pub(super) fn serve_on(
        &mut self,
        worker: WorkerId,
        index: u32,
        (from, until): (f64, f64),
        speed: f64,
        around: &mut TickContext<'_>,
    ) -> f64 {
        let OperatorModel { selectivity, counted_output, marks, .. } = self.model;
        let (work_ns, wait_ns) = self.service_ns(index, from as u64);
        let (id, lane, mut at) = (InstanceId::new(self.id, index), Lane::Worker(worker), from);
        let instance = &mut self.instances[index as usize];
        while at < until
            && let Some(served) = instance.serve_part((at, until), work_ns / speed, wait_ns)
        {
            let given = instance.give(served.records, selectivity);
            instance.useful += served.worked - served.start;
            let activity = |kind, start: f64, end: f64, records_in, records_out| {
                let (start, end, epoch) = (Timestamp(nearest(start)), Timestamp(nearest(end)), Epoch(served.epoch));
                Record::Activity(Activity { lane, kind, instance: id, epoch, start, end, records_in, records_out })
            };
            let counted = nearest(given as f64 * counted_output);
            around.records.push(activity(ActivityKind::Processing, served.start, served.worked, served.records, counted));
            if wait_ns > 0.0 {
                around.records.push(activity(ActivityKind::ExternalWait, served.worked, served.end, 0, 0));
            }
            if given > 0 {
                add(&mut self.outbox, served.epoch, given);
                around.gave(lane, served.epoch, given);
            }
            at = served.end;
        }
        if let Some((start, end)) = instance.relieve(marks, around.now) {
            *around.pressing -= 1;
            around.records.push(Record::Backpressure { instance: id, start, end });
        }
        at
    }

    /// Sums the shares of bins up by owner.
    pub(super) fn find_shares(&mut self) {
        let Some(bins) = &self.bins else { return };
        self.instances.iter_mut().for_each(|instance| instance.share = 0.0);
        for (&owner, &share) in bins.owners.iter().zip(&bins.shares) {
            self.instances[owner as usize].share += share;
        }
    }

    /// Processes what is complete by now.
    pub(super) fn serve(&mut self, around: &mut TickContext<'_>) {
        let OperatorModel { selectivity, counted_output, marks, .. } = self.model;
        for index in 0..self.instances.len() as u32 {
            if self.instances[index as usize].queue.is_empty() {
                continue;
            }
            let (work_ns, wait_ns) = self.service_ns(index, around.now);
            let instance = &mut self.instances[index as usize];
            let id = InstanceId::new(self.id, index);
            while let Some(served) = instance.serve(around.now, work_ns, wait_ns) {
                let given = instance.give(served.records, selectivity);
                let useful = (served.worked - served.start) * instance.noise;
                instance.useful += useful;
                let activity = |kind, start: f64, end: f64, records_in, records_out| {
                    let (start, end) = (Timestamp(nearest(start)), Timestamp(nearest(end)));
                    Record::Activity(Activity {
                        lane: Lane::Instance(id),
                        kind,
                        instance: id,
                        epoch: Epoch(served.epoch),
                        start,
                        end,
                        records_in,
                        records_out,
                    })
                };
                let counted = nearest(given as f64 * counted_output);
                around.records.push(activity(ActivityKind::Processing, served.worked - useful, served.worked, served.records, counted));
                if wait_ns > 0.0 {
                    around.records.push(activity(ActivityKind::ExternalWait, served.worked, served.end, 0, 0));
                }
                if given > 0 {
                    add(&mut self.outbox, served.epoch, given);
                    around.gave(Lane::Instance(id), served.epoch, given);
                }
            }
            if let Some((start, end)) = instance.relieve(marks, around.now) {
                *around.pressing -= 1;
                around.records.push(Record::Backpressure { instance: id, start, end });
            }
        }
    }

    /// Divides arrivals among the instances.
    pub(super) fn take_in(&mut self, around: &mut TickContext<'_>) {
        if self.inbox.is_empty() {
            return;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.sort_unstable();
        for &(epoch, records) in &inbox {
            self.arrived += records;
            if self.bins.is_some() { self.by_key(epoch, records, around) } else { self.in_turn(epoch, records, around) }
        }
        if let Some(graph) = &mut around.graph {
            graph.all_taken(self.id);
        }
        // The space is used again.
        inbox.clear();
        self.inbox = inbox;
    }

    /// Any instance may take any record: they take turns.
    fn in_turn(&mut self, epoch: u64, records: u64, around: &mut TickContext<'_>) {
        let (all, turns) = match &mut self.before {
            Some((since, before, turns)) if epoch < *since => (*before, turns),
            _ => (self.parallelism, &mut self.turns),
        };
        if let Some(turns) = turns {
            let parts = turns.deal(records).to_vec();
            return parts.into_iter().enumerate().for_each(|(index, part)| self.take(index, epoch, part, around));
        }
        let (each, more) = (records / u64::from(all), (records % u64::from(all)) as u32);
        let first = self.cursor % all;
        for index in 0..all {
            let place = if index >= first { index - first } else { index + all - first };
            self.take(index as usize, epoch, each + u64::from(place < more), around);
        }
        self.cursor = (first + more) % all;
    }

    /// An instance takes the records of its bins, what is under way to it waits.
    fn by_key(&mut self, epoch: u64, records: u64, around: &mut TickContext<'_>) {
        let n = records as f64;
        let mut left = records;
        for instance in &mut self.instances {
            instance.debt += n * instance.share;
        }
        let (id, places, shared) = (self.id, &self.places, self.is_shared());
        let lane = |index: u32| match places.get(index as usize) {
            Some(worker) if shared => Lane::Worker(*worker),
            _ => Lane::Instance(InstanceId::new(id, index)),
        };
        for motion in self.motions.iter_mut().filter(|motion| motion.at <= epoch) {
            for flow in &mut motion.flows {
                if !motion.settled {
                    self.instances[flow.from as usize].debt -= n * flow.share;
                }
                flow.debt += n * flow.share;
                let whole = (flow.debt.max(0.0) as u64).min(left);
                flow.debt -= whole as f64;
                left -= whole;
                flow.hold(epoch, whole);
                around.reached(self.id, lane(flow.to), epoch, whole);
            }
        }
        let whole = |debt: &mut f64, left: &mut u64| {
            let whole = (debt.max(0.0) as u64).min(*left);
            *debt -= whole as f64;
            *left -= whole;
            whole
        };
        for index in 0..self.instances.len() {
            let count = whole(&mut self.instances[index].debt, &mut left);
            self.take(index, epoch, count, around);
        }
        // Each of those that are owed a part of a record gets one, from where the last turn ended.
        // Rounding of shares may ask for a second turn, and for more than one where there are more
        // records than a sum can tell apart.
        let (count, mut index) = (self.instances.len(), self.cursor as usize % self.instances.len());
        let mut fruitless = 0;
        while left > 0 {
            let instance = &mut self.instances[index];
            let owed = instance.share > 0.0 && (instance.debt > 0.0 || fruitless >= count) || fruitless >= 2 * count;
            if owed {
                let some = (left / count as u64).max(1);
                instance.debt -= some as f64;
                left -= some;
                self.take(index, epoch, some, around);
                fruitless = 0;
            } else {
                fruitless += 1;
            }
            index = (index + 1) % count;
        }
        self.cursor = index as u32;
    }

    /// An instance takes records out of what has arrived.
    fn take(&mut self, index: usize, epoch: u64, records: u64, around: &mut TickContext<'_>) {
        around.reached(self.id, self.lane(index as u32), epoch, records);
        self.put(index, epoch, records, around);
    }

    /// Puts records into the queue of an instance.
    pub(super) fn put(&mut self, index: usize, epoch: u64, records: u64, around: &mut TickContext<'_>) {
        if records == 0 {
            return;
        }
        let factor = match self.model.service {
            ServiceTimes::Deterministic => 1.0,
            times => times.factor(records, around.random),
        };
        let instance = &mut self.instances[index];
        instance.enqueue(Batch { epoch, records, factor }, around.now);
        *around.pressing += usize::from(instance.press(self.model.marks, around.now));
    }

    /// Samples the queues, and the bins if asked for.
    pub(super) fn sample_all(&mut self, now: Timestamp, bins: bool, records: &mut Vec<Record>) {
        self.sample(now, records);
        if bins {
            self.sample_bins(now, records);
        }
    }

    /// Samples the queues.
    fn sample(&mut self, now: Timestamp, records: &mut Vec<Record>) {
        for (index, instance) in (0..).zip(&mut self.instances) {
            let id = InstanceId::new(self.id, index);
            if let Some(start) = instance.pressed.replace(now.0).map(Timestamp) {
                if start < now {
                    records.push(Record::Backpressure { instance: id, start, end: now });
                }
            } else {
                instance.pressed = None;
            }
            let arrivals = std::mem::take(&mut instance.arrivals);
            records.push(Record::Queue { instance: id, at: now, length: instance.waiting, arrivals });
        }
    }

    /// Samples the bins.
    fn sample_bins(&mut self, at: Timestamp, records: &mut Vec<Record>) {
        let Some(bins) = &self.bins else { return };
        let arrived = (self.arrived - std::mem::replace(&mut self.arrived_sampled, self.arrived)) as f64;
        self.bin_debts.resize(bins.owners.len(), 0.0);
        let about = bins.owners.len() / self.instances.len() + 1;
        let mut loads: Vec<Vec<BinLoad>> = self.instances.iter().map(|_| Vec::with_capacity(about)).collect();
        for (bin, debt) in self.bin_debts.iter_mut().enumerate() {
            let owner = bins.owners[bin] as usize;
            *debt += arrived * bins.shares[bin];
            let arrivals = debt.max(0.0) as u64;
            *debt -= arrivals as f64;
            if arrivals == 0 {
                continue;
            }
            let share = if self.instances[owner].share > 0.0 { bins.shares[bin] / self.instances[owner].share } else { 0.0 };
            let useful = Duration::from_nanos((self.instances[owner].useful * share) as u64);
            let (keys, bytes) = (bins.keys[bin], bins.keys[bin] * self.model.bytes_per_key);
            loads[owner].push(BinLoad { bin: BinId(bin as u32), arrivals, useful, keys, bytes });
        }
        for ((index, loads), instance) in (0..).zip(loads).zip(&mut self.instances) {
            instance.useful = 0.0;
            if !loads.is_empty() {
                records.push(Record::Bins { instance: InstanceId::new(self.id, index), at, loads });
            }
        }
    }

    /// The oldest epoch that waits here, whatever for.
    pub(super) fn oldest(&self) -> u64 {
        let queued = self.instances.iter().filter_map(Instance::oldest);
        let held = self.motions.iter().filter_map(Motion::oldest);
        queued.chain(held).min().unwrap_or(u64::MAX)
    }

    /// The earliest instant, in ns, at which work begins that is not recorded yet; far ahead when
    /// nothing waits.
    pub(super) fn next_begins(&self) -> u64 {
        self.instances.iter().filter_map(Instance::next_begins).min().unwrap_or(u64::MAX)
    }

    /// Records that wait here, whatever for.
    pub(super) fn waiting(&self) -> u64 {
        self.instances.iter().map(|instance| instance.waiting).sum::<u64>() + self.motions.iter().map(Motion::waiting).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_nearest_number_is_that_of_rounding(bits in any::<u64>(), part in 0.0f64..1e15) {
            for x in [f64::from_bits(bits), part, part.floor(), part.floor() + 0.5, (part.floor() + 0.5).next_down(), -part] {
                prop_assert_eq!(nearest(x), x.round() as u64, "{}", x);
            }
        }
    }
}
