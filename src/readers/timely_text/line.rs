//! Parses one line of timely's log as text.
//!
//! Invariant: a line is understood as a whole, or rejected with what was expected and what was
//! found.

use super::super::error::excerpt;

/// What was expected in a line, and what was found.
pub(super) type Refused = (String, String);

/// The content of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// A comment or an empty line.
    Nothing,
    /// `Dataflow: (0, Dataflow)`: the name of an operator.
    Operator(End<'l>),
    /// `Dataflow: Channel 3: (1, Input) -> (2, Map)`.
    Channel { channel: u64, source: End<'l>, target: End<'l> },
    /// `(6.275ms, 1, …)`: an event on a worker.
    Event { at: u64, worker: u64, event: Event<'l> },
}

/// An operator with its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End<'l> {
    pub(super) operator: u64,
    pub(super) name: &'l str,
}

/// An event of timely's log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'l> {
    /// An operator is scheduled, or returns.
    Sched { operator: u64, starts: bool },
    /// A batch of records enters or leaves a channel.
    Msg { sends: bool, channel: u64, source: u64, target: u64, sequence: u64, length: u64 },
    /// The operator starts or ends processing a batch.
    GMsg,
    /// A progress update is sent to all workers, or arrives.
    Progress { sends: bool, source: u64, channel: u64, sequence: u64, operator: u64 },
    /// A progress update is pushed to an operator.
    PushProgress,
    /// Text logged by the program itself.
    Text(&'l str),
    /// An event of another kind: its name.
    Other(&'l str),
}

/// Parses a line.
pub(super) fn parse(line: &str) -> Result<Line<'_>, Refused> {
    let mut rest = Rest { rest: line.trim_start() };
    let parsed = if let Some(head) = rest.rest.strip_prefix("Dataflow:") {
        rest.rest = head.trim_start();
        if rest.skip("Channel") {
            let channel = rest.number()?;
            rest.expect(":")?;
            let source = rest.end()?;
            rest.expect("->")?;
            Line::Channel { channel, source, target: rest.end()? }
        } else {
            Line::Operator(rest.end()?)
        }
    } else if rest.skip("(") {
        let at = rest.duration()?;
        rest.expect(",")?;
        let worker = rest.number()?;
        rest.expect(",")?;
        let event = rest.event()?;
        rest.expect(")")?;
        Line::Event { at, worker, event }
    } else {
        Line::Nothing
    };
    match rest.rest {
        "" => Ok(parsed),
        comment if comment.starts_with(';') => Ok(parsed),
        other => Err(("an event, a line of the head or a comment".to_owned(), excerpt(other.as_bytes()))),
    }
}

/// The rest of a line, without leading blanks.
struct Rest<'l> {
    rest: &'l str,
}

impl<'l> Rest<'l> {
    fn refuse<T>(&self, expected: &str) -> Result<T, Refused> {
        let found = if self.rest.is_empty() { "the end of the line".to_owned() } else { excerpt(self.rest.as_bytes()) };
        Err((expected.to_owned(), found))
    }

    fn advance(&mut self, bytes: usize) -> &'l str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest.trim_start();
        taken
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.rest.starts_with(token);
        if found {
            self.advance(token.len());
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), Refused> {
        if self.skip(token) { Ok(()) } else { self.refuse(&format!("'{token}'")) }
    }

