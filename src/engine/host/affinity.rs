//! Keeps the calling thread on one core.
//!
//! Where something else is to run beside a certain worker, the worker has to stay where it is.
//! Only Linux is told; on other systems nothing happens.

/// Keeps the calling thread on core `number` of those on which it may run, counted round and round;
/// returns whether it stays there from now on.
#[cfg(target_os = "linux")]
pub fn stay_on_core(number: u32) -> bool {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Ok(allowed) = sched_getaffinity(None) else { return false };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
    let Some(&core) = cores.get(number as usize % cores.len().max(1)) else { return false };
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).is_ok()
}

/// Does nothing.
#[cfg(not(target_os = "linux"))]
pub fn stay_on_core(_: u32) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::thread::sched_getaffinity;

    use super::*;

    #[test]
    fn a_thread_stays_on_the_core_it_is_given() {
        let stays = |number| std::thread::spawn(move || (stay_on_core(number), sched_getaffinity(None).unwrap().count())).join().unwrap();
        assert_eq!([stays(0), stays(1), stays(1000)], [(true, 1); 3]);
    }
}
