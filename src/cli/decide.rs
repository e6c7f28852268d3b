//! `thalweg decide`: what a policy would decide on rates that were measured elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use super::failure::{Failure, usage};
use super::policy::settings;
use crate::dataflow::{Configuration, Role, Topology};
use crate::experiment::frame::{Frame, row};
use crate::experiment::policies::{self, Given, POLICIES};
use crate::experiment::view::table;
use crate::id::{InstanceId, OperatorId};
use crate::metrics::{InstanceMetrics, OperatorMetrics, SourceMetrics};
use crate::observation::{LatencySummary, Observation};
use crate::policy::{Decision, Demand, Measurement, Reason, demands_of, round_up, workers_needed};
use crate::rate::Rate;
use crate::readers::ds2::{self, Content, Files, Measured, MissingRow, OperatorRates, System};
use crate::report::tables;
use crate::time::{Timestamp, Window};

/// Run a policy offline on a dataflow graph and measured rates.
///
/// Reads the file formats of the released DS2: edges as 'id,name,instances,id,name,instances';
/// rates as 'operator,instance,instances,time,true processing,true output,observed
/// processing,observed output', one line per instance and time; source and operator rates as
/// 'operator,rate per instance' (-1: use the observed rate). With '--system timely' topology and
/// rates are both lines of a timely log. The lines of an instance, ordered by time, are epochs 0,
/// 1, 2, ...; where a row is missing, as their times tell, its epoch is skipped and named. Each epoch
/// is decided independently. True rates of an idle instance may be NaN. The target rate of a source is its true output
/// rate unless --source-rates says otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  thalweg decide --topology topology.csv --rates rates.log\n  \
                        thalweg decide --topology topology.csv --rates rates.log --source-rates sources.csv --json\n  \
                        thalweg decide --system heron --topology t.csv --rates r.csv --source-rates s.csv --operator-rates o.csv")]
