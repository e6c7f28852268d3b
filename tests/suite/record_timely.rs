//! Recording of real timely and differential programs through timely's own log: what must hold of every recording, whatever the
//! program and however its workers talk to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use differential_dataflow::input::Input as _;
use differential_dataflow::operators::Iterate;
use thalweg::activity::{Activity, ActivityKind, ArrangementEvent, Lane, LogReader, Message, MessageKind, Record};
use thalweg::engine::{RecordingSink, record};
use thalweg::id::{ChannelId, OperatorId, WorkerId};
use thalweg::time::{Epoch, Timestamp};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::{Filter, Map};
use timely::dataflow::operators::{Concat, ConnectLoop, Enter, Feedback, Inspect, Leave, Operator, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle, StreamVec};
use timely::order::Product;
use timely::progress::Timestamp as LogicalTime;
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, WorkerConfig};

/// Every worker looks around this often, as a recorded program should.
const PARK: Option<Duration> = Some(Duration::from_millis(20));
const EPOCHS: u64 = 5;

fn config(communication: CommunicationConfig) -> Config {
    Config { communication, worker: WorkerConfig::default() }
}

/// A stream to whoever its keys belong to.
fn shuffle<'s, T: LogicalTime>(stream: StreamVec<'s, T, u64>, name: &str) -> StreamVec<'s, T, u64> {
    stream.unary::<CapacityContainerBuilder<Vec<u64>>, _, _, _>(Exchange::new(|x: &u64| *x), name, |_, _| {
        move |input, output| input.for_each(|cap, data| output.session(&cap).give_container(data))
    })
}

/// Two dataflows, the second built when the first is under way; the first has a loop with an exchange in it.
fn two_dataflows(worker: &mut Worker) {
    let (mut input, probe) = (InputHandleVec::<u64, u64>::new(), ProbeHandle::new());
    worker.dataflow_named("First", |scope| {
        let counted = shuffle(input.to_stream(scope), "Count");
        let looped = scope.iterative::<usize, _, _>(|inner| {
            let (handle, cycle) = inner.feedback::<Vec<u64>>(Product::new(Default::default(), 1));
            let body = shuffle(counted.enter(inner).concat(cycle).map(|x| x / 2), "Halve");
            body.clone().filter(|x| *x > 4).connect_loop(handle);
            body.filter(|x| *x <= 4).leave(scope)
        });
        looped.inspect(|_| ()).probe_with(&probe);
    });
    feed(worker, &mut input, &probe);
    let (mut other, second) = (InputHandleVec::<u64, u64>::new(), ProbeHandle::new());
    worker.dataflow_named("Second", |scope| {
        shuffle(other.to_stream(scope), "Later").probe_with(&second);
    });
    feed(worker, &mut other, &second);
    // The inputs end, or the worker would wait for them for ever.
    drop((input, other));
    while worker.has_dataflows() {
        worker.step_or_park(PARK);
    }
}

fn feed(worker: &mut Worker, input: &mut InputHandleVec<u64, u64>, probe: &ProbeHandle<u64>) {
    for _ in 0..EPOCHS {
        let first = worker.index() as u64 * 1000;
        (first..first + 300).for_each(|x| input.send(x));
        input.advance_to(input.time() + 1);
        while probe.less_than(input.time()) {
            worker.step_or_park(PARK);
        }
    }
}

/// Records `program` on two workers; gives all records, and how far each worker said it was with each batch checked.
fn recorded(communication: CommunicationConfig, program: impl Fn(&mut Worker) + Send + Sync + 'static) -> Vec<Record> {
    let (sink, batches) = RecordingSink::to_observer();
    let guards = timely::execute(config(communication), move |worker| {
        record::<u64>(worker, &sink);
        program(worker);
    });
    guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
    let mut up_to: BTreeMap<WorkerId, Timestamp> = BTreeMap::new();
    let mut records = Vec::new();
    for batch in batches {
        assert_eq!(batch.dropped, 0);
        let known = up_to.entry(batch.worker).or_default();
        for record in &batch.records {
            let named = matches!(record, Record::Operator { .. } | Record::Channel { .. });
            assert!(named || record.at() >= *known, "{record:?} came after the worker had said {known:?}");
        }
        assert!(matches!(batch.records.last(), Some(Record::UpTo { worker, at }) if *worker == batch.worker && *at == batch.up_to));
        *known = batch.up_to;
        records.extend(batch.records);
    }
    assert_eq!(up_to.len(), 2, "both workers recorded");
    records
}

