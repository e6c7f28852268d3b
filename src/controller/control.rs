//! The controller: consults the policy and passes its plans to the host.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backoff::Backoff;
use super::routing::Routing;
use super::{ControllerConfig, Event, EventKind, Steered};
use crate::activity::BinLoad;
use crate::dataflow::{Configuration, Plan, PlanError, Topology};
use crate::id::{BinId, OperatorId};
use crate::metrics::{MetricIssue, OperatorMetrics};
use crate::migration::{
    Assignment, Assignments, BinMeasure, BinMove, Choice, Goal, HotBin, Measures, Schedule, Step, rebalance_by_speed, split_hot,
};
use crate::observation::Observation;
use crate::policy::{Decision, Policy, Reason};
use crate::time::Timestamp;

/// Decides when to consult a policy, and passes its plans to the host.
pub struct Controller {
    pub(super) topology: Topology,
    config: ControllerConfig,
    pub(super) policy: Box<dyn Policy>,
    pub(super) steered: Steered,
    pub(super) configuration: Configuration,
    assignments: Assignments,
    routing: Routing,
    /// The configuration and assignments once the migration in progress is complete.
    target: Option<Target>,
    /// Loads of bins in the last window, by operator; what they amount to is worked out once a plan
    /// needs it.
    loads: Vec<(OperatorId, Vec<BinLoad>)>,
    warm_up_left: u32,
    pub(super) agreed: u32,
    backoff: Backoff,
    pub(super) events: Vec<Event>,
    /// How often it is logged that nothing changes, where not every time.
    holds_every: Option<Duration>,
}

/// The target of a migration.
struct Target {
    configuration: Configuration,
    /// The assignments before the moves, after the plan's splits.
    divided: Assignments,
    assignments: Assignments,
    routing: Routing,
    /// Number of bins that migrate.
    bins: usize,
    /// When the migration started.
    began: Timestamp,
    /// State that migrates, in bytes; 0 if the host does not report sizes.
    bytes: u64,
}

impl Controller {
    /// A controller of a job that runs in `configuration` with its bins evenly distributed.
    pub fn new(topology: Topology, configuration: Configuration, config: ControllerConfig, policy: Box<dyn Policy>) -> Controller {
        let assignments = Assignment::initial(&topology, &configuration);
        let warm_up_left = config.warm_up_windows;
        let backoff = Backoff::new(config.policy_interval);
        Controller {
            topology,
            config,
            policy,
            steered: Steered::default(),
            configuration,
            assignments,
            routing: Routing::default(),
            target: None,
            loads: Vec::new(),
            warm_up_left,
            agreed: 0,
            backoff,
            events: Vec::new(),
            holds_every: None,
        }
    }

    /// The same, which logs holds by the same rule one after the other once in each period of
    /// `every`: for runs of many more windows than anybody reads of.
    pub fn logging_holds_every(self, every: Duration) -> Controller {
        Controller { holds_every: Some(every), ..self }
    }

    /// The current configuration; during a migration the one before it.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The current assignments; during a migration those before it.
    pub fn assignments(&self) -> &Assignments {
        &self.assignments
    }

    /// Whether a migration is in progress.
    pub fn is_migrating(&self) -> bool {
        self.target.is_some()
    }

    /// All events so far, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// All events, for who needs nothing else of it any more.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Called when a window with a constant configuration closes; returns the schedule to execute,
    /// if any.
    ///
    /// Windows that close during a migration are ignored. Unreliable ones are only logged.
    pub fn window_closed(&mut self, observation: &Observation) -> Option<Schedule> {
        if self.is_migrating() {
            return None;
        }
        let at = observation.window.end;
        if observation.doubts.iter().any(MetricIssue::forbids) {
            self.agreed = 0;
            self.events.push(Event { at, kind: EventKind::Doubted { doubts: observation.doubts.clone() } });
            return None;
        }
        self.keep_loads(&observation.operators);
        if self.warm_up_left > 0 {
            self.warm_up_left -= 1;
            self.events.push(Event { at, kind: EventKind::WarmingUp { left: self.warm_up_left } });
            return None;
        }
        match self.policy.decide(at, observation) {
            Decision::Hold(reason) => {
                self.agreed = 0;
                if !self.is_logged(at, &reason) {
                    self.events.push(Event { at, kind: EventKind::Held { reason } });
                }
                None
            }
            Decision::Rescale(plan, reason) => {
                let plan = self.permitted(at, plan, &reason)?;
                self.agreed += 1;
                let left = self.config.activation_windows.saturating_sub(self.agreed);
                if left > 0 {
                    self.events.push(Event { at, kind: EventKind::Activating { plan, reason, left } });
                    return None;
                }
                if let Some(until) = self.backoff.until(at) {
                    self.policy.postponed(&plan, until);
                    self.events.push(Event { at, kind: EventKind::Postponed { plan, reason, until } });
                    return None;
                }
                self.agreed = 0;
                match self.begin(at, plan, reason) {
                    Ok(schedule) => Some(schedule),
                    Err(error) => {
                        self.policy.refused(&error.to_string());
                        None
                    }
                }
            }
        }
    }

