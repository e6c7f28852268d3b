//! The one palette of all figures: Okabe and Ito's, which people with any common colour blindness tell apart.

use plotters::style::RGBColor;

/// Text and frames.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Text that explains.
pub const MUTED: RGBColor = RGBColor(0x66, 0x66, 0x66);
/// Lines to read values by.
pub const GRID: RGBColor = RGBColor(0xE6, 0xE6, 0xE6);
/// Moments of actions.
pub const ACTION: RGBColor = RGBColor(0x99, 0x99, 0x99);
/// What was asked of the job: beneath what it did.
pub const OFFERED: RGBColor = RGBColor(0xBB, 0xBB, 0xBB);
/// What the job did.
pub const ACHIEVED: RGBColor = RGBColor(0x00, 0x00, 0x00);
/// What everything lies on.
pub const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Waiting for a message: paler than any work.
pub const WAIT: RGBColor = RGBColor(0xD9, 0xD9, 0xD9);
/// Waiting for something outside.
pub const OUTSIDE: RGBColor = RGBColor(0xF0, 0xE4, 0x42);
/// Half of the records.
pub const P50: RGBColor = RGBColor(0x56, 0xB4, 0xE9);
/// The slowest hundredth.
pub const P99: RGBColor = RGBColor(0xE6, 0x9F, 0x00);

/// The slowest of all.
pub const MOST: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
/// One process.
pub const FIRST: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// The others.
pub const OTHER: RGBColor = RGBColor(0x00, 0x9E, 0x73);

/// Operators in the order of the job. Those of [`P50`] and [`P99`] come last, for few jobs have five operators.
const OPERATORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x00, 0x00, 0x00),
    P50,
    P99,
];

/// While bins move: behind the lines.
pub const MIGRATING: RGBColor = RGBColor(0xFB, 0xEF, 0xD6);

/// Migration strategies in their order; nothing moves under the first one.
const STRATEGIES: [RGBColor; 8] = [
    ACTION,
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    P99,
    RGBColor(0x00, 0x00, 0x00),
    P50,
];

/// The colour of the strategy at `position` in the order of strategies.
pub fn strategy(position: usize) -> RGBColor {
    STRATEGIES[position % STRATEGIES.len()]
}

/// The colour of the operator at `position`; colours repeat after the seventh.
pub fn operator(position: usize) -> RGBColor {
    OPERATORS[position % OPERATORS.len()]
}
