//! The critical path laid over a trace of Chrome: a copy of the file with one more process on top of
//! all others, whose slices are the most likely path.
//!
//! Nothing of the file is changed: the slices come first in its list of events. They are of a category
//! that is left out when the copy is analysed again. Invariant: of the file no more is held than a
//! buffer.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use serde_json::json;

use super::View;
use super::file::WholeFile;
use super::path_slices::path_slices;

/// Number of the process on top; no operating system gives one of this number.
const PROCESS: u64 = i32::MAX as u64;

/// The path so far.
pub struct Overlay {
    file: WholeFile,
    /// Events: start and length in ns, name, lane.
    slices: Vec<(u64, u64, String, String)>,
}

impl Overlay {
    /// Creates a file. It gets the name `path` only with [`finish`](Self::finish); if dropped before,
    /// nothing remains.
    ///
    /// # Errors
    /// If no file can be written beside `path`, or `path` is a folder.
    pub fn create(path: &Path) -> io::Result<Overlay> {
        Ok(Overlay { file: WholeFile::create(path)?, slices: Vec::new() })
    }

    /// Adds a window.
    pub fn window(&mut self, view: &View<'_>) {
        for slice in path_slices(view) {
            let lane = view.names.lane(slice.lane);
            match self.slices.last_mut() {
                // It goes on from the window before.
                Some((start, length, label, of)) if *start + *length == slice.start.0 && *label == slice.label && *of == lane => {
                    *length = slice.end.0 - *start;
                }
                _ => self.slices.push((slice.start.0, slice.end.0 - slice.start.0, slice.label, lane)),
            }
        }
    }

    /// Completes the file: a copy of `content`, the unpacked trace, whose times are `origin` ns later
    /// than those of the windows.
    ///
    /// # Errors
    /// If one of the files cannot be read or written, or `content` has no list of events; nothing of
    /// the copy remains then.
    pub fn finish(mut self, content: impl Read, origin: u64) -> io::Result<()> {
        let mut content = io::BufReader::new(content);
        if !copy_head(&mut content, &mut self.file)? {
            return Err(io::Error::other("expected a list of events in the trace, found none"));
        }
        let named = [
            json!({ "ph": "M", "name": "process_name", "cat": "critical", "pid": PROCESS, "tid": 1, "args": { "name": "critical path" } }),
            json!({ "ph": "M", "name": "process_sort_index", "cat": "critical", "pid": PROCESS, "tid": 1, "args": { "sort_index": -1 } }),
        ];
        for (number, event) in named.iter().enumerate() {
            write!(self.file, "{}{event}", if number > 0 { ",\n" } else { "\n" })?;
        }
        for (start, length, name, lane) in &self.slices {
            let (name, lane) = (json!(name), json!(lane));
            let (at, for_ns) = (start + origin, *length);
            // Times keep their decimals as text: as numbers those of today would lose them.
            write!(
                self.file,
                ",\n{{\"ph\":\"X\",\"cat\":\"critical\",\"pid\":{PROCESS},\"tid\":1,\"ts\":{}.{:03},\"dur\":{}.{:03},\"name\":{name},\"args\":{{\"lane\":{lane}}}}}",
                at / 1000,
                at % 1000,
                for_ns / 1000,
                for_ns % 1000
            )?;
        }
        let is_empty = loop {
            let chunk = content.fill_buf()?;
            let blank = chunk.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let (ends, length) = (chunk.get(blank).copied(), chunk.len());
            content.consume(blank);
            if blank < length || length == 0 {
                break ends.is_none_or(|byte| byte == b']');
            }
        };
        self.file.write_all(if is_empty { b"\n" } else { b",\n" })?;
        io::copy(&mut content, &mut self.file)?;
        self.file.finish()
    }
}

/// Copies what precedes the first event, with the bracket that opens the list: that of `traceEvents`,
/// or the document itself. False if there is none.
fn copy_head(content: &mut impl BufRead, out: &mut impl Write) -> io::Result<bool> {
    let (mut depth, mut is_quoted, mut is_escaped) = (0u32, false, false);
    // The string that was read last, and whether a colon followed.
    let (mut text, mut is_key) = (Vec::new(), false);
    loop {
        let chunk = content.fill_buf()?;
        if chunk.is_empty() {
            return Ok(false);
        }
        let (mut used, mut found) = (0, false);
        while used < chunk.len() && !found {
            let byte = chunk[used];
            used += 1;
            if is_quoted {
                is_quoted = byte != b'"' || is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                if is_quoted && text.len() < 64 {
                    text.push(byte);
                }
                continue;
            }
            match byte {
                b'"' => {
                    text.clear();
                    (is_quoted, is_escaped, is_key) = (true, false, false);
                }
                b':' => is_key = true,
                b'[' if depth == 0 || (depth == 1 && is_key && text == b"traceEvents") => found = true,
                b'[' | b'{' => (depth, is_key) = (depth + 1, false),
                b']' | b'}' => (depth, is_key) = (depth.saturating_sub(1), false),
                b',' => is_key = false,
                _ => {}
            }
        }
        out.write_all(&chunk[..used])?;
        content.consume(used);
        if found {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn laid_over(document: &str) -> Result<Value, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.json");
        let mut overlay = Overlay::create(&path).unwrap();
        overlay.slices.push((1_500, 2_001, "a \"b\"".to_owned(), "one".to_owned()));
        // A buffer smaller than a key.
        overlay
            .finish(io::BufReader::with_capacity(3, document.as_bytes()), 1_700_000_000_000_000_000)
            .map_err(|error| error.to_string())?;
        Ok(serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{error}: {document}")))
    }

    #[test]
    fn the_path_comes_before_the_events_and_nothing_else_changes() {
        let documents = [
            (r#"{"a":{"traceEvents":[{"no":1}]},"b":"traceEvents","c":[1],"traceEvents" : [ {"ph":"X","ts":1}, {"ph":"i"}],"z":2}"#, 2),
            (r#"[{"ph":"X"}]"#, 1),
            ("{\"traceEvents\": [\n ] }", 0),
        ];
        for (document, number) in documents {
            let (mut found, original) = (laid_over(document).unwrap(), serde_json::from_str::<Value>(document).unwrap());
            let is_list = original.is_array();
            let events = if is_list { &mut found } else { &mut found["traceEvents"] };
            let rest = events.as_array_mut().unwrap().split_off(3);
            assert_eq!(rest.len(), number);
            let slice = &events[2];
            assert_eq!(
                (slice["name"].as_str(), slice["args"]["lane"].as_str(), slice["dur"].as_f64()),
                (Some("a \"b\""), Some("one"), Some(2.001))
            );
            *events = Value::Array(rest);
            assert_eq!(found, original);
        }
        assert!(laid_over(r#"{"traceEvents": {}}"#).unwrap_err().contains("found none"));
    }
}
