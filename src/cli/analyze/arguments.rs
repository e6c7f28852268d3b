//! The arguments of `thalweg analyze`, all checked before any file is read.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::anyhow;
use jiff::SignedDuration;

use super::growing::Growing;
use crate::cli::failure::{Failure, usage};
use crate::critical_path::{By, Change};
use crate::engine::{AnalysisConfig, StandingQuery};
use crate::experiment::folder;
use crate::export::{Format, StackFormat};
use crate::pag::GraphConfig;
use crate::readers::{self, Trace};
use crate::time::{Timestamp, Window};

/// Find a job's bottleneck from its activity log.
///
/// Each window of the trace becomes a graph of what every lane (a worker, or an instance with its
/// own capacity) did and waited for. A path through this graph is a chain of activities and
/// messages, each of which had to end before the next could start. Operators on most of the paths
/// are the bottleneck; operators that are merely busy are not. The conventional profile and one
/// random path are shown for comparison.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Queries:\n  \
                        participation operator|instance|channel > 50% [over N windows | in each of N windows]\n  \
                        epoch|message|activity > 200ms [over N windows]\n  \
                        wait > 1s [over N windows]\n  \
                        wait in M of N windows\n\n\
                        Examples:\n  thalweg run --policy hold --record --out slow && thalweg analyze slow/activity.log\n  \
                        thalweg analyze slow/activity.log --by instance --window 500ms --json\n  \
                        thalweg analyze slow/activity.log --export perfetto=trace.json --plot lanes.svg\n  \
                        thalweg analyze before/activity.log --compare after/activity.log\n  \
                        thalweg analyze slow/activity.log --live --open\n\n\
                        Exit code 1: the trace of --compare is slower. Exit code 2: an argument is invalid or a file is damaged; the part of a file before the damage is still analysed.")]
pub(in crate::cli) struct Args {
    /// Traces of one job: activity logs of 'run --record', or files in another format (see
    /// --format), plain or compressed with gzip, zstd or lz4; '-' is standard input, a folder is that
    /// of a run, or a rolled event log of Spark.
    #[arg(required_unless_present = "flink", value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) flink: FlinkArgs,
    /// Length of a window, such as 500ms, 1s or 2m. What is said of the whole trace does not depend on
    /// it; columns that count windows, queries, exports and the windows of --json do.
    #[arg(long, default_value = "1s", allow_hyphen_values = true)]
    window: String,
    /// What to rank: operator, instance, activity, worker or channel.
    #[arg(long, default_value = "operator")]
    by: String,
    /// Also break down the latency of each completed epoch, exactly to the nanosecond; '--epochs=p99'
    /// also shows what is on the path of the slowest hundredth only.
    #[arg(long, value_name = "PERCENTILE", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    epochs: Option<String>,
    /// Predict what it would give if work cost less or more, such as `count=0.5x; map[3]=2x; network=0`, by
    /// timing the whole trace again: the latency of epochs, or the time where there are none. Also what each
    /// operator's speed-up alone would give, which is all of 'curves'.
    #[arg(long, value_name = "CHANGES")]
    what_if: Option<String>,
    /// Compare with this trace, which came later: what takes longer in it, and what of it is noise.
    /// Exit code 1: its epochs are slower. Once for each file of the trace.
    #[arg(long, value_name = "FILE")]
    compare: Vec<PathBuf>,
    /// As --from, for the trace that is compared [default: as --from]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, requires = "compare")]
    compare_from: Option<String>,
    /// As --until, for the trace that is compared [default: as --until]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, requires = "compare")]
    compare_until: Option<String>,
    /// Number of entries and waits to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Look-ahead past a window's end, to resolve its open waits.
    #[arg(long, default_value = "1s", allow_hyphen_values = true)]
    lookahead: String,
    /// Let paths pass through messages that were queued while their receiver was busy, as
    /// SnailTrail does.
    #[arg(long)]
    through_queues: bool,
    /// Skip windows that end before this time since the start of the run, such as 2s.
    #[arg(long, allow_hyphen_values = true)]
    from: Option<String>,
    /// Skip windows that start after this time.
    #[arg(long, allow_hyphen_values = true)]
    until: Option<String>,
    /// Input format: thalweg, snailtrail, spark, timely, chrome, jaeger or otlp [default: detected from content]
    #[arg(long)]
    format: Option<String>,
    /// Export the windows: perfetto=FILE (opens in ui.perfetto.dev), dot=FILE, csv=FILE or json=FILE;
    /// or the critical paths of the whole trace: flame=FILE.svg (a flame graph) or folded=FILE; or a
    /// copy of a Chrome trace with the critical path laid over it: overlay=FILE; or what each operator's
    /// speed-up would give: curves=FILE.svg or .png.
    #[arg(long, value_name = "FORMAT=FILE")]
    export: Vec<String>,
    /// Draw the activity of the lanes, with the most likely critical path, as FILE.svg or FILE.png;
    /// --from and --until select the time.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Report when a query starts or stops matching, such as 'participation operator > 50% over 3
    /// windows' (see below).
    #[arg(long, value_name = "QUERY")]
    watch: Vec<String>,
    /// Analysis threads, in addition to the one that reads; the results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: u32,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) page: PageArgs,
}

