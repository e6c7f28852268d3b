//! Connects the processes of a job before it starts.
//!
//! 1. Each process listens: process 0 first, the others on any loopback port or at the address in
//!    the host file.
//! 2. The others connect to process 0 (control), which sends everybody's address once all have
//!    connected.
//! 3. Each process connects to those with a smaller number (data).
//! 4. Each process sets its clock by that of process 0, which then sets the start time of the run
//!    to now, so that no source starts behind its schedule.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustc_hash::FxHasher;

use super::children::Children;
use super::frame::{self, Down, Hello, MAGIC, Purpose, Up, Welcome};
use super::{Deployment, Members};
use crate::engine::host::{Clock, Comparison, RunError};
use crate::time::Timestamp;

/// Time limit for all processes to connect.
const RENDEZVOUS_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit for a new connection to identify itself.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);
/// How often process 0 checks for new connections and for processes that have exited.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// How often a connection attempt is repeated.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Exchanges with process 0 to set the clock.
const CLOCK_SAMPLES: usize = 32;

/// The connections of process 0 once all processes are connected.
pub(super) struct Assembled {
    /// Started processes.
    pub(super) children: Children,
    /// To processes 1 and on, in order.
    pub(super) controls: Vec<TcpStream>,
    /// By process; none to itself.
    pub(super) data: Vec<Option<TcpStream>>,
    /// Starts with the run.
    pub(super) clock: Clock,
    /// Largest error of another process's clock.
    pub(super) clock_error: Duration,
}

/// The connections of another process once all are connected.
pub(super) struct Joined {
    pub(super) process: u32,
    pub(super) workers: u32,
    pub(super) control: TcpStream,
    pub(super) data: Vec<Option<TcpStream>>,
    pub(super) job: Vec<u8>,
    /// Not set yet: `synchronise` does that.
    clock: Clock,
    wall: i64,
}

/// What two processes started by hand must agree in: the job to the last byte.
fn digest(deployment: &Deployment, job: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u32(deployment.processes);
    hasher.write_u32(deployment.workers);
    hasher.write(job);
    hasher.finish()
}

fn listen(address: &str) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).map_err(|why| RunError::Address { address: address.to_owned(), why: why.to_string() })
}

fn address_of(listener: &TcpListener) -> String {
    listener.local_addr().expect("a listener has an address").to_string()
}

/// Accepts the next process that identifies itself; `check` fails when no further one can come.
fn answer(listener: &TcpListener, token: Token, check: impl Fn() -> Result<(), RunError>) -> Result<(TcpStream, Hello), RunError> {
    let clock = Clock::start();
    listener.set_nonblocking(true).map_err(RunError::network)?;
    loop {
        if let Ok((stream, _)) = listener.accept() {
            match introduction(stream) {
                Ok((stream, hello)) if hello.token == token.0 => return Ok((stream, hello)),
                // Started by hand with other arguments; both sides are told.
                Ok((mut stream, hello)) if token.1 == Secret::Digest => {
                    let why = format!("process {} was started for another job: expected the arguments of process 0", hello.process);
                    // It may not listen any more.
                    let _ = frame::write(&mut stream, &Welcome::Refused(why.clone()));
                    return Err(RunError::Refused(why));
                }
                // A stranger.
                _ => {}
            }
        }
        check()?;
        if clock.now() > Timestamp::ZERO + RENDEZVOUS_TIMEOUT {
            return Err(RunError::network(format!("not all processes have come within {} s", RENDEZVOUS_TIMEOUT.as_secs())));
        }
        std::thread::park_timeout(POLL_INTERVAL);
    }
}

/// What a process shows to be welcome.
#[derive(Clone, Copy)]
struct Token(u64, Secret);

#[derive(Clone, Copy, PartialEq)]
enum Secret {
    Random,
    Digest,
}

fn introduction(mut stream: TcpStream) -> std::io::Result<(TcpStream, Hello)> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HELLO_TIMEOUT))?;
    let hello = frame::read_hello(&mut stream)?;
    stream.set_read_timeout(None)?;
    if hello.magic == MAGIC { Ok((stream, hello)) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// Connects to `address`, retrying for as long as `patience`, and sends `hello`.
fn call(address: &str, patience: Duration, hello: &Hello) -> Result<TcpStream, RunError> {
    let clock = Clock::start();
    loop {
        let called = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_nodelay(true)?;
            frame::write(&mut stream, hello)?;
            Ok(stream)
        });
        match called {
            Ok(stream) => return Ok(stream),
            Err(_) if clock.now() < Timestamp::ZERO + patience => std::thread::park_timeout(RETRY_INTERVAL),
            Err(why) => return Err(RunError::network(format!("no process answers at {address}: {why}"))),
        }
    }
}

