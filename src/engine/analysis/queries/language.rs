//! What can be asked of the analysis for good, and how it is written.
//!
//! ```text
//! query    = "participation" ("operator" | "instance" | "channel") ">" percent [ "over" windows | "in each of" windows ]
//!          | ("epoch" | "message" | "activity") ">" duration [ "over" windows ]
//!          | "wait" ">" duration [ "over" windows ]
//!          | "wait" "in" number "of" windows
//! windows  = number ("window" | "windows")                      1 to 10000; one window where nothing is said
//! percent  = decimal "%"                                        0 % to 100 %, in steps of 1e-7 %
//! duration = decimal ("ns" | "us" | "ms" | "s")                 whole nanoseconds
//! ```
//!
//! "Over n windows" is an average for participations, a sum for waits, and "in at least one of
//! them" for the rest. Windows in which nothing happened count as windows without anything.
//! Invariant: what a query displays is read back as the same query.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// Windows that a query looks back, at most.
pub const MOST_WINDOWS: u32 = 10_000;

/// A share in parts per billion, so that sums of shares do not depend on their order.
pub(super) const WHOLE: u64 = 1_000_000_000;

/// Of what the critical participation is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Operators, and what they wait for outside the dataflow.
    Operator,
    /// Instances, and what their operators wait for outside the dataflow.
    Instance,
    /// Channels.
    Channel,
}

/// What may take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// An epoch, from when its first record was due until it was complete. One subject: the job's
    /// epochs.
    Epoch,
    /// A message, from when it was sent until it was taken; by channel.
    Message,
    /// An activity on one batch; by operator.
    Activity,
}

/// A query that is evaluated in every window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingQuery {
    /// Whose participation, averaged over the last windows, is above a share.
    ParticipationOver {
        /// Of what.
        part: Part,
        /// Parts per billion.
        above: u64,
        /// Windows; at least 1.
        windows: u32,
    },
    /// Whose participation is above a share in each of the last windows.
    ParticipationInEach {
        /// Of what.
        part: Part,
        /// Parts per billion.
        above: u64,
        /// Windows; at least 1.
        windows: u32,
    },
    /// What took longer than a duration at least once in the last windows.
    Longer {
        /// What.
        span: Span,
        /// The duration.
        than: Duration,
        /// Windows; at least 1.
        windows: u32,
    },
    /// Waits of the same pattern that sum to more than a duration over the last windows.
    WaitOver {
        /// The duration.
        above: Duration,
        /// Windows; at least 1.
        windows: u32,
    },
    /// Waits of the same pattern in at least that many of the last windows.
    WaitIn {
        /// Windows with such a wait; at least 1, at most `windows`.
        least: u32,
        /// Windows; at least 1.
        windows: u32,
    },
}

impl StandingQuery {
    /// How many windows it looks back.
    pub fn windows(&self) -> u32 {
        match self {
            StandingQuery::ParticipationOver { windows, .. }
            | StandingQuery::ParticipationInEach { windows, .. }
            | StandingQuery::Longer { windows, .. }
            | StandingQuery::WaitOver { windows, .. }
            | StandingQuery::WaitIn { windows, .. } => *windows,
        }
    }
}

/// A text that is no query: where it stops being one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in '{text}': expected {expected}, found {}", found.as_ref().map_or("the end".to_owned(), |found| format!("'{found}'")))]
pub struct QueryError {
    /// The whole text.
    pub text: String,
    /// What would have been right.
    pub expected: &'static str,
    /// The word that stands there; nothing at the end of the text.
    pub found: Option<String>,
}

