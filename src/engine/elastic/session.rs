//! What a user's function may do besides changing a key's state: give results, ask to be called later, forget the key.

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
    /// A call in `epoch`; timers that are asked for go to `timers`.
    #[inline]
    pub(in crate::engine) fn new(epoch: Time, results: &'a mut Vec<R>, timers: &'a mut Vec<Time>) -> Session<'a, R> {
        Session { epoch, results, timers, forgets: false }
    }

    /// The epoch of the record, or the time of the timer, that the call is about. Results belong to it.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// Gives a result out.
    #[inline]
    pub fn give(&mut self, result: R) {
        self.results.push(result);
    }

    /// Asks for a call about the same key at `at`: after all records of the key of earlier epochs, before those of `at` itself.
    /// A time that is not after the present epoch is taken for the one after it. Asked for twice, called once.
    #[inline]
    pub fn notify_at(&mut self, at: Epoch) {
        self.timers.push(at.0.max(self.epoch + 1));
    }

    /// Forgets the key's state after this call. Its timers stay, and will find a fresh state.
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

/// What an operator with state by key does with records and timers.
///
/// Must be a deterministic function of what it is given.
pub(in crate::engine) trait Logic<K, V, S, R>: 'static {
    /// Whether it never sets timers nor forgets keys: where little is done for a record, not to ask after each is worth it.
    const PLAIN: bool = false;

    /// A record.
    fn apply(&mut self, key: &K, value: V, state: &mut S, session: &mut Session<'_, R>);

    /// A timer of the key has come; its time is the session's epoch.
    fn call(&mut self, key: &K, state: &mut S, session: &mut Session<'_, R>);
}
