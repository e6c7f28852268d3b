//! A series as the load of a run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::columns::{Column, Columns};
use super::error::{LoadError, Place};
use super::file::read;
use super::preset::{Preset, make};
use super::series::Series;
use crate::rate::Rate;

/// A load that a file has, or that is made from a seed. First comes what is left of it from
/// `from_s` on, then `remove_base`, then `scale_to`, and it passes `speed_up` times as fast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The file; a relative path is below the folder of the file that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What is made, without a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Its seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How long it is, in seconds; as long as the preset usually is by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The column of values: its name in the header, or its number from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<Column>,
    /// The column of times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Column>,
    /// Seconds from one value to the next, in a file without times or of what is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_s: Option<f64>,
    /// What the rate is between two values.
    #[serde(default)]
    pub gaps: Gaps,
    /// How many times as fast as its own time it passes.
    #[serde(default = "one")]
    pub speed_up: f64,
    /// Seconds of its own time that are left out at its start.
    #[serde(default)]
    pub from_s: f64,
    /// The part of its lowest value that is subtracted from all, 0 to 1.
    #[serde(default)]
    pub remove_base: f64,
    /// How high it is; as it is by default, as records per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_to: Option<ScaleTo>,
    /// Whether it begins again at its end; a run that is longer is refused otherwise.
    #[serde(default)]
    pub repeat: bool,
    /// The series, once it has been read or made.
    #[serde(skip)]
    read: Once,
}

/// What the rate is between two values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gaps {
    /// The earlier value, until there is another.
    #[default]
    Hold,
    /// On a straight line between them.
    Interpolate,
}

/// How high a load is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleTo {
    /// Its mean over time.
    Mean(Rate),
    /// Its highest value.
    Peak(Rate),
    /// Its lowest and its highest value; nothing is left of the base then.
    Range(Rate, Rate),
}

/// What is read once. Two that were read from the same place are equal.
#[derive(Clone, Debug, Default)]
struct Once(OnceLock<Result<Arc<Series>, LoadError>>);

impl PartialEq for Once {
    fn eq(&self, _: &Once) -> bool {
        true
    }
}

fn one() -> f64 {
    1.0
}

/// Pieces into which a straight line over the usual spacing is cut.
const PIECES: f64 = 16.0;

impl Trace {
    /// The same over time at so many times the rate, where the trace says how high it is; one that
    /// has the rates of its file keeps them.
    pub fn times(&self, factor: f64) -> Trace {
        let by = |rate: Rate| Rate::per_second(rate.as_per_second() * factor);
        let scale_to = self.scale_to.map(|scale| match scale {
            ScaleTo::Mean(rate) => ScaleTo::Mean(by(rate)),
            ScaleTo::Peak(rate) => ScaleTo::Peak(by(rate)),
            ScaleTo::Range(low, high) => ScaleTo::Range(by(low), by(high)),
        });
        Trace { scale_to, ..self.clone() }
    }

    /// All of a file, at its own pace and height.
    pub fn of_file(file: &Path) -> Trace {
        Trace { file: Some(file.to_owned()), ..Trace::empty() }
    }

    /// What a seed makes, as long as it usually is.
    pub fn of_preset(preset: Preset, seed: u64) -> Trace {
        Trace { preset: Some(preset), seed: Some(seed), ..Trace::empty() }
    }

    fn empty() -> Trace {
        Trace {
            file: None,
            preset: None,
            seed: None,
            seconds: None,
            column: None,
            time: None,
            every_s: None,
            gaps: Gaps::Hold,
            speed_up: one(),
            from_s: 0.0,
            remove_base: 0.0,
            scale_to: None,
            repeat: false,
            read: Once::default(),
        }
    }

    /// Makes a relative path an absolute one, below `folder`.
    pub fn within(&mut self, folder: &Path) {
        if let Some(file) = self.file.as_mut().filter(|file| file.is_relative()) {
            let below = folder.join(&*file);
            *file = std::path::absolute(&below).unwrap_or(below);
            self.read = Once::default();
        }
    }

