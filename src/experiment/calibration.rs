//! From the folder of a recorded run to a scenario that is like it.
//!
//! What can be measured is taken from the activity log alone. What was chosen and not measured - the shape of the dataflow, the tick,
//! bins, marks of queues, how the policy is paced - is what `run.toml` says. Everything else has the default of scenarios, and is said to
//! have it.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::folder::{self, FolderError};
use super::policies;
use super::record::{self, Manifest};
use super::scenario::{Control, Input, OperatorForm, Place, RoleForm, Scenario};
use crate::activity::LogReader;
use crate::migration::Strategy;
use crate::rate::Rate;
use crate::sim::calibrate::{Calibrator, Measured, OperatorMeasured};
use crate::sim::{MoveModel, ServiceTimes};
use crate::time::Timestamp;
use crate::workload::{Phase, Shape, Step};

/// Service times that vary less do not vary: it is the rounding of clocks.
const NO_VARIATION: f64 = 0.01;
/// An instance that takes so many times as long as the mean is said to.
const SLOW: f64 = 1.1;
/// A part of this much or more is all.
const ALL: f64 = 0.999;

/// Why a run gives no scenario.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// A file of its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file does not hold what it should.
    #[error("{}: expected {expected}, found {found}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
}

/// Something that was fitted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// What it is, such as `count: limit`.
    pub what: String,
    /// Its value.
    pub value: f64,
    /// Unit of the value.
    pub unit: &'static str,
    /// More about it, such as the median.
    pub spread: String,
    /// How many samples it rests on.
    pub samples: u64,
    /// What they are.
    pub of: &'static str,
}

/// A scenario that is like a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The scenario.
    pub scenario: Scenario,
    /// What was fitted.
    pub fits: Vec<Fit>,
    /// What was not measured, and what was taken instead.
    pub assumed: Vec<String>,
    /// Records of the log.
    pub records: u64,
}

/// Calibrates on the run in `run`.
///
/// # Errors
/// When a file is missing, is not what it should be or is cut off, and when the run cannot be told in a scenario.
pub fn calibrate(run: &Path) -> Result<Calibration, CalibrationError> {
    let path = run.join(folder::RUN);
    let manifest: Manifest = record::read_toml(&path)?;
    let wrong = |expected: &str, found: String| CalibrationError::File { path: path.clone(), expected: expected.to_owned(), found };
    let seconds = manifest.seconds;
    if !(1e-3..=1e9).contains(&seconds) {
        return Err(wrong("seconds, more than 0", seconds.to_string()));
    }
    let Some(mut chosen) = manifest.scenario.clone() else { return Err(wrong("a table 'scenario'", "none".to_owned())) };
    if manifest.host == "engine" {
        if let Some(nexmark) = &chosen.nexmark {
            return Err(wrong("a word count or what was simulated", format!("query {}", nexmark.query)));
        }
        chosen.control = control(&manifest).map_err(|(what, found)| wrong(&what, found))?;
    }
    let names: Vec<&str> = chosen.operators.iter().map(|operator| operator.name.as_str()).collect();
    if names != manifest.operators {
        return Err(wrong(&format!("operators {}", names.join(", ")), manifest.operators.join(", ")));
    }
    let measured = measure(&run.join(folder::ACTIVITY), seconds)?;
    let between_processes = manifest.host == "engine" && chosen.engine.processes > 1;
    let calibration = Fitting::new(&manifest, between_processes).fit(&chosen, &measured);
    // What is written can be read: that is known before anything is.
    let text = toml::to_string(&calibration.scenario).map_err(|why| wrong("a run that a scenario can tell", why.to_string()))?;
    Scenario::read(&text).map_err(|why| wrong("a run that a scenario can tell", why.what))?;
    Ok(calibration)
}

/// How the policy of an engine run was paced.
fn control(manifest: &Manifest) -> Result<Control, (String, String)> {
    let strategy: Strategy = manifest.strategy.parse().map_err(|why| (format!("a strategy ({why})"), manifest.strategy.clone()))?;
    if !(1.0..=600.0).contains(&manifest.time_factor) {
        return Err(("time_factor from 1 to 600".to_owned(), manifest.time_factor.to_string()));
    }
    let pacing = policies::pacing(manifest.time_factor, strategy);
    Ok(Control {
        policy: manifest.policy.clone(),
        policy_interval_s: pacing.policy_interval.as_secs_f64(),
        warm_up_windows: pacing.warm_up_windows,
        activation_windows: pacing.activation_windows,
        strategy,
        time_factor: manifest.time_factor,
    })
}

fn measure(path: &Path, seconds: f64) -> Result<Measured, CalibrationError> {
    let wrong = |expected: &str, found: String| CalibrationError::File { path: path.to_owned(), expected: expected.to_owned(), found };
    let file = File::open(path).map_err(|why| match why.kind() {
        ErrorKind::NotFound => wrong("the activity log of a run ('run --record' keeps it)", "no such file".to_owned()),
        _ => FolderError::Read { path: path.to_owned(), why }.into(),
    })?;
    let damaged = |why: crate::activity::LogError| wrong("a whole activity log", why.to_string());
    let mut calibrator = Calibrator::default();
    for records in LogReader::new(BufReader::new(file)).map_err(damaged)? {
        records.map_err(damaged)?.iter().for_each(|record| calibrator.push(record));
    }
    let measured = calibrator.finish(Timestamp::from_secs_f64(seconds));
    if measured.operators.is_empty() {
        return Err(wrong("work of operators", format!("none in {} records", measured.records)));
    }
    Ok(measured)
}