pub(super) struct Args {
    /// File with operators and edges.
    #[arg(long, value_name = "FILE")]
    topology: PathBuf,
    /// File with measured rates.
    #[arg(long, value_name = "FILE")]
    rates: PathBuf,
    /// File with target rates of sources, per instance.
    #[arg(long, value_name = "FILE")]
    source_rates: Option<PathBuf>,
    /// File with upper bounds on operators' processing rates, per instance, whatever was measured.
    #[arg(long, value_name = "FILE")]
    operator_rates: Option<PathBuf>,
    /// System that wrote the files: flink, heron or timely.
    #[arg(long, default_value = "flink")]
    system: String,
    #[arg(long, default_value = "ds2", help = policy_help())]
    policy: String,
    /// Offered/achieved source rate above which ds2 scales up by that ratio although its model
    /// needs no more instances [default: never]
    #[arg(long, value_name = "RATIO", allow_hyphen_values = true)]
    target_rate_ratio: Option<f64>,
    /// Fraction that ds2 adds to each operator's demand before rounding up.
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
    scaling_factor: f64,
    /// Length of an epoch in seconds, for policies other than ds2, which depend on time.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", allow_hyphen_values = true)]
    window: f64,
    /// Set a parameter of a policy other than ds2; see 'thalweg help run'.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Policies that decide from backpressure or queues, which the files do not hold.
const NEED_QUEUES: [&str; 2] = ["dhalion", "heron"];

/// Help for `--policy`. There is no oracle, because the required parallelism of these jobs is
/// unknown.
fn policy_help() -> String {
    let others: Vec<&str> = POLICIES.into_iter().filter(|name| !["ds2", "oracle"].contains(name) && !NEED_QUEUES.contains(name)).collect();
    format!("The policy: ds2, or one of {}, for which each epoch is one window", others.join(", "))
}

/// What `decide --json` prints.
#[derive(Serialize)]
struct Decided {
    policy: String,
    /// Epochs that were skipped because rates of an instance are missing.
    incomplete_epochs: usize,
    /// The rows that are missing.
    missing: Vec<MissingRow>,
    epochs: Vec<DecidedEpoch>,
}

/// The decision for one epoch.
#[derive(Serialize)]
struct DecidedEpoch {
    epoch: usize,
    operators: BTreeMap<String, DecidedOperator>,
    /// Workers needed if operators share them: the sum of demands, rounded up.
    workers: u32,
    /// The sum of demands.
    workers_demand: f64,
    /// The largest ratio of offered to observed rate among the sources; `None` if a source emitted
    /// nothing.
    target_rate_ratio: Option<f64>,
    /// The reason, for a policy other than ds2.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

/// One operator. Rates are records per second over all instances.
#[derive(Serialize)]
struct DecidedOperator {
    name: String,
    role: &'static str,
    instances: u32,
    parallelism: u32,
    demand: Option<f64>,
    target_rate: Option<f64>,
    true_processing_rate: f64,
    true_output_rate: f64,
    /// Relative speeds of its instances, by which their load is weighted, if the policy reports
    /// different ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    speeds: Vec<f64>,
}

pub(super) fn decide(args: &Args) -> Result<(), Failure> {
    check(args)?;
    let measured = read(args)?;
    let incomplete = incomplete(&measured.missing);
    for (epoch, rows) in &incomplete {
        let of: Vec<String> = rows.iter().map(|row| format!("instance {} of '{}'", row.instance, row.operator)).collect();
        eprintln!("note: epoch {epoch} is skipped: no rates of {}", of.join(", "));
    }
    let epochs = if args.policy == "ds2" { by_equations(args, &measured) } else { by_policy(args, &measured)? };
    if args.json {
        let decided = Decided { policy: args.policy.clone(), incomplete_epochs: incomplete.len(), missing: measured.missing, epochs };
        println!("{}", serde_json::to_string(&decided)?);
    } else {
        print!("{}", text(&measured.topology, &epochs));
    }
    Ok(())
}

/// Missing rows by epoch.
fn incomplete(missing: &[MissingRow]) -> BTreeMap<usize, Vec<&MissingRow>> {
    let mut epochs: BTreeMap<usize, Vec<&MissingRow>> = BTreeMap::new();
    missing.iter().for_each(|row| epochs.entry(row.epoch).or_default().push(row));
    epochs
}

fn check(args: &Args) -> Result<(), Failure> {
    let wrong = |flag: &str, expected: &str, found: String| Err(usage(anyhow!("--{flag}: expected {expected}, found {found}")));
    if let Some(ratio) = args.target_rate_ratio.filter(|ratio| !(1.0..=1e9).contains(ratio)) {
        return wrong("target-rate-ratio", "a ratio of at least 1", ratio.to_string());
    }
    if !(0.0..=1000.0).contains(&args.scaling_factor) {
        return wrong("scaling-factor", "a fraction from 0 to 1000", args.scaling_factor.to_string());
    }
    if !(0.001..=86_400.0).contains(&args.window) {
        return wrong("window", "seconds from 0.001 to 86400", args.window.to_string());
    }
    if NEED_QUEUES.contains(&args.policy.as_str()) {
        let expected =
            "a policy that decides from rates: the files hold no backpressure and no queues, without which every job looks healthy to it";
        return wrong("policy", expected, format!("'{}'", args.policy));
    }
    if args.policy == "ds2" && !args.settings.is_empty() {
        return wrong("set", "'--target-rate-ratio' and '--scaling-factor' with '--policy ds2'", args.settings.join(" "));
    }
    if args.policy != "ds2" && (args.target_rate_ratio.is_some() || args.scaling_factor != 0.0) {
        return wrong("policy", "'ds2' (no other policy has a target rate ratio or a scaling factor)", format!("'{}'", args.policy));
    }
    Ok(())
}

/// Reads the files that the flags name.
fn read(args: &Args) -> Result<Measured, Failure> {
    let system = match args.system.as_str() {
        "flink" => System::Flink,
        "heron" => System::Heron,
        "timely" => System::Timely,
        other => return Err(usage(anyhow!("--system: expected 'flink', 'heron' or 'timely', found '{other}'"))),
    };
    let bytes = |flag: &str, path: &Path| {
        std::fs::read(path).map_err(|why| usage(anyhow!("--{flag} {}: expected a readable file: {why}", path.display())))
    };
    let optional = |flag: &str, path: &Option<PathBuf>| path.as_deref().map(|path| bytes(flag, path)).transpose();
    let (topology, rates) = (bytes("topology", &args.topology)?, bytes("rates", &args.rates)?);
    let (sources, operators) = (optional("source-rates", &args.source_rates)?, optional("operator-rates", &args.operator_rates)?);
    fn content<'f>(path: &'f Option<PathBuf>, bytes: &'f Option<Vec<u8>>) -> Option<Content<'f>> {
        Some(Content { path: path.as_deref()?, bytes: bytes.as_deref()? })
    }
    let files = Files {
        topology: Content { path: &args.topology, bytes: &topology },
        rates: Content { path: &args.rates, bytes: &rates },
        source_rates: content(&args.source_rates, &sources),
        operator_rates: content(&args.operator_rates, &operators),
    };
    ds2::read(system, &files).map_err(usage)
}

/// The demand of every operator in an epoch. As in the released program every instance counts, even
/// an idle one.
fn demands(measured: &Measured, epoch: &[OperatorRates]) -> Vec<Demand> {
    let measurement = |(place, rates): (usize, &OperatorRates)| Measurement {
        offered: Some(Rate::per_second(rates.true_output)),
        true_processing_rate: Some(Rate::per_second(rates.true_processing)),
        true_output_rate: Some(Rate::per_second(rates.true_output)),
        instances: measured.instances[place],
    };
    let measurements: Vec<Measurement> = epoch.iter().enumerate().map(measurement).collect();
    demands_of(&measured.topology, &measurements)
}

/// The largest ratio of offered to observed rate among the sources.
fn ratio(topology: &Topology, epoch: &[OperatorRates]) -> f64 {
    let sources = topology.operators().iter().zip(epoch).filter(|(operator, _)| operator.role == Role::Source);
    let ratio = |rates: &OperatorRates| if rates.true_output > 0.0 { rates.true_output / rates.observed_output } else { 0.0 };
    sources.map(|(_, rates)| ratio(rates)).fold(0.0, f64::max)
}

/// Equations 7 and 8, rounded up exactly, with the correction by the target rate ratio if
/// requested.
// papers/ds2-osdi18.md#target-rate-ratio
fn by_equations(args: &Args, measured: &Measured) -> Vec<DecidedEpoch> {
    let decided = |&(number, ref epoch): &(usize, Vec<OperatorRates>)| {
        let demands = demands(measured, epoch);
        let needed = |demand: &Demand| demand.instances().map(|fraction| round_up(fraction * (1.0 + args.scaling_factor), 0.0));
        let scaled = measured.topology.operators().iter().zip(&demands).map(|(operator, demand)| {
            let present = measured.instances[operator.id.0 as usize];
            if operator.role == Role::Source { present } else { needed(demand).unwrap_or(present) }
        });
        let mut parallelism: Vec<u32> = scaled.collect();
        let ratio = ratio(&measured.topology, epoch);
        let increases = parallelism.iter().zip(&measured.instances).any(|(wanted, present)| wanted > present);
        if !increases && ratio.is_finite() && args.target_rate_ratio.is_some_and(|least| ratio > least) {
            for operator in measured.topology.scalable() {
                let wanted = &mut parallelism[operator.id.0 as usize];
                *wanted = round_up(f64::from(*wanted) * ratio, 0.0);
            }
        }
        DecidedEpoch::new(measured, number, epoch, &demands, &parallelism, None)
    };
    measured.epochs.iter().map(decided).collect()
}

/// Runs any other policy with one window per epoch. Its decisions do not affect later epochs, whose
/// rates are already measured.
fn by_policy(args: &Args, measured: &Measured) -> Result<Vec<DecidedEpoch>, Failure> {
    let given = Given { settings: settings(&args.settings)?, best: Vec::new() };
    let topology = &measured.topology;
    let made = policies::policy_with(&args.policy, topology, 1.0, &given);
    let mut policy = made.map_err(|why| usage(anyhow!("--policy {}: {why}", args.policy)))?;
    let decided = |&(number, ref epoch): &(usize, Vec<OperatorRates>)| {
        let observation = observation(measured, number, epoch, Duration::from_secs_f64(args.window));
        let (after, speeds, reason) = match policy.decide(observation.window.end, &observation) {
            Decision::Hold(reason) => (observation.configuration, BTreeMap::new(), reason),
            Decision::Rescale(plan, reason) => match plan.apply(topology, &observation.configuration) {
                Ok(after) => (after, plan.speeds, reason),
                Err(why) => (observation.configuration, BTreeMap::new(), reason.saying(why.to_string())),
            },
        };
        let parallelism: Vec<u32> = after.iter().map(|(_, instances)| instances).collect();
        let decided = DecidedEpoch::new(measured, number, epoch, &demands(measured, epoch), &parallelism, Some(reason));
        decided.with_speeds(topology, speeds)
    };
    Ok(measured.epochs.iter().map(decided).collect())
}

/// An epoch as a window: an instance counts as busy for as long as its observed work takes at its
/// true rate.
fn observation(measured: &Measured, number: usize, epoch: &[OperatorRates], length: Duration) -> Observation {
    let window = Window::starting(Timestamp::ZERO + length * number as u32, length);
    let topology = &measured.topology;
    let mut configuration = Configuration::ones(topology);
    let (mut operators, mut sources) = (Vec::new(), Vec::new());
    for ((operator, rates), &instances) in topology.operators().iter().zip(epoch).zip(&measured.instances) {
        configuration = configuration.with(operator.id, instances);
        operators.push(OperatorMetrics {
            operator: operator.id,
            instances: (0..instances).map(|index| instance(operator.id, index, rates, instances, length)).collect(),
            bins: Vec::new(),
        });
        if operator.role == Role::Source {
            sources.push(SourceMetrics {
                operator: operator.id,
                offered: Rate::per_second(rates.true_output),
                achieved: Rate::per_second(rates.observed_output),
                lag_records: 0.0,
            });
        }
    }
    Observation {
        window,
        configuration,
        sources,
        operators,
        latency: LatencySummary::default(),
        doubts: Vec::new(),
        workers: Vec::new(),
        paths: None,
    }
}

/// One of an operator's instances, which are given even shares of its rates: policies that work on
/// operators only use the sums in the files.
fn instance(operator: OperatorId, index: u32, rates: &OperatorRates, instances: u32, length: Duration) -> InstanceMetrics {
    let seconds = length.as_secs_f64();
    let records = |rate: f64| (rate / f64::from(instances) * seconds).round() as u64;
    let busy = if rates.true_processing > 0.0 { (rates.observed_processing / rates.true_processing).min(1.0) } else { 0.0 };
    InstanceMetrics {
        useful: length.mul_f64(busy),
        processed: records(rates.observed_processing),
        produced: records(rates.observed_output),
        arrivals: records(rates.observed_processing),
        ..InstanceMetrics::idle(InstanceId::new(operator, index), length)
    }
}

impl DecidedEpoch {
    fn new(
        measured: &Measured,
        epoch: usize,
        rates: &[OperatorRates],
        demands: &[Demand],
        parallelism: &[u32],
        reason: Option<Reason>,
    ) -> DecidedEpoch {
        let operators = measured.topology.operators().iter().map(|operator| {
            let place = operator.id.0 as usize;
            let decided = DecidedOperator {
                name: measured.names[place].clone(),
                role: if operator.role == Role::Source { "source" } else { "operator" },
                instances: measured.instances[place],
                parallelism: parallelism[place],
                demand: demands[place].instances(),
                target_rate: demands[place].target.map(Rate::as_per_second),
                true_processing_rate: rates[place].true_processing,
                true_output_rate: rates[place].true_output,
                speeds: Vec::new(),
            };
            (operator.name.clone(), decided)
        });
        let ratio = ratio(&measured.topology, rates);
        DecidedEpoch {
            epoch,
            operators: operators.collect(),
            workers: workers_needed(demands, 0.0),
            workers_demand: demands.iter().filter_map(Demand::instances).sum(),
            target_rate_ratio: ratio.is_finite().then_some(ratio),
            reason,
        }
    }

