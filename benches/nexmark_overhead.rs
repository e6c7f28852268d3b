//! NEXMark's queries of elastic operators against the same in plain timely, while nothing migrates.
//!
//! Two quantities of each query, each a ratio of the elastic to the plain form: *throughput* in a closed loop, and the 99th percentile of
//! an *epoch's latency* in an open loop at half of the plain form's throughput. Runs of the two alternate, in one process; a pair gives one
//! ratio, and the median counts, printed with the smallest and the largest. The environment variables `QUERIES` (such as `q4,q5`),
//! `WORKERS`, `BINS`, `PAIRS`, `EVENTS`, `RATE` (events in a second of event time), `DILATION` and `ONLY` (`throughput` or `latency`)
//! choose some of the runs.

use std::env;
use std::str::FromStr;

use thalweg::engine::nexmark::{Form, Load, Loaded, Query};
use thalweg::rate::Rate;

/// Events of a run, if nothing else is said.
const EVENTS: u64 = 3_000_000;
/// Events in a second of event time.
const EVENT_RATE: f64 = 4e6;

fn run(query: Query, form: Form, seed: u64, due: Option<f64>) -> Loaded {
    let (workers, bins) = (from_environment("WORKERS", &[2])[0], from_environment("BINS", &[256])[0]);
    let (event_rate, due) = (Rate::per_second(from_environment("RATE", &[EVENT_RATE])[0]), due.map(Rate::per_second));
    Load {
        query,
        form,
        workers,
        bins,
        events: from_environment("EVENTS", &[EVENTS])[0],
        event_rate,
        tick_ms: 10,
        dilation: from_environment("DILATION", &[400.0])[0],
        seed,
        due,
        recorded: false,
    }
    .run()
    .expect("workers run")
}

/// A list from the environment, or what is given.
fn from_environment<T: FromStr + Clone>(name: &str, otherwise: &[T]) -> Vec<T> {
    let parsed = |list: String| list.split(',').map(|one| one.parse().ok()).collect::<Option<Vec<T>>>();
    env::var(name).ok().map_or(otherwise.to_vec(), |list| parsed(list).unwrap_or_else(|| panic!("{name} is a list of values")))
}

/// Median, smallest and largest of `values`.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn print(query: Query, what: &str, pairs: &[(f64, f64)], unit: &str) {
    let (ratio, low, high) = spread(pairs.iter().map(|(elastic, plain)| elastic / plain).collect());
    let of = |part: fn(&(f64, f64)) -> f64| spread(pairs.iter().map(part).collect()).0;
    let (elastic, plain) = (of(|pair| pair.0), of(|pair| pair.1));
    println!("{query:4} {what:10}: elastic / plain {ratio:.3} ({low:.3} to {high:.3}), {elastic:.2} and {plain:.2} {unit}");
}

fn main() {
    let (pairs, only) = (from_environment("PAIRS", &[5])[0], env::var("ONLY").unwrap_or_default());
    for query in from_environment("QUERIES", &Query::ALL) {
        let rate = |form, seed| run(query, form, seed, None).events_per_s / 1e6;
        let rates: Vec<(f64, f64)> = (0..pairs).map(|seed| (rate(Form::Elastic, seed), rate(Form::Plain, seed))).collect();
        if only.is_empty() || only == "throughput" {
            print(query, "throughput", &rates, "million events/s");
        }
        if only.is_empty() || only == "latency" {
            let half = spread(rates.iter().map(|(_, plain)| plain / 2.0).collect()).0;
            let p99 = |form, seed| run(query, form, seed, Some(half * 1e6)).quantile(0.99).expect("epochs") as f64 / 1e6;
            let latencies: Vec<(f64, f64)> = (0..pairs).map(|seed| (p99(Form::Elastic, seed), p99(Form::Plain, seed))).collect();
            print(query, "p99", &latencies, &format!("ms at {half:.2} million events/s"));
        }
    }
}
