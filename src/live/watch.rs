//! Warnings: what to look at first, each with what to do.
//!
//! Those of windows begin when something has been wrong for a few windows in a row; those of events
//! hold until the next window that the policy looks at. The two do not depend on each other, so a run
//! that is read from its folder has the same warnings as one that was watched.

use std::collections::{BTreeMap, BTreeSet};

use super::story::{InstanceAt, Instances, Warning, Window};
use crate::controller::{Event, EventKind, Steered};
use crate::policy::{Cause, Finding};
use crate::report::{self, finding_text};
use crate::stats::median;

/// Windows in a row in which something has to be wrong.
const LASTING: u32 = 3;
/// Windows in a row without a record at a sink.
const STUCK: u32 = 6;
/// Sources that emit less than this share of what is due fall behind.
const KEEPS_UP: f64 = 0.97;
/// An instance with so many times the mean load of its operator carries more than its share.
const UNEVEN: f64 = 1.5;
/// An instance slower than this share of the median of its operator is a straggler.
const SLOW: f64 = 0.6;
/// An instance with less to do is left alone.
const BUSY: f64 = 0.7;

/// What has become so many times worse is told again.
const WORSE: f64 = 1.1;
/// So often at most.
const MOST_TOLD: usize = 50;

/// What a warning is about: its kind and an operator.
type Key = (&'static str, String);

/// What is wrong, and what to do.
#[derive(Clone, Debug)]
struct Seen {
    severity: u8,
    /// How bad it is: a warning says how bad it was at its worst.
    weight: f64,
    what: String,
    todo: &'static str,
}

/// The warnings of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    warnings: Vec<Warning>,
    /// Open ones, by their place, with the weight that was told last and the largest.
    of_windows: BTreeMap<Key, (usize, f64, f64)>,
    of_events: BTreeMap<Key, (usize, f64, f64)>,
    of_people: BTreeMap<Key, (usize, f64, f64)>,
    steered: Steered,
    /// Windows in a row.
    rows: BTreeMap<Key, u32>,
    last_lag: f64,
}

