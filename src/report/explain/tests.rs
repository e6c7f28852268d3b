//! A short run, told.

use std::collections::BTreeMap;

use super::*;
use crate::controller::EventKind;
use crate::dataflow::{Configuration, Plan, Role, Topology};
use crate::id::{BinId, InstanceId, OperatorId, WorkerId};
use crate::metrics::MetricIssue;
use crate::policy::{Cause, Finding, Reason};
use crate::time::Timestamp;

const MAP: OperatorId = OperatorId(1);
const COUNT: OperatorId = OperatorId(2);

/// What there is of a run, owned.
struct Run {
    operators: Vec<String>,
    timeline: Vec<TimelineRow>,
    latency: Vec<LatencyRow>,
    events: Vec<Event>,
}

impl Run {
    /// A run of `seconds` seconds with rows of a second: 100 records/s are due, and from second `from` on all are emitted, before it half.
    fn new(seconds: u32, from: u32) -> Run {
        let names = ["source", "map", "count", "sink"].map(str::to_owned);
        let (mut timeline, mut latency) = (Vec::new(), Vec::new());
        for second in 0..seconds {
            let (window_start_s, window_end_s) = (f64::from(second), f64::from(second + 1));
            let is_late = second < from;
            for name in &names {
                let source = |value: f64| (name == "source").then_some(value);
                timeline.push(TimelineRow {
                    window_start_s,
                    window_end_s,
                    operator: name.clone(),
                    parallelism: if is_late { 1 } else { 2 },
                    offered_per_s: source(100.0),
                    achieved_per_s: source(if is_late { 50.0 } else { 100.0 }),
                    lag_records: source(50.0 * f64::from(second.min(from.saturating_sub(1)) + 1)),
                    utilisation: if is_late { 1.0 } else { 0.5 },
                    queue_records: if is_late && name == "count" { 70 } else { 0 },
                    backpressure_sum: if is_late && name == "count" { 0.5 } else { 0.0 },
                    ..TimelineRow::default()
                });
            }
            let latency_ns_p99 = Some(if is_late { 2_000_000_000 } else { 30_000_000 } + u64::from(second));
            latency.push(LatencyRow { window_start_s, window_end_s, latency_ns_p99, records: 100, ..LatencyRow::default() });
        }
        Run { operators: names.to_vec(), timeline, latency, events: Vec::new() }
    }

    fn with(mut self, at_s: f64, kind: EventKind) -> Run {
        self.events.push(Event { at: Timestamp::from_secs_f64(at_s), kind });
        self
    }

    fn chapters(&self) -> Vec<Chapter> {
        explain(&Recorded {
            operators: &self.operators,
            scalable: &self.operators[1..3],
            timeline: &self.timeline,
            latency: &self.latency,
            events: &self.events,
        })
    }

    /// The text, but for where its lines are broken.
    fn text(&self) -> String {
        let text = self.chapters().iter().map(Chapter::text).collect::<Vec<_>>().join("\n");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        text.replace("\n              ", " ")
    }
}

fn configuration(map: u32, count: u32) -> Configuration {
    let roles = [("source", Role::Source, 1), ("map", Role::Stateless, 9), ("count", Role::Keyed { bins: 8 }, 9), ("sink", Role::Sink, 1)];
    let topology = Topology::new(&roles, &[(0, 1), (1, 2), (2, 3)]).unwrap();
    Configuration::ones(&topology).with(MAP, map).with(COUNT, count)
}

fn held(rule: &str) -> EventKind {
    EventKind::Held { reason: Reason::new(rule) }
}

fn rescaling(plan: Plan, reason: Reason, bins: usize, bytes: u64) -> EventKind {
    EventKind::Rescaling {
        plan,
        reason,
        before: configuration(1, 1),
        after: configuration(2, 2),
        bins,
        bytes,
        steps: 1,
        divided: BTreeMap::new(),
    }
}

