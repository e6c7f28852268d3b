//! Plans, migrations and critical paths of a decision log, as a page tells them.

use std::collections::BTreeMap;

use super::story::{Compared, Decision, HeldAt, Migration, PathAt, PathPart, QuietSpan};
use crate::controller::{BY_HAND, Event, EventKind};
use crate::dataflow::{Configuration, Plan};
use crate::policy::{Cause, PathShare, Reason};
use crate::report::{self, Asked, Chapter, Outcome, Recorded, Seen};
use crate::time::Timestamp;

/// What is told of plans. Plans that nothing can change any more are told once, so that a long run
/// costs no more than a short one.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The place of the first event that is not told for good.
    start: usize,
    decisions: Vec<Decision>,
    quiet: Vec<QuietSpan>,
}

impl Told {
    /// All plans, and all periods without one; `recorded` has to be what it was the last time, and
    /// more.
    pub(super) fn refresh(&mut self, recorded: &Recorded<'_>) -> (Vec<Decision>, Vec<QuietSpan>) {
        // The event before says when the first window began, unless it is a request of a person.
        let mut first = self.start.saturating_sub(1);
        while first > 0 && matches!(recorded.events[first].kind, EventKind::Steered { .. }) {
            first -= 1;
        }
        let from_s = recorded.events.get(first).map_or(0.0, |event| if first == 0 { 0.0 } else { event.at.as_secs_f64() });
        let rows = recorded.timeline.partition_point(|row| row.window_end_s < from_s - 1e-6);
        let latencies = recorded.latency.partition_point(|row| row.window_end_s < from_s - 1e-6);
        let tail = Recorded {
            events: &recorded.events[first..],
            timeline: &recorded.timeline[rows..],
            latency: &recorded.latency[latencies..],
            ..*recorded
        };
        let before = if self.start == 0 { 0 } else { chapters_in(recorded, first, self.start) };
        let chapters: Vec<Chapter> = report::explain(&tail).into_iter().skip(before).collect();
        let next = second_last(recorded.events).unwrap_or(0).max(self.start);
        let for_good = if next > self.start { chapters_in(recorded, first, next) - before } else { 0 };
        let (mut decisions, mut quiet) = (self.decisions.clone(), self.quiet.clone());
        for (place, chapter) in chapters.iter().enumerate() {
            match chapter {
                Chapter::Decision(_) | Chapter::Asked(_) => decisions.push(decision(chapter, decisions.len() + 1)),
                Chapter::Quiet(span) => {
                    quiet.push(QuietSpan { from_s: span.span.from_s, until_s: span.span.until_s, parts: chapter.parts().1 })
                }
            }
            if place + 1 == for_good {
                self.decisions.clone_from(&decisions);
                self.quiet.clone_from(&quiet);
            }
        }
        self.start = next;
        (decisions, quiet)
    }
}

/// The place of the last but one plan that was started, with the remarks before it: what precedes it
/// does not change any more.
fn second_last(events: &[Event]) -> Option<usize> {
    let started = |(place, event): (usize, &Event)| matches!(event.kind, EventKind::Rescaling { .. }).then_some(place);
    let place = events.iter().enumerate().rev().filter_map(started).nth(1)?;
    let is_remark = |event: &Event| matches!(event.kind, EventKind::Splitting { .. } | EventKind::HotKey { .. });
    Some(place - events[..place].iter().rev().take_while(|event| is_remark(event)).count())
}

/// Number of sections that these events make.
fn chapters_in(recorded: &Recorded<'_>, from: usize, until: usize) -> usize {
    report::explain(&Recorded { events: &recorded.events[from..until], timeline: &[], latency: &[], ..*recorded }).len()
}

