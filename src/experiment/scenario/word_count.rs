//! A scenario as a word count on the engine, where it is one: what is simulated runs for real.
//!
//! Sentences have exactly as many words as FlatMap's selectivity says. Keys are words of a real text, so bins are as unequal as words are;
//! hot bins have their share of the words, but which bins are hot depends on which ones have words.

use std::time::Duration;

use super::form::{Disturb, Input, Moves, OperatorForm, RoleForm, Scenario};
use crate::dataflow::Capacity;
use crate::engine::word_count::{OperatorConfig, WordCount};
use crate::experiment::definition::{HotBins, JobDefinition, OperatorDefinition};
use crate::rate::Rate;
use crate::sim::{CapacityCurve, ServiceTimes, Skew};
use crate::workload::{RateSchedule, SentenceLength, Shape, Text};

/// Names of a word count's operators, in their order.
const NAMES: [&str; 4] = ["source", "flatmap", "count", "sink"];
/// Worker threads.
const WORKERS: u32 = 2;

impl Scenario {
    /// The word count on the engine that this scenario describes. `seed` is the index of its first sentence, and what service times that
    /// vary are drawn from.
    ///
    /// # Errors
    /// When it is no word count, or has something that the engine does not impose; says what was expected and what was found.
    pub fn word_count(&self, seed: u64) -> Result<WordCount, String> {
        let [source, flat_map, count, sink] = &self.operators[..] else {
            return Err(format!("expected the operators {}, found {}", NAMES.join(", "), self.operators.len()));
        };
        let roles = [RoleForm::Source, RoleForm::Stateless, RoleForm::Keyed, RoleForm::Sink];
        for (index, operator) in [source, flat_map, count, sink].into_iter().enumerate() {
            let inputs: Vec<Input> = index.checked_sub(1).map(|before| Input::All(NAMES[before].to_owned())).into_iter().collect();
            if (operator.name.as_str(), operator.role, &operator.inputs) != (NAMES[index], roles[index], &inputs) {
                return Err(format!("expected {} as operator {index} of a word count, found '{}'", NAMES[index], operator.name));
            }
        }
        if self.disturb != Disturb::default() || self.moves != Moves::default() || self.delay_ms != 0.0 {
            return Err("expected nothing that is disturbed or delayed: the engine measures and moves as it does".to_owned());
        }
        let words = flat_map.selectivity as usize;
        if words as f64 != flat_map.selectivity || words == 0 || count.selectivity != 1.0 {
            let (words, counts) = (flat_map.selectivity, count.selectivity);
            return Err(format!("expected whole words a sentence and a count a word, found selectivities of {words} and {counts}"));
        }
        let text = Text::liber_primus(SentenceLength::Words(words));
        let job = JobDefinition {
            words_per_sentence: Some(words),
            source_rate: source.rate.unwrap_or_default(),
            tick_ms: self.tick_ms,
            catch_up: self.catch_up,
            bins: count.bins,
            processes: 1,
            workers: WORKERS,
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

fn definition(operator: &OperatorForm) -> Result<OperatorDefinition, String> {
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

fn varied(config: OperatorConfig, service: ServiceTimes, seed: u64) -> Result<OperatorConfig, String> {
    let capacity = match (service, config.capacity) {
        (ServiceTimes::Deterministic, capacity) => capacity,
        (ServiceTimes::Exponential, Capacity::Limited { rate }) => Capacity::Exponential { rate, seed },
        (other, _) => return Err(format!("expected service times that are all the same or exponential around a limit, found {other:?}")),
    };
    Ok(OperatorConfig { capacity, ..config })
}
