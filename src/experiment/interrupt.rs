//! Ctrl-C while something is measured: the first is taken note of, so that what was measured until
//! then can be kept; the second ends the process at once.
//!
//! A program that does not [`listen`] ends at the first, as it does without this module. Invariant:
//! once [`asked`], always asked.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::SIGINT;
use signal_hook::flag::{register, register_conditional_shutdown};

/// Exit code of a command that was interrupted, as shells have it: 128 and the number of the
/// signal.
pub const EXIT_CODE: u8 = 130;

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the first Ctrl-C is taken note of, and another one ends the process at once with
/// [`EXIT_CODE`]. Whoever listens already goes on doing so.
///
/// # Errors
/// When the system does not let signals be handled.
pub fn listen() -> io::Result<()> {
    let asked: Arc<AtomicBool> = Arc::default();
    if ASKED.set(Arc::clone(&asked)).is_err() {
        return Ok(());
    }
    // In this order: at the first signal there has been none yet.
    register_conditional_shutdown(SIGINT, i32::from(EXIT_CODE), Arc::clone(&asked))?;
    register(SIGINT, asked)?;
    Ok(())
}

/// Whether there has been a Ctrl-C since the process began to [`listen`].
pub fn asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::Relaxed))
}
