//! What each policy decides on the Heron word count, as a decision log.
//!
//! The job is a fluid model (`tests/suite/fluid`): deterministic, coarse, and no claim about any engine. Time is compressed 30
//! times, as in the experiments. Write the logs anew with `INSTA_UPDATE=always` and read them before committing.

use std::time::Duration;

use crate::fluid::{Fluid, word_count};
use thalweg::controller::{Controller, ControllerConfig, Event, EventKind};
use thalweg::dataflow::{Configuration, Plan};
use thalweg::id::OperatorId;
use thalweg::migration::Strategy;
use thalweg::policy::{
    Aws, AwsConfig, CriticalPath, CriticalPathConfig, Dhalion, DhalionConfig, Ds2, Ds2Config, FlinkAutoscaler, FlinkAutoscalerConfig,
    Heron, HeronConfig, Hold, Oracle, Policy, Threshold, ThresholdConfig,
};
use thalweg::time::Timestamp;

const COMPRESSION: f64 = 30.0;
const WINDOW: Duration = Duration::from_secs(2);
const MIGRATION: Duration = Duration::from_millis(200);

/// How the job behaves under load: seconds of an instance's work that its queue holds at the high mark, how many times its
/// rate a source emits that catches up, and how unevenly Count's instances are loaded.
type Behaviour = (f64, f64, f64);

/// What the snapshots show.
const USUAL: Behaviour = (1.0, 1.0, 0.0);

/// Runs a job under `policy` from one instance an operator for so many windows.
fn run(policy: Box<dyn Policy>, windows: usize, (high_mark_seconds, burst, spread): Behaviour) -> Controller {
    let topology = word_count();
    let config = ControllerConfig { policy_interval: WINDOW, warm_up_windows: 0, activation_windows: 1, strategy: Strategy::AllAtOnce };
    let mut controller = Controller::new(topology.clone(), Configuration::ones(&topology), config, policy);
    let mut fluid = Fluid::new(high_mark_seconds, burst, spread);
    for _ in 0..windows {
        let observation = fluid.window(controller.configuration(), WINDOW);
        if controller.window_closed(&observation).is_some() {
            fluid.migrate(&observation.configuration, MIGRATION);
            controller.migrated(fluid.now());
        }
    }
    controller
}

fn plan(plan: &Plan) -> String {
    let topology = word_count();
    let rescale = |(&operator, instances): (&OperatorId, &u32)| format!("{} to {instances}", topology.operator(operator).name);
    plan.rescales.iter().map(rescale).collect::<Vec<_>>().join(", ")
}

fn line(event: &Event) -> String {
    let kind = match &event.kind {
        EventKind::WarmingUp { left } => format!("warming up, {left} left"),
        EventKind::Doubted { doubts } => format!("doubt     {doubts:?}"),
        EventKind::Held { reason } => format!("hold      {reason}"),
        EventKind::Activating { plan: wanted, reason, .. } => format!("activate  {} ({reason})", plan(wanted)),
        EventKind::Rescaling { plan: wanted, reason, before, after, .. } => {
            format!("rescale   {before} -> {after}: {} ({reason})", plan(wanted))
        }
        EventKind::Refused { plan: wanted, why } => format!("refused   {}: {why}", plan(wanted)),
        EventKind::Migrated { configuration } => format!("migrated  {configuration}"),
        EventKind::Paced { goal_ms, steps, beyond_goal } => format!("paced     {steps} steps for {goal_ms} ms, {beyond_goal} beyond"),
        EventKind::Splitting { operator, bins } => format!("split     {} bins of {operator}", bins.len()),
        EventKind::HotKey { operator, bin, share } => format!("hot key   {bin} of {operator}: {share:.1}"),
        EventKind::BackingOff { failures, until } => format!("back off  until {until} after {failures} failures"),
        EventKind::Postponed { plan: wanted, reason, until } => format!("postpone  {} until {until} ({reason})", plan(wanted)),
        EventKind::Withheld { plan: wanted, reason, why } => format!("withheld  {}: {why} ({reason})", plan(wanted)),
        EventKind::Steered { request, refused } => format!("asked     {request:?}, refused {refused:?}"),
        EventKind::Interrupted { moved, of, configuration } => format!("cut off   {moved} of {of} bins moved: {configuration}"),
    };
    format!("{:>9}  {kind}", event.at.to_string())
}

