//! Loads over time that are not a formula: read from a file, or made from a seed.
//!
//! A file becomes a [`Series`] of values at times, and a [`Trace`] says how a series becomes the
//! load of a run: how fast it passes, how high it is, and what happens between two values.

mod columns;
mod csv;
mod error;
mod file;
mod json;
mod preset;
mod series;
mod times;
mod trace;

pub use columns::{Column, Columns};
pub use error::{LoadError, Place};
pub use file::read;
pub use preset::{Preset, WrongPreset, make};
pub use series::Series;
pub use trace::{Gaps, ScaleTo, Trace};
