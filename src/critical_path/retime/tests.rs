//! Small traces whose changed times are known.

use std::collections::BTreeMap;

use super::{Change, Retimer};
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

const SOURCE: u32 = 0;
const MS: u64 = 1_000_000;

fn lane(operator: u32) -> Lane {
    if operator == SOURCE { Lane::Worker(WorkerId(0)) } else { Lane::Instance(InstanceId::new(OperatorId(operator), 0)) }
}

/// A trace of operators with a lane each: the times of everything are in ms.
#[derive(Default)]
struct Drawn(Vec<Record>, u64);

impl Drawn {
    fn of(operators: &[&str]) -> Drawn {
        let names = (0..).map(OperatorId).zip(operators);
        Drawn(names.map(|(operator, name)| Record::Operator { operator, name: (*name).to_owned() }).collect(), 0)
    }

    fn opened(mut self, epoch: u64, due: u64, at: u64) -> Drawn {
        let (due, at, source) = (Timestamp(due * MS), Timestamp(at * MS), OperatorId(SOURCE));
        self.0.push(Record::EpochOpened { at, source: InstanceId::new(source, 0), epoch: Epoch(epoch), due, records: 1 });
        self.work(epoch, SOURCE, at.0 / MS, at.0 / MS)
    }

    fn work(mut self, epoch: u64, operator: u32, start: u64, end: u64) -> Drawn {
        let kind = if operator == SOURCE { ActivityKind::Source } else { ActivityKind::Processing };
        self.0.push(Record::Activity(Activity {
            lane: lane(operator),
            kind,
            instance: InstanceId::new(OperatorId(operator), 0),
            epoch: Epoch(epoch),
            start: Timestamp(start * MS),
            end: Timestamp(end * MS),
            records_in: 1,
            records_out: 1,
        }));
        self
    }

    fn message(mut self, epoch: u64, (from, at): (u32, u64), (to, until): (u32, u64)) -> Drawn {
        self.1 += 1;
        let side = Message {
            at: Timestamp(at * MS),
            kind: MessageKind::Data,
            channel: ChannelId(to),
            sequence: self.1,
            from: WorkerId(0),
            from_lane: lane(from),
            to_lane: lane(to),
            epoch: Epoch(epoch),
            records: 1,
        };
        self.0.extend([Record::Sent(side), Record::Received(Message { at: Timestamp(until * MS), ..side })]);
        self
    }

    fn completed(mut self, epoch: u64, at: u64) -> Drawn {
        self.0.push(Record::EpochCompleted { at: Timestamp(at * MS), worker: WorkerId(0), epoch: Epoch(epoch) });
        self
    }

    /// Latencies of epochs in ms, in each world.
    fn latencies(self, changes: &[&str]) -> BTreeMap<u64, Vec<u64>> {
        let mut retimer = Retimer::new(changes.iter().map(|change| change.parse().unwrap()).collect());
        self.0.iter().for_each(|record| retimer.push(record));
        retimer.advance(true);
        let of = |epoch: super::RetimedEpoch| (epoch.epoch.0, (0..=changes.len()).map(|world| epoch.ns(world) / MS).collect());
        retimer.epochs().into_iter().map(of).collect()
    }
}

/// Epochs come every 10 ms; `first` takes 4 ms, `second` 12 ms, so that its queue grows.
fn overloaded() -> Drawn {
    let mut drawn = Drawn::of(&["source", "first", "second"]);
    let mut free = 0;
    for epoch in 0..20 {
        let due = epoch * 10;
        let made = due + 1 + 4;
        let start = free.max(made + 1);
        free = start + 12;
        drawn = drawn.opened(epoch, due, due + 1).message(epoch, (SOURCE, due + 1), (1, due + 1)).work(epoch, 1, due + 1, made);
        drawn = drawn.message(epoch, (1, made), (2, made + 1)).work(epoch, 2, start, free).completed(epoch, free);
    }
    drawn
}

#[test]
fn without_a_change_everything_is_as_it_was() {
    let found = overloaded().latencies(&[]);
    assert_eq!(found.len(), 20);
    assert_eq!((&found[&0], &found[&1], &found[&19]), (&vec![18], &vec![20], &vec![56]));
}

#[test]
fn a_queue_becomes_shorter_where_its_operator_is_faster_and_longer_where_it_is_slower() {
    let found = overloaded().latencies(&["second=0.5x", "second=2x", "first=0", "first=2x"]);
    // 1 + 4 + 1 + 6, without a queue; 24 ms of work an epoch grow it by 14 each.
    assert_eq!(found[&19], [56, 12, 6 + 24 + 19 * 14, 56 - 4, 56 + 4]);
    assert_eq!(found[&0], [18, 12, 30, 14, 22]);
}

#[test]
fn messages_take_no_time_without_a_network() {
    // The last epoch waits in the queue, which begins a millisecond earlier.
    assert_eq!(overloaded().latencies(&["network=0"])[&19], [56, 55]);
}

#[test]
fn an_instance_alone_may_change() {
    assert_eq!(overloaded().latencies(&["second[0]=0.5x", "second[1]=0.5x"])[&19], [56, 12, 56]);
}

#[test]
fn work_does_not_wait_for_work_that_came_before_it_and_becomes_late() {
    // Two branches meet at operator 3; epoch 0 comes by way of 1, epoch 1 by way of 2 and earlier.
    let drawn = Drawn::of(&["source", "one", "two", "three"]);
    let drawn = drawn.opened(0, 0, 0).message(0, (SOURCE, 0), (1, 0)).work(0, 1, 0, 20).message(0, (1, 20), (3, 20)).work(0, 3, 20, 25);
    let drawn = drawn.opened(1, 5, 5).message(1, (SOURCE, 5), (2, 5)).work(1, 2, 5, 12).message(1, (2, 12), (3, 12)).work(1, 3, 12, 17);
    let found = drawn.completed(0, 25).completed(1, 17).latencies(&["two=10x"]);
    assert_eq!((&found[&0], &found[&1]), (&vec![25, 25], &vec![12, 75]));
}

#[test]
fn a_source_that_was_held_back_emits_on_time_where_nothing_holds_it_back() {
    let mut drawn = Drawn::of(&["source", "slow"]);
    for epoch in 0..10 {
        // It is due every 10 ms, and paused for 20 ms each.
        let (due, at) = (epoch * 10, 1 + epoch * 20);
        drawn = drawn.opened(epoch, due, at).message(epoch, (SOURCE, at), (1, at)).work(epoch, 1, at, at + 20).completed(epoch, at + 20);
    }
    let found = drawn.latencies(&["slow=0.1x"]);
    assert_eq!(found[&9][0], 111);
    assert!(found[&9][1] <= 23, "{found:?}");
}

#[test]
fn the_same_records_give_the_same_whatever_the_pieces_they_come_in() {
    let records = overloaded().0;
    let of = |pieces: usize| {
        let mut retimer = Retimer::new(vec![Change::of("second", 0.7)]).with_curves(&[0.5]);
        for piece in records.chunks(pieces) {
            piece.iter().for_each(|record| retimer.push(record));
            retimer.advance(false);
        }
        retimer.advance(true);
        retimer.epochs()
    };
    assert_eq!(of(1), of(1000));
    assert_eq!(of(7).len(), 20);
}
