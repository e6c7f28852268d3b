//! A scenario on the engine, where its operators compute something.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::engine::{config, schedule};
use super::form::{RoleForm, Scenario};
use crate::engine::work_chain::{WorkChain, WorkOperator};
use crate::experiment::rivals::MOST_SHARE;
use crate::id::WorkerId;
use crate::sim::{LostCore, Skew};
use crate::workload::MOST_TIMES;

/// How often a computation is repeated for a record.
const TIMES: RangeInclusive<u32> = 1..=MOST_TIMES;
/// Most different keys: the sequential model counts each.
const MOST_KEYS: u64 = 1 << 20;

impl Scenario {
    /// The chain of operators that compute that this scenario describes, with the keys of `seed`;
    /// nothing if none of its operators has a `work`.
    ///
    /// # Errors
    /// When it is no chain, or has something that the engine does not impose; says what was
    /// expected and what was found.
    pub fn work_chain(&self, seed: u64) -> Result<Option<WorkChain>, String> {
        if !self.computes() {
            return Ok(None);
        }
        if self.nexmark.is_some() {
            return Err("expected either 'nexmark' or operators with 'work', found both".to_owned());
        }
        let [source, between @ .., sink] = &self.operators[..] else {
            return Err(format!("expected a source, operators and a sink, found {} operators", self.operators.len()));
        };
        let roles: Vec<RoleForm> = self.operators.iter().map(|operator| operator.role).collect();
        let is_between = |role: &RoleForm| matches!(role, RoleForm::Stateless | RoleForm::Keyed);
        if roles[0] != RoleForm::Source || sink.role != RoleForm::Sink || !roles[1..roles.len() - 1].iter().all(is_between) {
            return Err("expected a source, stateless and keyed operators, and a sink, in this order".to_owned());
        }
        let names: Vec<(&str, RoleForm)> = self.operators.iter().map(|operator| (operator.name.as_str(), operator.role)).collect();
        self.is_chain_of("a chain", &names)?;
        let peers = self.engine.workers * self.engine.processes;
        if let Some(workers) = self.workers.as_ref().filter(|workers| workers.count != peers) {
            return Err(format!("expected as many [workers] as the engine has, {peers}, found {}", workers.count));
        }
        if let Some(lost) = self.lost_cores().iter().find(|lost| lost.share > MOST_SHARE) {
            let most = format!("at most {MOST_SHARE} of a core, as a process gets beside a busy worker");
            return Err(format!("worker {}: expected to lose {most}, found {}", lost.worker, lost.share));
        }
        let deployment = if self.lost_cores().is_empty() { self.deployment() } else { self.deployment().pinned() };
        // All of them count the keys that the source makes.
        let keys = between.iter().find(|form| form.role == RoleForm::Keyed).map_or(MOST_KEYS, |form| form.keys);
        let operators = between.iter().map(|form| {
            let wrong = |what: String| format!("operator '{}': {what}", form.name);
            if let Some(work) = form.work.filter(|work| !TIMES.contains(&work.times)) {
                return Err(wrong(format!("expected times from {} to {}, found {}", TIMES.start(), TIMES.end(), work.times)));
            }
            if form.limit.is_some() && form.work.is_some() {
                return Err(wrong("expected either a 'limit' or 'work', found both".to_owned()));
            }
            if form.selectivity != 1.0 {
                return Err(wrong(format!("expected a selectivity of 1, found {}", form.selectivity)));
            }
            if form.keys > MOST_KEYS {
                return Err(wrong(format!("expected at most {MOST_KEYS} keys, found {}", form.keys)));
            }
            if form.skew != Skew::Uniform {
                return Err(wrong(format!("expected keys that are spread evenly, found {:?}", form.skew)));
            }
            if form.role == RoleForm::Keyed && form.keys != keys {
                return Err(wrong(format!("expected {keys} keys as the first keyed operator has, found {}", form.keys)));
            }
            Ok(WorkOperator {
                name: form.name.clone(),
                bins: (form.role == RoleForm::Keyed).then_some(form.bins),
                work: form.work,
                config: config(form, seed)?,
                on: form.on.iter().copied().map(WorkerId).collect(),
            })
        });
        Ok(Some(WorkChain {
            operators: operators.collect::<Result<_, String>>()?,
            keys,
            schedule: schedule(source, self.duration())?,
            duration: self.duration(),
            catch_up: self.catch_up,
            tick: Duration::from_millis(self.tick_ms),
            deployment,
            seed,
        }))
    }