#[test]
fn a_decision_is_told_from_what_was_seen_to_what_came_of_it() {
    let reason = Reason::new("under-provisioned")
        .about("count")
        .with("demand per s", 20_000.0)
        .with("busy", 0.98765)
        .with("suspended ms", 1720.25)
        .with("predicted p99 ms", 80.0)
        .saying("a person said so");
    let run = Run::new(20, 5)
        .with(2.0, EventKind::WarmingUp { left: 0 })
        .with(4.0, rescaling(Plan::rescale(COUNT, 2).and(MAP, 2), reason, 3, 4096))
        .with(4.5, EventKind::Migrated { configuration: configuration(2, 2) })
        .with(4.5, EventKind::Paced { goal_ms: 50.0, steps: 2, beyond_goal: 1 });
    assert_eq!(
        run.text(),
        "\
From 0.0 s to 2.0 s: no action taken.
   1 window   The job was warming up, so the policy was not consulted.

1. At 4.0 s: map 1 → 2, count 1 → 2
   Observed   From 2.0 s to 4.0 s, throughput 50 of 100 records/s offered (50 %), lag 200 records; p99 latency up to 2.00 s. map \
              (1 instance): 100 % busy, empty queue. count (1 instance): 100 % busy, 70 records queued, backpressured the sources 50 % of \
              the time.
   Why        For count: too few instances to keep up (rule 'under-provisioned'). Inputs: busy 99 %, demand 20.0k/s and suspended 1720 ms. \
              It said: a person said so.
   Predicted  Expected p99 80 ms.
   Action     3 bins migrated with 4.1 kB of state; it took 500.0 ms. It was cut into 2 steps for a latency goal of 50 ms; steps expected to exceed it: 1.
   Outcome    From 4.5 s to 6.5 s, throughput 100 of 100 records/s offered (100 %), lag 250 records; p99 latency up to 30.0 ms; map 50 % \
              busy and count 50 % busy. From 18.0 s to 20.0 s, throughput 100 of 100 records/s offered (100 %), lag 250 records; p99 \
              latency up to 30.0 ms; map 50 % busy and count 50 % busy.
"
    );
}

#[test]
fn an_instance_that_moves_is_told_with_both_workers() {
    let roles = [("source", Role::Source, 1), ("map", Role::Stateless, 9), ("count", Role::Keyed { bins: 8 }, 9), ("sink", Role::Sink, 1)];
    let topology = Topology::new(&roles, &[(0, 1), (1, 2), (2, 3)]).unwrap();
    let before = configuration(1, 1).spread_over(&topology, 2);
    let plan = Plan { placement: [(COUNT, vec![WorkerId(1)])].into(), ..Plan::default() };
    let after = plan.apply(&topology, &before).unwrap();
    let (reason, divided) = (Reason::new("crowded"), BTreeMap::new());
    let asked = EventKind::Activating { plan: plan.clone(), reason: reason.clone(), left: 1 };
    let begun = EventKind::Rescaling { plan, reason, before, after: after.clone(), bins: 8, bytes: 0, steps: 1, divided };
    let run = Run::new(20, 0).with(2.0, asked).with(4.0, begun).with(4.1, EventKind::Migrated { configuration: after });
    let text = run.text();
    assert!(text.contains("asked for the instance of count on worker 1, but not yet"), "{text}");
    assert!(text.contains("\n1. At 4.0 s: instance 0 of count from worker 0 to 1\n"), "{text}");
    assert!(text.contains("Action     8 bins migrated; it took 100.0 ms.") && text.contains("count 50 % busy"), "{text}");
}

