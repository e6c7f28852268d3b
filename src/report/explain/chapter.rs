//! Divides a run into sections, from its decision log and rows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::span::{Seen, Span};
use super::steered::Asked;
use super::{Recorded, words};
use crate::controller::{Event, EventKind};
use crate::dataflow::{Configuration, Plan};
use crate::id::{InstanceId, OperatorId, WorkerId};
use crate::migration::Weights;
use crate::policy::Reason;

/// A section of the explanation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Chapter {
    /// A period in which no plan was started.
    Quiet(Quiet),
    /// A plan that was started or rejected.
    Decision(Box<Told>),
    /// Something else that a person asked for.
    Asked(Box<Asked>),
}

impl Chapter {
    /// Its number, unless it is a period without a plan.
    pub fn decision(&self) -> Option<usize> {
        match self {
            Chapter::Quiet(_) => None,
            Chapter::Decision(told) => Some(told.decision),
            Chapter::Asked(asked) => Some(asked.decision),
        }
    }
}

/// A period in which no plan was started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quiet {
    /// From the start of its first window to the end of its last one.
    #[serde(flatten)]
    pub span: Span,
    /// Summary of its last window if the log ends with it; otherwise the section on the next plan
    /// has it.
    pub seen: Option<Seen>,
    /// The windows in it, grouped, in order of first appearance.
    pub courses: Vec<Course>,
}

/// Windows with the same outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Course {
    /// `held`, `activating`, `postponed`, `withheld`, `warming-up` or `doubted`.
    pub what: &'static str,
    /// Number of windows.
    pub windows: usize,
    /// When the last of them ended.
    pub until_s: f64,
    /// The reason in the last of them; `None` if the policy was not consulted.
    pub reason: Option<Reason>,
    /// Additional text: why the metrics were unreliable, or what the policy asked for.
    pub remark: String,
}

/// A plan, from the observation to the outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// Its number, from 1, among all plans that were started or rejected, and other requests of a person.
    pub decision: usize,
    /// When, in seconds of the run.
    pub at_s: f64,
    /// Summary of the window it was decided on.
    pub seen: Option<Seen>,
    /// The reason; `None` for a rejected plan, of which the log only has the reason for the
    /// rejection.
    pub reason: Option<Reason>,
    /// The policy's predictions: name (with unit if it has one) to value.
    pub predicted: BTreeMap<String, f64>,
    /// Operators whose parallelism changes.
    pub rescaled: Vec<Rescaled>,
    /// Keyed operators whose bins were rebalanced over their current instances.
    pub rebalanced: Vec<String>,
    /// Stateless operators whose records are distributed differently among their current instances.
    pub divided: Vec<Divided>,
    /// Instances that moved to another worker.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
    /// Instances with a relative speed other than 1.
    pub speeds: Vec<Speed>,
    /// Number of bins that migrated, or were to.
    pub bins: usize,
    /// Size of their state in bytes; 0 if unknown.
    pub bytes: u64,
    /// Other events on the plan, in sentences.
    pub remarks: Vec<String>,
    /// The result of the migration.
    pub outcome: Outcome,
    /// Summary of the time right after it, as long as the window before.
    pub after: Option<Seen>,
    /// Summary of the time before the next plan, or at the end; `None` if it is the same.
    pub later: Option<Seen>,
}

/// A change of an operator's parallelism.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rescaled {
    /// The operator.
    pub operator: String,
    /// Parallelism before; `None` if the log does not contain it.
    pub before: Option<u32>,
    /// Parallelism after.
    pub after: u32,
}

/// A stateless operator whose records are distributed differently among its instances.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divided {
    /// The operator.
    pub operator: String,
    /// The new distribution.
    pub turns: Turns,
}

/// An instance that moved to another worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The operator.
    pub operator: String,
    /// Index of the instance.
    pub instance: u32,
    /// The worker that hosted it.
    pub from: u32,
    /// The worker that hosts it afterwards.
    pub to: u32,
}

/// How records are distributed among the instances of a stateless operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turns {
    /// Equally.
    Equal,
    /// In proportion to the speeds of the instances.
    BySpeed,
}

/// The relative speed of an instance in a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// The operator.
    pub operator: String,
    /// Index of the instance.
    pub instance: usize,
    /// Its relative speed; 1 is normal.
    pub speed: f64,
}

