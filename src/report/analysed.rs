//! What the sentences on a trace are made from.

use super::merged::Merged;
use crate::activity::Names;
use crate::critical_path::{Pieces, Supply, TraceSummary};

/// How an operator's work is divided among its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Division {
    /// Each instance works on records of its own, such as those of its keys.
    Keys,
    /// Any instance takes any task.
    Tasks,
    /// Each is called by others: services, functions.
    Calls,
}

/// What is known of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Analysed<'a> {
    /// The sum over its windows.
    pub trace: &'a TraceSummary,
    /// Its pieces of work.
    pub pieces: &'a Pieces,
    /// What its sources and workers were given.
    pub supply: &'a Supply,
    /// How the work of operators that are no longer kept apart was spread.
    pub merged: &'a Merged,
    /// The names in it.
    pub names: &'a Names,
    /// How its work is divided.
    pub division: Division,
}
