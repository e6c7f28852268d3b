//! The backward walk that finds an epoch's path along the journey of its records through the lanes'
//! histories.
//!
//! The predecessor of an activity is whichever happened last: an earlier activity on the epoch on
//! the same lane, or the arrival of its input; what the lane did in between is what the records
//! waited for. At an input the walk follows the message to the lane that sent it. It ends at the
//! source's activity. If no step names the epoch (timely's own log), it goes from lane to lane over
//! the messages that ended waits. Every move goes back in time or along a lane, and all moves are
//! counted, so the walk ends whatever the log contains.
// papers/snailtrail-nsdi18.md#epoch-critical-path

use super::chain::Chains;
use super::index::{EpochPlaces, Place, Places};
use super::ledger::LagLedger;
use super::moves::Moves;
use super::partitions::{HeldOpen, Opened};
use super::path::{Behind, EpochPath, EpochPieceKind, Gains, Label, Tiles};
use crate::activity::{ActivityKind, Lane, MessageKind};
use crate::id::{InstanceId, WorkerId};
use crate::pag::{GraphBuilder, SentMessage, Step, StepKind};
use crate::time::{Epoch, Timestamp};

/// The most steps of a walk.
const MOST_STEPS: u32 = 1 << 16;
/// A worker that is idle for less than this between two activities counts as busy, in ns.
const SHORT_GAP: u64 = 10_000;

/// What is known about a completed epoch before the walk.
#[derive(Clone, Debug)]
pub(super) struct Completed {
    pub(super) epoch: Epoch,
    pub(super) opened: Opened,
    pub(super) at: Timestamp,
    /// The worker that observed its completion.
    pub(super) worker: WorkerId,
    /// Where its source has several partitions, the one that went past it last.
    pub(super) held_open: Option<HeldOpen>,
}

/// The data that a walk looks up.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) graph: &'a GraphBuilder,
    /// Positions of the epoch's steps.
    pub(super) places: &'a EpochPlaces,
    pub(super) ledger: &'a LagLedger,
    pub(super) moves: &'a Moves,
}

/// A walk in progress.
pub(super) struct Walk<'a> {
    graph: &'a GraphBuilder,
    places: &'a EpochPlaces,
    moves: &'a Moves,
    epoch: Epoch,
    tiles: Tiles,
    /// The instance whose records wait.
    waiting: Option<InstanceId>,
    fuel: u32,
}

impl<'a> Walk<'a> {
    /// The path of `completed`.
    pub(super) fn path(known: Known<'a>, completed: &Completed) -> EpochPath {
        let Known { graph, places, ledger, moves } = known;
        let Completed { epoch, ref opened, at, worker, held_open } = *completed;
        let first = opened.first;
        // Before the source emitted the epoch none of it can have happened.
        let tiles = Tiles::new(epoch, first.due, at, opened.at);
        let mut walk = Walk { graph, places, moves, epoch, tiles, waiting: None, fuel: MOST_STEPS };
        let (known, last) = match walk.last_event(at.0) {
            Some((place, step)) => {
                if let Some(held) = held_open.filter(|held| held.at > step.end && !ledger.paused_within(step.end, held.at)) {
                    walk.held_open(held, step.end);
                }
                walk.tiles.down_to(step.end, Label::plain(EpochPieceKind::Progress));
                (walk.along_records(place), Some(place))
            }
            None => {
                let last = graph.lane_number(Lane::Worker(worker)).and_then(|lane| walk.last_before(lane));
                (last.and_then(|last| walk.along_waits(last)), last)
            }
        };
        if known.is_none() {
            walk.tiles.down_to(0, Label::plain(EpochPieceKind::Unknown));
        }
        walk.tiles.open();
        let emission = opened.emission(known.and(walk.waiting));
        if let Some(expected) = emission.expected.filter(|expected| *expected < emission.at) {
            let from = expected.max(emission.due).0.max(ledger.paused_until(emission.at.0));
            // Where the worker was not busy with other work, the ledger gives the reason.
            let _ = walk.source_held_up(emission.source, emission.at.0, from);
        }
        let mut tiles = walk.tiles;
        ledger.tile(&mut tiles, emission.due.0, emission.source);
        // What another partition emitted of it was due before.
        ledger.tile(&mut tiles, first.due.0, first.source);
        let latency = at.0.saturating_sub(first.due.0);
        tiles.finish(match last {
            Some(last) => Chains::gains(graph, places, epoch, first.due.0, last).at_most(latency),
            None => Gains::unknown(latency),
        })
    }

