//! The interface of readers, one per format.

use super::error::{Damage, Oddities};
use crate::activity::Record;

/// Reads one file of one format in small steps.
///
/// Invariant: a step returns a bounded number of records (at most a few thousand), so that a trace
/// never holds a whole file.
pub(super) trait Reader: Send {
    /// Continues reading and appends the resulting records, possibly none; false at the end of the
    /// file.
    ///
    /// # Errors
    /// Damage: reading of the file ends.
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage>;

    /// Appends what is still open when the file ends, complete or damaged. Called once.
    fn finish(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities);

    /// What its times are relative to, in ns, once the first is known.
    fn origin(&self) -> u64 {
        0
    }
}
