//! One operator's instances as first-in-first-out servers: how long records stay.

use std::collections::VecDeque;

use super::Station;
use crate::critical_path::Arrival;

/// Batches that a server of moderate load is given.
const LEAST_BATCHES: f64 = 3000.0;
/// The closer to its limit, the longer it takes until a queue has been seen in all its lengths: this over the square of what is idle.
const BATCHES_BY_IDLE: f64 = 400.0;
/// ... and at most this many.
const MOST_BATCHES: f64 = 40_000.0;
/// Arrivals at the operator that are looked at for them, at most.
const MOST_ARRIVALS: usize = 200_000;
/// The first part of the batches, while the queue fills, does not count: one in so many.
const WARM_UP: usize = 8;
/// A server busier than this does not keep up.
const MOST_UTILISATION: f64 = 0.995;
/// An instance with less than this more than an even share stands for all.
const EVEN: f64 = 1.05;
/// Quantiles that are kept of a distribution.
const QUANTILES: usize = 2048;
/// Below this variance over that of a random choice, records take turns.
const IN_TURN: f64 = 0.15;

/// How long records stay at an operator, as quantiles in seconds, and how many are at an instance when some arrive there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sojourns {
    quantiles_s: Vec<f32>,
    /// In ascending order.
    lengths: Vec<f32>,
}

impl Sojourns {
    /// The time at the quantile `u`, 0 to 1, in seconds.
    pub(super) fn at(&self, u: f64) -> f64 {
        f64::from(self.quantiles_s[((u * QUANTILES as f64) as usize).min(self.quantiles_s.len() - 1)])
    }

    /// Part of the arrivals that make more than `records` records at an instance.
    pub(super) fn longer(&self, records: f64) -> f64 {
        let within = self.lengths.partition_point(|length| f64::from(*length) <= records);
        if self.lengths.is_empty() { 0.0 } else { 1.0 - within as f64 / self.lengths.len() as f64 }
    }

    /// Of times with their weights.
    fn of(mut times: Vec<(f32, f32)>, mut lengths: Vec<f32>) -> Option<Sojourns> {
        lengths.sort_by(f32::total_cmp);
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all: f64 = times.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let last = times.last()?.0;
        let (mut quantiles_s, mut sum, mut index) = (Vec::with_capacity(QUANTILES), 0.0, 0);
        for quantile in 0..QUANTILES {
            let until = (quantile as f64 + 0.5) / QUANTILES as f64 * all;
            while index < times.len() && sum + f64::from(times[index].1) < until {
                sum += f64::from(times[index].1);
                index += 1;
            }
            quantiles_s.push(times.get(index).map_or(last, |(time, _)| *time));
        }
        Some(Sojourns { quantiles_s, lengths })
    }
}

/// What arrives, and how service times vary.
pub(super) struct Server<'a> {
    pub(super) runs: &'a [Vec<Arrival>],
    /// See [`OperatorTraffic::dispersion`](crate::critical_path::OperatorTraffic::dispersion).
    pub(super) dispersion: f64,
    /// Standard deviation of a record's time over its mean.
    pub(super) variation: f64,
}

