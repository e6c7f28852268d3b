//! The tables for Flink and Heron: comma-separated fields; lines that start with `#` are comments.

use std::collections::BTreeMap;

use super::content::{Content, quoted};
use super::graph::{Graph, Node};
use super::rates::{Row, Rows};
use crate::readers::ReadError;

const EDGE: &str = "an edge as 'id,name,instances,id,name,instances'";
const RATES: &str = "rates as 'operator,instance,instances,time,true processing,true output,observed processing,observed output'";
const GIVEN: &str = "a rate as 'operator,rate of an instance'";

/// The fields of a line, if their number is as expected.
fn fields<'l, const N: usize>(content: &Content<'_>, line: u64, text: &'l str, expected: &str) -> Result<[&'l str; N], ReadError> {
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    let count = fields.len();
    fields.try_into().map_err(|_| content.wrong(line, format!("{expected}, {N} fields"), format!("{count} in {}", quoted(text))))
}

fn named<'l>(content: &Content<'_>, line: u64, text: &'l str, expected: &str) -> Result<&'l str, ReadError> {
    if text.is_empty() { Err(content.wrong(line, expected, "an empty field")) } else { Ok(text) }
}

fn instances(content: &Content<'_>, line: u64, text: &str) -> Result<u32, ReadError> {
    let number = text.parse::<u32>().ok().filter(|&instances| instances > 0);
    number.ok_or_else(|| content.wrong(line, "a number of instances, at least 1", quoted(text)))
}

/// Operators and edges: one edge per line.
pub(super) fn topology(content: &Content<'_>) -> Result<Graph, ReadError> {
    let mut graph = Graph::default();
    let mut any = false;
    for line in content.lines() {
        let (line, text) = line?;
        let [from, from_name, from_instances, to, to_name, to_instances] = fields(content, line, text, EDGE)?;
        let mut node = |id: &str, name: &str, count: &str| {
            let id = named(content, line, id, "the identifier of an operator")?.to_owned();
            let node = Node { id, name: name.to_owned(), instances: instances(content, line, count)?, line };
            graph.node(content, node)
        };
        let (from, to) = (node(from, from_name, from_instances)?, node(to, to_name, to_instances)?);
        graph.edge(from, to, line);
        any = true;
    }
    if any { Ok(graph) } else { Err(content.wrong(content.last_line(), EDGE, "the end of the file")) }
}

/// Rates: one instance and time per line.
pub(super) fn rates(content: &Content<'_>) -> Result<Rows, ReadError> {
    let mut rows = Rows::default();
    let mut any = false;
    for line in content.lines() {
        let (line, text) = line?;
        let [operator, instance, count, time, true_processing, true_output, observed_processing, observed_output] =
            fields(content, line, text, RATES)?;
        let row = Row {
            line,
            operator: named(content, line, operator, "the identifier of an operator")?.to_owned(),
            instance: named(content, line, instance, "the identifier of an instance")?.to_owned(),
            instances: Some(instances(content, line, count)?),
            time: time.parse().map_err(|_| content.wrong(line, "a time, a whole number of at least 0", quoted(time)))?,
            rates: content.rates(line, [true_processing, true_output, observed_processing, observed_output])?,
        };
        rows.push(content, row)?;
        any = true;
    }
    if any { Ok(rows) } else { Err(content.wrong(content.last_line(), RATES, "the end of the file")) }
}

/// A rate given by the user.
#[derive(Debug)]
pub(super) struct GivenRate {
    pub(super) line: u64,
    pub(super) operator: String,
    /// Per instance; `None` for the observed rate, written as -1.
    pub(super) rate: Option<f64>,
}

/// Rates given by the user: one operator per line.
pub(super) fn given_rates(content: &Content<'_>) -> Result<Vec<GivenRate>, ReadError> {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut given = Vec::new();
    for line in content.lines() {
        let (line, text) = line?;
        let [operator, rate] = fields(content, line, text, GIVEN)?;
        let operator = named(content, line, operator, "the identifier of an operator")?.to_owned();
        if let Some(first) = seen.insert(operator.clone(), line) {
            return Err(content.wrong(line, format!("one rate an operator, as in line {first}"), format!("another one of '{operator}'")));
        }
        let rate = match rate.parse::<f64>() {
            Ok(-1.0) => None,
            _ => Some(content.rate(line, "a rate of an instance (-1 for the observed one)", rate)?),
        };
        given.push(GivenRate { line, operator, rate });
    }
    if given.is_empty() { Err(content.wrong(content.last_line(), GIVEN, "the end of the file")) } else { Ok(given) }
}
