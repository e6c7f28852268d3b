//! Makes a story of rows and events, in any order of arrival between the two.

use std::collections::BTreeMap;

use super::story::{
    About, Decision, Diagnosis, HeldAt, INSTANCE_COLUMNS, InstanceAt, Instances, Migration, OPERATOR_COLUMNS, OperatorAbout, OperatorAt,
    PathAt, QuietSpan, State, SteeredBy, Story, VERSION, WINDOW_COLUMNS, Warning, Window,
};
use super::told::{Held, Told, migrations, path_of};
use super::watch::Watch;
use crate::controller::{Command, Event, EventKind, Steered};
use crate::dataflow::{Edge, Operator, Role, Topology};
use crate::experiment::instance_rows::{InstanceRow, KeptInstances};
use crate::experiment::rows::{LatencyRow, TimelineRow};
use crate::experiment::run::Moving;
use crate::report::Recorded;
use crate::time::Timestamp;

/// Operators of a window with figures of their own; of a larger job the busiest.
const MOST_OPERATORS: usize = 200;
/// Figures of operators in a story at most; beyond that neighbouring windows are combined.
const MOST_CELLS: usize = 40_000;
/// Critical paths in a story at most, evenly spaced.
const MOST_PATHS: usize = 600;
/// Points of a migration's progress at most.
const MOST_PROGRESS: usize = 500;

/// A run as far as it is known.
#[derive(Clone, Debug)]
pub struct Model {
    about: About,
    operators: Vec<OperatorAbout>,
    names: Vec<String>,
    scalable: Vec<String>,
    numbers: BTreeMap<String, u32>,
    edges: Vec<(u32, u32)>,
    feedback: Vec<(u32, u32)>,
    timeline: Vec<TimelineRow>,
    latency: Vec<LatencyRow>,
    events: Vec<Event>,
    windows: Vec<Window>,
    instances: KeptInstances,
    last_instances: Option<Instances>,
    paths: Vec<PathAt>,
    goal_ms: Option<f64>,
    steered: Steered,
    told: Told,
    decisions: Vec<Decision>,
    quiet: Vec<QuietSpan>,
    held: Held,
    progress: BTreeMap<Timestamp, Vec<(f64, usize)>>,
    watch: Watch,
    totals: BTreeMap<String, f64>,
    diagnosis: Option<Diagnosis>,
}

impl Model {
    /// A run of `topology` that nothing is known of yet.
    pub fn new(about: About, topology: &Topology) -> Model {
        let operator = |operator: &Operator| OperatorAbout {
            name: operator.name.clone(),
            role: match operator.role {
                Role::Source => "source",
                Role::Stateless => "stateless",
                Role::Keyed { .. } => "keyed",
                Role::Sink => "sink",
            },
            bins: if let Role::Keyed { bins } = operator.role { Some(bins) } else { None },
            scalable: topology.scalable().any(|scalable| scalable.id == operator.id),
            max_parallelism: Some(operator.max_parallelism),
        };
        let pair = |edge: &Edge| (edge.from.0, edge.to.0);
        let mut model = Model::of_operators(about, topology.operators().iter().map(operator).collect());
        model.edges = topology.edges().iter().map(pair).collect();
        model.feedback = topology.feedback().iter().map(pair).collect();
        model
    }

    /// A run of which only the operators are known; they are drawn as a chain.
    pub fn of_operators(about: About, operators: Vec<OperatorAbout>) -> Model {
        let names: Vec<String> = operators.iter().map(|operator| operator.name.clone()).collect();
        let chain = 1..operators.len() as u32;
        Model {
            about,
            scalable: operators.iter().filter(|operator| operator.scalable).map(|operator| operator.name.clone()).collect(),
            numbers: names.iter().cloned().zip(0..).collect(),
            edges: chain.map(|to| (to - 1, to)).collect(),
            feedback: Vec::new(),
            operators,
            names,
            timeline: Vec::new(),
            latency: Vec::new(),
            events: Vec::new(),
            windows: Vec::new(),
            instances: KeptInstances::default(),
            last_instances: None,
            paths: Vec::new(),
            goal_ms: None,
            steered: Steered::default(),
            told: Told::default(),
            decisions: Vec::new(),
            quiet: Vec::new(),
            held: Held::default(),
            progress: BTreeMap::new(),
            watch: Watch::default(),
            totals: BTreeMap::new(),
            diagnosis: None,
        }
    }

    /// Takes the rows of a window; rows of unknown operators are ignored. `instances` may be empty.
    pub fn window(&mut self, rows: Vec<TimelineRow>, latency: LatencyRow, instances: Vec<InstanceRow>) {
        self.show(&rows, &latency, instances);
        self.timeline.extend(rows);
        self.latency.push(latency);
    }