fn activities(records: &[Record]) -> impl Iterator<Item = &Activity> {
    records.iter().filter_map(|record| if let Record::Activity(activity) = record { Some(activity) } else { None })
}

fn names(records: &[Record]) -> BTreeMap<OperatorId, &str> {
    let name = |record| if let &Record::Operator { operator, ref name } = record { Some((operator, name.as_str())) } else { None };
    let named: Vec<_> = records.iter().filter_map(name).collect();
    let unique: BTreeMap<_, _> = named.iter().copied().collect();
    assert_eq!(named.len(), unique.len(), "each operator is named once");
    unique
}

type Key = (ChannelId, WorkerId, u64);

/// Messages of a kind by what tells them apart.
fn messages(records: &[Record], kind: MessageKind) -> (BTreeMap<Key, Vec<Message>>, BTreeMap<Key, Vec<Message>>) {
    let (mut sent, mut received) = (BTreeMap::<Key, Vec<Message>>::new(), BTreeMap::<Key, Vec<Message>>::new());
    for record in records {
        let (side, message) = match record {
            Record::Sent(message) => (&mut sent, message),
            Record::Received(message) => (&mut received, message),
            _ => continue,
        };
        if message.kind == kind {
            side.entry((message.channel, message.from, message.sequence)).or_default().push(*message);
        }
    }
    (sent, received)
}

/// What holds of every recording on two workers.
fn check(records: &[Record]) {
    let (sent, received) = messages(records, MessageKind::Data);
    assert!(!sent.is_empty());
    assert_eq!(sent.keys().collect::<Vec<_>>(), received.keys().collect::<Vec<_>>());
    for (key, sent) in &sent {
        let received = &received[key];
        assert!(sent.len() == 1 && received.len() == 1, "{key:?}: {sent:?} {received:?}");
        let (sent, received) = (sent[0], received[0]);
        assert!(sent.at <= received.at && sent.records == received.records, "{sent:?} {received:?}");
        assert!(sent.from_lane == received.from_lane && sent.to_lane == received.to_lane && sent.from_lane != sent.to_lane);
    }
    let (sent, received) = messages(records, MessageKind::Progress);
    assert!(!sent.is_empty());
    assert_eq!(sent.keys().collect::<Vec<_>>(), received.keys().collect::<Vec<_>>());
    for (key, sent) in &sent {
        let received = &received[key];
        assert!(sent.len() == 1 && received.len() == 1, "one broadcast, one other worker: {key:?} {received:?}");
        assert!(sent[0].at <= received[0].at && received[0].to_lane != sent[0].from_lane);
    }
    let mut lanes: BTreeMap<Lane, Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
    for activity in activities(records) {
        assert!(activity.start <= activity.end && activity.epoch == Epoch::UNKNOWN);
        assert_eq!(activity.lane, Lane::Worker(WorkerId(activity.instance.index)));
        lanes.entry(activity.lane).or_default().push((activity.start, activity.end));
    }
    assert_eq!(lanes.len(), 2);
    for spans in lanes.values_mut() {
        spans.sort_unstable();
        assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0), "activities of one lane overlap");
    }
    let names = names(records);
    let channels: BTreeSet<ChannelId> = records
        .iter()
        .filter_map(|record| {
            let &Record::Channel { channel, source, target } = record else { return None };
            assert!(names.contains_key(&source) && names.contains_key(&target));
            Some(channel)
        })
        .collect();
    for record in records {
        match record {
            Record::Activity(activity) => assert!(names.contains_key(&activity.instance.operator)),
            Record::Sent(message) | Record::Received(message) => assert!(channels.contains(&message.channel), "{message:?}"),
            _ => {}
        }
    }
    // In the order of time, for each epoch an opening and a completion take turns.
    let mut turns: BTreeMap<Epoch, Vec<(Timestamp, bool)>> = BTreeMap::new();
    for record in records {
        match *record {
            Record::EpochOpened { at, epoch, due, source, .. } => {
                assert!(at == due && names.contains_key(&source.operator));
                turns.entry(epoch).or_default().push((at, false));
            }
            Record::EpochCompleted { at, epoch, worker } => {
                assert_eq!(worker, WorkerId(0));
                turns.entry(epoch).or_default().push((at, true));
            }
            _ => {}
        }
    }
    for (epoch, turns) in turns {
        assert!(turns.len() % 2 == 0 && (0..).zip(&turns).all(|(n, turn)| turn.1 == (n % 2 == 1)), "{epoch}: {turns:?}");
        assert!(turns.is_sorted(), "{epoch}: {turns:?}");
    }
}

