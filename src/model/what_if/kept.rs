//! Distributions of recent windows, used again where an operator works nearly as it did then.
//!
//! In a large job most operators work from window to window as they did, and each of them is a small part of any latency. So what was
//! worked out for one stands for a few windows: for another number of them from one operator to the next, so that a window works out
//! some of them.

use std::sync::Arc;

use super::sojourns::Sojourns;
use super::station::Station;

/// A distribution stands for so many windows at least...
const LEAST_WINDOWS: u64 = 6;
/// ... and for up to so many more.
const MORE_WINDOWS: u64 = 8;
/// Stations that are kept of an operator, at most.
const MOST: usize = 16;
/// Times of records that differ by less than this part are the same...
const SAME_TIME: f64 = 0.01;
/// ... and so are idle parts that differ by less than this part.
const SAME_IDLE: f64 = 0.03;

/// What is kept, by operator.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    window: u64,
    operators: Vec<Vec<One>>,
}

#[derive(Clone, Debug)]
struct One {
    /// The last window for which it stands.
    until: u64,
    station: Station,
    sojourns: Arc<Sojourns>,
}

impl Kept {
    /// Begins another window.
    pub(super) fn next_window(&mut self) {
        self.window += 1;
        let window = self.window;
        self.operators.iter_mut().for_each(|kept| kept.retain(|one| one.until >= window));
    }

    /// What stands for `station` of an operator, if anything does.
    pub(super) fn get(&self, operator: usize, station: &Station) -> Option<Arc<Sojourns>> {
        let kept = self.operators.get(operator)?.iter().find(|one| is_same(&one.station, station))?;
        Some(kept.sojourns.clone())
    }

    /// Keeps what was worked out for `station` of an operator.
    pub(super) fn keep(&mut self, operator: usize, station: &Station, sojourns: &Arc<Sojourns>) {
        if self.operators.len() <= operator {
            self.operators.resize(operator + 1, Vec::new());
        }
        let kept = &mut self.operators[operator];
        if kept.len() >= MOST {
            kept.remove(0);
        }
        let until = self.window + LEAST_WINDOWS + (self.window + operator as u64) % MORE_WINDOWS;
        kept.push(One { until, station: *station, sojourns: sojourns.clone() });
    }
}

/// Whether two stations are the same to within what can be measured.
fn is_same(a: &Station, b: &Station) -> bool {
    let differs = |a: f64, b: f64, by: f64| (a - b).abs() > by * a.abs().max(b.abs());
    a.instances == b.instances
        && !differs(a.service_s, b.service_s, SAME_TIME)
        && !differs(a.fullest, b.fullest, SAME_TIME)
        && !differs(1.0 - a.utilisation(), 1.0 - b.utilisation(), SAME_IDLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_the_same_stands_for_some_windows() {
        let station = |demand_per_s| Station { instances: 10, service_s: 0.008, demand_per_s, fullest: 1.0 };
        let (mut kept, sojourns) = (Kept::default(), Arc::new(Sojourns::all(0.01)));
        kept.keep(3, &station(1000.0), &sojourns);
        assert_eq!(kept.get(3, &station(1005.0)), Some(sojourns));
        assert_eq!((kept.get(3, &station(1050.0)), kept.get(2, &station(1000.0))), (None, None));
        (0..LEAST_WINDOWS + MORE_WINDOWS).for_each(|_| kept.next_window());
        assert_eq!(kept.get(3, &station(1000.0)), None);
    }
}
