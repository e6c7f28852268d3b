//! Reads JSON as programs write it: texts without escapes, numbers that fit into 64 bits. Most of
//! an event of a trace is not needed, and is only passed over.
//!
//! Invariant: whatever is read here, serde_json reads the same way; what is unusual or damaged is
//! left to it. Not checked is whether what is passed over is UTF-8.

use std::borrow::Cow;

use serde_json::Value;

/// The most arrays and objects around a value.
pub(super) const MOST_DEPTH: u32 = 32;
/// Powers of ten that a number is divided by.
const POWERS: [f64; 20] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19];

/// The number whose digits are those of `before` and then these.
fn whole(before: u64, digits: &[u8]) -> u64 {
    digits.iter().fold(before, |number, digit| 10 * number + u64::from(digit - b'0'))
}

/// Sets what must not be set twice.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// What follows in a document.
pub(super) struct Rest<'l> {
    bytes: &'l [u8],
}

impl<'l> Rest<'l> {
    pub(super) fn of(bytes: &'l [u8]) -> Rest<'l> {
        Rest { bytes }
    }

    /// How many bytes are left.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn take(&mut self, length: usize) -> &'l [u8] {
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        taken
    }

    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(byte)
    }

    /// Passes over white space; the next byte behind it.
    fn first(&mut self) -> Option<u8> {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.bytes {
            self.bytes = rest;
        }
        self.bytes.first().copied()
    }

    fn expect(&mut self, expected: u8) -> Option<()> {
        self.first();
        (self.next()? == expected).then_some(())
    }

    /// An object of which `member` reads the values.
    pub(super) fn object(&mut self, mut member: impl FnMut(&'l [u8], &mut Rest<'l>) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        if self.first()? == b'}' {
            return self.expect(b'}');
        }
        loop {
            let key = self.text().filter(|key| key.is_ascii())?;
            self.expect(b':')?;
            member(key, self)?;
            match self.symbol()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The next byte that is no white space.
    fn symbol(&mut self) -> Option<u8> {
        self.first()?;
        self.next()
    }

    /// A text without a backslash.
    fn text(&mut self) -> Option<&'l [u8]> {
        self.expect(b'"')?;
        let length = plain_end(self.bytes, 0)?;
        let text = self.take(length);
        (self.next()? == b'"').then_some(text)
    }

    pub(super) fn string(&mut self) -> Option<Cow<'l, str>> {
        std::str::from_utf8(self.text()?).ok().map(Cow::Borrowed)
    }

    /// The digits of a number that surely fits into 64 bits.
    fn digits(&mut self) -> Option<&'l [u8]> {
        let length = self.bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.take(length);
        ((1..20).contains(&length) && (length == 1 || digits[0] != b'0')).then_some(digits)
    }

    /// A whole number.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.first();
        let digits = self.digits()?;
        (!self.is_fraction()).then(|| whole(0, digits))
    }

    /// A fraction or an exponent follows.
    fn is_fraction(&self) -> bool {
        matches!(self.bytes.first(), Some(b'.' | b'e' | b'E'))
    }

    /// A number, maybe with a fraction, rounded as serde_json does it: twice where it has many
    /// digits.
    pub(super) fn decimal(&mut self) -> Option<f64> {
        self.first();
        let digits = self.digits()?;
        if self.bytes.first() != Some(&b'.') {
            return (!self.is_fraction()).then(|| whole(0, digits) as f64);
        }
        self.next();
        let length = self.bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let fraction = self.take(length);
        if fraction.is_empty() || digits.len() + fraction.len() >= 20 || self.is_fraction() {
            return None;
        }
        Some(whole(whole(0, digits), fraction) as f64 / *POWERS.get(fraction.len())?)
    }

    /// A whole number or a text, which is a value of its own for either.
    pub(super) fn value(&mut self) -> Option<Value> {
        match self.first()? {
            b'"' => self.string().map(|text| Value::String(text.into_owned())),
            _ => self.number().map(Value::from),
        }
    }

    pub(super) fn boolean(&mut self) -> Option<bool> {
        let is_true = self.first()? == b't';
        self.word(if is_true { b"true" } else { b"false" }).map(|()| is_true)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes = self.bytes.strip_prefix(word)?;
        Some(())
    }

    /// Passes over a value, with at most `depth` arrays and objects around each other.
    pub(super) fn pass(&mut self, depth: u32) -> Option<()> {
        let length = value_end(self.bytes, depth)?;
        self.take(length);
        Some(())
    }
}

