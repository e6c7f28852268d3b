//! What did not help, more instances or another distribution of keys, and when to try it again.
//!
//! That something did not help holds for the work, the machines and the load of its time. So a
//! limit remembers these: it is dropped once an instance at the limit is faster or slower than
//! then, and it is tried again after a back-off that grows with each failed try and is reset when
//! the load has changed.

use std::time::Duration;

use crate::time::Timestamp;

/// The first back-off, in look-backs, ...
const FIRST_REST: f64 = 4.0;
/// ... its growth with each failed try, ...
const LONGER: f64 = 4.0;
/// ... and its maximum, in first back-offs.
const LONGEST: f64 = 256.0;
/// Factor by which another load differs.
const OTHER_LOAD: f64 = 1.25;
/// Factor by which the rate of an instance differs that does other work.
const OTHER_RATE: f64 = 1.15;
/// Share of its former rate below which an instance is hardly slowed down by noisy neighbours: the instances share something.
const LEAST_OF_NEIGHBOURS: f64 = 0.45;
/// Share of the former total below which a shared limit does not explain that more instances do less: it would leave the total as it was.
const LEAST_OF_LIMIT: f64 = 0.8;

/// A try that did not help.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FailedTry {
    since: Timestamp,
    /// Number of tries.
    tries: i32,
    /// Demand of the operator, in records per second.
    demand: f64,
}

impl FailedTry {
    /// A failed try at `now`, at a demand in records per second, following `before`.
    pub(super) fn after(before: Option<FailedTry>, now: Timestamp, demand: f64) -> FailedTry {
        FailedTry { since: now, tries: before.map_or(0, |before| before.tries) + 1, demand }
    }

    /// Whether it is in back-off at `now`, with a look-back of `look_back_s` seconds.
    pub(super) fn backs_off(&self, now: Timestamp, look_back_s: f64, demand: Option<f64>) -> bool {
        let change = demand.map_or(1.0, |demand| demand.max(f64::MIN_POSITIVE) / self.demand.max(f64::MIN_POSITIVE));
        let tries = if (1.0 / OTHER_LOAD..=OTHER_LOAD).contains(&change) { self.tries } else { 1 };
        let rest_s = look_back_s * FIRST_REST * LONGER.powi(tries - 1).min(LONGEST);
        now < self.since + Duration::from_secs_f64(rest_s.min(1e9))
    }
}

/// A number of instances beyond which more did not help.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    /// That number.
    pub(super) most: u32,
    /// Rate of an instance when it was learned, in records per second.
    pub(super) rate: f64,
    /// The try beyond it.
    pub(super) tried: FailedTry,
}

impl Limit {
    /// Whether an instance has the rate it had when the limit was learned; also if that cannot be compared.
    pub(super) fn is_sound(&self, instances: u32, rate: f64) -> bool {
        instances != self.most || (1.0 / OTHER_RATE..=OTHER_RATE).contains(&(rate / self.rate))
    }
}

/// Rate of an operator, measured with a number of instances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MeasuredRate {
    pub(super) instances: u32,
    /// Of all of them together, in records per second.
    pub(super) total: f64,
}

impl MeasuredRate {
    /// Whether something else than a limit that instances share may be why `more` have no higher rate than these: noisy neighbours, or
    /// whatever made them do less than fewer did.
    pub(super) fn may_be_by_chance(&self, more: MeasuredRate) -> bool {
        let neighbours = more.total / f64::from(more.instances) >= LEAST_OF_NEIGHBOURS * self.total / f64::from(self.instances);
        neighbours || more.total < LEAST_OF_LIMIT * self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_with_each_try_and_are_short_again_for_another_load() {
        let at = Timestamp::from_secs_f64;
        let once = FailedTry::after(None, at(100.0), 1000.0);
        assert!(once.backs_off(at(123.0), 6.0, Some(1000.0)) && !once.backs_off(at(124.5), 6.0, Some(1000.0)));
        let twice = FailedTry::after(Some(once), at(200.0), 1000.0);
        assert!(twice.backs_off(at(295.0), 6.0, Some(1100.0)) && !twice.backs_off(at(297.0), 6.0, None));
        assert!(!twice.backs_off(at(225.0), 6.0, Some(1300.0)), "another load");
    }

    #[test]
    fn a_limit_is_void_once_its_instances_are_not_what_they_were() {
        let limit = Limit { most: 7, rate: 800.0, tried: FailedTry::after(None, Timestamp::ZERO, 1.0) };
        assert!(limit.is_sound(7, 780.0) && limit.is_sound(9, 400.0) && !limit.is_sound(7, 400.0) && !limit.is_sound(7, 1000.0));
        let fewer = MeasuredRate { instances: 4, total: 400.0 };
        assert!(fewer.may_be_by_chance(MeasuredRate { instances: 6, total: 400.0 }));
        assert!(!fewer.may_be_by_chance(MeasuredRate { instances: 11, total: 400.0 }));
        assert!(fewer.may_be_by_chance(MeasuredRate { instances: 11, total: 300.0 }), "a limit would have left 400");
    }
}
