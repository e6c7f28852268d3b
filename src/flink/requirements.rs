//! How many instances each vertex is to have: what the cluster was asked, and what it is asked to.
//!
//! Invariant: what is written names every vertex, with a lower bound of 1 and an upper bound from 1 to
//! 32768. Flink 2.3.0 accepts -1, and its JobManager dies of it with all jobs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::job::{Hex, MOST_PARALLELISM};
use super::json::{Lacks, lacks, parse, whole};

/// Bounds of one vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The fewest instances with which the job may run.
    pub lower: u32,
    /// The number it is to have.
    pub upper: u32,
}

/// Reads `GET /jobs/J/resource-requirements`.
pub(super) fn read(body: &str) -> Result<BTreeMap<Hex, Bounds>, Lacks> {
    let value = parse(body)?;
    let Some(map) = value.as_object() else { return lacks("bounds by vertex", Some(&value)) };
    let one = |(id, bounds): (&String, &Value)| {
        let parallelism = bounds.get("parallelism").unwrap_or(&Value::Null);
        let bound = |name: &str| whole(parallelism, name, -1, i64::from(u32::MAX)).map(|bound| bound.max(0) as u32);
        let Some(id) = Hex::read(id) else { return lacks("ids of vertices", Some(&Value::from(id.as_str()))) };
        Ok((id, Bounds { lower: bound("lowerBound")?, upper: bound("upperBound")? }))
    };
    map.iter().map(one).collect()
}

/// What `PUT /jobs/J/resource-requirements` is to say.
///
/// # Panics
/// If a vertex is to have no instance, or more than a vertex can have: the caller has checked.
pub(super) fn body(wanted: &BTreeMap<Hex, u32>) -> String {
    assert!(!wanted.is_empty() && wanted.values().all(|upper| (1..=MOST_PARALLELISM).contains(upper)), "instances from 1 on: {wanted:?}");
    let one = |(id, upper): (&Hex, &u32)| (id.to_string(), json!({ "parallelism": { "lowerBound": 1, "upperBound": upper } }));
    Value::Object(wanted.iter().map(one).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_is_never_below_one() {
        let id = |digit: char| Hex::read(&digit.to_string().repeat(32)).unwrap();
        let wanted = BTreeMap::from([(id('a'), 3), (id('b'), 1)]);
        let read_back = read(&body(&wanted)).unwrap();
        assert_eq!(read_back[&id('a')], Bounds { lower: 1, upper: 3 });
        for wrong in [BTreeMap::new(), BTreeMap::from([(id('a'), 0)]), BTreeMap::from([(id('a'), u32::MAX)])] {
            assert!(std::panic::catch_unwind(|| body(&wrong)).is_err());
        }
        for text in ["[]", "{\"x\":{}}", "{\"x\":{\"parallelism\":{\"lowerBound\":1,\"upperBound\":1}}}", "null", "3"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
