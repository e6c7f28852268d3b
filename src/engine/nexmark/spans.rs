//! Lengths of windows.

use serde::{Deserialize, Serialize};

/// Lengths of windows, in milliseconds of event time, which is that of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// Query 4: length of a window.
    pub average_size: u64,
    /// Query 4: from one window to the next.
    pub average_slide: u64,
    /// Query 5: from one window to the next.
    pub hot_slide: u64,
    /// Query 5: length of a window, in slides.
    pub hot_slides: u64,
    /// Query 7: length of a window.
    pub best_size: u64,
    /// Query 8: length of a window.
    pub welcome_size: u64,
    /// Query 11: silence that ends a session.
    pub silence: u64,
    /// What waits is emitted at multiples of it; all windows begin and end at such. At least 1.
    pub grid: u64,
}

impl Spans {
    /// The lengths of the benchmark, divided by `dilation`, and rounded to multiples of `grid`, at
    /// least one.
    ///
    /// # Panics
    /// If the grid is 0.
    // papers/nexmark.md#queries, papers/nexmark.md#dilation
    pub fn dilated(dilation: f64, grid: u64) -> Spans {
        let span = |seconds: f64| ((seconds * 1e3 / dilation / grid as f64).round() as u64).max(1) * grid;
        let average_slide = span(5.0);
        Spans {
            average_size: 2 * average_slide,
            average_slide,
            hot_slide: span(60.0),
            hot_slides: 60,
            best_size: span(10.0),
            welcome_size: span(10.0),
            silence: span(10.0),
            grid,
        }
    }

    /// The first multiple of the grid that is not before `at`.
    pub(super) fn on_grid(&self, at: u64) -> u64 {
        at.next_multiple_of(self.grid)
    }
}

/// The end of the window of `size` that `at` is in, windows lying one after the other from 0.
#[inline]
pub(super) fn end_of(at: u64, size: u64) -> u64 {
    at - at % size + size
}