/// Flags for the page of an analysis.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PageArgs {
    /// Serve a live page of the analysis at ADDR while it goes through the trace, and until Ctrl-C: a port of this machine, or an
    /// address with a port [default: 127.0.0.1:8425]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["compare", "flink"])]
    pub(super) live: Option<String>,
    /// Open the live page in a browser.
    #[arg(long, requires = "live")]
    pub(super) open: bool,
    /// Also write the page of the analysis to FILE: one HTML file that needs no network.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["compare", "flink"])]
    pub(super) report: Option<PathBuf>,
    /// Go on reading as the file grows, until Ctrl-C, which ends the trace there.
    #[arg(long, conflicts_with_all = ["compare", "flink"])]
    pub(super) follow: bool,
}

/// Flags for a running Flink job in place of a trace.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FlinkArgs {
    /// Look at a running Flink job instead of a trace, by the address of its REST interface, such as
    /// http://host:8081. Only reads; credentials as for 'thalweg drive flink'.
    #[arg(long, value_name = "URL", conflicts_with_all = ["files", "by", "epochs", "what_if", "lookahead", "through_queues", "from", "until", "format", "export", "plot", "watch", "workers"])]
    pub(super) flink: Option<String>,
    /// With --flink: id or name of the job [default: the only one that runs]
    #[arg(long, value_name = "JOB", requires = "flink")]
    pub(super) job: Option<String>,
    /// With --flink: how long to look [default: 10s]
    #[arg(long = "for", value_name = "TIME", requires = "flink", allow_hyphen_values = true)]
    pub(super) look_for: Option<String>,
}

/// Windows from which the whole trace is summed up, whatever '--window' says.
const WHOLE_WINDOW: Duration = Duration::from_secs(1);
/// The lanes' timelines are kept for this long, and for as long as an epoch is open.
const HISTORY: Duration = Duration::from_secs(60);

/// Number of blocks (of some thousand records) by which the reader may be ahead.
const WAITING_BLOCKS: usize = 8;
/// The most analysis threads.
const MOST_THREADS: u32 = 64;

/// The checked arguments.
pub(super) struct Asked {
    files: Vec<PathBuf>,
    pub(super) window_text: String,
    pub(super) graph: GraphConfig,
    pub(super) by: By,
    pub(super) epochs: bool,
    /// Whether it is one of two traces that are compared.
    pub(super) is_compared: bool,
    /// The quantile above which epochs are slow, if they are asked for.
    pub(super) slow: Option<f64>,
    pub(super) top: usize,
    from: Timestamp,
    until: Timestamp,
    format: Option<readers::Format>,
    pub(super) exports: Vec<(Format, PathBuf)>,
    pub(super) stacks: Vec<(StackFormat, PathBuf)>,
    /// Copies of the trace with the critical path laid over it.
    pub(super) overlays: Vec<PathBuf>,
    /// Pictures of what each operator's speed-up would give.
    pub(super) curves: Vec<PathBuf>,
    /// Whether that is asked for, and the change that is asked for.
    pub(super) what_if: Option<Option<Change>>,
    pub(super) plot: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) watch: Vec<StandingQuery>,
    workers: u32,
    /// Whether files are read as they grow.
    follow: bool,
}

impl Args {
    /// Whether two traces are to be compared.
    pub(super) fn is_comparison(&self) -> bool {
        !self.compare.is_empty()
    }
}

