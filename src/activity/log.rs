//! The binary file format of the activity log.
//!
//! ```text
//! file  = "THALWEGA" version:u32 block*
//! block = length:u32 crc32:u32 payload[length]      payload = postcard(Vec<Record>)
//! ```
//!
//! All integers are little endian. Invariant: everything written before a truncation reads back
//! unchanged, followed by one error that says at which byte the complete blocks end.

use std::io::{self, Read, Write};

use super::Record;
use super::decode::usual_record;

const MAGIC: &[u8; 8] = b"THALWEGA";
/// Version of the format. Readers reject other versions.
pub(crate) const VERSION: u32 = 4;
/// Maximum size of a block; a larger length is damage, not data. It is small because decoded
/// records take up to eight times the space.
const MAX_BLOCK_BYTES: usize = 3_000_000;
/// Number of records after which the writer starts a new block, and the most that the reader
/// returns at once.
const MAX_RECORDS: usize = 4096;
/// Number of decoded bytes of a block after which the reader returns what it has.
const PIECE_BYTES: usize = 64 << 10;

/// Why a log cannot be read further. Everything before the error has been returned.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file is not an activity log.
    #[error("expected an activity log that begins with 'THALWEGA', found {0:?}")]
    NotALog(String),
    /// Written in another version of the format.
    #[error("expected version {VERSION} of the activity log, found version {0}")]
    Version(u32),
    /// The file is truncated within a block.
    #[error("the log is cut off: its whole blocks end at byte {0}")]
    Truncated(u64),
    /// A block does not match its checksum or cannot be decoded.
    #[error("the block at byte {0} is damaged: {1}")]
    Damaged(u64, String),
    /// An I/O error.
    #[error("reading failed at byte {0}: {1}")]
    Io(u64, io::Error),
}

/// Writes records, one block per call.
#[derive(Debug)]
pub struct LogWriter<W> {
    sink: W,
}

impl<W: Write> LogWriter<W> {
    /// Starts a log in `sink`.
    ///
    /// # Errors
    /// If the sink fails.
    pub fn new(mut sink: W) -> io::Result<LogWriter<W>> {
        sink.write_all(MAGIC)?;
        sink.write_all(&VERSION.to_le_bytes())?;
        Ok(LogWriter { sink })
    }

    /// Appends `records` as one block; nothing is written for an empty slice.
    ///
    /// Blocks stay below the reader's limit however many records come at once.
    ///
    /// # Errors
    /// If the sink fails, or if a single record takes more than 4 MB (its block is not written
    /// then).
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        records.chunks(MAX_RECORDS).try_for_each(|part| self.block(part))
    }

    fn block(&mut self, records: &[Record]) -> io::Result<()> {
        let payload = postcard::to_stdvec(records).map_err(io::Error::other)?;
        if payload.len() > MAX_BLOCK_BYTES {
            if records.len() == 1 {
                let found = payload.len();
                return Err(io::Error::other(format!("expected a record of at most {MAX_BLOCK_BYTES} bytes, found one of {found}")));
            }
            let (first, second) = records.split_at(records.len() / 2);
            self.block(first)?;
            return self.block(second);
        }
        self.sink.write_all(&(payload.len() as u32).to_le_bytes())?;
        self.sink.write_all(&crc32fast::hash(&payload).to_le_bytes())?;
        self.sink.write_all(&payload)
    }

    /// Flushes and returns the sink.
    ///
    /// # Errors
    /// If the sink fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

/// Reads records back: an iterator that ends after the first error.
///
/// It returns a block at once, a large block in pieces, so it never holds more than one block and
/// one decoded piece of it: less than 64 MB, whatever the input.
#[derive(Debug)]
pub struct LogReader<R> {
    source: R,
    position: u64,
    block: Block,
    done: bool,
}

/// The remainder of a block whose checksum was correct.
#[derive(Debug, Default)]
struct Block {
    begin: u64,
    payload: Vec<u8>,
    read: usize,
    /// Number of records still to be decoded.
    records: u64,
}

