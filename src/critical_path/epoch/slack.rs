//! Slack: how much later an operator's output could have been without delaying the epoch.
//!
//! Computed over the graph of one epoch: its activities and receipts, each after those it had to
//! wait for. The forward pass is the log: every event is at its earliest time, which is when it
//! happened. The backward pass finds its latest time: the last event of the epoch may not be later
//! than it was; every other event must leave its successors the time they took:
//!
//! ```text
//!  latest(event) = min over successors S of latest(S) - (what S and the way to it took)
//!  slack(O)      = min over works of O of latest(end of work) - end of work
//! ```
//!
//! The successors of an activity are the receipts of what it sent, and the epoch's next activity on
//! the same lane: the lane's work on other epochs in between keeps its duration and its position.
//! Messages, and results waiting for their release, take as long as they took. The successor of a
//! receipt is the epoch's next activity on its lane. Where the log does not identify the successor,
//! no slack is assumed, so the result is a lower bound. It applies to one epoch: others may be
//! delayed by using this epoch's slack.
// papers/snailtrail-nsdi18.md#epoch-slack

use std::collections::BTreeMap;

use super::index::{EpochPlaces, Place};
use crate::activity::Lane;
use crate::id::OperatorId;
use crate::pag::{GraphBuilder, StepKind};

/// An activity or a receipt of the epoch.
#[derive(Clone, Copy, Debug)]
struct Event {
    place: Place,
    start: u64,
    end: u64,
    /// The operator of an activity; `None` for a receipt.
    operator: Option<OperatorId>,
    goes_on: bool,
    /// Its latest end.
    latest: u64,
    /// Number of successors without a known latest end.
    open: u32,
}

/// A dependency between two events, by number: how long before the latest end of `to` the latest
/// end of `from` has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    to: usize,
    from: usize,
    lag: u64,
}

/// The graph of one epoch.
pub(super) struct OwnGraph<'a> {
    graph: &'a GraphBuilder,
    /// In order of position.
    events: Vec<Event>,
    edges: Vec<Edge>,
}

impl<'a> OwnGraph<'a> {
    /// Slack in ns of each operator that worked on an epoch that completed at `completed`, in order
    /// of operators. Visits at most `fuel` steps and subtracts those it visited; `None` if that
    /// does not suffice or the log is contradictory.
    pub(super) fn slack(graph: &'a GraphBuilder, places: &EpochPlaces, completed: u64, fuel: &mut u32) -> Vec<(OperatorId, u64)> {
        OwnGraph::of(graph, places, completed, fuel).and_then(OwnGraph::backward).unwrap_or_default()
    }

