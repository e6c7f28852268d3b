//! What the policy has when a window comes: the job, its parameters, learned models, and what it
//! remembers of earlier windows.
//!
//! No part of it knows the policy as a whole. The steps of a decision (the folder `steps`) read the
//! parts and update them.

use std::collections::VecDeque;
use std::time::Duration;

use super::config::CriticalPathConfig;
use super::cost_benefit::CostBenefit;
use super::forecast::OfferedLoad;
use super::load_weights::LoadWeights;
use super::memory::{GoalMisses, LastAction, Memory, RecentNeeds};
use super::warm_up::WarmUp;
use super::workers::SharedWorkers;
use crate::dataflow::Topology;
use crate::model::{CapacityModel, ChangeModel, FlowModel, LatencyModel, RelativeSpeeds, WhatIf};
use crate::time::Timestamp;

/// Consecutive windows that must agree before anything that is not obvious is acted upon.
pub(super) const AGREEING: u32 = 2;

/// The critical-path policy.
///
/// Vectors are by operator.
#[derive(Clone, Debug)]
pub struct CriticalPath {
    pub(super) topology: Topology,
    pub(super) config: CriticalPathConfig,

    // Learned models of the job.
    pub(super) flow: FlowModel,
    pub(super) curves: Vec<CapacityModel>,
    /// Which instances of an operator are slow.
    pub(super) relative: Vec<RelativeSpeeds>,
    pub(super) latency: LatencyModel,
    pub(super) what_if: WhatIf,
    /// What a change costs.
    pub(super) change_model: ChangeModel,

    // The load and lag of earlier windows.
    /// When the first window began.
    pub(super) since: Option<Timestamp>,
    /// Length of the last window.
    pub(super) window_s: f64,
    /// Offered load of recent windows.
    pub(super) offered: VecDeque<OfferedLoad>,
    /// Lag of all sources at the end of the last window, in records.
    pub(super) lag: f64,

    // What was seen of operators and workers.
    pub(super) memory: Vec<Memory>,
    /// Consecutive windows in which it backpressured the sources more than any other.
    pub(super) held_up: Vec<u32>,
    /// The shortest queue that was seen to backpressure the sources.
    pub(super) marks: Vec<Option<f64>>,
    /// The speeds by which its load is divided.
    pub(super) weights: Vec<LoadWeights>,
    pub(super) workers: SharedWorkers,
    pub(super) goal_misses: GoalMisses,
    pub(super) recent_needs: RecentNeeds,

    // The last change, and whether the next one is worth its cost.
    pub(super) warm_up: WarmUp,
    pub(super) last_action: Option<LastAction>,
    /// Duration of the last plan's execution.
    pub(super) delay: Duration,
    /// Lag that a plan leaves, in seconds of load; learned from executed plans.
    pub(super) disruption_s: f64,
    /// Consecutive unsettled windows in which the load outran the last change.
    pub(super) outrun: u32,
    pub(super) cost_benefit: CostBenefit,
}

impl CriticalPath {
    /// The policy for the job `topology`.
    pub fn new(topology: Topology, config: CriticalPathConfig) -> CriticalPath {
        let operators = topology.operators().len();
        CriticalPath {
            flow: FlowModel::new(&topology),
            curves: vec![CapacityModel::default(); operators],
            relative: vec![RelativeSpeeds::default(); operators],
            latency: LatencyModel::default(),
            what_if: WhatIf::new(&topology),
            change_model: ChangeModel::new(operators),
            since: None,
            window_s: 0.0,
            offered: VecDeque::new(),
            lag: 0.0,
            memory: vec![Memory::default(); operators],
            held_up: vec![0; operators],
            marks: vec![None; operators],
            weights: vec![LoadWeights::default(); operators],
            workers: SharedWorkers::default(),
            goal_misses: GoalMisses::default(),
            recent_needs: RecentNeeds::default(),
            warm_up: WarmUp::default(),
            last_action: None,
            delay: Duration::ZERO,
            disruption_s: 0.0,
            outrun: 0,
            cost_benefit: CostBenefit::new(),
            topology,
            config,
        }
    }
}
