//! Input of keyed operators: pairs of key and value, or records that become such pairs where they
//! are routed.

use std::convert::identity;

use super::batch::BatchStream;

/// A stream of records with a key.
pub trait KeyedStream<'s, K, V> {
    /// A record as it comes.
    type Record: 'static;

    /// The records as they come, and what makes key and value of each.
    #[expect(clippy::type_complexity, reason = "a stream and a function")]
    fn into_parts(self) -> (BatchStream<'s, Self::Record>, impl FnMut(Self::Record) -> (K, V) + 'static);
}

impl<'s, K: 'static, V: 'static> KeyedStream<'s, K, V> for BatchStream<'s, (K, V)> {
    type Record = (K, V);

    fn into_parts(self) -> (BatchStream<'s, (K, V)>, impl FnMut((K, V)) -> (K, V) + 'static) {
        (self, identity)
    }
}

/// Assigns keys to the records of a stream, as input of a keyed operator.
pub trait KeyBy<'s, D> {
    /// `record` makes key and value of each record, when it is sent to where its key's state is:
    /// there is no step of its own that would hand on everything once more.
    ///
    /// How often words of each length came:
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    ///
    /// use thalweg::dataflow::Capacity;
    /// use thalweg::engine::{Context, DrainToSink, ElasticKeyed, IntoBatches, KeyBy, OperatorSpec};
    /// use thalweg::id::OperatorId;
    /// use thalweg::migration::Assignment;
    /// use timely::dataflow::InputHandleVec;
    ///
    /// let (sink, counts) = channel();
    /// timely::execute_directly(move |worker| {
    ///     let (context, count) = (Context::alone(), OperatorSpec::new(OperatorId(1), "Count", Capacity::Cpu, 1));
    ///     let (mut words, mut control) = (InputHandleVec::new(), InputHandleVec::new());
    ///     worker.dataflow(|scope| {
    ///         let commands = control.to_stream(scope);
    ///         words
    ///             .to_stream(scope)
    ///             .into_batches()
    ///             .key_by(|word: String| (word.len(), ()))
    ///             .elastic_keyed(commands, &context, &count, &Assignment::even(16, 1), |&length, (), count: &mut u64, counts| {
    ///                 *count += 1;
    ///                 counts.push((length, *count));
    ///             })
    ///             .drain_to_sink(&context, OperatorId(2), move |_, counts| sink.send(counts).unwrap());
    ///     });
    ///     ["sol", "luna", "lux"].into_iter().for_each(|word| words.send(word.to_owned()));
    /// });
    /// let mut counts: Vec<(usize, u64)> = counts.iter().flatten().collect();
    /// counts.sort();
    /// assert_eq!(counts, [(3, 1), (3, 2), (4, 1)]);
    /// ```
    fn key_by<K, V, F: FnMut(D) -> (K, V) + 'static>(self, record: F) -> WithKeys<'s, D, F>;
}

impl<'s, D> KeyBy<'s, D> for BatchStream<'s, D> {
    fn key_by<K, V, F: FnMut(D) -> (K, V) + 'static>(self, record: F) -> WithKeys<'s, D, F> {
        WithKeys { batches: self, record }
    }
}

/// Records with what makes key and value of each; see [`KeyBy`].
pub struct WithKeys<'s, D, F> {
    batches: BatchStream<'s, D>,
    record: F,
}

impl<'s, D: 'static, K, V, F: FnMut(D) -> (K, V) + 'static> KeyedStream<'s, K, V> for WithKeys<'s, D, F> {
    type Record = D;

    fn into_parts(self) -> (BatchStream<'s, D>, impl FnMut(D) -> (K, V) + 'static) {
        (self.batches, self.record)
    }
}
