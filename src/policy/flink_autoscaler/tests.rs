//! The facts of the autoscaler's own unit tests, rule by rule, and how the parts work together over
//! time.
//!
//! Facts give (instances, target rate, true rate, utilisation) without a lag and without capacity
//! for a restart unless said.

use proptest::prelude::*;

use super::*;
use crate::policy::fixture;
use crate::rate::Rate;

/// Bins of most facts; 720 key groups.
const GROUPS: Bounds = Bounds { most: u32::MAX, bins: Some(720) };
const NO_GROUPS: Bounds = Bounds { most: u32::MAX, bins: None };

fn without_restart() -> FlinkAutoscalerConfig {
    FlinkAutoscalerConfig { restart_s: 0.0, catch_up_s: 0.0, ..FlinkAutoscalerConfig::published() }
}

fn load(target: f64) -> Load {
    Load { target, catch_up: 0.0 }
}

#[test]
fn parallelism_follows_target_over_true_rate() {
    // papers/flink-autoscaler.md#facts
    for (instances, target, true_rate, utilisation, bounds, expected) in [
        (10, 50.0, 100.0, 1.0, GROUPS, 5),
        (10, 50.0, 100.0, 0.8, NO_GROUPS, 7),
        (10, 50.0, 100.0, 0.8, GROUPS, 8),
        (10, 80.0, 100.0, 0.8, GROUPS, 10),
        (10, 60.0, 100.0, 0.8, GROUPS, 8),
        (10, 59.0, 100.0, 0.8, GROUPS, 8),
        (2, 100.0, 40.0, 0.5, GROUPS, 10),
        (2, 100.0, 100.0, 0.6, GROUPS, 4),
    ] {
        let config = FlinkAutoscalerConfig { utilisation_target: utilisation, ..without_restart() };
        let found = recommend(instances, load(target), true_rate, bounds, &[], &config);
        assert_eq!(found.instances, expected, "{instances} instances, {target} of {true_rate} at {utilisation}");
    }
}

#[test]
fn a_step_is_capped_both_ways() {
    // papers/flink-autoscaler.md#facts
    for (target, true_rate, down, up, expected) in
        [(10.0, 100.0, 0.5, 1e5, 5), (10.0, 100.0, 0.6, 1e5, 4), (200.0, 10.0, 0.6, 0.5, 15), (200.0, 10.0, 0.6, 0.6, 16)]
    {
        let config = FlinkAutoscalerConfig { utilisation_target: 1.0, most_scale_down: down, most_scale_up: up, ..without_restart() };
        assert_eq!(recommend(10, load(target), true_rate, GROUPS, &[], &config).instances, expected, "{target} of {true_rate}");
    }
}

#[test]
fn parallelism_is_scaled_rounded_up_and_bounded() {
    // papers/flink-autoscaler.md#facts
    let config = FlinkAutoscalerConfig { max_parallelism: 720, ..FlinkAutoscalerConfig::published() };
    for (instances, factor, expected) in
        [(1, 0.0001, 1), (2, 0.1, 1), (6, 0.8, 5), (16, 1.5, 24), (200, 2.0, 400), (200, f64::from(i32::MAX), 720)]
    {
        assert_eq!(scale(instances, factor, NO_GROUPS, &config), expected, "{instances} x {factor}");
    }
    let narrow = FlinkAutoscalerConfig { min_parallelism: 4, max_parallelism: 10, ..config };
    assert_eq!((scale(8, 0.1, NO_GROUPS, &narrow), scale(8, 9.0, NO_GROUPS, &narrow)), (4, 10));
    // Outside already: may stay, goes no further.
    assert_eq!((scale(2, 0.1, NO_GROUPS, &narrow), scale(20, 9.0, NO_GROUPS, &narrow)), (2, 20));
    assert_eq!(scale(8, f64::NAN, NO_GROUPS, &narrow), 4);
}

