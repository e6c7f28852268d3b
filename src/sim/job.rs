//! The simulated job: a topology, and the capacity, selectivity and disturbances of each operator.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CapacityCurve, ServiceTimes, Skew, WorkersModel};
use crate::dataflow::{Configuration, QueueMarks, Role, Straggler, Topology};
use crate::id::OperatorId;
use crate::rate::Rate;
use crate::time::Timestamp;
use crate::workload::RateSchedule;

/// A job with its true parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Operators and edges.
    pub topology: Topology,
    /// Instances at the start.
    pub configuration: Configuration,
    /// One for each operator, by number.
    pub models: Vec<OperatorModel>,
    /// By edge, in the order of the topology: the part of the producer's records that go that way.
    /// 1 is all of them; parts of an operator's edges need not sum to 1, because each edge has its
    /// own copy.
    pub shares: Vec<f64>,
    /// The same for edges that close cycles. Less must come back than goes round.
    pub feedback_shares: Vec<f64>,
    /// From one epoch to the next; also the grid on which everything happens.
    pub tick: Duration,
    /// The tick while nothing changes, a multiple of the other: no bins move, no source is paused
    /// or late. Latencies are on its grid then; what is counted is not changed by it.
    pub long_tick: Option<Duration>,
    /// Factor by which a source may exceed the highest rate of its schedule while it is behind; at
    /// least 1.
    pub catch_up: f64,
    /// How long the job runs.
    pub duration: Duration,
    /// Network delay of a batch, in addition to waiting for the next tick.
    pub delay: Duration,
    /// Cost of moving bins.
    pub moves: MoveModel,
    /// Disturbances of records and actions.
    pub disturbance: Disturbance,
    /// Workers whose time instances share, where they have no processors of their own; the
    /// configuration has a placement on them then.
    pub workers: Option<WorkersModel>,
}

/// True parameters of one operator. What does not apply to its role is ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorModel {
    /// When records are due; sources only.
    pub schedule: Option<RateSchedule>,
    /// Records per second of one instance that is alone; without it instances take no time at all.
    /// Of a source where workers are shared: what its worker emits when it does nothing else.
    pub rate: Option<Rate>,
    /// How the capacity scales with their number.
    pub curve: CapacityCurve,
    /// How service times vary.
    pub service: ServiceTimes,
    /// Records emitted per record received.
    pub selectivity: f64,
    /// The part of its output records that its metrics count, 0 to 1: some systems miss what leaves by a
    /// side output.
    // https://issues.apache.org/jira/browse/FLINK-38538
    pub counted_output: f64,
    /// When sources pause.
    pub marks: QueueMarks,
    /// How arrivals are spread over bins; keyed operators only.
    pub skew: Skew,
    /// Keys of all bins together; keyed operators only.
    pub keys: u64,
    /// Bytes of state a key has; keyed operators only.
    pub bytes_per_key: u64,
    /// Instances that are slow for a time.
    pub stragglers: Vec<Straggler>,
    /// How long an instance waits for something outside with each record, doing nothing else
    /// meanwhile. It does not count as useful time.
    pub wait: Duration,
    /// Records per second that something outside does for all instances together, however many they
    /// are: it gives each of them the same part, and an instance waits for what that part takes
    /// longer than its own work and wait.
    pub external_limit: Option<Rate>,
}

impl Default for OperatorModel {
    /// An operator that takes no time and emits what it takes in.
    fn default() -> OperatorModel {
        OperatorModel {
            schedule: None,
            rate: None,
            curve: CapacityCurve::Linear,
            service: ServiceTimes::Deterministic,
            selectivity: 1.0,
            counted_output: 1.0,
            marks: QueueMarks::default(),
            skew: Skew::Uniform,
            keys: 1 << 16,
            bytes_per_key: 64,
            stragglers: Vec::new(),
            wait: Duration::ZERO,
            external_limit: None,
        }
    }
}

/// Cost of moving bins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MoveModel {
    /// From when a step is sent until its logical time: commands run this far ahead of the data.
    pub horizon_ms: f64,
    /// Fixed cost of a step.
    pub fixed_ms: f64,
    /// Bytes of state per second; without it state moves as a pointer.
    pub bytes_per_s: Option<f64>,
    /// Start-up time of a new instance.
    pub start_s: f64,
}

impl Default for MoveModel {
    /// What was measured of the engine within one process.
    fn default() -> MoveModel {
        MoveModel { horizon_ms: 30.0, fixed_ms: 0.0, bytes_per_s: None, start_s: 0.0 }
    }
}

impl MoveModel {
    /// See `horizon_ms`, in nanoseconds.
    pub(super) fn horizon_ns(&self) -> u64 {
        Duration::from_secs_f64(self.horizon_ms / 1e3).as_nanos() as u64
    }

    /// See `start_s`, in nanoseconds.
    pub(super) fn start_ns(&self) -> u64 {
        Duration::from_secs_f64(self.start_s).as_nanos() as u64
    }
}

/// Disturbances. Shares are probabilities, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disturbance {
    /// Standard deviation of the logarithm of useful times as they are recorded, redrawn for each
    /// instance every second.
    pub noise: f64,
    /// Records are lost, late or doubled for this long at a time.
    pub period_s: f64,
    /// Share of periods whose records are lost.
    pub lost: f64,
    /// Share of periods whose records come a period late.
    pub late: f64,
    /// Share of periods whose records come twice.
    pub duplicated: f64,
    /// Share of actions that end after a part of their steps.
    pub failed_actions: f64,
    /// Share of actions whose moves take `slowdown` times as long.
    pub slow_actions: f64,
    /// See `slow_actions`.
    pub slowdown: f64,
}

