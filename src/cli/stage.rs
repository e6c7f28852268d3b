//! The live page of an experiment: its runs on the engine, one after the other on one page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::failure::Failure;
use super::watched::serve;
use crate::dataflow::Topology;
use crate::experiment::run::{Ending, RunResult, Status};
use crate::experiment::study::Trial;
use crate::live::server::Server;
use crate::live::teller::{Board, Teller};
use crate::live::{About, Model, State};

/// The page of this process, once one has been asked for; several experiments share it.
static STAGE: OnceLock<Stage> = OnceLock::new();

/// A page with the run that is going on, and who tells it.
pub(super) struct Stage {
    board: Arc<Board>,
    /// Serves until the process ends.
    _server: Server,
    on: Mutex<Option<(String, Teller)>>,
}

/// Starts the server at the address `asked`, unless there is one; without an address, does nothing.
pub(super) fn open(asked: Option<&str>) -> Result<(), Failure> {
    let Some(asked) = asked.filter(|_| STAGE.get().is_none()) else { return Ok(()) };
    let nothing = Topology::new(&[], &[]).expect("a topology may be empty");
    let board = Board::new(Model::new(About { title: "The first run is to begin".to_owned(), ..About::default() }, &nothing));
    let server = serve("--live", asked, &board)?;
    eprintln!("thalweg: live page at http://{}/", server.address());
    let _ = STAGE.set(Stage { board, _server: server, on: Mutex::default() });
    Ok(())
}

/// A window of a run has closed: shows the run, if there is a page.
pub(super) fn window(trial: &Trial, topology: &Topology, duration: Duration, status: &Status<'_>) {
    let Some(stage) = STAGE.get() else { return };
    let mut on = stage.on.lock().unwrap_or_else(PoisonError::into_inner);
    let name = trial.to_string();
    if on.as_ref().is_none_or(|(last, _)| *last != name) {
        *on = None;
        let about = About {
            title: trial.case.clone(),
            policy: trial.variant.clone(),
            host: trial.host.name().to_owned(),
            seed: trial.seed,
            seconds: duration.as_secs_f64(),
            ..About::default()
        };
        stage.board.show(Model::new(about, topology));
        // Without a thread the page stays empty; the experiment goes on.
        *on = Teller::start(Arc::clone(&stage.board), topology.clone()).ok().map(|teller| (name, teller));
    }
    if let Some((_, teller)) = on.as_mut() {
        teller.window(status);
    }
}

/// A run has ended.
pub(super) fn ended(trial: &Trial, result: Option<&RunResult>) {
    let Some(stage) = STAGE.get() else { return };
    let mut on = stage.on.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((_, teller)) = on.take_if(|(name, _)| *name == trial.to_string()) else { return };
    let is_whole = result.is_some_and(|result| result.ending == Ending::Complete);
    let events = result.map_or(&[][..], |result| &result.events);
    teller.end(if is_whole { State::Finished } else { State::Interrupted }, events, BTreeMap::new());
}