#[test]
fn parallelism_is_fitted_to_the_bins() {
    // papers/flink-autoscaler.md#facts
    let scaled = |instances, factor, bins, most, alignment| {
        let config = FlinkAutoscalerConfig { max_parallelism: most, alignment, ..FlinkAutoscalerConfig::published() };
        scale(instances, factor, Bounds { most: u32::MAX, bins: Some(bins) }, &config)
    };
    assert_eq!(scaled(16, 1.5, 128, 200, Alignment::Balanced), 26);
    assert_eq!(scaled(16, 1.5, 128, 200, Alignment::EvenlySpread), 32);
    assert_eq!(scaled(16, 1.5, 128, 200, Alignment::Off), 24);
    assert_eq!(scaled(6, 0.8, 36, 200, Alignment::Balanced), 6);
    assert_eq!(scaled(200, 1.3, 720, 720, Alignment::EvenlySpread), 360);
    assert_eq!(scaled(22, 1.1, 35, 30, Alignment::Balanced), 25, "none suits up to 30: as computed");
    // Never more instances than bins.
    assert_eq!(scaled(4, 100.0, 16, 200, Alignment::Balanced), 16);
}

#[test]
fn what_does_not_change_is_not_aligned_and_a_scale_down_stays_one() {
    // papers/flink-autoscaler.md#alignment: (present, factor, bins) and what comes of it, balanced and evenly spread.
    for (present, factor, bins, balanced, evenly) in [
        // 4096 bins leave the fullest of 12 fewer than the fullest of 11, and no wish to have more
        // than 11.
        (11, 1.0, 4096, 11, 11),
        (11, 1.05, 4096, 13, 16),
        // 16 divide the bins between 9 and 20; between 9 and 15 nothing does.
        (20, 0.45, 4096, 10, 16),
        (15, 0.6, 4096, 10, 9),
        // The divisor may be what there is: then it stays.
        (16, 0.6, 4096, 11, 16),
        (6, 0.8, 36, 6, 6),
    ] {
        let scaled = |alignment| {
            let config = FlinkAutoscalerConfig { alignment, ..FlinkAutoscalerConfig::published() };
            scale(present, factor, Bounds { most: u32::MAX, bins: Some(bins) }, &config)
        };
        let found = (scaled(Alignment::Balanced), scaled(Alignment::EvenlySpread));
        assert_eq!(found, (balanced, evenly), "{present} x {factor} of {bins}");
    }
}

#[test]
fn what_is_expected_is_of_the_instances_there_will_be() {
    // papers/flink-autoscaler.md#parallelism: 12 would do, there may be 10; 10 of 16 bins become 16.
    let config = FlinkAutoscalerConfig { utilisation_target: 1.0, ..without_restart() };
    let narrow = recommend(5, load(120.0), 50.0, Bounds { most: 10, bins: None }, &[], &config);
    assert_eq!((narrow.instances, narrow.expected), (10, 100.0));
    let aligned = recommend(5, load(100.0), 50.0, Bounds { most: 64, bins: Some(16) }, &[], &config);
    assert_eq!((aligned.instances, aligned.expected), (16, 160.0));
}

#[test]
fn the_band_counts_the_lag_and_the_restart() {
    // papers/flink-autoscaler.md#facts
    let config = FlinkAutoscalerConfig { utilisation_max: 0.9, utilisation_min: 0.7, utilisation_target: 0.8, ..without_restart() };
    let with = |restart_s, catch_up_s| FlinkAutoscalerConfig { restart_s, catch_up_s, ..config.clone() };
    let lagging = Load { target: 700.0, catch_up: 350.0 };
    for (load, backlog, config, expected) in [
        (load(700.0), Backlog::No, with(0.0, 0.0), (778.0, 1000.0)),
        (lagging, Backlog::No, with(1.0, 2.0), (1128.0, 1700.0)),
        (load(700.0), Backlog::No, with(1.0, 2.0), (778.0, 1350.0)),
        (lagging, Backlog::Yes, with(1.0, 2.0), (1050.0, f64::INFINITY)),
        (load(700.0), Backlog::Yes, with(1.0, 2.0), (700.0, f64::INFINITY)),
        (lagging, Backlog::No, with(300.0, 60.0), (1128.0, 4850.0)),
    ] {
        assert_eq!(thresholds(load, backlog, &config), expected, "{load:?} {backlog:?}");
    }
}

