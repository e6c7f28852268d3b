//! Assigns tasks to slots of executors, which Spark does not log.
//!
//! An executor has one slot per core. A task takes the lowest slot that is free at its launch.
//! Starts are often logged before the end that freed their slot; such a task waits for that end.
//!
//! Invariants: tasks on one slot do not overlap; each slot is one worker; the progress of a slot
//! extends to the launch of the earliest task that runs on it or may still be assigned to it.

use std::collections::{BTreeMap, VecDeque};

use super::super::lanes::MOST_WORKERS;
use super::event::TaskInfo;
use super::numbers::operator;
use crate::activity::{Activity, ActivityKind, Lane, Record};
use crate::id::{InstanceId, WorkerId};
use crate::time::{Epoch, Timestamp};

/// Longer names are not those of executors.
const MOST_NAME_BYTES: usize = 256;
/// Initial number of slots of an executor; more are created when used.
const MOST_CORES: u64 = 1024;

/// How long after the removal of an executor its tasks may still end, in ns.
const AFTERWARDS: u64 = 20_000_000_000;

/// Tolerance, in ns, by which a launch may be earlier than the end of the previous task on the same
/// slot: both times are taken by different threads of the driver, in whole milliseconds.
const SLACK: u64 = 10_000_000;

/// A task that was not seen to end, and what it ended with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unended {
    pub(super) stage: u64,
    pub(super) ran: Ran,
    pub(super) end: u64,
    /// It ended with its executor, or when another copy had succeeded.
    pub(super) lost: bool,
}

impl Unended {
    /// What it did, for `epoch`.
    pub(super) fn activity(&self, epoch: Epoch) -> Activity {
        Activity {
            lane: Lane::Worker(WorkerId(self.ran.worker)),
            kind: if self.lost { ActivityKind::Lost } else { ActivityKind::Processing },
            instance: InstanceId::new(operator(self.stage), self.ran.worker),
            epoch,
            start: Timestamp(self.ran.launch),
            end: Timestamp(self.end),
            records_in: 0,
            records_out: 0,
        }
    }
}

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
    host: String,
    slots: Vec<Slot>,
    /// Tasks that wait for a slot: number and launch.
    waiting: VecDeque<(u64, u64)>,
    /// When it was removed, if it was.
    removed: Option<u64>,
}

/// A task that has not ended.
#[derive(Debug)]
struct Task {
    stage: u64,
    executor: String,
    /// `None` while it waits for a slot.
    slot: Option<usize>,
    speculative: bool,
    /// When what encloses it had ended (its stage, its job, its executor), in ns, and whether that
    /// was its executor.
    enclosed: Option<(u64, bool)>,
}

/// What a task is part of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Enclosing<'n> {
    Stage(u64),
    Executor(&'n str),
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
    /// Slots of executors that may still run something.
    slots: usize,
    /// New workers, with their names.
    joined: Vec<(u32, String)>,
}

impl Executor {
    /// The lowest slot that is free at `launch`; a new one if `more`.
    fn free(&mut self, launch: u64, more: bool, joins: &mut Joins<'_>) -> Result<Option<usize>, String> {
        let within = |slack| self.slots.iter().position(|slot| slot.running.is_none() && slot.free_at <= launch.saturating_add(slack));
        let found = within(0).or_else(|| within(SLACK));
        if found.is_none() && more {
            self.grow(joins)?;
            return Ok(Some(self.slots.len() - 1));
        }
        Ok(found)
    }

    /// Assigns a task to a slot.
    fn occupy(&mut self, slot: usize, launch: u64) {
        let slot = &mut self.slots[slot];
        slot.running = Some(launch.max(slot.free_at));
    }

