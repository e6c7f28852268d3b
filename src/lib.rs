//! Thalweg.

pub mod activity;
pub mod cli;
pub mod controller;
pub mod dataflow;
pub mod engine;
pub mod experiment;
pub mod id;
pub mod metrics;
pub mod migration;
pub mod observation;
pub mod plot;
pub mod policy;
pub mod rate;
pub mod report;
pub mod stats;
pub mod time;
pub mod workload;
