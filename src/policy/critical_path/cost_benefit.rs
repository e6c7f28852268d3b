//! Whether a change is worth its cost.
//!
//! A change stalls the job, and a stall is lag that has to be drained; so it must last long enough
//! to pay for that. How long the load will stay where it is, is estimated from how often it crossed
//! the level in question in the past: for a load that oscillates quickly, the peak is the right
//! provisioning. A saving that had to be reverted too early makes the next one wait longer.
//!
//! Where state is small and instances start at once, stalls are short compared with a window, and
//! nothing here changes a decision.

use std::collections::VecDeque;

use super::warm_up::BRIEF;
use crate::time::Timestamp;

/// Cost of a stalled second, in seconds of all instances: the lag has to be drained with the little spare capacity there is.
pub(super) const STALL: f64 = 3.5;
/// Windows whose offered load is remembered: a day of half-minute windows.
const MOST_WINDOWS: usize = 2880;
/// The load has fallen below a level once it is below this share of it.
const FALLEN: f64 = 0.95;
/// With fewer crossings of a level than this, the usual time between them is unknown.
const LEAST_CROSSINGS: u32 = 3;
/// A load that stayed this many times longer than usual no longer follows its pattern.
const UNUSUAL: f64 = 2.0;
/// A saving that was reverted too early makes the next one wait longer by this factor, ...
const REGRET: f64 = 2.0;
/// ... up to this.
const MOST_PATIENCE: f64 = 16.0;
/// With a goal for the 99th percentile, one part in this many of the time may miss it...
const ONE_PERCENT: f64 = 100.0;
/// ... and up to this share of windows misses it without anything being wrong.
const SOME_MISSED: f64 = 0.05;
/// A stall of this share of the goal, with the draining that follows, misses the goal.
const HALF: f64 = 0.5;
/// Growth within [`JUMP_WINDOWS`] that counts as a jump of the load.
const JUMP: f64 = 1.2;
/// See [`JUMP`].
const JUMP_WINDOWS: usize = 3;
/// Up to this ratio of demand to capacity, a scale-up is weighed against its cost.
const MARGINAL: f64 = 1.2;
/// An unknown start-up time delays a scale-up by at most this many windows.
const MOST_UNSEEN: f64 = 6.0;
/// Instances are added to drain a lag only if that takes less than this share of the time the present ones would need, and adds less than
/// this share to the lag.
const SOONER: f64 = 0.5;

/// What removing instances would save, and at which risk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saving {
    /// Instances of all scalable operators.
    pub(super) instances: f64,
    /// Instances saved.
    pub(super) saved: f64,
    /// Load that the remaining instances can process, in records per second.
    pub(super) level: f64,
    /// Seconds for which the scale-down stalls the job.
    pub(super) down_s: f64,
    /// Seconds for which adding them again would stall it.
    pub(super) up_s: f64,
    /// The latency goal in seconds; 0 without one.
    pub(super) goal_s: f64,
}

/// History of the load and of savings.
#[derive(Clone, Debug)]
pub(super) struct CostBenefit {
    /// Ends of windows, with the offered load of all sources.
    offered: VecDeque<(Timestamp, f64)>,
    /// When the first window began.
    since: Option<Timestamp>,
    window_s: f64,
    /// Factor on how long a saving must last.
    patience: f64,
    /// The last saving: when, the load it left capacity for, and how long it must last.
    trimmed: Option<(Timestamp, f64, f64)>,
    /// Seconds that missed the goal since the last change, and the time of that change.
    missed_s: f64,
    changed: Option<Timestamp>,
    /// The lowest load at which instances were added for the goal.
    missed_at: f64,
}

impl CostBenefit {
    pub(super) fn new() -> CostBenefit {
        CostBenefit {
            offered: VecDeque::new(),
            since: None,
            window_s: 0.0,
            patience: 1.0,
            trimmed: None,
            missed_s: 0.0,
            changed: None,
            missed_at: f64::INFINITY,
        }
    }

