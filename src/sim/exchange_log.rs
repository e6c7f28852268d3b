//! Synthetic activity log of workers that exchange messages: in every round each works for some
//! phases, sends to its partners and waits for their messages.
//!
//! An iterator of records; it holds one round at a time, however long the log. Records of a round
//! come worker by worker, each worker's in order of time, as a recorder hands over its batches.
//! Invariants: a lane never does two things at once, nothing is received before it was sent, and
//! after [`Record::UpTo`] a worker adds nothing earlier.

use std::collections::VecDeque;
use std::time::Duration;

use super::random::{Durations, Random};
use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// Length of a phase of work: log-uniform between these.
const SHORTEST_PHASE: Duration = Duration::from_nanos(10);
const LONGEST_PHASE: Duration = Duration::from_millis(1);
/// Delay of a message: log-uniform between these.
const LEAST_DELAY: Duration = Duration::from_micros(1);
const MOST_DELAY: Duration = Duration::from_micros(50);

/// Parameters of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeLog {
    /// Workers.
    pub workers: u32,
    /// How many others each worker sends to at the end of a round: the next ones by number. All
    /// others if there are fewer.
    pub partners: u32,
    /// Phases of work of each worker in a round; they take turns among as many operators.
    pub phases: u32,
    /// From the beginning of a round to that of the next. A round that takes longer delays the
    /// next.
    pub period: Duration,
    /// Rounds.
    pub rounds: u64,
    /// Seed of the lengths of phases and of the delays of messages.
    pub seed: u64,
}

/// The source that opens rounds, each of them an epoch.
const SOURCE: OperatorId = OperatorId(0);

impl ExchangeLog {
    /// All exchange with all: `rounds_per_second` for `seconds`, four phases a round.
    pub fn of_all(workers: u32, rounds_per_second: u32, seconds: u32) -> ExchangeLog {
        ExchangeLog {
            workers,
            partners: workers.saturating_sub(1),
            phases: 4,
            period: Duration::from_secs(1) / rounds_per_second.max(1),
            rounds: u64::from(rounds_per_second) * u64::from(seconds),
            seed: 0,
        }
    }

    /// The log of `snailtrail-table2`: 8 workers and 30 thousand records a second, for `seconds`.
    pub fn thirty_thousand_a_second(seconds: u32) -> ExchangeLog {
        // A round is 161 records: its opening, and for each worker a wait, 3 phases, 7 messages
        // sent and 7 received, and 2 words of progress.
        ExchangeLog { phases: 3, ..ExchangeLog::of_all(8, 186, seconds) }
    }

    /// The records.
    pub fn records(self) -> impl Iterator<Item = Record> {
        let names = (0..=self.phases).map(|number| {
            let name = if number == SOURCE.0 { "source".to_owned() } else { format!("phase{number}") };
            Record::Operator { operator: OperatorId(number), name }
        });
        let channel = (self.partners() > 0).then_some(Record::Channel {
            channel: ChannelId(0),
            source: OperatorId(self.phases),
            target: OperatorId(1.min(self.phases)),
        });
        let mut rounds = Rounds::new(self, names.chain(channel).collect());
        std::iter::from_fn(move || {
            while rounds.records.is_empty() {
                rounds.play()?;
            }
            rounds.records.pop_front()
        })
    }

    fn partners(&self) -> u32 {
        self.partners.min(self.workers.saturating_sub(1))
    }
}

/// The rounds of a log, one after the other.
struct Rounds {
    exchange_log: ExchangeLog,
    random: Random,
    /// Rounds played.
    round: u64,
    /// Records that have not been emitted.
    records: VecDeque<Record>,
    /// Lengths of phases, delays of messages.
    lengths: Durations,
    delays: Durations,
    /// Until when each worker is busy.
    now: Vec<Timestamp>,
    /// When each phase of each worker ends, and when each message arrives: of the first worker, the
    /// second, ...
    phases: Vec<Timestamp>,
    arrivals: Vec<Timestamp>,
    /// When the messages to one worker arrive: instant, sender, and how far from the sender it is.
    inbox: Vec<(Timestamp, u32, u32)>,
}

impl Rounds {
    /// Before the rounds come `records`.
    fn new(exchange_log: ExchangeLog, records: VecDeque<Record>) -> Rounds {
        Rounds {
            exchange_log,
            random: Random::new(exchange_log.seed),
            round: 0,
            records,
            lengths: Durations::between(SHORTEST_PHASE, LONGEST_PHASE),
            delays: Durations::between(LEAST_DELAY, MOST_DELAY),
            now: vec![Timestamp::ZERO; exchange_log.workers as usize],
            phases: Vec::new(),
            arrivals: Vec::new(),
            inbox: Vec::new(),
        }
    }

    /// Generates a round; nothing if there is none left.
    fn play(&mut self) -> Option<()> {
        let ExchangeLog { workers, phases, period, rounds, .. } = self.exchange_log;
        if self.round >= rounds || workers == 0 {
            return None;
        }
        let due = Timestamp((period.as_nanos() as u64).saturating_mul(self.round));
        self.phases.clear();
        self.arrivals.clear();
        for worker in 0..workers {
            let mut now = self.now[worker as usize].max(due);
            for _ in 0..phases {
                now += self.lengths.draw(&mut self.random);
                self.phases.push(now);
            }
            for _ in 0..self.exchange_log.partners() {
                self.arrivals.push(now + self.delays.draw(&mut self.random));
            }
        }
        let (source, epoch) = (InstanceId::new(SOURCE, 0), Epoch(self.round));
        // Worker 0 is the source's host; it begins the round when it has ended the one before.
        let at = self.now[0].max(due);
        self.records.push_back(Record::EpochOpened { at, source, epoch, due, records: u64::from(workers) });
        for worker in 0..workers {
            self.work(worker, due, epoch);
            let done = self.now[worker as usize];
            self.send(worker, done, epoch);
            let end = self.receive(worker, done, epoch);
            self.now[worker as usize] = end;
            self.records.push_back(Record::EpochCompleted { at: end, worker: WorkerId(worker), epoch });
            self.records.push_back(Record::UpTo { worker: WorkerId(worker), at: end });
        }
        self.round += 1;
        Some(())
    }

