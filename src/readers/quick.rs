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
        let text = self.plain()?;
        (self.next()? == b'"').then_some(text)
    }

    /// The next bytes up to a quotation mark or a backslash.
    fn plain(&mut self) -> Option<&'l [u8]> {
        let length = memchr::memchr2(b'"', b'\\', self.bytes)?;
        let plain = self.take(length);
        // No text holds a control character.
        plain.iter().all(|&byte| byte >= b' ').then_some(plain)
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
        match self.first()? {
            b'"' => {
                self.next();
                loop {
                    self.plain()?;
                    if self.next()? == b'"' {
                        return Some(());
                    }
                    if !matches!(self.next()?, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') {
                        return None;
                    }
                }
            }
            b'{' => {
                let depth = depth.checked_sub(1)?;
                self.object(|_, rest| rest.pass(depth))
            }
            b'[' => {
                let depth = depth.checked_sub(1)?;
                self.next();
                if self.first()? == b']' {
                    return self.expect(b']');
                }
                loop {
                    self.pass(depth)?;
                    match self.symbol()? {
                        b',' => {}
                        b']' => return Some(()),
                        _ => return None,
                    }
                }
            }
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'-' => {
                self.next();
                self.bytes.first().filter(|byte| byte.is_ascii_digit())?;
                self.decimal().map(drop)
            }
            _ => self.decimal().map(drop),
        }
    }
}
