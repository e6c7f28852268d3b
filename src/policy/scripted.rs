//! A fixed list of plans with their times: for migration experiments, for tests, and for rescaling
//! by hand.
//!
//! A script consists of plans with their times, `4s: count=8, flatmap=4; 8s: count=rebalance; 9s:
//! flatmap=rebalance 1 0.3 1 1`:
//!
//! ```text
//! script = plan { ";" plan }
//! plan   = seconds "s" ":" change { "," change }
//! ```
//!
//! with the changes of [`read_changes`].

use std::collections::VecDeque;

use super::{ChangeError, Decision, Policy, Reason, read_changes};
use crate::dataflow::{Plan, Topology};
use crate::observation::Observation;
use crate::time::Timestamp;

/// Returns each plan at the first decision at or after its time, one per decision.
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    plans: VecDeque<(Timestamp, Plan)>,
}

impl Scripted {
    /// Plans with the time from which each is due; they are returned in order of time.
    pub fn new(plans: impl IntoIterator<Item = (Timestamp, Plan)>) -> Scripted {
        let mut plans: Vec<_> = plans.into_iter().collect();
        plans.sort_by_key(|(at, _)| *at);
        Scripted { plans: plans.into() }
    }

    /// Parses a script (see the module) for the operators of `topology`, by name. Plans are not
    /// validated; the controller does that when their time has come.
    ///
    /// # Errors
    /// If the text is not a script, or names an operator that cannot be rescaled.
    ///
    /// ```
    /// use thalweg::dataflow::{Role, Topology};
    /// use thalweg::policy::Scripted;
    ///
    /// let operators = [("source", Role::Source, 1), ("count", Role::Keyed { bins: 16 }, 8)];
    /// let topology = Topology::new(&operators, &[(0, 1)])?;
    /// assert!(Scripted::read("4s: count=8; 8.5s: count=rebalance", &topology).is_ok());
    /// assert!(Scripted::read("4s: counts=8", &topology).is_err());
    /// # Ok::<(), thalweg::dataflow::TopologyError>(())
    /// ```
    pub fn read(script: &str, topology: &Topology) -> Result<Scripted, ScriptError> {
        script.split(';').map(|plan| read_plan(plan.trim(), topology)).collect::<Result<Vec<_>, _>>().map(Scripted::new)
    }
}

/// Why a text is not a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A plan without its time.
    #[error("expected plans such as '4s: count=8', separated by ';', found '{0}'")]
    Plan(String),
    /// Not a valid change.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

fn read_plan(text: &str, topology: &Topology) -> Result<(Timestamp, Plan), ScriptError> {
    let wrong = || ScriptError::Plan(text.to_owned());
    let (time, changes) = text.split_once(':').ok_or_else(wrong)?;
    let seconds: f64 = time.trim().strip_suffix('s').and_then(|seconds| seconds.trim_end().parse().ok()).ok_or_else(wrong)?;
    if !seconds.is_finite() || seconds < 0.0 {
        return Err(wrong());
    }
    Ok((Timestamp::from_secs_f64(seconds), read_changes(changes, topology)?))
}

/// Its rules, with their meanings.
pub(super) const RULES: [(&str, &str); 1] = [("scripted", "as the script says")];

impl Policy for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn decide(&mut self, now: Timestamp, _observation: &Observation) -> Decision {
        match self.plans.front() {
            Some((at, _)) if *at <= now => {
                let (_, plan) = self.plans.pop_front().expect("just seen");
                Decision::Rescale(plan, Reason::new("scripted"))
            }
            _ => Decision::Hold(Reason::new("scripted")),
        }
    }

    fn postponed(&mut self, plan: &Plan, until: Timestamp) {
        self.plans.push_front((until, plan.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{OperatorId, WorkerId};
    use crate::policy::fixture::word_count;

    #[test]
    fn a_script_is_read_and_what_is_none_is_refused_by_its_place() {
        let (flatmap, count) = (OperatorId(1), OperatorId(2));
        let script = Scripted::read("4s: count=8, flatmap = 4; 2.5s:count=rebalance", &word_count()).unwrap();
        let rebalance = Plan { rebalances: [count].into(), ..Plan::default() };
        let plans = [(Timestamp(2_500_000_000), rebalance), (Timestamp(4_000_000_000), Plan::rescale(count, 8).and(flatmap, 4))];
        assert_eq!(script.plans, plans);
        let speeds = [(flatmap, vec![1.0, 0.3]), (count, vec![0.5])].into();
        let script = Scripted::read("1s: flatmap=rebalance 1  0.3, count=2 .5", &word_count()).unwrap();
        assert_eq!(script.plans[0].1, Plan { speeds, rebalances: [flatmap].into(), ..Plan::rescale(count, 2) });
        let script = Scripted::read("1s: flatmap@1, count = 2 @ 0 + 1", &word_count()).unwrap();
        let placement = [(flatmap, vec![WorkerId(1)]), (count, vec![WorkerId(0), WorkerId(1)])].into();
        assert_eq!(script.plans[0].1, Plan { placement, ..Plan::rescale(count, 2) });
        for (text, expected) in [
            ("", "expected plans such as '4s: count=8', separated by ';', found ''"),
            ("4s: count=8;", "separated by ';', found ''"),
            ("soon: count=8", "found 'soon: count=8'"),
            ("-1s: count=8", "found '-1s: count=8'"),
            ("4s: count", "'count=8', 'count=rebalance' or 'count@1', separated by ',', found 'count'"),
            ("4s: count@first", "found 'count@first'"),
            ("4s: count=many", "found 'count=many'"),
            ("4s: count=", "found 'count='"),
            ("4s: count=8 fast", "found 'count=8 fast'"),
            ("4s: counts=8", "expected an operator, one of 'flatmap', 'count', found 'counts'"),
            ("4s: source=2", "one of 'flatmap', 'count', found 'source'"),
        ] {
            let error = Scripted::read(text, &word_count()).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{text}: {error}");
        }
    }
}