/// A scenario that is being fitted.
struct Fitting {
    title: String,
    policy: String,
    between_processes: bool,
    fits: Vec<Fit>,
    assumed: Vec<String>,
}

impl Fitting {
    fn new(manifest: &Manifest, between_processes: bool) -> Fitting {
        let (host, experiment, policy) = (&manifest.host, &manifest.experiment, &manifest.policy);
        let title = format!("Calibrated on '{experiment}' under '{policy}' on host '{host}', {}", manifest.environment.started_utc);
        Fitting { title, policy: policy.clone(), between_processes, fits: Vec::new(), assumed: Vec::new() }
    }

    fn fit(mut self, chosen: &Scenario, measured: &Measured) -> Calibration {
        let nothing = OperatorMeasured::default();
        let of = |id: usize| measured.operators.get(&crate::id::OperatorId(id as u32)).unwrap_or(&nothing);
        let mut operators = Vec::new();
        for (id, form) in chosen.operators.iter().enumerate() {
            let mut fitted = OperatorForm {
                instances: form.instances,
                max_parallelism: form.max_parallelism,
                queue_high_s: form.queue_high_s,
                queue_low_s: form.queue_low_s,
                bins: form.bins,
                feedback: form.feedback.clone(),
                ..OperatorForm::new(&form.name, form.role, &[])
            };
            fitted.inputs = self.inputs(form, chosen, of);
            match form.role {
                RoleForm::Source => self.load(&mut fitted, of(id)),
                RoleForm::Sink => {}
                RoleForm::Stateless | RoleForm::Keyed => self.work(&mut fitted, of(id)),
            }
            operators.push(fitted);
        }
        let moves = self.moves(measured);
        let delay_ms = self.delay(measured);
        self.assumed.push("capacity: linear in the number of instances; no stragglers; nothing goes wrong".to_owned());
        let scenario = Scenario {
            tick_ms: chosen.tick_ms,
            catch_up: chosen.catch_up,
            delay_ms,
            control: Control { policy: self.policy, ..chosen.control.clone() },
            moves,
            ..Scenario::new(self.title, chosen.seconds, operators)
        };
        Calibration { scenario, fits: self.fits, assumed: self.assumed, records: measured.records }
    }

