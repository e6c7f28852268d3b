//! What the last action achieved.
//!
//! Instances that did not raise an operator's rate are removed once two windows have shown it,
//! because they share what bounds them. There is another explanation as long as each keeps a good
//! part of its rate: all machines are slower than before. Then a further step decides, and only if
//! that does not help either, all are removed. External waits need no such step: they are measured.

use std::collections::BTreeMap;

use super::judge::IN_VAIN;
use super::limits::{Did, Limit, Vain};
use super::sight::Sight;
use super::{AGREEING, CriticalPath, Load};
use crate::dataflow::{Configuration, Operator};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::time::Timestamp;

/// Added instances are useless if they gain less than this share of a proportional increase.
const USELESS: f64 = 0.1;
/// A limit is tried again with this many times its instances.
const AGAIN: f64 = 1.5;

/// The last action.
#[derive(Clone, Debug)]
pub(super) struct Acted {
    before: Configuration,
    rebalanced: BTreeMap<OperatorId, f64>,
    /// Windows seen since.
    windows: u32,
}

impl Acted {
    /// An action in the configuration `before` that rebalanced operators of the given imbalance.
    pub(super) fn new(before: Configuration, rebalanced: BTreeMap<OperatorId, f64>) -> Acted {
        Acted { before, rebalanced, windows: 0 }
    }

    /// The configuration before it.
    pub(super) fn before(&self) -> &Configuration {
        &self.before
    }

    /// Whether no window has been seen since.
    pub(super) fn is_new(&self) -> bool {
        self.windows == 0
    }
}

/// What the last action showed.
pub(super) enum Learned {
    Nothing,
    /// Another window has to show whether it helped.
    Unsure,
    /// Operators that more instances did not help, with their former parallelism.
    Useless(BTreeMap<OperatorId, u32>),
}

impl CriticalPath {
    /// Learns from the outcome of the last action.
    pub(super) fn learn(&mut self, observation: &Observation, load: &Load, sights: &[Sight]) -> Learned {
        let Some(mut acted) = self.acted.take() else { return Learned::Nothing };
        acted.windows += 1;
        let now = observation.window.end;
        if acted.windows == 1 {
            self.learn_of_rebalances(now, &acted, load, sights);
        }
        let (mut useless, mut unsure) = (BTreeMap::new(), false);
        for (id, instances) in observation.configuration.iter().filter(|(id, instances)| *instances > acted.before.parallelism(*id)) {
            let (index, before) = (id.0 as usize, acted.before.parallelism(id));
            let waits = sights[index].waits && !self.memory[index].waits.apart;
            let helped = self.helped(index, before, instances);
            if acted.windows < AGREEING {
                unsure |= helped == Some(false) || waits;
                continue;
            }
            match helped {
                Some(false) => {
                    if let Some(most) = self.did_not_help(now, index, (before, instances), load, waits || self.memory[index].waits.apart) {
                        useless.insert(id, most);
                    }
                }
                Some(true) => {
                    let memory = &mut self.memory[index];
                    memory.waits.apart |= waits;
                    (memory.doubt, memory.limit) = (None, None);
                }
                None => {}
            }
        }
        if !useless.is_empty() {
            return Learned::Useless(useless);
        }
        if acted.windows < AGREEING {
            self.acted = Some(acted);
        }
        if unsure { Learned::Unsure } else { Learned::Nothing }
    }

    fn learn_of_rebalances(&mut self, now: Timestamp, acted: &Acted, load: &Load, sights: &[Sight]) {
        for (&id, &imbalance) in &acted.rebalanced {
            let (memory, sight) = (&mut self.memory[id.0 as usize], &sights[id.0 as usize]);
            memory.in_vain = (sight.imbalance - 1.0 > (imbalance - 1.0) * IN_VAIN).then(|| {
                let before = memory.in_vain.map(|(_, _, vain)| vain);
                (sight.imbalance, sight.instances, Vain::after(before, now, load.demands[id.0 as usize].unwrap_or(0.0)))
            });
            memory.rests = memory.in_vain.is_some();
        }
    }

    /// Whether `instances` of an operator have a higher rate than `before` had; nothing if either was not measured.
    fn helped(&self, operator: usize, before: u32, instances: u32) -> Option<bool> {
        // Where workers are short of time, a lower rate is theirs.
        if self.crowd.is_tight() {
            return None;
        }
        let curve = &self.curves[operator];
        let (fewer, more) = curve.measured(before).zip(curve.measured(instances))?;
        let least = fewer * (1.0 + USELESS * (f64::from(instances) / f64::from(before) - 1.0));
        Some(more * (self.config.confidence * curve.error()).exp() >= least)
    }

    /// Handles `instances` of an operator with no higher rate than `before` had: the parallelism to return to, if that is certain.
    fn did_not_help(&mut self, now: Timestamp, operator: usize, (before, instances): (u32, u32), load: &Load, waits: bool) -> Option<u32> {
        let (curve, memory) = (&mut self.curves[operator], &mut self.memory[operator]);
        let did = |instances: u32, total: Option<f64>| Did { instances, total: total.unwrap_or(0.0) };
        let (fewer, more) = (did(before, curve.measured(before)), did(instances, curve.measured(instances)));
        if !waits && memory.doubt.is_none() && memory.limit.is_none() && fewer.may_have_neighbours(more) {
            memory.doubt = Some(fewer);
            curve.forget_others();
            return None;
        }
        let fewest = memory.doubt.take().unwrap_or(fewer);
        let vain = Vain::after(memory.limit.map(|limit| limit.vain), now, load.demands[operator].unwrap_or(0.0));
        memory.limit = Some(Limit { most: fewest.instances, rate: fewest.total / f64::from(fewest.instances), vain });
        memory.waits.apart = false;
        Some(fewest.instances)
    }

    /// Drops what no longer holds, and finds out which external waits may be probed.
    pub(super) fn recall(&mut self, now: Timestamp, load: &Load, sights: &mut [Sight]) {
        for ((memory, sight), (curve, demand)) in self.memory.iter_mut().zip(sights).zip(self.curves.iter().zip(&load.demands)) {
            let rate = curve.measured(sight.instances).map(|total| total / f64::from(sight.instances));
            // Limits hold as long as instances keep the rate at which they were learned.
            memory.limit = memory.limit.filter(|limit| rate.is_none_or(|rate| limit.is_sound(sight.instances, rate)));
            memory.in_vain = memory.in_vain.filter(|(_, instances, _)| *instances == sight.instances);
            memory.rests = memory.in_vain.is_some_and(|(_, _, vain)| vain.rests(now, self.config.look_back_s, *demand));
            let rests = memory.limit.is_some_and(|limit| limit.vain.rests(now, self.config.look_back_s, *demand));
            sight.waits &= !memory.waits.apart;
            sight.probe = memory.waits.probe(now, sight, self.config.catch_up_s).filter(|_| !rests);
        }
    }

    /// The highest parallelism that `operator` may get.
    pub(super) fn most(&self, operator: &Operator, sight: &Sight, load: &Load) -> u32 {
        let index = operator.id.0 as usize;
        let limit = self.memory[index].limit.map(|limit| {
            let now = self.offered.back().map_or(Timestamp::ZERO, |offered| offered.window.end);
            let rests = limit.vain.rests(now, self.config.look_back_s, load.demands[index]);
            if rests { limit.most } else { (f64::from(limit.most) * AGAIN).ceil() as u32 }
        });
        [limit, sight.probe, self.crowd.most(index).map(|most| most.max(sight.instances))]
            .into_iter()
            .flatten()
            .fold(operator.max_parallelism, u32::min)
            .max(1)
    }
}
