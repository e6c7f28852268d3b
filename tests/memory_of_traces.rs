//! A trace that is ten times as long takes no more memory to read and to analyse.
//!
//! The only test of its binary: it looks at what the whole process has allocated.

use std::path::Path;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use thalweg::activity::{Names, Record};
use thalweg::critical_path::{By, EpochPaths, EpochSummary, Pieces, TraceSummary, WindowSummary};
use thalweg::pag::{GraphBuilder, GraphConfig};
use thalweg::time::{Timestamp, Window};

#[path = "suite/written.rs"]
mod written;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Formats whose memory is flat between these lengths. That of Chrome's grows to 174 MB at 100 MB and is 192 MB at 300 MB.
const FLAT: [&str; 3] = ["own", "spark", "jaeger"];
/// By so many bytes two runs may differ: how far another thread has read ahead of the analysis is a matter of luck.
const READ_AHEAD: f64 = 8e6;

/// Analyses a trace as a whole; the most that was allocated meanwhile, in bytes, and the number of windows.
fn analyse(file: &Path) -> (usize, u64) {
    let held = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let config = GraphConfig { history: Duration::from_secs(1), ..GraphConfig::new(Duration::from_secs(1)) };
    let (mut builder, mut epochs) = (GraphBuilder::new(config), EpochPaths::default());
    let (mut trace, mut latency, mut names) = (TraceSummary::new(By::Operator), EpochSummary::default(), Names::default());
    let mut pieces = Pieces::new(Window { start: Timestamp::ZERO, end: Timestamp(u64::MAX) });
    let mut take = |records: &[Record], is_end: bool| {
        for record in records {
            names.learn(record);
            pieces.push(record);
            epochs.push(record);
            builder.push(record);
        }
        while let Some(graph) = builder.close(if is_end { Timestamp(u64::MAX) } else { builder.known() }) {
            let end = graph.window.end;
            trace.push(&WindowSummary::of(&graph, || 0.5));
            epochs.walk(&builder, end).iter().for_each(|path| latency.add(path));
            builder.keep_from(epochs.oldest_due());
            builder.recycle(graph);
            if trace.is_crowded() || pieces.is_crowded() {
                let least = trace.least();
                trace.merge(&least);
                let kept = trace.kept();
                pieces.merge(&kept.operators, Timestamp(end.0.saturating_sub(64_000_000_000)));
                names.forget(|operator| kept.operators.contains(&operator), |channel| kept.channels.contains(&channel));
            }
        }
    };
    let mut blocks = thalweg::readers::open(&[file]).unwrap();
    blocks.by_ref().for_each(|block| take(&block.unwrap(), false));
    take(&[], true);
    assert_eq!(blocks.oddities(), []);
    (ALLOCATED.peak_usage() - held, trace.windows())
}

#[test]
fn memory_is_flat_however_long_a_trace_is() {
    let folder = tempfile::tempdir().unwrap();
    for (name, write) in written::FORMATS.into_iter().filter(|(name, _)| FLAT.contains(name)) {
        let measure = |bytes: usize| {
            let file = folder.path().join(name);
            write(&file, bytes);
            analyse(&file)
        };
        let ((short, few), (long, many)) = (measure(10 << 20), measure(100 << 20));
        println!("{name}: {short} and {long} bytes, {few} and {many} windows");
        assert!(many > 8 * few, "{name}: {few} and {many} windows");
        assert!((long as f64) < 1.25 * short as f64 + READ_AHEAD, "{name}: {short} bytes became {long} bytes");
    }
}