    fn add(&mut self, what: String, value: f64, unit: &'static str, spread: String, (samples, of): (u64, &'static str)) {
        self.fits.push(Fit { what, value, unit, spread, samples, of });
    }

    fn load(&mut self, form: &mut OperatorForm, measured: &OperatorMeasured) {
        let name = &form.name;
        match measured.schedule.as_slice() {
            [] => {
                self.assumed.push(format!("{name}: rate: no look at the source in the log; taken for 0"));
                form.rate = Some(Rate::ZERO);
            }
            [Phase { rate, .. }] => {
                form.rate = Some(*rate);
                let from = (measured.schedule_samples, "looks");
                self.add(format!("{name}: rate"), rate.as_per_second(), "/s", "constant".to_owned(), from);
            }
            phases => {
                let step = |phase: &Phase| Step { start_s: phase.start.as_secs_f64(), rate: phase.rate };
                form.load = Some(Shape::Steps { steps: phases.iter().map(step).collect() });
                let rates = || phases.iter().map(|phase| phase.rate.as_per_second());
                let highest = rates().fold(0.0, f64::max);
                let spread =
                    format!("the highest of {} rates, the lowest is {:.1} /s", phases.len(), rates().fold(f64::INFINITY, f64::min));
                self.add(format!("{name}: rate"), highest, "/s", spread, (measured.schedule_samples, "looks"));
            }
        }
    }

    fn work(&mut self, form: &mut OperatorForm, measured: &OperatorMeasured) {
        let name = form.name.clone();
        match measured.service {
            Some(service) => {
                form.limit = Some(Rate::per_second(1.0 / service.mean_s));
                let spread = format!("median {:.1} /s, batches vary by {:.4}", 1.0 / service.median_s, service.batch_variation);
                self.add(format!("{name}: limit"), 1.0 / service.mean_s, "/s", spread, (service.records, "records"));
                let (mut spread, variation) = ("log-normal", service.variation.min(100.0));
                if service.batches < 2 || variation < NO_VARIATION {
                    spread = "deterministic";
                } else {
                    form.service = ServiceTimes::LogNormal { variation };
                }
                if service.slowest.1 > SLOW {
                    let (instance, times) = service.slowest;
                    let line = format!("{name}: stragglers: instance {instance} took {times:.2} times as long as the mean, as variation");
                    self.assumed.push(line);
                }
                self.add(format!("{name}: variation of a record"), variation, "", spread.to_owned(), (service.batches, "batches"));
            }
            None => self.assumed.push(format!("{name}: limit: its work took no time that was seen; no limit")),
        }
        if let Some(wait) = measured.wait {
            form.external_wait_ms = wait.mean_s * 1e3;
            self.add(format!("{name}: external wait"), form.external_wait_ms, "ms", String::new(), (wait.records, "records"));
        }
        match measured.selectivity() {
            Some(selectivity) => {
                form.selectivity = selectivity;
                self.add(format!("{name}: selectivity"), selectivity, "", String::new(), (measured.taken, "records"));
            }
            None => self.assumed.push(format!("{name}: selectivity: it took no records; taken for {}", form.selectivity)),
        }
        if form.role == RoleForm::Keyed {
            self.state(form, measured);
        }
    }

    fn state(&mut self, form: &mut OperatorForm, measured: &OperatorMeasured) {
        let name = form.name.clone();
        let Some(state) = measured.state.filter(|state| state.keys > 0) else {
            self.assumed.push(format!("{name}: state: no look at its bins; {} keys of {} bytes", form.keys, form.bytes_per_key));
            return;
        };
        form.keys = state.keys;
        form.bytes_per_key = (state.bytes as f64 / state.keys as f64).round() as u64;
        self.add(format!("{name}: keys"), state.keys as f64, "", String::new(), (state.bins, "bins"));
        self.add(format!("{name}: state of a key"), form.bytes_per_key as f64, "bytes", String::new(), (state.bins, "bins"));
        let (share, bins) = (state.largest_share * 100.0, form.bins);
        self.assumed.push(format!("{name}: skew: uniform over {bins} bins; the most used one had {share:.3} % of arrivals"));
    }

    /// Inputs with the part of the producer's records that came this way.
    fn inputs<'m>(&mut self, form: &OperatorForm, chosen: &Scenario, of: impl Fn(usize) -> &'m OperatorMeasured) -> Vec<Input> {
        let name = &form.name;
        let position = |name: &str| chosen.operators.iter().position(|operator| operator.name == name);
        let from = |input: &Input| match input {
            Input::All(from) | Input::Part(Place { from, .. }) => from.clone(),
        };
        let froms: Vec<String> = form.inputs.iter().map(from).collect();
        if let [from] = froms.as_slice() {
            let here = position(name).map_or(0, |id| of(id).taken.saturating_add(of(id).waiting));
            let given = position(from).map_or(0, |id| of(id).given);
            if given > 0 {
                let share = (here as f64 / given as f64).min(1.0);
                self.add(format!("{from} → {name}: share"), share, "", String::new(), (given, "records"));
                let part = Input::Part(Place { from: from.clone(), share });
                return vec![if share < ALL { part } else { Input::All(from.clone()) }];
            }
        }
        if froms.len() > 1 {
            let from = froms.join(", ");
            self.assumed.push(format!("{from} → {name}: shares: counts do not tell inputs apart; all records of each"));
        }
        froms.into_iter().map(Input::All).collect()
    }

    fn moves(&mut self, measured: &Measured) -> MoveModel {
        let mut moves = MoveModel::default();
        let horizon = moves.horizon_ms;
        let Some(fit) = measured.moves else {
            self.assumed.push(format!(
                "moves: the log does not say how long bins took; {horizon} ms ahead, {} ms a step, as pointers",
                moves.fixed_ms
            ));
            return moves;
        };
        moves.fixed_ms = fit.fixed_s * 1e3;
        let (steps, bins) = ((fit.steps, "steps"), (fit.bins, "bins"));
        self.add("moves: fixed cost of a step".to_owned(), moves.fixed_ms, "ms", String::new(), steps);
        if let Some(rate) = fit.bins_per_s {
            self.add("moves: bins".to_owned(), rate, "/s", String::new(), bins);
        }
        match fit.bytes_per_s {
            Some(rate) => {
                self.add("moves: state".to_owned(), rate, "bytes/s", String::new(), bins);
                if self.between_processes {
                    moves.bytes_per_s = Some(rate.clamp(1.0, 1e15));
                } else {
                    self.assumed.push("moves: state moves as a pointer within one process, whatever its size".to_owned());
                }
            }
            None => self.assumed.push("moves: rate: larger steps did not take longer; as pointers".to_owned()),
        }
        self.assumed.push(format!("moves: {horizon} ms ahead of the data; a new instance works at once"));
        moves
    }

    fn delay(&mut self, measured: &Measured) -> f64 {
        let Some(delay) = measured.delay else {
            self.assumed.push("delay: no message in the log that was both sent and received; 0 ms".to_owned());
            return 0.0;
        };
        let mut spread = format!("mean {:.3} ms", delay.mean_s * 1e3);
        if delay.left_out > 0 {
            spread += &format!(", {} messages between unlike clocks left out", delay.left_out);
        }
        self.add("delay".to_owned(), delay.median_s * 1e3, "ms", spread, (delay.messages, "messages"));
        delay.median_s * 1e3
    }
}
