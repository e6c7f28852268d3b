//! Detectors: from readings to symptoms, one function per detector.
//!
//! Each takes the readings and its own threshold and returns the symptoms it finds, by operator;
//! detectors are independent of each other. The rules are Heron's.

use super::ComponentReading;
use super::sensor::InstanceReading;
use crate::id::{InstanceId, OperatorId};

/// The kind of a symptom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymptomKind {
    /// The operator has backpressure, summed over its instances.
    ComponentBackPressure,
    /// Single instances have backpressure.
    InstanceBackPressure,
    /// Queues are long.
    LargeWaitQueue,
    /// Instances process at unequal rates.
    ProcessingRateSkew(Sign),
    /// Instances have queues of unequal length.
    WaitQueueSkew(Sign),
}

/// The instances of a skewed operator that a symptom refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// All of them.
    Whole,
    /// Those within a tenth of the largest.
    Positive,
    /// Those within a tenth of the smallest.
    Negative,
}

/// A symptom of one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symptom {
    /// Its kind.
    pub kind: SymptomKind,
    /// The operator.
    pub operator: OperatorId,
    /// The instances.
    pub instances: Vec<InstanceId>,
}

/// Operators and instances with backpressure above `noise_ms_per_s`, in the latest checkpoint.
///
/// Heron uses the whole sensor window here. If windows cover several times a queue's length, an
/// operator and the one upstream of it then both have backpressure long after one of them was
/// relieved, and the diagnosers abort because of several operators.
// papers/dhalion-vldb17.md#heron-detectors
pub fn back_pressure(readings: &[ComponentReading], noise_ms_per_s: f64) -> Vec<Symptom> {
    let mut symptoms = Vec::new();
    for reading in readings {
        if reading.latest_backpressure_ms_per_s() > noise_ms_per_s {
            symptoms.push(symptom(SymptomKind::ComponentBackPressure, reading, |_| true));
            let single = symptom(SymptomKind::InstanceBackPressure, reading, |one| one.latest_backpressure_ms_per_s > noise_ms_per_s);
            symptoms.extend((!single.instances.is_empty()).then_some(single));
        }
    }
    symptoms
}

/// Instances whose mean queue is longer than `records`.
pub fn large_wait_queue(readings: &[ComponentReading], records: f64) -> Vec<Symptom> {
    single(SymptomKind::LargeWaitQueue, readings, |instance| instance.buffer_records() > records)
}

/// Operators with a largest processing rate of more than `ratio` times the smallest.
///
/// Three symptoms per operator: the whole operator, the fast and the slow instances.
pub fn processing_rate_skew(readings: &[ComponentReading], ratio: f64) -> Vec<Symptom> {
    skew(SymptomKind::ProcessingRateSkew, readings, ratio, |instance| instance.executed)
}

/// Operators with a longest mean queue of more than `ratio` times the shortest.
pub fn wait_queue_skew(readings: &[ComponentReading], ratio: f64) -> Vec<Symptom> {
    skew(SymptomKind::WaitQueueSkew, readings, ratio, InstanceReading::buffer_records)
}

fn symptom(kind: SymptomKind, reading: &ComponentReading, shows: impl Fn(&InstanceReading) -> bool) -> Symptom {
    let instances = reading.instances.iter().filter(|instance| shows(instance)).map(|instance| instance.instance).collect();
    Symptom { kind, operator: reading.operator, instances }
}

fn single(kind: SymptomKind, readings: &[ComponentReading], shows: impl Fn(&InstanceReading) -> bool) -> Vec<Symptom> {
    let symptoms = readings.iter().map(|reading| symptom(kind, reading, &shows));
    symptoms.filter(|symptom| !symptom.instances.is_empty()).collect()
}

fn skew(
    kind: impl Fn(Sign) -> SymptomKind,
    readings: &[ComponentReading],
    ratio: f64,
    value: impl Fn(&InstanceReading) -> f64,
) -> Vec<Symptom> {
    let mut symptoms = Vec::new();
    for reading in readings {
        let values = || reading.instances.iter().map(&value);
        let (largest, smallest) = (values().fold(0.0, f64::max), values().fold(f64::INFINITY, f64::min));
        if largest > ratio * smallest {
            symptoms.push(symptom(kind(Sign::Whole), reading, |_| true));
            symptoms.push(symptom(kind(Sign::Positive), reading, |instance| value(instance) >= 0.9 * largest));
            symptoms.push(symptom(kind(Sign::Negative), reading, |instance| value(instance) <= 1.1 * smallest));
        }
    }
    symptoms
}
