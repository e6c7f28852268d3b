//! Answers that are almost right: no panic, no hang, no action on nonsense.

use thalweg::flink::{Allowed, Answer, Barriers, Graph, Hex, Link, LinkError, Request, Rest};
use thalweg::time::Timestamp;

use super::fake::{Fake, JOB};
use super::virtual_time::{RESCALES, Virtual, config, driven, named};

/// Bytes that make the difference between one JSON and another.
const PIECES: [&str; 24] = [
    "-1",
    "0",
    "NaN",
    "null",
    "1e999",
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    ":",
    "true",
    "99999999999999999999",
    "-9223372036854775808",
    "1.5",
    "\\u0000",
    "é",
    "\u{202e}",
    "RUNNING",
    "FINISHED",
    "<html>",
    "4294967296",
    "32769",
];

/// Changes a text in one to four places.
fn mutated(random: &mut fastrand::Rng, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.usize(1..5) {
        if bytes.is_empty() {
            break;
        }
        let at = random.usize(0..bytes.len());
        match random.u8(0..6) {
            0 => bytes.truncate(at),
            1 => bytes[at] = random.u8(..),
            2 => drop(bytes.splice(at..at, PIECES[random.usize(0..PIECES.len())].bytes())),
            3 => {
                let end = (at + random.usize(1..40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                // A number becomes another one.
                let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) else { continue };
                let end = bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |offset| start + offset);
                drop(bytes.splice(start..end, PIECES[random.usize(0..PIECES.len())].bytes()));
            }
            _ => {
                let end = (at + random.usize(1..80)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers everything with one text.
struct One(String);

impl Link for One {
    fn ask(&mut self, _request: &Request) -> Result<Answer, LinkError> {
        Ok(Answer { status: 200, body: self.0.clone(), at: Timestamp::ZERO })
    }

    fn wait(&mut self, _at: Timestamp) -> Option<Timestamp> {
        None
    }
}

#[test]
fn two_hundred_thousand_wrong_answers_are_read_or_refused() {
    let mut fake = Fake::new(300.0, [1.0, 2.0, 0.1]);
    fake.advance(fake.now_ms + 3000.0);
    let job = format!("/jobs/{JOB}");
    let mut answer = |path: &str| fake.answer("GET", path, "").1;
    let (jobs, of_job, wanted) = (answer("/jobs/overview"), answer(&job), answer(&format!("{job}/resource-requirements")));
    let history = answer(&format!("{job}/checkpoints"));
    let count = "b71731f1c0df9c3076c4a455334d0ad6";
    let details = answer(&format!("{job}/checkpoints/details/2/subtasks/{count}"));
    let metrics = answer(&format!(
        "{job}/vertices/{count}/metrics?get=0.numRecordsIn,0.numRecordsOut,0.accumulateBusyTimeMs,0.accumulateBackPressuredTimeMs"
    ));
    let id = Hex::read(JOB).unwrap();
    let whole = Rest::new(&mut One(of_job.clone()), Allowed::default()).job(&id).unwrap();
    let graph = Graph::of(&whole).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut read, mut refused) = (0u64, 0u64);
    for round in 0..200_000 {
        let text = match round % 8 {
            0 => &jobs,
            1 => &of_job,
            2 => &wanted,
            3 => &history,
            4 | 5 => &details,
            _ => &metrics,
        };
        let mut link = One(mutated(&mut random, text));
        let mut rest = Rest::new(&mut link, Allowed::default());
        let is_read = match round % 8 {
            0 => rest.jobs().is_ok(),
            1 => match rest.job(&id) {
                Ok(job) => Graph::of(&job).and_then(|graph| graph.topology(|_| 8).map(|_| graph)).is_ok(),
                Err(_) => false,
            },
            2 => rest.requirements(&id).is_ok(),
            3 => rest.checkpoints(&id).is_ok(),
            4 | 5 => rest.arrivals(&id, 2, &graph).is_ok_and(|all| {
                if let Ok(barriers) = Barriers::of(2, 0, 0, &all) {
                    let path = barriers.critical_path(&graph);
                    assert!(path.iter().all(|hop| hop.queue_ms.is_finite() && hop.queue_ms >= 0.0));
                }
                true
            }),
            _ => rest.round(&id, &graph, |_| 1).is_ok(),
        };
        if is_read { read += 1 } else { refused += 1 }
    }
    assert!(read > 10_000 && refused > 10_000, "both kinds: {read} and {refused}");
}

#[test]
fn nothing_is_done_on_nonsense() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut requests = 0;
    for round in 0..120 {
        let mut link = Virtual::new(Fake::new(900.0, [1.8, 2.6, 0.1]), 90);
        let mut own = fastrand::Rng::with_seed(random.u64(..));
        let one_in = [2, 10, 50][round % 3];
        link.spoil = Some(Box::new(move |_: &Request, (status, body)| {
            Ok(if own.usize(0..one_in) == 0 {
                (if own.u8(0..4) == 0 { 500 } else { status }, mutated(&mut own, &body))
            } else {
                (status, body)
            })
        }));
        let policy = ["ds2", "critical-path", "dhalion"][round % 3];
        let (_, _) = driven(&mut link, RESCALES, &config(), &mut named(policy));
        let fake = link.fake.borrow();
        // The fake itself panics at what Flink dies of.
        for put in fake.puts() {
            requests += 1;
            let asked: serde_json::Value = serde_json::from_str(put).unwrap();
            let all: Vec<u64> = asked.as_object().unwrap().values().map(|of| of["parallelism"]["upperBound"].as_u64().unwrap()).collect();
            assert!(all.len() == 4 && all.iter().all(|upper| (1..=64).contains(upper)), "{put}");
        }
        assert!(fake.puts().len() < 12, "{round}: {:?}", fake.puts());
    }
    assert!(requests > 20, "most of them still get somewhere: {requests}");
}