    /// The series as it is in the file or as it is made; read when it is first asked for.
    ///
    /// # Errors
    /// When there is none.
    pub fn series(&self) -> Result<Arc<Series>, LoadError> {
        self.read.0.get_or_init(|| self.fetch().map(Arc::new)).clone()
    }

    fn fetch(&self) -> Result<Series, LoadError> {
        match (&self.file, self.preset) {
            (Some(_), None) if self.seed.is_some() || self.seconds.is_some() => {
                Err(self.wrong("expected no 'seed' and no 'seconds' of a file, which only a preset has".to_owned()))
            }
            (Some(file), None) => {
                let columns = Columns { value: self.column.clone(), time: self.time.clone(), every_s: self.every_s };
                read(file, &columns)
            }
            (None, Some(_)) if self.column.is_some() || self.time.is_some() => {
                Err(self.wrong("expected no 'column' and no 'time' of a preset, which only a file has".to_owned()))
            }
            (None, Some(preset)) => {
                let (seconds, every_s) = (self.seconds.unwrap_or(preset.usual_s()), self.every_s.unwrap_or(60.0));
                make(preset, self.seed.unwrap_or(0), seconds, every_s).map_err(|what| self.wrong(what))
            }
            _ => Err(self.wrong("expected either 'file' or 'preset' of a load with shape = \"trace\"".to_owned())),
        }
    }

    fn wrong(&self, what: String) -> LoadError {
        LoadError { file: self.file.clone().unwrap_or_default(), place: Place::File, what }
    }

    fn within_bounds(&self, name: &str, value: f64, bounds: std::ops::RangeInclusive<f64>) -> Result<(), LoadError> {
        let what = || format!("expected {name} from {} to {}, found {value}", bounds.start(), bounds.end());
        if bounds.contains(&value) { Ok(()) } else { Err(self.wrong(what())) }
    }

    /// The rates of a run of `until` seconds, each with the second from which on it holds; `most`
    /// of them.
    ///
    /// # Errors
    /// When there is no series, it does not last as long as the run, or a parameter is out of its
    /// range.
    pub fn rates(&self, until: f64, most: f64) -> Result<Vec<(f64, f64)>, LoadError> {
        self.within_bounds("speed_up", self.speed_up, 1e-3..=1e6)?;
        self.within_bounds("remove_base", self.remove_base, 0.0..=1.0)?;
        self.within_bounds("from_s", self.from_s, 0.0..=1e9)?;
        let whole = self.series()?;
        let left = match self.from_s > 0.0 {
            true => {
                let last = whole.samples().last().map_or(0.0, |(at, _)| *at);
                let none = || {
                    self.wrong(format!("expected from_s before the last value at {last} s, so that two are left, found {}", self.from_s))
                };
                Arc::new(whole.from(self.from_s, self.gaps == Gaps::Interpolate).ok_or_else(none)?)
            }
            false => whole,
        };
        let length = left.length_s() / self.speed_up;
        if until > length + 1e-6 && !self.repeat {
            let what = format!("expected a run of at most {length:.3} s, as long as the load lasts, or repeat = true, found {until} s");
            return Err(self.wrong(what));
        }
        let (base, low, factor) = match self.scale_to {
            None => (self.remove_base * left.lowest(), 0.0, 1.0),
            Some(ScaleTo::Mean(rate)) => {
                let base = self.remove_base * left.lowest();
                let mean = if self.gaps == Gaps::Interpolate { left.mean_of_lines() } else { left.mean() };
                (base, 0.0, self.factor(rate, mean - base)?)
            }
            Some(ScaleTo::Peak(rate)) => {
                let base = self.remove_base * left.lowest();
                (base, 0.0, self.factor(rate, left.highest() - base)?)
            }
            Some(ScaleTo::Range(low, high)) => {
                let (low, high) = (low.as_per_second(), high.as_per_second());
                if low > high {
                    return Err(self.wrong(format!("expected a range from low to high, found {low} to {high}")));
                }
                (left.lowest(), low, self.factor(Rate::per_second(high - low), left.highest() - left.lowest())?)
            }
        };
        let rate = |value: f64| (low + (value - base) * factor).max(0.0);
        let many = |found: String| self.wrong(format!("expected at most {most} changes of the rate, found {found}: shorten the run"));
        // Only what is within the run is made and counted.
        let pieces = self.pieces(&left).map(|(at, value)| (at / self.speed_up, rate(value)));
        let turn: Vec<(f64, f64)> = pieces.take_while(|(at, _)| *at < until || *at == 0.0).take(most as usize + 1).collect();
        if turn.len() as f64 > most {
            return Err(many("more".to_owned()));
        }
        let whole_turns = (until / length).floor();
        let rest = turn.partition_point(|(at, _)| whole_turns * length + at < until);
        let count = turn.len() as f64 * whole_turns + rest as f64;
        if count > most {
            return Err(many(format!("{count:.0}")));
        }
        let of_turn = |number: u64| turn.iter().map(move |(at, rate)| (number as f64 * length + at, *rate));
        Ok((0..=whole_turns as u64).flat_map(of_turn).take_while(|(at, _)| *at < until || *at == 0.0).collect())
    }

