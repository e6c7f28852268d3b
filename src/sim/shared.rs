//! What shared workers do in a tick: they serve their instances in turns, as far as they have their
//! cores, and report what they recorded.
//!
//! A worker does one thing at a time. It visits its instances in the order of operators and numbers,
//! serves one for a [turn](WorkersModel::turn_ms) or until its queue is empty, and goes on with the
//! next. What an instance emits is delivered at the end of the tick. Where a worker has a part of
//! its core, everything takes longer by that part: its activities say how long they took, not what
//! they would have taken.

use std::collections::VecDeque;

use super::node::Node;
use super::tick_context::TickContext;
use super::workers::WorkersModel;
use crate::activity::{Lane, Record};
use crate::id::{InstanceId, WorkerId};
use crate::time::Timestamp;

/// The workers of a simulation.
#[derive(Clone, Debug)]
pub(super) struct SharedWorkers {
    model: WorkersModel,
    workers: Vec<Worker>,
}

/// One worker.
#[derive(Clone, Debug, Default)]
struct Worker {
    /// The instance that had the last turn.
    last: Option<InstanceId>,
    /// Time on its core, and without it although there was work, in ns.
    ran: f64,
    denied: f64,
    /// Records that were not reported yet, with the start of their tick in ns.
    held: VecDeque<(u64, Vec<Record>)>,
}

impl SharedWorkers {
    pub(super) fn new(model: &WorkersModel) -> SharedWorkers {
        SharedWorkers { model: model.clone(), workers: vec![Worker::default(); model.count as usize] }
    }

    /// Serves what waits from `before` (ns) until now, the end of the tick of `epoch`.
    pub(super) fn serve(&mut self, nodes: &mut [Node], before: u64, epoch: u64, around: &mut TickContext<'_>) {
        for worker in (0..self.model.count).map(WorkerId) {
            let hosted: Vec<InstanceId> = nodes.iter().flat_map(|node| node.hosted(worker)).collect();
            let now = around.now as f64;
            let mut at = before as f64;
            while at < now {
                let Worker { last, ran, denied, .. } = &mut self.workers[worker.0 as usize];
                let first = hosted.partition_point(|instance| last.is_some_and(|last| *instance <= last));
                let mut turns = (0..hosted.len()).map(|turn| hosted[(first + turn) % hosted.len()]);
                let Some(next) = turns.find(|next| nodes[next.operator.0 as usize].has_work(next.index)) else { break };
                let (speed, until) = self.model.speed(worker, at);
                let until = until.min(now);
                if speed <= 0.0 {
                    *denied += until - at;
                    at = until;
                    continue;
                }
                let until = until.min(at + self.model.turn_ms * 1e6);
                let end = match &mut nodes[next.operator.0 as usize] {
                    Node::Source(source) => source.work((at, until), speed, epoch, around.records),
                    Node::Station(station) => station.serve_on(worker, next.index, (at, until), speed, around),
                    Node::Sink { .. } => unreachable!("sinks take no time"),
                };
                *last = Some(next);
                *ran += (end - at) * speed;
                *denied += (end - at) * (1.0 - speed);
                at = end;
            }
        }
    }

    /// Samples what workers have had of their cores.
    pub(super) fn sample(&self, at: Timestamp, records: &mut Vec<Record>) {
        let time = |ns: f64| std::time::Duration::from_nanos(ns.round() as u64);
        for (worker, Worker { ran, denied, .. }) in (0..).map(WorkerId).zip(&self.workers) {
            records.push(Record::Core { worker, at, ran: time(*ran), denied: time(*denied) });
        }
    }

    /// Says that workers will record nothing from before `at` any more.
    pub(super) fn up_to(&self, at: Timestamp, records: &mut Vec<Record>) {
        records.extend((0..self.model.count).map(|worker| Record::UpTo { worker: WorkerId(worker), at }));
    }

    /// Keeps back the records from `first` on, those of the tick from `before` until `now` (ns), and
    /// appends those that workers report now, or all of them at the end.
    pub(super) fn report(&mut self, nodes: &[Node], (before, now): (u64, u64), is_end: bool, first: usize, records: &mut Vec<Record>) {
        let mut mine: Vec<Vec<Record>> = vec![Vec::new(); self.workers.len()];
        for record in records.drain(first..) {
            mine[worker_of(nodes, &record).0 as usize].push(record);
        }
        let late = (self.model.late_ms * 1e6) as u64;
        for ((id, worker), mine) in (0..).map(WorkerId).zip(&mut self.workers).zip(mine) {
            worker.held.push_back((before, mine));
            let (speed, _) = self.model.speed(id, now as f64);
            while is_end || speed > 0.0 && worker.held.front().is_some_and(|(at, _)| at + late <= before) {
                let Some((_, held)) = worker.held.pop_front() else { break };
                records.extend(held);
            }
        }
    }

    /// The time, in ns, up to which all workers have reported by `now`.
    pub(super) fn reported_until(&self, now: u64) -> u64 {
        self.workers.iter().filter_map(|worker| worker.held.front().map(|(at, _)| *at)).min().unwrap_or(now)
    }
}

/// The worker that makes a record.
fn worker_of(nodes: &[Node], record: &Record) -> WorkerId {
    let host = |lane| match lane {
        Lane::Worker(worker) => worker,
        Lane::Instance(instance) => nodes[instance.operator.0 as usize].worker(instance.index),
    };
    match record {
        Record::Activity(activity) => host(activity.lane),
        Record::Sent(message) => host(message.from_lane),
        Record::Received(message) => host(message.to_lane),
        Record::Backpressure { instance, .. } | Record::Queue { instance, .. } | Record::Bins { instance, .. } => {
            host(Lane::Instance(*instance))
        }
        Record::UpTo { worker, .. } | Record::Core { worker, .. } => *worker,
        _ => WorkerId(0),
    }
}