    /// The same, with the relative speeds of instances in the plan.
    fn with_speeds(mut self, topology: &Topology, speeds: BTreeMap<OperatorId, Vec<f64>>) -> DecidedEpoch {
        for (id, speeds) in speeds {
            let name = &topology.operator(id).name;
            self.operators.get_mut(name).expect("a plan that applies names operators of the job").speeds = speeds;
        }
        self
    }
}

/// The table, and below it the workers of every epoch.
fn text(topology: &Topology, epochs: &[DecidedEpoch]) -> String {
    let mut rows = Vec::new();
    let mut below = String::new();
    for epoch in epochs {
        for operator in topology.operators() {
            let decided = &epoch.operators[&operator.name];
            let name = if decided.name == operator.name { operator.name.clone() } else { format!("{} {}", operator.name, decided.name) };
            rows.push(row([
                ("epoch", &epoch.epoch),
                ("operator", &name),
                ("instances", &decided.instances),
                ("decided", &decided.parallelism),
                ("demand", &decided.demand),
                ("target_rate", &decided.target_rate),
                ("true_processing_rate", &(operator.role != Role::Source).then_some(decided.true_processing_rate)),
            ]));
        }
        let mut reason = epoch.reason.as_ref().map_or(String::new(), |reason| format!("; {reason}"));
        for (name, decided) in epoch.operators.iter().filter(|(_, decided)| !decided.speeds.is_empty()) {
            let speeds: Vec<String> = decided.speeds.iter().map(|speed| format!("{speed:.2}")).collect();
            reason += &format!("; speeds of {name}: {}", speeds.join(" "));
        }
        below += &format!("epoch {}: {} workers if operators share them{reason}\n", epoch.epoch, epoch.workers);
    }
    format!("{}\n{below}", tables(&[table("decisions").expect("views are tested")], &Frame::new(&[], rows), &[]))
}
