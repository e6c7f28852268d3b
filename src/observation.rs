//! The input of policies, and the only way from activity records to it.
//!
//! An [`Observer`] takes records as they arrive and closes windows when told to. Records of a later
//! window are buffered for it. Invariant: the same records and calls produce the same observations,
//! whichever host recorded them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::activity::{ActivityKind, Record};
use crate::critical_path::{PathObserver, WindowPaths};
use crate::dataflow::{Configuration, Topology};
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::metrics::{
    Balance, CoreSample, Ledger, Mend, MetricIssue, OperatorMetrics, SourceMetrics, SourceSample, WindowMetrics, WorkerMetrics,
};
use crate::rate::Rate;
use crate::stats::LatencyHistogram;
use crate::time::{Epoch, Timestamp, Window};

/// Metrics of a job over one window: everything a policy may base a decision on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The window.
    pub window: Window,
    /// The parallelism of each operator throughout the window.
    pub configuration: Configuration,
    /// Sources: offered and achieved rates, lag.
    pub sources: Vec<SourceMetrics>,
    /// All operators of the job (sources and sinks included), by number.
    pub operators: Vec<OperatorMetrics>,
    /// Latency of records that reached a sink, from the time they were due.
    pub latency: LatencySummary,
    /// Why the window cannot be used for a decision, or what was corrected so that it can; usually
    /// empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<MetricIssue>,
    /// Workers of the host, by number; empty where the configuration has no placement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerMetrics>,
    /// The critical paths of the epochs that completed; `None` unless the policy asked for them
    /// (`Policy::needs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<WindowPaths>,
}

/// Percentiles of latency over a window, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Number of records.
    pub records: u64,
    /// Median.
    pub ns_p50: Option<u64>,
    /// 99th percentile.
    pub ns_p99: Option<u64>,
    /// Maximum.
    pub ns_max: Option<u64>,
}

impl LatencySummary {
    /// The percentiles of a histogram; all `None` if it is empty.
    pub fn of(histogram: &LatencyHistogram) -> LatencySummary {
        let at = |quantile| histogram.quantile(quantile).map(|latency| latency.as_nanos() as u64);
        LatencySummary { records: histogram.records(), ns_p50: at(0.5), ns_p99: at(0.99), ns_max: at(1.0) }
    }
}

impl Observation {
    /// Metrics of `operator`.
    ///
    /// # Panics
    /// If the operator is not part of the job.
    pub fn operator(&self, operator: OperatorId) -> &OperatorMetrics {
        &self.operators[operator.0 as usize]
    }

    /// The largest ratio of offered to achieved rate among the sources; infinite if a source with
    /// offered load emitted nothing.
    pub fn target_rate_ratio(&self) -> f64 {
        let ratio = |source: &SourceMetrics| match (source.offered.as_per_second(), source.achieved.as_per_second()) {
            (0.0, _) => 0.0,
            (offered, achieved) => offered / achieved,
        };
        self.sources.iter().map(ratio).fold(0.0, f64::max)
    }
}

/// Aggregates records into observations.
#[derive(Clone, Debug)]
pub struct Observer {
    topology: Topology,
    current: WindowMetrics,
    early: Vec<Record>,
    due: BTreeMap<Epoch, Timestamp>,
    sources: BTreeMap<InstanceId, SourceSample>,
    cores: BTreeMap<WorkerId, CoreSample>,
    /// Set if a window starts while records of earlier windows may still arrive: those are ignored.
    open_from: Timestamp,
    /// Follows critical paths, if requested.
    paths: Option<Box<PathObserver>>,
    ledger: Ledger,
    /// Whether loads of bins are left out.
    no_bins: bool,
    /// The window before the current one, for its space.
    spare: Option<WindowMetrics>,
    /// Number of windows since the last complete one.
    not_whole: u32,
}

