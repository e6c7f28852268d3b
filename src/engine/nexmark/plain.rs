//! Helpers of the plain forms of several queries.

use std::collections::BTreeMap;
use std::hash::Hash;

use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

use crate::engine::Time;
use crate::engine::elastic::bin_of;

/// What an exchange goes by: as fine as this many bins would be.
const SHARES: u32 = 1 << 16;

/// Where a key goes. Tables use the other bits of the hash.
#[inline]
pub(super) fn share_of<K: Hash>(key: &K) -> u64 {
    u64::from(bin_of(key, SHARES).0)
}

/// What is to be done at a time, with the capability to emit results then.
pub(super) struct Notifications<T>(BTreeMap<Time, (Capability<Time>, T)>);

impl<T: Default> Notifications<T> {
    pub(super) fn new() -> Notifications<T> {
        Notifications(BTreeMap::new())
    }

    /// What is to be done at `at`, which is not before the time of `cap`.
    #[inline]
    pub(super) fn at(&mut self, at: Time, cap: &InputCapability<Time>) -> &mut T {
        &mut self.0.entry(at).or_insert_with(|| (cap.delayed(&at, 0), T::default())).1
    }

    /// The same, for a caller that already holds a capability.
    pub(super) fn again(&mut self, at: Time, cap: &Capability<Time>) -> &mut T {
        &mut self.0.entry(at).or_insert_with(|| (cap.delayed(&at), T::default())).1
    }

    /// Takes the earliest of all that is due: nothing of before its time can come any more.
    pub(super) fn next(&mut self, frontier: &MutableAntichain<Time>) -> Option<(Capability<Time>, T)> {
        let first = self.0.first_entry()?;
        (!frontier.less_than(first.key())).then(|| first.remove())
    }
}