fn decision(chapter: &Chapter, number: usize) -> Decision {
    let told = match chapter {
        Chapter::Decision(told) => told,
        Chapter::Asked(asked) => return steered(asked, number, chapter.parts().1),
        Chapter::Quiet(_) => return Decision::default(),
    };
    let (status, done_s) = match &told.outcome {
        Outcome::CarriedOut { took_s } => ("carried-out", Some(told.at_s + took_s)),
        Outcome::Interrupted { .. } => ("interrupted", None),
        Outcome::Refused { .. } => ("refused", Some(told.at_s)),
        Outcome::Unfinished => ("unfinished", None),
    };
    let rule = told.reason.as_ref().map_or(String::new(), |reason| reason.rule.clone());
    let mut operators: Vec<String> = told.rescaled.iter().map(|one| one.operator.clone()).collect();
    operators.extend(told.rebalanced.iter().cloned());
    operators.extend(told.divided.iter().map(|one| one.operator.clone()));
    operators.extend(told.moved.iter().map(|one| one.operator.clone()));
    operators.sort_unstable();
    operators.dedup();
    let came = told.later.as_ref().or(told.after.as_ref());
    let compared = told.predicted.iter().map(|(what, &predicted)| Compared {
        what: what.clone(),
        before: measured(what, told.seen.as_ref()),
        predicted,
        came: measured(what, came),
    });
    Decision {
        number,
        at_s: told.at_s,
        done_s,
        plan: told.plan(),
        status,
        meaning: match &told.reason {
            Some(reason) if rule == BY_HAND => format!("{} asked for it", reason.detail),
            _ => report::rule_text(&rule).unwrap_or_default().to_owned(),
        },
        found: told.reason.as_ref().map(|reason| found_of(reason, &operators)).unwrap_or_default(),
        rule,
        operators,
        compared: compared.collect(),
        known_s: came.map(|came| came.span.until_s),
        parts: chapter.parts().1,
    }
}

/// What a policy found out about operators that it changes, at most two of them; or else what it found out first.
fn found_of(reason: &Reason, changed: &[String]) -> String {
    let about = reason.findings.iter().filter(|finding| changed.contains(&finding.operator));
    let texts: Vec<String> = about.take(2).map(report::finding_text).collect();
    if texts.is_empty() { found(reason) } else { texts.join(" ") }
}

/// What a policy found out first about an operator.
fn found(reason: &Reason) -> String {
    reason.findings.first().map(report::finding_text).unwrap_or_default()
}

/// Why a policy changes nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    held: Vec<HeldAt>,
    /// The rule, the cause and the operator of the last one.
    last: Option<(String, Option<(Cause, String)>)>,
}

/// So many are kept; of more every other one is left out.
const MOST_HELD: usize = 1_000;

