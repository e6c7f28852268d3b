//! Activity of the lanes over a time span, with the most likely critical path as one bold line
//! along lanes and messages.
//!
//! One row per lane. Each pixel of a row shows what the lane did for most of that time, so a span
//! of any length and number of activities can be drawn. The path is found window by window, so it
//! may jump where a window ends. The footer says what is not shown.

use std::path::{Path, PathBuf};

use super::lane_sheet::LaneSheet;
use super::{PlotError, write_one};
use crate::activity::Names;
use crate::critical_path::PathStep;
use crate::pag::WindowGraph;
use crate::time::{Timestamp, Window};

/// The most activities that are kept: some hundred megabytes.
const MOST_PIECES: usize = 2_000_000;
/// Number of steps of the path that are drawn if no time was selected: as many as the eye can
/// follow.
const FOLLOWED_STEPS: usize = 80;

/// Title and footer of the figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneLabels {
    /// Title.
    pub title: String,
    /// Footer: the source of the data.
    pub footer: String,
}

/// Collects the windows of a figure.
#[derive(Clone, Debug, Default)]
pub struct LaneFigure {
    /// The selected time span.
    asked: Option<Window>,
    windows: Vec<(WindowGraph, Vec<PathStep>)>,
    /// Changes of lanes and logarithm of the number of paths, if nobody chose the window.
    worth: (usize, Option<f64>),
    pieces: usize,
    /// Windows that were not kept.
    left_out: u64,
}

impl LaneFigure {
    /// A figure of `stretch`; without one, of a legible stretch in the window whose path changes
    /// lanes most often, and of these in the one with the most paths.
    pub fn new(stretch: Option<Window>) -> LaneFigure {
        LaneFigure { asked: stretch, ..LaneFigure::default() }
    }

    /// Takes a window with its likeliest path and the logarithm of its number of paths; keeps it if
    /// it is to be drawn.
    pub fn offer(&mut self, graph: WindowGraph, path: Vec<PathStep>, log2_paths: Option<f64>) {
        let Some(asked) = self.asked else {
            let changes = path.iter().filter(|step| matches!(step, PathStep::Message(_))).count();
            if self.windows.is_empty() || (changes, log2_paths) > self.worth {
                self.worth = (changes, log2_paths);
                self.windows = vec![(graph, path)];
            }
            return;
        };
        if graph.window.end <= asked.start || graph.window.start >= asked.end {
            return;
        }
        self.pieces += graph.pieces.len();
        if self.pieces > MOST_PIECES && !self.windows.is_empty() {
            self.left_out += 1;
        } else {
            self.windows.push((graph, path));
        }
    }

    /// From when until when is drawn.
    fn stretch(&self) -> Window {
        let start = self.windows.first().map_or(Timestamp::ZERO, |(graph, _)| graph.window.start);
        let end = self.windows.last().map_or(Timestamp::ZERO, |(graph, _)| graph.window.end);
        match (self.asked, &self.windows[..]) {
            (Some(asked), _) => Window { start: start.max(asked.start), end: end.min(asked.end) },
            (None, [(graph, path)]) if path.len() > FOLLOWED_STEPS => {
                let bounds = |step: &PathStep| match *step {
                    PathStep::Piece(piece) => (graph.pieces[piece as usize].start, graph.pieces[piece as usize].end),
                    PathStep::Message(message) => (graph.messages[message as usize].start, graph.messages[message as usize].end),
                };
                // Around the middle one of the steps that change lanes.
                let changes: Vec<usize> = (0..path.len()).filter(|&step| matches!(path[step], PathStep::Message(_))).collect();
                let middle = changes.get(changes.len() / 2).copied().unwrap_or(path.len() / 2);
                let first = middle.saturating_sub(FOLLOWED_STEPS / 2).min(path.len() - FOLLOWED_STEPS);
                Window { start: bounds(&path[first]).0, end: bounds(&path[first + FOLLOWED_STEPS - 1]).1 }
            }
            (None, _) => Window { start, end },
        }
    }

