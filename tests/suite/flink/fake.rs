//! A Flink cluster that there is not: a pipeline of four vertices as a fluid, with Flink's answers, its errors and its restarts.
//!
//! Time is given to it, so that minutes of a job take an instant. What it answers has the form of what Flink
//! 2.3.0 answered (`/work/shared/flink/sessions`, where that is there); the numbers are its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Step of the fluid, in ms.
const STEP_MS: f64 = 5.0;
/// Records between two vertices at which the first is held up, in all.
const BUFFERED: f64 = 400.0;
/// Metrics are fetched at most this often, in ms, and take this long to come.
const FETCH_EVERY_MS: f64 = 500.0;
const FETCH_MS: f64 = 60.0;
/// A redeployment takes this long, in ms.
const RESTART_MS: f64 = 400.0;

pub const JOB: &str = "893e51e69022eeba44784b015fde53bf";
pub const NAMES: [&str; 4] = ["Source: source", "split", "count", "sink: Writer"];
const IDS: [&str; 4] = [
    "e5a72f353fc1e6bbf3bd96a41384998c",
    "4c316878fdbd0126d4087d26baae01f4",
    "b71731f1c0df9c3076c4a455334d0ad6",
    "2e588ce1c86a9d46e2e85186773ce4fd",
];

/// A vertex.
#[derive(Clone, Debug)]
pub struct Vertex {
    /// Service of a record, in ms.
    pub cost_ms: f64,
    pub parallelism: u32,
    pub queue: f64,
    pub records_in: f64,
    pub records_out: f64,
    pub busy_ms: f64,
    pub blocked_ms: f64,
    pub idle_ms: f64,
}

/// A request that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub method: String,
    pub path: String,
    pub body: String,
}

/// The cluster, with one job.
#[derive(Clone, Debug)]
pub struct Fake {
    /// The id of its job.
    pub id: String,
    pub now_ms: f64,
    /// Records a second that are due.
    pub rate: f64,
    pub slots: u32,
    pub state: String,
    pub scheduler: Option<String>,
    pub log: Vec<Logged>,
    /// Whether checkpoints are taken by themselves.
    pub checkpoints_every_ms: Option<f64>,
    pub unaligned: bool,
    /// Whether the source says what is pending.
    pub says_pending: bool,
    /// Whether metrics are fetched from tasks when somebody asks, and come one by one; otherwise they are always there.
    pub fetches: bool,
    /// When they were last fetched, what was there before, and what came.
    pub fetched: Option<(f64, Vec<Vertex>, Vec<Vertex>)>,
    pub restarts: u32,
    pub emitted: f64,
    pub arrived: f64,
    pub vertices: Vec<Vertex>,
    pub lag: f64,
    pub upper: Vec<u32>,
    pub deployed_ms: f64,
    pub restarting_until: Option<f64>,
    /// Whether the source has finished, as a bounded one does; its task counts no more.
    pub source_finished: bool,
    pub next_checkpoint_ms: f64,
    pub checkpoints: Vec<Checkpoint>,
}

#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub id: u64,
    pub triggered_ms: f64,
    /// By vertex and subtask.
    pub last_ms: Vec<Vec<f64>>,
}

impl Checkpoint {
    fn takes_ms(&self) -> f64 {
        self.last_ms.iter().flatten().copied().fold(0.0, f64::max) + 2.0
    }
}