    /// Records the offered load of a window.
    pub(super) fn observe(&mut self, start: Timestamp, end: Timestamp, offered: f64) {
        self.since.get_or_insert(start);
        self.window_s = end.since(start).as_secs_f64();
        self.offered.push_back((end, offered));
        if self.offered.len() > MOST_WINDOWS {
            self.since = self.offered.pop_front().map(|(end, _)| end);
        }
        if let Some((at, level, pays_s)) = self.trimmed {
            let held_s = end.since(at).as_secs_f64();
            if held_s >= pays_s {
                (self.patience, self.trimmed) = ((self.patience / REGRET).max(1.0), None);
            } else if offered > level {
                (self.patience, self.trimmed) = ((self.patience * REGRET).min(MOST_PATIENCE), None);
            }
        }
    }

    /// Whether a stall of `stall_s` seconds is long enough to be weighed.
    pub(super) fn matters(&self, stall_s: f64) -> bool {
        stall_s > BRIEF * self.window_s
    }

    fn now(&self) -> Timestamp {
        self.offered.back().map_or(Timestamp::ZERO, |(end, _)| *end)
    }

    /// Whether the load was ever above `level`.
    fn has_been_above(&self, level: f64) -> bool {
        self.offered.iter().any(|(_, offered)| *offered > level)
    }

    /// Expected seconds for which the load stays on its side of `level`.
    fn stays_s(&self, level: f64) -> f64 {
        let (stayed_s, crossings) = self.stayed(level);
        let known_s = self.since.map_or(0.0, |since| self.now().since(since).as_secs_f64());
        let usual_s = known_s / f64::from(crossings + 1);
        if crossings >= LEAST_CROSSINGS && stayed_s < UNUSUAL * usual_s { usual_s } else { stayed_s.max(usual_s) }
    }

    /// Seconds for which the load has been on its side of `level`, and the number of crossings.
    fn stayed(&self, level: f64) -> (f64, u32) {
        let Some(since) = self.since else { return (0.0, 0) };
        let (mut above, mut crossings, mut last) = (None, 0, since);
        let mut before = since;
        for &(end, offered) in &self.offered {
            let is_above = match above {
                Some(true) => offered > level * FALLEN,
                _ => offered > level,
            };
            if above.is_some_and(|above| above != is_above) {
                (crossings, last) = (crossings + 1, before);
            }
            (above, before) = (Some(is_above), end);
        }
        (self.now().since(last).as_secs_f64(), crossings)
    }

    /// The largest change between consecutive windows, as a share of the highest load.
    fn swing(&self) -> f64 {
        let highest = self.offered.iter().map(|(_, offered)| *offered).fold(0.0, f64::max);
        let pairs = self.offered.iter().zip(self.offered.iter().skip(1));
        let largest = pairs.map(|(a, b)| (b.1 - a.1).abs()).fold(0.0, f64::max);
        if highest > 0.0 { largest / highest } else { 0.0 }
    }

    /// Seconds for which a saving must last to pay for its stall and, if the load was higher before, for the stall of reverting it. A load
    /// that returns at once is not seen for a window.
    fn pays_s(&self, saving: &Saving) -> f64 {
        let mut stall_s = saving.down_s;
        if self.has_been_above(self.level(saving)) {
            stall_s += saving.up_s + self.swing() * self.window_s;
        }
        let pays_s = STALL * stall_s * saving.instances / saving.saved.max(1.0);
        let is_beyond = saving.goal_s > 0.0 && stall_s > HALF * saving.goal_s;
        let within_goal_s = if is_beyond { ONE_PERCENT * stall_s } else { 0.0 };
        pays_s.max(within_goal_s) * self.patience
    }

    /// The load that the remaining instances can process within the goal.
    fn level(&self, saving: &Saving) -> f64 {
        if saving.goal_s > 0.0 { saving.level.min(self.missed_at * FALLEN) } else { saving.level }
    }

    /// Whether the instances may be removed.
    pub(super) fn is_saving(&self, saving: &Saving) -> bool {
        self.stays_s(self.level(saving)) >= self.pays_s(saving)
    }

    /// Records that they are removed.
    pub(super) fn saved(&mut self, saving: &Saving) {
        self.trimmed = Some((self.now(), self.level(saving), self.pays_s(saving)));
        self.added();
    }

    /// Records that instances are added.
    pub(super) fn added(&mut self) {
        (self.missed_s, self.changed) = (0.0, Some(self.now()));
    }

