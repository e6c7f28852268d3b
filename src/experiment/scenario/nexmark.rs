//! A scenario as a query of NEXMark on the engine, where it is one.

use std::collections::BTreeMap;

use super::chain::definition;
use super::form::{NexmarkForm, RoleForm, Scenario};
use crate::dataflow::Role;
use crate::engine::nexmark::{Form, Nexmark};
use crate::experiment::nexmark::NexmarkDefinition;
use crate::rate::Rate;
use crate::workload::nexmark::GeneratorConfig;

impl Scenario {
    /// The query on the engine that this scenario describes, with the events of `seed`; nothing if it is none. The source's rate is that of the
    /// events that the query reads. Selectivities and skew are the query's own.
    ///
    /// # Errors
    /// When its operators are not the query's, or have something that the engine does not impose; says what was expected and what was found.
    pub fn query(&self, seed: u64) -> Result<Option<Nexmark>, String> {
        let Some(NexmarkForm { query, dilation, active }) = self.nexmark else { return Ok(None) };
        let form = |role: Role| if matches!(role, Role::Keyed { .. }) { RoleForm::Keyed } else { RoleForm::Stateless };
        let bins = self.operators.iter().find(|operator| operator.role == RoleForm::Keyed).map_or(1, |operator| operator.bins);
        let between: Vec<(&str, RoleForm)> = query.operators(bins).into_iter().map(|(name, role)| (name, form(role))).collect();
        let all = [&[("source", RoleForm::Source)], &between[..], &[("sink", RoleForm::Sink)]].concat();
        self.is_chain_of(&query.to_string(), &all)?;
        let operators = &self.operators[1..=between.len()];
        if operators.iter().any(|operator| operator.role == RoleForm::Keyed && operator.bins != bins) {
            return Err(format!("expected {bins} bins of every operator with state"));
        }
        let rate = self.operators[0].rate.ok_or("expected a source with a 'rate' that stays")?;
        let source_rate = Rate::per_second(rate.as_per_second() / query.kinds().share());
        let operators = operators.iter().map(|operator| Ok((operator.name.clone(), definition(operator)?)));
        let definition = NexmarkDefinition {
            query,
            form: Form::Elastic,
            source_rate,
            dilation,
            tick_ms: self.tick_ms,
            catch_up: self.catch_up,
            bins,
            processes: self.engine.processes,
            workers: self.engine.workers,
            operators: operators.collect::<Result<BTreeMap<_, _>, String>>()?,
        };
        definition.check()?;
        let generator = GeneratorConfig {
            seed,
            rate: source_rate,
            hot_auction_ratio: 1,
            hot_seller_ratio: 1,
            hot_bidder_ratio: 1,
            auctions_in_flight: active.max(1),
            active_people: active.max(1),
        };
        Ok(Some(Nexmark { generator, rounds_before: active, ..definition.job(seed, self.duration()) }))
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::closed_loop::closed_loop;
    use crate::experiment::frame::Values;
    use crate::time::Timestamp;

    #[test]
    fn what_converges_is_the_query_that_it_says_and_its_needs_are_the_papers() {
        let suite = closed_loop("nexmark-converge");
        assert_eq!(suite.cases.len(), 36);
        for case in &suite.cases {
            let scenario = case.scenario.as_ref().unwrap();
            let job = scenario.query(1).unwrap_or_else(|why| panic!("{}: {why}", case.name)).expect("a query");
            let simulated = scenario.job();
            let main = simulated.topology.scalable().find(|operator| operator.max_parallelism > 1).unwrap().id;
            let needed = simulated.needed(Timestamp::ZERO).into_iter().find(|(id, _)| *id == main).unwrap().1;
            // The paper's row ends with what suffices.
            let Some(Values::One(paper)) = &case.paper else { panic!("{} has a row", case.name) };
            assert_eq!(paper.rsplit(" > ").next().unwrap().parse(), Ok(needed), "{}", case.name);
            assert_eq!(job.query.to_string(), case.name.split('-').next().unwrap());
        }
        let mut scenario = suite.cases[0].scenario.clone().unwrap();
        scenario.operators[1].name = "other".to_owned();
        assert_eq!(scenario.query(1).unwrap_err(), "expected convert as operator 1 of q1, found 'other'");
    }
}
