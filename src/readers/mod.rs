//! Traces in various formats, read as [`Record`]s: Thalweg's activity logs, SnailTrail's traces,
//! Spark's event logs, timely's log as text, trace events of Chrome, traces of Jaeger and of OpenTelemetry; plain or compressed with gzip, zstd or lz4.
//!
//! Invariants: memory is bounded however long the files are; several files are merged by time;
//! everything before damage is returned, then the damage is reported with its file and place;
//! everything skipped or adjusted is counted.
//!
//! ```no_run
//! let mut trace = thalweg::readers::open(&["worker0.log", "worker1.log"])?;
//! for block in trace.by_ref() {
//!     match block {
//!         Ok(records) => println!("{} records", records.len()),
//!         Err(error) => eprintln!("{error}"),
//!     }
//! }
//! for oddity in trace.oddities() {
//!     eprintln!("{}: {} ({})", oddity.file.display(), oddity.what, oddity.count);
//! }
//! # Ok::<(), thalweg::readers::ReadError>(())
//! ```

mod activity_log;
mod chrome;
mod cuts;
pub mod ds2;
mod elements;
mod error;
mod horizon;
mod jaeger;
mod lanes;
mod lines;
mod lz4_blocks;
mod otlp;
mod packed;
mod parts;
mod quick;
mod reader;
mod rolled;
mod snailtrail;
mod span_tree;
mod spark;
mod timely_text;

use std::fmt;
use std::fs::{File, FileType};
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use self::activity_log::ActivityLog;
use self::chrome::Chrome;
use self::error::{Damage, Oddities, excerpt};
pub use self::error::{Place, ReadError};
use self::horizon::Horizon;
use self::jaeger::Jaeger;
use self::otlp::{Ahead, Otlp};
use self::packed::{CutOff, unpacked};
use self::parts::Parts;
use self::reader::Reader;
use self::rolled::Rolled;
use self::snailtrail::Snailtrail;
use self::spark::Spark;
use self::timely_text::TimelyText;
use crate::activity::Record;

/// A block ends after the step with which it reaches this length.
const BLOCK_RECORDS: usize = 4096;
/// A block of a trace of one file ends, too, with the step after this time: who waits for a log that is being written sees what there
/// is. Of several files it does not, so that the order of their blocks depends on nothing but them.
const BLOCK_TIME: Duration = Duration::from_millis(100);
/// Number of bytes of a file that are inspected to detect its format.
const HEAD_BYTES: u64 = 4096;

/// Files of fewer bytes are not read ahead: their records are held.
const LEAST_AHEAD: u64 = 8 << 20;

/// A trace format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Thalweg's activity log: starts with `THALWEGA`.
    ActivityLog,
    /// SnailTrail: MessagePack integers, seven per record, nothing else.
    Snailtrail,
    /// Spark's event log: one JSON object per line, each with an `Event`.
    Spark,
    /// Timely's log, one event per line as `{:?}` prints it:
    /// `(6.275ms, Schedule(ScheduleEvent { id: 2, start_stop: Start }))`.
    TimelyText,
    /// Trace events of Chrome in JSON: an object with `traceEvents`, or their array.
    Chrome,
    /// Traces of Jaeger in JSON: an object with `data`, an array of traces with `spans`.
    Jaeger,
    /// Traces of OpenTelemetry in JSON: objects with `resourceSpans`.
    Otlp,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::ActivityLog => "an activity log",
            Format::Snailtrail => "a SnailTrail trace",
            Format::Spark => "a Spark event log",
            Format::TimelyText => "a timely log as text",
            Format::Chrome => "a Chrome trace",
            Format::Jaeger => "a Jaeger trace",
            Format::Otlp => "an OpenTelemetry trace",
        })
    }
}

impl Format {
    /// Detects the format from the beginning of a file.
    fn recognise(head: &[u8]) -> Option<Format> {
        const MAGIC: &[u8] = b"THALWEGA";
        const OF_OTLP: [&str; 2] = ["\"resourceSpans\"", "\"resource_spans\""];
        let text = String::from_utf8_lossy(head);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.clone().next().unwrap_or_default();
        let of_chrome = ["\"traceEvents\"", "\"ph\"", "\"displayTimeUnit\"", "\"deviceProperties\""];
        if head.starts_with(MAGIC) || MAGIC.starts_with(head) {
            Some(Format::ActivityLog)
        } else if first.starts_with(['{', '[']) && OF_OTLP.iter().any(|key| text.contains(key)) {
            Some(Format::Otlp)
        } else if first.starts_with('{') && text.contains("\"Event\"") {
            Some(Format::Spark)
        } else if first.starts_with(['{', '[']) && of_chrome.iter().any(|key| text.contains(key)) {
            Some(Format::Chrome)
        } else if first.starts_with('{') && text.contains("\"data\"") && ["\"spans\"", "\"traceID\""].iter().any(|key| text.contains(key)) {
            Some(Format::Jaeger)
        } else if first.starts_with(";;") || first.starts_with("Dataflow:") || lines.any(timely_text::begins_an_event) {
            Some(Format::TimelyText)
        } else {
            snailtrail::begins_a_trace(head).then_some(Format::Snailtrail)
        }
    }
}

