//! Ten jobs on the engine, each with one injected cause: the top entry of the ranking names it.
//!
//! In every job the cause takes several times as long per epoch as anything else. Instances are limited, so the jobs need little of
//! the processor and run at the same time.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg::critical_path::{By, Entity};
use thalweg::dataflow::Straggler;
use thalweg::engine::chain::{Chain, Stage};
use thalweg::experiment::analysed::run_analysed;
use thalweg::id::{ChannelId, InstanceId};
use thalweg::rate::Rate;
use thalweg::time::Timestamp;

/// What each stage takes for an epoch, at most, unless a cause is injected.
const MOST_MS: f64 = 10.0;

/// What is wrong with a job.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Operator,
    Instance,
    Channel,
    Outside,
}

/// A random chain of two to four stages of two to five instances, the last one keyed, that take 5 to 10 ms of an epoch each; with
/// `cause` injected at random it takes about 60 ms there. Gives the chain and what should be found.
fn job(cause: Cause, random: &mut fastrand::Rng) -> (Chain, By, Entity) {
    let count = random.usize(2..=4);
    let records = 8;
    let mut arriving = records as f64;
    let mut stages: Vec<Stage> = Vec::new();
    for index in 0..count {
        let (instances, milliseconds) = (random.u32(2..=5), random.f64() * MOST_MS / 2.0 + MOST_MS / 2.0);
        let rate = Rate::per_second((arriving / f64::from(instances)).max(1.0) / (milliseconds / 1e3));
        // Many words before the keyed stage, so that each of its instances has its part.
        let (keyed, fan_out) = (index + 1 == count, if index + 2 == count { 100 } else { 1 });
        arriving *= fan_out as f64;
        stages.push(Stage { keyed, fan_out, ..Stage::new(&format!("stage{index}"), rate, instances) });
    }
    // A stateless stage gives a slow instance less to do; before the first stage there is no channel from another operator.
    let position = match cause {
        Cause::Instance => count - 1,
        Cause::Channel => random.usize(1..count),
        Cause::Operator | Cause::Outside => random.usize(0..count),
    };
    let stage = &mut stages[position];
    let slower = |rate: Rate| Rate::per_second(rate.as_per_second() / 8.0);
    let victim = random.u32(0..stage.instances);
    match cause {
        Cause::Operator => stage.rate = slower(stage.rate),
        Cause::Instance => {
            stage.slow = Some(Straggler { instance: victim, speed: 1.0 / 8.0, from: Timestamp::ZERO, until: Timestamp(u64::MAX) });
        }
        Cause::Channel => stage.delay = Duration::from_millis(60),
        Cause::Outside => (stage.outside, stage.rate) = (true, slower(stage.rate)),
    }
    let chain = Chain { stages, records, in_flight: 1, duration: Duration::from_secs(4), workers: 2, seed: random.u64(..) };
    let operator = chain.operator(position);
    match cause {
        Cause::Operator => (chain, By::Operator, Entity::Operator(operator)),
        Cause::Instance => (chain, By::Instance, Entity::Instance(InstanceId::new(operator, victim))),
        Cause::Channel => (chain, By::Operator, Entity::Channel(ChannelId(operator.0))),
        Cause::Outside => (chain, By::Operator, Entity::Outside(operator)),
    }
}

/// What the participations of all windows, added up, rank first.
fn top(chain: &Chain, by: By) -> (Entity, f64) {
    let analysed = run_analysed(chain, Duration::from_millis(500), chain.seed, |_| {}).unwrap();
    assert_eq!(analysed.dropped, 0);
    let mut sums: BTreeMap<Entity, f64> = BTreeMap::new();
    for summary in &analysed.windows {
        assert!((summary.participation_sum - 1.0).abs() < 1e-9, "{}", summary.participation_sum);
        for entry in summary.ranking(by) {
            *sums.entry(entry.entity).or_default() += entry.participation / analysed.windows.len() as f64;
        }
    }
    sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("something happened")
}

#[test]
fn the_top_entry_names_the_injected_cause() {
    let mut random = fastrand::Rng::with_seed(20181);
    let causes = [Cause::Operator, Cause::Instance, Cause::Channel, Cause::Outside].into_iter().cycle().take(10);
    let cases: Vec<(Cause, Chain, By, Entity)> = causes
        .map(|cause| {
            let (chain, by, entity) = job(cause, &mut random);
            (cause, chain, by, entity)
        })
        .collect();
    assert_eq!(cases.len(), 10);
    let found = std::thread::scope(|scope| {
        let runs: Vec<_> = cases.iter().map(|(_, job, by, _)| scope.spawn(|| top(job, *by))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    let named = cases.iter().zip(&found).map(|((name, _, _, injected), (entity, share))| {
        println!("{name:?}: injected {injected:?}, found {entity:?} with {:.0} %", share * 100.0);
        usize::from(injected == entity)
    });
    let named: usize = named.sum();
    assert!(named >= 9, "{named} of 10");
}
