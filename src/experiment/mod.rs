//! Experiments: what is to be run, running it, and the rows and folders a run leaves behind.
//!
//! Definition, run and report are three steps with files between them. A figure or a table is made from recorded files
//! alone, never from a running host, so that everything printed can be made again from what was recorded.

pub mod bench;
pub mod calibration;
mod carrying_out;
pub mod check;
pub mod closed_loop;
pub mod commands;
pub mod definition;
pub mod environment;
pub mod external;
pub mod flink;
pub mod folder;
pub mod frame;
pub mod instance_rows;
pub mod interrupt;
mod kept_log;
pub mod migration;
pub mod nexmark_overhead;
pub mod order;
pub mod out_folder;
pub mod overload;
pub mod partial;
pub mod plan;
pub mod policies;
pub mod ranking;
pub mod record;
mod result;
pub mod rivals;
pub mod rows;
pub mod run;
pub mod scale;
pub mod scenario;
pub mod shown;
pub mod simulated;
pub mod steps;
pub mod study;
mod supervision;
pub mod view;
pub mod what_if;
pub mod what_if_curves;
pub mod window_latency;