    /// Records that instances are added for the goal.
    pub(super) fn added_for_goal(&mut self) {
        self.missed_at = self.offered.back().map_or(self.missed_at, |(_, offered)| offered.min(self.missed_at));
        self.added();
    }

    /// Whether a job with `ratio` times the load it can process is better left alone: the lag, present and expected, is less than what a
    /// change adds that stalls it for `known_s` seconds, or for `unseen_s` while the start-up time of instances is unknown.
    pub(super) fn is_marginal(&self, ratio: f64, lag: f64, known_s: f64, unseen_s: f64) -> bool {
        let Some(&(_, offered)) = self.offered.back() else { return false };
        let level = offered / ratio.max(1.0);
        let may_be_slow = self.stayed(level).0 <= MOST_UNSEEN * self.window_s;
        let stall_s = if may_be_slow { known_s.max(unseen_s) } else { known_s };
        if ratio > MARGINAL || !self.matters(stall_s) {
            return false;
        }
        lag + (offered - level) * self.stays_s(level) < offered * stall_s
    }

    /// Whether adding instances, which stalls the job for `stall_s` seconds and then drains its lag in `catch_up_s`, is much sooner done
    /// than draining with the present ones, which process `capacity` times the offered load.
    pub(super) fn is_sooner(&self, lag: f64, capacity: f64, stall_s: f64, catch_up_s: f64) -> bool {
        let Some(&(_, offered)) = self.offered.back() else { return true };
        if !self.matters(stall_s) {
            return true;
        }
        // The present load passes: lag is drained beside the average load.
        let mean = self.offered.iter().map(|(_, offered)| offered).sum::<f64>() / self.offered.len() as f64;
        let spare = offered * capacity - mean.min(offered);
        offered * stall_s < SOONER * lag && (spare <= 0.0 || stall_s + catch_up_s < SOONER * lag / spare)
    }

    /// Records that a window missed the goal.
    pub(super) fn missed(&mut self) {
        self.missed_s += self.window_s;
    }

    /// Whether a change that stalls the job for `stall_s` seconds would miss the goal for longer than was seen without it.
    pub(super) fn is_better_missed(&self, stall_s: f64, goal_s: f64) -> bool {
        let since = self.changed.or(self.since).unwrap_or(Timestamp::ZERO);
        let bearable_s = SOME_MISSED * self.now().since(since).as_secs_f64();
        stall_s > HALF * goal_s && self.missed_s < bearable_s.max(STALL * stall_s)
    }

    /// Assumed stall of new instances whose start-up time is unknown, in seconds: a few windows after a jump of the load, 0 otherwise.
    pub(super) fn unseen_stall_s(&self) -> f64 {
        let windows = self.offered.len();
        let Some(&(_, now)) = self.offered.back().filter(|_| windows > JUMP_WINDOWS) else { return 0.0 };
        let before = self.offered[windows - 1 - JUMP_WINDOWS].1;
        if now > before * JUMP { JUMP_WINDOWS as f64 * self.window_s } else { 0.0 }
    }

