//! Diagnosers: from symptoms to the cause of the backpressure.
//!
//! Each takes all symptoms and the operator's reading and returns its own diagnosis, or none. The
//! rules are Heron's. Skew only counts at the operator with backpressure.

use super::{ComponentReading, Sign, Symptom, SymptomKind};
use crate::id::{InstanceId, OperatorId};

/// The cause of the backpressure, and the instances concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// These instances receive more than their share of the records.
    DataSkew(Vec<InstanceId>),
    /// These instances process more slowly than the others.
    SlowInstance(Vec<InstanceId>),
    /// The operator has too few instances.
    UnderProvisioned(OperatorId),
}

/// More than one operator has backpressure, which Heron's diagnosers do not handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected backpressure at one operator, found it at {0}")]
pub struct SeveralComponents(pub u32);

/// The operator with backpressure, if any.
///
/// # Errors
/// If there are several: Heron throws an exception, which ends this run of its policy.
// papers/dhalion-vldb17.md#heron-diagnosers
pub fn component_with_backpressure(symptoms: &[Symptom]) -> Result<Option<OperatorId>, SeveralComponents> {
    let mut found = symptoms.iter().filter(|symptom| symptom.kind == SymptomKind::ComponentBackPressure);
    match (found.next(), found.count()) {
        (first, 0) => Ok(first.map(|symptom| symptom.operator)),
        (_, more) => Err(SeveralComponents(1 + more as u32)),
    }
}

/// Both skews: instances with more than half of the longest queue and within a tenth of the highest
/// rate.
pub fn data_skew(symptoms: &[Symptom], reading: &ComponentReading) -> Option<Diagnosis> {
    if !(has_backpressure(symptoms, reading) && is_rate_skewed(symptoms, reading) && is_queue_skewed(symptoms, reading)) {
        return None;
    }
    let fastest = reading.instances.iter().map(|instance| instance.executed).fold(0.0, f64::max);
    let blamed = with_long_queues(reading, |instance| instance.executed > fastest / 1.1);
    (!blamed.is_empty()).then_some(Diagnosis::DataSkew(blamed))
}

/// Queue skew without rate skew: instances with more than half of the longest queue.
pub fn slow_instance(symptoms: &[Symptom], reading: &ComponentReading) -> Option<Diagnosis> {
    if !has_backpressure(symptoms, reading) || is_rate_skewed(symptoms, reading) || !is_queue_skewed(symptoms, reading) {
        return None;
    }
    let blamed = with_long_queues(reading, |_| true);
    (!blamed.is_empty()).then_some(Diagnosis::SlowInstance(blamed))
}

/// Neither skew. Rate skew alone has no diagnosis.
pub fn under_provisioning(symptoms: &[Symptom], reading: &ComponentReading) -> Option<Diagnosis> {
    let even = !is_rate_skewed(symptoms, reading) && !is_queue_skewed(symptoms, reading);
    (has_backpressure(symptoms, reading) && even).then_some(Diagnosis::UnderProvisioned(reading.operator))
}

fn has(symptoms: &[Symptom], reading: &ComponentReading, kind: SymptomKind) -> bool {
    symptoms.iter().any(|symptom| symptom.kind == kind && symptom.operator == reading.operator)
}

fn has_backpressure(symptoms: &[Symptom], reading: &ComponentReading) -> bool {
    has(symptoms, reading, SymptomKind::ComponentBackPressure)
}

fn is_rate_skewed(symptoms: &[Symptom], reading: &ComponentReading) -> bool {
    has(symptoms, reading, SymptomKind::ProcessingRateSkew(Sign::Whole))
}

fn is_queue_skewed(symptoms: &[Symptom], reading: &ComponentReading) -> bool {
    has(symptoms, reading, SymptomKind::WaitQueueSkew(Sign::Whole))
}

fn with_long_queues(reading: &ComponentReading, also: impl Fn(&super::InstanceReading) -> bool) -> Vec<InstanceId> {
    let longest = reading.instances.iter().map(super::InstanceReading::buffer_records).fold(0.0, f64::max);
    let blamed = reading.instances.iter().filter(|instance| instance.buffer_records() > longest / 2.0 && also(instance));
    blamed.map(|instance| instance.instance).collect()
}
