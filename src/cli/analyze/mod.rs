//! `thalweg analyze`: finds a job's bottleneck from its activity log.
//!
//! One pass over the files: windows are summarized, printed, exported and discarded as they close.
//! The part of a damaged file before the damage is analysed and printed; then the damage is
//! reported and the exit code is 2.

mod arguments;
mod findings;
mod heard;
mod output;
mod pictures;

use std::thread;

use anyhow::anyhow;

pub(super) use self::arguments::Args;
use self::arguments::Asked;
use self::findings::{Findings, MOST_WINDOWS, too_many};
use self::heard::Heard;
use self::pictures::Pictures;
use super::{Failure, usage};
use crate::activity::Record;
use crate::engine::Analysis;
use crate::readers::Trace;
use crate::time::Timestamp;

pub(super) fn analyze(args: &Args) -> Result<(), Failure> {
    let asked = Asked::of(args)?;
    let mut trace = asked.open()?;
    let mut pictures = Pictures::new(&asked)?;
    let mut findings = Findings::new(&asked);
    let damage = read(&asked, &mut trace, &mut pictures, &mut findings)?;
    if findings.windows() == 0 {
        let files = asked.files_text();
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
    let (analysis, results) = Analysis::start(asked.analysis())?;
    let (mut heard, mut timed, mut damage) = (Heard::new(asked.awaited()), false, None);
    for block in trace.by_ref() {
        match block {
            Ok(records) => {
                if !timed {
                    timed = check_length(asked, &records)?;
                }
                heard.take(&records).into_iter().for_each(|note| eprintln!("note: {note}"));
                pictures.take(&records, &heard)?;
                if analysis.push(records).is_err() {
                    // The selected time has passed, or 'finish' returns the error.
                    break;
                }
            }
            // Reading continues with the other files.
            Err(error) => damage = damage.or(Some(anyhow::Error::from(error))),
        }
        results.try_iter().try_for_each(|result| findings.take(result))?;
    }
    // The last windows, too, are handled as they arrive, not all at once at the end.
    thread::scope(|scope| {
        let end = scope.spawn(|| analysis.finish());
        let taken = results.iter().try_for_each(|result| findings.take(result));
        end.join().map_err(|_| anyhow!("the analysis panicked"))??;
        taken
    })?;
    Ok(damage)
}

/// Rejects windows that are far too short for the first records with a time; returns whether there
/// were any.
fn check_length(asked: &Asked, records: &[Record]) -> Result<bool, Failure> {
    let at = || records.iter().map(Record::at).filter(|&at| at > Timestamp::ZERO);
    let (Some(first), Some(last)) = (at().min(), at().max()) else { return Ok(false) };
    let windows = last.since(first).as_nanos() / asked.graph.window.as_nanos().max(1);
    if windows > u128::from(MOST_WINDOWS) { Err(too_many(asked)) } else { Ok(true) }
}
