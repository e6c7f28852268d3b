//! What a driver has to tell while it drives: for a line on a terminal, and for a log.

use std::fmt;

use serde::Serialize;

use super::window::Told;
use crate::controller::Event;
use crate::dataflow::{Configuration, Topology};
use crate::observation::Observation;
use crate::time::Timestamp;

/// What happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct News {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Configurations are given as text, by the names of vertices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "news", rename_all = "kebab-case")]
pub enum What {
    /// A job was found.
    Attached {
        /// Its id.
        job: String,
        /// Its name.
        name: String,
        /// Version of Flink.
        flink: String,
        /// Its configuration.
        configuration: String,
    },
    /// Something that one should know.
    Note {
        /// In words.
        note: String,
    },
    /// The job is not running as a whole; nothing is measured meanwhile.
    Restarting {
        /// Its state.
        state: String,
    },
    /// It is running again.
    Running {
        /// Its configuration.
        configuration: String,
        /// Seconds from when that was noticed until then.
        after_s: u64,
    },
    /// Somebody else changed what the job is to have.
    ChangedByOthers {
        /// What it was asked to have.
        wanted: String,
    },
    /// A window gave nothing for a decision.
    Unknown {
        /// Why.
        why: String,
    },
    /// A window in a time in which nothing is decided.
    Excluded,
    /// What would have been done.
    Advises {
        /// The configuration before.
        before: String,
        /// The configuration that is advised.
        after: String,
        /// Why.
        reason: String,
    },
    /// A checkpoint was triggered.
    Triggered {
        /// What for.
        why: String,
    },
    /// A rescale was requested.
    Requested {
        /// The configuration before.
        before: String,
        /// The configuration that is requested.
        after: String,
        /// Why.
        reason: String,
    },
    /// All tasks run as requested.
    Reached {
        /// The configuration.
        configuration: String,
        /// Milliseconds from the request until then.
        after_ms: u64,
    },
    /// They do not, or nothing was requested.
    NotReached {
        /// Why.
        why: String,
        /// What was done about it, in words.
        done: String,
    },
    /// The cluster does not answer as it should.
    Trouble {
        /// In words.
        error: String,
    },
    /// The job has ended.
    Ended {
        /// Its state.
        state: String,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Attached { job, name, flink, configuration } => {
                let version = if flink.is_empty() { String::new() } else { format!(", Flink {flink}") };
                write!(f, "job '{name}' ({job}{version}) runs {configuration}")
            }
            What::Note { note } => write!(f, "note: {note}"),
            What::Restarting { state } if state == "running" => {
                f.write_str("not all tasks of the job run; nothing is measured until they do")
            }
            What::Restarting { state } => write!(f, "the job is {state}; nothing is measured until it runs"),
            What::Running { configuration, after_s } => write!(f, "the job runs again after {after_s} s: {configuration}"),
            What::ChangedByOthers { wanted } => {
                write!(f, "warning: something else requested {wanted} for this job: use one autoscaler at a time")
            }
            What::Unknown { why } => write!(f, "no decision on this window: {why}"),
            What::Excluded => f.write_str("no decision on this window: it is in an excluded time"),
            What::Advises { before, after, reason } => write!(f, "advises {before} -> {after}: {reason}"),
            What::Triggered { why } => write!(f, "triggers a checkpoint {why}"),
            What::Requested { before, after, reason } => write!(f, "rescales {before} -> {after}: {reason}"),
            What::Reached { configuration, after_ms } => {
                write!(f, "now running {configuration}, {:.1} s after the request", *after_ms as f64 / 1e3)
            }
            What::NotReached { why, done } => write!(f, "the rescale failed ({why}): {done}"),
            What::Trouble { error } => write!(f, "the cluster does not answer as expected: {error}"),
            What::Ended { state } => write!(f, "the job is {state}"),
        }
    }
}

/// A window that was measured.
pub struct Closed<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The window.
    pub observation: &'a Observation,
    /// What its epochs say.
    pub told: &'a [Told],
}

/// Takes what a driver has to tell.
pub trait Listener {
    /// Something happened.
    fn news(&mut self, news: &News);
    /// A window closed.
    fn closed(&mut self, closed: &Closed<'_>);
    /// All that the controller of this job has done so far.
    fn decided(&mut self, topology: &Topology, events: &[Event]);
}

/// A configuration by the names of its operators.
pub fn text_of(topology: &Topology, configuration: &Configuration) -> String {
    let parts = topology.operators().iter().map(|operator| format!("{}={}", operator.name, configuration.parallelism(operator.id)));
    parts.collect::<Vec<_>>().join(" ")
}