    /// Waits until the round is due, then works through its phases.
    fn work(&mut self, worker: u32, due: Timestamp, epoch: Epoch) {
        let lane = Lane::Worker(WorkerId(worker));
        let (mut now, count) = (self.now[worker as usize], self.exchange_log.phases as usize);
        let mut add = |kind, operator, end| {
            let instance = InstanceId::new(operator, worker);
            self.records.push_back(Record::Activity(Activity {
                lane,
                kind,
                instance,
                epoch,
                start: now,
                end,
                records_in: 1,
                records_out: 1,
            }));
            now = end;
        };
        if self.now[worker as usize] < due {
            add(ActivityKind::ExternalWait, SOURCE, due);
        }
        let ends = &self.phases[worker as usize * count..][..count];
        for (operator, &end) in (1..).map(OperatorId).zip(ends) {
            add(ActivityKind::Processing, operator, end);
        }
        self.now[worker as usize] = now;
    }

    /// The message that goes from a worker to the one so far ahead of it.
    fn message(&self, from: u32, ahead: u32, at: Timestamp, epoch: Epoch) -> Message {
        let ExchangeLog { workers, .. } = self.exchange_log;
        // Quicker than a remainder: nobody is a whole round ahead.
        let to = u64::from(from) + u64::from(ahead);
        let to = if to < u64::from(workers) { to } else { to - u64::from(workers) };
        Message {
            at,
            kind: MessageKind::Data,
            channel: ChannelId(0),
            sequence: self.round * u64::from(self.exchange_log.partners()) + u64::from(ahead - 1),
            from: WorkerId(from),
            from_lane: Lane::Worker(WorkerId(from)),
            to_lane: Lane::Worker(WorkerId(to as u32)),
            epoch,
            records: 1,
        }
    }

    fn send(&mut self, worker: u32, done: Timestamp, epoch: Epoch) {
        for ahead in 1..=self.exchange_log.partners() {
            let message = self.message(worker, ahead, done, epoch);
            self.records.push_back(Record::Sent(message));
        }
    }

    /// Receives the messages of its partners as they arrive; returns when it has all.
    fn receive(&mut self, worker: u32, done: Timestamp, epoch: Epoch) -> Timestamp {
        let (workers, partners) = (self.exchange_log.workers, self.exchange_log.partners());
        self.inbox.clear();
        for ahead in 1..=partners {
            let from = (worker + workers - ahead) % workers;
            self.inbox.push((self.arrivals[(from * partners + ahead - 1) as usize], from, ahead));
        }
        self.inbox.sort_unstable();
        let mut now = done;
        for index in 0..self.inbox.len() {
            let (arrival, from, ahead) = self.inbox[index];
            now = now.max(arrival);
            let message = self.message(from, ahead, now, epoch);
            self.records.push_back(Record::Received(message));
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn thirty_thousand_records_a_second_mean_that() {
        let records: Vec<Record> = ExchangeLog::thirty_thousand_a_second(10).records().collect();
        assert!((295_000..305_000).contains(&records.len()), "{}", records.len());
        assert!(records.iter().all(|record| record.at() <= Timestamp(10_100_000_000)));
    }

    #[test]
    fn a_seed_is_a_log_and_another_seed_another_one() {
        let log = |seed| ExchangeLog { seed, ..ExchangeLog::of_all(3, 10, 2) }.records().collect::<Vec<_>>();
        assert_eq!(log(1), log(1));
        assert_ne!(log(1), log(2));
    }

    /// Every message has both sides in order, no lane does two things at once, and [`Record::UpTo`]
    /// holds.
    #[test]
    fn the_log_is_that_of_a_sound_host() {
        for partners in [0, 1, 3, 7] {
            let log = ExchangeLog { partners, seed: 5, ..ExchangeLog::of_all(5, 400, 1) };
            let mut sent = BTreeMap::new();
            let mut received = BTreeSet::new();
            let mut reached: BTreeMap<Lane, Timestamp> = BTreeMap::new();
            let mut said: BTreeMap<WorkerId, Timestamp> = BTreeMap::new();
            let key = |message: &Message| (message.channel, message.from, message.sequence);
            for record in log.records() {
                let (worker, start) = match &record {
                    Record::Activity(activity) => (activity.lane, activity.start),
                    Record::Sent(message) => {
                        assert_eq!(sent.insert(key(message), message.at), None);
                        (message.from_lane, message.at)
                    }
                    Record::Received(message) => {
                        assert!(received.insert((key(message), message.at)));
                        (message.to_lane, message.at)
                    }
                    Record::UpTo { worker, at } => {
                        said.insert(*worker, *at);
                        continue;
                    }
                    _ => continue,
                };
                let Lane::Worker(number) = worker else { panic!("{worker:?}") };
                assert!(said.get(&number).is_none_or(|said| start >= *said));
                assert!(reached.insert(worker, record.at()).is_none_or(|reached| start >= reached));
            }
            assert_eq!(sent.len(), 400 * 5 * partners.min(4) as usize);
            assert_eq!(received.len(), sent.len());
            assert!(received.iter().all(|(key, at)| *at > sent[key]));
        }
    }
}