impl Watch {
    /// The warnings, by their start; the worse ones first.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = self.warnings.clone();
        warnings.sort_by(|a, b| {
            let order = a.since_s.total_cmp(&b.since_s).then(a.severity.cmp(&b.severity));
            order.then_with(|| (a.kind, &a.operator).cmp(&(b.kind, &b.operator)))
        });
        warnings
    }

    /// Takes a window.
    pub(super) fn window(&mut self, window: &Window, instances: Option<&Instances>, goal_ms: Option<f64>, names: &[String]) {
        let mut wrong: BTreeMap<Key, (u32, Seen)> = BTreeMap::new();
        let behind = window.offered_per_s > 0.0 && window.achieved_per_s < KEEPS_UP * window.offered_per_s;
        if behind && window.lag_records > self.last_lag {
            let share = window.achieved_per_s / window.offered_per_s;
            let what = format!(
                "The sources emit {:.0} % of what is due, and lag by {} records.",
                100.0 * share,
                report::amount_text(window.lag_records)
            );
            let todo = "The operator with the largest part of the critical path limits the job. If no other warning says what is wrong with \
                        it, it needs more instances (from the policy, or a higher maximum).";
            wrong.insert(("falling-behind", String::new()), (LASTING, Seen { severity: 1, weight: window.lag_records, what, todo }));
        }
        self.last_lag = window.lag_records;
        if let (Some(goal), Some(p99)) = (goal_ms, window.p99_ms)
            && p99 > goal
        {
            let what = format!("The 99th percentile of latency is {p99:.0} ms; the goal is {goal:.0} ms.");
            let todo = "See the critical path for where the time goes. If the policy says that no number of instances meets the goal, the goal \
                        is out of reach at this load.";
            wrong.insert(("goal-missed", String::new()), (LASTING, Seen { severity: 1, weight: p99, what, todo }));
        }
        if window.records == 0 && window.achieved_per_s > 0.0 {
            let what = "Sources emit, and no record reaches a sink.".to_owned();
            let todo = "Look for the operator whose queue grows while it is idle; an operator that emits only at the end of a long window \
                        looks the same until then.";
            wrong.insert(("stuck", String::new()), (STUCK, Seen { severity: 1, weight: 0.0, what, todo }));
        }
        for of in instances.map(|all| all.rows.chunk_by(|a, b| a.operator == b.operator)).into_iter().flatten() {
            let Some(name) = names.get(of[0].operator as usize) else { continue };
            if let Some(seen) = uneven(name, of) {
                wrong.insert(("uneven", name.clone()), (LASTING, seen));
            }
            if let Some(seen) = slow(name, of) {
                wrong.insert(("slow-instance", name.clone()), (LASTING, seen));
            }
        }
        self.rows.retain(|key, _| wrong.contains_key(key));
        let mut lasting = BTreeMap::new();
        for (key, (least, seen)) in wrong {
            let windows = self.rows.entry(key.clone()).or_default();
            *windows += 1;
            if *windows >= least {
                lasting.insert(key, seen);
            }
        }
        // Without figures of instances nothing is known of them, so what was wrong may be still.
        let kept = instances.is_none();
        let about_instances = |key: &Key| matches!(key.0, "uneven" | "slow-instance");
        let open: BTreeSet<Key> = self.of_windows.keys().filter(|key| kept && about_instances(key)).cloned().collect();
        set(&mut self.warnings, &mut self.of_windows, lasting, &open, window.end_s);
    }

    /// Takes an event.
    pub(super) fn event(&mut self, event: &Event, names: &[String]) {
        let at_s = event.at.as_secs_f64();
        let name = |operator: u32| names.get(operator as usize).cloned().unwrap_or_else(|| format!("op{operator}"));
        let mut seen = BTreeMap::new();
        let mut once = |kind: &'static str, operator: String, severity: u8, what: String, todo: &'static str| {
            let todo = todo.to_owned();
            self.warnings.push(Warning {
                kind,
                severity,
                since_s: at_s,
                until_s: Some(at_s),
                operator,
                what,
                worst_s: at_s,
                before: Vec::new(),
                todo,
            });
        };
        match &event.kind {
            EventKind::HotKey { operator, bin, share } => {
                let what = format!("A single key of {} ({bin}) carries {share:.1} times an instance's fair share.", name(operator.0));
                once(
                    "hot-key",
                    name(operator.0),
                    2,
                    what,
                    "No number of instances helps: split the key in the program, or aggregate before it.",
                );
                return;
            }
            EventKind::Splitting { operator, bins } => {
                let what =
                    format!("{} of {} had more than an instance's fair share of the load.", count(bins.len(), "bin"), name(operator.0));
                once(
                    "hot-bin",
                    name(operator.0),
                    3,
                    what,
                    "Nothing: the controller splits them. If it happens again and again, use more bins.",
                );
                return;
            }
            EventKind::Refused { why, .. } => {
                let todo = "The policy asked for what the job cannot have; check its limits.";
                once("plan-refused", String::new(), 2, format!("A plan was rejected: {why}."), todo);
                return;
            }
            EventKind::Interrupted { moved, of, .. } => {
                let what = format!("A migration was interrupted after {moved} of {of} bins.");
                once("migration-interrupted", String::new(), 2, what, "What moved stays where it is; the policy may ask again.");
                return;
            }
            EventKind::BackingOff { failures, until } => {
                let what =
                    format!("The host abandoned {}; no new one before {:.1} s.", count(*failures as usize, "plan"), until.as_secs_f64());
                once("backing-off", String::new(), 2, what, "See why the host gives up: lack of workers, or time limits.");
                return;
            }
            EventKind::Steered { request, refused: None } => {
                self.steered.take(request);
                let mut kept = BTreeMap::new();
                if let Some(who) = &self.steered.paused_by {
                    let what = format!("The controller is paused by {who}: no plan of the policy is started.");
                    let todo = "Resume it when it is to go on by itself.";
                    kept.insert(("paused", String::new()), Seen { severity: 2, weight: 0.0, what, todo });
                }
                for (operator, who) in &self.steered.held_by {
                    let what = format!("{} is held by {who}: plans of the policy leave it as it is.", name(operator.0));
                    let todo = "Release it when the policy may change it again.";
                    kept.insert(("held", name(operator.0)), Seen { severity: 3, weight: 0.0, what, todo });
                }
                set(&mut self.warnings, &mut self.of_people, kept, &BTreeSet::new(), at_s);
                return;
            }
            EventKind::Migrated { .. } | EventKind::Paced { .. } | EventKind::Steered { .. } => return,
            EventKind::Doubted { doubts } => {
                let doubts: Vec<String> = doubts.iter().map(|doubt| doubt.with_names(|id| name(id.0))).collect();
                let what = format!("The policy ignores this window, whose metrics are unreliable: {}.", doubts.join(", "));
                let todo =
                    "One such window is harmless. If they go on, the host drops records: record less, or give it more memory and time.";
                seen.insert(("unreliable-window", String::new()), Seen { severity: 2, weight: 0.0, what, todo });
            }
            kind => {
                let Some(reason) = kind.reason() else { return };
                if reason.rule == "goal-unreachable" {
                    let largest = reason.path.first().map(|part| {
                        format!(
                            " Of the slowest epochs {:.0} % ({:.0} ms) is {}.",
                            100.0 * part.share,
                            part.mean_ms,
                            report::piece_text(part)
                        )
                    });
                    let what = format!("No number of instances would meet the latency goal.{}", largest.unwrap_or_default());
                    let todo = "Lower the load, raise the goal, or make that part of the critical path shorter.";
                    seen.insert(("goal-out-of-reach", String::new()), Seen { severity: 1, weight: 0.0, what, todo });
                }
                if reason.rule == "budget" {
                    let what = "The policy would use more instances than its budget allows.".to_owned();
                    let todo = "Raise the budget (--set budget=N, 0 for none), or lower the load.";
                    seen.insert(("budget-reached", String::new()), Seen { severity: 2, weight: 0.0, what, todo });
                }
                if report::disables(&reason.rule) {
                    let what = format!("The external policy is disabled ({}): {}", reason.rule, reason.detail);
                    let todo = "Nothing is rescaled any more. Mend the program and start again.";
                    seen.insert(("policy-disabled", String::new()), Seen { severity: 1, weight: 0.0, what, todo });
                }
                seen.extend(reason.findings.iter().filter_map(found));
            }
        }
        set(&mut self.warnings, &mut self.of_events, seen, &BTreeSet::new(), at_s);
    }

    /// The run has ended.
    pub(super) fn finish(&mut self, totals: &BTreeMap<String, f64>, end_s: f64) {
        let total = |name: &str| totals.get(name).copied().unwrap_or(0.0);
        let mut add = |kind, severity, what, todo: &str| {
            self.warnings.push(Warning {
                kind,
                severity,
                since_s: end_s,
                until_s: None,
                operator: String::new(),
                what,
                worst_s: end_s,
                before: Vec::new(),
                todo: todo.to_owned(),
            });
        };
        let (lost, twice) = (total("records_lost") + total("words_miscounted"), total("records_duplicated"));
        if lost + twice > 0.0 {
            let what = format!("{lost:.0} results are lost or wrong and {twice:.0} are there twice.");
            add("wrong-results", 1, what, "This is a fault of the program: report it with the run folder.");
        }
        if total("dropped_records") > 0.0 {
            let what =
                format!("{:.0} activity records did not fit and were dropped; all figures rest on the others.", total("dropped_records"));
            add("dropped-records", 2, what, "Trust single windows less. Fewer instances per core, or no --record, drop fewer.");
        }
    }
}

