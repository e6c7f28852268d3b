//! Requests of a person on their way to a run.
//!
//! They wait in a queue of limited length until the run looks, between two windows. A recorded decision log can be turned into the same
//! requests at the same times ([`Commands::recorded`]), so that a run that was steered can be simulated again.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};

use crate::controller::{Event, EventKind, Request};
use crate::time::Timestamp;

/// Requests that may wait.
const MOST_WAITING: usize = 32;

/// Where a run gets its requests from; by default there are none.
#[derive(Debug, Default)]
pub struct Commands(Source);

#[derive(Debug, Default)]
enum Source {
    #[default]
    Nobody,
    Person(Receiver<Request>),
    Log(VecDeque<(Timestamp, Request)>),
}

/// Hands requests to a run.
#[derive(Clone, Debug)]
pub struct Commander(SyncSender<Request>);

/// Why a request does not reach the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// Too many wait already.
    #[error("{} commands wait already", MOST_WAITING)]
    Full,
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
}

impl Commander {
    /// Hands over a request; it takes effect when the run looks for it.
    ///
    /// # Errors
    /// When too many wait, or the run has ended.
    pub fn ask(&self, request: Request) -> Result<(), Unheard> {
        self.0.try_send(request).map_err(|why| match why {
            TrySendError::Full(_) => Unheard::Full,
            TrySendError::Disconnected(_) => Unheard::Ended,
        })
    }
}

impl Commands {
    /// A way to hand requests to a run, and its end at the run.
    pub fn channel() -> (Commander, Commands) {
        let (to, from) = mpsc::sync_channel(MOST_WAITING);
        (Commander(to), Commands(Source::Person(from)))
    }

    /// The requests in a decision log, at their times.
    pub fn recorded(events: &[Event]) -> Commands {
        let request = |event: &Event| match &event.kind {
            EventKind::Steered { request, .. } => Some((event.at, request.clone())),
            _ => None,
        };
        Commands(Source::Log(events.iter().filter_map(request).collect()))
    }

    /// The next request, if there is one by `now`.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Request> {
        match &mut self.0 {
            Source::Nobody => None,
            Source::Person(requests) => requests.try_recv().ok(),
            Source::Log(requests) => {
                let is_due = requests.front().is_some_and(|(at, _)| *at <= now);
                if is_due { requests.pop_front().map(|(_, request)| request) } else { None }
            }
        }
    }
}
