//! One HTML page about all experiments, self-contained: it needs no network, no script and no other
//! file.

use std::fmt::Write as _;

use serde::Serialize;

use super::table::{UNKNOWN, table};
use crate::experiment::check::{Judged, Verdict};
use crate::experiment::environment::Environment;

/// Content of the page.
pub struct Page<'a> {
    /// Revision, machine and command of the whole.
    pub environment: &'a Environment,
    /// Size of the runs.
    pub scale: &'a str,
    /// One section per figure.
    pub sections: &'a [Section],
}

/// The section on a figure.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Section {
    /// Name of the figure.
    pub figure: String,
    /// Its title.
    pub title: String,
    /// Where the job ran.
    pub host: String,
    /// The machine.
    pub machine: String,
    /// The command that makes it.
    pub command: String,
    /// The paper's claims, with our measurements.
    pub claims: Vec<Judged>,
    /// The table that the command prints, in Markdown; not part of the JSON, like the drawings.
    #[serde(skip)]
    pub table: String,
    /// Drawings, as SVG.
    #[serde(skip)]
    pub drawings: Vec<String>,
    /// Runs with a page of their own: the name and the address of each, relative to this page.
    pub runs: Vec<(String, String)>,
    /// The checks that failed.
    pub violations: Vec<String>,
    /// The error, if the figure failed.
    pub error: Option<String>,
    /// How long it took.
    pub seconds: Option<f64>,
}

