//! A scenario on the engine, where it is a word count or a query of NEXMark: what is simulated runs
//! for real.
//!
//! Of a word count the scenario says how keys are spread, so words are made up unless it names a
//! text: as many different ones as Count has keys, each as often as the others, but for those of
//! hot bins, which have their share. Selectivities and skew of a query are its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::form::{Input, NexmarkForm, OperatorForm, RoleForm, Scenario, TextForm};
use crate::dataflow::{Capacity, QueueMarks, Role};
use crate::engine::cluster::Deployment;
use crate::engine::nexmark::{Form, Nexmark};
use crate::engine::word_count::WordCount;
use crate::engine::{OperatorConfig, bin_of};
use crate::id::OperatorId;
use crate::rate::Rate;
use crate::sim::{CapacityCurve, Disturbance, MoveModel, ServiceTimes, Skew};
use crate::time::Timestamp;
use crate::workload::nexmark::GeneratorConfig;
use crate::workload::{RateSchedule, SentenceLength, Shape, Text};

/// A word count's operators, in their order.
const WORD_COUNT: [(&str, RoleForm); 4] =
    [("source", RoleForm::Source), ("flatmap", RoleForm::Stateless), ("count", RoleForm::Keyed), ("sink", RoleForm::Sink)];
/// Most different words.
const MOST_KEYS: u64 = 1 << 20;
/// Shortest and longest time an hour may take, in parts of an hour.
const DILATIONS: std::ops::RangeInclusive<f64> = 1.0..=100_000.0;

impl Scenario {
    /// The word count on the engine that this scenario describes. `seed` is the index of its first
    /// sentence, and what service times that vary are drawn from.
    ///
    /// # Errors
    /// When it is no word count, or has something that the engine does not impose; says what was
    /// expected and what was found.
    pub fn word_count(&self, seed: u64) -> Result<WordCount, String> {
        self.is_chain_of("a word count", &WORD_COUNT)?;
        let (flat_map, count) = (&self.operators[1], &self.operators[2]);
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
        self.word_count_over(Arc::new(text), seed)
    }

    /// The same over the sentences of a text as they are, whatever the scenario says of words.
    ///
    /// # Errors
    /// As [`word_count`](Scenario::word_count), and when the text has no words that are to be hot.
    pub fn word_count_over(&self, text: Arc<Text>, seed: u64) -> Result<WordCount, String> {
        self.is_chain_of("a word count", &WORD_COUNT)?;
        let [source, flat_map, count, _] = &self.operators[..] else { unreachable!("a chain of four") };
        Ok(WordCount {
            text: heated(text, count)?,
            first_sentence: seed,
            schedule: schedule(source, self.duration())?,
            duration: self.duration(),
            catch_up: self.catch_up,
            tick: Duration::from_millis(self.tick_ms),
            bins: count.bins,
            flat_map: config(flat_map, seed)?,
            count: config(count, seed)?,
            deployment: self.deployment(),
        })
    }

