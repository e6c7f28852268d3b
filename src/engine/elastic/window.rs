//! Elastic event-time windows: tumbling, sliding and session windows.
//!
//! An event's time is a number on the scale of the epochs, milliseconds in our jobs. A window that
//! ends at e is emitted as a result of epoch e + lateness, so it contains every event that arrives
//! in an earlier epoch, in any order. An event is *late* once all its windows have been emitted.
//! This is decided by event times and epochs alone, never by processing time, so a migration
//! changes nothing.
//!
//! Sliding windows share *slices*, as wide as the greatest common divisor of size and slide: an
//! event is added to one slice, however many windows it is in, and a window is combined from its
//! slices when it ends.

use std::hash::Hash;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use timely::ExchangeData;

use super::batch::BatchStream;
use super::key_by::KeyedStream;
use super::keyed::keyed;
use super::session::{Logic, Session};
use crate::engine::host::{Context, ControlStream, OperatorSpec};
use crate::migration::Assignment;
use crate::time::Epoch;

/// Assignment of events to windows; all numbers in units of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Windows {
    /// Windows of `size`, one after the other, the first from 0.
    Tumbling {
        /// Length.
        size: u64,
    },
    /// Windows of `size`, one every `slide`, the first from 0.
    Sliding {
        /// Length.
        size: u64,
        /// From the beginning of one to that of the next.
        slide: u64,
    },
    /// Sessions: events of a key that are less than `gap` apart; the window ends `gap` after the
    /// last of them.
    Session {
        /// Gap that ends a session.
        gap: u64,
    },
}

/// Aggregation of the events of a window.
pub trait WindowFunction<K, V>: 'static {
    /// Aggregate of the events of a window, or of a part of it.
    type State: ExchangeData + Default + Clone;
    /// Result of a window.
    type Result: ExchangeData;

    /// When the event happened.
    fn time(&self, value: &V) -> u64;

    /// Adds an event.
    fn add(&mut self, key: &K, value: V, state: &mut Self::State);

    /// Adds the aggregate of other events of the same window.
    fn merge(&mut self, state: &mut Self::State, other: Self::State);

    /// The result of the whole window.
    fn result(&mut self, key: &K, window: Range<u64>, state: Self::State) -> Self::Result;

    /// Called for a late event; it is dropped unless this returns a result.
    fn late(&mut self, _key: &K, _value: V) -> Option<Self::Result> {
        None
    }
}

/// Elastic windows on a [keyed stream](KeyedStream).
pub trait ElasticWindow<'s, K, V> {
    /// Emits a result for each window of each key that has events; a window that ends at e is
    /// emitted in epoch e + `lateness`.
    ///
    /// # Panics
    /// If a size, slide or gap is 0.
    ///
    /// How many events a key had, in windows of each kind; its state changes hands while they are
    /// open:
    ///
    /// ```
    /// use std::ops::Range;
    /// use std::sync::mpsc::channel;
    ///
    /// use thalweg::dataflow::Capacity;
    /// use thalweg::engine::{Command, Context, DrainToSink, ElasticWindow, IntoBatches, OperatorSpec, WindowFunction, Windows, bin_of};
    /// use thalweg::id::OperatorId;
    /// use thalweg::migration::Assignment;
    /// use timely::dataflow::InputHandleVec;
    ///
    /// struct HowMany;
    ///
    /// impl WindowFunction<String, u64> for HowMany {
    ///     type State = u64;
    ///     type Result = (String, Range<u64>, u64);
    ///
    ///     fn time(&self, value: &u64) -> u64 {
    ///         *value
    ///     }
    ///     fn add(&mut self, _: &String, _: u64, count: &mut u64) {
    ///         *count += 1;
    ///     }
    ///     fn merge(&mut self, count: &mut u64, other: u64) {
    ///         *count += other;
    ///     }
    ///     fn result(&mut self, key: &String, window: Range<u64>, count: u64) -> Self::Result {
    ///         (key.clone(), window, count)
    ///     }
    /// }
    ///
    /// let counts = |windows: Windows| {
    ///     let (sink, counts) = channel();
    ///     timely::execute_directly(move |worker| {
    ///         let (context, count) = (Context::alone(), OperatorSpec::new(OperatorId(1), "Count", Capacity::Cpu, 2));
    ///         let (mut events, mut control) = (InputHandleVec::new(), InputHandleVec::new());
    ///         worker.dataflow(|scope| {
    ///             let commands = control.to_stream(scope);
    ///             let events = events.to_stream(scope).into_batches();
    ///             events
    ///                 .elastic_window(commands, &context, &count, &Assignment::even(16, 1), windows, 5, HowMany)
    ///                 .drain_to_sink(&context, OperatorId(2), move |epoch, counts| {
    ///                     counts.into_iter().for_each(|(_, window, count)| sink.send((epoch.0, window, count)).unwrap());
    ///                 });
    ///         });
    ///         [3, 9, 12].into_iter().for_each(|at| events.send(("tibur".to_owned(), at)));
    ///         control.advance_to(13);
    ///         control.send(Command { moves: vec![(bin_of(&"tibur", 16), 1)], ..Command::new(OperatorId(1)) });
    ///         // An event that comes after the end of the first window of ten, and in time.
    ///         events.advance_to(14);
    ///         events.send(("tibur".to_owned(), 8));
    ///         control.advance_to(100);
    ///         events.advance_to(90);
    ///     });
    ///     let mut counts: Vec<(u64, Range<u64>, u64)> = counts.iter().collect();
    ///     counts.sort_by_key(|(epoch, ..)| *epoch);
    ///     counts
    /// };
    /// assert_eq!(counts(Windows::Tumbling { size: 10 }), [(15, 0..10, 3), (25, 10..20, 1)]);
    /// assert_eq!(counts(Windows::Sliding { size: 10, slide: 5 }), [(15, 0..10, 3), (20, 5..15, 3), (25, 10..20, 1)]);
    /// assert_eq!(counts(Windows::Session { gap: 4 }), [(12, 3..7, 1), (21, 8..16, 3)]);
    /// ```
    #[expect(clippy::too_many_arguments, reason = "what every elastic operator takes, and what this one does")]
    fn elastic_window<W: WindowFunction<K, V>>(
        self,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        first: &Assignment,
        windows: Windows,
        lateness: u64,
        function: W,
    ) -> BatchStream<'s, W::Result>;
}

