//! The topology of a job: its vertices as operators in topological order, with names that people can type.
//!
//! A chain of operators is one vertex and one operator. A vertex without inputs is a source; all others
//! can be rescaled, sinks included. Invariant: operator `i` of the topology is vertex `i` of the graph.

use std::collections::{BTreeMap, BTreeSet};

use super::job::{Hex, Job, Ship, Vertex};
use crate::dataflow::{Configuration, Role, Topology, TopologyError};
use crate::id::OperatorId;

/// The longest name of an operator, in characters.
const MOST_NAME: usize = 40;

/// A vertex of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: Hex,
    /// Its name in the cluster.
    pub full_name: String,
    /// Its name here: short, and no other vertex's.
    pub name: String,
    /// The most instances Flink lets it have: its key groups, if it has keys.
    pub max_parallelism: u32,
    /// Vertices of one group share slots.
    pub group: String,
    /// The vertices before it, by number, with how records are spread; each once.
    pub inputs: Vec<(usize, Ship)>,
}

/// The graph of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// Its vertices in topological order.
    pub nodes: Vec<Node>,
}

/// Why a job's vertices are no graph that can be driven.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// Inputs lead back to a vertex.
    #[error("expected a graph without cycles, found '{0}' on a cycle")]
    Cycle(String),
    /// There is none yet.
    #[error("expected a job with a plan, found none: it has not begun to run")]
    NoPlan,
    /// Anything else.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

impl Graph {
    /// The graph of a job.
    ///
    /// # Errors
    /// When there is no plan yet, or it has a cycle.
    pub fn of(job: &Job) -> Result<Graph, GraphError> {
        if job.inputs.is_empty() {
            return Err(GraphError::NoPlan);
        }
        let place: BTreeMap<&Hex, usize> = job.vertices.iter().enumerate().map(|(place, vertex)| (&vertex.id, place)).collect();
        let inputs = |vertex: &Vertex| job.inputs.get(&vertex.id).into_iter().flatten();
        // Sources first, then always what has all its inputs; the order is the cluster's but for that.
        let (mut order, mut placed): (Vec<usize>, BTreeSet<&Hex>) = (Vec::new(), BTreeSet::new());
        while order.len() < job.vertices.len() {
            let ready = |vertex: &&Vertex| !placed.contains(&vertex.id) && inputs(vertex).all(|input| placed.contains(&input.from));
            let Some(next) = job.vertices.iter().find(ready) else {
                let stuck = job.vertices.iter().find(|vertex| !placed.contains(&vertex.id));
                return Err(GraphError::Cycle(stuck.map_or(String::new(), |vertex| vertex.name.clone())));
            };
            order.push(place[&next.id]);
            placed.insert(&next.id);
        }
        let number: BTreeMap<&Hex, usize> = order.iter().enumerate().map(|(number, &place)| (&job.vertices[place].id, number)).collect();
        let mut taken = BTreeSet::new();
        let node = |&place: &usize| {
            let vertex = &job.vertices[place];
            let mut from: Vec<(usize, Ship)> = Vec::new();
            for input in inputs(vertex) {
                match from.iter_mut().find(|(known, _)| *known == number[&input.from]) {
                    // Two edges between two vertices: the barrier comes by both.
                    Some((_, ship)) => *ship = if *ship == input.ship { *ship } else { Ship::Any },
                    None => from.push((number[&input.from], input.ship)),
                }
            }
            from.sort_by_key(|(number, _)| *number);
            Node {
                id: vertex.id.clone(),
                full_name: vertex.name.clone(),
                name: unique(short(&vertex.name), &mut taken),
                max_parallelism: vertex.max_parallelism.max(1),
                group: vertex.group.clone().unwrap_or_default(),
                inputs: from,
            }
        };
        Ok(Graph { nodes: order.iter().map(node).collect() })
    }

    /// The topology, each operator with at most as many instances as `most` says for its number.
    ///
    /// # Errors
    /// None that is known; [`Graph::of`] has checked all of it.
    pub fn topology(&self, most: impl Fn(usize) -> u32) -> Result<Topology, GraphError> {
        let role = |node: &Node| if node.inputs.is_empty() { Role::Source } else { Role::Stateless };
        let operators: Vec<(&str, Role, u32)> =
            self.nodes.iter().enumerate().map(|(number, node)| (node.name.as_str(), role(node), most(number).max(1))).collect();
        let edges: Vec<(u32, u32)> = self
            .nodes
            .iter()
            .enumerate()
            .flat_map(|(to, node)| node.inputs.iter().map(move |(from, _)| (*from as u32, to as u32)))
            .collect();
        Ok(Topology::new(&operators, &edges)?)
    }

    /// Instances by operator; nothing if the job has other vertices than this graph.
    pub fn configuration(&self, parallelism: &BTreeMap<Hex, u32>, topology: &Topology) -> Option<Configuration> {
        if parallelism.len() != self.nodes.len() {
            return None;
        }
        let ones = Configuration::ones(topology);
        (0..).zip(&self.nodes).try_fold(ones, |all, (number, node)| Some(all.with(OperatorId(number), *parallelism.get(&node.id)?)))
    }

