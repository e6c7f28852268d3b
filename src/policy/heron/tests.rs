//! The facts of Heron's unit tests, stage by stage.

use super::*;
use crate::id::InstanceId;
use crate::policy::fixture;

const FLATMAP: OperatorId = OperatorId(1);

/// FlatMap's reading after one checkpoint of 300 s; instances as (backpressure ms/s, queue, records
/// processed).
fn read(instances: &[(f64, u64, u64)]) -> ComponentReading {
    let mut observation = fixture::idle(&fixture::word_count(), &fixture::instances(instances.len() as u32, 1), 300.0, 300.0);
    let loads: Vec<_> = instances.iter().map(|&(ms_per_s, queue, processed)| (ms_per_s / 1e3, queue, processed)).collect();
    fixture::loads(&mut observation, FLATMAP, &loads);
    let mut sensors = Sensors::new(HeronConfig::published().sensor_window);
    sensors.push(&observation, &fixture::word_count());
    sensors.read().remove(0)
}

/// FlatMap's reading of several checkpoints of 60 s; by checkpoint, by instance, (queue, records
/// processed).
fn series(ends: &[f64], checkpoints: &[&[(u64, u64)]]) -> ComponentReading {
    let mut sensors = Sensors::new(HeronConfig::published().sensor_window);
    for (&end, checkpoint) in ends.iter().zip(checkpoints) {
        let mut observation = fixture::idle(&fixture::word_count(), &fixture::instances(checkpoint.len() as u32, 1), end, 60.0);
        let loads: Vec<_> = checkpoint.iter().map(|&(queue, processed)| (0.0, queue, processed)).collect();
        fixture::loads(&mut observation, FLATMAP, &loads);
        sensors.push(&observation, &fixture::word_count());
    }
    sensors.read().remove(0)
}

fn symptoms_of(reading: &ComponentReading) -> Vec<Symptom> {
    let readings = std::slice::from_ref(reading);
    [back_pressure(readings, 20.0), processing_rate_skew(readings, 1.5), wait_queue_skew(readings, 20.0)].concat()
}

fn skew(kind: fn(Sign) -> SymptomKind) -> Symptom {
    Symptom { kind: kind(Sign::Whole), operator: FLATMAP, instances: Vec::new() }
}

fn with(reading: &ComponentReading, more: &[Symptom]) -> Vec<Symptom> {
    [back_pressure(std::slice::from_ref(reading), 20.0), more.to_vec()].concat()
}

#[test]
fn the_sensor_gives_back_what_every_second_of_the_window_had() {
    let reading = read(&[(87.0, 0, 0)]);
    assert!((reading.instances[0].backpressure_ms_per_s - 87.0).abs() < 1e-6);
    let reading = series(&[60.0, 120.0], &[&[(4, 1000), (1, 200)], &[(8, 3000), (3, 400)]]);
    assert_eq!((reading.instances[0].executed, reading.instances[1].executed), (2000.0, 300.0));
    assert_eq!((reading.instances[0].buffer_records(), reading.instances[1].buffer_records()), (6.0, 2.0));
}

#[test]
fn the_sensor_window_forgets_and_begins_anew_with_a_configuration() {
    let mut sensors = Sensors::new(std::time::Duration::from_secs(300));
    let topology = fixture::word_count();
    for minute in 1..=9 {
        sensors.push(&fixture::idle(&topology, &fixture::instances(2, 1), f64::from(minute) * 60.0, 60.0), &topology);
    }
    assert_eq!(sensors.read()[0].instances[0].buffers.len(), 5);
    sensors.push(&fixture::idle(&topology, &fixture::instances(3, 1), 700.0, 60.0), &topology);
    assert_eq!(sensors.read()[0].instances.len(), 3);
    assert_eq!(sensors.read()[0].instances[2].buffers.len(), 1);
}

