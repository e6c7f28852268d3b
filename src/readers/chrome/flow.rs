//! The flows of a trace: which event sends what others receive.
//!
//! Invariant: at most [`MOST_FLOWS`] are known at once; what is over by the horizon of the file is forgotten.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::error::Oddities;
use super::event::text;

/// The most flows that are known at once.
const MOST_FLOWS: usize = 1 << 20;
/// The most arrivals of a flow that nobody has sent yet.
const MOST_RECEIPTS: usize = 1 << 12;
/// How much later than its arrival a flow may have been sent where nothing says otherwise, in ns: clocks differ.
const BACKWARD: u64 = 1_000_000_000;
/// What is counted of flows that arrive and come from nowhere.
const UNSENT: &str = "flows that nobody sent";

/// What tells a flow from others of its channel. A number as text is the number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FlowId {
    Number(u64),
    Text(String),
}

impl FlowId {
    fn of(value: &Value) -> FlowId {
        if let Some(number) = value.as_u64() {
            return FlowId::Number(number);
        }
        let text = text(value);
        match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => FlowId::Number(number),
            _ => FlowId::Text(text),
        }
    }
}

/// A flow: from where it comes, as soon as that is known.
#[derive(Debug, Default)]
struct Flow {
    number: u64,
    from: Option<u32>,
    /// Receipts that came before: worker and time.
    receipts: Vec<(u32, u64)>,
    /// The latest time of any of its events, and whether one of them ended it.
    last: u64,
    ended: bool,
}

/// The flows that are known, by channel.
#[derive(Debug, Default)]
pub(super) struct Flows {
    flows: BTreeMap<(u32, FlowId), Flow>,
    begun: u64,
}

impl Flows {
    fn flow(&mut self, channel: u32, id: &Value, at: u64, oddities: &mut Oddities) -> &mut Flow {
        if self.flows.len() >= MOST_FLOWS {
            oddities.count("flows that were forgotten because too many were open");
            self.flows.pop_first();
        }
        self.begun += 1;
        let number = self.begun;
        let flow = self.flows.entry((channel, FlowId::of(id))).or_insert(Flow { number, ..Flow::default() });
        flow.last = flow.last.max(at);
        flow
    }

    /// Worker `from` sends a flow at `at`: its number, and the receipts that were seen before, each with its worker and time.
    pub(super) fn sent(&mut self, (channel, id): (u32, &Value), from: u32, at: u64, oddities: &mut Oddities) -> (u64, Vec<(u32, u64)>) {
        let flow = self.flow(channel, id, at, oddities);
        flow.from = Some(from);
        (flow.number, std::mem::take(&mut flow.receipts))
    }

    /// Worker `to` receives a flow at `at`, which `ends` then or goes on: its number and who sent it; nothing if that is not known yet.
    pub(super) fn received(
        &mut self,
        (channel, id): (u32, &Value),
        to: u32,
        at: u64,
        ends: bool,
        oddities: &mut Oddities,
    ) -> Option<(u64, u32)> {
        let flow = self.flow(channel, id, at, oddities);
        flow.ended |= ends;
        match flow.from {
            Some(from) => return Some((flow.number, from)),
            None if flow.receipts.len() < MOST_RECEIPTS => flow.receipts.push((to, at)),
            None => oddities.count("arrivals of flows that nobody sent"),
        }
        None
    }

    /// Nothing that is still to come is earlier than `least`: forgets flows that are over. The earliest receipt that still waits for
    /// its sender.
    pub(super) fn pass(&mut self, least: u64, oddities: &mut Oddities) -> Option<u64> {
        let mut earliest = None;
        self.flows.retain(|_, flow| {
            if flow.from.is_some() {
                return !flow.ended || flow.last >= least;
            }
            let stays = flow.last.saturating_add(BACKWARD) >= least;
            if !stays {
                oddities.count(UNSENT);
            } else if let Some(first) = flow.receipts.iter().map(|&(_, at)| at).min() {
                earliest = Some(earliest.map_or(first, |earliest: u64| earliest.min(first)));
            }
            stays
        });
        earliest
    }

    /// Counts those that nobody has sent, at the end of the file.
    pub(super) fn close(&self, oddities: &mut Oddities) {
        self.flows.values().filter(|flow| flow.from.is_none()).for_each(|_| oddities.count(UNSENT));
    }
}
