#![doc = include_str!("ARCHITECTURE.md")]

// The tests of the whole name this crate; some of them are unit tests, too.
#[cfg(test)]
extern crate self as thalweg;

pub mod activity;
pub mod cli;
pub mod controller;
pub mod critical_path;
pub mod dataflow;
pub mod engine;
pub mod experiment;
pub mod export;
pub mod flink;
pub mod id;
pub mod live;
pub mod metrics;
pub mod migration;
pub mod model;
pub mod observation;
pub mod pag;
pub mod plot;
pub mod policy;
pub mod rate;
pub mod readers;
pub mod report;
pub mod sim;
pub mod stats;
pub mod time;
pub mod workload;
