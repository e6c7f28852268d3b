//! Ctrl-C in commands that measure: results so far are kept in their folder, which is marked as
//! interrupted.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::failure::Failure;
use super::terminal;
use crate::experiment::{folder, interrupt};

/// How long a command that waits for a child process allows it to save its results.
const TIME_TO_KEEP: Duration = Duration::from_secs(2);

/// The output folder of the command, once it has one.
static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// What a command does between the interruption and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    /// It measures, and ends as soon as it notices the interruption.
    Measures,
    /// It waits for a child process that measures, which may not have been interrupted.
    Waits,
}

/// Installs the handler: the first Ctrl-C lets the command save its results, a second one ends it
/// immediately.
pub(super) fn listen(meanwhile: Meanwhile) -> Result<(), Failure> {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    if LISTENS.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    interrupt::listen().context("Ctrl-C cannot be handled")?;
    let mut signals = Signals::new([SIGINT]).context("Ctrl-C cannot be handled")?;
    std::thread::spawn(move || {
        if signals.forever().next().is_none() {
            return;
        }
        terminal::leave();
        eprintln!("thalweg: interrupted, saving the results so far (press Ctrl-C again to stop immediately)");
        if meanwhile == Meanwhile::Waits {
            // Nothing is ever sent: this is a wait with a timeout.
            let (_open, never) = mpsc::channel::<()>();
            let _ = never.recv_timeout(TIME_TO_KEEP);
            std::process::exit(i32::from(interrupt::EXIT_CODE));
        }
    });
    Ok(())
}

/// Sets the output folder of the command.
pub(super) fn fills(folder: &Path) {
    *FOLDER.lock().expect("nobody panics with it") = Some(folder.to_owned());
}

/// Checks for a Ctrl-C, between the steps of a command.
///
/// # Errors
/// If there has been one.
pub(super) fn check() -> Result<(), Failure> {
    if interrupt::asked() { Err(Failure::Run(anyhow!("interrupted"))) } else { Ok(()) }
}

/// Ends an interrupted command and marks its folder.
pub(super) fn end() -> ExitCode {
    let folder = FOLDER.lock().expect("nobody panics with it").take().filter(|folder| folder.is_dir());
    if let Some(folder) = folder {
        let text = "Interrupted with Ctrl-C: this folder holds the results until then.\n";
        match folder::write_text(&folder.join(folder::INTERRUPTED), text) {
            Ok(()) => eprintln!("thalweg: interrupted: the results so far are in {}", folder.display()),
            Err(why) => eprintln!("thalweg: interrupted: {why}"),
        }
    }
    ExitCode::from(interrupt::EXIT_CODE)
}
