//! Containers between elastic operators: records with one header per batch, none per record.
//!
//! A [`Batch`] is a timely container. Routing a batch moves its records by ownership and adds
//! nothing to them.

use serde::{Deserialize, Serialize};
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::communication::Push;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Stream, StreamVec};
use timely::progress::Stamp;

use super::erased::Erased;
use crate::activity::Lane;
use crate::engine::Time;
use crate::id::WorkerId;

/// Records of one epoch that travel together.
#[derive(Clone, Debug)]
pub struct Batch<D> {
    /// The lane that emitted the records.
    pub from: Lane,
    /// The records.
    pub records: Vec<D>,
}

/// A stream of batches.
pub type BatchStream<'s, D> = Stream<'s, Time, Batch<D>>;

/// Passes finished batches on unchanged.
pub(in crate::engine) type BatchBuilder<D> = NoopBuilder<Batch<D>>;

impl<D> Batch<D> {
    /// A batch.
    pub fn new(from: Lane, records: Vec<D>) -> Batch<D> {
        Batch { from, records }
    }
}

impl<D> Default for Batch<D> {
    fn default() -> Self {
        Batch::new(Lane::Worker(WorkerId(0)), Vec::new())
    }
}

impl<D> Accountable for Batch<D> {
    fn record_count(&self) -> i64 {
        self.records.len() as i64
    }
}

/// Upper limit for the size of a batch where possible, so that it is still cached when it is
/// received; besides, allocations of 128 KiB and more come from the system each time.
const BATCH_BYTES: usize = 32 << 10;

/// How many records that is.
pub(in crate::engine) fn at_once<D>() -> usize {
    (BATCH_BYTES / size_of::<D>().max(1)).max(1)
}

/// A batch on its way to its receivers.
#[derive(Serialize, Deserialize)]
pub(in crate::engine) struct Routed {
    /// The lane that emitted the records.
    pub(in crate::engine) from: Lane,
    /// The worker that sent it.
    pub(in crate::engine) sender: WorkerId,
    /// Receiving instance; of no account when instances are determined on arrival.
    pub(in crate::engine) to: u32,
    /// The worker that receives it.
    pub(in crate::engine) worker: WorkerId,
    /// Counts the batches of the sending worker on this channel.
    pub(in crate::engine) sequence: u64,
    /// How many records.
    pub(in crate::engine) count: u64,
    /// A list of them.
    pub(in crate::engine) records: Erased,
}

impl Default for Routed {
    fn default() -> Self {
        Routed {
            from: Lane::Worker(WorkerId(0)),
            sender: WorkerId(0),
            to: 0,
            worker: WorkerId(0),
            sequence: 0,
            count: 0,
            records: Erased::default(),
        }
    }
}

impl Accountable for Routed {
    fn record_count(&self) -> i64 {
        self.count as i64
    }
}

/// Between processes it is its postcard encoding, padded to whole words.
impl ContainerBytes for Routed {
    fn from_bytes(bytes: Bytes) -> Self {
        // The bytes come from `into_bytes` of the same program on another worker, not from outside.
        postcard::take_from_bytes(&bytes).expect("a batch written by this program").0
    }

    fn length_in_bytes(&self) -> usize {
        let size = postcard::serialize_with_flavor(self, postcard::ser_flavors::Size::default());
        size.expect("records can be encoded").next_multiple_of(8)
    }

    fn into_bytes<W: std::io::Write>(&self, writer: &mut W) {
        let mut bytes = postcard::to_stdvec(self).expect("records can be encoded");
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        writer.write_all(&bytes).expect("timely's buffer takes what was announced");
    }
}

/// Sends each batch whole to the worker in its header.
pub(in crate::engine) struct ByHeader;

impl Distributor<Routed> for ByHeader {
    fn partition<T: Clone, P: Push<Message<T, Routed>>>(&mut self, batch: &mut Routed, stamp: &Stamp<T>, pushers: &mut [P]) {
        let worker = batch.worker.0 as usize;
        Message::push_at(batch, stamp.clone(), &mut pushers[worker]);
    }

    fn flush<T: Clone, P: Push<Message<T, Routed>>>(&mut self, _stamp: &Stamp<T>, _pushers: &mut [P]) {}
}

/// Turns a plain stream into a stream of batches, so that elastic operators can follow any timely
/// operator.
pub trait IntoBatches<'s, D> {
    /// The same records, each buffer as one batch of this worker's lane.
    fn into_batches(self) -> BatchStream<'s, D>;
}

impl<'s, D: 'static> IntoBatches<'s, D> for StreamVec<'s, Time, D> {
    fn into_batches(self) -> BatchStream<'s, D> {
        let lane = Lane::Worker(WorkerId(self.scope().index() as u32));
        let mut builder = OperatorBuilder::new("IntoBatches".to_owned(), self.scope());
        let mut input = builder.new_input(self, Pipeline);
        let (output, batches) = builder.new_output::<Batch<D>>();
        let mut output = OutputBuilder::<Time, BatchBuilder<D>>::from(output);
        builder.build(move |_| {
            move |_| {
                let mut output = output.activate();
                input.for_each(|cap, records| {
                    if let Some(cap) = cap.retain_least(0)
                        && !records.is_empty()
                    {
                        output.session_with_builder(&cap).give_container(&mut Batch::new(lane, std::mem::take(records)));
                    }
                });
            }
        });
        batches
    }
}
