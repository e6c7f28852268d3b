//! Part of the step `change`: surplus instances, and when they may be removed.
//!
//! A large surplus may be removed as soon as no recent window needed it, and earlier where the load
//! has been constant for as long as is known. A small one may be removed once that has been so for
//! longer, or together with a plan that is executed anyway. Of instances added for the present
//! load, only a large surplus is removed, since an estimate may be off by a few. Instances that a
//! bound makes useless are removed however long a lag persists.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::search::SearchResult;
use super::super::state::{AGREEING, CriticalPath};
use super::diagnose::Diagnosis;
use super::load::Load;
use crate::dataflow::Configuration;
use crate::id::OperatorId;
use crate::time::Timestamp;

/// A saving below the least one is worth an action after this many look-backs...
const PATIENCE: f64 = 3.0;
/// ... if it is at least this share of all instances.
const LITTLE: f64 = 0.06;
/// An operator keeps the instances added for a load until its load is below this share of it...
const LESS_LOAD: f64 = 0.9;
/// ... unless at least this share of its instances is surplus.
const FAR_TOO_MANY: f64 = 0.25;
/// Where a bound may be lifted at any time, other operators are trimmed only by at least this share of all instances.
const MUCH: f64 = 0.34;

impl CriticalPath {
    /// Whether instances may be removed in this window.
    fn may_trim(&self, load: &Load, diagnosis: &Diagnosis, result: &SearchResult) -> bool {
        // A late job keeps what it has until it has caught up, unless others need more: then one plan does both. A job at a bound is late
        // for ever, so it does not wait.
        let even = diagnosis.rebalance.is_empty() && !diagnosis.uneven;
        let calm = even && !load.rises && (load.on_time || result.proposal.part < 1.0) || diagnosis.under;
        // The first windows do not prove that a latency goal is met.
        let early = load.steady && self.offered.len() >= AGREEING as usize && self.config.goal_ms == 0.0;
        let known = load.looked_back || early;
        calm && known
    }

    /// The surplus of the recent windows, if removing it is worth an action now; `acts` says that there is a plan anyway, and
    /// `enough_recently` what is enough for their highest load.
    pub(super) fn trims(
        &mut self,
        now: Timestamp,
        load: &Load,
        (diagnosis, acts): (&Diagnosis, bool),
        result: &SearchResult,
        present: &Configuration,
        enough_recently: impl FnOnce(&CriticalPath) -> Vec<u32>,
    ) -> BTreeMap<OperatorId, u32> {
        let look_back = Duration::from_secs_f64(self.config.look_back_s);
        self.recent_needs.observe(now, &result.enough, look_back);
        let mut fewer = self.fewer_than(present, load, &[]);
        // Only where anything may go at all it is worth the while to look at the goal.
        if !fewer.is_empty() && self.may_trim(load, diagnosis, result) {
            fewer = self.fewer_than(present, load, &enough_recently(self));
        } else {
            fewer.clear();
        }
        if fewer.is_empty() {
            self.recent_needs.surplus_since = None;
            return BTreeMap::new();
        }
        let all = self.together(present, &BTreeMap::new()) as f64;
        let saved = all - self.together(present, &fewer) as f64;
        let lifts = result.proposal.part < 1.0 && result.bound != Some("bounded");
        if saved >= all * self.config.least_saving.max(if lifts { MUCH } else { 0.0 }) {
            return fewer;
        }
        let since = *self.recent_needs.surplus_since.get_or_insert(now);
        let patient = since + look_back.mul_f64(PATIENCE) <= now && saved >= all * LITTLE;
        if lifts || !patient && !acts {
            return BTreeMap::new();
        }
        fewer
    }

    /// Operators with a surplus over the needs of the recent windows and over `enough_recently`.
    fn fewer_than(&self, present: &Configuration, load: &Load, enough_recently: &[u32]) -> BTreeMap<OperatorId, u32> {
        let enough = |id: OperatorId| {
            (id, self.recent_needs.most(id.0 as usize, load.representative).max(enough_recently.get(id.0 as usize).copied().unwrap_or(0)))
        };
        let operators = self.topology.scalable().map(|operator| enough(operator.id));
        let fewer = operators.filter(|(id, enough)| *enough < present.parallelism(*id));
        fewer.filter(|fewer| self.is_certain(*fewer, load, present)).collect()
    }

    /// Whether an operator's surplus is certain: its load fell since instances were added, or the surplus is large.
    fn is_certain(&self, (id, enough): (OperatorId, u32), load: &Load, present: &Configuration) -> bool {
        let (index, present) = (id.0 as usize, present.parallelism(id));
        let less = |raised| load.most_recent[index].is_some_and(|demand| demand < raised * LESS_LOAD);
        // How instances fit on workers depends on all of them: what was added for a load stays for it.
        let far_too_many = !self.workers.is_shared() && f64::from(present - enough) >= f64::from(present) * FAR_TOO_MANY;
        self.memory[index].raised_for.is_none_or(less) || far_too_many
    }
}
