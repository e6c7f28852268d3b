//! Stop signal of a process, carrying the first error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::error::RunError;

/// Raised at most once; clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct StopSignal {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Read by workers at every step.
    raised: AtomicBool,
    why: Mutex<Option<RunError>>,
    bell: Condvar,
}

/// Raises the stop signal when it is dropped: a job whose handle was dropped is stopped.
#[derive(Debug)]
pub(in crate::engine) struct StopOnDrop(pub(in crate::engine) StopSignal);

/// Raises the stop signal when it is dropped in a panic.
#[derive(Debug)]
pub(in crate::engine) struct RaiseOnPanic(pub(in crate::engine) StopSignal);

impl StopSignal {
    /// Raises it, unless it is raised already.
    pub(in crate::engine) fn raise(&self, why: RunError) {
        let mut slot = self.lock();
        if slot.is_none() {
            *slot = Some(why);
            self.inner.raised.store(true, Ordering::SeqCst);
            self.inner.bell.notify_all();
        }
    }

    pub(in crate::engine) fn is_raised(&self) -> bool {
        self.inner.raised.load(Ordering::SeqCst)
    }

    /// Why it was raised, if it was.
    pub(in crate::engine) fn why(&self) -> Option<RunError> {
        self.lock().clone()
    }

    /// Waits until it is raised, for at most `at_most`.
    pub(in crate::engine) fn wait(&self, at_most: Duration) -> bool {
        let waited = self.inner.bell.wait_timeout_while(self.lock(), at_most, |why| why.is_none());
        waited.is_ok_and(|(why, _)| why.is_some())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<RunError>> {
        self.inner.why.lock().expect("nobody panics with the signal in hand")
    }
}

impl Drop for RaiseOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.raise(RunError::Worker("a panic".to_owned()));
        }
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.raise(RunError::Abandoned);
    }
}