fn log(controller: &Controller) -> String {
    controller.events().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Plans carried out, each as the operators it changed.
fn rescales(controller: &Controller) -> Vec<Vec<OperatorId>> {
    let changed = |event: &Event| match &event.kind {
        EventKind::Rescaling { plan, .. } => Some(plan.rescales.keys().copied().collect()),
        _ => None,
    };
    controller.events().iter().filter_map(changed).collect()
}

/// At least four actions, each on one operator, to more instances than the 10 and 20 that suffice.
fn creeps_up_and_overshoots(controller: &Controller) {
    let actions = rescales(controller);
    assert!(actions.len() >= 4 && actions.iter().all(|operators| operators.len() == 1), "{actions:?}");
    let instances = |operator: u32| controller.configuration().parallelism(OperatorId(operator));
    assert!(instances(1) >= 10 && instances(2) >= 20 && instances(1) + instances(2) > 30, "{}", controller.configuration());
}

#[test]
fn hold_holds() {
    insta::assert_snapshot!(log(&run(Box::new(Hold), 3, USUAL)));
}

#[test]
fn ds2_takes_one_step_and_rests() {
    let controller = run(Box::new(Ds2::new(word_count(), Ds2Config::default())), 20, USUAL);
    assert_eq!(rescales(&controller).len(), 1);
    assert_eq!(controller.configuration().to_string(), "1/10/20/1");
    insta::assert_snapshot!(log(&controller));
}

/// One step, as DS2, but to a little more of each: what is to spare works off what piled up before. 21 of Count would be enough if 256 bins could be
/// dealt out to them evenly.
#[test]
fn critical_path_takes_one_step_with_a_little_to_spare_and_rests() {
    let policy = CriticalPath::new(word_count(), CriticalPathConfig::standard().compressed(COMPRESSION));
    let controller = run(Box::new(policy), 20, (1.0, 1.5, 0.0));
    insta::assert_snapshot!(log(&controller));
    assert_eq!((rescales(&controller).len(), controller.configuration().to_string()), (1, "1/11/22/1".into()));
}

#[test]
fn the_oracle_goes_there_at_once() {
    let needed = Configuration::ones(&word_count()).with(OperatorId(1), 10).with(OperatorId(2), 20);
    let controller = run(Box::new(Oracle::new(word_count(), [(Timestamp::ZERO, needed)])), 4, USUAL);
    assert_eq!((rescales(&controller).len(), controller.configuration().to_string()), (1, "1/10/20/1".into()));
    insta::assert_snapshot!(log(&controller));
}

/// Utilisation is at most 1, so an operator grows by a quarter a decision; what it held back reaches the next one only then.
#[test]
fn threshold_climbs_in_small_steps_and_settles_with_headroom() {
    let controller = run(Box::new(Threshold::new(word_count(), ThresholdConfig::published().compressed(COMPRESSION))), 45, USUAL);
    let instances = |operator: u32| controller.configuration().parallelism(OperatorId(operator));
    assert!(rescales(&controller).len() >= 8, "{}", log(&controller));
    assert!((11..=14).contains(&instances(1)) && (22..=28).contains(&instances(2)), "{}", controller.configuration());
    insta::assert_snapshot!(log(&controller));
}

/// Twenty minutes, 40 s here, pass before each decision: it stabilises, then fills its window.
#[test]
fn flink_autoscaler_takes_few_steps_with_long_waits() {
    let policy = FlinkAutoscaler::new(word_count(), FlinkAutoscalerConfig::published().compressed(COMPRESSION));
    // A source that may catch up: with a lag that stays nothing would ever be scaled down.
    let controller = run(Box::new(policy), 90, (1.0, 1.5, 0.0));
    let instances = |operator: u32| controller.configuration().parallelism(OperatorId(operator));
    assert!(rescales(&controller).len() <= 3 && instances(1) >= 10 && instances(2) >= 20, "{}", log(&controller));
    insta::assert_snapshot!(log(&controller));
}

/// A quarter of an hour, 30 s here, passes before each doubling, and both operators are doubled whichever is busy.
#[test]
fn aws_doubles_everything_until_no_instance_is_busy() {
    let controller = run(Box::new(Aws::new(word_count(), AwsConfig::published().compressed(COMPRESSION))), 120, USUAL);
    let instances = |operator: u32| controller.configuration().parallelism(OperatorId(operator));
    assert_eq!((instances(1), instances(2), rescales(&controller).len()), (32, 32, 5), "{}", log(&controller));
    insta::assert_snapshot!(log(&controller));
}

fn dhalion(windows: usize, behaviour: Behaviour) -> Controller {
    run(Box::new(Dhalion::new(word_count(), DhalionConfig::published().compressed(COMPRESSION))), windows, behaviour)
}

fn heron(windows: usize, behaviour: Behaviour) -> Controller {
    run(Box::new(Heron::new(word_count(), HeronConfig::published().compressed(COMPRESSION))), windows, behaviour)
}

#[test]
fn dhalion_creeps_up_and_overshoots() {
    let controller = dhalion(36, USUAL);
    creeps_up_and_overshoots(&controller);
    insta::assert_snapshot!(log(&controller));
}

#[test]
fn heron_creeps_up_and_overshoots() {
    let controller = heron(24, USUAL);
    creeps_up_and_overshoots(&controller);
    insta::assert_snapshot!(log(&controller));
}

/// The most instances that an operator ever had.
fn most(controller: &Controller, operator: OperatorId) -> u32 {
    let after = controller.events().iter().filter_map(|event| match &event.kind {
        EventKind::Migrated { configuration } => Some(configuration.parallelism(operator)),
        _ => None,
    });
    after.max().unwrap_or(1)
}

#[test]
fn the_rule_based_policies_get_there_whatever_the_queues_and_however_the_source_catches_up() {
    for high_mark_seconds in [0.1, 0.3, 0.5, 1.0, 2.0, 4.0] {
        for (burst, spread) in [(1.0, 0.0), (1.5, 0.0), (10.0, 0.0), (1.0, 0.1), (10.0, 0.1)] {
            let behaviour = (high_mark_seconds, burst, spread);
            for (name, controller) in [("dhalion", dhalion(60, behaviour)), ("heron", heron(60, behaviour))] {
                // Dhalion takes some back once it is there.
                let instances = |operator: u32| most(&controller, OperatorId(operator));
                let enough = instances(1) >= 10 && instances(2) >= 20 && rescales(&controller).len() >= 4;
                assert!(enough, "{name} with {behaviour:?}\n{}", log(&controller));
            }
        }
    }
}

/// What Heron's rules do where one instance gets nearly twice what another gets: skew is diagnosed, or nothing is, and
/// neither has a resolver. Dhalion asks for a factor of two before it calls it skew.
#[test]
fn heron_stops_early_where_load_is_uneven() {
    let uneven = (1.0, 1.0, 0.3);
    let controller = heron(60, uneven);
    let instances = controller.configuration().parallelism(OperatorId(2));
    assert!(instances < 10, "{}", controller.configuration());
    let rules = controller.events().iter().rev().take(4).map(|event| match &event.kind {
        EventKind::Held { reason } => reason.rule.as_str(),
        _ => "acted",
    });
    let unanswered = ["data-skew", "slow-instance", "no-diagnosis", "several-components", "between-runs"];
    let rules: Vec<_> = rules.collect();
    assert!(rules.iter().all(|rule| unanswered.contains(rule)) && rules.iter().any(|rule| *rule != "between-runs"), "{rules:?}");
    assert!(dhalion(60, uneven).configuration().parallelism(OperatorId(2)) >= 20);
}
