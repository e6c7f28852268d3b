//! A backlog does not hold back commands: bins move before it is processed, and sources pause until it is.
//!
//! Everything here is a matter of order, nothing of time.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use thalweg::dataflow::{Capacity, QueueMarks};
use thalweg::engine::{
    Ack, Clock, Command, Context, DrainToSink, ElasticKeyed, ElasticStateless, IntoBatches, OperatorSpec, QueueBoard, Recorder, Time,
};
use thalweg::id::{BinId, OperatorId, WorkerId};
use thalweg::migration::Assignment;
use timely::dataflow::operators::Probe;
use timely::dataflow::{InputHandleVec, ProbeHandle};

const MAP: OperatorId = OperatorId(1);
const COUNT: OperatorId = OperatorId(2);
const RECORDS: u64 = 20_000;
const BINS: u32 = 64;

/// Two instances on one worker that yields after each record: first all bins belong to one of them, then to the other.
#[test]
fn bins_move_while_a_backlog_waits_for_them() {
    timely::execute_directly(|worker| {
        let (acks, acked) = channel();
        let mut context = Context::new(WorkerId(0), 1, Clock::start(), Recorder::off(), acks);
        context.budget = Duration::ZERO;
        let count = OperatorSpec::new(COUNT, "Count", Capacity::Cpu, 2);
        let (mut records, mut control) = (InputHandleVec::<Time, (u64, ())>::new(), InputHandleVec::<Time, Command>::new());
        let (probe, arrived): (_, Rc<Cell<u64>>) = (ProbeHandle::new(), Rc::default());
        let at_sink = Rc::clone(&arrived);
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope);
            records
                .to_stream(scope)
                .into_batches()
                .elastic_keyed(commands, &context, &count, &Assignment::even(BINS, 1), |&key, (), count: &mut u64, counts| {
                    *count += 1;
                    counts.push((key, *count));
                })
                .drain_to_sink(&context, OperatorId(3), move |_, counts| at_sink.set(at_sink.get() + counts.len() as u64))
                .probe_with(&probe);
        });
        control.advance_to(10);
        records.send_batch(&mut (0..RECORDS).map(|n| (n % 1000, ())).collect());
        records.advance_to(10);
        // It has begun with the backlog when the command comes.
        worker.step_while(|| arrived.get() == 0);
        let moves = (0..BINS).map(|bin| (BinId(bin), 1)).collect();
        control.send(Command { moves, ..Command::new(COUNT) });
        control.advance_to(20);
        let mut installed = 0;
        let mut first = None;
        while installed < BINS as usize {
            worker.step();
            for ack in acked.try_iter() {
                let Ack::Installed(COUNT, bins) = ack else { panic!("{ack:?}") };
                installed += bins;
                first.get_or_insert(arrived.get());
            }
        }
        let first = first.unwrap();
        assert!(probe.less_than(&1), "the backlog is done before the bins have moved");
        assert!(first < RECORDS, "{first} of {RECORDS} records were done before a bin had moved");
        drop((records, control));
        worker.step_while(|| !probe.done());
        assert_eq!(arrived.get(), RECORDS);
    });
}

/// The operator's part of the work that waits is told while it waits, and sources are free again when it is done.
#[test]
fn sources_pause_for_a_worker_with_much_work_until_it_is_done() {
    timely::execute_directly(|worker| {
        let (clock, acks) = (Clock::start(), channel().0);
        let context = Context::new(WorkerId(0), 1, clock, Recorder::off(), acks);
        let mut board = QueueBoard::new();
        let spec = OperatorSpec::with_queues(MAP, "Map", Capacity::Cpu, board.operator(QueueMarks::default(), 1));
        let (late, pressing) = (board.late(), board.pressing());
        let (mut records, mut control) = (InputHandleVec::<Time, u64>::new(), InputHandleVec::<Time, Command>::new());
        let probe = ProbeHandle::new();
        let within = clock;
        worker.dataflow(|scope| {
            let commands = control.to_stream(scope);
            records
                .to_stream(scope)
                .into_batches()
                .elastic_flat_map(commands, &context, &spec, 1, move |record, records| {
                    // A record takes as long as a hundred microseconds last, whatever else the machine does.
                    let until = within.now() + Duration::from_micros(100);
                    while within.now() < until {
                        std::hint::spin_loop();
                    }
                    records.push(record);
                })
                .drain_to_sink(&context, OperatorId(3), |_, _| {})
                .probe_with(&probe);
        });
        control.advance_to(10);
        records.send_batch(&mut (0..1000).collect());
        records.advance_to(1);
        let mut seen: BTreeSet<(usize, usize)> = BTreeSet::new();
        let load = |count: &std::sync::atomic::AtomicUsize| count.load(std::sync::atomic::Ordering::SeqCst);
        while probe.less_than(&1) {
            worker.step();
            seen.insert((load(&late), load(&pressing)));
        }
        // A tenth of a second of work is late, and at the end nothing is.
        assert_eq!(seen, [(0, 0), (1, 1)].into());
        assert_eq!((load(&late), load(&pressing)), (0, 0));
    });
}