    /// The query on the engine that this scenario describes, with the events of `seed`; nothing if
    /// it is none. The source's rate is that of the events that the query reads.
    ///
    /// # Errors
    /// When its operators are not the query's, or have something that the engine does not impose;
    /// says what was expected and what was found.
    pub fn query(&self, seed: u64) -> Result<Option<Nexmark>, String> {
        let Some(NexmarkForm { query, form, dilation, active }) = self.nexmark else { return Ok(None) };
        let (first, last) = (DILATIONS.start(), DILATIONS.end());
        if !DILATIONS.contains(&dilation) {
            return Err(format!("dilation: expected a factor from {first} to {last}, found {dilation}"));
        }
        let role = |role: Role| if matches!(role, Role::Keyed { .. }) { RoleForm::Keyed } else { RoleForm::Stateless };
        let bins = self.operators.iter().find(|operator| operator.role == RoleForm::Keyed).map_or(1, |operator| operator.bins);
        let between: Vec<(&str, RoleForm)> = query.operators(bins).into_iter().map(|(name, of)| (name, role(of))).collect();
        let all = [&[("source", RoleForm::Source)], &between[..], &[("sink", RoleForm::Sink)]].concat();
        self.is_chain_of(&query.to_string(), &all)?;
        let operators = &self.operators[1..=between.len()];
        if operators.iter().any(|operator| operator.role == RoleForm::Keyed && operator.bins != bins) {
            return Err(format!("expected {bins} bins of every operator with state"));
        }
        let schedule = schedule(&self.operators[0], self.duration())?;
        // Auctions last as the load at the start has it, or as it is once there is any, whatever
        // comes.
        let mut rates = schedule.phases().iter().map(|phase| phase.rate);
        let first = rates.find(|rate| *rate > Rate::ZERO).ok_or("expected a rate above 0 of the source, found none")?;
        let rate = Rate::per_second(first.as_per_second() / query.kinds().share());
        let mut generator = GeneratorConfig::at_rate(seed, rate);
        if let Some(active) = active {
            (generator.auctions_in_flight, generator.active_people) = (active.max(1), active.max(1));
            (generator.hot_auction_ratio, generator.hot_seller_ratio, generator.hot_bidder_ratio) = (1, 1, 1);
        }
        Ok(Some(Nexmark {
            query,
            form,
            generator,
            rounds_before: active.unwrap_or(0),
            before: 0,
            schedule,
            duration: self.duration(),
            catch_up: self.catch_up,
            tick: Duration::from_millis(self.tick_ms),
            dilation,
            bins,
            operators: operators.iter().map(|operator| config(operator, seed)).collect::<Result<_, _>>()?,
            deployment: self.deployment(),
        }))
    }

    /// Instances that the operators with a limit need for the load at the start. Of a query of
    /// several operators nothing is said, unless it is simulated as well: how much one of them
    /// gives the next is known from its events only.
    pub fn needed_at_start(&self) -> BTreeMap<OperatorId, u32> {
        let limited = |id: &OperatorId| self.operators[id.0 as usize].limit.is_some();
        let is_known = self.nexmark.as_ref().is_none_or(|nexmark| nexmark.form == Form::Elastic && self.operators.len() == 3);
        let needed = if is_known { self.job().needed(Timestamp::ZERO) } else { Vec::new() };
        needed.into_iter().filter(|(id, _)| limited(id)).collect()
    }

    pub(super) fn deployment(&self) -> Deployment {
        Deployment::processes(self.engine.processes, self.engine.workers).with_source_partitions(self.engine.source_partitions)
    }

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
        let (partitions, most) = (self.engine.source_partitions, self.engine.workers.saturating_mul(self.engine.processes));
        if !(1..=most.max(1)).contains(&partitions) {
            return Err(format!("expected 1 to {most} source_partitions, at most one for each worker, found {partitions}"));
        }
        if self.disturb != Disturbance::default() || self.moves != MoveModel::default() || self.delay_ms != 0.0 {
            return Err("expected nothing that is disturbed or delayed: the engine measures and moves as it does".to_owned());
        }
        Ok(())
    }
}

/// An operator as the engine runs it, or what the engine does not impose.
pub(super) fn config(operator: &OperatorForm, seed: u64) -> Result<OperatorConfig, String> {
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
    if operator.limit.is_none() && !operator.stragglers.is_empty() {
        return Err(format!("straggler of {}: expected instances with a limit, of which one may be slower", operator.name));
    }
    let slow = operator.stragglers.first().map(|form| form.straggler()).transpose();
    let capacity = match (operator.limit, operator.service) {
        (None, ServiceTimes::Deterministic) => Capacity::Cpu,
        (Some(rate), ServiceTimes::Deterministic) => Capacity::Limited { rate },
        (Some(rate), ServiceTimes::Exponential) => Capacity::Exponential { rate, seed },
        (_, other) => {
            return Err(format!("expected service times that are all the same or exponential around a limit, found {other:?}"));
        }
    };
    let marks = operator.limit.map_or(QueueMarks::default(), |rate| {
        let records = |seconds: f64| ((seconds * rate.as_per_second()) as u64).max(1);
        QueueMarks { high_records: records(operator.queue_high_s), low_records: records(operator.queue_low_s) }
    });
    let slow = slow.map_err(|why| format!("straggler of {}: {why}", operator.name))?;
    Ok(OperatorConfig { capacity, marks, instances: operator.instances, max_parallelism: operator.max_parallelism, slow })
}

