//! `thalweg analyze`: finds a job's bottleneck from its activity log.
//!
//! One pass over the files: windows are summarized, printed, exported and discarded as they close.
//! What is said of the whole trace comes from windows of one fixed length, so that it does not
//! depend on '--window'; if that is another length, a second analysis goes through the windows that
//! were asked for. The part of a damaged file before the damage is analysed and printed; then the damage is
//! reported and the exit code is 2.

mod arguments;
mod bounds;
mod compare;
mod findings;
mod flink;
mod growing;
mod heard;
mod output;
mod page;
mod pictures;
mod reading;

use anyhow::anyhow;

use self::arguments::Asked;
pub(super) use self::arguments::{Args, length};
use self::findings::Findings;
use self::page::Page;
use self::pictures::Pictures;
use self::reading::read;
use super::failure::{Failure, usage};
use super::interrupted::{self, Meanwhile};
use crate::experiment::interrupt;

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
    if args.page.follow {
        interrupted::listen(Meanwhile::Measures)?;
    }
    let page = Page::begin(&args.page, &asked)?;
    let mut trace = asked.open()?;
    let mut pictures = Pictures::new(&asked)?;
    let mut findings = Findings::new(&asked).shown_on(page);
    let damage = read(&asked, &mut trace, &mut pictures, &mut findings)?;
    // Where a growing file is cut off is not damage.
    let damage = damage.filter(|_| !(args.page.follow && interrupt::asked()));
    findings.expect_any(&trace, damage.as_ref())?;
    findings.end()?;
    pictures.finish(trace.origin())?;
    let page = findings.finish(&trace, damage.as_ref())?;
    page.map_or(Ok(()), |page| page.stay(damage.as_ref()))?;
    damage.map_or(Ok(()), |damage| Err(usage(damage)))
}
