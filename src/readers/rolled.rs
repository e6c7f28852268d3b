//! Spark's rolled event logs: a folder `eventlog_v2_<application>` of files `events_<n>_<application>`,
//! each compressed on its own, which together are one log.
//!
//! Spark 4 writes them by default. A file that ends in `.compact` stands for itself and all before
//! it. Lines of an error are counted over all files. Invariant: one file is open at a time.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::packed::unpacked;

/// The content of the files in order.
pub(super) struct Rolled {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<Box<dyn Read + Send>>,
    /// The last byte that was read.
    last: u8,
}

impl Rolled {
    /// The log in `folder`; nothing if the folder holds none.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn open(folder: &Path) -> io::Result<Option<Rolled>> {
        let mut files: Vec<(u64, PathBuf)> = Vec::new();
        for entry in folder.read_dir()? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("events_").and_then(|rest| rest.split_once('_')).and_then(|(number, _)| number.parse().ok());
            if let Some(number) = number {
                files.push((number, path));
            }
        }
        if files.is_empty() {
            return Ok(None);
        }
        files.sort();
        let is_compact = |(_, path): &(u64, PathBuf)| path.extension().is_some_and(|extension| extension == "compact");
        let first = files.iter().rposition(is_compact).unwrap_or(0);
        let files = files.split_off(first).into_iter().map(|(_, path)| path).collect::<Vec<_>>().into_iter();
        Ok(Some(Rolled { files, open: None, last: b'\n' }))
    }
}

impl Read for Rolled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(content) = &mut self.open {
                let read = content.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    self.last = buffer[..read].last().copied().unwrap_or(self.last);
                    return Ok(read);
                }
                self.open = None;
            }
            let Some(next) = self.files.next() else { return Ok(0) };
            let opened = File::open(&next).and_then(|file| unpacked(Box::new(file)));
            let (content, _) = opened.map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", next.display())))?;
            self.open = Some(content);
            if self.last != b'\n' && !buffer.is_empty() {
                // A line that was cut off does not go on in the next file.
                (buffer[0], self.last) = (b'\n', b'\n');
                return Ok(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_in_order_from_the_last_compact_one_on() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
        assert!(Rolled::open(folder.path()).unwrap().is_none());
        for (name, content) in
            [("events_10_a", "c\n"), ("events_2_a", "b, cut"), ("events_1_a", "a\n"), ("appstatus_a", ""), ("events_x_a", "?")]
        {
            write(name, content);
        }
        let read = || {
            let mut text = String::new();
            Rolled::open(folder.path()).unwrap().unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(read(), "a\nb, cut\nc\n");
        write("events_2_a.compact", "1 and 2\n");
        assert_eq!(read(), "1 and 2\nc\n");
    }
}