impl<'s, K, V, I> ElasticWindow<'s, K, V> for I
where
    I: KeyedStream<'s, K, V>,
    K: ExchangeData + Hash + Eq + Clone,
    V: ExchangeData,
{
    fn elastic_window<W: WindowFunction<K, V>>(
        self,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        first: &Assignment,
        windows: Windows,
        lateness: u64,
        function: W,
    ) -> BatchStream<'s, W::Result> {
        // Of the same types, so that only what is done with an event is compiled for each.
        match windows {
            Windows::Tumbling { size } => keyed(self, control, context, spec, first, Sliding::new(size, size, lateness, function)),
            Windows::Sliding { size, slide } => keyed(self, control, context, spec, first, Sliding::new(size, slide, lateness, function)),
            Windows::Session { gap } => {
                assert!(gap > 0, "a session ends after some silence");
                keyed(self, control, context, spec, first, Sessions { gap, lateness, function })
            }
        }
    }
}

/// What is kept of a key's events, in the order of time: of each slice, its beginning twice; of
/// each session, its first and its last event. None overlap, and most keys have one.
type Open<S> = SmallVec<[(u64, u64, S); 1]>;

/// Windows of a fixed length.
struct Sliding<W> {
    size: u64,
    slide: u64,
    slice: u64,
    lateness: u64,
    function: W,
}

impl<W> Sliding<W> {
    fn new(size: u64, slide: u64, lateness: u64, function: W) -> Sliding<W> {
        assert!(size > 0 && slide > 0, "windows have a length and move on");
        let (mut slice, mut rest) = (size, slide);
        while rest > 0 {
            (slice, rest) = (rest, slice % rest);
        }
        Sliding { size, slide, slice, lateness, function }
    }

    /// The beginning of the first window that holds the slice from `slice` on and has not been
    /// emitted before `epoch` or in it; nothing if all have, or if it lies between windows.
    fn first_open(&self, slice: u64, epoch: u64) -> Option<u64> {
        // Windows that hold the slice begin after `slice - size`, those still open after `epoch -
        // lateness - size`.
        let after = |bound: u64| (bound / self.slide + 1) * self.slide;
        let holds = slice.checked_sub(self.size).map_or(0, after);
        let open = epoch.checked_sub(self.lateness + self.size).map_or(0, after);
        Some(holds.max(open)).filter(|&start| start <= slice)
    }

    fn given_out(&self, start: u64) -> Epoch {
        Epoch(start + self.size + self.lateness)
    }
}

