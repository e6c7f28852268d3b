//! Reads a trace to its end and has it analysed meanwhile.

use std::sync::mpsc::Receiver;
use std::thread;

use anyhow::anyhow;

use super::arguments::Asked;
use super::findings::{Findings, MOST_WINDOWS, too_many};
use super::heard::Heard;
use super::pictures::Pictures;
use crate::activity::Record;
use crate::cli::failure::Failure;
use crate::engine::{Analysis, AnalysisResult};
use crate::readers::Trace;
use crate::time::Timestamp;

/// Reads the trace to its end, no faster than it is analysed; returns the first damage found.
pub(super) fn read(
    asked: &Asked,
    trace: &mut Trace,
    pictures: &mut Pictures<'_>,
    findings: &mut Findings<'_>,
) -> Result<Option<anyhow::Error>, Failure> {
    let (whole, whole_results) = Analysis::start(asked.whole())?;
    let windows = asked.windows().map(Analysis::start).transpose()?;
    let format = trace.format();
    let (mut heard, mut timed, mut damage) = (Heard::new(asked.awaited()), false, None);
    for block in trace.by_ref() {
        match block {
            Ok(records) => {
                if !timed {
                    timed = check_length(asked, &records)?;
                }
                heard.take(&records).into_iter().for_each(|note| eprintln!("note: {note}"));
                pictures.take(&records, &heard)?;
                findings.count(&records);
                let is_taken = windows.as_ref().is_some_and(|(windows, _)| windows.push(records.clone()).is_ok());
                if whole.push(records).is_err() && !is_taken {
                    // The selected time has passed, or 'finish' returns the error.
                    break;
                }
            }
            // Reading continues with the other files.
            Err(error) => damage = damage.or(Some(anyhow::Error::from(error))),
        }
        whole_results.try_iter().try_for_each(|result| findings.take_of_whole(result, format))?;
        if let Some((_, results)) = &windows {
            results.try_iter().try_for_each(|result| findings.take_of_windows(result))?;
        }
    }
    finish(whole, &whole_results, |result| findings.take_of_whole(result, format))?;
    if let Some((windows, results)) = windows {
        finish(windows, &results, |result| findings.take_of_windows(result))?;
    }
    Ok(damage)
}

/// Ends an analysis. Its last windows, too, are handled as they arrive, not all at once at the end.
fn finish(
    analysis: Analysis,
    results: &Receiver<AnalysisResult>,
    mut take: impl FnMut(AnalysisResult) -> Result<(), Failure>,
) -> Result<(), Failure> {
    thread::scope(|scope| {
        let end = scope.spawn(|| analysis.finish());
        let taken = results.iter().try_for_each(&mut take);
        end.join().map_err(|_| anyhow!("the analysis panicked"))??;
        taken
    })
}

/// Rejects windows that are far too short for the first records with a time; returns whether there
/// were any.
fn check_length(asked: &Asked, records: &[Record]) -> Result<bool, Failure> {
    let at = || records.iter().map(Record::at).filter(|&at| at > Timestamp::ZERO);
    let (Some(first), Some(last)) = (at().min(), at().max()) else { return Ok(false) };
    let windows = last.since(first).as_nanos() / asked.graph.window.as_nanos().max(1);
    if windows > u128::from(MOST_WINDOWS) { Err(too_many(asked)) } else { Ok(true) }
}
