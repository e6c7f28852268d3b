//! Records a differential program, distances in a graph that changes, into a file that `thalweg analyze` reads.
//!
//! The log shows the operators inside the iteration, the messages between the workers' parts of it, and how the arrangements
//! grow and merge.

use std::time::Duration;

use differential_dataflow::input::Input;
use differential_dataflow::operators::Iterate;
use thalweg::engine::{RecordingSink, record};
use timely::dataflow::ProbeHandle;

const NODES: u64 = 2000;

/// Where the `n`-th edge leads.
fn edge(n: u64) -> (u64, u64) {
    (n % NODES, (n * 7919 + n / NODES * 104_729) % NODES)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join("instrument_differential.log");
    let (sink, file) = RecordingSink::to_file(&path)?;
    let workers = timely::execute(timely::Config::process(2), move |worker| {
        record::<u64>(worker, &sink);

        let probe = ProbeHandle::new();
        let mut edges = worker.dataflow_named("Distances", |scope| {
            let (input, edges) = scope.new_collection::<(u64, u64), isize>();
            let roots = edges.clone().filter(|edge| edge.0 == 0).map(|_| (0, 0)).distinct();
            roots
                .clone()
                .iterate(|inner, distances| {
                    let further = distances.join_map(edges.enter(inner), |_, distance, to| (*to, distance + 1));
                    further.concat(roots.enter(inner)).reduce(|_, distances, least| least.push((*distances[0].0, 1)))
                })
                .probe_with(&probe);
            input
        });
        let (index, peers) = (worker.index() as u64, worker.peers() as u64);
        let mine = |n: &u64| n % peers == index;
        (0..4 * NODES).filter(mine).for_each(|n| edges.insert(edge(n)));
        for round in 0..50 {
            // Each round a few edges go and others come.
            let changes = 20 * round..20 * (round + 1);
            changes.clone().filter(mine).for_each(|n| edges.remove(edge(n)));
            changes.map(|n| n + 4 * NODES).filter(mine).for_each(|n| edges.insert(edge(n)));
            edges.advance_to(round + 1);
            edges.flush();
            while probe.less_than(edges.time()) {
                worker.step_or_park(Some(Duration::from_millis(20)));
            }
        }
    })?;
    for worker in workers.join() {
        worker?;
    }
    let recorded = file.finish()?;
    println!("{} records, {} dropped, {} bytes in {}", recorded.records, recorded.dropped, recorded.bytes, path.display());
    println!("Look at it with: thalweg analyze --window 20ms {}", path.display());
    Ok(())
}
