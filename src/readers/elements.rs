//! Reads the objects of some arrays of a JSON document one by one, without holding the document.
//!
//! Invariant: no more than one object is held, and at most the given number of MiB of it. What lies
//! around the arrays is only looked at as far as brackets and keys are concerned.

use std::io::BufRead;

use super::error::{Damage, Oddities, Place};

/// Longer keys are none of those that are looked for.
const MOST_KEY_BYTES: usize = 64;
/// The most arrays and objects around an element.
const MOST_DEPTH: usize = 1 << 10;

/// An array or an object that is open.
#[derive(Clone, Copy, Debug)]
enum Container {
    Object,
    /// Whether its objects are read.
    Array(bool),
}

/// Reads the objects of arrays with some keys, and those of an array that is the document itself.
#[derive(Debug)]
pub(super) struct Elements<R> {
    source: R,
    /// Bytes that have been passed over.
    position: u64,
    scanner: Scanner,
    /// What an object is, for oddities.
    name: &'static str,
    most_mib: usize,
}

/// What is known of the document so far.
#[derive(Debug)]
struct Scanner {
    keys: &'static [&'static str],
    /// Of longer objects only the beginning is kept.
    most: usize,
    line: u64,
    open: Vec<Container>,
    /// The string that was read last: a key, if a colon follows.
    text: Vec<u8>,
    key: Option<Vec<u8>>,
    /// Inside a string, and behind its backslash.
    quoted: bool,
    escaped: bool,
    /// The object that is being read, how many brackets in it are open, and where it began.
    element: Vec<u8>,
    depth: usize,
    began: u64,
}

impl<R: BufRead> Elements<R> {
    /// Reads the objects of the arrays with one of `keys`, each a `name`; those of more than
    /// `most_mib` MiB are skipped.
    pub(super) fn new(source: R, keys: &'static [&'static str], name: &'static str, most_mib: usize) -> Elements<R> {
        let scanner = Scanner {
            keys,
            most: most_mib << 20,
            line: 1,
            open: Vec::new(),
            text: Vec::new(),
            key: None,
            quoted: false,
            escaped: false,
            element: Vec::new(),
            depth: 0,
            began: 1,
        };
        Elements { source, position: 0, scanner, name, most_mib }
    }

    /// The next object and where it began; nothing at the end of the file.
    ///
    /// # Errors
    /// On an I/O error, and if brackets do not match.
    pub(super) fn next(&mut self, oddities: &mut Oddities) -> Result<Option<(&[u8], Place)>, Damage> {
        let scanner = &mut self.scanner;
        scanner.element.clear();
        loop {
            let chunk = match self.source.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Damage::Io(Place::Line(scanner.line), error)),
            };
            if chunk.is_empty() {
                if scanner.depth > 0 {
                    oddities.count(format!("the last {} is unfinished: it was still being written", self.name));
                }
                scanner.depth = 0;
                return Ok(None);
            }
            let (mut used, mut complete) = (0, false);
            while used < chunk.len() && !complete {
                if scanner.depth > 0 {
                    let (more, ends) = scanner.take_within(&chunk[used..]);
                    (used, complete) = (used + more, ends);
                } else {
                    scanner.take(chunk[used])?;
                    used += 1;
                }
            }
            self.source.consume(used);
            self.position += used as u64;
            if complete && scanner.element.len() > scanner.most {
                oddities.count(format!("{}s of more than {} MiB, skipped", self.name, self.most_mib));
                scanner.element.clear();
            } else if complete {
                return Ok(Some((&self.scanner.element, Place::Line(self.scanner.began))));
            }
        }
    }
}