#[test]
fn a_scale_up_that_brought_too_little_blocks_the_next() {
    // papers/flink-autoscaler.md#facts
    let config = FlinkAutoscalerConfig { utilisation_target: 1.0, effectiveness_threshold: 0.1, ..without_restart() };
    let first = recommend(5, load(100.0), 50.0, GROUPS, &[], &config);
    assert_eq!((first.instances, first.expected), (10, 100.0));
    let mut history = vec![Scaling { before: 5, after: 10, true_rate: 50.0, expected: 100.0 }];
    let second = recommend(10, load(180.0), 90.0, GROUPS, &history, &config);
    assert_eq!((second.instances, second.expected), (20, 180.0));
    history.push(Scaling { before: 10, after: 20, true_rate: 90.0, expected: 180.0 });
    let third = |instances, true_rate| recommend(instances, load(180.0), true_rate, GROUPS, &history, &config);
    for (true_rate, expected, limit) in [(94.0, 20, Limit::Ineffective), (98.0, 20, Limit::Ineffective), (100.0, 36, Limit::None)] {
        let found = third(20, true_rate);
        assert_eq!((found.instances, found.limit), (expected, limit), "{true_rate}");
    }
    assert_eq!(third(10, 90.0).instances, 20, "somebody else has scaled since");
    let off = FlinkAutoscalerConfig { effectiveness_threshold: 0.0, ..config };
    assert_eq!(recommend(20, load(180.0), 94.0, GROUPS, &history, &off).limit, Limit::None);
}

#[test]
fn scalability_is_the_slope_over_the_rate_of_the_fewest() {
    // papers/flink-autoscaler.md#facts
    let config = FlinkAutoscalerConfig { scalability_least: 0.5, ..FlinkAutoscalerConfig::published() };
    let history = |rates: [f64; 3]| -> Vec<Scaling> {
        let scaling = |(before, true_rate)| Scaling { before, after: 0, true_rate, expected: 0.0 };
        [4, 2, 8].into_iter().zip(rates).map(scaling).collect()
    };
    let alpha = |rates| scalability(&history(rates), &config);
    assert_eq!(alpha([200.0, 100.0, 400.0]), 1.0);
    assert!((0.9..1.0).contains(&alpha([196.0, 99.0, 390.0])));
    assert!((0.4..0.9).contains(&alpha([160.0, 96.0, 240.0])));
    assert_eq!(alpha([120.0, 100.0, 130.0]), 0.5, "no less than it may be taken for");
    assert_eq!(scalability(&history([160.0, 96.0, 240.0])[..2], &config), 1.0, "two observations are too few");
    assert_eq!(scalability(&history([160.0, 96.0, 240.0]), &FlinkAutoscalerConfig::published()), 1.0, "off as shipped");
}

/// A minute of the word count: 20 words a sentence; an instance of FlatMap splits 100 sentences/s,
/// one of Count counts 1000 words/s.
fn minute(end_min: u32, (flatmap, count): (u32, u32), sentences: f64, lag_records: f64) -> Observation {
    let topology = fixture::word_count();
    let mut observation = fixture::idle(&topology, &fixture::instances(flatmap, count), f64::from(end_min) * 60.0, 60.0);
    let achieved = sentences.min(100.0 * f64::from(flatmap)).min(50.0 * f64::from(count));
    fixture::source(&mut observation, OperatorId(0), sentences, achieved);
    observation.sources[0].lag_records = lag_records;
    for (operator, rate, capacity, out) in [(1, achieved, 100.0, 20), (2, achieved * 20.0, 1000.0, 1)] {
        let instances = &mut observation.operators[operator].instances;
        let each = rate / instances.len() as f64;
        for instance in instances {
            instance.processed = (each * 60.0) as u64;
            instance.arrivals = instance.processed;
            instance.produced = instance.processed * out;
            instance.useful = Duration::from_secs_f64((60.0 * each / capacity).min(60.0));
        }
    }
    observation
}

/// Rules by minute while the job runs at the given rate and lag, and what it has in the end.
fn run(config: FlinkAutoscalerConfig, start: (u32, u32), load: impl Fn(u32) -> (f64, f64), minutes: u32) -> (Vec<String>, (u32, u32)) {
    let topology = fixture::word_count();
    let mut policy = FlinkAutoscaler::new(topology, config);
    let mut has = start;
    let mut rules = Vec::new();
    for end_min in 1..=minutes {
        let (sentences, lag) = load(end_min);
        let observation = minute(end_min, has, sentences, lag);
        match policy.decide(observation.window.end, &observation) {
            Decision::Hold(reason) => rules.push(reason.rule),
            Decision::Rescale(plan, reason) => {
                let to = |operator, had| plan.rescales.get(&OperatorId(operator)).copied().unwrap_or(had);
                has = (to(1, has.0), to(2, has.1));
                rules.push(format!("{} {}/{}", reason.rule, has.0, has.1));
            }
        }
    }
    (rules, has)
}

