//! The queries: names, events they read, operators.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dataflow::Role;
use crate::workload::nexmark::Kinds;

/// A query of NEXMark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// Everything.
    Q0,
    /// Prices in another currency.
    Q1,
    /// Bids for some auctions.
    Q2,
    /// Who nearby offers something.
    Q3,
    /// Mean winning price by category.
    Q4,
    /// Auctions with the most bids.
    Q5,
    /// Mean winning price by seller.
    Q6,
    /// Highest bids.
    Q7,
    /// Who offers something soon after registering.
    Q8,
    /// Bids of a person while active.
    Q11,
}

/// A name that no query has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a query, one of q0 to q8 and q11, found '{0}'")]
pub struct QueryError(String);

impl Query {
    /// All of them, in order.
    pub const ALL: [Query; 10] =
        [Query::Q0, Query::Q1, Query::Q2, Query::Q3, Query::Q4, Query::Q5, Query::Q6, Query::Q7, Query::Q8, Query::Q11];

    /// The events that it reads.
    pub fn kinds(self) -> Kinds {
        match self {
            Query::Q0 => Kinds::All,
            Query::Q1 | Query::Q2 | Query::Q5 | Query::Q7 | Query::Q11 => Kinds::Bids,
            Query::Q3 | Query::Q8 => Kinds::PeopleAndAuctions,
            Query::Q4 | Query::Q6 => Kinds::AuctionsAndBids,
        }
    }

    /// Its elastic operators in order, a chain from source to sink; those with state have `bins`
    /// bins.
    pub fn operators(self, bins: u32) -> Vec<(&'static str, Role)> {
        let keyed = Role::Keyed { bins };
        match self {
            Query::Q0 => vec![("pass", Role::Stateless)],
            Query::Q1 => vec![("convert", Role::Stateless)],
            Query::Q2 => vec![("filter", Role::Stateless)],
            Query::Q3 => vec![("filter", Role::Stateless), ("join", keyed)],
            Query::Q4 | Query::Q6 => vec![("winner", keyed), ("average", keyed)],
            Query::Q5 => vec![("count", keyed), ("top", keyed)],
            Query::Q7 => vec![("best", Role::Stateless), ("top", keyed)],
            Query::Q8 => vec![("join", keyed)],
            Query::Q11 => vec![("sessions", keyed)],
        }
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
        assert_eq!(error.to_string(), "expected a query, one of q0 to q8 and q11, found 'q9'");
    }
}
