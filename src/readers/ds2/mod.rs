//! The input files of the released DS2 program: a dataflow, and the rates measured for it.
//!
//! From the contents of files to the dataflow and, by epoch, the rates of each operator summed over
//! its instances. The formats are those of the released program (`papers/ds2-osdi18.md#files`):
//! tables for Flink and Heron, lines of a log for timely. Invariants: every rate is finite and not
//! negative, and every operator of the dataflow has rates in every returned epoch; anything else is
//! an error that names the file, the line, what was expected and what was found. Nothing is
//! guessed.

mod graph;
mod rates;
mod table;
mod worker_log;

use std::path::Path;

use graph::Graph;
use rates::Rows;

use super::ReadError;
use super::error::Place;
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

/// A file read into memory.
#[derive(Clone, Copy, Debug)]
pub struct Content<'f> {
    /// Its name in errors.
    pub path: &'f Path,
    /// Its content.
    pub bytes: &'f [u8],
}

/// The files of one dataflow.
#[derive(Clone, Copy, Debug)]
pub struct Files<'f> {
    /// Operators and edges.
    pub topology: Content<'f>,
    /// Rates by operator, instance and time.
    pub rates: Content<'f>,
    /// Target rates of sources, by source and instance.
    pub source_rates: Option<Content<'f>>,
    /// Upper bounds on the processing rates of operators, by operator and instance.
    pub operator_rates: Option<Content<'f>>,
}

/// Measured rates of one operator in one epoch: sums over its instances, in records per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OperatorRates {
    /// True processing rate.
    pub true_processing: f64,
    /// True output rate; for a source its target rate.
    pub true_output: f64,
    /// Observed processing rate.
    pub observed_processing: f64,
    /// Observed output rate.
    pub observed_output: f64,
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
    /// Rates of each operator, by epoch.
    pub epochs: Vec<Vec<OperatorRates>>,
    /// Number of epochs at the end without rates of some instance; they are skipped.
    pub incomplete_epochs: usize,
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
    let (mut epochs, incomplete_epochs) = rows.epochs(graph, &order, files)?;
    let instances: Vec<u32> = order.iter().map(|&node| graph.nodes[node].instances).collect();
    let place = |id: &str| topology.named(id).map(|operator| operator.id.0 as usize);
    if let Some(content) = &files.source_rates {
        for given in table::given_rates(content)? {
            let source = place(&given.operator).filter(|&place| topology.operators()[place].role == crate::dataflow::Role::Source);
            let source = source.ok_or_else(|| {
                let expected = format!("a source of {}", files.topology.path.display());
                content.wrong(given.line, expected, format!("'{}'", given.operator))
            })?;
            for epoch in &mut epochs {
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
            for epoch in &mut epochs {
                epoch[operator].limit(most);
            }
        }
    }
    let names = order.iter().map(|&node| graph.nodes[node].name.clone()).collect();
    Ok(Measured { topology, names, instances, epochs, incomplete_epochs })
}

impl OperatorRates {
    /// Clips the true processing rates to the upper bound, or to the observed rate. The output rate
    /// is reduced by the same ratio: the selectivity does not depend on the rate.
    fn limit(&mut self, most: Option<f64>) {
        let processing = most.map_or(self.observed_processing, |most| most.min(self.true_processing));
        if self.true_processing > 0.0 {
            self.true_output *= processing / self.true_processing;
        }
        self.true_processing = processing;
    }

    fn add(&mut self, other: &OperatorRates) {
        self.true_processing += other.true_processing;
        self.true_output += other.true_output;
        self.observed_processing += other.observed_processing;
        self.observed_output += other.observed_output;
    }
}

/// An upper bound on measured rates, so that sums stay finite.
const MOST_PER_SECOND: f64 = 1e18;

impl<'f> Content<'f> {
    fn wrong(&self, line: u64, expected: impl Into<String>, found: impl Into<String>) -> ReadError {
        ReadError::Damaged { file: self.path.to_owned(), place: Place::Line(line), expected: expected.into(), found: found.into() }
    }

    /// Lines that are neither empty nor comments, without surrounding blanks, with their numbers.
    fn lines(&self) -> impl Iterator<Item = Result<(u64, &'f str), ReadError>> + '_ {
        let bytes = self.bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(self.bytes);
        let numbered = (1..).zip(bytes.split(|&byte| byte == b'\n'));
        numbered.filter_map(move |(number, line)| match std::str::from_utf8(line) {
            Ok(text) => Some(text.trim()).filter(|text| !text.is_empty() && !text.starts_with('#')).map(|text| Ok((number, text))),
            Err(why) => {
                let byte = line[why.valid_up_to()];
                Some(Err(self.wrong(number, "text in UTF-8", format!("the byte 0x{byte:02x}"))))
            }
        })
    }

    /// The number of the last line.
    fn last_line(&self) -> u64 {
        let end = self.bytes.strip_suffix(b"\n").unwrap_or(self.bytes);
        1 + end.iter().filter(|&&byte| byte == b'\n').count() as u64
    }

    /// A rate, if the text is one.
    fn rate(&self, line: u64, what: &str, text: &str) -> Result<f64, ReadError> {
        let rate = text.trim().parse::<f64>().ok().filter(|rate| (0.0..=MOST_PER_SECOND).contains(rate));
        rate.ok_or_else(|| self.wrong(line, format!("{what}, in records/s from 0 to 1e18"), quoted(text)))
    }

    fn within_range(&self, line: u64, rate: f64) -> Result<f64, ReadError> {
        if rate <= MOST_PER_SECOND {
            Ok(rate)
        } else {
            Err(self.wrong(line, "a rate of at most 1e18 records/s over all instances", format!("{rate:e}")))
        }
    }
}

/// The text that was found, truncated for an error message.
fn quoted(text: &str) -> String {
    super::error::excerpt(text.as_bytes())
}

#[cfg(test)]
mod tests;