    /// The epoch's last event before `completed`.
    fn last_event(&self, completed: u64) -> Option<(Place, &'a Step)> {
        let graph = self.graph;
        // Of those at the same instant the one that the lane did last.
        let latest = |places: &Places| {
            let lasts = places.last_by_lane(|place| place.of(graph).is_some_and(|step| step.start <= completed));
            let steps = lasts.filter_map(|place| Some((place, place.of(graph)?)));
            steps.max_by_key(|(place, step)| (step.end.min(completed), place.step))
        };
        let (work, receipt) = (latest(&self.places.works), latest(&self.places.receipts));
        match (work, receipt) {
            // A sink takes what it received immediately: its activity is the later event.
            (Some(work), Some(receipt)) if receipt.1.end > work.1.end => Some(receipt),
            (work, receipt) => work.or(receipt),
        }
    }

    fn burn(&mut self) -> Option<()> {
        self.fuel = self.fuel.checked_sub(1)?;
        Some(())
    }

    /// Walks from an event of the epoch to its source's activity or the floor; `None` if the chain
    /// breaks.
    fn along_records(&mut self, last: Place) -> Option<()> {
        let mut at = last;
        while !self.tiles.is_down() {
            self.burn()?;
            let step = at.of(self.graph)?;
            if let StepKind::Work(kind) = step.kind {
                self.waiting = Some(step.instance);
                self.tiles.down_to(step.start, Label::of(EpochPieceKind::of_work(kind), step.instance));
                if kind == ActivityKind::Source && !step.goes_on {
                    break;
                }
                at = self.before_work(at, step)?;
            } else {
                at = self.over_message(at, step)?;
            }
        }
        Some(())
    }

    /// What the activity at `at` waited for.
    fn before_work(&mut self, at: Place, step: &Step) -> Option<Place> {
        let work = self.places.works.before(at.lane, at.step);
        let receipt = self.places.receipts.before(at.lane, at.step);
        let before = match (work, receipt) {
            (Some(work), Some(receipt)) if work.step < receipt.step && !step.goes_on => receipt,
            (Some(work), _) => work,
            (None, Some(receipt)) => receipt,
            (None, None) => return self.moved_here(step),
        };
        if self.waits_for_bins(before, at) {
            self.until_bins_came(before, at)?
        } else {
            self.lane_between(before, at)?
        }
        Some(before)
    }

    /// Whether the records that were received at `receipt` may have waited at `work` for the bins
    /// they belong to.
    fn waits_for_bins(&self, receipt: Place, work: Place) -> bool {
        let (Some(receipt), Some(work)) = (receipt.of(self.graph), work.of(self.graph)) else { return false };
        let is_receipt = matches!(receipt.kind, StepKind::Received { .. });
        is_receipt && !work.goes_on && self.moves.within(work.instance.operator, receipt.end, work.start)
    }

    /// As [`lane_between`](Self::lane_between), at an instance with its own lane whose operator
    /// migrates bins: by order of arrival an instance neither idles while records wait nor works on
    /// later epochs. Where it does, the records waited for their bins.
    fn until_bins_came(&mut self, receipt: Place, work: Place) -> Option<()> {
        if self.is_worker(work.lane) {
            return self.lane_between(receipt, work);
        }
        let migration = Label::of(EpochPieceKind::Migration, self.waiting);
        let mut place = work;
        while place.step > receipt.step + 1 {
            place.step -= 1;
            self.burn()?;
            let step = place.of(self.graph)?;
            let label = match step.kind {
                StepKind::Gap | StepKind::Wait if step.end - step.start >= SHORT_GAP => migration,
                StepKind::Work(_) if step.epoch > self.epoch && step.epoch != Epoch::UNKNOWN => migration,
                _ => self.label(step),
            };
            self.tiles.down_to(step.start, label);
        }
        self.tiles.down_to(receipt.of(self.graph)?.end, migration);
        Some(())
    }

