//! Destination of a recording: an observer in the same process, or a file written by a thread of
//! its own.
//!
//! Invariant: the file gets its name only once it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::activity::LogWriter;
use crate::engine::host::{Clock, Dropped, Link, LogBatch, link};

/// Destination of the records of all workers of a process; created once, outside of them, so that
/// they share a clock.
///
/// It moves into the closure that all workers run. The recording ends when all workers have.
#[derive(Clone, Debug)]
pub struct RecordingSink {
    clock: Clock,
    /// None once the recording has ended.
    link: Arc<Mutex<Option<Link>>>,
    /// Whether a worker already records names and channels, which are the same on all.
    described: Arc<AtomicBool>,
}

/// A file that is being recorded.
#[derive(Debug)]
#[must_use = "the file has its name only after `finish`"]
pub struct RecordingFile {
    path: PathBuf,
    partial: PathBuf,
    link: Arc<Mutex<Option<Link>>>,
    dropped: Dropped,
    writer: JoinHandle<io::Result<u64>>,
}

/// Result of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Records in the file.
    pub records: u64,
    /// Records that were dropped because the file was not written fast enough. They are missing
    /// from any analysis.
    pub dropped: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// Error of a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be created.
    #[error("cannot create the recording {0}: {1}")]
    Create(PathBuf, #[source] io::Error),
    /// It could be created, but not written to its end.
    #[error("cannot write the recording {0}; what was written is in {1}: {2}")]
    Write(PathBuf, PathBuf, #[source] io::Error),
}

impl RecordingSink {
    /// Records to the file `path`, in the binary format of the activity log; what is there is
    /// replaced on [`finish`](RecordingFile::finish).
    ///
    /// # Errors
    /// When the file, under a temporary name beside `path`, or the thread that writes it cannot be
    /// created.
    pub fn to_file(path: impl AsRef<Path>) -> Result<(RecordingSink, RecordingFile), RecordError> {
        let path = path.as_ref().to_owned();
        let create = |error| RecordError::Create(path.clone(), error);
        let Some(name) = path.file_name() else {
            return Err(create(io::Error::new(io::ErrorKind::InvalidInput, "expected the name of a file")));
        };
        if path.is_dir() {
            return Err(create(io::Error::new(io::ErrorKind::IsADirectory, "expected a file, found a folder")));
        }
        let mut partial = std::ffi::OsString::from(".");
        partial.push(name);
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(partial);
        let file = File::create(&partial).map_err(create)?;
        let (link, batches) = link();
        let dropped = link.dropped();
        let sink = RecordingSink::joining(Clock::start(), link);
        let writer = Builder::new().name("recording".to_owned()).spawn(move || write(file, &batches));
        let writer = writer.map_err(create)?;
        let link = Arc::clone(&sink.link);
        Ok((sink, RecordingFile { path, partial, link, dropped, writer }))
    }

    /// Records to an observer in this process, which receives the batches. It ends when all workers
    /// have and the sink and its clones are gone. What does not fit because the observer is slow is
    /// dropped, and each batch contains the count.
    pub fn to_observer() -> (RecordingSink, Receiver<LogBatch>) {
        let (link, batches) = link();
        (RecordingSink::joining(Clock::start(), link), batches)
    }

    /// Records to a link that others record to as well, by their clock.
    pub fn joining(clock: Clock, link: Link) -> RecordingSink {
        RecordingSink { clock, link: Arc::new(Mutex::new(Some(link))), described: Arc::default() }
    }

    /// The clock of all workers.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// A worker's link; without a receiver if the recording has ended.
    pub(super) fn link(&self) -> Link {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_else(|| link().0)
    }

    /// Whether the worker that asks is the first.
    pub(super) fn is_first(&self) -> bool {
        !self.described.swap(true, Ordering::SeqCst)
    }
}

impl RecordingFile {
    /// Waits for the end of all workers that record, and gives the file its name; without this call
    /// it keeps its temporary name. Call it after joining the workers, never on one of them: what
    /// begins to record after this call is not recorded.
    ///
    /// # Errors
    /// When the file could not be written.
    ///
    /// # Panics
    /// Never of itself; a panic of the writing thread is passed on.
    pub fn finish(self) -> Result<Recorded, RecordError> {
        let RecordingFile { path, partial, link, dropped, writer } = self;
        // A sink that still exists must not keep the recording open.
        link.lock().unwrap_or_else(PoisonError::into_inner).take();
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and_then(|records| {
            let bytes = fs::metadata(&partial)?.len();
            fs::rename(&partial, &path)?;
            Ok(Recorded { records, dropped: dropped.count(), bytes })
        });
        written.map_err(|error| RecordError::Write(path, partial, error))
    }
}

/// Writes batches until there are no more; returns the number of records.
fn write(file: File, batches: &Receiver<LogBatch>) -> io::Result<u64> {
    let mut log = LogWriter::new(BufWriter::with_capacity(1 << 18, file))?;
    let mut records = 0;
    for batch in batches {
        log.append(&batch.records)?;
        records += batch.records.len() as u64;
    }
    log.finish()?;
    Ok(records)
}
