//! Timely's log as written by the released instrumentation: operators and channels of every worker,
//! and rates by worker and operator.
//!
//! Other lines are skipped, since a log may contain anything.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, quoted};
use super::graph::{Graph, Node};
use super::rates::{Row, Rows};
use crate::readers::ReadError;

const OPERATES: &str = "Operates(OperatesEvent { id: N, addr: [WORKER, .., N], name: \"NAME\" })";
const CHANNEL: &str = "Channels(ChannelsEvent { .., source: (N, PORT), target: (N, PORT) })";
const RATES: &str = "replayed converted: TIME (Rates(Op(WORKER, OPERATOR)), (RATE, RATE, RATE, RATE))";

/// The text between `before` and `after`, and the rest; `None` if they are not found.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<(&'t str, &'t str)> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after)
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Identifier, worker, local number and name of an operator.
fn operates(text: &str) -> Option<(u64, u64, u64, &str)> {
    let (id, rest) = between(text, "id:", ",")?;
    let (address, rest) = between(rest, "addr: [", "]")?;
    let (name, _) = between(rest, "name: \"", "\"")?;
    let parts: Vec<&str> = address.split(',').collect();
    let (worker, local) = (parts.first()?, parts.last()?);
    Some((number(id)?, number(worker)?, number(local)?, name))
}

/// Local numbers of the operators that a channel connects.
fn channel(text: &str) -> Option<(u64, u64)> {
    let (from, rest) = between(text, "source: (", ",")?;
    let (to, _) = between(rest, "target: (", ",")?;
    Some((number(from)?, number(to)?))
}

/// An operator while its workers are collected.
struct Gathered {
    line: u64,
    name: String,
    local: u64,
    workers: BTreeSet<u64>,
}

/// Operators and channels: each is logged once by every worker.
pub(super) fn topology(content: &Content<'_>) -> Result<Graph, ReadError> {
    let mut operators: BTreeMap<u64, Gathered> = BTreeMap::new();
    let mut locals: BTreeMap<u64, u64> = BTreeMap::new();
    let mut channels: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for line in content.lines() {
        let (line, text) = line?;
        if let Some((_, event)) = text.split_once("Operates(OperatesEvent") {
            let (id, worker, local, name) = operates(event).ok_or_else(|| content.wrong(line, OPERATES, quoted(text)))?;
            let known = operators.entry(id).or_insert(Gathered { line, name: name.to_owned(), local, workers: BTreeSet::new() });
            if (known.name.as_str(), known.local) != (name, local) {
                let expected = format!("operator {id} to be '{}' at {}, as in line {}", known.name, known.local, known.line);
                return Err(content.wrong(line, expected, format!("{} at {local}", quoted(name))));
            }
            if !known.workers.insert(worker) {
                return Err(content.wrong(line, format!("operator {id} once a worker"), format!("it again of worker {worker}")));
            }
            let other = *locals.entry(local).or_insert(id);
            if other != id {
                let expected = format!("one dataflow, in which {local} is operator {other}");
                return Err(content.wrong(line, expected, format!("operator {id} at {local}")));
            }
        } else if let Some((_, event)) = text.split_once("Channels(ChannelsEvent") {
            let ends = channel(event).ok_or_else(|| content.wrong(line, CHANNEL, quoted(text)))?;
            channels.entry(ends).or_insert(line);
        }
    }
    let Some(workers) = operators.values().map(|operator| operator.workers.len()).max() else {
        return Err(content.wrong(content.last_line(), OPERATES, "the end of the file"));
    };
    let mut graph = Graph::default();
    for (id, operator) in &operators {
        if operator.workers.len() != workers {
            let expected = format!("operator {id} on {workers} workers, as others");
            return Err(content.wrong(operator.line, expected, format!("it on {}", operator.workers.len())));
        }
        let node = Node { id: id.to_string(), name: operator.name.clone(), instances: workers as u32, line: operator.line };
        graph.node(content, node)?;
    }
    for (&(from, to), &line) in &channels {
        let place = |local: u64| {
            let id = locals.get(&local).ok_or_else(|| content.wrong(line, "a channel between operators of the log", format!("{local}")));
            id.map(|id| graph.place(&id.to_string()).expect("every operator is in the graph"))
        };
        let (from, to) = (place(from)?, place(to)?);
        graph.edge(from, to, line);
    }
    if channels.is_empty() {
        return Err(content.wrong(content.last_line(), CHANNEL, "the end of the file"));
    }
    Ok(graph)
}

/// Time, worker, operator and the four rates of a line.
fn rates_of(text: &str) -> Option<(u64, u64, u64, [&str; 4])> {
    let (time, _) = between(text, "replayed converted:", "(")?;
    let (_, rest) = text.split_once("(Rates(Op(")?;
    let (worker, rest) = rest.split_once(',')?;
    let (operator, rest) = rest.split_once(')')?;
    let (rates, _) = between(rest, "(", ")")?;
    let rates: Vec<&str> = rates.split(',').map(str::trim).collect();
    Some((number(time)?, number(worker)?, number(operator)?, rates.try_into().ok()?))
}

/// Rates: one worker, operator and time per line.
pub(super) fn rates(content: &Content<'_>) -> Result<Rows, ReadError> {
    let mut rows = Rows::default();
    let mut any = false;
    for line in content.lines() {
        let (line, text) = line?;
        if !text.contains("(Rates(") {
            continue;
        }
        let (time, worker, operator, rates) = rates_of(text).ok_or_else(|| content.wrong(line, RATES, quoted(text)))?;
        let rates = content.rates(line, rates)?;
        let row = Row { line, operator: operator.to_string(), instance: worker.to_string(), instances: None, time, rates };
        rows.push(content, row)?;
        any = true;
    }
    if any { Ok(rows) } else { Err(content.wrong(content.last_line(), RATES, "the end of the file")) }
}
