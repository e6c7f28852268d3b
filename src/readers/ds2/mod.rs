//! The input files of the released DS2 program: a dataflow, and the rates measured for it.
//!
//! From the contents of files to the dataflow and, by epoch, the rates of each operator summed over
//! its instances. The formats are those of the released program (`papers/ds2-osdi18.md#files`):
//! tables for Flink and Heron, lines of a log for timely. Invariants: every rate is finite and not
//! negative, and every operator of the dataflow has rates in every returned epoch; anything else is
//! an error that names the file, the line, what was expected and what was found. Nothing is
//! guessed.

mod align;
mod content;
mod graph;
mod operator_rates;
mod rates;
mod table;
mod worker_log;

pub use content::{Content, Files};
pub use operator_rates::OperatorRates;

use graph::Graph;
pub use rates::MissingRow;
use rates::Rows;

use super::ReadError;
use crate::dataflow::Topology;

/// The system that wrote the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum System {
    /// Flink: tables.
    #[default]
    Flink,
    /// Heron: the same tables.
    Heron,
    /// Timely: lines of its log.
    Timely,
}

/// A dataflow with measured rates.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The dataflow. The name of an operator here is its identifier in the files. Operators without
    /// inputs are sources; parallelism is unlimited.
    pub topology: Topology,
    /// Names of operators in the files, by operator; the identifier for those without one.
    pub names: Vec<String>,
    /// Instances of each operator.
    pub instances: Vec<u32>,
    /// The epochs of which there are rates of every instance: the number of each, and the rates of
    /// each operator.
    pub epochs: Vec<(usize, Vec<OperatorRates>)>,
    /// Rows that are missing, by epoch; the first some thousand of them. Epochs without a row are
    /// skipped.
    pub missing: Vec<MissingRow>,
}

/// Reads the files of a dataflow.
///
/// # Errors
/// If a file is invalid, or files do not match.
pub fn read(system: System, files: &Files<'_>) -> Result<Measured, ReadError> {
    let (graph, rows) = match system {
        System::Flink | System::Heron => (table::topology(&files.topology)?, table::rates(&files.rates)?),
        System::Timely => (worker_log::topology(&files.topology)?, worker_log::rates(&files.rates)?),
    };
    measured(&graph, rows, files)
}

fn measured(graph: &Graph, rows: Rows, files: &Files<'_>) -> Result<Measured, ReadError> {
    let (topology, order) = graph.topology(&files.topology)?;
    let (mut epochs, missing) = rows.epochs(graph, &order, files)?;
    let instances: Vec<u32> = order.iter().map(|&node| graph.nodes[node].instances).collect();
    let place = |id: &str| topology.named(id).map(|operator| operator.id.0 as usize);
    if let Some(content) = &files.source_rates {
        for given in table::given_rates(content)? {
            let source = place(&given.operator).filter(|&place| topology.operators()[place].role == crate::dataflow::Role::Source);
            let source = source.ok_or_else(|| {
                let expected = format!("a source of {}", files.topology.path.display());
                content.wrong(given.line, expected, format!("'{}'", given.operator))
            })?;
            for (_, epoch) in &mut epochs {
                let rates = &mut epoch[source];
                rates.true_output = match given.rate {
                    Some(rate) => content.within_range(given.line, rate * f64::from(instances[source]))?,
                    None => rates.observed_output,
                };
            }
        }
    }
    if let Some(content) = &files.operator_rates {
        for given in table::given_rates(content)? {
            let operator = place(&given.operator).ok_or_else(|| {
                let expected = format!("an operator of {}", files.topology.path.display());
                content.wrong(given.line, expected, format!("'{}'", given.operator))
            })?;
            let most = match given.rate {
                Some(rate) => Some(content.within_range(given.line, rate * f64::from(instances[operator]))?),
                None => None,
            };
            for (_, epoch) in &mut epochs {
                epoch[operator].limit(most);
            }
        }
    }
    let names = order.iter().map(|&node| graph.nodes[node].name.clone()).collect();
    Ok(Measured { topology, names, instances, epochs, missing })
}

#[cfg(test)]
mod tests;
