//! What an answer consists of: bytes, or messages as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::live::teller::Listener;

/// Messages that may wait for a client; one that lets more wait is dropped and has to begin again.
const MOST_WAITING: usize = 64;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it at once.
    Whole(Option<Bytes>),
    /// Server-sent events.
    News(Receiver<Bytes>),
}

impl Content {
    /// All of it at once.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Content {
        Content::Whole(Some(bytes.into()))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::News(messages) => messages.poll_recv(context).map(|message| message.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::News(_) => SizeHint::default(),
        }
    }
}

/// Those that listen for what is new.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    /// Nothing once the server ends.
    senders: Arc<Mutex<Senders>>,
}

#[derive(Debug, Default)]
struct Senders {
    open: Vec<Sender<Bytes>>,
    is_closed: bool,
}

impl Clients {
    /// One more, who first hears `greeting`.
    pub(super) fn join(&self, greeting: &str) -> Content {
        let (to, from) = mpsc::channel(MOST_WAITING);
        let mut senders = self.senders();
        if !senders.is_closed && to.try_send(Bytes::from(greeting.to_owned())).is_ok() {
            senders.open.retain(|open| !open.is_closed());
            senders.open.push(to);
        }
        Content::News(from)
    }

    /// Ends all streams.
    pub(super) fn close(&self) {
        let mut senders = self.senders();
        senders.open.clear();
        senders.is_closed = true;
    }

    fn senders(&self) -> MutexGuard<'_, Senders> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Clients {
    fn hear(&mut self, message: &Arc<str>) {
        let mut senders = self.senders();
        if senders.open.is_empty() {
            return;
        }
        // JSON has no line break, so a message is one line.
        let event = Bytes::from(format!("data: {message}\n\n"));
        senders.open.retain(|to| to.try_send(event.clone()).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_read_is_dropped_and_the_others_hear_everything() {
        let mut clients = Clients::default();
        let (Content::News(mut reads), Content::News(mut stalls)) = (clients.join("hello"), clients.join("hello")) else {
            panic!("streams")
        };
        let mut heard = 0;
        for number in 0..200 {
            clients.hear(&format!("{number}").into());
            while reads.try_recv().is_ok() {
                heard += 1;
            }
        }
        assert_eq!(heard, 201);
        assert_eq!(clients.senders().open.len(), 1);
        let mut left = 0;
        while stalls.try_recv().is_ok() {
            left += 1;
        }
        assert_eq!(left, MOST_WAITING, "what waits for a client is bounded");
        clients.close();
        assert!(clients.senders().open.is_empty());
        let Content::News(mut late) = clients.join("hello") else { panic!("a stream") };
        assert!(late.try_recv().is_err(), "nobody joins a server that ends");
    }
}
