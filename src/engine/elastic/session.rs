//! What a user function can do besides updating the state of a key: emit results, set timers, drop
//! the state.

use crate::engine::Time;
use crate::time::Epoch;

/// One call of a user's function.
pub struct Session<'a, R> {
    epoch: Time,
    results: &'a mut Vec<R>,
    timers: &'a mut Vec<Time>,
    forgets: bool,
}

impl<'a, R> Session<'a, R> {
    /// A call in `epoch`; timers that are set go to `timers`.
    #[inline]
    pub(in crate::engine) fn new(epoch: Time, results: &'a mut Vec<R>, timers: &'a mut Vec<Time>) -> Session<'a, R> {
        Session { epoch, results, timers, forgets: false }
    }

    /// The epoch of the record, or the time of the timer, that the call is about. Results belong to
    /// it.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// Emits a result.
    #[inline]
    pub fn give(&mut self, result: R) {
        self.results.push(result);
    }

    /// Sets a timer for the same key at `at`: it fires after all records of the key of earlier
    /// epochs, before those of `at` itself. A time that is not after the current epoch means the
    /// next one. A timer that is set twice fires once.
    #[inline]
    pub fn notify_at(&mut self, at: Epoch) {
        self.timers.push(at.0.max(self.epoch + 1));
    }

    /// Drops the key's state after this call. Its timers stay, and will find a default state.
    #[inline]
    pub fn forget(&mut self) {
        self.forgets = true;
    }

    /// All results of the epoch so far, for functions that push them themselves.
    #[inline]
    pub(in crate::engine) fn results(&mut self) -> &mut Vec<R> {
        self.results
    }

    #[inline]
    pub(in crate::engine) fn forgets(&self) -> bool {
        self.forgets
    }
}

/// Logic of a keyed operator: what it does with records and timers.
///
/// Must be a deterministic function of what it is given.
pub(in crate::engine) trait Logic<K, V, S, R>: 'static {
    /// Whether it never sets timers nor drops state: for cheap functions it pays not to check after
    /// each record.
    const PLAIN: bool = false;

    /// A record.
    fn apply(&mut self, key: &K, value: V, state: &mut S, session: &mut Session<'_, R>);

    /// Called when a timer of the key fires; its time is the session's epoch.
    fn on_timer(&mut self, key: &K, state: &mut S, session: &mut Session<'_, R>);
}
