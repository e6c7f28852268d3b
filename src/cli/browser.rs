//! Opens a page in the user's browser.

use std::process::{Command, Stdio};

/// What opens an address on this system.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Opens `address` in a browser. That this is not possible is a note on standard error: the address has been printed.
pub(super) fn open(address: &str) {
    let mut command = Command::new(OPENER);
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let note = |why: String| eprintln!("note: --open: no browser was started ({OPENER}: {why}); open the address yourself");
    match command.spawn() {
        Err(why) => note(why.to_string()),
        // It may last as long as the browser, so nobody waits for it but a thread.
        Ok(mut child) => {
            _ = std::thread::spawn(move || match child.wait() {
                Ok(status) if !status.success() => note(status.to_string()),
                _ => {}
            })
        }
    }
}
