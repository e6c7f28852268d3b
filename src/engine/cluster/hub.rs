//! Control connections of process 0 to all other processes.

use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::children::Children;
use super::frame::{self, Down, Up};
use super::rendezvous::{Assembled, await_members};
use super::{Deployment, Network};
use crate::engine::host::{Ack, Clock, Link, QueueBoard, Relay, ReportedTotals, RunError, StopSignal};

/// Interval of reports of queue lengths between processes.
pub(super) const TELL: Duration = Duration::from_millis(2);

/// The other processes of a job, as process 0 sees them.
pub(in crate::engine) struct Hub<O> {
    /// One per process: the outcomes of its workers, once it is done.
    readers: Vec<JoinHandle<Option<Vec<O>>>>,
    /// The reporting thread runs until this end is dropped.
    teller: (Sender<()>, JoinHandle<()>),
    shared: Owner,
    /// Largest error of another process's clock.
    pub(in crate::engine) clock_error: Duration,
}

/// Ends the other processes when it is dropped, whichever threads are still running.
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
    /// The same, to close them while a thread is writing.
    streams: Vec<TcpStream>,
    board: QueueBoard,
    clock: Clock,
    signal: StopSignal,
}

impl<O: DeserializeOwned + Send + 'static> Hub<O> {
    /// Connects the processes of `deployment` for `job`; returns the connections for timely and the
    /// clock of the run too. Records and reports of the others go to `link` and `acks`.
    pub(in crate::engine) fn start<J: Serialize>(
        deployment: &Deployment,
        job: &J,
        board: &QueueBoard,
        (link, acks): (&Link, &Sender<Ack>),
        signal: &StopSignal,
    ) -> Result<(Hub<O>, Network, Clock), RunError> {
        let job = serde_json::to_vec(job).expect("a job can be described");
        let Assembled { children, controls, data, clock, clock_error } = await_members(deployment, job)?;
        let clones = || controls.iter().map(TcpStream::try_clone).collect::<Result<Vec<_>, _>>().map_err(RunError::network);
        let (reading, streams) = (clones()?, clones()?);
        let controls = controls.into_iter().map(Mutex::new).collect();
        let shared = Arc::new(Shared { children, controls, streams, board: board.clone(), clock, signal: signal.clone() });
        let readers = (1..).zip(reading).map(|(process, stream)| {
            let (shared, relay, acks) = (Arc::clone(&shared), Relay::new(link.clone()), acks.clone());
            std::thread::spawn(move || shared.listen(process, stream, relay, &acks))
        });
        let readers = readers.collect();
        let (ended, end) = channel();
        let telling = Arc::clone(&shared);
        let teller = (ended, std::thread::spawn(move || telling.tell(&end)));
        Ok((Hub { readers, teller, shared: Owner(shared), clock_error }, Network::new(data, signal), clock))
    }
}

impl<O> Hub<O> {
    /// Process ids of the processes that were started.
    pub(in crate::engine) fn process_ids(&self) -> Vec<u32> {
        self.shared.0.children.ids()
    }

    /// Waits for the other processes; returns the outcomes of their workers, in order, if all went
    /// well.
    pub(in crate::engine) fn join(self) -> Option<Vec<O>> {
        let Hub { readers, teller: (ended, teller), shared: owner, .. } = self;
        let shared = &owner.0;
        let outcomes: Vec<Option<Vec<O>>> = readers.into_iter().map(|reader| reader.join().unwrap_or(None)).collect();
        drop(ended);
        // A thread that only writes what it is given has nothing to panic about.
        let _ = teller.join();
        if !shared.signal.is_raised() {
            shared.say(None, &Down::Goodbye);
            shared.children.wait();
        }
        Some(outcomes.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

impl Shared {
    /// Processes messages of `process` until it is done or gone.
    fn listen<O: DeserializeOwned>(&self, process: u32, mut stream: TcpStream, mut relay: Relay, acks: &Sender<Ack>) -> Option<Vec<O>> {
        let mut received = ReportedTotals::default();
        loop {
            match frame::read(&mut stream) {
                Ok(Up::Log(batch)) => relay.pass(batch),
                // The receiver may be gone at the end of a run.
                Ok(Up::Ack(ack)) => drop(acks.send(ack)),
                Ok(Up::Dropped(records)) => relay.lose(records),
                Ok(Up::Queues(readings)) => {
                    self.board.apply_report(&readings, &mut received, self.clock.now());
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
                    if !self.signal.is_raised() {
                        self.failed(process, self.children.ending(process));
                    }
                    return None;
                }
            }
        }
    }

    fn failed(&self, process: u32, why: String) {
        self.signal.raise(RunError::Process { process, why });
    }

    /// Reports queue lengths and the stop signal to the other processes.
    fn tell(&self, end: &Receiver<()>) {
        let mut sent = ReportedTotals::default();
        loop {
            let ended = end.recv_timeout(TELL) == Err(RecvTimeoutError::Disconnected);
            if let Some(why) = self.signal.why() {
                self.say(None, &Down::Stop(why.to_string()));
                // Readers see the end of the stream; it may be closed already.
                self.streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
            }
            if ended || self.signal.is_raised() {
                return;
            }
            let changes = self.board.changes_since(&mut sent);
            if !changes.is_empty() {
                self.say(None, &Down::Queues(0, changes));
            }
        }
    }

    /// Sends a message to all other processes but one.
    fn say(&self, but: Option<u32>, what: &Down) {
        for (_, control) in (1..).zip(&self.controls).filter(|(process, _)| Some(*process) != but) {
            let mut stream = control.lock().expect("nobody panics with a connection in hand");
            // That a process is gone is seen by the thread that reads from it.
            let _ = frame::write(&mut *stream, what);
        }
    }
}
