//! Tables that are readable both as text and as Markdown.

pub(super) use crate::experiment::shown::{UNKNOWN, bytes, latency, seconds};

/// Markdown with columns as wide as their widest cell.
pub(super) fn table(header: &[impl AsRef<str>], lines: &[impl AsRef<[String]>]) -> String {
    let header: Vec<String> = header.iter().map(|cell| clean(cell.as_ref())).collect();
    let lines: Vec<Vec<String>> = lines.iter().map(|cells| cells.as_ref().iter().map(|cell| clean(cell)).collect()).collect();
    let all = || std::iter::once(&header).chain(&lines);
    let widths: Vec<usize> = (0..header.len()).map(|column| all().map(|cells| cells[column].chars().count()).max().unwrap_or(0)).collect();
    let written = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!(" {cell:<width$} |"));
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
