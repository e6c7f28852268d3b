//! What a person asked of the controller, in sentences.

use serde::Serialize;

use crate::controller::{Command, Request};
use crate::id::OperatorId;
use crate::report::table::seconds;

/// A request of a person other than for a plan, which has a section of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// Its number, from 1, among all decisions.
    pub decision: usize,
    /// When, in seconds of the run.
    pub at_s: f64,
    /// Who.
    pub who: String,
    /// What, in a few words.
    pub what: String,
    /// Name of the operator it is about, or empty.
    pub operator: String,
    /// What follows from it, in a sentence.
    pub effect: String,
    /// Why it was refused, if it was.
    pub refused: Option<String>,
}

impl Asked {
    /// The section on a request; none for a plan.
    pub(super) fn of(
        decision: usize,
        at_s: f64,
        request: &Request,
        refused: Option<&String>,
        name: impl Fn(OperatorId) -> String,
    ) -> Option<Asked> {
        let (what, operator, effect) = match &request.command {
            Command::Pause => (
                "controller paused".to_owned(),
                String::new(),
                "No plan of the policy is started until the controller is resumed; what it asks for is logged.".to_owned(),
            ),
            Command::Resume => ("controller resumed".to_owned(), String::new(), "Plans of the policy are started again.".to_owned()),
            Command::Hold { operator } => (
                format!("{} held", name(*operator)),
                name(*operator),
                format!("Plans of the policy leave {} as it is until it is released.", name(*operator)),
            ),
            Command::Release { operator } => (
                format!("{} released", name(*operator)),
                name(*operator),
                format!("Plans of the policy may change {} again.", name(*operator)),
            ),
            Command::Goal { goal_ms } if *goal_ms > 0.0 => (
                format!("latency goal {goal_ms} ms"),
                String::new(),
                format!("From the next window on the policy decides for a 99th percentile of latency of at most {goal_ms} ms."),
            ),
            Command::Goal { .. } => {
                ("no latency goal".to_owned(), String::new(), "From the next window on the policy decides for throughput alone.".to_owned())
            }
            Command::Apply { .. } if refused.is_some() => ("plan by hand".to_owned(), String::new(), String::new()),
            Command::Apply { .. } => return None,
        };
        Some(Asked { decision, at_s, who: request.who.clone(), what, operator, effect, refused: refused.cloned() })
    }

    /// Its heading and its sentences.
    pub(super) fn parts(&self) -> (String, Vec<(String, String)>) {
        let action = match &self.refused {
            Some(why) => format!("None: it was refused, {why}."),
            None => self.effect.clone(),
        };
        let parts = vec![("Why".to_owned(), format!("Asked for by {}.", self.who)), ("Action".to_owned(), action)];
        (format!("{}. At {}: {}", self.decision, seconds(self.at_s), self.what), parts)
    }
}
