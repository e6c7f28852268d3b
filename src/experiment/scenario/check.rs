//! From a scenario's text to a job, or to an error that names its line.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::form::{Input, OperatorForm, Place, RoleForm, Scenario, StragglerForm};
use crate::dataflow::{Configuration, QueueMarks, Role, Straggler, Topology};
use crate::id::WorkerId;
use crate::rate::Rate;
use crate::sim::{CapacityCurve, Job, OperatorModel, WorkersModel};
use crate::time::Timestamp;
use crate::workload::Shape;

/// A line of a scenario is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ScenarioError {
    /// The line, from 1; where an operator is wrong as a whole, the one that names it.
    pub line: usize,
    /// What was expected and what was found.
    pub what: String,
}

/// A year.
const MOST_SECONDS: f64 = 366.0 * 86_400.0;
/// Instances of an operator, bins.
const MOST: u32 = 1 << 16;

/// What is wrong, and the position of the operator it is about.
struct Wrong {
    operator: Option<usize>,
    what: String,
}

impl Scenario {
    /// Reads a scenario; files that it names are below the folder that the program runs in.
    ///
    /// # Errors
    /// When it is not one; nothing that a run could stumble over is accepted.
    pub fn read(text: &str) -> Result<Scenario, ScenarioError> {
        Scenario::read_in(text, Path::new(""))
    }

