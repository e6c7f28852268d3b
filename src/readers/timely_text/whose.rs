//! Whose log it is, where lines do not name the worker.
//!
//! The first message tells. Invariants: what comes before it is held and comes in its order once the
//! worker is known; no more than [`MOST_HELD`] is held, after which, or if no message comes, the log
//! is that of worker 0.

use std::collections::VecDeque;

use super::super::error::{Oddities, Place};
use super::line::Event;

/// The most bytes of lines that wait for the worker to be known.
const MOST_HELD: usize = 16 << 20;
/// What a line takes beside its bytes.
const LINE_BYTES: usize = 64;

/// The worker whose log it is, and the lines that wait for it to be known.
#[derive(Debug, Default)]
pub(super) struct Whose {
    own: Option<u64>,
    held: VecDeque<(Place, String)>,
    bytes: usize,
}

impl Whose {
    /// The worker, once its events are no longer held.
    pub(super) fn worker(&self) -> u64 {
        self.own.unwrap_or(0)
    }

    /// Holds the line of an event that does not name its worker; false if the worker is known.
    pub(super) fn holds(&mut self, place: Place, line: &str, event: &Event<'_>, oddities: &mut Oddities) -> bool {
        if self.own.is_some() {
            return false;
        }
        self.own = match *event {
            Event::Msg { sends: true, source, .. } | Event::Progress { sends: true, source, .. } => Some(source),
            Event::Msg { sends: false, target, .. } => Some(target),
            _ => None,
        };
        self.bytes += line.len() + LINE_BYTES;
        self.held.push_back((place, line.to_owned()));
        if self.own.is_none() && self.bytes > MOST_HELD {
            oddities.count("no message in the first 16 MiB tells whose log it is: taken for that of worker 0");
            self.own = Some(0);
        }
        true
    }

    /// The next line that was held, once the worker is known.
    pub(super) fn next(&mut self) -> Option<(Place, String)> {
        self.own?;
        self.held.pop_front()
    }

    /// Nothing comes any more that could tell the worker; whether lines are held.
    pub(super) fn give_up(&mut self) -> bool {
        let any = !self.held.is_empty();
        if any {
            self.own.get_or_insert(0);
        }
        any
    }
}