impl<R: BufRead> Elements<R> {
    /// What is at hand from the beginning of the next object on, and where it begins; nothing where
    /// that is for [`next`](Self::next) to say. Whoever finds the whole object in it passes over it
    /// with [`pass`](Self::pass): then nobody looks for its end.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(super) fn peek(&mut self) -> Result<Option<(&[u8], Place)>, Damage> {
        let (scanner, mut used) = (&mut self.scanner, 0);
        let damage = |line, error| Damage::Io(Place::Line(line), error);
        let chunk = match self.source.fill_buf() {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(damage(scanner.line, error)),
            chunk => chunk.unwrap_or_default(),
        };
        while used < chunk.len() && !scanner.is_before_element(chunk[used]) {
            scanner.take(chunk[used])?;
            used += 1;
        }
        let is_any = used < chunk.len();
        self.source.consume(used);
        self.position += used as u64;
        if !is_any {
            return Ok(None);
        }
        let chunk = self.source.fill_buf().map_err(|error| damage(scanner.line, error))?;
        Ok(Some((&chunk[..chunk.len().min(scanner.most)], Place::Line(scanner.line))))
    }

    /// Passes over an object of `length` bytes, which [`peek`](Self::peek) has shown.
    pub(super) fn pass(&mut self, length: usize) {
        if let Ok(chunk) = self.source.fill_buf() {
            self.scanner.line += lines(&chunk[..length]);
        }
        self.source.consume(length);
        self.position += length as u64;
    }

    /// How many bytes of the document have been passed over: no object that is still to come begins before.
    pub(super) fn position(&self) -> u64 {
        self.position
    }
}

/// Number of line ends.
fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

impl Scanner {
    /// Whether `byte`, which is the next one, begins an object that is read.
    fn is_before_element(&self, byte: u8) -> bool {
        byte == b'{' && self.depth == 0 && !self.quoted && matches!(self.open.last(), Some(Container::Array(true)))
    }

