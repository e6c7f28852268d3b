//! Predicts several configurations of one job: what they have in common is worked out once, and only once as long as nothing new is
//! learned, however many predictors there are.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::learned::Learned;
use super::prediction::Prediction;
use super::server::Server;
use super::sojourns::Sojourns;
use super::station::Station;
use super::ways::{Latencies, Ways};
use crate::dataflow::{Role, Topology};
use crate::id::OperatorId;

/// Batches that all operators of a configuration are given together...
const BATCHES: f64 = 250_000.0;
/// ... where they are few. Of so many operators it is half of it, and so on: what one of them is off by matters the less the more there are.
const MANY_OPERATORS: f64 = 60.0;

/// A station that was looked at, with the times that records spend there, if it would keep up.
type Known = (Station, Option<Arc<Sojourns>>);

/// A station whose queue was looked at, the records asked for, and the share of arrivals that make more.
type Longer = (Station, f64, f64);

/// What was worked out for predictions by what is known of a job at present. To be thrown away when more is learned of it.
#[derive(Debug, Default)]
pub struct WorkedOut {
    /// Part of the batches that make a good estimate of one operator; known from the first configuration on.
    effort: Cell<Option<f64>>,
    /// By operator, stations that were looked at, with what came out.
    known: RefCell<Vec<Vec<Known>>>,
    /// By operator, stations of which the queue was looked at, the records that were asked for, and the part of arrivals that make more.
    longer: RefCell<BTreeMap<usize, Vec<Longer>>>,
    /// The ways to each sink that any way leads to, once they are drawn.
    ways: RefCell<Option<Vec<Ways>>>,
}

/// Predicts configurations of one job.
#[derive(Debug)]
pub struct Predictor<'a> {
    learned: &'a Learned,
    topology: &'a Topology,
    worked_out: Rc<WorkedOut>,
}

/// The latencies at the sink where they are the longest, by the number of the sink.
type Longest = (usize, Latencies);

impl<'a> Predictor<'a> {
    pub(super) fn new(learned: &'a Learned, topology: &'a Topology, worked_out: Rc<WorkedOut>) -> Predictor<'a> {
        worked_out.known.borrow_mut().resize(topology.operators().len(), Vec::new());
        Predictor { learned, topology, worked_out }
    }

    /// As [`WhatIf::predict`](super::WhatIf::predict).
    ///
    /// # Panics
    /// If there is not one entry an operator.
    pub fn predict(&self, stations: &[Option<Station>]) -> Option<Prediction> {
        let (sink, latencies) = self.longest(stations)?;
        let waits_s = self.worked_out.ways.borrow().as_ref()?[sink].waits_s(&latencies, stations);
        let mut latencies_s = latencies.all_s;
        self.learned.calibration.apply(&mut latencies_s, f64::from(latencies.p50_s));
        Some(Prediction { latencies_s, error: self.learned.calibration.error(), waits_s })
    }

    /// The median and the 99th percentile of latency in seconds, as they are before calibration; nothing where [`predict`](Self::predict)
    /// gives nothing.
    ///
    /// # Panics
    /// If there is not one entry an operator.
    pub fn uncalibrated_s(&self, stations: &[Option<Station>]) -> Option<(f64, f64)> {
        let (_, latencies) = self.longest(stations)?;
        Some((f64::from(latencies.p50_s), f64::from(latencies.p99_s)))
    }

    /// Part of an operator's arrivals that would make more than `records` records at their instance; 1 if it would not keep up.
    pub fn part_longer(&self, operator: OperatorId, station: &Station, records: f64) -> f64 {
        let index = operator.0 as usize;
        let is_asked = |(of, than, _): &&(Station, f64, f64)| of == station && *than == records;
        if let Some((.., known)) = self.worked_out.longer.borrow().get(&index).and_then(|all| all.iter().find(is_asked)) {
            return *known;
        }
        let longer = self.learned.server(self.topology.operator(operator)).part_longer(station, records);
        self.worked_out.longer.borrow_mut().entry(index).or_default().push((*station, records, longer));
        longer
    }

    /// How much of an effort is made for each operator of a configuration like `stations`.
    fn effort(&self, stations: &[Option<Station>]) -> f64 {
        if let Some(effort) = self.worked_out.effort.get() {
            return effort;
        }
        let operators = stations.iter().flatten().count() as f64;
        let all: f64 = stations.iter().flatten().map(Server::batches).sum();
        let effort = (BATCHES / (1.0 + operators / MANY_OPERATORS) / all.max(1.0)).min(1.0);
        self.worked_out.effort.set(Some(effort));
        effort
    }

    fn sojourns(&self, operator: usize, station: &Station, effort: f64) -> Option<Arc<Sojourns>> {
        if let Some((_, known)) = self.worked_out.known.borrow()[operator].iter().find(|(of, _)| of == station) {
            return known.clone();
        }
        // Where operators are so many that each can only be looked at briefly, what recent windows say of it is as good.
        let is_brief = effort < 1.0;
        let kept = if is_brief { self.learned.kept.borrow().get(operator, station) } else { None };
        let sojourns = kept.or_else(|| {
            let sojourns = self.learned.server(&self.topology.operators()[operator]).sojourns(station, effort).map(Arc::new);
            if let Some(sojourns) = sojourns.as_ref().filter(|_| is_brief) {
                self.learned.kept.borrow_mut().keep(operator, station, sojourns);
            }
            sojourns
        });
        self.worked_out.known.borrow_mut()[operator].push((*station, sojourns.clone()));
        sojourns
    }

    fn longest(&self, stations: &[Option<Station>]) -> Option<Longest> {
        assert_eq!(stations.len(), self.topology.operators().len(), "one station an operator");
        if !stations.iter().flatten().all(Server::keeps_up) {
            return None;
        }
        let effort = self.effort(stations);
        let mut sojourns: Vec<Option<Arc<Sojourns>>> = Vec::with_capacity(stations.len());
        for (operator, station) in stations.iter().enumerate() {
            sojourns.push(match station {
                Some(station) => Some(self.sojourns(operator, station, effort)?),
                None => None,
            });
        }
        let mut ways = self.worked_out.ways.borrow_mut();
        let ways = ways.get_or_insert_with(|| {
            let hops = self.learned.hops(self.topology);
            let sinks = self.topology.operators().iter().filter(|operator| operator.role == Role::Sink);
            sinks.filter_map(|sink| Ways::draw(&hops, sink.id.0 as usize)).collect()
        });
        let at_sinks = ways.iter_mut().map(|ways| ways.latencies(&sojourns)).enumerate();
        at_sinks.max_by(|(_, a), (_, b)| a.p99_s.total_cmp(&b.p99_s))
    }
}