fn check_two_dataflows(records: &[Record]) {
    check(records);
    let names = names(records);
    for name in ["First", "Second", "Count", "Halve", "Later", "Filter", "Inspect"] {
        assert!(names.values().any(|found| *found == name), "{name} is missing: {names:?}");
    }
    let between: BTreeSet<(&str, &str)> = records
        .iter()
        .filter_map(|record| if let Record::Channel { source, target, .. } = record { Some((names[source], names[target])) } else { None })
        .collect();
    // Into the loop and out of it.
    for ends in [("Input", "Count"), ("Count", "Concatenate"), ("Feedback", "Concatenate"), ("FlatMap", "Halve"), ("Filter", "Inspect")] {
        assert!(between.contains(&ends), "{ends:?} is missing: {between:?}");
    }
    // Word of progress of the dataflows and of the loop.
    for scope in ["First", "Second", "Iterative"] {
        assert!(between.contains(&(scope, scope)), "{scope} tells of no progress: {between:?}");
    }
    // Each worker's records went through Count once, and through both ends of each of its activations.
    let through = |name| {
        let of = activities(records).filter(|activity| names[&activity.instance.operator] == name);
        of.fold((0, 0), |sum, activity| (sum.0 + activity.records_in, sum.1 + activity.records_out))
    };
    assert_eq!(through("Count"), (600 * EPOCHS, 600 * EPOCHS));
    assert_eq!(through("Later"), (600 * EPOCHS, 600 * EPOCHS));
    assert_eq!(through("Inspect"), (600 * EPOCHS, 600 * EPOCHS));
    let opened = records.iter().filter(|record| matches!(record, Record::EpochOpened { .. })).count() as u64;
    // Both dataflows open 0 to EPOCHS; the first still holds its last epoch when the second reaches that.
    assert_eq!(opened, 2 * (EPOCHS + 1) - 1);
}

#[test]
fn two_dataflows_with_a_loop_are_recorded_in_full() {
    check_two_dataflows(&recorded(CommunicationConfig::Process(2), two_dataflows));
}

#[test]
fn messages_that_are_serialized_are_recorded_in_full() {
    check_two_dataflows(&recorded(CommunicationConfig::ProcessBinary(2), two_dataflows));
}