impl Asked {
    pub(super) fn of(args: &Args) -> Result<Asked, Failure> {
        let window = length("window", &args.window)?;
        if window.is_zero() {
            return Err(usage(anyhow!("--window: expected more than 0, found '{}'", args.window)));
        }
        let lookahead = length("lookahead", &args.lookahead)?;
        let instant = |name: &str, text: &Option<String>, otherwise| match text {
            Some(text) => length(name, text).map(|length| Timestamp::ZERO + length),
            None => Ok(otherwise),
        };
        let (from, until) = (instant("from", &args.from, Timestamp::ZERO)?, instant("until", &args.until, Timestamp(u64::MAX))?);
        if from >= until {
            return Err(usage(anyhow!("--until: expected more than --from ({from}), found {until}")));
        }
        if args.top == 0 {
            return Err(usage(anyhow!("--top: expected at least 1, found 0")));
        }
        if !(1..=MOST_THREADS).contains(&args.workers) {
            return Err(usage(anyhow!("--workers: expected 1 to {MOST_THREADS}, found {}", args.workers)));
        }
        let watch = args.watch.iter().map(|text| text.parse().map_err(|why| usage(anyhow!("--watch: {why}")))).collect::<Result<_, _>>()?;
        let (mut exports, mut stacks, mut overlays, mut curves) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for text in &args.export {
            match export(text)? {
                (Exported::Windows(format), path) => exports.push((format, path)),
                (Exported::Stacks(format), path) => stacks.push((format, path)),
                (Exported::Overlay, path) => overlays.push(path),
                (Exported::Curves, path) => {
                    check_picture("--export curves=", &path)?;
                    curves.push(path);
                }
            }
        }
        if let Some(path) = &args.plot {
            check_picture("--plot ", path)?;
        }
        let of_stacks = stacks.iter().map(|(_, path)| path);
        let mut written: Vec<&PathBuf> =
            exports.iter().map(|(_, path)| path).chain(of_stacks).chain(&overlays).chain(&curves).chain(&args.plot).collect();
        written.sort();
        if let Some(twice) = written.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(usage(anyhow!("{}: expected a different file for each --export and --plot, found it twice", twice[0].display())));
        }
        let same = |a: &PathBuf, b: &PathBuf| a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b));
        if let Some(input) = written.iter().find(|path| args.files.iter().chain(&args.compare).any(|file| same(path, &of_run(file)))) {
            return Err(usage(anyhow!("{}: expected an output file, found the name of an input trace", input.display())));
        }
        let what_if = match args.what_if.as_deref().map(str::trim) {
            None => (!curves.is_empty()).then_some(None),
            Some("curves") => Some(None),
            Some(changes) => Some(Some(changes.parse::<Change>().map_err(|why| usage(anyhow!("--what-if: {why}")))?)),
        };
        Ok(Asked {
            files: args.files.iter().map(|file| of_run(file)).collect(),
            window_text: args.window.trim().to_owned(),
            graph: GraphConfig {
                lookahead,
                through_queues: args.through_queues,
                covers: Some(Window { start: from, end: until }),
                ..GraphConfig::new(window)
            },
            by: by(&args.by)?,
            epochs: args.epochs.is_some(),
            is_compared: false,
            slow: args.epochs.as_deref().map(percentile).transpose()?.flatten(),
            top: args.top,
            from,
            until,
            format: args.format.as_deref().map(format).transpose()?,
            exports,
            stacks,
            overlays,
            curves,
            what_if,
            plot: args.plot.clone(),
            json: args.json,
            watch,
            workers: args.workers,
            follow: args.page.follow,
        })
    }

    /// What is asked of each of two traces that are compared.
    pub(super) fn both(args: &Args) -> Result<(Asked, Asked), Failure> {
        let is_percentile = args.epochs.as_ref().is_some_and(|epochs| epochs != "all");
        let refused = [
            ("--watch", !args.watch.is_empty()),
            ("--plot", args.plot.is_some()),
            ("--epochs=PERCENTILE", is_percentile),
            ("--what-if", args.what_if.is_some()),
        ];
        if let Some((flag, _)) = refused.iter().find(|(_, is_there)| *is_there) {
            return Err(usage(anyhow!("{flag}: expected without --compare, found both")));
        }
        let first = Asked { epochs: true, is_compared: true, ..Asked::of(args)? };
        let exported = first.exports.first().map(|(format, _)| format.to_string());
        let exported = exported.or_else(|| first.overlays.first().map(|_| "overlay".to_owned()));
        if let Some(format) = exported.or_else(|| first.curves.first().map(|_| "curves".to_owned())) {
            return Err(usage(anyhow!("--export: expected 'folded' or 'flame' with --compare, found '{format}'")));
        }
        let second = Args {
            files: args.compare.clone(),
            from: args.compare_from.clone().or_else(|| args.from.clone()),
            until: args.compare_until.clone().or_else(|| args.until.clone()),
            compare: args.files.clone(),
            ..args.clone()
        };
        Ok((first, Asked { epochs: true, is_compared: true, ..Asked::of(&second)? }))
    }

    /// What the trace is called where there are two.
    pub(super) fn name(&self) -> String {
        let instant = |at: Timestamp| at.to_string();
        let end = (self.until < Timestamp(u64::MAX)).then(|| format!(" until {}", instant(self.until)));
        let begin = (self.from > Timestamp::ZERO).then(|| format!(" from {}", instant(self.from)));
        format!("{}{}{}", self.files_text(), begin.unwrap_or_default(), end.unwrap_or_default())
    }

    pub(super) fn open(&self) -> Result<Trace, Failure> {
        let opened = match self.format {
            format if self.follow => {
                let growing = |file: &PathBuf| Growing::open(file).map_err(|why| usage(anyhow!("{}: {why}", file.display())));
                readers::read(self.files.iter().map(growing).collect::<Result<_, _>>()?, format)
            }
            Some(format) => readers::open_as(&self.files, format),
            None => readers::open(&self.files),
        };
        let trace = opened.map_err(usage)?;
        if !self.overlays.is_empty() && (trace.format() != readers::Format::Chrome || self.file_to_copy().is_none()) {
            let found = if trace.format() == readers::Format::Chrome { self.files_text() } else { trace.format().to_string() };
            return Err(usage(anyhow!("--export overlay: expected one file with a Chrome trace, found {found}")));
        }
        Ok(trace)
    }

    /// The file of the trace, if it is one that can be read again.
    pub(super) fn file_to_copy(&self) -> Option<&Path> {
        match &self.files[..] {
            [file] if file.is_file() => Some(file),
            _ => None,
        }
    }

    /// Whether the windows that were asked for are those of the whole trace.
    pub(super) fn is_one_analysis(&self) -> bool {
        self.graph.window == WHOLE_WINDOW
    }

    /// Configuration of the analysis of the whole trace.
    pub(super) fn whole(&self) -> AnalysisConfig {
        let queries = if self.is_one_analysis() { self.watch.clone() } else { Vec::new() };
        // Beside what a speed-up would give stands the bound on what it could give.
        let epochs = self.epochs || self.what_if.is_some();
        let history = if epochs { HISTORY } else { Duration::ZERO };
        AnalysisConfig { epochs, queries, ..self.analysis(GraphConfig { window: WHOLE_WINDOW, history, ..self.graph }) }
    }

    /// Configuration of the analysis of the windows that were asked for; nothing if that of the whole
    /// trace gives them.
    pub(super) fn windows(&self) -> Option<AnalysisConfig> {
        let queries = self.watch.clone();
        (!self.is_one_analysis()).then(|| AnalysisConfig { queries, ..self.analysis(self.graph) })
    }

    fn analysis(&self, graph: GraphConfig) -> AnalysisConfig {
        AnalysisConfig {
            workers: self.workers,
            awaited: self.awaited(),
            stretch: self.selected(),
            waiting_batches: WAITING_BLOCKS,
            graph,
            ..AnalysisConfig::new(graph.window)
        }
    }

    /// The selected time.
    pub(super) fn selected(&self) -> Window {
        Window { start: self.from, end: self.until }
    }

    /// Number of workers that must have reported progress before a window is complete: each file
    /// has at least one, and one file may lag behind another.
    pub(super) fn awaited(&self) -> usize {
        self.files.len()
    }

    /// The requested time span, if any.
    pub(super) fn stretch(&self) -> Option<Window> {
        let asked = self.from > Timestamp::ZERO || self.until < Timestamp(u64::MAX);
        asked.then_some(self.selected())
    }

    pub(super) fn files_text(&self) -> String {
        match &self.files[..] {
            [one] if one.as_os_str() == "-" => "standard input".to_owned(),
            [one] => one.display().to_string(),
            several => format!("{} files", several.len()),
        }
    }
}

