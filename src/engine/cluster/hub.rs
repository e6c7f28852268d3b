//! Process 0's end of the control connections.

use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::children::Children;
use super::frame::{self, Down, Up};
use super::meeting::{Together, gather};
use super::{Deployment, Network};
use crate::engine::host::{Ack, Alarm, Board, Clock, Heard, Link, Relay, RunError};

/// How often processes tell each other of their queues.
pub(super) const TELL: Duration = Duration::from_millis(2);

/// The other processes of a job, as process 0 sees them.
pub(in crate::engine) struct Hub<O> {
    /// One a process, until it is done: what its workers found.
    readers: Vec<JoinHandle<Option<Vec<O>>>>,
    /// Tells of queues and of the alarm until this end is dropped.
    teller: (Sender<()>, JoinHandle<()>),
    shared: Owner,
    /// By how much the clock of another process may be wrong at most.
    pub(in crate::engine) clock_error: Duration,
}

/// Ends the other processes when it is dropped, whoever of the threads is still there.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.children.end();
    }
}

/// What the threads of a hub share.
struct Shared {
    children: Children,
    /// To processes 1 and on: to write to, one thread at a time.
    controls: Vec<Mutex<TcpStream>>,
    /// The same, to close them whoever is writing.
    streams: Vec<TcpStream>,
    board: Board,
    clock: Clock,
    alarm: Alarm,
}

impl<O: DeserializeOwned + Send + 'static> Hub<O> {
    /// Brings the processes of `deployment` together for `job`; gives the connections for timely and the clock of the run too.
    /// Records and reports of the others go to `link` and `acks`.
    pub(in crate::engine) fn start<J: Serialize>(
        deployment: &Deployment,
        job: &J,
        board: &Board,
        (link, acks): (&Link, &Sender<Ack>),
        alarm: &Alarm,
    ) -> Result<(Hub<O>, Network, Clock), RunError> {
        let job = serde_json::to_vec(job).expect("a job can be described");
        let Together { children, controls, data, clock, clock_error } = gather(deployment, job)?;
        let clones = || controls.iter().map(TcpStream::try_clone).collect::<Result<Vec<_>, _>>().map_err(RunError::network);
        let (reading, streams) = (clones()?, clones()?);
        let controls = controls.into_iter().map(Mutex::new).collect();
        let shared = Arc::new(Shared { children, controls, streams, board: board.clone(), clock, alarm: alarm.clone() });
        let readers = (1..).zip(reading).map(|(process, stream)| {
            let (shared, relay, acks) = (Arc::clone(&shared), Relay::new(link.clone()), acks.clone());
            std::thread::spawn(move || shared.listen(process, stream, relay, &acks))
        });
        let readers = readers.collect();
        let (ended, end) = channel();
        let telling = Arc::clone(&shared);
        let teller = (ended, std::thread::spawn(move || telling.tell(&end)));
        Ok((Hub { readers, teller, shared: Owner(shared), clock_error }, Network::new(data, alarm), clock))
    }
}

impl<O> Hub<O> {
    /// Process ids of the processes that were started.
    pub(in crate::engine) fn process_ids(&self) -> Vec<u32> {
        self.shared.0.children.ids()
    }

    /// Waits for the other processes; gives what their workers found, in order, if all went well.
    pub(in crate::engine) fn join(self) -> Option<Vec<O>> {
        let Hub { readers, teller: (ended, teller), shared: owner, .. } = self;
        let shared = &owner.0;
        let outcomes: Vec<Option<Vec<O>>> = readers.into_iter().map(|reader| reader.join().unwrap_or(None)).collect();
        drop(ended);
        // A thread that only writes what it is given has nothing to panic about.
        let _ = teller.join();
        if !shared.alarm.is_raised() {
            shared.say(None, &Down::Goodbye);
            shared.children.wait();
        }
        Some(outcomes.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

impl Shared {
    /// Takes what `process` says until it is done or gone.
    fn listen<O: DeserializeOwned>(&self, process: u32, mut stream: TcpStream, mut relay: Relay, acks: &Sender<Ack>) -> Option<Vec<O>> {
        let mut heard = Heard::default();
        loop {
            match frame::read(&mut stream) {
                Ok(Up::Log(batch)) => relay.pass(batch),
                // Nobody listens any more at the end of a run.
                Ok(Up::Ack(ack)) => drop(acks.send(ack)),
                Ok(Up::Dropped(records)) => relay.lose(records),
                Ok(Up::Queues(readings)) => {
                    self.board.learn(&readings, &mut heard, self.clock.now());
                    self.say(Some(process), &Down::Queues(process, readings));
                }
                Ok(Up::Done(outcomes)) => {
                    let decoded: Result<Vec<O>, _> = outcomes.iter().map(|outcome| postcard::from_bytes(outcome)).collect();
                    return decoded.map_err(|why| self.failed(process, format!("found something unreadable: {why}"))).ok();
                }
                Ok(Up::Failed(why)) => {
                    self.failed(process, format!("failed: {why}"));
                    return None;
                }
                Ok(Up::WhatTime | Up::Ready(_)) => {
                    self.failed(process, "asks what time it is in the middle of a run".to_owned());
                    return None;
                }
                Err(_) => {
                    if !self.alarm.is_raised() {
                        self.failed(process, self.children.ending(process));
                    }
                    return None;
                }
            }
        }
    }

    fn failed(&self, process: u32, why: String) {
        self.alarm.raise(RunError::Process { process, why });
    }

    /// Tells the others of queues and of the alarm.
    fn tell(&self, end: &Receiver<()>) {
        let mut told = Heard::default();
        loop {
            let ended = end.recv_timeout(TELL) == Err(RecvTimeoutError::Disconnected);
            if let Some(why) = self.alarm.why() {
                self.say(None, &Down::Stop(why.to_string()));
                // Whoever reads from one sees that nothing follows; it may be closed already.
                self.streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
            }
            if ended || self.alarm.is_raised() {
                return;
            }
            let news = self.board.news(&mut told);
            if !news.is_empty() {
                self.say(None, &Down::Queues(0, news));
            }
        }
    }

    /// Says something to all other processes but one.
    fn say(&self, but: Option<u32>, what: &Down) {
        for (_, control) in (1..).zip(&self.controls).filter(|(process, _)| Some(*process) != but) {
            let mut stream = control.lock().expect("nobody panics with a connection in hand");
            // That a process is gone is seen by whoever listens to it.
            let _ = frame::write(&mut *stream, what);
        }
    }
}
