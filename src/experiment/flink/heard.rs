//! A drive of a job by a policy, and what it told.

use std::time::Duration;

use super::asked::{Answered, Answers, Asks};
use super::cluster::Cluster;
use crate::dataflow::Topology;
use crate::experiment::policies::policy_with;
use crate::flink::{Allowed, Closed, DriveConfig, Ending, Graph, Limits, Listener, News, Pace, Prepare, Rest, Told, What, drive};
use crate::policy::{Given, Policy};

/// Policies are meant for windows of so many seconds.
const USUAL_WINDOW_S: f64 = 60.0;

/// What is driven, and how.
pub struct Drive<'a> {
    /// The job's id.
    pub job: &'a str,
    /// Whether a policy is followed; otherwise the job is left as it is.
    pub is_followed: bool,
    /// The policy that is followed, by name, or those that are asked.
    pub policies: &'a [String],
    /// Length of a window; policies' own intervals are shortened as much as it is shorter than a minute.
    pub interval: Duration,
    /// Time after the start and after each restart that is not looked at.
    pub settle: Duration,
    /// Windows after which to end; with the job otherwise.
    pub windows: Option<u64>,
}

/// What was heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// When the drive began, in ms since 1970.
    pub began_ms: f64,
    /// What happened.
    pub news: Vec<News>,
    /// Epochs, in order.
    pub told: Vec<Told>,
    /// Names of vertices.
    pub names: Vec<String>,
    /// What policies answered that were asked and not followed.
    pub answers: Vec<Answers>,
}

impl Heard {
    /// Numbers of instances from each time on, in ms since 1970.
    pub fn instances(&self) -> Vec<(f64, u64)> {
        let sum = |text: &str| text.split_whitespace().filter_map(|part| part.rsplit_once('=')?.1.parse::<u64>().ok()).sum();
        let of = |news: &News| match &news.what {
            What::Attached { configuration, .. } | What::Reached { configuration, .. } | What::Running { configuration, .. } => {
                Some((self.wall_ms(news), sum(configuration)))
            }
            _ => None,
        };
        self.news.iter().filter_map(of).collect()
    }

    /// When that was, in ms since 1970.
    pub fn wall_ms(&self, news: &News) -> f64 {
        self.began_ms + news.at.as_secs_f64() * 1e3
    }
}

impl Drive<'_> {
    /// Drives until the job or the windows end; `show` is told seconds and what happens.
    ///
    /// # Errors
    /// When the job cannot be driven, or the program was interrupted.
    pub fn run(&self, cluster: &Cluster, mut show: impl FnMut(f64, &str)) -> anyhow::Result<Heard> {
        let config = DriveConfig {
            job: Some(self.job.to_owned()),
            pace: Pace { interval: self.interval, poll: Duration::from_millis(500), settle: self.settle },
            warm_up_windows: 0,
            activation_windows: 1,
            rescale_timeout: Duration::from_secs(30),
            advise: false,
            excluded: Vec::new(),
            patience: Duration::from_secs(30),
            follow: Duration::ZERO,
            windows: self.windows,
            needs_scheduler: true,
        };
        let mut link = cluster.link()?;
        // Rows are compared with what the sink's clock says.
        #[allow(clippy::disallowed_methods)]
        let began_ms = jiff::Timestamp::now().as_microsecond() as f64 / 1e3;
        let mut listening = Listening { heard: Heard { began_ms, ..Heard::default() }, show: &mut show };
        let mut rest = Rest::new(&mut link, Allowed { trigger: false, rescale: true });
        let answered = Answered::default();
        let ending = drive(&mut rest, &config, &mut ByName { drive: self, answered: &answered }, &mut listening)?;
        anyhow::ensure!(ending != Ending::Stopped, "interrupted");
        Ok(Heard { answers: answered.all(), ..listening.heard })
    }
}

struct ByName<'a> {
    drive: &'a Drive<'a>,
    answered: &'a Answered,
}

impl Prepare for ByName<'_> {
    fn limits(&mut self, graph: &Graph, slots: Option<u32>) -> anyhow::Result<Limits> {
        Ok(Limits { slots, ..Limits::of(graph) })
    }

    fn policy(&mut self, topology: &Topology) -> anyhow::Result<Box<dyn Policy>> {
        let time_factor = USUAL_WINDOW_S / self.drive.interval.as_secs_f64();
        let make = |name: &String| policy_with(name, topology, time_factor, &Given::default());
        match self.drive.policies {
            [one] if self.drive.is_followed => Ok(make(one)?),
            asked => Ok(Box::new(Asks::new(asked.iter().map(make).collect::<Result<_, _>>()?, self.answered.clone()))),
        }
    }
}

struct Listening<'a> {
    heard: Heard,
    show: &'a mut dyn FnMut(f64, &str),
}

impl Listener for Listening<'_> {
    fn news(&mut self, news: &News) {
        (self.show)(news.at.as_secs_f64(), &news.what.to_string());
        self.heard.news.push(news.clone());
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        (self.show)(closed.observation.window.end.as_secs_f64(), "");
        self.heard.names = closed.topology.operators().iter().map(|operator| operator.name.clone()).collect();
        self.heard.told.extend(closed.told.iter().cloned());
    }

    fn decided(&mut self, _: &Topology, _: &[crate::controller::Event]) {}
}