pub(in crate::cli) fn length(name: &str, text: &str) -> Result<Duration, Failure> {
    let parsed = SignedDuration::from_str(text.trim()).ok().and_then(|length| Duration::try_from(length).ok());
    let fits = parsed.filter(|length| length.as_nanos() < u128::from(u64::MAX));
    fits.ok_or_else(|| usage(anyhow!("--{name}: expected a length of time such as 500ms, 1s or 2m, found '{text}'")))
}

fn by(text: &str) -> Result<By, Failure> {
    Ok(match text {
        "operator" => By::Operator,
        "instance" => By::Instance,
        "activity" => By::Activity,
        "worker" => By::Worker,
        "channel" => By::Channel,
        _ => {
            return Err(usage(anyhow!("--by: expected one of 'operator', 'instance', 'activity', 'worker' and 'channel', found '{text}'")));
        }
    })
}

fn format(text: &str) -> Result<readers::Format, Failure> {
    Ok(match text {
        "thalweg" => readers::Format::ActivityLog,
        "snailtrail" => readers::Format::Snailtrail,
        "spark" => readers::Format::Spark,
        "timely" => readers::Format::TimelyText,
        "chrome" => readers::Format::Chrome,
        "jaeger" => readers::Format::Jaeger,
        "otlp" => readers::Format::Otlp,
        _ => {
            return Err(usage(anyhow!(
                "--format: expected one of 'thalweg', 'snailtrail', 'spark', 'timely', 'chrome', 'jaeger' and 'otlp', found '{text}'"
            )));
        }
    })
}

