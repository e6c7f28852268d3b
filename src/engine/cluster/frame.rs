//! What processes say to each other outside the dataflow, and how it is written: a length and the postcard encoding.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::host::{Ack, LogBatch, Reading};
use crate::time::Timestamp;

/// The first words on every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Tells our connections from a stranger's, and one version of the protocol from another.
    pub(super) magic: [u8; 8],
    /// A secret of process 0 that it gave to those it started, or the digest of the job.
    pub(super) token: u64,
    /// The process that speaks.
    pub(super) process: u32,
    /// What the connection is for.
    pub(super) purpose: Purpose,
}

/// The magic of this version.
pub(super) const MAGIC: [u8; 8] = *b"THALWEG1";

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Everything of this module; to process 0 only.
    Control {
        /// Where the process takes connections of others.
        address: String,
    },
    /// Timely's messages.
    Data,
}

/// What process 0 answers on a control connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Welcome {
    /// All have come.
    Together {
        /// Worker threads of each process.
        workers: u32,
        /// Where each process takes connections.
        addresses: Vec<String>,
        /// The job's description, in JSON.
        job: Vec<u8>,
        /// The time of day when its clock showed 0: see [`Clock::wall`](crate::engine::host::Clock).
        wall: i64,
    },
    /// The process is not welcome, for this reason.
    Refused(String),
}

/// From another process to process 0.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Up {
    /// Asks what process 0's clock shows.
    WhatTime,
    /// Connected to everybody, and the clock is set to within so many nanoseconds.
    Ready(u64),
    /// Activity records.
    Log(LogBatch),
    /// Part of a step is complete.
    Ack(Ack),
    /// So many more records had to be dropped.
    Dropped(u64),
    /// What was added to queues and removed from them.
    Queues(Vec<Reading>),
    /// The job is complete; what each worker found, encoded.
    Done(Vec<Vec<u8>>),
    /// The job failed here.
    Failed(String),
}

/// From process 0 to another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Down {
    /// What the clock shows.
    Time(Timestamp),
    /// The run begins, and its clock counts from this instant of the one that was compared.
    Start(Timestamp),
    /// What a process added to queues and removed from them.
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

/// Reads somebody's first words.
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
