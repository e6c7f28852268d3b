//! `thalweg analyze`: finds a job's bottleneck from its activity log.
//!
//! One pass over the files: windows are summarized, printed, exported and discarded as they close.
//! What is said of the whole trace comes from windows of one fixed length, so that it does not
//! depend on '--window'; if that is another length, a second analysis goes through the windows that
//! were asked for. The part of a damaged file before the damage is analysed and printed; then the damage is
//! reported and the exit code is 2.

mod arguments;
mod findings;
mod flink;
mod heard;
mod output;
mod pictures;

use std::sync::mpsc::Receiver;
use std::thread;

use anyhow::anyhow;

use self::arguments::Asked;
pub(super) use self::arguments::{Args, length};
use self::findings::{Findings, MOST_WINDOWS, too_many};
use self::heard::Heard;
use self::pictures::Pictures;
use super::failure::{Failure, usage};
use crate::activity::Record;
use crate::engine::{Analysis, AnalysisResult};
use crate::readers::Trace;
use crate::time::Timestamp;

pub(super) fn analyze(args: &Args) -> Result<(), Failure> {
    if let Some(address) = &args.flink.flink {
        return flink::analyze(address, &args.flink, args.json);
    }
    // Of flags that need another one, clap forgives those beside which that other one could not be.
    for (flag, value) in [("job", &args.flink.job), ("for", &args.flink.look_for)] {
        if value.is_some() {
            return Err(usage(anyhow!("--{flag}: requires '--flink URL', found a trace")));
        }
    }
    let asked = Asked::of(args)?;
    let mut trace = asked.open()?;
    let mut pictures = Pictures::new(&asked)?;
    let mut findings = Findings::new(&asked);
    let damage = read(&asked, &mut trace, &mut pictures, &mut findings)?;
    if findings.windows() == 0 {
        let files = asked.files_text();
        // What was skipped may be all there was.
        for oddity in trace.oddities() {
            eprintln!("note: {}: {} ({})", oddity.file.display(), oddity.what, oddity.count);
        }
        let nothing = || usage(anyhow!("{files}: expected activities or messages in the selected time, found none"));
        return Err(damage.map_or_else(nothing, usage));
    }
    pictures.finish()?;
    findings.finish(&trace)?;
    damage.map_or(Ok(()), |damage| Err(usage(damage)))
}

/// Reads the trace to its end, no faster than it is analysed; returns the first damage found.
fn read(
    asked: &Asked,
    trace: &mut Trace,
    pictures: &mut Pictures<'_>,
    findings: &mut Findings<'_>,
) -> Result<Option<anyhow::Error>, Failure> {
    let (whole, whole_results) = Analysis::start(asked.whole())?;
    let windows = asked.windows().map(Analysis::start).transpose()?;
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
        whole_results.try_iter().try_for_each(|result| findings.take_of_whole(result))?;
        if let Some((_, results)) = &windows {
            results.try_iter().try_for_each(|result| findings.take_of_windows(result))?;
        }
    }
    finish(whole, &whole_results, |result| findings.take_of_whole(result))?;
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
