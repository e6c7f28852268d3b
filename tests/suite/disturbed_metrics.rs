//! Records that are lost, late, doubled or mad: no policy acts on a window of them, and nothing panics.

use std::time::Duration;

use crate::random_job::{Kind, random_job};
use thalweg::activity::Record;
use thalweg::controller::{Controller, ControllerConfig, EventKind};
use thalweg::experiment::policies::{Given, POLICIES, policy_with};
use thalweg::experiment::simulated::{best, needs};
use thalweg::metrics::MetricIssue;
use thalweg::migration::Strategy;
use thalweg::observation::Observer;
use thalweg::sim::{Random, Simulation};
use thalweg::time::Timestamp;

/// What is wrong with the records of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Lost,
    Late,
    Doubled,
    NotANumber,
    Infinite,
    Negative,
    HourAhead,
    HourBack,
}

const ALL: [Wrong; 9] = [
    Wrong::Nothing,
    Wrong::Lost,
    Wrong::Late,
    Wrong::Doubled,
    Wrong::NotANumber,
    Wrong::Infinite,
    Wrong::Negative,
    Wrong::HourAhead,
    Wrong::HourBack,
];

const WINDOW: Duration = Duration::from_secs(1);
const HOUR: u64 = 3_600_000_000_000;

/// The record with its times shifted.
fn shifted(record: &Record, shift: impl Fn(Timestamp) -> Timestamp) -> Record {
    let mut record = record.clone();
    match &mut record {
        Record::Activity(activity) => (activity.start, activity.end) = (shift(activity.start), shift(activity.end)),
        Record::Sent(message) | Record::Received(message) => message.at = shift(message.at),
        Record::EpochOpened { at, due, .. } => (*at, *due) = (shift(*at), shift(*due)),
        Record::Backpressure { start, end, .. } | Record::Waited { start, end, .. } => (*start, *end) = (shift(*start), shift(*end)),
        Record::EpochCompleted { at, .. }
        | Record::Queue { at, .. }
        | Record::Bins { at, .. }
        | Record::Arrangement { at, .. }
        | Record::UpTo { at, .. }
        | Record::WorkerJoined { at, .. }
        | Record::WorkerLeft { at, .. }
        | Record::Source { at, .. }
        | Record::Core { at, .. } => *at = shift(*at),
        Record::Operator { .. } | Record::Channel { .. } => {}
    }
    record
}

/// Gives `record` as it arrives.
fn arrive(wrong: Wrong, record: &Record, observer: &mut Observer, late: &mut Vec<Record>) {
    let told = |mad: f64| match record {
        Record::Source { source, at, emitted, .. } => Record::Source { source: *source, at: *at, due: mad, emitted: *emitted },
        other => other.clone(),
    };
    match wrong {
        Wrong::Nothing => observer.push(record),
        Wrong::Lost => {}
        Wrong::Late => late.push(record.clone()),
        Wrong::Doubled => (0..2).for_each(|_| observer.push(record)),
        Wrong::NotANumber => observer.push(&told(f64::NAN)),
        Wrong::Infinite => observer.push(&told(f64::INFINITY)),
        Wrong::Negative => observer.push(&told(-1e9)),
        Wrong::HourAhead => observer.push(&shifted(record, |at| Timestamp(at.0 + HOUR))),
        Wrong::HourBack => observer.push(&shifted(record, |at| Timestamp(at.0.saturating_sub(HOUR)))),
    }
}

/// One run; gives how many windows were bad and how many plans were carried out.
fn run(seed: u64, name: &str) -> (usize, usize) {
    let mut job = random_job(seed, Kind::Any);
    job.disturbance = Default::default();
    job.tick = Duration::from_millis(50);
    let config = ControllerConfig { policy_interval: WINDOW, warm_up_windows: 0, activation_windows: 1, strategy: Strategy::AllAtOnce };
    let given = Given { best: best(&job.topology, &needs(&job)), ..Given::default() };
    let policy = policy_with(name, &job.topology, 300.0, &given).expect("a policy");
    let mut controller = Controller::new(job.topology.clone(), job.configuration.clone(), config, policy);
    let mut observer = Observer::new(job.topology.clone(), Timestamp::ZERO, WINDOW);
    let mut simulation = Simulation::new(&job, seed);
    let mut random = Random::new(seed);
    let (mut records, mut late) = (Vec::new(), Vec::new());
    let (mut wrong, mut steps, mut bad, mut plans, mut missing) = (Wrong::Nothing, Vec::new(), 0, 0, 0);
    let mut reported = 0;
    for _ in 0..8 * 20 {
        simulation.advance(&mut records);
        // What is recorded at the very end of a window belongs to the next.
        let ended = simulation.now() >= observer.window().end;
        let next = if ended && !controller.is_migrating() { ALL[random.below(ALL.len() as u64) as usize] } else { wrong };
        let come_now = if ended { std::mem::take(&mut late) } else { Vec::new() };
        for record in records.drain(..) {
            let of_next = ended && record.at() >= observer.window().end;
            arrive(if of_next { next } else { wrong }, &record, &mut observer, &mut late);
        }
        reported += simulation.reports().len();
        if controller.is_migrating() && reported >= missing {
            controller.migrated(simulation.now());
            observer.restart(simulation.now(), WINDOW);
            (wrong, reported) = (Wrong::Nothing, 0);
        } else if ended {
            let (observation, _) = observer.close(controller.configuration(), WINDOW);
            come_now.iter().for_each(|record| observer.push(record));
            let before = controller.events().len();
            let schedule = controller.window_closed(&observation);
            // What came twice can be halved, and is when there was no whole window for long.
            let mended = wrong == Wrong::Doubled && observation.doubts == [MetricIssue::Mended(200)];
            if wrong != Wrong::Nothing && !mended && !controller.is_migrating() {
                bad += 1;
                let events = &controller.events()[before..];
                assert!(events.iter().all(|event| matches!(event.kind, EventKind::Doubted { .. })), "seed {seed}, {wrong:?}: {events:?}");
                assert_eq!(schedule, None, "seed {seed}, {wrong:?}");
            }
            if let Some(schedule) = schedule {
                assert!(wrong == Wrong::Nothing || mended, "seed {seed}, {wrong:?}");
                plans += 1;
                steps = schedule.steps;
                // One report for the bins of an operator that move together, one for a split, one for a stateless operator.
                missing = steps.iter().map(|step| step.splits.len() + step.parallelism.len()).sum::<usize>();
                let moves =
                    steps.iter().map(|step| step.moves.iter().map(|one| one.operator).collect::<std::collections::BTreeSet<_>>().len());
                missing += moves.sum::<usize>();
                steps.drain(..).for_each(|step| simulation.apply(step));
            }
            wrong = next;
        }
    }
    assert!(steps.is_empty());
    (bad, plans)
}

#[test]
fn no_policy_acts_on_a_bad_window() {
    let runs: u64 = std::env::var("THALWEG_RUNS").map_or(400, |runs| runs.parse().expect("a number of runs"));
    let (mut bad, mut plans) = (0, 0);
    for seed in 0..runs {
        let (some_bad, some_plans) = run(seed, POLICIES[seed as usize % POLICIES.len()]);
        (bad, plans) = (bad + some_bad, plans + some_plans);
    }
    assert!(bad as u64 > 2 * runs && plans as u64 > runs / 2, "{bad} bad windows, {plans} plans in {runs} runs");
}
