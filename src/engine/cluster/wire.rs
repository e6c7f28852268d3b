//! A connection between two processes as timely is given it: when the other end is gone, the job stops and nothing else happens.
//!
//! Timely's own answer to a lost connection is a panic of the thread that reads. Here that thread waits until the control
//! connection has told what became of the other process, so that the error of the run names the cause and not its symptom.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use timely::communication::allocator::zero_copy::stream::Stream;

use crate::engine::RunError;
use crate::engine::alarm::Alarm;

/// A message of timely's that says that nothing follows is its header and nothing else: six words of 0.
const LAST_WORDS: usize = 48;
/// The control connection may be whole although this one is lost; it is given so long to tell why.
const PATIENCE: Duration = Duration::from_secs(5);

/// One end of a connection.
pub(in crate::engine) struct Wire {
    stream: TcpStream,
    /// The process at the other end.
    process: u32,
    alarm: Alarm,
    /// How many bytes of 0 were the last to be read.
    zeros: usize,
    lost: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, process: u32, alarm: &Alarm) -> Wire {
        Wire { stream, process, alarm: alarm.clone(), zeros: 0, lost: false }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            read => read.unwrap_or(0),
        };
        if read == 0 && self.zeros < LAST_WORDS {
            if !self.alarm.wait(PATIENCE) {
                self.alarm.raise(RunError::Process { process: self.process, why: "is no longer connected".to_owned() });
            }
            // Ends timely's thread without a word on standard error: the run's error says it.
            std::panic::resume_unwind(Box::new("connection lost"));
        }
        let trailing = buffer[..read].iter().rev().take_while(|&&byte| byte == 0).count();
        self.zeros = if trailing == read { self.zeros + read } else { trailing };
        Ok(read)
    }
}

/// What cannot be sent is forgotten: whoever reads from this connection sees that it is lost.
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
        Ok(Wire::new(self.stream.try_clone()?, self.process, &self.alarm))
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