impl<R: Read> LogReader<R> {
    /// Opens a log.
    ///
    /// # Errors
    /// If the source is not a log of this version.
    pub fn new(mut source: R) -> Result<LogReader<R>, LogError> {
        let mut head = Vec::new();
        source.by_ref().take(12).read_to_end(&mut head).map_err(|e| LogError::Io(0, e))?;
        if head.len() < 8 || &head[..8] != MAGIC {
            return Err(LogError::NotALog(String::from_utf8_lossy(&head[..head.len().min(8)]).into_owned()));
        }
        let version: [u8; 4] = head[8..].try_into().map_err(|_| LogError::Truncated(8))?;
        match u32::from_le_bytes(version) {
            VERSION => Ok(LogReader { source, position: 12, block: Block::default(), done: false }),
            other => Err(LogError::Version(other)),
        }
    }

    /// Reads the next block and checks it; `None` at the end of the log.
    fn read_block(&mut self) -> Result<Option<Block>, LogError> {
        let begin = self.position;
        let mut head = Vec::new();
        self.source.by_ref().take(8).read_to_end(&mut head).map_err(|e| LogError::Io(begin, e))?;
        if head.is_empty() {
            return Ok(None);
        }
        let Ok(head) = <[u8; 8]>::try_from(head) else { return Err(LogError::Truncated(begin)) };
        let length = u32::from_le_bytes(head[..4].try_into().expect("four bytes")) as usize;
        let checksum = u32::from_le_bytes(head[4..].try_into().expect("four bytes"));
        if length > MAX_BLOCK_BYTES {
            return Err(LogError::Damaged(begin, format!("expected at most {MAX_BLOCK_BYTES} bytes, found a length of {length}")));
        }
        let mut payload = Vec::with_capacity(length);
        self.source.by_ref().take(length as u64).read_to_end(&mut payload).map_err(|e| LogError::Io(begin, e))?;
        if payload.len() < length {
            return Err(LogError::Truncated(begin));
        }
        let found = crc32fast::hash(&payload);
        if found != checksum {
            return Err(LogError::Damaged(begin, format!("expected checksum {checksum:08x}, found {found:08x}")));
        }
        self.position += 8 + length as u64;
        let (records, rest) = postcard::take_from_bytes::<u64>(&payload).map_err(|e| LogError::Damaged(begin, e.to_string()))?;
        let read = payload.len() - rest.len();
        Ok(Some(Block { begin, payload, read, records }))
    }

    /// Adds the next records of the block to `out`; whether there were any. Not the whole block at once: a small
    /// block may claim to hold very many records.
    fn piece(&mut self, out: &mut Vec<Record>) -> Result<bool, LogError> {
        let block = &mut self.block;
        out.reserve(usize::try_from(block.records).unwrap_or(usize::MAX).min(MAX_RECORDS));
        let (from, before) = (block.read, out.len());
        while block.records > 0 && out.len() - before < MAX_RECORDS && block.read - from < PIECE_BYTES {
            match decode(&block.payload[block.read..], out) {
                Ok(length) => {
                    block.read += length;
                    block.records -= 1;
                }
                // Records decoded so far are returned first; the next call fails at the same record
                // again.
                Err(_) if out.len() > before => break,
                Err(e) => return Err(LogError::Damaged(block.begin, format!("{e}, {} records before the block's end", block.records))),
            }
        }
        let is_any = out.len() > before;
        if block.records == 0 && block.read < block.payload.len() && !is_any {
            let left = block.payload.len() - block.read;
            return Err(LogError::Damaged(block.begin, format!("expected the block to end with its records, found {left} more bytes")));
        }
        Ok(is_any)
    }

    /// Adds records to `out`, as many as the iterator returns at once; false at the end of the log, and after an error.
    ///
    /// # Errors
    /// If the log cannot be read further.
    pub(crate) fn read_into(&mut self, out: &mut Vec<Record>) -> Result<bool, LogError> {
        let read = if self.done { Ok(false) } else { self.advance(out) };
        self.done = !matches!(read, Ok(true));
        read
    }

