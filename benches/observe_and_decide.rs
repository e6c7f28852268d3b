//! From records to an observation, and from an observation to a decision.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thalweg::activity::{Activity, ActivityKind, Lane, Record};
use thalweg::dataflow::{Configuration, Role, Topology};
use thalweg::id::{InstanceId, OperatorId};
use thalweg::observation::{Observation, Observer};
use thalweg::policy::{Dhalion, DhalionConfig, Ds2, Ds2Config, Heron, HeronConfig, Policy};
use thalweg::time::{Epoch, Timestamp};

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

fn benchmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe");
    let (topology, configuration) = pipeline(100, 100);
    let recorded = records(&topology, &configuration);
    group.throughput(Throughput::Elements(recorded.len() as u64));
    group.bench_function("100 operators x 100 instances", |b| b.iter(|| observe(&topology, &configuration, &recorded)));
    group.finish();

    let mut group = criterion.benchmark_group("decide");
    for (operators, instances) in [(3, 10), (100, 100), (10_000, 2)] {
        let (topology, configuration) = pipeline(operators, instances);
        let observation = observe(&topology, &configuration, &records(&topology, &configuration));
        let policies: [(&str, MakePolicy<'_>); 3] = [
            ("ds2", Box::new(|| Box::new(Ds2::new(topology.clone(), Ds2Config::default())))),
            ("dhalion", Box::new(|| Box::new(Dhalion::new(topology.clone(), DhalionConfig::published())))),
            ("heron", Box::new(|| Box::new(Heron::new(topology.clone(), HeronConfig::published())))),
        ];
        for (name, policy) in &policies {
            let id = BenchmarkId::new(*name, format!("{operators} operators x {instances} instances"));
            // A fresh policy each time, because some decide once and then wait.
            group.bench_function(id, |b| {
                b.iter_batched(policy, |mut policy| policy.decide(observation.window.end, &observation), BatchSize::LargeInput)
            });
        }
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