impl Server<'_> {
    /// Times that records spend at `station`; nothing if it would not keep up. Without any arrivals measured nobody waits.
    pub(super) fn sojourns(&self, station: &Station) -> Option<Sojourns> {
        if station.utilisation() > MOST_UTILISATION {
            return None;
        }
        let instances = f64::from(station.instances.max(1));
        let (gap_ns, records) = self.totals();
        if records == 0.0 || gap_ns == 0.0 || station.demand_per_s <= 0.0 {
            return Sojourns::of(vec![(station.service_s as f32, 1.0)], Vec::new());
        }
        let scale = station.demand_per_s / (records / gap_ns * 1e9);
        let even = 1.0 / instances;
        let (mut times, mut lengths) = (Vec::new(), Vec::new());
        if station.fullest <= EVEN || station.instances <= 1 {
            self.serve(even * scale, station, 1.0, &mut times, &mut lengths);
        } else {
            let fullest = (even * station.fullest).min(1.0);
            self.serve(fullest * scale, station, fullest, &mut times, &mut lengths);
            self.serve((1.0 - fullest) / (instances - 1.0) * scale, station, 1.0 - fullest, &mut times, &mut lengths);
        }
        if times.is_empty() {
            times.push((station.service_s as f32, 1.0));
        }
        Sojourns::of(times, lengths)
    }

    /// Time and records of all runs; a run's first arrival stands for the mean gap.
    fn totals(&self) -> (f64, f64) {
        let gaps: f64 = self.runs.iter().flat_map(|run| run.iter().skip(1)).map(|arrival| arrival.gap_ns as f64).sum();
        let counted = self.runs.iter().map(|run| run.len().saturating_sub(1)).sum::<usize>();
        let all = self.runs.iter().map(Vec::len).sum::<usize>();
        let records: u64 = self.runs.iter().flatten().map(|arrival| arrival.records).sum();
        (if counted > 0 { gaps * all as f64 / counted as f64 } else { 0.0 }, records as f64)
    }

    /// Serves a part `part` of the arrivals; adds times, which together weigh `weight`, and lengths of the queue.
    fn serve(&self, part: f64, station: &Station, weight: f64, times: &mut Vec<(f32, f32)>, lengths: &mut Vec<f32>) {
        let (gap_ns, _) = self.totals();
        let arrivals = self.runs.iter().map(Vec::len).sum::<usize>();
        let mean_gap_s = gap_ns / arrivals.max(1) as f64 / 1e9;
        let mut random = fastrand::Rng::with_seed(1);
        let idle = (1.0 - station.utilisation()).max(1e-3);
        let wanted = (BATCHES_BY_IDLE / (idle * idle)).clamp(LEAST_BATCHES, MOST_BATCHES) as usize;
        let (mut now, mut free, mut carry, mut batches) = (0.0, 0.0f64, 0.5, 0);
        let mut served: Vec<(f32, f32)> = Vec::with_capacity(wanted * 2);
        let mut looked_at = 0;
        // Batches that are not complete, with when they are.
        let (mut waiting, mut length): (VecDeque<(f64, f64)>, f64) = (VecDeque::new(), 0.0);
        'all: loop {
            // A run may follow any other, so that their order repeats nothing.
            let run = &self.runs[random.usize(..self.runs.len())];
            for (index, arrival) in run.iter().enumerate() {
                now += if index == 0 { mean_gap_s } else { arrival.gap_ns as f64 / 1e9 };
                looked_at += 1;
                let count = self.part_of(arrival.records as f64 * part, &mut carry, &mut random);
                if count > 0.0 {
                    let start = free.max(now);
                    let work = count * station.service_s * factor(self.variation * self.variation / count, &mut random);
                    free = start + work;
                    while waiting.front().is_some_and(|(until, _)| *until <= now) {
                        length -= waiting.pop_front().map_or(0.0, |(_, records)| records);
                    }
                    waiting.push_back((free, count));
                    length += count;
                    batches += 1;
                    if batches > wanted / WARM_UP {
                        push(&mut served, start - now, work, count);
                        lengths.push(length as f32);
                    }
                }
                if batches >= wanted + wanted / WARM_UP || looked_at >= MOST_ARRIVALS {
                    break 'all;
                }
            }
        }
        let all: f64 = served.iter().map(|(_, records)| f64::from(*records)).sum();
        times.extend(served.into_iter().map(|(time, records)| (time, (f64::from(records) / all * weight) as f32)));
    }

    /// Records that the server takes of an arrival of which `mean` are its part; what is left of a whole record is carried on.
    fn part_of(&self, mean: f64, carry: &mut f64, random: &mut fastrand::Rng) -> f64 {
        let (turns, chance) = match self.dispersion {
            d if d < IN_TURN => (mean, 0.0),
            d if d < 1.0 => (mean * (1.0 - d), mean * d),
            // More than by chance: as many at a time come together.
            d => (0.0, mean / d),
        };
        *carry += turns;
        let whole = carry.floor();
        *carry -= whole;
        whole + poisson(chance, random) * self.dispersion.max(1.0)
    }
}

/// Adds a batch's records: they complete one after the other, and a few of them stand for all.
fn push(served: &mut Vec<(f32, f32)>, wait: f64, work: f64, count: f64) {
    let parts = count.min(4.0).floor().max(1.0);
    for part in 0..parts as usize {
        // The middle of a part is where the mean of its records completes.
        let done = (part as f64 + 0.5) / parts + 0.5 / count;
        served.push(((wait + work * done.min(1.0)) as f32, (count / parts) as f32));
    }
}

