//! What a lane does in a changed world: work in the order of the log, each as early as it is ready and the lane is free.
//!
//! Work that is ready earlier than work before it takes an idle stretch that is long enough; of these the longest are
//! remembered.

/// Idle stretches that are remembered at most.
const MOST_IDLE: usize = 128;

/// A lane's time.
#[derive(Clone, Debug, Default)]
pub(super) struct LaneTime {
    /// When it is free for good.
    free: u64,
    /// Earlier stretches in which it is idle, in order.
    idle: Vec<(u64, u64)>,
    /// When the work that was placed last ends.
    pub(super) last: u64,
}

impl LaneTime {
    /// Places work of `ns` that is ready at `ready`; returns when it begins.
    #[inline]
    pub(super) fn place(&mut self, ready: u64, ns: u64) -> u64 {
        let start = if ready >= self.free { self.append(ready, ns) } else { self.fill(ready, ns) };
        self.last = start + ns;
        start
    }

    fn append(&mut self, ready: u64, ns: u64) -> u64 {
        if ns > 0 {
            if ready > self.free {
                self.remember(self.free, ready);
            }
            self.free = ready + ns;
        }
        ready
    }

    fn fill(&mut self, ready: u64, ns: u64) -> u64 {
        let first = self.idle.partition_point(|(_, until)| *until < ready.saturating_add(ns).max(ready + 1));
        let Some(index) = (first..self.idle.len()).find(|&index| self.idle[index].0.max(ready) + ns <= self.idle[index].1) else {
            let start = self.free;
            self.free += ns;
            return start;
        };
        let (from, until) = self.idle[index];
        let start = from.max(ready);
        if ns > 0 {
            match (from < start, start + ns < until) {
                (true, true) => {
                    self.idle[index].1 = start;
                    self.idle.insert(index + 1, (start + ns, until));
                }
                (true, false) => self.idle[index].1 = start,
                (false, true) => self.idle[index].0 = start + ns,
                (false, false) => {
                    self.idle.remove(index);
                }
            }
        }
        start
    }

    fn remember(&mut self, from: u64, until: u64) {
        if self.idle.len() >= MOST_IDLE {
            let mut lengths: Vec<u64> = self.idle.iter().map(|(from, until)| until - from).collect();
            let (_, &mut median, _) = lengths.select_nth_unstable(MOST_IDLE / 2);
            self.idle.retain(|(from, until)| until - from > median);
        }
        self.idle.push((from, until));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn work_that_is_ready_earlier_takes_an_idle_stretch_that_fits() {
        let mut lane = LaneTime::default();
        assert_eq!(lane.place(100, 10), 100);
        // 0 to 100 is idle.
        assert_eq!(lane.place(50, 20), 50);
        assert_eq!(lane.place(50, 30), 70);
        assert_eq!(lane.place(0, 60), 110, "no stretch is as long");
        assert_eq!(lane.place(0, 50), 0);
        assert_eq!(lane.place(120, 5), 170, "it is busy until then");
    }

    proptest! {
        /// Whatever is placed, nothing overlaps and nothing begins before it is ready.
        #[test]
        fn a_lane_does_one_thing_at_a_time(works in prop::collection::vec((0u64..2000, 1u64..50), 1..400)) {
            let mut lane = LaneTime::default();
            let mut placed: Vec<(u64, u64)> = Vec::new();
            for (ready, ns) in works {
                let start = lane.place(ready, ns);
                prop_assert!(start >= ready && lane.last == start + ns);
                placed.push((start, start + ns));
            }
            placed.sort_unstable();
            prop_assert!(placed.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{placed:?}");
        }
    }
}
