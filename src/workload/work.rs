//! Real computations, for operators that cost what a processor needs for them.
//!
//! A record of such a job names a document, a JSON text of about a kilobyte. What is computed over
//! it is what operators of real jobs spend their time on; how long that takes is the machine's
//! affair, and nothing imposes it.

use std::hint::black_box;
use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use regex_lite::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Documents that records name. Few enough to stay in a cache of the second level, so that the
/// computations are measured and not the memory.
const DOCUMENTS: u64 = 64;
/// Items of an order, at least and at most.
const ITEMS: std::ops::RangeInclusive<u32> = 6..=10;
/// Most repetitions of a computation for one record.
pub const MOST_TIMES: u32 = 10_000;

/// An item of an order.
static ITEM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""price":(\d+(?:\.\d+)?),"quantity":(\d+)"#).expect("it is a regular expression"));

/// A computation over a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Checksum of its bytes (CRC-32): well below a microsecond.
    Hash,
    /// Parses it and adds up its numbers: some microseconds.
    Json,
    /// Finds the price and the quantity of each item with a regular expression: tens of microseconds.
    Regex,
    /// Compresses it (DEFLATE, at its quickest): tens of microseconds.
    Compress,
}

/// What an operator computes for each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Computation {
    /// What is computed.
    pub does: Work,
    /// How often; 1 to [`MOST_TIMES`].
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Computation {
    /// Computes over a document. The result depends on the document and the computation alone.
    pub fn run(self, document: &str) -> u64 {
        (0..self.times).fold(0, |sum: u64, _| sum.wrapping_add(self.does.run(black_box(document))))
    }
}

impl Work {
    fn run(self, document: &str) -> u64 {
        match self {
            Work::Hash => u64::from(crc32fast::hash(document.as_bytes())),
            Work::Json => serde_json::from_str(document).map_or(0, |value| total(&value)),
            Work::Regex => {
                ITEM.captures_iter(document).map(|item| item.iter().flatten().map(|group| group.len() as u64).sum::<u64>()).sum()
            }
            Work::Compress => {
                let mut encoder = DeflateEncoder::new(Vec::with_capacity(document.len()), Compression::fast());
                let compressed = encoder.write_all(document.as_bytes()).and_then(|()| encoder.finish());
                compressed.map_or(0, |bytes| bytes.len() as u64)
            }
        }
    }
}

/// The sum of all numbers, rounded, and of the lengths of all texts.
fn total(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(is) => u64::from(*is),
        Value::Number(number) => number.as_f64().unwrap_or_default().round() as u64,
        Value::String(text) => text.len() as u64,
        Value::Array(values) => values.iter().map(total).sum(),
        Value::Object(entries) => entries.values().map(total).sum(),
    }
}

/// The documents that records name: orders, the same in every run.
#[derive(Clone, Debug)]
pub struct Documents(Vec<String>);

impl Documents {
    /// Makes them.
    pub fn new() -> Documents {
        Documents((0..DOCUMENTS).map(order).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Which of them a key names.
    pub fn index(&self, key: u64) -> usize {
        (key % DOCUMENTS) as usize
    }

    /// The document of that index.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, index: usize) -> &str {
        &self.0[index]
    }
}

impl Default for Documents {
    fn default() -> Documents {
        Documents::new()
    }
}

/// Five words of Cicero's.
fn phrase(random: &mut fastrand::Rng) -> String {
    let words: Vec<&str> = lipsum::LIBER_PRIMUS.split_whitespace().skip(random.usize(..1000)).take(5).collect();
    words.join(" ")
}

fn order(number: u64) -> String {
    let mut random = fastrand::Rng::with_seed(number);
    let items: Vec<Value> = (0..random.u32(ITEMS))
        .map(|_| {
            json!({
                "sku": format!("{:012x}", random.u64(..1 << 48)),
                "quantity": random.u32(1..20),
                "price": f64::from(random.u32(100..100_000)) / 100.0,
                "gift": random.bool(),
                "note": phrase(&mut random),
            })
        })
        .collect();
    json!({ "order": number, "customer": format!("{:08x}", random.u32(..)), "items": items }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_depend_on_document_and_computation_alone() {
        let (documents, again) = (Documents::new(), Documents::default());
        for does in [Work::Hash, Work::Json, Work::Regex, Work::Compress] {
            let results: Vec<u64> = (0..documents.count()).map(|index| Computation { does, times: 1 }.run(documents.get(index))).collect();
            let twice = |index| Computation { does, times: 2 }.run(again.get(index));
            assert!(results.iter().enumerate().all(|(index, result)| *result > 0 && twice(index) == 2 * result), "{does:?}");
            assert!(results.iter().any(|result| *result != results[0]), "{does:?}");
        }
    }

    #[test]
    fn documents_are_orders_of_about_a_kilobyte() {
        let documents = Documents::new();
        for index in 0..documents.count() {
            let text = documents.get(index);
            let order: Value = serde_json::from_str(text).unwrap();
            assert!((600..2_000).contains(&text.len()), "{}", text.len());
            let items = order["items"].as_array().unwrap().len();
            assert!(ITEMS.contains(&(items as u32)));
            assert_eq!(ITEM.captures_iter(text).count(), items, "{text}");
        }
        assert_eq!(documents.index(u64::MAX), 63);
    }
}
