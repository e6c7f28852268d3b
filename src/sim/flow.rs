//! Synthetic activity logs of random dataflows with one known cause of slowness.
//!
//! A source emits batches; each goes along all edges of the dataflow, at each operator to one
//! instance after the other in turn. Lanes serve first come, first served. At most
//! [`Flow::credits`] batches are in flight: when a batch has passed all its sinks, a progress
//! message lets the source emit another. So the bottleneck of the job makes everything else wait.
//!
//! *Dominant*: every part of the job imposes a minimum time per batch. For a lane that is its work
//! per batch; for latency, the time along the longest route, through the source and back, divided
//! by the batches in flight. The injected cause alone is made 1.5 to 3 times the largest of these
//! without it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::random::Random;
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// Cause of a dataflow's slowness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Each batch takes long at every instance of an operator.
    Operator(OperatorId),
    /// Each batch takes long at one instance.
    Instance(InstanceId),
    /// Each message takes long on a channel.
    Channel(ChannelId),
    /// For each batch an operator waits for something outside.
    Outside(OperatorId),
}

/// A kind of [`Cause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CauseKind {
    /// [`Cause::Operator`].
    Operator,
    /// [`Cause::Instance`]; of an operator of several.
    Instance,
    /// [`Cause::Channel`].
    Channel,
    /// [`Cause::Outside`].
    Outside,
}

/// A dataflow. Operator 0 is the source, with one instance; operators are in topological order.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Cause of its slowness.
    pub cause: Cause,
    /// Number of batches that may be in flight.
    pub credits: u64,
    operators: Vec<Operator>,
    /// By number of the channel; the last one carries progress back to the source.
    channels: Vec<Channel>,
    lanes: Vec<Lane>,
    seed: u64,
}

#[derive(Clone, Debug)]
struct Operator {
    /// Time of a batch in ns, at each instance.
    service: Vec<f64>,
    /// Time in ns that it waits for something outside, for each batch.
    outside: f64,
    /// Number of the lane of each instance.
    lanes: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    source: usize,
    target: usize,
    /// Delay in ns.
    delay: f64,
    /// To which instance the first batch goes.
    first: u64,
}

/// Times of one batch differ by up to this much, up and down.
const JITTER: f64 = 0.2;
/// Service times and delays, in ns.
const SERVICE: (f64, f64) = (50e3, 1e6);
const DELAY: (f64, f64) = (10e3, 300e3);

impl Flow {
    /// A dataflow of 2 to 6 operators behind a source, with 1 to 8 instances each, on lanes of
    /// their own or on 2 to 8 workers.
    pub fn random(seed: u64, kind: CauseKind) -> Flow {
        let mut random = Random::new(seed);
        let workers = 2 + random.below(7);
        let own_lanes = random.below(2) == 0;
        let mut lanes: Vec<Lane> = (0..workers).map(|worker| Lane::Worker(WorkerId(worker as u32))).collect();
        let mut operators = vec![Operator { service: vec![SERVICE.0 / 10.0], outside: 0.0, lanes: vec![0] }];
        let mut channels = Vec::new();
        let channel = |random: &mut Random, source, target| {
            let delay = random.log_uniform(DELAY.0, DELAY.1);
            Channel { source, target, delay, first: random.below(8) }
        };
        for number in 1..=2 + random.below(5) as usize {
            let source = random.below(number as u64) as usize;
            channels.push(channel(&mut random, source, number));
            if number > 1 && random.below(3) == 0 {
                let other = (source + 1 + random.below(number as u64 - 1) as usize) % number;
                channels.push(channel(&mut random, other, number));
            }
            let instances = 1 + random.below(8);
            let service = random.log_uniform(SERVICE.0, SERVICE.1);
            let place = |index: u64| {
                if !own_lanes {
                    return ((index + number as u64) % workers) as usize;
                }
                lanes.push(Lane::Instance(InstanceId::new(OperatorId(number as u32), index as u32)));
                lanes.len() - 1
            };
            operators.push(Operator {
                service: vec![service; instances as usize],
                outside: 0.0,
                lanes: (0..instances).map(place).collect(),
            });
        }
        channels.push(channel(&mut random, operators.len() - 1, 0));
        let most = operators.iter().map(|operator| operator.lanes.len()).max().unwrap_or(1);
        let credits = 2 * most as u64 + random.below(8);
        let mut flow = Flow { cause: Cause::Operator(OperatorId(1)), credits, operators, channels, lanes, seed };
        flow.inject(kind, &mut random);
        flow
    }

