//! Random jobs, each with one change of its parallelism or of the distribution of its bins.

use std::fmt;

use super::super::scenario::{Input, OperatorForm, Place, RoleForm, Scenario};
use super::super::study::Host;
use crate::dataflow::Plan;
use crate::id::OperatorId;
use crate::rate::Rate;
use crate::sim::{ServiceTimes, Skew};

/// Bins that make an instance hot, where a change spreads them.
const HOT_BINS: u32 = 8;
/// The busiest operator is no busier than this after a change, by the job's true parameters: closer
/// to its limit a queue takes longer to settle than any window lasts.
const MOST_BUSY: f64 = 0.95;

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The busiest operator gets more instances.
    Bottleneck,
    /// Any operator gets more.
    More,
    /// An operator gets fewer.
    Fewer,
    /// Bins that make one instance hot are spread.
    Rebalanced,
}

impl Kind {
    /// One of them. What is to relieve a job gives it more where it lacks them, or spreads its
    /// load.
    fn drawn(overloaded: bool, random: &mut fastrand::Rng) -> Kind {
        match random.u32(..20) {
            16.. => Kind::Rebalanced,
            _ if overloaded => Kind::Bottleneck,
            0..7 => Kind::Bottleneck,
            7..10 => Kind::More,
            _ => Kind::Fewer,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Bottleneck => "more-at-bottleneck",
            Kind::More => "more-elsewhere",
            Kind::Fewer => "fewer",
            Kind::Rebalanced => "rebalanced",
        })
    }
}

/// A job and one change of it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number, which is the seed of everything random about it.
    pub number: u64,
    /// The job.
    pub scenario: Scenario,
    /// What it looks like.
    pub shape: String,
    /// What the change does.
    pub kind: Kind,
    /// The operator that changes.
    pub operator: OperatorId,
    /// Its instances before and after.
    pub instances: (u32, u32),
    /// The change.
    pub plan: Plan,
    /// Whether an operator is overloaded before the change.
    pub overloaded: bool,
}

/// An operator before it has instances: its part of the load, and how busy it is.
struct Draft {
    form: OperatorForm,
    /// Records that reach it for each that the source emits.
    flow: f64,
    busy: f64,
    /// The part of an instance's time that it waits for something outside.
    waits: f64,
}

impl Draft {
    /// Bins that make the first instance busier than the others: close to its limit, or beyond it.
    /// Nothing where that would take so few keys that a bin is as large as an instance's part, or
    /// hardly any.
    fn hot(&self, overloaded: bool, random: &mut fastrand::Rng) -> Option<Skew> {
        let instances = f64::from(self.form.instances);
        let peak = if overloaded { 1.05 + 0.35 * random.f64() } else { 0.8 + 0.15 * random.f64() };
        let share = (peak / self.busy - 1.0) / (instances - 1.0);
        let fits = (0.02..1.0).contains(&share) && share / f64::from(HOT_BINS) <= 0.5 / instances;
        fits.then_some(Skew::HotBins { bins: HOT_BINS, share, step: self.form.instances })
    }
}

impl Change {
    /// The job and the change of `number` for a host.
    pub fn drawn_for(host: Host, number: u64, overloaded: bool) -> Option<Change> {
        match host {
            Host::Engine => Change::on_engine(number, overloaded),
            _ => Change::simulated(number, overloaded),
        }
    }

    /// The job and the change of `number`, for the simulator; `overloaded` says on which side of
    /// its limit the job is to be before. Nothing where the change would leave an operator too
    /// busy, or is none.
    fn simulated(number: u64, overloaded: bool) -> Option<Change> {
        let mut random = fastrand::Rng::with_seed(number);
        let rate = 10f64.powf(1.7 + random.f64() * 2.0);
        let middle = random.usize(1..5);
        let diamond = middle >= 3 && random.bool();
        let drafts: Vec<Draft> = if diamond { in_diamond(middle, &mut random) } else { in_chain(middle, &mut random) };
        let change = Change::drawn(number, overloaded, rate, drafts, &mut random)?;
        let last = if diamond && middle == 3 { vec!["o1", "o2"] } else { vec![["o0", "o1", "o2", "o3"][middle - 1]] };
        let mut scenario = change.scenario;
        scenario.operators.push(OperatorForm::new("sink", RoleForm::Sink, &last));
        scenario.tick_ms = [10, 10, 10, 5, 20, 50][random.usize(..6)];
        scenario.delay_ms = if random.bool() { 0.0 } else { (random.f64() * 20.0).round() };
        let form = if diamond { "diamond" } else { "chain" };
        let shape = format!("{form}-{middle} tick-{} delay-{} {}", scenario.tick_ms, scenario.delay_ms, change.shape);
        Some(Change { scenario, shape, ..change })
    }

