//! Checkpoints of a job: which there are, and when their barriers came to each subtask.

use std::collections::BTreeMap;

use serde_json::Value;

use super::json::{Lacks, list, millis, parse};

/// A barrier that takes longer tells of nothing that a controller could act on: 30 days.
const MOST_MS: u64 = 30 * 86_400_000;

/// A checkpoint in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number, which only grows.
    pub id: u64,
    /// When it was triggered, by the JobManager's clock in ms since 1970.
    pub triggered_ms: u64,
    /// Whether it is complete.
    pub is_complete: bool,
    /// State that it holds, in bytes.
    pub state_bytes: u64,
}

/// What the history says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Those that it still has, the oldest first.
    pub checkpoints: Vec<Checkpoint>,
    /// How many failed so far.
    pub failed: u64,
    /// How many are in progress.
    pub in_progress: u64,
}

impl History {
    /// Reads `GET /jobs/J/checkpoints`.
    pub(super) fn read(body: &str) -> Result<History, Lacks> {
        let value = parse(body)?;
        let one = |value: &Value| {
            Some(Checkpoint {
                id: millis(value, "id")?,
                triggered_ms: millis(value, "trigger_timestamp")?,
                is_complete: value.get("status").and_then(Value::as_str) == Some("COMPLETED"),
                state_bytes: millis(value, "state_size").unwrap_or(0),
            })
        };
        let mut checkpoints: BTreeMap<u64, Checkpoint> = BTreeMap::new();
        let latest = value.get("latest").and_then(|latest| latest.get("completed"));
        for checkpoint in list(&value, "history")?.iter().chain(latest).filter_map(one) {
            checkpoints.insert(checkpoint.id, checkpoint);
        }
        let count = |name: &str| value.get("counts").and_then(|counts| millis(counts, name)).unwrap_or(0);
        Ok(History { checkpoints: checkpoints.into_values().collect(), failed: count("failed"), in_progress: count("in_progress") })
    }

    /// The newest that is complete.
    pub fn newest(&self) -> Option<&Checkpoint> {
        self.checkpoints.iter().rev().find(|checkpoint| checkpoint.is_complete)
    }
}

/// How a job takes checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// Time between two of them; nothing if none are taken.
    pub interval_ms: Option<u64>,
    /// Whether barriers overtake records.
    pub unaligned: bool,
    /// Whether they do once they wait for long.
    pub unaligned_after_a_while: bool,
}

impl CheckpointConfig {
    /// Reads `GET /jobs/J/checkpoints/config`.
    pub(super) fn read(body: &str) -> Result<CheckpointConfig, Lacks> {
        let value = parse(body)?;
        // What is disabled has the greatest interval that there is.
        let interval_ms = millis(&value, "interval").filter(|interval| (1..MOST_MS).contains(interval));
        Ok(CheckpointConfig {
            interval_ms,
            unaligned: value.get("unaligned_checkpoints").and_then(Value::as_bool).unwrap_or(false),
            unaligned_after_a_while: millis(&value, "aligned_checkpoint_timeout").is_some_and(|timeout| timeout > 0),
        })
    }
}

/// When the barriers of a checkpoint came to one subtask, in ms from its trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The first.
    pub first_ms: u64,
    /// The last; then the subtask sends its own.
    pub last_ms: u64,
}

/// What the details of a checkpoint say of one vertex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// By subtask; those that have acknowledged.
    pub subtasks: BTreeMap<u32, Arrival>,
    /// Whether all have.
    pub is_whole: bool,
    /// Whether a barrier overtook records anywhere.
    pub is_unaligned: bool,
    /// The longest time of the two parts of writing state, in ms: in the task's own thread, and beside it.
    pub sync_ms: u64,
    /// The other part.
    pub async_ms: u64,
}

