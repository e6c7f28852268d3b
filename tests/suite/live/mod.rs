//! The page of a run: the same story from its folder and while it goes on, a server that nobody can
//! hold up, a file that needs nothing else.

mod analysed;
mod attacks;
mod browser;
mod chromium;
mod commands;
mod contrast;
mod driven;
mod steering;
mod terminal;
mod told;

use std::process::Child;
use std::sync::Arc;

use thalweg::dataflow::{Role, Topology};
use thalweg::experiment::environment::Environment;
use thalweg::experiment::policies::{Given, Setting, policy_with};
use thalweg::experiment::record::{Manifest, ROW_WINDOW};
use thalweg::experiment::rows::{LatencyRow, TimelineRow};
use thalweg::experiment::run::{RunResult, Status};
use thalweg::experiment::scenario::Scenario;
use thalweg::experiment::simulated::{SimulatedSpec, needs, simulate};
use thalweg::live::teller::{Board, Teller};
use thalweg::live::{About, Model, State, Story, folder};

/// A child that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A recorded run: a scenario under a policy.
struct Run {
    manifest: Manifest,
    scenario: Scenario,
    settings: Vec<Setting>,
}

impl Run {
    /// Of a built-in scenario, a minute at most.
    fn of(scenario: &str, policy: &str) -> Run {
        let mut scenario = Scenario::read(Scenario::text(scenario).expect("a built-in scenario")).unwrap();
        scenario.control.policy = policy.to_owned();
        scenario.seconds = scenario.seconds.min(60.0);
        let job = scenario.job();
        let environment = Environment { command: "thalweg simulate".to_owned(), ..Environment::default() };
        let manifest = Manifest { environment, ..Manifest::of_scenario(&scenario, &job.topology, &needs(&job)) };
        Run { manifest, scenario, settings: Vec::new() }
    }

    /// The same, only so long.
    fn lasting(mut self, seconds: f64) -> Run {
        self.scenario.seconds = seconds;
        self
    }

    /// The same with a parameter of its policy, such as `goal_ms=100`.
    fn with(self, setting: &str) -> Run {
        Run { settings: vec![setting.parse().unwrap()], ..self }
    }

    /// Runs it; `show` sees every window.
    fn simulate(&self, show: impl FnMut(Status<'_>)) -> RunResult {
        let job = self.scenario.job();
        let given = Given { settings: self.settings.clone(), best: Vec::new() };
        let policy = policy_with(&self.scenario.control.policy, &job.topology, self.scenario.control.time_factor, &given).unwrap();
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

/// The story of a job of ten thousand operators with a hundred instances each, one of which is busy.
fn very_large() -> Story {
    let names: Vec<String> = (0..10_000).map(|number| format!("operator-{number}")).collect();
    let role = |number: usize| if number == 0 { Role::Source } else { Role::Stateless };
    let operators: Vec<(&str, Role, u32)> = names.iter().enumerate().map(|(number, name)| (name.as_str(), role(number), 100)).collect();
    let edges: Vec<(u32, u32)> = (1..10_000).map(|to| (to / 2, to)).filter(|(from, to)| from != to).collect();
    let topology = Topology::new(&operators, &edges).unwrap();
    let mut model = Model::new(About::default(), &topology);
    for window in 0..20 {
        let (window_start_s, window_end_s) = (f64::from(window), f64::from(window + 1));
        let row = |(number, name): (usize, &String)| TimelineRow {
            window_start_s,
            window_end_s,
            operator: name.clone(),
            parallelism: 100,
            utilisation: if number == 7_777 { 1.0 } else { 0.1 },
            ..TimelineRow::default()
        };
        let latency = LatencyRow { window_start_s, window_end_s, ..LatencyRow::default() };
        model.window(names.iter().enumerate().map(row).collect(), latency, Vec::new());
    }
    model.explain();
    model.story()
}
