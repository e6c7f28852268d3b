//! Windows of a trace, counted: what ranked first in how many of them.
//!
//! Memory depends on the number of entries of rankings, not on the number of windows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::summary::{Entity, Entry, WindowSummary};

/// In how many windows each measure ranked an entry first, without windows that have no path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firsts {
    /// By critical participation.
    pub participation: u64,
    /// By the conventional profile.
    pub profile: u64,
    /// By the random path.
    pub path: u64,
}

/// Windows so far.
#[derive(Clone, Debug, Default)]
pub struct CountedWindows {
    windows: u64,
    without_path: u64,
    log2_paths: f64,
    firsts: BTreeMap<Entity, Firsts>,
}

impl CountedWindows {
    /// Adds a window and its ranking.
    pub fn push(&mut self, window: &WindowSummary, ranking: &[Entry]) {
        self.windows += 1;
        let Some(log2_paths) = window.log2_paths else {
            self.without_path += 1;
            return;
        };
        self.log2_paths = self.log2_paths.max(log2_paths);
        let mut count = |measure: fn(&Entry) -> f64, add: fn(&mut Firsts)| {
            // The earlier of two that are equal, as in the ranking.
            let first = ranking.iter().rev().max_by(|a, b| measure(a).total_cmp(&measure(b)));
            if let Some(entry) = first.filter(|entry| measure(entry) > 0.0) {
                add(self.firsts.entry(entry.entity).or_default());
            }
        };
        count(|entry| entry.participation, |firsts| firsts.participation += 1);
        count(profile_of_work, |firsts| firsts.profile += 1);
        count(|entry| entry.path, |firsts| firsts.path += 1);
    }

    /// Forgets the entries that are not `kept`: they are not printed.
    pub fn forget(&mut self, kept: impl Fn(&Entity) -> bool) {
        self.firsts.retain(|entity, _| kept(entity));
    }

    /// Number of windows.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// Number of these windows without a path: their participations are 0.
    pub fn without_path(&self) -> u64 {
        self.without_path
    }

    /// Logarithm to the base 2 of the maximum number of paths in a window.
    pub fn log2_paths(&self) -> f64 {
        self.log2_paths
    }

    /// In how many windows each measure ranked `entity` first.
    pub fn firsts(&self, entity: Entity) -> Firsts {
        self.firsts.get(&entity).copied().unwrap_or_default()
    }
}

/// The conventional profile, which only covers work: 0 for messages and for time not covered by the
/// log.
fn profile_of_work(entry: &Entry) -> f64 {
    if entry.entity.is_work() { entry.profile } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ChannelId, OperatorId};
    use crate::time::Window;

    #[test]
    fn the_first_by_each_measure_is_counted_where_there_is_a_path() {
        let operator = |number| Entity::Operator(OperatorId(number));
        let entry = |entity, participation, profile, path| Entry { entity, participation, profile, path };
        let window = |log2_paths| WindowSummary {
            window: Window::default(),
            participation_sum: 0.0,
            log2_paths,
            rows: Vec::new(),
            waits: Vec::new(),
        };
        let mut counted = CountedWindows::default();
        let channel = Entity::Channel(ChannelId(1));
        let ranking = [entry(operator(1), 0.5, 0.2, 0.5), entry(operator(2), 0.5, 0.4, 0.0), entry(channel, 0.0, 0.9, 0.0)];
        counted.push(&window(Some(3.0)), &ranking);
        counted.push(&window(Some(2.0)), &ranking[1..]);
        counted.push(&window(None), &ranking);
        assert_eq!(counted.firsts(operator(1)), Firsts { participation: 1, profile: 0, path: 1 });
        assert_eq!(counted.firsts(operator(2)), Firsts { participation: 1, profile: 2, path: 0 });
        assert_eq!(counted.firsts(channel), Firsts::default(), "messages keep no lane busy");
        assert_eq!((counted.windows(), counted.without_path(), counted.log2_paths()), (3, 1, 3.0));
    }
}
