//! Drives a fake cluster in virtual time: the link says what time it is.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use thalweg::controller::Event;
use thalweg::dataflow::Topology;
use thalweg::flink::{
    Allowed, Answer, Closed, DriveConfig, DriveError, Ending, Graph, Limits, Link, LinkError, Listener, News, Pace, Prepare, Request, Rest,
    Told, What, drive,
};
use thalweg::observation::Observation;
use thalweg::policy::{Given, Policy, registry};
use thalweg::time::Timestamp;

use super::fake::Fake;

/// Changes a fake's answer, or takes its place.
pub type Spoil = Box<dyn FnMut(&Request, (u16, String)) -> Result<(u16, String), LinkError>>;

/// Something that happens to the cluster, and when.
pub type Happening = (Timestamp, fn(&mut Fake));

/// A link to a fake.
pub struct Virtual {
    pub fake: Rc<RefCell<Fake>>,
    pub now: Timestamp,
    /// When it is time to end.
    pub until: Timestamp,
    /// The driver is killed right after so many requests.
    pub killed_after: usize,
    pub asked: usize,
    pub spoil: Option<Spoil>,
    /// What else happens, at which time.
    pub events: Vec<Happening>,
    pub began_ms: f64,
}

/// What happens to the cluster at that time.
pub fn at(seconds: u64, happens: fn(&mut Fake)) -> Happening {
    (Timestamp(seconds * 1_000_000_000), happens)
}

impl Virtual {
    pub fn new(fake: Fake, seconds: u64) -> Virtual {
        let began_ms = fake.now_ms;
        let until = Timestamp(seconds * 1_000_000_000);
        let fake = Rc::new(RefCell::new(fake));
        Virtual { fake, now: Timestamp::ZERO, until, killed_after: usize::MAX, asked: 0, spoil: None, events: Vec::new(), began_ms }
    }

    /// Another driver's link to the same fake, for so long.
    pub fn again(&self, seconds: u64) -> Virtual {
        let fake = Rc::clone(&self.fake);
        let began_ms = fake.borrow().now_ms;
        let until = Timestamp(seconds * 1_000_000_000);
        Virtual { fake, now: Timestamp::ZERO, until, killed_after: usize::MAX, asked: 0, spoil: None, events: Vec::new(), began_ms }
    }

    fn go_on(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.events).into_iter().partition(|(at, _)| *at <= now);
        self.events = later;
        let mut fake = self.fake.borrow_mut();
        fake.advance(self.began_ms + self.now.as_secs_f64() * 1e3);
        due.iter().for_each(|(_, happens)| happens(&mut fake));
    }
}

impl Link for Virtual {
    fn ask(&mut self, request: &Request) -> Result<Answer, LinkError> {
        if self.asked >= self.killed_after {
            return Err(LinkError::NotText);
        }
        self.asked += 1;
        self.go_on(self.now + Duration::from_millis(3));
        let answer = self.fake.borrow_mut().answer(&request.method.to_string(), &request.path, request.body.as_deref().unwrap_or(""));
        let (status, body) = match &mut self.spoil {
            Some(spoil) => spoil(request, answer)?,
            None => answer,
        };
        Ok(Answer { status, body, at: self.now })
    }

    fn wait(&mut self, at: Timestamp) -> Option<Timestamp> {
        if at > self.until || self.asked >= self.killed_after {
            return None;
        }
        self.go_on(at);
        Some(self.now)
    }
}

/// A policy by name.
pub struct Named {
    pub policy: &'static str,
    pub settings: Vec<&'static str>,
    pub limits: fn(&mut Limits),
}

pub fn named(policy: &'static str) -> Named {
    Named { policy, settings: Vec::new(), limits: |_| {} }
}

impl Prepare for Named {
    fn limits(&mut self, graph: &Graph, slots: Option<u32>) -> anyhow::Result<Limits> {
        let mut limits = Limits { slots, ..Limits::of(graph) };
        (self.limits)(&mut limits);
        Ok(limits)
    }

    fn policy(&mut self, topology: &Topology) -> anyhow::Result<Box<dyn Policy>> {
        let settings = self.settings.iter().map(|text| text.parse().unwrap()).collect();
        Ok(registry::policy_with(self.policy, topology, 6.0, &Given { settings, best: Vec::new() })?)
    }
}

/// What was heard.
#[derive(Default)]
pub struct Heard {
    pub news: Vec<News>,
    pub observations: Vec<Observation>,
    pub told: Vec<Told>,
    pub events: Vec<Event>,
}

impl Heard {
    /// The news, a line each.
    pub fn lines(&self) -> String {
        self.news.iter().map(|news| format!("{:.1} s  {}\n", news.at.as_secs_f64(), news.what)).collect()
    }

    pub fn count(&self, which: fn(&What) -> bool) -> usize {
        self.news.iter().filter(|news| which(&news.what)).count()
    }
}

impl Listener for Heard {
    fn news(&mut self, news: &News) {
        self.news.push(news.clone());
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        self.observations.push(closed.observation.clone());
        self.told.extend(closed.told.iter().cloned());
    }

    fn decided(&mut self, _topology: &Topology, events: &[Event]) {
        self.events = events.to_vec();
    }
}

/// Windows of 10 s.
pub fn config() -> DriveConfig {
    let second = Duration::from_secs(1);
    DriveConfig {
        job: None,
        pace: Pace { interval: 10 * second, poll: second, settle: 5 * second },
        warm_up_windows: 0,
        activation_windows: 1,
        rescale_timeout: 20 * second,
        advise: false,
        excluded: Vec::new(),
        patience: 30 * second,
        follow: Duration::ZERO,
        windows: None,
        needs_scheduler: true,
    }
}

/// All is allowed but checkpoints.
pub const RESCALES: Allowed = Allowed { trigger: false, rescale: true };

/// Drives until the link ends.
pub fn driven(link: &mut dyn Link, allowed: Allowed, config: &DriveConfig, prepare: &mut Named) -> (Result<Ending, DriveError>, Heard) {
    let mut heard = Heard::default();
    let ended = drive(&mut Rest::new(link, allowed), config, prepare, &mut heard);
    (ended, heard)
}
