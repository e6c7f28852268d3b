//! Step: the reason of a decision, with its findings and the measured path.

use super::super::config::Paths;
use super::super::paths::slowest_path;
use super::super::search::Proposal;
use super::super::state::CriticalPath;
use super::load::Load;
use crate::observation::Observation;
use crate::policy::{Finding, Reason};

/// At most this many findings are reported.
const MOST_FINDINGS: usize = 16;

impl CriticalPath {
    /// Why, with what was found out and what is expected of it.
    pub(super) fn reason(
        &self,
        rule: &str,
        observation: &Observation,
        load: &Load,
        findings: Vec<(f64, Finding)>,
        proposal: Option<&Proposal>,
    ) -> Reason {
        let mut findings = findings;
        findings.sort_by(|a, b| b.0.total_cmp(&a.0));
        let achieved: f64 = observation.sources.iter().map(|source| source.achieved.as_per_second()).sum();
        let mut reason = Reason::new(rule).with("offered per s", load.offered).with("achieved per s", achieved);
        if self.lag > 0.0 {
            reason = reason.with("lag records", self.lag);
        }
        if let Some(proposal) = proposal {
            reason = reason.with("predicted achieved per s", load.offered * proposal.part);
            if let Some(p99) = proposal.p99_s {
                reason = reason.with("predicted p99 ms", p99 * 1e3);
            }
        }
        if let Some(p99) = observation.latency.ns_p99.filter(|_| self.config.goal_ms > 0.0) {
            reason = reason.with("p99 ms", p99 as f64 / 1e6).with("goal ms", self.config.goal_ms);
        }
        if let Some(paths) = observation.paths.as_ref().filter(|paths| paths.slowest.epochs > 0 && self.config.paths == Paths::On) {
            reason = reason.along(slowest_path(&self.topology, paths, proposal.and_then(|proposal| proposal.waits_s.as_deref())));
        }
        reason.finding(findings.into_iter().take(MOST_FINDINGS).map(|(_, finding)| finding))
    }
}
