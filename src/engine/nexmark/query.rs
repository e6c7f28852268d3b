//! The registry of queries, in the order of figures and tables: a query is one file and one line
//! here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;

use super::kind::QueryKind;
use super::{Answer, QueryParts, Spans, q0, q1, q2, q3, q4, q5, q6, q7, q8, q11};
use crate::dataflow::Role;
use crate::engine::Time;
use crate::engine::elastic::BatchStream;
use crate::workload::nexmark::{Event, Kinds};

macro_rules! queries {
    ($($query:ident $module:ident,)*) => {
        /// A query of NEXMark.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Query {
            $(
                #[doc = concat!("The query of `", stringify!($module), ".rs`.")]
                $query,
            )*
        }

        impl Query {
            /// All of them, in order.
            pub const ALL: [Query; [$(stringify!($query)),*].len()] = [$(Query::$query),*];

            fn kind(self) -> &'static QueryKind {
                match self {
                    $(Query::$query => &$module::KIND,)*
                }
            }
        }
    };
}

queries! {
    Q0 q0,
    Q1 q1,
    Q2 q2,
    Q3 q3,
    Q4 q4,
    Q5 q5,
    Q6 q6,
    Q7 q7,
    Q8 q8,
    Q11 q11,
}

/// A name that no query has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a query, one of {names}, found '{0}'", names = Query::names())]
pub struct QueryError(String);

impl Query {
    /// The names of all, as a list in a sentence.
    pub fn names() -> String {
        Query::ALL.map(|query| query.to_string()).join(", ")
    }

    /// What it asks.
    pub fn summary(self) -> &'static str {
        self.kind().summary
    }

    /// The events that it reads.
    pub fn kinds(self) -> Kinds {
        self.kind().reads
    }

    /// Its elastic operators in order, a chain from source to sink; those with state have `bins`
    /// bins.
    pub fn operators(self, bins: u32) -> Vec<(&'static str, Role)> {
        (self.kind().operators)(bins)
    }

    /// Builds it of elastic operators.
    ///
    /// # Panics
    /// If there are fewer parts than operators.
    pub fn elastic<'s>(self, events: BatchStream<'s, Event>, parts: &QueryParts<'_, 's>) -> BatchStream<'s, Answer> {
        (self.kind().elastic)(events, parts)
    }

    /// Builds it in plain timely.
    pub fn plain<'s>(self, events: StreamVec<'s, Time, Event>, spans: Spans) -> StreamVec<'s, Time, Answer> {
        (self.kind().plain)(events, spans)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Query, QueryError> {
        Query::ALL.into_iter().find(|query| query.to_string() == text).ok_or_else(|| QueryError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_read_back_as_they_are_written_and_nothing_else_does() {
        for query in Query::ALL {
            assert_eq!(query.to_string().parse(), Ok(query));
            assert_eq!(serde_json::to_string(&query).unwrap(), format!("\"{query}\""));
        }
        let error = "q9".parse::<Query>().unwrap_err();
        assert_eq!(error.to_string(), "expected a query, one of q0, q1, q2, q3, q4, q5, q6, q7, q8, q11, found 'q9'");
    }
}