impl Held {
    /// Takes an event. Windows in a row with the same rule, cause and operator are one entry, with the figures of the first of them.
    pub(super) fn event(&mut self, event: &Event) {
        let reason = match &event.kind {
            EventKind::Rescaling { .. } => {
                self.last = None;
                return;
            }
            kind => kind.reason(),
        };
        let Some(reason) = reason else { return };
        let is = (reason.rule.clone(), reason.findings.first().map(|finding| (finding.cause, finding.operator.clone())));
        let at_s = event.at.as_secs_f64();
        if let Some(last) = self.held.last_mut().filter(|_| self.last.as_ref() == Some(&is)) {
            last.until_s = at_s;
            return;
        }
        self.last = Some(is);
        if self.held.len() == MOST_HELD {
            let mut place = 0;
            self.held.retain(|_| {
                place += 1;
                place % 2 == 0
            });
        }
        let meaning = report::rule_text(&reason.rule).unwrap_or(&reason.rule);
        let found = found(reason);
        let why = if found.is_empty() { meaning.to_owned() } else { format!("{meaning}: {found}") };
        self.held.push(HeldAt { at_s, why, until_s: at_s });
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> &[HeldAt] {
        &self.held
    }
}

/// A request of a person other than for a plan.
fn steered(asked: &Asked, number: usize, parts: Vec<(String, String)>) -> Decision {
    Decision {
        number,
        at_s: asked.at_s,
        done_s: Some(asked.at_s),
        plan: asked.what.clone(),
        status: if asked.refused.is_some() { "request-refused" } else { "by-hand" },
        rule: BY_HAND.to_owned(),
        meaning: format!("{} asked for it", asked.who),
        found: String::new(),
        operators: Some(asked.operator.clone()).into_iter().filter(|operator| !operator.is_empty()).collect(),
        parts,
        compared: Vec::new(),
        known_s: Some(asked.at_s),
    }
}

/// What was measured of what a policy predicts; nothing for predictions that are not known here.
fn measured(what: &str, seen: Option<&Seen>) -> Option<f64> {
    match what {
        "achieved per s" => Some(seen?.achieved_per_s),
        "p99 ms" => seen?.latency_ns_p99.map(|ns| ns as f64 / 1e6),
        _ => None,
    }
}

/// The critical paths that a reason is based on.
pub(super) fn path_of(at: Timestamp, reason: &Reason) -> Option<PathAt> {
    let part = |piece: &PathShare| PathPart {
        kind: serde_json::to_value(piece.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default(),
        operator: piece.operator.clone(),
        share: piece.share,
        mean_ms: piece.mean_ms,
        predicted_ms: piece.predicted_ms,
        text: report::piece_text(piece),
    };
    (!reason.path.is_empty()).then(|| PathAt { at_s: at.as_secs_f64(), parts: reason.path.iter().map(part).collect() })
}

/// The migrations of a decision log, with what is known of their progress, by their start.
pub(super) fn migrations(events: &[Event], names: &[String], progress: &BTreeMap<Timestamp, Vec<(f64, usize)>>) -> Vec<Migration> {
    let mut migrations: Vec<Migration> = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::Rescaling { plan, before, bins, bytes, steps, .. } => migrations.push(Migration {
                at_s: event.at.as_secs_f64(),
                plan: plan_text(plan, before, names),
                bins: *bins,
                moved: progress.get(&event.at).and_then(|points| points.last()).map(|(_, bins)| *bins),
                bytes: *bytes,
                steps: *steps,
                status: "running",
                progress: progress.get(&event.at).cloned().unwrap_or_default(),
                ..Migration::default()
            }),
            EventKind::Migrated { .. } => {
                if let Some(last) = migrations.last_mut() {
                    last.done_s = Some(event.at.as_secs_f64());
                    last.status = "done";
                    last.moved = Some(last.bins);
                }
            }
            EventKind::Interrupted { moved, of, .. } => {
                if let Some(last) = migrations.last_mut() {
                    last.done_s = Some(event.at.as_secs_f64());
                    last.status = "interrupted";
                    last.moved = Some(*moved);
                    last.bins = *of;
                }
            }
            EventKind::Paced { goal_ms, beyond_goal, steps } => {
                if let Some(last) = migrations.last_mut() {
                    last.goal_ms = Some(*goal_ms);
                    last.beyond_goal = Some(*beyond_goal);
                    last.steps = *steps;
                }
            }
            _ => {}
        }
    }
    migrations
}

