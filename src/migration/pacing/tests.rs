//! The pacer against a simulated host: state moves at a constant rate, with noise, and stalls the
//! job meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as Draws;

use super::*;
use crate::id::BinId;
use crate::migration::{BinMove, Goal};

const COUNT: OperatorId = OperatorId(2);
/// How often the host looks at the pacer.
const TICK: Duration = Duration::from_millis(5);
/// Commands run so far ahead of the data.
const HORIZON: Duration = Duration::from_millis(30);

/// A job in one process or several, as far as pacing can tell.
#[derive(Clone, Debug)]
struct Host {
    goal: Duration,
    /// Latency without migration.
    baseline: Duration,
    /// What a step adds whatever its size.
    round: Duration,
    /// What a unit of state adds.
    unit: Duration,
    /// Factors on what steps add and on the baseline, taken in turn.
    noise: Vec<f64>,
    sizes: Vec<f64>,
}

/// What came of a migration.
struct Outcome {
    /// Steps as they were sent.
    steps: Vec<Step>,
    /// Largest latency while each was under way, in order.
    peaks: Vec<Duration>,
    choices: Vec<Choice>,
    duration: Duration,
}

/// One bin a step, and a stateless operator in the first.
fn schedule(sizes: &[f64]) -> Schedule {
    let one = |bin: u32| BinMove { operator: COUNT, bin: BinId(bin), from: 0, to: 1 };
    let mut steps: Vec<Step> = (0..sizes.len() as u32).map(|bin| Step { moves: vec![one(bin)], ..Step::default() }).collect();
    steps[0].parallelism = BTreeMap::from([(OperatorId(1), 2)]);
    Schedule { steps, sizes: sizes.to_vec() }
}

fn reports(step: &Step) -> Vec<Report> {
    let rerouted = step.parallelism.keys().flat_map(|&operator| [Report::Rerouted(operator); 2]);
    let bins = step.moves.len() + step.splits.len();
    rerouted.chain((bins > 0).then_some(Report::Installed(COUNT, bins))).collect()
}

impl Host {
    fn migrate(&self) -> Outcome {
        let strategy = Strategy::Adaptive(Goal::of(self.goal).unwrap());
        let mut pacer = Pacer::new(schedule(&self.sizes), strategy, Overlap::None, 2, Some(self.baseline));
        let mut noise = self.noise.iter().copied().cycle();
        let mut noisy = |length: Duration| length.mul_f64(noise.next().unwrap());
        let (mut steps, mut peaks) = (Vec::new(), Vec::new());
        // The step under way, with the stall that it causes.
        let mut stalled: Option<(Step, Timestamp, Timestamp)> = None;
        let mut now = Timestamp::ZERO;
        while !pacer.is_complete() {
            now += TICK;
            assert!(now < Timestamp::from_secs_f64(3600.0), "the migration does not end");
            let mut reported = Vec::new();
            let mut latest = None;
            match stalled.take_if(|(_, _, until)| *until <= now) {
                Some((step, from, until)) => {
                    latest = Some(Latest { at: until, latency: until.since(from) + noisy(self.baseline) });
                    reported = reports(&step);
                }
                None if stalled.as_ref().is_some_and(|(_, from, _)| *from <= now) => {}
                None => latest = Some(Latest { at: now, latency: noisy(self.baseline) }),
            }
            if let (Some(latest), Some(peak)) = (latest, peaks.last_mut()) {
                *peak = latest.latency.max(*peak);
            }
            for step in pacer.advance(now, reported, latest) {
                assert!(stalled.is_none(), "one step at a time");
                let size: f64 = step.moves.iter().map(|one| self.sizes[one.bin.0 as usize]).sum();
                let from = now + HORIZON;
                stalled = Some((step.clone(), from, from + self.round + noisy(self.unit.mul_f64(size))));
                steps.push(step);
                peaks.push(Duration::ZERO);
            }
        }
        assert_eq!(pacer.complete(), steps, "steps complete in order, as they were sent");
        Outcome { steps, peaks, choices: pacer.choices().to_vec(), duration: now.since(Timestamp::ZERO) }
    }

