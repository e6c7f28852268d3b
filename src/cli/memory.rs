//! Memory of state that has gone to another process goes back to the system.
//!
//! What glibc frees of a table it keeps for the next one, unless the table was mapped by itself; and it learns to map only ever larger
//! ones. A process that gives its bins away would so stay as large as it was. The limit is fixed by a variable of the environment, which
//! is read when a program starts: so a command that may run a job starts itself anew with it, once, as the same process. Processes that
//! it starts inherit it.

/// Above so many bytes an allocation is mapped by itself: glibc's own first limit.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Starts this command anew if the variable is not set; comes back if it is, or if that does not work.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn give_back() {
    use std::os::unix::process::CommandExt;

    if std::env::var_os(MAPPED.0).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        // It gives back an error, or nothing at all. Without it the command works as well and only keeps more memory.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(MAPPED.0, MAPPED.1).exec();
    }
}

/// Has a command that this one starts decide for itself: one that simulates would be slowed down by what an engine needs.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn decides_itself(command: &mut std::process::Command) {
    if std::env::var_os(MAPPED.0).is_some_and(|bytes| bytes == MAPPED.1) {
        command.env_remove(MAPPED.0);
    }
}

/// Other systems' allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}

/// There is nothing to decide.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn decides_itself(_: &mut std::process::Command) {}
