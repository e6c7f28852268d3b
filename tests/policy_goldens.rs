//! What each policy decides on the Heron word count, as a decision log.
//!
//! The job is a fluid model (`tests/fluid`): deterministic, coarse, and no claim about any engine. Time is compressed 30
//! times, as in the experiments. Write the logs anew with `INSTA_UPDATE=always` and read them before committing.

mod fluid;

use std::time::Duration;

use fluid::{Fluid, word_count};
use thalweg::controller::{Controller, ControllerConfig, Event, EventKind};
use thalweg::dataflow::{Configuration, Plan};
use thalweg::id::OperatorId;
use thalweg::migration::Strategy;
use thalweg::policy::{Dhalion, DhalionConfig, Ds2, Ds2Config, Heron, HeronConfig, Hold, Policy};

const COMPRESSION: f64 = 30.0;
const WINDOW: Duration = Duration::from_secs(2);
const MIGRATION: Duration = Duration::from_millis(200);

/// Queues hold so many seconds of an instance's work at the high mark, and a source that catches up emits at most so many
/// times its rate, unless a test says otherwise.
const USUAL: (f64, f64) = (1.0, 1.0);

/// Runs a job under `policy` from one instance an operator for so many windows.
fn run(policy: Box<dyn Policy>, windows: usize, (high_mark_seconds, burst): (f64, f64)) -> Controller {
    let topology = word_count();
    let config = ControllerConfig { policy_interval: WINDOW, warm_up_windows: 0, activation_windows: 1, strategy: Strategy::AllAtOnce };
    let mut controller = Controller::new(topology.clone(), Configuration::ones(&topology), config, policy);
    let mut fluid = Fluid::new(high_mark_seconds, burst);
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
        EventKind::Held { reason } => format!("hold      {reason}"),
        EventKind::Activating { plan: wanted, reason, .. } => format!("activate  {} ({reason})", plan(wanted)),
        EventKind::Rescaling { plan: wanted, reason, before, after, .. } => {
            format!("rescale   {before} -> {after}: {} ({reason})", plan(wanted))
        }
        EventKind::Refused { plan: wanted, why } => format!("refused   {}: {why}", plan(wanted)),
        EventKind::Migrated { configuration } => format!("migrated  {configuration}"),
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

fn dhalion(windows: usize, queues: (f64, f64)) -> Controller {
    run(Box::new(Dhalion::new(word_count(), DhalionConfig::published().compressed(COMPRESSION))), windows, queues)
}

fn heron(windows: usize, queues: (f64, f64)) -> Controller {
    run(Box::new(Heron::new(word_count(), HeronConfig::published().compressed(COMPRESSION))), windows, queues)
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

#[test]
fn the_rule_based_policies_get_there_with_short_and_long_queues_alike() {
    for queues in
        [0.1, 0.3, 0.5, 1.0, 2.0, 4.0].into_iter().flat_map(|high_mark_seconds| [1.0, 1.5, 10.0].map(|burst| (high_mark_seconds, burst)))
    {
        for (name, controller) in [("dhalion", dhalion(60, queues)), ("heron", heron(60, queues))] {
            let configuration = controller.configuration();
            eprintln!("{name} {queues:?}: {configuration} after {:?}", rescales(&controller).concat());
            let enough = configuration.parallelism(OperatorId(1)) >= 10 && configuration.parallelism(OperatorId(2)) >= 20;
            assert!(enough, "{name} with queues of (seconds, burst) {queues:?}\n{}", log(&controller));
        }
    }
}