    /// The shortest time in which a pacer that knew everything could move all state and hold the
    /// goal.
    fn shortest(&self) -> Duration {
        let state: f64 = self.sizes.iter().sum();
        let step = (self.goal - self.baseline - self.round).as_secs_f64() / self.unit.as_secs_f64();
        (HORIZON + self.round).mul_f64((state / step).ceil()) + self.unit.mul_f64(state)
    }
}

/// A host that can hold its goal, with a margin for noise, if it moves one bin at a time.
fn host() -> impl Draws<Value = Host> {
    let sizes = prop::collection::vec(0.5f64..1.5, 1..1500);
    let noise = prop::collection::vec(0.87f64..1.13, 1..20);
    (10u64..300, 0.02f64..0.4, 0.0f64..0.1, 1e-4f64..0.1, noise, sizes).prop_map(|(goal, baseline, round, unit, noise, sizes)| {
        let goal = Duration::from_millis(goal);
        let left = goal.mul_f64(1.0 - baseline);
        Host { goal, baseline: goal.mul_f64(baseline), round: left.mul_f64(round), unit: left.mul_f64(unit), noise, sizes }
    })
}

proptest! {
    #[test]
    fn the_goal_is_held_and_the_migration_quick(host in host()) {
        let outcome = host.migrate();
        let bins: Vec<u32> = outcome.steps.iter().flat_map(|step| &step.moves).map(|one| one.bin.0).collect();
        prop_assert_eq!(bins, (0..host.sizes.len() as u32).collect::<Vec<_>>(), "every move is sent once and in order");
        for (step, peak) in outcome.peaks.iter().enumerate().skip(2) {
            prop_assert!(*peak <= host.goal, "step {} of {}: {:?} of {:?}", step, outcome.peaks.len(), peak, host.goal);
        }
        // It keeps a margin for the noise, and has to find out how much it may move: ten doublings
        // and a few looks at the latency more.
        let most = host.shortest().mul_f64(4.0) + Duration::from_secs(2);
        prop_assert!(outcome.duration <= most, "{:?}, at best {:?}", outcome.duration, host.shortest());
    }

    /// One bin alone may exceed the goal, or the job does without any migration: it goes on, one
    /// bin at a time.
    #[test]
    fn it_ends_even_if_the_goal_cannot_be_held(host in host(), baseline in 0.5f64..3.0, unit in 0.5f64..3.0) {
        let (baseline, unit) = (host.goal.mul_f64(baseline), host.goal.mul_f64(unit));
        let host = Host { baseline, unit, sizes: vec![1.0; host.sizes.len().min(40)], ..host };
        let outcome = host.migrate();
        prop_assert_eq!(outcome.steps.iter().map(|step| step.moves.len()).collect::<Vec<_>>(), vec![1; host.sizes.len()]);
        prop_assert!(outcome.choices.iter().skip(1).all(|choice| choice.predicted >= host.goal.mul_f64(0.7)));
    }
}

/// A step that moves hardly more than the quickest and takes a little longer does not say that
/// state is expensive.
#[test]
fn a_small_difference_in_size_tells_no_cost() {
    let ms = Duration::from_millis;
    let mut law = Adaptive::new(Goal::of(ms(100)).unwrap(), Some(ms(1)));
    let mut now = Timestamp::ZERO;
    let mut step = |size: f64, took: Duration| {
        law.sent(now, 1, size);
        law.saw(Latest { at: now, latency: ms(2) });
        now += took;
        law.completed(now);
        law.saw(Latest { at: now, latency: ms(1) });
        law.allowed(now).unwrap()
    };
    assert_eq!(step(1.0, ms(10)), 2.0);
    assert_eq!(step(1.01, ms(12)), 2.02);
    // Twice as much and four times as long does: 30 ms over 1.
    let allowed = step(2.0, ms(40));
    assert!((0.5..2.0).contains(&(allowed)), "{allowed}");
}