#[test]
fn backpressure_is_that_of_the_operator_and_of_its_instances() {
    let found = back_pressure(&[read(&[(55.0, 0, 0), (3.0, 0, 0), (0.0, 0, 0)])], 50.0);
    assert_eq!(found.iter().map(|symptom| symptom.instances.len()).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(found[1].instances, [InstanceId::new(FLATMAP, 0)]);
    assert_eq!(back_pressure(&[read(&[(45.0, 0, 0), (3.0, 0, 0), (0.0, 0, 0)])], 50.0), []);
}

#[test]
fn a_queue_is_large_by_its_mean() {
    let two = |a: u64, b: u64| large_wait_queue(&[series(&[60.0, 120.0], &[&[(a, 0)], &[(b, 0)]])], 20.0);
    assert_eq!(two(21, 21).len(), 1);
    assert_eq!(two(21, 21)[0].instances.len(), 1);
    assert_eq!(two(11, 10), []);
}

#[test]
fn skew_is_told_of_the_operator_its_largest_and_its_smallest_instances() {
    let rates = |a: u64, b: u64| read(&[(0.0, 0, a), (0.0, 0, b)]);
    let found = processing_rate_skew(&[rates(1000, 200)], 2.5);
    let kinds: Vec<_> = found.iter().map(|symptom| (symptom.kind, symptom.instances.len())).collect();
    let kind = SymptomKind::ProcessingRateSkew;
    assert_eq!(kinds, [(kind(Sign::Whole), 2), (kind(Sign::Positive), 1), (kind(Sign::Negative), 1)]);
    assert_eq!((found[1].instances[0].index, found[2].instances[0].index), (0, 1));
    assert_eq!(processing_rate_skew(&[rates(1000, 500)], 2.5), []);
    assert_eq!(processing_rate_skew(&[rates(1000, 200), rates(1000, 200), rates(1000, 500)], 2.5).len(), 6);
    let queues = |a: u64, b: u64| wait_queue_skew(&[read(&[(0.0, a, 0), (0.0, b, 0)])], 15.0).len();
    assert_eq!((queues(1501, 100), queues(1500, 110)), (3, 0));
}

#[test]
fn data_skew_needs_both_skews_at_the_same_instance() {
    let both = [skew(SymptomKind::ProcessingRateSkew), skew(SymptomKind::WaitQueueSkew)];
    let reading = read(&[(123.0, 10_000, 5000), (0.0, 500, 2000), (0.0, 500, 2000)]);
    assert_eq!(data_skew(&with(&reading, &[]), &reading), None);
    assert_eq!(data_skew(&with(&reading, &both), &reading), Some(Diagnosis::DataSkew(vec![InstanceId::new(FLATMAP, 0)])));
    let short = read(&[(123.0, 1, 5000), (0.0, 500, 2000), (0.0, 500, 2000)]);
    assert_eq!(data_skew(&with(&short, &both), &short), None);
    let slow = read(&[(123.0, 10_000, 100), (0.0, 500, 2000), (0.0, 500, 2000)]);
    assert_eq!(data_skew(&with(&slow, &both), &slow), None);
}

#[test]
fn a_slow_instance_has_a_long_queue_and_the_usual_rate() {
    let reading = read(&[(123.0, 1000, 0), (0.0, 20, 0), (0.0, 20, 0)]);
    assert_eq!(slow_instance(&with(&reading, &[]), &reading), None);
    let queue = skew(SymptomKind::WaitQueueSkew);
    let found = slow_instance(&with(&reading, std::slice::from_ref(&queue)), &reading);
    assert_eq!(found, Some(Diagnosis::SlowInstance(vec![InstanceId::new(FLATMAP, 0)])));
    assert_eq!(slow_instance(&with(&reading, &[queue, skew(SymptomKind::ProcessingRateSkew)]), &reading), None);
}

#[test]
fn too_few_instances_is_what_remains_without_skew() {
    let reading = read(&[(500.0, 0, 0)]);
    assert_eq!(under_provisioning(&with(&reading, &[]), &reading), Some(Diagnosis::UnderProvisioned(FLATMAP)));
    assert_eq!(under_provisioning(&with(&reading, &[skew(SymptomKind::WaitQueueSkew)]), &reading), None);
    assert_eq!(under_provisioning(&with(&reading, &[skew(SymptomKind::ProcessingRateSkew)]), &reading), None);
    assert_eq!(under_provisioning(&[], &reading), None);
}

#[test]
fn one_operator_with_backpressure_is_judged_and_several_are_not() {
    let reading = read(&[(500.0, 0, 0)]);
    let mut other = reading.clone();
    other.operator = OperatorId(2);
    assert_eq!(component_with_backpressure(&[]), Ok(None));
    assert_eq!(component_with_backpressure(&symptoms_of(&reading)), Ok(Some(FLATMAP)));
    assert_eq!(component_with_backpressure(&[symptoms_of(&reading), symptoms_of(&other)].concat()), Err(SeveralComponents(2)));
}

#[test]
fn parallelism_grows_by_the_time_held_back_and_at_most_fivefold() {
    let grown = |backpressure: &[f64]| scaled_up(backpressure.len() as u32, backpressure.iter().sum(), 4.0);
    assert_eq!(grown(&[500.0, 0.0]), 4);
    assert_eq!(grown(&[750.0, 0.0]), 8);
    assert_eq!(grown(&[400.0, 100.0, 0.0]), 6);
    assert_eq!(grown(&[1000.0]), 5);
    assert_eq!(grown(&[900.0, 900.0]), 10);
    assert_eq!(scaled_up(1, 750.0, 4.0) - 1, 3, "what 1 -> 4 adds");
}

#[test]
fn the_policy_waits_asks_until_it_is_heard_and_waits_again() {
    let config = HeronConfig::published();
    let mut heron = Heron::new(fixture::word_count(), config.clone());
    let mut decide = |end: f64, flatmap: u32, shares: &[f64]| {
        let mut observation = fixture::idle(&fixture::word_count(), &fixture::instances(flatmap, 1), end, 60.0);
        let loads: Vec<_> = shares.iter().map(|&share| (share, 2000, 1000)).collect();
        fixture::loads(&mut observation, FLATMAP, &loads);
        match heron.decide(observation.window.end, &observation) {
            Decision::Hold(reason) => reason.rule,
            Decision::Rescale(plan, reason) => format!("{} {}", reason.rule, plan.rescales[&FLATMAP]),
        }
    };
    assert_eq!(decide(60.0, 1, &[1.0]), "between-runs");
    assert_eq!(decide(120.0, 1, &[0.75]), "under-provisioned 4");
    assert_eq!(decide(180.0, 1, &[0.75]), "under-provisioned 4", "as long as nothing has changed");
    assert_eq!(decide(250.0, 4, &[0.0; 4]), "between-runs");
    assert_eq!(decide(310.0, 4, &[0.0; 4]), "between-runs");
    assert_eq!(decide(370.0, 4, &[0.0; 4]), "healthy");
    assert_eq!(decide(430.0, 4, &[0.1; 4]), "between-runs");
    assert_eq!(decide(490.0, 4, &[0.25; 4]), "under-provisioned 20");
}

#[test]
fn several_operators_with_backpressure_are_refused_once_and_then_the_worst_is_judged() {
    let run = |config: HeronConfig| {
        let mut heron = Heron::new(fixture::word_count(), config);
        let decide = |minute: u32| {
            let end = f64::from(minute) * 60.0;
            let mut observation = fixture::idle(&fixture::word_count(), &fixture::instances(1, 1), end, 60.0);
            fixture::loads(&mut observation, FLATMAP, &[(0.2, 2000, 1000)]);
            fixture::loads(&mut observation, OperatorId(2), &[(0.75, 2000, 1000)]);
            match heron.decide(observation.window.end, &observation) {
                Decision::Hold(reason) => reason.rule,
                Decision::Rescale(plan, _) => format!("{:?}", plan.rescales),
            }
        };
        (1..=8).map(decide).filter(|rule| rule != "between-runs").collect::<Vec<_>>()
    };
    let refused = "several-components";
    assert_eq!(run(HeronConfig::published())[..2], [refused, "{OperatorId(2): 4}"]);
    // As Heron itself: an exception every time.
    assert_eq!(run(HeronConfig { given_up_runs: u32::MAX, ..HeronConfig::published() }), [refused; 4]);
}