#[test]
fn times_without_a_plan_are_summed_up_by_what_their_windows_were() {
    let doubt = MetricIssue::TooBusy(InstanceId::new(COUNT, 3));
    let plan = Plan { rebalances: [COUNT].into(), ..Plan::rescale(MAP, 3) };
    let run = Run::new(20, 0)
        .with(2.0, held("healthy"))
        .with(4.0, EventKind::Held { reason: Reason::new("between-runs").with("seconds left", 2.0) })
        .with(6.0, EventKind::Held { reason: Reason::new("between-runs").with("seconds left", 0.0) })
        .with(8.0, held("healthy"))
        .with(10.0, EventKind::Doubted { doubts: vec![doubt] })
        .with(12.0, EventKind::Activating { plan, reason: Reason::new("a-rule-of-its-own"), left: 1 });
    assert_eq!(
        run.text(),
        "\
From 0.0 s to 12.0 s: no action taken.
   2 windows  No change needed (rule 'healthy').
   2 windows  Between two scheduled runs of the policy (rule 'between-runs'). Inputs in the last window: seconds left 0.
   1 window   The metrics were unreliable, so the policy was not consulted: count[3] was busy for more than twice the window.
   1 window   The policy asked for map to 3 and the bins of count redistributed, but not yet in enough consecutive windows: rule \
              'a-rule-of-its-own'.
   At the end From 10.0 s to 12.0 s, throughput 100 of 100 records/s offered (100 %), lag 50 records; p99 latency up to 30.0 ms. map (2 \
              instances): 50 % busy, empty queue. count (2 instances): 50 % busy, empty queue.
"
    );
}

#[test]
fn what_was_found_out_about_operators_is_told_with_what_it_rests_on() {
    let waits = Finding::new("map", Cause::ExternalWait).with("waiting share", 0.75);
    let slow = Finding::new("count", Cause::Straggling).with("instance", 3.0).with("speed", 0.33);
    let hold = |findings: Vec<Finding>| EventKind::Held { reason: Reason::new("hold").finding(findings) };
    let run = Run::new(20, 0)
        .with(2.0, hold(vec![waits.clone()]))
        .with(4.0, hold(vec![waits, slow.clone()]))
        .with(6.0, hold(vec![slow.clone()]))
        .with(8.0, rescaling(Plan { rebalances: [COUNT].into(), ..Plan::default() }, Reason::new("uneven").finding([slow]), 0, 0));
    let text = run.text();
    let held = "   2 windows  No change needed (rule 'hold'). map waits for something outside the job (waiting share 75 %). count has an \
                instance that is slower than the others (straggler) (instance 3, speed 0.33×): give it less load; instances alone do not \
                help.\n   1 window   No change needed (rule 'hold'). count has";
    assert!(text.contains(held), "{text}");
    assert!(text.contains("according to the capacity of its instances (rule 'uneven'). count has an instance that is slower"), "{text}");
}

#[test]
fn records_of_a_stateless_operator_are_divided_and_no_bins_are_told_of() {
    let by_speed = |speeds: &[f64]| Plan { rebalances: [MAP].into(), speeds: [(MAP, speeds.to_vec())].into(), ..Plan::default() };
    let divided = |plan: Plan, speeds: &[f64]| {
        let mut kind = rescaling(plan, Reason::new("straggling"), 0, 0);
        if let EventKind::Rescaling { divided, .. } = &mut kind {
            divided.insert(MAP, speeds.to_vec());
        }
        kind
    };
    let run = Run::new(20, 0)
        .with(2.0, divided(by_speed(&[1.0, 0.3]), &[1.0, 0.3]))
        .with(2.1, EventKind::Migrated { configuration: configuration(2, 1) })
        .with(6.0, divided(by_speed(&[1.0]), &[]))
        .with(6.1, EventKind::Migrated { configuration: configuration(2, 1) })
        // A log without it.
        .with(10.0, rescaling(by_speed(&[1.0, 0.5]), Reason::new("straggling"), 0, 0))
        .with(12.0, EventKind::Activating { plan: by_speed(&[0.5]), reason: Reason::new("straggling"), left: 1 });
    let text = run.text();
    assert!(text.contains("1. At 2.0 s: records of map divided by the speed of its instances\n"), "{text}");
    let done = "Action     No state had to move; it took 100.0 ms. Relative speeds taken into account: instance 1 of map at 0.30.";
    assert!(text.contains(done), "{text}");
    assert!(text.contains("2. At 6.0 s: records of map divided equally\n"), "{text}");
    assert!(text.contains("3. At 10.0 s: records of map divided by the speed of its instances\n"), "{text}");
    assert!(text.contains("The policy asked for the load of map divided by the speed of its instances, but not"), "{text}");
    assert!(!text.contains("bin"), "{text}");
}