/// Opens, goes on with and closes warnings: `wrong` is what is wrong at `at_s`; what is in `kept`
/// stays as it is.
fn set(
    warnings: &mut Vec<Warning>,
    open: &mut BTreeMap<Key, (usize, f64, f64)>,
    wrong: BTreeMap<Key, Seen>,
    kept: &BTreeSet<Key>,
    at_s: f64,
) {
    open.retain(|key, (place, ..)| {
        let goes_on = wrong.contains_key(key) || kept.contains(key);
        if !goes_on {
            warnings[*place].until_s = Some(at_s);
        }
        goes_on
    });
    for (key, Seen { severity, weight, what, todo }) in wrong {
        let (place, told, worst) = open.entry(key.clone()).or_insert_with(|| {
            let (kind, operator) = key;
            let (what, todo) = (what.clone(), todo.to_owned());
            let before = vec![(at_s, what.clone())];
            warnings.push(Warning { kind, severity, since_s: at_s, until_s: None, operator, what, worst_s: at_s, before, todo });
            (warnings.len() - 1, weight, weight)
        });
        let warning = &mut warnings[*place];
        if weight > WORSE * *told && warning.before.len() < MOST_TOLD {
            *told = weight;
            warning.before.push((at_s, what.clone()));
        }
        if weight >= *worst {
            *worst = weight;
            warning.worst_s = at_s;
            warning.what = what;
        }
    }
}

