//! Records a plain timely program into a file that `thalweg analyze` reads: two lines outside the workers, one inside.
//!
//! `Count` is slow on purpose: each record costs it a few hundred rounds of arithmetic, and a third of all records has one key.

use std::hint::black_box;
use std::time::Duration;

use thalweg::engine::{RecordingSink, record};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Inspect, Operator, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join("instrument_your_dataflow.log");
    // Once, outside the workers: they share the sink's clock.
    let (sink, file) = RecordingSink::to_file(&path)?;
    let workers = timely::execute(timely::Config::process(2), move |worker| {
        // In each worker, before it builds anything. The type is that of the dataflows' timestamps.
        record::<u64>(worker, &sink);

        let (mut input, probe) = (InputHandleVec::<u64, u64>::new(), ProbeHandle::new());
        worker.dataflow_named("Keys", |scope| {
            let keys = input.to_stream(scope).map(|number: u64| if number.is_multiple_of(3) { 0 } else { number % 100 });
            keys.unary::<CapacityContainerBuilder<Vec<u64>>, _, _, _>(Exchange::new(|key: &u64| *key), "Count", |_, _| {
                move |input, output| {
                    input.for_each(|time, keys| {
                        let work = keys.drain(..).map(|key| (0..400).fold(key, |sum, n| black_box(sum ^ n)));
                        output.session(&time).give_iterator(work);
                    });
                }
            })
            .inspect(|key| assert!(*key < 1000))
            .probe_with(&probe);
        });
        for epoch in 0..200 {
            (0..2000).for_each(|number| input.send(number));
            input.advance_to(epoch + 1);
            // Never without a bound: a worker that sleeps hands nothing over.
            while probe.less_than(input.time()) {
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
