//! The diagnosis of a trace: the first of an ordered list of causes that holds, with its numbers and
//! what to do.
//!
//! The order is that in which causes hide each other: where nothing ran, or where the job waited for
//! others, the work of its operators says little; where one instance holds up the others, more of them
//! do not help; what was given in vain can only be said of a job that nothing else holds up.
//! Invariant: a cause holds by numbers of the trace alone, and they stand in its text.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::Serialize;

use super::analysed::{Analysed, Division};
use super::bottleneck::percent;
use super::explanation::idle;
use super::merged::Evenness;
use super::spread::{Spread, spreads};
use super::table::latency;
use crate::activity::ActivityKind;
use crate::critical_path::{By, Entity, Subject};
use crate::id::OperatorId;

/// From this share of the critical paths on, something is a cause.
const LARGE: f64 = 1.0 / 3.0;
/// From this share of them on, it is first of all that nothing ran.
const MOSTLY: f64 = 0.5;
/// Sources are behind if they have not emitted this share of what became due.
const BEHIND: f64 = 0.05;
/// Instances that are busy for this part of the time have no room for more.
const BUSY: f64 = 0.7;
/// Instances that are busy for less than this have more than enough.
const IDLE: f64 = 0.3;
/// A worker that is denied a core for this part of the time that it could have used one is held up.
const DENIED: f64 = 0.1;
/// The most operators that are named one by one: those with the largest shares.
const MOST_OPERATORS: usize = 20;

/// What holds a job up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The log holds nothing that ran.
    NothingRan,
    /// The sources cannot emit more.
    SourceBound,
    /// Something outside of the job is waited for.
    External,
    /// Messages are waited for.
    Network,
    /// An instance or a task has more to do than the others.
    Skew,
    /// An instance or a task takes longer than the others for as much.
    Straggler,
    /// There is more work than instances.
    UnderProvisioned,
    /// The host's own work, or workers without a core.
    Host,
    /// There are more instances than work.
    OverProvisioned,
    /// None of these.
    None,
}

/// What is to be said of a trace in the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The first cause that holds.
    pub cause: Cause,
    /// The share by which it holds: of the critical paths; of records that are due and of time without
    /// a core, where these are the reason; when over-provisioned, how busy instances are.
    pub share: f64,
    /// The sentences.
    pub text: String,
}

/// Shares of the critical paths by what they are spent on, and what was measured beside them.
struct Shares<'a> {
    analysed: &'a Analysed<'a>,
    nothing: f64,
    messages: f64,
    kinds: BTreeMap<ActivityKind, f64>,
    /// Work of operators without overhead, the largest first.
    operators: Vec<(OperatorId, f64)>,
    /// How their work is spread, once it is asked for.
    spreads: OnceCell<BTreeMap<OperatorId, Spread>>,
    /// Where it was waited outside, and in messages, most.
    outside: Option<String>,
    channel: Option<String>,
}

/// Says whether a cause holds.
type Rule<'a> = fn(&Shares<'a>) -> Option<Diagnosis>;

/// The diagnosis of a trace.
pub fn diagnosis(analysed: &Analysed<'_>) -> Diagnosis {
    let shares = Shares::of(analysed);
    let causes: [Rule<'_>; 8] = [
        Shares::nothing_ran,
        Shares::source_bound,
        Shares::external,
        Shares::network,
        Shares::uneven,
        Shares::under_provisioned,
        Shares::host,
        Shares::over_provisioned,
    ];
    causes.iter().find_map(|cause| cause(&shares)).unwrap_or_else(|| shares.none())
}

