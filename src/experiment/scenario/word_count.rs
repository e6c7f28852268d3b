//! A scenario as a word count on the engine, where it is one: what is simulated runs for real.
//!
//! Sentences have exactly as many words as FlatMap's selectivity says. The scenario says how keys are spread, so words are made up: as many
//! different ones as Count has keys, each as often as the others, but for those of hot bins, which have their share.

use std::time::Duration;

use super::chain::definition;
use super::form::{OperatorForm, RoleForm, Scenario, TextForm};
use crate::dataflow::Capacity;
use crate::engine::word_count::{OperatorConfig, WordCount};
use crate::experiment::job::{HotBins, JobDefinition};
use crate::rate::Rate;
use crate::sim::{ServiceTimes, Skew};
use crate::workload::{RateSchedule, SentenceLength, Shape, Text};

/// A word count's operators, in their order.
const OPERATORS: [(&str, RoleForm); 4] =
    [("source", RoleForm::Source), ("flatmap", RoleForm::Stateless), ("count", RoleForm::Keyed), ("sink", RoleForm::Sink)];
/// Most different words.
const MOST_KEYS: u64 = 1 << 20;

impl Scenario {
    /// The word count on the engine that this scenario describes. `seed` is the index of its first sentence, and what service times that
    /// vary are drawn from.
    ///
    /// # Errors
    /// When it is no word count, or has something that the engine does not impose; says what was expected and what was found.
    pub fn word_count(&self, seed: u64) -> Result<WordCount, String> {
        self.is_chain_of("a word count", &OPERATORS)?;
        let [source, flat_map, count, _] = &self.operators[..] else { unreachable!("a chain of four") };
        let words = flat_map.selectivity as usize;
        if words as f64 != flat_map.selectivity || words == 0 || count.selectivity != 1.0 {
            let (words, counts) = (flat_map.selectivity, count.selectivity);
            return Err(format!("expected whole words a sentence and a count a word, found selectivities of {words} and {counts}"));
        }
        if count.keys > MOST_KEYS {
            return Err(format!("expected at most {MOST_KEYS} keys of 'count', found {}", count.keys));
        }
        let length = SentenceLength::Words(words);
        let text = match self.engine.text {
            TextForm::Even => Text::even(count.keys as usize, length).map_err(|why| why.to_string())?,
            TextForm::LiberPrimus => Text::liber_primus(length),
        };
        let job = JobDefinition {
            words_per_sentence: Some(words),
            source_rate: source.rate.unwrap_or_default(),
            tick_ms: self.tick_ms,
            catch_up: self.catch_up,
            bins: count.bins,
            processes: self.engine.processes,
            workers: self.engine.workers,
            hot_bins: hot_bins(&count.skew)?,
            flatmap: definition(flat_map)?,
            count: definition(count)?,
        };
        job.check(&text)?;
        let duration = Duration::from_secs_f64(self.seconds);
        let job = job.word_count(text.into(), seed, duration);
        Ok(WordCount {
            schedule: schedule(source, duration)?,
            flat_map: varied(job.flat_map, flat_map.service, seed)?,
            count: varied(job.count, count.service, seed)?,
            ..job
        })
    }
}

fn schedule(source: &OperatorForm, duration: Duration) -> Result<RateSchedule, String> {
    let constant = |rate: Rate| Shape::Constant { rate };
    let shape = source.load.clone().or(source.rate.map(constant)).ok_or("expected a rate of the source")?;
    shape.schedule(duration).map_err(|why| why.to_string())
}

fn hot_bins(skew: &Skew) -> Result<Option<HotBins>, String> {
    match *skew {
        Skew::Uniform => Ok(None),
        Skew::HotBins { bins, share, step } => Ok(Some(HotBins { bins, share, step })),
        ref other => Err(format!("expected words as they are or hot bins, found {other:?}")),
    }
}

fn varied(config: OperatorConfig, service: ServiceTimes, seed: u64) -> Result<OperatorConfig, String> {
    let capacity = match (service, config.capacity) {
        (ServiceTimes::Deterministic, capacity) => capacity,
        (ServiceTimes::Exponential, Capacity::Limited { rate }) => Capacity::Exponential { rate, seed },
        (other, _) => return Err(format!("expected service times that are all the same or exponential around a limit, found {other:?}")),
    };
    Ok(OperatorConfig { capacity, ..config })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::closed_loop::closed_loop;

    #[test]
    fn what_runs_on_both_hosts_is_a_word_count_and_what_the_engine_does_not_impose_is_refused() {
        let suite = closed_loop("loop");
        let on_both = suite.cases.iter().filter(|case| case.hosts.is_some());
        assert!(on_both.clone().count() >= 5);
        for case in on_both {
            let scenario = case.scenario.as_ref().unwrap();
            let job = scenario.word_count(1);
            let job = job.unwrap_or_else(|why| panic!("{}: {why}", case.name));
            assert_eq!(job.duration, scenario.duration());
            let simulated = scenario.job();
            assert_eq!(job.topology().operators()[1..3], simulated.topology.operators()[1..3], "{}", case.name);
            for operator in &simulated.topology.operators()[1..3] {
                let (here, there) = (job.configuration().parallelism(operator.id), simulated.configuration.parallelism(operator.id));
                assert_eq!(here, there, "{}", case.name);
            }
        }
        let refused = |name: &str| suite.scenario(name).unwrap().word_count(1).unwrap_err();
        assert_eq!(refused("diamond"), "expected the operators source, flatmap, count, sink, found 6");
        assert_eq!(refused("external"), "expected flatmap as operator 1 of a word count, found 'map'");
        assert!(refused("noise-10").starts_with("expected nothing that is disturbed or delayed"));
        let but = |change: fn(&mut OperatorForm)| {
            let mut scenario = suite.scenario("under").unwrap().clone();
            scenario.operators[1..3].iter_mut().for_each(change);
            scenario.word_count(1).unwrap_err()
        };
        assert!(but(|operator| operator.selectivity = 1.5).starts_with("expected whole words a sentence"));
        assert_eq!(
            but(|operator| operator.external_wait_ms = 1.0),
            "operator 'flatmap': the engine imposes no waits for something outside"
        );
        assert!(but(|operator| operator.service = ServiceTimes::LogNormal { variation: 1.0 }).contains("found LogNormal"));
        assert!(but(|operator| operator.keys = 1 << 30).starts_with("expected at most 1048576 keys"));
        assert!(but(|operator| operator.skew = Skew::HotKey { share: 0.5 }).contains("found HotKey"));
    }
}