impl Fake {
    /// `rate` records a second; `cost_ms` of the three vertices after the source, which all begin with one instance.
    pub fn new(rate: f64, cost_ms: [f64; 3]) -> Fake {
        let costs = [0.05, cost_ms[0], cost_ms[1], cost_ms[2]];
        let vertex = |cost_ms: f64| Vertex {
            cost_ms,
            parallelism: 1,
            queue: 0.0,
            records_in: 0.0,
            records_out: 0.0,
            busy_ms: 0.0,
            blocked_ms: 0.0,
            idle_ms: 0.0,
        };
        Fake {
            id: JOB.to_owned(),
            now_ms: 1_795_917_664_508.0,
            rate,
            slots: 16,
            state: "RUNNING".to_owned(),
            scheduler: Some("Adaptive".to_owned()),
            log: Vec::new(),
            checkpoints_every_ms: Some(1000.0),
            unaligned: false,
            says_pending: true,
            fetches: false,
            fetched: None,
            restarts: 0,
            emitted: 0.0,
            arrived: 0.0,
            vertices: costs.map(vertex).to_vec(),
            lag: 0.0,
            upper: vec![1; 4],
            deployed_ms: 1_795_917_600_000.0,
            restarting_until: None,
            source_finished: false,
            next_checkpoint_ms: 1_795_917_665_000.0,
            checkpoints: Vec::new(),
        }
    }

    /// Instances, from the source on.
    pub fn parallelism(&self) -> Vec<u32> {
        self.vertices.iter().map(|vertex| vertex.parallelism).collect()
    }

    /// What was last requested.
    pub fn upper(&self) -> &[u32] {
        &self.upper
    }

    /// Records that are due and not emitted.
    pub fn lag(&self) -> f64 {
        self.lag
    }

    /// The bodies of all requests that change something.
    pub fn puts(&self) -> Vec<&str> {
        self.log.iter().filter(|logged| logged.method == "PUT").map(|logged| logged.body.as_str()).collect()
    }

    /// Redeploys the job, as after a failure or another's request.
    pub fn restart(&mut self) {
        self.restarting_until = Some(self.now_ms + RESTART_MS);
        self.restarts += 1;
    }

    /// The same job again, under another id.
    pub fn next_job(&mut self) {
        (self.id, self.state) = ("00112233445566778899aabbccddeeff".to_owned(), "RUNNING".to_owned());
        self.restart();
    }

    /// Somebody else's request.
    pub fn someone_requests(&mut self, upper: [u32; 4]) {
        self.upper = upper.to_vec();
        self.restart();
    }

    /// Goes on until `ms`.
    pub fn advance(&mut self, ms: f64) {
        while self.now_ms + STEP_MS <= ms {
            self.now_ms += STEP_MS;
            self.step();
        }
    }

    fn step(&mut self) {
        if self.state != "RUNNING" {
            return;
        }
        if !self.source_finished {
            self.lag += self.rate * STEP_MS / 1e3;
        }
        if let Some(until) = self.restarting_until {
            if self.now_ms < until {
                return;
            }
            self.deploy();
        }
        for number in (0..self.vertices.len()).rev() {
            let room = self.vertices.get(number + 1).map_or(f64::INFINITY, |next| (BUFFERED - next.queue).max(0.0));
            if number == 0 && self.source_finished {
                continue;
            }
            let vertex = &mut self.vertices[number];
            let waiting = if number == 0 { self.lag } else { vertex.queue };
            let can = f64::from(vertex.parallelism) * STEP_MS / vertex.cost_ms;
            let done = waiting.min(can).min(room);
            let busy = (done / can).min(1.0) * STEP_MS;
            vertex.busy_ms += busy;
            if room < waiting.min(can) {
                vertex.blocked_ms += STEP_MS - busy
            } else {
                vertex.idle_ms += STEP_MS - busy
            }
            vertex.records_out += if number + 1 < NAMES.len() { done } else { 0.0 };
            match number {
                0 => {
                    self.lag -= done;
                    self.emitted += done;
                }
                _ => {
                    vertex.queue -= done;
                    vertex.records_in += done;
                }
            }
            match self.vertices.get_mut(number + 1) {
                Some(next) => next.queue += done,
                None => self.arrived += done,
            }
        }
        if let Some(every) = self.checkpoints_every_ms
            && self.now_ms >= self.next_checkpoint_ms
            && self.checkpoints.last().is_none_or(|last| last.triggered_ms + last.takes_ms() <= self.now_ms)
        {
            self.checkpoint();
            self.next_checkpoint_ms = self.now_ms + every;
        }
    }