    /// The rest up to the first character that is not `within`.
    fn while_is(&mut self, within: impl Fn(char) -> bool) -> &'l str {
        let end = self.rest.find(|c| !within(c)).unwrap_or(self.rest.len());
        self.advance(end)
    }

    fn number(&mut self) -> Result<u64, Refused> {
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
    fn duration(&mut self) -> Result<u64, Refused> {
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

    /// `(1, Input)`
    fn end(&mut self) -> Result<End<'l>, Refused> {
        self.expect("(")?;
        let operator = self.number()?;
        self.expect(",")?;
        let name = self.while_is(|c| c != ')').trim_end();
        self.expect(")")?;
        Ok(End { operator, name })
    }

    /// `name: ` of a field, with the comma before it.
    fn name(&mut self, name: &str) -> Result<(), Refused> {
        self.skip(",");
        if !self.rest.starts_with(name) {
            return self.refuse(&format!("'{name}'"));
        }
        self.advance(name.len());
        self.expect(":")
    }

    fn field(&mut self, name: &str) -> Result<u64, Refused> {
        self.name(name)?;
        self.number()
    }

    /// A field that is one of two words; whether it is the first.
    fn either(&mut self, name: &str, yes: &str, no: &str) -> Result<bool, Refused> {
        self.name(name)?;
        match self.skip(yes) {
            false if !self.skip(no) => self.refuse(&format!("'{yes}' or '{no}'")),
            found => Ok(found),
        }
    }

    fn event(&mut self) -> Result<Event<'l>, Refused> {
        let name = self.while_is(|c| c.is_alphanumeric() || c == '_');
        if name == "Text" {
            return self.text();
        }
        if !self.rest.starts_with('{') || name.is_empty() {
            return self.refuse("an event, such as Sched { … }");
        }
        self.advance(1);
        let event = match name {
            "Sched" => Event::Sched { operator: self.field("id")?, starts: self.either("start_stop", "Start", "Stop")? },
            "Msg" => Event::Msg {
                sends: self.either("is_send", "true", "false")?,
                channel: self.field("channel")?,
                source: self.field("source")?,
                target: self.field("target")?,
                sequence: self.field("seq_no")?,
                length: self.field("length")?,
            },
            "GMsg" => {
                self.either("is_start", "true", "false")?;
                Event::GMsg
            }
            "Progress" => Event::Progress {
                sends: self.either("is_send", "true", "false")?,
                source: self.field("source")?,
                channel: self.field("channel")?,
                sequence: self.field("seq_no")?,
                operator: self.address()?,
            },
            "PushProgress" => {
                self.field("op_id")?;
                Event::PushProgress
            }
            other => {
                // Events of other kinds are skipped up to their closing brace.
                let mut depth = 1u32;
                let end = self.rest.char_indices().find(|&(_, c)| {
                    depth = depth + u32::from(c == '{') - u32::from(c == '}');
                    depth == 0
                });
                let Some((end, _)) = end else { return self.refuse("'}' at the end of the event") };
                self.advance(end);
                Event::Other(other)
            }
        };
        self.expect("}")?;
        Ok(event)
    }

    /// `addr: [0, 3]`: the last number.
    fn address(&mut self) -> Result<u64, Refused> {
        self.name("addr")?;
        self.expect("[")?;
        let mut last = self.number()?;
        while self.skip(",") {
            last = self.number()?;
        }
        self.expect("]")?;
        Ok(last)
    }

    /// `Text("…")`, with quotes inside escaped.
    fn text(&mut self) -> Result<Event<'l>, Refused> {
        self.expect("(")?;
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
        self.expect(")")?;
        Ok(Event::Text(&inside[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        let at = |text: &str| match parse(&format!("({text}, 1, GMsg {{ is_start: true }})")) {
            Ok(Line::Event { at, .. }) => Ok(at),
            Ok(other) => panic!("{other:?}"),
            Err((expected, _)) => Err(expected),
        };
        assert_eq!(at("6.275699ms"), Ok(6_275_699));
        assert_eq!(at("350ns"), Ok(350));
        assert_eq!(at("1.5µs"), Ok(1_500));
        assert_eq!(at("2.000000001s"), Ok(2_000_000_001));
        assert_eq!(at("18446744073.709551615s"), Ok(u64::MAX));
        for wrong in ["18446744073.709551616s", "6.2.7ms", "6ks", "ms", ""] {
            assert!(at(wrong).unwrap_err().starts_with("a time"), "{wrong}");
        }
    }

    #[test]
    fn lines_are_whole_or_refused() {
        assert_eq!(parse("  ;; a comment"), Ok(Line::Nothing));
        let text = Event::Text(r#"a \" quote) ;;"#);
        assert_eq!(parse(r#"(1ns, 0, Text("a \" quote) ;;")) ;; said"#), Ok(Line::Event { at: 1, worker: 0, event: text }));
        let other = Line::Event { at: 1, worker: 0, event: Event::Other("Shutdown") };
        assert_eq!(parse("(1ns, 0, Shutdown { id: { 3 } })"), Ok(other));
        let refused = |line| parse(line).unwrap_err();
        assert_eq!(refused("(1ns, 0, Sched { id: 1, start_stop: Sto").0, "'Start' or 'Stop'");
        assert_eq!(refused("(1ns, 0, Sched { id: 1, start_stop: Stop }"), ("')'".to_owned(), "the end of the line".to_owned()));
        assert_eq!(refused("Dataflow: Channel 3: (1, Input) (2, Map)").0, "'->'");
        assert_eq!(refused("(1ns, 0, GMsg { is_start: true }) more").1, "\"more\"");
        assert_eq!(refused("hello").1, "\"hello\"");
    }
}