    /// Takes bytes of the object that is being read: how many, and whether they complete it.
    fn take_within(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut used = 0;
        while used < bytes.len() && self.depth > 0 {
            let byte = bytes[used];
            used += 1;
            if self.escaped {
                self.escaped = false;
            } else if self.quoted {
                match byte {
                    b'"' => self.quoted = false,
                    b'\\' => self.escaped = true,
                    _ => {
                        // Most bytes are of this kind.
                        let rest = &bytes[used..];
                        used += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    }
                }
            } else {
                match byte {
                    b'"' => self.quoted = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
            }
        }
        let taken = &bytes[..used];
        self.line += lines(taken);
        // One byte more than there may be shows that it is too long.
        let room = (self.most + 1).saturating_sub(self.element.len());
        self.element.extend_from_slice(&taken[..used.min(room)]);
        (used, self.depth == 0)
    }

    /// Takes a byte that is of no object that is read.
    fn take(&mut self, byte: u8) -> Result<(), Damage> {
        self.line += u64::from(byte == b'\n');
        if self.quoted {
            let ends = byte == b'"' && !self.escaped;
            self.escaped = byte == b'\\' && !self.escaped;
            self.quoted = !ends;
            if !ends && self.text.len() < MOST_KEY_BYTES {
                self.text.push(byte);
            }
            return Ok(());
        }
        match byte {
            b'"' => {
                (self.quoted, self.escaped) = (true, false);
                self.text.clear();
            }
            b':' => self.key = Some(std::mem::take(&mut self.text)),
            b',' => self.key = None,
            b'{' if matches!(self.open.last(), Some(Container::Array(true))) => {
                (self.depth, self.began) = (1, self.line);
                self.element.push(byte);
            }
            b'{' | b'[' => self.begin(byte)?,
            b'}' | b']' => self.end(byte)?,
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, byte: u8) -> Result<(), Damage> {
        if self.open.len() >= MOST_DEPTH {
            return Err(Damage::new(Place::Line(self.line), format!("at most {MOST_DEPTH} open brackets"), "one more"));
        }
        let key = self.key.take();
        let is_read = self.open.is_empty() || key.is_some_and(|key| self.keys.iter().any(|read| read.as_bytes() == key));
        self.open.push(if byte == b'{' { Container::Object } else { Container::Array(is_read) });
        Ok(())
    }

    fn end(&mut self, byte: u8) -> Result<(), Damage> {
        self.key = None;
        match (self.open.pop(), byte) {
            (Some(Container::Object), b'}') | (Some(Container::Array(_)), b']') => Ok(()),
            (Some(Container::Object), _) => Err(Damage::new(Place::Line(self.line), "'}'", "']'")),
            (Some(Container::Array(_)), _) => Err(Damage::new(Place::Line(self.line), "']'", "'}'")),
            (None, _) => Err(Damage::new(Place::Line(self.line), "the end of the document", format!("'{}'", char::from(byte)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn elements(document: &str) -> Result<Vec<(u64, String)>, (u64, String)> {
        // A buffer smaller than an element.
        let mut elements = Elements::new(BufReader::with_capacity(5, document.as_bytes()), &["events"], "event", 1);
        let (mut found, mut oddities) = (Vec::new(), Oddities::default());
        loop {
            match elements.next(&mut oddities) {
                Ok(Some((element, Place::Line(line)))) => found.push((line, String::from_utf8(element.to_vec()).unwrap())),
                Ok(Some((_, place))) => panic!("{place}"),
                Ok(None) => return Ok(found),
                Err(Damage::Content { place: Place::Line(line), expected, .. }) => return Err((line, expected)),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn objects_of_the_arrays_that_are_asked_for_come_one_by_one() {
        let document = "{\"other\": [{\"a\": 1}], \"x\": {\"events\": [\n{\"a\": \"}]\\\"\"},\n {\"b\": [{}, []]}\n], \"events\": 3}}\n";
        let expected = [(2, "{\"a\": \"}]\\\"\"}".to_owned()), (3, "{\"b\": [{}, []]}".to_owned())];
        assert_eq!(elements(document).unwrap(), expected);
        assert_eq!(elements("[{\"a\":1},\n{\"b\":2}").unwrap(), [(1, "{\"a\":1}".to_owned()), (2, "{\"b\":2}".to_owned())]);
        assert_eq!(elements("[{\"a\":1},{\"b\"").unwrap().len(), 1);
        assert_eq!(elements("").unwrap(), []);
    }

    #[test]
    fn objects_that_are_too_long_or_unfinished_are_counted_by_their_name() {
        let element = |length: usize| format!("{{\"{}\"}}", "x".repeat(length - 4));
        let document = format!("[{},{},{},{{", element((1 << 20) + 1), element(1 << 20), element(3 << 20));
        let mut elements = Elements::new(document.as_bytes(), &[], "trace", 1);
        let mut oddities = Oddities::default();
        assert_eq!(elements.next(&mut oddities).unwrap().map(|(element, _)| element.len()), Some(1 << 20));
        assert!(elements.next(&mut oddities).unwrap().is_none());
        let expected = [("the last trace is unfinished: it was still being written", 1), ("traces of more than 1 MiB, skipped", 2)];
        assert_eq!(oddities.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_object_at_hand_can_be_passed_over() {
        let document = "{\"events\": [\n{\"a\":\n1},\n {\"b\": \"}\"}], \"x\": [{}]}";
        let mut oddities = Oddities::default();
        let mut elements = Elements::new(document.as_bytes(), &["events"], "event", 1);
        let (at_hand, place) = elements.peek().unwrap().unwrap();
        assert!(at_hand.starts_with(b"{\"a\":\n1},\n {") && place == Place::Line(2));
        elements.pass("{\"a\":\n1}".len());
        let (at_hand, place) = elements.peek().unwrap().unwrap();
        assert!(at_hand.starts_with(b"{\"b\"") && place == Place::Line(4));
        assert_eq!(elements.next(&mut oddities).unwrap(), Some((&b"{\"b\": \"}\"}"[..], Place::Line(4))));
        assert!(elements.peek().unwrap().is_none() && elements.next(&mut oddities).unwrap().is_none());
        // Of one that is longer than the buffer only a part is at hand; all of it comes after.
        let mut elements = Elements::new(BufReader::with_capacity(6, &b"[ {\"a\":1}]"[..]), &[], "event", 1);
        assert_eq!(elements.peek().unwrap(), Some((&b"{\"a\""[..], Place::Line(1))));
        assert_eq!(elements.next(&mut oddities).unwrap(), Some((&b"{\"a\":1}"[..], Place::Line(1))));
        assert!(elements.peek().unwrap().is_none());
    }

    #[test]
    fn brackets_that_do_not_match_are_damage() {
        assert_eq!(elements("{\n]").unwrap_err(), (2, "'}'".to_owned()));
        assert_eq!(elements("[\n\n}").unwrap_err(), (3, "']'".to_owned()));
        assert_eq!(elements("[]\n]").unwrap_err(), (2, "the end of the document".to_owned()));
        assert_eq!(elements(&"[".repeat(2000)).unwrap_err().1, "at most 1024 open brackets");
    }
}
