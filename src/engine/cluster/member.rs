//! A process other than process 0 of a job that runs on several processes.

use std::io::{BufWriter, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use timely::worker::Worker;

use super::frame::{self, Down, Up};
use super::hub::TELL;
use super::rendezvous::{Joined, join_hosts, join_started};
use super::{Deployment, MEMBER, Members, Network};
use crate::engine::host::{
    Ack, Clock, Context, Dropped, LocalWorkers, LogBatch, QueueBoard, ReportedTotals, RunError, StopSignal, WorkerChannels, WorkerPart,
    Workers, link,
};

/// A further process of a job (not process 0), connected to the others.
pub struct Member {
    joined: Joined,
}

impl Member {
    /// The member that this process was started for, if another one has started it.
    ///
    /// # Errors
    /// When process 0 does not answer.
    pub fn from_environment() -> Result<Option<Member>, RunError> {
        let Ok(member) = std::env::var(MEMBER) else { return Ok(None) };
        let fields: Vec<&str> = member.split(' ').collect();
        let (address, process, token) = match fields[..] {
            [address, process, token] => (address, process.parse(), token.parse()),
            _ => ("", Ok(0), Ok(0)),
        };
        let (Ok(process @ 1..), Ok(token)) = (process, token) else {
            return Err(RunError::Refused(format!("{MEMBER}: expected an address, a process and a token, found '{member}'")));
        };
        Ok(Some(Member { joined: join_started(address, process, token)? }))
    }

    /// The member of this process in `deployment`, a host file's, for `job`; none if it is process
    /// 0.
    ///
    /// # Errors
    /// [`RunError::Address`] when this machine cannot take connections at its address,
    /// [`RunError::Refused`] when process 0 runs another job, others when the processes are not
    /// connected within a minute.
    pub fn of<J: Serialize>(deployment: &Deployment, job: &J) -> Result<Option<Member>, RunError> {
        let Members::Hosts { addresses, process: process @ 1.. } = &deployment.members else { return Ok(None) };
        let job = serde_json::to_vec(job).expect("a job can be described");
        Ok(Some(Member { joined: join_hosts(deployment, addresses, *process, &job)? }))
    }

    /// The number of this process.
    pub fn process(&self) -> u32 {
        self.joined.process
    }

    /// The job, as process 0 described it.
    ///
    /// # Errors
    /// When it is not a job of this type, as after a change of the program while it runs.
    pub fn job<J: DeserializeOwned>(&self) -> Result<J, RunError> {
        serde_json::from_slice(&self.joined.job).map_err(|why| RunError::Refused(format!("the job cannot be read: {why}")))
    }

    /// Runs the job's workers until it is complete: builds the same dataflow as process 0 does with
    /// [`Running::on`](crate::engine::host::Running::on), with the same queues in the same order.
    ///
    /// # Errors
    /// When a worker panicked here, and when the job failed elsewhere.
    pub fn serve<O, B>(self, board: &QueueBoard, build: B) -> Result<(), RunError>
    where
        O: Serialize + Send + 'static,
        B: Fn(&mut Worker, &Context) -> WorkerPart<O> + Send + Sync + 'static,
    {
        let mut joined = self.joined;
        let clock = joined.synchronise()?;
        let Joined { process, workers, control, data, .. } = joined;
        let signal = StopSignal::default();
        let (link, log) = link();
        let dropped = link.dropped();
        let (ack, acks) = channel();
        let sending = control.try_clone().map_err(RunError::network)?;
        let down = {
            let (board, signal) = (board.clone(), signal.clone());
            std::thread::spawn(move || listen(control, &board, clock, &signal))
        };
        let up = {
            let reporter = Reporter { log, acks, dropped, board: board.clone() };
            std::thread::spawn(move || reporter.report(BufWriter::new(sending), clock))
        };
        let network = Network::new(data, &signal);
        let ends = WorkerChannels { link, acks: ack, steps: None };
        let outcomes = Workers::start(LocalWorkers { process, workers, network }, clock, ends, &signal, build).map(Workers::join);
        // The reports end with the workers; a connection that is lost is seen by the reading
        // thread.
        let sending = up.join().unwrap_or(None);
        let last = match &outcomes {
            Ok(Some(outcomes)) => {
                Up::Done(outcomes.iter().map(|outcome| postcard::to_stdvec(outcome).expect("outcomes can be encoded")).collect())
            }
            Ok(None) => Up::Failed(signal.why().map_or_else(String::new, |why| why.to_string())),
            Err(why) => Up::Failed(why.to_string()),
        };
        if let Some(mut sending) = sending {
            // What is too long is not written at all, so there is room for the reason.
            let said = frame::write(&mut sending, &last).or_else(|why| frame::write(&mut sending, &Up::Failed(why.to_string())));
            let _ = said.and_then(|()| sending.flush());
        }
        let ended = down.join().unwrap_or(false);
        outcomes?;
        match signal.why() {
            Some(why) => Err(why),
            None if ended => Ok(()),
            None => Err(RunError::Process { process: 0, why: "is no longer connected".to_owned() }),
        }
    }
}

/// Processes messages of process 0; returns whether it said goodbye.
fn listen(mut control: TcpStream, board: &QueueBoard, clock: Clock, signal: &StopSignal) -> bool {
    let mut received: std::collections::BTreeMap<u32, ReportedTotals> = Default::default();
    loop {
        match frame::read(&mut control) {
            Ok(Down::Queues(process, readings)) => board.apply_report(&readings, received.entry(process).or_default(), clock.now()),
            Ok(Down::Goodbye) => return true,
            Ok(Down::Stop(why)) => {
                signal.raise(RunError::Stopped(why));
                return false;
            }
            Ok(Down::Time(_) | Down::Start(_)) | Err(_) => {
                signal.raise(RunError::Process { process: 0, why: "is no longer connected".to_owned() });
                return false;
            }
        }
    }
}

/// What is reported to process 0 while the job runs.
struct Reporter {
    log: Receiver<LogBatch>,
    acks: Receiver<Ack>,
    dropped: Dropped,
    board: QueueBoard,
}

impl Reporter {
    /// Reports until the workers have ended; returns the connection back unless it is lost. Workers
    /// never wait for it: what it does not take in time fills the bounded link of their records,
    /// and is dropped and counted there.
    fn report(self, mut sink: BufWriter<TcpStream>, clock: Clock) -> Option<BufWriter<TcpStream>> {
        let mut sent = ReportedTotals::default();
        let mut dropped = 0;
        let mut next = clock.now();
        loop {
            let first = self.log.recv_timeout(next.since(clock.now()).max(Duration::from_micros(100)));
            let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
            let mut frames: Vec<Up> = first.ok().into_iter().chain(self.log.try_iter()).map(Up::Log).collect();
            frames.extend(self.acks.try_iter().map(Up::Ack));
            if ended || clock.now() >= next {
                next = clock.now() + TELL;
                let changes = self.board.changes_since(&mut sent);
                frames.extend((!changes.is_empty()).then_some(Up::Queues(changes)));
                let count = self.dropped.count();
                frames.extend((count > dropped).then(|| Up::Dropped(count - dropped)));
                dropped = count;
            }
            if frames.iter().try_for_each(|frame| frame::write(&mut sink, frame)).and_then(|()| sink.flush()).is_err() {
                return None;
            }
            if ended {
                return Some(sink);
            }
        }
    }
}
