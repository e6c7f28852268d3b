//! The critical paths as stacks: what operator, what it did, on which instance.
//!
//! The amounts of all stacks are the critical time of the trace: as long as its windows with a path.

use std::collections::BTreeMap;

use crate::activity::Names;
use crate::critical_path::{Subject, TraceSummary};

/// The outermost frame of time in which no lane on a path did anything.
pub(super) const NOTHING: &str = "nothing ran";

/// The outermost frames of what is not kept apart.
const FURTHER_OPERATORS: &str = "further operators";
const FURTHER_CHANNELS: &str = "further channels";

/// Stacks, from the outermost frame to the innermost, with their time in ns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stacks {
    pub(super) times: BTreeMap<Vec<String>, f64>,
}

impl Stacks {
    /// The critical paths of a trace.
    pub fn of(trace: &TraceSummary, names: &Names) -> Stacks {
        let mut stacks = Stacks::default();
        let length = trace.length_ns();
        for row in trace.rows().filter(|row| row.participation > 0.0) {
            let frames = match row.subject {
                Subject::Work(kind, instance) => {
                    let mut frames = vec![names.operator(instance.operator), kind.to_string(), names.instance(instance)];
                    let (lane, inner) = (names.lane(row.lane), &frames[2]);
                    if lane != *inner {
                        frames.push(lane);
                    }
                    frames
                }
                Subject::Message(kind, channel, to) => {
                    let ends = format!("{} → {}", names.lane(row.lane), names.lane(to));
                    vec![format!("channel {}", names.channel(channel)), kind.to_string(), ends]
                }
                Subject::Gap | Subject::Silence => vec![NOTHING.to_owned(), names.lane(row.lane)],
                Subject::FurtherWork(kind) => vec![FURTHER_OPERATORS.to_owned(), kind.to_string(), names.lane(row.lane)],
                Subject::FurtherMessages(kind) => vec![FURTHER_CHANNELS.to_owned(), kind.to_string(), names.lane(row.lane)],
                Subject::Wait(..) => continue,
            };
            *stacks.times.entry(frames).or_default() += row.participation * length;
        }
        stacks
    }
}
