//! What a task did, one phase after the other, as its metrics say.

use smallvec::{SmallVec, smallvec};

use super::super::error::Oddities;
use super::event::{MILLISECOND, TaskEvent, TaskMetrics};
use crate::activity::ActivityKind;

/// The phases of a task that has ended.
pub(super) struct Phases {
    /// What was measured of it, in ns: possibly longer or shorter than the task.
    pub(super) measured: u64,
    /// Kind and length in ns, in order.
    pub(super) phases: SmallVec<[(ActivityKind, u64); 4]>,
    pub(super) records_in: u64,
    pub(super) records_out: u64,
}

impl Phases {
    /// Those of a task that took `total` ns. Without metrics it is processing alone; what was in vain
    /// is lost as a whole.
    pub(super) fn of(event: &TaskEvent<'_>, total: u64, oddities: &mut Oddities) -> Phases {
        if event.is_lost() {
            return Phases { measured: total, phases: smallvec![(ActivityKind::Lost, total)], records_in: 0, records_out: 0 };
        }
        let default = TaskMetrics::default();
        let run = event.metrics.as_ref().map_or(total, |metrics| metrics.run.saturating_mul(MILLISECOND));
        let metrics = event.metrics.as_ref().unwrap_or_else(|| {
            oddities.count("tasks without metrics, taken to be processing alone");
            &default
        });
        let wait = metrics.read.wait.saturating_mul(MILLISECOND).min(run);
        let write = metrics.write.time.min(run - wait);
        let deserialize = metrics.deserialize.saturating_mul(MILLISECOND);
        let serialize = metrics.serialize.saturating_mul(MILLISECOND);
        let measured = run.saturating_add(deserialize).saturating_add(serialize);
        if measured > total {
            oddities.count("tasks whose phases last longer than the task, cut at its end");
        }
        let phases = smallvec![
            (ActivityKind::Deserialization, deserialize),
            (ActivityKind::ExternalWait, wait),
            (if event.info.speculative { ActivityKind::Speculative } else { ActivityKind::Processing }, run - wait - write),
            (ActivityKind::Serialization, write.saturating_add(serialize)),
        ];
        let records_in = metrics.read.records.saturating_add(metrics.input.records);
        let records_out = metrics.write.records.saturating_add(metrics.output.records);
        Phases { measured, phases, records_in, records_out }
    }
}

/// The share of a task's unexplained time that lies before it.
pub(super) fn before(total: u64, measured: u64) -> u64 {
    total.saturating_sub(measured) / 3
}
