//! What a worker thread has had of a core, as the system counts it.
//!
//! Where more threads want to run than there are cores, a worker waits in the middle of its work,
//! and everything it does takes longer. The system knows for how long. Only Linux says so; on other
//! systems nothing is recorded.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use crate::activity::Record;
use crate::id::WorkerId;
use crate::time::Timestamp;

/// Time on a core and time spent waiting for one, in ns, of the thread that opens it.
const COUNTERS: &str = "/proc/thread-self/schedstat";
/// Samples belong to a grid of instants this far apart.
const SAMPLE: Duration = Duration::from_millis(100);

/// The counters of the thread that made it.
pub(super) struct CoreTime {
    counters: Option<File>,
    /// Their values at the start: the thread may have run before the job did.
    start: (u64, u64),
    next: Timestamp,
}

impl CoreTime {
    /// Starts to count for the calling thread.
    pub(super) fn start() -> CoreTime {
        let mut core_time = CoreTime { counters: File::open(COUNTERS).ok(), start: (0, 0), next: Timestamp::ZERO };
        core_time.start = core_time.read().unwrap_or_default();
        core_time
    }

    /// Time on a core and time spent waiting for one; `None` where the system does not say.
    fn read(&mut self) -> Option<(u64, u64)> {
        let file = self.counters.as_mut()?;
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text)).ok()?;
        parse(&text)
    }

    /// A sample, if one is due at `now`.
    pub(super) fn sample(&mut self, worker: WorkerId, now: Timestamp) -> Option<Record> {
        if now < self.next || self.counters.is_none() {
            return None;
        }
        let at = Timestamp(now.0 - now.0 % SAMPLE.as_nanos() as u64);
        self.next = at + SAMPLE;
        let (ran, denied) = self.read()?;
        let since = |ns: u64, start: u64| Duration::from_nanos(ns.saturating_sub(start));
        Some(Record::Core { worker, at, ran: since(ran, self.start.0), denied: since(denied, self.start.1) })
    }
}

/// For how long the calling thread has been on a core; `None` where the system does not say.
pub fn time_on_core() -> Option<Duration> {
    let text = std::fs::read_to_string(COUNTERS).ok()?;
    parse(&text).map(|(ran, _)| Duration::from_nanos(ran))
}

/// The first two of the numbers in the file.
fn parse(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_numbers_count() {
        assert_eq!(parse("1607250 2495603 3\n"), Some((1_607_250, 2_495_603)));
        assert_eq!([parse(""), parse("1"), parse("1 x")], [None; 3]);
    }

    #[test]
    fn samples_belong_to_a_grid() {
        let mut core_time = CoreTime::start();
        let ms = |ms: u64| Timestamp(ms * 1_000_000);
        let at = |record: Option<Record>| record.map(|record| record.at());
        if core_time.counters.is_some() {
            let seen = [120, 150, 199, 450, 460].map(|now| at(core_time.sample(WorkerId(0), ms(now))));
            assert_eq!(seen, [Some(ms(100)), None, None, Some(ms(400)), None]);
        }
    }
}
