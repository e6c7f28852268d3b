//! Unpacks the format that Spark writes as lz4: blocks, each with a header of its own, as of Java's
//! `LZ4BlockOutputStream`; not lz4's frames.
//!
//! A header: `LZ4Block`; a byte whose upper half says how the block is packed and whose lower half how
//! long one may be (2^10 bytes for 0, twice as much for each step); three numbers, lowest byte first:
//! length, length when unpacked, and checksum. A block of no length ends a stream; another may follow.
//!
//! Invariant: at most one block is held, of at most 32 MiB.

use std::io::{self, BufRead, Read};

use twox_hash::XxHash32;

/// What a block begins with.
pub(super) const MAGIC: &[u8; 8] = b"LZ4Block";
const HEADER: usize = MAGIC.len() + 1 + 3 * 4;
const STORED: u8 = 0x10;
const PACKED: u8 = 0x20;
/// What Java's checksums start from, and those of their bits that are kept.
const SEED: u32 = 0x9747_b28c;
const KEPT: u32 = 0x0fff_ffff;
/// A packed byte stands for at most this many.
const MOST_RATIO: usize = 256;

/// The content of a file of blocks.
pub(super) struct Lz4Blocks<R> {
    source: R,
    packed: Vec<u8>,
    block: Vec<u8>,
    /// How much of the block has been given.
    given: usize,
    /// Whether the last block was the end of a stream.
    is_ended: bool,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged lz4 data: {what}"))
}

impl<R: BufRead> Lz4Blocks<R> {
    pub(super) fn new(source: R) -> Lz4Blocks<R> {
        Lz4Blocks { source, packed: Vec::new(), block: Vec::new(), given: 0, is_ended: false }
    }

    /// Unpacks the next block; false at the end of the file, which must be that of a stream.
    fn next(&mut self) -> io::Result<bool> {
        if self.source.fill_buf()?.is_empty() {
            return if self.is_ended { Ok(false) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let mut header = [0; HEADER];
        self.source.read_exact(&mut header)?;
        let Some(rest) = header.strip_prefix(MAGIC) else { return Err(damaged("a block does not begin where it should")) };
        let number = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let (how, most) = (rest[0] & 0xf0, 1usize << (10 + (rest[0] & 0x0f)));
        let (packed, length, checksum) = (number(1) as usize, number(5) as usize, number(9));
        if packed > length || length > most || length > packed.saturating_mul(MOST_RATIO) {
            return Err(damaged("the length of a block is impossible"));
        }
        self.packed.clear();
        if self.source.by_ref().take(packed as u64).read_to_end(&mut self.packed)? < packed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (self.given, self.is_ended) = (0, length == 0);
        match how {
            STORED if packed == length => std::mem::swap(&mut self.packed, &mut self.block),
            PACKED => {
                self.block.clear();
                self.block.resize(length, 0);
                if lz4_flex::block::decompress_into(&self.packed, &mut self.block).ok() != Some(length) {
                    return Err(damaged("a block cannot be unpacked"));
                }
            }
            _ => return Err(damaged("a block is packed in an unknown way")),
        }
        if length > 0 && XxHash32::oneshot(SEED, &self.block) & KEPT != checksum {
            return Err(damaged("the checksum of a block is wrong"));
        }
        Ok(true)
    }
}

impl<R: BufRead> Read for Lz4Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.block.len() && !buffer.is_empty() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let read = buffer.len().min(self.block.len() - self.given);
        buffer[..read].copy_from_slice(&self.block[self.given..self.given + read]);
        self.given += read;
        Ok(read)
    }
}

/// Packs `content` as Spark would, in blocks of 32 KiB.
#[cfg(test)]
pub(super) fn packed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = |content: &[u8]| {
        let packed = lz4_flex::block::compress(content);
        let (how, bytes) = if packed.len() < content.len() { (PACKED, &packed[..]) } else { (STORED, content) };
        out.extend(MAGIC);
        out.push(how | 5);
        let checksum = if content.is_empty() { 0 } else { XxHash32::oneshot(SEED, content) & KEPT };
        [bytes.len() as u32, content.len() as u32, checksum].iter().for_each(|number| out.extend(number.to_le_bytes()));
        out.extend(bytes);
    };
    content.chunks(32 << 10).for_each(&mut block);
    block(&[]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        Lz4Blocks::new(bytes).read_to_end(&mut found).map(|_| found)
    }

    /// As Java writes it, worked out by hand: "a" 20 times is the letter, then 14 more copied from one before, then five letters.
    #[test]
    fn a_block_that_was_packed_elsewhere_is_unpacked() {
        let content = b"aaaaaaaaaaaaaaaaaaaa";
        let block = [0x1a, b'a', 1, 0, 0x50, b'a', b'a', b'a', b'a', b'a'];
        let checksum = XxHash32::oneshot(SEED, content) & KEPT;
        let end = [&MAGIC[..], &[0x15], &[0; 12]].concat();
        let bytes = [&MAGIC[..], &[0x25], &10u32.to_le_bytes(), &20u32.to_le_bytes(), &checksum.to_le_bytes(), &block, &end].concat();
        assert_eq!(read(&bytes).unwrap(), content);
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let content: Vec<u8> = (0..40_000u32).flat_map(|number| (number % 777).to_le_bytes()).collect();
        let sound = packed(&content);
        assert_eq!(read(&sound).unwrap(), content);
        for at in (0..sound.len() - HEADER).step_by(7).chain(0..HEADER) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x41;
            assert!(read(&bytes).is_err(), "byte {at}");
        }
        for cut in [1, HEADER, HEADER + 1] {
            assert_eq!(read(&sound[..sound.len() - cut]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
    }
}
