//! Numbers and texts of rows as tables and figures show them.

use super::frame::{Expression, Frame, Row, text};
use super::view::{Join, Part, Range, Show, Text};

/// What is not known.
pub const UNKNOWN: &str = "-";

/// A time of control: never so short that seconds with one decimal would hide it.
pub fn seconds(seconds: f64) -> String {
    if seconds >= 1000.0 { format!("{seconds:.0} s") } else { format!("{seconds:.1} s") }
}

/// A latency, in the unit in which it has digits before its point.
pub fn latency(ns: u64) -> String {
    let ns = ns as f64;
    match ns {
        _ if ns >= 1e9 => format!("{:.2} s", ns / 1e9),
        _ if ns >= 1e6 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.1} µs", ns / 1e3),
    }
}

/// An amount of state, in the unit in which it has digits before its point.
pub fn bytes(bytes: f64) -> String {
    match bytes {
        _ if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        _ if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        _ if bytes >= 1e3 => format!("{:.1} kB", bytes / 1e3),
        _ => format!("{bytes:.0} B"),
    }
}

/// What a part of a cell shows of a group of rows; nothing if there is nothing.
pub fn shown(part: &Part, group: &Frame, paper: &[Row], several_seeds: bool) -> Option<String> {
    let rows = if part.paper { beside(group, paper) } else { group.only(&part.only) };
    if let Some(kind) = part.text {
        let cell = of_text(kind, part, &rows)?;
        let seed = rows.rows().first().map_or("", |row| text(row, "seed"));
        return Some(if part.seed && several_seeds { format!("{cell} (seed {seed})") } else { cell });
    }
    let numbers: Vec<f64> = rows.numbers(&Expression(part.of.clone())).into_iter().map(|number| number * part.times).collect();
    let write = |number: f64| written(part.show, number);
    let taken = part.take.of(numbers.clone()).filter(|taken| !part.nonzero || *taken != 0.0)?;
    let (least, most) = (numbers.iter().copied().fold(f64::INFINITY, f64::min), numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let (middle, least, most) = (write(taken), write(least), write(most));
    Some(match part.range {
        Range::Differing if least != most => format!("{middle} ({least} to {most})"),
        Range::Always if numbers.len() > 1 => format!("{middle} ({least} to {most})"),
        Range::Instead if least != most => format!("{least} to {most}"),
        _ => middle,
    })
}

fn of_text(kind: Text, part: &Part, rows: &Frame) -> Option<String> {
    let cells = || rows.rows().iter().map(|row| text(row, &part.of));
    let several = rows.rows().len();
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match kind {
        Text::First => known(cells().next()?),
        Text::Alone => known(cells().next().filter(|_| several == 1)?),
        Text::Distinct => {
            let mut distinct = rows.distinct(&part.of);
            distinct.sort_unstable();
            known(&distinct.join(", "))
        }
        Text::Mode => {
            let count = |text: &str| cells().filter(|cell| *cell == text).count();
            // Of several with as many rows the first.
            let mode = rows.distinct(&part.of).into_iter().rev().max_by_key(|cell| count(cell))?;
            Some(if count(mode) == several { mode.to_owned() } else { format!("{mode} ({} of {several})", count(mode)) })
        }
        Text::Rows => Some(several.to_string()),
        Text::Kinds => Some(rows.distinct(&part.of).len().to_string()),
        Text::Yes => {
            let yes = cells().filter(|cell| *cell == "true").count();
            Some(if several == 1 { ["no", "yes"][yes].to_owned() } else { format!("{yes} of {several}") })
        }
        Text::Leader => {
            let windows = rows.distinct("window_start_s").len() as f64;
            let mut names = rows.distinct("name");
            names.sort_unstable();
            let sum = |name: &str| rows.filter(|row| text(row, "name") == name).numbers(&Expression(part.of.clone())).iter().sum::<f64>();
            let leader = names.into_iter().map(|name| (name, sum(name))).max_by(|a, b| a.1.total_cmp(&b.1));
            leader.map(|(name, sum)| format!("{name}, {:.0} %", sum / windows * 100.0))
        }
    }
}

/// The paper's rows that are about the same case and variant.
pub fn beside(group: &Frame, paper: &[Row]) -> Frame {
    let is_about = |of: &Row| {
        group.rows().iter().any(|row| ["case", "variant"].iter().all(|label| of.get(*label).is_none_or(|value| value == text(row, label))))
    };
    Frame::new(&[], paper.iter().filter(|of| is_about(of)).cloned().collect())
}

/// Parts of a cell together.
pub fn joined(join: &Join, parts: &[Option<String>]) -> String {
    let or_unknown = |part: &Option<String>| part.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let present: Vec<String> = parts.iter().flatten().cloned().collect();
    match join {
        Join::Text(template) => parts.iter().fold(template.clone(), |text, part| text.replacen("{}", &or_unknown(part), 1)),
        _ if present.is_empty() => UNKNOWN.to_owned(),
        Join::Slash => parts.iter().map(or_unknown).collect::<Vec<_>>().join(" / "),
        Join::Present => present.join(" / "),
        Join::First => present[0].clone(),
    }
}

/// A text with what it says of rows filled in: `{rows}`, their number; `{seeds}` and `{seeds sim}`,
/// which seeds there are, on any host or on that; `{repeats sim}`, how many rows a case and variant
/// have on that host; `{sum EXPRESSION}`; `{COLUMN}`, the first row's, and `{number COLUMN}`, with
/// its thousands apart.
/// What is in square brackets is left out if there is nothing to fill in.
pub fn filled(template: &str, frame: &Frame) -> String {
    if let Some((before, rest)) = template.split_once('[')
        && let Some((optional, after)) = rest.split_once(']')
    {
        let (before, after) = (filled(before, frame), filled(after, frame));
        let middle = fill(optional, frame).unwrap_or_default();
        return before + &middle + &after;
    }
    fill(template, frame).unwrap_or_else(|| template.to_owned())
}

/// Nothing if something that is to be filled in is not there.
fn fill(template: &str, frame: &Frame) -> Option<String> {
    let Some((before, rest)) = template.split_once('{') else { return Some(template.to_owned()) };
    let (asked, after) = rest.split_once('}')?;
    let on = |host: &str| frame.filter(|row| text(row, "host") == host);
    let first = |column: &str| frame.rows().iter().map(|row| text(row, column)).find(|cell| !cell.is_empty()).map(str::to_owned);
    let value = match asked.split_once(' ').unwrap_or((asked, "")) {
        ("rows", "") => frame.rows().len().to_string(),
        ("seeds", "") => seeds(frame)?,
        ("seeds", host) => seeds(&on(host))?,
        ("repeats", host) => repeats(&on(host))?,
        ("number", column) => thousands(first(column)?.parse().ok()?),
        ("sum", of) => frame.numbers(&Expression(of.to_owned())).iter().sum::<f64>().to_string(),
        (column, _) => first(column)?,
    };
    Some(format!("{before}{value}{}", fill(after, frame)?))
}

/// Beyond this number seeds are not listed.
const MOST_SEEDS: usize = 10;

/// The seeds of rows; nothing without any.
pub fn seeds(frame: &Frame) -> Option<String> {
    let seeds = frame.distinct("seed");
    match &seeds[..] {
        [] => None,
        [first, .., last] if seeds.len() > MOST_SEEDS => Some(format!("{first} to {last} ({} in all)", seeds.len())),
        _ => Some(seeds.join(", ")),
    }
}

/// How many rows each case and variant have, the fewest and the most.
fn repeats(frame: &Frame) -> Option<String> {
    let groups = frame.per(&["case", "start", "variant"].map(str::to_owned));
    let sizes = || groups.iter().map(|(_, group)| group.rows().len());
    let (fewest, most) = (sizes().min()?, sizes().max()?);
    Some(if fewest == most { most.to_string() } else { format!("{fewest} to {most}") })
}

/// A whole number with commas between its thousands.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let comma = |(place, digit): (usize, char)| {
        let left = digits.len() - place;
        if place > 0 && left % 3 == 0 && digits.as_bytes()[place - 1] != b'-' { format!(",{digit}") } else { digit.to_string() }
    };
    digits.chars().enumerate().map(comma).collect()
}

