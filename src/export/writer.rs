//! The interface of an export format.

use std::io::{self, Write};

use super::View;
use crate::activity::Names;

/// Writes windows in some format to a given output.
pub(super) trait Writer {
    /// Writes what precedes the first window.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()>;
    /// Writes a window.
    fn window(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()>;
    /// Writes what follows the last window; returns a note on what was omitted.
    fn finish(&mut self, out: &mut dyn Write, names: &Names) -> io::Result<Option<String>>;
}
