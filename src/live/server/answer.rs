//! Which request gets which answer.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::content::{Clients, Content};
use super::control::{Control, MOST_BYTES, TOKEN_HEADER};
use crate::live::teller::Board;
use crate::live::{page, prometheus};

/// What there is to ask for, as `/api` says.
const INDEX: &str = r#"{"version":1,"paths":{"/":"the page","/api/story":"all that is known of the run, as JSON","/api/news":"what is new, as server-sent events","/metrics":"figures in Prometheus' text format"}}"#;

/// Where requests that change the run go, if they may.
const CONTROL: &str = "/api/control";
const CONTROL_INDEX: &str = r#"{"commands":{"pause":[],"resume":[],"hold":["operator"],"release":["operator"],"apply":["plan"],"goal":["goal_ms"]},"token_header":"x-thalweg-token"}"#;

/// Answers requests about a run.
pub(super) struct Answers {
    board: Arc<Board>,
    clients: Clients,
    page: Bytes,
    control: Option<Arc<Control>>,
    /// The last story, by the number of the last message in it.
    story: Mutex<Option<(u64, Bytes)>>,
}

impl Answers {
    /// About the run on `board`, whose news `clients` hear.
    pub(super) fn new(board: Arc<Board>, clients: Clients, control: Option<Arc<Control>>) -> Answers {
        Answers { board, clients, page: Bytes::from(page::live(control.is_some())), control, story: Mutex::new(None) }
    }

    /// The answer to a request of somebody at `address`, whose body has to come within `time`.
    pub(super) async fn answer<B>(&self, request: Request<B>, address: &str, time: Duration) -> Response<Content>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match &self.control {
            Some(control) if request.method() == Method::POST && request.uri().path() == CONTROL => {
                steered(control, request, address, time).await
            }
            _ => self.to(&request),
        }
    }

    /// The answer to a request that changes nothing.
    fn to<B>(&self, request: &Request<B>) -> Response<Content> {
        if let Err(why) = is_for_us(request.uri(), request.headers()) {
            return refuse(StatusCode::FORBIDDEN, why);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD: nothing can be changed here");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/" => answer("text/html; charset=utf-8", Content::whole(self.page.clone())),
            "/live.js" => answer("text/javascript; charset=utf-8", Content::whole(page::SCRIPT)),
            "/live.css" => answer("text/css; charset=utf-8", Content::whole(page::STYLE)),
            "/api" => answer("application/json", Content::whole(INDEX)),
            "/api/story" => answer("application/json", Content::whole(self.story())),
            CONTROL if self.control.is_some() => answer("application/json", Content::whole(CONTROL_INDEX)),
            "/api/news" if request.method() == Method::HEAD => answer("text/event-stream", Content::whole("")),
            "/api/news" => answer("text/event-stream", self.clients.join("retry: 2000\nevent: hello\ndata: {}\n\n")),
            "/metrics" => answer(prometheus::CONTENT_TYPE, Content::whole(self.board.read(prometheus::text))),
            _ => refuse(StatusCode::NOT_FOUND, "nothing here: see /api for what there is"),
        }
    }

    /// The story as JSON, made once for each message.
    fn story(&self) -> Bytes {
        let number = self.board.number();
        let mut last = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = last.as_ref().filter(|(of, _)| *of == number) {
            return bytes.clone();
        }
        let story = self.board.story();
        let bytes = Bytes::from(serde_json::to_vec(&story).unwrap_or_default());
        *last = Some((story.number, bytes.clone()));
        bytes
    }
}

/// The answer to a request that may change something.
async fn steered<B>(control: &Control, request: Request<B>, address: &str, time: Duration) -> Response<Content>
where
    B: Body<Data = Bytes> + Unpin,
{
    if let Err(why) = is_for_us(request.uri(), request.headers()) {
        return refuse(StatusCode::FORBIDDEN, why);
    }
    let token = request.headers().get(TOKEN_HEADER).map(HeaderValue::as_bytes);
    if let Err((status, why)) = control.admit(token) {
        return refuse(status, &why);
    }
    let body = match tokio::time::timeout(time, whole_body(request.into_body())).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("expected at most {MOST_BYTES} bytes, all of them, found others"));
        }
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "expected the whole request in time"),
    };
    match control.take(&body, address) {
        Ok(()) => {
            let mut response = answer("application/json", Content::whole(r#"{"accepted":true}"#));
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
        Err((status, why)) => refuse(status, &why),
    }
}

/// All bytes of a body, unless there are too many or the sender ends early.
async fn whole_body<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let data = frame.ok()?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > MOST_BYTES {
            return None;
        }
        bytes.extend_from_slice(&data);
    }
    Some(bytes)
}

fn refuse(status: StatusCode, why: &str) -> Response<Content> {
    let mut response = answer("text/plain; charset=utf-8", Content::whole(format!("{why}\n")));
    *response.status_mut() = status;
    response
}

/// An answer that a browser shows here only, does not keep, and takes for nothing else.
fn answer(content_type: &'static str, content: Content) -> Response<Content> {
    const HEADERS: [(HeaderName, &str); 6] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = Response::new(content);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a request names this machine by its address or as `localhost`, and comes from no other
/// site: a name could be anybody's.
fn is_for_us(uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected this machine's address or 'localhost' as host";
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(EXPECTED) };
    let host = host.to_str().map_err(|_| EXPECTED)?;
    if !is_here(host) || uri.authority().is_some_and(|authority| authority.as_str() != host) {
        return Err(EXPECTED);
    }
    match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
        None => Ok(()),
        Some(Ok(origin)) if origin.strip_prefix("http://") == Some(host) => Ok(()),
        Some(_) => Err("requests from other sites are refused"),
    }
}

/// Whether a host, with or without its port, is an address or `localhost`.
fn is_here(host: &str) -> bool {
    let port_is_fine = |port: &str| port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port_is_fine(port);
    }
    let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
    (name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()) && port_is_fine(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_here() {
        for host in ["localhost", "LocalHost:80", "127.0.0.1:8425", "10.0.0.7", "[::1]:8425", "[::1]"] {
            assert!(is_here(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:99999",
            "localhost:x",
            "::1",
            "[::1",
            "[::1]x",
            "[evil]",
        ] {
            assert!(!is_here(host), "{host}");
        }
    }
}