struct Words<'a> {
    text: &'a str,
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Words<'a> {
        let mut rest: Vec<&str> = Vec::new();
        for word in text.split_whitespace() {
            // The sign may stand close to its neighbours.
            rest.extend(word.split_inclusive('>').flat_map(|part| match part.strip_suffix('>') {
                Some(before) => [before, ">"],
                None => [part, ""],
            }));
        }
        rest.retain(|word| !word.is_empty());
        rest.reverse();
        Words { text, rest }
    }

    fn error(&self, expected: &'static str) -> QueryError {
        QueryError { text: self.text.to_owned(), expected, found: self.rest.last().map(|&word| word.to_owned()) }
    }

    /// The next word, as far as `read` understands it.
    fn read<T>(&mut self, expected: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, QueryError> {
        let value = self.rest.last().and_then(|word| read(word)).ok_or_else(|| self.error(expected))?;
        self.rest.pop();
        Ok(value)
    }

    fn expect(&mut self, expected: &'static str, word: &str) -> Result<(), QueryError> {
        self.read(expected, |found| (found == word).then_some(()))
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.rest.last() == Some(&word);
        if is {
            self.rest.pop();
        }
        is
    }

    fn above<T>(&mut self, expected: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, QueryError> {
        self.expect("'>'", ">")?;
        self.read(expected, read)
    }

    fn windows(&mut self) -> Result<u32, QueryError> {
        let windows = self.read("a number of windows from 1 to 10000", |word| {
            let windows: u32 = word.parse().ok()?;
            (1..=MOST_WINDOWS).contains(&windows).then_some(windows)
        })?;
        self.read("'windows'", |word| (word == "windows" || word == "window").then_some(()))?;
        Ok(windows)
    }

    /// `"over" windows`, or one window.
    fn over(&mut self) -> Result<u32, QueryError> {
        if self.next_is("over") { self.windows() } else { Ok(1) }
    }
}

impl FromStr for StandingQuery {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<StandingQuery, QueryError> {
        const DURATION: &str = "a duration such as 200ms (ns, us, ms or s)";
        let mut words = Words::new(text);
        let subject = words.read("'participation', 'epoch', 'message', 'activity' or 'wait'", |word| {
            let known = ["participation", "epoch", "message", "activity", "wait"];
            known.into_iter().find(|known| *known == word)
        })?;
        let query = match subject {
            "participation" => {
                let part = words.read("'operator', 'instance' or 'channel'", |word| match word {
                    "operator" => Some(Part::Operator),
                    "instance" => Some(Part::Instance),
                    "channel" => Some(Part::Channel),
                    _ => None,
                })?;
                let above = words.above("a share from 0% to 100%", percent)?;
                if words.next_is("in") {
                    words.expect("'each'", "each")?;
                    words.expect("'of'", "of")?;
                    StandingQuery::ParticipationInEach { part, above, windows: words.windows()? }
                } else {
                    StandingQuery::ParticipationOver { part, above, windows: words.over()? }
                }
            }
            "wait" if words.next_is("in") => {
                let before = words.rest.clone();
                let least = words.read("a number of windows", |word| word.parse().ok().filter(|&least: &u32| least >= 1))?;
                words.expect("'of'", "of")?;
                let windows = words.windows()?;
                if least > windows {
                    words.rest = before;
                    return Err(words.error("no more windows than are looked at"));
                }
                StandingQuery::WaitIn { least, windows }
            }
            "wait" => StandingQuery::WaitOver { above: words.above(DURATION, duration)?, windows: words.over()? },
            span => {
                let span = match span {
                    "epoch" => Span::Epoch,
                    "message" => Span::Message,
                    _ => Span::Activity,
                };
                StandingQuery::Longer { span, than: words.above(DURATION, duration)?, windows: words.over()? }
            }
        };
        match words.rest.last() {
            None => Ok(query),
            Some(_) => Err(words.error("nothing more")),
        }
    }
}

/// A decimal number times `10^digits`, if that is whole.
fn decimal(text: &str, digits: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > digits || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    format!("{whole}{fraction}{}", "0".repeat(digits - fraction.len())).parse().ok()
}

fn percent(text: &str) -> Option<u64> {
    decimal(text.strip_suffix('%')?, 7).filter(|&share| share <= WHOLE)
}

/// Units with the number of decimal digits of a nanosecond in them; those that end others come
/// last.
const UNITS: [(&str, usize); 4] = [("ns", 0), ("us", 3), ("ms", 6), ("s", 9)];

fn duration(text: &str) -> Option<Duration> {
    let (number, digits) = UNITS.iter().find_map(|(unit, digits)| Some((text.strip_suffix(unit)?, *digits)))?;
    decimal(number, digits).map(Duration::from_nanos)
}

/// The opposite of [`decimal`].
struct Decimal(u128, usize);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10u128.pow(self.1 as u32);
        write!(f, "{}", self.0 / unit)?;
        let fraction = format!("{:0width$}", self.0 % unit, width = self.1);
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            fraction => write!(f, ".{fraction}"),
        }
    }
}

struct Length(Duration);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        // The largest unit of which it is at least one.
        let (unit, digits) = UNITS.iter().rev().find(|(_, digits)| ns >= 10u128.pow(*digits as u32)).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", Decimal(ns, *digits))
    }
}

