//! What a job was given, as its log says: records that were due at its sources, and a core for its
//! workers.
//!
//! Memory depends on the number of sources and workers. What a log does not say is absent.

use std::collections::BTreeMap;

use crate::activity::Record;
use crate::id::{InstanceId, WorkerId};
use crate::time::Window;

/// First and last of two counts that only grow.
#[derive(Clone, Copy, Debug)]
struct Grown {
    first: (f64, f64),
    last: (f64, f64),
}

impl Grown {
    fn see(known: &mut Option<Grown>, counts: (f64, f64)) {
        known.get_or_insert(Grown { first: counts, last: counts }).last = counts;
    }

    /// By how much both have grown.
    fn by(self) -> (f64, f64) {
        ((self.last.0 - self.first.0).max(0.0), (self.last.1 - self.first.1).max(0.0))
    }
}

/// What the sources and workers of a job were given.
#[derive(Clone, Debug)]
pub struct Supply {
    stretch: Window,
    /// Records due and emitted, by partition of a source.
    sources: BTreeMap<InstanceId, Option<Grown>>,
    /// Time on a core and time without one, in ns.
    cores: BTreeMap<WorkerId, Option<Grown>>,
    /// Backpressure, in ns.
    pressed: BTreeMap<InstanceId, u64>,
}

impl Supply {
    /// Nothing yet; only what lies in `stretch` will count.
    pub fn new(stretch: Window) -> Supply {
        Supply { stretch, sources: BTreeMap::new(), cores: BTreeMap::new(), pressed: BTreeMap::new() }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        match *record {
            Record::Source { source, at, due, emitted } if due.is_finite() && self.stretch.contains(at) => {
                Grown::see(self.sources.entry(source).or_default(), (due, emitted as f64));
            }
            Record::Core { worker, at, ran, denied } if self.stretch.contains(at) => {
                Grown::see(self.cores.entry(worker).or_default(), (ran.as_nanos() as f64, denied.as_nanos() as f64));
            }
            Record::Backpressure { instance, start, end } => {
                let pressed = self.pressed.entry(instance).or_default();
                *pressed = pressed.saturating_add(self.stretch.overlap(start, end).as_nanos() as u64);
            }
            _ => {}
        }
    }

    /// The share of the records that became due which their sources had not emitted at the end: 0 if
    /// they caught up; `None` if the log does not say what was due.
    pub fn behind(&self) -> Option<f64> {
        let (mut due, mut behind) = (0.0, 0.0);
        for grown in self.sources.values().flatten() {
            due += grown.by().0;
            behind += (grown.by().0 - grown.by().1).max(0.0);
        }
        (due > 0.0).then(|| behind / due)
    }

    /// The instance that paused the sources longest, and for how long, in ns.
    pub fn pressed(&self) -> Option<(InstanceId, u64)> {
        self.pressed.iter().map(|(instance, ns)| (*instance, *ns)).filter(|(_, ns)| *ns > 0).max_by_key(|(_, ns)| *ns)
    }

    /// The worker that had to wait longest for a core, and what share of the time that it could have
    /// used one; `None` if the log does not say it.
    pub fn denied(&self) -> Option<(WorkerId, f64)> {
        let share = |(ran, denied): (f64, f64)| if denied > 0.0 { denied / (ran + denied) } else { 0.0 };
        let shares = self.cores.iter().filter_map(|(worker, grown)| Some((*worker, share((*grown)?.by()))));
        shares.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::OperatorId;
    use crate::time::Timestamp;

    #[test]
    fn what_is_behind_or_denied_is_counted_from_the_first_sample_of_the_stretch() {
        let mut supply = Supply::new(Window { start: Timestamp(100), end: Timestamp(1000) });
        assert_eq!((supply.behind(), supply.denied(), supply.pressed()), (None, None, None));
        let source =
            |source, at, due, emitted| Record::Source { source: InstanceId::new(OperatorId(source), 0), at: Timestamp(at), due, emitted };
        let core = |worker, at, ran, denied| Record::Core {
            worker: WorkerId(worker),
            at: Timestamp(at),
            ran: Duration::from_nanos(ran),
            denied: Duration::from_nanos(denied),
        };
        for record in [
            source(0, 50, 0.0, 0),
            source(0, 100, 1000.0, 0),
            source(0, 900, 2000.0, 500),
            source(1, 200, 0.0, 0),
            source(1, 900, 1000.0, 1000),
            source(1, 950, f64::NAN, 0),
            core(0, 100, 10, 10),
            core(0, 900, 40, 20),
            core(1, 100, 0, 0),
            core(1, 900, 10, 0),
        ] {
            supply.push(&record);
        }
        let instance = InstanceId::new(OperatorId(3), 1);
        supply.push(&Record::Backpressure { instance, start: Timestamp(50), end: Timestamp(150) });
        supply.push(&Record::Backpressure { instance, start: Timestamp(150), end: Timestamp(170) });
        assert_eq!(supply.behind(), Some(500.0 / 2000.0));
        assert_eq!(supply.denied(), Some((WorkerId(0), 0.25)));
        assert_eq!(supply.pressed(), Some((instance, 70)));
    }
}