    /// The highest load within the time that a change with a stall of `stall_s` seconds must last to pay for itself; nothing if that is not
    /// weighed.
    pub(super) fn peak(&self, stall_s: f64, instances: f64, changed: f64) -> Option<f64> {
        if !self.matters(stall_s) {
            return None;
        }
        let horizon_s = STALL * stall_s * instances / changed.max(1.0);
        let recent = |(end, _): &&(Timestamp, f64)| self.now().since(*end).as_secs_f64() <= horizon_s;
        self.offered.iter().rev().take_while(recent).map(|(_, offered)| *offered).reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of five seconds, each with what was offered in it.
    fn seen(loads: &[f64]) -> CostBenefit {
        let mut costs = CostBenefit::new();
        loads.iter().for_each(|load| see(&mut costs, *load));
        costs
    }

    fn see(costs: &mut CostBenefit, load: f64) {
        let start = costs.now();
        costs.observe(start, Timestamp::from_secs_f64(start.since(Timestamp::ZERO).as_secs_f64() + 5.0), load);
    }

    /// Eight of ten instances may go, at no cost but for what new ones take to start.
    fn saving(up_s: f64) -> Saving {
        Saving { instances: 10.0, saved: 8.0, level: 2000.0, down_s: 0.0, up_s, goal_s: 0.0 }
    }

    fn repeated(high: usize, low: usize, times: usize) -> Vec<f64> {
        [vec![10_000.0; high], vec![1000.0; low]].concat().repeat(times)
    }

    #[test]
    fn a_load_that_was_never_higher_needs_no_patience() {
        assert!(seen(&[1000.0]).is_saving(&saving(5.0)));
        // A stall for the saving itself has to be paid for all the same: five seconds of ten instances, three and a half times.
        let dear = Saving { down_s: 5.0, ..saving(5.0) };
        assert!(!seen(&[1000.0; 4]).is_saving(&dear) && seen(&[1000.0; 5]).is_saving(&dear));
        // With a goal of a second, a hundred times.
        let goal = Saving { goal_s: 1.0, ..dear };
        assert!(!seen(&[1000.0; 99]).is_saving(&goal) && seen(&[1000.0; 100]).is_saving(&goal));
    }

    #[test]
    fn a_load_that_comes_and_goes_is_served_by_its_peak() {
        for (high, low) in [(2, 2), (3, 3), (2, 4)] {
            let loads = repeated(high, low, 20);
            let mut costs = CostBenefit::new();
            // Whether the load comes back is known once it has.
            for (number, load) in loads.into_iter().enumerate() {
                see(&mut costs, load);
                assert!(number < 2 * (high + low) || !costs.is_saving(&saving(1.0)), "{high} windows and {low}: {number}");
            }
        }
        // Half an hour of each is worth it, as soon as that is known.
        let mut costs = seen(&repeated(360, 360, 2));
        see(&mut costs, 10_000.0);
        see(&mut costs, 1000.0);
        assert!(costs.is_saving(&saving(1.0)));
    }

    #[test]
    fn a_saving_that_was_taken_back_makes_the_next_wait_longer() {
        let mut costs = seen(&repeated(40, 40, 1));
        let before = costs.pays_s(&saving(1.0));
        costs.saved(&saving(1.0));
        see(&mut costs, 10_000.0);
        assert_eq!(costs.pays_s(&saving(1.0)), before * REGRET);
        // One that held is forgotten again.
        costs.saved(&saving(1.0));
        (0..40).for_each(|_| see(&mut costs, 1000.0));
        assert_eq!(costs.pays_s(&saving(1.0)), before);
    }

    #[test]
    fn a_little_too_much_is_borne_where_the_change_costs_more() {
        let costs = seen(&[10_000.0; 2]);
        assert!(costs.is_marginal(1.01, 0.0, 0.0, 5.0));
        assert!(costs.is_marginal(1.01, 0.0, 5.0, 0.0));
        // What is brief, obvious, or has piled up already is not borne.
        assert!(!costs.is_marginal(1.01, 0.0, 0.1, 0.1));
        assert!(!costs.is_marginal(1.5, 0.0, 5.0, 5.0));
        assert!(!costs.is_marginal(1.01, 50_000.0, 5.0, 5.0));
        // A load that stays is served, unless the stall is known.
        let costs = seen(&[10_000.0; 8]);
        assert!(!costs.is_marginal(1.01, 0.0, 0.0, 5.0) && costs.is_marginal(1.01, 0.0, 5.0, 5.0));
    }

    #[test]
    fn lag_is_worked_off_sooner_or_left_to_those_who_are_there() {
        let costs = seen(&[9000.0; 4]);
        // A tenth to spare: 900 records a second.
        assert!(!costs.is_sooner(100_000.0, 1.1, 16.0, 60.0), "more than half of the lag again");
        assert!(costs.is_sooner(400_000.0, 1.1, 16.0, 60.0), "444 seconds become 76");
        assert!(!costs.is_sooner(400_000.0, 1.5, 16.0, 60.0), "89 seconds become 76");
        assert!(costs.is_sooner(400_000.0, 1.5, 0.5, 60.0), "what is brief is not weighed");
    }

    #[test]
    fn a_jump_leaves_room_for_what_is_not_known() {
        assert_eq!(seen(&[9000.0]).unseen_stall_s(), 0.0);
        assert_eq!(seen(&[9000.0; 9]).unseen_stall_s(), 0.0);
        assert_eq!(seen(&[3000.0, 3000.0, 3000.0, 9000.0]).unseen_stall_s(), 15.0);
    }
}