    /// Takes the rows of a window of a trace, with its critical paths. There are no plans to be
    /// explained, so the rows are not kept.
    pub(super) fn analysed(&mut self, rows: &[TimelineRow], latency: &LatencyRow, instances: Vec<InstanceRow>, path: PathAt) {
        self.show(rows, latency, instances);
        self.paths.push(path);
    }

    /// From now on these are the operators and their edges: those known until now, and more. Numbers
    /// stay; a name may have changed.
    pub(super) fn grow(&mut self, operators: Vec<OperatorAbout>, edges: Vec<(u32, u32)>, feedback: Vec<(u32, u32)>) {
        self.names = operators.iter().map(|operator| operator.name.clone()).collect();
        self.numbers.extend(self.names.iter().cloned().zip(0..));
        (self.operators, self.edges, self.feedback) = (operators, edges, feedback);
    }

    /// What the analysis says of the trace so far.
    pub(super) fn diagnose(&mut self, diagnosis: Diagnosis) {
        self.diagnosis = Some(diagnosis);
    }

    fn show(&mut self, rows: &[TimelineRow], latency: &LatencyRow, instances: Vec<InstanceRow>) {
        let window = self.window_of(rows, latency);
        let seen = self.instances_of(&instances);
        self.watch.window(&window, seen.as_ref(), self.goal_ms, &self.names);
        self.windows.push(window);
        if seen.is_some() {
            self.instances.window(|| instances);
            self.last_instances = seen;
        }
    }

    /// Takes an event of the decision log.
    pub fn event(&mut self, event: Event) {
        if let Some(reason) = event.kind.reason() {
            if let Some(goal) = reason.values.get("goal ms").filter(|goal| goal.is_finite() && **goal > 0.0) {
                self.goal_ms = Some(*goal);
            }
            self.paths.extend(path_of(event.at, reason));
        }
        if let EventKind::Steered { request, refused: None } = &event.kind {
            self.steered.take(request);
            if let Command::Goal { goal_ms } = request.command {
                self.goal_ms = Some(goal_ms).filter(|goal| *goal > 0.0);
            }
        }
        self.watch.event(&event, &self.names);
        self.held.event(&event);
        self.events.push(event);
    }

    /// Takes how far the migration under way is at `at_s`.
    pub fn moving(&mut self, at_s: f64, moving: Moving) {
        let started = self.events.iter().rev().find(|event| matches!(event.kind, EventKind::Rescaling { .. }));
        let Some(started) = started else { return };
        let progress = self.progress.entry(started.at).or_default();
        if progress.len() < MOST_PROGRESS && progress.last().is_none_or(|last| last.1 != moving.bins) {
            progress.push((at_s, moving.bins));
        }
    }

    /// Explains the plans so far: costs time, so not for every event.
    pub fn explain(&mut self) {
        let recorded = Recorded {
            operators: &self.names,
            scalable: &self.scalable,
            timeline: &self.timeline,
            latency: &self.latency,
            events: &self.events,
        };
        (self.decisions, self.quiet) = self.told.refresh(&recorded);
    }

    /// The run has come to its end; `totals` is what is known of it as a whole.
    pub fn finish(&mut self, state: State, totals: BTreeMap<String, f64>) {
        self.about.state = state;
        self.watch.finish(&totals, self.windows.last().map_or(0.0, |window| window.end_s));
        self.totals = totals;
        self.explain();
    }

    /// Adds what the reader should know.
    pub fn note(&mut self, note: String) {
        self.about.notes.push(note);
    }

    /// What is known.
    pub fn story(&self) -> Story {
        let (windows, windows_combined) = combined(&self.windows);
        let mut instances: Vec<Instances> = Vec::new();
        let rows = self.instances.clone().rows();
        for rows in rows.chunk_by(|a, b| a.window_end_s == b.window_end_s) {
            instances.extend(self.instances_of(rows));
        }
        if let Some(last) = self.last_instances.as_ref().filter(|last| instances.last().is_none_or(|kept| kept.end_s < last.end_s)) {
            instances.push(last.clone());
        }
        Story {
            version: VERSION,
            number: 0,
            about: self.about(),
            operators: self.operators.clone(),
            edges: self.edges.clone(),
            feedback: self.feedback.clone(),
            window_columns: WINDOW_COLUMNS,
            operator_columns: OPERATOR_COLUMNS,
            instance_columns: INSTANCE_COLUMNS,
            windows_combined,
            windows,
            instances,
            paths: self.paths.iter().step_by(self.paths.len().div_ceil(MOST_PATHS).max(1)).cloned().collect(),
            goal_ms: self.goal_ms,
            decisions: self.decisions.clone(),
            quiet: self.quiet.clone(),
            held: self.held.all().to_vec(),
            migrations: self.migrations(),
            warnings: self.warnings(),
            steered: self.steered(),
            totals: self.totals.clone(),
            diagnosis: self.diagnosis.clone(),
        }
    }