/// The number of consecutive incomplete windows that are not corrected; those that follow are
/// scaled up, so that a policy is never blind for long. An incomplete window is a worse basis for a
/// decision, so usually none is made on it.
const LEFT_ALONE: u32 = 2;
/// A window with less than this share of its records is too small a sample of the rest.
const LEAST_SEEN: f64 = 0.4;

/// The most due times kept: 10 minutes of epochs of 10 ms. Bounds memory whatever the length of the
/// run.
const MOST_OPEN_EPOCHS: usize = 60_000;

impl Observer {
    /// An observer of `topology` whose first window starts at `start` and lasts `length`.
    pub fn new(topology: Topology, start: Timestamp, length: Duration) -> Observer {
        Observer {
            topology,
            current: WindowMetrics::new(Window::starting(start, length)),
            early: Vec::new(),
            due: BTreeMap::new(),
            sources: BTreeMap::new(),
            cores: BTreeMap::new(),
            open_from: start,
            paths: None,
            ledger: Ledger::default(),
            no_bins: false,
            spare: None,
            not_whole: 0,
        }
    }

    /// An observer that also follows critical paths. The host has to record messages and completed
    /// epochs.
    pub fn with_paths(mut self) -> Observer {
        let window = self.current.window();
        self.paths = Some(Box::new(PathObserver::new(self.topology.operators().len(), window.start, window.length())));
        self
    }

    /// An observer that leaves loads of bins out, of which there are many more than instances: for
    /// who only shows what is observed.
    pub fn without_bins(mut self) -> Observer {
        self.current = self.current.without_bins();
        self.no_bins = true;
        self
    }

    /// The open window.
    pub fn window(&self) -> Window {
        self.current.window()
    }

    /// Latency of the records that `record` brings to a sink; `None` if it brings none, or if their
    /// due time is unknown.
    pub fn latency(&self, record: &Record) -> Option<Duration> {
        match record {
            Record::Activity(activity) if activity.kind == ActivityKind::Sink => {
                self.due.get(&activity.epoch).map(|due| activity.end.since(*due))
            }
            _ => None,
        }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        if let Some(paths) = &mut self.paths {
            paths.push(record);
        }
        self.sort(record);
    }

    /// Adds a record to the window to which it belongs.
    fn sort(&mut self, record: &Record) {
        if let Record::EpochOpened { epoch, due, .. } = record {
            let earliest = self.due.entry(*epoch).or_insert(*due);
            *earliest = (*earliest).min(*due);
        }
        if record.at() >= self.current.window().end {
            self.early.push(match record {
                // Only that there was one.
                Record::Bins { instance, at, .. } if self.no_bins => Record::Bins { instance: *instance, at: *at, loads: Vec::new() },
                record => record.clone(),
            });
        } else {
            self.claim(record);
        }
    }

    fn claim(&mut self, record: &Record) {
        self.ledger.take(record, self.open_from);
        if record.at() < self.open_from {
            // Too late for its window. A sample of a source or a core still marks where the next
            // window starts.
            if let Record::Source { source, at, due, emitted } = record
                && due.is_finite()
                && *due >= 0.0
            {
                let sample = SourceSample { at: *at, due: *due, emitted: *emitted };
                let last = self.sources.entry(*source).or_insert(sample);
                if last.at <= sample.at {
                    *last = sample;
                }
            }
            if let Record::Core { worker, at, ran, denied } = *record {
                let last = self.cores.entry(worker).or_default();
                if last.at <= at {
                    *last = CoreSample { at, ran, denied };
                }
            }
            return;
        }
        let due = &self.due;
        self.current.add(record, |epoch| due.get(&epoch).copied());
    }