/// The result of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was completed.
    CarriedOut {
        /// Seconds from the decision until then.
        took_s: f64,
    },
    /// It was interrupted.
    Interrupted {
        /// Number of bins that migrated.
        moved: usize,
        /// Number of bins that were to migrate.
        of: usize,
    },
    /// It was rejected.
    Refused {
        /// The reason.
        why: String,
    },
    /// The log ends before it was complete.
    Unfinished,
}

/// The sections of a run, in order.
pub fn explain(recorded: &Recorded<'_>) -> Vec<Chapter> {
    let mut chapters = Vec::new();
    let mut decisions = 0;
    let mut last_window = Span { from_s: 0.0, until_s: 0.0 };
    // Events that the log contains right before the start of the plan they belong to.
    let mut remarks = Vec::new();
    for (place, event) in recorded.events.iter().enumerate() {
        match &event.kind {
            EventKind::WarmingUp { .. }
            | EventKind::Doubted { .. }
            | EventKind::Held { .. }
            | EventKind::Activating { .. }
            | EventKind::Postponed { .. }
            | EventKind::Withheld { .. } => {
                let span = Span { from_s: recorded.window_start(place), until_s: event.at.as_secs_f64() };
                let course = recorded.course(event);
                match chapters.last_mut() {
                    Some(Chapter::Quiet(quiet)) => quiet.add(span, course),
                    _ => chapters.push(Chapter::Quiet(Quiet { span, seen: None, courses: vec![course] })),
                }
                last_window = span;
            }
            EventKind::Splitting { .. } | EventKind::HotKey { .. } => remarks.push(recorded.remark(event)),
            EventKind::Rescaling { .. } | EventKind::Refused { .. } => {
                decisions += 1;
                chapters.push(Chapter::Decision(Box::new(recorded.told(decisions, place, std::mem::take(&mut remarks)))));
            }
            EventKind::Steered { request, refused } => {
                let name = |operator| recorded.name(operator);
                if let Some(asked) = Asked::of(decisions + 1, event.at.as_secs_f64(), request, refused.as_ref(), name) {
                    decisions += 1;
                    chapters.push(Chapter::Asked(Box::new(asked)));
                }
            }
            // They are part of the section on their plan.
            EventKind::Migrated { .. } | EventKind::Paced { .. } | EventKind::Interrupted { .. } | EventKind::BackingOff { .. } => {}
        }
    }
    if let Some(Chapter::Quiet(quiet)) = chapters.last_mut() {
        quiet.seen = recorded.see(last_window);
    }
    chapters
}

impl Quiet {
    /// Adds a window.
    fn add(&mut self, span: Span, course: Course) {
        self.span.until_s = span.until_s;
        match self.courses.iter_mut().find(|known| known.is_like(&course)) {
            Some(known) => *known = Course { windows: known.windows + 1, ..course },
            None => self.courses.push(course),
        }
    }
}

impl Course {
    /// Whether another window had the same outcome: the same rule, about the same operator, with
    /// the same first diagnosis.
    fn is_like(&self, other: &Course) -> bool {
        let first = |reason: &Reason| reason.findings.first().map(|finding| (finding.operator.clone(), finding.cause));
        let key = |reason: &Reason| (reason.rule.clone(), reason.operator.clone(), first(reason));
        self.what == other.what && self.reason.as_ref().map(key) == other.reason.as_ref().map(key)
    }
}