impl Default for Disturbance {
    /// No disturbances.
    fn default() -> Disturbance {
        let [noise, lost, late, duplicated, failed_actions, slow_actions] = [0.0; 6];
        Disturbance { noise, period_s: 2.0, lost, late, duplicated, failed_actions, slow_actions, slowdown: 10.0 }
    }
}

/// An excess over a whole number of instances that is rounding and not demand.
const TOLERANCE: f64 = 1e-6;
/// Times that records may go round a cycle until hardly any are left.
const MOST_ROUNDS: usize = 2000;
/// A part that does not count.
const SETTLED: f64 = 1e-9;

impl Job {
    /// Records per second that arrive at each operator when sources emit what is due at `at` and
    /// all operators keep up; for a source what it emits. Where as much comes back as goes round
    /// there is no such number, and demands are those after many rounds.
    pub fn demands(&self, at: Timestamp) -> Vec<f64> {
        let offered: Vec<f64> = self.models.iter().map(|model| self.offered(model, at)).collect();
        let (mut demands, mut rounds) = (self.passed_on(offered.clone()), 1);
        while !self.feedback_shares.is_empty() && rounds < MOST_ROUNDS {
            let arriving = offered.iter().zip(self.coming_back(&demands)).map(|(offered, back)| offered + back);
            let next = self.passed_on(arriving.collect());
            let settled = next.iter().zip(&demands).all(|(next, before)| next - before <= SETTLED * next);
            (demands, rounds) = (next, rounds + 1);
            if settled {
                break;
            }
        }
        demands
    }

    /// Whether what goes round its cycles dies out.
    pub fn dies_out(&self) -> bool {
        if self.feedback_shares.is_empty() {
            return true;
        }
        let ones = self.models.iter().map(|model| f64::from(u8::from(model.schedule.is_some()))).collect();
        let first = self.passed_on(ones);
        let round = (0..MOST_ROUNDS).fold(first.clone(), |round, _| self.passed_on(self.coming_back(&round)));
        round.iter().zip(&first).all(|(last, first)| *last <= first * SETTLED)
    }

    /// What comes back to each operator when each processes its part of `demands`.
    fn coming_back(&self, demands: &[f64]) -> Vec<f64> {
        let mut back = vec![0.0; demands.len()];
        for (edge, share) in self.topology.feedback().iter().zip(&self.feedback_shares) {
            let from = edge.from.0 as usize;
            back[edge.to.0 as usize] += demands[from] * self.models[from].selectivity * share;
        }
        back
    }

    /// What `demands` become with all that follows from them along edges that go forward.
    fn passed_on(&self, mut demands: Vec<f64>) -> Vec<f64> {
        // By producer: its own inputs come from smaller numbers, so its demand is complete.
        let mut order: Vec<usize> = (0..self.shares.len()).collect();
        order.sort_by_key(|&edge| self.topology.edges()[edge]);
        for edge in order {
            let (from, to) = (self.topology.edges()[edge].from, self.topology.edges()[edge].to);
            let factor = if self.topology.operator(from).role == Role::Source { 1.0 } else { self.models[from.0 as usize].selectivity };
            demands[to.0 as usize] += demands[from.0 as usize] * factor * self.shares[edge];
        }
        demands
    }

    fn offered(&self, model: &OperatorModel, at: Timestamp) -> f64 {
        model.schedule.as_ref().map_or(0.0, |schedule| schedule.rate(at).as_per_second())
    }

    /// The fewest instances of each scalable operator that keep up at `at` if its arrivals are
    /// spread evenly, by the true parameters. As many as there may be where none suffices. An
    /// [external limit](OperatorModel::external_limit) is left out: no number of instances changes
    /// it, so what counts is their own work.
    pub fn needed(&self, at: Timestamp) -> Vec<(OperatorId, u32)> {
        let demands = self.demands(at);
        let need = |operator: &crate::dataflow::Operator| {
            let (model, demand) = (&self.models[operator.id.0 as usize], demands[operator.id.0 as usize]);
            let enough = |p: &u32| model.instance_rate(*p).is_none_or(|rate| rate * f64::from(*p) >= demand * (1.0 - TOLERANCE));
            (operator.id, (1..=operator.max_parallelism).find(enough).unwrap_or(operator.max_parallelism))
        };
        self.topology.scalable().map(need).collect()
    }

    /// When the needs may change: where a source's rate does.
    pub fn changes(&self) -> Vec<Timestamp> {
        let schedules = self.models.iter().filter_map(|model| model.schedule.as_ref());
        let mut starts: Vec<Timestamp> = schedules.flat_map(RateSchedule::phases).map(|phase| Timestamp::ZERO + phase.start).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.retain(|at| *at < Timestamp::ZERO + self.duration);
        starts
    }
}

impl OperatorModel {
    /// Seconds of work in a record for one of `p` instances; 0 without a limit.
    pub fn service_s(&self, p: u32) -> f64 {
        let alone = match self.curve {
            _ if self.curve.is_absolute() => 1.0,
            _ => match self.rate {
                Some(rate) => rate.as_per_second(),
                None => return 0.0,
            },
        };
        1.0 / (alone * self.curve.of_one(p))
    }

    /// Seconds that what is outside takes for a record of one of `p` instances; 0 without an
    /// external limit.
    pub fn outside_s(&self, p: u32) -> f64 {
        self.external_limit.map_or(0.0, |limit| f64::from(p) / limit.as_per_second())
    }

    /// Records per second that one of `p` instances completes, waits included but for those of an
    /// external limit; nothing if nothing else bounds it.
    pub fn instance_rate(&self, p: u32) -> Option<f64> {
        let seconds = self.service_s(p) + self.wait.as_secs_f64();
        (seconds > 0.0).then(|| 1.0 / seconds)
    }
}
