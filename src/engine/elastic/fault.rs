//! Faults that are put in on purpose, to see that the tests of migration would find them.
//!
//! Without debug assertions (in a release build) there are none, and what depends on them is not compiled in. With them, one
//! fault at a time can be chosen for the whole process; `tests/suite/seeded_faults.rs` does, and must see each of them.

/// Something that a migration could get wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// The state of a bin that leaves is lost.
    DropBin = 1,
    /// What waits in the queue for a bin that leaves is lost.
    DropQueue,
    /// A record that waits in the queue for a bin that leaves stays behind.
    LeaveOne,
    /// Records for a bin that has not arrived do not wait for it.
    DoNotWait,
    /// The records that came along with a bin are queued in the reverse order.
    ArriveReversed,
    /// The timers of a bin that leaves are lost.
    ForgetTimers,
    /// A bin's timers are called although older records wait for its instance.
    CallEarly,
    /// A record is applied before the timers of its own epoch are called.
    CallLate,
    /// Results of timers are given out in the epoch to which the oldest right belongs.
    AnswerEarly,
    /// Records are routed by the old table for one epoch too long.
    OldTable,
    /// A bin leaves when the command is final, whether or not everything older has arrived.
    LeaveEarly,
    /// A move of a bin that is in motion already is overlooked.
    OverlookMove,
    /// The last entry of a part is lost.
    CutPart,
    /// A bin is taken for complete as soon as its end has come, whether or not all parts have been taken up.
    LastFirst,
    /// The halves of a split bin change places.
    SwapHalves,
    /// Each arrival is reported twice.
    ReportTwice,
    /// Waiting records are counted at the instance that gave the bin away.
    CountAtOld,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 17] = [
        Fault::DropBin,
        Fault::DropQueue,
        Fault::LeaveOne,
        Fault::DoNotWait,
        Fault::ArriveReversed,
        Fault::ForgetTimers,
        Fault::CallEarly,
        Fault::CallLate,
        Fault::AnswerEarly,
        Fault::OldTable,
        Fault::LeaveEarly,
        Fault::OverlookMove,
        Fault::CutPart,
        Fault::LastFirst,
        Fault::SwapHalves,
        Fault::ReportTwice,
        Fault::CountAtOld,
    ];
}

#[cfg(debug_assertions)]
static CHOSEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// From now on the process has this fault, or none.
#[cfg(debug_assertions)]
pub fn choose(fault: Option<Fault>) {
    CHOSEN.store(fault.map_or(0, |fault| fault as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether the process has this fault.
#[cfg(debug_assertions)]
pub(in crate::engine) fn seeded(fault: Fault) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::SeqCst) == fault as u8
}

/// Whether the process has this fault: never.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(in crate::engine) const fn seeded(_: Fault) -> bool {
    false
}
