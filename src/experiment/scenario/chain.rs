//! What every scenario has to be that runs on the engine: a chain of the job's operators, with nothing that the engine does not impose.

use super::form::{Disturb, Input, Moves, OperatorForm, RoleForm, Scenario};
use crate::experiment::job::OperatorDefinition;
use crate::sim::CapacityCurve;

impl Scenario {
    /// Refuses what is not a chain of these operators, and what the engine does not impose on any.
    pub(super) fn is_chain_of(&self, what: &str, operators: &[(&str, RoleForm)]) -> Result<(), String> {
        if self.operators.len() != operators.len() {
            let names: Vec<&str> = operators.iter().map(|(name, _)| *name).collect();
            return Err(format!("expected the operators {}, found {}", names.join(", "), self.operators.len()));
        }
        for (index, (operator, (name, role))) in self.operators.iter().zip(operators).enumerate() {
            let inputs: Vec<Input> = index.checked_sub(1).map(|before| Input::All(operators[before].0.to_owned())).into_iter().collect();
            if (operator.name.as_str(), operator.role, &operator.inputs) != (*name, *role, &inputs) {
                return Err(format!("expected {name} as operator {index} of {what}, found '{}'", operator.name));
            }
        }
        if self.disturb != Disturb::default() || self.moves != Moves::default() || self.delay_ms != 0.0 {
            return Err("expected nothing that is disturbed or delayed: the engine measures and moves as it does".to_owned());
        }
        Ok(())
    }
}

/// An operator as the engine runs it, or what the engine does not impose.
pub(super) fn definition(operator: &OperatorForm) -> Result<OperatorDefinition, String> {
    let wrong = |what: &str| Err(format!("operator '{}': the engine imposes no {what}", operator.name));
    if operator.capacity != CapacityCurve::Linear {
        return wrong("capacity that is not linear");
    }
    if operator.external_wait_ms != 0.0 || operator.external_limit.is_some() {
        return wrong("waits for something outside");
    }
    if operator.stragglers.len() > 1 {
        return wrong("second slow instance");
    }
    Ok(OperatorDefinition {
        limit: operator.limit,
        instances: operator.instances,
        max_parallelism: operator.max_parallelism,
        queue_high_s: operator.queue_high_s,
        queue_low_s: operator.queue_low_s,
        straggler: operator.stragglers.first().cloned(),
    })
}
