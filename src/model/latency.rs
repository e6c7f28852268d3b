//! Predicts the latency of records in a configuration, and the path with the longest latency: the
//! predicted critical path of an epoch.
//!
//! An epoch is complete when its last record is, so of all paths from a source to a sink the
//! longest counts. Each operator on it adds the service time of a record and its wait in the queue,
//! which grows with utilisation as in a queue with random arrivals: `s rho / (1 - rho)`. How much
//! longer or shorter the waits of this job are is learned from its measured latency, as one factor
//! for the whole job, since the measurement is a single number too.

use crate::dataflow::Topology;

/// Contribution of one operator to the latency of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hop {
    /// Service time of one record in seconds.
    pub service_s: f64,
    /// Utilisation of its busiest instance, 0 to 1.
    pub utilisation: f64,
}

/// Higher utilisations are clipped to this: a saturated queue grows without bound, but predictions
/// are finite.
const MOST_UTILISATION: f64 = 0.995;

impl Hop {
    /// Mean wait of a record in seconds by the formula, without the learned factor.
    pub fn queueing_s(&self) -> f64 {
        let utilisation = self.utilisation.clamp(0.0, MOST_UTILISATION);
        self.service_s * utilisation / (1.0 - utilisation)
    }
}

/// The longest path through the graph if each operator takes `seconds`: its length, and the
/// operators on it.
///
/// # Panics
/// If `seconds` does not have one entry per operator.
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

/// The learned parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    /// Factor by which waits are longer than the formula says.
    factor: f64,
    /// Latency in addition to work and queueing, in seconds, for instance because epochs are cut in
    /// time.
    more_s: f64,
}

/// Range of the p99 wait relative to the mean wait of the formula. Longer waits are not due to a
/// queue.
const FACTOR: (f64, f64) = (0.05, 10.0);
/// Weight of a new window against earlier ones.
const NEW: f64 = 0.3;

impl LatencyModel {
    /// Learns that `p99_s` was the latency of a window in which the longest path had `service_s` of
    /// work and, by the formula, `queueing_s` of queueing. Windows with a lag measure the lag
    /// instead of queues and must not be passed.
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

    /// The latency if the longest path has `service_s` of work and, by the formula, `queueing_s` of
    /// queueing; `None` before any observation.
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
