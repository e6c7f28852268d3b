//! The parts that lines of timely's log as text consist of, taken one after the other.
//!
//! Invariant: what is left never begins with a blank.

use super::super::error::excerpt;

/// What was expected in a line, and what was found.
pub(super) type Refused = (String, String);
/// What is found where a line ends too early.
pub(super) const END: &str = "the end of the line";

/// The rest of a line, without leading blanks.
pub(super) struct Rest<'l> {
    pub(super) rest: &'l str,
}

impl<'l> Rest<'l> {
    pub(super) fn refuse<T>(&self, expected: &str) -> Result<T, Refused> {
        let found = if self.rest.is_empty() { END.to_owned() } else { excerpt(self.rest.as_bytes()) };
        Err((expected.to_owned(), found))
    }

    pub(super) fn advance(&mut self, bytes: usize) -> &'l str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest.trim_start();
        taken
    }

    pub(super) fn skip(&mut self, token: &str) -> bool {
        let found = self.rest.starts_with(token);
        if found {
            self.advance(token.len());
        }
        found
    }

    pub(super) fn expect(&mut self, token: &str) -> Result<(), Refused> {
        if self.skip(token) { Ok(()) } else { self.refuse(&format!("'{token}'")) }
    }

    /// The rest up to the first character that is not `within`.
    pub(super) fn while_is(&mut self, within: impl Fn(char) -> bool) -> &'l str {
        let end = self.rest.find(|c| !within(c)).unwrap_or(self.rest.len());
        self.advance(end)
    }

    /// A name, possibly empty.
    pub(super) fn word(&mut self) -> &'l str {
        self.while_is(|c| c.is_alphanumeric() || c == '_')
    }

    pub(super) fn number(&mut self) -> Result<u64, Refused> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        match self.rest[..end].parse() {
            Ok(number) => {
                self.advance(end);
                Ok(number)
            }
            Err(_) => self.refuse("a number of 64 bits"),
        }
    }

    /// A duration as printed by Rust, such as `6.275699ms`, in ns; fractions of a nanosecond are
    /// truncated.
    pub(super) fn duration(&mut self) -> Result<u64, Refused> {
        const EXPECTED: &str = "a time, such as 6.275ms";
        let text = self.rest;
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (whole, fraction) = text[..end].split_once('.').unwrap_or((&text[..end], ""));
        let units = [("ns", 0), ("µs", 3), ("ms", 6), ("s", 9)];
        let unit = units.into_iter().find(|(unit, _)| text[end..].starts_with(unit));
        let (Some((unit, digits)), Ok(whole)) = (unit, whole.parse::<u64>()) else { return self.refuse(EXPECTED) };
        let mut nanoseconds = whole.checked_mul(10u64.pow(digits));
        for (place, digit) in (0..digits).zip(fraction.chars()) {
            let Some(digit) = digit.to_digit(10) else { return self.refuse(EXPECTED) };
            nanoseconds = nanoseconds.and_then(|sum| sum.checked_add(u64::from(digit) * 10u64.pow(digits - 1 - place)));
        }
        let Some(nanoseconds) = nanoseconds.filter(|_| !fraction.contains('.')) else { return self.refuse(EXPECTED) };
        self.advance(end + unit.len());
        Ok(nanoseconds)
    }

    /// `name: ` of a field, with the comma before it.
    pub(super) fn name(&mut self, name: &str) -> Result<(), Refused> {
        self.skip(",");
        if !self.rest.starts_with(name) {
            return self.refuse(&format!("'{name}'"));
        }
        self.advance(name.len());
        self.expect(":")
    }

    pub(super) fn field(&mut self, name: &str) -> Result<u64, Refused> {
        self.name(name)?;
        self.number()
    }

    /// A field that was called `earlier` in other versions.
    pub(super) fn field_or(&mut self, name: &str, earlier: &str) -> Result<u64, Refused> {
        self.skip(",");
        self.field(if self.rest.starts_with(earlier) { earlier } else { name })
    }

    /// A field that is one of two words; whether it is the first.
    pub(super) fn either(&mut self, name: &str, yes: &str, no: &str) -> Result<bool, Refused> {
        self.name(name)?;
        match self.skip(yes) {
            false if !self.skip(no) => self.refuse(&format!("'{yes}' or '{no}'")),
            found => Ok(found),
        }
    }

    /// Skips to the bracket that closes what is open, over whatever is nested or quoted.
    pub(super) fn up_to(&mut self, closing: char) -> Result<(), Refused> {
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        let end = self.rest.char_indices().find(|&(_, c)| {
            if quoted {
                quoted = c != '"' || escaped;
                escaped = c == '\\' && !escaped;
                return false;
            }
            match c {
                '"' => quoted = true,
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' if depth > 0 => depth -= 1,
                _ => return depth == 0 && c == closing,
            }
            false
        });
        let Some((end, _)) = end else { return self.refuse(&format!("'{closing}' at the end of the event")) };
        self.advance(end);
        Ok(())
    }

    /// `addr: [0, 3]`
    pub(super) fn numbers(&mut self, name: &str) -> Result<Vec<u64>, Refused> {
        self.name(name)?;
        self.expect("[")?;
        let mut numbers = Vec::new();
        if self.skip("]") {
            return Ok(numbers);
        }
        numbers.push(self.number()?);
        while self.skip(",") {
            numbers.push(self.number()?);
        }
        self.expect("]")?;
        Ok(numbers)
    }

    pub(super) fn quoted_field(&mut self, name: &str) -> Result<&'l str, Refused> {
        self.name(name)?;
        self.quoted()
    }

    pub(super) fn quoted(&mut self) -> Result<&'l str, Refused> {
        if !self.rest.starts_with('"') {
            return self.refuse("'\"'");
        }
        let inside = &self.rest[1..];
        let mut escaped = false;
        let end = inside.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else { return self.refuse("a text that ends with '\"'") };
        self.advance(end + 2);
        Ok(&inside[..end])
    }
}