/// Waits in process 0 until all processes of `deployment` are connected.
pub(super) fn await_members(deployment: &Deployment, job: Vec<u8>) -> Result<Assembled, RunError> {
    let processes = deployment.processes as usize;
    let (listener, children, token) = match &deployment.members {
        Members::Started(launch) => {
            let listener = listen("127.0.0.1:0")?;
            let token = Token(RandomState::new().build_hasher().finish(), Secret::Random);
            let children = Children::start(launch, deployment.processes, &address_of(&listener), token.0)?;
            (listener, children, token)
        }
        Members::Hosts { addresses, .. } => (listen(&addresses[0])?, Children::default(), Token(digest(deployment, &job), Secret::Digest)),
    };
    let clock = Clock::start();
    let mut addresses = vec![address_of(&listener); processes];
    let mut controls: Vec<Option<TcpStream>> = (0..processes).map(|_| None).collect();
    while controls[1..].iter().any(Option::is_none) {
        let (stream, hello) = answer(&listener, token, || children.check())?;
        let process = hello.process as usize;
        if let (Purpose::Control { address }, true) = (hello.purpose, (1..processes).contains(&process)) {
            controls[process] = Some(stream);
            addresses[process] = address;
        }
    }
    let mut controls: Vec<TcpStream> = controls.into_iter().flatten().collect();
    let lost = |process: u32| RunError::Process { process, why: children.ending(process) };
    let welcome = Welcome::Together { workers: deployment.workers, addresses, job, wall: clock.wall() };
    for (process, control) in (1..).zip(&mut controls) {
        frame::write(control, &welcome).map_err(|_| lost(process))?;
    }
    let data = take_calls(&listener, 0, processes, token, || children.check())?;
    let mut clock_error = Duration::ZERO;
    for (process, control) in (1..).zip(&mut controls) {
        loop {
            match frame::read(control) {
                Ok(Up::WhatTime) => frame::write(control, &Down::Time(clock.now())).map_err(|_| lost(process))?,
                Ok(Up::Ready(error)) => break clock_error = clock_error.max(Duration::from_nanos(error)),
                Ok(Up::Failed(why)) => return Err(RunError::Process { process, why: format!("failed: {why}") }),
                _ => return Err(lost(process)),
            }
        }
    }
    let start = clock.now();
    for (process, control) in (1..).zip(&mut controls) {
        frame::write(control, &Down::Start(start)).map_err(|_| lost(process))?;
    }
    Ok(Assembled { children, controls, data, clock: clock.from(start), clock_error })
}

/// Takes the data connections of all processes with a larger number than `process`.
fn take_calls(
    listener: &TcpListener,
    process: u32,
    processes: usize,
    token: Token,
    check: impl Fn() -> Result<(), RunError>,
) -> Result<Vec<Option<TcpStream>>, RunError> {
    let mut data: Vec<Option<TcpStream>> = (0..processes).map(|_| None).collect();
    while data[process as usize + 1..].iter().any(Option::is_none) {
        let (stream, hello) = answer(listener, token, &check)?;
        if let (Purpose::Data, true) = (hello.purpose, (process as usize + 1..processes).contains(&(hello.process as usize))) {
            data[hello.process as usize] = Some(stream);
        }
    }
    Ok(data)
}

/// Joins the processes of process 0 at `address`, as one that it has started.
pub(super) fn join_started(address: &str, process: u32, token: u64) -> Result<Joined, RunError> {
    let listener = listen("127.0.0.1:0")?;
    join(&listener, address_of(&listener), address, process, Token(token, Secret::Random), Duration::ZERO)
}

/// Joins the processes of a host file.
pub(super) fn join_hosts(deployment: &Deployment, addresses: &[String], process: u32, job: &[u8]) -> Result<Joined, RunError> {
    let token = Token(digest(deployment, job), Secret::Digest);
    let here = &addresses[process as usize];
    // As the file has it: what this machine makes of its own name may mean nothing to others.
    join(&listen(here)?, here.clone(), &addresses[0], process, token, RENDEZVOUS_TIMEOUT)
}

/// `here` is where the process listens, `address` where process 0 does.
fn join(listener: &TcpListener, here: String, address: &str, process: u32, token: Token, patience: Duration) -> Result<Joined, RunError> {
    let hello = |purpose| Hello { magic: MAGIC, token: token.0, process, purpose };
    let mut control = call(address, patience, &hello(Purpose::Control { address: here }))?;
    let gone = |why: std::io::Error| RunError::Process { process: 0, why: format!("is no longer connected: {why}") };
    let (workers, addresses, job, wall) = match frame::read(&mut control).map_err(gone)? {
        Welcome::Together { workers, addresses, job, wall } => (workers, addresses, job, wall),
        Welcome::Refused(why) => return Err(RunError::Refused(why)),
    };
    let earlier: Vec<TcpStream> = std::iter::once(address)
        .chain(addresses[1..].iter().map(String::as_str))
        .take(process as usize)
        .map(|address| call(address, patience, &hello(Purpose::Data)))
        .collect::<Result<_, _>>()?;
    let mut data = take_calls(listener, process, addresses.len(), token, || Ok(()))?;
    for (slot, stream) in data.iter_mut().zip(earlier) {
        *slot = Some(stream);
    }
    Ok(Joined { process, workers, control, data, job, clock: Clock::start(), wall })
}

impl Joined {
    /// Sets the clock by process 0's and waits for the run to begin; returns the clock, which
    /// starts with the run.
    pub(super) fn synchronise(&mut self) -> Result<Clock, RunError> {
        let gone = |why: std::io::Error| RunError::Process { process: 0, why: format!("is no longer connected: {why}") };
        let unexpected = || RunError::Process { process: 0, why: "said something unexpected".to_owned() };
        let mut comparison = Comparison::new();
        for _ in 0..CLOCK_SAMPLES {
            let asked = self.clock.now();
            frame::write(&mut self.control, &Up::WhatTime).map_err(gone)?;
            let Down::Time(answer) = frame::read(&mut self.control).map_err(gone)? else { return Err(unexpected()) };
            comparison.answered(asked, answer, self.clock.now());
        }
        let (clock, error) = comparison.set(self.clock, self.clock.wall() - self.wall);
        frame::write(&mut self.control, &Up::Ready(error.as_nanos() as u64)).map_err(gone)?;
        match frame::read(&mut self.control).map_err(gone)? {
            Down::Start(at) => Ok(clock.from(at)),
            _ => Err(unexpected()),
        }
    }
}
