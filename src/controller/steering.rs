//! Steering: requests of a person enter the controller.
//!
//! A request is a value that enters at a time and is written to the decision log with who made it, before anything that follows
//! from it. So the same windows and the same requests at the same times give the same log.

use super::control::Controller;
use super::event::{Event, EventKind};
use super::request::{BY_HAND, Command, Request};
use crate::migration::Schedule;
use crate::policy::Reason;
use crate::time::Timestamp;

impl Controller {
    /// Takes a request made at `at`, which is not before the last window that closed; returns the schedule to execute, if any.
    pub fn steer(&mut self, at: Timestamp, request: &Request) -> Option<Schedule> {
        let refused = match &request.command {
            Command::Hold { operator } | Command::Release { operator } => {
                let scalable = self.topology.scalable().any(|known| known.id == *operator);
                (!scalable).then(|| format!("{operator} is no operator that can be rescaled"))
            }
            Command::Goal { goal_ms } => self.policy.set_goal(*goal_ms).err(),
            Command::Apply { .. } if self.is_migrating() => Some("another plan is being carried out".to_owned()),
            Command::Apply { .. } | Command::Pause | Command::Resume => None,
        };
        let is_accepted = refused.is_none();
        self.events.push(Event { at, kind: EventKind::Steered { request: request.clone(), refused } });
        if !is_accepted {
            return None;
        }
        self.steered.take(request);
        let Command::Apply { plan } = &request.command else { return None };
        self.agreed = 0;
        let schedule = self.begin(at, plan.clone(), Reason::new(BY_HAND).saying(request.who.clone())).ok()?;
        self.policy.overridden();
        Some(schedule)
    }
}
