//! Whether policies come in the same order on the engine as in virtual time.
//!
//! Of two policies one is before the other in a column if its number is clearly less: by more than a margin that is a part of the larger
//! number, and by more than what does not matter. Two hosts agree on a pair unless each puts another one first.

use serde::{Deserialize, Serialize};

use super::row::Column;
use super::{Host, SuiteOutcome};
use crate::stats::median;

/// In which column of which cases the order of policies is expected to be the same on both hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameOrder {
    /// The number by which policies are ordered, less first.
    pub column: Column,
    /// Names of the cases.
    pub cases: Vec<String>,
    /// Numbers that differ by less than this part of the larger one are equal.
    #[serde(default)]
    pub margin: f64,
    /// And so are numbers that differ by less than this.
    #[serde(default)]
    pub indifferent: f64,
}

/// The order of the policies of one case in one column; a line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The case.
    pub case: String,
    /// What is compared.
    pub column: Column,
    /// Policies with their numbers in virtual time (medians over seeds) and on the engine, ordered by the former.
    pub policies: Vec<(String, f64, f64)>,
    /// Pairs that virtual time puts in an order.
    pub pairs: usize,
    /// Those of them that the engine puts in the opposite order.
    pub opposite: Vec<(String, String)>,
}

impl SameOrder {
    /// The order in each case; cases that have no runs on one of the hosts are left out.
    pub fn orders(&self, outcomes: &[SuiteOutcome]) -> Vec<Order> {
        self.cases.iter().filter_map(|case| self.order(case, outcomes)).collect()
    }

    fn order(&self, case: &str, outcomes: &[SuiteOutcome]) -> Option<Order> {
        let of = |policy: &str, host: Host| {
            let rows = outcomes.iter().map(|outcome| &outcome.row);
            let rows = rows.filter(|row| row.scenario == case && row.policy == policy && row.host == host.name());
            median(rows.filter_map(|row| self.column.of(row)))
        };
        let mut policies: Vec<(String, f64, f64)> = Vec::new();
        for policy in outcomes.iter().filter(|outcome| outcome.row.scenario == case).map(|outcome| &outcome.row.policy) {
            if policies.iter().all(|(known, ..)| known != policy)
                && let (Some(sim), Some(engine)) = (of(policy, Host::Sim), of(policy, Host::Engine))
            {
                policies.push((policy.clone(), sim, engine));
            }
        }
        policies.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (mut pairs, mut opposite) = (0, Vec::new());
        for (index, (before, sim, engine)) in policies.iter().enumerate() {
            for (after, later_sim, later_engine) in &policies[index + 1..] {
                if self.is_less(*sim, *later_sim) {
                    pairs += 1;
                    if self.is_less(*later_engine, *engine) {
                        opposite.push((before.clone(), after.clone()));
                    }
                }
            }
        }
        (policies.len() > 1).then(|| Order { case: case.to_owned(), column: self.column, policies, pairs, opposite })
    }

    fn is_less(&self, one: f64, other: f64) -> bool {
        other - one > self.margin * one.abs().max(other.abs()) && other - one > self.indifferent
    }
}

impl Order {
    /// What is not as expected, a line for each pair.
    pub fn violations(&self) -> Vec<String> {
        let column = self.column.name();
        let told = |(before, after): &(String, String)| {
            format!("{}: expected less {column} of {before} than of {after} on the engine as in virtual time, found more", self.case)
        };
        self.opposite.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::experiment::suite::SuiteRow;

    #[test]
    fn only_what_differs_clearly_on_both_hosts_can_be_opposite() {
        let outcome = |policy: &str, host: &str, actions: u32| {
            let (scenario, host, policy) = ("under".to_owned(), host.to_owned(), policy.to_owned());
            let row = SuiteRow { scenario, host, policy, actions, ..SuiteRow::default() };
            SuiteOutcome { row, last: BTreeMap::new(), reasons: Vec::new() }
        };
        let outcomes: Vec<SuiteOutcome> = [("a", 1, 1), ("b", 1, 4), ("c", 6, 5), ("d", 10, 1), ("e", 20, 20)]
            .iter()
            .flat_map(|&(policy, sim, engine)| [outcome(policy, "sim", sim), outcome(policy, "engine", engine)])
            .chain([outcome("f", "sim", 3)])
            .collect();
        let asked = SameOrder { column: Column::Actions, cases: vec!["under".into(), "none".into()], margin: 0.2, indifferent: 1.0 };
        let orders = asked.orders(&outcomes);
        assert_eq!(orders.len(), 1);
        let names: Vec<&str> = orders[0].policies.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!((names, orders[0].pairs), (vec!["a", "b", "c", "d", "e"], 9));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(orders[0].opposite, [pair("b", "d"), pair("c", "d")]);
        assert_eq!(orders[0].violations()[0], "under: expected less actions of b than of d on the engine as in virtual time, found more");
        assert_eq!(SameOrder { indifferent: 4.5, ..asked }.orders(&outcomes)[0].opposite, []);
    }
}
