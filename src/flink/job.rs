//! A job as the cluster describes it: its state, its vertices and how they are connected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::error::one_line;
use super::json::{Lacks, lacks, list, millis, parse, text, whole};

/// The most vertices of a job.
const MOST_VERTICES: usize = 2000;
/// The most subtasks of a vertex that Flink can have.
pub const MOST_PARALLELISM: u32 = 1 << 15;
/// The most subtasks of a job.
const MOST_SUBTASKS: u64 = 100_000;

/// The id of a job or a vertex: 32 hexadecimal digits and nothing else, so that it can stand in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex(String);

impl Hex {
    /// The id in `text`, if it is one.
    pub fn read(text: &str) -> Option<Hex> {
        (text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| Hex(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn id(of: &Value, name: &str) -> Result<Hex, Lacks> {
    Hex::read(text(of, name)?).map_or_else(|| lacks(format!("32 hexadecimal digits '{name}'"), of.get(name)), Ok)
}

/// A line of the list of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: Hex,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// When it began, in ms since 1970.
    pub began_ms: u64,
}

impl Listed {
    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        !is_end(&self.state)
    }
}

/// Reads `GET /jobs/overview`.
pub(super) fn jobs(body: &str) -> Result<Vec<Listed>, Lacks> {
    let listed = |job: &Value| {
        Ok(Listed {
            id: id(job, "jid")?,
            name: one_line(text(job, "name")?),
            state: one_line(text(job, "state")?),
            began_ms: millis(job, "start-time").unwrap_or(0),
        })
    };
    list(&parse(body)?, "jobs")?.iter().map(listed).collect()
}

/// Whether a job in this state will never run again.
fn is_end(state: &str) -> bool {
    matches!(state, "FINISHED" | "CANCELED" | "FAILED")
}

/// How records of an edge are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ship {
    /// Each instance to the one of its number.
    Forward,
    /// Each instance to its share of the next.
    Rescale,
    /// Every record to every instance.
    Broadcast,
    /// By key.
    Hash,
    /// Any other way: each instance to each.
    Any,
}

/// An input of a vertex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The vertex it comes from.
    pub from: Hex,
    /// How records are spread.
    pub ship: Ship,
}

/// A vertex: one operator, or several in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vertex {
    /// Its id.
    pub id: Hex,
    /// Its name, as the job has it.
    pub name: String,
    /// Its instances at present; 0 while that is not known.
    pub parallelism: u32,
    /// The most it can have.
    pub max_parallelism: u32,
    /// How many of them run.
    pub running: u32,
    /// How many have finished, as those of a bounded source do.
    pub finished: u32,
    /// Vertices of one group share slots; nothing where the cluster does not say.
    pub group: Option<String>,
    /// When it was deployed, in ms since 1970.
    pub began_ms: Option<u64>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: Hex,
    /// Its name.
    pub name: String,
    /// Its state, such as `RUNNING`.
    pub state: String,
    /// The JobManager's clock, in ms since 1970.
    pub now_ms: Option<u64>,
    /// The scheduler, where the cluster says which.
    pub scheduler: Option<String>,
    /// Its vertices, in the cluster's order.
    pub vertices: Vec<Vertex>,
    /// Inputs by vertex; empty while there is no plan yet.
    pub inputs: BTreeMap<Hex, Vec<Input>>,
}

