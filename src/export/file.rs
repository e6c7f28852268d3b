//! A file that gets its final name only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::experiment::partial::partial;

/// A file with a temporary name beside the final one; removed if dropped before it is finished.
pub(super) struct WholeFile {
    path: PathBuf,
    partial: PathBuf,
    /// `None` once it is finished.
    file: Option<BufWriter<File>>,
}

impl WholeFile {
    pub(super) fn create(path: &Path) -> io::Result<WholeFile> {
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if path.file_name().is_none() {
            return Err(io::Error::other("expected the name of a file"));
        }
        let partial = partial(path);
        // A process of the same number may have been killed while it wrote this: in a container
        // numbers come back.
        let file = Some(BufWriter::new(File::create(&partial)?));
        Ok(WholeFile { path: path.to_owned(), partial, file })
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        // An early return drops what is left, which removes the file.
        let Some(file) = &mut self.file else { return Ok(()) };
        file.flush()?;
        fs::rename(&self.partial, &self.path)?;
        self.file = None;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // There is nobody to report to.
            let _ = fs::remove_file(&self.partial);
        }
    }
}