/// A number of events of which `mean` are expected.
fn poisson(mean: f64, random: &mut fastrand::Rng) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean > 30.0 {
        return (mean + normal(random) * mean.sqrt()).round().max(0.0);
    }
    let (limit, mut product, mut events) = ((-mean).exp(), random.f64(), 0.0);
    while product > limit {
        product *= random.f64();
        events += 1.0;
    }
    events
}

/// A factor of mean 1 and variance `variance`, never negative: a gamma distribution (Marsaglia and Tsang, 2000).
fn factor(variance: f64, random: &mut fastrand::Rng) -> f64 {
    if variance < 1e-6 {
        return 1.0;
    }
    let shape = 1.0 / variance;
    // A shape below 1 is one above it, times a power of a uniform number.
    let (raised, power) = if shape < 1.0 { (shape + 1.0, random.f64().max(f64::MIN_POSITIVE).powf(1.0 / shape)) } else { (shape, 1.0) };
    let d = raised - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && random.f64().max(f64::MIN_POSITIVE).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v * power / shape;
        }
    }
}

/// A normal number (Box and Muller).
fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
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
        sojourns.at(quantile)
    }

    #[test]
    fn who_takes_turns_and_always_as_long_never_waits() {
        // 190 records a second, 150 ms each, 58 instances: each has one every 305 ms.
        let server = Server { runs: &ticks(2), dispersion: 0.0, variation: 0.0 };
        let sojourns = server.sojourns(&station(58, 0.15, 190.0)).unwrap();
        assert!((quantile(&sojourns, 0.99) - 0.15).abs() < 1e-6);
        // With half as many still none waits: they are busy for 98 % of the time, but in turn.
        let sojourns = server.sojourns(&station(29, 0.15, 190.0)).unwrap();
        assert!(quantile(&sojourns, 0.99) < 0.17, "{}", quantile(&sojourns, 0.99));
        assert_eq!(server.sojourns(&station(28, 0.15, 190.0)), None, "that would not keep up");
    }

    #[test]
    fn exponential_times_queue_as_theory_says() {
        // D/M/1 at utilisation 0.95: sigma = exp(-(1 - sigma) / rho), sojourns are exponential with mean s / (1 - sigma).
        let server = Server { runs: &ticks(1), dispersion: 0.0, variation: 1.0 };
        let (rho, mut sigma) = (0.8f64, 0.5f64);
        for _ in 0..1000 {
            sigma = (-(1.0 - sigma) / rho).exp();
        }
        let sojourns = server.sojourns(&station(1, 0.008, 100.0)).unwrap();
        let expected = 0.008 / (1.0 - sigma) * 100f64.ln();
        let found = quantile(&sojourns, 0.99);
        assert!((found / expected - 1.0).abs() < 0.12, "{found} {expected}");
        // Records that go to one of two instances by chance are M/M/1, nearly.
        let server = Server { runs: &ticks(1), dispersion: 1.0, variation: 1.0 };
        let sojourns = server.sojourns(&station(2, 0.01, 100.0)).unwrap();
        let expected = 0.01 / 0.5 * 100f64.ln();
        let found = quantile(&sojourns, 0.99);
        assert!((found / expected - 1.0).abs() < 0.15, "{found} {expected}");
    }

    #[test]
    fn the_fullest_instance_has_the_tail() {
        let server = Server { runs: &ticks(10), dispersion: 0.0, variation: 0.0 };
        let even = server.sojourns(&station(10, 0.005, 1000.0)).unwrap();
        let skewed = server.sojourns(&Station { fullest: 1.9, ..station(10, 0.005, 1000.0) }).unwrap();
        assert!(quantile(&skewed, 0.99) > 1.5 * quantile(&even, 0.99));
        assert!(quantile(&skewed, 0.3) <= quantile(&even, 0.3) * 1.01);
    }

    #[test]
    fn drawn_factors_have_their_variance() {
        let mut random = fastrand::Rng::with_seed(7);
        for variance in [0.1, 1.0, 4.0] {
            let draws: Vec<f64> = (0..50_000).map(|_| factor(variance, &mut random)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let spread = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            assert!((mean - 1.0).abs() < 0.05 && (spread / variance - 1.0).abs() < 0.15, "{variance}: {mean} {spread}");
        }
    }
}
