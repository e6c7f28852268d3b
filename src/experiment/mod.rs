//! Experiments: what is to be run, running it, and the rows and folders a run leaves behind.
//!
//! Definition, run and report are three steps with files between them. A figure or a table is made from recorded files
//! alone, never from a running host, so that everything printed can be made again from what was recorded.

pub mod analysed;
pub mod calibration;
mod carrying_out;
pub mod claims;
pub mod definition;
pub mod environment;
pub mod expectation;
pub mod external;
pub mod fidelity;
pub mod figures;
pub mod folder;
pub mod interrupt;
mod kept_log;
pub mod migration;
pub mod nexmark;
pub mod nexmark_overhead;
pub mod out_folder;
pub mod partial;
pub mod policies;
pub mod ranking;
pub mod record;
mod result;
pub mod rows;
pub mod run;
pub mod scenario;
pub mod simulated;
pub mod simulated_figure;
pub mod steps;
pub mod suite;
mod supervision;
pub mod window_latency;
