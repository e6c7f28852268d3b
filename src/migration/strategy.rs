//! Migration strategies: how a set of bin moves is cut into steps
//! (`papers/megaphone-vldb19.md#strategies`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::matching::matchings;
use super::spread::spread;
use super::{Assignment, Assignments, BinMove, Goal, Measures, Schedule, Step};
use crate::dataflow::{Configuration, Operator, Role, Topology};
use crate::id::{BinId, OperatorId, WorkerId};

/// How many bins migrate at a time, and in which order. Written as on the command line: `fluid`,
/// `batched:16`, `adaptive:50ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Strategy {
    /// Everything in one step.
    #[default]
    AllAtOnce,
    /// One bin per step.
    Fluid,
    /// This many bins per step, at least 1; the last step has the remaining ones.
    Batched(u32),
    /// Each instance sends at most one bin and receives at most one per step; as few steps as that
    /// allows.
    Optimized,
    /// One bin per step, the most loaded first, so that overloaded instances are relieved first.
    HotFirst,
    /// As many bins per step as keep the current latency below the goal (see
    /// [`Pacer`](super::Pacer)).
    Adaptive(Goal),
}

/// Why a text is no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// No strategy has that name.
    #[error(
        "expected a migration strategy, one of 'all-at-once', 'fluid', 'batched:N', 'optimized', 'hot-first' and 'adaptive', found '{0}'"
    )]
    Unknown(String),
    /// The batch size is not a number of bins.
    #[error("expected 'batched:N' with N bins per step, at least 1, found '{0}'")]
    Batch(String),
    /// The goal is not a latency.
    #[error("expected 'adaptive' or 'adaptive:GOAL' with a latency such as 50ms, found '{0}'")]
    Goal(String),
}

impl Strategy {
    /// One of each kind, with batches of 16 bins and the default goal.
    pub fn all() -> [Strategy; 6] {
        let [all_at_once, fluid, batched, optimized, hot_first] = Strategy::FIXED;
        [all_at_once, fluid, batched, optimized, hot_first, Strategy::Adaptive(Goal::default())]
    }

    /// The strategies with a fixed schedule, with batches of 16 bins.
    pub const FIXED: [Strategy; 5] = [Strategy::AllAtOnce, Strategy::Fluid, Strategy::Batched(16), Strategy::Optimized, Strategy::HotFirst];

    /// The steps from one configuration and its assignments to another. A step may move bins of
    /// several operators. The first says where instances are from then on, and the bins of those
    /// that go to another worker follow them in its turn.
    ///
    /// Stateless operators change in the first step, whatever the strategy: they have nothing to
    /// migrate. The schedule of `adaptive` has one bin per step; how many are sent together is
    /// decided during the migration.
    ///
    /// # Panics
    /// If `before` and `after` do not belong to `topology`, or for batches of 0 bins.
    pub fn schedule(
        self,
        topology: &Topology,
        (before, owned_before): (&Configuration, &Assignments),
        (after, owned_after): (&Configuration, &Assignments),
        measures: &Measures,
    ) -> Schedule {
        let placement = moved(before, after);
        let changed = |operator: &&Operator| {
            before.parallelism(operator.id) != after.parallelism(operator.id) || placement.contains_key(&operator.id)
        };
        let stateless = topology.operators().iter().filter(|operator| operator.role == Role::Stateless).filter(changed);
        let parallelism: BTreeMap<_, _> = stateless.map(|operator| (operator.id, after.parallelism(operator.id))).collect();
        let mut moves = Vec::new();
        for (&operator, old) in owned_before {
            let new = &owned_after[&operator];
            moves.extend(old.moves_to(new).map(|(bin, to)| BinMove { operator, bin, from: old.owner(bin), to }));
            moves.extend(following(operator, (before, old), (after, new)));
        }
        let size = |one: &BinMove| measures.size(one.operator, one.bin);
        let mut steps: Vec<Vec<BinMove>> = self.cut(moves, measures);
        if steps.is_empty() {
            steps.push(Vec::new());
        }
        let sizes = steps.iter().map(|moves| moves.iter().map(size).sum()).collect();
        let mut steps: Vec<Step> = steps.into_iter().map(|moves| Step { moves, ..Step::default() }).collect();
        (steps[0].parallelism, steps[0].placement) = (parallelism, placement);
        Schedule { steps, sizes }
    }