#[test]
fn a_long_count_of_windows_keeps_its_distance() {
    let run = (1..=112).fold(Run::new(224, 0), |run, window| run.with(f64::from(window) * 2.0, held("healthy")));
    assert!(run.text().contains("   112 windows No change needed (rule 'healthy').\n"), "{}", run.text());
}

#[test]
fn what_went_wrong_with_a_plan_is_told() {
    let rebalance = Plan { rebalances: [COUNT].into(), speeds: [(COUNT, vec![1.0, 0.33])].into(), ..Plan::default() };
    let run = Run::new(20, 0)
        .with(4.0, EventKind::Refused { plan: Plan::rescale(MAP, 99), why: "'map' cannot have 99 instances: expected 1 to 9".into() })
        .with(6.0, EventKind::Splitting { operator: COUNT, bins: vec![BinId(1), BinId(5)] })
        .with(6.0, EventKind::HotKey { operator: COUNT, bin: BinId(7), share: 1.5 })
        .with(6.0, rescaling(rebalance, Reason::new("uneven"), 4, 0))
        // Of a plan that comes in between nothing follows.
        .with(6.5, EventKind::Refused { plan: Plan::rescale(MAP, 2), why: "another plan is being carried out".into() })
        .with(7.0, EventKind::Interrupted { moved: 1, of: 4, configuration: configuration(1, 1) })
        .with(9.0, rescaling(Plan::rescale(OperatorId(8), 2), Reason::new("requested"), 0, 0));
    let chapters = run.chapters();
    let text = |decision: usize| chapters[decision - 1].text().replace("\n              ", " ");
    assert!(text(1).starts_with("1. At 4.0 s: map → 99\n"), "{}", text(1));
    assert!(
        text(1).ends_with("   Action     None: the plan was rejected, 'map' cannot have 99 instances: expected 1 to 9.\n"),
        "{}",
        text(1)
    );
    assert!(text(2).starts_with("2. At 6.0 s: bins of count redistributed\n"), "{}", text(2));
    let done = "   Action     4 bins were to migrate; it was interrupted after 1 of 4. Relative speeds taken into account: instance 1 of count \
                at 0.33. 2 bins of count exceeded an instance's fair share and were split first. A single key of count (bin7) carries 1.5 \
                times an instance's fair share: no number of instances helps.\n";
    assert!(text(2).contains(done), "{}", text(2));
    assert!(text(3).contains("another plan is being carried out"), "{}", text(3));
    // An operator that has no name has its number.
    assert!(text(4).starts_with("4. At 9.0 s: op8 → 2\n"), "{}", text(4));
    assert!(
        text(4).contains("No bin had to migrate; the run ended before it was complete.") && !text(4).contains("Outcome"),
        "{}",
        text(4)
    );
}

