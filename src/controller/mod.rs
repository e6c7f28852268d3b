//! The control loop: observations in, schedules out, and a log of every decision with its reason.
//!
//! The host reports what happens ([`Controller::window_closed`], [`Controller::migrated`],
//! [`Controller::interrupted`]), and the controller returns what the host is to do. It consults the
//! policy only on windows with a constant configuration, applies warm-up and activation, validates
//! plans, and turns them into schedules. One plan is in progress at a time; a rejected plan changes
//! nothing. After the host has abandoned a plan ([`Controller::failed`]) the policy is still
//! consulted, but for a while none of its plans is started. The controller reads no clock.

mod backoff;
mod config;
mod control;
mod event;
mod request;
mod routing;
mod steering;
#[cfg(test)]
mod tests;

pub use config::ControllerConfig;
pub use control::Controller;
pub use event::{Event, EventKind};
pub use request::{BY_HAND, Command, Request, Steered};
