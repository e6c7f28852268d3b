//! The controller.

use super::{ControllerConfig, Event, EventKind};
use crate::activity::BinLoad;
use crate::dataflow::{Configuration, Plan, Topology};
use crate::id::OperatorId;
use crate::metrics::OperatorMetrics;
use crate::migration::{Assignment, Assignments, BinMeasure, Measures, Schedule, rebalance};
use crate::observation::Observation;
use crate::policy::{Decision, Policy, Reason};
use crate::time::Timestamp;

/// Decides when to ask a policy and carries its plans to the host.
pub struct Controller {
    topology: Topology,
    config: ControllerConfig,
    policy: Box<dyn Policy>,
    configuration: Configuration,
    assignments: Assignments,
    /// What holds once the running migration is complete.
    target: Option<(Configuration, Assignments)>,
    warm_up_left: u32,
    agreed: u32,
    events: Vec<Event>,
}

impl Controller {
    /// A controller of a job that runs in `configuration` with its bins dealt out evenly.
    pub fn new(topology: Topology, configuration: Configuration, config: ControllerConfig, policy: Box<dyn Policy>) -> Controller {
        let assignments = Assignment::initial(&topology, &configuration);
        let warm_up_left = config.warm_up_windows;
        Controller { topology, config, policy, configuration, assignments, target: None, warm_up_left, agreed: 0, events: Vec::new() }
    }

    /// The configuration that holds now; during a migration the one before it.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The assignments that hold now; during a migration those before it.
    pub fn assignments(&self) -> &Assignments {
        &self.assignments
    }

    /// Whether a migration is being carried out.
    pub fn is_migrating(&self) -> bool {
        self.target.is_some()
    }

    /// Everything the controller did so far, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Takes the observation of a window that saw one configuration throughout; gives the schedule to carry out, if any.
    ///
    /// Windows that close during a migration are ignored.
    pub fn window_closed(&mut self, observation: &Observation) -> Option<Schedule> {
        if self.is_migrating() {
            return None;
        }
        let at = observation.window.end;
        if self.warm_up_left > 0 {
            self.warm_up_left -= 1;
            self.events.push(Event { at, kind: EventKind::WarmingUp { left: self.warm_up_left } });
            return None;
        }
        match self.policy.decide(at, observation) {
            Decision::Hold(reason) => {
                self.agreed = 0;
                self.events.push(Event { at, kind: EventKind::Held { reason } });
                None
            }
            Decision::Rescale(plan, reason) => {
                self.agreed += 1;
                let left = self.config.activation_windows.saturating_sub(self.agreed);
                if left > 0 {
                    self.events.push(Event { at, kind: EventKind::Activating { plan, reason, left } });
                    return None;
                }
                self.agreed = 0;
                self.begin(at, plan, reason, &observation.operators)
            }
        }
    }

    /// Begins to carry out `plan`, or refuses it with its reason in the log; a plan is taken whole or not at all.
    fn begin(&mut self, at: Timestamp, plan: Plan, reason: Reason, operators: &[OperatorMetrics]) -> Option<Schedule> {
        let after = match plan.apply(&self.topology, &self.configuration) {
            Ok(after) => after,
            Err(error) => {
                let why = error.to_string();
                self.policy.refused(&why);
                self.events.push(Event { at, kind: EventKind::Refused { plan, why } });
                return None;
            }
        };
        let measures = measures(operators);
        let assignments = self.assign(&plan, &after, &measures);
        let before = (&self.configuration, &self.assignments);
        let schedule = self.config.strategy.schedule(&self.topology, before, (&after, &assignments), &measures);
        let kind = EventKind::Rescaling {
            plan,
            reason,
            before: self.configuration.clone(),
            after: after.clone(),
            bins: schedule.moves(),
            steps: schedule.steps.len(),
        };
        self.events.push(Event { at, kind });
        self.target = Some((after, assignments));
        Some(schedule)
    }

    /// New owners for the bins of every operator that the plan touches, balanced by the load measured in the window.
    fn assign(&self, plan: &Plan, after: &Configuration, measures: &Measures) -> Assignments {
        let touched = |operator: OperatorId| plan.rescales.contains_key(&operator) || plan.rebalances.contains(&operator);
        let assign = |(&operator, current): (&OperatorId, &Assignment)| {
            if !touched(operator) {
                return (operator, current.clone());
            }
            let loads = measures.loads(operator, current.owners().len());
            (operator, rebalance(current, &loads, after.parallelism(operator)))
        };
        self.assignments.iter().map(assign).collect()
    }

    /// Told that the running migration is complete.
    ///
    /// # Panics
    /// If there is none.
    pub fn migrated(&mut self, at: Timestamp) {
        let (configuration, assignments) = self.target.take().expect("a migration is being carried out");
        self.configuration = configuration;
        self.assignments = assignments;
        self.warm_up_left = self.config.warm_up_windows;
        self.events.push(Event { at, kind: EventKind::Migrated { configuration: self.configuration.clone() } });
    }
}

/// What the window tells of bins: arrivals are their load, keys their size.
fn measures(operators: &[OperatorMetrics]) -> Measures {
    Measures::of(operators.iter().flat_map(|metrics| {
        let measure = |load: &BinLoad| (metrics.operator, load.bin, BinMeasure { load: load.arrivals as f64, size: load.keys as f64 });
        metrics.bins.iter().map(measure)
    }))
}
