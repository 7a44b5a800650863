//! The lowest step of the stairs: one request out, one response back, whole.
//!
//! This is where secrets enter a request, at the moment of sending and nowhere before. Hence the rules about
//! where it may go: https, or plain http to this very machine; never along a redirect to another origin.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use sync_core::{
    BoxFuture, Clock, Fetch, FetchError, FetchErrorKind, Method, Place, Request, Response, Stop, Timestamp,
};
use url::{Host, Url};

use crate::{Scrubber, failure, redirect, tls};

const AGENT: &str = concat!("sync/", env!("CARGO_PKG_VERSION"));
/// A page larger than this does not fit any memory bound we promise; it is an error, not a crash.
const BODY_MAX: usize = 512 << 20;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, name lookup and TLS included.
    pub connect: Duration,
    /// For the first byte, and between two pieces of the body.
    pub read: Duration,
    /// For the whole exchange.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), read: Duration::from_mins(1), total: Duration::from_mins(5) }
    }
}

/// Sends requests: HTTP/1.1 and 2, TLS by the certificate authorities of this machine, gzip, connections kept
/// alive, the proxy that `HTTPS_PROXY` and `NO_PROXY` name (never for loopback).
///
/// One call sends at most one request. Every secret it sends is made known to the
/// [`Scrubber`] first.
pub struct Client {
    clock: Arc<dyn Clock>,
    scrubber: Arc<Scrubber>,
    stop: Stop,
    timeouts: Timeouts,
    body_max: usize,
    plain: reqwest::Client,
    /// Made when first needed, because they read the machine's certificates, which takes tens of milliseconds.
    secure: Mutex<Option<reqwest::Client>>,
    secure_loopback: Mutex<Option<reqwest::Client>>,
}

impl Client {
    /// A client without connections. The machine's certificates are read at the first https request; a machine
    /// that has none can still talk to itself.
    pub fn new(
        clock: Arc<dyn Clock>,
        scrubber: Arc<Scrubber>,
        stop: Stop,
        timeouts: Timeouts,
    ) -> Result<Self, FetchError> {
        let plain = on_loopback(builder(timeouts))
            .tls_backend_preconfigured(tls::trusting_nobody())
            .build()
            .map_err(|error| no_client(&error))?;
        Ok(Self {
            clock,
            scrubber,
            stop,
            timeouts,
            body_max: BODY_MAX,
            plain,
            secure: Mutex::new(None),
            secure_loopback: Mutex::new(None),
        })
    }

    /// The connections for this URL, or the reason why it is not asked.
    fn connections(&self, url: &Url) -> Result<reqwest::Client, FetchError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(forbidden(format!(
                "the address of {} holds a user name or password",
                failure::place(url)
            )));
        }
        match (url.scheme(), is_loopback(url)) {
            ("http", true) => Ok(self.plain.clone()),
            ("https", true) => made_once(&self.secure_loopback, || on_loopback(builder(self.timeouts))),
            ("https", false) => made_once(&self.secure, || builder(self.timeouts)),
            ("http", false) => Err(forbidden(format!(
                "plain http to {} is refused: anyone on the way could read it; use https",
                failure::place(url)
            ))),
            (scheme, _) => Err(forbidden(format!("`{scheme}:` is not a scheme that can be fetched"))),
        }
    }

    async fn exchange(&self, request: &Request, started: Duration) -> Result<Response, FetchError> {
        let headers = headers(request)?;
        for part in &request.secrets {
            self.scrubber.add(&part.value);
        }
        let url = &request.url;
        let response = self.send(request, url, headers).await?;
        let first_byte_at = self.clock.now();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        // One to another host ends here; one that may be followed is a request of its own, which pays for itself.
        redirect::next(request, response.status().as_u16(), location)?;
        self.receive(response, url, started, first_byte_at).await
    }

    async fn send(
        &self,
        request: &Request,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<reqwest::Response, FetchError> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut sending = self.connections(url)?.request(method, with_secrets(url, request)).headers(headers);
        let secret = request.secrets.iter().find(|part| part.place == Place::Body);
        if let Some(part) = secret {
            sending = sending.body(part.value.expose().to_owned());
        } else if let Some(body) = &request.body {
            sending = sending.body(body.bytes.clone());
        }
        self.within_read(sending.send(), url).await?.map_err(|error| {
            let (kind, message) = failure::of_sending(&error, url);
            FetchError { kind, message }
        })
    }

    /// Collects the body into one allocation of its own size.
    async fn receive(
        &self,
        mut response: reqwest::Response,
        url: &Url,
        started: Duration,
        first_byte_at: Timestamp,
    ) -> Result<Response, FetchError> {
        let broken = |message| FetchError { kind: FetchErrorKind::Broken, message };
        let too_large = || {
            let (place, path, megabytes) = (failure::place(url), url.path(), self.body_max >> 20);
            broken(format!("the answer of {place}{path} is larger than {megabytes} MB"))
        };
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        // Unknown where the body is compressed or chunked.
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > self.body_max {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(announced);
        while let Some(piece) = self
            .within_read(response.chunk(), url)
            .await?
            .map_err(|error| broken(failure::of_body(&error, url, body.len())))?
        {
            if piece.len() > self.body_max - body.len() {
                return Err(too_large());
            }
            append(&mut body, &piece);
        }
        body.shrink_to_fit();
        Ok(Response {
            status,
            headers,
            body: Bytes::from(body),
            first_byte_at,
            elapsed: self.clock.monotonic().saturating_sub(started),
            waited: Duration::ZERO,
        })
    }

    async fn within_read<T>(&self, work: impl Future<Output = T>, url: &Url) -> Result<T, FetchError> {
        tokio::select! {
            biased;
            out = work => Ok(out),
            () = self.clock.sleep(self.timeouts.read) => Err(timeout(url, self.timeouts.read)),
        }
    }
}

