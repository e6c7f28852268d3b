//! Rows of a JSON file: a list of numbers, of pairs or of objects, one object a line, or an object
//! with a list for each column. Columns of objects come in the order of the alphabet.

use serde_json::{Map, Value};

use super::columns::{Column, Columns, RawRow, Wrong, only_one, positions};
use super::error::Place;

/// The rows of a file, with the value and the time of each.
pub(super) fn rows(text: &str, columns: &Columns) -> Result<Vec<RawRow>, Wrong> {
    let mut values = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let line = line_at(text, stream.byte_offset());
        match stream.next() {
            Some(Ok(value)) => values.push((line, value)),
            Some(Err(why)) => return Err((Place::Line(why.line() as u64), format!("expected JSON: {why}"))),
            None => break,
        }
    }
    match (values.len(), values.first()) {
        (1, Some((_, Value::Array(_)))) => {
            let Some((_, Value::Array(list))) = values.pop() else { unreachable!("just seen") };
            let of_list = |(index, value)| (Place::Entry(index), value);
            of_entries((1..).zip(list).map(of_list).collect(), columns)
        }
        (1, Some((_, Value::Object(_)))) => {
            let Some((_, Value::Object(lists))) = values.pop() else { unreachable!("just seen") };
            of_lists(&lists, columns)
        }
        _ => of_entries(values.into_iter().map(|(line, value)| (Place::Line(line), value)).collect(), columns),
    }
}

/// The line of what follows a position.
fn line_at(text: &str, offset: usize) -> u64 {
    let blank = text[offset..].len() - text[offset..].trim_start().len();
    1 + text[..offset + blank].matches('\n').count() as u64
}

fn of_entries(entries: Vec<(Place, Value)>, columns: &Columns) -> Result<Vec<RawRow>, Wrong> {
    let Some((first_place, first)) = entries.first() else { return Ok(Vec::new()) };
    // Names and number of cells that every entry has as the first.
    let (names, count): (Option<Vec<String>>, usize) = match first {
        Value::Object(object) => (Some(object.keys().cloned().collect()), object.len()),
        Value::Array(cells) => (None, cells.len()),
        Value::Number(_) | Value::String(_) | Value::Null => (None, 1),
        other => return Err((*first_place, format!("expected a number, a list or an object, found {other}"))),
    };
    let wrong = |what: String| (*first_place, what);
    names.as_ref().map_or(Ok(()), |names| only_one(names, columns)).map_err(wrong)?;
    let (value, time) = positions(names.as_deref(), count, columns).map_err(wrong)?;
    let mut rows = Vec::with_capacity(entries.len());
    for (place, entry) in &entries {
        let wrong = |what: String| (*place, what);
        let get = |index: usize| match (entry, &names) {
            (Value::Object(object), Some(names)) => {
                object.get(&names[index]).ok_or_else(|| format!("expected '{}', found none", names[index]))
            }
            (Value::Array(cells), None) if cells.len() == count => Ok(&cells[index]),
            (Value::Number(_) | Value::String(_) | Value::Null, None) if count == 1 => Ok(entry),
            _ => Err(format!("expected an entry like the first, found {entry}")),
        };
        let time = time.map(|index| get(index).and_then(cell)).transpose().map_err(wrong)?;
        rows.push(RawRow { place: *place, time, value: get(value).and_then(cell).map_err(wrong)? });
    }
    Ok(rows)
}

/// An object with a list for each column.
fn of_lists(lists: &Map<String, Value>, columns: &Columns) -> Result<Vec<RawRow>, Wrong> {
    let wrong = |what: String| (Place::File, what);
    if let Some(Column::Number(_)) = &columns.value {
        return Err(wrong("expected the column of a JSON object by its name, found a number".to_owned()));
    }
    let of_lists: Vec<String> = lists.iter().filter(|(_, value)| value.is_array()).map(|(name, _)| name.clone()).collect();
    if of_lists.is_empty() {
        return Err(wrong("expected an object with a list for each column, or a list, found no list".to_owned()));
    }
    only_one(&of_lists, columns).map_err(wrong)?;
    let (value, time) = positions(Some(&of_lists), of_lists.len(), columns).map_err(wrong)?;
    let list = |index: usize| lists[&of_lists[index]].as_array().expect("only lists are named");
    let (values, times) = (list(value), time.map(list));
    if let Some(times) = times.filter(|times| times.len() != values.len()) {
        return Err(wrong(format!("expected as many times as values, found {} and {}", times.len(), values.len())));
    }
    let row = |(index, value): (usize, &Value)| {
        let wrong = |what: String| (Place::Entry(index + 1), what);
        let time = times.map(|times| cell(&times[index])).transpose().map_err(wrong)?;
        Ok(RawRow { place: Place::Entry(index + 1), time, value: cell(value).map_err(wrong)? })
    };
    values.iter().enumerate().map(row).collect()
}

/// A number or text as a cell; nothing is an empty one.
fn cell(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        other => Err(format!("expected a number or text, found {other}")),
    }
}
