//! Unpacks files that were compressed with gzip, zstd or lz4, which it detects from their first bytes.
//!
//! Invariant: memory does not depend on the length of the file. A file that ends within its
//! compressed data, as one that is still being written does, ends there without an error and is told
//! of.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::lz4_blocks::{self, Lz4Blocks};

type Source = Box<dyn Read + Send>;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Whether a file ended within its compressed data.
pub(super) type CutOff = Arc<AtomicBool>;

/// The content of `source`, unpacked if it is compressed.
///
/// # Errors
/// If its first bytes cannot be read.
pub(super) fn unpacked(mut source: Source) -> io::Result<(Source, CutOff)> {
    let mut head = Vec::new();
    source.by_ref().take(lz4_blocks::MAGIC.len() as u64).read_to_end(&mut head)?;
    let is = |magic: &[u8]| head.starts_with(magic);
    let (is_gzip, is_zstd, is_lz4, is_lz4_blocks) = (is(&GZIP), is(&ZSTD), is(&LZ4), is(lz4_blocks::MAGIC));
    let cut_off = CutOff::default();
    let whole: Source = Box::new(Cursor::new(head).chain(source));
    if !is_gzip && !is_zstd && !is_lz4 && !is_lz4_blocks {
        return Ok((whole, cut_off));
    }
    let packed = BufReader::with_capacity(64 << 10, Watched { source: whole, is_at_end: Arc::default() });
    let is_at_end = Arc::clone(&packed.get_ref().is_at_end);
    let content: Source = if is_gzip {
        Box::new(MultiGzDecoder::new(packed))
    } else if is_zstd {
        Box::new(Frames { at: At::Between(packed) })
    } else if is_lz4 {
        Box::new(Lz4Frames { frame: FrameDecoder::new(packed), is_over: false })
    } else {
        Box::new(Lz4Blocks::new(packed))
    };
    Ok((Box::new(Unpacked { content, is_at_end, cut_off: Arc::clone(&cut_off) }), cut_off))
}

/// Notices when its source has ended.
struct Watched {
    source: Source,
    is_at_end: Arc<AtomicBool>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.is_at_end.store(true, Ordering::Relaxed);
        }
        Ok(read)
    }
}

/// Unpacked content, which ends where the file does.
struct Unpacked {
    content: Source,
    is_at_end: Arc<AtomicBool>,
    cut_off: CutOff,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cut_off.load(Ordering::Relaxed) {
            return Ok(0);
        }
        match self.content.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted && self.is_at_end.load(Ordering::Relaxed) => {
                self.cut_off.store(true, Ordering::Relaxed);
                Ok(0)
            }
            read => read,
        }
    }
}

type Packed = BufReader<Watched>;

/// The frames of a file compressed with zstd, one after the other.
struct Frames {
    at: At,
}

enum At {
    Between(Packed),
    Within(Box<StreamingDecoder<Packed, ruzstd::decoding::FrameDecoder>>),
    End,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.at, At::End) {
                At::Between(mut packed) => {
                    if packed.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    self.at = At::Within(Box::new(StreamingDecoder::new(packed).map_err(io::Error::other)?));
                }
                At::Within(mut frame) => {
                    let read = frame.read(buffer)?;
                    if read > 0 || buffer.is_empty() {
                        self.at = At::Within(frame);
                        return Ok(read);
                    }
                    self.at = At::Between(frame.into_inner());
                }
                At::End => return Ok(0),
            }
        }
    }
}

/// The frames of a file compressed with lz4, one after the other.
struct Lz4Frames {
    frame: FrameDecoder<Packed>,
    is_over: bool,
}

impl Read for Lz4Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_over {
            let read = self.frame.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            // The frame is over; its end is not looked for beyond the file.
            let packed = self.frame.get_mut();
            if packed.get_ref().is_at_end.load(Ordering::Relaxed) {
                self.is_over = true;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.is_over = packed.fill_buf()?.is_empty();
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> (io::Result<Vec<u8>>, bool) {
        let (mut content, cut_off) = unpacked(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
        let mut found = Vec::new();
        let read = content.read_to_end(&mut found).map(|_| found);
        (read, cut_off.load(Ordering::Relaxed))
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn lz4(content: &[u8]) -> Vec<u8> {
        let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn content_comes_out_as_it_went_in() {
        let content: Vec<u8> = (0..200_000u32).flat_map(|number| (number % 1000).to_le_bytes()).collect();
        for packed in [content.clone(), gzip(&content), zstd(&content), lz4(&content), lz4_blocks::packed(&content)] {
            let (found, cut_off) = read(&packed);
            assert!(found.unwrap() == content && !cut_off);
        }
        // Several in a row are one.
        for pack in [gzip, zstd, lz4, lz4_blocks::packed] {
            assert_eq!(read(&[pack(b"one "), pack(b"two")].concat()).0.unwrap(), b"one two");
        }
        assert_eq!(read(b"").0.unwrap(), b"");
        assert_eq!(read(b"\x1f").0.unwrap(), b"\x1f");
    }

    #[test]
    fn a_file_that_ends_early_ends_there_and_damage_is_an_error() {
        let content: Vec<u8> = (0..100_000u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
        for packed in [gzip(&content), zstd(&content), lz4(&content), lz4_blocks::packed(&content)] {
            let (found, cut_off) = read(&packed[..packed.len() * 2 / 3]);
            let found = found.unwrap();
            assert!(cut_off && found.len() > content.len() / 4 && content.starts_with(&found), "{}", found.len());
            let mut damaged = packed.clone();
            let middle = packed.len() / 2;
            damaged[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
            let (found, cut_off) = read(&damaged);
            assert!(found.is_err() || found.unwrap() != content || cut_off);
        }
    }

    #[test]
    fn an_early_end_is_noticed_wherever_it_is() {
        let content: Vec<u8> = (0..20_000u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
        for packed in [gzip(&content), zstd(&content), lz4(&content), lz4_blocks::packed(&content)] {
            let length = packed.len();
            for cut in (length - 8..length).chain((0..length).step_by(9973).skip(1)) {
                let (found, cut_off) = read(&packed[..cut]);
                assert!(cut_off && content.starts_with(&found.unwrap()), "{cut} of {length}");
            }
        }
    }
}