    /// Takes a checkpoint.
    pub fn checkpoint(&mut self) {
        let mut sent = 5.0;
        let mut last_ms = vec![vec![sent; self.vertices[0].parallelism as usize]];
        for vertex in &self.vertices[1..] {
            sent += 1.0 + vertex.queue * vertex.cost_ms / f64::from(vertex.parallelism);
            last_ms.push(vec![sent; vertex.parallelism as usize]);
        }
        let id = self.checkpoints.last().map_or(1, |last| last.id + 1);
        self.checkpoints.push(Checkpoint { id, triggered_ms: self.now_ms, last_ms });
        if self.checkpoints.len() > 12 {
            self.checkpoints.remove(0);
        }
    }

    fn deploy(&mut self) {
        (self.restarting_until, self.deployed_ms) = (None, self.now_ms);
        for (vertex, upper) in self.vertices.iter_mut().zip(&self.upper) {
            // What was in flight is read again.
            self.lag += std::mem::take(&mut vertex.queue);
            vertex.parallelism = (*upper).min(self.slots);
            (vertex.records_in, vertex.records_out, vertex.busy_ms, vertex.blocked_ms, vertex.idle_ms) = (0.0, 0.0, 0.0, 0.0, 0.0);
        }
    }

    /// Answers a request: status and body.
    pub fn answer(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.log.push(Logged { method: method.to_owned(), path: path.to_owned(), body: body.to_owned() });
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        if matches!(parts.as_slice(), ["jobs", _] | ["jobs", _, "vertices", _, "metrics"]) {
            self.fetch();
        }
        let (status, value) = match (method, parts.as_slice()) {
            ("GET", ["overview"]) => (200, self.overview()),
            ("GET", ["jobs", "overview"]) => {
                (200, json!({"jobs": [{"jid": self.id, "name": "pipeline", "state": self.state, "start-time": 1795917664508u64}]}))
            }
            ("GET", ["jobmanager", "config"]) => {
                let scheduler = self.scheduler.as_deref().unwrap_or("default").to_lowercase();
                (200, json!([{"key": "jobmanager.scheduler", "value": scheduler}, {"key": "s3.secret-key", "value": "hidden-s3cret"}]))
            }
            (_, ["jobs", id, ..]) if id.len() != 32 => (
                400,
                error(&format!("Bad request, could not parse parameters: Cannot resolve path parameter (jobid) from value \"{id}\".")),
            ),
            ("GET", ["jobs", id]) if **id != *self.id => (404, error(&format!("Job {id} not found"))),
            (_, ["jobs", id, "resource-requirements"]) if **id != *self.id || self.state != "RUNNING" => (500, not_found(id)),
            ("GET", ["jobs", _]) => (200, self.job()),
            ("GET", ["jobs", _, "resource-requirements"]) => (200, self.requirements()),
            ("PUT", ["jobs", _, "resource-requirements"]) => self.put(body),
            ("GET", ["jobs", _, "checkpoints", "config"]) => {
                let interval = self.checkpoints_every_ms.map_or(i64::MAX, |ms| ms as i64);
                (
                    200,
                    json!({"mode": "exactly_once", "interval": interval, "unaligned_checkpoints": self.unaligned, "aligned_checkpoint_timeout": 0}),
                )
            }
            ("GET", ["jobs", _, "checkpoints"]) => (200, self.history()),
            ("POST", ["jobs", _, "checkpoints"]) => {
                self.checkpoint();
                (202, json!({"request-id": "0".repeat(32)}))
            }
            ("GET", ["jobs", _, "checkpoints", "details", id, "subtasks", vertex]) => self.details(id, vertex),
            ("GET", ["jobs", _, "vertices", vertex, "metrics"]) => (200, self.metrics(vertex, query.strip_prefix("get="))),
            _ => (404, json!({"errors": [format!("Unable to load requested file {path}.")]})),
        };
        (status, value.to_string())
    }

