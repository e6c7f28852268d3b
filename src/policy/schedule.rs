//! A floor of instances by time of day, around any policy.
//!
//! For load that is known to come: the floor of an operator holds from its time of day until the
//! next one of the schedule, over midnight too. The policy inside reacts to what is measured as it
//! would alone; what it asks for is raised to the floor, and where it asks for nothing, operators
//! below their floor are brought up to it.
//!
//! ```text
//! schedule = entry { ";" entry }
//! entry    = time [ floor { "," floor } ]
//! floor    = operator "=" instances
//! ```
//!
//! `06:00 count=20, enrich=12; 22:00` keeps 20 and 12 instances by day and asks for none by night.

use std::collections::BTreeMap;

use super::{ChangeError, Decision, Needs, Policy, Reason, read_changes};
use crate::dataflow::{Plan, Topology};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

const DAY_MIN: u32 = 24 * 60;

/// Its rules, with their meanings.
pub(super) const RULES: [(&str, &str); 1] = [("schedule", "the schedule asks for more instances at this time of day")];

/// Minutes since midnight of a time such as `06:30`; `24:00` is the end of the day.
pub fn minutes_of_day(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60 || (hours, minutes) == (24, 0)).then_some(hours * 60 + minutes)
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// An entry without its time, or with a time of another entry.
    #[error("expected entries such as '06:00 count=20', separated by ';', each with a time of its own, found '{0}'")]
    Entry(String),
    /// Something else than instances of an operator.
    #[error("expected instances such as 'count=20', separated by ',', found '{0}'")]
    Floor(String),
    /// No floor.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// More or fewer than an operator can have.
    #[error("expected 1 to {most} instances of '{name}', found {found}")]
    Range {
        /// The operator.
        name: String,
        /// Its maximum parallelism.
        most: u32,
        /// The given number.
        found: u32,
    },
}

/// A policy with a floor of instances by time of day.
pub struct Scheduled {
    policy: Box<dyn Policy>,
    /// Floors by the minute of the day from which they hold.
    floors: BTreeMap<u32, BTreeMap<OperatorId, u32>>,
    /// The minute of the day at which time 0 is.
    begins_min: u32,
    /// How many times as fast as the day time passes.
    time_factor: f64,
}

impl Scheduled {
    /// `policy` with the floors of `schedule` (see the module); time 0 is at minute `begins_min` of the
    /// day, and a second of time is `time_factor` seconds of the day.
    ///
    /// # Errors
    /// If the text is not a schedule for the operators of `topology`.
    pub fn read(
        schedule: &str,
        topology: &Topology,
        begins_min: u32,
        time_factor: f64,
        policy: Box<dyn Policy>,
    ) -> Result<Scheduled, ScheduleError> {
        let mut floors = BTreeMap::new();
        for entry in schedule.split(';').map(str::trim) {
            let wrong = || ScheduleError::Entry(entry.to_owned());
            let (time, rest) = entry.split_once(char::is_whitespace).unwrap_or((entry, ""));
            let minute = minutes_of_day(time).ok_or_else(wrong)? % DAY_MIN;
            if floors.insert(minute, read_floors(rest.trim(), topology)?).is_some() {
                return Err(wrong());
            }
        }
        Ok(Scheduled { policy, floors, begins_min, time_factor })
    }

    /// The floors at `now`.
    fn floors(&self, now: Timestamp) -> &BTreeMap<OperatorId, u32> {
        let minutes = f64::from(self.begins_min) + now.as_secs_f64() * self.time_factor / 60.0;
        let minute = (minutes % f64::from(DAY_MIN)) as u32;
        // Before the first time of the day what holds is the last of the day before.
        let entry = self.floors.range(..=minute).next_back().or_else(|| self.floors.last_key_value());
        entry.expect("a schedule has an entry").1
    }
}

fn read_floors(text: &str, topology: &Topology) -> Result<BTreeMap<OperatorId, u32>, ScheduleError> {
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    let plan = read_changes(text, topology)?;
    if plan != (Plan { rescales: plan.rescales.clone(), ..Plan::default() }) {
        return Err(ScheduleError::Floor(text.to_owned()));
    }
    for (&id, &found) in &plan.rescales {
        let operator = topology.operator(id);
        if found == 0 || found > operator.max_parallelism {
            return Err(ScheduleError::Range { name: operator.name.clone(), most: operator.max_parallelism, found });
        }
    }
    Ok(plan.rescales)
}

