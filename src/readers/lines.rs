//! Reads a text line by line, in bounded memory.
//!
//! Invariant: no more than the limit of a line is ever held, however long it is.

use std::io::BufRead;

use super::error::{Damage, Place};

/// A line, as returned by [`Lines::next`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// Its bytes without the line ending.
    Whole(&'l [u8]),
    /// It was longer than the limit and was skipped.
    TooLong,
}

/// Reads lines of at most `limit` bytes.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    limit: usize,
    number: u64,
    line: Vec<u8>,
    /// The line returned last was followed by the end of a line, not of the file.
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R, limit: usize) -> Lines<R> {
        Lines { source, limit, number: 0, line: Vec::new(), ended: false }
    }

    /// Place of the line returned last.
    pub(super) fn place(&self) -> Place {
        Place::Line(self.number)
    }

    /// Whether the line returned last was followed by a line ending.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Hands the line returned last out, so that it is not copied; its memory is to be [given back](Self::give_back).
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }

    /// Takes the memory of a line back for the lines to come.
    pub(super) fn give_back(&mut self, line: Vec<u8>) {
        self.line = line;
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// On an I/O error.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, Damage> {
        self.line.clear();
        self.number += 1;
        let (mut any, mut too_long) = (false, false);
        loop {
            let chunk = match self.source.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Damage::Io(Place::Line(self.number), e)),
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            too_long |= self.line.len() + part.len() > self.limit;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.source.consume(used);
            self.ended = end.is_some();
            if self.ended {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(Some(if too_long { Line::TooLong } else { Line::Whole(&self.line) }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_come_whole_or_are_skipped() {
        // A buffer smaller than a line, so that lines are put together.
        let mut lines = Lines::new(BufReader::with_capacity(3, &b"one\r\ntwelve\n\nfive5\nend"[..]), 5);
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"one")));
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"")));
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"five5")));
        assert!(lines.is_ended());
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"end")));
        assert_eq!((lines.place(), lines.is_ended()), (Place::Line(5), false));
        assert_eq!(lines.next().unwrap(), None);
    }
}
