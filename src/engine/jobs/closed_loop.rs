//! Closed-loop source: emits an epoch when an earlier one is complete, like a benchmark client that
//! waits for its answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use timely::ExchangeData;
use timely::dataflow::operators::core::input::Handle;
use timely::dataflow::{Scope, Stream};

use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::engine::Time;
use crate::engine::elastic::{Batch, BatchBuilder, BatchStream};
use crate::engine::host::Context;
use crate::id::{InstanceId, OperatorId};
use crate::time::{Epoch, Timestamp};

/// Configuration of a closed-loop source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedLoopConfig {
    /// Its number in the topology.
    pub operator: OperatorId,
    /// Records of an epoch.
    pub records: u64,
    /// Epochs that may be incomplete at a time; at least 1.
    pub in_flight: usize,
    /// When it ends.
    pub until: Timestamp,
}

/// A source on one worker. The worker loop calls [`poll`](ClosedLoop::poll).
pub(in crate::engine) struct ClosedLoop<D: ExchangeData + Clone> {
    config: ClosedLoopConfig,
    context: Context,
    input: Option<Handle<Time, BatchBuilder<D>>>,
    record: Box<dyn FnMut(u64) -> D>,
    emitted: u64,
    open: Rc<RefCell<VecDeque<Time>>>,
}

impl<D: ExchangeData + Clone> ClosedLoop<D> {
    /// A source whose n-th record (from 0) is `record(n)`.
    pub(in crate::engine) fn new(config: ClosedLoopConfig, context: &Context, record: impl FnMut(u64) -> D + 'static) -> ClosedLoop<D> {
        let (input, open) = (Some(Handle::new_with_builder()), Rc::default());
        ClosedLoop { config, context: context.clone(), input, record: Box::new(record), emitted: 0, open }
    }

    /// Its stream in `scope`.
    pub(in crate::engine) fn stream<'s>(&mut self, scope: Scope<'s, Time>) -> BatchStream<'s, D> {
        let stream: Stream<'s, Time, Batch<D>> = self.input.as_mut().expect("a source is built before it ends").to_stream(scope);
        stream
    }

    /// Epochs that were emitted and are not yet known to be complete; the worker loop removes them
    /// when they are.
    pub(in crate::engine) fn open_epochs(&self) -> Rc<RefCell<VecDeque<Time>>> {
        Rc::clone(&self.open)
    }

    /// Emits an epoch if it may; returns whether the source is still open.
    pub(in crate::engine) fn poll(&mut self) -> bool {
        let now = self.context.clock.now();
        if now >= self.config.until {
            if let Some(input) = self.input.take() {
                input.close();
            }
            return false;
        }
        let input = self.input.as_mut().expect("an open source has its input");
        let epoch = now.0 / 1_000_000;
        // At least one record has been emitted before an epoch may be skipped, so epochs increase.
        if self.open.borrow().len() >= self.config.in_flight || epoch < *input.time() {
            return true;
        }
        input.advance_to(epoch);
        let (source, records, lane) = (InstanceId::new(self.config.operator, 0), self.config.records, Lane::Worker(self.context.worker));
        let batch: Vec<D> = (self.emitted..self.emitted + records).map(&mut self.record).collect();
        self.emitted += records;
        let recorder = &self.context.recorder;
        recorder.log(Record::EpochOpened { at: now, source, epoch: Epoch(epoch), due: now, records });
        recorder.log(Record::Activity(Activity {
            lane,
            kind: ActivityKind::Source,
            instance: source,
            epoch: Epoch(epoch),
            start: now,
            end: self.context.clock.now(),
            records_in: records,
            records_out: records,
        }));
        self.open.borrow_mut().push_back(epoch);
        input.send_batch(&mut Batch::new(lane, batch));
        input.advance_to(epoch + 1);
        true
    }
}