const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 } h2 { margin-top: 3rem; border-top: 1px solid #ccc; padding-top: 1rem }
table { border-collapse: collapse; font-size: 0.85rem; margin: 1rem 0 } th, td { border: 1px solid #ddd; padding: 0.25rem 0.5rem; text-align: left; vertical-align: top }
th { background: #f5f5f5 } td.number { text-align: right; white-space: nowrap } .wide { overflow-x: auto }
svg { max-width: 100%; height: auto } code { background: #f5f5f5; padding: 0 0.25rem } pre { background: #f5f5f5; padding: 0.5rem; overflow-x: auto; font-size: 0.8rem }
.verdict { white-space: nowrap; font-weight: 600 } .reproduced { color: #17663a } .shape-only { color: #7a5200 } .not-here { color: #555 }
.not-reproduced, .not-measured { color: #a11 } .small { font-size: 0.85rem; color: #555 } summary { cursor: pointer }
";

/// The page as HTML.
pub fn page(page: &Page<'_>) -> String {
    let mut html = String::new();
    let Environment { revision, machine, command, started_utc, .. } = page.environment;
    html.push_str(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n",
    );
    html.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    let _ = write!(html, "<title>Thalweg: papers and what we measured</title>\n<style>{STYLE}</style>\n</head>\n<body>\n");
    html.push_str("<h1>What papers claim, and what we measured</h1>\n");
    let _ = writeln!(
        html,
        "<p>Revision <code>{}</code>, scale <code>{}</code>, started {}, on {}.<br>Command: <code>{}</code>.</p>",
        escaped(revision),
        escaped(page.scale),
        escaped(started_utc),
        escaped(machine),
        escaped(command)
    );
    html.push_str(
        "<p>Verdicts are computed from the rows: <em>reproduced</em> if our number is within the predefined margin of the paper's, or if the \
         bound holds where the paper prints no number; <em>shape only</em> if the number differs but the bound holds.</p>\n",
    );
    let lines = |section: &Section| section.claims.iter().map(|judged| line(judged, Some(&section.figure))).collect::<String>();
    let all: String = page.sections.iter().map(lines).collect();
    let _ = writeln!(html, "<div class=\"wide\"><table>{HEAD_OF_ALL}{all}</table></div>");
    page.sections.iter().for_each(|section| html.push_str(&of_section(section)));
    html.push_str("</body>\n</html>\n");
    html
}

const HEAD_OF_ALL: &str = "<tr><th>figure</th><th>claim</th><th>paper</th><th>ours</th><th>unit</th><th>verdict</th></tr>";
const HEAD: &str = "<tr><th>claim</th><th>paper</th><th>ours</th><th>unit</th><th>verdict</th></tr>";

fn line(judged: &Judged, figure: Option<&str>) -> String {
    let claim = &judged.claim;
    let figure = figure.map_or(String::new(), |figure| format!("<td><a href=\"#{0}\">{0}</a></td>", escaped(figure)));
    let verdict = serde_json::to_value(judged.verdict).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    let why =
        claim.not_here.as_ref().filter(|_| judged.verdict == Verdict::NotHere).map_or(String::new(), |why| format!(": {}", escaped(why)));
    format!(
        "<tr>{figure}<td>{}<br><span class=\"small\">{}</span></td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td>\
         <td class=\"verdict {verdict}\">{}{why}</td></tr>\n",
        escaped(&claim.says),
        escaped(&claim.source),
        number(claim.paper),
        number(judged.found),
        escaped(&claim.unit),
        judged.verdict.text()
    )
}

fn number(number: Option<f64>) -> String {
    let Some(number) = number else { return UNKNOWN.to_owned() };
    match number.abs() {
        _ if number.fract() == 0.0 => format!("{number:.0}"),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

fn of_section(section: &Section) -> String {
    let mut html = format!("<h2 id=\"{0}\">{0}: {1}</h2>\n", escaped(&section.figure), escaped(&section.title));
    if let Some(error) = &section.error {
        let _ = writeln!(html, "<p class=\"not-measured\">Failed:</p>\n<pre>{}</pre>", escaped(error));
    }
    let claims: String = section.claims.iter().map(|judged| line(judged, None)).collect();
    let _ = writeln!(html, "<div class=\"wide\"><table>{HEAD}{claims}</table></div>");
    section.drawings.iter().for_each(|drawing| html.push_str(drawing));
    let took = section.seconds.map_or(String::new(), |seconds| format!(", in {seconds:.0} s"));
    let host = if section.host.is_empty() { String::new() } else { format!(" on {} ({}){took}", section.host, section.machine) };
    let _ = writeln!(html, "<p>Command: <code>{}</code>{}.</p>", escaped(&section.command), escaped(&host));
    if !section.runs.is_empty() {
        let links = section.runs.iter().map(|(name, address)| format!("<a href=\"{}\">{}</a>", escaped(address), escaped(name)));
        let _ = writeln!(html, "<p>Runs: {}.</p>", links.collect::<Vec<_>>().join(", "));
    }
    if !section.violations.is_empty() {
        let items: String = section.violations.iter().map(|violation| format!("<li>{}</li>", escaped(violation))).collect();
        let _ = writeln!(html, "<p>Failed checks of its definition:</p>\n<ul>{items}</ul>");
    }
    if !section.table.is_empty() {
        let _ = writeln!(html, "<details><summary>All numbers</summary>\n{}</details>", from_markdown(&section.table));
    }
    html
}

/// Converts the tables and lines of text of our own reports to HTML.
fn from_markdown(text: &str) -> String {
    let mut html = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('|') {
            let mut rows = row(line, "th");
            while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
                if !line.starts_with("|-") {
                    rows.push_str(&row(line, "td"));
                }
            }
            let _ = writeln!(html, "<div class=\"wide\"><table>{rows}</table></div>");
        } else if !line.trim().is_empty() {
            let _ = writeln!(html, "<p class=\"small\">{}</p>", escaped(line));
        }
    }
    html
}

fn row(line: &str, tag: &str) -> String {
    let cells = line.trim().trim_matches('|').split('|').map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell.trim())));
    format!("<tr>{}</tr>", cells.collect::<String>())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The same claims as a text table, one line per claim.
pub fn claims_table(sections: &[Section]) -> String {
    let line = |section: &Section, judged: &Judged| {
        let claim = &judged.claim;
        let (paper, ours) = (number(claim.paper), number(judged.found));
        [section.figure.clone(), claim.says.clone(), paper, ours, claim.unit.clone(), judged.verdict.text().to_owned()]
    };
    let lines: Vec<[String; 6]> =
        sections.iter().flat_map(|section| section.claims.iter().map(move |judged| line(section, judged))).collect();
    table(&["figure", "claim", "paper", "ours", "unit", "verdict"], &lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::check::claims;

    #[test]
    fn the_page_has_everything_in_itself() {
        let claim = claims().into_iter().find(|claim| claim.figure == "ds2-fig6").unwrap();
        let judged = Judged { claim, found: Some(1.0), verdict: Verdict::Reproduced };
        let section = Section {
            figure: "ds2-fig6".into(),
            title: "A & B".into(),
            claims: vec![judged],
            table: "| a | b |\n|---|---|\n| <1> | 2 |\n\nMedians.\n".into(),
            drawings: vec!["<svg viewBox=\"0 0 1 1\"></svg>".into()],
            violations: vec!["x < y".into()],
            ..Section::default()
        };
        let failed = Section { figure: "loop".into(), error: Some("no <space>".into()), ..Section::default() };
        let html = page(&Page { environment: &Environment::default(), scale: "quick", sections: &[section.clone(), failed] });
        for part in [
            "A &amp; B",
            "<tr><th>a</th><th>b</th></tr><tr><td>&lt;1&gt;</td><td>2</td></tr>",
            "<p class=\"small\">Medians.</p>",
            "<svg viewBox",
            "<li>x &lt; y</li>",
            "no &lt;space&gt;",
            "class=\"verdict reproduced\">reproduced",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("<script") && !html.contains(" src="));
        assert!(claims_table(&[section]).contains("| ds2-fig6 | DS2 takes"));
    }
}
