//! How graphs are built.

use std::time::Duration;

use crate::time::Window;

/// How the graph is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphConfig {
    /// Length of a window; at least 1 ns.
    pub window: Duration,
    /// Look-ahead: how far past a window's end the log has to be complete before the window closes;
    /// waits that end later are treated as silence.
    pub lookahead: Duration,
    /// A gap this long that a message ends is a wait although the message was already on its way
    /// when the gap began. Shorter ones are the host's own overhead.
    pub least_wait: Duration,
    /// How long the lanes' timelines are kept before the newest window; zero if they are not read.
    pub history: Duration,
    /// Whether paths lead through messages that lay in a queue while their receiver was busy.
    /// SnailTrail's do; but what a busy lane finds in its queue is not what it waited for.
    pub through_queues: bool,
    /// If set, the windows cover this stretch without a hole, as far as the log goes: they also end
    /// at the edges of the stretch, begin with the log's first record and end with its last, and a
    /// stretch in which nothing happens is one window, however long. Otherwise all windows are
    /// equally long, and those in which nothing happens are skipped.
    pub covers: Option<Window>,
}

impl GraphConfig {
    /// Windows of `window`, as much lookahead, and the other rules as they usually are.
    pub fn new(window: Duration) -> GraphConfig {
        let window = window.max(Duration::from_nanos(1));
        GraphConfig {
            window,
            lookahead: window,
            least_wait: Duration::from_micros(10),
            history: Duration::ZERO,
            through_queues: false,
            covers: None,
        }
    }
}