impl Job {
    /// Reads `GET /jobs/J`.
    pub(super) fn read(body: &str) -> Result<Job, Lacks> {
        let value = parse(body)?;
        let vertices = list(&value, "vertices")?;
        if vertices.len() > MOST_VERTICES {
            return lacks(format!("at most {MOST_VERTICES} vertices"), Some(&Value::from(vertices.len())));
        }
        let vertices: Vec<Vertex> = vertices.iter().map(vertex).collect::<Result<_, _>>()?;
        let subtasks: u64 = vertices.iter().map(|vertex| u64::from(vertex.parallelism)).sum();
        if subtasks > MOST_SUBTASKS {
            return lacks(format!("at most {MOST_SUBTASKS} subtasks"), Some(&Value::from(subtasks)));
        }
        let known: BTreeSet<&Hex> = vertices.iter().map(|vertex| &vertex.id).collect();
        if known.len() < vertices.len() {
            return lacks("vertices of different ids", value.get("vertices"));
        }
        let mut inputs = BTreeMap::new();
        for node in value.get("plan").and_then(|plan| plan.get("nodes")).and_then(Value::as_array).into_iter().flatten() {
            let (id, read) = node_inputs(node)?;
            if let Some(stray) = read.iter().map(|input| &input.from).chain([&id]).find(|id| !known.contains(id)) {
                return lacks("a plan of the vertices that there are", Some(&Value::from(stray.to_string())));
            }
            if inputs.insert(id, read).is_some() {
                return lacks("each vertex once in the plan", Some(node));
            }
        }
        let is_partial = !inputs.is_empty() && inputs.len() < vertices.len();
        if is_partial {
            return lacks("a plan of all vertices", Some(&Value::from(inputs.len())));
        }
        Ok(Job {
            id: id(&value, "jid")?,
            name: one_line(text(&value, "name")?),
            state: one_line(text(&value, "state")?),
            now_ms: millis(&value, "now"),
            scheduler: value.get("schedulerType").and_then(Value::as_str).map(one_line),
            vertices,
            inputs,
        })
    }

    /// Whether it will never run again.
    pub fn has_ended(&self) -> bool {
        is_end(&self.state)
    }

    /// Whether all of its tasks run but for those that have finished, and its plan is known.
    pub fn is_running(&self) -> bool {
        let runs = |vertex: &Vertex| vertex.parallelism > 0 && vertex.running.saturating_add(vertex.finished) == vertex.parallelism;
        let is_alive = self.vertices.iter().any(|vertex| vertex.running > 0);
        self.state == "RUNNING" && is_alive && !self.inputs.is_empty() && self.vertices.iter().all(runs)
    }

    /// Vertices of which tasks have finished, and how many.
    pub fn finished(&self) -> BTreeMap<Hex, u32> {
        let some = self.vertices.iter().filter(|vertex| vertex.finished > 0);
        some.map(|vertex| (vertex.id.clone(), vertex.finished)).collect()
    }

    /// Instances by vertex.
    pub fn parallelism(&self) -> BTreeMap<Hex, u32> {
        self.vertices.iter().map(|vertex| (vertex.id.clone(), vertex.parallelism)).collect()
    }

    /// When the vertex that was deployed last was, in ms since 1970: another time than before means that the job was restarted.
    pub fn deployed_ms(&self) -> u64 {
        self.vertices.iter().filter_map(|vertex| vertex.began_ms).max().unwrap_or(0)
    }
}

fn vertex(value: &Value) -> Result<Vertex, Lacks> {
    let most = i64::from(MOST_PARALLELISM);
    let parallelism = whole(value, "parallelism", -1, most)?.max(0) as u32;
    let tasks = |state: &str| {
        let count = value.get("tasks").and_then(|tasks| tasks.get(state)).and_then(Value::as_u64).unwrap_or(0);
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    Ok(Vertex {
        id: id(value, "id")?,
        name: one_line(text(value, "name")?),
        parallelism,
        // Not yet decided while the job begins.
        max_parallelism: (whole(value, "maxParallelism", -1, most)?.max(0) as u32).max(parallelism),
        running: tasks("RUNNING"),
        finished: tasks("FINISHED"),
        group: value.get("slotSharingGroupId").and_then(Value::as_str).map(one_line),
        began_ms: millis(value, "start-time"),
    })
}

fn node_inputs(node: &Value) -> Result<(Hex, Vec<Input>), Lacks> {
    let own = id(node, "id")?;
    let mut inputs = Vec::new();
    for input in node.get("inputs").and_then(Value::as_array).into_iter().flatten() {
        let ship = match input.get("ship_strategy").and_then(Value::as_str).unwrap_or_default() {
            "FORWARD" => Ship::Forward,
            "RESCALE" => Ship::Rescale,
            "BROADCAST" => Ship::Broadcast,
            "HASH" => Ship::Hash,
            _ => Ship::Any,
        };
        inputs.push(Input { from: id(input, "id")?, ship });
    }
    Ok((own, inputs))
}
