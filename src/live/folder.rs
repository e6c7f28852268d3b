//! A story from the folder of a run.

use std::collections::BTreeMap;
use std::path::Path;

use super::model::Model;
use super::story::{About, OperatorAbout, State};
use crate::controller::Event;
use crate::experiment::folder::{self, FolderError};
use crate::experiment::instance_rows::InstanceRow;
use crate::experiment::record::Manifest;
use crate::experiment::rows::{LatencyRow, TimelineRow};

/// What the manifest says of a run, in `state`.
pub fn about(manifest: &Manifest, state: State) -> About {
    let title = manifest.scenario.as_ref().map_or(&manifest.experiment, |scenario| &scenario.title);
    let environment = &manifest.environment;
    About {
        title: title.clone(),
        policy: manifest.policy.clone(),
        host: manifest.host.clone(),
        seed: manifest.seed,
        seconds: manifest.seconds,
        strategy: manifest.strategy.clone(),
        revision: environment.revision.clone(),
        machine: environment.machine.clone(),
        command: environment.command.clone(),
        started_utc: environment.started_utc.clone(),
        state,
        notes: Vec::new(),
        is_analysis: false,
    }
}

impl Model {
    /// The run in `folder`, whose manifest is given.
    ///
    /// # Errors
    /// When a file of the folder is missing or damaged; the error names the file and the place.
    pub fn of_folder(folder: &Path, manifest: &Manifest) -> Result<Model, FolderError> {
        let timeline: Vec<TimelineRow> = folder::read_csv(&folder.join(folder::TIMELINE))?;
        let latency: Vec<LatencyRow> = folder::read_csv(&folder.join(folder::LATENCY))?;
        let events: Vec<Event> = folder::read_jsonl(&folder.join(folder::DECISIONS))?;
        let path = folder.join(folder::INSTANCES);
        let instances: Vec<InstanceRow> = if path.is_file() { folder::read_csv(&path)? } else { Vec::new() };
        let totals = totals(folder)?;
        let is_cut = totals.contains_key("interrupted_s") || folder.join(folder::INTERRUPTED).is_file();
        let state = if is_cut { State::Interrupted } else { State::Finished };
        let mut model = empty(manifest, state);

        let mut events = events.into_iter().peekable();
        let mut latencies: BTreeMap<u64, LatencyRow> = latency.into_iter().map(|row| (row.window_end_s.to_bits(), row)).collect();
        let mut by_window: BTreeMap<u64, Vec<InstanceRow>> = BTreeMap::new();
        for row in instances {
            by_window.entry(row.window_end_s.to_bits()).or_default().push(row);
        }
        for rows in timeline.chunk_by(|a, b| a.window_end_s == b.window_end_s) {
            let (window_start_s, window_end_s) = (rows[0].window_start_s, rows[0].window_end_s);
            let none = LatencyRow { window_start_s, window_end_s, ..LatencyRow::default() };
            let latency = latencies.remove(&window_end_s.to_bits()).unwrap_or(none);
            // What was decided before a window ended was known when it closed.
            while let Some(event) = events.next_if(|event| event.at.as_secs_f64() < window_end_s) {
                model.event(event);
            }
            model.window(rows.to_vec(), latency, by_window.remove(&window_end_s.to_bits()).unwrap_or_default());
        }
        if !latencies.is_empty() {
            model.note(format!("{} windows have a latency and no rates; they are not shown.", latencies.len()));
        }
        events.for_each(|event| model.event(event));
        model.finish(state, totals);
        Ok(model)
    }
}

/// A run that nothing is known of but its manifest.
fn empty(manifest: &Manifest, state: State) -> Model {
    let mut about = about(manifest, state);
    let names = |found: &[String]| found == manifest.operators;
    if let Some(scenario) = manifest.scenario.as_ref().filter(|scenario| scenario.check().is_ok()) {
        let topology = scenario.job().topology;
        let found: Vec<String> = topology.operators().iter().map(|operator| operator.name.clone()).collect();
        if names(&found) {
            return Model::new(about, &topology);
        }
    }
    about.notes.push("The folder does not say how operators are connected: they are drawn as a chain.".to_owned());
    let operator =
        |name: &String| OperatorAbout { name: name.clone(), scalable: manifest.scalable.contains(name), ..OperatorAbout::default() };
    Model::of_operators(about, manifest.operators.iter().map(operator).collect())
}

/// The numbers of a run's summary; none if there is no summary.
fn totals(run: &Path) -> Result<BTreeMap<String, f64>, FolderError> {
    let path = run.join(folder::SUMMARY);
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let summary: serde_json::Value = folder::read_json(&path)?;
    let values = summary.as_object().into_iter().flatten();
    Ok(values.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect())
}
