//! A run of a chain with the analysis beside it.

use std::time::Duration;

use crate::critical_path::{Summarizer, WindowSummary};
use crate::engine::RunError;
use crate::engine::chain::Chain;
use crate::pag::{GraphBuilder, GraphConfig, Oddities};
use crate::time::Timestamp;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Analysed {
    /// Every window in which anything happened.
    pub windows: Vec<WindowSummary>,
    /// Records of the activity log.
    pub records: u64,
    /// Records that did not fit and were dropped.
    pub dropped: u64,
    /// What the graph had to leave out.
    pub oddities: Oddities,
}

/// Runs `chain` and analyses windows of length `window` while it runs; `show` is called with each. The random paths are drawn
/// from `seed`.
///
/// # Errors
/// When the engine fails.
pub fn run_analysed(chain: &Chain, window: Duration, seed: u64, mut show: impl FnMut(&WindowSummary)) -> Result<Analysed, RunError> {
    let mut builder = GraphBuilder::new(GraphConfig::new(window));
    let (mut summarizer, mut random) = (Summarizer::default(), fastrand::Rng::with_seed(seed));
    let (mut windows, mut records, mut dropped) = (Vec::new(), 0, vec![0; chain.workers as usize]);
    let running = chain.start()?;
    let mut close = |builder: &mut GraphBuilder, known| {
        while let Some(graph) = builder.close(known) {
            let summary = summarizer.summarize(&graph, || random.f64());
            builder.recycle(graph);
            show(&summary);
            windows.push(summary);
        }
    };
    // Ends when the job has.
    for batch in &running.log {
        batch.records.iter().for_each(|record| builder.push(record));
        records += batch.records.len() as u64;
        dropped[batch.worker.0 as usize] = batch.dropped;
        let known = builder.known();
        close(&mut builder, known);
    }
    close(&mut builder, Timestamp(u64::MAX));
    running.join()?;
    Ok(Analysed { windows, records, dropped: dropped.iter().sum(), oddities: builder.oddities() })
}