    /// Keeps the loads of bins of a window.
    fn keep_loads(&mut self, operators: &[OperatorMetrics]) {
        self.loads.resize_with(operators.len(), Default::default);
        for ((operator, loads), metrics) in self.loads.iter_mut().zip(operators) {
            *operator = metrics.operator;
            loads.clone_from(&metrics.bins);
        }
    }

    /// Whether the last event says in the same period what a hold at `at` would, and that is enough.
    fn is_logged(&self, at: Timestamp, reason: &Reason) -> bool {
        let (Some(every), Some(Event { at: last, kind: EventKind::Held { reason: before } })) = (self.holds_every, self.events.last())
        else {
            return false;
        };
        let period = |at: Timestamp| u128::from(at.0) / every.as_nanos().max(1);
        let found = |reason: &Reason| reason.findings.iter().map(|finding| (finding.operator.clone(), finding.cause)).collect::<Vec<_>>();
        period(*last) == period(at)
            && (&before.rule, &before.operator) == (&reason.rule, &reason.operator)
            && found(before) == found(reason)
    }

    /// What of a plan of the policy is to be carried out, after logging what a person withholds.
    fn permitted(&mut self, at: Timestamp, plan: Plan, reason: &Reason) -> Option<Plan> {
        let (plan, withheld) = self.steered.divide(plan, &self.topology);
        let Some((kept_back, why)) = withheld else { return Some(plan) };
        self.events.push(Event { at, kind: EventKind::Withheld { plan: kept_back, reason: reason.clone(), why: why.clone() } });
        if plan.apply(&self.topology, &self.configuration).is_ok() {
            return Some(plan);
        }
        self.agreed = 0;
        self.policy.refused(&why);
        None
    }

    /// Starts a plan from a test as if a policy had asked for it, without warm-up and activation.
    #[cfg(test)]
    pub(super) fn request(&mut self, at: Timestamp, plan: Plan) -> Result<Schedule, PlanError> {
        let schedule = self.begin(at, plan, Reason::new("requested"))?;
        self.agreed = 0;
        Ok(schedule)
    }

    /// Starts `plan`, or rejects it with its reason in the log; a plan is accepted as a whole or
    /// not at all.
    pub(super) fn begin(&mut self, at: Timestamp, plan: Plan, reason: Reason) -> Result<Schedule, PlanError> {
        assert!(!self.is_migrating(), "no policy is consulted during a migration");
        let after = match plan.apply(&self.topology, &self.configuration) {
            Ok(after) => after,
            Err(error) => {
                self.events.push(Event { at, kind: EventKind::Refused { plan, why: error.to_string() } });
                return Err(error);
            }
        };
        let (measured, sizes_in_bytes) = measures(&self.loads);
        let (divided, measures, splits) = self.split(at, &plan, &after, measured);
        let assignments = assign(&divided, &measures, &plan, &after);
        let before = (&self.configuration, &divided);
        let mut schedule = self.config.strategy.schedule(&self.topology, before, (&after, &assignments), &measures);
        let routing = self.routing.after(&plan, &self.topology, &after);
        self.routing.change_to(&routing, &after, &mut schedule.steps[0]);
        if !splits.is_empty() {
            schedule.steps.insert(0, Step { splits, ..Step::default() });
            schedule.sizes.insert(0, 0.0);
        }
        let bytes = if sizes_in_bytes { schedule.sizes.iter().sum::<f64>() as u64 } else { 0 };
        let kind = EventKind::Rescaling {
            plan,
            reason,
            before: self.configuration.clone(),
            after: after.clone(),
            bins: schedule.moves(),
            bytes,
            steps: schedule.steps.len(),
            divided: self.routing.changes(&routing),
        };
        self.events.push(Event { at, kind });
        self.target = Some(Target { configuration: after, divided, assignments, routing, bins: schedule.moves(), began: at, bytes });
        Ok(schedule)
    }

