//! Breakdown of the latency of epochs, as tables and a sentence.

use std::fmt::Write as _;

use super::bottleneck::percent;
use super::table::{UNKNOWN, latency, table};
use crate::activity::{ActivityKind, Names};
use crate::critical_path::{EpochPart, EpochPieceKind, EpochSummary};

/// The `top` largest parts of the epochs' latency, with a sentence on the operator that accounts
/// for most of it; a note if no epoch was completed.
pub fn epochs(summary: &EpochSummary, names: &Names, top: usize) -> String {
    if summary.epochs() == 0 {
        return "No epoch was opened and completed in this time: there is no latency to break down.\n".to_owned();
    }
    let parts = summary.parts();
    let line = |part: &crate::critical_path::PartLatency| {
        [part_label(&part.part, names), percent(part.share), latency(part.mean_ns as u64), latency(part.p50_ns), latency(part.p99_ns)]
    };
    let lines: Vec<[String; 5]> = parts.iter().take(top).map(line).collect();
    let quantile = |share| summary.quantile(share).map_or(UNKNOWN.to_owned(), |time| latency(time.as_nanos() as u64));
    let mut text = format!(
        "Latency of {} epochs: mean {}, median {}, 99th percentile {}. It consists of:\n\n{}",
        summary.epochs(),
        latency(summary.mean_ns() as u64),
        quantile(0.5),
        quantile(0.99),
        table(&["part", "share", "mean", "median", "99th percentile"], &lines)
    );
    if parts.len() > top {
        let _ = writeln!(text, "and {} more (--top)", parts.len() - top);
    }
    let further = summary.further();
    if further.parts > 0 {
        let _ = writeln!(
            text,
            "and {} small parts, {} together, of which there were too many to keep them apart",
            further.parts,
            percent(further.share)
        );
    }
    let operators = summary.operators();
    if let Some(most) = operators.first().filter(|most| most.mean_ns > 0.0) {
        let line = |operator: &crate::critical_path::OperatorLatency| {
            [
                names.operator(operator.operator),
                percent(operator.share),
                latency(operator.mean_ns as u64),
                latency(operator.work_mean_ns as u64),
                latency(operator.queueing_mean_ns as u64),
                latency(operator.gain_mean_ns as u64),
                operator.slack_mean_ns.map_or(UNKNOWN.to_owned(), |slack| latency(slack as u64)),
            ]
        };
        let lines: Vec<[String; 7]> = operators.iter().take(top).map(line).collect();
        let header =
            ["operator", "share", "mean", "its work", "queueing behind its other work", "possible gain, at most", "slack, at least"];
        let _ = write!(text, "\n{}", table(&header, &lines));
        if operators.len() > top {
            let _ = writeln!(text, "and {} more (--top)", operators.len() - top);
        }
        if further.operators > 0 {
            let _ = writeln!(text, "and {} small operators, of which there were too many to keep them apart", further.operators);
        }
        let rest = most.mean_ns - most.work_mean_ns - most.queueing_mean_ns;
        let _ = writeln!(
            text,
            "\n{}: accounts for {} of the latency: on average {} of work on an epoch, {} of queueing behind its work on other epochs, and {} of \
             backpressure on the source or scheduling delay. However fast it were, an epoch would complete at most {} sooner on average.",
            names.operator(most.operator),
            percent(most.share),
            latency(most.work_mean_ns as u64),
            latency(most.queueing_mean_ns as u64),
            latency(rest.max(0.0) as u64),
            latency(most.gain_mean_ns as u64)
        );
    }
    text
}

/// Label of a part of the latency: `count: work`, `flatmap: queueing behind count`,
/// `network flatmap → count`.
pub fn part_label(part: &EpochPart, names: &Names) -> String {
    let what = match part.kind {
        EpochPieceKind::Processing => "work",
        EpochPieceKind::Scheduling => "scheduling",
        EpochPieceKind::Serialization => "serialization",
        EpochPieceKind::Deserialization => "deserialization",
        EpochPieceKind::ExternalWait => "external wait",
        EpochPieceKind::Migration => "migration",
        EpochPieceKind::Queueing => "queueing",
        EpochPieceKind::Release => "results held back until the epoch was complete",
        EpochPieceKind::Network => "network",
        EpochPieceKind::Progress => "progress tracking",
        EpochPieceKind::SourceDelay => "source delay",
        EpochPieceKind::Backpressure => "backpressure on the source",
        EpochPieceKind::Unknown => "unknown",
    };
    let mut label = part.operator.map_or(String::new(), |operator| format!("{}: ", names.operator(operator)));
    label.push_str(what);
    if let Some(behind) = part.behind {
        // Records of an epoch usually wait behind those of earlier epochs at the same operator.
        let behind = if part.operator == Some(behind) { "its other epochs".to_owned() } else { names.operator(behind) };
        let _ = write!(label, " behind {behind}");
        match part.doing {
            Some(ActivityKind::ExternalWait) => label.push_str(" (external wait)"),
            Some(ActivityKind::Serialization) => label.push_str(" (serialization)"),
            Some(ActivityKind::Deserialization) => label.push_str(" (deserialization)"),
            _ => {}
        }
    }
    if let Some(channel) = part.channel {
        let _ = write!(label, " {}", names.channel(channel));
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critical_path::{EpochPath, EpochPiece, Gains};
    use crate::id::{ChannelId, InstanceId, OperatorId};
    use crate::time::{Epoch, Timestamp};

    #[test]
    fn parts_are_named_and_ranked() {
        assert!(epochs(&EpochSummary::default(), &Names::default(), 5).starts_with("No epoch was opened"));
        let piece = |kind, operator: Option<u32>, channel: Option<u32>, start, end| EpochPiece {
            kind,
            instance: operator.map(|operator| InstanceId::new(OperatorId(operator), 0)),
            behind: None,
            channel: channel.map(ChannelId),
            start: Timestamp(start),
            end: Timestamp(end),
        };
        let pieces = vec![
            piece(EpochPieceKind::Network, None, Some(4), 0, 1_000_000),
            piece(EpochPieceKind::Processing, Some(1), None, 1_000_000, 4_000_000),
        ];
        let mut summary = EpochSummary::default();
        let (due, completed) = (Timestamp(0), Timestamp(4_000_000));
        summary.add(&EpochPath { epoch: Epoch(1), due, completed, pieces, gains: Gains::default(), slack: Vec::new() });
        let text = epochs(&summary, &Names::default(), 5);
        let works = text.find("| op1: work ").unwrap_or_else(|| panic!("{text}"));
        assert!(works < text.find("| network channel4 ").unwrap_or_else(|| panic!("{text}")));
        assert!(
            text.contains("| 75.0 % ") && text.contains("op1: accounts for 75.0 % of the latency: on average 3.0 ms of work"),
            "{text}"
        );
        assert!(epochs(&summary, &Names::default(), 1).contains("and 1 more (--top)"));
    }
}