    /// Begins to fetch metrics, if that is due.
    fn fetch(&mut self) {
        let before = match &self.fetched {
            Some((since, ..)) if self.now_ms < since + FETCH_EVERY_MS => return,
            Some((_, _, came)) => came.clone(),
            None => self.vertices.clone(),
        };
        self.fetched = Some((self.now_ms, before, self.vertices.clone()));
    }

    /// A vertex as its metric of this name shows it: while metrics come, records read are still those of before.
    fn shown(&self, vertex: usize, name: &str) -> &Vertex {
        match &self.fetched {
            Some((since, before, _)) if self.fetches && name == "numRecordsIn" && self.now_ms < since + FETCH_MS => &before[vertex],
            Some((_, _, came)) if self.fetches => &came[vertex],
            _ => &self.vertices[vertex],
        }
    }

    fn overview(&self) -> Value {
        let used = self.vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(0);
        json!({"taskmanagers": 1, "slots-total": self.slots, "slots-available": self.slots.saturating_sub(used), "flink-version": "2.3.0"})
    }

    fn is_down(&self) -> bool {
        self.restarting_until.is_some()
    }

    fn job(&self) -> Value {
        let vertices = NAMES.iter().zip(IDS).zip(&self.vertices).map(|((name, id), vertex)| {
            let running = if self.is_down() || self.state != "RUNNING" { 0 } else { vertex.parallelism };
            let has_finished = self.source_finished && id == IDS[0];
            let tasks = if has_finished { json!({"FINISHED": vertex.parallelism, "RUNNING": 0}) } else { json!({"RUNNING": running}) };
            json!({"id": id, "name": name, "slotSharingGroupId": "g", "maxParallelism": 64, "parallelism": vertex.parallelism, "status": "RUNNING",
                "start-time": self.deployed_ms as u64, "tasks": tasks})
        });
        let node = |number: usize| {
            let inputs = if number == 0 { json!([]) } else { json!([{"num": 0, "id": IDS[number - 1], "ship_strategy": "HASH"}]) };
            json!({"id": IDS[number], "description": NAMES[number], "inputs": inputs})
        };
        let state = if self.is_down() && self.state == "RUNNING" { "RESTARTING" } else { &self.state };
        // As from Flink, not in topological order.
        let vertices: Vec<Value> = vertices.rev().collect();
        json!({"jid": self.id, "name": "pipeline", "state": state, "schedulerType": self.scheduler, "now": self.now_ms as u64, "vertices": vertices,
            "plan": {"jid": self.id, "nodes": (0..4).rev().map(node).collect::<Vec<_>>()}})
    }

    fn requirements(&self) -> Value {
        let one = |(id, upper): (&str, &u32)| (id.to_owned(), json!({"parallelism": {"lowerBound": 1, "upperBound": upper}}));
        Value::Object(IDS.into_iter().zip(&self.upper).map(one).collect())
    }

    fn put(&mut self, body: &str) -> (u16, Value) {
        let Ok(Value::Object(asked)) = serde_json::from_str(body) else {
            return (400, error("Request did not match expected format JobResourceRequirementsBody."));
        };
        let mut upper = Vec::new();
        for id in IDS {
            let Some(bounds) = asked.get(id) else {
                return (400, error(&format!("The request is incomplete, missing job vertex [{id}] resource requirements.")));
            };
            let bound = |name: &str| bounds["parallelism"][name].as_i64().unwrap_or(-1);
            // What Flink does at -1 nobody wants to see.
            assert!(bound("lowerBound") == 1 && (1..=32768).contains(&bound("upperBound")), "{body}");
            if bound("upperBound") > 64 {
                return (
                    400,
                    error(&format!(
                        "The newly requested parallelism {} for the job vertex {id} exceeds its maximum parallelism 64.",
                        bound("upperBound")
                    )),
                );
            }
            upper.push(bound("upperBound") as u32);
        }
        if upper != self.upper {
            self.upper = upper;
            self.restart();
        }
        (200, json!({}))
    }