/// An oddity in a file that did not prevent reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// The file.
    pub file: PathBuf,
    /// Its kind.
    pub what: String,
    /// Number of occurrences.
    pub count: u64,
}

/// A trace being read: an iterator over blocks of records.
///
/// A block is never empty and holds some thousand records of one file. The next block comes from
/// the file with the least progress (by its last [`Record::UpTo`], or its last record if it reports
/// none). Damage ends its file; reading continues with the others.
pub struct Trace {
    files: Vec<Input>,
    format: Format,
}

/// A file whose first bytes have been read.
type Begun = (Source, Vec<u8>, CutOff);

/// What a file is read from.
struct Source {
    file: PathBuf,
    content: Box<dyn Read + Send>,
    parts: Parts,
    /// Whether all of it is there.
    is_there: bool,
}

struct Input {
    file: PathBuf,
    /// The files that it consists of, if it is a folder.
    parts: Parts,
    reader: Box<dyn Reader>,
    oddities: Oddities,
    /// Whether all of its content is there, so that nobody waits for it.
    is_there: bool,
    /// Whether its compressed data was cut off.
    cut_off: CutOff,
    /// The most records of a block so far.
    longest: usize,
    /// Its progress, in ns.
    reported: u64,
    ended: bool,
    damage: Option<Damage>,
}

/// Opens files of one format, detected from their content, as one trace. `-` is standard input; a
/// folder with a rolled event log of Spark is one file.
///
/// # Errors
/// If there is no file, one cannot be opened, is empty or of unknown format, if formats differ, or
/// if there are several Spark logs. Damage further on is returned by the [`Trace`].
pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Trace, ReadError> {
    open_files(paths, None)
}

/// The content of a file, unpacked if it is compressed.
///
/// # Errors
/// If it cannot be read.
pub fn content(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    unpacked(Box::new(File::open(path)?)).map(|(content, _)| content)
}

/// As [`open`], but reads every file as `format`.
///
/// # Errors
/// As [`open`], except for unknown formats.
pub fn open_as<P: AsRef<Path>>(paths: &[P], format: Format) -> Result<Trace, ReadError> {
    open_files(paths, Some(format))
}

fn open_files<P: AsRef<Path>>(paths: &[P], format: Option<Format>) -> Result<Trace, ReadError> {
    let mut sources = Vec::new();
    for path in paths {
        let file = path.as_ref().to_owned();
        if file.as_os_str() == "-" {
            sources.push(Source::whole(PathBuf::from("standard input"), Box::new(io::stdin())));
            continue;
        }
        let opened = File::open(&file).and_then(|opened| Ok((opened.metadata()?.file_type(), opened)));
        let rolled = |kind: FileType| if kind.is_dir() { Rolled::open(&file).map(Some) } else { Ok(None) };
        match opened.and_then(|(kind, opened)| Ok((rolled(kind)?, kind.is_file(), opened))) {
            Ok((None, is_there, opened)) => sources.push(Source { is_there, ..Source::whole(file, Box::new(opened)) }),
            Ok((Some(Some(rolled)), ..)) => {
                sources.push(Source { file, parts: rolled.parts(), content: Box::new(rolled), is_there: true });
            }
            Ok((Some(None), ..)) => return Err(Damage::new(Place::Byte(0), "a trace", "a folder").of(file)),
            Err(source) => return Err(Damage::Io(Place::Byte(0), source).of(file)),
        }
    }
    begin(sources, format)
}

/// As [`open`], from any readers, each with a name for errors; in `format`, or with the format
/// detected if it is `None`.
///
/// # Errors
/// As [`open`].
pub fn read(sources: Vec<(PathBuf, Box<dyn Read + Send>)>, format: Option<Format>) -> Result<Trace, ReadError> {
    begin(sources.into_iter().map(|(file, content)| Source::whole(file, content)).collect(), format)
}

