//! What a policy may ask of a Flink job: bounds of vertices, slots, key groups; and what only other hosts can do is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::graph::Graph;
use crate::dataflow::{Configuration, Plan};
use crate::id::OperatorId;
use crate::observation::Observation;
use crate::policy::{Decision, Needs, Policy, Reason};
use crate::time::Timestamp;

/// Bounds of what may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// By vertex, the fewest and the most instances; a vertex that is excluded has its present number as both.
    pub bounds: Vec<(u32, u32)>,
    /// Vertices that keep the number that they have.
    pub excluded: Vec<bool>,
    /// The most slots; nothing if there is no bound.
    pub slots: Option<u32>,
    /// Whether instances of vertices with keys are to divide the key groups evenly.
    pub align: bool,
}

impl Limits {
    /// Bounds by what Flink lets each vertex have.
    pub fn of(graph: &Graph) -> Limits {
        let bounds = graph.nodes.iter().map(|node| (1, node.max_parallelism)).collect();
        Limits { bounds, excluded: vec![false; graph.nodes.len()], slots: None, align: false }
    }

    /// What of `plan` may be asked: a plan of rescales alone; empty if nothing is left.
    pub fn apply(&self, graph: &Graph, before: &Configuration, plan: &Plan) -> Plan {
        let now = |vertex: usize| before.parallelism(OperatorId(vertex as u32));
        let mut wanted: BTreeMap<usize, u32> = BTreeMap::new();
        for (&operator, &instances) in &plan.rescales {
            let vertex = operator.0 as usize;
            let (Some(&(least, most)), Some(false)) = (self.bounds.get(vertex), self.excluded.get(vertex)) else { continue };
            let bounded = instances.clamp(least.max(1), most.max(least).max(1));
            let aligned =
                if self.align && graph.is_keyed(vertex) { aligned(bounded, graph.nodes[vertex].max_parallelism, most) } else { bounded };
            wanted.insert(vertex, aligned);
        }
        let bounded = wanted.clone();
        self.fit_slots(graph, &now, &mut wanted);
        // What the slots have cut is still to divide the key groups, and to be no fewer than the bounds say.
        for (&vertex, instances) in wanted.iter_mut().filter(|(vertex, instances)| **instances < bounded[*vertex]) {
            if self.align && graph.is_keyed(vertex) {
                *instances = aligned_down(*instances, graph.nodes[vertex].max_parallelism).max(now(vertex));
            }
        }
        wanted.retain(|vertex, instances| *instances >= self.bounds[*vertex].0);
        let rescales = wanted.into_iter().filter(|(vertex, instances)| *instances != now(*vertex));
        Plan { rescales: rescales.map(|(vertex, instances)| (OperatorId(vertex as u32), instances)).collect(), ..Plan::default() }
    }

    /// Takes instances from the vertex that has most, as long as all need more slots than there may be.
    fn fit_slots(&self, graph: &Graph, now: &dyn Fn(usize) -> u32, wanted: &mut BTreeMap<usize, u32>) {
        let Some(slots) = self.slots else { return };
        for (vertex, instances) in wanted.iter_mut() {
            *instances = (*instances).min(slots.max(now(*vertex)));
        }
        while graph.slots(|vertex| wanted.get(&vertex).copied().unwrap_or_else(|| now(vertex))) > slots {
            // Only what is to grow gives way: what runs already keeps its slots.
            let grows =
                wanted.iter().filter(|(vertex, instances)| **instances > now(**vertex)).map(|(vertex, instances)| (*vertex, *instances));
            let Some((vertex, instances)) = grows.reduce(|a, b| if b.1 > a.1 { b } else { a }) else { return };
            wanted.insert(vertex, instances - 1);
        }
    }
}

/// The next number of instances that divides the key groups, so that each has as many; the same if there is none within twice as many.
fn aligned(instances: u32, key_groups: u32, most: u32) -> u32 {
    let up_to = most.min(instances.saturating_mul(2)).min(key_groups);
    (instances..=up_to).find(|more| key_groups.is_multiple_of(*more)).unwrap_or(instances)
}