    /// The same with files below `folder`.
    ///
    /// # Errors
    /// As [`read`](Scenario::read).
    pub fn read_in(text: &str, folder: &Path) -> Result<Scenario, ScenarioError> {
        let mut scenario: Scenario = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            ScenarioError { line, what: error.message().to_owned() }
        })?;
        for form in &mut scenario.operators {
            if let Some(Shape::Trace(trace)) = &mut form.load {
                trace.within(folder);
            }
        }
        scenario.checked().map_err(|Wrong { operator, what }| {
            let Some(position) = operator else { return ScenarioError { line: 1, what } };
            let mut lines = (1..).zip(text.lines().map(str::trim_start));
            // The table of that operator, if it is written as one, and the line with its name.
            let table = lines.by_ref().filter(|(_, line)| line.starts_with("[[operators]]")).nth(position).map_or(1, |(line, _)| line);
            let name = lines.take_while(|(_, line)| !line.starts_with('[')).find(|(_, line)| line.starts_with("name"));
            let what = format!("operator '{}': {what}", scenario.operators[position].name);
            ScenarioError { line: name.map_or(table, |(line, _)| line), what }
        })?;
        Ok(scenario)
    }

    /// The job it describes.
    ///
    /// # Panics
    /// If the scenario was not [read](Scenario::read) but put together, and is none.
    pub fn job(&self) -> Job {
        self.checked().unwrap_or_else(|wrong| panic!("{}", wrong.what))
    }

    /// Whether it is one, if it was not [read](Scenario::read) but put together.
    ///
    /// # Errors
    /// As [`read`](Scenario::read), without a line.
    pub fn check(&self) -> Result<(), String> {
        let named = |Wrong { operator, what }: Wrong| match operator {
            Some(position) => format!("operator '{}': {what}", self.operators[position].name),
            None => what,
        };
        self.checked().map(|_| ()).map_err(named)
    }

    fn checked(&self) -> Result<Job, Wrong> {
        let general = |what: String| Wrong { operator: None, what };
        let (mut names, mut edges, mut shares): (BTreeMap<&str, u32>, _, _) = (BTreeMap::new(), Vec::new(), Vec::new());
        within("seconds", self.seconds, 1e-3..=MOST_SECONDS).map_err(general)?;
        within("tick_ms", self.tick_ms as f64, 1.0..=60_000.0).map_err(general)?;
        within("catch_up", self.catch_up, 1.0..=100.0).map_err(general)?;
        within("delay_ms", self.delay_ms, 0.0..=60_000.0).map_err(general)?;
        self.check_coarse()?;
        let control = &self.control;
        within("policy_interval_s", control.policy_interval_s, 0.01..=MOST_SECONDS).map_err(general)?;
        within("time_factor", control.time_factor, 1.0..=600.0).map_err(general)?;
        let mut models = Vec::with_capacity(self.operators.len());
        for (id, form) in (0..).zip(&self.operators) {
            let wrong = |what: String| Wrong { operator: Some(id as usize), what };
            if form.name.is_empty() || names.contains_key(form.name.as_str()) {
                return Err(wrong("expected a name that no other operator has".to_owned()));
            }
            for input in &form.inputs {
                let (from, share) = match input {
                    Input::All(from) => (from, 1.0),
                    Input::Part(place) => (&place.from, place.share),
                };
                let known = names.get(from.as_str()).copied();
                let known = known.ok_or_else(|| wrong(format!("expected inputs among the operators before it, found '{from}'")))?;
                within("share", share, 0.0..=1.0).map_err(wrong)?;
                edges.push((known, id));
                shares.push(share);
            }
            models.push(self.model(form).map_err(wrong)?);
            names.insert(&form.name, id);
        }
        let operators: Vec<(&str, Role, u32)> = self.operators.iter().map(|form| (form.name.as_str(), form.role(), form.most())).collect();
        let (mut feedback, mut feedback_shares) = (Vec::new(), Vec::new());
        for (id, form) in (0..).zip(&self.operators) {
            let wrong = |what: String| Wrong { operator: Some(id as usize), what };
            for Place { from, share } in &form.feedback {
                let known = names.get(from.as_str()).copied().filter(|from| *from >= id);
                let known = known.ok_or_else(|| wrong(format!("expected feedback from itself or operators after it, found '{from}'")))?;
                within("share", *share, 0.0..=1.0).map_err(wrong)?;
                feedback.push((known, id));
                feedback_shares.push(*share);
            }
        }
        self.check_host().map_err(general)?;
        let topology = Topology::new(&operators, &edges).and_then(|topology| topology.with_feedback(&feedback));
        let topology = topology.map_err(|error| general(error.to_string()))?;
        if !self.operators.iter().any(|form| form.role == RoleForm::Source) {
            return Err(general("expected an operator with role = \"source\", found none".to_owned()));
        }
        let instances = topology.operators().iter().zip(&self.operators);
        let configuration = instances.fold(Configuration::ones(&topology), |all, (operator, form)| {
            if operator.is_scalable() { all.with(operator.id, form.instances) } else { all }
        });
        let configuration = self.placed(&topology, configuration)?;
        let job = Job {
            topology,
            configuration,
            models,
            shares,
            feedback_shares,
            tick: Duration::from_millis(self.tick_ms),
            long_tick: self.coarse.map(|coarse| Duration::from_millis(coarse.tick_ms)),
            catch_up: self.catch_up,
            duration: self.duration(),
            delay: milliseconds(self.delay_ms),
            moves: self.moves,
            disturbance: self.disturb,
            workers: self.workers.clone(),
        };
        if !job.dies_out() {
            return Err(general("expected less to come back by 'feedback' than goes round, found a cycle that never empties".to_owned()));
        }
        Ok(job)
    }

    /// Whether longer steps fit the grid, and what arrives in one of them fits the queues.
    fn check_coarse(&self) -> Result<(), Wrong> {
        let Some(coarse) = self.coarse else { return Ok(()) };
        let general = |what: String| Err(Wrong { operator: None, what });
        within("coarse.tick_ms", coarse.tick_ms as f64, 1.0..=60_000.0).or_else(general)?;
        within("coarse.row_s", coarse.row_s, 0.1..=86_400.0).or_else(general)?;
        if self.tick_ms == 0 || coarse.tick_ms % self.tick_ms != 0 {
            return general(format!("expected coarse.tick_ms as a multiple of tick_ms = {}, found {}", self.tick_ms, coarse.tick_ms));
        }
        if self.workers.is_some() || self.disturb.noise > 0.0 && coarse.tick_ms > 1000 {
            return general("expected no shared workers where steps are coarse, and with noise steps of at most 1000 ms".to_owned());
        }
        let least = 2.0 * coarse.tick_ms as f64 / 1e3;
        let limited = |form: &OperatorForm| form.limit.is_some() || form.capacity != CapacityCurve::Linear;
        let short = self.operators.iter().position(|form| limited(form) && form.queue_high_s < least);
        let what =
            |form: &OperatorForm| format!("expected queue_high_s of at least {least}, twice coarse.tick_ms, found {}", form.queue_high_s);
        short.map_or(Ok(()), |position| Err(Wrong { operator: Some(position), what: what(&self.operators[position]) }))
    }

    /// Whether bins move, and things go wrong, within reason.
    fn check_host(&self) -> Result<(), String> {
        let (moves, disturb) = (&self.moves, &self.disturb);
        within("horizon_ms", moves.horizon_ms, 0.0..=3.6e6)?;
        within("fixed_ms", moves.fixed_ms, 0.0..=3.6e6)?;
        within("start_s", moves.start_s, 0.0..=86_400.0)?;
        moves.bytes_per_s.map_or(Ok(()), |rate| within("bytes_per_s", rate, 1.0..=1e15))?;
        within("noise", disturb.noise, 0.0..=10.0)?;
        within("period_s", disturb.period_s, 1e-3..=MOST_SECONDS)?;
        within("lost, late and duplicated together", disturb.lost + disturb.late + disturb.duplicated, 0.0..=1.0)?;
        let shares = [("lost", disturb.lost), ("late", disturb.late), ("duplicated", disturb.duplicated)];
        let actions = [("failed_actions", disturb.failed_actions), ("slow_actions", disturb.slow_actions)];
        shares.into_iter().chain(actions).try_for_each(|(name, share)| within(name, share, 0.0..=1.0))?;
        within("slowdown", disturb.slowdown, 1.0..=1e6)?;
        self.workers.as_ref().map_or(Ok(()), |workers| self.check_workers(workers))
    }

    /// `configuration` on the scenario's workers, if it has any.
    fn placed(&self, topology: &Topology, configuration: Configuration) -> Result<Configuration, Wrong> {
        let Some(workers) = &self.workers else {
            let on = self.operators.iter().position(|form| !form.on.is_empty());
            let what = "expected [workers] where instances are placed 'on' workers, found none";
            return on.map_or(Ok(configuration), |position| Err(Wrong { operator: Some(position), what: what.to_owned() }));
        };
        let mut configuration = configuration.spread_over(topology, workers.count);
        for (position, (operator, form)) in topology.operators().iter().zip(&self.operators).enumerate() {
            let wrong = |what: String| Err(Wrong { operator: Some(position), what });
            if form.on.is_empty() {
                continue;
            }
            if !operator.is_scalable() || form.on.len() != form.instances as usize {
                return wrong(format!("expected a worker 'on' for each of {} instances, found {}", form.instances, form.on.len()));
            }
            if let Some(worker) = form.on.iter().find(|worker| **worker >= workers.count) {
                return wrong(format!("expected workers 'on' below {}, found {worker}", workers.count));
            }
            let mut placement = configuration.placement().cloned().expect("it was just spread");
            placement.put(operator.id, form.on.iter().copied().map(WorkerId).collect());
            configuration = configuration.placed(placement);
        }
        Ok(configuration)
    }

    /// Whether there are workers that instances can share.
    fn check_workers(&self, workers: &WorkersModel) -> Result<(), String> {
        within("workers' count", f64::from(workers.count), 1.0..=1024.0)?;
        within("turn_ms", workers.turn_ms, 1e-3..=60_000.0)?;
        within("late_ms", workers.late_ms, 0.0..=60_000.0)?;
        for lost in &workers.lost {
            within("worker", f64::from(lost.worker), 0.0..=f64::from(workers.count) - 1.0)?;
            within("share", lost.share, 1e-6..=1.0)?;
            within("from_s", lost.from_s, 0.0..=MOST_SECONDS)?;
            within("until_s", lost.until_s.unwrap_or(MOST_SECONDS), lost.from_s..=MOST_SECONDS)?;
        }
        // Useful times of a worker cannot be longer or shorter than they were.
        within("noise where workers are shared", self.disturb.noise, 0.0..=0.0)
    }

    fn model(&self, form: &OperatorForm) -> Result<OperatorModel, String> {
        let schedule = match (form.role, form.rate, &form.load) {
            (RoleForm::Source, Some(rate), None) => Some(Shape::Constant { rate }),
            (RoleForm::Source, None, Some(load)) => Some(load.clone()),
            (RoleForm::Source, ..) => return Err("expected either 'rate' or 'load', as every source has one of them".to_owned()),
            (_, None, None) => None,
            _ => return Err("expected no 'rate' and no 'load', which only sources have; an instance's capacity is its 'limit'".to_owned()),
        };
        let schedule = schedule.map(|shape| shape.schedule(self.duration())).transpose().map_err(|error| error.to_string())?;
        if let Some(schedule) = &schedule {
            within("rate", schedule.highest().as_per_second(), 0.0..=1e12)?;
        }
        form.limit.map_or(Ok(()), |limit| within("limit", limit.as_per_second(), 1e-6..=1e12))?;
        form.capacity.check().map_err(|error| format!("capacity: {error}"))?;
        within("selectivity", form.selectivity, 0.0..=1e6)?;
        within("counted_output", form.counted_output, 0.0..=1.0)?;
        within("max_parallelism", f64::from(form.max_parallelism), 1.0..=f64::from(MOST))?;
        within("instances", f64::from(form.instances), 1.0..=f64::from(form.max_parallelism))?;
        within("queue_high_s", form.queue_high_s, 1e-6..=86_400.0)?;
        within("queue_low_s", form.queue_low_s, 0.0..=form.queue_high_s)?;
        within("bins", f64::from(form.bins), 1.0..=f64::from(MOST))?;
        within("keys", form.keys as f64, 1.0..=1e15)?;
        within("bytes_per_key", form.bytes_per_key as f64, 0.0..=1e9)?;
        within("external_wait_ms", form.external_wait_ms, 0.0..=3.6e6)?;
        form.external_limit.map_or(Ok(()), |limit| within("external_limit", limit.as_per_second(), 1e-6..=1e12))?;
        match form.skew {
            crate::sim::Skew::Uniform => {}
            crate::sim::Skew::Zipf { exponent } => within("exponent", exponent, 0.0..=10.0)?,
            crate::sim::Skew::HotKey { share } => within("share", share, 0.0..=1.0)?,
            crate::sim::Skew::HotBins { bins, share, step } | crate::sim::Skew::HotKeys { hot: bins, share, step } => {
                // The others have the rest, so there must be others.
                within("hot bins", f64::from(bins), 1.0..=f64::from(form.bins) - 1.0)?;
                within("step", f64::from(step), 1.0..=f64::from((form.bins - 1) / (bins - 1).max(1)))?;
                within("share", share, 0.0..=1.0)?;
            }
        }
        if let crate::sim::ServiceTimes::LogNormal { variation } = form.service {
            within("variation", variation, 1e-6..=100.0)?;
        }
        let stragglers = form.stragglers.iter().map(StragglerForm::straggler).collect::<Result<_, _>>()?;
        let mut model = OperatorModel {
            schedule,
            rate: form.limit,
            curve: form.capacity.without_repetitions(),
            service: form.service,
            selectivity: form.selectivity,
            counted_output: form.counted_output,
            marks: QueueMarks::default(),
            skew: form.skew,
            keys: form.keys,
            bytes_per_key: form.bytes_per_key,
            stragglers,
            wait: milliseconds(form.external_wait_ms),
            external_limit: form.external_limit,
        };
        let outside = model.external_limit.map(Rate::as_per_second);
        if let Some(rate) = model.instance_rate(1).into_iter().chain(outside).reduce(f64::min) {
            let records = |seconds: f64| ((Rate::per_second(rate).as_per_second() * seconds) as u64).max(1);
            model.marks = QueueMarks { high_records: records(form.queue_high_s), low_records: records(form.queue_low_s) };
        }
        Ok(model)
    }
}

