//! The requests of Flink's REST interface that the host makes, each with what it gives.
//!
//! Invariant: everything is read with GET but for two requests, [`Rest::trigger`] and
//! [`Rest::require`], and only if [`Allowed`] has them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::checkpoints::{Arrivals, CheckpointConfig, History, triggered};
use super::counters::{self, Counters};
use super::error::{RestError, RestErrorKind, says};
use super::graph::{Graph, Node};
use super::job::{Hex, Job, Listed, jobs};
use super::json::{Lacks, millis, parse};
use super::link::{Link, LinkError, Method, Request};
use super::requirements::{self, Bounds};
use super::window::Round;
use crate::time::Timestamp;

/// What may be changed at the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Checkpoints may be triggered.
    pub trigger: bool,
    /// Jobs may be rescaled.
    pub rescale: bool,
}

/// Slots and version of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Its version; empty where it does not say.
    pub version: String,
    /// All slots.
    pub slots: u32,
    /// Those that nobody has.
    pub free_slots: u32,
}

/// What the configuration of the JobManager says; only what the host looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `jobmanager.scheduler`.
    pub scheduler: Option<String>,
    /// `scheduler-mode`.
    pub mode: Option<String>,
}

/// A cluster, by requests.
pub struct Rest<'l> {
    link: &'l mut dyn Link,
    allowed: Allowed,
    /// Names of the metrics that say what is pending, by vertex; empty for one that has none.
    pending: BTreeMap<Hex, Vec<String>>,
    last_at: Timestamp,
}

impl<'l> Rest<'l> {
    /// Requests by `link`, and changes as far as `allowed`.
    pub fn new(link: &'l mut dyn Link, allowed: Allowed) -> Rest<'l> {
        Rest { link, allowed, pending: BTreeMap::new(), last_at: Timestamp::ZERO }
    }

    /// What may be changed.
    pub fn allowed(&self) -> Allowed {
        self.allowed
    }

    /// When the last answer was there, or the last wait over.
    pub fn now(&self) -> Timestamp {
        self.last_at
    }

    /// Waits until `at`. `None`: it is time to end.
    pub fn wait(&mut self, at: Timestamp) -> Option<Timestamp> {
        self.last_at = self.link.wait(at)?.max(self.last_at);
        Some(self.last_at)
    }

    fn send<T>(&mut self, request: &Request, read: impl FnOnce(&str) -> Result<T, Lacks>) -> Result<T, RestError> {
        let of = |kind: RestErrorKind| RestError { request: format!("{} {}", request.method, without_query(&request.path)), kind };
        let answer = self.link.ask(request).map_err(|why| of(RestErrorKind::Link(why)))?;
        self.last_at = self.last_at.max(answer.at);
        if !(200..300).contains(&answer.status) {
            return Err(of(RestErrorKind::Status { status: answer.status, says: says(&answer.body) }));
        }
        read(&answer.body).map_err(|Lacks { expected, found }| of(RestErrorKind::Unexpected { expected, found }))
    }

    fn get<T>(&mut self, path: String, read: impl FnOnce(&str) -> Result<T, Lacks>) -> Result<T, RestError> {
        self.send(&Request::get(path), read)
    }

    /// The jobs that the cluster knows.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub fn jobs(&mut self) -> Result<Vec<Listed>, RestError> {
        self.get("/jobs/overview".to_owned(), jobs)
    }