    fn grow(&mut self, joins: &mut Joins<'_>) -> Result<(), String> {
        if *joins.workers + 1 >= MOST_WORKERS {
            return Err(format!("at most {MOST_WORKERS} cores in all"));
        }
        *joins.workers += 1;
        *joins.slots += 1;
        let host = if self.host.is_empty() { String::new() } else { format!(" on {}", self.host) };
        let core = if self.cores == 1 { String::new() } else { format!(", core {}", self.slots.len() + 1) };
        joins.joined.push((*joins.workers as u32, format!("executor {}{host}{core}", joins.name)));
        self.slots.push(Slot { worker: *joins.workers as u32, running: None, free_at: 0, told: 0 });
        Ok(())
    }
}

/// Where new workers of an executor are counted and named.
struct Joins<'e> {
    name: &'e str,
    workers: &'e mut u64,
    slots: &'e mut usize,
    joined: &'e mut Vec<(u32, String)>,
}

impl Executors {
    /// Number of slots that may still be told of.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The workers that are new since the last call, with their names.
    pub(super) fn joined(&mut self) -> Vec<(u32, String)> {
        std::mem::take(&mut self.joined)
    }

    fn executor(&mut self, name: &str, host: &str) -> Result<(), String> {
        if name.len() > MOST_NAME_BYTES {
            return Err(format!("the name of an executor, of at most {MOST_NAME_BYTES} bytes"));
        }
        if !self.executors.contains_key(name) {
            if self.executors.len() as u64 >= MOST_WORKERS {
                return Err(format!("at most {MOST_WORKERS} executors"));
            }
            let host = host.chars().take(MOST_NAME_BYTES).collect();
            self.executors.insert(name.to_owned(), Executor { host, ..Executor::default() });
        }
        Ok(())
    }

    /// An executor was added.
    ///
    /// # Errors
    /// With what was expected.
    pub(super) fn add(&mut self, name: &str, host: &str, cores: u64) -> Result<(), String> {
        self.executor(name, host)?;
        let executor = self.executors.get_mut(name).expect("just added");
        (executor.cores, executor.removed) = (cores.min(MOST_CORES), None);
        let mut joins = Joins { name, workers: &mut self.workers, slots: &mut self.slots, joined: &mut self.joined };
        while (executor.slots.len() as u64) < executor.cores {
            executor.grow(&mut joins)?;
        }
        Ok(())
    }

    /// The workers of an executor that was removed at `at`, in ns.
    pub(super) fn remove(&mut self, name: &str, at: u64) -> Vec<u32> {
        self.enclose(Enclosing::Executor(name), at);
        let Some(executor) = self.executors.get_mut(name) else { return Vec::new() };
        executor.removed = Some(at);
        executor.slots.iter().map(|slot| slot.worker).collect()
    }

    /// What encloses some running tasks ended at `at`, in ns.
    pub(super) fn enclose(&mut self, what: Enclosing<'_>, at: u64) {
        let of = |task: &&mut Task| match what {
            Enclosing::Stage(stage) => task.stage == stage,
            Enclosing::Executor(name) => task.executor == name,
        };
        let is_executor = matches!(what, Enclosing::Executor(_));
        for task in self.tasks.values_mut().filter(of) {
            let earlier = task.enclosed.filter(|&(known, _)| known <= at);
            task.enclosed = Some(earlier.unwrap_or((at, is_executor)));
        }
    }

    /// A task was launched, in ns; false if it is already running.
    ///
    /// # Errors
    /// With what was expected.
    pub(super) fn start(&mut self, info: &TaskInfo<'_>, stage: u64, launch: u64) -> Result<bool, String> {
        let (name, task) = (info.executor.as_ref(), info.task);
        if self.tasks.contains_key(&task) {
            return Ok(false);
        }
        if self.tasks.len() as u64 >= MOST_WORKERS {
            return Err(format!("at most {MOST_WORKERS} tasks at once"));
        }
        self.executor(name, &info.host)?;
        let executor = self.executors.get_mut(name).expect("just added");
        let mut joins = Joins { name, workers: &mut self.workers, slots: &mut self.slots, joined: &mut self.joined };
        // An executor that is only known from its tasks gets slots as needed.
        let slot = executor.free(launch, executor.cores == 0, &mut joins)?;
        match slot {
            Some(slot) => executor.occupy(slot, launch),
            None => executor.waiting.push_back((task, launch)),
        }
        self.tasks.insert(task, Task { stage, executor: name.to_owned(), slot, speculative: info.speculative, enclosed: None });
        Ok(true)
    }

