//! `thalweg rival`: computes beside a worker of a job that an experiment runs.

// It is outside of any job, and waits for its share of a core.
#![allow(clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Duration;

use anyhow::anyhow;

use super::failure::{Failure, usage};
use crate::engine::{Clock, stay_on_core, time_on_core};
use crate::time::Timestamp;
use crate::workload::{Computation, Documents, Work};

/// It looks at the clocks after so much work, well below a millisecond.
const AT_ONCE: Computation = Computation { does: Work::Hash, times: 1000 };
/// It waits for so long when it has had its share.
const PAUSE: Duration = Duration::from_millis(1);

/// Compute on a core for a part of its time (experiments start it).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The core, of those on which this process may run, from 0.
    #[arg(long)]
    core: u32,
    /// The part of the core's time.
    #[arg(long)]
    share: f64,
    /// From when on, in seconds from now.
    #[arg(long)]
    from: f64,
    /// Until when, in seconds from now.
    #[arg(long)]
    until: f64,
}

pub(super) fn rival(args: &Args) -> Result<(), Failure> {
    let is_time = |seconds: f64| (0.0..=1e6).contains(&seconds);
    if !(is_time(args.from) && is_time(args.until) && args.share > 0.0 && args.share <= 1.0) {
        return Err(usage(anyhow!("rival: expected a share up to 1 and times in seconds, found {args:?}")));
    }
    if !stay_on_core(args.core) {
        return Err(anyhow!("expected to be kept on core {}, which this system does not do", args.core).into());
    }
    let (clock, documents) = (Clock::start(), Documents::new());
    let (from, until) = (Timestamp::from_secs_f64(args.from), Timestamp::from_secs_f64(args.until));
    while clock.now() < from {
        std::thread::sleep(from.since(clock.now()).min(Duration::from_millis(100)));
    }
    let before = time_on_core().unwrap_or_default();
    while clock.now() < until {
        let had = time_on_core().unwrap_or_default().saturating_sub(before);
        if had > clock.now().since(from).mul_f64(args.share) {
            std::thread::sleep(PAUSE);
        } else {
            black_box(AT_ONCE.run(documents.get(0)));
        }
    }
    Ok(())
}