struct Windows(u32);

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} window{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

impl fmt::Display for StandingQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            StandingQuery::ParticipationOver { part, above, windows } => {
                write!(f, "participation {part} > {}% over {}", Decimal(above.into(), 7), Windows(windows))
            }
            StandingQuery::ParticipationInEach { part, above, windows } => {
                write!(f, "participation {part} > {}% in each of {}", Decimal(above.into(), 7), Windows(windows))
            }
            StandingQuery::Longer { span, than, windows } => write!(f, "{span} > {} over {}", Length(than), Windows(windows)),
            StandingQuery::WaitOver { above, windows } => write!(f, "wait > {} over {}", Length(above), Windows(windows)),
            StandingQuery::WaitIn { least, windows } => write!(f, "wait in {least} of {}", Windows(windows)),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Operator => "operator",
            Part::Instance => "instance",
            Part::Channel => "channel",
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Span::Epoch => "epoch",
            Span::Message => "message",
            Span::Activity => "activity",
        })
    }
}

impl Serialize for StandingQuery {
    /// As it is written.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_are_read_as_they_are_written() {
        let milliseconds = Duration::from_millis;
        let half = WHOLE / 2;
        let cases = [
            (
                "participation operator > 50% over 3 windows",
                StandingQuery::ParticipationOver { part: Part::Operator, above: half, windows: 3 },
            ),
            (
                "participation channel>12.5% in each of 1 window",
                StandingQuery::ParticipationInEach { part: Part::Channel, above: WHOLE / 8, windows: 1 },
            ),
            ("epoch > 200ms", StandingQuery::Longer { span: Span::Epoch, than: milliseconds(200), windows: 1 }),
            ("message > 5ms", StandingQuery::Longer { span: Span::Message, than: milliseconds(5), windows: 1 }),
            ("activity >0.02s over 2 windows", StandingQuery::Longer { span: Span::Activity, than: milliseconds(20), windows: 2 }),
            ("wait > 100ms over 5 windows", StandingQuery::WaitOver { above: milliseconds(100), windows: 5 }),
            ("wait in 3 of 5 windows", StandingQuery::WaitIn { least: 3, windows: 5 }),
        ];
        for (text, query) in cases {
            assert_eq!(text.parse(), Ok(query));
        }
    }

    #[test]
    fn what_is_no_query_is_told_where_it_stops_being_one() {
        let cases = [
            ("", "in '': expected 'participation', 'epoch', 'message', 'activity' or 'wait', found the end"),
            ("participation worker > 5%", "in 'participation worker > 5%': expected 'operator', 'instance' or 'channel', found 'worker'"),
            ("participation operator > 500%", "in 'participation operator > 500%': expected a share from 0% to 100%, found '500%'"),
            ("epoch > 200", "in 'epoch > 200': expected a duration such as 200ms (ns, us, ms or s), found '200'"),
            ("epoch > 0.5ns", "in 'epoch > 0.5ns': expected a duration such as 200ms (ns, us, ms or s), found '0.5ns'"),
            ("epoch > 5 ms", "in 'epoch > 5 ms': expected a duration such as 200ms (ns, us, ms or s), found '5'"),
            ("epoch 200ms", "in 'epoch 200ms': expected '>', found '200ms'"),
            ("wait in 7 of 5 windows", "in 'wait in 7 of 5 windows': expected no more windows than are looked at, found '7'"),
            ("wait > 1s over 0 windows", "in 'wait > 1s over 0 windows': expected a number of windows from 1 to 10000, found '0'"),
            ("wait > 1s over 5 rows", "in 'wait > 1s over 5 rows': expected 'windows', found 'rows'"),
            ("wait > 1s please", "in 'wait > 1s please': expected nothing more, found 'please'"),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<StandingQuery>().unwrap_err().to_string(), error);
        }
    }

    fn any_query() -> impl Strategy<Value = StandingQuery> {
        let part = prop::sample::select(vec![Part::Operator, Part::Instance, Part::Channel]);
        let span = prop::sample::select(vec![Span::Epoch, Span::Message, Span::Activity]);
        let rest = (0..=WHOLE, any::<u64>(), 1..=MOST_WINDOWS, 1..=MOST_WINDOWS, 0..5);
        (part, span, rest).prop_map(|(part, span, (above, ns, windows, least, which))| match which {
            0 => StandingQuery::ParticipationOver { part, above, windows },
            1 => StandingQuery::ParticipationInEach { part, above, windows },
            2 => StandingQuery::Longer { span, than: Duration::from_nanos(ns), windows },
            3 => StandingQuery::WaitOver { above: Duration::from_nanos(ns), windows },
            _ => StandingQuery::WaitIn { least: least.min(windows), windows },
        })
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(query in any_query()) {
            prop_assert_eq!(query.to_string().parse(), Ok(query));
        }

        #[test]
        fn no_text_panics(text in "(participation|epoch|wait|in|of|over|>|[0-9.]{1,25}(ms|s|%)?|windows|é| ){0,9}") {
            let _ = text.parse::<StandingQuery>();
        }
    }
}