fn unaligned() -> FlinkAutoscalerConfig {
    FlinkAutoscalerConfig { alignment: Alignment::Off, ..FlinkAutoscalerConfig::published() }
}

#[test]
fn it_collects_for_twenty_minutes_and_scales_everything_at_once() {
    // 1000 sentences/s: 10 FlatMap and 20 Count at full utilisation; two thirds of them, and the
    // restart, on top.
    let (rules, has) = run(unaligned(), (10, 20), |_| (1000.0, 0.0), 41);
    assert_eq!(rules[..19], vec!["collecting-metrics"; 19]);
    // 1000/0.7 + 1000 * 300/1800 = 1595 sentences/s.
    assert_eq!(rules[19..22], ["within-band", "within-band", "within-band"], "at a utilisation of exactly 1");
    assert_eq!(has, (10, 20));
    let (rules, has) = run(unaligned(), (10, 20), |_| (1001.0, 0.0), 61);
    assert_eq!((rules[19].as_str(), has), ("outside-band 16/32", (16, 32)));
    assert_eq!(rules[20..39], vec!["collecting-metrics"; 19], "a new configuration is measured anew");
    assert!(rules[39..].iter().all(|rule| rule == "within-band"), "{rules:?}");
}

#[test]
fn a_scale_down_waits_for_an_hour_and_takes_the_most_of_it() {
    // 100 sentences/s would do with 2 FlatMap and 4 Count; in the 40th minute 300 pass by, which
    // need more.
    let load = |end_min| (if end_min == 40 { 900.0 } else { 100.0 }, 0.0);
    let (rules, has) = run(unaligned(), (10, 20), load, 80);
    assert!(rules[19..79].iter().all(|rule| rule == "scale-down-delayed"), "{rules:?}");
    // The mean of the fifteen minutes with the 40th in them: 153 sentences/s.
    assert_eq!((rules[79].as_str(), has), ("outside-band 4/8", (4, 8)), "at most six tenths are taken away");
    let at_once = FlinkAutoscalerConfig { scale_down_interval_s: 0.0, ..unaligned() };
    assert_eq!(run(at_once, (10, 20), |_| (100.0, 0.0), 20).1, (4, 8));
}

#[test]
fn nothing_shrinks_for_its_own_sake_while_a_backlog_is_worked_off() {
    let at_once = || FlinkAutoscalerConfig { scale_down_interval_s: 0.0, ..unaligned() };
    // 200,000 sentences of lag are 2000 s at 100 sentences/s.
    let (rules, has) = run(at_once(), (10, 20), |_| (100.0, 200_000.0), 25);
    assert_eq!((rules[24].as_str(), has), ("backlog", (10, 20)));
    // 299 s are no backlog.
    assert_ne!(run(at_once(), (10, 20), |_| (100.0, 29_900.0), 20).1, (10, 20));
}

#[test]
fn a_scale_down_goes_on_waiting_through_a_backlog_and_goes_along_with_a_scale_up() {
    // FlatMap is idle for the most part from the beginning, Count is as busy as it may be. From the
    // 60th to the 89th minute a backlog is worked off, in the 85th Count turns out to be too few:
    // the scale-up takes place at once, and with it what has waited for an hour.
    let run = |minutes: u32| {
        let config = FlinkAutoscalerConfig { catch_up_s: 0.0, ..unaligned() };
        let topology = fixture::word_count();
        let mut policy = FlinkAutoscaler::new(topology, config);
        let decide = |end_min| {
            let lag = if (60..90).contains(&end_min) { 1e9 } else { 0.0 };
            let mut observation = minute(end_min, (40, 20), 990.0, lag);
            if end_min >= 85 {
                observation.sources[0].offered = Rate::per_second(2000.0);
            }
            match policy.decide(observation.window.end, &observation) {
                Decision::Hold(reason) => reason.rule,
                Decision::Rescale(plan, _) => format!("{:?}", plan.rescales.values().collect::<Vec<_>>()),
            }
        };
        (1..=minutes).map(decide).collect::<Vec<_>>()
    };
    let rules = run(100);
    assert!(rules[19..59].iter().all(|rule| rule == "scale-down-delayed"), "{rules:?}");
    // The hour is over in the 80th minute: a backlog alone does not end the wait, nor is it a time
    // to scale down.
    assert!(rules[59..84].iter().all(|rule| rule == "backlog"), "{rules:?}");
    assert_eq!(rules[84], "[16, 31]", "at most six tenths are taken away; 1057 sentences/s in the mean of the window");
}

