//! Seeded faults, to check that the tests of migration detect them.
//!
//! They are compiled into unit tests only. One fault at a time can be selected for the whole
//! process; `src/engine/seeded_faults.rs` selects each of them and has to detect it.

/// Something that a migration could get wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::engine) enum Fault {
    /// The state of a bin that leaves is lost.
    DropBin = 1,
    /// Queued records of a bin that leaves are lost.
    DropQueue,
    /// A record that waits in the queue for a bin that leaves stays behind.
    LeaveOne,
    /// Records for a bin that has not arrived do not wait for it.
    DoNotWait,
    /// The records that came along with a bin are queued in the reverse order.
    ArriveReversed,
    /// The timers of a bin that leaves are lost.
    ForgetTimers,
    /// A bin's timers fire although older records wait for its instance.
    FireEarly,
    /// A record is applied before the timers of its own epoch fire.
    FireLate,
    /// Results of timers are emitted in the epoch of the oldest capability.
    EmitEarly,
    /// Records are routed by the old table for one epoch too long.
    OldTable,
    /// A bin leaves when the command is final, whether or not everything older has arrived.
    LeaveEarly,
    /// A move of a bin that is migrating already is overlooked.
    OverlookMove,
    /// The last entry of a part is lost.
    CutPart,
    /// A bin is taken for complete as soon as its end has come, whether or not all parts have been
    /// installed.
    LastFirst,
    /// The halves of a split bin change places.
    SwapHalves,
    /// Each arrival is reported twice.
    ReportTwice,
    /// Waiting records are counted at the instance that gave the bin away.
    CountAtOld,
    /// What is left of a batch when time runs out goes to the end of the queue.
    RestLast,
    /// An operator that ran out of time is not scheduled again.
    SleepOn,
    /// Timers that are left when time runs out are not called.
    RestForgotten,
}

impl Fault {
    /// Every fault.
    #[cfg(test)]
    pub(in crate::engine) const ALL: [Fault; 20] = [
        Fault::DropBin,
        Fault::DropQueue,
        Fault::LeaveOne,
        Fault::DoNotWait,
        Fault::ArriveReversed,
        Fault::ForgetTimers,
        Fault::FireEarly,
        Fault::FireLate,
        Fault::EmitEarly,
        Fault::OldTable,
        Fault::LeaveEarly,
        Fault::OverlookMove,
        Fault::CutPart,
        Fault::LastFirst,
        Fault::SwapHalves,
        Fault::ReportTwice,
        Fault::CountAtOld,
        Fault::RestLast,
        Fault::SleepOn,
        Fault::RestForgotten,
    ];
}

#[cfg(test)]
static CHOSEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Selects the fault of this process, or none.
#[cfg(test)]
pub(in crate::engine) fn choose(fault: Option<Fault>) {
    CHOSEN.store(fault.map_or(0, |fault| fault as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether this fault is selected.
#[cfg(test)]
pub(in crate::engine) fn seeded(fault: Fault) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::SeqCst) == fault as u8
}

/// Whether this fault is selected: never.
#[cfg(not(test))]
#[inline(always)]
pub(in crate::engine) const fn seeded(_: Fault) -> bool {
    false
}
