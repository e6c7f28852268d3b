//! Spark's rolled event logs: a folder `eventlog_v2_<application>` of files `events_<n>_<application>`,
//! each compressed on its own, which together are one log.
//!
//! Spark 4 writes them by default. A file that ends in `.compact` stands for itself and all before
//! it. Lines are counted over all files; [`Parts`] tells which line of which file each is.
//! Invariant: one file is open at a time.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::packed::{CutOff, unpacked};
use super::parts::Parts;

/// The content of the files in order.
pub(super) struct Rolled {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<(Box<dyn Read + Send>, CutOff)>,
    /// The last byte that was read.
    last: u8,
    /// The line that is read next, from 1, over all files.
    line: u64,
    parts: Parts,
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
            files.extend(number(&path).map(|number| (number, path)));
        }
        if files.is_empty() {
            return Ok(None);
        }
        files.sort();
        let is_compact = |(_, path): &(u64, PathBuf)| path.extension().is_some_and(|extension| extension == "compact");
        let compact = files.iter().rposition(is_compact);
        let files = files.split_off(compact.unwrap_or(0));
        let parts = Parts::default();
        let mut due = compact.map_or(1, |_| files[0].0);
        for (number, _) in &files {
            missing(due, *number).into_iter().for_each(|note| parts.note(note));
            due = number.saturating_add(1);
        }
        let files = files.into_iter().map(|(_, path)| path).collect::<Vec<_>>().into_iter();
        Ok(Some(Rolled { files, open: None, last: b'\n', line: 1, parts }))
    }

    /// What becomes known of the files while they are read.
    pub(super) fn parts(&self) -> Parts {
        self.parts.clone()
    }

    /// The file that was open has ended.
    fn ends(&mut self, cut_off: &CutOff) {
        let is_cut_off = cut_off.load(Ordering::Relaxed);
        let is_last = self.files.len() == 0;
        if is_cut_off && is_last {
            self.parts.note_of_last("the compressed data ends too early: it was still being written");
        } else if is_cut_off {
            self.parts.note_of_last("the compressed data ends too early, though further files follow: the rest of it is missing");
        }
        if self.last != b'\n' && !is_last {
            self.parts.cut_off(self.line);
        }
    }
}

/// The number of a file of a log.
fn number(path: &Path) -> Option<u64> {
    let (number, _) = path.file_name()?.to_str()?.strip_prefix("events_")?.split_once('_')?;
    number.parse().ok()
}

/// What to say of the files from number `due` on that are missing before number `found`.
fn missing(due: u64, found: u64) -> Option<String> {
    match found.checked_sub(due)? {
        0 => None,
        1 => Some(format!("file events_{due}_… of the log is missing")),
        _ => Some(format!("files events_{due}_… to events_{}_… of the log are missing", found - 1)),
    }
}

impl Read for Rolled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some((content, _)) = &mut self.open {
                let read = content.read(buffer)?;
                if let Some(&last) = buffer[..read].last() {
                    self.last = last;
                    self.line += buffer[..read].iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
                    return Ok(read);
                }
            }
            if let Some((_, cut_off)) = self.open.take() {
                self.ends(&cut_off);
            }
            if self.last != b'\n' && self.files.len() > 0 {
                // A line that was cut off does not go on in the next file.
                (buffer[0], self.last) = (b'\n', b'\n');
                self.line += 1;
                return Ok(1);
            }
            let Some(next) = self.files.next() else { return Ok(0) };
            self.parts.begin(next.clone(), self.line);
            self.open = Some(File::open(&next).and_then(|file| unpacked(Box::new(file)))?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::{Damage, Place, ReadError};
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, content)| std::fs::write(folder.path().join(name), content).unwrap());
        folder
    }

    fn read(folder: &tempfile::TempDir) -> (String, Parts) {
        let mut text = String::new();
        let mut rolled = Rolled::open(folder.path()).unwrap().unwrap();
        rolled.read_to_string(&mut text).unwrap();
        (text, rolled.parts())
    }

    #[test]
    fn files_are_read_in_order_from_the_last_compact_one_on() {
        assert!(Rolled::open(folder(&[]).path()).unwrap().is_none());
        let files = [("events_10_a", "c\n"), ("events_2_a", "b, cut"), ("events_1_a", "a\n"), ("appstatus_a", ""), ("events_x_a", "?")];
        let folder = folder(&files);
        assert_eq!(read(&folder).0, "a\nb, cut\nc\n");
        std::fs::write(folder.path().join("events_2_a.compact"), "1 and 2\n").unwrap();
        assert_eq!(read(&folder).0, "1 and 2\nc\n");
    }

    #[test]
    fn files_that_are_missing_are_told() {
        let notes = |names: &[&str]| read(&folder(&names.iter().map(|&name| (name, "a\n")).collect::<Vec<_>>())).1.notes();
        assert!(notes(&["events_1_a", "events_2_a", "events_3_a"]).is_empty());
        assert!(notes(&["events_3_a", "events_4_a.compact", "events_5_a"]).is_empty());
        assert_eq!(notes(&["events_2_a", "events_3_a"]), ["file events_1_… of the log is missing"]);
        assert_eq!(notes(&["events_1_a", "events_5_a"]), ["files events_2_… to events_4_… of the log are missing"]);
        assert_eq!(notes(&["events_1_a", "events_4_a.compact", "events_6_a"]), ["file events_5_… of the log is missing"]);
    }

    #[test]
    fn a_line_is_of_its_file_and_a_file_that_is_cut_off_is_told() {
        let folder = folder(&[("events_1_a", "a\nb\n"), ("events_2_a", "c\nd, cut"), ("events_3_a", "e\n")]);
        let (_, parts) = read(&folder);
        let place = |line| match parts.error(Damage::new(Place::Line(line), "", ""), folder.path().to_owned()) {
            ReadError::Damaged { file, place, .. } => (file.file_name().unwrap().to_str().unwrap().to_owned(), place),
            other => panic!("{other}"),
        };
        let expected = [("events_1_a", 1), ("events_1_a", 2), ("events_2_a", 1), ("events_2_a", 2), ("events_3_a", 1)];
        assert_eq!([1, 2, 3, 4, 5].map(place), expected.map(|(name, line)| (name.to_owned(), Place::Line(line))));
        assert_eq!([3, 4, 5].map(|line| parts.is_cut_off(Place::Line(line))), [false, true, false]);
        assert_eq!(parts.notes(), ["events_2_a: the last line does not end, though further files follow"]);
    }
}
