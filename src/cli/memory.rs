//! Makes glibc return the memory of migrated state to the operating system.
//!
//! glibc keeps freed memory for later allocations unless the block had a mapping of its own, and it
//! raises the size above which it maps blocks as larger ones are freed. A process whose bins have
//! migrated away would therefore not shrink. An environment variable fixes that size, but it is
//! read only when a program starts: a command that may run a job therefore re-executes itself once,
//! in the same process, with the variable set. Child processes inherit it.

/// Allocations above this many bytes get a mapping of their own: glibc's initial threshold.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Re-executes this command with the variable set; returns if it is set already or if that fails.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn give_back() {
    use std::os::unix::process::CommandExt;

    if std::env::var_os(MAPPED.0).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        // `exec` returns only on error. The command then works as usual and only keeps more memory.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(MAPPED.0, MAPPED.1).exec();
    }
}

/// Does nothing: other systems' allocators need no setting.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}