pub(super) fn schedule(source: &OperatorForm, duration: Duration) -> Result<RateSchedule, String> {
    let constant = |rate: Rate| Shape::Constant { rate };
    let shape = source.load.clone().or(source.rate.map(constant)).ok_or("expected a rate of the source")?;
    shape.schedule(duration).map_err(|why| why.to_string())
}

/// The text with the share of words that hot bins of Count have, if there are any.
fn heated(text: Arc<Text>, count: &OperatorForm) -> Result<Arc<Text>, String> {
    match count.skew {
        Skew::Uniform => Ok(text),
        Skew::HotBins { bins, share, step } => {
            let group = |word: &str| {
                let bin = bin_of(&word, count.bins).0;
                (bin.is_multiple_of(step) && bin / step < bins).then_some(bin)
            };
            text.with_hot_words(share, group).map(Arc::new).map_err(|why| format!("hot bins: {why}"))
        }
        ref other => Err(format!("expected words as they are or hot bins, found {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::definition::closed_loop;
    use crate::experiment::frame::Values;
    use crate::workload::Step;

    #[test]
    fn what_runs_on_both_hosts_is_a_word_count_and_what_the_engine_does_not_impose_is_refused() {
        let suite = closed_loop("loop");
        let on_both = suite.cases.iter().filter(|case| case.hosts.is_some());
        assert!(on_both.clone().count() >= 5);
        for case in on_both {
            let scenario = case.scenario.as_ref().unwrap();
            let job = scenario.word_count(1).unwrap_or_else(|why| panic!("{}: {why}", case.name));
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
        let constant = scenario.query(1).unwrap().unwrap();
        let rate = scenario.operators[0].rate.take().unwrap();
        let mut with = |rates: [Rate; 2]| {
            let steps = [0.0, 5.0].into_iter().zip(rates).map(|(start_s, rate)| Step { start_s, rate }).collect();
            scenario.operators[0].load = Some(Shape::Steps { steps });
            scenario.query(1)
        };
        let later = with([Rate::ZERO, rate]).unwrap().unwrap();
        assert_eq!(later.generator, constant.generator);
        assert_eq!(with([Rate::ZERO; 2]).unwrap_err(), "expected a rate above 0 of the source, found none");
        scenario.operators[1].name = "other".to_owned();
        assert_eq!(scenario.query(1).unwrap_err(), "expected convert as operator 1 of q1, found 'other'");
    }

    #[test]
    fn the_word_count_of_the_paper_has_hot_words_and_a_slow_instance_as_it_says() {
        let suite = closed_loop("ds2-fig6");
        let mut scenario = suite.scenario("ds2-fig6").unwrap().clone();
        let needed: Vec<u32> = scenario.needed_at_start().into_values().collect();
        assert_eq!(needed, [10, 20]);
        scenario.operators[2].skew = Skew::HotBins { bins: 205, share: 0.5, step: 20 };
        let straggler = toml::from_str("instance = 3\nspeed = 0.5\nfrom_s = 10").unwrap();
        scenario.operators[2].stragglers = vec![straggler];
        let job = scenario.word_count(0).unwrap();
        assert_eq!(job.count.slow.unwrap().instance, 3);
        // Half of the words are in the hot bins, and all of the first instance of twenty.
        let words: Vec<&str> = job.text.sentences().iter().flat_map(|sentence| sentence.split(' ')).collect();
        let hot = words.iter().filter(|word| bin_of(word, 4096).0.is_multiple_of(20)).count() as f64 / words.len() as f64;
        assert!((hot - 0.5).abs() < 1e-3, "{hot}");
        scenario.operators[2].skew = Skew::HotBins { bins: 1, share: 0.5, step: 1 };
        assert_eq!(scenario.word_count(0).unwrap_err(), "hot bins: expected a text with words in hot bins, found none");
        scenario.operators[2].limit = None;
        let error = scenario.word_count_over(Arc::new(Text::liber_primus(SentenceLength::Natural)), 0).unwrap_err();
        assert!(error.starts_with("hot bins:") || error.contains("expected instances with a limit"), "{error}");
    }
}
