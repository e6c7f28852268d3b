//! Container for a single value, which moves between workers of one process by ownership.

use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::communication::Push;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::progress::Stamp;

/// Something on its way to worker `to`.
pub(super) struct Parcel<D> {
    pub(super) to: usize,
    pub(super) content: Option<D>,
}

/// Passes parcels on unchanged.
pub(super) type ParcelBuilder<D> = NoopBuilder<Parcel<D>>;

impl<D> Default for Parcel<D> {
    fn default() -> Self {
        Parcel { to: 0, content: None }
    }
}

impl<D> Accountable for Parcel<D> {
    fn record_count(&self) -> i64 {
        i64::from(self.content.is_some())
    }
}

/// Timely requires this of all exchanged containers; threads of one process never use it.
impl<D> ContainerBytes for Parcel<D> {
    fn from_bytes(_: Bytes) -> Self {
        unreachable!("the analysis runs in one process")
    }

    fn length_in_bytes(&self) -> usize {
        unreachable!("the analysis runs in one process")
    }

    fn into_bytes<W: std::io::Write>(&self, _: &mut W) {
        unreachable!("the analysis runs in one process")
    }
}

/// Sends each parcel to its worker.
pub(super) struct ByAddress;

impl<D> Distributor<Parcel<D>> for ByAddress {
    fn partition<T: Clone, P: Push<Message<T, Parcel<D>>>>(&mut self, parcel: &mut Parcel<D>, stamp: &Stamp<T>, pushers: &mut [P]) {
        let worker = parcel.to % pushers.len();
        Message::push_at(parcel, stamp.clone(), &mut pushers[worker]);
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel<D>>>>(&mut self, _stamp: &Stamp<T>, _pushers: &mut [P]) {}
}
