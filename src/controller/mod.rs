//! The loop: observations in, schedules out, and a log of every decision with its reason.
//!
//! The controller is told what happens ([`Controller::window_closed`], [`Controller::migrated`]) and answers with what the
//! host is to do. It calls the policy only on windows that saw one configuration from start to end, counts warm-up and
//! activation, validates plans, and turns them into schedules. It reads no clock.

mod config;
mod control;
mod event;

pub use config::ControllerConfig;
pub use control::Controller;
pub use event::{Event, EventKind};
