//! From records to an observation, and from an observation to a decision.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thalweg::activity::{Activity, ActivityKind, Lane, Record};
use thalweg::dataflow::{Configuration, Role, Topology};
use thalweg::id::{InstanceId, OperatorId};
use thalweg::metrics::{InstanceMetrics, OperatorMetrics, SourceMetrics};
use thalweg::observation::{LatencySummary, Observation, Observer};
use thalweg::policy::{
    Aws, AwsConfig, CriticalPath, CriticalPathConfig, Dhalion, DhalionConfig, Ds2, Ds2Config, FlinkAutoscaler, FlinkAutoscalerConfig,
    Heron, HeronConfig, Oracle, Policy, Threshold, ThresholdConfig,
};
use thalweg::rate::Rate;
use thalweg::time::{Epoch, Timestamp, Window};

const WINDOW: Duration = Duration::from_secs(2);

/// A pipeline of `operators` operators with `instances` instances each, behind a source.
fn pipeline(operators: u32, instances: u32) -> (Topology, Configuration) {
    let names: Vec<String> = (0..=operators).map(|index| format!("op{index}")).collect();
    let role = |index: usize| if index == 0 { Role::Source } else { Role::Stateless };
    let listed: Vec<_> = names.iter().enumerate().map(|(index, name)| (name.as_str(), role(index), 1000)).collect();
    let edges: Vec<_> = (0..operators).map(|index| (index, index + 1)).collect();
    let topology = Topology::new(&listed, &edges).expect("a pipeline is a dataflow");
    let configuration = (1..=operators).fold(Configuration::ones(&topology), |all, id| all.with(OperatorId(id), instances));
    (topology, configuration)
}

/// What the instances of a pipeline record in a window: two batches each, a queue sample, and the source's progress.
fn records(topology: &Topology, configuration: &Configuration) -> Vec<Record> {
    let mut records = Vec::new();
    for (operator, instances) in configuration.iter() {
        for instance in (0..instances).map(|index| InstanceId::new(operator, index)) {
            if operator.0 == 0 {
                records.push(Record::Source { source: operator, at: Timestamp(1_000_000_000), due: 1e6, emitted: 1_000_000 });
                continue;
            }
            for start in [100_000_000, 900_000_000] {
                records.push(Record::Activity(Activity {
                    lane: Lane::Instance(instance),
                    kind: ActivityKind::Processing,
                    instance,
                    epoch: Epoch(start / 1_000_000),
                    start: Timestamp(start),
                    end: Timestamp(start + 50_000_000),
                    records_in: 1000,
                    records_out: 1000,
                }));
            }
            records.push(Record::Queue { instance, at: Timestamp(1_900_000_000), length: 10, arrivals: 2000 });
        }
    }
    assert_eq!(topology.operators().len(), configuration.iter().count());
    records
}

fn observe(topology: &Topology, configuration: &Configuration, records: &[Record]) -> Observation {
    let mut observer = Observer::new(topology.clone(), Timestamp::ZERO, WINDOW);
    records.iter().for_each(|record| observer.push(record));
    observer.close(configuration, WINDOW).0
}

/// Makes a policy that has seen nothing yet.
type MakePolicy<'a> = Box<dyn Fn() -> Box<dyn Policy> + 'a>;

/// The observation of a large job, put together without its records: so many operators with so many instances that are busy for two thirds.
fn large(topology: &Topology, configuration: &Configuration) -> Observation {
    let window = Window::starting(Timestamp::ZERO, WINDOW);
    let instance = |id: InstanceId| InstanceMetrics {
        useful: Duration::from_millis(1333),
        processed: 2000,
        produced: 2000,
        arrivals: 2000,
        queue_records: 10,
        ..InstanceMetrics::idle(id, WINDOW)
    };
    let metrics = |(operator, instances): (OperatorId, u32)| OperatorMetrics {
        operator,
        instances: (0..instances).map(|index| instance(InstanceId::new(operator, index))).collect(),
        bins: Vec::new(),
    };
    assert_eq!(topology.operators().len(), configuration.iter().count());
    let (offered, achieved) = (Rate::per_second(1e5), Rate::per_second(1e5));
    Observation {
        window,
        configuration: configuration.clone(),
        sources: vec![SourceMetrics { operator: OperatorId(0), offered, achieved, lag_records: 0.0 }],
        operators: configuration.iter().map(metrics).collect(),
        latency: LatencySummary::default(),
        doubts: Vec::new(),
        paths: None,
    }
}

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe");
    let (topology, configuration) = pipeline(100, 100);
    let recorded = records(&topology, &configuration);
    group.throughput(Throughput::Elements(recorded.len() as u64));
    group.bench_function("100 operators x 100 instances", |b| b.iter(|| observe(&topology, &configuration, &recorded)));
    group.finish();

    // Budgets for ds2: 1 ms for 100 operators of 100 instances, 100 ms for 10,000 of them; for critical-path 5 ms and 500 ms.
    let mut group = criterion.benchmark_group("decide");
    group.sample_size(10);
    for (operators, instances) in [(3, 10), (100, 100), (10_000, 100)] {
        let (topology, configuration) = pipeline(operators, instances);
        let observation = large(&topology, &configuration);
        // Without waits: what a decision costs is asked, not how often it is taken.
        let autoscaler = FlinkAutoscalerConfig { metrics_window_s: 0.0, stabilisation_s: 0.0, ..FlinkAutoscalerConfig::published() };
        let best = || [(Timestamp::ZERO, configuration.iter().fold(configuration.clone(), |best, (id, _)| best.with(id, 50)))];
        let policies: [(&str, MakePolicy<'_>); 8] = [
            ("ds2", Box::new(|| Box::new(Ds2::new(topology.clone(), Ds2Config::default())))),
            ("critical-path", Box::new(|| Box::new(CriticalPath::new(topology.clone(), CriticalPathConfig::standard())))),
            ("dhalion", Box::new(|| Box::new(Dhalion::new(topology.clone(), DhalionConfig::published())))),
            ("heron", Box::new(|| Box::new(Heron::new(topology.clone(), HeronConfig::published())))),
            ("threshold", Box::new(|| Box::new(Threshold::new(topology.clone(), ThresholdConfig::published())))),
            ("flink-autoscaler", Box::new(|| Box::new(FlinkAutoscaler::new(topology.clone(), autoscaler.clone())))),
            ("aws", Box::new(|| Box::new(Aws::new(topology.clone(), AwsConfig::published())))),
            ("oracle", Box::new(|| Box::new(Oracle::new(topology.clone(), best())))),
        ];
        for (name, policy) in &policies {
            let id = BenchmarkId::new(*name, format!("{operators} operators x {instances} instances"));
            // A fresh policy each time, because some decide once and then wait.
            group.bench_function(id, |b| {
                b.iter_batched(policy, |mut policy| policy.decide(observation.window.end, &observation), BatchSize::PerIteration)
            });
        }
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