    /// The current bins after splitting those that would exceed an instance's fair share after the
    /// plan, the estimated measurements of the parts, and the bins to split. A bin that is hot
    /// because of a single key is not split but reported.
    fn split(
        &mut self,
        at: Timestamp,
        plan: &Plan,
        after: &Configuration,
        mut measures: Measures,
    ) -> (Assignments, Measures, Vec<(OperatorId, BinId)>) {
        let (mut assignments, mut splits) = (self.assignments.clone(), Vec::new());
        for (&operator, assignment) in assignments.iter_mut().filter(|(operator, _)| touches(plan, **operator)) {
            let (split, single) = split_hot(operator, assignment, &mut measures, after.parallelism(operator));
            let hot = |hot: HotBin| Event { at, kind: EventKind::HotKey { operator, bin: hot.bin, share: hot.share } };
            self.events.extend(single.into_iter().map(hot));
            if !split.is_empty() {
                let bins = split.iter().map(|(_, bin)| *bin).collect();
                self.events.push(Event { at, kind: EventKind::Splitting { operator, bins } });
            }
            splits.extend(split);
        }
        (assignments, measures, splits)
    }

    /// Called when the migration in progress is complete.
    ///
    /// # Panics
    /// If no migration is in progress.
    pub fn migrated(&mut self, at: Timestamp) {
        let target = self.target.take().expect("a migration is being carried out");
        self.policy.migrated(target.began, at, target.bytes);
        (self.configuration, self.assignments, self.routing) = (target.configuration, target.assignments, target.routing);
        self.warm_up_left = self.config.warm_up_windows;
        self.backoff.succeeded();
        self.events.push(Event { at, kind: EventKind::Migrated { configuration: self.configuration.clone() } });
    }

    /// Reports how the steps of a migration with a latency goal were chosen.
    pub fn paced(&mut self, at: Timestamp, goal: Goal, choices: &[Choice]) {
        let beyond_goal = choices.iter().filter(|choice| choice.predicted > goal.latency()).count();
        let kind = EventKind::Paced { goal_ms: goal.latency().as_secs_f64() * 1e3, steps: choices.len(), beyond_goal };
        self.events.push(Event { at, kind });
    }

    /// Called when the host has abandoned the migration in progress; `complete` are the steps that
    /// were executed. The state is as after an [interruption](Controller::interrupted); the policy
    /// learns that its plan has failed, and no other is started for a while.
    ///
    /// # Panics
    /// If there is no migration, or the steps are not part of it.
    pub fn failed(&mut self, at: Timestamp, complete: &[Step]) {
        self.interrupted(at, complete);
        let (failures, until) = self.backoff.failed(at);
        self.policy.failed();
        self.events.push(Event { at, kind: EventKind::BackingOff { failures, until } });
    }

    /// Called when a plan is not carried out although it could be, because the host only advises: the
    /// policy learns that nothing has changed, and may ask again at once.
    ///
    /// # Panics
    /// If no migration is in progress.
    pub fn declined(&mut self, at: Timestamp, why: &str) {
        self.target.take().expect("a migration is being carried out");
        self.policy.refused(why);
        let asked = self.events.iter().rev().find_map(|event| match &event.kind {
            EventKind::Rescaling { plan, .. } => Some(plan.clone()),
            _ => None,
        });
        self.events.push(Event { at, kind: EventKind::Refused { plan: asked.unwrap_or_default(), why: why.to_owned() } });
    }

    /// Called when the host finds the job in another configuration than the controller has brought it
    /// to, because somebody else has changed it. Bins are evenly distributed.
    ///
    /// # Panics
    /// If a migration is in progress, or the configuration is of another job.
    pub fn found(&mut self, at: Timestamp, configuration: Configuration) {
        assert!(!self.is_migrating(), "a plan in progress is completed or abandoned first");
        self.assignments = Assignment::initial(&self.topology, &configuration);
        (self.configuration, self.routing) = (configuration, Routing::default());
        (self.warm_up_left, self.agreed) = (self.config.warm_up_windows, 0);
        self.policy.migrated(at, at, 0);
        self.events.push(Event { at, kind: EventKind::Migrated { configuration: self.configuration.clone() } });
    }