#[test]
fn a_blocking_call_is_busy_time() {
    let topology = fixture::word_count();
    let decide = |waits: f64| {
        let mut policy = FlinkAutoscaler::new(topology.clone(), unaligned());
        let decide = |end_min| {
            // FlatMap works for four tenths of the time; 1001 sentences/s are offered, 1000 come.
            let mut observation = minute(end_min, (25, 40), 1000.0, 0.0);
            observation.sources[0].offered = Rate::per_second(1001.0);
            for instance in &mut observation.operators[1].instances {
                instance.external_wait = Duration::from_secs_f64(60.0 * waits);
            }
            policy.decide(observation.window.end, &observation)
        };
        match (1..=20).map(decide).last().unwrap() {
            Decision::Hold(reason) => reason.rule,
            Decision::Rescale(plan, _) => format!("{:?}", plan.rescales[&OperatorId(1)]),
        }
    };
    assert_eq!(decide(0.0), "scale-down-delayed");
    assert_eq!(decide(0.6), "40", "busy all the time");
}

#[test]
fn the_true_rate_is_a_mean_of_observations_over_a_mean_of_observations() {
    // papers/flink-autoscaler.md#estimator: 60 s at 100 records/s with the busiest instance half busy, then 180 s at 300 all busy.
    let topology = fixture::word_count();
    let rate = |busy_aggregator| {
        let config = FlinkAutoscalerConfig { stabilisation_s: 0.0, busy_aggregator, ..FlinkAutoscalerConfig::published() };
        let mut samples = Samples::default();
        for (end, length, records, busy) in [(60.0, 60.0, 3000, [30, 0]), (240.0, 180.0, 27_000, [0, 180])] {
            let mut observation = fixture::idle(&topology, &fixture::instances(2, 1), end, length);
            for (instance, busy_s) in observation.operators[1].instances.iter_mut().zip(busy) {
                (instance.processed, instance.useful) = (records, Duration::from_secs(busy_s));
            }
            samples.push(&observation, &config);
        }
        samples.true_rate(OperatorId(1), &config)
    };
    // (100 + 300) / (0.5 + 1), not 60,000 records over 240 s and the means of shares, nor over the
    // busiest instance's 180 s.
    assert!((rate(BusyAggregator::Max) - 400.0 / 1.5).abs() < 1e-9, "{}", rate(BusyAggregator::Max));
    assert!((rate(BusyAggregator::Avg) - 60_000.0 / 105.0).abs() < 1e-9, "{}", rate(BusyAggregator::Avg));
    assert_eq!(rate(BusyAggregator::Min), f64::INFINITY);
}

#[test]
fn a_lag_asks_for_the_capacity_to_work_it_off() {
    // 900 sentences/s are within the band of 10/20; 900,000 of lag are 500 sentences/s more over
    // half an hour.
    assert_eq!(run(unaligned(), (10, 20), |_| (900.0, 0.0), 20).1, (10, 20));
    // 500 + 900/0.7 + 900/6 = 1936 sentences/s.
    assert_eq!(run(unaligned(), (10, 20), |_| (900.0, 900_000.0), 20).1, (20, 39));
}

#[test]
fn an_idle_job_shrinks_by_the_largest_step() {
    let at_once = FlinkAutoscalerConfig { scale_down_interval_s: 0.0, ..unaligned() };
    let (rules, has) = run(at_once, (10, 20), |_| (0.0, 0.0), 61);
    assert_eq!((rules[19].as_str(), rules[39].as_str(), has), ("outside-band 4/8", "outside-band 2/4", (1, 2)));
}