/// A number as a view says.
pub fn written(show: Show, number: f64) -> String {
    match show {
        Show::Plain => number.to_string(),
        Show::Whole => format!("{number:.0}"),
        Show::Floor => format!("{:.0}", number.floor()),
        Show::One => format!("{number:.1}"),
        Show::Two => format!("{number:.2}"),
        Show::Three => format!("{number:.3}"),
        // Adding 0 takes the sign from what is nothing.
        Show::Signed => format!("{:+.0}", number + 0.0),
        Show::Percent => format!("{:.1} %", number * 100.0),
        Show::Seconds => seconds(number),
        Show::WholeSeconds => format!("{number:.0} s"),
        Show::Latency => latency(number as u64),
        Show::Milliseconds => format!("{:.2} ms", number / 1e6),
        Show::SignedMilliseconds => format!("{}{:.1} ms", if number < 0.0 { "-" } else { "+" }, number.abs() / 1e6),
        Show::Bytes => bytes(number),
        Show::Mebibytes => format!("{:.0} MiB", number / f64::from(1 << 20)),
        Show::MillionKeys => format!("{:.1} M keys", number / 1e6),
        Show::Bins => format!("{number:.0} bins"),
        Show::Short => match number.abs() {
            size if size >= 9_950.0 => format!("{:.0}k", number / 1e3),
            size if size >= 999.5 => format!("{:.1}k", number / 1e3),
            size if size >= 9.95 || size.fract() < 0.05 => format!("{:.0}", number.round() + 0.0),
            _ => format!("{number:.1}"),
        },
        Show::ShortMilliseconds => match number {
            ms if ms >= 9_950.0 => format!("{:.0} s", ms / 1e3),
            ms if ms >= 999.5 => format!("{:.1} s", ms / 1e3),
            ms => format!("{ms:.0} ms"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::frame::row;

    #[test]
    fn what_stands_below_is_filled_in() {
        let line = |case: &str, seed: u64| row([("case", &case), ("host", &"sim"), ("seed", &seed), ("rate_per_s", &200_000.0)]);
        let frame = |cases: [u64; 2]| {
            let lines = ["under", "trim"].into_iter().zip(cases).flat_map(|(case, seeds)| (1..=seeds).map(move |seed| line(case, seed)));
            Frame::new(&[], lines.collect())
        };
        let foot = "{number rate_per_s} records/s, {repeats sim} runs with seeds {seeds sim}[, {repeats engine} on the engine].";
        assert_eq!(filled(foot, &frame([3, 1])), "200,000 records/s, 1 to 3 runs with seeds 1, 2, 3.");
        assert_eq!(filled(foot, &frame([12, 12])), "200,000 records/s, 12 runs with seeds 1 to 12 (12 in all).");
    }

    #[test]
    fn numbers_are_short_and_signed_where_they_should_be() {
        let short = [0.0, -0.01, 1.5, 2.0, 42.4, -950.0, 1234.0, 12_345.0].map(|number| written(Show::Short, number));
        assert_eq!(short, ["0", "0", "1.5", "2", "42", "-950", "1.2k", "12k"]);
        assert_eq!([3.2, 999.7, 45_000.0].map(|number| written(Show::ShortMilliseconds, number)), ["3 ms", "1.0 s", "45 s"]);
        assert_eq!([0.0, 999.4, 200_000.0, -1_234_567.0].map(thousands), ["0", "999", "200,000", "-1,234,567"]);
        assert_eq!([-0.4, 7.6].map(|number| written(Show::Signed, number)), ["-0", "+8"]);
        assert_eq!([-250_000.0, 9e5].map(|number| written(Show::SignedMilliseconds, number)), ["-0.2 ms", "+0.9 ms"]);
    }
}
