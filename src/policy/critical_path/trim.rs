//! Instances that nothing needs, and when they may go.
//!
//! Much may go as soon as no recent window needed it, and earlier where the load has been the same for as long as is known. Little may go once that has
//! been so for longer, or with a plan that is carried out anyway. Of what was added for the load of today only much may go, since a few instances too
//! many are what an estimate may be wrong by. What a bound makes useless goes too, however long the lag stands.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::judge::Judgement;
use super::search::Searched;
use super::{AGREEING, CriticalPath, Load};
use crate::dataflow::Configuration;
use crate::id::OperatorId;
use crate::time::Timestamp;

/// A saving below the least one is worth an action after so many look-backs.
const PATIENCE: f64 = 3.0;
/// ... if it is at least this part of all instances.
const LITTLE: f64 = 0.06;
/// An operator keeps what it was given for its load until it has less than this part of that.
const LESS_LOAD: f64 = 0.9;
/// ... unless at least this part of its instances is too many.
const FAR_TOO_MANY: f64 = 0.25;
/// Where a bound may be gone any time, others are trimmed only by this part or more of all instances.
const MUCH: f64 = 0.34;

/// What recent windows needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Needed {
    /// By operator, with a margin; with the end of the window.
    recent: VecDeque<(Timestamp, Vec<u32>)>,
    /// Since when less than all has been needed.
    idle_since: Option<Timestamp>,
}

impl Needed {
    /// Notes what the window that ended at `now` needed.
    pub(super) fn observe(&mut self, now: Timestamp, enough: &[u32], look_back: Duration) {
        self.recent.push_back((now, enough.to_vec()));
        while self.recent.len() > 1 && self.recent[0].0 + look_back < now {
            self.recent.pop_front();
        }
    }

    /// The most that any of them needed of an operator.
    fn most(&self, operator: usize) -> u32 {
        self.recent.iter().map(|(_, enough)| enough[operator]).max().unwrap_or(u32::MAX)
    }
}

impl CriticalPath {
    /// Whether it is the time to take anything away.
    fn may_trim(&self, load: &Load, judgement: &Judgement, searched: &Searched) -> bool {
        // A job that is late needs what it has until it is not, unless others need more: then one plan does it all. A bound leaves it late for
        // ever, so that this is no reason to wait.
        let even = judgement.rebalance.is_empty() && !judgement.uneven;
        let calm = even && !load.rises && (load.on_time || searched.found.part < 1.0) || judgement.under;
        // A goal for latency is not met for certain from the first windows on.
        let early = load.steady && self.offered.len() >= AGREEING as usize && self.config.goal_ms == 0.0;
        let known = load.looked_back || early;
        calm && known
    }

    /// What none of the recent windows needed, if it is worth the while and may go now; `acts` says that there is a plan anyway, and
    /// `enough_recently` what is enough for the most that was offered in them.
    pub(super) fn trims(
        &mut self,
        now: Timestamp,
        load: &Load,
        (judgement, acts): (&Judgement, bool),
        searched: &Searched,
        present: &Configuration,
        enough_recently: impl FnOnce(&CriticalPath) -> Vec<u32>,
    ) -> BTreeMap<OperatorId, u32> {
        let look_back = Duration::from_secs_f64(self.config.look_back_s);
        self.needed.observe(now, &searched.enough, look_back);
        let mut fewer = self.fewer_than(present, load, &[]);
        // Only where anything may go at all it is worth the while to look at the goal.
        if !fewer.is_empty() && self.may_trim(load, judgement, searched) {
            fewer = self.fewer_than(present, load, &enough_recently(self));
        } else {
            fewer.clear();
        }
        if fewer.is_empty() {
            self.needed.idle_since = None;
            return BTreeMap::new();
        }
        let all = self.together(present, &BTreeMap::new()) as f64;
        let saved = all - self.together(present, &fewer) as f64;
        let lifts = searched.found.part < 1.0 && searched.bound != Some("bounded");
        if saved >= all * self.config.least_saving.max(if lifts { MUCH } else { 0.0 }) {
            return fewer;
        }
        let since = *self.needed.idle_since.get_or_insert(now);
        let patient = since + look_back.mul_f64(PATIENCE) <= now && saved >= all * LITTLE;
        if lifts || !patient && !acts {
            return BTreeMap::new();
        }
        fewer
    }

    /// What none of the recent windows needed, and `enough_recently` does not name.
    fn fewer_than(&self, present: &Configuration, load: &Load, enough_recently: &[u32]) -> BTreeMap<OperatorId, u32> {
        let enough = |id: OperatorId| (id, self.needed.most(id.0 as usize).max(enough_recently.get(id.0 as usize).copied().unwrap_or(0)));
        let operators = self.topology.scalable().map(|operator| enough(operator.id));
        let fewer = operators.filter(|(id, enough)| *enough < present.parallelism(*id));
        fewer.filter(|fewer| self.is_certain(*fewer, load, present)).collect()
    }

    /// Whether an operator for which so many are enough has less to do than when it was given instances, if it was, or far more than it
    /// needs.
    fn is_certain(&self, (id, enough): (OperatorId, u32), load: &Load, present: &Configuration) -> bool {
        let (index, present) = (id.0 as usize, present.parallelism(id));
        let less = |raised| load.most_recent[index].is_some_and(|demand| demand < raised * LESS_LOAD);
        self.memory[index].raised_for.is_none_or(less) || f64::from(present - enough) >= f64::from(present) * FAR_TOO_MANY
    }
}