    /// Instances by vertex.
    pub fn parallelism(&self, configuration: &Configuration) -> BTreeMap<Hex, u32> {
        (0..).zip(&self.nodes).map(|(number, node)| (node.id.clone(), configuration.parallelism(OperatorId(number)))).collect()
    }

    /// Vertices without inputs, by number.
    pub fn sources(&self) -> impl Iterator<Item = usize> + '_ {
        self.nodes.iter().enumerate().filter(|(_, node)| node.inputs.is_empty()).map(|(number, _)| number)
    }

    /// Vertices after a vertex, by number.
    pub fn outputs(&self, of: usize) -> impl Iterator<Item = usize> + '_ {
        let is_after = move |node: &Node| node.inputs.iter().any(|(from, _)| *from == of);
        self.nodes.iter().enumerate().filter(move |(_, node)| is_after(node)).map(|(number, _)| number)
    }

    /// The vertex that a person means: by its name here, its name in the cluster, or its id.
    pub fn named(&self, name: &str) -> Option<usize> {
        let by = |of: &dyn Fn(&Node) -> bool| self.nodes.iter().position(of);
        by(&|node| node.name == name).or_else(|| by(&|node| node.full_name == name)).or_else(|| by(&|node| node.id.to_string() == name))
    }

    /// Slots that a configuration takes: a group of vertices takes as many as its largest.
    pub fn slots(&self, parallelism: impl Fn(usize) -> u32) -> u32 {
        let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let most = groups.entry(&node.group).or_default();
            *most = (*most).max(parallelism(number));
        }
        groups.values().fold(0, |sum, most| sum.saturating_add(*most))
    }

    /// Whether a vertex has keys, as far as its inputs say.
    pub fn is_keyed(&self, number: usize) -> bool {
        self.nodes[number].inputs.iter().any(|(_, ship)| *ship == Ship::Hash)
    }
}

/// Without what every source or sink is called, and not longer than a column.
fn short(name: &str) -> String {
    let name = name.strip_prefix("Source: ").or_else(|| name.strip_prefix("Sink: ")).unwrap_or(name);
    let name = name.strip_suffix(": Writer").unwrap_or(name);
    let plain: String = name.chars().map(|c| if c.is_whitespace() || c == ',' || c == '=' { '-' } else { c }).take(MOST_NAME).collect();
    if plain.is_empty() { "vertex".to_owned() } else { plain }
}

/// Several vertices may have one name.
fn unique(name: String, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}#{number}"));
    let free = [name.clone()].into_iter().chain(numbered).find(|name| !taken.contains(name)).expect("numbers do not end");
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job of vertices with inputs by number.
    fn job(vertices: &[(&str, &[usize])]) -> Job {
        let id = |number: usize| format!("{number:032x}");
        let vertex = |(number, (name, _)): (usize, &(&str, &[usize]))| {
            format!(
                r#"{{"id":"{}","name":"{name}","parallelism":1,"maxParallelism":8,"tasks":{{"RUNNING":1}},"slotSharingGroupId":"g"}}"#,
                id(number)
            )
        };
        let node = |(number, (_, inputs)): (usize, &(&str, &[usize]))| {
            let inputs = inputs.iter().map(|from| format!(r#"{{"id":"{}","ship_strategy":"HASH"}}"#, id(*from)));
            format!(r#"{{"id":"{}","inputs":[{}]}}"#, id(number), inputs.collect::<Vec<_>>().join(","))
        };
        let (all, nodes): (Vec<_>, Vec<_>) =
            (vertices.iter().enumerate().map(vertex).collect(), vertices.iter().enumerate().map(node).collect());
        let text = format!(
            r#"{{"jid":"{}","name":"j","state":"RUNNING","vertices":[{}],"plan":{{"nodes":[{}]}}}}"#,
            id(77),
            all.join(","),
            nodes.join(",")
        );
        Job::read(&text).unwrap()
    }

    #[test]
    fn vertices_are_in_topological_order_and_have_names_of_their_own() {
        let graph = Graph::of(&job(&[("sink: Writer", &[1, 2]), ("map", &[3]), ("map", &[3, 3]), ("Source: in, a", &[])])).unwrap();
        let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["in--a", "map", "map#2", "sink"]);
        assert_eq!(graph.nodes[3].inputs, [(1, Ship::Hash), (2, Ship::Hash)]);
        assert_eq!((graph.named("map#2"), graph.named("sink: Writer"), graph.named("x")), (Some(2), Some(3), None));
        assert_eq!((graph.sources().collect::<Vec<_>>(), graph.outputs(0).collect::<Vec<_>>()), (vec![0], vec![1, 2]));
        assert_eq!(graph.slots(|vertex| vertex as u32 + 1), 4, "one group shares slots");
        let topology = graph.topology(|_| 8).unwrap();
        assert_eq!((topology.operators()[0].role, topology.operators()[3].role), (Role::Source, Role::Stateless));
        assert!(graph.configuration(&job(&[("other", &[])]).parallelism(), &topology).is_none());
    }

    #[test]
    fn cycles_and_jobs_without_a_plan_are_refused() {
        assert!(matches!(Graph::of(&job(&[("a", &[1]), ("b", &[0])])), Err(GraphError::Cycle(_))));
        let mut none = job(&[("a", &[])]);
        none.inputs.clear();
        assert_eq!(Graph::of(&none), Err(GraphError::NoPlan));
    }
}
