//! What the sink of a job of `scripts/flink` saw: the truth.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// Length of parts that a sink is asked for, in ms.
pub const PART_MS: f64 = 20.0;
/// What comes that much before a barrier, in ms, stood in front of it.
const JUST_BEFORE_MS: f64 = 80.0;

/// A second at one subtask of the sink. Times are in ms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Second {
    /// Which, since 1970.
    pub s: u64,
    /// When the first record of it came, since 1970.
    pub first: f64,
    /// When the last did.
    pub last: f64,
    /// Median latency from the due time.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// By `NAME[SUBTASK]`: records, mean time in its queue, mean time of service.
    pub hops: BTreeMap<String, (f64, f64, f64)>,
}

/// A few milliseconds at one subtask of the sink, if it was asked for them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Part {
    /// When it began, in ms since 1970.
    part: f64,
    /// As in a second.
    hops: BTreeMap<String, (f64, f64, f64)>,
}

/// What a subtask says at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct End {
    counted: u64,
    written: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Second(Second),
    Part(Part),
    End(End),
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sink {
    /// In order of time.
    pub seconds: Vec<Second>,
    parts: Vec<Part>,
    /// Records in the job's state at its end: as many as were due if each was counted once.
    pub counted: u64,
    /// Records that came, those that restarts replayed twice.
    pub written: u64,
}

impl Sink {
    /// Reads its file.
    ///
    /// # Errors
    /// When there is none, or a line is none of its own.
    pub fn read(path: &Path) -> anyhow::Result<Sink> {
        let text = std::fs::read_to_string(path).context("expected the file of the job's sink")?;
        let mut sink = Sink::default();
        // A last line that is not whole is being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            match serde_json::from_str(line).with_context(|| format!("expected a line of the sink, found '{line}'"))? {
                Line::Second(second) => sink.seconds.push(second),
                Line::Part(part) => sink.parts.push(part),
                Line::End(end) => (sink.counted, sink.written) = (sink.counted + end.counted, sink.written + end.written),
            }
        }
        sink.seconds.sort_by(|a, b| a.first.total_cmp(&b.first));
        Ok(sink)
    }

    /// Mean time that records had waited in a queue which came just before `at_ms`, in ms since 1970; those of the part in which it is
    /// may have come after it.
    pub fn queue_ms(&self, at_ms: f64, hop: &str) -> Option<f64> {
        let parts = self.parts.iter().filter(|part| (at_ms - JUST_BEFORE_MS..at_ms - PART_MS).contains(&part.part));
        let of = parts.filter_map(|part| part.hops.get(hop));
        let (records, waited) = of.fold((0.0, 0.0), |(n, sum), (records, queue_ms, _)| (n + records, sum + records * queue_ms));
        (records > 0.0).then(|| waited / records)
    }

    /// The seconds that begin in this time.
    pub fn between(&self, from_ms: f64, until_ms: f64) -> impl Iterator<Item = &Second> {
        self.seconds.iter().filter(move |second| (from_ms..until_ms).contains(&(second.s as f64 * 1e3)))
    }

    /// The longest time without a record in this time, in ms.
    pub fn longest_gap_ms(&self, from_ms: f64, until_ms: f64) -> f64 {
        let (mut longest, mut last) = (0.0_f64, None);
        for second in &self.seconds {
            if let Some(last) = last.filter(|last| (from_ms..until_ms).contains(last)) {
                longest = longest.max(second.first - last);
            }
            last = Some(last.map_or(second.last, |last: f64| last.max(second.last)));
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_subtasks_are_one_truth() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sink");
        let second = |s: u64, first: f64, last: f64, queue: f64| {
            format!(
                r#"{{"s":{s},"n":2,"first":{first},"last":{last},"p50":5.0,"p99":9.0,"max":9.5,"lag":0.5,"hops":{{"a[0]":[2,{queue},1.0]}}}}"#
            )
        };
        let part = |at: u64, queue: f64| format!(r#"{{"part":{at},"hops":{{"a[0]":[{},{queue},1.0]}}}}"#, if at < 7920 { 1 } else { 2 });
        let lines = [
            second(7, 7000.0, 7400.0, 10.0),
            second(7, 7200.0, 7800.0, 30.0),
            second(9, 9500.0, 9900.0, 5.0),
            part(7900, 10.0),
            part(7920, 40.0),
            part(7940, 70.0),
            r#"{"keys":3,"counted":40,"written":41}"#.to_owned(),
            r#"{"keys":3,"counted":2,"written":2}"#.to_owned(),
        ];
        std::fs::write(&path, lines.join("\n") + "\n{\"s\":").unwrap();
        let sink = Sink::read(&path).unwrap();
        assert_eq!((sink.counted, sink.written, sink.seconds.len()), (42, 43, 3));
        let queue = |at_ms: f64, hop: &str| sink.queue_ms(at_ms, hop);
        assert_eq!((queue(7955.0, "a[0]"), queue(7995.0, "a[0]"), queue(8021.0, "a[0]")), (Some(30.0), Some(55.0), None));
        assert_eq!((queue(7919.0, "a[0]"), queue(7955.0, "b[0]")), (None, None));
        assert_eq!((sink.longest_gap_ms(0.0, 1e5), sink.longest_gap_ms(9000.0, 1e5)), (1700.0, 0.0));
        assert_eq!(sink.between(7000.0, 9000.0).count(), 2);
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Sink::read(&path).is_err());
    }
}