    fn cut(self, mut moves: Vec<BinMove>, measures: &Measures) -> Vec<Vec<BinMove>> {
        let load = |one: &BinMove| measures.load(one.operator, one.bin);
        let size = |one: &BinMove| measures.size(one.operator, one.bin);
        let chunks = |moves: Vec<BinMove>, bins: usize| moves.chunks(bins).map(<[BinMove]>::to_vec).collect();
        match self {
            Strategy::AllAtOnce if moves.is_empty() => Vec::new(),
            Strategy::AllAtOnce => vec![moves],
            Strategy::Fluid => chunks(moves, 1),
            Strategy::Batched(bins) => {
                assert!(bins > 0, "a batch has at least one bin");
                chunks(spread(moves, size), bins as usize)
            }
            Strategy::Optimized => matchings(moves),
            Strategy::HotFirst => {
                moves.sort_by(|a, b| load(b).total_cmp(&load(a)).then((a.operator, a.bin).cmp(&(b.operator, b.bin))));
                chunks(moves, 1)
            }
            Strategy::Adaptive(_) => chunks(spread(moves, size), 1),
        }
    }
}

/// The workers of the instances of operators of which any has another worker in `after` than before,
/// or none before.
fn moved(before: &Configuration, after: &Configuration) -> BTreeMap<OperatorId, Vec<WorkerId>> {
    let Some(placement) = after.placement() else { return BTreeMap::new() };
    let changed = |operator: &OperatorId| before.placement().map(|before| before.of(*operator)) != Some(placement.of(*operator));
    after.iter().map(|(id, _)| id).filter(changed).map(|id| (id, placement.of(id).to_vec())).collect()
}

/// Moves of bins that keep their owner while it goes to another worker.
fn following(
    operator: OperatorId,
    (before, old): (&Configuration, &Assignment),
    (after, new): (&Configuration, &Assignment),
) -> Vec<BinMove> {
    let (Some(before), Some(after)) = (before.placement(), after.placement()) else { return Vec::new() };
    let goes: BTreeSet<u32> =
        before.moves_to(after).filter(|(instance, ..)| instance.operator == operator).map(|(instance, ..)| instance.index).collect();
    let stays = (0..).zip(old.owners().iter().zip(new.owners())).filter(|(_, (from, to))| from == to && goes.contains(from));
    stays.map(|(bin, (&from, &to))| BinMove { operator, bin: BinId(bin), from, to }).collect()
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::AllAtOnce => f.write_str("all-at-once"),
            Strategy::Fluid => f.write_str("fluid"),
            Strategy::Batched(bins) => write!(f, "batched:{bins}"),
            Strategy::Optimized => f.write_str("optimized"),
            Strategy::HotFirst => f.write_str("hot-first"),
            Strategy::Adaptive(goal) => write!(f, "adaptive:{goal}"),
        }
    }
}

impl From<Strategy> for String {
    fn from(strategy: Strategy) -> String {
        strategy.to_string()
    }
}

impl TryFrom<String> for Strategy {
    type Error = StrategyError;

    fn try_from(text: String) -> Result<Strategy, StrategyError> {
        text.parse()
    }
}

