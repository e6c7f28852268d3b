//! How early what is still to come of a file may be, for formats whose events come in any order: the file is read twice, first only
//! for its times.
//!
//! Nearly all writers put events nearly in order. So that windows can close before the end of the file, and no more is held than is
//! out of order, the least time of everything behind each place of the file is found before it is read.
//!
//! Invariant: a number that cannot be read in passing counts as 0, which holds everything up to it back.

// Looked up by id, never walked.
#![allow(clippy::disallowed_types)]

use std::io::{self, ErrorKind, Read};

use memchr::memmem::Finder;
use rustc_hash::FxHashMap;

/// Times are known for stretches of this many bytes.
const STRETCH: usize = 1 << 20;
/// A key and its number fit in this many bytes.
const MOST_BYTES: usize = 128;

/// The least number behind places of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Horizon {
    /// By stretch, the least number that begins in it or behind it.
    least: Vec<u64>,
}

/// Where in a file things are last named.
#[derive(Clone, Debug, Default)]
pub(super) struct LastPlaces {
    /// By what is left of their ids, the stretch.
    stretches: FxHashMap<u64, u32>,
}

impl LastPlaces {
    fn see(&mut self, id: u128, stretch: u32) {
        self.stretches.insert(LastPlaces::key(id), stretch);
    }

    /// The stretch in which an id is last named, or a later one.
    pub(super) fn of(&self, id: u128) -> Option<u64> {
        self.stretches.get(&LastPlaces::key(id)).map(|&stretch| stretch.into())
    }

    /// What two ids have in common is taken for one of them, which is there as long as either is.
    fn key(id: u128) -> u64 {
        (id >> 64) as u64 ^ id as u64
    }
}

impl Horizon {
    /// Reads a file for the numbers of `key`, which is quoted.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn of(content: impl Read, key: &str) -> io::Result<Horizon> {
        let finder = Finder::new(key.as_bytes());
        let mut least: Vec<u64> = Vec::new();
        stretches(content, |chunk| {
            let begins = finder.find_iter(chunk).take_while(|&at| at < STRETCH);
            least.push(begins.map(|at| number(&chunk[at + key.len()..])).min().unwrap_or(u64::MAX));
        })?;
        Ok(Horizon::behind(least))
    }

    /// The same, and where the ids of another key are last named.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn with_last(content: impl Read, [key, named]: [&str; 2]) -> io::Result<(Horizon, LastPlaces)> {
        let (numbers, ids) = (Finder::new(key.as_bytes()), Finder::new(named.as_bytes()));
        let (mut least, mut last): (Vec<u64>, LastPlaces) = Default::default();
        stretches(content, |chunk| {
            let begins = numbers.find_iter(chunk).take_while(|&at| at < STRETCH);
            for at in ids.find_iter(chunk).take_while(|&at| at < STRETCH) {
                last.see(id(&chunk[at + named.len()..]), least.len() as u32);
            }
            least.push(begins.map(|at| number(&chunk[at + key.len()..])).min().unwrap_or(u64::MAX));
        })?;
        Ok((Horizon::behind(least), last))
    }

    fn behind(mut least: Vec<u64>) -> Horizon {
        for at in (1..least.len()).rev() {
            least[at - 1] = least[at - 1].min(least[at]);
        }
        Horizon { least }
    }

    /// The least number of the file; `u64::MAX` if there is none.
    pub(super) fn first(&self) -> u64 {
        self.least.first().copied().unwrap_or(u64::MAX)
    }

    /// Number of the stretch of a place in the file.
    pub(super) fn stretch(at: u64) -> u64 {
        at / STRETCH as u64
    }

    /// What no number from the beginning of a stretch on is less than; `u64::MAX` if there is none, nothing of what was not read.
    pub(super) fn from(&self, stretch: u64) -> Option<u64> {
        self.least.get(usize::try_from(stretch).ok()?).copied()
    }
}

/// Reads a file stretch by stretch, each with the first bytes of the next.
fn stretches(mut content: impl Read, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut bytes, mut filled, mut is_end) = (vec![0; STRETCH + MOST_BYTES], 0, false);
    while !is_end {
        while filled < bytes.len() && !is_end {
            match content.read(&mut bytes[filled..]) {
                Ok(0) => is_end = true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        each(&bytes[..filled]);
        // What is left at the end of the file is a stretch of its own.
        let rest = filled.saturating_sub(STRETCH);
        is_end &= rest == 0;
        bytes.copy_within(filled - rest..filled, 0);
        filled = rest;
    }
    Ok(())
}

/// What separates a key from its value.
fn gap(bytes: &[u8]) -> usize {
    let is_gap = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b':' | b'"');
    bytes.iter().take(MOST_BYTES / 4).take_while(is_gap).count()
}

/// The id of hexadecimal digits behind a key and its colon; 0 of any other.
fn id(bytes: &[u8]) -> u128 {
    let text = &bytes[gap(bytes)..];
    let digits = text.iter().take(33).take_while(|byte| byte.is_ascii_hexdigit()).count();
    std::str::from_utf8(&text[..digits]).ok().and_then(|digits| u128::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// The whole part of the number behind a key and its colon.
fn number(bytes: &[u8]) -> u64 {
    let begin = gap(bytes);
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(&bytes[begin..]);
    let mut rest = &bytes[begin + whole..];
    if let [b'.', decimals @ ..] = rest {
        rest = &decimals[digits(decimals)..];
    }
    // An exponent may make it less.
    if matches!(rest.first(), Some(b'e' | b'E')) {
        return 0;
    }
    std::str::from_utf8(&bytes[begin..begin + whole]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written_or_hold_everything_back() {
        let cases = [
            (": 12,", 12),
            (":7.9}", 7),
            (":\"300\"", 300),
            (" : 5 ", 5),
            (":-3", 0),
            (":12e-1", 0),
            (":1.5E3", 0),
            (":null", 0),
            (":99999999999999999999", 0),
            ("", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_least_number_behind_a_place_is_known_wherever_stretches_end() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..20 {
            let (mut text, mut numbers) = (String::new(), Vec::new());
            while text.len() < 3 * STRETCH - 40 * round {
                let number = numbers.len() as u64 * 10 + random.u64(0..2000);
                numbers.push((text.len() as u64, number));
                text.push_str(&format!("{{\"ts\": {number}, \"x\": \"{}\"}},", "-".repeat(random.usize(0..3000))));
            }
            let horizon = Horizon::of(text.as_bytes(), "\"ts\"").unwrap();
            let stretches = Horizon::stretch(text.len() as u64 - 1) + 1;
            for stretch in 0..stretches {
                let behind = numbers.iter().filter(|(at, _)| Horizon::stretch(*at + 1) >= stretch).map(|(_, number)| *number);
                assert_eq!(horizon.from(stretch), Some(behind.min().unwrap_or(u64::MAX)), "{round} {stretch}");
            }
            assert_eq!(horizon.from(stretches), None);
        }
    }
}
