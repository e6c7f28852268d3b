//! The table of offline decisions: the parallelism decided for each epoch.

use super::table::{UNKNOWN, table};

/// One operator in one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionLine {
    /// The epoch.
    pub epoch: usize,
    /// The operator.
    pub operator: String,
    /// Its current parallelism.
    pub present: u32,
    /// The decided parallelism.
    pub parallelism: u32,
    /// Instances it needs, not rounded; `None` if unknown.
    pub demand: Option<f64>,
    /// Records per second it must process.
    pub target_rate: Option<f64>,
    /// Records per second that all its instances could process.
    pub true_processing_rate: Option<f64>,
}

/// The decisions as a table.
pub fn decisions(lines: &[DecisionLine]) -> String {
    let number = |value: Option<f64>, digits: usize| value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.digits$}"));
    let cells: Vec<[String; 7]> = lines
        .iter()
        .map(|line| {
            [
                line.epoch.to_string(),
                line.operator.clone(),
                line.present.to_string(),
                line.parallelism.to_string(),
                number(line.demand, 3),
                number(line.target_rate, 1),
                number(line.true_processing_rate, 1),
            ]
        })
        .collect();
    table(&["epoch", "operator", "instances", "decided", "demand", "target /s", "true processing rate /s"], &cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash() {
        let line = DecisionLine {
            epoch: 3,
            operator: "source".into(),
            present: 1,
            parallelism: 1,
            demand: None,
            target_rate: Some(0.25),
            true_processing_rate: None,
        };
        assert!(
            decisions(&[line]).ends_with("| 3     | source   | 1         | 1       | -      | 0.2       | -                       |\n")
        );
    }
}
