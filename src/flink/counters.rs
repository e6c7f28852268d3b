//! Counters of subtasks: what each has read, written and spent its time on since it was deployed.
//!
//! Rates are differences of counters over the task's own clock (busy, held up and idle time add up to
//! it): how old an answer is, is not known, and the means per second that a cluster offers cover a minute.

use std::collections::BTreeMap;

use serde_json::Value;

use super::graph::Node;
use super::json::{Lacks, lacks, parse};

/// The names, of Flink 1.20 and 2.3 alike.
const NAMES: [&str; 5] = ["numRecordsIn", "numRecordsOut", "accumulateBusyTimeMs", "accumulateBackPressuredTimeMs", "accumulateIdleTimeMs"];
/// The longest query: servers refuse a request line of more than 4 kB.
const MOST_QUERY: usize = 3000;
/// Metrics that say what a source has not emitted: of sources in general, and of older connectors of Kafka.
const PENDING: [&str; 3] = [".pendingRecords", ".records-lag-max", ".records_lag_max"];

/// Counters of one subtask.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Records read.
    pub records_in: f64,
    /// Records written; each once, whatever the number of edges that it leaves by.
    pub records_out: f64,
    /// Time busy, in ms.
    pub busy_ms: f64,
    /// Time held up by those after it, in ms.
    pub blocked_ms: f64,
    /// Time without anything to do, in ms.
    pub idle_ms: f64,
}

impl Counters {
    /// What happened between `before` and `self`; nothing if the task was deployed in between, or its clock stood still.
    pub fn since(&self, before: &Counters) -> Option<Counters> {
        let moved = Counters {
            records_in: self.records_in - before.records_in,
            records_out: self.records_out - before.records_out,
            // Of a source it can fall by some milliseconds.
            busy_ms: (self.busy_ms - before.busy_ms).max(0.0),
            blocked_ms: self.blocked_ms - before.blocked_ms,
            idle_ms: self.idle_ms - before.idle_ms,
        };
        let counts = [moved.records_in, moved.records_out, moved.blocked_ms, moved.idle_ms];
        (counts.iter().all(|count| *count >= 0.0) && moved.clock_ms() > 0.0).then_some(moved)
    }

    /// The task's clock, in ms.
    pub fn clock_ms(&self) -> f64 {
        self.busy_ms + self.blocked_ms + self.idle_ms
    }

    /// Share of its time that it was held up, 0 to 1.
    pub fn blocked_share(&self) -> f64 {
        self.blocked_ms / self.clock_ms().max(f64::MIN_POSITIVE)
    }

    /// Share of its time that it was busy, 0 to 1.
    pub fn busy_share(&self) -> f64 {
        self.busy_ms / self.clock_ms().max(f64::MIN_POSITIVE)
    }

    /// Records that pass through it: read, or written by a source.
    pub fn records(&self) -> f64 {
        if self.records_in > 0.0 { self.records_in } else { self.records_out }
    }

    /// Time that one record takes it, in ms; nothing without records.
    pub fn service_ms(&self) -> Option<f64> {
        (self.records() > 0.0).then(|| self.busy_ms / self.records())
    }

    /// Records a second that pass through it.
    pub fn per_second(&self) -> f64 {
        1000.0 * self.records() / self.clock_ms().max(f64::MIN_POSITIVE)
    }
}

/// Queries for the counters of so many subtasks, none too long.
pub(super) fn queries(subtasks: u32) -> Vec<String> {
    split((0..subtasks).flat_map(|subtask| NAMES.map(|name| format!("{subtask}.{name}"))))
}

/// Queries for metrics, none too long.
pub(super) fn split(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut queries: Vec<String> = Vec::new();
    for name in names {
        match queries.last_mut().filter(|query| query.len() + name.len() < MOST_QUERY) {
            Some(query) => {
                query.push(',');
                query.push_str(&name);
            }
            None => queries.push(name),
        }
    }
    queries
}

/// Reads `GET .../metrics?get=...`: values by name, those that are numbers.
pub(super) fn values(body: &str) -> Result<BTreeMap<String, f64>, Lacks> {
    let value = parse(body)?;
    let Some(list) = value.as_array() else { return lacks("a list of metrics", Some(&value)) };
    let one = |metric: &Value| {
        let value = metric.get("value").and_then(Value::as_str)?.parse::<f64>().ok().filter(|value| value.is_finite())?;
        Some((metric.get("id").and_then(Value::as_str)?.to_owned(), value))
    };
    Ok(list.iter().filter_map(one).collect())
}

