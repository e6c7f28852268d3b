//! What is on the path of the slow epochs only, as a table.

use std::fmt::Write as _;

use super::epochs::part_label;
use super::table::{latency, table};
use crate::activity::Names;
use crate::critical_path::{EpochSummary, PartLatency, SlowEpochs};

/// The parts of the latency of slow epochs beside those of all, the largest difference first: the
/// part, its mean in ns over all epochs, and over the slow ones.
pub fn slow_parts(all: &EpochSummary, slow: &SlowEpochs) -> Vec<(PartLatency, f64)> {
    let of_all = all.parts();
    // Of a part that was not kept apart, only what the slow epochs have of it is known.
    let of_slow = slow.summary.epochs() as f64 / (all.epochs() as f64).max(1.0);
    let mean =
        |part: &PartLatency| of_all.iter().find(|other| other.part == part.part).map_or(part.mean_ns * of_slow, |other| other.mean_ns);
    let mut parts: Vec<(PartLatency, f64)> = slow.summary.parts().into_iter().map(|part| (part, mean(&part))).collect();
    parts.sort_by(|a, b| (b.0.mean_ns - b.1).total_cmp(&(a.0.mean_ns - a.1)).then(a.0.part.cmp(&b.0.part)));
    parts
}

/// The `top` parts by which slow epochs are slower than all, as a table with a sentence.
pub fn slow_epochs(all: &EpochSummary, slow: &SlowEpochs, names: &Names, top: usize) -> String {
    let more = |(part, mean): &(PartLatency, f64)| part.mean_ns - mean;
    let parts: Vec<(PartLatency, f64)> = slow_parts(all, slow).into_iter().filter(|part| more(part) > 0.0).collect();
    let mut text = format!(
        "The slowest {} of {} epochs take {} or more, {} on average instead of {}.",
        slow.summary.epochs(),
        all.epochs(),
        latency(slow.from_ns),
        latency(slow.summary.mean_ns() as u64),
        latency(all.mean_ns() as u64)
    );
    if slow.summary.epochs() < slow.meant {
        let _ = write!(text, " {} were asked for; no more were kept, for want of memory.", slow.meant);
    }
    let Some(first) = parts.first() else {
        return text + " Nothing takes longer in them.\n";
    };
    let by = slow.summary.mean_ns() - all.mean_ns();
    let line = |part: &(PartLatency, f64)| {
        [
            part_label(&part.0.part, names),
            latency(part.0.mean_ns as u64),
            latency(part.1 as u64),
            format!("+{}", latency(more(part) as u64)),
        ]
    };
    let lines: Vec<[String; 4]> = parts.iter().take(top).map(line).collect();
    let _ = write!(text, " They are slower by:\n\n{}", table(&["part", "mean of the slow ones", "mean of all", "more"], &lines));
    if parts.len() > top {
        let _ = writeln!(text, "and {} more (--top)", parts.len() - top);
    }
    let label = part_label(&first.0.part, names);
    let _ = writeln!(
        text,
        "\n{label}: {} more in the slow ones, which take {} longer in all.",
        latency(more(first) as u64),
        latency(by.max(0.0) as u64)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critical_path::{EpochPath, Gains, Slowest};
    use crate::time::{Epoch, Timestamp};

    #[test]
    fn as_many_are_told_as_were_kept() {
        let told = |count: u64| {
            let (mut all, mut slowest) = (EpochSummary::default(), Slowest::default());
            for number in 0..count {
                let (due, completed) = (Timestamp(number), Timestamp(2 * number));
                let path =
                    EpochPath { epoch: Epoch(number), due, completed, pieces: Vec::new(), gains: Gains::default(), slack: Vec::new() };
                all.add(&path);
                slowest.add(&path);
            }
            slow_epochs(&all, &slowest.above(0.5).unwrap(), &Names::default(), 3)
        };
        let few = told(100);
        assert!(few.starts_with("The slowest 50 of 100 epochs take ") && !few.contains("memory"), "{few}");
        let many = told(40_000);
        assert!(many.starts_with("The slowest 10000 of 40000 epochs take "), "{many}");
        assert!(many.contains(" 20000 were asked for; no more were kept, for want of memory."), "{many}");
    }
}
