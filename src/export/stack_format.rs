//! Files of stacks: folded into lines for other programs, or drawn as a flame graph.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use super::file::WholeFile;
use super::flame;
use super::stacks::Stacks;

/// A picture of stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackFormat {
    /// A line a stack, its frames divided by semicolons, and its time in microseconds.
    Folded,
    /// A flame graph in SVG.
    Flame,
}

impl FromStr for StackFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<StackFormat, ()> {
        match text {
            "folded" => Ok(StackFormat::Folded),
            "flame" => Ok(StackFormat::Flame),
            _ => Err(()),
        }
    }
}

impl fmt::Display for StackFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StackFormat::Folded => "folded",
            StackFormat::Flame => "flame",
        })
    }
}

/// Writes stacks to a file; as a flame graph beside `before`, if it is given: frames are as long as in
/// `now`, and red where their share is larger than there.
///
/// # Errors
/// If the file cannot be written.
pub fn write_stacks(format: StackFormat, path: &Path, title: &str, now: &Stacks, before: Option<&Stacks>) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    match format {
        StackFormat::Folded => fold(&mut file, now, before)?,
        StackFormat::Flame => flame::draw(&mut file, title, now, before)?,
    }
    file.finish()
}

/// A line a stack; with its time in `before` first, as programs for differences expect it.
fn fold(out: &mut dyn Write, now: &Stacks, before: Option<&Stacks>) -> io::Result<()> {
    let micros = |of: &Stacks, frames: &Vec<String>| (of.times.get(frames).copied().unwrap_or_default() / 1000.0).round() as u64;
    let mut all: Vec<&Vec<String>> = now.times.keys().chain(before.iter().flat_map(|before| before.times.keys())).collect();
    all.sort();
    all.dedup();
    for frames in all {
        let name = frames.iter().map(|frame| frame.replace([';', '\n', '\r'], " ")).collect::<Vec<_>>().join(";");
        let earlier = before.map(|before| micros(before, frames));
        match (earlier, micros(now, frames)) {
            (None | Some(0), 0) => {}
            (None, now) => writeln!(out, "{name} {now}")?,
            (Some(earlier), now) => writeln!(out, "{name} {earlier} {now}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks(of: &[(&str, f64)]) -> Stacks {
        Stacks { times: of.iter().map(|(frames, time)| (frames.split('/').map(str::to_owned).collect(), *time)).collect() }
    }

    #[test]
    fn lines_hold_frames_and_microseconds() {
        let folded = |stacks: &Stacks, before: Option<&Stacks>| {
            let mut out = Vec::new();
            fold(&mut out, stacks, before).unwrap();
            String::from_utf8(out).unwrap()
        };
        let now = stacks(&[("a/b;c\nd", 2500.0), ("a/short", 400.0), ("z", 1e6)]);
        assert_eq!(folded(&now, None), "a;b c d 3\nz 1000\n");
        let before = stacks(&[("gone", 7000.0), ("z", 5e5)]);
        assert_eq!(folded(&now, Some(&before)), "a;b c d 0 3\ngone 7 0\nz 500 1000\n");
    }
}
