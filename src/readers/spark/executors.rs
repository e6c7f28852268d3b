//! Assigns tasks to slots of executors, which Spark does not log.
//!
//! An executor has one slot per core. A task takes the lowest slot that is free at its launch.
//! Starts are often logged before the end that freed their slot; such a task waits for that end.
//!
//! Invariants: tasks on one slot do not overlap; each slot is one worker; the progress of a slot
//! extends to the launch of the earliest task that runs on it or may still be assigned to it.

use std::collections::{BTreeMap, VecDeque};

use super::super::lanes::MOST_WORKERS;
use crate::activity::Record;
use crate::id::WorkerId;
use crate::time::Timestamp;

/// Longer names are not those of executors.
const MOST_NAME_BYTES: usize = 256;
/// Initial number of slots of an executor; more are created when used.
const MOST_CORES: u64 = 1024;

/// Tolerance, in ns, by which a launch may be earlier than the end of the previous task on the same
/// slot: both times are taken by different threads of the driver, in whole milliseconds.
const SLACK: u64 = 10_000_000;

#[derive(Debug)]
struct Slot {
    worker: u32,
    /// Launch of the task that is running on it, in ns.
    running: Option<u64>,
    /// When the last task on it had sent its result.
    free_at: u64,
    told: u64,
}

#[derive(Debug, Default)]
struct Executor {
    cores: u64,
    slots: Vec<Slot>,
    /// Tasks that wait for a slot: number and launch.
    waiting: VecDeque<(u64, u64)>,
}

/// A task that has not ended.
#[derive(Debug)]
struct Task {
    stage: u64,
    executor: String,
    /// `None` while it waits for a slot.
    slot: Option<usize>,
}

/// The slot of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) worker: u32,
    /// Its launch, or when its slot became free, if that is later.
    pub(super) launch: u64,
}

/// All executors of an application.
#[derive(Debug, Default)]
pub(super) struct Executors {
    executors: BTreeMap<String, Executor>,
    tasks: BTreeMap<u64, Task>,
    /// Number of workers so far; the driver is the first.
    workers: u64,
}

impl Executor {
    /// The lowest slot that is free at `launch`; a new one if `more`.
    fn free(&mut self, launch: u64, more: bool, workers: &mut u64) -> Result<Option<usize>, String> {
        let within = |slack| self.slots.iter().position(|slot| slot.running.is_none() && slot.free_at <= launch.saturating_add(slack));
        let found = within(0).or_else(|| within(SLACK));
        if found.is_none() && more {
            self.grow(workers)?;
            return Ok(Some(self.slots.len() - 1));
        }
        Ok(found)
    }

    /// Assigns a task to a slot.
    fn occupy(&mut self, slot: usize, launch: u64) {
        let slot = &mut self.slots[slot];
        slot.running = Some(launch.max(slot.free_at));
    }

    fn grow(&mut self, workers: &mut u64) -> Result<(), String> {
        if *workers + 1 >= MOST_WORKERS {
            return Err(format!("at most {MOST_WORKERS} cores in all"));
        }
        *workers += 1;
        self.slots.push(Slot { worker: *workers as u32, running: None, free_at: 0, told: 0 });
        Ok(())
    }
}

impl Executors {
    /// Number of slots.
    pub(super) fn slots(&self) -> usize {
        self.workers as usize
    }

    /// Tasks that have not ended.
    pub(super) fn running(&self) -> usize {
        self.tasks.len()
    }

    fn executor(&mut self, name: &str) -> Result<(), String> {
        if name.len() > MOST_NAME_BYTES {
            return Err(format!("the name of an executor, of at most {MOST_NAME_BYTES} bytes"));
        }
        if !self.executors.contains_key(name) {
            if self.executors.len() as u64 >= MOST_WORKERS {
                return Err(format!("at most {MOST_WORKERS} executors"));
            }
            self.executors.insert(name.to_owned(), Executor::default());
        }
        Ok(())
    }

    /// An executor was added.
    ///
    /// # Errors
    /// With what was expected.
    pub(super) fn add(&mut self, name: &str, cores: u64) -> Result<(), String> {
        self.executor(name)?;
        let executor = self.executors.get_mut(name).expect("just added");
        executor.cores = cores.min(MOST_CORES);
        while (executor.slots.len() as u64) < executor.cores {
            executor.grow(&mut self.workers)?;
        }
        Ok(())
    }

    /// A task was launched, in ns; false if it is already running.
    ///
    /// # Errors
    /// With what was expected.
    pub(super) fn start(&mut self, name: &str, stage: u64, task: u64, launch: u64) -> Result<bool, String> {
        if self.tasks.contains_key(&task) {
            return Ok(false);
        }
        if self.tasks.len() as u64 >= MOST_WORKERS {
            return Err(format!("at most {MOST_WORKERS} tasks at once"));
        }
        self.executor(name)?;
        let executor = self.executors.get_mut(name).expect("just added");
        // An executor that is only known from its tasks gets slots as needed.
        let slot = executor.free(launch, executor.cores == 0, &mut self.workers)?;
        match slot {
            Some(slot) => executor.occupy(slot, launch),
            None => executor.waiting.push_back((task, launch)),
        }
        self.tasks.insert(task, Task { stage, executor: name.to_owned(), slot });
        Ok(true)
    }