impl<'a> Shares<'a> {
    fn of(analysed: &'a Analysed<'a>) -> Shares<'a> {
        let (mut nothing, mut messages) = (0.0, 0.0);
        let (mut kinds, mut operators): (BTreeMap<_, f64>, BTreeMap<_, f64>) = Default::default();
        for row in analysed.trace.rows() {
            match row.subject {
                Subject::Gap | Subject::Silence => nothing += row.participation,
                Subject::Message(..) | Subject::FurtherMessages(_) => messages += row.participation,
                Subject::FurtherWork(kind) => *kinds.entry(kind).or_default() += row.participation,
                Subject::Wait(..) => {}
                Subject::Work(kind, instance) => {
                    *kinds.entry(kind).or_default() += row.participation;
                    if is_own(kind) {
                        *operators.entry(instance.operator).or_default() += row.participation;
                    }
                }
            }
        }
        let mut operators: Vec<(OperatorId, f64)> = operators.into_iter().collect();
        operators.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let ranking = analysed.trace.ranking(By::Operator);
        let most = |is: fn(Entity) -> bool| {
            let entry = ranking.iter().find(|entry| is(entry.entity) && entry.participation > 0.0);
            entry.map(|entry| format!("{} ({})", entry.entity.label(analysed.names), percent(entry.participation)))
        };
        let outside = most(|entity| matches!(entity, Entity::Outside(_)));
        let channel = most(|entity| matches!(entity, Entity::Channel(_)));
        Shares { analysed, nothing, messages, kinds, operators, spreads: OnceCell::new(), outside, channel }
    }

    /// How an operator's work is spread; nothing if it is on no critical path.
    fn spread(&self, operator: OperatorId) -> Option<&Spread> {
        let all = || spreads(self.analysed, &self.operators.iter().map(|(operator, _)| *operator).collect());
        self.spreads.get_or_init(all).get(&operator)
    }

    /// The share of operators that are no longer kept apart and whose work was spread in this way.
    fn merged(&self, evenness: Evenness) -> f64 {
        self.analysed.merged.share(evenness, self.analysed.trace.length_ns())
    }

    /// What to do about an operator's work.
    fn advice(&self, operator: OperatorId) -> &str {
        self.spread(operator).map_or("", |spread| spread.text.as_str())
    }

    fn kind(&self, kind: ActivityKind) -> f64 {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }

    fn is_batch(&self) -> bool {
        self.analysed.division == Division::Tasks
    }

    /// Whether the sources emitted what was due, as far as the log says.
    fn keeps_up(&self) -> Option<bool> {
        self.analysed.supply.behind().map(|behind| behind < BEHIND)
    }

    /// How busy lanes are on average, and the busiest of them.
    fn busy_lanes(&self) -> Option<(f64, f64)> {
        let lanes = self.analysed.pieces.lanes();
        let (busy, present) =
            lanes.values().fold((0.0, 0.0), |(busy, present), lane| (busy + lane.busy_ns as f64, present + lane.present_ns as f64));
        let most = lanes.values().filter(|lane| lane.present_ns > 0).map(|lane| lane.busy_ns as f64 / lane.present_ns as f64);
        (present > 0.0).then(|| (busy / present, most.fold(0.0, f64::max)))
    }

    /// How busy the instances of an operator are on average, and how many they are.
    fn busy(&self, operator: OperatorId) -> (f64, usize) {
        let works = self.analysed.pieces.of(operator);
        let (busy, present) =
            works.values().fold((0.0, 0.0), |(busy, present), work| (busy + work.busy_ns as f64, present + work.present_ns as f64));
        (if present > 0.0 { busy / present } else { 0.0 }, works.len())
    }

    fn nothing_ran(&self) -> Option<Diagnosis> {
        if self.nothing < MOSTLY || self.keeps_up() == Some(true) {
            return None;
        }
        let idle = idle(self.analysed.trace, self.analysed.names);
        let share = percent(self.nothing);
        let text = match self.analysed.division {
            Division::Tasks => format!(
                "for {share} of the critical paths neither a task nor the driver ran{idle}. The application did nothing, or waited for executors \
                 or for its own program between jobs: look there before at any stage."
            ),
            Division::Calls => format!(
                "for {share} of the critical paths nothing ran that the trace holds{idle}. What is said of services and functions is of the rest."
            ),
            Division::Keys if self.keeps_up().is_some() => format!(
                "for {share} of the critical paths nothing ran that the log holds{idle}, though records were due. Look at what that lane did \
                 outside of the log: locks, input and output, pauses of its runtime or its host."
            ),
            Division::Keys => format!(
                "for {share} of the critical paths nothing ran that the log holds{idle}. If the job kept up, it waited for its input and nothing \
                 is wrong; if not, look at what that lane did outside of the log: locks, input and output, pauses of its runtime or its host."
            ),
        };
        Some(Diagnosis { cause: Cause::NothingRan, share: self.nothing, text })
    }

    fn source_bound(&self) -> Option<Diagnosis> {
        let supply = self.analysed.supply;
        let own = self.kind(ActivityKind::Source);
        if own >= LARGE && self.keeps_up() != Some(true) {
            let text = format!(
                "the sources' own work is {} of the critical paths: they cannot emit faster. Give them more instances or cheaper records; more \
                 instances of other operators do not help.",
                percent(own)
            );
            return Some(Diagnosis { cause: Cause::SourceBound, share: own, text });
        }
        let behind = supply.behind().filter(|behind| *behind >= BEHIND)?;
        let length = self.analysed.trace.span().length().as_nanos() as f64;
        let is_pressed = supply.pressed().is_some_and(|(_, ns)| ns as f64 >= BEHIND * length);
        let (_, busiest) = self.busy_lanes()?;
        if is_pressed || busiest >= BUSY {
            return None;
        }
        let text = format!(
            "the sources did not emit {} of what was due, though no operator held them back: the busiest lane worked for {} of the time. Look at \
             what feeds the sources.",
            percent(behind),
            percent(busiest)
        );
        Some(Diagnosis { cause: Cause::SourceBound, share: behind, text })
    }

    fn external(&self) -> Option<Diagnosis> {
        let share = self.kind(ActivityKind::ExternalWait);
        if share < LARGE || self.is_batch() {
            return None;
        }
        let most = self.outside.as_ref().map_or(String::new(), |most| format!(", most of it {most}"));
        let text = format!(
            "for {} of the critical paths something outside of the job was waited for{most}. Neither more instances nor faster ones help: make \
             fewer requests, batch them, or keep more of them in flight.",
            percent(share)
        );
        Some(Diagnosis { cause: Cause::External, share, text })
    }

    fn network(&self) -> Option<Diagnosis> {
        let fetched = if self.is_batch() { self.kind(ActivityKind::ExternalWait) } else { 0.0 };
        let share = self.messages + fetched;
        if share < LARGE {
            return None;
        }
        let most = self.channel.iter().chain(self.outside.as_ref().filter(|_| self.is_batch())).cloned().collect::<Vec<_>>().join(", ");
        let share_text = percent(share);
        let text = if self.is_batch() {
            format!(
                "for {share_text} of the critical paths tasks waited for shuffled data or messages were under way: {most}. Shuffle less (combine \
                 before, join what is small by broadcast), or bring the executors closer together."
            )
        } else {
            format!(
                "for {share_text} of the critical paths messages were under way while who needed them was idle: {most}. Check the network, \
                 buffers that are flushed late, and whether sender and receiver could share a process."
            )
        };
        Some(Diagnosis { cause: Cause::Network, share, text })
    }

    /// Skew, or else a straggler: of all operators together.
    fn uneven(&self) -> Option<Diagnosis> {
        // The share of all operators, and the first of them.
        type Sum = (Cause, Evenness, f64, Option<(OperatorId, String)>);
        let first = |cause, evenness| (cause, evenness, self.merged(evenness), None);
        let mut found: [Sum; 2] = [first(Cause::Skew, Evenness::Skewed), first(Cause::Straggler, Evenness::Straggling)];
        for &(operator, share) in &self.operators {
            let Some(spread) = self.spread(operator) else { continue };
            for (_, evenness, sum, first) in &mut found {
                if *evenness == spread.evenness {
                    *sum += share;
                    first.get_or_insert_with(|| (operator, spread.text.clone()));
                }
            }
        }
        let (cause, _, share, first) = found.into_iter().find(|(_, _, share, _)| *share >= LARGE)?;
        let (operator, text) = first?;
        let text = format!("{} of the critical paths, first of all '{}'. {text}", percent(share), self.analysed.names.operator(operator));
        Some(Diagnosis { cause, share, text })
    }

    fn under_provisioned(&self) -> Option<Diagnosis> {
        if self.is_batch() {
            return self.too_few_cores();
        }
        let names = self.analysed.names;
        let &(operator, share) = self.operators.first()?;
        if self.analysed.division == Division::Calls || share < LARGE {
            return None;
        }
        let (lanes, _) = self.busy_lanes()?;
        let (busy, instances) = self.busy(operator);
        let is_full = busy.max(lanes) >= BUSY;
        let why = match self.analysed.supply.behind() {
            Some(behind) if behind >= BEHIND => format!("{} of the records that were due had not been emitted at the end", percent(behind)),
            Some(_) => return None,
            None if is_full => "the log does not say what was due".to_owned(),
            None => return None,
        };
        let pressed = self
            .analysed
            .supply
            .pressed()
            .map_or(String::new(), |(instance, ns)| format!(" {} paused the sources for {}.", names.instance(instance), latency(ns)));
        let text = format!(
            "'{}' is {} of the critical paths and busy {} of the time on its {}; {why}.{pressed} {}",
            names.operator(operator),
            percent(share),
            percent(busy),
            if instances == 1 { "one instance".to_owned() } else { format!("{instances} instances") },
            self.advice(operator)
        );
        Some(Diagnosis { cause: Cause::UnderProvisioned, share, text })
    }

    /// The same of a batch job: of all its stages together.
    fn too_few_cores(&self) -> Option<Diagnosis> {
        let is_crowded = |operator| self.spread(operator).is_some_and(|spread| spread.evenness == Evenness::Crowded);
        let crowded: Vec<(OperatorId, f64)> = self.operators.iter().copied().filter(|(operator, _)| is_crowded(*operator)).collect();
        let share = crowded.iter().map(|(_, share)| share).sum::<f64>() + self.merged(Evenness::Crowded);
        let (busy, _) = self.busy_lanes()?;
        let &(largest, _) = crowded.first().filter(|_| share >= LARGE && busy >= BUSY)?;
        let text = format!(
            "for {} of the critical paths there were more tasks to run than cores, which were busy {} of the time. The largest part is '{}'. {}",
            percent(share),
            percent(busy),
            self.analysed.names.operator(largest),
            self.advice(largest)
        );
        Some(Diagnosis { cause: Cause::UnderProvisioned, share, text })
    }

    fn host(&self) -> Option<Diagnosis> {
        let kinds = [ActivityKind::Scheduling, ActivityKind::Serialization, ActivityKind::Deserialization, ActivityKind::Migration];
        let share: f64 = kinds.iter().map(|kind| self.kind(*kind)).sum();
        if share >= LARGE {
            let parts: Vec<String> =
                kinds.iter().filter(|kind| self.kind(**kind) >= 0.01).map(|kind| format!("{kind} {}", percent(self.kind(*kind)))).collect();
            let what_to_do = match self.analysed.division {
                Division::Tasks => {
                    "The driver and what surrounds tasks take longer than the tasks: make fewer and larger ones, and send less to each."
                }
                _ => "It is work of the host for the operators: larger batches, fewer operators in a row and cheaper encodings reduce it.",
            };
            let text = format!("{} of the critical paths are overhead ({}). {what_to_do}", percent(share), parts.join(", "));
            return Some(Diagnosis { cause: Cause::Host, share, text });
        }
        let (worker, share) = self.analysed.supply.denied().filter(|(_, share)| *share >= DENIED)?;
        let text = format!(
            "worker {} could have used a core but had none for {} of the time: the machine has too few, or others use them. Move the job, or give \
             it fewer workers.",
            worker.0,
            percent(share)
        );
        Some(Diagnosis { cause: Cause::Host, share, text })
    }

    fn over_provisioned(&self) -> Option<Diagnosis> {
        let (mean, busiest) = self.busy_lanes()?;
        if self.is_batch() {
            let text = format!(
                "cores were busy {} of the time that they were there, the busiest one {}: fewer executors would do, or let them come and go with \
                 the tasks.",
                percent(mean),
                percent(busiest)
            );
            return (mean < IDLE).then_some(Diagnosis { cause: Cause::OverProvisioned, share: mean, text });
        }
        if self.keeps_up() != Some(true) || busiest >= BUSY {
            return None;
        }
        let of = |operator: OperatorId| (operator, self.busy(operator));
        let operators: Vec<(OperatorId, (f64, usize))> =
            self.operators.iter().take(MOST_OPERATORS).map(|(operator, _)| of(*operator)).collect();
        let enough = |busy: f64, instances: usize| ((busy * instances as f64 / BUSY).ceil() as usize).max(1);
        let spare: Vec<String> = operators
            .iter()
            .filter(|(_, (busy, instances))| *busy < IDLE && enough(*busy, *instances) < *instances)
            .map(|(operator, (busy, instances))| {
                let name = self.analysed.names.operator(*operator);
                format!("'{name}' is busy {} of the time on {instances} instances ({} would do)", percent(*busy), enough(*busy, *instances))
            })
            .collect();
        let most = operators.iter().map(|(_, (busy, _))| *busy).fold(0.0, f64::max);
        let text = format!("the sources emit all that is due, and {}.", spare.join(", "));
        (!spare.is_empty() && most < BUSY).then_some(Diagnosis { cause: Cause::OverProvisioned, share: most, text })
    }

    fn none(&self) -> Diagnosis {
        let ranking = self.analysed.trace.ranking(By::Operator);
        let first = ranking.first().filter(|entry| entry.participation > 0.0);
        let keeps_up = if self.keeps_up() == Some(true) { "the sources emit all that is due, and " } else { "" };
        let text = match (first, self.operators.first()) {
            (Some(first), Some(&(operator, _))) if first.entity == Entity::Operator(operator) => format!(
                "{keeps_up}no cause of the list holds. The largest part of the critical paths is '{}' with {}. {}",
                self.analysed.names.operator(operator),
                percent(first.participation),
                self.advice(operator)
            ),
            (Some(first), _) => format!(
                "{keeps_up}no cause of the list holds. The largest part of the critical paths is {} with {}.",
                first.entity.label(self.analysed.names),
                percent(first.participation)
            ),
            _ => "no path spans the trace: there is nothing to say.".to_owned(),
        };
        let share = first.map_or(0.0, |first| first.participation);
        Diagnosis { cause: Cause::None, share, text: text.trim_end().to_owned() }
    }
}

/// Whether it is an operator's own work, not its host's nor a wait.
fn is_own(kind: ActivityKind) -> bool {
    match kind {
        ActivityKind::Processing | ActivityKind::Source | ActivityKind::Sink | ActivityKind::Lost | ActivityKind::Speculative => true,
        ActivityKind::Scheduling
        | ActivityKind::Serialization
        | ActivityKind::Deserialization
        | ActivityKind::Migration
        | ActivityKind::ExternalWait => false,
    }
}

impl Cause {
    /// Its name in a sentence.
    pub fn label(self) -> &'static str {
        match self {
            Cause::NothingRan => "nothing ran",
            Cause::SourceBound => "source-bound",
            Cause::External => "external",
            Cause::Network => "network",
            Cause::Skew => "skew",
            Cause::Straggler => "straggler",
            Cause::UnderProvisioned => "under-provisioned",
            Cause::Host => "scheduling or host",
            Cause::OverProvisioned => "over-provisioned",
            Cause::None => "none stands out",
        }
    }
}
