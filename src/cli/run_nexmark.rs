//! What `thalweg run` is told of a query of NEXMark: '--query', '--dilation', '--plain' and its '--limits'.

use std::collections::BTreeMap;

use anyhow::anyhow;

use super::run::{self, Args};
use super::{Failure, usage};
use crate::dataflow::Role;
use crate::engine::cluster::Deployment;
use crate::engine::nexmark::{Form, Query};
use crate::experiment::scenario::{NexmarkForm, OperatorForm, RoleForm, Scenario};
use crate::rate::Rate;

/// The flags.
#[derive(Debug, clap::Args)]
pub(super) struct NexmarkArgs {
    /// Run a query of NEXMark instead of a word count: q0 to q8 or q11.
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true)]
    pub(super) query: Option<Query>,
    /// Divide window lengths by so much: with 60 an hour is a minute. Auctions last as long as at 10,000 events/s, whatever the rate.
    #[arg(long, value_name = "FACTOR", default_value_t = 60.0, requires = "query", allow_hyphen_values = true)]
    dilation: f64,
    /// Run the query in plain timely: nothing is rescaled, and nothing recorded but what source and sink do.
    #[arg(long, requires = "query", conflicts_with_all = ["policy", "plan", "settings", "external_command", "limits", "start", "straggler", "strategy", "bins"])]
    plain: bool,
}

/// The query that the flags describe, with `rate` events a second, each checked.
pub(super) fn scenario(args: &Args, query: Query, rate: Rate, deployment: &Deployment) -> Result<Scenario, Failure> {
    let operators = query.operators(args.bins);
    let names: Vec<&str> = operators.iter().map(|(name, _)| *name).collect();
    let limits = limits(args.limits.as_deref().unwrap_or("none"), &names)?;
    let mut input = "source";
    let between = operators.iter().map(|(name, role)| {
        let role = if matches!(role, Role::Keyed { .. }) { RoleForm::Keyed } else { RoleForm::Stateless };
        let operator = run::operator(name, role, std::mem::replace(&mut input, name), limits.get(name).copied(), deployment);
        OperatorForm { bins: args.bins, ..operator }
    });
    let between = between.collect();
    // A scenario's source has the events that the query reads.
    let read = Rate::per_second(rate.as_per_second() * query.kinds().share());
    let form = if args.nexmark.plain { Form::Plain } else { Form::Elastic };
    let nexmark = NexmarkForm { query, form, dilation: args.nexmark.dilation, active: None };
    let scenario = run::scenario(args, format!("NEXMark {query}"), read, between, deployment);
    let mut scenario = Scenario { nexmark: Some(nexmark), ..scenario };
    args.uneven.apply(&mut scenario)?;
    Ok(scenario)
}

/// Limits by operator, of a text such as `winner=20k/s,average=500/s`, or `none`.
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
            return Err(wrong(format!("of the operators {}, found '{name}'", all.join(" and "))));
        };
        if rate <= Rate::ZERO || limits.insert(*name, rate).is_some() {
            return Err(wrong(format!("each more than 0 and once, found '{part}'")));
        }
    }
    Ok(limits)
}