    /// What ran, with notes on what is missing from the data so far.
    pub fn about(&self) -> About {
        let mut about = self.about.clone();
        if !self.windows.is_empty() && self.last_instances.is_none() {
            about.notes.push("There are no figures of single instances: none were recorded, or there are more than a thousand.".to_owned());
        }
        if self.windows.iter().any(|window| window.left_out > 0) {
            about.notes.push(format!("In each window only the {MOST_OPERATORS} busiest operators have figures."));
        }
        about
    }

    /// The last window.
    pub fn last_window(&self) -> Option<&Window> {
        self.windows.last()
    }

    /// The instances of the last window that has any.
    pub fn last_instances(&self) -> Option<&Instances> {
        self.last_instances.as_ref()
    }

    /// Names of all operators, by number.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The events so far.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// All critical paths so far.
    pub fn paths(&self) -> &[PathAt] {
        &self.paths
    }

    /// The latency goal, if the policy has named one.
    pub fn goal_ms(&self) -> Option<f64> {
        self.goal_ms
    }

    /// Plans, as last explained.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Periods without a plan, as last explained.
    pub fn quiet(&self) -> &[QuietSpan] {
        &self.quiet
    }

    /// Why the policy changed nothing, so far.
    pub fn held(&self) -> &[HeldAt] {
        self.held.all()
    }

    /// Migrations so far.
    pub fn migrations(&self) -> Vec<Migration> {
        migrations(&self.events, &self.names, &self.progress)
    }

    /// Warnings so far, by their start.
    pub fn warnings(&self) -> Vec<Warning> {
        self.watch.warnings()
    }

    /// What a person keeps from the policy.
    pub fn steered(&self) -> SteeredBy {
        let name = |operator: u32| self.names.get(operator as usize).cloned().unwrap_or_else(|| format!("op{operator}"));
        SteeredBy {
            paused_by: self.steered.paused_by.clone(),
            held_by: self.steered.held_by.iter().map(|(operator, who)| (name(operator.0), who.clone())).collect(),
        }
    }

    /// Totals, once the run has ended.
    pub fn totals(&self) -> &BTreeMap<String, f64> {
        &self.totals
    }

    /// Of an analysis, what it says so far.
    pub fn diagnosis(&self) -> Option<&Diagnosis> {
        self.diagnosis.as_ref()
    }

    /// Whether the run goes on.
    pub fn state(&self) -> State {
        self.about.state
    }

    fn window_of(&self, rows: &[TimelineRow], latency: &LatencyRow) -> Window {
        let sum = |value: fn(&TimelineRow) -> Option<f64>| rows.iter().filter_map(value).sum();
        let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
        let mut operators: Vec<OperatorAt> = rows
            .iter()
            .filter_map(|row| {
                let instances = f64::from(row.parallelism.max(1));
                Some(OperatorAt {
                    operator: *self.numbers.get(&row.operator)?,
                    instances: row.parallelism,
                    busy: row.utilisation,
                    external_wait: row.wait_share,
                    backpressure: row.backpressure_sum / instances,
                    queue_records: row.queue_records,
                    processed_per_s: row.processed_per_s,
                    true_per_instance_s: row.true_processing_per_s.map(|rate| rate / instances),
                })
            })
            .collect();
        let left_out = operators.len().saturating_sub(MOST_OPERATORS);
        if left_out > 0 {
            let load = |at: &OperatorAt| at.busy.max(at.backpressure);
            operators.sort_by(|a, b| load(b).total_cmp(&load(a)).then(b.queue_records.cmp(&a.queue_records)));
            operators.truncate(MOST_OPERATORS);
            operators.sort_by_key(|at| at.operator);
        }
        Window {
            start_s: latency.window_start_s,
            end_s: latency.window_end_s,
            offered_per_s: sum(|row| row.offered_per_s),
            achieved_per_s: sum(|row| row.achieved_per_s),
            lag_records: sum(|row| row.lag_records),
            p50_ms: ms(latency.latency_ns_p50),
            p99_ms: ms(latency.latency_ns_p99),
            max_ms: ms(latency.latency_ns_max),
            records: latency.records,
            left_out,
            operators,
        }
    }

