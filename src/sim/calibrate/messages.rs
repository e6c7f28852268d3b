//! Network delay of messages, from the two sides of each.
//!
//! The two sides may have been read on different clocks. If messages between a pair of workers seem
//! to arrive before they were sent, the clocks differ, and the offset is taken to be the one that
//! makes the fastest messages of both directions equally fast. A direction without an opposite
//! cannot be corrected and is left out.

use std::collections::BTreeMap;

use crate::activity::{Lane, Message, MessageKind};
use crate::id::{ChannelId, WorkerId};
use crate::stats::lower_median;

/// Maximum number of unmatched sides; further ones are not paired.
pub const MOST_UNPAIRED: usize = 1 << 18;
/// Messages that are kept between two workers.
const MOST_KEPT: usize = 1 << 16;

/// How long messages travelled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelayFit {
    /// The median, in seconds.
    pub median_s: f64,
    /// The mean, in seconds.
    pub mean_s: f64,
    /// Messages, counted at each receiver.
    pub messages: u64,
    /// Messages left out because the offset of their clocks is not known.
    pub left_out: u64,
}

type Key = (ChannelId, WorkerId, u64);

/// Messages so far.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// When each was sent, in ns, and to which worker. A message may be received more than once.
    sent: BTreeMap<Key, (u64, Lane)>,
    /// Receptions whose sending has not been seen.
    early: BTreeMap<Key, Vec<(u64, Lane)>>,
    /// By sending worker and receiving lane, ns on the way as the clocks say.
    ways: BTreeMap<(Lane, Lane), Vec<f64>>,
}

impl Messages {
    pub(super) fn sent(&mut self, message: &Message) {
        if message.kind != MessageKind::Data {
            return;
        }
        let key = (message.channel, message.from, message.sequence);
        for (at, to) in self.early.remove(&key).unwrap_or_default() {
            self.pair(message.from, message.at.0, at, worker(message.to_lane, to));
        }
        if self.sent.len() >= MOST_UNPAIRED {
            // The one with the smallest key is as good as any: what is left over is a part of the
            // messages, and none is counted wrongly.
            self.sent.pop_first();
        }
        self.sent.insert(key, (message.at.0, message.to_lane));
    }

    pub(super) fn received(&mut self, message: &Message) {
        if message.kind != MessageKind::Data {
            return;
        }
        let key = (message.channel, message.from, message.sequence);
        match self.sent.get(&key) {
            Some(&(sent, to)) => self.pair(message.from, sent, message.at.0, worker(to, message.to_lane)),
            None if self.early.len() < MOST_UNPAIRED => self.early.entry(key).or_default().push((message.at.0, message.to_lane)),
            None => {}
        }
    }

    fn pair(&mut self, from: WorkerId, sent: u64, received: u64, to: Lane) {
        let kept = self.ways.entry((Lane::Worker(from), to)).or_default();
        if kept.len() < MOST_KEPT {
            kept.push(received as f64 - sent as f64);
        }
    }

    pub(super) fn finish(self) -> Option<DelayFit> {
        let fastest = |way: &[f64]| way.iter().copied().fold(f64::INFINITY, f64::min);
        let (mut delays, mut left_out) = (Vec::new(), 0);
        for (&(from, to), way) in &self.ways {
            let (there, back) = (fastest(way), self.ways.get(&(to, from)).map(|way| fastest(way)));
            let offset = match back {
                Some(back) if from != to && (there < 0.0 || back < 0.0) => (there - back) / 2.0,
                _ if there < 0.0 => {
                    left_out += way.len() as u64;
                    continue;
                }
                _ => 0.0,
            };
            // Two clocks whose fastest messages still take less than nothing do not run alike;
            // nothing is faster than at once.
            delays.extend(way.iter().map(|ns| (ns - offset).max(0.0)));
        }
        let (mean, messages) = (delays.iter().sum::<f64>() / delays.len().max(1) as f64, delays.len() as u64);
        Some(DelayFit { median_s: lower_median(delays)? / 1e9, mean_s: mean / 1e9, messages, left_out })
    }
}

/// The worker that receives: the sender names it, the receiver its lane.
fn worker(named: Lane, lane: Lane) -> Lane {
    match lane {
        Lane::Worker(_) => lane,
        Lane::Instance(_) => named,
    }
}
