//! Parses one line of timely's log as text.
//!
//! Invariant: a line is understood as a whole, rejected with what was expected and what was found, or
//! taken for something else that a program printed, which it is unless it begins as an event or a line
//! of the head does: up to the name of an event that is known.

use super::super::error::excerpt;
use super::rest::{END, Refused, Rest};

/// Longer labels before an event are none.
const MOST_LABEL: usize = 40;

/// The names of the events that are read, of all versions.
const READ: [&str; 13] = [
    "Operates",
    "Channels",
    "Sched",
    "Schedule",
    "Msg",
    "Messages",
    "GMsg",
    "GuardedMessage",
    "Progress",
    "TimelyProgress",
    "PushProgress",
    "Park",
    "Text",
];

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

/// Whether a line is more than what a program may print: it names an event that is read, after what
/// may be meant as a time or a worker, or begins as a line of the head does.
pub(super) fn is_meant(line: &str) -> bool {
    let line = line.trim();
    let begins = |text: &str| {
        let mut rest = Rest { rest: text };
        let has_number = rest.skip("(") && rest.rest.starts_with(|c: char| c.is_ascii_digit());
        rest.while_is(|c| c.is_alphanumeric() || c == '.');
        let has_number = has_number && rest.skip(",");
        if rest.number().is_ok() {
            rest.skip(",");
        }
        has_number && READ.contains(&rest.word()) && rest.rest.starts_with(['(', '{'])
    };
    let mut head = Rest { rest: line };
    let is_head = head.skip("Dataflow:") && (head.skip("Channel") || head.skip("(")) && head.number().is_ok();
    is_head || begins(line) || event_of(line).is_some_and(begins)
}

/// Whether a line ends within its brackets, or where `refused` says so.
pub(super) fn is_cut_off(line: &str, refused: Option<&Refused>) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0i64, false, false);
    for c in line.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            '{' | '(' | '[' if !quoted => depth += 1,
            '}' | ')' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    depth > 0 || refused.is_some_and(|(_, found)| found == END)
}

/// Parses a line.
pub(super) fn parse(line: &str) -> Result<Line<'_>, Refused> {
    match whole(line) {
        Err(_) if !is_meant(line) => Ok(Line::Foreign),
        parsed => parsed,
    }
}

/// Parses a line that may be meant for an event.
fn whole(line: &str) -> Result<Line<'_>, Refused> {
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
    } else if let Some(event) = event_of(rest.rest).or_else(|| rest.rest.starts_with('(').then_some(rest.rest)) {
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

impl<'l> Rest<'l> {
    /// `(1, Input)`
    fn end(&mut self) -> Result<End<'l>, Refused> {
        self.expect("(")?;
        let operator = self.number()?;
        self.expect(",")?;
        let name = self.while_is(|c| c != ')').trim_end();
        self.expect(")")?;
        Ok(End { operator, name })
    }

    /// `Sched { … }`, or since timely 0.9 `Schedule(ScheduleEvent { … })`.
    fn event(&mut self) -> Result<Event<'l>, Refused> {
        let name = self.word();
        match name {
            "Text" => return self.text(),
            "Park" if self.rest.starts_with('(') => return self.park(),
            _ => {}
        }
        // The name of the structure adds nothing.
        let is_wrapped = self.skip("(");
        if is_wrapped {
            self.word();
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

    /// `addr: [0, 3]`: the last number.
    fn address(&mut self) -> Result<u64, Refused> {
        self.skip(",");
        if self.rest.starts_with("identifier") {
            return self.field("identifier");
        }
        let numbers = self.numbers("addr")?;
        numbers.last().copied().map_or_else(|| self.refuse("a number of 64 bits"), Ok)
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
        let starts = match self.word() {
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
}

#[cfg(test)]
mod tests;
