//! Loads made from a seed: what real ones look like, without anybody's file.
//!
//! `daily`, `weekly`, `bursty` and `spiky` have the traits that the loads of production systems
//! show: hours of the day, days of the week, noise that lasts, bursts that come at any time and fade. `cosine`,
//! `ramp`, `random` and `step` are those of a published comparison of autoscalers, with its
//! parameters.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::series::{LONGEST_S, Series};

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Day and night, five times as much at the height of the day as at the depth of the night.
    Daily,
    /// The same with less at the weekend.
    Weekly,
    /// A small daily load with bursts that come at any time and fade within minutes.
    Bursty,
    /// A flat load with short, high spikes.
    Spiky,
    /// A cosine with a period of an hour.
    Cosine,
    /// From nothing to the highest in 140 minutes.
    Ramp,
    /// A random walk.
    Random,
    /// High for 90 minutes, then half of it.
    Step,
}

/// No preset has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a load, one of {}, found '{found}'", Preset::ALL.map(|preset| format!("'{preset}'")).join(", "))]
pub struct WrongPreset {
    /// The name that was given.
    pub found: String,
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

impl Preset {
    /// All of them.
    pub const ALL: [Preset; 8] =
        [Preset::Daily, Preset::Weekly, Preset::Bursty, Preset::Spiky, Preset::Cosine, Preset::Ramp, Preset::Random, Preset::Step];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Daily => "daily",
            Preset::Weekly => "weekly",
            Preset::Bursty => "bursty",
            Preset::Spiky => "spiky",
            Preset::Cosine => "cosine",
            Preset::Ramp => "ramp",
            Preset::Random => "random",
            Preset::Step => "step",
        }
    }

    /// What it is, in a few words.
    pub fn summary(self) -> &'static str {
        match self {
            Preset::Daily => "day and night, with noise that lasts",
            Preset::Weekly => "seven days, less at the weekend",
            Preset::Bursty => "a small daily load with bursts that fade",
            Preset::Spiky => "a flat load with short, high spikes",
            Preset::Cosine => "a cosine of an hour: 12 k/s, 10 k/s up and down, noise of 250/s",
            Preset::Ramp => "from 0 to 2.5 M/s in 140 minutes",
            Preset::Random => "a random walk from 1.25 M/s, up to 0.5 M/s a step of ten minutes, at most 2.5 M/s",
            Preset::Step => "2 M/s for 90 minutes, then 1 M/s",
        }
    }

    /// How long it lasts unless something else is asked for, in seconds.
    pub fn usual_s(self) -> f64 {
        match self {
            Preset::Daily | Preset::Bursty | Preset::Spiky => DAY,
            Preset::Weekly => 7.0 * DAY,
            Preset::Cosine | Preset::Ramp | Preset::Random => 140.0 * MINUTE,
            Preset::Step => 180.0 * MINUTE,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = WrongPreset;

    fn from_str(text: &str) -> Result<Preset, WrongPreset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == text).ok_or_else(|| WrongPreset { found: text.to_owned() })
    }
}

/// Random numbers with a spread.
struct Dice(fastrand::Rng);