/// Where the value ends that follows in `bytes`, with at most `most` arrays and objects around each other, which is no more than 64.
fn value_end(bytes: &[u8], most: u32) -> Option<usize> {
    // A bit for each container that is open, 1 for an object; the innermost is the lowest.
    let (mut at, mut open, mut depth) = (0, 0u64, 0);
    loop {
        at = behind_space(bytes, at);
        let first = *bytes.get(at)?;
        match first {
            b'"' => at = text_end(bytes, at + 1)?,
            b'{' | b'[' => {
                if depth == most {
                    return None;
                }
                let is_object = first == b'{';
                at = behind_space(bytes, at + 1);
                if *bytes.get(at)? == if is_object { b'}' } else { b']' } {
                    at += 1;
                } else {
                    (open, depth) = (open << 1 | u64::from(is_object), depth + 1);
                    if is_object {
                        at = member_begin(bytes, at)?;
                    }
                    continue;
                }
            }
            b't' => at = word_end(bytes, at, b"true")?,
            b'f' => at = word_end(bytes, at, b"false")?,
            b'n' => at = word_end(bytes, at, b"null")?,
            _ => at = number_end(bytes, at)?,
        }
        loop {
            if depth == 0 {
                return Some(at);
            }
            at = behind_space(bytes, at);
            match (*bytes.get(at)?, open & 1 == 1) {
                (b',', true) => {
                    at = member_begin(bytes, behind_space(bytes, at + 1))?;
                    break;
                }
                (b',', false) => {
                    at += 1;
                    break;
                }
                (b'}', true) | (b']', false) => (at, open, depth) = (at + 1, open >> 1, depth - 1),
                _ => return None,
            }
        }
    }
}

/// The first byte from `at` on that is no white space.
#[inline]
fn behind_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Where the value of a member begins whose key begins at `at`.
#[inline]
fn member_begin(bytes: &[u8], at: usize) -> Option<usize> {
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let end = behind_space(bytes, text_end(bytes, at + 1)?);
    (*bytes.get(end)? == b':').then_some(end + 1)
}

/// Where a text ends of which what follows on the first quotation mark begins at `at`.
#[inline]
fn text_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain_end(bytes, at)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' if matches!(bytes.get(at + 1)?, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
            _ => return None,
        }
    }
}

/// The first quotation mark, backslash or control character from `at` on: no text holds the last.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    /// 1 in each byte.
    const EACH: u64 = u64::MAX / 0xff;
    // The highest bit of a byte is set where that byte is zero. Beyond the first such byte it may be set elsewhere, too, because the
    // difference has borrowed; only the first is asked for.
    let zeros = |word: u64| word.wrapping_sub(EACH) & !word;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        let quotes = zeros(word ^ (EACH * u64::from(b'"')));
        let backslashes = zeros(word ^ (EACH * u64::from(b'\\')));
        let controls = word.wrapping_sub(EACH * 0x20) & !word;
        let found = (quotes | backslashes | controls) & (EACH * 0x80);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let is_special = |&byte: &u8| byte < b' ' || byte == b'"' || byte == b'\\';
    bytes.get(at..)?.iter().position(is_special).map(|more| at + more)
}

fn word_end(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(word).then_some(at + word.len())
}

/// Where digits end that begin at `at`.
#[inline]
fn digits_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// Where a number without an exponent ends that begins at `at`; its whole part surely fits into 64 bits.
#[inline]
fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let begin = at + usize::from(bytes[at] == b'-');
    let end = digits_end(bytes, begin);
    if !(1..20).contains(&(end - begin)) || (bytes[begin] == b'0' && end > begin + 1) {
        return None;
    }
    let is_exponent = |at: usize| matches!(bytes.get(at), Some(b'e' | b'E'));
    if bytes.get(end) != Some(&b'.') {
        return (!is_exponent(end)).then_some(end);
    }
    let fraction = digits_end(bytes, end + 1);
    (fraction > end + 1 && !is_exponent(fraction)).then_some(fraction)
}
