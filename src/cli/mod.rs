//! The command line: one file per subcommand.
//!
//! Results go to standard output, everything else to standard error. Exit code 2 means invalid
//! input (a flag, a file, a name), 1 that a valid command failed, 130 that it was interrupted.

mod analyze;
mod browser;
mod calibrate;
mod completions;
mod decide;
mod drive;
mod explain;
mod failure;
mod hosts;
mod interrupted;
mod live;
mod load;
mod memory;
mod outcome;
mod pace;
mod plan;
mod plot;
mod policy;
mod process;
mod progress;
mod report;
mod reproduce;
mod reproduce_all;
mod rival;
mod run;
mod run_load;
mod simulate;
mod stage;
mod terminal;
mod uneven;
mod view;
mod watched;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::experiment::interrupt;
use failure::Failure;

/// A self-tuning stream scheduler: watch a dataflow rescale itself, and compare policies that do
/// it.
#[derive(Debug, Parser)]
#[command(name = "thalweg", args_conflicts_with_subcommands = true, version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("THALWEG_REVISION"), ")"), max_term_width = 110)]
#[command(
    after_help = "Start here:\n  thalweg                           three policies on an underprovisioned job and on a skewed one (2 minutes)\n  thalweg reproduce ds2-fig6        four policies on the Heron word count, with a figure (3 minutes)\n  \
                        thalweg run --policy ds2          one policy, live\n  thalweg simulate heron-wordcount  the same in virtual time\n  thalweg analyze activity.log      find a job's bottleneck\n  thalweg help run                  all options of a command"
)]
struct Cli {
    /// Without a command: also serve a live page of the runs, at ADDR [default: 127.0.0.1:8425]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    live: Option<String>,
    /// Without a command: three policies side by side on the engine, in two minutes.
    #[command(subcommand)]
    command: Option<Command>,
}

/// The figures that run when no command is given.
const HEADLINE: [&str; 2] = ["loop-under", "loop-skew"];

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Simulate(simulate::Args),
    Reproduce(reproduce::Args),
    Plot(plot::Args),
    Report(report::Args),
    Explain(explain::Args),
    View(view::Args),
    Analyze(analyze::Args),
    Decide(decide::Args),
    Load(load::Args),
    Plan(plan::Args),
    Drive(drive::Args),
    /// Print a completion script for your shell.
    Completions(completions::Args),
    /// Serve as a worker process of a job ('run --processes' starts it).
    #[command(hide = true)]
    Process(process::Args),
    /// Compute on a core for a part of its time (experiments start it).
    #[command(hide = true)]
    Rival(rival::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let done = match cli.command {
        Some(command) => carry_out(command),
        None => stage::open(cli.live.as_deref()).and_then(|()| {
            HEADLINE.into_iter().try_for_each(|figure| {
                eprintln!("thalweg reproduce {figure}");
                let asked = Cli::parse_from(["thalweg", "reproduce", figure]);
                carry_out(asked.command.expect("a command was given"))
            })
        }),
    };
    if interrupt::asked() {
        return interrupted::end();
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => {
            eprintln!("thalweg: {error:#}");
            ExitCode::from(2)
        }
        Err(Failure::Run(error)) => {
            eprintln!("thalweg: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Result<(), Failure> {
    let may_move_state = match &command {
        Command::Run(_) => true,
        Command::Reproduce(args) => args.on_engine(),
        _ => false,
    };
    if may_move_state {
        memory::give_back();
    }
    match command {
        Command::Run(args) => run::run(&args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Reproduce(args) => {
            reproduce_all::end_with_who_waits();
            if args.is_all() { reproduce_all::reproduce_all(&args) } else { reproduce::reproduce(&args) }
        }
        Command::Plot(args) => plot::plot(&args),
        Command::Report(args) => report::report(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::View(args) => view::view(&args),
        Command::Analyze(args) => analyze::analyze(&args),
        Command::Decide(args) => decide::decide(&args),
        Command::Load(args) => load::load(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Drive(args) => drive::drive(&args),
        Command::Completions(args) => completions::completions(&args, Cli::command()),
        Command::Process(args) => process::process(&args),
        Command::Rival(args) => rival::rival(&args),
    }
}

/// Prints help and version as clap does, and an error as one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        // The reader may have closed the pipe; that is no error.
        let _ = error.print();
        return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
    }
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let line: Vec<&str> = what.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    eprintln!("thalweg: {} (see 'thalweg --help')", line.join(" "));
    ExitCode::from(2)
}
