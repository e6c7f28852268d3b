//! A policy that is a program of the user's own, in any language.
//!
//! Every decision is one line each way: an observation as JSON to the program's standard input, its decision as JSON from its standard
//! output (`docs/external-policy.md`). A program that does not answer in time, ends, or answers something else is given up: the decision log
//! says so with what was expected and what was found, and the job goes on unscaled. Invariants: a decision never takes longer than the
//! timeout; a program that was given up has ended; nothing of it is left behind when the policy is dropped.

mod paths;
mod program;
mod protocol;

use std::time::Duration;

pub use program::ProgramError;
use program::{Lost, Program};
use protocol::Nonsense;

use crate::dataflow::Topology;
use crate::observation::Observation;
use crate::policy::{Decision, Needs, Policy, Reason};
use crate::time::Timestamp;

/// Time for an answer unless told otherwise: an interpreter that starts on a busy machine takes a good part of it.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// A program that decides.
#[derive(Debug)]
pub struct External {
    topology: Topology,
    needs: Needs,
    /// Nothing once it was given up.
    program: Option<Program>,
    /// Why the controller refused its last plan, until it has been told.
    refused: Option<String>,
}

impl External {
    /// Starts the program that decides for the job `topology`; it has `timeout` for each answer, and to end when it is not needed any more.
    ///
    /// `command` is a program and its arguments as a shell would split them; no shell runs. What it writes to standard error goes to ours.
    ///
    /// # Errors
    /// When the command cannot be split or the program cannot be started.
    pub fn start(command: &str, topology: Topology, timeout: Duration) -> Result<External, ProgramError> {
        let program = Program::start(command, timeout)?;
        Ok(External { topology, needs: Needs::Metrics, program: Some(program), refused: None })
    }

    /// The same program, shown what `needs` says in each observation.
    pub fn needing(self, needs: Needs) -> External {
        External { needs, ..self }
    }

    fn ask(&mut self, observation: &Observation) -> Result<Decision, Failure> {
        let line = protocol::line(&self.topology, observation, self.refused.take());
        let program = self.program.as_mut().ok_or(Failure::Gone)?;
        let answer = program.ask(line)?;
        Ok(protocol::decision(&answer, &self.topology, &observation.configuration)?)
    }
}

/// Why a program was given up.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it was given up before")]
    Gone,
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error(transparent)]
    Nonsense(#[from] Nonsense),
}

impl Failure {
    fn rule(&self) -> &'static str {
        match self {
            Failure::Gone => "external-gone",
            Failure::Lost(Lost::Silent(_)) => "external-timed-out",
            Failure::Lost(Lost::Ended(_)) => "external-ended",
            Failure::Lost(Lost::TooLong) | Failure::Nonsense(_) => "external-nonsense",
        }
    }
}

impl Policy for External {
    fn name(&self) -> &'static str {
        "external"
    }

    fn needs(&self) -> Needs {
        self.needs
    }

    fn decide(&mut self, _now: Timestamp, observation: &Observation) -> Decision {
        match self.ask(observation) {
            Ok(decision) => decision,
            Err(Failure::Gone) => Decision::Hold(Reason::new(Failure::Gone.rule())),
            Err(failure) => {
                // What would come later could be an answer to anything.
                self.program = None;
                Decision::Hold(Reason::new(failure.rule()).saying(format!("{failure}; the job goes on unscaled")))
            }
        }
    }

    fn refused(&mut self, why: &str) {
        self.refused = Some(why.to_owned());
    }
}