    /// Where the input of work was received that reached its instance from another one, together
    /// with its bins.
    fn moved_here(&mut self, step: &Step) -> Option<Place> {
        let lanes = self.graph.lanes();
        let is_peer = |lane: u32| matches!(lanes[lane as usize], Lane::Instance(peer) if peer.operator == step.instance.operator);
        let came = |receipt: Place| receipt.of(self.graph).map(|receipt| receipt.end).filter(|received| *received <= step.start);
        let receipts = self.places.receipts.last_by_lane(|receipt| is_peer(receipt.lane) && came(receipt).is_some());
        let (receipt, received) = receipts.filter_map(|receipt| Some((receipt, came(receipt)?))).max_by_key(|(_, received)| *received)?;
        self.tiles.down_to(received, Label::of(EpochPieceKind::Migration, step.instance));
        Some(receipt)
    }

    /// Where the message that was received at `at` came from.
    fn over_message(&mut self, at: Place, step: &Step) -> Option<Place> {
        let sent = self.graph.message(step)?;
        if sent.from_lane == at.lane {
            // Nothing travels on one lane: what the lane did is what the records waited for.
            self.lane_down_to(at, sent.at.0)?;
        } else if matches!(step.kind, StepKind::Received { waited: false }) && self.is_worker(at.lane) {
            self.busy_down_to(at, sent.at.0)?;
        }
        self.tiles.down_to(sent.at.0, message_label(&sent));
        let producer = self.places.producer(self.graph, &sent)?;
        let made = producer.of(self.graph)?;
        self.waiting = matches!(made.kind, StepKind::Work(_)).then_some(made.instance);
        if self.is_worker(sent.from_lane) {
            self.lane_between(producer, Place::first_after(self.graph, sent.from_lane, sent.at.0))?;
        } else {
            // The host releases an instance's results while that is at its next activity already.
            self.tiles.down_to(made.end, Label::of(EpochPieceKind::Release, self.waiting));
        }
        Some(producer)
    }

    fn is_worker(&self, lane: u32) -> bool {
        matches!(self.graph.lanes()[lane as usize], Lane::Worker(_))
    }

    /// What a lane did between two of its steps.
    fn lane_between(&mut self, after: Place, before: Place) -> Option<()> {
        let mut place = before;
        while place.step > after.step + 1 {
            place.step -= 1;
            self.burn()?;
            let step = place.of(self.graph)?;
            self.tiles.down_to(step.start, self.label(step));
        }
        self.tiles.down_to(after.of(self.graph)?.end, Label::of(EpochPieceKind::Scheduling, self.waiting));
        Some(())
    }

    /// What a lane did before the step at `before`, down to `from`.
    fn lane_down_to(&mut self, before: Place, from: u64) -> Option<()> {
        let mut place = before;
        while self.tiles.now() > from {
            place.step = place.step.checked_sub(1)?;
            self.burn()?;
            let step = place.of(self.graph)?;
            self.tiles.down_to(step.start.max(from), self.label(step));
        }
        Some(())
    }

    /// As [`lane_down_to`](Self::lane_down_to), but only as long as the lane was busy: before, the
    /// message had not arrived.
    fn busy_down_to(&mut self, before: Place, from: u64) -> Option<()> {
        let mut place = before;
        while self.tiles.now() > from && place.step > 0 {
            place.step -= 1;
            self.burn()?;
            let Some(step) = place.of(self.graph) else { break };
            let is_busy = match step.kind {
                StepKind::Gap => step.end - step.start < SHORT_GAP,
                StepKind::Wait => false,
                _ => true,
            };
            if !is_busy {
                break;
            }
            self.tiles.down_to(step.start.max(from), self.label(step));
        }
        Some(())
    }

