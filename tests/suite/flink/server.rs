//! The fake cluster over HTTP on loopback, with what can go wrong on the way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use super::fake::Fake;

/// What becomes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Status(u16, String),
    Html,
    Truncated,
    /// It does not come as long as the server is there.
    Silent,
    /// Byte by byte, never to the end.
    Slow,
    Redirect,
    /// More than ten million bytes.
    Huge,
    NotText,
    Empty,
    /// What the client sent as its credential comes back.
    Echo,
    NotHttp,
}

struct Shared {
    fake: Mutex<Fake>,
    fault: Mutex<Fault>,
    authorizations: Mutex<Vec<Option<String>>>,
    ends: AtomicBool,
}

/// A server; ends when it is dropped.
pub struct Server {
    pub address: String,
    shared: Arc<Shared>,
    port: u16,
    accepts: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `fake`, whose time goes `speed` times as fast as that of the machine.
    pub fn start(fake: Fake, speed: f64) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            fake: Mutex::new(fake),
            fault: Mutex::new(Fault::None),
            authorizations: Mutex::default(),
            ends: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let accepts = std::thread::spawn(move || {
            // A cluster has a clock of its own.
            #[allow(clippy::disallowed_methods)]
            let began = Instant::now();
            let began_ms = accepting.fake.lock().unwrap().now_ms;
            for stream in listener.incoming() {
                if accepting.ends.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || {
                    #[allow(clippy::disallowed_methods)]
                    let now_ms = || began_ms + began.elapsed().as_secs_f64() * 1e3 * speed;
                    if let Ok(stream) = stream {
                        let _ = serve(stream, &shared, now_ms);
                    }
                });
            }
        });
        Server { address: format!("http://127.0.0.1:{port}"), shared, port, accepts: Some(accepts) }
    }

    /// From now on answers are like this.
    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// Looks at the cluster.
    pub fn fake<T>(&self, look: impl FnOnce(&mut Fake) -> T) -> T {
        look(&mut self.shared.fake.lock().unwrap())
    }

    /// The header `Authorization` of each request so far.
    pub fn authorizations(&self) -> Vec<Option<String>> {
        self.shared.authorizations.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
    }
}

/// Serves one connection until the client closes it.
fn serve(mut stream: TcpStream, shared: &Shared, now_ms: impl Fn() -> f64) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let (mut length, mut authorization) = (0, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        shared.authorizations.lock().unwrap().push(authorization.clone());
        let mut words = first.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let fault = shared.fault.lock().unwrap().clone();
        let (status, text) = {
            let mut fake = shared.fake.lock().unwrap();
            fake.advance(now_ms());
            fake.answer(method, path, &String::from_utf8_lossy(&body))
        };
        let answer = |status: u16, text: &[u8]| {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
            [head.as_bytes(), text].concat()
        };
        match fault {
            Fault::None => stream.write_all(&answer(status, text.as_bytes()))?,
            Fault::Status(status, text) => stream.write_all(&answer(status, text.as_bytes()))?,
            Fault::Html => stream.write_all(&answer(200, b"<!DOCTYPE html><html><body>Sign in</body></html>"))?,
            Fault::Truncated => {
                let whole = answer(200, text.as_bytes());
                return stream.write_all(&whole[..whole.len() - text.len() / 2]);
            }
            Fault::Silent => drop(reader.read_line(&mut first)),
            Fault::Slow => {
                stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n")?;
                // Ends when the client hangs up.
                while stream.write_all(b" ").is_ok() {
                    stream.set_read_timeout(Some(std::time::Duration::from_millis(20)))?;
                    let _ = stream.read(&mut [0]);
                }
            }
            Fault::Redirect => {
                stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n")?
            }
            Fault::Huge => stream.write_all(&answer(200, &[b"[\"", "x".repeat(10_500_000).as_bytes(), b"\"]"].concat()))?,
            Fault::NotText => stream.write_all(&answer(200, &[0xff, 0xfe, 0x00, 0x80]))?,
            Fault::Empty => stream.write_all(&answer(200, b""))?,
            Fault::Echo => {
                let text = format!("{{\"errors\":[\"refused {}\"]}}", authorization.unwrap_or_default());
                stream.write_all(&answer(401, text.as_bytes()))?;
            }
            Fault::NotHttp => return stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"),
        }
    }
}
