//! Which request gets which answer.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};

use super::content::{Clients, Content};
use crate::live::teller::Board;
use crate::live::{page, prometheus};

/// What there is to ask for, as `/api` says.
const INDEX: &str = r#"{"version":1,"paths":{"/":"the page","/api/story":"all that is known of the run, as JSON","/api/news":"what is new, as server-sent events","/metrics":"figures in Prometheus' text format"}}"#;

/// Answers requests about a run.
pub(super) struct Answers {
    board: Arc<Board>,
    clients: Clients,
    page: Bytes,
    /// The last story, by the number of the last message in it.
    story: Mutex<Option<(u64, Bytes)>>,
}

impl Answers {
    /// About the run on `board`, whose news `clients` hear.
    pub(super) fn new(board: Arc<Board>, clients: Clients) -> Answers {
        Answers { board, clients, page: Bytes::from(page::live()), story: Mutex::new(None) }
    }

    /// The answer to a request.
    pub(super) fn to<B>(&self, request: &Request<B>) -> Response<Content> {
        let refuse = |status: StatusCode, why: &str| {
            let mut response = answer("text/plain; charset=utf-8", Content::whole(format!("{why}\n")));
            *response.status_mut() = status;
            response
        };
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
