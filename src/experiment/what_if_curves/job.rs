//! Random jobs of several shapes, each in which operators become cheaper or dearer.

use super::super::scenario::{Input, OperatorForm, Place, RoleForm, Scenario};
use super::super::study::Host;
use crate::rate::Rate;
use crate::sim::{ServiceTimes, Skew};

/// Bins that make an instance hot.
const HOT_BINS: u32 = 8;

/// What a job is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Operators one after the other.
    Chain,
    /// Two branches that meet again.
    Diamond,
    /// A keyed operator one of whose instances has more to do than the others.
    Skewed,
    /// An operator has more to do than it can.
    Overloaded,
    /// Operators wait for something outside.
    Waiting,
}

impl Shape {
    pub(super) const ALL: [Shape; 5] = [Shape::Chain, Shape::Diamond, Shape::Skewed, Shape::Overloaded, Shape::Waiting];

    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::Chain => "chain",
            Shape::Diamond => "diamond",
            Shape::Skewed => "skewed",
            Shape::Overloaded => "overloaded",
            Shape::Waiting => "external-wait",
        }
    }
}

/// A job and the change of each of its operators.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) scenario: Scenario,
    /// By what the cost of an operator's work is multiplied: a change each.
    pub(super) changes: Vec<(String, f64)>,
}

/// The operator before it has a limit: its part of the load and how busy an instance is.
struct Draft {
    form: OperatorForm,
    flow: f64,
    busy: f64,
    /// The part of that time in which it waits for something outside.
    waits: f64,
}

fn draft(name: &str, inputs: Vec<Input>, flow: f64, random: &mut fastrand::Rng) -> Draft {
    let role = if random.bool() { RoleForm::Stateless } else { RoleForm::Keyed };
    let service = match random.u32(..3) {
        0 => ServiceTimes::Deterministic,
        1 => ServiceTimes::Exponential,
        _ => ServiceTimes::LogNormal { variation: 0.3 + random.f64() },
    };
    let selectivity = if random.u32(..3) == 0 { [0.5, 2.0, 3.0][random.usize(..3)] } else { 1.0 };
    let form = OperatorForm { inputs, service, selectivity, instances: random.u32(1..6), ..OperatorForm::new(name, role, &[]) };
    Draft { form, flow, busy: 0.3 + 0.5 * random.f64(), waits: 0.0 }
}

fn all(from: &str) -> Vec<Input> {
    vec![Input::All(from.to_owned())]
}

fn in_chain(operators: usize, random: &mut fastrand::Rng) -> Vec<Draft> {
    let (mut drafts, mut flow, mut from) = (Vec::new(), 1.0, "source".to_owned());
    for index in 0..operators {
        let name = format!("o{index}");
        let next = draft(&name, all(&from), flow, random);
        (flow, from) = (flow * next.form.selectivity, name);
        drafts.push(next);
    }
    drafts
}

fn in_diamond(random: &mut fastrand::Rng) -> Vec<Draft> {
    let share = 0.2 + 0.6 * random.f64();
    let first = draft("o0", all("source"), 1.0, random);
    let flow = first.form.selectivity;
    let part = |share: f64| vec![Input::Part(Place { from: "o0".to_owned(), share })];
    let branches = [("o1", share), ("o2", 1.0 - share)].map(|(name, share)| draft(name, part(share), flow * share, random));
    let flow = branches.iter().map(|branch| branch.flow * branch.form.selectivity).sum();
    let last = draft("o3", vec![Input::All("o1".to_owned()), Input::All("o2".to_owned())], flow, random);
    [first].into_iter().chain(branches).chain([last]).collect()
}

