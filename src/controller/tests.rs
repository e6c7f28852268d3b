//! What the controller rejects, and its state after an interrupted migration.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::*;
use crate::dataflow::{Configuration, Plan, Role, Topology};
use crate::id::{BinId, OperatorId, WorkerId};
use crate::metrics::OperatorMetrics;
use crate::migration::{Schedule, Strategy};
use crate::observation::{LatencySummary, Observation};
use crate::policy::{Decision, Hold, Policy, Reason};
use crate::time::{Timestamp, Window};

const MAP: OperatorId = OperatorId(1);
const COUNT: OperatorId = OperatorId(2);

fn controller(strategy: Strategy) -> Controller {
    controlled_by(Box::new(Hold), strategy)
}

fn controlled_by(policy: Box<dyn Policy>, strategy: Strategy) -> Controller {
    let operators = [("source", Role::Source, 1), ("map", Role::Stateless, 8), ("count", Role::Keyed { bins: 16 }, 8)];
    let topology = Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap();
    let configuration = Configuration::ones(&topology).with(MAP, 2).with(COUNT, 2);
    let config = ControllerConfig { policy_interval: Duration::from_secs(1), warm_up_windows: 0, activation_windows: 1, strategy };
    Controller::new(topology, configuration, config, policy)
}

/// All that a refused plan must leave as it was.
fn state(controller: &Controller) -> (String, Vec<u32>, bool) {
    let owners = controller.assignments()[&COUNT].owners().to_vec();
    (controller.configuration().to_string(), owners, controller.is_migrating())
}

fn refused(controller: &mut Controller, plan: Plan) -> String {
    let (before, events) = (state(controller), controller.events().len());
    let error = controller.request(Timestamp(7), plan.clone()).unwrap_err().to_string();
    assert_eq!(state(controller), before);
    assert_eq!(controller.events()[events..], [Event { at: Timestamp(7), kind: EventKind::Refused { plan, why: error.clone() } }]);
    error
}

#[test]
fn invalid_plans_change_nothing() {
    let mut controller = controller(Strategy::Fluid);
    assert_eq!(refused(&mut controller, Plan::rescale(COUNT, 9)), "'count' cannot have 9 instances: expected 1 to 8");
    assert_eq!(refused(&mut controller, Plan::rescale(COUNT, 2)), "the plan changes nothing");
    let schedule = controller.request(Timestamp(1), Plan::rescale(COUNT, 4)).unwrap();
    assert_eq!(schedule.moves(), 8);
    controller.migrated(Timestamp(9));
    assert_eq!(controller.configuration().to_string(), "1/2/4");
    controller.request(Timestamp(10), Plan::rescale(MAP, 4)).unwrap();
}

#[test]
fn a_plan_that_spreads_bins_that_are_spread_moves_none() {
    let mut controller = controller(Strategy::AllAtOnce);
    let plan = Plan { rebalances: BTreeSet::from([COUNT]), ..Plan::default() };
    let schedule: Schedule = controller.request(Timestamp(1), plan).unwrap();
    assert_eq!((schedule.steps.len(), schedule.moves()), (1, 0));
    controller.migrated(Timestamp(2));
    assert_eq!(controller.configuration().to_string(), "1/2/2");
}

#[test]
fn an_instance_moves_with_its_bins_and_is_where_the_steps_that_were_taken_put_it() {
    let mut controller = controller(Strategy::Fluid);
    let topology = controller.topology.clone();
    controller.configuration = controller.configuration.clone().spread_over(&topology, 2);
    let places = |controller: &Controller, operator| {
        controller.configuration().placement().unwrap().of(operator).iter().map(|worker| worker.0).collect::<Vec<_>>()
    };
    assert_eq!((places(&controller, MAP), places(&controller, COUNT)), (vec![1, 0], vec![1, 0]));
    let on =
        |workers: &[u32]| Plan { placement: BTreeMap::from([(COUNT, workers.iter().copied().map(WorkerId).collect())]), ..Plan::default() };
    assert_eq!(refused(&mut controller, on(&[1, 0])), "the plan changes nothing");
    let schedule = controller.request(Timestamp(1), on(&[1, 1])).unwrap();
    assert_eq!((schedule.steps.len(), schedule.moves()), (8, 8), "the bins of instance 1");
    controller.migrated(Timestamp(2));
    assert_eq!(places(&controller, COUNT), [1, 1]);
    // Interrupted before its first step nothing is anywhere else, after it the instance is.
    controller.request(Timestamp(3), on(&[1, 0])).unwrap();
    controller.interrupted(Timestamp(4), &[]);
    assert_eq!(places(&controller, COUNT), [1, 1]);
    let schedule = controller.request(Timestamp(5), on(&[1, 0])).unwrap();
    controller.interrupted(Timestamp(6), &schedule.steps[..1]);
    assert_eq!(places(&controller, COUNT), [1, 0]);
    // New instances go where the fewest are.
    controller.request(Timestamp(7), Plan::rescale(MAP, 3)).unwrap();
    controller.migrated(Timestamp(8));
    assert_eq!((places(&controller, MAP), places(&controller, COUNT)), (vec![1, 0, 1], vec![1, 0]));
}

