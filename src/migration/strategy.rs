//! How a set of bin moves is cut into steps (`papers/megaphone-vldb19.md#strategies`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Assignments, BinMove, Schedule, Step};
use crate::dataflow::{Configuration, Role, Topology};

/// How many bins move at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Everything in one step.
    #[default]
    AllAtOnce,
    /// One bin a step.
    Fluid,
}

/// A name that is no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a migration strategy, one of 'all-at-once' and 'fluid', found '{0}'")]
pub struct StrategyError(pub String);

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 2] = [Strategy::AllAtOnce, Strategy::Fluid];

    /// The steps from one configuration and its assignments to another.
    ///
    /// Stateless operators change in the first step, whatever the strategy: they have nothing to move.
    ///
    /// # Panics
    /// If `before` and `after` do not belong to `topology`.
    pub fn schedule(
        self,
        topology: &Topology,
        (before, owned_before): (&Configuration, &Assignments),
        (after, owned_after): (&Configuration, &Assignments),
    ) -> Schedule {
        let changed = |operator: &&crate::dataflow::Operator| before.parallelism(operator.id) != after.parallelism(operator.id);
        let stateless = topology.operators().iter().filter(|operator| operator.role == Role::Stateless).filter(changed);
        let parallelism: BTreeMap<_, _> = stateless.map(|operator| (operator.id, after.parallelism(operator.id))).collect();
        let mut moves = Vec::new();
        for (&operator, old) in owned_before {
            let new = &owned_after[&operator];
            moves.extend(old.moves_to(new).map(|(bin, to)| BinMove { operator, bin, from: old.owner(bin), to }));
        }
        let mut steps: Vec<Step> = match self {
            Strategy::AllAtOnce => vec![Step { moves, ..Step::default() }],
            Strategy::Fluid => moves.into_iter().map(|one| Step { moves: vec![one], ..Step::default() }).collect(),
        };
        if steps.is_empty() {
            steps.push(Step::default());
        }
        steps[0].parallelism = parallelism;
        Schedule { steps }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::AllAtOnce => "all-at-once",
            Strategy::Fluid => "fluid",
        })
    }
}

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Strategy, StrategyError> {
        Strategy::ALL.into_iter().find(|strategy| strategy.to_string() == text).ok_or_else(|| StrategyError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Plan;
    use crate::id::OperatorId;
    use crate::migration::{Assignment, rebalance};

    #[test]
    fn a_schedule_moves_what_differs_and_nothing_else() {
        let topology = Topology::new(
            &[("source", Role::Source, 1), ("map", Role::Stateless, 8), ("count", Role::Keyed { bins: 16 }, 8)],
            &[(0, 1), (1, 2)],
        )
        .unwrap();
        let before = Configuration::ones(&topology);
        let count = OperatorId(2);
        let after = Plan::rescale(OperatorId(1), 3).and(count, 4).apply(&topology, &before).unwrap();
        let owned = Assignment::initial(&topology, &before);
        let new: Assignments = [(count, rebalance(&owned[&count], &[], 4))].into();
        let at_once = Strategy::AllAtOnce.schedule(&topology, (&before, &owned), (&after, &new));
        let fluid = Strategy::Fluid.schedule(&topology, (&before, &owned), (&after, &new));
        assert_eq!((at_once.steps.len(), at_once.moves()), (1, 12));
        assert_eq!((fluid.steps.len(), fluid.moves()), (12, 12));
        for schedule in [at_once, fluid] {
            assert_eq!(schedule.steps[0].parallelism, BTreeMap::from([(OperatorId(1), 3)]));
            let mut owners = owned[&count].owners().to_vec();
            for step in schedule.steps.iter().flat_map(|step| &step.moves) {
                assert_eq!(owners[step.bin.0 as usize], step.from);
                owners[step.bin.0 as usize] = step.to;
            }
            assert_eq!(Assignment::of(owners), new[&count]);
        }
    }
}
