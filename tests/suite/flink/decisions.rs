//! What a driver does with a job: one joint rescale, nothing that is not allowed, nothing twice, whatever happens to it or to the job.

use thalweg::flink::{Allowed, Ending, LinkError, Recording, Replay, Request, What};

use super::fake::Fake;
use super::virtual_time::{Heard, Named, RESCALES, Virtual, at, config, driven, named};

/// 900 records a second for 1, 2 and 0.2 ms: two and three instances would do, one of each does not.
fn overloaded() -> Fake {
    Fake::new(900.0, [1.8, 2.6, 0.1])
}

fn drive(fake: Fake, seconds: u64, prepare: &mut Named) -> (Virtual, Heard) {
    let mut link = Virtual::new(fake, seconds);
    let (ended, heard) = driven(&mut link, RESCALES, &config(), prepare);
    assert_eq!(ended.unwrap(), Ending::Stopped, "{}", heard.lines());
    (link, heard)
}

#[test]
fn critical_path_and_ds2_rescale_both_vertices_at_once_and_the_job_keeps_up() {
    for policy in ["critical-path", "ds2"] {
        let (link, heard) = drive(overloaded(), 300, &mut named(policy));
        let fake = link.fake.borrow();
        let lines = heard.lines();
        assert!((1..=2).contains(&fake.puts().len()), "{policy}: {lines}");
        let first: serde_json::Value = serde_json::from_str(fake.puts()[0]).unwrap();
        assert_eq!(first.as_object().unwrap().len(), 4, "every vertex is named");
        let parallelism = fake.parallelism();
        assert!(
            (2..=4).contains(&parallelism[1]) && (3..=5).contains(&parallelism[2]) && parallelism[0] == 1,
            "{policy}: {parallelism:?} {lines}"
        );
        assert!(fake.lag() < 50.0, "{policy}: lag {} {lines}", fake.lag());
        assert_eq!(heard.count(|what| matches!(what, What::Reached { .. })), fake.puts().len(), "{lines}");
        assert!(heard.observations.iter().all(|observation| observation.doubts.is_empty()), "{policy}: doubts");
    }
}

#[test]
fn what_is_measured_is_what_the_job_does() {
    let (link, heard) = drive(Fake::new(300.0, [1.0, 2.0, 0.1]), 100, &mut named("hold"));
    let fake = link.fake.borrow();
    assert!(fake.puts().is_empty() && fake.log.iter().all(|logged| logged.method == "GET"));
    assert!(heard.observations.len() >= 7, "{}", heard.lines());
    for observation in &heard.observations {
        let near = |found: f64, expected: f64| (found - expected).abs() <= expected.abs() * 0.02 + 0.01;
        let source = &observation.sources[0];
        assert!(near(source.offered.as_per_second(), 300.0) && near(source.achieved.as_per_second(), 300.0), "{source:?}");
        let [_, split, count, sink] = observation.operators.as_slice() else { panic!("four operators") };
        assert!(near(split.utilisation(), 0.3) && near(count.utilisation(), 0.6) && near(sink.utilisation(), 0.03));
        assert!(near(count.true_processing_rate().unwrap().as_per_second(), 500.0));
        assert!(observation.latency.ns_p50.is_some());
    }
    assert!(heard.told.iter().all(|told| told.checkpoint.is_some()));
}

#[test]
fn counters_are_read_when_all_of_them_have_come() {
    // As on a real cluster, asking is what makes it fetch metrics.
    let (_, heard) = drive(Fake { fetches: true, ..Fake::new(300.0, [1.0, 2.0, 0.1]) }, 100, &mut named("hold"));
    assert!(heard.observations.len() >= 7, "{}", heard.lines());
    for observation in &heard.observations {
        for operator in &observation.operators[1..3] {
            assert!((operator.selectivity().unwrap() - 1.0).abs() < 0.005, "{operator:?}");
        }
    }
}