impl Dice {
    /// From 0 to 1.
    fn uniform(&mut self) -> f64 {
        self.0.f64()
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Normal around 0 with deviation 1: the sum of twelve uniform numbers, which needs no
    /// logarithm and is the same everywhere.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// Noise that lasts: each value remembers the one before it.
struct Lasting {
    value: f64,
    memory: f64,
    deviation: f64,
}

impl Lasting {
    fn next(&mut self, dice: &mut Dice) -> f64 {
        let fresh = (1.0 - self.memory * self.memory).sqrt() * self.deviation;
        self.value = self.memory * self.value + fresh * dice.normal();
        self.value
    }
}

/// A burst: when it begins, how high it is, how long it takes to fade or lasts.
struct Burst {
    at: f64,
    height: f64,
    length_s: f64,
}

/// Bursts at any time, so many a day, their heights and lengths within these bounds; high ones are
/// rarer.
fn bursts(dice: &mut Dice, until: f64, a_day: f64, heights: (f64, f64), lengths: (f64, f64)) -> Vec<Burst> {
    let count = (until / DAY * a_day).round().max(1.0) as usize;
    let mut all: Vec<Burst> = (0..count)
        .map(|_| {
            let (at, high) = (dice.uniform() * until, dice.uniform());
            Burst { at, height: heights.0 + (heights.1 - heights.0) * high * high, length_s: dice.between(lengths.0, lengths.1) }
        })
        .collect();
    all.sort_by(|a, b| a.at.total_cmp(&b.at));
    all
}

/// Hours of the day, around 1: lowest at four in the morning, highest in the afternoon with a
/// second height in the evening.
fn hour_of_day(at: f64, amplitude: f64) -> f64 {
    let day = at / DAY;
    let first = -(TAU * (day - 4.0 / 24.0)).cos();
    let second = -(2.0 * TAU * (day - 1.5 / 24.0)).cos();
    1.0 + amplitude * (0.85 * first + 0.15 * second)
}

/// A load of `seconds`, with a value every `every_s`; values are records per second, those of the
/// first four around 1,000. The same arguments give the same load.
///
/// # Errors
/// When there would be fewer than two values or more than ten million, or it would be longer than a
/// hundred years.
pub fn make(preset: Preset, seed: u64, seconds: f64, every_s: f64) -> Result<Series, String> {
    let count = (seconds / every_s).ceil();
    if !(2.0..=1e7).contains(&count) || !(1e-3..=1e9).contains(&every_s) {
        return Err(format!("expected from 2 to 10,000,000 values at least 0.001 s apart, found {seconds} s at {every_s} s"));
    }
    if seconds > LONGEST_S {
        return Err(format!("expected a load of at most 100 years, found {seconds:.3e} s"));
    }
    let mut dice = Dice(fastrand::Rng::with_seed(seed));
    let (longest_burst, longest_spike) = (15.0 * MINUTE, 10.0 * MINUTE);
    let bursty = bursts(&mut dice, seconds, 40.0, (0.5, 4.0), (2.0 * MINUTE, longest_burst));
    let spikes = bursts(&mut dice, seconds, 10.0, (2.0, 9.0), (3.0 * MINUTE, longest_spike));
    // Noise that is forgotten after about ten minutes, whatever the spacing.
    let memory = (-every_s / (10.0 * MINUTE)).exp();
    let mut lasting = Lasting { value: 0.0, memory, deviation: 0.05 };
    let (mut walk, mut walked) = (1.25e6, 0.0);
    // Those that began by `at`, but for those that began so long before that they are over. They are
    // in order.
    let lately = |of: &[Burst], at: f64, longest: f64| -> std::ops::Range<usize> {
        of.partition_point(|burst| burst.at < at - longest)..of.partition_point(|burst| burst.at <= at)
    };
    let fading = |at: f64| -> f64 {
        let begun = bursty[lately(&bursty, at, 8.0 * longest_burst)].iter().filter(|burst| at - burst.at < 8.0 * burst.length_s);
        begun.map(|burst| burst.height * (-(at - burst.at) / burst.length_s).exp()).sum()
    };
    let lasts = |at: f64| -> f64 {
        let now = spikes[lately(&spikes, at, longest_spike)].iter().filter(|spike| (spike.at..spike.at + spike.length_s).contains(&at));
        now.map(|spike| spike.height).fold(0.0, f64::max)
    };
    let samples = (0..count as u64).map(|index| {
        let at = index as f64 * every_s;
        let noise = 1.0 + lasting.next(&mut dice) + 0.01 * dice.normal();
        let value = match preset {
            Preset::Daily => 1e3 * hour_of_day(at, 2.0 / 3.0) * noise,
            Preset::Weekly => {
                let weekend = if (at / DAY) as u64 % 7 >= 5 { 0.6 } else { 1.0 };
                1e3 * hour_of_day(at, 2.0 / 3.0) * weekend * noise
            }
            Preset::Bursty => 600.0 * (hour_of_day(at, 0.3) * noise + fading(at)),
            Preset::Spiky => 600.0 * (noise + lasts(at)),
            Preset::Cosine => 12e3 + 10e3 * (TAU * at / HOUR).cos() + 250.0 * dice.between(-1.0, 1.0),
            Preset::Ramp => 2.5e6 * (at / (140.0 * MINUTE)).min(1.0),
            Preset::Random => {
                while walked + 10.0 * MINUTE <= at {
                    walked += 10.0 * MINUTE;
                    walk = (walk + dice.between(-0.5e6, 0.5e6)).clamp(0.0, 2.5e6);
                }
                walk
            }
            Preset::Step => {
                if at < 90.0 * MINUTE {
                    2e6
                } else {
                    1e6
                }
            }
        };
        // A tenth of a record per second is as exact as anybody needs it.
        (at, (value.max(0.0) * 10.0).round() / 10.0)
    });
    Series::new(samples.collect()).map_err(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_load_and_another_another() {
        for preset in Preset::ALL {
            let of = |seed| make(preset, seed, preset.usual_s(), 60.0).unwrap();
            assert_eq!(of(7), of(7), "{preset}");
            let random = !matches!(preset, Preset::Ramp | Preset::Step);
            assert_eq!(of(7) != of(8), random, "{preset}");
            assert_eq!((preset.name().parse(), of(1).length_s()), (Ok(preset), preset.usual_s()));
        }
        assert!("dayly".parse::<Preset>().unwrap_err().to_string().starts_with("expected a load, one of 'daily', 'weekly'"));
    }

    #[test]
    fn presets_have_the_traits_that_they_are_named_for() {
        let of = |preset: Preset| make(preset, 3, preset.usual_s(), 60.0).unwrap();
        let ratio = |series: &Series| series.highest() / series.lowest();
        let daily = of(Preset::Daily);
        assert!((4.0..9.0).contains(&ratio(&daily)) && (daily.mean() / 1e3 - 1.0).abs() < 0.1, "{}", ratio(&daily));
        assert!(of(Preset::Spiky).highest() > 3.0 * of(Preset::Spiky).mean());
        assert!(of(Preset::Bursty).highest() > 2.5 * of(Preset::Bursty).mean());
        let weekly = of(Preset::Weekly);
        let days: Vec<f64> =
            (0..7).map(|day| weekly.samples().iter().filter(|(at, _)| (at / DAY) as u64 == day).map(|(_, value)| value).sum()).collect();
        assert!(days[5] < 0.7 * days[2] && days[6] < 0.7 * days[2], "{days:?}");
        let cosine = of(Preset::Cosine);
        assert!((cosine.highest() - 22e3).abs() < 300.0 && (cosine.lowest() - 2e3).abs() < 300.0);
        assert!((of(Preset::Ramp).highest() / 2.5e6 - 1.0).abs() < 0.01 && of(Preset::Random).highest() <= 2.5e6);
    }

    #[test]
    fn loads_without_end_are_refused() {
        for (seconds, every_s) in [(60.0, 60.0), (1e12, 1.0), (f64::NAN, 1.0), (-1.0, 1.0), (60.0, 0.0), (f64::INFINITY, 60.0)] {
            assert!(make(Preset::Daily, 0, seconds, every_s).unwrap_err().starts_with("expected from 2 to 10,000,000 values"));
        }
        for (seconds, every_s) in [(1e16, 1e9), (1e10, 1e4)] {
            assert!(make(Preset::Bursty, 0, seconds, every_s).unwrap_err().starts_with("expected a load of at most 100 years"));
        }
    }
}