    /// A task had sent its result at `finish`, in ns; `None` if it is not running.
    ///
    /// # Errors
    /// With what was expected.
    pub(super) fn end(&mut self, task: u64, finish: u64) -> Result<Option<Ran>, String> {
        let Some(Task { executor, slot, .. }) = self.tasks.remove(&task) else { return Ok(None) };
        let executor = self.executors.get_mut(&executor).expect("has a task");
        let (at, launch) = match slot {
            Some(at) => (at, executor.slots[at].running.take().unwrap_or(finish)),
            None => {
                let waiting = executor.waiting.iter().position(|&(other, _)| other == task);
                let launch = waiting.and_then(|at| executor.waiting.remove(at)).map_or(finish, |(_, launch)| launch);
                // More simultaneous tasks than cores.
                (executor.free(launch, true, &mut self.workers)?.expect("a new one if none is free"), launch)
            }
        };
        let slot = &mut executor.slots[at];
        let ran = Ran { worker: slot.worker, launch: launch.max(slot.told).max(slot.free_at) };
        slot.free_at = slot.free_at.max(finish);
        while let Some(&(next, launch)) = executor.waiting.front() {
            let Some(free) = executor.free(launch, false, &mut self.workers)? else { break };
            executor.waiting.pop_front();
            executor.occupy(free, launch);
            if let Some(task) = self.tasks.get_mut(&next) {
                task.slot = Some(free);
            }
        }
        Ok(Some(ran))
    }

    /// Ends every task, at the end of the log; returns their stages and slots.
    pub(super) fn close(&mut self, now: u64) -> Vec<(u64, Ran)> {
        let tasks: Vec<(u64, u64)> = self.tasks.iter().map(|(&task, known)| (task, known.stage)).collect();
        tasks.into_iter().filter_map(|(task, stage)| Some((stage, self.end(task, now).ok()??))).collect()
    }

    /// Reports the progress of every slot up to `horizon`, or to the launch of its running task.
    pub(super) fn tell(&mut self, horizon: u64, out: &mut Vec<Record>) {
        for executor in self.executors.values_mut() {
            let waiting = executor.waiting.iter().map(|&(_, launch)| launch).min().unwrap_or(u64::MAX);
            for slot in &mut executor.slots {
                let up_to = horizon.min(waiting).min(slot.running.unwrap_or(u64::MAX));
                if up_to > slot.told {
                    slot.told = up_to;
                    out.push(Record::UpTo { worker: WorkerId(slot.worker), at: Timestamp(up_to) });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_logged_before_the_end_that_made_room_waits_for_it() {
        let mut executors = Executors::default();
        executors.add("0", 2).unwrap();
        executors.add("1", 1).unwrap();
        for (task, launch) in [(0, 10), (1, 20), (2, 30)] {
            assert!(executors.start("0", 7, task, launch * SLACK).unwrap());
        }
        assert!(!executors.start("0", 7, 2, 30 * SLACK).unwrap(), "it already runs");
        let ran = |worker, launch| Some(Ran { worker, launch: launch * SLACK });
        assert_eq!(executors.end(1, 30 * SLACK).unwrap(), ran(2, 20));
        assert_eq!(executors.end(2, 40 * SLACK).unwrap(), ran(2, 30));
        assert_eq!(executors.end(0, 50 * SLACK).unwrap(), ran(1, 10));
        assert_eq!(executors.end(0, 50 * SLACK).unwrap(), None);
        assert_eq!(executors.slots(), 3);
    }

    #[test]
    fn a_launch_stamped_just_before_the_end_that_made_room_begins_at_that_end() {
        let mut executors = Executors::default();
        executors.add("0", 1).unwrap();
        executors.start("0", 7, 0, 0).unwrap();
        executors.start("0", 7, 1, 30 * SLACK - 1).unwrap();
        executors.end(0, 30 * SLACK).unwrap();
        assert_eq!(executors.end(1, 40 * SLACK).unwrap(), Some(Ran { worker: 1, launch: 30 * SLACK }));
    }

    #[test]
    fn more_tasks_than_cores_get_slots_of_their_own() {
        let mut executors = Executors::default();
        executors.add("0", 1).unwrap();
        executors.start("0", 7, 0, 10).unwrap();
        executors.start("0", 7, 1, 11).unwrap();
        assert_eq!(executors.end(1, 20 * SLACK).unwrap(), Some(Ran { worker: 2, launch: 11 }));
        assert_eq!(executors.end(0, 20 * SLACK).unwrap(), Some(Ran { worker: 1, launch: 10 }));
    }

    #[test]
    fn a_slot_tells_no_further_than_what_runs_on_it() {
        let mut executors = Executors::default();
        executors.add("0", 2).unwrap();
        executors.start("0", 7, 0, 10).unwrap();
        let mut out = Vec::new();
        executors.tell(100, &mut out);
        let up_to = |worker, at| Record::UpTo { worker: WorkerId(worker), at: Timestamp(at) };
        assert_eq!(out, [up_to(1, 10), up_to(2, 100)]);
    }
}