    /// Closes the current window and opens the next one, which lasts `length`; `configuration` held
    /// throughout.
    pub fn close(&mut self, configuration: &Configuration, length: Duration) -> (Observation, LatencyHistogram) {
        let window = self.current.window();
        let balance = self.ledger.close(window);
        let mut closed = self.begin(window.end, length);
        let mut observation = Observation {
            window: closed.window(),
            configuration: configuration.clone(),
            sources: closed.sources(&self.sources),
            operators: closed.operators(&self.topology, configuration),
            latency: LatencySummary::of(closed.latency()),
            doubts: closed.doubts(&self.topology, &self.sources),
            workers: closed.workers(configuration, &self.cores),
            paths: self.paths.as_mut().map(|paths| paths.close(window.end, length)),
        };
        self.mend(&mut observation, &closed, &balance);
        self.sources.extend(closed.source_samples());
        self.cores.extend(closed.core_samples());
        let latency = closed.take_latency();
        self.spare = Some(closed);
        (observation, latency)
    }

    /// Marks an incomplete window as unreliable, or scales it up if the windows before it were
    /// incomplete too.
    fn mend(&mut self, observation: &mut Observation, closed: &WindowMetrics, balance: &Balance) {
        let seen = balance.seen(balance.silence().is_some_and(|longest| closed.is_silent_for(longest)));
        let mend = Mend { seen: seen.unwrap_or(1.0), times: closed.times() };
        observation.doubts.extend(seen.map(|_| MetricIssue::Incomplete(mend.percent())));
        if seen.is_some() || self.not_whole > 0 {
            // Otherwise the rates of sources would include what was lost, those of operators not.
            let sources = std::mem::take(&mut observation.sources);
            observation.sources = sources.into_iter().map(|source| balance.over_what_was_seen(source)).collect();
            // With records missing, a path would be wrong.
            observation.paths = None;
        }
        if observation.doubts.is_empty() {
            self.not_whole = 0;
            return;
        }
        let can_be = mend.seen >= LEAST_SEEN && observation.doubts.iter().all(MetricIssue::is_a_matter_of_scale);
        if self.not_whole < LEFT_ALONE || !can_be {
            self.not_whole += 1;
            return;
        }
        let operators = std::mem::take(&mut observation.operators);
        observation.operators = operators.into_iter().map(|operator| mend.operator(operator)).collect();
        // What sources emitted is scaled like what arrived of it: if they pause occasionally, the
        // same share of both was observed.
        for source in &mut observation.sources {
            let emitted = observation.operators[source.operator.0 as usize].processed();
            if emitted > 0 {
                source.achieved = Rate::of(emitted as f64, observation.window.length()).unwrap_or(source.achieved);
            }
        }
        observation.doubts = vec![MetricIssue::Mended(mend.percent())];
        observation.doubts.extend(observation.operators.iter().flat_map(OperatorMetrics::too_busy));
    }

    /// Discards the current window and opens one at `start`, so that no window mixes two
    /// configurations.
    pub fn restart(&mut self, start: Timestamp, length: Duration) {
        let abandoned = std::mem::take(&mut self.early);
        self.ledger.close(self.current.window());
        let dropped = self.begin(start, length);
        self.sources.extend(dropped.source_samples());
        self.cores.extend(dropped.core_samples());
        self.spare = Some(dropped);
        if let Some(paths) = &mut self.paths {
            paths.restart(start, length);
        }
        for record in abandoned {
            self.sort(&record);
        }
    }

    fn begin(&mut self, start: Timestamp, length: Duration) -> WindowMetrics {
        let window = Window::starting(start, length);
        let next = match self.spare.take() {
            Some(mut spare) => {
                spare.begin(window);
                spare
            }
            None if self.no_bins => WindowMetrics::new(window).without_bins(),
            None => WindowMetrics::new(window),
        };
        let closed = std::mem::replace(&mut self.current, next);
        self.open_from = start;
        // The space is used again.
        let mut early = std::mem::take(&mut self.early);
        for record in early.drain(..) {
            if record.at() >= self.current.window().end {
                self.early.push(record);
            } else {
                self.claim(&record);
            }
        }
        if self.early.is_empty() {
            self.early = early;
        }
        while self.due.len() > MOST_OPEN_EPOCHS {
            self.due.pop_first();
        }
        closed
    }
}