#[test]
fn arrangements_and_nested_iteration_of_a_differential_program_are_recorded() {
    let records = recorded(CommunicationConfig::Process(2), |worker| {
        let probe = ProbeHandle::new();
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, edges) = scope.new_collection::<(u64, u64), isize>();
            let roots = edges.clone().map(|(from, _)| (from, from));
            let reached = roots.clone().iterate(|scope, nodes| {
                let (edges, roots) = (edges.enter(scope), roots.enter(scope));
                nodes
                    .join_map(edges, |_, &label, &to| (to, label))
                    .concat(roots)
                    .reduce(|_, labels, smallest| smallest.push((*labels[0].0, 1)))
            });
            reached.probe_with(&probe);
            input
        });
        for round in 0..3 {
            let first = worker.index() as u64 * 50;
            (first..first + 50).for_each(|node| input.insert((node, (node * 7 + round) % 100)));
            input.advance_to(round + 1);
            input.flush();
            while probe.less_than(input.time()) {
                worker.step_or_park(PARK);
            }
        }
        drop(input);
        while worker.has_dataflows() {
            worker.step_or_park(PARK);
        }
    });
    check(&records);
    let names = names(&records);
    let mut events = BTreeSet::new();
    for record in &records {
        if let Record::Arrangement { instance, event, .. } = record {
            assert!(names[&instance.operator].starts_with("Arrange") || names[&instance.operator].contains("educe"), "{names:?}");
            events.insert(*event);
        }
    }
    assert_eq!(events, BTreeSet::from([ArrangementEvent::Batch, ArrangementEvent::Merge, ArrangementEvent::Drop]));
}

#[test]
fn a_driver_that_polls_leaves_nothing_behind() {
    let polls = 10_000;
    let records = recorded(CommunicationConfig::Process(2), move |worker| {
        let (mut input, probe) = (InputHandleVec::<u64, u64>::new(), ProbeHandle::new());
        worker.dataflow(|scope| {
            let shuffled = shuffle(input.to_stream(scope), "Count");
            let scope = shuffled.scope();
            // An operator that asks to be activated again and again, and has nothing to do.
            shuffled
                .unary_frontier::<CapacityContainerBuilder<Vec<u64>>, _, _, _>(Exchange::new(|x: &u64| *x), "Restless", |_, info| {
                    let activator = scope.activator_for(info.address);
                    move |(input, frontier), output| {
                        input.for_each(|cap, data| output.session(&cap).give_container(data));
                        if !frontier.is_empty() {
                            activator.activate();
                        }
                    }
                })
                .probe_with(&probe);
        });
        feed(worker, &mut input, &probe);
        (0..polls).for_each(|_| {
            worker.step();
        });
        drop(input);
        while worker.has_dataflows() {
            worker.step();
        }
    });
    check(&records);
    let names = names(&records);
    let of = |name: &str| activities(&records).filter(|activity| names[&activity.instance.operator] == name).count();
    assert!(of("Restless") > 0);
    assert!(of("Restless") < polls / 10, "{} activities of {polls} polls", of("Restless"));
    assert!(
        activities(&records).all(|activity| activity.kind != ActivityKind::Processing || names[&activity.instance.operator] != "Dataflow")
    );
}

#[test]
fn a_file_has_its_name_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program.log");
    let (sink, file) = RecordingSink::to_file(&path).unwrap();
    // A sink that is still there does not keep the recording open.
    let _kept = sink.clone();
    let guards = timely::execute(config(CommunicationConfig::Process(2)), move |worker| {
        record::<u64>(worker, &sink);
        two_dataflows(worker);
    });
    guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
    assert!(!path.exists());
    let recorded = file.finish().unwrap();
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["program.log"]);
    let reader = LogReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let records: Vec<Record> = reader.flat_map(|block| block.expect("the file is whole")).collect();
    check_two_dataflows(&records);
    assert_eq!((recorded.records, recorded.dropped), (records.len() as u64, 0));
    assert_eq!(recorded.bytes, std::fs::metadata(&path).unwrap().len());
}

#[test]
fn a_file_that_cannot_be_created_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none").join("program.log");
    let error = RecordingSink::to_file(&path).unwrap_err().to_string();
    assert!(error.contains("none") && error.contains("cannot create"), "{error}");
    let error = RecordingSink::to_file(folder.path()).unwrap_err().to_string();
    assert!(error.contains("expected a file, found a folder"), "{error}");
}
