//! Data connection between two processes, as timely uses it; a lost connection stops the job.
//!
//! Timely panics in the reading thread when a connection is lost. Here that thread waits until the
//! control connection has reported what happened to the other process, so that the run fails with
//! the cause instead of a symptom.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Weak};
use std::time::Duration;

use timely::communication::allocator::zero_copy::stream::Stream;

use crate::engine::host::{RunError, StopSignal};

/// Length of timely's last message on a connection: a header without payload, six words of 0.
const LAST_WORDS: usize = 48;
/// How long to wait for the control connection to report why this one was lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Polling interval of a thread that waits for the workers to end.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The connections of this process.
#[derive(Default)]
pub(in crate::engine) struct Network {
    /// By the process at the other end; none to this one.
    pub(in crate::engine) wires: Vec<Option<Wire>>,
    /// To be held by the workers of this process while they are there.
    pub(in crate::engine) workers: Arc<()>,
}

impl Network {
    /// Of the connections to each process.
    pub(super) fn new(streams: Vec<Option<TcpStream>>, signal: &StopSignal) -> Network {
        let workers = Arc::new(());
        let wire =
            |process, stream| Wire { stream, process, signal: signal.clone(), workers: Arc::downgrade(&workers), zeros: 0, lost: false };
        let wires = (0..).zip(streams).map(|(process, stream)| stream.map(|stream| wire(process, stream))).collect();
        Network { wires, workers }
    }
}

/// One end of a connection.
pub(in crate::engine) struct Wire {
    stream: TcpStream,
    /// The process at the other end.
    process: u32,
    signal: StopSignal,
    /// Held by the workers of this process while they are there.
    workers: Weak<()>,
    /// How many bytes of 0 were the last to be read.
    zeros: usize,
    lost: bool,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            read => read.unwrap_or(0),
        };
        if read == 0 && self.zeros < LAST_WORDS {
            if !self.signal.wait(PATIENCE) {
                self.signal.raise(RunError::Process { process: self.process, why: "is no longer connected".to_owned() });
            }
            // Workers that are still there would panic with this thread, on standard error. They
            // stop for the stop signal.
            while self.workers.strong_count() > 0 {
                std::thread::park_timeout(POLL_INTERVAL);
            }
            // Ends timely's thread without a word: the run's error says it.
            std::panic::resume_unwind(Box::new("connection lost"));
        }
        let trailing = buffer[..read].iter().rev().take_while(|&&byte| byte == 0).count();
        self.zeros = if trailing == read { self.zeros + read } else { trailing };
        Ok(read)
    }
}

/// What cannot be sent is discarded: the reader of this connection sees that it is lost.
impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.lost {
            match self.stream.write(bytes) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => self.lost = true,
                written => return written,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Wire {
    fn try_clone(&self) -> io::Result<Wire> {
        let Wire { process, zeros, lost, .. } = *self;
        Ok(Wire { stream: self.stream.try_clone()?, process, signal: self.signal.clone(), workers: self.workers.clone(), zeros, lost })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        // The other end may have gone first.
        let _ = self.stream.shutdown(how);
        Ok(())
    }
}
