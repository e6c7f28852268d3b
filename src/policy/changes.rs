//! The changes of a plan as text, such as `count=8, flatmap=rebalance`.
//!
//! ```text
//! changes = change { "," change }
//! change  = operator [ "=" ( instances | "rebalance" ) { speed } ] [ "@" worker { "+" worker } ]
//! ```
//!
//! Speeds are those of the operator's instances by index; missing ones are 1 ([`Plan::speeds`]).
//! Workers are those of its instances after the plan: `count@1` moves its only instance, and
//! `count=2@0+1` says where both are ([`Plan::placement`]).

use crate::dataflow::{Plan, Topology};
use crate::id::WorkerId;

/// Why a text names no changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Not a valid change.
    #[error("expected changes such as 'count=8', 'count=rebalance' or 'count@1', separated by ',', found '{0}'")]
    Change(String),
    /// No scalable operator has this name.
    #[error("expected an operator, one of {}, found '{found}'", .names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "))]
    Operator {
        /// The scalable operators.
        names: Vec<String>,
        /// The given name.
        found: String,
    },
}

/// Parses the changes of one plan, such as `count=8, flatmap=4`, for the operators of `topology`, by name.
///
/// # Errors
/// If the text names no changes, or an operator that cannot be rescaled.
pub fn read_changes(changes: &str, topology: &Topology) -> Result<Plan, ChangeError> {
    let mut plan = Plan::default();
    for change in changes.split(',').map(str::trim) {
        let wrong = || ChangeError::Change(change.to_owned());
        let (rest, places) = change.split_once('@').map_or((change, None), |(rest, places)| (rest, Some(places)));
        let (name, to) = rest.split_once('=').map_or((rest, None), |(name, to)| (name, Some(to)));
        if to.is_none() && places.is_none() {
            return Err(wrong());
        }
        let operator = topology.scalable().find(|operator| operator.name == name.trim_end()).ok_or_else(|| ChangeError::Operator {
            names: topology.scalable().map(|operator| operator.name.clone()).collect(),
            found: name.trim_end().to_owned(),
        })?;
        if let Some(places) = places {
            let worker = |place: &str| place.trim().parse().map(WorkerId).map_err(|_| wrong());
            plan.placement.insert(operator.id, places.split('+').map(worker).collect::<Result<_, _>>()?);
        }
        let Some(to) = to else { continue };
        let mut words = to.split_whitespace();
        let what = words.next().ok_or_else(wrong)?;
        match what.parse() {
            _ if what == "rebalance" => _ = plan.rebalances.insert(operator.id),
            Ok(instances) => _ = plan.rescales.insert(operator.id, instances),
            Err(_) => return Err(wrong()),
        }
        let speeds: Vec<f64> = words.map(|speed| speed.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        if !speeds.is_empty() {
            plan.speeds.insert(operator.id, speeds);
        }
    }
    Ok(plan)
}
