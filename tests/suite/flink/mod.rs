//! Driving Flink jobs, without Flink: a fake cluster in virtual time for decisions, over HTTP for what can go wrong on the way.

mod decisions;
mod download;
mod fake;
mod fuzz;
mod goldens;
mod http;
mod page;
mod recorded;
mod server;
mod virtual_time;