impl FromStr for Strategy {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Strategy, StrategyError> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        Ok(match (name, rest) {
            ("all-at-once", None) => Strategy::AllAtOnce,
            ("fluid", None) => Strategy::Fluid,
            ("optimized", None) => Strategy::Optimized,
            ("hot-first", None) => Strategy::HotFirst,
            ("adaptive", None) => Strategy::Adaptive(Goal::default()),
            ("adaptive", Some(goal)) => Strategy::Adaptive(goal.parse().map_err(|_| StrategyError::Goal(text.to_owned()))?),
            ("batched", bins) => match bins.and_then(|bins| bins.parse().ok()) {
                Some(bins) if bins > 0 => Strategy::Batched(bins),
                _ => return Err(StrategyError::Batch(text.to_owned())),
            },
            _ => return Err(StrategyError::Unknown(text.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Plan;
    use crate::migration::{BinMeasure, rebalance};

    const MAP: OperatorId = OperatorId(1);
    const COUNT: OperatorId = OperatorId(2);
    const JOIN: OperatorId = OperatorId(3);

    /// The schedules of one plan, by strategy, with the load of each bin its number.
    fn schedules() -> Vec<(Strategy, Schedule)> {
        let keyed = |bins| Role::Keyed { bins };
        let operators = [("source", Role::Source, 1), ("map", Role::Stateless, 8), ("count", keyed(16), 8), ("join", keyed(8), 8)];
        let topology = Topology::new(&operators, &[(0, 1), (1, 2), (2, 3)]).unwrap();
        let before = Configuration::ones(&topology);
        let after = Plan::rescale(MAP, 3).and(COUNT, 4).and(JOIN, 2).apply(&topology, &before).unwrap();
        let owned = Assignment::initial(&topology, &before);
        let new: Assignments = [(COUNT, rebalance(&owned[&COUNT], &[], 4)), (JOIN, rebalance(&owned[&JOIN], &[], 2))].into();
        let measure = |(operator, bin): (OperatorId, u32)| (operator, BinId(bin), BinMeasure { load: f64::from(bin), size: 1.0, keys: 1 });
        let measures = Measures::of((0..16).map(|bin| (COUNT, bin)).chain((0..8).map(|bin| (JOIN, bin))).map(measure));
        let schedule = |strategy: Strategy| strategy.schedule(&topology, (&before, &owned), (&after, &new), &measures);
        let all = Strategy::all().map(|strategy| {
            let schedule = schedule(strategy);
            assert_eq!(schedule.steps[0].parallelism, BTreeMap::from([(MAP, 3)]), "{strategy}");
            assert!(schedule.steps[1..].iter().all(|step| step.parallelism.is_empty()), "{strategy}");
            let mut owners: Assignments = owned.clone();
            for step in schedule.steps.iter().flat_map(|step| &step.moves) {
                let mut all = owners[&step.operator].owners().to_vec();
                assert_eq!(std::mem::replace(&mut all[step.bin.0 as usize], step.to), step.from);
                owners.insert(step.operator, Assignment::of(all));
            }
            assert_eq!(owners, new, "{strategy}");
            (strategy, schedule)
        });
        all.into()
    }

    #[test]
    fn every_strategy_moves_what_differs_and_nothing_else() {
        let counts = schedules().into_iter().map(|(strategy, schedule)| (strategy.to_string(), schedule.steps.len(), schedule.moves()));
        let expected = [("all-at-once", 1), ("fluid", 16), ("batched:16", 1), ("optimized", 12), ("hot-first", 16), ("adaptive:100ms", 16)];
        assert_eq!(counts.collect::<Vec<_>>(), expected.map(|(name, steps)| (name.to_owned(), steps, 16)));
    }

    #[test]
    fn bins_follow_an_instance_that_goes_to_another_worker() {
        let operators = [("source", Role::Source, 1), ("map", Role::Stateless, 4), ("count", Role::Keyed { bins: 8 }, 4)];
        let topology = Topology::new(&operators, &[(0, 1), (1, 2)]).unwrap();
        let before = Configuration::ones(&topology).with(COUNT, 2).spread_over(&topology, 2);
        assert_eq!(before.placement().unwrap().of(COUNT), [WorkerId(0), WorkerId(1)]);
        let owned = Assignment::initial(&topology, &before);
        let placement = BTreeMap::from([(MAP, vec![WorkerId(0)]), (COUNT, vec![WorkerId(1), WorkerId(1)])]);
        let after = Plan { placement: placement.clone(), ..Plan::default() }.apply(&topology, &before).unwrap();
        let schedule = Strategy::Fluid.schedule(&topology, (&before, &owned), (&after, &owned), &Measures::default());
        assert_eq!((schedule.steps.len(), schedule.moves()), (4, 4), "the bins of instance 0, one by one");
        assert!(schedule.steps.iter().flat_map(|step| &step.moves).all(|one| (one.from, one.to) == (0, 0) && one.bin.0 % 2 == 0));
        assert_eq!((&schedule.steps[0].placement, &schedule.steps[0].parallelism), (&placement, &BTreeMap::from([(MAP, 1)])));
        assert!(schedule.steps[1..].iter().all(|step| step.placement.is_empty() && step.parallelism.is_empty()));
    }

    #[test]
    fn the_hottest_bin_goes_first() {
        let (_, schedule) = schedules().into_iter().find(|(strategy, _)| *strategy == Strategy::HotFirst).unwrap();
        let bins: Vec<u32> = schedule.steps.iter().map(|step| step.moves[0].bin.0).collect();
        assert!(bins.windows(2).all(|pair| pair[0] >= pair[1]), "{bins:?}");
    }

    #[test]
    fn a_step_of_optimized_may_use_an_instance_of_each_operator() {
        let (_, schedule) = schedules().into_iter().find(|(strategy, _)| *strategy == Strategy::Optimized).unwrap();
        assert!(schedule.steps.iter().any(|step| step.moves.len() == 2 && step.moves[0].operator != step.moves[1].operator));
    }

    #[test]
    fn strategies_read_back_as_they_are_written() {
        for strategy in Strategy::all().into_iter().chain([Strategy::Batched(1), Strategy::Adaptive("50ms".parse().unwrap())]) {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
            let json = serde_json::to_string(&strategy).unwrap();
            assert_eq!(serde_json::from_str::<Strategy>(&json).unwrap(), strategy);
        }
        let refused = |text: &str| text.parse::<Strategy>().unwrap_err();
        assert!(refused("slow").to_string().ends_with("'hot-first' and 'adaptive', found 'slow'"));
        for batch in ["batched", "batched:", "batched:0", "batched:-1", "batched:x"] {
            assert_eq!(refused(batch), StrategyError::Batch(batch.to_owned()));
        }
        assert_eq!(refused("adaptive:0ms"), StrategyError::Goal("adaptive:0ms".to_owned()));
        assert_eq!(refused("fluid:2"), StrategyError::Unknown("fluid:2".to_owned()));
    }
}
