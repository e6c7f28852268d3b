//! How long records take through a configuration, and on which way they take longest: the critical path of an epoch, predicted.
//!
//! An epoch is complete when the last of its records is, so of all ways from a source to a sink the longest counts. On it, each operator
//! adds a record's service and its wait in the queue, which grows with utilisation as in a queue with random arrivals: `s rho / (1 - rho)`. By how much
//! the waits of this job are longer or shorter than that, is learned from the latency it had: one number for the whole job, since
//! what is measured is one number too.

use crate::dataflow::Topology;

/// What one operator adds to the way of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hop {
    /// Seconds of work on one record.
    pub service_s: f64,
    /// Busy part of its busiest instance, 0 to 1.
    pub utilisation: f64,
}

/// Utilisations above this are taken for it: a queue at its limit has no end, but predictions are numbers.
const MOST_UTILISATION: f64 = 0.995;

impl Hop {
    /// Seconds that a record waits by the formula, before any learning.
    pub fn queueing_s(&self) -> f64 {
        let utilisation = self.utilisation.clamp(0.0, MOST_UTILISATION);
        self.service_s * utilisation / (1.0 - utilisation)
    }
}

/// The longest way through the graph if each operator takes `seconds`: how long it is, and the operators on it.
///
/// # Panics
/// If there is not one duration an operator.
// papers/snailtrail-nsdi18.md#epoch-critical-path
pub fn longest(topology: &Topology, seconds: &[f64]) -> (f64, Vec<bool>) {
    let mut until: Vec<f64> = Vec::with_capacity(seconds.len());
    let mut before: Vec<Option<usize>> = Vec::with_capacity(seconds.len());
    for operator in topology.operators() {
        let inputs = topology.inputs(operator.id).map(|input| input.0 as usize);
        let last = inputs.reduce(|a, b| if until[b] > until[a] { b } else { a });
        until.push(last.map_or(0.0, |last| until[last]) + seconds[operator.id.0 as usize]);
        before.push(last);
    }
    let mut on_it = vec![false; seconds.len()];
    let mut at = (0..until.len()).reduce(|a, b| if until[b] > until[a] { b } else { a });
    let length = at.map_or(0.0, |last| until[last]);
    while let Some(operator) = at {
        on_it[operator] = true;
        at = before[operator];
    }
    (length, on_it)
}

/// Predicts the 99th percentile of latency.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencyModel {
    seen: Option<Seen>,
}

/// What was learned.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    /// How much longer waits are than the formula says.
    factor: f64,
    /// What records take beside work and queues, in seconds: epochs that are cut in time, for one.
    more_s: f64,
}

/// The slowest of a hundred waits is at least and at most so many times as long as the mean of the formula. What is longer is no queue.
const FACTOR: (f64, f64) = (0.05, 10.0);
/// What a new window adds to what was known.
const NEW: f64 = 0.3;

impl LatencyModel {
    /// Learns that `p99_s` was the latency of a window in which the longest way had `service_s` of work and `queueing_s` of queues by the
    /// formula. Windows with a lag tell of the lag and not of queues: they are to be left out.
    pub fn observe(&mut self, p99_s: f64, service_s: f64, queueing_s: f64) {
        let waits = p99_s - service_s;
        if !(waits.is_finite() && waits > 0.0 && queueing_s.is_finite() && queueing_s > 0.0) {
            return;
        }
        let factor = (waits / queueing_s).clamp(FACTOR.0, FACTOR.1);
        let new = Seen { factor, more_s: (waits - factor * queueing_s).max(0.0) };
        self.seen = Some(self.seen.map_or(new, |old| Seen {
            factor: (old.factor.ln() * (1.0 - NEW) + new.factor.ln() * NEW).exp(),
            more_s: old.more_s * (1.0 - NEW) + new.more_s * NEW,
        }));
    }

    /// The latency if the longest way has `service_s` of work and `queueing_s` of queues by the formula; nothing before anything was seen.
    pub fn p99_s(&self, service_s: f64, queueing_s: f64) -> Option<f64> {
        self.seen.map(|seen| service_s + seen.more_s + seen.factor * queueing_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Role;

    #[test]
    fn the_longest_way_is_the_critical_one() {
        let role = Role::Stateless;
        let operators = [("source", Role::Source, 1), ("fork", role, 8), ("left", role, 8), ("right", role, 8), ("sink", Role::Sink, 1)];
        let topology = Topology::new(&operators, &[(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)]).unwrap();
        assert_eq!(longest(&topology, &[0.0, 1.0, 2.0, 5.0, 0.5]), (6.5, vec![true, true, false, true, true]));
        assert_eq!(longest(&topology, &[0.0, 1.0, 7.0, 5.0, 0.5]), (8.5, vec![true, true, true, false, true]));
        assert_eq!(longest(&Topology::new(&[], &[]).unwrap(), &[]), (0.0, vec![]));
    }

    #[test]
    fn what_was_seen_is_predicted_and_less_load_waits_less() {
        let hop = |utilisation| Hop { service_s: 0.01, utilisation };
        assert_eq!((hop(0.5).queueing_s(), hop(0.0).queueing_s()), (0.01, 0.0));
        assert!(hop(1.5).queueing_s().is_finite());
        let mut model = LatencyModel::default();
        assert_eq!(model.p99_s(0.01, 1.0), None);
        for _ in 0..20 {
            model.observe(0.4, 0.01, hop(0.95).queueing_s());
        }
        let at = |utilisation| model.p99_s(0.01, hop(utilisation).queueing_s()).unwrap();
        assert!((at(0.95) - 0.4).abs() < 1e-9 && at(0.9) < 0.25 && at(0.97) > 0.4, "{} {} {}", at(0.9), at(0.95), at(0.97));
    }
}
