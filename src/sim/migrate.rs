//! Migration of bins between simulated instances.
//!
//! A step has a logical time. Once everything older has arrived at the operator, the bins leave
//! together with their queued records. When they have arrived, these records go before the queue of
//! the new instance, and those that arrived for the bins in the meantime behind it. So every record
//! is processed at exactly one instance, and those of a bin in the order of their epochs.

use std::collections::BTreeMap;

use super::instance::Instance;
use super::job::MoveModel;
use super::motion::{Motion, Stream};
use super::station::Station;
use super::tick_context::TickContext;
use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::id::{BinId, InstanceId};
use crate::migration::{BinMove, Report};
use crate::time::{Epoch, Timestamp};

/// Smaller shares are rounding errors.
const NOTHING: f64 = 1e-12;

impl Station {
    /// Begins moves that hold from epoch `at` on; instances that are new work from `from` (ns) on.
    pub(super) fn begin(&mut self, at: u64, moves: &[&BinMove], slowdown: f64, from: f64) {
        let most = moves.iter().map(|one| one.to as usize + 1).max().unwrap_or(0);
        while self.instances.len() < most {
            self.instances.push(Instance::starting(from));
        }
        let bins = self.bins.as_ref().expect("only keyed operators have bins");
        let mut shares: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for one in moves {
            *shares.entry((one.from, one.to)).or_default() += bins.shares[one.bin.0 as usize];
        }
        let flow = |((from, to), share)| Stream { from, to, share, debt: 0.0, along: Vec::new(), held: Vec::new() };
        let flows = shares.into_iter().map(flow).collect();
        let bins = moves.iter().map(|one| (one.bin.0 as usize, one.to)).collect();
        self.motions.push(Motion { at, bins, flows, settled: false, arrives: 0, slowdown });
    }

    /// Bytes of state of the bins that these moves concern.
    pub(super) fn bytes_of(&self, moves: &[&BinMove]) -> u64 {
        let bins = self.bins.as_ref().expect("only keyed operators have bins");
        moves.iter().map(|one| bins.keys[one.bin.0 as usize] * self.model.bytes_per_key).sum()
    }

    /// Splits bins where they are.
    pub(super) fn split(&mut self, bin: BinId) -> Report {
        assert!(self.motions.is_empty(), "{bin} is split while bins are in motion");
        self.bins.as_mut().expect("only keyed operators have bins").split(bin.0 as usize);
        Report::Installed(self.id, 1)
    }

    /// Sends bins when everything older than `reached` has arrived, and installs them when they
    /// have arrived. In order of steps.
    pub(super) fn settle(&mut self, reached: u64, costs: &MoveModel, around: &mut TickContext<'_>, reports: &mut Vec<Report>) {
        for position in 0..self.motions.len() {
            if !self.motions[position].settled {
                if reached < self.motions[position].at {
                    break;
                }
                self.let_go(position, costs, around);
            }
        }
        while self.motions.first().is_some_and(|motion| motion.settled && motion.arrives <= around.now) {
            let motion = self.motions.remove(0);
            self.install(motion, around, reports);
        }
    }

    fn let_go(&mut self, position: usize, costs: &MoveModel, around: &mut TickContext<'_>) {
        let givers: BTreeMap<u32, Lane> = self.motions[position].flows.iter().map(|flow| (flow.from, self.lane(flow.from))).collect();
        let bins = self.bins.as_mut().expect("only keyed operators have bins");
        let motion = &mut self.motions[position];
        let bytes: u64 = motion.bins.iter().map(|&(bin, _)| bins.keys[bin] * self.model.bytes_per_key).sum();
        let transfer = costs.bytes_per_s.map_or(0.0, |rate| bytes as f64 / rate);
        motion.arrives = around.now + ((costs.fixed_ms / 1e3 + transfer) * motion.slowdown * 1e9) as u64;
        motion.settled = true;
        for flow in &mut motion.flows {
            let giver = &mut self.instances[flow.from as usize];
            // Of all that waits in order: with every bin that leaves the rest has a larger part of
            // what is left.
            let part = if giver.share > 0.0 { (flow.share / giver.share).min(1.0) } else { 1.0 };
            flow.along = giver.take(part, motion.at);
            giver.share -= flow.share;
            if giver.share < NOTHING {
                // An instance without bins is owed no records.
                giver.share = 0.0;
                flow.debt += std::mem::take(&mut giver.debt);
            }
            if let Some((start, end)) = giver.relieve(self.model.marks, around.now) {
                *around.pressing -= 1;
                around.records.push(Record::Backpressure { instance: InstanceId::new(self.id, flow.from), start, end });
            }
        }
        for (giver, lane) in givers {
            let id = InstanceId::new(self.id, giver);
            let (now, records_in) =
                (Timestamp(around.now), motion.bins.iter().filter(|(bin, _)| bins.owners[*bin] == giver).count() as u64);
            let (kind, epoch) = (ActivityKind::Migration, Epoch(motion.at));
            let activity = Activity { lane, kind, instance: id, epoch, start: now, end: now, records_in, records_out: 0 };
            around.records.push(Record::Activity(activity));
        }
    }

    fn install(&mut self, motion: Motion, around: &mut TickContext<'_>, reports: &mut Vec<Report>) {
        let bins = self.bins.as_mut().expect("only keyed operators have bins");
        for &(bin, to) in &motion.bins {
            bins.owners[bin] = to;
        }
        let owners = bins.owners.iter().max().map_or(1, |owner| owner + 1);
        self.resize(owners.max(self.parallelism), 0.0);
        for flow in &motion.flows {
            let receiver = &mut self.instances[flow.to as usize];
            receiver.overtake(&flow.along, around.now);
            receiver.share += flow.share;
            receiver.debt += flow.debt;
            *around.pressing += usize::from(receiver.press(self.model.marks, around.now));
            for batch in &flow.held {
                self.put(flow.to as usize, batch.epoch, batch.records, around);
            }
        }
        reports.push(Report::Installed(self.id, motion.bins.len()));
        if self.motions.is_empty() {
            self.find_shares();
            self.resize(owners, 0.0);
        }
    }
}
