//! Policies that are asked what they would do with each window of a job, and not followed.

use std::sync::{Arc, Mutex};

use crate::dataflow::Configuration;
use crate::observation::Observation;
use crate::policy::{Decision, Finding, Needs, Policy, Reason};
use crate::time::Timestamp;

/// A window, and the configuration that each policy would have after it.
#[derive(Clone, Debug)]
pub struct Answers {
    /// What all of them saw.
    pub observation: Observation,
    /// By policy, in the order in which they are asked.
    pub answers: Vec<Answer>,
}

/// What a policy answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The configuration that it would have.
    pub wanted: Configuration,
    /// What it finds wrong.
    pub findings: Vec<Finding>,
}

/// What was answered so far, in order of time.
#[derive(Clone, Debug, Default)]
pub struct Answered(Arc<Mutex<Vec<Answers>>>);

impl Answered {
    /// All of it.
    pub fn all(&self) -> Vec<Answers> {
        self.0.lock().expect("no policy panics").clone()
    }
}

/// A policy that asks others, and never acts.
pub struct Asks {
    policies: Vec<Box<dyn Policy>>,
    answered: Answered,
}

impl Asks {
    /// Asks `policies`, and writes down in `answered` what they answer.
    pub fn new(policies: Vec<Box<dyn Policy>>, answered: Answered) -> Asks {
        Asks { policies, answered }
    }
}

impl Policy for Asks {
    fn needs(&self) -> Needs {
        let need_paths = self.policies.iter().any(|policy| policy.needs() == Needs::Paths);
        if need_paths { Needs::Paths } else { Needs::Metrics }
    }

    fn name(&self) -> &'static str {
        "hold"
    }

    fn decide(&mut self, now: Timestamp, observation: &Observation) -> Decision {
        let before = || observation.configuration.clone();
        let answer = |policy: &mut Box<dyn Policy>| match policy.decide(now, observation) {
            Decision::Hold(reason) => Answer { wanted: before(), findings: reason.findings },
            Decision::Rescale(plan, reason) => {
                policy.refused("it is only asked");
                let wanted = plan.rescales.iter().fold(before(), |all, (operator, instances)| all.with(*operator, *instances));
                Answer { wanted, findings: reason.findings }
            }
        };
        let answers = self.policies.iter_mut().map(answer).collect();
        self.answered.0.lock().expect("no policy panics").push(Answers { observation: observation.clone(), answers });
        Decision::Hold(Reason::new("hold"))
    }
}