/// What is exported.
enum Exported {
    Windows(Format),
    Stacks(StackFormat),
    Overlay,
    Curves,
}

fn export(text: &str) -> Result<(Exported, PathBuf), Failure> {
    let Some((format, path)) = text.split_once('=').filter(|(_, path)| !path.is_empty()) else {
        return Err(usage(anyhow!("--export: expected FORMAT=FILE such as perfetto=trace.json, found '{text}'")));
    };
    let exported = match format.parse() {
        Ok(format) => Exported::Stacks(format),
        Err(()) if format == "overlay" => Exported::Overlay,
        Err(()) if format == "curves" => Exported::Curves,
        Err(()) => Exported::Windows(format.parse().map_err(|why| usage(anyhow!("--export: {why}")))?),
    };
    Ok((exported, PathBuf::from(path)))
}

/// The activity log in the folder of a run, or of one that goes on; any other file is itself.
fn of_run(file: &Path) -> PathBuf {
    let logs = [folder::ACTIVITY, folder::ACTIVITY_BEGUN].map(|log| file.join(log));
    logs.into_iter().find(|log| log.is_file()).unwrap_or_else(|| file.to_owned())
}

/// The quantile in 'p99'; none in 'all'.
fn percentile(text: &str) -> Result<Option<f64>, Failure> {
    if text == "all" {
        return Ok(None);
    }
    let number = text.strip_prefix('p').and_then(|number| number.parse::<f64>().ok());
    let is_percentile = |number: &f64| *number > 0.0 && *number < 100.0;
    let number = number.filter(is_percentile);
    let wrong = || usage(anyhow!("--epochs: expected a percentile such as 'p99', more than p0 and less than p100, found '{text}'"));
    number.map(|number| Some(number / 100.0)).ok_or_else(wrong)
}

/// Checks the name of a picture, asked for by `flag`, at the start, since pictures are drawn at the very end.
fn check_picture(flag: &str, path: &Path) -> Result<(), Failure> {
    let wrong = |what: &str| usage(anyhow!("{flag}{}: expected {what}", path.display()));
    if !path.extension().is_some_and(|extension| extension == "svg" || extension == "png") {
        return Err(wrong("a name that ends in .svg or .png"));
    }
    if path.is_dir() {
        return Err(wrong("a file, found a folder"));
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(wrong("a file in a folder that exists")),
        _ => Ok(()),
    }
}