#[test]
fn plans_that_fail_are_told_with_what_follows_from_it() {
    let seconds = |seconds: u64| Timestamp(seconds * 1_000_000_000);
    let interrupted = || EventKind::Interrupted { moved: 0, of: 4, configuration: configuration(1, 1) };
    let plan = || Plan::rescale(COUNT, 3);
    let postponed = EventKind::Postponed { plan: plan(), reason: Reason::new("scripted"), until: seconds(12) };
    let run = Run::new(20, 0)
        .with(4.0, rescaling(plan(), Reason::new("scripted"), 4, 0))
        .with(4.5, interrupted())
        .with(4.5, EventKind::BackingOff { failures: 1, until: seconds(6) })
        .with(6.0, rescaling(plan(), Reason::new("scripted"), 4, 0))
        .with(6.5, interrupted())
        .with(6.5, EventKind::BackingOff { failures: 2, until: seconds(12) })
        .with(8.0, postponed.clone())
        .with(10.0, postponed);
    let text = run.text().replace("\n              ", " ");
    assert!(text.contains("interrupted after 0 of 4. The host abandoned it, so no plan was started before 6.0 s."), "{text}");
    assert!(text.contains("The host abandoned it, like 2 plans in a row, so no plan was started before 12.0 s."), "{text}");
    let put_off =
        "   2 windows  Earlier plans had failed, so none was started. The policy asked for count to 3; none is started before 12.0 s:";
    assert!(text.contains(put_off), "{text}");
}

#[test]
fn a_run_without_rows_or_events_has_nothing_to_tell_and_is_no_error() {
    assert!(Run::new(5, 0).chapters().is_empty());
    let run = Run::new(0, 0)
        .with(2.0, rescaling(Plan::rescale(COUNT, 2), Reason::new("scripted"), 1, 1))
        .with(3.0, EventKind::Migrated { configuration: configuration(1, 2) });
    let text = run.text();
    assert!(!text.contains("Observed") && text.contains("1 bin migrated with 1 B of state"), "{text}");
}

#[test]
fn many_operators_are_told_of_by_what_matters() {
    let mut run = Run::new(4, 0).with(4.0, rescaling(Plan::rescale(COUNT, 2), Reason::new("scripted"), 0, 0));
    run.operators = [vec!["source".to_owned()], (1..20).map(|number| format!("op{number}")).collect()].concat();
    let rows = (1..20).map(|number| TimelineRow {
        window_start_s: 3.0,
        window_end_s: 4.0,
        operator: format!("op{number}"),
        parallelism: 1,
        utilisation: f64::from(number) / 20.0,
        wait_share: if number == 19 { 0.05 } else { 0.0 },
        ..TimelineRow::default()
    });
    run.timeline.extend(rows);
    let recorded = Recorded {
        operators: &run.operators,
        scalable: &run.operators[1..],
        timeline: &run.timeline,
        latency: &run.latency,
        events: &run.events,
    };
    let text = explain(&recorded)[0].text().replace("\n              ", " ");
    let seen = text.lines().find(|line| line.contains("Observed")).unwrap();
    let told: Vec<&str> = seen.split(' ').filter(|word| word.starts_with("op") && word.len() < 5).collect();
    assert_eq!(told, ["op2", "op15", "op16", "op17", "op18", "op19"]);
    assert!(seen.contains("op19 (1 instance): 95 % busy, 5 % waiting for something external, empty queue."), "{seen}");
    assert!(seen.ends_with("13 other operators were less busy."), "{seen}");
}

#[test]
fn numbers_are_as_people_read_them() {
    for (value, text) in
        [(0.04, "0"), (2.5, "2.5"), (9.96, "10"), (1234.0, "1234"), (16_666.7, "16.7k"), (999_999.0, "1.00M"), (2.5e9, "2.50G")]
    {
        assert_eq!(words::amount(value), text);
    }
    for (name, value, text) in [
        ("suspended ms", 1720.25, "suspended 1720 ms"),
        ("offered per s", 16_666.6, "offered 16.7k/s"),
        ("backpressure ms/s", 1.0, "backpressure 1 ms/s"),
        ("lag s", 0.25, "lag 0.25 s"),
        ("p99 ms", 137.039, "p99 137 ms"),
        ("p99 ms", 13.7039, "p99 13.7 ms"),
        ("offered/achieved", 1.0748, "offered/achieved 1.07"),
        ("seconds left", 2.0, "seconds left 2"),
        ("instances", 3.0, "instances 3"),
    ] {
        assert_eq!(words::value((&name.to_owned(), &value)), text);
    }
}
