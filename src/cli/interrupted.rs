//! Ctrl-C in commands that measure: what was measured is kept in their folder, which says that they were interrupted.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::failure::Failure;
use crate::experiment::{folder, interrupt};

/// How long a command that only waits for another process gives that one to keep what it has.
const TIME_TO_KEEP: Duration = Duration::from_secs(2);

/// The folder that the command writes to, once it has one.
static FOLDER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// What a command does between the interruption and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    /// It measures: it comes to its end as soon as it sees the interruption.
    Measures,
    /// It waits for a process that measures, which may not have been interrupted.
    Waits,
}

/// From now on the first Ctrl-C lets the command keep what it has; another one ends it at once.
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
        eprintln!("thalweg: interrupted; what was measured is kept (Ctrl-C again ends at once)");
        if meanwhile == Meanwhile::Waits {
            // Nobody sends anything here: a wait with an end.
            let (_open, never) = mpsc::channel::<()>();
            let _ = never.recv_timeout(TIME_TO_KEEP);
            std::process::exit(i32::from(interrupt::EXIT_CODE));
        }
    });
    Ok(())
}

/// The command writes to `folder`.
pub(super) fn fills(folder: &Path) {
    *FOLDER.lock().expect("nobody panics with it") = Some(folder.to_owned());
}

/// Ends a command that makes one thing after another if there has been a Ctrl-C.
///
/// # Errors
/// When there has been one.
pub(super) fn check() -> Result<(), Failure> {
    if interrupt::asked() { Err(Failure::Run(anyhow!("interrupted"))) } else { Ok(()) }
}

/// The end of a command that was interrupted: its folder says so.
pub(super) fn end() -> ExitCode {
    let folder = FOLDER.lock().expect("nobody panics with it").take().filter(|folder| folder.is_dir());
    if let Some(folder) = folder {
        let text = "Interrupted with Ctrl-C: what is here was measured until then.\n";
        match folder::write_text(&folder.join(folder::INTERRUPTED), text) {
            Ok(()) => eprintln!("thalweg: interrupted: {} has what was measured until then", folder.display()),
            Err(why) => eprintln!("thalweg: interrupted: {why}"),
        }
    }
    ExitCode::from(interrupt::EXIT_CODE)
}
