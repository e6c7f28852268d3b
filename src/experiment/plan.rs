//! The smallest configuration for a rate and a latency, found by simulating a job of which all is
//! known or has been calibrated.
//!
//! The search begins where the true rates suffice, adds the instance that brings the latency down
//! most until every seed meets the goal, and then takes away what is not missed, but nothing that the
//! rates need: a short run shows no slow overload. What it says is
//! what runs in virtual time showed: how far these are from the engine, `sim-fidelity` says.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use rayon::prelude::*;
use serde::Serialize;

use super::interrupt;
use super::record::ROW_WINDOW;
use super::run::{RunFailure, RunResult};
use super::scenario::{OperatorForm, RoleForm, Scenario};
use super::simulated::{SimulatedSpec, simulate};
use crate::id::OperatorId;
use crate::policy::Hold;
use crate::rate::Rate;
use crate::sim::Disturbance;
use crate::time::Timestamp;
use crate::workload::Shape;

/// A latency that a part of the records should not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyGoal {
    /// Which part.
    pub percentile: Percentile,
    /// The latency.
    pub most: Duration,
}

/// A part of all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Percentile {
    /// Half of them.
    P50,
    /// 99 %.
    P99,
    /// All.
    Max,
}

impl FromStr for LatencyGoal {
    type Err = String;

    fn from_str(text: &str) -> Result<LatencyGoal, String> {
        let wrong = || format!("expected a goal such as p99=400ms, p50=1s or max=2s, found '{text}'");
        let (name, most) = text.split_once('=').ok_or_else(wrong)?;
        let percentile = match name.trim() {
            "p50" => Percentile::P50,
            "p99" => Percentile::P99,
            "max" => Percentile::Max,
            _ => return Err(wrong()),
        };
        let most = most.trim();
        let (number, unit) = match (most.strip_suffix("ms"), most.strip_suffix('s')) {
            (Some(number), _) => (number, 1e-3),
            (_, Some(number)) => (number, 1.0),
            _ => return Err(wrong()),
        };
        let seconds = number.trim().parse::<f64>().map_err(|_| wrong())? * unit;
        if !(1e-3..=86_400.0).contains(&seconds) {
            return Err(format!("expected a latency from 1ms to a day, found '{text}'"));
        }
        Ok(LatencyGoal { percentile, most: Duration::from_secs_f64(seconds) })
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What its sources emit together; divided among several as at the start of the scenario.
    pub rate: Rate,
    /// The latency to keep.
    pub goal: LatencyGoal,
    /// The most instances of all operators together.
    pub budget: Option<u32>,
    /// How many runs each configuration is judged by.
    pub seeds: u64,
    /// How long each of them is.
    pub seconds: f64,
}

/// A configuration, and what runs in it showed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// Records per second that its sources emit together.
    pub rate_per_s: f64,
    /// Instances of each operator that may be rescaled.
    pub configuration: BTreeMap<String, u32>,
    /// All of them together.
    pub instances: u32,
    /// Medians over the runs, in milliseconds; none where a run did not keep up.
    pub p50_ms: Option<f64>,
    /// 99 % of the records.
    pub p99_ms: Option<f64>,
    /// The least and the most of that over the runs.
    pub p99_ms_range: Option<(f64, f64)>,
    /// How many runs met the goal.
    pub met: u64,
    /// Of how many.
    pub runs: u64,
}