    /// As [`simulated`](Change::simulated), for the engine: a word count with imposed rates.
    fn on_engine(number: u64, overloaded: bool) -> Option<Change> {
        let mut random = fastrand::Rng::with_seed(number);
        let rate = 100.0 + random.f64() * 300.0;
        let words = f64::from(random.u32(2..6));
        let mut drafts = Vec::new();
        for (index, (name, role, input)) in
            [("flatmap", RoleForm::Stateless, "source"), ("count", RoleForm::Keyed, "flatmap")].into_iter().enumerate()
        {
            let service = if random.bool() { ServiceTimes::Deterministic } else { ServiceTimes::Exponential };
            let selectivity = [words, 1.0][index];
            let form = OperatorForm { service, selectivity, keys: 1 << 12, ..OperatorForm::new(name, role, &[input]) };
            drafts.push(Draft { form, flow: [1.0, words][index], busy: 0.35 + 0.5 * random.f64(), waits: 0.0 });
        }
        let change = Change::drawn(number, overloaded, rate, drafts, &mut random)?;
        let mut scenario = change.scenario;
        scenario.operators.push(OperatorForm::new("sink", RoleForm::Sink, &["count"]));
        Some(Change { scenario, ..change })
    }

    /// The change, and the job without its sink. Every operator gets instances and a limit that
    /// make it as busy as it is to be.
    fn drawn(number: u64, overloaded: bool, rate: f64, drafts: Vec<Draft>, random: &mut fastrand::Rng) -> Option<Change> {
        let mut drafts = drafts;
        let kind = Kind::drawn(overloaded, random);
        let busiest = (0..drafts.len()).reduce(|a, b| if drafts[b].busy > drafts[a].busy { b } else { a })?;
        let any = random.usize(..drafts.len());
        let changed = match kind {
            Kind::Bottleneck => busiest,
            Kind::Rebalanced => drafts.iter().position(|draft| draft.form.role == RoleForm::Keyed)?,
            _ => any,
        };
        if kind == Kind::Rebalanced && drafts[changed].form.skew != Skew::Uniform {
            return None;
        }
        if overloaded && kind == Kind::Bottleneck {
            drafts[changed].busy = 1.05 + 0.35 * random.f64();
        }
        let mut most_after: f64 = 0.0;
        for draft in &mut drafts {
            draft.form.instances = random.u32(2..13);
        }
        let has = drafts[changed].form.instances;
        let wanted = match kind {
            Kind::Bottleneck if overloaded => (f64::from(has) * drafts[changed].busy / (0.5 + 0.4 * random.f64())).ceil() as u32,
            Kind::Bottleneck | Kind::More => has + random.u32(1..=has),
            Kind::Fewer => has - random.u32(1..has.min(4)),
            Kind::Rebalanced => has,
        };
        for (index, draft) in drafts.iter_mut().enumerate() {
            let instances = f64::from(draft.form.instances);
            let limit = rate * draft.flow / instances / draft.busy;
            draft.form.limit = Some(Rate::per_second(limit / (1.0 - draft.waits)));
            draft.form.external_wait_ms = draft.waits / limit * 1e3;
            if kind == Kind::Rebalanced && index == changed {
                draft.form.skew = draft.hot(overloaded, random)?;
            }
            let after = if index == changed { f64::from(wanted) } else { instances };
            most_after = most_after.max(draft.busy * instances / after);
            // Sources pause for a queue, or never do.
            let high = if random.bool() && !overloaded { 1000.0 } else { (0.5 + random.f64() * 3.0).max(40.0 / limit) };
            (draft.form.queue_high_s, draft.form.queue_low_s) = (high, high * 0.96);
        }
        if most_after > MOST_BUSY || wanted == has && kind != Kind::Rebalanced {
            return None;
        }
        let operator = OperatorId(changed as u32 + 1);
        let plan = match kind {
            Kind::Rebalanced => Plan { rebalances: [operator].into(), ..Plan::default() },
            _ => Plan::rescale(operator, wanted),
        };
        let shape = drafts.iter().map(|draft| told(&draft.form)).collect::<Vec<_>>().join(" ");
        let source = OperatorForm { rate: Some(Rate::per_second(rate)), ..OperatorForm::new("source", RoleForm::Source, &[]) };
        let operators = std::iter::once(source).chain(drafts.into_iter().map(|draft| draft.form)).collect();
        let catch_up = [1.2, 1.5, 3.0][random.usize(..3)];
        let scenario = Scenario { catch_up, ..Scenario::new(format!("random job {number}"), 1.0, operators) };
        Some(Change { number, scenario, shape, kind, operator, instances: (has, wanted), plan, overloaded })
    }
}

