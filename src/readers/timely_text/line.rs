//! Parses one line of timely's log as text.
//!
//! Invariant: a line is understood as a whole, rejected with what was expected and what was found, or
//! taken for something else that a program printed, which it is unless it begins as an event does.

use super::super::error::excerpt;

/// Longer labels before an event are none.
const MOST_LABEL: usize = 40;

/// What was expected in a line, and what was found.
pub(super) type Refused = (String, String);

/// The content of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// A comment or an empty line.
    Nothing,
    /// Something else that the program printed.
    Foreign,
    /// `Dataflow: (0, Dataflow)`: the name of an operator.
    Operator(End<'l>),
    /// `Dataflow: Channel 3: (1, Input) -> (2, Map)`.
    Channel { channel: u64, source: End<'l>, target: End<'l> },
    /// `(6.275ms, 1, …)`: an event, on a worker if the line says so.
    Event { at: u64, worker: Option<u64>, event: Event<'l> },
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
    /// An operator is built, at an address: its place in the scope that holds it is the last number.
    Operates { operator: u64, address: Vec<u64>, name: &'l str },
    /// A channel is built, between two places in a scope.
    Channels { channel: u64, scope: Vec<u64>, source: u64, target: u64 },
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
    /// The worker waits for something to do, or goes on.
    Park { starts: bool },
    /// Text logged by the program itself.
    Text(&'l str),
    /// An event of another kind: its name.
    Other(&'l str),
}

/// The event of a line without the label that the program may print before it (`LOG1: `); nothing if
/// it does not begin as one does.
fn event_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let begins = |text: &str| {
        let mut rest = Rest { rest: text };
        rest.skip("(") && rest.duration().is_ok() && rest.rest.starts_with(',')
    };
    if begins(line) {
        return Some(line);
    }
    let (label, event) = line.split_once(": ")?;
    let is_label = label.len() <= MOST_LABEL && !label.contains(['(', '"', '{']);
    Some(event.trim_start()).filter(|event| is_label && begins(event))
}

/// Whether a line begins as an event does.
pub(super) fn begins_an_event(line: &str) -> bool {
    event_of(line).is_some()
}

/// Parses a line.
pub(super) fn parse(line: &str) -> Result<Line<'_>, Refused> {
    let mut rest = Rest { rest: line.trim() };
    if rest.rest.is_empty() || rest.rest.starts_with(';') {
        return Ok(Line::Nothing);
    }
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
    } else if let Some(event) = event_of(rest.rest).or_else(|| (rest.rest.starts_with('(') && rest.rest.contains('{')).then_some(rest.rest))
    {
        rest.rest = event;
        rest.expect("(")?;
        let at = rest.duration()?;
        rest.expect(",")?;
        let worker = match rest.rest.starts_with(|c: char| c.is_ascii_digit()) {
            true => {
                let worker = rest.number()?;
                rest.expect(",")?;
                Some(worker)
            }
            false => None,
        };
        let event = rest.event()?;
        rest.expect(")")?;
        Line::Event { at, worker, event }
    } else {
        return Ok(Line::Foreign);
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

    /// A field that was called `earlier` in other versions.
    fn field_or(&mut self, name: &str, earlier: &str) -> Result<u64, Refused> {
        self.skip(",");
        self.field(if self.rest.starts_with(earlier) { earlier } else { name })
    }

    /// A field that is one of two words; whether it is the first.
    fn either(&mut self, name: &str, yes: &str, no: &str) -> Result<bool, Refused> {
        self.name(name)?;
        match self.skip(yes) {
            false if !self.skip(no) => self.refuse(&format!("'{yes}' or '{no}'")),
            found => Ok(found),
        }
    }

    /// `Sched { … }`, or since timely 0.9 `Schedule(ScheduleEvent { … })`.
    fn event(&mut self) -> Result<Event<'l>, Refused> {
        let name = self.while_is(|c| c.is_alphanumeric() || c == '_');
        match name {
            "Text" => return self.text(),
            "Park" if self.rest.starts_with('(') => return self.park(),
            _ => {}
        }
        // The name of the structure adds nothing.
        let is_wrapped = self.skip("(");
        if is_wrapped {
            self.while_is(|c| c.is_alphanumeric() || c == '_');
        }
        if !self.rest.starts_with('{') || name.is_empty() {
            return self.refuse("an event, such as Sched { … }");
        }
        self.advance(1);
        let event = self.fields(name)?;
        // Fields of later versions.
        self.up_to('}')?;
        self.expect("}")?;
        if is_wrapped {
            self.expect(")")?;
        }
        Ok(event)
    }

    fn fields(&mut self, name: &'l str) -> Result<Event<'l>, Refused> {
        Ok(match name {
            "Operates" => Event::Operates { operator: self.field("id")?, address: self.numbers("addr")?, name: self.quoted_field("name")? },
            "Channels" => Event::Channels {
                channel: self.field("id")?,
                scope: self.numbers("scope_addr")?,
                source: self.port("source")?,
                target: self.port("target")?,
            },
            "Sched" | "Schedule" => Event::Sched { operator: self.field("id")?, starts: self.either("start_stop", "Start", "Stop")? },
            "Msg" | "Messages" => Event::Msg {
                sends: self.either("is_send", "true", "false")?,
                channel: self.field("channel")?,
                source: self.field("source")?,
                target: self.field("target")?,
                sequence: self.field("seq_no")?,
                length: self.field_or("length", "record_count")?,
            },
            "GMsg" | "GuardedMessage" => {
                self.either("is_start", "true", "false")?;
                Event::GMsg
            }
            "Progress" | "TimelyProgress" => Event::Progress {
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
            other => Event::Other(other),
        })
    }

    /// Skips to the bracket that closes what is open, over whatever is nested or quoted.
    fn up_to(&mut self, closing: char) -> Result<(), Refused> {
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

    /// `addr: [0, 3]`: the last number.
    fn address(&mut self) -> Result<u64, Refused> {
        self.skip(",");
        if self.rest.starts_with("identifier") {
            return self.field("identifier");
        }
        let numbers = self.numbers("addr")?;
        numbers.last().copied().map_or_else(|| self.refuse("a number of 64 bits"), Ok)
    }

    /// `addr: [0, 3]`
    fn numbers(&mut self, name: &str) -> Result<Vec<u64>, Refused> {
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

    /// `source: (1, 0)`: an operator's place, and which of its ports.
    fn port(&mut self, name: &str) -> Result<u64, Refused> {
        self.name(name)?;
        self.expect("(")?;
        let place = self.number()?;
        self.expect(",")?;
        self.number()?;
        self.expect(")")?;
        Ok(place)
    }

    /// `Park(Park(Some(1ms)))` or `Park(Unpark)`.
    fn park(&mut self) -> Result<Event<'l>, Refused> {
        self.expect("(")?;
        let starts = match self.while_is(|c| c.is_alphanumeric() || c == '_') {
            "Park" => true,
            "Unpark" => false,
            _ => return self.refuse("'Park' or 'Unpark'"),
        };
        self.up_to(')')?;
        self.expect(")")?;
        Ok(Event::Park { starts })
    }

    /// `Text("…")`, with quotes inside escaped.
    fn text(&mut self) -> Result<Event<'l>, Refused> {
        self.expect("(")?;
        let text = self.quoted()?;
        self.expect(")")?;
        Ok(Event::Text(text))
    }

    fn quoted_field(&mut self, name: &str) -> Result<&'l str, Refused> {
        self.name(name)?;
        self.quoted()
    }

    fn quoted(&mut self) -> Result<&'l str, Refused> {
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

    fn event(line: &str) -> (Option<u64>, Event<'_>) {
        match parse(line) {
            Ok(Line::Event { worker, event, .. }) => (worker, event),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn events_of_every_version_are_read() {
        let name = "Map";
        let built = Event::Operates { operator: 4, address: vec![0, 2], name };
        assert_eq!(event(r#"(12.5µs, 0, Operates(OperatesEvent { id: 4, addr: [0, 2], name: "Map" }))"#), (Some(0), built));
        let built = Event::Channels { channel: 3, scope: vec![0], source: 1, target: 2 };
        let line =
            r#"LOG1: (1ms, Channels(ChannelsEvent { id: 3, scope_addr: [0], source: (1, 0), target: (2, 0), typ: "Vec<(u64, i64)>" }))"#;
        assert_eq!(event(line), (None, built));
        for line in [
            "(1ms, 0, Sched { id: 2, start_stop: Stop })",
            "(1ms, 0, Schedule(ScheduleEvent { id: 2, start_stop: Stop }))",
            "worker 0: (1ms, 0, Schedule(ScheduleEvent { id: 2, start_stop: Stop { activity: true } }))",
        ] {
            assert_eq!(event(line), (Some(0), Event::Sched { operator: 2, starts: false }));
        }
        let message = || Event::Msg { sends: true, channel: 3, source: 0, target: 1, sequence: 5, length: 9 };
        let line = |event: &str, length: &str| {
            format!("(1ms, {event} {{ is_send: true, channel: 3, source: 0, target: 1, seq_no: 5, {length}: 9 }}))")
        };
        assert_eq!(event(&line("Messages(MessagesEvent", "length")).1, message());
        assert_eq!(event(&line("Messages(MessagesEvent", "record_count")).1, message());
        assert_eq!(event("(1ms, Park(Park(Some(1.5ms))))").1, Event::Park { starts: true });
        assert_eq!(event("(1ms, 3, Park(Unpark))").1, Event::Park { starts: false });
        assert_eq!(event("(1ms, GuardedMessage(GuardedMessageEvent { is_start: true }))").1, Event::GMsg);
        assert_eq!(event("(1ms, PushProgress(PushProgressEvent { op_id: 3 }))").1, Event::PushProgress);
        assert_eq!(event(r#"(1ms, Shutdown(ShutdownEvent { id: 3, text: "})" }))"#).1, Event::Other("Shutdown"));
        for line in ["LOG1: Flush 1.2ms", "hello", "total: (3, 4)", "(3, 4)", "Result: {1ms}"] {
            assert_eq!(parse(line), Ok(Line::Foreign), "{line}");
            assert!(!begins_an_event(line), "{line}");
        }
    }

    #[test]
    fn lines_are_whole_or_refused() {
        assert_eq!(parse("  ;; a comment"), Ok(Line::Nothing));
        let text = Event::Text(r#"a \" quote) ;;"#);
        let worker = Some(0);
        assert_eq!(parse(r#"(1ns, 0, Text("a \" quote) ;;")) ;; said"#), Ok(Line::Event { at: 1, worker, event: text }));
        let other = Line::Event { at: 1, worker, event: Event::Other("Shutdown") };
        assert_eq!(parse("(1ns, 0, Shutdown { id: { 3 } })"), Ok(other));
        let refused = |line| parse(line).unwrap_err();
        assert_eq!(refused("(1ns, 0, Sched { id: 1, start_stop: Sto").0, "'Start' or 'Stop'");
        assert_eq!(refused("(1ns, 0, Sched { id: 1, start_stop: Stop }"), ("')'".to_owned(), "the end of the line".to_owned()));
        assert_eq!(refused("(1ns, Schedule(ScheduleEvent { id: 1, start_stop: Stop })").0, "')'");
        assert_eq!(refused("(1ns, Schedule(ScheduleEvent { id: 1, start_stop: Stop").0, "'}' at the end of the event");
        assert_eq!(refused("(1ns, Park(Wait))").0, "'Park' or 'Unpark'");
        assert_eq!(refused("Dataflow: Channel 3: (1, Input) (2, Map)").0, "'->'");
        assert_eq!(refused("(1ns, 0, GMsg { is_start: true }) more").1, "\"more\"");
    }
}
