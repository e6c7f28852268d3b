//! One operator's instances as first-in-first-out servers: how long records stay.

use std::collections::VecDeque;

use super::draw::Draw;
use super::sojourns::{Sojourns, Times};
use super::station::Station;
use crate::critical_path::Arrival;

/// Batches that a server of moderate load is given.
const LEAST_BATCHES: f64 = 3000.0;
/// The closer to its limit, the longer it takes until a queue has been seen in all its lengths: this over the square of what is idle.
const BATCHES_BY_IDLE: f64 = 400.0;
/// ... and at most this many.
const MOST_BATCHES: f64 = 40_000.0;
/// However little is asked for, a server is given so many.
const FEWEST_BATCHES: f64 = 400.0;
/// Arrivals at the operator that are looked at for them, at most.
const MOST_ARRIVALS: usize = 200_000;
/// The first part of the batches, while the queue fills, does not count: one in so many.
const WARM_UP: usize = 8;
/// A server busier than this does not keep up.
const MOST_UTILISATION: f64 = 0.995;
/// An instance with less than this more than an even share stands for all.
const EVEN: f64 = 1.05;
/// Quantiles that are kept of a distribution, ...
const QUANTILES: usize = 2048;
/// ... and where it is made of fewer than the least batches.
const FEW_QUANTILES: usize = 512;
/// Below this variance over that of a random choice, records take turns.
const IN_TURN: f64 = 0.15;

/// Draws of this seed are at or a little above what theory says of exponential times, in turn and by chance, at loads from 0.5 to 0.93.
/// With others one with so few batches is off by 15 % as a rule; all servers have the same, so that it does not average out.
const SEED: u64 = 266;

/// What arrives, and how service times vary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'a> {
    runs: &'a [Vec<Arrival>],
    /// See [`OperatorTraffic::dispersion`](crate::critical_path::OperatorTraffic::dispersion).
    dispersion: f64,
    /// Standard deviation of a record's time over its mean.
    variation: f64,
    /// Mean time from one arrival to the next, in seconds.
    gap_s: f64,
    /// Records per second that arrive.
    rate: f64,
}

/// Records that a server takes together.
struct Batch {
    now_s: f64,
    wait_s: f64,
    work_s: f64,
    records: f64,
}

