//! Resident memory of the processes of a run, sampled while it runs.
//!
//! On Linux only; elsewhere there are no samples and rows have no memory.

use std::time::Duration;

use crate::time::{Timestamp, Window};

/// Memory is looked at this often.
const SAMPLE: Duration = Duration::from_millis(5);

/// Resident memory over time.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Process numbers; this process first.
    processes: Vec<u32>,
    /// Bytes of each process, by time.
    samples: Vec<(Timestamp, Vec<u64>)>,
}

impl Memory {
    /// Of this process and the `others`.
    pub fn of(others: &[u32]) -> Memory {
        let processes = std::iter::once(std::process::id()).chain(others.iter().copied()).collect();
        Memory { processes, samples: Vec::new() }
    }

    /// Looks, if it is time to.
    pub fn sample(&mut self, now: Timestamp) {
        if self.samples.last().is_some_and(|(last, _)| now.since(*last) < SAMPLE) {
            return;
        }
        // A process that has ended has no memory; then nothing is added that could not be compared.
        if let Some(bytes) = self.processes.iter().map(|&process| resident_bytes(process)).collect() {
            self.push(now, bytes);
        }
    }

    fn push(&mut self, at: Timestamp, bytes: Vec<u64>) {
        self.samples.push((at, bytes));
    }

    /// The most bytes of each process in `window`; nothing without a sample.
    pub fn most(&self, window: Window) -> Option<Vec<u64>> {
        let inside = self.samples.iter().filter(|(at, _)| window.contains(*at)).map(|(_, bytes)| bytes.clone());
        inside.reduce(|most, bytes| most.into_iter().zip(bytes).map(|(a, b)| a.max(b)).collect())
    }

    /// The most bytes of all processes together at any time in `window`; nothing without a sample.
    pub fn most_together(&self, window: Window) -> Option<u64> {
        let inside = self.samples.iter().filter(|(at, _)| window.contains(*at));
        inside.map(|(_, bytes)| bytes.iter().sum()).max()
    }

    /// Bytes of each process at the last sample before `at`.
    pub fn before(&self, at: Timestamp) -> Option<&[u64]> {
        self.samples.iter().rev().find(|(sampled, _)| *sampled < at).map(|(_, bytes)| bytes.as_slice())
    }
}

/// Resident memory of a process in bytes; nothing where the system does not say.
pub fn resident_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kilobytes.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_and_levels_are_by_process() {
        let mut memory = Memory::default();
        for (at, bytes) in [(10, [5, 1]), (20, [9, 2]), (30, [6, 8])] {
            memory.push(Timestamp(at), bytes.to_vec());
        }
        let window = |start, end| Window { start: Timestamp(start), end: Timestamp(end) };
        assert_eq!(memory.most(window(10, 31)), Some(vec![9, 8]));
        assert_eq!((memory.most_together(window(10, 31)), memory.most_together(window(10, 30))), (Some(14), Some(11)));
        assert_eq!(memory.most(window(31, 40)), None);
        assert_eq!((memory.before(Timestamp(20)), memory.before(Timestamp(5))), (Some(&[5, 1][..]), None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory() {
        let mut memory = Memory::of(&[]);
        memory.sample(Timestamp(1));
        assert!(memory.before(Timestamp(2)).is_some_and(|bytes| bytes[0] > 1 << 20));
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
