//! Rows of a file of separated values.

use super::columns::{Columns, RawRow, Wrong, positions};
use super::error::Place;
use super::times::is_data;

/// Separators, the first of those that are the most frequent in the first line.
const SEPARATORS: [u8; 4] = [b',', b';', b'|', b'\t'];

/// The rows of a file, with the value and the time of each.
pub(super) fn rows(text: &str, columns: &Columns) -> Result<Vec<RawRow>, Wrong> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |separator: &u8| first.bytes().filter(|byte| byte == separator).count();
    let separator = SEPARATORS.iter().rev().copied().max_by_key(count).unwrap_or(b',');
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .trim(::csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    // Where the record begins, and in which line.
    let (mut counted, mut line) = (0, 1);
    let (mut at, mut columns_found) = (None, 0);
    for record in reader.records() {
        let record = record.map_err(|why| {
            let line = why.position().map_or(Place::File, |position| Place::Line(position.line()));
            (line, format!("expected cells: {why}"))
        })?;
        // A quoted cell may have several lines; the one it begins in is named. The reader's own
        // count stops before empty lines.
        let from = record.position().map_or(counted, |position| position.byte() as usize);
        let rest = text.get(from..).unwrap_or_default();
        let begins = from + rest.len() - rest.trim_start_matches(['\r', '\n']).len();
        line += text.get(counted..begins).unwrap_or_default().matches('\n').count() as u64;
        counted = begins;
        let place = Place::Line(line);
        if record.iter().all(str::is_empty) {
            continue;
        }
        let Some((value, time)) = at else {
            let names: Vec<String> = record.iter().map(str::to_owned).collect();
            // With one number or date in it, a first row is data.
            let header = (!names.iter().any(|cell| is_data(cell))).then_some(&names[..]);
            let found = positions(header, names.len(), columns).map_err(|what| (place, what))?;
            (at, columns_found) = (Some(found), names.len());
            if header.is_none() {
                rows.push(row(place, &record, found));
            }
            continue;
        };
        if record.len() != columns_found {
            return Err((place, format!("expected {columns_found} cells, found {}", record.len())));
        }
        rows.push(row(place, &record, (value, time)));
    }
    Ok(rows)
}

fn row(place: Place, record: &::csv::StringRecord, (value, time): (usize, Option<usize>)) -> RawRow {
    let cell = |index: usize| record.get(index).unwrap_or_default().to_owned();
    RawRow { place, time: time.map(cell), value: cell(value) }
}