    /// Makes one part of the flow dominant.
    fn inject(&mut self, kind: CauseKind, random: &mut Random) {
        let number = 1 + random.below(self.operators.len() as u64 - 1) as usize;
        let instances = self.operators[number].lanes.len();
        if kind == CauseKind::Instance && instances == 1 {
            let lane = (self.operators[number].lanes[0] + 1) % self.lanes.len();
            let service = self.operators[number].service[0];
            self.operators[number].lanes.push(lane);
            self.operators[number].service.push(service);
        }
        let index = random.below(self.operators[number].lanes.len() as u64) as usize;
        let channel = random.below(self.channels.len() as u64 - 1) as usize;
        // What limits the job without the cause.
        match kind {
            CauseKind::Operator => self.operators[number].service.fill(0.0),
            CauseKind::Instance => self.operators[number].service[index] = 0.0,
            CauseKind::Channel => self.channels[channel].delay = 0.0,
            CauseKind::Outside => {}
        }
        let target = random.between(1.5, 3.0) * self.time_of_a_batch();
        let operator = OperatorId(number as u32);
        let copies = self.copies()[number];
        let of_an_instance = copies / self.operators[number].lanes.len() as f64;
        // Instances that share a lane take turns on it.
        let sharing = |lane: &usize| self.operators[number].lanes.iter().filter(|other| *other == lane).count();
        let most_on_a_lane = self.operators[number].lanes.iter().map(sharing).max().unwrap_or(1) as f64;
        self.cause = match kind {
            CauseKind::Operator => {
                self.operators[number].service.fill(target / (of_an_instance * most_on_a_lane));
                Cause::Operator(operator)
            }
            CauseKind::Instance => {
                self.operators[number].service[index] = target / of_an_instance;
                Cause::Instance(InstanceId::new(operator, index as u32))
            }
            CauseKind::Channel => {
                self.channels[channel].delay = target * self.credits as f64;
                Cause::Channel(ChannelId(channel as u32))
            }
            CauseKind::Outside => {
                self.operators[number].outside = target / (of_an_instance * most_on_a_lane);
                Cause::Outside(operator)
            }
        };
    }

    /// How many copies of a batch reach each operator.
    fn copies(&self) -> Vec<f64> {
        let mut copies = vec![0.0; self.operators.len()];
        copies[0] = 1.0;
        for number in 1..self.operators.len() {
            copies[number] = self.data_channels().filter(|channel| channel.target == number).map(|channel| copies[channel.source]).sum();
        }
        copies
    }

    fn data_channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels[..self.channels.len() - 1].iter()
    }

    /// The minimum time per batch that lanes and latency allow, in ns, with the times as they are.
    fn time_of_a_batch(&self) -> f64 {
        let mut lanes = vec![0.0; self.lanes.len()];
        let mut reached = vec![0.0f64; self.operators.len()];
        for (number, (operator, copies)) in self.operators.iter().zip(self.copies()).enumerate() {
            for (lane, service) in operator.lanes.iter().zip(&operator.service) {
                lanes[*lane] += copies / operator.lanes.len() as f64 * (service + operator.outside);
            }
            let arrival = self.data_channels().filter(|channel| channel.target == number);
            let arrival = arrival.map(|channel| reached[channel.source] + channel.delay).fold(0.0, f64::max);
            reached[number] = arrival + operator.outside + operator.service.iter().copied().fold(0.0, f64::max);
        }
        let back = self.channels[self.channels.len() - 1].delay;
        let latency = (reached.into_iter().fold(0.0, f64::max) + back) / self.credits as f64;
        lanes.into_iter().fold(latency, f64::max)
    }

    /// The log: the source emits until `until`, then what is in flight completes.
    pub fn records(&self, until: Timestamp) -> impl Iterator<Item = Record> {
        let names = (0..self.operators.len() as u32).map(|number| {
            let name = if number == 0 { "source".to_owned() } else { format!("operator{number}") };
            Record::Operator { operator: OperatorId(number), name }
        });
        let channels = (0..).zip(&self.channels).map(|(number, channel)| Record::Channel {
            channel: ChannelId(number),
            source: OperatorId(channel.source as u32),
            target: OperatorId(channel.target as u32),
        });
        let mut playing = Playing::new(self, until);
        let rest = std::iter::from_fn(move || {
            while playing.records.is_empty() {
                playing.serve_next()?;
            }
            playing.records.pop_front()
        });
        names.chain(channels).chain(rest)
    }

    fn host(&self, lane: usize) -> WorkerId {
        let workers = self.lanes.iter().filter(|lane| matches!(lane, Lane::Worker(_))).count();
        WorkerId((lane % workers) as u32)
    }
}

/// A batch that arrives at an operator. Ordered by when, then by when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Timestamp,
    sequence: u64,
    channel: usize,
    from_lane: usize,
    /// The batch; of progress, the one that is complete.
    batch: u64,
}

/// State of a running flow.
struct Playing<'f> {
    flow: &'f Flow,
    until: Timestamp,
    random: Random,
    arrivals: BinaryHeap<Reverse<Arrival>>,
    /// Until when each lane is busy.
    busy: Vec<Timestamp>,
    /// Of each batch, how many copies are in flight, and when and on which lane the last of the
    /// others ends.
    under_way: BTreeMap<u64, (u64, Timestamp, usize)>,
    emitted: u64,
    sent: u64,
    records: VecDeque<Record>,
}