    /// What the worker of a partition of the source did from `from` on, when everything of the epoch
    /// was done, until the partition went past the epoch, which nobody could take for complete before.
    fn held_open(&mut self, held: HeldOpen, from: u64) {
        self.tiles.down_to(held.at, Label::plain(EpochPieceKind::Progress));
        self.waiting = Some(held.source);
        if let Some(lane) = self.graph.lane_number(held.lane) {
            // What is not known of the lane is the partition's own.
            let _ = self.lane_down_to(Place::first_after(self.graph, lane, held.at), from);
        }
        self.tiles.down_to(from, Label::of(EpochPieceKind::SourceDelay, held.source));
        self.waiting = None;
    }

    /// What the worker of `source` did for other operators instead of letting it emit, from
    /// `opened` back to `from`, when it should have emitted.
    fn source_held_up(&mut self, source: InstanceId, opened: u64, from: u64) -> Option<()> {
        let begins = |step: &Step| step.kind == StepKind::Work(ActivityKind::Source) && step.instance == source && step.start >= opened;
        let firsts = self.places.works.first_by_lane(|place| place.of(self.graph).is_some_and(begins));
        let first = firsts.filter(|place| self.is_worker(place.lane)).min()?;
        // Back to the earliest activity for others since which the worker was never idle.
        let (mut place, mut busy_since) = (first, opened);
        while busy_since > from {
            place.step = place.step.checked_sub(1)?;
            self.burn()?;
            let Some(step) = place.of(self.graph) else { break };
            match step.kind {
                StepKind::Work(_) if step.instance.operator == source.operator => break,
                StepKind::Work(_) => busy_since = busy_since.min(step.start.max(from)),
                StepKind::Gap if step.end - step.start < SHORT_GAP => {}
                StepKind::Gap | StepKind::Wait => break,
                StepKind::Sent | StepKind::Received { .. } => {}
            }
            if step.start <= from {
                break;
            }
        }
        self.waiting = Some(source);
        if self.tiles.now() > busy_since { self.lane_down_to(first, busy_since) } else { None }
    }

    /// What a step of a lane is to records of this epoch that wait.
    fn label(&self, step: &Step) -> Label {
        match step.kind {
            StepKind::Work(kind) if step.epoch == self.epoch || step.epoch == Epoch::UNKNOWN || kind == ActivityKind::Migration => {
                Label::of(EpochPieceKind::of_work(kind), step.instance)
            }
            StepKind::Work(kind) => Label::behind(Behind { instance: step.instance, epoch: step.epoch, activity: kind }, self.waiting),
            _ => Label::of(EpochPieceKind::Scheduling, self.waiting),
        }
    }

    /// Walks over the messages that ended waits, down to the floor, for a log whose steps do not
    /// tell their epoch.
    fn along_waits(&mut self, last: Place) -> Option<()> {
        let mut place = last;
        while !self.tiles.is_down() {
            self.burn()?;
            let step = place.of(self.graph)?;
            // A lane's story ends with its last record.
            self.tiles.down_to(step.end, Label::plain(EpochPieceKind::Unknown));
            match step.kind {
                StepKind::Work(_) => {
                    let label = self.label(step);
                    self.tiles.down_to(step.start, label);
                }
                StepKind::Wait if self.graph.message(step).is_some() => {
                    let sent = self.graph.message(step)?;
                    self.tiles.down_to(sent.at.0, message_label(&sent));
                    place = self.last_before(sent.from_lane)?;
                    continue;
                }
                _ => self.tiles.down_to(step.start, Label::plain(EpochPieceKind::Scheduling)),
            }
            place.step = place.step.checked_sub(1)?;
        }
        Some(())
    }

    /// The last step of a lane that began before where the path stands.
    fn last_before(&self, lane: u32) -> Option<Place> {
        let begun = self.graph.story(lane).partition_point(|step| step.start < self.tiles.now()) as u64;
        Some(Place { lane, step: (self.graph.forgotten(lane) + begun).checked_sub(1)? })
    }
}

fn message_label(sent: &SentMessage) -> Label {
    let kind = match sent.kind {
        MessageKind::Data => EpochPieceKind::Network,
        MessageKind::Progress => EpochPieceKind::Progress,
    };
    Label::message(kind, sent.channel)
}