impl StragglerForm {
    /// What it says, or what is wrong with it.
    pub(super) fn straggler(&self) -> Result<Straggler, String> {
        within("speed", self.speed, 1e-6..=1.0)?;
        within("from_s", self.from_s, 0.0..=MOST_SECONDS)?;
        let until_s = self.until_s.unwrap_or(MOST_SECONDS);
        within("until_s", until_s, self.from_s..=MOST_SECONDS)?;
        let at = Timestamp::from_secs_f64;
        Ok(Straggler { instance: self.instance, speed: self.speed, from: at(self.from_s), until: at(until_s) })
    }
}

impl OperatorForm {
    fn role(&self) -> Role {
        match self.role {
            RoleForm::Source => Role::Source,
            RoleForm::Stateless => Role::Stateless,
            RoleForm::Keyed => Role::Keyed { bins: self.bins },
            RoleForm::Sink => Role::Sink,
        }
    }

    fn most(&self) -> u32 {
        if matches!(self.role, RoleForm::Source | RoleForm::Sink) { 1 } else { self.max_parallelism }
    }
}

fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1e3)
}

/// Whether a number is in its range; NaN is in none.
fn within(name: &str, value: f64, range: RangeInclusive<f64>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("expected {name} from {} to {}, found {value}", range.start(), range.end()))
}