impl Arrivals {
    /// Reads `GET /jobs/J/checkpoints/details/C/subtasks/V`.
    pub(super) fn read(body: &str) -> Result<Arrivals, Lacks> {
        let value = parse(body)?;
        let mut arrivals = Arrivals { is_whole: true, ..Arrivals::default() };
        for subtask in list(&value, "subtasks")? {
            match one(subtask) {
                Some((index, arrival)) => drop(arrivals.subtasks.insert(index, arrival)),
                None => arrivals.is_whole = false,
            }
            arrivals.is_unaligned |= subtask.get("unaligned_checkpoint").and_then(Value::as_bool) == Some(true);
            if let Some(parts) = subtask.get("checkpoint") {
                arrivals.sync_ms = arrivals.sync_ms.max(millis(parts, "sync").unwrap_or(0));
                arrivals.async_ms = arrivals.async_ms.max(millis(parts, "async").unwrap_or(0));
            }
        }
        arrivals.is_whole &= !arrivals.subtasks.is_empty();
        Ok(arrivals)
    }
}

fn one(subtask: &Value) -> Option<(u32, Arrival)> {
    let is_done = subtask.get("status").and_then(Value::as_str) == Some("completed");
    let index = subtask.get("index").and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok())?;
    let first_ms = millis(subtask, "start_delay").filter(|delay| *delay <= MOST_MS)?;
    let aligned_ms = millis(subtask.get("alignment")?, "duration").filter(|length| *length <= MOST_MS)?;
    is_done.then_some((index, Arrival { first_ms, last_ms: first_ms + aligned_ms }))
}

/// Reads the answer to a trigger: the number of the request.
pub(super) fn triggered(body: &str) -> Result<String, Lacks> {
    Ok(super::json::text(&parse(body)?, "request-id")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_those_of_subtasks_that_acknowledged() {
        let body = r#"{"subtasks":[
            {"index":0,"status":"completed","alignment":{"duration":20},"start_delay":15,"unaligned_checkpoint":false,"checkpoint":{"sync":1,"async":15}},
            {"index":1,"status":"pending_or_failed"},
            {"index":2,"status":"completed","alignment":{"duration":-1},"start_delay":15},
            {"index":3,"status":"completed","alignment":{"duration":0},"start_delay":99999999999999}]}"#;
        let arrivals = Arrivals::read(body).unwrap();
        assert_eq!(arrivals.subtasks, BTreeMap::from([(0, Arrival { first_ms: 15, last_ms: 35 })]));
        assert_eq!((arrivals.is_whole, arrivals.is_unaligned, arrivals.async_ms), (false, false, 15));
        assert!(!Arrivals::read(r#"{"subtasks":[]}"#).unwrap().is_whole);
        assert!(Arrivals::read("{}").is_err());
    }

    #[test]
    fn a_history_is_in_order_and_says_what_is_complete() {
        let body = r#"{"counts":{"failed":2,"in_progress":1},"latest":{"completed":{"id":4,"trigger_timestamp":7,"status":"COMPLETED","state_size":9}},
            "history":[{"id":6,"trigger_timestamp":9,"status":"IN_PROGRESS"},{"id":5,"trigger_timestamp":8,"status":"FAILED"},{"id":-5},{}]}"#;
        let history = History::read(body).unwrap();
        assert_eq!(history.checkpoints.iter().map(|checkpoint| checkpoint.id).collect::<Vec<_>>(), [4, 5, 6]);
        assert_eq!((history.newest().map(|newest| newest.id), history.failed, history.in_progress), (Some(4), 2, 1));
        let config = |body| CheckpointConfig::read(body).unwrap();
        assert_eq!(config(r#"{"interval":9223372036854775807}"#).interval_ms, None);
        let now = config(r#"{"interval":1000,"unaligned_checkpoints":true,"aligned_checkpoint_timeout":0}"#);
        assert_eq!((now.interval_ms, now.unaligned, now.unaligned_after_a_while), (Some(1000), true, false));
    }
}
