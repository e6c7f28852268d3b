//! An event of a Chrome trace, as it is written.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::super::quick::{MOST_DEPTH, Rest, once};

/// An event; times are in microseconds.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Event<'l> {
    #[serde(borrow)]
    pub(super) ph: Cow<'l, str>,
    #[serde(borrow, default)]
    pub(super) name: Cow<'l, str>,
    #[serde(borrow, default)]
    pub(super) cat: Cow<'l, str>,
    #[serde(default)]
    pub(super) pid: Value,
    #[serde(default)]
    pub(super) tid: Value,
    #[serde(default)]
    pub(super) ts: f64,
    #[serde(default)]
    pub(super) dur: f64,
    #[serde(default)]
    pub(super) id: Value,
    #[serde(default)]
    pub(super) args: Args,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Args {
    #[serde(default)]
    pub(super) name: Value,
}

/// An event of which any part may be missing or something else.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LooseEvent {
    ph: Value,
    name: Value,
    cat: Value,
    pid: Value,
    tid: Value,
    ts: Value,
    dur: Value,
    id: Value,
    args: Value,
}

/// A number or a text, as text.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Kinds of events that need their times.
const NEEDED: [&str; 6] = ["X", "B", "E", "s", "t", "f"];

/// The event of an element. Names and arguments that are none are taken for empty ones, and so are
/// the times of events that are not read.
pub(super) fn event(element: &[u8]) -> Result<Event<'_>, serde_json::Error> {
    serde_json::from_slice(element).or_else(|error| {
        let mut loose: LooseEvent = serde_json::from_slice(element)?;
        let string = |value: &Value| -> Cow<'_, str> { Cow::Owned(value.as_str().unwrap_or_default().to_owned()) };
        let (ph, number) = (string(&loose.ph), |value: &Value| value.as_f64().or_else(|| value.is_null().then_some(0.0)));
        let (ts, dur) = (number(&loose.ts), number(&loose.dur));
        if NEEDED.contains(&ph.as_ref()) && (ts.is_none() || dur.is_none()) {
            return Err(error);
        }
        Ok(Event {
            ph,
            name: string(&loose.name),
            cat: string(&loose.cat),
            ts: ts.unwrap_or_default(),
            dur: dur.unwrap_or_default(),
            args: Args { name: loose.args.get_mut("name").map(Value::take).unwrap_or_default() },
            pid: loose.pid,
            tid: loose.tid,
            id: loose.id,
        })
    })
}

/// The event that `bytes` begin with, and its length, if it is as almost all are; serde_json would
/// read the same.
pub(super) fn event_at_hand(bytes: &[u8]) -> Option<(Event<'_>, usize)> {
    let (mut ph, mut name, mut cat, mut ts, mut dur) = (None, None, None, None, None);
    let (mut pid, mut tid, mut id, mut args) = (None, None, None, None);
    let mut rest = Rest::of(bytes);
    rest.object(|key, rest| match key {
        b"ph" => once(&mut ph, rest.string()?),
        b"name" => once(&mut name, rest.string()?),
        b"cat" => once(&mut cat, rest.string()?),
        b"pid" => once(&mut pid, rest.value()?),
        b"tid" => once(&mut tid, rest.value()?),
        b"ts" => once(&mut ts, rest.decimal()?),
        b"dur" => once(&mut dur, rest.decimal()?),
        b"id" => once(&mut id, rest.value()?),
        b"args" => once(&mut args, rest.pass(MOST_DEPTH)?),
        _ => rest.pass(MOST_DEPTH),
    })?;
    let length = bytes.len() - rest.len();
    // Names of threads and processes are in the arguments.
    let ph = ph.filter(|ph| *ph != "M")?;
    std::str::from_utf8(&bytes[..length]).ok()?;
    let event = Event {
        ph,
        name: name.unwrap_or_default(),
        cat: cat.unwrap_or_default(),
        pid: pid.unwrap_or_default(),
        tid: tid.unwrap_or_default(),
        ts: ts.unwrap_or_default(),
        dur: dur.unwrap_or_default(),
        id: id.unwrap_or_default(),
        args: Args::default(),
    };
    Some((event, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: &str = r#"{"ph": "X", "cat": "cpu_op", "name": "aten::add", "pid": 49, "tid": "main",
        "ts": 1694039968955744.123, "dur": 0.25, "args": {"External id": 1, "Shape": [[64, -2.5], []], "is": true, "s": "a\nb"}}"#;
    const FLOW: &str = r#"{"ph":"f","id":7,"pid":1,"tid":3,"ts":1000000.057,"cat":"ac2g","name":"ac2g","bp":"e","x":null}"#;

    /// Whatever has happened to an event: it is read as serde_json reads it, or not at all.
    #[test]
    fn events_at_hand_are_read_as_by_serde_json_or_not_at_all() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut quick_ones, mut damaged) = (0, 0);
        for case in 0..100_000 {
            let mut bytes = if random.bool() { SLICE } else { FLOW }.as_bytes().to_vec();
            for _ in 0..random.usize(0..3) {
                let at = random.usize(0..bytes.len());
                match random.u8(0..6) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] = b"\"\\{}[],:0-.etn 9"[random.usize(0..16)],
                    2 => drop(bytes.remove(at)),
                    3 => bytes.insert(at, b"\"\\{}[],:0-.etn 9"[random.usize(0..16)]),
                    4 => bytes[at] ^= 1 << random.u8(0..8),
                    _ => {
                        let to = (at + random.usize(0..60)).min(bytes.len());
                        let copy = bytes[at..to].to_vec();
                        bytes.splice(at..at, copy);
                    }
                }
            }
            let Some((quick, length)) = event_at_hand(&bytes) else {
                damaged += 1;
                continue;
            };
            quick_ones += 1;
            let whole = event(&bytes[..length]).unwrap_or_else(|why| panic!("{case}, {}: {why}", String::from_utf8_lossy(&bytes)));
            let whole = Event { args: Args::default(), ..whole };
            assert_eq!(quick, whole, "{case}, {}", String::from_utf8_lossy(&bytes));
        }
        assert!(quick_ones > 10_000 && damaged > 10_000, "{quick_ones} {damaged}");
    }

    #[test]
    fn times_are_rounded_as_by_serde_json() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..100_000 {
            let number = format!("{}.{:03}", random.u64(..) >> random.u32(12..60), random.u32(0..1000));
            let text = format!("{{\"ph\":\"X\",\"ts\":{number}}}");
            let Some((quick, _)) = event_at_hand(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(quick, event(text.as_bytes()).unwrap(), "{text}");
        }
    }
}
