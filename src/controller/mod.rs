//! The loop: observations in, schedules out, and a log of every decision with its reason.
//!
//! The controller is told what happens ([`Controller::window_closed`], [`Controller::migrated`], [`Controller::interrupted`]) and
//! answers with what the host is to do. It calls the policy only on windows that saw one configuration from start to end, counts
//! warm-up and activation, validates plans, and turns them into schedules. One plan is carried out at a time; whatever is refused changes nothing. After a plan that the host gave up
//! ([`Controller::failed`]) the policy is still asked, but for a while nothing that it wants is begun. It reads no clock.

mod backoff;
mod config;
mod control;
mod event;
mod routing;
#[cfg(test)]
mod tests;

pub use config::ControllerConfig;
pub use control::Controller;
pub use event::{Event, EventKind};
