//! Metrics of one worker over one window: what its time went to, and how much of it there was.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, WorkerId};
use crate::time::Timestamp;

/// What a worker has had of a core at one instant, counted from the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreSample {
    /// The instant.
    pub at: Timestamp,
    /// Time on a core.
    pub ran: Duration,
    /// Time that it could have used a core and had none.
    pub denied: Duration,
}

/// Sums over one window for one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerMetrics {
    /// The worker.
    pub worker: WorkerId,
    /// Length of the window.
    pub window: Duration,
    /// Time of the worker that each instance took with its recorded activities, by instance;
    /// instances that took none are omitted. External waits are included, since the worker does
    /// nothing else meanwhile.
    pub used: Vec<(InstanceId, Duration)>,
    /// Time on a core, and time without one that it could have used; `None` where the host does not
    /// say.
    pub core: Option<CoreTime>,
}

/// Time of a worker on a core over one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreTime {
    /// Time on a core.
    pub ran: Duration,
    /// Time that it could have used a core and had none: another thread had it, or another machine.
    pub denied: Duration,
}

impl CoreTime {
    /// The time between two samples, as if they lay a window of `length` apart: after a window was
    /// begun anew the last sample before it may be from long ago.
    pub fn between(before: CoreSample, after: CoreSample, length: Duration) -> CoreTime {
        let apart = after.at.0.saturating_sub(before.at.0);
        let part = if apart == 0 { 0.0 } else { length.as_nanos() as f64 / apart as f64 };
        let of = |before: Duration, after: Duration| Duration::from_nanos((after.saturating_sub(before).as_nanos() as f64 * part) as u64);
        CoreTime { ran: of(before.ran, after.ran), denied: of(before.denied, after.denied) }
    }
}

impl WorkerMetrics {
    /// Time that its instances took together.
    pub fn busy(&self) -> Duration {
        self.used.iter().map(|(_, time)| *time).sum()
    }

    /// The part of a core that it can count on, 0 to 1; 1 if the host does not say.
    ///
    /// For a worker that asks for a core all the time, it is the part of that time in which it got
    /// one. A worker with little to do mostly waits for a core when it wakes up, which says little
    /// about what it would get; the less it asks for, the more it is taken to get all of the rest of
    /// the window.
    pub fn core_share(&self) -> f64 {
        let Some(CoreTime { ran, denied }) = self.core else { return 1.0 };
        let (window, asked, denied) = (self.window.as_secs_f64(), (ran + denied).as_secs_f64(), denied.as_secs_f64());
        if window <= 0.0 || asked <= 0.0 {
            return 1.0;
        }
        let (of_asked, of_window, weight) = (1.0 - denied / asked, 1.0 - (denied / window).min(1.0), (asked / window).min(1.0));
        of_asked * weight + of_window * (1.0 - weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OperatorId;

    #[test]
    fn what_a_worker_gets_is_a_part_of_what_it_asked_for() {
        let ms = Duration::from_millis;
        let sample = |at_ms: u64, ran, denied| CoreSample { at: Timestamp(at_ms * 1_000_000), ran: ms(ran), denied: ms(denied) };
        let used = vec![(InstanceId::new(OperatorId(1), 0), ms(300)), (InstanceId::new(OperatorId(2), 0), ms(400))];
        let core = CoreTime::between(sample(0, 100, 50), sample(1000, 700, 650), ms(1000));
        // Over three windows it had three times as much, and none where there are not two instants.
        assert_eq!(CoreTime::between(sample(500, 100, 50), sample(3500, 1900, 1850), ms(1000)), core);
        assert_eq!(CoreTime::between(sample(5, 0, 0), sample(5, 700, 650), ms(1000)), CoreTime::default());
        let metrics = WorkerMetrics { worker: WorkerId(0), window: ms(1000), used, core: Some(core) };
        assert_eq!((metrics.busy(), metrics.core_share()), (ms(700), 0.5));
        let little = Some(CoreTime { ran: ms(50), denied: ms(50) });
        let share = WorkerMetrics { core: little, ..metrics.clone() }.core_share();
        assert!((share - 0.905).abs() < 1e-9, "what it waits for when it wakes up is hardly a loss: {share}");
        assert_eq!(WorkerMetrics { core: None, ..metrics.clone() }.core_share(), 1.0);
        assert_eq!(WorkerMetrics { core: Some(CoreTime::default()), ..metrics }.core_share(), 1.0);
    }
}