    fn history(&self) -> Value {
        let one = |checkpoint: &Checkpoint| {
            let is_done = checkpoint.triggered_ms + checkpoint.takes_ms() <= self.now_ms;
            json!({"className": "x", "id": checkpoint.id, "status": if is_done { "COMPLETED" } else { "IN_PROGRESS" },
                "trigger_timestamp": checkpoint.triggered_ms as u64, "state_size": 1000, "end_to_end_duration": checkpoint.takes_ms() as u64})
        };
        let history: Vec<Value> = self.checkpoints.iter().rev().map(one).collect();
        let completed = history.iter().find(|checkpoint| checkpoint["status"] == "COMPLETED").cloned();
        json!({"counts": {"failed": 0, "in_progress": 0}, "latest": {"completed": completed}, "history": history})
    }

    fn details(&self, id: &str, vertex: &str) -> (u16, Value) {
        let checkpoint = self.checkpoints.iter().find(|checkpoint| checkpoint.id.to_string() == id);
        let (Some(checkpoint), Some(number)) = (checkpoint, IDS.iter().position(|known| *known == vertex)) else {
            return (404, error(&format!("Could not find checkpointing statistics for checkpoint {id}.")));
        };
        let one = |(index, last_ms): (usize, &f64)| {
            json!({"index": index, "status": "completed", "checkpoint": {"sync": 0, "async": 3}, "alignment": {"duration": 0},
                "start_delay": *last_ms as u64, "unaligned_checkpoint": self.unaligned})
        };
        (200, json!({"id": checkpoint.id, "subtasks": checkpoint.last_ms[number].iter().enumerate().map(one).collect::<Vec<_>>()}))
    }

    fn metrics(&self, vertex: &str, names: Option<&str>) -> Value {
        let Some(number) = IDS.iter().position(|known| *known == vertex) else { return json!([]) };
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        let vertex = &self.vertices[number];
        let subtasks = f64::from(vertex.parallelism);
        for subtask in 0..vertex.parallelism {
            // A counter counts whole records.
            let mut put = |name: &str, of: fn(&Vertex, f64) -> f64| {
                drop(all.insert(format!("{subtask}.{name}"), of(self.shown(number, name), subtasks).to_string()));
            };
            put("numRecordsIn", |vertex, subtasks| (vertex.records_in / subtasks).floor());
            put("numRecordsOut", |vertex, subtasks| (vertex.records_out / subtasks).floor());
            put("accumulateBusyTimeMs", |vertex, _| vertex.busy_ms);
            put("accumulateBackPressuredTimeMs", |vertex, _| vertex.blocked_ms.floor());
            put("accumulateIdleTimeMs", |vertex, _| vertex.idle_ms.floor());
            if number == 0 && self.says_pending {
                all.insert(format!("{subtask}.Source__source.pendingRecords"), (self.lag / subtasks).floor().to_string());
            }
        }
        let list: Vec<Value> = match names {
            None => all.keys().map(|id| json!({"id": id})).collect(),
            Some(names) => names.split(',').filter_map(|name| Some(json!({"id": name, "value": all.get(name)?}))).collect(),
        };
        Value::from(list)
    }
}

fn error(what: &str) -> Value {
    json!({"errors": [format!("org.apache.flink.runtime.rest.handler.RestHandlerException: {what}\n\tat org.apache.flink")]})
}

fn not_found(id: &str) -> Value {
    let cause = format!(
        "<Exception on server side:\norg.apache.flink.runtime.messages.FlinkJobNotFoundException: Could not find Flink job ({id})\n\tat x"
    );
    json!({"errors": ["Internal server error.", cause]})
}
