//! The live status line of a run, on standard error: a progress bar on a terminal, otherwise one
//! line per action.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::controller::{Command, Event, EventKind};
use crate::dataflow::{Configuration, Operator, Plan, Topology};
use crate::experiment::rows::configuration_text;
use crate::experiment::run::{RunResult, Status};
use crate::id::OperatorId;
use crate::report::short_reason;

/// Shows the status of a run.
pub(super) struct Live {
    bar: ProgressBar,
    policy: String,
    topology: Topology,
    /// Number of events shown so far.
    shown: usize,
}

impl Live {
    /// A status line for a run of `policy` that lasts `duration`.
    pub(super) fn new(policy: &str, topology: &Topology, duration: Duration) -> Live {
        let bar = ProgressBar::new(duration.as_millis() as u64);
        let style = ProgressStyle::with_template("{prefix:>8} {bar:12.cyan/blue} {wide_msg}").expect("a template of our own");
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix(policy.to_owned());
        Live { bar, policy: policy.to_owned(), topology: topology.clone(), shown: 0 }
    }

    /// Shows the status after a window.
    pub(super) fn show(&mut self, status: Status<'_>) {
        let window = &status.observation.window;
        self.bar.set_position(window.end.0 / 1_000_000);
        let source = status.observation.sources.first();
        let (achieved, offered) = source.map_or((0.0, 0.0), |s| (s.achieved.as_per_second(), s.offered.as_per_second()));
        let lag = source.map_or(0.0, |source| source.lag_records);
        let latency = status.observation.latency.ns_p99.map_or("-".to_owned(), |ns| format!("{:.0} ms", ns as f64 / 1e6));
        self.bar.set_message(format!(
            "{:.1} s  {}  {achieved:.0} of {offered:.0}/s  lag {lag:.0}  p99 {latency}",
            window.end.as_secs_f64(),
            configuration_text(&self.topology, &status.observation.configuration),
        ));
        self.events(status.events);
    }

    /// Shows those of `events`, which holds all events so far, that are new.
    fn events(&mut self, events: &[Event]) {
        for event in &events[self.shown..] {
            self.event(event);
        }
        self.shown = events.len();
    }

    fn name(&self, operator: OperatorId) -> &str {
        &self.topology.operator(operator).name
    }

    /// What a plan changes, operator by operator.
    fn changes(&self, plan: &Plan, before: &Configuration, after: &Configuration) -> String {
        let workers = |configuration: &Configuration, id| configuration.placement().map(|placement| placement.of(id).to_vec());
        let change = |operator: &Operator| {
            let (id, name) = (operator.id, &operator.name);
            let (old, new) = (before.parallelism(id), after.parallelism(id));
            match workers(after, id).filter(|new| workers(before, id).is_some_and(|old| old != *new)) {
                _ if old != new => Some(format!("{name} {old} -> {new}")),
                Some(workers) => {
                    let workers: Vec<String> = workers.iter().map(|worker| worker.0.to_string()).collect();
                    Some(format!("{name} on worker {}", workers.join(", ")))
                }
                None => (plan.rebalances.contains(&id) || plan.speeds.contains_key(&id)).then(|| format!("{name} rebalanced")),
            }
        };
        self.topology.scalable().filter_map(change).collect::<Vec<_>>().join("; ")
    }

    fn event(&self, event: &Event) {
        let text = |configuration| configuration_text(&self.topology, configuration);
        let line = match &event.kind {
            EventKind::Rescaling { before, after, reason, bins, plan, .. } => {
                format!("{} ({bins} bins to migrate): {}", self.changes(plan, before, after), short_reason(reason))
            }
            EventKind::Splitting { operator, bins } => format!("splits {} bins of {}", bins.len(), self.name(*operator)),
            EventKind::HotKey { operator, bin, share } => {
                format!("a single key of {} ({bin}) carries {share:.1} times an instance's fair share", self.name(*operator))
            }
            EventKind::Refused { why, .. } => format!("plan rejected: {why}"),
            EventKind::Migrated { configuration } => format!("now running {}", text(configuration)),
            EventKind::Paced { goal_ms, steps, beyond_goal } => {
                format!("migrated in {steps} steps with a latency goal of {goal_ms} ms; {beyond_goal} steps were expected to exceed it")
            }
            EventKind::Interrupted { moved, of, configuration } => {
                format!("plan interrupted after {moved} of {of} bins; now running {}", text(configuration))
            }
            EventKind::BackingOff { failures, until } => {
                let times = if *failures == 1 { String::new() } else { format!(" ({failures} in a row)") };
                format!("the host abandoned the plan{times}: no new plan before {:.1} s", until.as_secs_f64())
            }
            // An external program was disabled: the event carries the reason.
            EventKind::Held { reason } if reason.rule.starts_with("external-") && !reason.detail.is_empty() => {
                format!("disables its policy ({}): {}", reason.rule, reason.detail)
            }
            EventKind::Doubted { doubts } => {
                let doubts: Vec<String> = doubts.iter().map(|doubt| doubt.with_names(|id| self.name(id).to_owned())).collect();
                format!("ignores this window (unreliable metrics): {}", doubts.join(", "))
            }
            EventKind::Steered { request, refused } => {
                let what = match &request.command {
                    Command::Pause => "pause".to_owned(),
                    Command::Resume => "resume".to_owned(),
                    Command::Hold { operator } => format!("hold {}", self.name(*operator)),
                    Command::Release { operator } => format!("release {}", self.name(*operator)),
                    Command::Goal { goal_ms } => format!("latency goal {goal_ms} ms"),
                    Command::Apply { .. } => "plan by hand".to_owned(),
                };
                let refused = refused.as_ref().map_or(String::new(), |why| format!("; refused: {why}"));
                format!("{what}, asked for by {}{refused}", request.who)
            }
            EventKind::WarmingUp { .. }
            | EventKind::Held { .. }
            | EventKind::Activating { .. }
            | EventKind::Postponed { .. }
            | EventKind::Withheld { .. } => return,
        };
        let line = format!("{:>8} {:>6.1} s  {line}", self.policy, event.at.as_secs_f64());
        if self.bar.is_hidden() { eprintln!("{line}") } else { self.bar.println(line) }
    }

    /// Ends the line, after what happened since the last window.
    pub(super) fn finish(&mut self, result: Option<&RunResult>) {
        if let Some(result) = result {
            self.events(&result.events);
        }
        self.bar.finish_and_clear();
    }
}
