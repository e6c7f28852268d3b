//! The JSON of OpenTelemetry's traces, as far as it is read.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// The spans of a resource, or a whole document in a list of documents.
#[derive(Debug, Deserialize)]
pub(super) struct ResourceSpans<'l> {
    #[serde(borrow, default)]
    pub(super) resource: Option<Resource<'l>>,
    #[serde(rename = "scopeSpans", alias = "scope_spans", alias = "instrumentationLibrarySpans", borrow, default)]
    pub(super) scopes: Option<Vec<ScopeSpans<'l>>>,
    #[serde(rename = "resourceSpans", alias = "resource_spans", borrow, default)]
    pub(super) nested: Option<Vec<ResourceSpans<'l>>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Resource<'l> {
    #[serde(borrow, default)]
    pub(super) attributes: Option<Vec<Attribute<'l>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Attribute<'l> {
    #[serde(borrow, default)]
    pub(super) key: Cow<'l, str>,
    #[serde(borrow, default)]
    pub(super) value: Option<AttributeValue<'l>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AttributeValue<'l> {
    #[serde(rename = "stringValue", alias = "string_value", borrow, default)]
    pub(super) string: Option<Cow<'l, str>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ScopeSpans<'l> {
    #[serde(borrow, default)]
    pub(super) spans: Option<Vec<Span<'l>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Span<'l> {
    #[serde(rename = "traceId", alias = "trace_id", borrow, default)]
    pub(super) trace: Cow<'l, str>,
    #[serde(rename = "spanId", alias = "span_id", borrow, default)]
    pub(super) id: Cow<'l, str>,
    #[serde(rename = "parentSpanId", alias = "parent_span_id", borrow, default)]
    pub(super) parent: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    pub(super) name: Cow<'l, str>,
    #[serde(default)]
    pub(super) kind: Code,
    #[serde(rename = "startTimeUnixNano", alias = "start_time_unix_nano", default)]
    pub(super) start: Nanos,
    #[serde(rename = "endTimeUnixNano", alias = "end_time_unix_nano", default)]
    pub(super) end: Nanos,
    #[serde(borrow, default)]
    pub(super) links: Option<Vec<Link<'l>>>,
    #[serde(default)]
    pub(super) status: Option<Status>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Link<'l> {
    #[serde(rename = "traceId", alias = "trace_id", borrow, default)]
    pub(super) trace: Cow<'l, str>,
    #[serde(rename = "spanId", alias = "span_id", borrow, default)]
    pub(super) span: Cow<'l, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) code: Code,
}

/// Nanoseconds since 1970, which JSON has as a string, since they are too long for its numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nanos(pub(super) u64);

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nanos, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Nanos;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nanoseconds since 1970")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Nanos, E> {
                Ok(Nanos(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Nanos, E> {
                text.parse().map(Nanos).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// A value of an enumeration, which JSON has as its number or as its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code(u64);

/// Kinds of spans.
pub(super) const CLIENT: Code = Code(3);
pub(super) const PRODUCER: Code = Code(4);
pub(super) const CONSUMER: Code = Code(5);
/// How a span ended.
pub(super) const ERROR: Code = Code(2);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        struct Value;
        impl Visitor<'_> for Value {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a name")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Code, E> {
                Ok(Code(number))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Code, E> {
                Ok(match name {
                    "SPAN_KIND_CLIENT" => CLIENT,
                    "SPAN_KIND_PRODUCER" => PRODUCER,
                    "SPAN_KIND_CONSUMER" => CONSUMER,
                    "STATUS_CODE_ERROR" => ERROR,
                    // None of those that matter.
                    _ => Code(0),
                })
            }
        }
        deserializer.deserialize_any(Value)
    }
}