    fn advance(&mut self, out: &mut Vec<Record>) -> Result<bool, LogError> {
        while !self.piece(out)? {
            // The old block is freed before the new one is read.
            self.block = Block::default();
            match self.read_block()? {
                Some(block) => self.block = block,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Adds the record that `bytes` begin with to `out`; gives its length.
#[inline]
fn decode(bytes: &[u8], out: &mut Vec<Record>) -> postcard::Result<usize> {
    if let Some(length) = usual_record(bytes, out) {
        return Ok(length);
    }
    let (record, rest) = postcard::take_from_bytes(bytes)?;
    out.push(record);
    Ok(bytes.len() - rest.len())
}

impl<R: Read> Iterator for LogReader<R> {
    type Item = Result<Vec<Record>, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = Vec::new();
        match self.read_into(&mut piece) {
            Ok(true) => Some(Ok(piece)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::activity::BinLoad;
    use crate::id::{InstanceId, OperatorId, WorkerId};
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
        assert_eq!(LogReader::new(&other[..]).unwrap_err().to_string(), "expected version 4 of the activity log, found version 9");
    }

    #[test]
    fn samples_survive() {
        let all = vec![Record::Source { source: InstanceId::new(OperatorId(0), 0), at: Timestamp(5), due: 16.5, emitted: 16 }];
        let bytes = written(std::slice::from_ref(&all));
        let back: Vec<_> = LogReader::new(&bytes[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(back, vec![all]);
    }

    #[test]
    fn a_block_that_says_more_or_less_than_it_holds_is_damage() {
        let block = |payload: &[u8]| {
            let mut bytes = written(&[]);
            bytes.extend((payload.len() as u32).to_le_bytes());
            bytes.extend(crc32fast::hash(payload).to_le_bytes());
            bytes.extend(payload);
            LogReader::new(&bytes[..]).unwrap().map(|piece| piece.map_err(|e| e.to_string())).collect::<Vec<_>>()
        };
        let mut payload = postcard::to_stdvec(&records(2)).unwrap();
        assert_eq!(block(&payload), [Ok(records(2))]);
        payload.push(7);
        let more = "the block at byte 12 is damaged: expected the block to end with its records, found 1 more bytes";
        assert_eq!(block(&payload), [Ok(records(2)), Err(more.to_owned())]);
        payload.pop();
        payload[0] = 100;
        let less = block(&payload);
        assert_eq!(less[0], Ok(records(2)));
        assert!(less[1].as_ref().unwrap_err().contains("98 records before the block's end"), "{less:?}");
        // Two to the 63 bins in a record of twelve bytes.
        let bins = [1, 7, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
        assert!(block(&bins)[0].as_ref().unwrap_err().starts_with("the block at byte 12 is damaged"));
    }

    #[test]
    fn blocks_stay_below_the_limit_however_large_records_are() {
        let load =
            BinLoad { bin: crate::id::BinId(1), arrivals: u64::MAX, useful: std::time::Duration::MAX, keys: u64::MAX, bytes: u64::MAX };
        let bins = |count| Record::Bins { instance: InstanceId::default(), at: Timestamp(1), loads: vec![load; count] };
        let all = vec![bins(40_000); 5];
        let bytes = written(std::slice::from_ref(&all));
        assert!(bytes.len() > MAX_BLOCK_BYTES);
        let back: Vec<Record> = LogReader::new(&bytes[..]).unwrap().flat_map(Result::unwrap).collect();
        assert_eq!(back, all);
        let error = LogWriter::new(Vec::new()).unwrap().append(&[bins(200_000)]).unwrap_err();
        assert!(error.to_string().starts_with("expected a record of at most 3000000 bytes"), "{error}");
    }

    proptest! {
        /// A log truncated anywhere yields a prefix of what was written, then an error with the
        /// position, and never panics.
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