impl Planned {
    /// Whether every run met the goal.
    pub fn is_enough(&self) -> bool {
        self.met == self.runs
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// What is asked for is none.
    #[error("{0}")]
    Wrong(String),
    /// A run failed or was interrupted.
    #[error(transparent)]
    Run(#[from] RunFailure),
}

/// Steps after which a search gives up.
const MOST_STEPS: usize = 60;
/// Sources that are late by more seconds of their load at the end do not keep up.
const LATE_S: f64 = 0.5;

/// The smallest configuration that was found to keep the goal; where none does, the best that was
/// tried.
///
/// # Errors
/// When the scenario cannot be simulated or has no rate to scale, a number is out of its range, or a
/// run fails.
pub fn plan(scenario: &Scenario, ask: &Ask) -> Result<Planned, PlanError> {
    let search = Search::new(scenario, ask)?;
    let mut best = search.judged(search.needed())?;
    let mut current = best.clone();
    for _ in 0..MOST_STEPS {
        if current.is_enough() || interrupt::asked() {
            break;
        }
        let more = search.neighbours(&current.configuration, true);
        let tried = more.into_par_iter().map(|configuration| search.judged(configuration)).collect::<Result<Vec<_>, _>>()?;
        let Some(next) = tried.into_iter().min_by(|a, b| rank(a).partial_cmp(&rank(b)).expect("ranks are numbers")) else { break };
        // One instance more that brings nothing may still be one of several that bring much.
        if rank(&next) < rank(&best) {
            best = next.clone();
        }
        current = next;
    }
    while best.is_enough() {
        let fewer = search.neighbours(&best.configuration, false);
        let tried = fewer.into_par_iter().map(|configuration| search.judged(configuration)).collect::<Result<Vec<_>, _>>()?;
        let Some(next) = tried.into_iter().filter(Planned::is_enough).min_by(|a, b| rank(a).partial_cmp(&rank(b)).expect("numbers")) else {
            break;
        };
        best = next;
    }
    Ok(best)
}

/// As many instances as the true rates need if records are spread evenly, whatever the latency: the
/// oracle's configuration, with which a search begins.
///
/// # Errors
/// As [`plan`].
pub fn needed(scenario: &Scenario, ask: &Ask) -> Result<BTreeMap<String, u32>, PlanError> {
    Ok(Search::new(scenario, ask)?.needed())
}

/// What runs in a given configuration show at a rate, by other seeds than a plan rests on.
///
/// # Errors
/// As [`plan`].
pub fn verify(scenario: &Scenario, ask: &Ask, configuration: &BTreeMap<String, u32>) -> Result<Planned, PlanError> {
    let mut search = Search::new(scenario, ask)?;
    search.first_seed = VERIFIED;
    search.judged(configuration.clone())
}

/// First seed of a verification.
const VERIFIED: u64 = 1_000_000;

/// The better of two that do not suffice: more runs meet the goal, then the lower latency.
fn rank(planned: &Planned) -> (i64, f64) {
    (-(planned.met as i64), planned.p99_ms.unwrap_or(f64::INFINITY).min(1e12))
}

struct Search<'a> {
    scenario: Scenario,
    ask: &'a Ask,
    first_seed: u64,
    /// What the true rates need, whatever the budget.
    least: BTreeMap<String, u32>,
}

impl<'a> Search<'a> {
    fn new(scenario: &Scenario, ask: &'a Ask) -> Result<Search<'a>, PlanError> {
        let wrong = |what: String| Err(PlanError::Wrong(what));
        scenario.can_be_simulated().map_err(PlanError::Wrong)?;
        if !(1..=1000).contains(&ask.seeds) {
            return wrong(format!("expected from 1 to 1000 seeds, found {}", ask.seeds));
        }
        if !(1.0..=86_400.0).contains(&ask.seconds) {
            return wrong(format!("expected runs of 1 to 86400 s, found {}", ask.seconds));
        }
        let now = scenario.job().demands(Timestamp::ZERO);
        let is_source = |form: &OperatorForm| form.role == RoleForm::Source;
        let offered: f64 = scenario.operators.iter().zip(&now).filter(|(form, _)| is_source(form)).map(|(_, rate)| rate).sum();
        let sources = scenario.operators.iter().filter(|form| is_source(form)).count();
        if ask.rate <= Rate::ZERO {
            return wrong("expected a rate of more than 0, found 0".to_owned());
        }
        let mut scenario = scenario.clone();
        for (form, rate) in scenario.operators.iter_mut().zip(now).filter(|(form, _)| is_source(form)) {
            let part = if offered > 0.0 { rate / offered } else { 1.0 / sources as f64 };
            (form.rate, form.load) = (None, Some(Shape::Constant { rate: Rate::per_second(ask.rate.as_per_second() * part) }));
        }
        // What a job can do is asked, not what may go wrong with it.
        (scenario.disturb, scenario.seconds, scenario.coarse) = (Disturbance::default(), ask.seconds, None);
        scenario.operators.iter_mut().for_each(|form| form.on.clear());
        scenario.check().map_err(PlanError::Wrong)?;
        let job = scenario.job();
        let named = |(id, instances): (OperatorId, u32)| (job.topology.operator(id).name.clone(), instances);
        let needed = job.needed(Timestamp::ZERO).into_iter().map(named).collect();
        let search = Search { scenario, ask, first_seed: 1, least: needed };
        let least = search.scalable().count() as u32;
        match ask.budget {
            Some(budget) if budget < least => {
                wrong(format!("expected a budget of at least {least}, one for each operator, found {budget}"))
            }
            _ => Ok(search),
        }
    }

    fn scalable(&self) -> impl Iterator<Item = &OperatorForm> {
        self.scenario.operators.iter().filter(|form| matches!(form.role, RoleForm::Stateless | RoleForm::Keyed))
    }

    /// As many of each as the true rates need, within the budget.
    fn needed(&self) -> BTreeMap<String, u32> {
        let mut all = self.least.clone();
        while self.ask.budget.is_some_and(|budget| all.values().sum::<u32>() > budget) {
            let most = all.values_mut().max().expect("there are operators: their sum is more than 0");
            *most -= 1;
        }
        all
    }

    /// The configurations with one instance of an operator more or fewer, within their bounds; also
    /// one more of each.
    fn neighbours(&self, from: &BTreeMap<String, u32>, more: bool) -> Vec<BTreeMap<String, u32>> {
        let most = |name: &str| self.scalable().find(|form| form.name == name).map_or(1, |form| form.max_parallelism);
        let mut all = Vec::new();
        for (name, &instances) in from {
            let next = if more { instances + 1 } else { instances - 1 };
            if (1..=most(name)).contains(&next) {
                let mut configuration = from.clone();
                configuration.insert(name.clone(), next);
                all.push(configuration);
            }
        }
        if more && from.len() > 1 {
            all.push(from.iter().map(|(name, instances)| (name.clone(), (instances + 1).min(most(name)))).collect());
        }
        let within = |one: &BTreeMap<String, u32>| self.ask.budget.is_none_or(|budget| one.values().sum::<u32>() <= budget);
        all.retain(within);
        all
    }

    /// What runs in this configuration show; with fewer instances than the rates need it does not
    /// keep up, however slowly it falls behind.
    fn judged(&self, configuration: BTreeMap<String, u32>) -> Result<Planned, PlanError> {
        let rate = self.ask.rate.as_per_second();
        if self.least.iter().any(|(name, least)| configuration.get(name).is_none_or(|instances| instances < least)) {
            let instances = configuration.values().sum();
            let (p50_ms, p99_ms, p99_ms_range) = (None, None, None);
            return Ok(Planned { rate_per_s: rate, configuration, instances, p50_ms, p99_ms, p99_ms_range, met: 0, runs: self.ask.seeds });
        }
        let seeds = self.first_seed..self.first_seed + self.ask.seeds;
        let runs = seeds.into_par_iter().map(|seed| self.run(&configuration, seed)).collect::<Result<Vec<_>, _>>()?;
        let of = |ns: fn(&RunResult) -> Option<u64>| -> Vec<f64> {
            let late = |result: &RunResult| lag_s(result, rate) > LATE_S;
            let mut all: Vec<f64> = runs
                .iter()
                .map(|run| if late(run) { f64::INFINITY } else { ns(run).map_or(f64::INFINITY, |ns| ns as f64 / 1e6) })
                .collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (p50, p99, most) = (of(|run| run.overall.ns_p50), of(|run| run.overall.ns_p99), of(|run| run.overall.ns_max));
        let judged_by = match self.ask.goal.percentile {
            Percentile::P50 => &p50,
            Percentile::P99 => &p99,
            Percentile::Max => &most,
        };
        let goal_ms = self.ask.goal.most.as_secs_f64() * 1e3;
        let finite = |value: f64| value.is_finite().then_some(value);
        Ok(Planned {
            rate_per_s: rate,
            instances: configuration.values().sum(),
            p50_ms: finite(p50[p50.len() / 2]),
            p99_ms: finite(p99[p99.len() / 2]),
            p99_ms_range: finite(p99[p99.len() - 1]).map(|highest| (p99[0], highest)),
            met: judged_by.iter().filter(|latency| **latency <= goal_ms).count() as u64,
            runs: self.ask.seeds,
            configuration,
        })
    }

    fn run(&self, configuration: &BTreeMap<String, u32>, seed: u64) -> Result<RunResult, RunFailure> {
        let mut scenario = self.scenario.clone();
        for form in &mut scenario.operators {
            form.instances = configuration.get(&form.name).copied().unwrap_or(form.instances);
        }
        let scenario = scenario.drawn(seed);
        let spec =
            SimulatedSpec { job: scenario.job(), seed, controller: scenario.controller(), policy: Box::new(Hold), row_window: ROW_WINDOW };
        simulate(spec, None, |_| {})
    }
}

/// Seconds by which sources are late at the end.
fn lag_s(result: &RunResult, rate: f64) -> f64 {
    let last = result.timeline.last().map_or(0.0, |row| row.window_start_s);
    let rows = result.timeline.iter().filter(|row| row.window_start_s == last);
    rows.filter_map(|row| row.lag_records).sum::<f64>() / rate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(rate: &str, goal: &str) -> Ask {
        Ask { rate: rate.parse().unwrap(), goal: goal.parse().unwrap(), budget: None, seeds: 2, seconds: 6.0 }
    }

    const SMALL: &str = "title = 'x'\nseconds = 10\ntick_ms = 20\n[[operators]]\nname = 'in'\nrole = 'source'\nrate = 100\n\
        [[operators]]\nname = 'map'\nrole = 'stateless'\ninputs = ['in']\nlimit = '100/s'\n\
        [[operators]]\nname = 'count'\nrole = 'keyed'\ninputs = ['map']\nlimit = '200/s'\n\
        [[operators]]\nname = 'sink'\nrole = 'sink'\ninputs = ['count']\n";

    fn small() -> Scenario {
        Scenario::read(SMALL).unwrap()
    }

    #[test]
    fn as_many_as_the_rates_need_and_more_where_the_goal_asks_for_it() {
        let of = |ask: &Ask| {
            let planned = plan(&small(), ask).unwrap();
            (planned.is_enough(), planned.configuration.into_values().collect::<Vec<_>>())
        };
        // 'count', then 'map'.
        assert_eq!(of(&ask("390/s", "p99=1s")), (true, vec![2, 4]));
        assert_eq!(of(&ask("780/s", "p99=1s")), (true, vec![4, 8]));
        let never = plan(&small(), &Ask { budget: Some(4), ..ask("780/s", "p99=1s") }).unwrap();
        assert_eq!((never.is_enough(), never.instances, never.p99_ms), (false, 4, None));
    }

    #[test]
    fn where_nothing_is_enough_the_best_that_was_tried_is_told() {
        let (small, ask) = (small(), Ask { budget: Some(8), ..ask("390/s", "p99=1ms") });
        let search = Search::new(&small, &ask).unwrap();
        let first = search.judged(search.needed()).unwrap();
        let found = plan(&small, &ask).unwrap();
        assert!(!found.is_enough() && rank(&found) <= rank(&first), "{found:?}");
        for more in search.neighbours(&first.configuration, true) {
            let tried = search.judged(more).unwrap();
            assert!(rank(&found) <= rank(&tried), "{tried:?}");
        }
    }

    #[test]
    fn what_computes_has_no_plan() {
        let text = SMALL.replace("inputs = ['in']\nlimit = '100/s'", "inputs = ['in']\nwork = { does = 'json', times = 2 }");
        let refused = plan(&Scenario::read(&text).unwrap(), &ask("1/s", "p99=1s")).unwrap_err().to_string();
        assert!(refused.starts_with("operator 'map': 'work' is for a processor"), "{refused}");
    }

    #[test]
    fn goals_are_read_and_what_is_none_is_refused() {
        let goal: LatencyGoal = "p99 = 400 ms".parse().unwrap();
        assert_eq!((goal.percentile, goal.most), (Percentile::P99, Duration::from_millis(400)));
        for text in ["", "p99", "p98=1s", "p99=1", "p99=ms", "p99=-1s", "p99=nans", "p99=0s", "p99=infs", "400ms"] {
            assert!(text.parse::<LatencyGoal>().unwrap_err().starts_with("expected a "), "{text}");
        }
        let refused = |ask: Ask| plan(&small(), &ask).unwrap_err().to_string();
        assert_eq!(refused(ask("0/s", "p99=1s")), "expected a rate of more than 0, found 0");
        assert_eq!(
            refused(Ask { budget: Some(1), ..ask("1/s", "p99=1s") }),
            "expected a budget of at least 2, one for each operator, found 1"
        );
        assert!(refused(Ask { seeds: 0, ..ask("1/s", "p99=1s") }).starts_with("expected from 1 to 1000 seeds"));
        assert!(refused(Ask { seconds: f64::NAN, ..ask("1/s", "p99=1s") }).starts_with("expected runs of 1 to"));
    }
}
