//! How early what is still to come of a file may be, for formats whose events come in any order: the file is read twice, first only
//! for its times.
//!
//! Nearly all writers put events nearly in order. So that windows can close before the end of the file, and no more is held than is
//! out of order, the least time of everything behind each place of the file is found before it is read.
//!
//! Invariant: a number that cannot be read in passing counts as 0, which holds everything up to it back. Numbers are found by their
//! keys alone; what is told too early because of a document that is odd is counted as late by those who take it.

// Looked up by id, never walked.
#![allow(clippy::disallowed_types)]

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use memchr::memmem::Finder;
use rustc_hash::FxHashMap;

/// Times are known for stretches of this many bytes.
const STRETCH: usize = 1 << 20;
/// Bytes before and behind a stretch that are looked at with it.
const AROUND: usize = 1 << 13;
/// Bytes of what separates a key from its number.
const MOST_GAP: usize = 32;

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
        Horizon::of_those(content, key, |_| true)
    }

    /// The same of the objects of which `is_read` holds, which is only asked of those on which something depends; objects of which not
    /// everything is at hand are among them.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn of_those(content: impl Read, key: &str, is_read: impl Fn(&[u8]) -> bool) -> io::Result<Horizon> {
        let finder = Finder::new(key.as_bytes());
        let (mut least, mut latest): (Vec<u64>, u64) = Default::default();
        stretches(content, |bytes, stretch| {
            let mut of_stretch = u64::MAX;
            for at in finder.find_iter(&bytes[stretch.start..]).map(|at| stretch.start + at).take_while(|at| stretch.contains(at)) {
                let number = number(&bytes[at + key.len()..]);
                let matters = number < of_stretch && (number >= latest || object(bytes, at).is_none_or(&is_read));
                if matters {
                    of_stretch = number;
                }
                latest = latest.max(number);
            }
            least.push(of_stretch);
        })?;
        Ok(Horizon::behind(least))
    }

    /// The numbers of one key, and where the ids of another are last named.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn with_last(content: impl Read, [key, named]: [&str; 2]) -> io::Result<(Horizon, LastPlaces)> {
        let (numbers, ids) = (Finder::new(key.as_bytes()), Finder::new(named.as_bytes()));
        let (mut least, mut last): (Vec<u64>, LastPlaces) = Default::default();
        stretches(content, |bytes, stretch| {
            let all = |finder: &Finder<'_>| {
                let begins = finder.find_iter(&bytes[stretch.start..]).map(|at| stretch.start + at);
                begins.take_while(|at| stretch.contains(at)).collect::<Vec<usize>>()
            };
            for at in all(&ids) {
                last.see(id(&bytes[at + named.len()..]), least.len() as u32);
            }
            least.push(all(&numbers).into_iter().map(|at| number(&bytes[at + key.len()..])).min().unwrap_or(u64::MAX));
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

/// Reads a file stretch by stretch: gives bytes, and where in them the stretch is.
fn stretches(mut content: impl Read, mut each: impl FnMut(&[u8], Range<usize>)) -> io::Result<()> {
    // The end of the stretch before, the stretch, and the beginning of the next.
    let (mut bytes, mut begin, mut filled, mut is_end) = (vec![0; STRETCH + 2 * AROUND], 0, 0, false);
    loop {
        while filled < bytes.len() && !is_end {
            match content.read(&mut bytes[filled..]) {
                Ok(0) => is_end = true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let end = filled.min(begin + STRETCH);
        each(&bytes[..filled], begin..end);
        if is_end && end == filled {
            return Ok(());
        }
        let kept = end.saturating_sub(AROUND);
        bytes.copy_within(kept..filled, 0);
        (begin, filled) = (end - kept, filled - kept);
    }
}

/// The object around a key, if all of it is at hand.
fn object(bytes: &[u8], key: usize) -> Option<&[u8]> {
    let from = key.saturating_sub(AROUND);
    let mut depth = 0;
    let begin = from
        + bytes[from..key].iter().rposition(|byte| {
            depth += i32::from(matches!(byte, b'}' | b']')) - i32::from(matches!(byte, b'{' | b'['));
            depth < 0
        })?;
    depth = 1;
    let end = bytes[key..].iter().take(AROUND).position(|byte| {
        depth += i32::from(matches!(byte, b'{' | b'[')) - i32::from(matches!(byte, b'}' | b']'));
        depth == 0
    })?;
    Some(&bytes[begin..=key + end])
}

/// What separates a key from its value.
fn gap(bytes: &[u8]) -> usize {
    let is_gap = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b':' | b'"');
    bytes.iter().take(MOST_GAP).take_while(is_gap).count()
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
    fn objects_that_are_not_read_hold_nothing_back_wherever_they_are() {
        let mut text = String::new();
        for number in 100_000..140_000u64 {
            text.push_str(&format!("{{\"ts\": {number}, \"of\": [{{\"a\": 1}}, \"{}\"]}},\n", "-".repeat(number as usize % 90)));
            text.push_str("{\"args\": {\"b\": [2]}, \"ts\": 7, \"kind\": \"none\", \"c\": {}},\n");
        }
        let is_read = |object: &[u8]| !String::from_utf8_lossy(object).contains("\"kind\": \"none\"");
        let horizon = Horizon::of_those(text.as_bytes(), "\"ts\"", is_read).unwrap();
        let stretches = Horizon::stretch(text.len() as u64 - 1);
        assert!(stretches >= 4 && (0..=stretches).all(|stretch| horizon.from(stretch).is_some_and(|least| least >= 100_000)));
        assert!(horizon.from(stretches).is_some_and(|least| least > 130_000));
        assert_eq!(Horizon::of(text.as_bytes(), "\"ts\"").unwrap().from(stretches), Some(7));
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
