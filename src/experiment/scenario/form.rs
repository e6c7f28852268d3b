//! The keys of a scenario file.

use serde::{Deserialize, Serialize};

use crate::engine::nexmark::{Form, Query};
use crate::migration::Strategy;
use crate::rate::Rate;
use crate::sim::{CapacityCurve, Disturbance, MoveModel, ServiceTimes, Skew, WorkersModel};
use crate::workload::{Computation, Shape};

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is.
    pub title: String,
    /// Seconds of virtual time.
    pub seconds: f64,
    /// Milliseconds between epochs; everything happens on this grid.
    #[serde(default = "ten")]
    pub tick_ms: u64,
    /// Longer steps while nothing changes, and longer rows: for hours and days of virtual time.
    #[serde(default)]
    pub coarse: Option<Coarse>,
    /// How many times the highest rate of its load a source may emit when it has fallen behind.
    #[serde(default = "catch_up")]
    pub catch_up: f64,
    /// Milliseconds a batch travels from one operator to the next.
    #[serde(default)]
    pub delay_ms: f64,
    /// The policy and its pacing.
    #[serde(default)]
    pub control: Control,
    /// What moving bins costs.
    #[serde(default)]
    pub moves: MoveModel,
    /// What goes wrong.
    #[serde(default)]
    pub disturb: Disturbance,
    /// The query of NEXMark that it is on the engine; a word count without.
    #[serde(default)]
    pub nexmark: Option<NexmarkForm>,
    /// How it runs on the engine.
    #[serde(default)]
    pub engine: EngineForm,
    /// Workers whose time instances share when it is simulated; without, every instance has a
    /// processor of its own.
    #[serde(default)]
    pub workers: Option<WorkersModel>,
    /// Operators in topological order.
    pub operators: Vec<OperatorForm>,
}

/// Longer steps while nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coarse {
    /// Milliseconds of a step while no bins move and no source is paused or late. Latencies are on
    /// this grid then: each operator adds up to a step.
    pub tick_ms: u64,
    /// Seconds of a row of the timeline. Where a row has several windows, the decision log says once
    /// a row that nothing changes and why, not for each of them.
    #[serde(default = "row_s")]
    pub row_s: f64,
}

fn row_s() -> f64 {
    10.0
}

/// What a scenario is on the engine beside what it is anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineForm {
    /// The text of a word count.
    pub text: TextForm,
    /// Worker threads of each process.
    pub workers: u32,
    /// Processes.
    pub processes: u32,
    /// On how many workers, the first of all, the source has a partition that emits its share.
    #[serde(skip_serializing_if = "is_one")]
    pub source_partitions: u32,
}

impl Default for EngineForm {
    fn default() -> EngineForm {
        EngineForm { text: TextForm::Even, workers: 2, processes: 1, source_partitions: 1 }
    }
}

/// The text of a word count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextForm {
    /// Made up: as many different words as Count has keys, each as often as the others.
    #[default]
    Even,
    /// Cicero's, cut to sentences of as many words as FlatMap's selectivity says.
    LiberPrimus,
}

/// A query of NEXMark, whose operators are those of the scenario between its source and its sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NexmarkForm {
    /// The query.
    pub query: Query,
    /// Of what it is built.
    #[serde(default)]
    pub form: Form,
    /// By what window lengths are divided.
    pub dilation: f64,
    /// As many auctions and people are active at a time, from the start, each as much as the
    /// others: none is hot. As NEXMark's generator has them when missing.
    #[serde(default)]
    pub active: Option<u64>,
}

/// The policy and its pacing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// The policy, unless the command names another.
    pub policy: String,
    /// Length of the windows on which it decides.
    pub policy_interval_s: f64,
    /// Windows ignored at the start and after every action.
    pub warm_up_windows: u32,
    /// Windows in a row in which it must ask for a rescale.
    pub activation_windows: u32,
    /// How bins move.
    pub strategy: Strategy,
    /// How many times faster control time runs than published, for policies with waits of their
    /// own.
    pub time_factor: f64,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            policy: "critical-path".to_owned(),
            policy_interval_s: 2.0,
            warm_up_windows: 0,
            activation_windows: 1,
            strategy: Strategy::AllAtOnce,
            time_factor: 30.0,
        }
    }
}

/// What an operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleForm {
    /// Emits records.
    Source,
    /// Any instance may take any record.
    Stateless,
    /// An instance takes the records of its bins.
    Keyed,
    /// Where records leave.
    Sink,
}

/// Where records come from: an operator's name, or a part of its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// All records the operator gives out.
    All(String),
    /// A part of them.
    Part(Place),
}