#[test]
fn the_busiest_instance_stands_for_all_unless_told_otherwise() {
    let topology = fixture::word_count();
    for (busy_aggregator, expected) in [(BusyAggregator::Max, "1/16/20/1"), (BusyAggregator::Avg, "hold"), (BusyAggregator::Min, "hold")] {
        let mut policy = FlinkAutoscaler::new(topology.clone(), FlinkAutoscalerConfig { busy_aggregator, ..unaligned() });
        let decide = |end_min| {
            // Sentences are even, the time they take is not: one instance of FlatMap is busy all
            // the time, the others six tenths.
            let mut observation = minute(end_min, (10, 20), 600.0, 0.0);
            observation.sources[0].offered = Rate::per_second(601.0);
            observation.operators[1].instances[3].useful = Duration::from_secs(60);
            policy.decide(observation.window.end, &observation)
        };
        let last = (1..=20).map(decide).last().unwrap();
        let after = match last {
            Decision::Hold(_) => "hold".to_owned(),
            Decision::Rescale(plan, _) => plan.apply(&topology, &fixture::instances(10, 20)).unwrap().to_string(),
        };
        assert_eq!(after, expected, "{busy_aggregator:?}");
    }
}

#[test]
fn edges_have_ratios_of_their_own() {
    // Two sources into one join, one of which goes elsewhere too: 100 + 50 records a second into
    // the join, 100 into the log.
    let topology = Topology::new(
        &[("a", Role::Source, 1), ("b", Role::Source, 1), ("join", Role::Keyed { bins: 16 }, 9), ("log", Role::Stateless, 9)],
        &[(0, 2), (1, 2), (0, 3)],
    )
    .unwrap();
    let mut observation = fixture::idle(&topology, &Configuration::ones(&topology), 900.0, 900.0);
    fixture::source(&mut observation, OperatorId(0), 200.0, 100.0);
    fixture::source(&mut observation, OperatorId(1), 50.0, 50.0);
    for (operator, rate) in [(2, 150), (3, 100)] {
        let instance = &mut observation.operators[operator].instances[0];
        (instance.processed, instance.arrivals) = (rate * 900, rate * 900);
    }
    let config = FlinkAutoscalerConfig { stabilisation_s: 0.0, ..FlinkAutoscalerConfig::published() };
    let mut samples = Samples::default();
    assert!(samples.push(&observation, &config));
    let targets: Vec<f64> = samples.loads(&topology, &config).iter().map(|load| load.target.round()).collect();
    assert_eq!(targets, [200.0, 50.0, 250.0, 200.0]);
}

#[test]
fn what_makes_no_sense_is_named() {
    let refused = |config: FlinkAutoscalerConfig| config.check().unwrap_err();
    assert!(
        refused(FlinkAutoscalerConfig { utilisation_target: 0.0, ..unaligned() }).starts_with("utilisation_target: expected 0.01 to 1")
    );
    assert!(refused(FlinkAutoscalerConfig { catch_up_s: f64::NAN, ..unaligned() }).starts_with("catch_up_s"));
    assert!(refused(FlinkAutoscalerConfig { max_parallelism: 0, ..unaligned() }).starts_with("max_parallelism"));
}

proptest! {
    #[test]
    fn recommendations_are_in_range_and_grow_with_the_load(
        (instances, most, bins) in (1u32..300, 1u32..400, prop::option::of(1u32..5000)),
        (target, more, catch_up) in (0.0..1e12, 0.0..1e12, 0.0..1e12),
        true_rate in prop_oneof![Just(f64::INFINITY), 1e-3..1e12],
    ) {
        let config = unaligned();
        let bounds = Bounds { most, bins };
        let of = |target| recommend(instances, Load { target, catch_up }, true_rate, bounds, &[], &config).instances;
        let (low, high) = (of(target), of(target + more));
        prop_assert!(low >= 1 && high <= most.max(1) && low <= high, "{low} {high}");
        let aligned = recommend(instances, load(target), true_rate, bounds, &[], &FlinkAutoscalerConfig::published()).instances;
        prop_assert!((1..=most).contains(&aligned));
    }
}