/// Asks for one more instance of the stateless operator every time, and counts its calls.
struct More(std::sync::Arc<std::sync::Mutex<Vec<&'static str>>>);

impl Policy for More {
    fn name(&self) -> &'static str {
        "more"
    }

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        Decision::Rescale(Plan::rescale(MAP, observation.configuration.parallelism(MAP) + 1), Reason::new("more"))
    }

    fn failed(&mut self) {
        self.0.lock().unwrap().push("failed");
    }

    fn postponed(&mut self, _plan: &Plan, _until: Timestamp) {
        self.0.lock().unwrap().push("postponed");
    }
}

#[test]
fn after_a_plan_that_failed_none_is_begun_for_a_while_but_the_policy_is_asked() {
    let told: std::sync::Arc<std::sync::Mutex<Vec<&'static str>>> = std::sync::Arc::default();
    let mut controller = controlled_by(Box::new(More(std::sync::Arc::clone(&told))), Strategy::Fluid);
    let second = |second: u64| Timestamp(second * 1_000_000_000);
    let window = |controller: &mut Controller, end: u64| {
        let metrics = |operator| OperatorMetrics { operator: OperatorId(operator), instances: Vec::new(), bins: Vec::new() };
        let observation = Observation {
            window: Window::starting(second(end - 1), Duration::from_secs(1)),
            configuration: controller.configuration().clone(),
            sources: Vec::new(),
            operators: (0..3).map(metrics).collect(),
            latency: LatencySummary::default(),
            doubts: Vec::new(),
            workers: Vec::new(),
            paths: None,
        };
        controller.window_closed(&observation).is_some()
    };
    assert!(window(&mut controller, 1));
    controller.failed(second(1), &[]);
    let begun: Vec<u64> = (2..40)
        .filter(|&end| {
            let begins = window(&mut controller, end);
            if begins {
                controller.failed(second(end), &[]);
            }
            begins
        })
        .collect();
    assert_eq!(begun, [3, 7, 15, 31], "every failure doubles the wait");
    let said = told.lock().unwrap().iter().filter(|what| **what == "failed").count();
    assert_eq!((said, told.lock().unwrap().len()), (5, 5 + 34));
    let until = controller.events().iter().rev().find_map(|event| match event.kind {
        EventKind::Postponed { until, .. } => Some(until),
        _ => None,
    });
    assert_eq!(until, Some(second(63)));
    // What is asked for from outside is not put off, and a success ends the waiting.
    controller.request(second(40), Plan::rescale(COUNT, 3)).unwrap();
    controller.migrated(second(41));
    assert!(window(&mut controller, 42));
}

proptest! {
    /// After each number of complete steps, bins are where these steps left them, and no instance
    /// outside the configuration owns one.
    #[test]
    fn what_is_said_after_an_interruption_is_true(
        strategy in prop::sample::select(&Strategy::FIXED), map in 1u32..9, count in 1u32..9, part in 0.0f64..1.0
    ) {
        let mut controller = controller(strategy);
        let before = controller.assignments()[&COUNT].clone();
        let Ok(schedule) = controller.request(Timestamp(1), Plan::rescale(MAP, map).and(COUNT, count)) else { return Ok(()) };
        let complete = &schedule.steps[..(schedule.steps.len() as f64 * part) as usize];
        controller.interrupted(Timestamp(2), complete);
        let mut owners = before.owners().to_vec();
        complete.iter().flat_map(|step| &step.moves).for_each(|one| owners[one.bin.0 as usize] = one.to);
        prop_assert_eq!(controller.assignments()[&COUNT].owners(), &owners);
        let configuration = controller.configuration().clone();
        assert!((0..16).all(|bin| controller.assignments()[&COUNT].owner(BinId(bin)) < configuration.parallelism(COUNT)));
        prop_assert_eq!(configuration.parallelism(MAP), if complete.is_empty() { 2 } else { map });
        let moved = complete.iter().map(|step| step.moves.len()).sum();
        let kind = EventKind::Interrupted { moved, of: schedule.moves(), configuration };
        prop_assert_eq!(controller.events().last().unwrap(), &Event { at: Timestamp(2), kind });
        assert!(!controller.is_migrating());
    }
}
