//! What the analysis costs: one worker against two on the log of 32 workers, the time from a window's last record to its summary, and what
//! standing queries add on windows of 1,000 rows.
//!
//! `cargo bench --bench analysis`. Paired: settings alternate, the median of each and of the ratios is printed.

// A bench is what reads clocks.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use thalweg::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
use thalweg::engine::{Analysis, AnalysisConfig, AnalysisResult, StandingQuery};
use thalweg::id::{ChannelId, InstanceId, OperatorId, WorkerId};
use thalweg::time::{Epoch, Timestamp};

const PAIRS: usize = 7;
const ROUND: u64 = 1_000_000;

fn lane(worker: u32) -> Lane {
    Lane::Worker(WorkerId(worker))
}

/// Workers that work for part of each millisecond, send to one of `shifts` others, and wait for what is sent to them. Each round's
/// work is for one of `instances` instances a worker.
fn log(workers: u32, instances: u32, shifts: u64, rounds: u64) -> Vec<Vec<Record>> {
    let busy = |worker: u32, round: u64| {
        ROUND / 10 + (u64::from(worker).wrapping_mul(0x9e37_79b9) ^ round.wrapping_mul(0x85eb_ca6b)) % (ROUND / 2)
    };
    let mut blocks = Vec::new();
    // A block is 50 rounds of one worker.
    for block in 0..rounds / 50 {
        for worker in 0..workers {
            let mut records = Vec::new();
            for round in block * 50..(block + 1) * 50 {
                let (start, shift) = (round * ROUND, 1 + (round / u64::from(instances) % shifts) as u32);
                let end = start + busy(worker, round);
                let (to, from) = ((worker + shift) % workers, (worker + workers - shift) % workers);
                let message = |from: u32, to: u32, at: u64| Message {
                    at: Timestamp(at),
                    kind: MessageKind::Data,
                    channel: ChannelId(1),
                    sequence: round,
                    from: WorkerId(from),
                    from_lane: lane(from),
                    to_lane: lane(to),
                    epoch: Epoch(round),
                    records: 100,
                };
                records.push(Record::Activity(Activity {
                    lane: lane(worker),
                    kind: ActivityKind::Processing,
                    instance: InstanceId::new(OperatorId(1 + round as u32 % 4), worker * instances + (round % u64::from(instances)) as u32),
                    epoch: Epoch(round),
                    start: Timestamp(start),
                    end: Timestamp(end),
                    records_in: 100,
                    records_out: 100,
                }));
                records.push(Record::Sent(message(worker, to, end)));
                records.push(Record::Received(message(from, worker, end.max(start + busy(from, round)) + 5_000)));
            }
            records.push(Record::UpTo { worker: WorkerId(worker), at: Timestamp((block + 1) * 50 * ROUND) });
            blocks.push(records);
        }
    }
    blocks
}

/// Seconds that the analysis takes, and its windows.
fn timed(config: &AnalysisConfig, blocks: &[Vec<Record>]) -> (f64, usize) {
    let blocks = blocks.to_vec();
    let (analysis, results) = Analysis::start(config.clone()).expect("threads can be started");
    let start = Instant::now();
    for block in blocks {
        analysis.push(block).expect("the analysis runs");
    }
    analysis.finish().expect("the analysis ends well");
    let seconds = start.elapsed().as_secs_f64();
    (seconds, results.iter().filter(|result| matches!(result, AnalysisResult::Window(_))).count())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn throughput() {
    let blocks = log(32, 1, 31, 10_000);
    let records: usize = blocks.iter().map(Vec::len).sum();
    let config = |workers| AnalysisConfig { workers, awaited: 32, ..AnalysisConfig::new(Duration::from_millis(200)) };
    let pairs: Vec<[f64; 2]> = (0..PAIRS).map(|_| [1, 2].map(|workers| timed(&config(workers), &blocks).0)).collect();
    let of = |index: usize| records as f64 / median(pairs.iter().map(|pair| pair[index]).collect()) / 1e6;
    let gain = median(pairs.iter().map(|pair| pair[0] / pair[1]).collect());
    println!("throughput, {records} records of 32 workers: {:.2} M records/s with 1 worker, {:.2} with 2; {gain:.2} times", of(0), of(1));
}

fn latency() {
    let blocks = log(32, 1, 31, 5_000);
    for workers in [1, 2] {
        let mut config = AnalysisConfig { workers, awaited: 32, ..AnalysisConfig::new(Duration::from_millis(200)) };
        // A window is complete with its last record.
        config.graph.lookahead = Duration::ZERO;
        let (analysis, results) = Analysis::start(config).expect("threads can be started");
        let mut latencies = Vec::new();
        // A window of 200 ms is 4 blocks of each of 32 workers.
        for window in blocks.chunks(4 * 32) {
            let (last, others) = window.split_last().expect("no window is empty");
            for block in others {
                analysis.push(block.clone()).expect("the analysis runs");
            }
            let (last, start) = (last.clone(), Instant::now());
            analysis.push(last).expect("the analysis runs");
            results.recv().expect("a window is complete");
            latencies.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let records = blocks.iter().map(Vec::len).sum::<usize>() / latencies.len();
        println!("latency with {workers} worker(s), windows of {records} records: median {:.2} ms", median(latencies));
        analysis.finish().expect("the analysis ends well");
    }
}

fn queries() {
    // 32 workers with 8 instances that send to 2 others each.
    let blocks = log(32, 8, 2, 5_000);
    let texts = [
        "participation operator > 50% over 3 windows",
        "participation instance > 1% over 10 windows",
        "participation channel > 5% in each of 3 windows",
        "epoch > 200ms",
        "message > 1ms",
        "activity > 1ms",
        "wait > 1ms over 5 windows",
        "wait in 3 of 5 windows",
    ];
    let queries: Vec<StandingQuery> = texts.iter().map(|text| text.parse().expect("a query")).collect();
    let plain = AnalysisConfig { awaited: 32, ..AnalysisConfig::new(Duration::from_millis(200)) };
    let asked = AnalysisConfig { queries, ..plain.clone() };
    let rows = {
        let (analysis, results) = Analysis::start(plain.clone()).expect("threads can be started");
        blocks.iter().for_each(|block| analysis.push(block.clone()).expect("the analysis runs"));
        analysis.finish().expect("the analysis ends well");
        let counts = results.iter().filter_map(|result| if let AnalysisResult::Window(summary) = result { Some(summary) } else { None });
        median(counts.map(|summary| (summary.rows.len() + summary.waits.len()) as f64).collect())
    };
    let pairs: Vec<[f64; 2]> = (0..PAIRS)
        .map(|_| {
            [&plain, &asked].map(|config| {
                let (seconds, windows) = timed(config, &blocks);
                seconds * 1e3 / windows as f64
            })
        })
        .collect();
    let of = |index: usize| median(pairs.iter().map(|pair| pair[index]).collect());
    let more = median(pairs.iter().map(|pair| pair[1] - pair[0]).collect());
    println!(
        "{} queries on {rows} rows and waits a window: {:.2} ms a window without, {:.2} with; {more:.2} ms more",
        texts.len(),
        of(0),
        of(1)
    );
}

fn main() {
    // `cargo test` builds and runs benches too: without the flag of `cargo bench` there is nothing to measure.
    if std::env::args().any(|argument| argument == "--bench") {
        throughput();
        latency();
        queries();
    }
}
