//! A log ten times longer takes no more memory to analyse.
//!
//! It looks at the highest resident size of its process, so it has one to itself.

#![cfg(target_os = "linux")]

use std::time::Duration;

use thalweg::critical_path::WindowSummary;
use thalweg::pag::{GraphBuilder, GraphConfig};
use thalweg::sim::{ExchangeLog, Random};

use crate::alone::is_alone;

/// The highest resident size of this process so far, in KiB.
fn highest() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has this line");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

fn analyse(log: ExchangeLog) -> usize {
    let mut builder = GraphBuilder::new(GraphConfig::new(Duration::from_secs(1)));
    let mut random = Random::new(0);
    let mut windows = 0;
    for record in log.records() {
        builder.push(&record);
        while let Some(graph) = builder.close(builder.known()) {
            assert!(!WindowSummary::of(&graph, || random.uniform()).rows.is_empty());
            windows += 1;
        }
    }
    windows
}

#[test]
fn memory_is_flat_when_the_log_is_ten_times_longer() {
    if !is_alone("memory::memory_is_flat_when_the_log_is_ten_times_longer") {
        return;
    }
    let log = |seconds| ExchangeLog::of_all(8, 100, seconds);
    assert!(analyse(log(10)) >= 8);
    let short = highest();
    assert!(analyse(log(100)) >= 98);
    let long = highest();
    assert!((long as f64) < 1.5 * short as f64, "{short} KiB became {long} KiB");
    // The measure can fail: the records alone, kept, are more than that.
    let kept: Vec<_> = log(100).records().collect();
    assert!(kept.len() > 1_000_000 && highest() as f64 > 1.5 * short as f64, "{} KiB", highest());
}