    fn factor(&self, rate: Rate, of: f64) -> Result<f64, LoadError> {
        let nothing = || self.wrong("expected a load above 0 to be scaled, found none".to_owned());
        let factor = rate.as_per_second() / of;
        if of > 0.0 && factor.is_finite() { Ok(factor) } else { Err(nothing()) }
    }

    /// The series as values that hold until the next; each piece of a line has its mean.
    fn pieces<'s>(&self, series: &'s Series) -> Box<dyn Iterator<Item = (f64, f64)> + 's> {
        if self.gaps == Gaps::Hold {
            return Box::new(series.samples().iter().copied());
        }
        // A piece is no shorter than a second of the run.
        let piece = (series.spacing_s() / PIECES).max(self.speed_up);
        let lines = series.samples().windows(2).flat_map(move |pair| {
            let ((from, first), (to, last)) = (pair[0], pair[1]);
            let count = ((to - from) / piece - 1e-9).ceil().clamp(1.0, 1e6);
            (0..count as u64).map(move |index| {
                let part = |offset: f64| (index as f64 + offset) / count;
                (from + (to - from) * part(0.0), first + (last - first) * part(0.5))
            })
        });
        Box::new(lines.chain(series.samples().last().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (tempfile::TempDir, Trace) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("load.csv"), text).unwrap();
        let mut trace = Trace::of_file(Path::new("load.csv"));
        trace.within(folder.path());
        (folder, trace)
    }

    const SMALL: &str = "time,value\n0,10\n10,20\n30,40\n40,20\n";

    #[test]
    fn values_hold_or_are_interpolated() {
        let (_folder, trace) = of(SMALL);
        assert_eq!(trace.rates(50.0, 1e6).unwrap(), [(0.0, 10.0), (10.0, 20.0), (30.0, 40.0), (40.0, 20.0)]);
        let line = Trace { gaps: Gaps::Interpolate, speed_up: 5.0, ..trace };
        let rates = line.rates(10.0, 1e6).unwrap();
        assert_eq!(rates[..3], [(0.0, 12.5), (1.0, 17.5), (2.0, 22.5)]);
        assert_eq!((rates.len(), rates.last()), (9, Some(&(8.0, 20.0))));
    }

    #[test]
    fn it_is_cut_lowered_raised_and_hurried() {
        let (_folder, trace) = of(SMALL);
        let rate = Rate::per_second;
        let base = Trace { remove_base: 0.5, scale_to: Some(ScaleTo::Peak(rate(70.0))), speed_up: 10.0, ..trace.clone() };
        assert_eq!(base.rates(5.0, 1e6).unwrap(), [(0.0, 10.0), (1.0, 30.0), (3.0, 70.0), (4.0, 30.0)]);
        let mean = Trace { scale_to: Some(ScaleTo::Mean(rate(2.2))), ..trace.clone() };
        assert_eq!(mean.rates(50.0, 1e6).unwrap()[2].1, 4.0);
        let range = Trace { scale_to: Some(ScaleTo::Range(rate(5.0), rate(11.0))), ..trace.clone() };
        assert_eq!(range.rates(50.0, 1e6).unwrap().iter().map(|(_, rate)| *rate).collect::<Vec<_>>(), [5.0, 7.0, 11.0, 7.0]);
        // On lines, the mean is that of the pieces: (150 + 600 + 300 + 200) / 50 = 25.
        let lines = Trace { gaps: Gaps::Interpolate, scale_to: Some(ScaleTo::Mean(rate(50.0))), ..trace.clone() };
        let pieces = lines.rates(50.0, 1e6).unwrap();
        let ends = pieces[1..].iter().map(|(at, _)| *at).chain([50.0]);
        let mean = pieces.iter().zip(ends).map(|((at, rate), end)| rate * (end - at)).sum::<f64>() / 50.0;
        assert!((mean - 50.0).abs() < 1e-9, "{mean}");
        // From 20 s on, half way up, so the first piece begins at 30.
        let from = Trace { gaps: Gaps::Interpolate, from_s: 20.0, speed_up: 10.0, ..trace.clone() };
        assert_eq!(from.rates(3.0, 1e6).unwrap(), [(0.0, 35.0), (1.0, 30.0), (2.0, 20.0)]);
        let later = Trace { from_s: 20.0, ..trace.clone() };
        assert_eq!(later.rates(30.0, 1e6).unwrap(), [(0.0, 20.0), (10.0, 40.0), (20.0, 20.0)]);
        let again = Trace { repeat: true, ..trace };
        assert_eq!(again.rates(75.0, 1e6).unwrap()[3..], [(40.0, 20.0), (50.0, 10.0), (60.0, 20.0)]);
    }

    #[test]
    fn what_does_not_fit_a_run_is_refused_by_name() {
        let (_folder, trace) = of(SMALL);
        let refused = |change: &dyn Fn(&mut Trace)| {
            let mut trace = trace.clone();
            change(&mut trace);
            trace.rates(50.0, 100.0).unwrap_err().to_string()
        };
        for (change, expected) in [
            (&(|trace: &mut Trace| trace.speed_up = 2.0) as &dyn Fn(&mut Trace), "expected a run of at most 25.000 s"),
            (&|trace| trace.speed_up = 0.0, "expected speed_up from 0.001 to 1000000, found 0"),
            (&|trace| trace.speed_up = f64::NAN, "found NaN"),
            (&|trace| trace.remove_base = 1.5, "expected remove_base from 0 to 1, found 1.5"),
            (&|trace| trace.from_s = 45.0, "expected from_s before the last value at 40 s, so that two are left, found 45"),
            (&|trace| trace.from_s = -1.0, "expected from_s from 0 to"),
            (&|trace| trace.seed = Some(1), "expected no 'seed'"),
            (&|trace| trace.preset = Some(Preset::Daily), "expected either 'file' or 'preset'"),
            (&|trace| (trace.repeat, trace.speed_up) = (true, 1e3), "expected at most 100 changes of the rate, found 4000"),
        ] {
            let found = refused(change);
            assert!(found.contains(expected), "{found}");
        }
        // Of a long load only what is within the run is counted.
        let (_folder, long) = of(&(0..1000).map(|at| format!("{at},1\n")).collect::<String>());
        assert_eq!(long.rates(50.0, 100.0).unwrap().len(), 50);
        assert!(long.rates(101.0, 100.0).unwrap_err().to_string().contains("expected at most 100 changes of the rate, found more"));
        let (_folder, nothing) = of("0,0\n1,0\n");
        let scaled = Trace { scale_to: Some(ScaleTo::Mean(Rate::per_second(1.0))), ..nothing };
        assert!(scaled.rates(1.0, 10.0).unwrap_err().to_string().ends_with("expected a load above 0 to be scaled, found none"));
    }
}
