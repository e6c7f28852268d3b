//! The activity log of a run as a file, where one was asked for.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::folder::{ACTIVITY_BEGUN, rename};
use super::steps;
use crate::activity::{LogWriter, Record};

/// A log that is being written, under another name until it is whole; a run that fails leaves what it had under that name.
pub(super) struct KeptLog(Option<(LogWriter<BufWriter<File>>, PathBuf, PathBuf)>);

impl KeptLog {
    /// Begins the file `path`; without one nothing is kept.
    pub(super) fn create(path: Option<&Path>) -> io::Result<KeptLog> {
        let Some(path) = path else { return Ok(KeptLog(None)) };
        let partial = path.with_file_name(ACTIVITY_BEGUN);
        let file = File::create(&partial)?;
        steps::taken();
        let writer = LogWriter::new(BufWriter::new(file))?;
        Ok(KeptLog(Some((writer, partial, path.to_owned()))))
    }

    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |(writer, ..)| writer.append(records))
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> io::Result<()> {
        let Some((writer, partial, path)) = self.0 else { return Ok(()) };
        writer.finish()?;
        steps::taken();
        rename(&partial, &path)
    }
}