    /// A task had sent its result at `finish`, in ns; `None` if it is not running.
    ///
    /// # Errors
    /// With what was expected.
    pub(super) fn end(&mut self, task: u64, finish: u64) -> Result<Option<Ran>, String> {
        let Some(Task { executor: name, slot, .. }) = self.tasks.remove(&task) else { return Ok(None) };
        let executor = self.executors.get_mut(&name).expect("has a task");
        let mut joins = Joins { name: &name, workers: &mut self.workers, slots: &mut self.slots, joined: &mut self.joined };
        let (at, launch) = match slot {
            Some(at) => (at, executor.slots[at].running.take().unwrap_or(finish)),
            None => {
                let waiting = executor.waiting.iter().position(|&(other, _)| other == task);
                let launch = waiting.and_then(|at| executor.waiting.remove(at)).map_or(finish, |(_, launch)| launch);
                // More simultaneous tasks than cores.
                (executor.free(launch, true, &mut joins)?.expect("a new one if none is free"), launch)
            }
        };
        let slot = &mut executor.slots[at];
        let ran = Ran { worker: slot.worker, launch: launch.max(slot.told).max(slot.free_at) };
        slot.free_at = slot.free_at.max(finish);
        while let Some(&(next, launch)) = executor.waiting.front() {
            let Some(free) = executor.free(launch, false, &mut joins)? else { break };
            executor.waiting.pop_front();
            executor.occupy(free, launch);
            if let Some(task) = self.tasks.get_mut(&next) {
                task.slot = Some(free);
            }
        }
        Ok(Some(ran))
    }

    /// Ends the tasks whose enclosure had ended before `before`, in ns, with their enclosure; gives
    /// their numbers too.
    pub(super) fn expire(&mut self, before: u64) -> Vec<(u64, Unended)> {
        let expired = |task: &Task| task.enclosed.filter(|&(end, _)| end < before);
        let tasks: Vec<(u64, (u64, bool))> = self.tasks.iter().filter_map(|(&task, known)| Some((task, expired(known)?))).collect();
        tasks.into_iter().filter_map(|(task, (end, with_executor))| Some((task, self.unended(task, end, with_executor)?))).collect()
    }

    /// Ends every task, at the end of the log at `now`, in ns.
    pub(super) fn close(&mut self, now: u64) -> Vec<Unended> {
        let tasks: Vec<u64> = self.tasks.keys().copied().collect();
        tasks.into_iter().filter_map(|task| self.unended(task, now, false)).collect()
    }

    fn unended(&mut self, task: u64, end: u64, with_executor: bool) -> Option<Unended> {
        let Task { stage, speculative, enclosed, .. } = *self.tasks.get(&task)?;
        let ran = self.end(task, end).ok()??;
        Some(Unended { stage, end: end.max(ran.launch), ran, lost: with_executor || (speculative && enclosed.is_some()) })
    }