/// A plan in a few words, without what follows from it.
fn plan_text(plan: &Plan, before: &Configuration, names: &[String]) -> String {
    let name = |operator: u32| names.get(operator as usize).cloned().unwrap_or_else(|| format!("op{operator}"));
    let held: BTreeMap<u32, u32> = before.iter().map(|(id, instances)| (id.0, instances)).collect();
    let rescaled = plan.rescales.iter().map(|(id, after)| match held.get(&id.0) {
        Some(before) => format!("{} {before} → {after}", name(id.0)),
        None => format!("{} → {after}", name(id.0)),
    });
    let rebalanced = plan.rebalances.iter().map(|id| format!("{} rebalanced", name(id.0)));
    let placed = plan.placement.keys().map(|id| format!("{} moved between workers", name(id.0)));
    rescaled.chain(rebalanced).chain(placed).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::{Command, Request};
    use crate::dataflow::{Role, Topology};
    use crate::experiment::rows::{LatencyRow, TimelineRow};
    use crate::id::{BinId, OperatorId};
    use crate::policy::Finding;

    fn event(at_s: u64, kind: EventKind) -> Event {
        Event { at: Timestamp(at_s * 1_000_000_000), kind }
    }

    /// A log in which plans of all kinds follow each other, with windows in between.
    fn log(topology: &Topology) -> Vec<Event> {
        let mut events = Vec::new();
        let mut at = 0;
        for round in 0..12u32 {
            for _ in 0..round % 4 {
                at += 2;
                events.push(event(at, EventKind::Held { reason: Reason::new("hold") }));
            }
            if round % 4 == 3 {
                at += 1;
                let request = Request { who: "anna".to_owned(), command: if round % 8 == 3 { Command::Pause } else { Command::Resume } };
                events.push(event(at, EventKind::Steered { request, refused: None }));
            }
            at += 2;
            let plan = Plan::rescale(OperatorId(1), round + 2);
            if round % 3 == 1 {
                events.push(event(at, EventKind::Refused { plan: plan.clone(), why: "no".into() }));
                at += 2;
            }
            if round % 2 == 0 {
                events.push(event(at, EventKind::Splitting { operator: OperatorId(1), bins: vec![BinId(3)] }));
            }
            let (before, after) = (Configuration::ones(topology), Configuration::ones(topology).with(OperatorId(1), round + 2));
            let reason = Reason::new("under-provisioned").with("predicted achieved per s", 100.0);
            let kind =
                EventKind::Rescaling { plan, reason, before, after: after.clone(), bins: 8, bytes: 0, steps: 1, divided: BTreeMap::new() };
            events.push(event(at, kind));
            at += 1;
            events.push(event(at, EventKind::Migrated { configuration: after }));
        }
        events
    }

    #[test]
    fn what_is_told_as_it_goes_is_what_is_told_at_the_end() {
        let topology = Topology::new(
            &[("source", Role::Source, 1), ("count", Role::Keyed { bins: 8 }, 40), ("sink", Role::Sink, 1)],
            &[(0, 1), (1, 2)],
        )
        .unwrap();
        let names: Vec<String> = topology.operators().iter().map(|operator| operator.name.clone()).collect();
        let scalable = vec!["count".to_owned()];
        let events = log(&topology);
        let end = events.last().unwrap().at.as_secs_f64() as u32 + 4;
        let row = |at: u32, operator: &str| TimelineRow {
            window_start_s: f64::from(at) / 2.0,
            window_end_s: f64::from(at + 1) / 2.0,
            operator: operator.to_owned(),
            parallelism: 1,
            offered_per_s: (operator == "source").then_some(200.0),
            achieved_per_s: (operator == "source").then_some(f64::from(at)),
            utilisation: 0.5,
            ..TimelineRow::default()
        };
        let timeline: Vec<TimelineRow> = (0..2 * end).flat_map(|at| ["source", "count"].map(|name| row(at, name))).collect();
        let latency: Vec<LatencyRow> = (0..2 * end)
            .map(|at| LatencyRow { window_start_s: f64::from(at) / 2.0, window_end_s: f64::from(at + 1) / 2.0, ..LatencyRow::default() })
            .collect();
        let whole = Recorded { operators: &names, scalable: &scalable, timeline: &timeline, latency: &latency, events: &events };
        let expected = Told::default().refresh(&whole);
        assert_eq!(expected.0.len(), 19);
        assert_eq!(expected.0.iter().map(|decision| decision.number).collect::<Vec<_>>(), (1..=19).collect::<Vec<_>>());
        assert!(expected.0.iter().any(|decision| decision.compared[..].first().is_some_and(|one| one.came.is_some())));

        let mut told = Told::default();
        for known in 0..=events.len() {
            let until_s = events.get(known).map_or(f64::INFINITY, |event| event.at.as_secs_f64());
            let rows = timeline.partition_point(|row| row.window_end_s <= until_s);
            let latencies = latency.partition_point(|row| row.window_end_s <= until_s);
            let so_far = Recorded { timeline: &timeline[..rows], latency: &latency[..latencies], events: &events[..known], ..whole };
            let found = told.refresh(&so_far);
            assert_eq!(found, Told::default().refresh(&so_far), "after {known} events");
            if known == events.len() {
                assert_eq!(found, expected);
            }
        }
        assert!(told.start > events.len() / 2, "most is told for good");
    }

    #[test]
    fn why_nothing_was_changed_is_told_when_it_changes() {
        let mut held = Held::default();
        let say = |rule: &str, cause: Option<Cause>, load: f64| EventKind::Held {
            reason: Reason {
                findings: cause.into_iter().map(|cause| Finding::new("count", cause).with("busy", load)).collect(),
                ..Reason::new(rule)
            },
        };
        let limit = Some(Cause::AtLimit);
        held.event(&event(2, say("hold", None, 0.0)));
        held.event(&event(4, say("hold", limit, 0.9)));
        held.event(&event(6, say("hold", limit, 0.95)));
        held.event(&event(8, say("hold", None, 0.0)));
        let told: Vec<_> = held.all().iter().map(|one| (one.at_s, one.until_s)).collect();
        assert_eq!(told, [(2.0, 2.0), (4.0, 6.0), (8.0, 8.0)]);
        assert_eq!(held.all()[1].why, "no change needed: count is at its maximum parallelism, which is not enough (busy 90 %).");
        // After a plan the same reason is a new one.
        let topology = Topology::new(&[("source", Role::Source, 1), ("count", Role::Keyed { bins: 8 }, 9)], &[(0, 1)]).unwrap();
        log(&topology).iter().for_each(|event| held.event(event));
        assert!(held.all().len() > 8, "{:?}", held.all());
        // Of very many the half is kept.
        for at in 0..2 * MOST_HELD as u64 {
            held.event(&event(1000 + at, say(if at % 2 == 0 { "hold" } else { "settling" }, None, 0.0)));
        }
        assert!((MOST_HELD / 2..=MOST_HELD).contains(&held.all().len()));
        assert!(held.all().windows(2).all(|pair| pair[0].at_s <= pair[1].at_s));
    }

    #[test]
    fn a_migration_ends_as_its_log_says() {
        let topology = Topology::new(&[("source", Role::Source, 1), ("sink", Role::Sink, 1)], &[(0, 1)]).unwrap();
        let configuration = Configuration::ones(&topology);
        let start = || EventKind::Rescaling {
            plan: Plan::rescale(OperatorId(7), 3),
            reason: Reason::new("x"),
            before: configuration.clone(),
            after: configuration.clone(),
            bins: 10,
            bytes: 5,
            steps: 4,
            divided: BTreeMap::new(),
        };
        let events = [
            event(1, start()),
            event(2, EventKind::Migrated { configuration: configuration.clone() }),
            event(2, EventKind::Paced { goal_ms: 50.0, steps: 3, beyond_goal: 1 }),
            event(4, start()),
            event(5, EventKind::Interrupted { moved: 4, of: 10, configuration: configuration.clone() }),
            event(8, start()),
        ];
        let progress = [(Timestamp(8_000_000_000), vec![(8.5, 2), (9.0, 6)])].into();
        let found = migrations(&events, &["source".to_owned()], &progress);
        let short: Vec<_> = found.iter().map(|one| (one.status, one.done_s, one.moved, one.steps, one.goal_ms)).collect();
        assert_eq!(
            short,
            [
                ("done", Some(2.0), Some(10), 3, Some(50.0)),
                ("interrupted", Some(5.0), Some(4), 4, None),
                ("running", None, Some(6), 4, None)
            ]
        );
        assert_eq!(found[0].plan, "op7 → 3");
    }
}
