//! A flame graph in SVG: a box a frame, as wide as its share, upon the box of the frame around it.
//!
//! It needs no program to be looked at: who points at a box sees its name, time and share. Boxes of
//! less than a twentieth of a pixel are left out.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::stacks::{NOTHING, Stacks};

const WIDTH: f64 = 1200.0;
const ROW: f64 = 18.0;
const MARGIN: f64 = 10.0;
const HEAD: f64 = 34.0;
/// Narrower boxes are left out.
const LEAST: f64 = 0.05;
/// Of what is no work of an operator.
const IDLE: &str = "rgb(222,222,222)";
/// Of a letter.
const LETTER: f64 = 6.6;
/// The most frames of a stack.
const MOST_DEPTH: usize = 64;

/// A frame with those upon it.
#[derive(Debug, Default)]
struct Frame {
    /// In ns, here and in what it is compared with.
    now: f64,
    before: f64,
    above: BTreeMap<String, Frame>,
}

impl Frame {
    fn add(&mut self, frames: &[String], now: f64, before: f64) {
        self.now += now;
        self.before += before;
        if let Some((first, rest)) = frames.split_first() {
            self.above.entry(first.clone()).or_default().add(rest, now, before);
        }
    }

    fn depth(&self) -> usize {
        1 + self.above.values().map(Frame::depth).max().unwrap_or(0)
    }
}

/// What all boxes have in common.
struct Drawing<'a> {
    out: &'a mut dyn Write,
    all: &'a Frame,
    is_difference: bool,
    height: f64,
}

/// Draws `stacks`; if `before` is given, coloured by the difference of shares.
pub(super) fn draw(out: &mut dyn Write, title: &str, stacks: &Stacks, before: Option<&Stacks>) -> io::Result<()> {
    let mut all = Frame::default();
    let cut = |frames: &[String]| frames.len().min(MOST_DEPTH);
    stacks.times.iter().for_each(|(frames, time)| all.add(&frames[..cut(frames)], *time, 0.0));
    before.iter().flat_map(|before| &before.times).for_each(|(frames, time)| all.add(&frames[..cut(frames)], 0.0, *time));
    let height = HEAD + all.depth() as f64 * ROW + MARGIN;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"monospace\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{}\" y=\"22\" font-size=\"14\" text-anchor=\"middle\">{}</text>",
        WIDTH / 2.0,
        escaped(title)
    )?;
    let mut drawing = Drawing { out: &mut *out, all: &all, is_difference: before.is_some(), height };
    drawing.frame("critical paths", &all, MARGIN, 0, false)?;
    writeln!(out, "</svg>")
}

impl Drawing<'_> {
    /// Draws a frame from `x` on, and those upon it; `is_idle` if nobody worked below it.
    fn frame(&mut self, name: &str, frame: &Frame, x: f64, level: usize, is_idle: bool) -> io::Result<()> {
        let share = frame.now / self.all.now.max(1.0);
        let width = share * (WIDTH - 2.0 * MARGIN);
        if width < LEAST {
            return Ok(());
        }
        let y = self.height - MARGIN - (level + 1) as f64 * ROW;
        let more = share - frame.before / self.all.before.max(1.0);
        let earlier = if self.is_difference { format!(", {:+.1} points", 100.0 * more) } else { String::new() };
        let about = format!("{name}: {:.3} ms, {:.1} %{earlier}", frame.now / 1e6, 100.0 * share);
        let is_idle = is_idle || level == 1 && name == NOTHING;
        let fill = match is_idle {
            _ if self.is_difference => by_difference(more),
            true => IDLE.to_owned(),
            false => by_name(name),
        };
        write!(
            self.out,
            "<g><title>{}</title><rect x=\"{x:.2}\" y=\"{y:.1}\" width=\"{width:.2}\" height=\"{:.1}\" fill=\"{fill}\" rx=\"1\"/>",
            escaped(&about),
            ROW - 1.0
        )?;
        let letters = ((width - 6.0) / LETTER) as usize;
        if letters >= 3 {
            let is_long = name.chars().count() > letters;
            let shown: String = if is_long { name.chars().take(letters - 1).chain(['…']).collect() } else { name.to_owned() };
            write!(self.out, "<text x=\"{:.2}\" y=\"{:.1}\">{}</text>", x + 3.0, y + 12.5, escaped(&shown))?;
        }
        writeln!(self.out, "</g>")?;
        let mut x = x;
        for (name, above) in &frame.above {
            self.frame(name, above, x, level + 1, is_idle)?;
            x += above.now / self.all.now.max(1.0) * (WIDTH - 2.0 * MARGIN);
        }
        Ok(())
    }
}

/// A warm colour, always the same for a name.
fn by_name(name: &str) -> String {
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("rgb({},{},{})", 205 + hash % 50, 110 + (hash >> 8) % 110, 50 + (hash >> 16) % 40)
}

/// Red for more, blue for less, white for as much; full at a fifth of the critical paths.
fn by_difference(more: f64) -> String {
    let strength = (more.abs() / 0.2).min(1.0).sqrt();
    let faded = (255.0 - 175.0 * strength) as u8;
    if more > 0.0 { format!("rgb(255,{faded},{faded})") } else { format!("rgb({faded},{faded},255)") }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stacks(of: &[(&str, f64)]) -> Stacks {
        Stacks { times: of.iter().map(|(frames, time)| (frames.split('/').map(str::to_owned).collect(), *time)).collect() }
    }

    fn drawn(now: &Stacks, before: Option<&Stacks>) -> String {
        let mut out = Vec::new();
        draw(&mut out, "A & B", now, before).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn boxes_are_as_wide_as_their_share_and_say_what_they_are() {
        let svg = drawn(&stacks(&[("map<x>/work", 3e6), ("sink", 1e6), ("tiny", 10.0)]), None);
        assert!(svg.contains("<title>map&lt;x&gt;: 3.000 ms, 75.0 %</title><rect x=\"10.00\""), "{svg}");
        assert!(svg.contains("width=\"885.00\""), "{svg}");
        assert!(svg.contains(">A &amp; B</text>") && !svg.contains("tiny") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
        assert_eq!(svg.matches("<g>").count(), 4);
        assert!(drawn(&Stacks::default(), None).ends_with("</svg>\n"));
    }

    #[test]
    fn where_nothing_ran_boxes_are_grey() {
        let svg = drawn(&stacks(&[("map/work", 3e6), ("nothing ran/worker1", 1e6)]), None);
        let grey: Vec<&str> = svg.lines().filter(|line| line.contains(IDLE)).collect();
        assert!(grey.len() == 2 && grey[0].contains("nothing ran:") && grey[1].contains("worker1:"), "{svg}");
    }

    #[test]
    fn differences_are_red_where_there_is_more() {
        let svg = drawn(&stacks(&[("a", 3e6), ("b", 1e6)]), Some(&stacks(&[("a", 1e6), ("b", 1e6)])));
        let of = |name: &str| svg.lines().find(|line| line.contains(&format!("<title>{name}:"))).unwrap().to_owned();
        assert!(of("a").contains("+25.0 points") && of("a").contains("fill=\"rgb(255,80,80)\""), "{}", of("a"));
        assert!(of("b").contains("-25.0 points") && of("b").contains(",255)\""), "{}", of("b"));
    }
}
