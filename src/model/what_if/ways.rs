//! Ways that records take to a sink, and their latency when operators work in some way.
//!
//! A record's latency is the sum over its way, so ways are drawn backwards from the sink, with the probabilities that records were
//! measured to take them. Which of an operator's times a way has is drawn in layers: of `n` ways each has another one of `n`
//! equal parts of the distribution, in an order of its own for each operator. That leaves less to chance than drawing each by itself.
//!
//! Ways are drawn once; from one configuration to the next only those operators are looked at that work in another way.

use std::sync::Arc;

use super::sojourns::Sojourns;
use super::station::Station;

/// Ways that are drawn, as a power of two, ...
const MOST_BITS: u32 = 12;
/// ... of long ones fewer, since one operator matters the less the more there are...
const LEAST_BITS: u32 = 9;
/// ... and their steps together are at most so many.
const MOST_STEPS: usize = 12 << MOST_BITS;
/// The slowest are one in a hundred, and at least so many.
const LEAST_SLOWEST: usize = 16;
/// A way that goes round in circles is given up after so many times the number of operators.
const MOST_ROUNDS: usize = 4;

/// A way that records take from one operator to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    /// Where they come from.
    pub(super) from: usize,
    pub(super) is_source: bool,
    /// What it takes besides work and waiting, in seconds.
    pub(super) fixed_s: f64,
    /// Records that come by this way and by those before it in the list.
    pub(super) until: f64,
}

/// The ways to one sink, with their latency in the configuration that was asked for last.
#[derive(Debug)]
pub(super) struct Ways {
    /// By way, the operators on it and which of their times it has.
    steps: Vec<(u32, u16)>,
    /// Where the steps of each way begin in that, and where the last ends.
    begins: Vec<u32>,
    /// By operator, the ways through it and which of its times they have.
    visits: Vec<Vec<(u32, u16)>>,
    /// By operator, the times that are contained in `latencies_s`.
    sojourns: Vec<Option<Arc<Sojourns>>>,
    /// By way.
    latencies_s: Vec<f64>,
}

/// Latency of the ways to one sink.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    /// By way, in seconds.
    pub(super) all_s: Vec<f32>,
    /// Half of the ways are no longer, in seconds.
    pub(super) p50_s: f32,
    /// 99 in a hundred are no longer, in seconds.
    pub(super) p99_s: f32,
}

impl Ways {
    /// Draws the ways to `sink`; nothing where none is known. `hops` are the ways to each operator.
    pub(super) fn draw(hops: &[Vec<Hop>], sink: usize) -> Option<Ways> {
        let bits = (LEAST_BITS..MOST_BITS).rev().fold(MOST_BITS, |bits, fewer| {
            let is_too_much = depth(hops, sink) << bits > MOST_STEPS;
            if is_too_much { fewer } else { bits }
        });
        let count = 1 << bits;
        // For each operator, which of its inputs a way comes from and which of its times it has, each in an order of its own.
        let orders: Vec<(Order, Order)> =
            (0..hops.len()).map(|operator| (Order::new(operator * 2, bits), Order::new(operator * 2 + 1, bits))).collect();
        let mut visits = vec![Vec::new(); hops.len()];
        let (mut steps, mut begins, mut latencies_s) = (Vec::new(), vec![0], Vec::with_capacity(count));
        for way in 0..count as u32 {
            let (mut at, mut fixed_s) = (sink, 0.0);
            for round in 0..MOST_ROUNDS * hops.len() {
                // Who comes to an operator again draws again.
                let again = way ^ (round / hops.len()) as u32;
                let hop = match &hops[at][..] {
                    [] => return None,
                    [only] => only,
                    [first, .., last] => {
                        let chosen = f64::from(orders[at].0.layer(again)) / 65536.0 * last.until;
                        hops[at].iter().find(|hop| chosen < hop.until).unwrap_or(first)
                    }
                };
                let layer = orders[hop.from].1.layer(again);
                steps.push((hop.from as u32, layer));
                visits[hop.from].push((way, layer));
                fixed_s += hop.fixed_s;
                if hop.is_source {
                    break;
                }
                at = hop.from;
            }
            latencies_s.push(fixed_s);
            begins.push(steps.len() as u32);
        }
        Some(Ways { steps, begins, sojourns: vec![None; visits.len()], visits, latencies_s })
    }