    /// Draws the figure as `path`, an SVG or a PNG by its extension.
    ///
    /// # Errors
    /// [`PlotError::Write`] and [`PlotError::Draw`] when the file cannot be made,
    /// [`PlotError::Format`] when its name ends otherwise; then it is not there.
    pub fn draw(&self, names: &Names, labels: &LaneLabels, path: &Path) -> Result<PathBuf, PlotError> {
        let mut footer = labels.footer.clone();
        if self.left_out > 0 {
            footer.push_str(&format!("; {} more windows were selected than can be drawn", self.left_out));
        }
        let stretch = self.stretch();
        let windows: Vec<(&WindowGraph, &[PathStep])> = self.windows.iter().map(|(graph, path)| (graph, &path[..])).collect();
        let sheet = LaneSheet::new(&windows, stretch, names, LaneLabels { title: labels.title.clone(), footer });
        write_one(&sheet, path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::activity::{Activity, ActivityKind, Lane, Message, MessageKind, Record};
    use crate::critical_path::{Participation, likeliest_path};
    use crate::id::{ChannelId, InstanceId, OperatorId, WorkerId};
    use crate::pag::{GraphBuilder, GraphConfig};
    use crate::time::Epoch;

    /// Two workers: the first maps for 2 of 10 ms and sends, the second counts for 7 and answers.
    fn figure(rounds: u64, asked: Option<Window>) -> LaneFigure {
        let lane = |worker| Lane::Worker(WorkerId(worker));
        let mut builder = GraphBuilder::new(GraphConfig::new(Duration::from_secs(1)));
        let ms = 1_000_000;
        for round in 0..rounds {
            let mut message = |from: u32, sent: u64, received: u64| {
                let message = Message {
                    at: Timestamp(sent),
                    kind: MessageKind::Data,
                    channel: ChannelId(from),
                    sequence: round,
                    from: WorkerId(from),
                    from_lane: lane(from),
                    to_lane: lane(1 - from),
                    epoch: Epoch(round),
                    records: 1,
                };
                builder.push(&Record::Sent(message));
                builder.push(&Record::Received(Message { at: Timestamp(received), ..message }));
            };
            let at = round * 10 * ms;
            message(0, at + 2 * ms, at + 2 * ms + ms / 2);
            message(1, at + 9 * ms, at + 10 * ms - 10);
            for (worker, start, end) in [(0, at, at + 2 * ms), (1, at + 2 * ms + ms / 2, at + 9 * ms)] {
                builder.push(&Record::Activity(Activity {
                    lane: lane(worker),
                    kind: ActivityKind::Processing,
                    instance: InstanceId::new(OperatorId(worker), 0),
                    epoch: Epoch(round),
                    start: Timestamp(start),
                    end: Timestamp(end),
                    records_in: 1,
                    records_out: 1,
                }));
            }
        }
        let mut figure = LaneFigure::new(asked);
        while let Some(graph) = builder.close(Timestamp(u64::MAX)) {
            let participation = Participation::of(&graph);
            let path = likeliest_path(&graph, &participation);
            figure.offer(graph, path, Some(participation.log2_paths));
        }
        figure
    }

    #[test]
    fn a_stretch_is_drawn_as_svg_and_as_png_and_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let labels = LaneLabels { title: "Two workers".into(), footer: "a test".into() };
        let mut names = Names::default();
        names.learn(&Record::Operator { operator: OperatorId(1), name: "count".into() });
        for name in ["lanes.svg", "lanes.png"] {
            let path = folder.path().join(name);
            assert_eq!(figure(100, None).draw(&names, &labels, &path).unwrap(), path);
            let first = fs::read(&path).unwrap();
            figure(100, None).draw(&names, &labels, &path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), first);
            if let Some(kept) = std::env::var_os("THALWEG_FIGURES") {
                fs::copy(&path, Path::new(&kept).join(name)).unwrap();
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let svg = fs::read_to_string(folder.path().join("lanes.svg")).unwrap();
        for text in ["worker0", "worker1", "op0", "count", "waiting for a message", "critical path", "Two workers", "a test"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn the_time_that_was_asked_for_is_drawn_and_otherwise_what_can_be_followed() {
        let asked = Window { start: Timestamp(500_000_000), end: Timestamp(1_700_000_000) };
        assert_eq!(figure(300, Some(asked)).stretch(), asked);
        let open = Window { start: Timestamp(2_500_000_000), end: Timestamp(u64::MAX) };
        assert_eq!(figure(300, Some(open)).stretch(), Window { start: open.start, end: Timestamp(3_000_000_000) });
        assert!(figure(300, None).stretch().length() < Duration::from_secs(1));
        assert_eq!(figure(3, None).stretch().length(), Duration::from_secs(1));
        let folder = tempfile::tempdir().unwrap();
        let labels = LaneLabels::default();
        // Nothing to draw is drawn as that.
        LaneFigure::new(None).draw(&Names::default(), &labels, &folder.path().join("nothing.png")).unwrap();
        let error = figure(3, None).draw(&Names::default(), &labels, Path::new("figure.pdf")).unwrap_err();
        assert_eq!(error.to_string(), "figure.pdf: expected a name that ends in .svg or .png");
    }
}
