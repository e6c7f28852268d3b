//! Flags for the start of a run and for injected skew: '--start', '--straggler' and '--hot-bins'.

use anyhow::anyhow;

use super::{Failure, usage};
use crate::experiment::definition::{HotBins, JobDefinition, OperatorDefinition};
use crate::experiment::scenario::StragglerForm;

/// The flags for the initial configuration, a straggler and hot bins.
#[derive(Debug, clap::Args)]
pub(super) struct Uneven {
    /// Initial parallelism, such as 'flatmap=10,count=20' [default: 1 for each operator]
    #[arg(long, value_name = "INSTANCES")]
    start: Option<String>,
    /// Inject a straggler: 'count:3=0.33' runs instance 3 of Count at 0.33 of its speed,
    /// 'count:3=0.33@10..30' from 10 s to 30 s, 'count:3=0.33@10' from 10 s on.
    #[arg(long, value_name = "STRAGGLER")]
    straggler: Option<String>,
    /// Inject skew: '205:0.5:20' puts half of all words into 205 bins of Count: 0, 20, 40 and so
    /// on; with 20 instances at the start they all belong to the first. Without STEP it is the
    /// first 205 bins.
    #[arg(long, value_name = "BINS:SHARE[:STEP]", conflicts_with = "query")]
    hot_bins: Option<String>,
}

impl Uneven {
    /// Applies the flags to a word count.
    pub(super) fn apply(&self, job: &mut JobDefinition) -> Result<(), Failure> {
        self.apply_to(&mut [("flatmap", &mut job.flatmap), ("count", &mut job.count)])?;
        if let Some(text) = &self.hot_bins {
            let wrong = || usage(anyhow!("--hot-bins: expected bins and their share such as '205:0.5' or '205:0.5:20', found '{text}'"));
            job.hot_bins = Some(hot_bins(text).ok_or_else(wrong)?);
        }
        Ok(())
    }

    /// Applies the flags on operators to a job's operators, given with their names.
    pub(super) fn apply_to(&self, operators: &mut [(&str, &mut OperatorDefinition)]) -> Result<(), Failure> {
        if let Some(start) = &self.start {
            for part in start.split(',') {
                let wrong = || usage(anyhow!("--start: expected instances such as 'flatmap=10,count=20', found '{}'", part.trim()));
                let (name, instances) = part.split_once('=').ok_or_else(wrong)?;
                let instances: u32 = instances.trim().parse().map_err(|_| wrong())?;
                let operator = operator(operators, name.trim(), "--start")?;
                let most = operator.max_parallelism;
                if !(1..=most).contains(&instances) {
                    return Err(usage(anyhow!("--start: expected 1 to {most} instances of '{}', found {instances}", name.trim())));
                }
                operator.instances = instances;
            }
        }
        if let Some(text) = &self.straggler {
            let wrong = || usage(anyhow!("--straggler: expected one such as 'count:3=0.33' or 'count:3=0.33@10..30', found '{text}'"));
            let (name, straggler) = straggler(text).ok_or_else(wrong)?;
            operator(operators, name, "--straggler")?.straggler = Some(straggler);
        }
        Ok(())
    }
}

/// The operator called `name`.
fn operator<'a>(
    operators: &'a mut [(&str, &mut OperatorDefinition)],
    name: &str,
    flag: &str,
) -> Result<&'a mut OperatorDefinition, Failure> {
    let names: Vec<String> = operators.iter().map(|(name, _)| format!("'{name}'")).collect();
    let found = operators.iter_mut().find(|(other, _)| *other == name);
    let wrong = || usage(anyhow!("{flag}: expected an operator, {}, found '{name}'", names.join(" or ")));
    Ok(found.ok_or_else(wrong)?.1)
}

/// Parses an operator and its straggler, such as `count:3=0.33@10..30`.
fn straggler(text: &str) -> Option<(&str, StragglerForm)> {
    let (name, rest) = text.split_once(':')?;
    let (instance, rest) = rest.split_once('=')?;
    let (speed, span) = rest.split_once('@').map_or((rest, None), |(speed, span)| (speed, Some(span)));
    let (from, until) = span.map_or(("0", None), |span| span.split_once("..").map_or((span, None), |(from, until)| (from, Some(until))));
    let until_s = until.map(str::parse).transpose().ok()?;
    Some((name, StragglerForm { instance: instance.parse().ok()?, speed: speed.parse().ok()?, from_s: from.parse().ok()?, until_s }))
}

/// Parses hot bins, such as `205:0.5:20`.
fn hot_bins(text: &str) -> Option<HotBins> {
    let (bins, rest) = text.split_once(':')?;
    let (share, step) = rest.split_once(':').unwrap_or((rest, "1"));
    Some(HotBins { bins: bins.parse().ok()?, share: share.parse().ok()?, step: step.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stragglers_and_hot_bins_are_read_or_not_at_all() {
        let form = |speed, from_s, until_s| Some(("count", StragglerForm { instance: 3, speed, from_s, until_s }));
        for (text, expected) in [
            ("count:3=0.33", form(0.33, 0.0, None)),
            ("count:3=0.33@10", form(0.33, 10.0, None)),
            ("count:3=1@0.5..30", form(1.0, 0.5, Some(30.0))),
            ("count=3", None),
            ("count:3", None),
            ("count:3=0.33@", None),
            ("count:3=0.33@1..", None),
            ("count:-3=0.33", None),
        ] {
            assert_eq!(straggler(text), expected, "{text}");
        }
        let bins = |step| Some(HotBins { bins: 8, share: 0.5, step });
        for (text, expected) in [("8:0.5", bins(1)), ("8:0.5:20", bins(20)), ("8", None), ("8:x", None), ("8:0.5:", None), ("-8:0.5", None)]
        {
            assert_eq!(hot_bins(text), expected, "{text}");
        }
    }
}