    /// Reports the progress of every slot up to `horizon`, or to the launch of its running task. Executors that were removed long ago
    /// and run nothing are forgotten.
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
        let Executors { executors, slots, .. } = self;
        executors.retain(|_, executor| {
            let is_over = executor.removed.is_some_and(|at| at.saturating_add(AFTERWARDS) < horizon);
            let is_idle = executor.waiting.is_empty() && executor.slots.iter().all(|slot| slot.running.is_none());
            let stays = !is_over || !is_idle;
            *slots -= if stays { 0 } else { executor.slots.len() };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task on an executor.
    fn on(executor: &str, task: u64) -> TaskInfo<'_> {
        TaskInfo { task, executor: executor.into(), ..TaskInfo::default() }
    }

    #[test]
    fn a_start_logged_before_the_end_that_made_room_waits_for_it() {
        let mut executors = Executors::default();
        executors.add("0", "a", 2).unwrap();
        executors.add("1", "b", 1).unwrap();
        for (task, launch) in [(0, 10), (1, 20), (2, 30)] {
            assert!(executors.start(&on("0", task), 7, launch * SLACK).unwrap());
        }
        assert!(!executors.start(&on("0", 2), 7, 30 * SLACK).unwrap(), "it already runs");
        let ran = |worker, launch| Some(Ran { worker, launch: launch * SLACK });
        assert_eq!(executors.end(1, 30 * SLACK).unwrap(), ran(2, 20));
        assert_eq!(executors.end(2, 40 * SLACK).unwrap(), ran(2, 30));
        assert_eq!(executors.end(0, 50 * SLACK).unwrap(), ran(1, 10));
        assert_eq!(executors.end(0, 50 * SLACK).unwrap(), None);
        assert_eq!(executors.slots(), 3);
        let names = executors.joined().into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names, ["executor 0 on a, core 1", "executor 0 on a, core 2", "executor 1 on b"]);
    }

    #[test]
    fn a_launch_stamped_just_before_the_end_that_made_room_begins_at_that_end() {
        let mut executors = Executors::default();
        executors.add("0", "", 1).unwrap();
        executors.start(&on("0", 0), 7, 0).unwrap();
        executors.start(&on("0", 1), 7, 30 * SLACK - 1).unwrap();
        executors.end(0, 30 * SLACK).unwrap();
        assert_eq!(executors.end(1, 40 * SLACK).unwrap(), Some(Ran { worker: 1, launch: 30 * SLACK }));
    }

    #[test]
    fn more_tasks_than_cores_get_slots_of_their_own() {
        let mut executors = Executors::default();
        executors.add("0", "", 1).unwrap();
        executors.start(&on("0", 0), 7, 10).unwrap();
        executors.start(&on("0", 1), 7, 11).unwrap();
        assert_eq!(executors.end(1, 20 * SLACK).unwrap(), Some(Ran { worker: 2, launch: 11 }));
        assert_eq!(executors.end(0, 20 * SLACK).unwrap(), Some(Ran { worker: 1, launch: 10 }));
    }

    #[test]
    fn what_did_not_end_ends_with_its_stage_or_its_executor() {
        let mut executors = Executors::default();
        executors.add("0", "", 3).unwrap();
        for (task, stage) in [(0, 7), (1, 8), (2, 8)] {
            executors.start(&on("0", task), stage, 10 * SLACK).unwrap();
        }
        executors.enclose(Enclosing::Stage(7), 20 * SLACK);
        assert_eq!(executors.expire(20 * SLACK), []);
        let unended = |stage, worker, end, lost| Unended { stage, ran: Ran { worker, launch: 10 * SLACK }, end: end * SLACK, lost };
        assert_eq!(executors.expire(21 * SLACK), [(0, unended(7, 1, 20, false))]);
        assert_eq!(executors.remove("0", 30 * SLACK), [1, 2, 3]);
        assert_eq!(executors.expire(31 * SLACK), [(1, unended(8, 2, 30, true)), (2, unended(8, 3, 30, true))]);
        assert!(executors.tasks.is_empty());
    }

    #[test]
    fn a_slot_tells_no_further_than_what_runs_on_it() {
        let mut executors = Executors::default();
        executors.add("0", "", 2).unwrap();
        executors.start(&on("0", 0), 7, 10).unwrap();
        let mut out = Vec::new();
        executors.tell(100, &mut out);
        let up_to = |worker, at| Record::UpTo { worker: WorkerId(worker), at: Timestamp(at) };
        assert_eq!(out, [up_to(1, 10), up_to(2, 100)]);
    }
}
