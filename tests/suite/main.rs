//! The tests of the whole: one program, because linking one takes as long as most of them run. A file is a module, and its name a
//! filter: `cargo test --release --test suite readers::`.
//!
//! The only other programs are `tests/reader_fuzz.rs` and `tests/memory_of_paths.rs`, whose global allocators count. A test that needs a
//! process to itself starts the suite once more (`alone.rs`).

mod activity;
mod alone;
mod analysis;
mod analyze;
mod any_window;
mod attribution;
mod calibration;
mod chrome_path;
mod cli;
mod cluster;
mod compare;
mod cost_of_change;
mod decide;
mod diagnosis;
mod differential_oracle;
mod disturbed_metrics;
mod engine_precision;
mod epoch_paths;
mod external_policy;
mod external_wait;
mod faults;
mod flink;
mod fluid;
mod graph_edges;
mod interrupted;
mod live;
mod loads;
mod memory;
mod migration_experiment;
mod migration_oracle;
mod nexmark;
mod nexmark_oracle;
mod nexmark_run;
mod oracle;
mod participation;
mod policy_goldens;
mod precision;
mod random_job;
mod read_ahead;
mod readers;
mod record_timely;
mod recorded;
mod registries;
mod reproduce_all;
mod rivals;
mod shared_workers;
mod simulated_graph;
mod simulation;
mod slow_instances;
mod source_partitions;
mod spans;
mod spark_kinds;
mod stopped;
mod taken_up;
mod tidy;
mod traces;
mod troubled_loop;
mod what_if;
mod word_count;
mod wording;
mod written;
mod yielding;