    fn instances_of(&self, rows: &[InstanceRow]) -> Option<Instances> {
        let row = |row: &InstanceRow| {
            Some(InstanceAt {
                operator: *self.numbers.get(&row.operator)?,
                instance: row.instance,
                worker: row.worker,
                busy: row.utilisation,
                external_wait: row.wait_share,
                backpressure: row.backpressure_share,
                queue_records: row.queue_records,
                processed_per_s: row.processed_per_s,
                true_per_s: row.true_processing_per_s,
            })
        };
        let end_s = rows.first()?.window_end_s;
        Some(Instances { end_s, rows: rows.iter().filter_map(row).collect() })
    }
}

/// The windows, neighbours combined if there are too many, and how many were combined each time.
fn combined(windows: &[Window]) -> (Vec<Window>, usize) {
    let cells: usize = windows.iter().map(|window| window.operators.len() + 4).sum();
    let each = cells.div_ceil(MOST_CELLS).max(1);
    if each == 1 {
        return (windows.to_vec(), 1);
    }
    (windows.chunks(each).map(one_of).collect(), each)
}

/// One window for several: means over time of rates and shares, the mean over records of the median,
/// the largest of other latencies, and counts at the end.
fn one_of(windows: &[Window]) -> Window {
    let last = &windows[windows.len() - 1];
    let length = |window: &Window| (window.end_s - window.start_s).max(0.0);
    let whole: f64 = windows.iter().map(length).sum::<f64>().max(f64::MIN_POSITIVE);
    let mean = |value: &dyn Fn(&Window) -> f64| windows.iter().map(|window| value(window) * length(window)).sum::<f64>() / whole;
    let largest = |value: fn(&Window) -> Option<f64>| windows.iter().filter_map(value).reduce(f64::max);
    let medians = windows.iter().filter_map(|window| Some((window.p50_ms?, window.records as f64)));
    let (sum, records) = medians.fold((0.0, 0.0), |(sum, all), (ms, records)| (sum + ms * records, all + records));
    let operators = last.operators.iter().map(|at| {
        let of = |value: fn(&OperatorAt) -> f64| {
            let here = windows.iter().filter_map(|window| {
                let at = window.operators.binary_search_by_key(&at.operator, |other| other.operator).ok()?;
                Some((value(&window.operators[at]), length(window)))
            });
            let (sum, all) = here.fold((0.0, 0.0), |(sum, all), (value, length)| (sum + value * length, all + length));
            if all > 0.0 { sum / all } else { 0.0 }
        };
        OperatorAt {
            busy: of(|at| at.busy),
            external_wait: of(|at| at.external_wait),
            backpressure: of(|at| at.backpressure),
            processed_per_s: of(|at| at.processed_per_s),
            ..*at
        }
    });
    Window {
        start_s: windows[0].start_s,
        end_s: last.end_s,
        offered_per_s: mean(&|window| window.offered_per_s),
        achieved_per_s: mean(&|window| window.achieved_per_s),
        lag_records: last.lag_records,
        p50_ms: (records > 0.0).then(|| sum / records),
        p99_ms: largest(|window| window.p99_ms),
        max_ms: largest(|window| window.max_ms),
        records: windows.iter().map(|window| window.records).sum(),
        left_out: last.left_out,
        operators: operators.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(number: u32) -> Window {
        let at = |operator| OperatorAt { operator, busy: f64::from(number % 2), queue_records: number.into(), ..OperatorAt::default() };
        Window {
            start_s: number.into(),
            end_s: f64::from(number) + 1.0,
            offered_per_s: f64::from(number % 2) * 100.0,
            p50_ms: Some(1.0 + f64::from(number % 2)),
            p99_ms: Some(number.into()),
            records: 1 + 2 * u64::from(number % 2),
            operators: (0..10).map(at).collect(),
            ..Window::default()
        }
    }

    #[test]
    fn windows_of_a_long_run_are_combined_and_peaks_stay() {
        let windows: Vec<Window> = (0..20_000).map(window).collect();
        let (fewer, each) = combined(&windows);
        assert!(each > 1 && (fewer.len() - 1) * 14 <= MOST_CELLS, "{each}: {}", fewer.len());
        assert_eq!((fewer[0].start_s, fewer.last().unwrap().end_s), (0.0, 20_000.0));
        assert!(fewer.windows(2).all(|pair| pair[0].end_s == pair[1].start_s));
        assert_eq!(fewer.last().unwrap().p99_ms, Some(19_999.0), "the largest");
        assert_eq!(fewer.iter().map(|window| window.records).sum::<u64>(), windows.iter().map(|window| window.records).sum::<u64>());
        let pair = one_of(&windows[..2]);
        assert_eq!((pair.offered_per_s, pair.p50_ms, pair.operators[3].busy, pair.operators[3].queue_records), (50.0, Some(1.75), 0.5, 1));
        assert_eq!(combined(&windows[..100]), (windows[..100].to_vec(), 1));
    }
}
