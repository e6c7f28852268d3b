//! Keyed elastic operator with one input and timers.

use std::hash::Hash;
use std::marker::PhantomData;

use timely::ExchangeData;

use super::batch::BatchStream;
use super::key_by::KeyedStream;
use super::keyed::keyed;
use super::session::{Logic, Session};
use crate::engine::host::{Context, ControlStream, OperatorSpec};
use crate::migration::Assignment;

/// Keyed elastic operators with timers, on a [keyed stream](KeyedStream).
pub trait ElasticUnary<'s, K, V> {
    /// Applies `fold` to each record with the state of its key, initially on the instances of
    /// `first`; `call` to each timer.
    ///
    /// Both see the key, its state (the default when the key is new) and a [`Session`], through
    /// which they emit results, set timers of the key, and drop its state; never a bin. They must
    /// be deterministic functions of these. A timer fires after all records of its key of earlier
    /// epochs and before those of its own, wherever the key's state is by then; at the end of the
    /// input all timers fire in order. A function that sets a timer in each call has no end.
    ///
    /// Silence of a key for ten epochs is reported, and the key forgotten:
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    ///
    /// use thalweg::dataflow::Capacity;
    /// use thalweg::engine::{Command, Context, DrainToSink, ElasticUnary, IntoBatches, OperatorSpec, bin_of};
    /// use thalweg::id::OperatorId;
    /// use thalweg::migration::Assignment;
    /// use thalweg::time::Epoch;
    /// use timely::dataflow::InputHandleVec;
    ///
    /// let (sink, silences) = channel();
    /// timely::execute_directly(move |worker| {
    ///     let (context, watch) = (Context::alone(), OperatorSpec::new(OperatorId(1), "Watch", Capacity::Cpu, 2));
    ///     let (mut signs, mut control) = (InputHandleVec::new(), InputHandleVec::new());
    ///     worker.dataflow(|scope| {
    ///         let commands = control.to_stream(scope);
    ///         let signs = signs.to_stream(scope).into_batches();
    ///         signs
    ///             .elastic_unary(
    ///                 commands,
    ///                 &context,
    ///                 &watch,
    ///                 &Assignment::even(16, 1),
    ///                 |_: &String, (), last: &mut u64, session| {
    ///                     *last = session.epoch().0;
    ///                     session.notify_at(Epoch(*last + 10));
    ///                 },
    ///                 |key, last, session| {
    ///                     if session.epoch().0 == *last + 10 {
    ///                         session.give(format!("{key} silent since {last}"));
    ///                         session.forget();
    ///                     }
    ///                 },
    ///             )
    ///             .drain_to_sink(&context, OperatorId(2), move |epoch, said| sink.send((epoch.0, said)).unwrap());
    ///     });
    ///     control.advance_to(1);
    ///     // The key changes its owner between its last sign and the timer.
    ///     control.send(Command { moves: vec![(bin_of(&"vesta", 16), 1)], ..Command::new(OperatorId(1)) });
    ///     control.advance_to(100);
    ///     signs.send(("vesta".to_owned(), ()));
    ///     signs.advance_to(20);
    /// });
    /// assert_eq!(silences.iter().collect::<Vec<_>>(), [(10, vec!["vesta silent since 0".to_owned()])]);
    /// ```
    fn elastic_unary<S, R, F, C>(
        self,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        first: &Assignment,
        fold: F,
        call: C,
    ) -> BatchStream<'s, R>
    where
        S: ExchangeData + Default,
        R: ExchangeData,
        F: FnMut(&K, V, &mut S, &mut Session<'_, R>) + 'static,
        C: FnMut(&K, &mut S, &mut Session<'_, R>) + 'static;
}

impl<'s, K, V, I> ElasticUnary<'s, K, V> for I
where
    I: KeyedStream<'s, K, V>,
    K: ExchangeData + Hash + Eq + Clone,
    V: ExchangeData,
{
    fn elastic_unary<S, R, F, C>(
        self,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        first: &Assignment,
        fold: F,
        call: C,
    ) -> BatchStream<'s, R>
    where
        S: ExchangeData + Default,
        R: ExchangeData,
        F: FnMut(&K, V, &mut S, &mut Session<'_, R>) + 'static,
        C: FnMut(&K, &mut S, &mut Session<'_, R>) + 'static,
    {
        keyed::<K, V, S, R, _, _>(self, control, context, spec, first, Unary { fold, call, state: PhantomData })
    }
}

/// A function of records and one of timers.
struct Unary<F, C, S> {
    fold: F,
    call: C,
    state: PhantomData<S>,
}

impl<K, V, S, R, F, C> Logic<K, V, S, R> for Unary<F, C, S>
where
    S: 'static,
    F: FnMut(&K, V, &mut S, &mut Session<'_, R>) + 'static,
    C: FnMut(&K, &mut S, &mut Session<'_, R>) + 'static,
{
    #[inline]
    fn apply(&mut self, key: &K, value: V, state: &mut S, session: &mut Session<'_, R>) {
        (self.fold)(key, value, state, session);
    }

    fn on_timer(&mut self, key: &K, state: &mut S, session: &mut Session<'_, R>) {
        (self.call)(key, state, session);
    }
}
