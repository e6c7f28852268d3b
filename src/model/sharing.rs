//! Workers whose time instances share: what they have to do, and how instances fit on them.
//!
//! An instance needs a part of a core: its part of the operator's demand times the time a record
//! takes. What the instances of a worker need together has to fit on it, beside what its sources and
//! sinks take, what it spends on anything that is not recorded as somebody's work (routing,
//! progress, messages), and what other programs take of its core. All of this is measured.

use std::collections::BTreeMap;

use crate::dataflow::{Placement, Topology};
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::metrics::WorkerMetrics;
use crate::observation::Observation;

/// A worker that used or asked for less of a core than this says nothing about how much it gets.
const LEAST_ASKED: f64 = 0.02;
/// At most this part of a worker's time is taken to be spent on what nobody's work accounts for.
const MOST_UNACCOUNTED: f64 = 0.75;
/// Instances need the same if their needs differ by at most this part.
const ALIKE: f64 = 0.05;
/// Times that instances are added to one operator, at most...
const MOST_ROUNDS: usize = 256;
/// ... one at a time where there are fewer than this, and one for each so many where there are more.
const FEW: u32 = 32;
/// A placement is better than another if its fullest worker has less to do by this part.
const BETTER: f64 = 0.97;

/// What is known of the workers of a job in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharing {
    /// By worker, the part of a core that it gets of what it asks for, 0 to 1; `None` if it asked
    /// for too little to tell.
    pub core_shares: Vec<Option<f64>>,
    /// By worker, the part of a core that its sources and sinks need at the offered load.
    fixed: Vec<f64>,
    /// The part of the workers' time on cores that is somebody's recorded work, above 0 to 1.
    accounted: f64,
    /// By operator, each present instance's part of its arrivals.
    parts: Vec<Vec<f64>>,
}

/// Instances with their workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Instances by operator.
    pub instances: Vec<u32>,
    /// Where they are.
    pub placement: Placement,
    /// What the fullest worker has to do over what it can do; above 1 it cannot keep up.
    pub load: f64,
}

/// What is to fit on the workers.
pub struct Needs<'a> {
    /// The operators.
    pub topology: &'a Topology,
    /// Cores that an operator needs with so many instances together; `None` where it is not known.
    pub cores: &'a dyn Fn(usize, u32) -> Option<f64>,
    /// Most instances by operator.
    pub most: &'a [u32],
    /// Most instances of all operators that can be scaled.
    pub budget: u32,
}