/// The greatest number of instances up to this one that divides the key groups.
fn aligned_down(instances: u32, key_groups: u32) -> u32 {
    (1..=instances).rev().find(|fewer| key_groups.is_multiple_of(*fewer)).unwrap_or(instances)
}

/// Vertices of which tasks have finished: Flink does not redistribute what is over.
pub type Finished = Arc<Mutex<BTreeSet<usize>>>;

/// A policy within limits.
pub struct Limited {
    policy: Box<dyn Policy>,
    graph: Graph,
    limits: Limits,
    finished: Finished,
}

impl Limited {
    /// `policy`, within `limits`; vertices in `finished` keep what they have as long as they are there.
    pub fn new(policy: Box<dyn Policy>, graph: Graph, limits: Limits, finished: Finished) -> Limited {
        Limited { policy, graph, limits, finished }
    }
}

impl Policy for Limited {
    fn needs(&self) -> Needs {
        self.policy.needs()
    }

    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        let (mut plan, reason) = match self.policy.decide(now, observation) {
            Decision::Hold(reason) => return Decision::Hold(reason),
            Decision::Rescale(plan, reason) => (plan, reason),
        };
        plan.rescales.retain(|operator, _| !self.finished.lock().expect("no policy panics").contains(&(operator.0 as usize)));
        let allowed = self.limits.apply(&self.graph, &observation.configuration, &plan);
        if !allowed.rescales.is_empty() {
            return Decision::Rescale(allowed, reason);
        }
        self.policy.refused("the bounds of vertices, slots or what Flink can do leave nothing of it");
        Decision::Hold(Reason { rule: "bounded".to_owned(), ..reason })
    }

    fn refused(&mut self, why: &str) {
        self.policy.refused(why);
    }

    fn set_goal(&mut self, goal_ms: f64) -> Result<(), String> {
        self.policy.set_goal(goal_ms)
    }

    fn overridden(&mut self) {
        self.policy.overridden();
    }

    fn migrated(&mut self, began: Timestamp, ended: Timestamp, bytes: u64) {
        self.policy.migrated(began, ended, bytes);
    }

    fn failed(&mut self) {
        self.policy.failed();
    }

    fn postponed(&mut self, plan: &Plan, until: Timestamp) {
        self.policy.postponed(plan, until);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flink::graph::Node;
    use crate::flink::job::{Hex, Ship};
    use crate::observation::Observer;

    fn graph() -> Graph {
        let node = |name: &str, group: &str, inputs: Vec<(usize, Ship)>| Node {
            id: Hex::read(&"0".repeat(32)).unwrap(),
            full_name: name.to_owned(),
            name: name.to_owned(),
            max_parallelism: 60,
            group: group.to_owned(),
            inputs,
        };
        let nodes =
            vec![node("source", "a", Vec::new()), node("map", "a", vec![(0, Ship::Any)]), node("count", "b", vec![(1, Ship::Hash)])];
        Graph { nodes }
    }

    fn asked(limits: &Limits, rescales: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let graph = graph();
        let topology = graph.topology(|_| 60).unwrap();
        let before = Configuration::ones(&topology).with(OperatorId(1), 2);
        let plan = Plan {
            rescales: rescales.iter().map(|(operator, instances)| (OperatorId(*operator), *instances)).collect(),
            ..Plan::default()
        };
        limits.apply(&graph, &before, &plan).rescales.into_iter().map(|(operator, instances)| (operator.0, instances)).collect()
    }

    /// A policy that says what it was told.
    struct Listens(Arc<Mutex<Vec<String>>>);

    impl Policy for Listens {
        fn name(&self) -> &'static str {
            "listens"
        }

        fn decide(&mut self, _: Timestamp, _: &Observation) -> Decision {
            unreachable!("it is not asked")
        }

        fn set_goal(&mut self, goal_ms: f64) -> Result<(), String> {
            self.0.lock().unwrap().push(format!("goal {goal_ms}"));
            if goal_ms < 0.0 { Err("out of range".to_owned()) } else { Ok(()) }
        }

        fn overridden(&mut self) {
            self.0.lock().unwrap().push("overridden".to_owned());
        }
    }

    #[test]
    fn what_a_person_asks_of_a_drive_reaches_its_policy() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let graph = graph();
        let limits = Limits::of(&graph);
        let mut limited = Limited::new(Box::new(Listens(Arc::clone(&heard))), graph, limits, Finished::default());
        assert_eq!((limited.set_goal(250.0), limited.set_goal(-1.0)), (Ok(()), Err("out of range".to_owned())));
        limited.overridden();
        assert_eq!(*heard.lock().unwrap(), ["goal 250", "goal -1", "overridden"]);
    }

    #[test]
    fn what_has_finished_is_left_out_of_a_plan_as_long_as_it_has() {
        struct Doubles;
        impl Policy for Doubles {
            fn name(&self) -> &'static str {
                "doubles"
            }

            fn decide(&mut self, _: Timestamp, observation: &Observation) -> Decision {
                let twice = |operator| (operator, 2 * observation.configuration.parallelism(operator));
                let rescales = [OperatorId(1), OperatorId(2)].map(twice).into_iter().collect();
                Decision::Rescale(Plan { rescales, ..Plan::default() }, Reason::new("doubles"))
            }
        }
        let (graph, finished) = (graph(), Finished::default());
        let topology = graph.topology(|_| 60).unwrap();
        let mut observer = Observer::new(topology.clone(), Timestamp::ZERO, Duration::from_secs(1));
        let (observation, _) = observer.close(&Configuration::ones(&topology), Duration::from_secs(1));
        let mut limited = Limited::new(Box::new(Doubles), graph.clone(), Limits::of(&graph), Arc::clone(&finished));
        let mut asked = |over: &[usize]| {
            *finished.lock().unwrap() = over.iter().copied().collect();
            match limited.decide(Timestamp::ZERO, &observation) {
                Decision::Rescale(plan, _) => plan.rescales.keys().map(|operator| operator.0).collect(),
                Decision::Hold(_) => Vec::new(),
            }
        };
        assert_eq!((asked(&[]), asked(&[1]), asked(&[1, 2]), asked(&[0])), (vec![1, 2], vec![2], vec![], vec![1, 2]));
    }

    #[test]
    fn what_is_asked_stays_within_bounds_slots_and_key_groups() {
        let none = Limits::of(&graph());
        assert_eq!(asked(&none, &[(1, 5), (2, 7)]), [(1, 5), (2, 7)]);
        assert_eq!(asked(&none, &[(1, 0), (2, u32::MAX), (9, 3)]), [(1, 1), (2, 60)], "and never below one");
        assert!(asked(&none, &[(1, 2)]).is_empty(), "what is so already");
        let excluded = Limits { excluded: vec![false, true, false], bounds: vec![(1, 60), (1, 60), (2, 3)], ..none.clone() };
        assert_eq!(asked(&excluded, &[(1, 5), (2, 7)]), [(2, 3)]);
        assert_eq!(asked(&excluded, &[(2, 1)]), [(2, 2)]);
        // Two groups: the larger of source and map, and count.
        assert_eq!(asked(&Limits { slots: Some(8), ..none.clone() }, &[(1, 5), (2, 7)]), [(1, 4), (2, 4)]);
        assert!(asked(&Limits { slots: Some(1), ..none.clone() }, &[(1, 5), (2, 7)]).is_empty(), "what runs keeps its slots");
        assert_eq!(asked(&Limits { slots: Some(9), ..none.clone() }, &[(2, u32::MAX)]), [(2, 7)]);
        let bounded = Limits { slots: Some(8), bounds: vec![(1, 60), (1, 60), (5, 60)], ..none.clone() };
        assert_eq!(asked(&bounded, &[(1, 5), (2, 7)]), [(1, 4)], "not below the lower bound: then it keeps what it has");
        let cut = Limits { align: true, slots: Some(10), ..none.clone() };
        assert_eq!(asked(&cut, &[(2, 30)]), [(2, 6)], "8 slots are left, and 8 does not divide 60");
        let aligned = Limits { align: true, ..none };
        assert_eq!(asked(&aligned, &[(1, 7), (2, 7)]), [(1, 7), (2, 10)], "only count has keys");
        assert_eq!(asked(&aligned, &[(2, 31)]), [(2, 60)]);
    }
}
