//! The table of a run on both hosts.

use super::table::{UNKNOWN, table};
use crate::experiment::fidelity::FidelityRow;

const HEADER: [&str; 4] = ["quantity", "engine", "virtual time", "ratio"];

/// A line a quantity and seed.
pub fn fidelity_table(rows: &[FidelityRow]) -> String {
    let line = |row: &FidelityRow| {
        let value = |value: Option<f64>| match value {
            Some(value) if value.fract() == 0.0 => format!("{value:.0} {}", row.unit).trim_end().to_owned(),
            Some(value) => format!("{value:.3} {}", row.unit).trim_end().to_owned(),
            None => UNKNOWN.to_owned(),
        };
        let ratio = row.ratio.map_or(UNKNOWN.to_owned(), |ratio| format!("{ratio:.3}"));
        [format!("{} (seed {})", row.quantity, row.seed), value(row.engine), value(row.sim), ratio]
    };
    table(&HEADER, &rows.iter().map(line).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hosts_stand_side_by_side() {
        let row =
            FidelityRow { quantity: "latency p50".into(), unit: "ms".into(), engine: Some(10.0), sim: Some(11.5), ..Default::default() };
        let text = fidelity_table(&[FidelityRow { ratio: Some(1.15), ..row.clone() }, FidelityRow { engine: None, ..row }]);
        assert!(text.contains("| latency p50 (seed 0) | 10 ms  | 11.500 ms    | 1.150 |"), "{text}");
        assert!(text.lines().last().unwrap().contains(UNKNOWN), "{text}");
    }
}