impl Fetch for Client {
    fn fetch<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, FetchError>> {
        Box::pin(async move {
            let started = self.clock.monotonic();
            let result = tokio::select! {
                biased;
                // What cannot be repeated is not cut off: nobody would know what became of it, or of the refresh token
                // that was in it.
                () = self.stop.wait(), if request.repeatable => Err(FetchError {
                    kind: FetchErrorKind::Stopped,
                    message: "stopped".to_owned(),
                }),
                result = self.exchange(request, started) => result,
                () = self.clock.sleep(self.timeouts.total) => Err(timeout(&request.url, self.timeouts.total)),
            };
            result.map_err(|error| FetchError {
                message: self.scrubber.scrub(&error.message).into_owned(),
                ..error
            })
        })
    }
}

fn builder(timeouts: Timeouts) -> reqwest::ClientBuilder {
    tls::install_tls();
    reqwest::Client::builder()
        .user_agent(AGENT)
        .connect_timeout(timeouts.connect)
        .redirect(reqwest::redirect::Policy::none())
        // Every attempt has to pay its permit, so none is made behind the budget's back.
        .retry(reqwest::retry::never())
}

/// No proxy, and no name server either: `localhost` is this machine, whatever a resolver thinks.
fn on_loopback(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    let here = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
    builder.no_proxy().resolve_to_addrs("localhost", &here)
}

fn made_once(
    slot: &Mutex<Option<reqwest::Client>>,
    builder: impl FnOnce() -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, FetchError> {
    let mut slot = slot.lock().expect("building a client does not panic");
    if let Some(client) = &*slot {
        return Ok(client.clone());
    }
    let client = builder().build().map_err(|error| no_client(&error))?;
    *slot = Some(client.clone());
    Ok(client)
}

fn no_client(error: &reqwest::Error) -> FetchError {
    let message = format!("https is not possible on this machine: {}", failure::root(error));
    FetchError { kind: FetchErrorKind::Tls, message }
}

fn forbidden(message: String) -> FetchError {
    FetchError { kind: FetchErrorKind::Forbidden, message }
}

fn timeout(url: &Url, after: Duration) -> FetchError {
    let message = format!("no answer of {}{} within {after:?}", failure::place(url), url.path());
    FetchError { kind: FetchErrorKind::Timeout, message }
}

/// Whether a URL leads to this very machine, whatever a name server thinks.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// All headers, those with secrets marked, so that neither HTTP/2 compression nor a log keeps them.
fn headers(request: &Request) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    let mut put = |name: &str, value: &str, sensitive: bool| {
        let key = HeaderName::from_bytes(name.as_bytes());
        let (Ok(key), Ok(mut value)) = (key, HeaderValue::from_str(value)) else {
            return Err(forbidden(format!("the header `{}` cannot be sent as it is", name.escape_debug())));
        };
        value.set_sensitive(sensitive);
        headers.append(key, value);
        Ok(())
    };
    for (name, value) in &request.headers {
        put(name, value, false)?;
    }
    for part in request.secrets.iter().filter(|part| part.place == Place::Header) {
        put(&part.name, part.value.expose(), true)?;
    }
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
    if let Some(part) = request.secrets.iter().find(|part| part.place == Place::Body) {
        let media = HeaderValue::from_str(&part.name)
            .map_err(|_| forbidden("a media type that cannot be sent".to_owned()))?;
        headers.insert(CONTENT_TYPE, media);
    } else if let Some(body) = &request.body {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(body.content_type));
    }
    Ok(headers)
}

/// The URL with its secret parameters, replacing those a redirect may have echoed.
fn with_secrets(url: &Url, request: &Request) -> Url {
    let secrets = request.secrets.iter().filter(|part| part.place == Place::Query);
    let secrets: Vec<_> = secrets.map(|part| (part.name.as_str(), part.value.expose())).collect();
    let mut url = url.clone();
    if secrets.is_empty() {
        return url;
    }
    if url.query_pairs().any(|(name, _)| secrets.iter().any(|(secret, _)| *secret == name)) {
        let others: Vec<_> = url.query_pairs().into_owned().collect();
        let others = others.iter().filter(|(name, _)| secrets.iter().all(|(secret, _)| secret != name));
        url.query_pairs_mut().clear().extend_pairs(others);
    }
    url.query_pairs_mut().extend_pairs(secrets);
    url
}

/// Appends a piece, growing by a quarter at most: doubling would waste as much as the page itself.
fn append(body: &mut Vec<u8>, piece: &[u8]) {
    if body.capacity() - body.len() < piece.len() {
        body.reserve_exact(piece.len().max(body.len() / 4).max(64 << 10));
    }
    body.extend_from_slice(piece);
}

#[cfg(test)]
mod tests;
