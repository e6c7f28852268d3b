//! `thalweg analyze`: finds a job's bottleneck from its activity log.
//!
//! One pass over the files: windows are summarized, printed, exported and discarded as they close.
//! What is said of the whole trace comes from windows of one fixed length, so that it does not
//! depend on '--window'; if that is another length, a second analysis goes through the windows that
//! were asked for. The part of a damaged file before the damage is analysed and printed; then the damage is
//! reported and the exit code is 2.

mod arguments;
mod compare;
mod findings;
mod flink;
mod heard;
mod output;
mod pictures;
mod reading;

use anyhow::anyhow;

use self::arguments::Asked;
pub(super) use self::arguments::{Args, length};
use self::findings::Findings;
use self::pictures::Pictures;
use self::reading::read;
use super::failure::{Failure, usage};

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
    if args.is_comparison() {
        return compare::compare(args);
    }
    let asked = Asked::of(args)?;
    let mut trace = asked.open()?;
    let mut pictures = Pictures::new(&asked)?;
    let mut findings = Findings::new(&asked);
    let damage = read(&asked, &mut trace, &mut pictures, &mut findings)?;
    findings.expect_any(&trace, damage.as_ref())?;
    findings.end()?;
    pictures.finish(trace.origin())?;
    findings.finish(&trace)?;
    damage.map_or(Ok(()), |damage| Err(usage(damage)))
}
