//! A job that runs longer takes no more memory to follow.
//!
//! The only test of its binary: it looks at what the whole process has allocated.

use std::time::Duration;

use peak_alloc::PeakAlloc;
use thalweg::experiment::scenario::Scenario;
use thalweg::observation::Observer;
use thalweg::sim::Simulation;
use thalweg::time::Timestamp;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const WINDOW: Duration = Duration::from_secs(2);
const JOB: &str = r#"
[[operators]]
name = "source"
role = "source"
rate = 400

[[operators]]
name = "split"
role = "stateless"
inputs = ["source"]
limit = 150
service = { distribution = "exponential" }
instances = 4

[[operators]]
name = "count"
role = "keyed"
inputs = ["split"]
limit = 120
service = { distribution = "exponential" }
instances = 5

[[operators]]
name = "sink"
role = "sink"
inputs = ["count"]
"#;

/// Follows so many seconds of the job; the most that was allocated meanwhile, in bytes, and the epochs whose paths were told.
fn follow(seconds: u32) -> (usize, u64) {
    let job = Scenario::read(&format!("title = \"A job\"\nseconds = {seconds}\n{JOB}")).unwrap().job();
    let mut observer = Observer::new(job.topology.clone(), Timestamp::ZERO, WINDOW).with_paths();
    let mut simulation = Simulation::new(&job, 1).recording_graph();
    let (mut records, mut epochs) = (Vec::new(), 0);
    ALLOCATED.reset_peak_usage();
    for _ in 0..seconds / WINDOW.as_secs() as u32 {
        while simulation.now() < observer.window().end + Duration::from_millis(20) {
            if !simulation.advance(&mut records) {
                break;
            }
            records.drain(..).for_each(|record| observer.push(&record));
        }
        epochs += observer.close(&job.configuration, WINDOW).0.paths.map_or(0, |paths| paths.all.epochs);
    }
    (ALLOCATED.peak_usage(), epochs)
}

#[test]
fn memory_is_flat_however_long_a_job_runs() {
    // Due times of epochs are kept for ten minutes, so both runs are longer than that.
    let (short, few) = follow(700);
    let (long, many) = follow(2100);
    assert!(few > 1000 && many > 2 * few, "{few} and {many} epochs");
    assert!((long as f64) < 1.2 * short as f64, "{short} bytes became {long} bytes");
}
