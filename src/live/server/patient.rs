//! A connection that gives up on a client that reads nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A stream on which a write may wait only so long.
pub(super) struct Patient {
    stream: TcpStream,
    stall_time: Duration,
    /// Runs while a write waits.
    waits: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// The stream, of which a write may wait for `stall_time`.
    pub(super) fn new(stream: TcpStream, stall_time: Duration) -> Patient {
        Patient { stream, stall_time, waits: None }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let stall_time = self.stall_time;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(stall_time)));
        match waits.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::TcpListener;

    use super::*;

    /// More than any system keeps for a connection.
    const MUCH: usize = 256 << 20;

    #[test]
    fn who_reads_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let reader = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let block = vec![7; 1 << 20];
        let why = runtime.block_on(async {
            let mut patient = Patient::new(TcpStream::from_std(stream).unwrap(), Duration::from_millis(50));
            let mut written = 0;
            while written < MUCH {
                match poll_fn(|context| Pin::new(&mut patient).poll_write(context, &block)).await {
                    Ok(more) => written += more,
                    Err(why) => return Some(why.kind()),
                }
            }
            None
        });
        assert_eq!(why, Some(io::ErrorKind::TimedOut));
        drop(reader);
    }
}
