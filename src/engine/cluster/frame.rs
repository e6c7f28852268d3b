//! Messages between processes outside the dataflow, and their encoding: a length, then postcard.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::host::{Ack, LogBatch, Reading};
use crate::time::Timestamp;

/// First message on every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Identifies our connections and the version of the protocol.
    pub(super) magic: [u8; 8],
    /// Token that process 0 gave to the processes it started, or the digest of the job.
    pub(super) token: u64,
    /// The sending process.
    pub(super) process: u32,
    /// What the connection is for.
    pub(super) purpose: Purpose,
}

/// The magic of this version.
pub(super) const MAGIC: [u8; 8] = *b"THALWEG1";

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Control connection; to process 0 only.
    Control {
        /// Address at which the process listens.
        address: String,
    },
    /// Data connection: timely's messages.
    Data,
}

/// Response of process 0 on a control connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Welcome {
    /// All processes are connected.
    Together {
        /// Worker threads of each process.
        workers: u32,
        /// Address of each process.
        addresses: Vec<String>,
        /// The job's description, in JSON.
        job: Vec<u8>,
        /// The time of day when its clock showed 0: see
        /// [`Clock::wall`](crate::engine::host::Clock).
        wall: i64,
    },
    /// The process is rejected, for this reason.
    Refused(String),
}

/// From another process to process 0.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Up {
    /// Requests the time of process 0's clock.
    WhatTime,
    /// Connected to all processes, and the clock is set to within that many nanoseconds.
    Ready(u64),
    /// Activity records.
    Log(LogBatch),
    /// Part of a step is complete.
    Ack(Ack),
    /// Number of further records that were dropped.
    Dropped(u64),
    /// Totals added to queues and removed from them.
    Queues(Vec<Reading>),
    /// The job is complete; the encoded outcome of each worker.
    Done(Vec<Vec<u8>>),
    /// The job failed here.
    Failed(String),
}

/// From process 0 to another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Down {
    /// Time of the clock.
    Time(Timestamp),
    /// The run begins, and its clock counts from this instant of the one that was compared.
    Start(Timestamp),
    /// Totals that a process has added to queues and removed from them.
    Queues(u32, Vec<Reading>),
    /// The job failed somewhere.
    Stop(String),
    /// The job is complete everywhere.
    Goodbye,
}

/// No frame is longer.
const MOST_BYTES: u32 = 1 << 30;
/// No first words are longer: who says more is a stranger.
const MOST_HELLO_BYTES: u32 = 1 << 12;

/// Writes a frame, all of it at once.
pub(super) fn write<T: Serialize>(sink: &mut impl Write, value: &T) -> io::Result<()> {
    let mut frame = postcard::to_extend(value, vec![0; 4]).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).ok().filter(|&length| length <= MOST_BYTES);
    let length =
        length.ok_or_else(|| io::Error::other(format!("expected a frame of at most {MOST_BYTES} bytes, found {}", frame.len())))?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    sink.write_all(&frame)
}

/// Reads a frame.
pub(super) fn read<T: DeserializeOwned>(source: &mut impl Read) -> io::Result<T> {
    read_at_most(source, MOST_BYTES)
}

/// Reads the first message of a connection.
pub(super) fn read_hello(source: &mut impl Read) -> io::Result<Hello> {
    read_at_most(source, MOST_HELLO_BYTES)
}

fn read_at_most<T: DeserializeOwned>(source: &mut impl Read, most_bytes: u32) -> io::Result<T> {
    let mut length = [0; 4];
    source.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if length > most_bytes {
        return Err(wrong(format!("expected a frame of at most {most_bytes} bytes, found {length}")));
    }
    // Grows with what really comes, whatever the length says.
    let mut bytes = Vec::new();
    source.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    postcard::from_bytes(&bytes).map_err(|why| wrong(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_and_a_cut_or_foreign_one_is_an_error() {
        let hello = Hello { magic: MAGIC, token: 7, process: 1, purpose: Purpose::Data };
        let mut bytes = Vec::new();
        write(&mut bytes, &hello).unwrap();
        write(&mut bytes, &Up::Ready(5)).unwrap();
        let mut source = &bytes[..];
        assert_eq!(read_hello(&mut source).unwrap(), hello);
        assert!(matches!(read(&mut source).unwrap(), Up::Ready(5)));
        assert_eq!(read::<Up>(&mut source).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read_hello(&mut &bytes[..9]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let error = read_hello(&mut &b"GET / HTTP/1.1\r\n\r\n"[..]).unwrap_err();
        assert_eq!(error.to_string(), "expected a frame of at most 4096 bytes, found 542393671");
    }
}