#[test]
fn waits_are_charged_to_who_causes_them() {
    // 'count' is too slow: buffers fill up to the source, and split is held up.
    let (_, heard) = drive(Fake::new(900.0, [0.4, 2.6, 0.1]), 60, &mut named("hold"));
    assert!(heard.told.len() > 10);
    for told in &heard.told {
        assert!(told.waits.iter().all(|wait| wait.hop.queue_ms == 0.0 || wait.blamed == (2, 0) || wait.hop.queue_ms <= 2.0), "{told:?}");
    }
    let last = heard.observations.last().unwrap();
    assert!(last.operators[2].backpressure_sum() > 0.3 && last.sources[0].lag_records > 1000.0);
}

#[test]
fn advice_only_reads_and_a_trigger_triggers_nothing_else() {
    for trigger in [false, true] {
        let fake = Fake { checkpoints_every_ms: None, ..overloaded() };
        let mut link = Virtual::new(fake, 120);
        let config = thalweg::flink::DriveConfig { advise: true, ..config() };
        let (_, heard) = driven(&mut link, Allowed { trigger, rescale: false }, &config, &mut named("ds2"));
        let fake = link.fake.borrow();
        let changes: Vec<_> = fake.log.iter().filter(|logged| logged.method != "GET").collect();
        assert!(heard.count(|what| matches!(what, What::Advises { .. })) >= 3, "{}", heard.lines());
        assert_eq!(changes.is_empty(), !trigger);
        assert!(changes.iter().all(|logged| logged.method == "POST" && logged.path.ends_with("/checkpoints")), "{changes:?}");
        assert_eq!(heard.told.iter().any(|told| told.checkpoint.is_some()), trigger);
        assert_eq!(fake.parallelism(), [1, 1, 1, 1]);
    }
}