    /// Slots and version.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub fn overview(&mut self) -> Result<Overview, RestError> {
        self.get("/overview".to_owned(), |body| {
            let value = parse(body)?;
            let count = |name: &str| millis(&value, name).map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX));
            let version = value.get("flink-version").and_then(Value::as_str).unwrap_or_default();
            Ok(Overview { version: super::error::one_line(version), slots: count("slots-total"), free_slots: count("slots-available") })
        })
    }

    /// The settings of the JobManager that matter.
    ///
    /// # Errors
    /// When the cluster does not say; some do not show it.
    pub fn settings(&mut self) -> Result<Settings, RestError> {
        self.get("/jobmanager/config".to_owned(), |body| {
            let value = parse(body)?;
            let of = |key: &str| {
                let has_key = |entry: &&Value| entry.get("key").and_then(Value::as_str) == Some(key);
                let entry = value.as_array()?.iter().find(has_key)?;
                entry.get("value").and_then(Value::as_str).map(super::error::one_line)
            };
            Ok(Settings { scheduler: of("jobmanager.scheduler"), mode: of("scheduler-mode") })
        })
    }

    /// A job.
    ///
    /// # Errors
    /// When the cluster does not know it, or says what no job can be.
    pub fn job(&mut self, id: &Hex) -> Result<Job, RestError> {
        let job = self.get(format!("/jobs/{id}"), Job::read)?;
        if job.id == *id {
            return Ok(job);
        }
        let kind = RestErrorKind::Unexpected { expected: format!("the job {id}"), found: format!("the job {}", job.id) };
        Err(RestError { request: format!("GET /jobs/{id}"), kind })
    }

    /// How many instances each vertex was asked to have.
    ///
    /// # Errors
    /// When the cluster does not say: only the adaptive scheduler does.
    pub fn requirements(&mut self, id: &Hex) -> Result<BTreeMap<Hex, Bounds>, RestError> {
        self.get(format!("/jobs/{id}/resource-requirements"), requirements::read)
    }

    /// Asks for so many instances of every vertex.
    ///
    /// # Errors
    /// When the cluster refuses, or does not answer; it may have taken it nevertheless.
    ///
    /// # Panics
    /// If rescaling is not allowed.
    pub fn require(&mut self, id: &Hex, wanted: &BTreeMap<Hex, u32>) -> Result<(), RestError> {
        assert!(self.allowed.rescale, "nothing is changed that may not be");
        let path = format!("/jobs/{id}/resource-requirements");
        let body = Some(requirements::body(wanted));
        self.send(&Request { method: Method::Put, path, body }, |_| Ok(()))
    }

    /// How the job takes checkpoints.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub fn checkpoint_config(&mut self, id: &Hex) -> Result<CheckpointConfig, RestError> {
        self.get(format!("/jobs/{id}/checkpoints/config"), CheckpointConfig::read)
    }

    /// The checkpoints of late.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub fn checkpoints(&mut self, id: &Hex) -> Result<History, RestError> {
        self.get(format!("/jobs/{id}/checkpoints"), History::read)
    }

    /// When the barriers of a checkpoint came, by vertex of the graph.
    ///
    /// # Errors
    /// When the cluster does not say, or has forgotten.
    pub fn arrivals(&mut self, id: &Hex, checkpoint: u64, graph: &Graph) -> Result<Vec<Arrivals>, RestError> {
        let mut all = Vec::new();
        for node in &graph.nodes {
            all.push(self.get(format!("/jobs/{id}/checkpoints/details/{checkpoint}/subtasks/{}", node.id), Arrivals::read)?);
        }
        Ok(all)
    }

    /// Triggers a checkpoint.
    ///
    /// # Errors
    /// When the cluster refuses.
    ///
    /// # Panics
    /// If that is not allowed.
    pub fn trigger(&mut self, id: &Hex) -> Result<String, RestError> {
        assert!(self.allowed.trigger, "nothing is triggered that may not be");
        let body = Some(r#"{"checkpointType":"CONFIGURED"}"#.to_owned());
        self.send(&Request { method: Method::Post, path: format!("/jobs/{id}/checkpoints"), body }, triggered)
    }

    /// Counters of all subtasks, and what sources have not emitted.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub fn round(&mut self, id: &Hex, graph: &Graph, parallelism: impl Fn(usize) -> u32) -> Result<Round, RestError> {
        let (mut counters, mut pending) = (Vec::new(), BTreeMap::new());
        for (number, node) in graph.nodes.iter().enumerate() {
            let subtasks = parallelism(number);
            let values = self.values(id, node, counters::queries(subtasks))?;
            counters.push((0..subtasks).map(|subtask| counters::of_subtask(&values, subtask)).collect::<Vec<Option<Counters>>>());
            if node.inputs.is_empty() {
                let names = self.pending_of(id, node, subtasks)?;
                let values = self.values(id, node, counters::split(names.iter().cloned()))?;
                if !values.is_empty() && names.len() == values.len() {
                    pending.insert(number, values.values().fold(0.0, |sum, value| sum + value.clamp(0.0, 1e15)));
                }
            }
        }
        Ok(Round { at: self.last_at, counters, pending })
    }

    /// Forgets what sources' metrics are called: they may have other subtasks now.
    pub fn forget_names(&mut self) {
        self.pending.clear();
    }

    fn values(&mut self, id: &Hex, node: &Node, queries: Vec<String>) -> Result<BTreeMap<String, f64>, RestError> {
        let mut all = BTreeMap::new();
        for query in queries {
            all.append(&mut self.get(format!("/jobs/{id}/vertices/{}/metrics?get={query}", node.id), counters::values)?);
        }
        Ok(all)
    }

    /// Names of what a source says is pending; nothing is remembered as long as it has no metrics at all.
    fn pending_of(&mut self, id: &Hex, node: &Node, subtasks: u32) -> Result<Vec<String>, RestError> {
        if let Some(names) = self.pending.get(&node.id) {
            return Ok(names.clone());
        }
        let listed = self.get(format!("/jobs/{id}/vertices/{}/metrics", node.id), counters::names);
        let (names, is_final) = match listed {
            Ok(all) => (counters::pending_names(&all), !all.is_empty()),
            // Some gateways refuse such a long list; what else is wrong may pass.
            Err(RestError { kind: RestErrorKind::Status { status, .. }, .. }) => {
                (counters::pending_guess(node, subtasks), (400..=499).contains(&status))
            }
            Err(RestError { kind: RestErrorKind::Link(LinkError::TooLarge(_)), .. }) => (counters::pending_guess(node, subtasks), true),
            Err(error) => return Err(error),
        };
        if is_final {
            self.pending.insert(node.id.clone(), names.clone());
        }
        Ok(names)
    }
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}