impl<K, V, W: WindowFunction<K, V>> Logic<K, V, Open<W::State>, W::Result> for Sliding<W> {
    #[inline]
    fn apply(&mut self, key: &K, value: V, slices: &mut Open<W::State>, session: &mut Session<'_, W::Result>) {
        let time = self.function.time(&value);
        let slice = time - time % self.slice;
        let Some(start) = self.first_open(slice, session.epoch().0) else {
            // A new key must not be kept for it.
            if slices.is_empty() {
                session.forget();
            }
            let covered = time % self.slide < self.size;
            covered.then(|| self.function.late(key, value)).flatten().into_iter().for_each(|result| session.give(result));
            return;
        };
        let found = match slices.last() {
            Some(&(last, _, _)) if last == slice => Ok(slices.len() - 1),
            _ => slices.binary_search_by_key(&slice, |&(from, _, _)| from),
        };
        let place = found.unwrap_or_else(|place| {
            session.notify_at(self.given_out(start));
            slices.insert(place, (slice, slice, W::State::default()));
            place
        });
        self.function.add(key, value, &mut slices[place].2);
    }

    fn on_timer(&mut self, key: &K, slices: &mut Open<W::State>, session: &mut Session<'_, W::Result>) {
        let epoch = session.epoch().0;
        let start = epoch - self.size - self.lateness;
        let in_window = slices.iter().filter(|(slice, _, _)| (start..start + self.size).contains(slice));
        let mut parts = in_window.map(|(_, _, state)| state.clone());
        if let Some(mut whole) = parts.next() {
            parts.for_each(|part| self.function.merge(&mut whole, part));
            session.give(self.function.result(key, start..start + self.size, whole));
        }
        // Slices before the next window's start are in no window to come.
        slices.retain(|&mut (slice, _, _)| slice >= start + self.slide);
        match slices.iter().find_map(|&(slice, _, _)| self.first_open(slice, epoch)) {
            Some(next) => session.notify_at(self.given_out(next)),
            None => session.forget(),
        }
    }
}

/// Windows that end with silence.
struct Sessions<W> {
    gap: u64,
    lateness: u64,
    function: W,
}

impl<W> Sessions<W> {
    /// When a session with this last event is emitted.
    fn given_out(&self, last: u64) -> Epoch {
        Epoch(last + self.gap + self.lateness)
    }
}

impl<K, V, W: WindowFunction<K, V>> Logic<K, V, Open<W::State>, W::Result> for Sessions<W> {
    #[inline]
    fn apply(&mut self, key: &K, value: V, open: &mut Open<W::State>, session: &mut Session<'_, W::Result>) {
        let time = self.function.time(&value);
        // Late is what would have been a session of its own that has been emitted, whatever
        // sessions are open beside it: so the order of events in an epoch does not matter.
        if time + self.gap + self.lateness <= session.epoch().0 {
            if open.is_empty() {
                session.forget();
            }
            self.function.late(key, value).into_iter().for_each(|result| session.give(result));
            return;
        }
        // Most events come while the last session goes on.
        if let Some((_, last, state)) = open.last_mut()
            && (*last..*last + self.gap).contains(&time)
        {
            *last = time;
            return self.function.add(key, value, state);
        }
        // The first session that had not ended by then; the event is in it, or lies before it.
        let place = open.iter().position(|&(_, last, _)| time < last + self.gap).unwrap_or(open.len());
        let joins = |open: &Open<W::State>, place: usize| open.get(place).is_some_and(|&(first, _, _)| first < time + self.gap);
        if !joins(open, place) {
            // Of a key's sessions only the one that ends first needs a timer, and a session that
            // goes on keeps the one it has.
            if place == 0 {
                session.notify_at(self.given_out(time));
            }
            open.insert(place, (time, time, W::State::default()));
        }
        let (first, last, state) = &mut open[place];
        (*first, *last) = (time.min(*first), time.max(*last));
        self.function.add(key, value, state);
        // An event between two sessions makes them one.
        if joins(open, place + 1) {
            let (_, last, state) = open.remove(place + 1);
            open[place].1 = last;
            self.function.merge(&mut open[place].2, state);
        }
    }

    fn on_timer(&mut self, key: &K, open: &mut Open<W::State>, session: &mut Session<'_, W::Result>) {
        let over = open.iter().take_while(|&&(_, last, _)| self.given_out(last) <= session.epoch()).count();
        // Most calls find a session that went on, and a drain of nothing is not free.
        if over > 0 {
            for (first, last, state) in open.drain(..over) {
                session.give(self.function.result(key, first..last + self.gap, state));
            }
        }
        match open.first() {
            Some(&(_, last, _)) => session.notify_at(self.given_out(last)),
            None => session.forget(),
        }
    }
}