/// An operator of which an instance carries much more than the others.
fn uneven(name: &str, instances: &[InstanceAt]) -> Option<Seen> {
    let mean = instances.iter().map(|at| at.busy).sum::<f64>() / instances.len() as f64;
    let most = instances.iter().max_by(|a, b| a.busy.total_cmp(&b.busy))?;
    let weight = most.busy / mean;
    let what = format!("Instance {} of {name} was {:.0} % busy, {weight:.1} times the mean.", most.instance, 100.0 * most.busy);
    let todo = "Adding instances does not help. Its bins can be rebalanced, as policies that look at single instances do; a single hot key \
                cannot.";
    (instances.len() > 1 && most.busy >= BUSY && most.busy > UNEVEN * mean).then_some(Seen { severity: 2, weight, what, todo })
}

/// An operator of which an instance is much slower than the others.
fn slow(name: &str, instances: &[InstanceAt]) -> Option<Seen> {
    let usual = median(instances.iter().filter_map(|at| at.true_per_s))?;
    let speed = |at: &&InstanceAt| at.true_per_s.filter(|_| at.busy >= BUSY);
    let slowest =
        instances.iter().filter(|at| speed(at).is_some()).min_by(|a, b| speed(a).unwrap_or(0.0).total_cmp(&speed(b).unwrap_or(0.0)))?;
    let rate = slowest.true_per_s?;
    let what = format!(
        "Instance {} of {name} processed {rate:.0} records per useful second; half of the instances did at least {usual:.0}.",
        slowest.instance
    );
    let weight = usual / rate.max(f64::MIN_POSITIVE);
    let todo = "Give it less load or move it to another worker; more instances do not help.";
    (instances.len() > 2 && rate < SLOW * usual).then_some(Seen { severity: 2, weight, what, todo })
}

