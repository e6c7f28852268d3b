//! An independent system counts the same words: differential dataflow's `count` agrees with the elastic job, rescaled while it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use differential_dataflow::input::Input;
use thalweg::dataflow::{Capacity, Plan, QueueMarks};
use thalweg::engine::OperatorConfig;
use thalweg::engine::cluster::Deployment;
use thalweg::engine::word_count::{COUNT, FLAT_MAP, Tally, WordCount};
use thalweg::engine::{Progress, commands_of};
use thalweg::migration::{Assignment, Measures, Strategy, rebalance};
use thalweg::rate::Rate;
use thalweg::workload::{RateSchedule, SentenceLength, Text};

/// Counts of the words of `sentences` sentences by differential dataflow.
fn differential(text: Arc<Text>, sentences: u64) -> BTreeMap<String, u64> {
    let (sender, counts) = mpsc::channel();
    timely::execute_directly(move |worker| {
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, words) = scope.new_collection::<String, isize>();
            words.count().inspect(move |((word, count), _, diff)| sender.send((word.clone(), *count as u64, *diff)).unwrap());
            input
        });
        for index in 0..sentences {
            text.sentence(index).split(' ').for_each(|word| input.insert(word.to_owned()));
        }
        input.close();
        while worker.step() {}
    });
    counts.into_iter().filter(|(_, _, diff)| *diff > 0).map(|(word, count, _)| (word, count)).collect()
}

#[test]
fn differential_dataflow_counts_the_same() {
    let unlimited = OperatorConfig { capacity: Capacity::Cpu, marks: QueueMarks::default(), instances: 1, max_parallelism: 4, slow: None };
    let job = WordCount {
        text: Arc::new(Text::liber_primus(SentenceLength::Natural)),
        first_sentence: 0,
        schedule: RateSchedule::constant(Rate::per_second(2000.0)),
        duration: Duration::from_secs(1),
        catch_up: 1.5,
        tick: Duration::from_millis(10),
        bins: 64,
        flat_map: unlimited,
        count: unlimited,
        deployment: Deployment::threads(2),
    };
    // One rescale of both operators by hand, without a controller.
    let (topology, before) = (job.topology(), job.configuration());
    let after = Plan::rescale(FLAT_MAP, 3).and(COUNT, 4).apply(&topology, &before).unwrap();
    let owned = Assignment::initial(&topology, &before);
    let new = [(COUNT, rebalance(&owned[&COUNT], &[], 4))].into();
    let schedule = Strategy::AllAtOnce.schedule(&topology, (&before, &owned), (&after, &new), &Measures::default());
    assert_eq!(commands_of(&schedule.steps[0]).len(), 2);

    let running = job.start().unwrap();
    let mut progress = Progress::default();
    progress.send(&schedule.steps[0], running.peers());
    running.apply(schedule.steps[0].clone());
    // The log ends with the job.
    while running.log.recv().is_ok() {}
    running.acks.try_iter().for_each(|ack| progress.report(ack));
    assert!(progress.is_complete());
    let tallies: Vec<Tally> = running.join().unwrap();
    let sentences = tallies.iter().map(|tally| tally.emitted).sum();
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for (word, &(_, highest)) in tallies.iter().flat_map(|tally| &tally.words) {
        let count = counted.entry(word.clone()).or_default();
        *count = highest.max(*count);
    }
    assert_eq!(counted, differential(Arc::clone(&job.text), sentences));
}
