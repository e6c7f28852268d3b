//! A file that grows: its end is waited at, until Ctrl-C.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use crate::experiment::interrupt;

/// How often a file is looked at for more.
const LOOKS: Duration = Duration::from_millis(50);

/// A file that is read as it grows.
pub(super) struct Growing(File);

impl Growing {
    /// A file to be read as it grows, under its name.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) fn open(file: &PathBuf) -> io::Result<(PathBuf, Box<dyn Read + Send>)> {
        Ok((file.clone(), Box::new(Growing(File::open(file)?))))
    }
}

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.0.read(buffer)?;
            if length > 0 || buffer.is_empty() || interrupt::asked() {
                return Ok(length);
            }
            // A file tells nobody that it has grown.
            #[allow(clippy::disallowed_methods)]
            std::thread::sleep(LOOKS);
        }
    }
}