/// How service times vary, and how keys are spread.
fn told(form: &OperatorForm) -> String {
    let service = match form.service {
        ServiceTimes::Deterministic => "d".to_owned(),
        ServiceTimes::Exponential => "e".to_owned(),
        ServiceTimes::LogNormal { variation } => format!("l{variation:.1}"),
    };
    let spread = match (form.role, form.skew) {
        (RoleForm::Keyed, Skew::Uniform) => "k".to_owned(),
        (RoleForm::Keyed, Skew::Zipf { exponent }) => format!("z{exponent:.1}"),
        (RoleForm::Keyed, _) => "h".to_owned(),
        _ => "s".to_owned(),
    };
    let waits = if form.external_wait_ms > 0.0 { "w" } else { "" };
    let selective = if form.selectivity == 1.0 { String::new() } else { format!("x{:.1}", form.selectivity) };
    format!("{service}{spread}{waits}{selective}")
}

/// An operator of which `flow` records arrive for each of the source.
fn draft(index: usize, inputs: Vec<Input>, flow: f64, random: &mut fastrand::Rng) -> Draft {
    let role = if random.bool() { RoleForm::Stateless } else { RoleForm::Keyed };
    let service = match random.u32(..4) {
        0 => ServiceTimes::Deterministic,
        1 | 2 => ServiceTimes::Exponential,
        _ => ServiceTimes::LogNormal { variation: 0.3 + random.f64() },
    };
    let skew = match random.u32(..4) {
        0 if role == RoleForm::Keyed => Skew::Zipf { exponent: 0.1 + 0.3 * random.f64() },
        _ => Skew::Uniform,
    };
    let selectivity = match random.u32(..3) {
        0 => (4.0 * 4f64.powf(random.f64() * 2.0 - 1.0)).round() / 4.0,
        _ => 1.0,
    };
    let form = OperatorForm { inputs, service, skew, selectivity, ..OperatorForm::new(&format!("o{index}"), role, &[]) };
    let waits = if random.u32(..6) == 0 { 0.9 * random.f64() } else { 0.0 };
    Draft { form, flow, busy: 0.4 + 0.5 * random.f64(), waits }
}

/// `middle` operators one after the other.
fn in_chain(middle: usize, random: &mut fastrand::Rng) -> Vec<Draft> {
    let (mut drafts, mut flow): (Vec<Draft>, f64) = (Vec::new(), 1.0);
    for index in 0..middle {
        let from = drafts.last().map_or("source", |before| before.form.name.as_str()).to_owned();
        let next = draft(index, vec![Input::All(from)], flow, random);
        flow *= next.form.selectivity;
        drafts.push(next);
    }
    drafts
}

/// One operator, two branches that have parts of its records, and one where they meet if there is a
/// fourth.
fn in_diamond(middle: usize, random: &mut fastrand::Rng) -> Vec<Draft> {
    let share = 0.1 + 0.4 * random.f64();
    let first = draft(0, vec![Input::All("source".to_owned())], 1.0, random);
    let part = |share: f64| vec![Input::Part(Place { from: "o0".to_owned(), share })];
    let (flow, rest) = (first.form.selectivity, 1.0 - share);
    let branches = [draft(1, part(share), flow * share, random), draft(2, part(rest), flow * rest, random)];
    let flow: f64 = branches.iter().map(|branch| branch.flow * branch.form.selectivity).sum();
    let mut drafts: Vec<Draft> = std::iter::once(first).chain(branches).collect();
    if middle > 3 {
        drafts.push(draft(3, ["o1", "o2"].map(|name| Input::All(name.to_owned())).into(), flow, random));
    }
    drafts
}