impl<'a> Server<'a> {
    /// A server of what arrives in `runs`, at the pace that [`pace`] tells of them.
    pub(super) fn new(runs: &'a [Vec<Arrival>], (gap_s, rate): (f64, f64), dispersion: f64, variation: f64) -> Server<'a> {
        Server { runs, dispersion, variation, gap_s, rate }
    }

    /// Times that records spend at `station`; nothing if it would not keep up. Without any arrivals measured nobody waits. Of the batches
    /// that make a good estimate only the part `effort` is looked at.
    pub(super) fn sojourns(&self, station: &Station, effort: f64) -> Option<Sojourns> {
        if !Server::keeps_up(station) {
            return None;
        }
        let mut times = Times::new(station.service_s);
        self.each_class(station, |part, weight| {
            let mut of_class = Times::new(station.service_s);
            self.serve(part, station, batches(station, effort), |batch| add(&mut of_class, batch));
            times.add_all(&of_class, weight);
        });
        let quantiles = if batches(station, effort) < LEAST_BATCHES as usize { FEW_QUANTILES } else { QUANTILES };
        Some(times.sojourns(quantiles).unwrap_or_else(|| Sojourns::all(station.service_s)))
    }

    /// Part of the arrivals at `station` that make more than `records` records at their instance; 1 if it would not keep up.
    pub(super) fn part_longer(&self, station: &Station, records: f64) -> f64 {
        if !Server::keeps_up(station) {
            return 1.0;
        }
        let (mut longer, mut all) = (0.0, 0.0);
        self.each_class(station, |part, _| {
            // Batches that are not complete, with when they are.
            let (mut waiting, mut length): (VecDeque<(f64, f64)>, f64) = (VecDeque::new(), 0.0);
            self.serve(part, station, batches(station, 1.0), |batch| {
                while waiting.front().is_some_and(|(until, _)| *until <= batch.now_s) {
                    length -= waiting.pop_front().map_or(0.0, |(_, records)| records);
                }
                waiting.push_back((batch.now_s + batch.wait_s + batch.work_s, batch.records));
                length += batch.records;
                (longer, all) = (longer + f64::from(u8::from(length > records)), all + 1.0);
            });
        });
        if all > 0.0 { longer / all } else { 0.0 }
    }

    /// Whether `station` keeps up with its demand.
    pub(super) fn keeps_up(station: &Station) -> bool {
        station.utilisation() <= MOST_UTILISATION
    }

    /// Batches that make a good estimate of `station`, about.
    pub(super) fn batches(station: &Station) -> f64 {
        let idle = (1.0 - station.utilisation()).max(1e-3);
        (BATCHES_BY_IDLE / (idle * idle)).clamp(LEAST_BATCHES, MOST_BATCHES)
    }

    /// For each kind of instance the part of the arrivals that one of them has, and that all of them have.
    fn each_class(&self, station: &Station, mut each: impl FnMut(f64, f64)) {
        if self.rate == 0.0 || station.demand_per_s <= 0.0 {
            return;
        }
        let (instances, scale) = (f64::from(station.instances.max(1)), station.demand_per_s / self.rate);
        if station.fullest <= EVEN || station.instances <= 1 {
            return each(scale / instances, 1.0);
        }
        let fullest = (station.fullest / instances).min(1.0);
        each(fullest * scale, fullest);
        each((1.0 - fullest) / (instances - 1.0) * scale, 1.0 - fullest);
    }

    /// Serves a part `part` of the arrivals; `visit` is told of so many batches, after those during which the queue fills.
    fn serve(&self, part: f64, station: &Station, wanted: usize, mut visit: impl FnMut(Batch)) {
        let mut draw = Draw::new(SEED);
        let (mut now_s, mut free_s, mut carry, mut batches) = (0.0, 0.0f64, 0.5, 0);
        let (warm_up, variance) = (wanted / WARM_UP, self.variation * self.variation);
        let mut looked_at = 0;
        loop {
            // A run may follow any other, so that their order repeats nothing.
            let run = &self.runs[draw.below(self.runs.len())];
            for (index, arrival) in run.iter().enumerate() {
                now_s += if index == 0 { self.gap_s } else { arrival.gap_ns as f64 * 1e-9 };
                let records = self.part_of(arrival.records as f64 * part, &mut carry, &mut draw);
                if records <= 0.0 {
                    continue;
                }
                let wait_s = (free_s - now_s).max(0.0);
                let work_s = records * station.service_s * draw.factor(variance / records);
                free_s = now_s + wait_s + work_s;
                batches += 1;
                if batches > warm_up {
                    visit(Batch { now_s, wait_s, work_s, records });
                }
                if batches >= wanted + warm_up {
                    return;
                }
            }
            // A run may be empty.
            looked_at += run.len() + 1;
            if looked_at >= MOST_ARRIVALS {
                return;
            }
        }
    }

    /// Records that the server takes of an arrival of which `mean` are its part; what is left of a whole record is carried on.
    #[inline]
    fn part_of(&self, mean: f64, carry: &mut f64, draw: &mut Draw) -> f64 {
        if self.dispersion >= 1.0 {
            // As by chance, or as many at a time come together.
            return draw.events(mean / self.dispersion) * self.dispersion;
        }
        let chance = if self.dispersion < IN_TURN { 0.0 } else { self.dispersion };
        *carry += mean * (1.0 - chance);
        let whole = *carry as u64 as f64;
        *carry -= whole;
        if chance > 0.0 { whole + draw.events(mean * chance) } else { whole }
    }
}

/// The mean time from one arrival to the next, in seconds, and records per second; zeros without two arrivals.
pub(super) fn pace(runs: &[Vec<Arrival>]) -> (f64, f64) {
    let gaps: f64 = runs.iter().flat_map(|run| run.iter().skip(1)).map(|arrival| arrival.gap_ns as f64).sum();
    // A run's first arrival stands for the mean gap.
    let counted = runs.iter().map(|run| run.len().saturating_sub(1)).sum::<usize>();
    let all = runs.iter().map(Vec::len).sum::<usize>();
    let records: u64 = runs.iter().flatten().map(|arrival| arrival.records).sum();
    let gap_s = if counted > 0 { gaps / counted as f64 / 1e9 } else { 0.0 };
    (gap_s, if gap_s > 0.0 { records as f64 / (gap_s * all as f64) } else { 0.0 })
}

/// Batches to be looked at with so much effort.
fn batches(station: &Station, effort: f64) -> usize {
    (Server::batches(station) * effort).max(FEWEST_BATCHES) as usize
}

/// Adds a batch's records: they complete one after the other, and a few of them stand for all.
#[inline]
fn add(times: &mut Times, batch: Batch) {
    let Batch { wait_s, work_s, records, .. } = batch;
    if records < 2.0 {
        return times.add(wait_s + work_s, records);
    }
    let parts = records.min(4.0) as usize;
    for part in 0..parts {
        // The middle of a part is where the mean of its records completes.
        let done = (part as f64 + 0.5) / parts as f64 + 0.5 / records;
        times.add(wait_s + work_s * done.min(1.0), records / parts as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(records: u64) -> Vec<Vec<Arrival>> {
        vec![vec![Arrival { gap_ns: 10_000_000, records }; 64]; 4]
    }

    fn station(instances: u32, service_s: f64, demand_per_s: f64) -> Station {
        Station { instances, service_s, demand_per_s, fullest: 1.0 }
    }

    fn quantile(sojourns: &Sojourns, quantile: f64) -> f64 {
        sojourns.at((quantile * 65536.0) as u16)
    }

    #[test]
    fn who_takes_turns_and_always_as_long_never_waits() {
        // 190 records a second, 150 ms each, 58 instances: each has one every 305 ms.
        let runs = ticks(2);
        let server = Server::new(&runs, pace(&runs), 0.0, 0.0);
        let sojourns = server.sojourns(&station(58, 0.15, 190.0), 1.0).unwrap();
        assert!((quantile(&sojourns, 0.99) - 0.15).abs() < 1e-6);
        // With half as many still none waits: they are busy for 98 % of the time, but in turn.
        let sojourns = server.sojourns(&station(29, 0.15, 190.0), 1.0).unwrap();
        assert!(quantile(&sojourns, 0.99) < 0.17, "{}", quantile(&sojourns, 0.99));
        assert_eq!(server.sojourns(&station(28, 0.15, 190.0), 1.0), None, "that would not keep up");
    }

    #[test]
    fn exponential_times_queue_as_theory_says() {
        // D/M/1 at utilisation 0.95: sigma = exp(-(1 - sigma) / rho), sojourns are exponential with mean s / (1 - sigma).
        let runs = ticks(1);
        let server = Server::new(&runs, pace(&runs), 0.0, 1.0);
        let (rho, mut sigma) = (0.8f64, 0.5f64);
        for _ in 0..1000 {
            sigma = (-(1.0 - sigma) / rho).exp();
        }
        let sojourns = server.sojourns(&station(1, 0.008, 100.0), 1.0).unwrap();
        let expected = 0.008 / (1.0 - sigma) * 100f64.ln();
        let found = quantile(&sojourns, 0.99);
        assert!((found / expected - 1.0).abs() < 0.15, "{found} {expected}");
        // Records that go to one of two instances by chance are M/M/1, nearly.
        let server = Server::new(&runs, pace(&runs), 1.0, 1.0);
        let sojourns = server.sojourns(&station(2, 0.01, 100.0), 1.0).unwrap();
        let expected = 0.01 / 0.5 * 100f64.ln();
        let found = quantile(&sojourns, 0.99);
        assert!((found / expected - 1.0).abs() < 0.15, "{found} {expected}");
    }

    #[test]
    fn the_fullest_instance_has_the_tail() {
        let runs = ticks(10);
        let server = Server::new(&runs, pace(&runs), 0.0, 0.0);
        let even = server.sojourns(&station(10, 0.005, 1000.0), 1.0).unwrap();
        let skewed = server.sojourns(&Station { fullest: 1.9, ..station(10, 0.005, 1000.0) }, 1.0).unwrap();
        assert!(quantile(&skewed, 0.99) > 1.5 * quantile(&even, 0.99));
        assert!(quantile(&skewed, 0.3) <= quantile(&even, 0.3) * 1.01);
    }
}
