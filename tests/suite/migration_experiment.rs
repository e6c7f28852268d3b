//! An experiment on migration from its definition to the tables and figures made of its rows, in one process and across two.

use std::collections::BTreeSet;

use thalweg::engine::cluster::{Deployment, Launch};
use thalweg::experiment::definition::Definition;
use thalweg::experiment::frame::{Frame, Row, text};
use thalweg::experiment::migration::{MigrationDefinition, NO_MIGRATION};
use thalweg::experiment::scale::{Scale, Scaled};
use thalweg::experiment::view::{PlotView, Upwards, plot};
use thalweg::plot::{migrations_figure, scatter_figure};
use thalweg::report::tables;

/// The study of a figure that is part of the program.
fn study(figure: &str) -> MigrationDefinition {
    let mut written = Definition::named(figure).unwrap().written;
    ["figure", "title", "kind", "plot", "paper", "check"].iter().for_each(|key| drop(written.remove(*key)));
    written.try_into().unwrap()
}

fn number(row: &Row, column: &str) -> Option<f64> {
    text(row, column).parse().ok()
}

/// A definition as it is in the program, but small: what it shows of latency is worth nothing.
fn small() -> MigrationDefinition {
    let mut definition = study("beyondmr-fig2");
    (definition.before_s, definition.warm_up_s, definition.after_s) = (Scaled::always(0.2), 0.05, Scaled::always(0.3));
    definition.rate = "20000/s".parse().unwrap();
    definition.strategies = ["none", "all-at-once", "adaptive:50ms"].map(str::to_owned).to_vec();
    // One of each number of processes; what differs otherwise is made the same.
    definition.settings.truncate(2);
    for setting in &mut definition.settings {
        (setting.bins, setting.keys) = (16, Scaled::always(20_000));
    }
    definition
}

/// Each query whose state moves, from one worker to two: no answer is lost, comes twice or is another than plain timely's.
#[test]
fn queries_are_moved_with_what_they_know() {
    let mut definition = study("megaphone-nexmark");
    (definition.before_s, definition.warm_up_s, definition.after_s) = (Scaled::always(0.2), 0.05, Scaled::always(0.3));
    definition.rate = "20000/s".parse().unwrap();
    definition.settings.retain(|setting| ["q1", "q4", "q8"].contains(&setting.label.as_str()));
    for setting in &mut definition.settings {
        (setting.processes, setting.bins, setting.keys) = (1, 16, Scaled::always(20_000));
    }
    for ((setting, strategy), moved_bins) in definition.runs().zip([0, 0, 0, 16, 16, 16, 8, 8, 8]) {
        let run = definition.run_of(setting, strategy, Scale::Quick, 7).unwrap();
        let row = run.row(&run.run(|_| {}).unwrap());
        let name = format!("{}, {strategy}", setting.label);
        nothing_is_wrong(&row, &name);
        assert!(number(&row, "steps") > Some(0.0) && number(&row, "migration_ns_max") > Some(0.0), "{name}: {row:?}");
        assert_eq!(text(&row, "moved_bins"), moved_bins.to_string(), "{name}");
    }
}

/// Every record is counted once, and every key at least once.
fn nothing_is_wrong(row: &Row, name: &str) {
    let wrong = ["records_lost", "records_duplicated", "groups_miscounted"].map(|column| text(row, column));
    assert_eq!(wrong, ["0"; 3], "{name}");
    assert!(number(row, "records") > Some(20_000.0), "{name}: {row:?}");
}

#[test]
fn rows_tables_and_figures_of_a_migration() {
    let (definition, figure) = (small(), Definition::named("beyondmr-fig2").unwrap());
    let (mut rows, mut timeline): (Vec<Row>, Vec<Row>) = Default::default();
    for (setting, strategy) in definition.runs() {
        let mut run = definition.run_of(setting, strategy, Scale::Quick, 7).unwrap();
        assert_eq!(run.job.deployment().peers(), 2);
        if setting.processes > 1 {
            let launch = Launch::program(env!("CARGO_BIN_EXE_thalweg"), &["process"]);
            *run.job.deployment_mut() = Deployment::processes(2, 1).launched(launch);
        }
        let migrated = run.run(|_| {}).unwrap();
        let labels = [("case", setting.label.as_str()), ("variant", strategy), ("seed", "7")];
        let labels = || labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
        rows.push(labels().chain(run.row(&migrated)).collect());
        timeline.extend(run.timeline(&migrated).into_iter().map(|row| labels().chain(row).collect::<Row>()));
    }
    let folder = tempfile::tempdir().unwrap();
    let files = [("rows.csv", rows), ("migration_timeline.csv", timeline)].map(|(name, rows)| {
        let path = folder.path().join(name);
        Frame::new(&["case", "variant", "seed"], rows).write(&path).unwrap();
        Frame::read(&path).unwrap()
    });
    let [rows, timeline] = &files;

    assert_eq!(rows.rows().iter().map(|row| text(row, "processes")).collect::<Vec<_>>(), ["1", "1", "1", "2", "2", "2"]);
    for row in rows.rows() {
        let name = format!("{}, {}", text(row, "case"), text(row, "variant"));
        nothing_is_wrong(row, &name);
        assert!(number(row, "usual_ns_max") > Some(0.0) && number(row, "migration_ns_max") > Some(0.0), "{name}: {row:?}");
        let moves = text(row, "variant") != NO_MIGRATION;
        let moved = [text(row, "moved_bins"), text(row, "moved_keys")];
        assert_eq!(moved, if moves { ["8", "10000"] } else { ["0", "0"] }, "{name}");
        assert_eq!((!text(row, "duration_ns").is_empty(), text(row, "steps") != "0"), (moves, moves), "{name}");
        let of_run = |window: &Row| ["case", "variant"].iter().all(|label| text(window, label) == text(row, label));
        let windows = timeline.filter(of_run);
        assert!(windows.rows().len() >= 10, "{name}: half a second in windows of 50 ms");
        if cfg!(target_os = "linux") {
            assert!(!text(row, "memory_rise_bytes").is_empty(), "{name}");
            assert_eq!(!text(&windows.rows()[5], "memory_others_bytes").is_empty(), text(row, "processes") != "1", "{name}");
        }
    }
    let known: BTreeSet<&str> = figure.study.columns().into_iter().chain(["case", "variant", "seed"]).collect();
    assert!(rows.columns().iter().all(|column| known.contains(column.as_str())), "{:?}", rows.columns());
    let table = tables(&figure.tables, rows, &figure.paper);
    assert!(table.contains("| two processes | adaptive:50ms | 0.0 M keys ") && table.contains("max 4000 ms"), "{table}");
    let (texts, stem) = ((figure.title.as_str(), ""), folder.path().join("figure"));
    migrations_figure((rows, timeline), Upwards::Latency, texts, &stem).unwrap();
    let Ok(PlotView::Scatter(view)) = plot("duration") else { panic!("durations have marks") };
    scatter_figure(&view, (rows, &Frame::default()), texts, &stem).unwrap();
}
