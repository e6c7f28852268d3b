//! Serves a page and its data over HTTP/1.1, on a thread of its own.
//!
//! The run never waits for a client. Whatever a client does, it gets at most one of
//! [`MOST_CONNECTIONS`] connections, [`HEADER_BYTES`] of headers within [`HEADER_TIME`], and is
//! dropped when it takes nothing for [`STALL_TIME`]. Nothing is read from the file system, and unless
//! there is a [`Control`] nothing can be changed: only `GET` and `HEAD` are answered, and only to those
//! that ask for this machine by its address or as `localhost`, so that a page from elsewhere cannot
//! read along by giving its name our address.

mod answer;
mod content;
mod control;
mod patient;

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::teller::Board;
use answer::Answers;
use content::Clients;
pub use control::{Control, TOKEN_HEADER};
use patient::Patient;

/// Connections at the same time; the others are closed at once.
pub const MOST_CONNECTIONS: usize = 64;
/// The request line and headers of a request.
pub const HEADER_BYTES: usize = 16 * 1024;
/// How long a client may take to send them.
pub const HEADER_TIME: Duration = Duration::from_secs(5);
/// How long a client may leave unread what it was sent.
pub const STALL_TIME: Duration = Duration::from_secs(10);
/// How long the server waits at its end for what is still being sent.
const FAREWELL: Duration = Duration::from_millis(500);

/// How patient a server is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// [`MOST_CONNECTIONS`].
    pub connections: usize,
    /// [`HEADER_TIME`].
    pub header_time: Duration,
    /// [`STALL_TIME`].
    pub stall_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: MOST_CONNECTIONS, header_time: HEADER_TIME, stall_time: STALL_TIME }
    }
}

/// A server that goes on until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves what `board` shows at `address`; port 0 means any that is free.
    ///
    /// # Errors
    /// When the address is not this machine's or is taken, or the system gives no thread.
    pub fn start(board: Arc<Board>, address: SocketAddr, limits: Limits) -> io::Result<Server> {
        Server::steering(board, address, limits, None)
    }

    /// The same; with `control`, those who have its token can steer the run.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn steering(board: Arc<Board>, address: SocketAddr, limits: Limits, control: Option<Arc<Control>>) -> io::Result<Server> {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let clients = Clients::default();
        board.listen(Box::new(clients.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("live-http".to_owned()).spawn(move || {
            let answers = Arc::new(Answers::new(board, clients.clone(), control));
            runtime.block_on(serve(listener, &answers, &clients, limits, stopped));
        })?;
        Ok(Server { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dropping the sender is the sign.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Accepts connections until the sign to stop.
async fn serve(listener: StdListener, answers: &Arc<Answers>, clients: &Clients, limits: Limits, mut stop: oneshot::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        let next = poll_fn(|context| {
            if Pin::new(&mut stop).poll(context).is_ready() {
                return Poll::Ready(None);
            }
            listener.poll_accept(context).map(Some)
        });
        let Some(accepted) = next.await else { break };
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors, most likely: the job needs them more.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if connections.len() >= limits.connections {
            continue;
        }
        let answers = Arc::clone(answers);
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            let address: Arc<str> = peer.ip().to_string().into();
            let service = service_fn(move |request| {
                let (answers, address) = (Arc::clone(&answers), Arc::clone(&address));
                async move { Ok::<_, std::convert::Infallible>(answers.answer(request, &address, limits.header_time).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(HEADER_BYTES).keep_alive(false);
            // What goes wrong with a connection ends it and nothing else.
            let _ = http.serve_connection(TokioIo::new(Patient::new(stream, limits.stall_time)), service).await;
        });
    }
    // Streams end before the connections that they are on.
    clients.close();
    let all_end = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all_end).await;
}
