//! What a format has to implement.

use std::io::{self, Write};

use super::View;
use crate::activity::Names;

/// How windows are written in some format; what they are written to is handed in.
pub(super) trait Writer {
    /// What comes before the first window.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()>;
    /// A window.
    fn window(&mut self, out: &mut dyn Write, view: &View<'_>) -> io::Result<()>;
    /// What comes after the last window; says what had to be left out.
    fn finish(&mut self, out: &mut dyn Write, names: &Names) -> io::Result<Option<String>>;
}
