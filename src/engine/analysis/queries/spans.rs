//! Finds activities, messages and epochs that took longer than a query allows, by window.
//!
//! A window's graph cuts whatever crosses its edges, so durations come from the records themselves;
//! those of messages come from the lanes, where clocks are corrected. Each duration counts in the
//! window in which it ended. Invariant: memory is bounded by the subjects of windows that are still
//! open and by the newest epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Fact, QuerySubject, Span, StandingQuery};
use crate::activity::{ActivityKind, Record};
use crate::critical_path::Entity;
use crate::pag::{GraphBuilder, StepKind};
use crate::time::{Epoch, Timestamp, Window};

/// Epochs whose due time is kept: ten minutes of one a tick.
const MOST_EPOCHS: usize = 1 << 16;

/// Finds durations that exceed the limits of queries.
#[derive(Debug)]
pub(in crate::engine) struct LongSpans {
    /// Numbers of the queries with their limits, by kind.
    epochs: Vec<(u32, Duration)>,
    messages: Vec<(u32, Duration)>,
    activities: Vec<(u32, Duration)>,
    /// Length of a window in ns.
    window: u64,
    /// The next window that is to be closed.
    next: u64,
    due: BTreeMap<Epoch, Timestamp>,
    found: BTreeMap<u64, BTreeSet<Fact>>,
}

impl LongSpans {
    /// Finds what `queries` ask for, in windows of `window` ns.
    pub(in crate::engine) fn new(queries: &[StandingQuery], window: u64) -> LongSpans {
        let limits = |of: Span| {
            let asked = (0..).zip(queries).filter_map(move |(number, query)| match query {
                StandingQuery::Longer { span, than, .. } if *span == of => Some((number, *than)),
                _ => None,
            });
            asked.collect()
        };
        let (epochs, messages, activities) = (limits(Span::Epoch), limits(Span::Message), limits(Span::Activity));
        LongSpans { epochs, messages, activities, window, next: 0, due: BTreeMap::new(), found: BTreeMap::new() }
    }

    /// Whether [`close`](Self::close) reads the lanes' stories over the window.
    pub(in crate::engine) fn reads_stories(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Processes a record.
    pub(in crate::engine) fn push(&mut self, record: &Record) {
        match record {
            Record::Activity(activity) if !self.activities.is_empty() => {
                let operator = activity.instance.operator;
                let entity =
                    if activity.kind == ActivityKind::ExternalWait { Entity::Outside(operator) } else { Entity::Operator(operator) };
                let (number, length) = (self.number(activity.end), activity.end.since(activity.start));
                note(&self.activities, length, QuerySubject::Entity(entity), || self.found.entry(number).or_default());
            }
            Record::EpochOpened { epoch, due, .. } if !self.epochs.is_empty() => {
                let earliest = self.due.entry(*epoch).or_insert(*due);
                *earliest = (*due).min(*earliest);
                if self.due.len() > MOST_EPOCHS {
                    self.due.pop_first();
                }
            }
            Record::EpochCompleted { at, epoch, .. } if !self.epochs.is_empty() => {
                if let Some(due) = self.due.get(epoch) {
                    let (number, length) = (self.number(*at), at.since(*due));
                    note(&self.epochs, length, QuerySubject::Epochs, || self.found.entry(number).or_default());
                }
            }
            _ => {}
        }
    }

    /// The window of what ended at `end`; the next one for what comes late.
    fn number(&self, end: Timestamp) -> u64 {
        (end.0 / self.window).max(self.next)
    }

    /// What took too long up to the end of `window`, which `builder` has just closed.
    pub(in crate::engine) fn close(&mut self, window: Window, builder: &GraphBuilder) -> Vec<Fact> {
        let number = window.start.0 / self.window;
        self.next = number + 1;
        let later = self.found.split_off(&self.next);
        let mut facts = std::mem::replace(&mut self.found, later).into_values().fold(BTreeSet::new(), |all, facts| &all | &facts);
        if self.reads_stories() {
            for lane in 0..builder.lanes().len() as u32 {
                let story = builder.story(lane);
                let first = story.partition_point(|step| step.start < window.start.0);
                for step in story[first..].iter().take_while(|step| step.start < window.end.0) {
                    if matches!(step.kind, StepKind::Received { .. })
                        && let Some(sent) = builder.message(step)
                    {
                        let subject = QuerySubject::Entity(Entity::Channel(sent.channel));
                        note(&self.messages, Timestamp(step.start).since(sent.at), subject, || &mut facts);
                    }
                }
            }
        }
        facts.into_iter().collect()
    }
}

/// Adds `subject` for each query whose limit `length` exceeds.
fn note<'a>(limits: &[(u32, Duration)], length: Duration, subject: QuerySubject, facts: impl FnOnce() -> &'a mut BTreeSet<Fact>) {
    let mut above = limits.iter().filter(|(_, limit)| length > *limit).peekable();
    if above.peek().is_some() {
        facts().extend(above.map(|(query, _)| (*query, subject)));
    }
}
