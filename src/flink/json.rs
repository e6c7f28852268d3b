//! Fields of an answer, with errors that say where and what: an answer may be anything.

use serde_json::Value;

use super::error::found;

/// What an answer lacks: what was expected, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lacks {
    pub(super) expected: String,
    pub(super) found: String,
}

/// Says what was expected.
pub(super) fn lacks<T>(expected: impl Into<String>, value: Option<&Value>) -> Result<T, Lacks> {
    let found = value.map_or("nothing".to_owned(), |value| found(&value.to_string()));
    Err(Lacks { expected: expected.into(), found })
}

/// Parses an answer.
pub(super) fn parse(body: &str) -> Result<Value, Lacks> {
    serde_json::from_str(body).map_err(|_| Lacks { expected: "JSON".to_owned(), found: found(body) })
}

/// A list.
pub(super) fn list<'v>(of: &'v Value, name: &str) -> Result<&'v Vec<Value>, Lacks> {
    of.get(name).and_then(Value::as_array).map_or_else(|| lacks(format!("a list '{name}'"), of.get(name)), Ok)
}

/// A text.
pub(super) fn text<'v>(of: &'v Value, name: &str) -> Result<&'v str, Lacks> {
    of.get(name).and_then(Value::as_str).map_or_else(|| lacks(format!("a text '{name}'"), of.get(name)), Ok)
}

/// A whole number within bounds.
pub(super) fn whole(of: &Value, name: &str, least: i64, most: i64) -> Result<i64, Lacks> {
    let number = of.get(name).and_then(Value::as_i64).filter(|number| (least..=most).contains(number));
    number.map_or_else(|| lacks(format!("a whole number '{name}' from {least} to {most}"), of.get(name)), Ok)
}

/// A time in milliseconds: since 1970, or a length; nothing if it is negative, as Flink writes what is not known.
pub(super) fn millis(of: &Value, name: &str) -> Option<u64> {
    // Further than any time that there will be, near enough to calculate with.
    const MOST: u64 = 1 << 52;
    of.get(name).and_then(Value::as_u64).filter(|millis| *millis <= MOST)
}