#[test]
fn a_trace_of_decisions() {
    let ms = Duration::from_millis;
    // A spike that has nothing to do with the migration hits two steps.
    let mut noise = vec![1.0; 60];
    noise[40] = 8.0;
    let host = Host { goal: ms(50), baseline: ms(5), round: ms(2), unit: Duration::from_micros(400), noise, sizes: vec![1.0; 600] };
    let outcome = host.migrate();
    let mut trace = String::new();
    for (choice, peak) in outcome.choices.iter().zip(&outcome.peaks) {
        let ms = |length: Duration| length.as_secs_f64() * 1e3;
        let (at, bins, baseline, predicted) =
            (ms(choice.at.since(Timestamp::ZERO)), choice.bins, ms(choice.baseline), ms(choice.predicted));
        writeln!(
            trace,
            "{at:>5.0} ms {bins:>3} bins, baseline {baseline:.1} ms, {predicted:>4.1} ms predicted, {:>4.1} ms seen",
            ms(*peak)
        )
        .unwrap();
    }
    insta::assert_snapshot!(trace);
}

#[test]
fn steps_follow_each_other_or_overlap() {
    let sizes = [1.0; 5];
    let sent = |overlap| {
        let mut pacer = Pacer::new(schedule(&sizes), Strategy::Fluid, overlap, 2, None);
        let mut steps: VecDeque<Step> = pacer.advance(Timestamp(0), [], None).into();
        let mut together = vec![steps.len()];
        while let Some(step) = steps.pop_front() {
            let more = pacer.advance(Timestamp(0), reports(&step), None);
            together.push(more.len());
            steps.extend(more);
        }
        assert!(pacer.is_complete());
        together
    };
    assert_eq!(sent(Overlap::None), [1, 1, 1, 1, 1, 0]);
    assert_eq!(sent(Overlap::Bins(2)), [2, 1, 1, 1, 0, 0]);
    // A step that is larger than that goes alone.
    assert_eq!(sent(Overlap::Bins(0)), [1, 1, 1, 1, 1, 0]);
}

#[test]
fn a_step_that_splits_a_bin_goes_alone() {
    for strategy in [Strategy::Fluid, Strategy::Adaptive(Goal::default())] {
        let mut steps = schedule(&[1.0; 4]);
        steps.steps[2] = Step { splits: vec![(COUNT, BinId(9))], ..Step::default() };
        let mut pacer = Pacer::new(steps, strategy, Overlap::Bins(128), 2, Some(Duration::ZERO));
        let (mut now, mut sent) = (Timestamp::ZERO, Vec::new());
        let mut under_way: Vec<Step> = Vec::new();
        while !pacer.is_complete() {
            now += TICK;
            let reported: Vec<Report> = under_way.iter().flat_map(reports).collect();
            under_way = pacer.advance(now, reported, Some(Latest { at: now, latency: Duration::ZERO }));
            let moves_and_splits = |step: &Step| (step.moves.len(), step.splits.len());
            sent.extend((!under_way.is_empty()).then(|| under_way.iter().map(moves_and_splits).collect::<Vec<_>>()));
        }
        let before = if strategy == Strategy::Fluid { vec![vec![(1, 0), (1, 0)]] } else { vec![vec![(1, 0)], vec![(1, 0)]] };
        assert_eq!(sent, [before, vec![vec![(0, 1)], vec![(1, 0)]]].concat());
    }
}

#[test]
#[should_panic(expected = "no more is carried out than was asked for")]
fn a_report_of_what_was_not_asked_for_is_refused() {
    let mut pacer = Pacer::new(schedule(&[1.0]), Strategy::Fluid, Overlap::None, 2, None);
    let _ = pacer.advance(Timestamp(0), [], None);
    let _ = pacer.advance(Timestamp(0), [Report::Installed(COUNT, 2)], None);
}
