//! Flags of `thalweg run` for NEXMark queries: '--query', '--dilation', '--plain' and '--limits'.

use std::collections::BTreeMap;

use anyhow::anyhow;

use super::run::{self, Args};
use super::{Failure, usage};
use crate::engine::cluster::Deployment;
use crate::engine::nexmark::{Form, Query};
use crate::experiment::definition::OperatorDefinition;
use crate::experiment::nexmark::NexmarkDefinition;
use crate::rate::Rate;

/// The flags for NEXMark queries.
#[derive(Debug, clap::Args)]
pub(super) struct NexmarkArgs {
    /// Run a NEXMark query instead of a word count: q0 to q8 or q11.
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true)]
    pub(super) query: Option<Query>,
    /// Divide the lengths of windows by FACTOR: with 60, an hour becomes a minute. Auctions stay
    /// open as long as at 10,000 events/s, whatever the rate.
    #[arg(long, value_name = "FACTOR", default_value_t = 60.0, requires = "query", allow_hyphen_values = true)]
    dilation: f64,
    /// Run the query in plain timely, without elastic operators: it cannot be rescaled, and only
    /// source and sink are recorded.
    #[arg(long, requires = "query", conflicts_with_all = ["policy", "plan", "settings", "external_command", "limits", "start", "straggler", "strategy", "bins"])]
    plain: bool,
}

/// The query described by the flags, at `rate` events per second, all of them checked.
pub(super) fn definition(args: &Args, query: Query, rate: Rate, deployment: &Deployment) -> Result<NexmarkDefinition, Failure> {
    let names: Vec<&str> = query.operators(args.bins).into_iter().map(|(name, _)| name).collect();
    let limits = limits(args.limits.as_deref().unwrap_or("none"), &names)?;
    let mut operators: Vec<OperatorDefinition> = names.iter().map(|name| run::operator(limits.get(name).copied(), deployment)).collect();
    let mut all: Vec<(&str, &mut OperatorDefinition)> = names.iter().copied().zip(&mut operators).collect();
    args.uneven.apply_to(&mut all)?;
    let definition = NexmarkDefinition {
        query,
        form: if args.nexmark.plain { Form::Plain } else { Form::Elastic },
        source_rate: rate,
        dilation: args.nexmark.dilation,
        tick_ms: 10,
        catch_up: args.catch_up,
        bins: args.bins,
        processes: deployment.processes,
        workers: deployment.workers,
        operators: names.iter().map(|&name| name.to_owned()).zip(operators).collect(),
    };
    definition.check().map_err(|why| usage(anyhow!("{why}")))?;
    Ok(definition)
}

/// Parses limits by operator, such as `winner=20k/s,average=500/s`, or `none`.
fn limits<'a>(text: &'a str, names: &[&'a str]) -> Result<BTreeMap<&'a str, Rate>, Failure> {
    let mut limits = BTreeMap::new();
    if text == "none" {
        return Ok(limits);
    }
    for part in text.split(',').map(str::trim) {
        let wrong = |what: String| usage(anyhow!("--limits: expected 'none' or limits such as '{}=20k/s', {what}", names[0]));
        let (name, rate) = part.split_once('=').ok_or_else(|| wrong(format!("found '{part}'")))?;
        let rate: Rate = rate.trim().parse().map_err(|why| wrong(format!("{why}")))?;
        let Some(name) = names.iter().find(|known| **known == name.trim()) else {
            let all: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            return Err(wrong(format!("for the operators {}, found '{name}'", all.join(" and "))));
        };
        if rate <= Rate::ZERO || limits.insert(*name, rate).is_some() {
            return Err(wrong(format!("each more than 0 and given once, found '{part}'")));
        }
    }
    Ok(limits)
}
