//! The binary file format of the activity log.
//!
//! ```text
//! file  = "THALWEGA" version:u32 block*
//! block = length:u32 crc32:u32 payload[length]      payload = postcard(Vec<Record>)
//! ```
//!
//! All integers little endian. Invariant: whatever was written before a cut reads back as it was, followed by one error
//! that says at which byte the whole blocks ended.

use std::io::{self, Read, Write};

use super::Record;

const MAGIC: &[u8; 8] = b"THALWEGA";
/// Version of the format. Readers refuse others.
const VERSION: u32 = 2;
/// No block is larger; a larger length is damage, not data.
const MAX_BLOCK_BYTES: u32 = 64 << 20;

/// Why a log cannot be read further. Everything before has been given out.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file does not begin as one of ours.
    #[error("expected an activity log that begins with 'THALWEGA', found {0:?}")]
    NotALog(String),
    /// Written by another version.
    #[error("expected version {VERSION} of the activity log, found version {0}")]
    Version(u32),
    /// The file ends inside a block.
    #[error("the log is cut off: its whole blocks end at byte {0}")]
    Truncated(u64),
    /// A block does not match its checksum or cannot be decoded.
    #[error("the block at byte {0} is damaged: {1}")]
    Damaged(u64, String),
    /// The system failed to read.
    #[error("reading failed at byte {0}: {1}")]
    Io(u64, io::Error),
}

/// Writes records, one block a call.
#[derive(Debug)]
pub struct LogWriter<W> {
    sink: W,
}

impl<W: Write> LogWriter<W> {
    /// Begins a log in `sink`.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn new(mut sink: W) -> io::Result<LogWriter<W>> {
        sink.write_all(MAGIC)?;
        sink.write_all(&VERSION.to_le_bytes())?;
        Ok(LogWriter { sink })
    }

    /// Appends `records` as one block; nothing is written for an empty slice.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        // A block stays far below the reader's limit however many records come at once.
        for part in records.chunks(4096) {
            let payload = postcard::to_stdvec(part).map_err(io::Error::other)?;
            self.sink.write_all(&(payload.len() as u32).to_le_bytes())?;
            self.sink.write_all(&crc32fast::hash(&payload).to_le_bytes())?;
            self.sink.write_all(&payload)?;
        }
        Ok(())
    }

    /// Flushes and gives the sink back.
    ///
    /// # Errors
    /// When the sink fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

/// Reads records back, block by block: an iterator that ends after the first error.
#[derive(Debug)]
pub struct LogReader<R> {
    source: R,
    position: u64,
    done: bool,
}

impl<R: Read> LogReader<R> {
    /// Opens a log.
    ///
    /// # Errors
    /// When the source is no log of this version.
    pub fn new(mut source: R) -> Result<LogReader<R>, LogError> {
        let mut head = Vec::new();
        source.by_ref().take(12).read_to_end(&mut head).map_err(|e| LogError::Io(0, e))?;
        if head.len() < 8 || &head[..8] != MAGIC {
            return Err(LogError::NotALog(String::from_utf8_lossy(&head[..head.len().min(8)]).into_owned()));
        }
        let version: [u8; 4] = head[8..].try_into().map_err(|_| LogError::Truncated(8))?;
        match u32::from_le_bytes(version) {
            VERSION => Ok(LogReader { source, position: 12, done: false }),
            other => Err(LogError::Version(other)),
        }
    }

    fn block(&mut self) -> Result<Option<Vec<Record>>, LogError> {
        let begin = self.position;
        let mut head = Vec::new();
        self.source.by_ref().take(8).read_to_end(&mut head).map_err(|e| LogError::Io(begin, e))?;
        if head.is_empty() {
            return Ok(None);
        }
        let Ok(head) = <[u8; 8]>::try_from(head) else { return Err(LogError::Truncated(begin)) };
        let length = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
        let checksum = u32::from_le_bytes(head[4..].try_into().expect("four bytes"));
        if length > MAX_BLOCK_BYTES {
            return Err(LogError::Damaged(begin, format!("expected at most {MAX_BLOCK_BYTES} bytes, found a length of {length}")));
        }
        let mut payload = Vec::new();
        self.source.by_ref().take(u64::from(length)).read_to_end(&mut payload).map_err(|e| LogError::Io(begin, e))?;
        if payload.len() < length as usize {
            return Err(LogError::Truncated(begin));
        }
        let found = crc32fast::hash(&payload);
        if found != checksum {
            return Err(LogError::Damaged(begin, format!("expected checksum {checksum:08x}, found {found:08x}")));
        }
        self.position += 8 + u64::from(length);
        postcard::from_bytes(&payload).map(Some).map_err(|e| LogError::Damaged(begin, e.to_string()))
    }
}

impl<R: Read> Iterator for LogReader<R> {
    type Item = Result<Vec<Record>, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.block().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{OperatorId, WorkerId};
    use crate::time::{Epoch, Timestamp};

    fn records(count: u64) -> Vec<Record> {
        (0..count).map(|n| Record::EpochCompleted { at: Timestamp(n * 1000), worker: WorkerId(0), epoch: Epoch(n) }).collect()
    }

    fn written(blocks: &[Vec<Record>]) -> Vec<u8> {
        let mut writer = LogWriter::new(Vec::new()).unwrap();
        for block in blocks {
            writer.append(block).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_not_a_log_is_named() {
        let error = LogReader::new(&b"{\"json\":1}"[..]).unwrap_err();
        assert!(error.to_string().contains("found \"{\\\"json\\\":\""), "{error}");
        let mut other = written(&[]);
        other[8] = 9;
        assert_eq!(LogReader::new(&other[..]).unwrap_err().to_string(), "expected version 2 of the activity log, found version 9");
    }

    #[test]
    fn samples_survive() {
        let all = vec![Record::Source { source: OperatorId(0), at: Timestamp(5), due: 16.5, emitted: 16 }];
        let bytes = written(std::slice::from_ref(&all));
        let back: Vec<_> = LogReader::new(&bytes[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(back, vec![all]);
    }

    proptest! {
        /// A log cut anywhere gives a prefix of what was written, then says where it ended, and never panics.
        #[test]
        fn a_cut_log_gives_a_correct_prefix(sizes in prop::collection::vec(1u64..50, 1..6), cut in 0.0f64..1.0, flip in any::<Option<u16>>()) {
            let blocks: Vec<_> = sizes.iter().map(|&n| records(n)).collect();
            let mut bytes = written(&blocks);
            let keep = (bytes.len() as f64 * cut) as usize;
            bytes.truncate(keep);
            if let Some(at) = flip && !bytes.is_empty() {
                let at = at as usize % bytes.len();
                bytes[at] ^= 0x10;
            }
            if let Ok(reader) = LogReader::new(&bytes[..]) {
                let mut whole = 0;
                for block in reader {
                    match block {
                        Ok(block) => { prop_assert_eq!(&block, &blocks[whole]); whole += 1; }
                        Err(error) => prop_assert!(error.to_string().contains("byte"), "{}", error),
                    }
                }
                prop_assert!(whole <= blocks.len());
            }
        }
    }
}