/// The warning that a diagnosis of the policy is, if it is one.
fn found(finding: &Finding) -> Option<(Key, Seen)> {
    let (kind, severity, todo) = match finding.cause {
        Cause::Skewed => {
            ("skewed", 2, "Nothing, if the policy rebalances: see its next decision. A single hot key has to be split in the program.")
        }
        Cause::Straggling => ("straggler", 2, "The policy gives it less load. Look at its machine: another program, a slow disk, heat."),
        Cause::ExternalWait => ("external-wait", 2, "No number of instances helps if what it waits for is the limit: look there."),
        Cause::AtLimit => ("at-limit", 1, "Raise its maximum parallelism, or lower the load."),
        Cause::Starved => ("starved", 3, "Look upstream, or at what holds the sources back."),
        Cause::Crowded => ("crowded-worker", 2, "Use more workers, or let the policy move instances."),
        Cause::Host => ("host", 2, "Another program or another machine has the core: stop it, or use fewer workers."),
        Cause::UnderProvisioned | Cause::Slow | Cause::OverProvisioned | Cause::Recovered => return None,
    };
    Some(((kind, finding.operator.clone()), Seen { severity, weight: 0.0, what: finding_text(finding), todo }))
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricIssue;
    use crate::policy::Reason;
    use crate::time::Timestamp;

    fn window(number: u32) -> Window {
        Window {
            start_s: number.into(),
            end_s: f64::from(number + 1),
            offered_per_s: 100.0,
            achieved_per_s: 100.0,
            records: 5,
            p99_ms: Some(10.0),
            ..Window::default()
        }
    }

    fn spans(watch: &Watch) -> Vec<(&'static str, f64, Option<f64>)> {
        watch.warnings().iter().map(|warning| (warning.kind, warning.since_s, warning.until_s)).collect()
    }

    #[test]
    fn a_job_that_keeps_up_has_no_warning_and_one_that_does_not_has_until_it_does() {
        let mut watch = Watch::default();
        for number in 0..20 {
            let behind = (5..12).contains(&number);
            let achieved_per_s = if behind { 50.0 } else { 110.0 };
            let lag_records = if behind { f64::from(number) * 50.0 } else { 0.0 };
            watch.window(&Window { achieved_per_s, lag_records, ..window(number) }, None, Some(50.0), &[]);
        }
        assert_eq!(spans(&watch), [("falling-behind", 8.0, Some(13.0))]);
        let warning = &watch.warnings()[0];
        let told = |lag: u32| format!("The sources emit 50 % of what is due, and lag by {lag} records.");
        assert_eq!((warning.worst_s, warning.what.as_str()), (12.0, &*told(550)));
        // An earlier time is told what was known then, as long as it becomes a tenth worse.
        assert_eq!(warning.before, [(8.0, told(350)), (9.0, told(400)), (10.0, told(450)), (11.0, told(500))]);
    }

    #[test]
    fn how_a_warning_became_worse_is_told_no_more_than_so_often() {
        let mut watch = Watch::default();
        let late = |number: u32| Window { p99_ms: Some(100.0 * 1.2f64.powi(number as i32)), ..window(number) };
        (0..200).for_each(|number| watch.window(&late(number), None, Some(50.0), &[]));
        let warning = &watch.warnings()[0];
        assert_eq!((warning.before.len(), warning.before[0].0, warning.worst_s), (MOST_TOLD, 3.0, 200.0));
        assert!(warning.before.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_missed_goal_and_a_stuck_job_are_told() {
        let mut watch = Watch::default();
        (0..10).for_each(|number| watch.window(&Window { p99_ms: Some(80.0), ..window(number) }, None, Some(50.0), &[]));
        (10..20).for_each(|number| watch.window(&Window { records: 0, p99_ms: None, ..window(number) }, None, Some(50.0), &[]));
        assert_eq!(spans(&watch), [("goal-missed", 3.0, Some(11.0)), ("stuck", 16.0, None)]);
        let mut without = Watch::default();
        (0..10).for_each(|number| without.window(&Window { p99_ms: Some(80.0), ..window(number) }, None, None, &[]));
        assert_eq!(spans(&without), [], "no goal, nothing to miss");
    }

    #[test]
    fn instances_that_differ_are_named() {
        let names = ["count".to_owned()];
        let at = |instance, busy, true_per_s| InstanceAt { instance, busy, true_per_s: Some(true_per_s), ..InstanceAt::default() };
        let run = |rows: Vec<InstanceAt>| {
            let mut watch = Watch::default();
            let instances = Instances { rows, ..Instances::default() };
            (0..4).for_each(|number| watch.window(&window(number), Some(&instances), None, &names));
            // Without figures of instances it stays open.
            watch.window(&window(4), None, None, &names);
            watch.warnings().iter().map(|warning| (warning.kind, warning.what.clone(), warning.until_s)).collect::<Vec<_>>()
        };
        let even = run(vec![at(0, 0.9, 100.0), at(1, 0.9, 100.0), at(2, 0.9, 90.0)]);
        assert!(even.is_empty(), "{even:?}");
        let skewed = run(vec![at(0, 1.0, 100.0), at(1, 0.2, 100.0), at(2, 0.3, 100.0)]);
        assert_eq!(skewed, [("uneven", "Instance 0 of count was 100 % busy, 2.0 times the mean.".to_owned(), None)]);
        let slow = run(vec![at(0, 0.8, 100.0), at(1, 1.0, 40.0), at(2, 0.8, 110.0)]);
        assert_eq!(slow.len(), 1);
        assert!(slow[0].1.starts_with("Instance 1 of count processed 40 records per useful second"), "{slow:?}");
        assert!(run(vec![at(0, 0.0, f64::NAN); 3]).is_empty() && run(Vec::new()).is_empty());
    }

    #[test]
    fn diagnoses_last_until_the_next_window_of_the_policy() {
        let mut watch = Watch::default();
        let at = |seconds: u64, kind| Event { at: Timestamp(seconds * 1_000_000_000), kind };
        let held = |finding: Option<Finding>| {
            let reason = Reason { findings: finding.into_iter().collect(), ..Reason::new("hold") };
            EventKind::Held { reason }
        };
        watch.event(&at(2, held(Some(Finding::new("count", Cause::AtLimit)))), &[]);
        watch.event(&at(4, held(Some(Finding::new("count", Cause::AtLimit)))), &[]);
        watch.event(&at(6, held(None)), &[]);
        watch.event(&at(8, EventKind::Doubted { doubts: vec![MetricIssue::Incomplete(40)] }), &[]);
        assert_eq!(spans(&watch), [("at-limit", 2.0, Some(6.0)), ("unreliable-window", 8.0, None)]);
        watch.finish(&[("dropped_records".to_owned(), 3.0)].into(), 10.0);
        assert_eq!(spans(&watch).last().unwrap().0, "dropped-records");
        assert!(watch.warnings().iter().all(|warning| !warning.what.is_empty() && !warning.todo.is_empty()));
        let kinds = |rule: &str| {
            let mut watch = Watch::default();
            watch.event(&at(2, EventKind::Held { reason: Reason::new(rule) }), &[]);
            watch.warnings().iter().map(|warning| warning.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds("external-gone"), ["policy-disabled"]);
        assert_eq!(kinds("budget"), ["budget-reached"]);
        assert!(kinds("external-wait").is_empty(), "a rule of another policy");
    }
}
