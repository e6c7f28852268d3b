//! Thalweg's own activity log as a trace.
//!
//! Invariant: records are returned as they were written; nothing is added or interpreted.

use std::io::Read;

use super::error::{Damage, Oddities, Place};
use super::reader::Reader;
use crate::activity::{LOG_VERSION, LogError, LogReader, Record};

/// Reads an activity log.
pub(super) struct ActivityLog<R> {
    /// `None` before the head of the file has been read.
    log: Option<LogReader<R>>,
    source: Option<R>,
}

impl<R: Read> ActivityLog<R> {
    pub(super) fn new(source: R) -> ActivityLog<R> {
        ActivityLog { log: None, source: Some(source) }
    }
}

impl<R: Read + Send> Reader for ActivityLog<R> {
    fn step(&mut self, out: &mut Vec<Record>, _: &mut Oddities) -> Result<bool, Damage> {
        if let Some(source) = self.source.take() {
            self.log = Some(LogReader::new(source).map_err(damage)?);
        }
        self.log.as_mut().map_or(Ok(false), |log| log.read_into(out).map_err(damage))
    }

    fn finish(&mut self, _: &mut Vec<Record>, _: &mut Oddities) {}
}

fn damage(error: LogError) -> Damage {
    match error {
        LogError::NotALog(found) => Damage::new(Place::Byte(0), "an activity log, which begins with 'THALWEGA'", format!("{found:?}")),
        LogError::Version(found) => {
            Damage::new(Place::Byte(8), format!("version {LOG_VERSION} of the activity log"), format!("version {found}"))
        }
        LogError::Truncated(at) => Damage::new(Place::Byte(at), "a whole block", "the end of the file inside of it"),
        LogError::Damaged(at, what) => Damage::new(Place::Byte(at), "a sound block", format!("damage: {what}")),
        LogError::Io(at, error) => Damage::Io(Place::Byte(at), error),
    }
}
