//! One changed world: the events of a trace in their order, each at its new time.

use super::change::Change;
use super::lane_time::LaneTime;
use crate::activity::Names;
use crate::id::InstanceId;

/// No such number.
pub(super) const NONE: u32 = u32::MAX;

/// When work is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// So long after the last that the lane had of its epoch: an input, or earlier work; and not before the last input of the mark
    /// `also`.
    Input { lag: u64, also: u32 },
    /// At this time: what comes from outside does not depend on the job.
    At(u64),
    /// So long after the lane's last work, and not before the last input of the mark `also`.
    After { gap: u64, also: u32 },
    /// It goes on after other work inside it.
    GoesOn,
}

/// An event of the trace and what it depends on. A *mark* is what a lane has of an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A mark begins to be used.
    Reset { mark: u32 },
    /// Work of `ns`, by the instance of that number; if `scales`, its cost is the operator's.
    Work { lane: u32, mark: u32, instance: u32, ns: u64, ready: Ready, scales: bool },
    /// A message leaves so long after the work that made it, or after the work before that one, while that one goes on.
    Sent { message: u32, lane: u32, mark: u32, delay: u64, before: bool },
    /// A message arrives so long after it was sent; nothing if it is not known when that was, and it came from outside at `at`.
    Received { message: u32, mark: u32, transit: Option<u64>, at: u64 },
    /// What happened last was the beginning of an epoch whose due time goes with it; it was at `at`.
    Begins { mark: u32, at: u64 },
    /// An epoch with marks from `first` to `last` of the list completes.
    Completes { first: u32, last: u32, in_order: bool, delay: u64, due: u64 },
}

/// What a lane has of an epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// When the last work on it ends, and the one before that; 0 without.
    work: u64,
    before: u64,
    /// When the last input arrived.
    receipt: u64,
    /// How much later than in the trace the epoch is due.
    shift: i64,
}

/// A changed world.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) change: Change,
    network: f64,
    /// Factors on the work of instances, by their numbers.
    factors: Vec<f64>,
    lanes: Vec<LaneTime>,
    marks: Vec<Mark>,
    messages: Vec<u64>,
    /// The latest end of any epoch that has completed.
    reached: u64,
    /// When what happened last began.
    began: u64,
    /// The latest event.
    pub(super) latest: u64,
}

/// How many of everything there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) lanes: usize,
    pub(super) marks: usize,
    pub(super) messages: usize,
}

impl World {
    pub(super) fn new(change: Change) -> World {
        let network = change.on_network();
        World { change, network, ..World::default() }
    }

    /// The same until now, but with another change from now on.
    pub(super) fn with(&self, change: Change) -> World {
        World { network: change.on_network(), change, factors: Vec::new(), ..self.clone() }
    }

    /// Makes room, and looks up the factors on instances.
    pub(super) fn grow(&mut self, sizes: Sizes, instances: &[InstanceId], names: &Names) {
        let grown = |length: usize, wanted: usize| length.max(wanted);
        self.lanes.resize_with(grown(self.lanes.len(), sizes.lanes), LaneTime::default);
        self.marks.resize(grown(self.marks.len(), sizes.marks), Mark::default());
        self.messages.resize(grown(self.messages.len(), sizes.messages), 0);
        for &instance in &instances[self.factors.len()..] {
            self.factors.push(self.change.on(instance, names));
        }
    }

    /// Plays events, which are on a grid of `grid` ns; `lists` are the marks of epochs. Latencies of epochs that complete are
    /// appended to `latencies`, in ns.
    pub(super) fn play(&mut self, events: &[(Event, u64)], lists: &[u32], latencies: &mut Vec<u64>) {
        for &(event, grid) in events {
            match event {
                Event::Reset { mark } => self.marks[mark as usize] = Mark::default(),
                Event::Work { lane, mark, instance, ns, ready, scales } => self.work((lane, mark, instance), ns, ready, scales),
                Event::Sent { message, lane, mark, delay, before } => {
                    let Mark { work, before: earlier, receipt, .. } = self.marks[mark as usize];
                    let work = if before { earlier } else { work };
                    let made = match (work, receipt) {
                        (0, 0) => self.lanes[lane as usize].last,
                        (0, receipt) => receipt,
                        (work, _) => work,
                    };
                    self.began = on_grid(made, grid) + delay;
                    self.messages[message as usize] = self.began;
                    self.latest = self.latest.max(self.began);
                }
                Event::Received { message, mark, transit, at } => {
                    let arrives = match transit {
                        Some(transit) => on_grid(self.messages[message as usize] + scaled(transit, self.network), grid),
                        None => at,
                    };
                    let mark = &mut self.marks[mark as usize];
                    mark.receipt = mark.receipt.max(arrives);
                    self.began = arrives;
                    self.latest = self.latest.max(arrives);
                }
                Event::Begins { mark, at } => self.marks[mark as usize].shift = self.began.wrapping_sub(at) as i64,
                Event::Completes { first, last, in_order, delay, due } => {
                    let marks = || lists[first as usize..last as usize].iter().map(|&mark| self.marks[mark as usize]);
                    let own = marks().map(|mark| mark.work.max(mark.receipt)).max().unwrap_or(0);
                    self.reached = self.reached.max(own);
                    let end = on_grid(if in_order { self.reached } else { own }, grid) + delay;
                    let shift = marks().next().map_or(0, |mark| mark.shift);
                    self.latest = self.latest.max(end);
                    latencies.push(end.saturating_sub(due.saturating_add_signed(shift)));
                }
            }
        }
    }

    #[inline]
    fn work(&mut self, (lane, mark, instance): (u32, u32, u32), ns: u64, ready: Ready, scales: bool) {
        let also = match ready {
            Ready::Input { also, .. } | Ready::After { also, .. } if also != NONE => self.marks[also as usize].receipt,
            _ => 0,
        };
        let (mark, lane) = (&mut self.marks[mark as usize], &mut self.lanes[lane as usize]);
        let ns = if scales { scaled(ns, self.factors[instance as usize]) } else { ns };
        if ready != Ready::GoesOn {
            mark.before = mark.work;
        }
        let ready = match ready {
            Ready::Input { lag, .. } => (mark.work.max(mark.receipt) + lag).max(also),
            Ready::At(at) => at,
            Ready::After { gap, .. } => (lane.last + gap).max(also),
            Ready::GoesOn => lane.last,
        };
        self.began = lane.place(ready, ns);
        mark.work = lane.last;
        self.latest = self.latest.max(lane.last);
    }
}

#[inline]
fn scaled(ns: u64, factor: f64) -> u64 {
    if factor == 1.0 { ns } else { (ns as f64 * factor).round() as u64 }
}

/// The first instant of the grid that is not before `at`.
#[inline]
fn on_grid(at: u64, grid: u64) -> u64 {
    if grid > 1 { at.next_multiple_of(grid) } else { at }
}