impl Policy for Scheduled {
    fn needs(&self) -> Needs {
        self.policy.needs()
    }

    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        let decision = self.policy.decide(now, observation);
        let floors = self.floors(now).clone();
        let present = |id| observation.configuration.parallelism(id);
        match decision {
            Decision::Hold(reason) => {
                let below = floors.into_iter().filter(|(id, floor)| present(*id) < *floor);
                let rescales: BTreeMap<OperatorId, u32> = below.collect();
                if rescales.is_empty() {
                    return Decision::Hold(reason);
                }
                // What follows is the schedule's doing.
                self.policy.overridden();
                Decision::Rescale(Plan { rescales, ..Plan::default() }, Reason::new("schedule"))
            }
            Decision::Rescale(mut plan, reason) => {
                for (id, floor) in floors {
                    if plan.rescales.get(&id).copied().unwrap_or(present(id)) < floor {
                        // Workers and speeds are those of another number of instances.
                        plan.placement.remove(&id);
                        plan.speeds.remove(&id);
                        plan.rescales.insert(id, floor);
                    }
                }
                plan.rescales.retain(|id, instances| *instances != present(*id) || plan.placement.contains_key(id));
                if plan != Plan::default() {
                    return Decision::Rescale(plan, reason);
                }
                self.policy.refused("the schedule keeps more instances at this time of day");
                Decision::Hold(reason)
            }
        }
    }

    fn refused(&mut self, why: &str) {
        self.policy.refused(why);
    }

    fn migrated(&mut self, began: Timestamp, ended: Timestamp, bytes: u64) {
        self.policy.migrated(began, ended, bytes);
    }

    fn failed(&mut self) {
        self.policy.failed();
    }

    fn set_goal(&mut self, goal_ms: f64) -> Result<(), String> {
        self.policy.set_goal(goal_ms)
    }

    fn overridden(&mut self) {
        self.policy.overridden();
    }

    fn postponed(&mut self, plan: &Plan, until: Timestamp) {
        self.policy.postponed(plan, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{idle, instances, word_count};

    const FLATMAP: OperatorId = OperatorId(1);
    const COUNT: OperatorId = OperatorId(2);

    /// Asks for plans one after the other, and then for nothing.
    struct Asks(Vec<&'static str>);

    impl Policy for Asks {
        fn name(&self) -> &'static str {
            "asks"
        }

        fn decide(&mut self, _now: Timestamp, _observation: &Observation) -> Decision {
            if self.0.is_empty() {
                return Decision::Hold(Reason::new("quiet"));
            }
            Decision::Rescale(read_changes(self.0.remove(0), &word_count()).unwrap(), Reason::new("asked"))
        }
    }

    fn scheduled(schedule: &str, begins: &str, asks: &[&'static str]) -> Result<Scheduled, ScheduleError> {
        Scheduled::read(schedule, &word_count(), minutes_of_day(begins).unwrap(), 60.0, Box::new(Asks(asks.to_vec())))
    }

    /// The plan at `second` of a job with 2 and 3 instances.
    fn plan(policy: &mut Scheduled, second: f64) -> Option<(Plan, String)> {
        let observation = idle(&word_count(), &instances(2, 3), second, 1.0);
        match policy.decide(Timestamp::from_secs_f64(second), &observation) {
            Decision::Hold(_) => None,
            Decision::Rescale(plan, reason) => Some((plan, reason.rule)),
        }
    }

    #[test]
    fn floors_hold_from_their_time_until_the_next_over_midnight() {
        // A second is a minute of the day.
        let mut policy = scheduled("06:00 count=8, flatmap=4; 22:00 count=3", "05:00", &[]).unwrap();
        assert_eq!(plan(&mut policy, 59.0), None, "three instances are what the night asks for");
        let by_day = Plan::rescale(FLATMAP, 4).and(COUNT, 8);
        assert_eq!(plan(&mut policy, 60.0), Some((by_day.clone(), "schedule".to_owned())));
        assert_eq!(plan(&mut policy, 17.0 * 60.0), None);
        assert_eq!(plan(&mut policy, 25.0 * 60.0), Some((by_day, "schedule".to_owned())), "the next day");
    }

    #[test]
    fn what_the_policy_asks_for_is_raised_to_the_floor() {
        let mut policy = scheduled("00:00 count=3", "00:00", &["count=1", "flatmap=5, count=2", "count=9", "count=rebalance"]).unwrap();
        assert_eq!(plan(&mut policy, 1.0), None);
        assert_eq!(plan(&mut policy, 2.0), Some((Plan::rescale(FLATMAP, 5), "asked".to_owned())));
        assert_eq!(plan(&mut policy, 3.0), Some((Plan::rescale(COUNT, 9), "asked".to_owned())));
        let rebalance = Plan { rebalances: [COUNT].into(), ..Plan::default() };
        assert_eq!(plan(&mut policy, 4.0), Some((rebalance, "asked".to_owned())));
        let mut policy = scheduled("00:00 count=6", "00:00", &["flatmap=1"]).unwrap();
        assert_eq!(plan(&mut policy, 1.0), Some((Plan::rescale(FLATMAP, 1).and(COUNT, 6), "asked".to_owned())));
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        for (text, expected) in [
            ("", "each with a time of its own, found ''"),
            ("count=3", "each with a time of its own, found 'count=3'"),
            ("25:00 count=3", "found '25:00 count=3'"),
            ("06:00 count=3; 06:00 count=4", "found '06:00 count=4'"),
            ("06:00 count=rebalance", "expected instances such as 'count=20', separated by ',', found 'count=rebalance'"),
            ("06:00 counts=3", "expected an operator, one of 'flatmap', 'count', found 'counts'"),
            ("06:00 count=0", "instances of 'count', found 0"),
        ] {
            let error = scheduled(text, "00:00", &[]).err().map(|why| why.to_string()).unwrap_or_default();
            assert!(error.ends_with(expected), "{text}: {error}");
        }
    }
}
