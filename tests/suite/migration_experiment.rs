//! An experiment on migration from its definition to the tables and figures made of its rows, in one process and across two.

use thalweg::engine::cluster::{Deployment, Launch};
use thalweg::experiment::definition::Scale;
use thalweg::experiment::environment::Environment;
use thalweg::experiment::folder;
use thalweg::experiment::migration::{
    Chart, MigrationDefinition, MigrationRow, MigrationSummary, MigrationTimelineRow, NO_MIGRATION, ScaledCount, ScaledSeconds,
};
use thalweg::plot::{Upwards, migration_duration_figure, migration_timeline_figure};
use thalweg::report::migration_table;

/// A definition as it is in the program, but small: what it shows of latency is worth nothing.
fn small() -> MigrationDefinition {
    let mut definition: MigrationDefinition =
        toml::from_str(include_str!("../../experiments/definitions/beyondmr-fig2.toml")).expect("definitions are tested");
    let seconds = |seconds| ScaledSeconds { quick: seconds, full: seconds };
    (definition.before_s, definition.warm_up_s, definition.after_s) = (seconds(0.2), 0.05, seconds(0.3));
    definition.rate = "20000/s".parse().unwrap();
    definition.strategies = ["none", "all-at-once", "adaptive:50ms"].map(str::to_owned).to_vec();
    // One of each number of processes; what differs otherwise is made the same.
    definition.settings.truncate(2);
    for setting in &mut definition.settings {
        (setting.bins, setting.keys) = (16, ScaledCount { quick: 20_000, full: 20_000 });
    }
    definition
}

/// Each query whose state moves, from one worker to two: no answer is lost, comes twice or is another than plain timely's.
#[test]
fn queries_are_moved_with_what_they_know() {
    let mut definition: MigrationDefinition =
        toml::from_str(include_str!("../../experiments/definitions/megaphone-nexmark.toml")).expect("definitions are tested");
    let seconds = |seconds| ScaledSeconds { quick: seconds, full: seconds };
    (definition.before_s, definition.warm_up_s, definition.after_s) = (seconds(0.2), 0.05, seconds(0.3));
    definition.rate = "20000/s".parse().unwrap();
    definition.settings.retain(|setting| ["q1", "q4", "q8"].contains(&setting.label.as_str()));
    for setting in &mut definition.settings {
        (setting.processes, setting.bins, setting.keys) = (1, 16, ScaledCount { quick: 20_000, full: 20_000 });
    }
    for ((setting, strategy), moved_bins) in definition.runs().zip([0, 0, 0, 16, 16, 16, 8, 8, 8]) {
        let run = definition.run(setting, strategy, Scale::Quick, 7).unwrap();
        let migrated = run.run(|_| {}).unwrap();
        let mut row = run.row(&Environment::here());
        run.complete(&mut row, &migrated);
        let name = format!("{}, {strategy}", setting.label);
        assert_eq!((row.records_lost, row.records_duplicated, row.groups_miscounted), (Some(0), Some(0), Some(0)), "{name}");
        assert!(row.records > Some(20_000) && row.steps > 0 && row.migration_ns_max > Some(0), "{name}: {row:?}");
        assert_eq!(row.moved_bins, moved_bins, "{name}");
    }
}

#[test]
fn rows_tables_and_figures_of_a_migration() {
    let definition = small();
    let environment = Environment::here();
    let (mut rows, mut timeline): (Vec<MigrationRow>, Vec<MigrationTimelineRow>) = Default::default();
    for (setting, strategy) in definition.runs() {
        let mut run = definition.run(setting, strategy, Scale::Quick, 7).unwrap();
        assert_eq!(run.job.deployment().peers(), 2);
        if setting.processes > 1 {
            let launch = Launch::program(env!("CARGO_BIN_EXE_thalweg"), &["process"]);
            *run.job.deployment_mut() = Deployment::processes(2, 1).launched(launch);
        }
        let migrated = run.run(|_| {}).unwrap();
        let (setting, strategy) = (setting.label.clone(), strategy.to_owned());
        let mut row = MigrationRow { experiment: "small".into(), setting, strategy, ..run.row(&environment) };
        run.complete(&mut row, &migrated);
        timeline.extend(run.timeline(&row, &migrated));
        rows.push(row);
    }
    let folder = tempfile::tempdir().unwrap();
    let (rows_file, timeline_file) = (folder.path().join(folder::MIGRATIONS), folder.path().join(folder::MIGRATION_TIMELINE));
    folder::write_csv(&rows_file, &rows).unwrap();
    folder::write_csv(&timeline_file, &timeline).unwrap();
    let rows: Vec<MigrationRow> = folder::read_csv(&rows_file).unwrap();
    let timeline: Vec<MigrationTimelineRow> = folder::read_csv(&timeline_file).unwrap();

    assert_eq!(rows.iter().map(|row| row.processes).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2]);
    for row in &rows {
        let name = format!("{}, {}", row.setting, row.strategy);
        assert_eq!((row.records_lost, row.records_duplicated, row.groups_miscounted), (Some(0), Some(0), Some(0)), "{name}");
        assert!(row.records > Some(20_000), "{name}: every key is counted once, and then some");
        assert!(row.usual_ns_max > Some(0) && row.migration_ns_max > Some(0), "{name}: {row:?}");
        let moves = row.strategy != NO_MIGRATION;
        assert_eq!((row.moved_bins, row.moved_keys), if moves { (8, 10_000) } else { (0, 0) }, "{name}");
        assert_eq!((row.duration_ns.is_some(), row.steps > 0), (moves, moves), "{name}");
        let windows: Vec<_> =
            timeline.iter().filter(|window| (&window.setting, &window.strategy) == (&row.setting, &row.strategy)).collect();
        assert!(windows.len() >= 10, "{name}: half a second in windows of 50 ms");
        if cfg!(target_os = "linux") {
            assert!(row.memory_rise_bytes.is_some(), "{name}");
            assert_eq!(windows[5].memory_others_bytes.is_some(), row.processes > 1, "{name}");
        }
    }
    let summaries = MigrationSummary::of(&rows, &definition.paper);
    let table = migration_table(Chart::Timeline, &summaries);
    assert!(table.contains("| two processes | adaptive:50ms | 0.0 M keys ") && table.contains("max 4000 ms"), "{table}");
    let (title, stem) = (definition.title.as_str(), folder.path().join("figure"));
    migration_timeline_figure(&rows, &timeline, Upwards::Latency, title, "", &stem).unwrap();
    migration_duration_figure(&summaries, title, "", &stem).unwrap();
}
