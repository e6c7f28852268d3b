//! The palette of all figures: Okabe and Ito's, which is distinguishable with any common colour
//! blindness.

use plotters::style::RGBColor;

/// Text and frames.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Explanatory text.
pub const MUTED: RGBColor = RGBColor(0x66, 0x66, 0x66);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(0xE6, 0xE6, 0xE6);
/// Times of actions.
pub const ACTION: RGBColor = RGBColor(0x99, 0x99, 0x99);
/// The offered load, drawn beneath the achieved one.
pub const OFFERED: RGBColor = RGBColor(0xBB, 0xBB, 0xBB);
/// The achieved throughput.
pub const ACHIEVED: RGBColor = RGBColor(0x00, 0x00, 0x00);
/// Background.
pub const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Waiting for a message: paler than any work.
pub const WAIT: RGBColor = RGBColor(0xD9, 0xD9, 0xD9);
/// External wait.
pub const OUTSIDE: RGBColor = RGBColor(0xF0, 0xE4, 0x42);
/// The median.
pub const P50: RGBColor = RGBColor(0x56, 0xB4, 0xE9);
/// The 99th percentile.
pub const P99: RGBColor = RGBColor(0xE6, 0x9F, 0x00);

/// Operators in the order of the job. Those of [`P50`] and [`P99`] come last, for few jobs have
/// five operators.
const OPERATORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x00, 0x00, 0x00),
    P50,
    P99,
];

/// Migrations in progress, drawn behind the lines.
pub const MIGRATING: RGBColor = RGBColor(0xFB, 0xEF, 0xD6);

/// Migration strategies in their order; the first one never migrates.
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