/// Reads `GET .../metrics`: the names that there are.
pub(super) fn names(body: &str) -> Result<Vec<String>, Lacks> {
    let value = parse(body)?;
    let Some(list) = value.as_array() else { return lacks("a list of metrics", Some(&value)) };
    Ok(list.iter().filter_map(|metric| metric.get("id").and_then(Value::as_str).map(str::to_owned)).collect())
}

/// The counters of a subtask among `values`; nothing unless all of them are there: right after a task was deployed some are not.
pub(super) fn of_subtask(values: &BTreeMap<String, f64>, subtask: u32) -> Option<Counters> {
    // More than any task can have counted, and exact in a float.
    const MOST: f64 = 9e15;
    let get = |name: &str| values.get(&format!("{subtask}.{name}")).copied().filter(|value| (0.0..=MOST).contains(value));
    let [records_in, records_out, busy_ms, blocked_ms, idle_ms] = NAMES.map(get);
    Some(Counters { records_in: records_in?, records_out: records_out?, busy_ms: busy_ms?, blocked_ms: blocked_ms?, idle_ms: idle_ms? })
}

/// Of all names of a source's metrics, those that say what is pending; those of the first kind that there is.
pub(super) fn pending_names(all: &[String]) -> Vec<String> {
    let of = |end: &str| -> Vec<String> { all.iter().filter(|name| name.ends_with(end) && is_plain(name)).cloned().collect() };
    PENDING.iter().map(|end| of(end)).find(|names| !names.is_empty()).unwrap_or_default()
}

/// What `pendingRecords` of a source is called where the cluster does not list its metrics.
pub(super) fn pending_guess(node: &Node, subtasks: u32) -> Vec<String> {
    let name = node.full_name.split(" -> ").next().unwrap_or_default().replace(": ", "__").replace(' ', "_");
    let names = (0..subtasks).map(|subtask| format!("{subtask}.{name}.pendingRecords"));
    names.filter(|name| is_plain(name)).collect()
}

/// Whether a name can stand in a query as it is.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_whole_or_not_there() {
        let body = r#"[{"id":"0.numRecordsIn","value":"9037"},{"id":"0.numRecordsOut","value":"9000"},{"id":"0.accumulateBusyTimeMs","value":"362.0"},
            {"id":"0.accumulateBackPressuredTimeMs","value":"0"},{"id":"0.accumulateIdleTimeMs","value":"4664"},
            {"id":"1.numRecordsIn","value":"5"},{"id":"1.accumulateBusyTimeMs","value":"NaN"},{"id":"2.x"},{"value":"3"},7,null]"#;
        let read = values(body).unwrap();
        let all = of_subtask(&read, 0).unwrap();
        assert_eq!((all.records_in, all.clock_ms()), (9037.0, 5026.0));
        assert_eq!((of_subtask(&read, 1), of_subtask(&read, 2)), (None, None));
        let later = Counters { records_in: 9137.0, busy_ms: 360.0, idle_ms: 5664.0, ..all };
        let moved = later.since(&all).unwrap();
        assert_eq!((moved.busy_ms, moved.records_in, moved.per_second()), (0.0, 100.0, 100.0), "busy time that falls is none");
        assert_eq!(all.since(&later), None, "a restart");
        assert_eq!(all.since(&all), None, "the same answer");
        for body in ["{}", "x", "", "[", "null", "[1e999]"] {
            assert!(values(body).is_err() || values(body).is_ok_and(|values| values.is_empty()), "{body}");
        }
    }

    #[test]
    fn queries_are_short_enough_for_a_request_line() {
        assert!(queries(0).is_empty());
        let all = queries(500);
        assert!(all.len() > 1 && all.iter().all(|query| query.len() <= MOST_QUERY));
        assert_eq!(all.iter().map(|query| query.split(',').count()).sum::<usize>(), 2500);
    }

    #[test]
    fn what_is_pending_is_found_by_its_name() {
        let names = |list: &[&str]| pending_names(&list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            names(&["0.busy", "0.Source__k.pendingRecords", "0.Source__k.KafkaSourceReader.records-lag-max"]),
            ["0.Source__k.pendingRecords"]
        );
        assert_eq!(names(&["0.Source__k.KafkaConsumer.records-lag-max"]), ["0.Source__k.KafkaConsumer.records-lag-max"]);
        assert!(names(&["0.a b&get=.pendingRecords", "0.busy"]).is_empty());
    }
}