impl Sharing {
    /// What `observation` shows; `None` if its instances do not share workers.
    ///
    /// `known` are parts of cores that workers got before, for those that asked for too little now.
    pub fn of(topology: &Topology, observation: &Observation, known: &[Option<f64>]) -> Option<Sharing> {
        let placement = observation.configuration.placement()?;
        let is_fixed = |instance: &InstanceId| topology.operators().get(instance.operator.0 as usize).is_none_or(|of| !of.is_scalable());
        let uses = |worker: &WorkerMetrics| worker.used.iter().any(|(instance, _)| !is_fixed(instance));
        if !observation.workers.iter().any(uses) || observation.workers.len() != placement.workers() as usize {
            return None;
        }
        let ratios: BTreeMap<OperatorId, f64> = observation
            .sources
            .iter()
            .map(|source| {
                let (offered, achieved) = (source.offered.as_per_second(), source.achieved.as_per_second());
                (source.operator, if achieved > 0.0 { (offered / achieved).max(1.0) } else { 1.0 })
            })
            .collect();
        let overall = ratios.values().copied().fold(1.0, f64::max);
        let fixed = |worker: &WorkerMetrics| {
            let own = worker.used.iter().filter(|(instance, _)| is_fixed(instance));
            let needs = own.map(|(instance, time)| time.as_secs_f64() * ratios.get(&instance.operator).copied().unwrap_or(overall));
            needs.sum::<f64>() * worker.core_share() / worker.window.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        let parts = |operator: &crate::dataflow::Operator| {
            let instances = observation.configuration.parallelism(operator.id);
            let arrivals: Vec<f64> = observation
                .operator(operator.id)
                .instances
                .iter()
                .take(instances as usize)
                .map(|instance| instance.arrivals as f64)
                .collect();
            let all: f64 = arrivals.iter().sum();
            if all > 0.0 {
                arrivals.iter().map(|arrived| arrived / all).collect()
            } else {
                vec![1.0 / f64::from(instances); instances as usize]
            }
        };
        let (busy, ran) = observation.workers.iter().filter(|worker| worker.core.is_some()).fold((0.0, 0.0), |(busy, ran), worker| {
            (busy + worker.busy().as_secs_f64() * worker.core_share(), ran + worker.core.unwrap_or_default().ran.as_secs_f64())
        });
        let core_share = |(index, worker): (usize, &WorkerMetrics)| {
            let asked = worker.core.map(|core| (core.ran + core.denied).as_secs_f64() / worker.window.as_secs_f64());
            match asked {
                Some(asked) if asked >= LEAST_ASKED => Some(worker.core_share()),
                _ => known.get(index).copied().flatten(),
            }
        };
        Some(Sharing {
            core_shares: observation.workers.iter().enumerate().map(core_share).collect(),
            fixed: observation.workers.iter().map(fixed).collect(),
            accounted: if busy > 0.0 && ran > 0.0 { (busy / ran).clamp(1.0 - MOST_UNACCOUNTED, 1.0) } else { 1.0 },
            parts: topology.operators().iter().map(parts).collect(),
        })
    }

    /// The same workers, if each had its core.
    pub fn with_whole_cores(&self) -> Sharing {
        Sharing { core_shares: vec![Some(1.0); self.core_shares.len()], ..self.clone() }
    }

    /// Number of workers.
    pub fn workers(&self) -> u32 {
        self.fixed.len() as u32
    }

    /// The part of a core that `worker` can count on.
    pub fn core_share(&self, worker: WorkerId) -> f64 {
        self.core_shares[worker.0 as usize].unwrap_or(1.0).max(0.01)
    }

    /// Cores that each instance of an operator needs, by its number.
    fn of_instances(&self, operator: usize, instances: u32, needs: &Needs<'_>) -> Vec<f64> {
        let cores = (needs.cores)(operator, instances).unwrap_or(0.0);
        let present = &self.parts[operator];
        let even = 1.0 / f64::from(instances.max(1));
        let part = |index: usize| if present.len() == instances as usize { present[index] } else { even };
        (0..instances as usize).map(|index| cores * part(index)).collect()
    }

    /// By worker, what it has to do over what it could do with a whole core; above 1 it cannot keep
    /// up.
    pub fn loads(&self, placement: &Placement, needs: &Needs<'_>) -> Vec<f64> {
        let mut loads = self.fixed.clone();
        for operator in needs.topology.scalable() {
            let places = placement.of(operator.id);
            let each = self.of_instances(operator.id.0 as usize, places.len() as u32, needs);
            places.iter().zip(each).for_each(|(worker, cores)| loads[worker.0 as usize] += cores);
        }
        loads.into_iter().map(|load| load / self.accounted).collect()
    }

    /// The fullest worker, with what it has to do over what it can do.
    fn fullest(&self, loads: &[f64]) -> (usize, f64) {
        let over = loads.iter().enumerate().map(|(worker, load)| (worker, load / self.core_share(WorkerId(worker as u32))));
        over.reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap_or((0, 0.0))
    }

    /// `instances` on the workers, close to how they are at `present`: as few of them as possible go
    /// to another worker, none where all fit as they are.
    pub fn place(&self, present: &Placement, instances: &[u32], needs: &Needs<'_>) -> Fit {
        let mut near = present.clone();
        for operator in needs.topology.scalable() {
            self.add(&mut near, operator.id, instances[operator.id.0 as usize], needs);
        }
        let near = self.relieve(near, instances, needs);
        if near.load <= 1.0 {
            return near;
        }
        // From scratch, the largest first; single moves may have ended where none helps any more.
        let mut fresh = present.clone();
        let mut all: Vec<(f64, InstanceId)> = Vec::new();
        for operator in needs.topology.scalable() {
            let each = self.of_instances(operator.id.0 as usize, instances[operator.id.0 as usize], needs);
            all.extend((0..).zip(each).map(|(index, cores)| (cores, InstanceId::new(operator.id, index))));
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut loads: Vec<f64> = self.fixed.clone();
        let mut places: BTreeMap<OperatorId, Vec<WorkerId>> = BTreeMap::new();
        for (cores, instance) in all {
            let emptiest = self.emptiest(&loads, cores);
            loads[emptiest.0 as usize] += cores;
            let of = places.entry(instance.operator).or_default();
            of.resize(of.len().max(instance.index as usize + 1), WorkerId(0));
            of[instance.index as usize] = emptiest;
        }
        for (operator, mut places) in places {
            let each = self.of_instances(operator.0 as usize, places.len() as u32, needs);
            keep(&mut places, present.of(operator), &each);
            fresh.put(operator, places);
        }
        let fresh = self.relieve(fresh, instances, needs);
        if fresh.load < near.load * BETTER { fresh } else { near }
    }

    /// The worker that has least to do once `cores` are added, for what it can do; the first of
    /// several.
    fn emptiest(&self, loads: &[f64], cores: f64) -> WorkerId {
        let over = |worker: &u32| (loads[*worker as usize] + cores) / self.core_share(WorkerId(*worker));
        WorkerId((0..self.workers()).min_by(|a, b| over(a).total_cmp(&over(b))).expect("there are workers"))
    }

    /// Gives `operator` `instances` instances, new ones where there is most room.
    fn add(&self, placement: &mut Placement, operator: OperatorId, instances: u32, needs: &Needs<'_>) {
        let mut places = placement.of(operator).to_vec();
        let had = places.len();
        places.truncate(instances as usize);
        placement.put(operator, places.clone());
        if had >= instances as usize {
            return;
        }
        let each = self.of_instances(operator.0 as usize, instances, needs);
        let mut loads: Vec<f64> = {
            // Of those that stay, each has its part among all that there will be.
            placement.put(operator, Vec::new());
            let others = self.loads(placement, needs);
            others.into_iter().map(|load| load * self.accounted).collect()
        };
        places.iter().zip(&each).for_each(|(worker, cores)| loads[worker.0 as usize] += cores);
        for &cores in &each[places.len()..] {
            let emptiest = self.emptiest(&loads, cores);
            loads[emptiest.0 as usize] += cores;
            places.push(emptiest);
        }
        placement.put(operator, places);
    }

    /// Moves single instances away from the fullest worker as long as it has more to do than it can
    /// and that helps.
    fn relieve(&self, mut placement: Placement, instances: &[u32], needs: &Needs<'_>) -> Fit {
        let mut loads = self.loads(&placement, needs);
        let most: u32 = needs.topology.scalable().map(|operator| instances[operator.id.0 as usize]).sum();
        for _ in 0..=most {
            let (fullest, load) = self.fullest(&loads);
            if load <= 1.0 {
                break;
            }
            let mut best: Option<(f64, InstanceId, WorkerId, f64)> = None;
            for operator in needs.topology.scalable() {
                let index = operator.id.0 as usize;
                let each = self.of_instances(index, instances[index], needs);
                for ((number, &place), cores) in (0..).zip(placement.of(operator.id)).zip(each) {
                    if place.0 as usize != fullest || cores <= 0.0 {
                        continue;
                    }
                    let cores = cores / self.accounted;
                    for to in (0..self.workers()).map(WorkerId).filter(|to| *to != place) {
                        let share = |worker: WorkerId, more: f64| (loads[worker.0 as usize] + more) / self.core_share(worker);
                        let worst = share(place, -cores).max(share(to, cores));
                        if worst < load * BETTER && best.is_none_or(|(least, ..)| worst < least) {
                            best = Some((worst, InstanceId::new(operator.id, number), to, cores));
                        }
                    }
                }
            }
            let Some((_, instance, to, cores)) = best else { break };
            let mut places = placement.of(instance.operator).to_vec();
            places[instance.index as usize] = to;
            placement.put(instance.operator, places);
            loads[fullest] -= cores;
            loads[to.0 as usize] += cores;
        }
        let load = self.fullest(&loads).1;
        Fit { instances: instances.to_vec(), placement, load }
    }

    /// At least `instances` on the workers so that they keep up: on other workers first, and where
    /// that does not suffice with more instances, within the budget, of the operator that needs most
    /// of the fullest worker. The best that was found where nothing suffices.
    pub fn fit(&self, present: &Placement, instances: &[u32], needs: &Needs<'_>) -> Fit {
        let mut best = self.place(present, instances, needs);
        let mut last = best.clone();
        let all = |instances: &[u32]| needs.topology.scalable().map(|operator| instances[operator.id.0 as usize]).sum::<u32>();
        for _ in 0..MOST_ROUNDS {
            let room = needs.budget.saturating_sub(all(&last.instances));
            if last.load <= 1.0 || room == 0 {
                break;
            }
            let Some(split) = self.largest_on_fullest(&last, needs) else { break };
            let mut instances = last.instances.clone();
            let more = (instances[split] / FEW).max(1).min(needs.most[split] - instances[split]);
            instances[split] += more.min(room);
            last = self.place(present, &instances, needs);
            if last.load <= 1.0 || last.load < best.load * BETTER {
                best = last.clone();
            }
        }
        best
    }

    /// The operator of the instance that needs most of the fullest worker and can be split.
    fn largest_on_fullest(&self, fit: &Fit, needs: &Needs<'_>) -> Option<usize> {
        let (fullest, _) = self.fullest(&self.loads(&fit.placement, needs));
        let mut best: Option<(f64, usize)> = None;
        for operator in needs.topology.scalable() {
            let index = operator.id.0 as usize;
            let each = self.of_instances(index, fit.instances[index], needs);
            let here = fit.placement.of(operator.id).iter().zip(each).filter(|(worker, _)| worker.0 as usize == fullest);
            let largest = here.map(|(_, cores)| cores).fold(0.0, f64::max);
            if largest > 0.0 && fit.instances[index] < needs.most[index] && best.is_none_or(|(most, _)| largest > most) {
                best = Some((largest, index));
            }
        }
        best.map(|(_, index)| index)
    }
}

/// Exchanges the places of instances of an operator that need the same, so that as many as possible
/// stay where they are.
fn keep(places: &mut [WorkerId], present: &[WorkerId], each: &[f64]) {
    for index in 0..places.len().min(present.len()) {
        let is_same = |other: &usize| (each[*other] - each[index]).abs() <= each[index] * ALIKE;
        let stays = |other: &usize| present.get(*other) == Some(&places[*other]);
        let other = (0..places.len()).filter(|other| places[*other] == present[index] && !stays(other)).find(is_same);
        if let Some(other) = other.filter(|_| places[index] != present[index]) {
            places.swap(index, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::{Configuration, Role};

    fn chain() -> Topology {
        let keyed = Role::Keyed { bins: 64 };
        let operators =
            [("source", Role::Source, 1), ("a", Role::Stateless, 8), ("b", keyed, 8), ("c", Role::Stateless, 8), ("sink", Role::Sink, 8)];
        Topology::new(&operators, &[(0, 1), (1, 2), (2, 3), (3, 4)]).unwrap()
    }

    /// Workers with these cores, of which the first has a source that needs `source` of its own.
    fn sharing(shares: &[f64], source: f64) -> Sharing {
        let mut fixed = vec![0.0; shares.len()];
        fixed[0] = source;
        let (core_shares, parts) = (shares.iter().copied().map(Some).collect(), vec![Vec::new(); 5]);
        Sharing { core_shares, fixed, accounted: 1.0, parts }
    }

    fn fit(sharing: &Sharing, on: [&[u32]; 3], cores: [f64; 3]) -> (String, f64) {
        let topology = chain();
        let mut instances = vec![1, on[0].len() as u32, on[1].len() as u32, on[2].len() as u32, 1];
        let ones = Configuration::ones(&topology).spread_over(&topology, sharing.workers());
        let mut present = ones.placement().unwrap().clone();
        (1..).zip(on).for_each(|(id, on)| present.put(OperatorId(id), on.iter().copied().map(WorkerId).collect()));
        instances[4] = 1;
        let of = |operator: usize, _: u32| operator.checked_sub(1).and_then(|index| cores.get(index)).copied();
        let needs = Needs { topology: &topology, cores: &of, most: &[1, 8, 8, 8, 1], budget: u32::MAX };
        let fit = sharing.fit(&present, &instances, &needs);
        let text = |id| fit.placement.of(OperatorId(id)).iter().map(|worker| worker.0.to_string()).collect::<String>();
        ((1..4).map(text).collect::<Vec<_>>().join(" "), fit.load)
    }

    #[test]
    fn what_fits_stays_and_what_does_not_is_moved_before_it_is_split() {
        let two = sharing(&[1.0, 1.0], 0.25);
        assert_eq!(fit(&two, [&[0], &[0], &[0]], [0.25, 0.25, 0.25]).0, "0 0 0");
        // One move suffices: that which leaves the fuller of the two with least.
        let (moved, load) = fit(&two, [&[0], &[0], &[0]], [0.25, 0.5, 0.125]);
        assert_eq!((moved.as_str(), load), ("0 1 0", 0.625));
        // One that needs more than a worker is split; the source's worker has less room.
        let (split, load) = fit(&two, [&[0], &[1], &[0]], [0.125, 1.25, 0.0]);
        assert!(split.starts_with("0 10 ") || split.starts_with("1 10 "), "{split}");
        assert!(load <= 1.0, "{load}");
        // More than both can do: the best there is, without instances that bring nothing.
        let (full, load) = fit(&two, [&[0], &[1], &[1]], [1.0, 1.0, 1.0]);
        assert!(load > 1.5 && full.len() <= 12, "{full} {load}");
    }

    #[test]
    fn instances_that_need_the_same_do_not_change_places() {
        let workers = |places: &[u32]| places.iter().copied().map(WorkerId).collect::<Vec<_>>();
        let kept = |places: &[u32], present: &[u32], each: &[f64]| {
            let mut places = workers(places);
            keep(&mut places, &workers(present), each);
            places
        };
        assert_eq!(kept(&[0, 1], &[1], &[0.5, 0.5]), workers(&[1, 0]));
        assert_eq!(kept(&[2, 0, 1], &[0, 1, 2], &[0.5; 3]), workers(&[0, 1, 2]));
        assert_eq!(kept(&[0, 1], &[1], &[0.9, 0.5]), workers(&[0, 1]), "they do not");
        assert_eq!(kept(&[1, 1], &[1, 0], &[0.5; 2]), workers(&[1, 1]));
    }

    #[test]
    fn a_worker_without_its_core_has_less_room() {
        let two = sharing(&[1.0, 0.25], 0.125);
        let (moved, load) = fit(&two, [&[0], &[1], &[1]], [0.25, 0.25, 0.125]);
        assert!(load <= 1.0 && moved.matches('1').count() == 1, "{moved} {load}");
        let four = sharing(&[1.0, 1.0, 1.0, 0.125], 0.0);
        let (moved, load) = fit(&four, [&[0], &[1], &[3]], [0.5, 0.5, 0.5]);
        assert_eq!((moved.as_str(), load), ("0 1 2", 0.5));
    }
}
