//! Keyed elastic operator with two inputs, for example for joins.

use std::hash::Hash;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use timely::ExchangeData;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::batch::{Batch, BatchBuilder, BatchStream};
use super::key_by::KeyedStream;
use super::keyed::keyed;
use super::session::{Logic, Session};
use crate::engine::Time;
use crate::engine::host::{Context, ControlStream, OperatorSpec};
use crate::migration::Assignment;

/// Elastic operators with state by key and two inputs, on [streams of records with
/// keys](KeyedStream).
pub trait ElasticBinary<'s, K, A> {
    /// Applies `left` to the records of this stream and `right` to those of `other`, with the one
    /// state that a key has for both.
    ///
    /// Both streams are divided by key in the same way, so that a key's records of either meet
    /// where its state is, and a bin moves with what it holds of both. Records of the two streams
    /// of the same epoch come in any order; what is said of
    /// [`elastic_unary`](super::unary::ElasticUnary::elastic_unary) holds otherwise.
    ///
    /// A join of bids with the auctions that they are for, whichever comes first:
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    ///
    /// use thalweg::dataflow::Capacity;
    /// use thalweg::engine::{Command, Context, DrainToSink, ElasticBinary, IntoBatches, OperatorSpec, bin_of};
    /// use thalweg::id::OperatorId;
    /// use thalweg::migration::Assignment;
    /// use timely::dataflow::InputHandleVec;
    ///
    /// let (sink, pairs) = channel();
    /// timely::execute_directly(move |worker| {
    ///     let (context, join) = (Context::alone(), OperatorSpec::new(OperatorId(1), "Join", Capacity::Cpu, 2));
    ///     let (mut auctions, mut bids, mut control) = (InputHandleVec::new(), InputHandleVec::new(), InputHandleVec::new());
    ///     worker.dataflow(|scope| {
    ///         let commands = control.to_stream(scope);
    ///         let bids = bids.to_stream(scope).into_batches();
    ///         let auctions = auctions.to_stream(scope).into_batches();
    ///         auctions
    ///             .elastic_binary(
    ///                 bids,
    ///                 commands,
    ///                 &context,
    ///                 &join,
    ///                 &Assignment::even(16, 1),
    ///                 |&auction: &u64, item: String, (items, bids): &mut (Vec<String>, Vec<u64>), session| {
    ///                     bids.iter().for_each(|&bid| session.give((auction, item.clone(), bid)));
    ///                     items.push(item);
    ///                 },
    ///                 |&auction, bid: u64, (items, bids), session| {
    ///                     items.iter().for_each(|item| session.give((auction, item.clone(), bid)));
    ///                     bids.push(bid);
    ///                 },
    ///                 |_, _, _| {},
    ///             )
    ///             .drain_to_sink(&context, OperatorId(2), move |epoch, pairs| sink.send((epoch.0, pairs)).unwrap());
    ///     });
    ///     bids.send((7, 100));
    ///     control.advance_to(1);
    ///     control.send(Command { moves: vec![(bin_of(&7u64, 16), 1)], ..Command::new(OperatorId(1)) });
    ///     control.advance_to(10);
    ///     bids.advance_to(3);
    ///     auctions.advance_to(3);
    ///     auctions.send((7, "lamp".to_owned()));
    /// });
    /// assert_eq!(pairs.iter().collect::<Vec<_>>(), [(3, vec![(7, "lamp".to_owned(), 100)])]);
    /// ```
    #[expect(clippy::too_many_arguments, reason = "what every elastic operator takes, and what this one does")]
    fn elastic_binary<B, J, S, R, F, G, C>(
        self,
        other: J,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        first: &Assignment,
        left: F,
        right: G,
        call: C,
    ) -> BatchStream<'s, R>
    where
        B: ExchangeData,
        J: KeyedStream<'s, K, B>,
        S: ExchangeData + Default,
        R: ExchangeData,
        F: FnMut(&K, A, &mut S, &mut Session<'_, R>) + 'static,
        G: FnMut(&K, B, &mut S, &mut Session<'_, R>) + 'static,
        C: FnMut(&K, &mut S, &mut Session<'_, R>) + 'static;
}

impl<'s, K, A, I> ElasticBinary<'s, K, A> for I
where
    I: KeyedStream<'s, K, A>,
    K: ExchangeData + Hash + Eq + Clone,
    A: ExchangeData,
{
    fn elastic_binary<B, J, S, R, F, G, C>(
        self,
        other: J,
        control: ControlStream<'s>,
        context: &Context,
        spec: &OperatorSpec,
        first: &Assignment,
        left: F,
        right: G,
        call: C,
    ) -> BatchStream<'s, R>
    where
        B: ExchangeData,
        J: KeyedStream<'s, K, B>,
        S: ExchangeData + Default,
        R: ExchangeData,
        F: FnMut(&K, A, &mut S, &mut Session<'_, R>) + 'static,
        G: FnMut(&K, B, &mut S, &mut Session<'_, R>) + 'static,
        C: FnMut(&K, &mut S, &mut Session<'_, R>) + 'static,
    {
        let both = marked(self, BinaryInput::Left).concat(marked(other, BinaryInput::Right));
        keyed::<K, BinaryInput<A, B>, S, R, _, _>(both, control, context, spec, first, Binary { left, right, call, state: PhantomData })
    }
}

/// A record's value and which stream it came by.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum BinaryInput<A, B> {
    Left(A),
    Right(B),
}

/// The same records, each marked with its side. One stream of both then takes the ways of a single
/// input: the same routing, the same queues, the same list of events for a bin in motion.
fn marked<'s, K, V, W>(data: impl KeyedStream<'s, K, V>, side: fn(V) -> W) -> BatchStream<'s, (K, W)>
where
    K: 'static,
    V: 'static,
    W: 'static,
{
    let (batches, mut pair) = data.into_parts();
    let mut builder = OperatorBuilder::new("Side".to_owned(), batches.scope());
    let mut input = builder.new_input(batches, Pipeline);
    let (output, marked) = builder.new_output::<Batch<(K, W)>>();
    let mut output = OutputBuilder::<Time, BatchBuilder<(K, W)>>::from(output);
    builder.build(move |_| {
        move |_| {
            let mut output = output.activate();
            input.for_each(|cap, batch| {
                if let Some(cap) = cap.retain_least(0) {
                    let records = std::mem::take(&mut batch.records).into_iter().map(|record| {
                        let (key, value) = pair(record);
                        (key, side(value))
                    });
                    let records = records.collect();
                    output.session_with_builder(&cap).give_container(&mut Batch::new(batch.from, records));
                }
            });
        }
    });
    marked
}

/// A function for each side and one for timers.
struct Binary<F, G, C, S> {
    left: F,
    right: G,
    call: C,
    state: PhantomData<S>,
}

impl<K, A, B, S, R, F, G, C> Logic<K, BinaryInput<A, B>, S, R> for Binary<F, G, C, S>
where
    S: 'static,
    F: FnMut(&K, A, &mut S, &mut Session<'_, R>) + 'static,
    G: FnMut(&K, B, &mut S, &mut Session<'_, R>) + 'static,
    C: FnMut(&K, &mut S, &mut Session<'_, R>) + 'static,
{
    fn apply(&mut self, key: &K, value: BinaryInput<A, B>, state: &mut S, session: &mut Session<'_, R>) {
        match value {
            BinaryInput::Left(value) => (self.left)(key, value, state, session),
            BinaryInput::Right(value) => (self.right)(key, value, state, session),
        }
    }

    fn on_timer(&mut self, key: &K, state: &mut S, session: &mut Session<'_, R>) {
        (self.call)(key, state, session);
    }
}
