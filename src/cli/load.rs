//! `thalweg load`: makes loads over time, and shows those of files.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::failure::{Failure, usage};
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::scenario::Scenario;
use crate::plot::load_figure;
use crate::workload::Shape;
use crate::workload::load::{Column, Columns, Preset, Series, make, read};

/// Make a load over time, or show one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Make(Make),
    Show(Show),
}

/// Make a load from a seed: a CSV file with the columns 'time' (seconds) and 'value' (records per
/// second).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  thalweg load make daily --seed 1 --out daily.csv\n  thalweg load make bursty --hours 6 --every 10 --out bursty.csv"
)]
struct Make {
    #[arg(help = preset_help())]
    preset: Preset,
    /// Seed of all random numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Length in hours [default: 24; 168 for weekly, 2.33 to 3 for the last four]
    #[arg(long, allow_hyphen_values = true)]
    hours: Option<f64>,
    /// Seconds from one value to the next.
    #[arg(long, default_value_t = 60.0, allow_hyphen_values = true)]
    every: f64,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Show a load: its length, its spacing, its values, and a picture. Of a scenario: the load of each
/// of its sources, as a run gets it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  thalweg load show daily.csv --out daily.svg\n  thalweg load show load.json --column requests\n  \
                        thalweg load show my-scenario.toml --out load.png")]
struct Show {
    /// A load as CSV or JSON, or a scenario (a file that ends in .toml)
    file: PathBuf,
    /// The column of values: its name, or its number from 1 [default: the first that is no time]
    #[arg(long)]
    column: Option<String>,
    /// The column of times [default: the one that is named as one is wont to be, or the first]
    #[arg(long)]
    time: Option<String>,
    /// Seconds from one value to the next, for a file without times.
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    every: Option<f64>,
    /// Draw it to this file, which ends in .svg or .png.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

fn preset_help() -> String {
    let all: Vec<String> = Preset::ALL.iter().map(|preset| format!("{preset}: {}", preset.summary())).collect();
    format!("What to make. {}", all.join("; "))
}

pub(super) fn load(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Make(args) => write(args),
        What::Show(args) => show(args),
    }
}

fn write(args: &Make) -> Result<(), Failure> {
    let seconds = args.hours.map_or(args.preset.usual_s(), |hours| hours * 3600.0);
    let series = make(args.preset, args.seed, seconds, args.every).map_err(|why| usage(anyhow!("{why}")))?;
    let mut text = String::from("time,value\n");
    series.samples().iter().for_each(|(at, value)| text.push_str(&format!("{at},{value}\n")));
    folder::write_text(&args.out, &text).map_err(|why| usage(anyhow!("--out {why}")))?;
    tell(&About::of(&args.out, args.preset.name().to_owned(), &series), args.json, None);
    Ok(())
}

fn column(text: &str) -> Column {
    text.parse().map_or_else(|_| Column::Name(text.to_owned()), Column::Number)
}

/// What is said of a load.
struct About {
    file: PathBuf,
    name: String,
    values: usize,
    length_s: f64,
    spacing_s: f64,
    gaps: usize,
    lowest: f64,
    mean: f64,
    highest: f64,
}

impl About {
    fn of(file: &Path, name: String, series: &Series) -> About {
        About {
            file: file.to_owned(),
            name,
            values: series.samples().len(),
            length_s: series.length_s(),
            spacing_s: series.spacing_s(),
            gaps: series.gaps(),
            lowest: series.lowest(),
            mean: series.mean(),
            highest: series.highest(),
        }
    }
}

fn show(args: &Show) -> Result<(), Failure> {
    if args.file.extension().is_some_and(|extension| extension == "toml") {
        return show_scenario(args);
    }
    let columns = Columns { value: args.column.as_deref().map(column), time: args.time.as_deref().map(column), every_s: args.every };
    let series = read(&args.file, &columns).map_err(|why| usage(anyhow!("{why}")))?;
    let name = args.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let figure = picture(args, series.samples(), series.length_s(), &name)?;
    tell(&About::of(&args.file, name, &series), args.json, figure.as_deref());
    Ok(())
}

/// The load of each source of a scenario; the first of them is drawn.
fn show_scenario(args: &Show) -> Result<(), Failure> {
    if args.column.is_some() || args.time.is_some() || args.every.is_some() {
        return Err(usage(anyhow!(
            "{}: expected no --column, --time or --every with a scenario, which says them itself",
            args.file.display()
        )));
    }
    let scenario: Scenario = super::simulate::read(&args.file.to_string_lossy())?;
    let mut figure = None;
    for source in &scenario.operators {
        let Some(shape) = source.load.clone().or(source.rate.map(|rate| Shape::Constant { rate })) else { continue };
        let schedule = shape.schedule(scenario.duration()).map_err(|why| usage(anyhow!("{why}")))?;
        let rates: Vec<(f64, f64)> =
            schedule.phases().iter().map(|phase| (phase.start.as_secs_f64(), phase.rate.as_per_second())).collect();
        if figure.is_none() {
            figure = picture(args, &rates, scenario.seconds, &source.name)?;
        }
        let until = rates.iter().skip(1).map(|(at, _)| *at).chain([scenario.seconds]);
        let area: f64 = rates.iter().zip(until).map(|((at, rate), until)| rate * (until - at)).sum();
        let values = || rates.iter().map(|(_, rate)| *rate);
        let about = About {
            file: args.file.clone(),
            name: source.name.clone(),
            values: rates.len(),
            length_s: scenario.seconds,
            spacing_s: scenario.seconds / rates.len() as f64,
            gaps: 0,
            lowest: values().fold(f64::INFINITY, f64::min),
            mean: area / scenario.seconds,
            highest: schedule.highest().as_per_second(),
        };
        tell(&about, args.json, figure.as_deref());
    }
    Ok(())
}

fn picture(args: &Show, values: &[(f64, f64)], until_s: f64, name: &str) -> Result<Option<PathBuf>, Failure> {
    let Some(out) = &args.out else { return Ok(None) };
    let Environment { revision, .. } = Environment::here();
    let footer = format!("{} values of {}; revision {revision}", values.len(), args.file.display());
    let drawn = load_figure(values, until_s, (&format!("Load over time: {name}"), &footer), out);
    drawn.map(Some).map_err(|why| usage(anyhow!("--out {why}")))
}

fn tell(about: &About, json: bool, figure: Option<&Path>) {
    let About { file, name, values, length_s, spacing_s, gaps, lowest, mean, highest } = about;
    if json {
        let printed = serde_json::json!({
            "file": file, "name": name, "values": values, "length_s": length_s, "spacing_s": spacing_s, "gaps": gaps,
            "lowest": lowest, "mean": mean, "highest": highest, "figure": figure,
        });
        println!("{printed}");
        return;
    }
    let ratio = if *lowest > 0.0 { format!(", {:.1} times the lowest", highest / lowest) } else { String::new() };
    println!("load                {name}");
    println!("length              {:.2} h: {values} values, {spacing_s} s apart, {gaps} gaps", length_s / 3600.0);
    println!("values              {lowest:.1} to {highest:.1}{ratio}; mean {mean:.1}");
    println!("file                {}", file.display());
    if let Some(figure) = figure {
        println!("figure              {}", figure.display());
    }
}
