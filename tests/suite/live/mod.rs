//! The page of a run: the same story from its folder and while it goes on, a server that nobody can
//! hold up, a file that needs nothing else.

mod attacks;
mod browser;
mod told;

use std::sync::Arc;

use thalweg::experiment::environment::Environment;
use thalweg::experiment::policies::policy;
use thalweg::experiment::record::{Manifest, ROW_WINDOW};
use thalweg::experiment::run::{RunResult, Status};
use thalweg::experiment::scenario::Scenario;
use thalweg::experiment::simulated::{SimulatedSpec, needs, simulate};
use thalweg::live::teller::{Board, Teller};
use thalweg::live::{Model, State, folder};

/// A recorded run: a scenario under a policy.
struct Run {
    manifest: Manifest,
    scenario: Scenario,
}

impl Run {
    /// Of a built-in scenario.
    fn of(scenario: &str, policy: &str) -> Run {
        let mut scenario = Scenario::read(Scenario::text(scenario).expect("a built-in scenario")).unwrap();
        scenario.control.policy = policy.to_owned();
        let job = scenario.job();
        let environment = Environment { command: "thalweg simulate".to_owned(), ..Environment::default() };
        let manifest = Manifest { environment, ..Manifest::of_scenario(&scenario, &job.topology, &needs(&job)) };
        Run { manifest, scenario }
    }

    /// Runs it; `show` sees every window.
    fn simulate(&self, show: impl FnMut(Status<'_>)) -> RunResult {
        let job = self.scenario.job();
        let policy = policy(&self.scenario.control.policy, &job.topology, self.scenario.control.time_factor).unwrap();
        let spec = SimulatedSpec { job, seed: 1, controller: self.scenario.controller(), policy, row_window: ROW_WINDOW };
        simulate(spec, None, show).unwrap()
    }

    /// A board for it that shows nothing yet, and who tells it.
    fn board(&self) -> (Arc<Board>, Teller) {
        let topology = self.scenario.job().topology;
        let board = Board::new(Model::new(folder::about(&self.manifest, State::Running), &topology));
        let teller = Teller::start(Arc::clone(&board), topology).unwrap();
        (board, teller)
    }
}
