//! What a reader of one format does.

use super::error::{Damage, Oddities};
use crate::activity::Record;

/// Reads one file of one format, a little at a time.
///
/// Invariant: a step gives out a bounded number of records (at most a few thousand), so that a trace never holds a whole file.
pub(super) trait Reader: Send {
    /// Reads on and appends what that gives, maybe nothing; false at the end of the file.
    ///
    /// # Errors
    /// Damage: the file is not read further.
    fn step(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities) -> Result<bool, Damage>;

    /// Appends what is still open when the file ends, whole or damaged. Called once.
    fn finish(&mut self, out: &mut Vec<Record>, oddities: &mut Oddities);
}
