//! How long the analysis of a window takes, by the length of the window: SnailTrail's table 2.
//!
//! A synthetic log is analysed record by record. Of each window two times are kept: what its
//! records took to be taken in, and what it took from the last of them to the summary. The second
//! is what somebody waits for; both together must stay below the window's length, or an analysis
//! online falls behind.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frame::{Expression, Frame, Row, row};
use super::scale::Scaled;
use super::study::{Ask, At, Host, Measured, Progress, Study, Trial};
use crate::critical_path::WindowSummary;
use crate::engine::Clock;
use crate::pag::{GraphBuilder, GraphConfig};
use crate::sim::ExchangeLog;

/// An experiment, as its file defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowLatencyDefinition {
    /// Lengths of windows in seconds.
    pub windows_s: Vec<u32>,
    /// Windows measured at each length, at least.
    pub least_windows: Scaled<u32>,
}

/// Windows whose participations sum to 1.
const CHECKS: &str = r#"
[[check]]
column = "participation_sum"
at_least = 1.0
at_most = 1.0
"#;

impl Study for WindowLatencyDefinition {
    /// - `window_s`, `window_start_s`: length and start of the window
    /// - `records`: of the log in it
    /// - `intake_ns`, `latency_ns`: time to take its records in, and from the last of them to its
    ///   summary
    /// - `participation_sum`, `log2_paths`: sum of all participations, and the logarithm to the
    ///   base 2 of the number of paths
    /// - `share_of_real_time`, `records_per_s`: both times over the window's length, and records
    ///   over both times
    fn columns(&self) -> Vec<&'static str> {
        let own = ["window_s", "window_start_s", "records", "intake_ns", "latency_ns", "participation_sum", "log2_paths"];
        own.into_iter().chain(["share_of_real_time", "records_per_s"]).collect()
    }

    fn trials(&self, ask: &Ask) -> Vec<Trial> {
        let (start, variant, host) = (String::new(), "thalweg".to_owned(), Host::Synthetic);
        let trial =
            |seed, window_s: &u32| Trial { case: format!("{window_s} s"), start: start.clone(), variant: variant.clone(), host, seed };
        ask.seeds_from(0, 1)
            .flat_map(|seed| self.windows_s.iter().map(move |window_s| (seed, window_s)))
            .map(|(seed, of)| trial(seed, of))
            .collect()
    }

    fn run(&self, trial: &Trial, at: At<'_>, progress: &dyn Progress) -> anyhow::Result<Measured> {
        let is_asked = |window_s: &&u32| format!("{window_s} s") == trial.case;
        let window_s = *self.windows_s.iter().find(is_asked).expect("trials are of the study");
        let windows = self.least_windows.at(at.scale);
        // The first window warms the caches up and is not kept; the last one is never complete.
        let exchange_log = ExchangeLog { seed: trial.seed, ..ExchangeLog::thirty_thousand_a_second(window_s * (windows + 2)) };
        let (clock, length) = (Clock::start(), Duration::from_secs(u64::from(window_s)));
        // A window is closed as soon as it is over: what a lane waits for beyond it is not looked
        // for.
        let mut builder = GraphBuilder::new(GraphConfig { lookahead: Duration::ZERO, ..GraphConfig::new(length) });
        let mut random = fastrand::Rng::with_seed(trial.seed);
        let mut rows = Vec::new();
        let (mut block, mut records, mut intake) = (Vec::new(), 0_u64, Duration::ZERO);
        for record in exchange_log.records() {
            block.push(record);
            // A round's worth at a time, as a recorder hands over; making the log is not measured.
            if block.len() < 128 {
                continue;
            }
            let begun = clock.now();
            block.drain(..).for_each(|record| {
                records += 1;
                builder.push(&record);
            });
            let taken = clock.now();
            intake += taken.since(begun);
            let known = builder.known();
            if let Some(graph) = builder.close(known) {
                let summary = WindowSummary::of(&graph, || random.f64());
                let latency = clock.now().since(taken);
                builder.recycle(graph);
                let start_s = summary.window.start.as_secs_f64();
                rows.push(row([
                    ("window_s", &window_s),
                    ("window_start_s", &start_s),
                    ("records", &records),
                    ("intake_ns", &(intake.as_nanos() as u64)),
                    ("latency_ns", &(latency.as_nanos() as u64)),
                    ("participation_sum", &summary.participation_sum),
                    ("log2_paths", &summary.log2_paths),
                ]));
                let done = start_s / f64::from(window_s * (windows + 1));
                progress.part(trial, done, &format!("of {window_s} s, at {start_s:.0} s"));
                (records, intake) = (0_u64, Duration::ZERO);
            }
        }
        Ok(Measured { rows: rows.into_iter().skip(1).take(windows as usize).collect(), series: Vec::new() })
    }

    fn complete(&self, frame: &mut Frame) {
        let work_s = |row: &Row| Expression("intake_ns+latency_ns".to_owned()).of(row).map(|ns| ns.max(1.0) / 1e9);
        let divided = |row: &Row, by: &str| Some((work_s(row)?, Expression(by.to_owned()).of(row)?));
        frame.set("share_of_real_time", |row| divided(row, "window_s").map_or(String::new(), |(work, length)| (work / length).to_string()));
        frame.set("records_per_s", |row| divided(row, "records").map_or(String::new(), |(work, records)| (records / work).to_string()));
    }

    fn checks(&self) -> &'static str {
        CHECKS
    }

    fn tables(&self) -> &'static [&'static str] {
        &["window-latency"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::bench::Bench;
    use crate::experiment::definition::Definition;

    #[test]
    fn windows_of_a_length_are_measured() {
        let definition = Definition::named("snailtrail-table2").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ask = Ask { cases: vec!["1 s".into()], first_seed: 3, ..Ask::default() };
        let mut frame = Bench::here(&definition, ask, folder.path()).run(&()).unwrap().frame;
        let numbers = frame.numbers(&Expression("records".into()));
        assert!(numbers.len() == 5 && numbers.iter().all(|records| (29_000.0..31_000.0).contains(records)), "{numbers:?}");
        // Nothing of this depends on how fast the machine is.
        frame.set("share_of_real_time", |_| "0.5".to_owned());
        frame.set("participation_sum", |_| "1".to_owned());
        assert!(definition.violations(&frame)[0].contains("found 0.5000"));
        frame.set("share_of_real_time", |_| "0".to_owned());
        frame.set("participation_sum", |_| "1.1".to_owned());
        assert!(definition.violations(&frame)[0].contains("found 1.1000"));
    }
}