    fn of(graph: &'a GraphBuilder, places: &EpochPlaces, completed: u64, fuel: &mut u32) -> Option<OwnGraph<'a>> {
        *fuel = fuel.checked_sub(u32::try_from(places.works.len() + places.receipts.len()).ok()?)?;
        let event = |place: Place| {
            let step = place.of(graph).filter(|step| step.end <= completed)?;
            let operator = matches!(step.kind, StepKind::Work(_)).then_some(step.instance.operator);
            Some(Event { place, start: step.start, end: step.end, operator, goes_on: step.goes_on, latest: 0, open: 0 })
        };
        let mut events: Vec<Event> = places.works.iter().chain(places.receipts.iter()).filter_map(event).collect();
        // Two runs that are sorted already.
        events.sort_by_key(|event| event.place);
        let last = events.iter().map(|event| event.end).max()?;
        events.iter_mut().for_each(|event| event.latest = last);
        let mut own = OwnGraph { graph, events, edges: Vec::new() };
        own.order_on_lanes(fuel)?;
        own.order_by_messages(places);
        Some(own)
    }

    fn is_instance(&self, lane: u32) -> bool {
        matches!(self.graph.lanes()[lane as usize], Lane::Instance(_))
    }

    fn connect(&mut self, from: usize, to: usize, lag: u64) {
        self.events[from].open += 1;
        self.edges.push(Edge { to, from, lag });
    }

    /// Each event precedes the epoch's next activity on its lane.
    fn order_on_lanes(&mut self, fuel: &mut u32) -> Option<()> {
        let (mut lane, mut next, mut next_begun): (Option<u32>, Option<usize>, Option<usize>) = (None, None, None);
        for index in (0..self.events.len()).rev() {
            let event = self.events[index];
            if lane.replace(event.place.lane) != Some(event.place.lane) {
                (next, next_begun) = (None, None);
            }
            if event.operator.is_some() {
                if let Some(to) = next {
                    let busy = self.busy_between(event.place, self.events[to].place, fuel)?;
                    self.connect(index, to, self.length(to) + busy);
                }
                next = Some(index);
                next_begun = if event.goes_on { next_begun } else { Some(index) };
                continue;
            }
            let is_instance = self.is_instance(event.place.lane);
            // An activity that an instance had already started did not need this input.
            match if is_instance { next_begun.or(next) } else { next } {
                Some(to) => self.connect(index, to, self.length(to)),
                // It was forwarded to another instance, with its bin.
                None if is_instance => self.events[index].latest = event.end,
                None => {}
            }
        }
        Some(())
    }

    fn length(&self, index: usize) -> u64 {
        self.events[index].end - self.events[index].start
    }

    /// Time that a lane worked between two of its steps.
    fn busy_between(&self, after: Place, before: Place, fuel: &mut u32) -> Option<u64> {
        let mut busy = 0;
        for step in after.step + 1..before.step {
            *fuel = fuel.checked_sub(1)?;
            let step = Place { step, ..after }.of(self.graph)?;
            if matches!(step.kind, StepKind::Work(_)) {
                busy += step.end - step.start;
            }
        }
        Some(busy)
    }

    /// Each receipt follows the activity that sent the message.
    fn order_by_messages(&mut self, places: &EpochPlaces) {
        for to in 0..self.events.len() {
            let receipt = self.events[to];
            if receipt.operator.is_some() {
                continue;
            }
            let sent = receipt.place.of(self.graph).and_then(|step| self.graph.message(step));
            let made = sent.and_then(|sent| places.producer(self.graph, &sent));
            let from = made.and_then(|made| self.events.binary_search_by_key(&made, |event| event.place).ok());
            if let Some(from) = from.filter(|&from| self.events[from].end <= receipt.end) {
                self.connect(from, to, receipt.end - self.events[from].end);
            }
        }
    }

    /// The backward pass: repeatedly takes events whose successors are all known.
    fn backward(mut self) -> Option<Vec<(OperatorId, u64)>> {
        self.edges.sort_unstable();
        let mut slack: BTreeMap<OperatorId, u64> = BTreeMap::new();
        let mut ready: Vec<usize> = (0..self.events.len()).filter(|&index| self.events[index].open == 0).collect();
        let mut done = 0;
        while let Some(to) = ready.pop() {
            done += 1;
            let event = self.events[to];
            if let Some(operator) = event.operator {
                let left = event.latest.saturating_sub(event.end);
                slack.entry(operator).and_modify(|least| *least = left.min(*least)).or_insert(left);
            }
            let first = self.edges.partition_point(|edge| edge.to < to);
            for edge in self.edges[first..].iter().take_while(|edge| edge.to == to) {
                let from = &mut self.events[edge.from];
                from.latest = from.latest.min(event.latest.saturating_sub(edge.lag));
                from.open -= 1;
                if from.open == 0 {
                    ready.push(edge.from);
                }
            }
        }
        // Messages in a cycle cannot have happened.
        (done == self.events.len()).then(|| slack.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
    use crate::critical_path::epoch::EpochPaths;
    use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
    use crate::pag::{GraphBuilder, GraphConfig};
    use crate::time::{Epoch, Timestamp};

    const SOURCE: u32 = 0;
    const SINK: u32 = 9;

    fn lane(operator: u32) -> Lane {
        if operator == SINK { Lane::Worker(WorkerId(1)) } else { Lane::Instance(InstanceId::new(OperatorId(operator), 0)) }
    }

    /// The log of one epoch due at 0 and of work on others: activities as operator, from, until;
    /// messages as from, at, to, until.
    #[derive(Default)]
    struct Drawn(Vec<Record>, u64);

    impl Drawn {
        fn work(self, operator: u32, start: u64, end: u64) -> Drawn {
            self.work_on(1, operator, start, end)
        }

        fn work_on(mut self, epoch: u64, operator: u32, start: u64, end: u64) -> Drawn {
            let kind = match operator {
                SOURCE => ActivityKind::Source,
                SINK => ActivityKind::Sink,
                _ => ActivityKind::Processing,
            };
            let instance = InstanceId::new(OperatorId(operator), 0);
            let (start, end, epoch) = (Timestamp(start), Timestamp(end), Epoch(epoch));
            self.0.push(Record::Activity(Activity {
                lane: lane(operator),
                kind,
                instance,
                epoch,
                start,
                end,
                records_in: 1,
                records_out: 1,
            }));
            self
        }

        fn message(mut self, from: u32, at: u64, to: u32, until: u64) -> Drawn {
            self.1 += 1;
            let side = Message {
                at: Timestamp(at),
                kind: MessageKind::Data,
                channel: ChannelId(to),
                sequence: self.1,
                from: WorkerId(0),
                from_lane: lane(from),
                to_lane: lane(to),
                epoch: Epoch(1),
                records: 1,
            };
            self.0.extend([Record::Sent(side), Record::Received(Message { at: Timestamp(until), ..side })]);
            self
        }

        /// Slack by operator of the epoch, complete at `completed`.
        fn slack(mut self, completed: u64) -> Vec<(u32, u64)> {
            let source = OperatorId(SOURCE);
            self.0.insert(
                0,
                Record::EpochOpened {
                    at: Timestamp(0),
                    source: InstanceId::new(source, 0),
                    epoch: Epoch(1),
                    due: Timestamp(0),
                    records: 1,
                },
            );
            self.0.push(Record::EpochCompleted { at: Timestamp(completed), worker: WorkerId(0), epoch: Epoch(1) });
            let config = GraphConfig { history: Duration::from_secs(1), ..GraphConfig::new(Duration::from_millis(1)) };
            let (mut graph, mut epochs) = (GraphBuilder::new(config), EpochPaths::default().with_slack());
            for record in &self.0 {
                graph.push(record);
                epochs.push(record);
            }
            while graph.close(Timestamp(u64::MAX)).is_some() {}
            let paths = epochs.walk(&graph, Timestamp(u64::MAX));
            paths[0].slack.iter().map(|(operator, ns)| (operator.0, *ns)).collect()
        }
    }

    /// ```text
    ///  source 0-10 ─┬─ 1: 20-30 ──────────┬─ 3: 70-75 ─ sink
    ///               └─ 2: 20-60 ──────────┘
    /// ```
    fn diamond() -> Drawn {
        let drawn = Drawn::default().work(SOURCE, 0, 10).message(SOURCE, 10, 1, 20).message(SOURCE, 10, 2, 20);
        let drawn = drawn.work(1, 20, 30).work(2, 20, 60).message(1, 30, 3, 40).message(2, 60, 3, 70);
        drawn.work(3, 70, 75).message(3, 75, SINK, 80).work(SINK, 80, 80)
    }

    #[test]
    fn the_short_branch_of_a_diamond_has_the_difference_and_the_critical_one_none() {
        assert_eq!(diamond().slack(85), [(0, 0), (1, 30), (2, 0), (3, 0), (9, 0)]);
    }

    #[test]
    fn what_the_short_branch_makes_work_for_is_no_slack() {
        // The join works on the short branch's records first: 50-54, with the other's at 70.
        let drawn = Drawn::default().work(SOURCE, 0, 10).message(SOURCE, 10, 1, 20).message(SOURCE, 10, 2, 20);
        let drawn = drawn.work(1, 20, 40).work(2, 20, 60).message(1, 40, 3, 50).message(2, 60, 3, 70);
        let drawn = drawn.work(3, 50, 54).work(3, 70, 75).message(3, 75, SINK, 80).work(SINK, 80, 80);
        // 16 until the later work has to begin. The join's own last work ends the epoch.
        assert_eq!(drawn.slack(85), [(0, 0), (1, 16), (2, 0), (3, 0), (9, 0)]);
    }

    #[test]
    fn work_for_others_in_between_keeps_its_length() {
        let drawn = Drawn::default().work(SOURCE, 0, 10).message(SOURCE, 10, 1, 20);
        // Two works on one lane, 3 of another epoch between them; the first one's result is needed
        // by no one before the second's.
        let drawn = drawn.work(1, 20, 30).work_on(2, 1, 35, 38).work(1, 50, 60).message(1, 60, SINK, 70).work(SINK, 70, 70);
        let drawn = drawn.message(1, 30, 2, 31).work(2, 31, 32).message(2, 32, SINK, 33).work(SINK, 33, 33);
        // Operator 2 has until the end. The first work could begin 17 later: the second begins 20
        // after its end, of which 3 are the other's.
        assert_eq!(drawn.slack(70), [(0, 17), (1, 0), (2, 37), (9, 0)]);
    }

    #[test]
    fn who_has_an_end_of_its_own_has_slack_up_to_the_last() {
        let drawn =
            Drawn::default().work(SOURCE, 0, 10).message(SOURCE, 10, 1, 12).work(1, 12, 20).message(SOURCE, 10, 2, 15).work(2, 15, 65);
        assert_eq!(drawn.slack(90), [(0, 0), (1, 45), (2, 0)]);
    }

    #[test]
    fn an_input_that_went_on_with_its_bin_has_none() {
        // Nobody works on what instance 1 received.
        let drawn = Drawn::default().work(SOURCE, 0, 10).message(SOURCE, 10, 1, 12).message(SOURCE, 10, 2, 15).work(2, 15, 65);
        assert_eq!(drawn.slack(90), [(0, 0), (2, 0)]);
        assert_eq!(Drawn::default().work(SOURCE, 0, 10).message(SOURCE, 10, 1, 12).slack(90), [(0, 0)]);
    }

    #[test]
    fn nothing_is_said_of_an_epoch_without_a_step() {
        assert_eq!(Drawn::default().slack(10), []);
    }
}
