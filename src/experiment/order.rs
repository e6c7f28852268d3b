//! Whether variants come in the same order on the engine as in virtual time.
//!
//! Of two variants one is before the other in a column if its number is clearly less: by more than
//! a margin that is a part of the larger number, and by more than what does not matter. Two hosts
//! agree on a pair unless each puts another one first.

use serde::{Deserialize, Serialize};

use super::frame::{Expression, Frame, text};
use crate::stats::median;

/// In which column of which cases the order of variants is expected to be the same on both hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameOrder {
    /// The number by which variants are ordered, less first.
    pub column: Expression,
    /// Names of the cases.
    pub cases: Vec<String>,
    /// Numbers that differ by less than this part of the larger one are equal.
    #[serde(default)]
    pub margin: f64,
    /// And so are numbers that differ by less than this.
    #[serde(default)]
    pub indifferent: f64,
}

/// The order of the variants of one case in one column; a line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The case.
    pub case: String,
    /// What is compared.
    pub column: String,
    /// Variants with their numbers in virtual time (medians over seeds) and on the engine, ordered
    /// by the former.
    pub variants: Vec<(String, f64, f64)>,
    /// Pairs that virtual time puts in an order.
    pub pairs: usize,
    /// Those of them that the engine puts in the opposite order.
    pub opposite: Vec<(String, String)>,
}

impl SameOrder {
    /// The columns that it names.
    pub fn columns(&self) -> Vec<String> {
        self.column.columns().map(str::to_owned).collect()
    }

    /// The order in each case; cases that have no runs on one of the hosts are left out.
    pub fn orders(&self, frame: &Frame) -> Vec<Order> {
        self.cases.iter().filter_map(|case| self.order(case, &frame.filter(|row| text(row, "case") == case))).collect()
    }

    fn order(&self, case: &str, frame: &Frame) -> Option<Order> {
        let of = |variant: &str, host: &str| {
            median(frame.filter(|row| text(row, "variant") == variant && text(row, "host") == host).numbers(&self.column))
        };
        let both = |variant: &str| Some((variant.to_owned(), of(variant, "sim")?, of(variant, "engine")?));
        let mut variants: Vec<(String, f64, f64)> = frame.distinct("variant").into_iter().filter_map(both).collect();
        variants.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (mut pairs, mut opposite) = (0, Vec::new());
        for (index, (before, sim, engine)) in variants.iter().enumerate() {
            for (after, later_sim, later_engine) in &variants[index + 1..] {
                if self.is_less(*sim, *later_sim) {
                    pairs += 1;
                    if self.is_less(*later_engine, *engine) {
                        opposite.push((before.clone(), after.clone()));
                    }
                }
            }
        }
        (variants.len() > 1).then(|| Order { case: case.to_owned(), column: self.column.0.clone(), variants, pairs, opposite })
    }

    fn is_less(&self, one: f64, other: f64) -> bool {
        other - one > self.margin * one.abs().max(other.abs()) && other - one > self.indifferent
    }
}

impl Order {
    /// What is not as expected, a line for each pair.
    pub fn violations(&self) -> Vec<String> {
        let told = |(before, after): &(String, String)| {
            let (case, column) = (&self.case, &self.column);
            format!("{case}: expected less {column} of {before} than of {after} on the engine as in virtual time, found more")
        };
        self.opposite.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::frame::row;

    #[test]
    fn only_what_differs_clearly_on_both_hosts_can_be_opposite() {
        let line = |variant: &str, host: &str, actions: u32| {
            row([("case", &"under"), ("variant", &variant), ("host", &host), ("actions", &actions)])
        };
        let rows = [("a", 1, 1), ("b", 1, 4), ("c", 6, 5), ("d", 10, 1), ("e", 20, 20)];
        let rows = rows.iter().flat_map(|&(variant, sim, engine)| [line(variant, "sim", sim), line(variant, "engine", engine)]);
        let frame = Frame::new(&[], rows.chain([line("f", "sim", 3)]).collect());
        let asked =
            SameOrder { column: Expression("actions".into()), cases: vec!["under".into(), "none".into()], margin: 0.2, indifferent: 1.0 };
        let orders = asked.orders(&frame);
        assert_eq!(orders.len(), 1);
        let names: Vec<&str> = orders[0].variants.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!((names, orders[0].pairs), (vec!["a", "b", "c", "d", "e"], 9));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(orders[0].opposite, [pair("b", "d"), pair("c", "d")]);
        assert_eq!(orders[0].violations()[0], "under: expected less actions of b than of d on the engine as in virtual time, found more");
        assert_eq!(SameOrder { indifferent: 4.5, ..asked }.orders(&frame)[0].opposite, []);
    }
}