impl Job {
    /// The job of a shape and a number for a host.
    pub(super) fn drawn(shape: Shape, number: u64, host: Host) -> Job {
        let mut random = fastrand::Rng::with_seed(number.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(shape as u64));
        let is_engine = host == Host::Engine;
        let rate = if is_engine { 100.0 + 200.0 * random.f64() } else { 10f64.powf(2.0 + 0.8 * random.f64()) };
        let mut drafts = match shape {
            _ if is_engine => word_count(&mut random),
            Shape::Diamond => in_diamond(&mut random),
            _ => in_chain(random.usize(2..5), &mut random),
        };
        let one = random.usize(..drafts.len());
        match shape {
            Shape::Chain | Shape::Diamond => {}
            Shape::Overloaded => drafts[one].busy = 1.05 + 0.35 * random.f64(),
            Shape::Waiting => {
                for draft in &mut drafts {
                    draft.waits = 0.1 + 0.7 * random.f64();
                }
            }
            Shape::Skewed => {
                let keyed = if is_engine { drafts.len() - 1 } else { one };
                skew(&mut drafts[keyed], &mut random);
            }
        }
        let mut changes = Vec::new();
        for draft in &mut drafts {
            let limit = rate * draft.flow / f64::from(draft.form.instances) / draft.busy;
            draft.form.limit = Some(Rate::per_second(limit / (1.0 - draft.waits)));
            draft.form.external_wait_ms = draft.waits / limit * 1e3;
            // Half of the work, so that operators can be compared, and anything from 10 to 90 % less or more.
            let percent = [random.u32(10..50), random.u32(51..=90)][random.usize(..2)];
            let factor = if random.u32(..3) == 0 { 100 + percent } else { 100 - percent };
            changes.push((draft.form.name.clone(), 0.5));
            changes.push((draft.form.name.clone(), f64::from(factor) / 100.0));
        }
        let source = OperatorForm { rate: Some(Rate::per_second(rate)), ..OperatorForm::new("source", RoleForm::Source, &[]) };
        let last = drafts.last().map_or("source".to_owned(), |draft| draft.form.name.clone());
        let sink = OperatorForm::new("sink", RoleForm::Sink, &[&last]);
        let operators = std::iter::once(source).chain(drafts.into_iter().map(|draft| draft.form)).chain([sink]).collect();
        let mut scenario = Scenario::new(format!("{} {number}", shape.name()), 1.0, operators);
        if !is_engine {
            scenario.tick_ms = [2, 5, 10][random.usize(..3)];
            scenario.delay_ms = if random.bool() { 0.0 } else { (random.f64() * 20.0).round() };
        }
        scenario.catch_up = 1.5;
        Job { scenario, changes }
    }

    /// The same job where the work of an operator costs `factor` times as much.
    pub(super) fn changed(&self, operator: &str, factor: f64) -> Scenario {
        let mut scenario = self.scenario.clone();
        for form in scenario.operators.iter_mut().filter(|form| form.name == operator) {
            form.limit = form.limit.map(|limit| Rate::per_second(limit.as_per_second() / factor));
        }
        scenario
    }
}

/// Makes one instance busier than the others, but not too busy.
fn skew(draft: &mut Draft, random: &mut fastrand::Rng) {
    draft.form.role = RoleForm::Keyed;
    draft.form.instances = random.u32(3..6);
    let (instances, peak) = (f64::from(draft.form.instances), 0.7 + 0.2 * random.f64());
    draft.busy = peak * (0.4 + 0.3 * random.f64());
    // An instance has an even part of the rest, and the hot bins.
    let share = (peak / draft.busy - 1.0) / (instances - 1.0);
    draft.form.skew = Skew::HotBins { bins: HOT_BINS, share, step: draft.form.instances };
}

fn word_count(random: &mut fastrand::Rng) -> Vec<Draft> {
    let words = f64::from(random.u32(2..5));
    [("flatmap", RoleForm::Stateless, "source", words), ("count", RoleForm::Keyed, "flatmap", 1.0)]
        .into_iter()
        .map(|(name, role, from, selectivity)| {
            let service = if random.bool() { ServiceTimes::Deterministic } else { ServiceTimes::Exponential };
            let form =
                OperatorForm { service, selectivity, keys: 1 << 12, instances: random.u32(1..4), ..OperatorForm::new(name, role, &[from]) };
            Draft { form, flow: if name == "count" { words } else { 1.0 }, busy: 0.3 + 0.5 * random.f64(), waits: 0.0 }
        })
        .collect()
}
