//! Last operator of the analysis: puts the results of all workers in order.
//!
//! It runs on the first worker and emits the results of a window once no more results for that
//! window or an earlier one can arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::Activator;

use super::config::{AnalysisConfig, nanoseconds};
use super::queries::{Fact, QueryChange, QuerySubject};
use super::result::AnalysisResult;
use super::source::Shared;
use crate::critical_path::{EpochPath, WindowSummary};
use crate::engine::Time;
use crate::time::{Timestamp, Window};

/// A window's summary, and the paths of epochs that were completed in it.
pub(super) type WindowFound = (WindowSummary, Vec<EpochPath>);

/// Results of a window received so far.
#[derive(Default)]
struct WindowResults {
    summary: Option<WindowFound>,
    changes: Vec<(u32, QuerySubject, isize)>,
}

/// Where results go, on the first worker.
pub(super) struct Outlet {
    pub(super) results: Sender<AnalysisResult>,
    pub(super) shared: Shared,
    pub(super) source: Activator,
    pub(super) dropped: Arc<AtomicU64>,
}

/// Puts `summaries` and `changes` in order and sends them to `outlet`, on the worker that has it.
pub(super) fn collect<'s>(
    summaries: StreamVec<'s, Time, WindowFound>,
    changes: StreamVec<'s, Time, (Fact, Time, isize)>,
    config: &AnalysisConfig,
    outlet: Option<Outlet>,
) {
    let window = nanoseconds(config.graph.window).max(1);
    let queries = config.queries.clone();
    let mut builder = OperatorBuilder::new("Collect".to_owned(), summaries.scope());
    let mut summaries = builder.new_input(summaries, Exchange::new(|_: &WindowFound| 0));
    let mut changes = builder.new_input(changes, Exchange::new(|_: &(Fact, Time, isize)| 0));
    let mut outlet = outlet;
    builder.build(move |_| {
        let mut known: BTreeMap<Time, WindowResults> = BTreeMap::new();
        let mut last = None;
        move |frontiers| {
            summaries.for_each(|_, batch| {
                for found in batch.drain(..) {
                    let number = found.0.window.start.0 / window;
                    last = last.max(Some(number));
                    known.entry(number).or_default().summary = Some(found);
                }
            });
            changes.for_each(|_, batch| {
                for ((query, subject), time, change) in batch.drain(..) {
                    known.entry(time).or_default().changes.push((query, subject, change));
                }
            });
            let Some(out) = &outlet else { return };
            let complete = |time: &Time| frontiers.iter().all(|frontier| !frontier.less_equal(time));
            // The receiver may be gone: the analysis goes on for those who wait for its end.
            let give = |result| drop(out.results.send(result));
            while let Some(entry) = known.first_entry().filter(|entry| complete(entry.key())) {
                let (number, WindowResults { summary, mut changes }) = entry.remove_entry();
                if last < Some(number) {
                    // After the end of the log nothing vanishes.
                    break;
                }
                let window = Window::starting(Timestamp(number.saturating_mul(window)), Duration::from_nanos(window));
                if let Some((summary, epochs)) = summary {
                    out.shared.names.borrow_mut().remove(&number).into_iter().for_each(|names| give(AnalysisResult::Names(names)));
                    give(AnalysisResult::Window(summary));
                    epochs.into_iter().for_each(|path| give(AnalysisResult::Epoch(path)));
                    out.shared.under_way.set(out.shared.under_way.get() - 1);
                    out.source.activate();
                }
                changes.sort_unstable();
                for (query, subject, change) in changes {
                    let change = QueryChange::new(queries[query as usize], window, subject, change > 0);
                    give(AnalysisResult::Query(change));
                }
            }
            if frontiers.iter().all(|frontier| frontier.is_empty()) {
                let dropped_records = out.dropped.load(Ordering::SeqCst);
                let (epoch_oddities, epochs) = out.shared.last_epochs.take();
                out.shared.names.take().into_values().for_each(|names| give(AnalysisResult::Names(names)));
                epochs.into_iter().for_each(|path| give(AnalysisResult::Epoch(path)));
                give(AnalysisResult::End { oddities: out.shared.oddities.get(), epoch_oddities, dropped_records });
                outlet = None;
            }
        }
    });
}