impl Recorded<'_> {
    pub(super) fn name(&self, operator: OperatorId) -> String {
        self.operators.get(operator.0 as usize).cloned().unwrap_or_else(|| operator.to_string())
    }

    fn see(&self, span: Span) -> Option<Seen> {
        Seen::of(span, self.scalable, self.timeline, self.latency)
    }

    /// The start of the window that ended with an event: the end of the previous window or of a
    /// migration.
    fn window_start(&self, place: usize) -> f64 {
        let at = self.events[place].at;
        // Requests of a person come at any time.
        let ends = self.events[..place].iter().rev().filter(|event| !matches!(event.kind, EventKind::Steered { .. }));
        ends.map(|event| event.at).find(|before| *before < at).map_or(0.0, |before| before.as_secs_f64())
    }

    fn course(&self, event: &Event) -> Course {
        let (what, reason, remark) = match &event.kind {
            EventKind::WarmingUp { .. } => ("warming-up", None, String::new()),
            EventKind::Doubted { doubts } => {
                let doubts: Vec<String> = doubts.iter().map(|doubt| doubt.with_names(|id| self.name(id))).collect();
                ("doubted", None, words::list(&doubts))
            }
            EventKind::Activating { plan, reason, .. } => ("activating", Some(reason.clone()), self.asked(plan)),
            EventKind::Postponed { plan, reason, until } => {
                let until = format!("{}; none is started before {:.1} s", self.asked(plan), until.as_secs_f64());
                ("postponed", Some(reason.clone()), until)
            }
            EventKind::Withheld { plan, reason, why } => ("withheld", Some(reason.clone()), format!("{}, but {why}", self.asked(plan))),
            EventKind::Held { reason } => ("held", Some(reason.clone()), String::new()),
            other => unreachable!("{other:?} ends no quiet window"),
        };
        Course { what, windows: 1, until_s: event.at.as_secs_f64(), reason, remark }
    }

    /// Description of a plan, without the previous configuration.
    fn asked(&self, plan: &Plan) -> String {
        let rescales = plan.rescales.iter().map(|(&id, instances)| format!("{} to {instances}", self.name(id)));
        let rebalance = |id: &OperatorId| {
            let name = self.name(*id);
            if plan.speeds.contains_key(id) {
                format!("the load of {name} divided by the speed of its instances")
            } else {
                format!("the bins of {name} redistributed")
            }
        };
        let rebalances = plan.rebalances.iter().map(rebalance);
        let placed = |(&id, places): (&OperatorId, &Vec<WorkerId>)| {
            let workers: Vec<String> = places.iter().map(|worker| worker.0.to_string()).collect();
            let (instances, worker) = if workers.len() == 1 { ("the instance", "worker") } else { ("the instances", "workers") };
            format!("{instances} of {} on {worker} {}", self.name(id), words::list(&workers))
        };
        words::list(&rescales.chain(rebalances).chain(plan.placement.iter().map(placed)).collect::<Vec<_>>())
    }

    /// The sentence on an event that belongs to a plan.
    fn remark(&self, event: &Event) -> String {
        match &event.kind {
            EventKind::Splitting { operator, bins } => format!(
                "{} of {} exceeded an instance's fair share and were split first.",
                words::count(bins.len(), "bin", "bins"),
                self.name(*operator)
            ),
            EventKind::HotKey { operator, bin, share } => format!(
                "A single key of {} ({bin}) carries {share:.1} times an instance's fair share: no number of instances helps.",
                self.name(*operator)
            ),
            EventKind::Paced { goal_ms, steps, beyond_goal } => format!(
                "It was cut into {} for a latency goal of {goal_ms} ms; steps expected to exceed it: {beyond_goal}.",
                words::count(*steps, "step", "steps")
            ),
            EventKind::BackingOff { failures, until } => format!(
                "The host abandoned it{}, so no plan was started before {:.1} s.",
                if *failures == 1 { String::new() } else { format!(", like {failures} plans in a row") },
                until.as_secs_f64()
            ),
            other => unreachable!("{other:?} adds nothing to a plan"),
        }
    }

    /// The section on the plan that the event at `place` starts or rejects.
    fn told(&self, decision: usize, place: usize, mut remarks: Vec<String>) -> Told {
        let event = &self.events[place];
        let at_s = event.at.as_secs_f64();
        let window = Span { from_s: self.window_start(place), until_s: at_s };
        // The following events up to the next started plan belong to this one.
        let begins = |event: &Event| matches!(event.kind, EventKind::Rescaling { .. });
        let next = self.events[place + 1..].iter().position(begins).map_or(self.events.len(), |next| place + 1 + next);
        let following = &self.events[place + 1..next];
        let (plan, reason, refused) = match &event.kind {
            EventKind::Rescaling { plan, reason, .. } => (plan, Some(reason.clone()), None),
            EventKind::Refused { plan, why } => (plan, None, Some(why.clone())),
            other => unreachable!("{other:?} is no plan"),
        };
        let (bins, bytes) = match event.kind {
            EventKind::Rescaling { bins, bytes, .. } => (bins, bytes),
            _ => (0, 0),
        };
        let divided = divided(event, plan, bins);
        let following = if refused.is_some() { &[] } else { following };
        remarks.extend(
            following
                .iter()
                .filter(|event| matches!(event.kind, EventKind::Paced { .. } | EventKind::BackingOff { .. }))
                .map(|event| self.remark(event)),
        );
        let end = following.iter().find_map(|event| match event.kind {
            EventKind::Migrated { .. } => Some((event.at, Outcome::CarriedOut { took_s: event.at.as_secs_f64() - at_s })),
            EventKind::Interrupted { moved, of, .. } => Some((event.at, Outcome::Interrupted { moved, of })),
            _ => None,
        });
        let (done_s, outcome) = match (refused, end) {
            (Some(why), _) => (at_s, Outcome::Refused { why }),
            (None, Some((at, outcome))) => (at.as_secs_f64(), outcome),
            (None, None) => (f64::INFINITY, Outcome::Unfinished),
        };
        let length = window.until_s - window.from_s;
        let last_s = match self.events.get(next) {
            Some(event) => event.at.as_secs_f64(),
            None => self.timeline.iter().map(|row| row.window_end_s).fold(0.0, f64::max),
        };
        let is_done = !matches!(outcome, Outcome::Refused { .. } | Outcome::Unfinished);
        let after = is_done.then(|| self.see(Span { from_s: done_s, until_s: (done_s + length).min(last_s) })).flatten();
        let later = (is_done && last_s - length >= done_s + length).then(|| self.see(Span { from_s: last_s - length, until_s: last_s }));
        let held = self.held(place);
        let rescaled = |(&id, &after): (&OperatorId, &u32)| {
            let before = held.and_then(|held| held.iter().find(|(known, _)| *known == id));
            Rescaled { operator: self.name(id), before: before.map(|(_, instances)| instances), after }
        };
        Told {
            decision,
            at_s,
            seen: self.see(window),
            predicted: reason.as_ref().map(words::predicted).unwrap_or_default().into_iter().collect(),
            reason,
            rescaled: plan.rescales.iter().map(rescaled).collect(),
            rebalanced: plan.rebalances.iter().filter(|id| !divided.contains_key(*id)).map(|&id| self.name(id)).collect(),
            divided: divided.into_iter().map(|(id, turns)| Divided { operator: self.name(id), turns }).collect(),
            moved: self.moved(event),
            speeds: self.speeds(plan),
            bins,
            bytes,
            remarks,
            outcome,
            after,
            later: later.flatten(),
        }
    }

    /// The configuration before the event at `place`, as far as the log contains it.
    fn held(&self, place: usize) -> Option<&Configuration> {
        if let EventKind::Rescaling { before, .. } = &self.events[place].kind {
            return Some(before);
        }
        self.events[..place].iter().rev().find_map(|event| match &event.kind {
            EventKind::Migrated { configuration } | EventKind::Interrupted { configuration, .. } => Some(configuration),
            _ => None,
        })
    }

    /// Instances that the plan started by `event` moves to another worker.
    fn moved(&self, event: &Event) -> Vec<Moved> {
        let EventKind::Rescaling { before, after, .. } = &event.kind else { return Vec::new() };
        let (Some(before), Some(after)) = (before.placement(), after.placement()) else { return Vec::new() };
        let moved = |(instance, from, to): (InstanceId, WorkerId, WorkerId)| Moved {
            operator: self.name(instance.operator),
            instance: instance.index,
            from: from.0,
            to: to.0,
        };
        before.moves_to(after).map(moved).collect()
    }

    fn speeds(&self, plan: &Plan) -> Vec<Speed> {
        let named =
            plan.speeds.iter().flat_map(|(&id, speeds)| speeds.iter().enumerate().map(move |(instance, &speed)| (id, instance, speed)));
        let unlike = named.filter(|(.., speed)| *speed != 1.0);
        unlike.map(|(id, instance, speed)| Speed { operator: self.name(id), instance, speed }).collect()
    }
}

/// The stateless operators whose distribution of records `event` changes, given its `plan` and the
/// number of `bins` that migrate.
fn divided(event: &Event, plan: &Plan, bins: usize) -> BTreeMap<OperatorId, Turns> {
    let turns = |speeds: &[f64]| if Weights::of(speeds).is_some() { Turns::BySpeed } else { Turns::Equal };
    match &event.kind {
        EventKind::Rescaling { divided, .. } if !divided.is_empty() => divided.iter().map(|(&id, speeds)| (id, turns(speeds))).collect(),
        // A log without this field: if no bin migrates, an operator that is rebalanced by speeds
        // has no bins.
        EventKind::Rescaling { .. } if bins == 0 => {
            let by_speed = plan.speeds.iter().filter(|(id, _)| plan.rebalances.contains(*id));
            by_speed.map(|(&id, speeds)| (id, turns(speeds))).collect()
        }
        _ => BTreeMap::new(),
    }
}