    /// Latency where records stay at operators as `sojourns` say, in no time at those without an entry.
    pub(super) fn latencies(&mut self, sojourns: &[Option<Arc<Sojourns>>]) -> Latencies {
        for ((known, new), visits) in self.sojourns.iter_mut().zip(sojourns).zip(&self.visits) {
            let is_same = match (&*known, new) {
                (Some(known), Some(new)) => Arc::ptr_eq(known, new),
                (None, None) => true,
                _ => false,
            };
            if is_same {
                continue;
            }
            let stays = |sojourns: &Option<Arc<Sojourns>>, stratum| sojourns.as_ref().map_or(0.0, |sojourns| sojourns.at(stratum));
            for &(way, stratum) in visits {
                self.latencies_s[way as usize] += stays(new, stratum) - stays(known, stratum);
            }
            known.clone_from(new);
        }
        let all_s: Vec<f32> = self.latencies_s.iter().map(|latency| *latency as f32).collect();
        let mut sorted = all_s.clone();
        let (below, p99_s, _) = sorted.select_nth_unstable_by(all_s.len() * 99 / 100, f32::total_cmp);
        let p99_s = *p99_s;
        let middle = (all_s.len() / 2).min(below.len().saturating_sub(1));
        let p50_s = if below.is_empty() { p99_s } else { *below.select_nth_unstable_by(middle, f32::total_cmp).1 };
        Latencies { all_s, p50_s, p99_s }
    }

    /// Mean seconds that the slowest ways wait for an instance, by operator, in the configuration of the last
    /// [`latencies`](Self::latencies), which are `latencies`.
    pub(super) fn waits_s(&self, latencies: &Latencies, stations: &[Option<Station>]) -> Vec<f64> {
        let mut order: Vec<(f32, u32)> = latencies.all_s.iter().copied().zip(0..).collect();
        let slowest = (order.len() / 100).max(LEAST_SLOWEST).min(order.len());
        let at = order.len() - slowest;
        order.select_nth_unstable_by(at, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut waits_s = vec![0.0; stations.len()];
        for &(_, way) in &order[at..] {
            let steps = self.begins[way as usize] as usize..self.begins[way as usize + 1] as usize;
            for &(operator, stratum) in &self.steps[steps] {
                let operator = operator as usize;
                let stays_s = self.sojourns[operator].as_ref().map_or(0.0, |sojourns| sojourns.at(stratum));
                let works_s = stations[operator].map_or(0.0, |station| station.service_s);
                waits_s[operator] += (stays_s - works_s).max(0.0) / slowest as f64;
            }
        }
        waits_s
    }
}

/// Steps of the longest way to `sink` that does not go round in circles, about: breadth first.
fn depth(hops: &[Vec<Hop>], sink: usize) -> usize {
    let mut seen = vec![false; hops.len()];
    let (mut level, mut depth) = (vec![sink], 0);
    while !level.is_empty() {
        depth += 1;
        level = level
            .iter()
            .flat_map(|&at| hops[at].iter().map(|hop| hop.from))
            .filter(|&from| !std::mem::replace(&mut seen[from], true))
            .collect();
    }
    depth
}

/// An order of `1 << bits` layers.
#[derive(Clone, Copy, Debug)]
struct Order {
    bits: u32,
    keys: [u32; 3],
}

impl Order {
    /// The order number `number`.
    fn new(number: usize, bits: u32) -> Order {
        let mut key = (number as u32).wrapping_add(1).wrapping_mul(0x9E37_79B9);
        let keys = std::array::from_fn(|_| {
            key = (key ^ key >> 15).wrapping_mul(0x85EB_CA6B);
            key
        });
        Order { bits, keys }
    }

    /// The layer of way `way`: from 0 to 65535, in its middle.
    #[inline]
    fn layer(&self, way: u32) -> u16 {
        let mask = (1u32 << self.bits) - 1;
        // Each of these leads from all numbers of so many bits to all of them again.
        let mixed = self.keys.iter().fold(way, |mixed, key| {
            let mixed = (mixed.wrapping_add(key >> 7) & mask).wrapping_mul(key | 1) & mask;
            mixed ^ mixed >> (self.bits / 2)
        });
        ((u64::from(mixed) * 2 + 1) << 15 >> self.bits) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_a_layer_of_its_own_and_operators_have_orders_of_their_own() {
        for bits in [LEAST_BITS, MOST_BITS] {
            let count = 1u32 << bits;
            let order = |key| (0..count).map(|way| Order::new(key, bits).layer(way)).collect::<Vec<_>>();
            let orders: Vec<Vec<u16>> = (0..200).map(order).collect();
            for order in &orders {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] == (65536 >> bits) as u16));
            }
            // Uncorrelated, as numbers drawn by chance are: one standard deviation is one over the root of their number.
            let correlation = |a: &[u16], b: &[u16]| {
                let centred = |layer: &u16| (f64::from(*layer) - 32_768.0) / 65_536.0;
                12.0 * a.iter().zip(b).map(|(a, b)| centred(a) * centred(b)).sum::<f64>() / f64::from(count)
            };
            let squares = (1..200).map(|key| correlation(&orders[key - 1], &orders[key]).powi(2)).sum::<f64>() / 199.0;
            assert!(squares < 2.0 / f64::from(count), "{bits} bits: {squares}");
        }
    }
}
