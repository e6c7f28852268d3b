//! The input files of DS2's released program: a dataflow, and the rates that were measured of it.
//!
//! Takes the contents of files; gives the dataflow and, by epoch, the rates of each operator summed over its instances. The formats are
//! those of the released program (`papers/ds2-osdi18.md#files`): tables for Flink and Heron, lines of a log for timely. Invariants: every
//! rate is finite and not negative, every operator of the dataflow has rates in every epoch that is given out; whatever else is found is an
//! error that names file, line, what was expected and what was found. Nothing is guessed.

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

/// Which system's files they are.
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

/// A file that was read into memory.
#[derive(Clone, Copy, Debug)]
pub struct Content<'f> {
    /// What errors call it.
    pub path: &'f Path,
    /// What is in it.
    pub bytes: &'f [u8],
}

/// The files of one case.
#[derive(Clone, Copy, Debug)]
pub struct Files<'f> {
    /// Operators and edges.
    pub topology: Content<'f>,
    /// Rates by operator, instance and time.
    pub rates: Content<'f>,
    /// Rates at which sources are to emit, by source and instance.
    pub source_rates: Option<Content<'f>>,
    /// Rates that operators are known not to exceed, by operator and instance.
    pub operator_rates: Option<Content<'f>>,
}

/// What was measured of one operator in one epoch: sums over its instances, in records per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OperatorRates {
    /// True processing rate.
    pub true_processing: f64,
    /// True output rate; of a source the rate at which it is to emit.
    pub true_output: f64,
    /// Observed processing rate.
    pub observed_processing: f64,
    /// Observed output rate.
    pub observed_output: f64,
}

/// A dataflow and what was measured of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The dataflow. An operator's name here is its identifier in the files. Operators without inputs are sources; there is no limit on
    /// parallelism.
    pub topology: Topology,
    /// Names of operators in the files, by operator; the identifier where they have no other.
    pub names: Vec<String>,
    /// Instances of each operator.
    pub instances: Vec<u32>,
    /// Rates of each operator, by epoch.
    pub epochs: Vec<Vec<OperatorRates>>,
    /// Epochs at the end that some instance has no rates of any more; they are left out.
    pub incomplete_epochs: usize,
}

/// Reads the files of a case.
///
/// # Errors
/// When a file is not what it should be, or files do not fit together.
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
    /// Takes the true rates down to what the operator is known not to exceed, or to what was observed. Both of them in the same ratio: what
    /// comes out of a record does not depend on how fast it goes in.
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

/// Nothing that is measured is faster, and sums of it stay finite.
const MOST_PER_SECOND: f64 = 1e18;

impl<'f> Content<'f> {
    fn wrong(&self, line: u64, expected: impl Into<String>, found: impl Into<String>) -> ReadError {
        ReadError::Damaged { file: self.path.to_owned(), place: Place::Line(line), expected: expected.into(), found: found.into() }
    }

    /// Lines that are not empty and no comments, without blanks around them, with their numbers.
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

    /// A rate, if it is one.
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

/// What was found, cut to what a person reads.
fn quoted(text: &str) -> String {
    super::error::excerpt(text.as_bytes())
}

#[cfg(test)]
mod tests;