    /// When its workers do not have their cores, or only a part of them.
    pub fn lost_cores(&self) -> &[LostCore] {
        self.workers.as_ref().map_or(&[], |workers| &workers.lost)
    }

    /// Whether its operators compute something: then it runs on the engine alone.
    pub fn computes(&self) -> bool {
        self.operators.iter().any(|operator| operator.work.is_some())
    }

    /// Refuses what virtual time knows nothing of.
    ///
    /// # Errors
    /// When operators compute something: names the first.
    pub fn can_be_simulated(&self) -> Result<(), String> {
        let computes = self.operators.iter().find(|operator| operator.work.is_some());
        computes.map_or(Ok(()), |operator| {
            Err(format!("operator '{}': 'work' is for a processor: expected the engine as host, found virtual time", operator.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineJob;
    use crate::experiment::definition::closed_loop;
    use crate::id::OperatorId;

    const CHAIN: &str = r#"
title = "Two that compute"
seconds = 4
[workers]
count = 2
[[operators]]
name = "source"
role = "source"
rate = 1000
[[operators]]
name = "parse"
role = "stateless"
inputs = ["source"]
work = { does = "json", times = 2 }
max_parallelism = 2
on = [1]
[[operators]]
name = "count"
role = "keyed"
inputs = ["parse"]
bins = 64
max_parallelism = 2
[[operators]]
name = "sink"
role = "sink"
inputs = ["count"]
"#;

    #[test]
    fn a_chain_is_as_it_is_written() {
        let scenario = Scenario::read(CHAIN).unwrap();
        assert!(scenario.can_be_simulated().unwrap_err().starts_with("operator 'parse'"));
        let job = scenario.work_chain(3).unwrap().unwrap();
        assert_eq!((job.operators.len(), job.operators[0].work.unwrap().times, job.operators[1].bins, job.seed), (2, 2, Some(64), 3));
        let configuration = job.configuration();
        assert_eq!(configuration.placement().unwrap().of(OperatorId(1)), [WorkerId(1)]);
        assert_eq!(job.topology().operators()[3].max_parallelism, 2);
        assert!(closed_loop("ds2-fig6").scenario("ds2-fig6").unwrap().work_chain(0).unwrap().is_none());
    }

    #[test]
    fn what_is_no_chain_is_refused() {
        for (from, to, expected) in [
            ("times = 2", "times = 0", "operator 'parse': expected times from 1 to 10000, found 0"),
            ("on = [1]", "on = [1]\nlimit = 5", "expected either a 'limit' or 'work', found both"),
            ("bins = 64", "bins = 64\nselectivity = 2", "operator 'count': expected a selectivity of 1, found 2"),
            ("inputs = [\"parse\"]", "inputs = [\"source\"]", "expected count as operator 2 of a chain"),
            ("count = 2", "count = 3", "expected as many [workers] as the engine has, 2, found 3"),
            ("bins = 64", "bins = 64\nkeys = 2000000", "expected at most 1048576 keys"),
            (
                "bins = 64",
                "bins = 64\nskew = { kind = \"hot-key\", share = 0.5 }",
                "operator 'count': expected keys that are spread evenly",
            ),
            (
                "[[operators]]\nname = \"sink\"\nrole = \"sink\"\ninputs = [\"count\"]",
                "[[operators]]\nname = \"again\"\nrole = \"keyed\"\ninputs = [\"count\"]\nkeys = 5\n\
                [[operators]]\nname = \"sink\"\nrole = \"sink\"\ninputs = [\"again\"]",
                "operator 'again': expected 65536 keys as the first keyed operator has, found 5",
            ),
            (
                "inputs = [\"count\"]",
                "inputs = [\"count\"]\n[[operators]]\nname = \"end\"\nrole = \"sink\"\ninputs = [\"count\"]",
                "in this order",
            ),
        ] {
            let text = CHAIN.replacen(from, to, 1);
            let error = Scenario::read(&text).unwrap_or_else(|why| panic!("{to}: {why}")).work_chain(0).unwrap_err();
            assert!(error.contains(expected), "{error}\n{expected}");
        }
        let error = Scenario::read(&CHAIN.replacen("json", "sorting", 1)).unwrap_err().to_string();
        assert!(error.contains("unknown variant `sorting`, expected one of `hash`, `json`, `regex`, `compress`"), "{error}");
    }
}