impl<'f> Playing<'f> {
    fn new(flow: &'f Flow, until: Timestamp) -> Playing<'f> {
        let mut playing = Playing {
            flow,
            until,
            random: Random::new(flow.seed),
            arrivals: BinaryHeap::new(),
            busy: vec![Timestamp::ZERO; flow.lanes.len()],
            under_way: BTreeMap::new(),
            emitted: 0,
            sent: 0,
            records: VecDeque::new(),
        };
        for _ in 0..flow.credits {
            playing.emit(Timestamp::ZERO);
        }
        playing
    }

    fn jitter(&mut self, time: f64) -> u64 {
        (time * self.random.between(1.0 - JITTER, 1.0 + JITTER)) as u64
    }

    /// Takes the next arrival; nothing if there is none.
    fn serve_next(&mut self) -> Option<()> {
        let Reverse(arrival) = self.arrivals.pop()?;
        let flow = self.flow;
        let Channel { target, first, .. } = flow.channels[arrival.channel];
        let operator = &flow.operators[target];
        let index = ((arrival.batch + first) % operator.lanes.len() as u64) as usize;
        let lane = operator.lanes[index];
        let start = arrival.at.max(self.busy[lane]);
        let progress = target == 0;
        let kind = if progress { MessageKind::Progress } else { MessageKind::Data };
        let message = self.message(&arrival, kind, lane, start);
        self.records.push_back(Record::Received(message));
        if progress {
            self.emit(start);
        } else {
            let instance = InstanceId::new(OperatorId(target as u32), index as u32);
            let mut end = start;
            if operator.outside > 0.0 {
                end = self.work(lane, ActivityKind::ExternalWait, instance, arrival.batch, start, operator.outside);
            }
            let end = self.work(lane, ActivityKind::Processing, instance, arrival.batch, end, operator.service[index]);
            self.send_on(target, lane, arrival.batch, end);
        }
        // Nothing that arrives later begins earlier.
        self.records.push_back(Record::UpTo { worker: WorkerId(0), at: arrival.at });
        Some(())
    }

    fn emit(&mut self, start: Timestamp) {
        if start >= self.until {
            return;
        }
        let (batch, start) = (self.emitted, start.max(self.busy[0]));
        self.emitted += 1;
        self.under_way.insert(batch, (1, start, 0));
        let source = InstanceId::new(OperatorId(0), 0);
        self.records.push_back(Record::EpochOpened { at: start, source, epoch: Epoch(batch), due: start, records: 1 });
        let service = self.flow.operators[0].service[0];
        let end = self.work(0, ActivityKind::Source, source, batch, start, service);
        self.send_on(0, 0, batch, end);
    }

    fn work(&mut self, lane: usize, kind: ActivityKind, instance: InstanceId, batch: u64, start: Timestamp, time: f64) -> Timestamp {
        let end = Timestamp(start.0 + self.jitter(time));
        let (lane_name, epoch) = (self.flow.lanes[lane], Epoch(batch));
        let activity = Activity { lane: lane_name, kind, instance, epoch, start, end, records_in: 1, records_out: 1 };
        self.records.push_back(Record::Activity(activity));
        self.busy[lane] = end;
        end
    }

    /// Sends a batch that an operator has worked on along its channels; or word that it is
    /// complete, if that was the last of it.
    fn send_on(&mut self, operator: usize, lane: usize, batch: u64, at: Timestamp) {
        let flow = self.flow;
        let mut copies = 0;
        for channel in 0..flow.channels.len() - 1 {
            if flow.channels[channel].source == operator {
                copies += 1;
                self.send(channel, lane, batch, at, MessageKind::Data);
            }
        }
        let (left, last, last_lane) = self.under_way.get_mut(&batch).expect("it is under way");
        *left = *left + copies - 1;
        if at >= *last {
            (*last, *last_lane) = (at, lane);
        }
        // The end of a service is known from its beginning on: the copy that is served last need
        // not be the one that ends last.
        let (left, last, last_lane) = (*left, *last, *last_lane);
        if left == 0 {
            self.under_way.remove(&batch);
            self.records.push_back(Record::EpochCompleted { at: last, worker: flow.host(last_lane), epoch: Epoch(batch) });
            self.send(flow.channels.len() - 1, last_lane, batch, last, MessageKind::Progress);
        }
    }

    fn send(&mut self, channel: usize, from_lane: usize, batch: u64, at: Timestamp, kind: MessageKind) {
        let delay = self.jitter(self.flow.channels[channel].delay);
        let arrival = Arrival { at: Timestamp(at.0 + delay), sequence: self.sent, channel, from_lane, batch };
        self.sent += 1;
        let message = self.message(&arrival, kind, from_lane, at);
        self.records.push_back(Record::Sent(message));
        self.arrivals.push(Reverse(arrival));
    }

    fn message(&self, arrival: &Arrival, kind: MessageKind, to_lane: usize, at: Timestamp) -> Message {
        Message {
            at,
            kind,
            channel: ChannelId(arrival.channel as u32),
            sequence: arrival.sequence,
            from: self.flow.host(arrival.from_lane),
            from_lane: self.flow.lanes[arrival.from_lane],
            to_lane: self.flow.lanes[to_lane],
            epoch: Epoch(arrival.batch),
            records: 1,
        }
    }
}
