//! `thalweg reproduce` for suites: all policies in all cases, in parallel on all cores, in virtual
//! time.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Context as _;

use super::Failure;
use super::plot::draw;
use super::reproduce::{Args, out_folder};
use super::reproduced::{Reproduced, check_cases, check_policies, runs_bar};
use crate::experiment::environment::Environment;
use crate::experiment::record::DEFINITION;
use crate::experiment::suite::{Cases, Order, SuiteDefinition, SuiteOutcome, SuiteRow};
use crate::experiment::{folder, interrupt};
use crate::report::{order_table, path_table, suite_table};

/// A run as printed by `--json`.
#[derive(serde::Serialize)]
struct Told {
    #[serde(flatten)]
    row: SuiteRow,
    /// Instances at the end by operator.
    r#final: BTreeMap<String, u32>,
    /// The policy's reasons: each distinct rule with its operator, and each finding.
    reasons: Vec<String>,
}

pub(super) fn reproduce(args: &Args, definition: &SuiteDefinition) -> Result<(), Failure> {
    let known: Vec<&str> = definition.policies.iter().map(|policy| policy.label()).collect();
    check_policies(args, &definition.figure, &known)?;
    let all = definition.runs(args.which_cases(), args.scale, 1, &[]);
    let mut known: Vec<String> = all.iter().map(|run| run.case.name.clone()).collect();
    known.dedup();
    check_cases(args, &definition.figure, &known)?;
    let environment = Environment::here();
    let out = out_folder(args.out.as_deref(), &format!("{}-{}", definition.figure, args.scale), &definition.figure, &environment)?;
    let rows_file = out.join(folder::SUITE);
    // Seeds that follow each other are a repetition here: the definition says how many make a
    // result.
    let seeds = definition.seeds.at(args.scale);
    let runs: Vec<_> = (0..args.repeat)
        .flat_map(|repeat| definition.runs(args.which_cases(), args.scale, 1 + args.seed + repeat * seeds, &args.policies))
        .collect();
    let runs: Vec<_> = runs.into_iter().filter(|run| args.cases.is_empty() || args.cases.contains(&run.case.name)).collect();
    let bar = runs_bar(runs.len());
    // What there is if somebody interrupts them.
    let measured: Mutex<Vec<(usize, SuiteRow)>> = Mutex::default();
    let outcomes = SuiteDefinition::run(&runs, |run, outcome| {
        let position = runs.iter().position(|other| std::ptr::eq(other, run)).unwrap_or(runs.len());
        measured.lock().expect("nobody panics with it").push((position, outcome.row.clone()));
        bar.set_message(format!("{} under {} ({})", run.case.name, run.policy.label(), run.host.name()));
        bar.inc(1);
    });
    bar.finish_and_clear();
    if interrupt::asked() {
        let mut measured = measured.into_inner().expect("nobody panics with it");
        measured.sort_by_key(|(position, _)| *position);
        let rows: Vec<SuiteRow> = measured.into_iter().map(|(_, row)| row).collect();
        folder::write_csv(&rows_file, &rows)?;
    }
    let mut outcomes = outcomes.context("a run of the suite failed")?;
    let orders: Vec<Order> = definition.both_hosts.same_order.iter().flat_map(|same| same.orders(&outcomes)).collect();
    let not_as_expected = definition.expect.iter().flat_map(|expected| expected.violations(&outcomes));
    let violations: Vec<String> = not_as_expected.chain(orders.iter().flat_map(Order::violations)).collect();
    // The oracle ran for the sake of the others.
    outcomes.retain(|outcome| args.policies.is_empty() || args.policies.contains(&outcome.row.policy));
    let rows: Vec<SuiteRow> = outcomes.iter().map(|outcome| outcome.row.clone()).collect();
    folder::write_csv(&rows_file, &rows)?;
    folder::write_text(&out.join(DEFINITION), &toml::to_string(definition).context("the definition as TOML")?)?;
    folder::write_text(&out.join(folder::ENVIRONMENT), &toml::to_string(&environment).context("the environment as TOML")?)?;
    let figure_files = draw(&out)?;
    let told = |SuiteOutcome { row, last, reasons }| Told { row, r#final: last, reasons };
    let reproduced = Reproduced {
        figure: &definition.figure,
        host: if args.which_cases() == Cases::InVirtualTime && !definition.is_for_both_hosts() { "sim" } else { "sim and engine" },
        scale: args.scale.to_string(),
        time_factor: None,
        environment,
        runs: outcomes.into_iter().map(told).collect(),
        violations,
        rows_file,
        figure_files,
        folder: out,
    };
    reproduced.tell(args, &definition.title, || suite_table(&rows) + &path_table(&rows) + &order_table(&orders))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_with_its_instances_by_name() {
        let row = SuiteRow { scenario: "noise-10".into(), host: "sim".into(), policy: "ds2".into(), seed: 3, ..SuiteRow::default() };
        let told = Told { row, r#final: BTreeMap::from([("count".to_owned(), 20)]), reasons: vec!["equation-7".into()] };
        let json = serde_json::to_value(told).unwrap();
        for (key, expected) in [("scenario", "\"noise-10\""), ("seed", "3"), ("final", "{\"count\":20}"), ("goal_violations", "null")] {
            assert_eq!(json[key].to_string(), expected, "{key}");
        }
        let keys = [
            "host",
            "policy",
            "actions",
            "reversals",
            "settle_s",
            "under_provisioned_s",
            "excess_instance_s",
            "latency_ns_p50",
            "latency_ns_p99",
            "latency_ns_max",
            "bytes_moved",
        ];
        assert!(keys.iter().all(|key| json.get(key).is_some()), "{json}");
    }

    #[test]
    fn a_policy_that_is_not_part_of_the_suite_is_named() {
        let Ok(crate::experiment::figures::Figure::Suite(definition)) = crate::experiment::figures::Figure::named("loop") else {
            panic!("loop is a suite");
        };
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let line = <Line as clap::Parser>::parse_from(["reproduce", "loop", "--policies", "ds2,ds3"]);
        let Err(Failure::Usage(error)) = reproduce(&line.args, &definition) else { panic!("ds3 is no policy") };
        let line_of_case = <Line as clap::Parser>::parse_from(["reproduce", "loop", "--cases", "under,over"]);
        let Err(Failure::Usage(no_case)) = reproduce(&line_of_case.args, &definition) else { panic!("over is no case") };
        assert!(no_case.to_string().starts_with("--cases: expected cases of loop on this host, among under, dynamic,"), "{no_case}");
        assert!(
            error.to_string().contains("expected policies of loop, among 'oracle', ") && error.to_string().ends_with("found 'ds3'"),
            "{error}"
        );
    }
}
