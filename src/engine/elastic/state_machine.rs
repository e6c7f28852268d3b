//! The simplest keyed operator: a state machine per key.

use std::hash::Hash;
use std::marker::PhantomData;

use timely::ExchangeData;

use super::batch::BatchStream;
use super::key_by::KeyedStream;
use super::keyed::keyed;
use super::session::{Logic, Session};
use crate::engine::host::{Context, ControlStream, OperatorSpec};
use crate::migration::Assignment;

/// Keyed elastic operators, on a [keyed stream](KeyedStream).
pub trait ElasticKeyed<'s, K, V> {
    /// Applies `fold` to each record with the state of its key, initially on the instances of
    /// `first`.
    ///
    /// `fold` sees the key, the value, the key's state (the default when the key is new) and where
    /// results go; never a bin. It must be a deterministic function of these.
    ///
    /// A count that moves from one instance to another at time 1 and goes on where it was:
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    ///
    /// use thalweg::dataflow::Capacity;
    /// use thalweg::engine::{Command, Context, DrainToSink, ElasticKeyed, IntoBatches, OperatorSpec, bin_of};
    /// use thalweg::id::OperatorId;
    /// use thalweg::migration::Assignment;
    /// use timely::dataflow::InputHandleVec;
    ///
    /// let (sink, counts) = channel();
    /// timely::execute_directly(move |worker| {
    ///     let (context, count) = (Context::alone(), OperatorSpec::new(OperatorId(1), "Count", Capacity::Cpu, 2));
    ///     let (mut words, mut control) = (InputHandleVec::new(), InputHandleVec::new());
    ///     worker.dataflow(|scope| {
    ///         let commands = control.to_stream(scope);
    ///         let words = words.to_stream(scope).into_batches();
    ///         words
    ///             .elastic_keyed(commands, &context, &count, &Assignment::even(16, 1), |word: &String, (), count: &mut u64, counts| {
    ///                 *count += 1;
    ///                 counts.push((word.clone(), *count));
    ///             })
    ///             .drain_to_sink(&context, OperatorId(2), move |epoch, counts| sink.send((epoch.0, counts)).unwrap());
    ///     });
    ///     words.send(("amor".to_owned(), ()));
    ///     control.advance_to(1);
    ///     // From time 1 on the bin belongs to instance 1.
    ///     control.send(Command { moves: vec![(bin_of(&"amor", 16), 1)], ..Command::new(OperatorId(1)) });
    ///     words.advance_to(1);
    ///     words.send(("amor".to_owned(), ()));
    /// });
    /// let amor = |count| vec![("amor".to_owned(), count)];
    /// assert_eq!(counts.iter().collect::<Vec<_>>(), [(0, amor(1)), (1, amor(2))]);
    /// ```
    fn elastic_keyed<S, R, F>(
        self,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        first: &Assignment,
        fold: F,
    ) -> BatchStream<'s, R>
    where
        S: ExchangeData + Default,
        R: ExchangeData,
        F: FnMut(&K, V, &mut S, &mut Vec<R>) + 'static;
}

impl<'s, K, V, I> ElasticKeyed<'s, K, V> for I
where
    I: KeyedStream<'s, K, V>,
    K: ExchangeData + Hash + Eq + Clone,
    V: ExchangeData,
{
    fn elastic_keyed<S, R, F>(
        self,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        first: &Assignment,
        fold: F,
    ) -> BatchStream<'s, R>
    where
        S: ExchangeData + Default,
        R: ExchangeData,
        F: FnMut(&K, V, &mut S, &mut Vec<R>) + 'static,
    {
        keyed::<K, V, S, R, _, _>(self, control, context, spec, first, Machine(fold, PhantomData))
    }
}

/// A function of a record and its key's state.
struct Machine<F, S>(F, PhantomData<S>);

impl<K, V, S, R, F> Logic<K, V, S, R> for Machine<F, S>
where
    S: 'static,
    F: FnMut(&K, V, &mut S, &mut Vec<R>) + 'static,
{
    const PLAIN: bool = true;

    #[inline]
    fn apply(&mut self, key: &K, value: V, state: &mut S, session: &mut Session<'_, R>) {
        (self.0)(key, value, state, session.results());
    }

    fn on_timer(&mut self, _: &K, _: &mut S, _: &mut Session<'_, R>) {
        unreachable!("a state machine sets no timers");
    }
}