    /// Called when the input ended, or the host abandoned the migration, before it was complete;
    /// `complete` are the steps that were executed. The others have changed nothing, so the new
    /// state is what these steps made of the previous one.
    ///
    /// # Panics
    /// If there is no migration, or the steps are not part of it.
    pub fn interrupted(&mut self, at: Timestamp, complete: &[Step]) {
        let target = self.target.take().expect("a migration is being carried out");
        let moves: Vec<BinMove> = complete.iter().flat_map(|step| step.moves.iter().copied()).collect();
        // Only the state that did migrate took that long.
        let bytes = target.bytes as f64 * moves.len() as f64 / target.bins.max(1) as f64;
        self.policy.migrated(target.began, at, bytes as u64);
        if complete.iter().any(|step| !step.splits.is_empty()) {
            self.assignments = target.divided;
        }
        // Where instances are is said by the first step that names their operator.
        let placed: BTreeSet<OperatorId> = complete.iter().flat_map(|step| step.placement.keys().copied()).collect();
        let rescaled: BTreeMap<OperatorId, u32> = complete.iter().flat_map(|step| step.parallelism.clone()).collect();
        self.routing.take_over(&target.routing, rescaled.keys().copied());
        for (&operator, assignment) in &mut self.assignments {
            *assignment = assignment.after(moves.iter().filter(|one| one.operator == operator));
        }
        for (operator, wanted) in target.configuration.iter() {
            let had = self.configuration.parallelism(operator);
            let has = match self.assignments.get(&operator) {
                Some(assignment) if *assignment == target.assignments[&operator] => wanted,
                Some(assignment) => assignment.instances().clamp(had.min(wanted), had.max(wanted)),
                None => rescaled.get(&operator).copied().unwrap_or(had),
            };
            self.configuration = std::mem::take(&mut self.configuration).with(operator, has);
        }
        self.configuration = placed_as(&self.configuration, &target.configuration, &placed);
        self.warm_up_left = self.config.warm_up_windows;
        let kind = EventKind::Interrupted { moved: moves.len(), of: target.bins, configuration: self.configuration.clone() };
        self.events.push(Event { at, kind });
    }
}

/// `configuration`, with the instances of `operators` where they are in `target`.
fn placed_as(configuration: &Configuration, target: &Configuration, operators: &BTreeSet<OperatorId>) -> Configuration {
    let (Some(mut placement), Some(wanted)) = (configuration.placement().cloned(), target.placement()) else {
        return configuration.clone();
    };
    for &operator in operators {
        let mut places = wanted.of(operator).to_vec();
        places.truncate(configuration.parallelism(operator) as usize);
        placement.put(operator, places);
        placement.resize(operator, configuration.parallelism(operator));
    }
    configuration.clone().placed(placement)
}

/// Whether bins of `operator` may migrate.
fn touches(plan: &Plan, operator: OperatorId) -> bool {
    plan.rescales.contains_key(&operator) || plan.rebalances.contains(&operator)
}

/// New owners for the bins of every operator in the plan, balanced by the load measured in the
/// window and the plan's speeds.
fn assign(before: &Assignments, measures: &Measures, plan: &Plan, after: &Configuration) -> Assignments {
    let assign = |(&operator, current): (&OperatorId, &Assignment)| {
        if !touches(plan, operator) {
            return (operator, current.clone());
        }
        let loads = measures.loads(operator, current.owners().len());
        (operator, rebalance_by_speed(current, &loads, &plan.speeds_of(operator, after.parallelism(operator))))
    };
    before.iter().map(assign).collect()
}

/// Measurements of bins in the window: arrivals are their load; their size is in bytes, or in keys
/// if the host does not report sizes. Also returns whether it is in bytes.
fn measures(loads: &[(OperatorId, Vec<BinLoad>)]) -> (Measures, bool) {
    let bins = || loads.iter().flat_map(|(operator, loads)| loads.iter().map(|load| (*operator, load)));
    let in_bytes = bins().any(|(_, load)| load.bytes > 0);
    let size = |load: &BinLoad| if in_bytes { load.bytes as f64 } else { load.keys as f64 };
    let measure = |(operator, load): (OperatorId, &BinLoad)| {
        (operator, load.bin, BinMeasure { load: load.arrivals as f64, size: size(load), keys: load.keys })
    };
    (Measures::of(bins().map(measure)), in_bytes)
}