/// A part of an operator's records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The operator.
    pub from: String,
    /// The part of its records that come this way, 0 to 1.
    pub share: f64,
}

/// An operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorForm {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: RoleForm,
    /// Where its records come from.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// What comes back to it from operators after it or from itself, which closes a cycle. Less
    /// must come back than goes round.
    #[serde(default)]
    pub feedback: Vec<Place>,
    /// Sources: records due per second.
    pub rate: Option<Rate>,
    /// Sources: a rate that changes.
    pub load: Option<Shape>,
    /// Records per second of one instance that is alone; without it an instance takes no time. Of a
    /// source, where workers are shared: what it emits if its worker does nothing else.
    pub limit: Option<Rate>,
    /// How that changes with the number of instances.
    #[serde(default)]
    pub capacity: CapacityCurve,
    /// How service times vary.
    #[serde(default)]
    pub service: ServiceTimes,
    /// Records given out per record taken in.
    #[serde(default = "one_f64")]
    pub selectivity: f64,
    /// The part of these that its metrics count, 0 to 1.
    #[serde(default = "one_f64")]
    pub counted_output: f64,
    /// Instances at the start.
    #[serde(default = "one")]
    pub instances: u32,
    /// Most instances.
    #[serde(default = "most")]
    pub max_parallelism: u32,
    /// Sources pause when more than this time's work waits for an instance.
    #[serde(default = "queue_high_s")]
    pub queue_high_s: f64,
    /// Sources go on when less than this time's work waits.
    #[serde(default = "queue_low_s")]
    pub queue_low_s: f64,
    /// Bins of a keyed operator, a power of two.
    #[serde(default = "bins")]
    pub bins: u32,
    /// Keys of all its bins together.
    #[serde(default = "keys")]
    pub keys: u64,
    /// Bytes of state a key has.
    #[serde(default = "bytes_per_key")]
    pub bytes_per_key: u64,
    /// How its records are spread over its bins.
    #[serde(default)]
    pub skew: Skew,
    /// Milliseconds an instance waits for something outside with each record.
    #[serde(default)]
    pub external_wait_ms: f64,
    /// Records per second that something outside does for all instances together, however many they
    /// are.
    pub external_limit: Option<Rate>,
    /// Instances that are slow for a time.
    #[serde(default)]
    pub stragglers: Vec<StragglerForm>,
    /// What an instance computes for each record: then the processor alone limits it, and the
    /// scenario runs on the engine alone.
    #[serde(default)]
    pub work: Option<Computation>,
    /// Where workers are shared, those of its instances at the start, from 0; spread over all of
    /// them when missing.
    #[serde(default)]
    pub on: Vec<u32>,
}

impl OperatorForm {
    /// An operator of which nothing but its name and role is said.
    pub fn new(name: &str, role: RoleForm, inputs: &[&str]) -> OperatorForm {
        OperatorForm {
            name: name.to_owned(),
            role,
            inputs: inputs.iter().map(|&input| Input::All(input.to_owned())).collect(),
            feedback: Vec::new(),
            rate: None,
            load: None,
            limit: None,
            capacity: CapacityCurve::Linear,
            service: ServiceTimes::Deterministic,
            selectivity: one_f64(),
            counted_output: one_f64(),
            instances: one(),
            max_parallelism: most(),
            queue_high_s: queue_high_s(),
            queue_low_s: queue_low_s(),
            bins: bins(),
            keys: keys(),
            bytes_per_key: bytes_per_key(),
            skew: Skew::Uniform,
            external_wait_ms: 0.0,
            external_limit: None,
            stragglers: Vec::new(),
            work: None,
            on: Vec::new(),
        }
    }
}

/// An instance that is slow for a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StragglerForm {
    /// The instance, from 0.
    pub instance: u32,
    /// Its speed as a part of what it should be.
    pub speed: f64,
    /// From when on, in seconds.
    pub from_s: f64,
    /// Until when; the end of the run when missing.
    pub until_s: Option<f64>,
}

fn one() -> u32 {
    1
}

/// What is as it is without being said is not written.
fn is_one(number: &u32) -> bool {
    *number == 1
}

fn one_f64() -> f64 {
    1.0
}

pub(super) fn ten() -> u64 {
    10
}

pub(super) fn catch_up() -> f64 {
    1.1
}

fn most() -> u32 {
    128
}

fn queue_high_s() -> f64 {
    0.5
}

fn queue_low_s() -> f64 {
    0.48
}

fn bins() -> u32 {
    256
}

fn keys() -> u64 {
    1 << 16
}

fn bytes_per_key() -> u64 {
    64
}
