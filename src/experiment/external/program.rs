//! A child process that is asked line by line.
//!
//! A thread of its own writes and reads, so that a program which neither reads nor answers holds up nobody. Invariants: at most one question
//! is open; no more than [`MOST_ANSWER_BYTES`] are kept of an answer; when this is dropped the process has ended.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// An answer names operators; a job with ten thousand of them fits.
const MOST_ANSWER_BYTES: u64 = 1 << 20;
/// How long a program that was told to end may take at least: on a busy machine nothing ends at once.
const LEAST_TIME_TO_END: Duration = Duration::from_millis(500);

/// Why a program cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The command names no program.
    #[error("expected a program and its arguments, found '{0}'")]
    Command(String),
    /// The program does not start.
    #[error("expected a program that starts, found '{program}': {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// It did not answer in time.
    #[error("expected an answer within {:.1} s, found none", .0.as_secs_f64())]
    Silent(Duration),
    /// It ended, or closed its output.
    #[error("expected an answer, found that the program {}", ended(*.0))]
    Ended(Option<ExitStatus>),
    /// It did not end its line.
    #[error("expected an answer of at most {MOST_ANSWER_BYTES} bytes that ends with a line feed, found more")]
    TooLong,
}

fn ended(status: Option<ExitStatus>) -> String {
    status.map_or("had closed its output".to_owned(), |status| format!("had ended ({status})"))
}

/// A running program.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// Nothing once it is to end.
    questions: Option<Sender<String>>,
    answers: Receiver<io::Result<Vec<u8>>>,
    /// How long it has for an answer, and for its end.
    timeout: Duration,
}

impl Program {
    /// Starts the program, which has `timeout` for each answer.
    pub(super) fn start(command: &str, timeout: Duration) -> Result<Program, ProgramError> {
        let words = shlex::split(command).filter(|words| !words.is_empty()).ok_or_else(|| ProgramError::Command(command.to_owned()))?;
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| ProgramError::Start { program: words[0].clone(), source })?;
        let input = child.stdin.take().expect("its input is a pipe");
        let output = child.stdout.take().expect("its output is a pipe");
        let (questions, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        thread::spawn(move || converse(&asked, &answer, input, output));
        Ok(Program { child, questions: Some(questions), answers, timeout })
    }

    /// Sends a line and gives the line that answers it, without its end.
    pub(super) fn ask(&mut self, line: String) -> Result<Vec<u8>, Lost> {
        let sent = self.questions.as_ref().is_some_and(|questions| questions.send(line).is_ok());
        let answer = if sent { self.answers.recv_timeout(self.timeout) } else { Err(RecvTimeoutError::Disconnected) };
        match answer {
            Ok(Ok(mut answer)) if answer.ends_with(b"\n") => {
                answer.pop();
                Ok(answer)
            }
            Ok(Ok(answer)) if answer.len() as u64 > MOST_ANSWER_BYTES => Err(Lost::TooLong),
            Err(RecvTimeoutError::Timeout) => Err(Lost::Silent(self.timeout)),
            // It broke off within a line, or the pipe is broken: it has ended, or soon will have.
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(Lost::Ended(self.wait())),
        }
    }

    /// Waits for the end for as long as it may take.
    fn wait(&mut self) -> Option<ExitStatus> {
        // Nobody sends anything here: a wait with an end, since a child has none.
        let (_open, never) = mpsc::channel::<()>();
        let step = Duration::from_millis(5);
        for _ in 0..self.timeout.max(LEAST_TIME_TO_END).as_millis() / step.as_millis() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            let _ = never.recv_timeout(step);
        }
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The end of its input is the end of its work; who does not see that is killed.
        let idle = self.questions.take().is_some();
        if !idle || self.wait().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Writes questions and reads answers until either side ends.
fn converse(questions: &Receiver<String>, answers: &Sender<io::Result<Vec<u8>>>, mut input: ChildStdin, output: ChildStdout) {
    let mut output = BufReader::new(output);
    for question in questions {
        let mut answer = Vec::new();
        let written = input.write_all(question.as_bytes()).and_then(|()| input.write_all(b"\n")).and_then(|()| input.flush());
        let read = written.and_then(|()| output.by_ref().take(MOST_ANSWER_BYTES + 1).read_until(b'\n', &mut answer));
        let more = matches!(read, Ok(length) if length > 0);
        if answers.send(read.map(|_| answer)).is_err() || !more {
            return;
        }
    }
}