fn begin(sources: Vec<Source>, format: Option<Format>) -> Result<Trace, ReadError> {
    let mut heads: Vec<Begun> = Vec::new();
    let mut common = format;
    for Source { file, content, parts, is_there } in sources {
        let mut head = Vec::new();
        let begun = unpacked(content).and_then(|(mut content, cut_off)| {
            content.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
            Ok((content, cut_off))
        });
        let (content, cut_off) = match begun {
            Ok(begun) => begun,
            Err(error) => return Err(parts.error(Damage::Io(Place::Byte(0), error), file)),
        };
        // A mark that some editors put before a text.
        if head.starts_with("\u{feff}".as_bytes()) {
            head.drain(.."\u{feff}".len());
        }
        if head.is_empty() {
            return Err(Damage::new(Place::Byte(0), "a trace", "an empty file").of(file));
        }
        let Some(found) = format.or_else(|| Format::recognise(&head)) else {
            let known = "an activity log, a SnailTrail trace, a Spark event log, a timely log as text, a Chrome trace, a Jaeger trace \
                         or an OpenTelemetry trace";
            return Err(Damage::new(Place::Byte(0), known, excerpt(&head)).of(file));
        };
        match *common.get_or_insert(found) {
            common if common != found => {
                return Err(Damage::new(Place::Byte(0), format!("{common}, as the file before"), found.to_string()).of(file));
            }
            Format::Spark if !heads.is_empty() => {
                return Err(Damage::new(Place::Byte(0), "one Spark event log, for each is an application of its own", "another").of(file));
            }
            _ => heads.push((Source { file, content, parts, is_there }, head, cut_off)),
        }
    }
    let format = common.filter(|_| !heads.is_empty()).ok_or(ReadError::NoFiles)?;
    // SnailTrail counts from 1970. All files are relative to the same time, a whole second, so that
    // windows of up to a second start where SnailTrail's do.
    let origin =
        heads.iter().filter_map(|(_, head, _)| snailtrail::first_time(head)).min().map_or(0, |first| first - first % 1_000_000_000);
    let files = heads.into_iter().map(|(Source { file, content, parts, is_there }, head, cut_off)| {
        let source = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(content));
        let reader: Box<dyn Reader> = match format {
            Format::ActivityLog => Box::new(ActivityLog::new(source)),
            Format::Snailtrail => Box::new(Snailtrail::new(source, origin)),
            Format::Spark => Box::new(Spark::new(source, parts.clone())),
            Format::TimelyText => Box::new(TimelyText::new(source)),
            Format::Chrome => Box::new(Chrome::new(source, ahead(&file, is_there, chrome::ahead))),
            Format::Jaeger => Box::new(Jaeger::new(source, ahead(&file, is_there, |content| Horizon::of(content, "\"startTime\"")))),
            Format::Otlp => Box::new(Otlp::new(source, ahead(&file, is_there, Ahead::of))),
        };
        Input { file, parts, reader, oddities: Oddities::default(), is_there, cut_off, longest: 0, reported: 0, ended: false, damage: None }
    });
    Ok(Trace { files: files.collect(), format })
}

/// What is known of a file before it is read, if all of it `is_there`; nothing of a small one, whose records are held, or of one that
/// cannot be read twice.
fn ahead<A>(file: &Path, is_there: bool, of: impl FnOnce(Box<dyn Read + Send>) -> io::Result<A>) -> Option<A> {
    if !is_there || file.metadata().ok()?.len() < LEAST_AHEAD {
        return None;
    }
    of(content(file).ok()?).ok()
}

impl Trace {
    /// The format of the files.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What the times of a Chrome trace are relative to, in ns, once the first event has been read; 0
    /// for other formats.
    pub fn origin(&self) -> u64 {
        self.files.first().map_or(0, |input| input.reader.origin())
    }

    /// Oddities found so far, by file.
    pub fn oddities(&self) -> Vec<Oddity> {
        let of = |input: &Input| {
            let file = input.file.clone();
            input.oddities.iter().map(|(what, count)| Oddity { file: file.clone(), what: what.to_owned(), count }).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of).collect()
    }
}

impl Iterator for Trace {
    type Item = Result<Vec<Record>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let most = if self.files.len() == 1 { BLOCK_TIME } else { Duration::MAX };
        loop {
            let next = self.files.iter_mut().filter(|input| !input.ended || input.damage.is_some()).min_by_key(|input| input.reported)?;
            if let Some(block) = next.block(most) {
                return Some(block);
            }
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(|input| &input.file)).finish()
    }
}

impl Source {
    /// A file that is no folder, whose content may come later than it is asked for.
    fn whole(file: PathBuf, content: Box<dyn Read + Send>) -> Source {
        Source { file, content, parts: Parts::default(), is_there: false }
    }
}

impl Input {
    /// Reads a block, in at most `most` and a step, or the damage that ended the file; `None` if there
    /// is no further record.
    // What is in which block decides nothing.
    #[allow(clippy::disallowed_methods)]
    fn block(&mut self, most: Duration) -> Option<Result<Vec<Record>, ReadError>> {
        let (mut records, begun) = (Vec::with_capacity(self.longest + self.longest / 8), Instant::now());
        let is_time = |records: &[Record]| self.is_there || records.is_empty() || begun.elapsed() < most;
        while !self.ended && records.len() < BLOCK_RECORDS && is_time(&records) {
            match self.reader.step(&mut records, &mut self.oddities) {
                Ok(true) => {}
                end => {
                    self.ended = true;
                    self.damage = end.err();
                    self.reader.finish(&mut records, &mut self.oddities);
                    if self.cut_off.load(Ordering::Relaxed) {
                        self.oddities.count("the compressed file ends before its data does: it was still being written");
                    }
                    self.parts.notes().into_iter().for_each(|note| self.oddities.count(note));
                }
            }
        }
        if records.is_empty() {
            return self.damage.take().map(|damage| Err(self.parts.error(damage, self.file.clone())));
        }
        self.longest = self.longest.max(records.len()).min(2 * BLOCK_RECORDS);
        let told = records.iter().rev().find_map(|record| matches!(record, Record::UpTo { .. }).then(|| record.at()));
        if let Some(at) = told.or_else(|| records.iter().map(Record::at).max()) {
            self.reported = self.reported.max(at.0);
        }
        Some(Ok(records))
    }
}
