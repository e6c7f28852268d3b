//! Tables that are readable both as text and as Markdown.

/// Placeholder for an unknown value.
pub(super) const UNKNOWN: &str = "-";

/// A duration of control, in seconds.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds >= 1000.0 { format!("{seconds:.0} s") } else { format!("{seconds:.1} s") }
}

/// A latency, in a unit in which it is at least 1.
pub(super) fn latency(ns: u64) -> String {
    let ns = ns as f64;
    match ns {
        _ if ns >= 1e9 => format!("{:.2} s", ns / 1e9),
        _ if ns >= 1e6 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.1} µs", ns / 1e3),
    }
}

/// An amount of state, in a unit in which it is at least 1.
pub(super) fn bytes(bytes: f64) -> String {
    match bytes {
        _ if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        _ if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        _ if bytes >= 1e3 => format!("{:.1} kB", bytes / 1e3),
        _ => format!("{bytes:.0} B"),
    }
}

/// The two values of a cell: the paper's and ours, or two percentiles.
pub(super) fn pair(left: Option<String>, right: Option<String>) -> String {
    match (left, right) {
        (None, None) => UNKNOWN.to_owned(),
        (left, right) => format!("{} / {}", left.as_deref().unwrap_or(UNKNOWN), right.as_deref().unwrap_or(UNKNOWN)),
    }
}

/// Markdown with columns as wide as their widest cell.
pub(super) fn table<const N: usize>(header: &[&str; N], lines: &[[String; N]]) -> String {
    let header = header.map(str::to_owned);
    let width = |column: usize| std::iter::once(&header).chain(lines).map(|cells| clean(&cells[column]).chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let written = |cells: &[String; N]| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!(" {:<width$} |", clean(cell)));
        format!("|{}\n", padded.collect::<String>())
    };
    let rule: String = widths.iter().map(|width| format!("-{}-|", "-".repeat(*width))).collect();
    let body: String = lines.iter().map(written).collect();
    format!("{}|{rule}\n{body}", written(&header))
}

/// Removes characters that would end a cell.
fn clean(cell: &str) -> String {
    cell.replace('|', "/").replace('\n', " ")
}