#[test]
fn a_trigger_is_told_once_the_cluster_has_taken_it() {
    for refuses in [false, true] {
        let mut link = Virtual::new(overloaded(), 60);
        link.spoil = Some(Box::new(move |request: &Request, answer| {
            Ok(if refuses && request.method.to_string() == "POST" { (400, r#"{"errors":["not now"]}"#.to_owned()) } else { answer })
        }));
        let (_, heard) = driven(&mut link, Allowed { trigger: true, rescale: true }, &config(), &mut named("ds2"));
        let lines = heard.lines();
        assert_eq!(heard.count(|what| matches!(what, What::Triggered { .. })), usize::from(!refuses), "{lines}");
        assert_eq!(heard.count(|what| matches!(what, What::Trouble { .. })), usize::from(refuses), "{lines}");
        // The job goes on from its last checkpoint.
        assert_eq!(heard.count(|what| matches!(what, What::Reached { .. })), 1, "{lines}");
        assert_eq!(heard.news.iter().filter(|news| matches!(news.what, What::Requested { .. })).count(), 1, "{lines}");
    }
}

#[test]
fn a_vertex_that_has_finished_counts_as_idle_and_the_rest_is_driven() {
    // Two instances of a source that ends while a queue of some seconds is left.
    let mut fake = Fake { upper: vec![2, 1, 1, 1], rate: 100.0, ..Fake::new(100.0, [1.0, 2.0, 0.1]) };
    fake.vertices[0].parallelism = 2;
    let mut link = Virtual::new(fake, 120);
    link.events = vec![at(42, |fake| {
        fake.source_finished = true;
        fake.vertices[1].queue = 60_000.0;
    })];
    let (ended, heard) = driven(&mut link, RESCALES, &config(), &mut named("ds2"));
    let lines = heard.lines();
    assert_eq!(ended.unwrap(), Ending::Stopped, "{lines}");
    assert_eq!(heard.count(|what| matches!(what, What::Restarting { .. } | What::Running { .. } | What::Unknown { .. })), 0, "{lines}");
    assert_eq!(heard.count(|what| matches!(what, What::Note { note } if note.contains("'source' have finished"))), 1, "{lines}");
    let later = heard.observations.iter().filter(|observation| observation.window.start.as_secs_f64() > 42.0);
    let (mut windows, mut served) = (0, 0);
    for observation in later {
        assert_eq!((observation.sources[0].achieved.as_per_second(), observation.operators[0].utilisation()), (0.0, 0.0));
        (windows, served) = (windows + 1, served + observation.operators[2].processed());
    }
    assert!(windows >= 4 && served > 1000, "{windows} windows, {served} records: {lines}");
    let sources = link.fake.borrow().puts().iter().map(|put| serde_json::from_str::<serde_json::Value>(put).unwrap()).collect::<Vec<_>>();
    assert!(sources.iter().all(|put| put.as_object().unwrap().len() == 4), "{sources:?}");
    assert_eq!(link.fake.borrow().parallelism()[0], 2, "{lines}");
}

#[test]
fn without_checkpoints_lag_or_aligned_barriers_counters_are_enough() {
    for fake in [
        Fake { checkpoints_every_ms: None, ..overloaded() },
        Fake { unaligned: true, ..overloaded() },
        Fake { says_pending: false, ..overloaded() },
    ] {
        let (link, heard) = drive(fake, 400, &mut named("ds2"));
        let fake = link.fake.borrow();
        assert!(fake.lag() < 50.0, "lag {} {}", fake.lag(), heard.lines());
        let is_measured = !fake.unaligned && fake.checkpoints_every_ms.is_some();
        assert!(heard.told.iter().all(|told| told.checkpoint.is_some() == is_measured), "unaligned barriers are no epochs");
    }
}

#[test]
fn a_killed_driver_that_starts_again_does_nothing_twice() {
    let whole = drive(overloaded(), 200, &mut named("ds2")).0;
    let (puts, end) = (whole.fake.borrow().puts().len(), whole.fake.borrow().parallelism());
    let mut random = fastrand::Rng::with_seed(20);
    for _ in 0..20 {
        let mut link = Virtual { killed_after: random.usize(1..whole.asked), ..Virtual::new(overloaded(), 200) };
        let _ = driven(&mut link, RESCALES, &config(), &mut named("ds2"));
        let mut again = link.again(200);
        let (ended, heard) = driven(&mut again, RESCALES, &config(), &mut named("ds2"));
        assert_eq!(ended.unwrap(), Ending::Stopped);
        let fake = again.fake.borrow();
        let requests = fake.puts();
        assert!(requests.windows(2).all(|pair| pair[0] != pair[1]), "killed after {} requests: {}", link.killed_after, heard.lines());
        assert!(requests.len() <= puts + 1 && fake.restarts as usize == requests.len(), "killed after {}: {requests:?}", link.killed_after);
        assert!(
            fake.lag() < 50.0 && fake.parallelism().iter().zip(&end).all(|(has, had)| has.abs_diff(*had) <= 1),
            "{:?}",
            fake.parallelism()
        );
    }
}

#[test]
fn a_policy_never_sees_a_restart_or_the_catching_up_after_it() {
    let mut link = Virtual::new(Fake::new(300.0, [1.0, 2.0, 0.1]), 200);
    link.events = vec![at(44, Fake::restart), at(97, Fake::restart)];
    let (_, heard) = driven(&mut link, RESCALES, &config(), &mut named("hold"));
    for observation in &heard.observations {
        for restart in [44.0, 97.0] {
            let (start, end) = (observation.window.start.as_secs_f64(), observation.window.end.as_secs_f64());
            assert!(end <= restart + 1.0 || start >= restart + 5.0, "{start} to {end}");
        }
        assert!(observation.sources[0].lag_records < 40.0);
    }
    assert!(heard.count(|what| matches!(what, What::Running { .. })) >= 2, "{}", heard.lines());
}

#[test]
fn what_others_request_is_told_and_not_undone() {
    let mut link = Virtual::new(Fake::new(300.0, [1.0, 2.0, 0.1]), 150);
    link.events = vec![at(50, |fake| fake.someone_requests([1, 2, 3, 1]))];
    let (_, heard) = driven(&mut link, RESCALES, &config(), &mut named("hold"));
    assert_eq!(heard.count(|what| matches!(what, What::ChangedByOthers { .. })), 1, "{}", heard.lines());
    assert!(link.fake.borrow().puts().is_empty());
    assert_eq!(heard.observations.last().unwrap().configuration.to_string(), "1/2/3/1");
}

#[test]
fn what_the_slots_do_not_give_is_taken_back_and_not_tried_again_at_once() {
    // As a cluster that takes the request and has fewer slots than it said.
    let fake = Fake { slots: 2, ..Fake::new(900.0, [0.4, 2.6, 0.1]) };
    let mut prepare = Named { limits: |limits| limits.slots = Some(16), ..named("ds2") };
    let mut link = Virtual::new(fake, 120);
    let (_, heard) = driven(&mut link, RESCALES, &config(), &mut prepare);
    let fake = link.fake.borrow();
    assert!(heard.count(|what| matches!(what, What::NotReached { .. })) >= 1, "{}", heard.lines());
    assert_eq!(fake.upper(), [1, 1, 1, 1], "{}", heard.lines());
    assert!(fake.puts().len() <= 4, "backs off: {}", heard.lines());
    // Within what there is it is not asked for.
    let fake = Fake { slots: 2, ..Fake::new(900.0, [0.4, 2.6, 0.1]) };
    let (link, heard) = drive(fake, 120, &mut named("ds2"));
    let fake = link.fake.borrow();
    assert!(fake.parallelism()[2] == 2 && fake.parallelism().iter().all(|instances| *instances <= 2), "{}", heard.lines());
    assert_eq!(heard.count(|what| matches!(what, What::NotReached { .. })), 0, "{}", heard.lines());
}

#[test]
fn a_job_that_lacks_slots_grows_again_in_what_a_plan_leaves() {
    // Asked for a source of three, it runs two since a TaskManager was lost.
    let mut fake = Fake { slots: 2, upper: vec![3, 1, 1, 1], ..Fake::new(900.0, [0.4, 2.6, 0.1]) };
    fake.vertices[0].parallelism = 2;
    let mut link = Virtual::new(fake, 200);
    link.events = vec![at(120, |fake| {
        fake.slots = 8;
        fake.restart();
    })];
    let (_, heard) = driven(&mut link, RESCALES, &config(), &mut named("ds2"));
    let fake = link.fake.borrow();
    let first: serde_json::Value = serde_json::from_str(fake.puts()[0]).unwrap();
    let uppers: Vec<u64> = first.as_object().unwrap().values().map(|of| of["parallelism"]["upperBound"].as_u64().unwrap()).collect();
    // Nothing else may have more than the two slots.
    assert!(
        uppers.iter().filter(|upper| **upper == 3).count() == 1 && uppers.iter().all(|upper| *upper <= 3),
        "{uppers:?} {}",
        heard.lines()
    );
    assert!(heard.count(|what| matches!(what, What::Reached { .. })) >= 1, "{}", heard.lines());
    assert_eq!((fake.upper()[0], fake.parallelism()[0]), (3, 3), "{}", heard.lines());
}

#[test]
fn bounds_and_exclusions_hold() {
    let prepare = || Named {
        limits: |limits| {
            limits.excluded[1] = true;
            limits.bounds[2] = (1, 2);
        },
        ..named("ds2")
    };
    let (link, _) = drive(overloaded(), 200, &mut prepare());
    assert_eq!(link.fake.borrow().parallelism()[1..3], [1, 2]);
    let mut aligned = Named { limits: |limits| limits.align = true, ..named("ds2") };
    let (link, _) = drive(overloaded(), 200, &mut aligned);
    assert!(link.fake.borrow().parallelism().iter().all(|instances| 64 % instances == 0), "{:?}", link.fake.borrow().parallelism());
}

#[test]
fn a_recorded_session_gives_the_same_decisions() {
    for policy in ["ds2", "critical-path", "dhalion", "flink-autoscaler"] {
        let mut lines = Vec::new();
        let mut recording = Recording::begin(Box::new(Virtual::new(overloaded(), 150)), &mut lines, serde_json::json!(["x"])).unwrap();
        let (first, then) = driven(&mut recording, RESCALES, &config(), &mut named(policy));
        recording.finish().unwrap();
        let mut replay = Replay::begin(lines.as_slice()).unwrap();
        let (second, again) = driven(&mut replay, RESCALES, &config(), &mut named(policy));
        assert!(replay.damage().is_none());
        assert_eq!((first.unwrap(), second.unwrap()), (Ending::Stopped, Ending::Stopped));
        assert_eq!((then.lines(), &then.events), (again.lines(), &again.events), "{policy}");
        assert!(!then.events.is_empty());
        assert!(!String::from_utf8(lines.clone()).unwrap().contains("s3cret"), "other settings are not kept");
        // That of a driver that was killed ends where it was, whatever it was doing.
        let text = String::from_utf8(lines.clone()).unwrap();
        let all: Vec<&str> = text.lines().collect();
        for kept in (1..all.len()).step_by(all.len() / 20 + 1) {
            let killed = all[..kept].join("\n") + "\n";
            let mut replay = Replay::begin(killed.as_bytes()).unwrap();
            let ended = driven(&mut replay, RESCALES, &config(), &mut named(policy)).0;
            assert!(replay.damage().is_none() && ended.unwrap() == Ending::Stopped, "{policy}, {kept} lines");
        }
        // With another policy the session soon has no answers, and says so.
        let mut replay = Replay::begin(lines.as_slice()).unwrap();
        let other = driven(&mut replay, RESCALES, &config(), &mut named("hold")).0;
        assert!(other.is_err() || replay.damage().is_some() || !then.lines().contains("rescales"), "{policy}");
    }
}

#[test]
fn schedulers_that_cannot_be_driven_are_refused_with_the_missing_setting() {
    for scheduler in [Some("Default"), None] {
        let fake = Fake { scheduler: scheduler.map(str::to_owned), ..overloaded() };
        let (ended, _) = driven(&mut Virtual::new(fake, 60), RESCALES, &config(), &mut named("ds2"));
        assert!(ended.unwrap_err().to_string().contains("jobmanager.scheduler: adaptive"));
    }
}

#[test]
fn a_job_that_ends_ends_the_drive_and_an_outage_does_not() {
    for state in ["FINISHED", "CANCELED", "FAILED"] {
        let mut link = Virtual::new(Fake::new(300.0, [1.0, 2.0, 0.1]), 200);
        link.events = vec![match state {
            "FINISHED" => at(40, |fake| fake.state = "FINISHED".to_owned()),
            "CANCELED" => at(40, |fake| fake.state = "CANCELED".to_owned()),
            _ => at(40, |fake| fake.state = "FAILED".to_owned()),
        }];
        let (ended, _) = driven(&mut link, RESCALES, &config(), &mut named("ds2"));
        assert_eq!(ended.unwrap(), Ending::Ended(state.to_owned()));
    }
    for (outage_s, survives) in [(15, true), (100, false)] {
        let mut link = Virtual::new(Fake::new(300.0, [1.0, 2.0, 0.1]), 200);
        let fake = std::rc::Rc::clone(&link.fake);
        let began_ms = fake.borrow().now_ms;
        link.spoil = Some(Box::new(move |_: &Request, answer| {
            let s = (fake.borrow().now_ms - began_ms) / 1e3;
            if (50.0..50.0 + f64::from(outage_s)).contains(&s) { Err(LinkError::Unreachable("refused".to_owned())) } else { Ok(answer) }
        }));
        let (ended, heard) = driven(&mut link, RESCALES, &config(), &mut named("hold"));
        assert_eq!(ended.is_ok(), survives, "{}", heard.lines());
        assert_eq!(heard.count(|what| matches!(what, What::Trouble { .. })), 1);
    }
}

#[test]
fn an_answer_that_is_lost_after_a_request_was_taken_is_no_failure() {
    let mut link = Virtual::new(overloaded(), 200);
    link.spoil = Some(Box::new(|request: &Request, answer| if request.body.is_some() { Err(LinkError::TimedOut(20)) } else { Ok(answer) }));
    let (_, heard) = driven(&mut link, RESCALES, &config(), &mut named("ds2"));
    let reached = heard.count(|what| matches!(what, What::Reached { .. }));
    assert!((1..=2).contains(&reached) && reached == link.fake.borrow().puts().len(), "{}", heard.lines());
}

#[test]
fn nothing_is_decided_in_excluded_times() {
    let all_day = thalweg::flink::DriveConfig { excluded: vec![(0, 1440)], ..config() };
    let mut link = Virtual::new(overloaded(), 100);
    let (_, heard) = driven(&mut link, RESCALES, &all_day, &mut named("ds2"));
    assert!(link.fake.borrow().puts().is_empty() && heard.count(|what| *what == What::Excluded) > 5);
}

#[test]
fn a_job_that_the_cluster_has_forgotten_is_waited_for_and_then_given_up() {
    for (forgotten_s, ended) in [(15.0, Ending::Stopped), (100.0, Ending::Ended("unknown".to_owned()))] {
        let mut link = Virtual::new(Fake::new(300.0, [1.0, 2.0, 0.1]), 200);
        let fake = std::rc::Rc::clone(&link.fake);
        let began_ms = fake.borrow().now_ms;
        link.spoil = Some(Box::new(move |_: &Request, answer| {
            let s = (fake.borrow().now_ms - began_ms) / 1e3;
            let is_forgotten = (50.0..50.0 + forgotten_s).contains(&s);
            Ok(if is_forgotten {
                (404, r#"{"errors":["org.apache.flink.runtime.rest.NotFoundException: Job x not found"]}"#.to_owned())
            } else {
                answer
            })
        }));
        assert_eq!(driven(&mut link, RESCALES, &config(), &mut named("hold")).0.unwrap(), ended);
    }
}

#[test]
fn a_job_of_the_same_name_is_followed() {
    let mut link = Virtual::new(overloaded(), 300);
    link.events = vec![at(40, |fake| fake.state = "FINISHED".to_owned()), at(70, |fake| fake.next_job())];
    let follow = thalweg::flink::DriveConfig { follow: std::time::Duration::from_secs(60), ..config() };
    let (ended, heard) = driven(&mut link, RESCALES, &follow, &mut named("ds2"));
    assert_eq!((ended.unwrap(), heard.count(|what| matches!(what, What::Attached { .. }))), (Ending::Stopped, 2), "{}", heard.lines());
}

#[test]
fn a_job_that_ran_beside_it_is_not_followed() {
    const OTHER: &str = "ffeeddccbbaa99887766554433221100";
    let mut link = Virtual::new(Fake::new(300.0, [1.0, 2.0, 0.1]), 200);
    link.events = vec![at(40, |fake| fake.state = "FINISHED".to_owned())];
    link.spoil = Some(Box::new(|request: &Request, (status, body)| {
        let mut value: serde_json::Value = serde_json::from_str(&body).unwrap();
        if request.path == "/jobs/overview" {
            let other = serde_json::json!({"jid": OTHER, "name": "pipeline", "state": "RUNNING", "start-time": 1795917664000u64});
            value["jobs"].as_array_mut().unwrap().push(other);
        }
        Ok((status, value.to_string()))
    }));
    let job = Some(super::fake::JOB.to_owned());
    let follow = thalweg::flink::DriveConfig { job, follow: std::time::Duration::from_secs(60), ..config() };
    let (ended, heard) = driven(&mut link, RESCALES, &follow, &mut named("hold"));
    assert_eq!(ended.unwrap(), Ending::Ended("FINISHED".to_owned()), "{}", heard.lines());
}

#[test]
fn a_list_of_metrics_that_is_too_long_and_requirements_that_are_not_told_for_a_while_lose_no_window() {
    let observed = |spoil: Option<super::virtual_time::Spoil>| {
        let mut link = Virtual { spoil, ..Virtual::new(Fake::new(900.0, [0.4, 2.6, 0.1]), 100) };
        let (ended, heard) = driven(&mut link, RESCALES, &config(), &mut named("hold"));
        assert_eq!(ended.unwrap(), Ending::Stopped, "{}", heard.lines());
        (heard.observations.len(), heard.observations.last().unwrap().sources[0].lag_records)
    };
    let (windows, lag) = observed(None);
    let mut looks = 0;
    let (windows_then, lag_then) = observed(Some(Box::new(move |request: &Request, answer| {
        looks += u32::from(request.path.ends_with("/resource-requirements"));
        match request.path.as_str() {
            path if path.ends_with("/metrics") => Err(LinkError::TooLarge(1 << 20)),
            // The first two are those of the start.
            path if path.ends_with("/resource-requirements") && looks > 2 => Ok((503, "{}".to_owned())),
            _ => Ok(answer),
        }
    })));
    assert_eq!(windows, windows_then);
    assert!(lag > 1000.0 && (lag - lag_then).abs() < 0.05 * lag, "{lag} and {lag_then}");
}
