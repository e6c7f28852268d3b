//! What changes would give, over a whole trace: one number a world, and a curve an operator.

use super::change::Change;
use super::retimer::{RetimedEpoch, Retimer};
use crate::activity::Record;
use crate::id::OperatorId;

/// What an operator's speed-up would give.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The operator.
    pub operator: OperatorId,
    /// By how much cheaper its work is, 0 to 1, and what part of the latency or the time that would take away; negative where it would
    /// add.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// What its greatest speed-up would give.
    pub fn most(&self) -> f64 {
        self.points.last().map_or(0.0, |(_, gain)| *gain)
    }
}

/// Sums up the worlds of a [`Retimer`].
pub struct Forecast {
    retimer: Retimer,
    /// By world, latencies of epochs times their records, in ns.
    sums: Vec<f64>,
    recorded: f64,
    records: f64,
    epochs: u64,
}

/// What a change would do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Predicted {
    /// In seconds: the mean latency of epochs by their records, or the whole time where there are no epochs, in the trace, in the world
    /// without a change and in that with it.
    pub recorded_s: f64,
    /// In the world without a change.
    pub before_s: f64,
    /// In the world with it.
    pub after_s: f64,
}

impl Predicted {
    /// How many times as fast.
    pub fn speedup(&self) -> f64 {
        if self.after_s > 0.0 {
            self.before_s / self.after_s
        } else if self.before_s > 0.0 {
            f64::INFINITY
        } else {
            1.0
        }
    }

    /// The part that the change takes away.
    pub fn gain(&self) -> f64 {
        if self.before_s > 0.0 { 1.0 - self.after_s / self.before_s } else { 0.0 }
    }
}

impl Forecast {
    /// Of a change, and of each operator alone at speed-ups of 10, 20, ... 100 %.
    pub fn new(change: Option<Change>) -> Forecast {
        let factors: Vec<f64> = (0..10).rev().map(|tenths| f64::from(tenths) / 10.0).collect();
        let retimer = Retimer::new(change.into_iter().collect()).with_curves(&factors);
        Forecast { retimer, sums: Vec::new(), recorded: 0.0, records: 0.0, epochs: 0 }
    }

    /// Takes records of a trace.
    pub fn push<'r>(&mut self, records: impl Iterator<Item = &'r Record>) {
        records.for_each(|record| self.retimer.push(record));
        self.retimer.advance(false);
        self.sum_up();
    }

    /// Takes the end of the trace.
    pub fn end(&mut self) {
        self.retimer.advance(true);
        self.sum_up();
    }

    fn sum_up(&mut self) {
        let worlds = self.retimer.worlds();
        let first = self.sums.first().copied().unwrap_or(0.0);
        self.sums.resize(worlds, first);
        for epoch in self.retimer.epochs() {
            self.add(&epoch);
        }
    }

    fn add(&mut self, epoch: &RetimedEpoch) {
        let weight = epoch.records.max(1) as f64;
        self.epochs += 1;
        self.records += weight;
        self.recorded += epoch.recorded_ns as f64 * weight;
        for (world, sum) in self.sums.iter_mut().enumerate() {
            *sum += epoch.ns(world) as f64 * weight;
        }
    }

    /// Completed epochs; where there are none, everything is about the whole time.
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Operators without a curve because there are too many.
    pub fn left_out(&self) -> u64 {
        self.retimer.left_out()
    }

    fn predicted(&self, world: usize) -> Predicted {
        let seconds = |ns: u64| ns as f64 / 1e9;
        if self.epochs == 0 {
            let (recorded, before) = self.retimer.length_ns(0);
            let after = self.retimer.length_ns(world).1;
            return Predicted { recorded_s: seconds(recorded), before_s: seconds(before), after_s: seconds(after) };
        }
        let mean = |sum: f64| sum / self.records / 1e9;
        Predicted { recorded_s: mean(self.recorded), before_s: mean(self.sums[0]), after_s: mean(self.sums[world]) }
    }

    /// The world without a change beside the trace.
    pub fn as_it_was(&self) -> Predicted {
        self.predicted(0)
    }

    /// What the change would do.
    pub fn change(&self) -> Option<Predicted> {
        (self.retimer.asked() > 1).then(|| self.predicted(1))
    }

    /// Operators that the change names and the trace does not have.
    pub fn unknown(&self) -> Vec<String> {
        self.retimer.unknown()
    }

    /// A curve for each operator, that of the greatest gain first.
    pub fn curves(&self) -> Vec<Curve> {
        let (asked, factors) = (self.retimer.asked(), self.retimer.points());
        let curve = |(number, &operator): (usize, &OperatorId)| {
            let point = |(index, factor): (usize, &f64)| (1.0 - factor, self.predicted(asked + number * factors.len() + index).gain());
            Curve { operator, points: factors.iter().enumerate().map(point).collect() }
        };
        let mut found: Vec<Curve> = self.retimer.curves().iter().enumerate().map(curve).collect();
        found.sort_by(|a, b| b.most().total_cmp(&a.most()).then(a.operator.cmp(&b.operator)));
        found
    }
}
