//! One request, one response, and the trait of everything that turns the one into the other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::{BoxFuture, Kind, Secret, Timestamp, parse_http_date};

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Create, or search.
    Post,
    /// Replace, or bulk upsert.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
}

impl Method {
    /// The method as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a request is for. Error rules may differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A page of a stream.
    Read,
    /// The connector's check call.
    Check,
}

/// Where a value stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A header.
    Header,
    /// A query parameter.
    Query,
    /// The whole body; the part's name is its media type.
    Body,
}

/// A secret text, and where in the request it goes.
#[derive(Clone, Debug)]
pub struct Part {
    /// Header or query.
    pub place: Place,
    /// The header's or parameter's name.
    pub name: String,
    /// The whole value, such as `Bearer` and the token.
    pub value: Secret,
}

/// How a credential signs a request: which value goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Header or query.
    pub place: Place,
    /// The header's or parameter's name.
    pub name: String,
    /// What its value is made of.
    pub form: SignatureForm,
}

/// What the value of a [`Signature`] is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureForm {
    /// The pieces, one after the other.
    Text(Vec<SignaturePiece>),
    /// `Basic` and the base64 of user name, colon, password (RFC 7617).
    Basic {
        /// The user name.
        username: Vec<SignaturePiece>,
        /// The password; may be empty.
        password: Vec<SignaturePiece>,
    },
}

/// A piece of a signature's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignaturePiece {
    /// Text of the connector file.
    Text(String),
    /// The credential's secret of this name.
    Secret(String),
}

/// A request body.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A request before it is sent.
///
/// Secrets are kept apart from everything that may be printed: `url` and `headers` hold none, `secret` is
/// filled in by the auth layer and put in place by `http` alone, at the moment of sending.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Scheme, host, path and the query without secrets. Safe to print.
    pub url: Url,
    /// Headers without secrets.
    pub headers: Vec<(String, String)>,
    /// The body, if any.
    pub body: Option<Body>,
    /// Secrets and their places.
    pub secrets: Vec<Part>,
    /// What it is for.
    pub operation: Operation,
    /// Whether sending it twice is the same as sending it once.
    pub repeatable: bool,
    /// Whether a redirect inside the same host may be followed. One to another host never is.
    pub follow_redirects: bool,
    /// Attempts that were sent, for who may drop the question before it is answered. Copies share it.
    pub sent: Sent,
}

/// Counts attempts as they are sent, and remembers which version of the credential signed the last of them.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<(AtomicU32, AtomicU64)>);

impl Sent {
    /// One more is on its way.
    pub fn enter(&self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many so far.
    pub fn count(&self) -> u32 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// This version of the credential signs it.
    pub fn sign(&self, version: u64) {
        self.0.1.store(version, Ordering::Relaxed);
    }

    /// The version of the credential that signed the last attempt; 0 before any did.
    pub fn signed_with(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }
}

/// A response, its body whole and decoded.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body after content decoding. Never cut short: a body that ends early is an error.
    pub body: Bytes,
    /// When the first byte arrived, by the wall clock of this machine, UTC.
    pub first_byte_at: Timestamp,
    /// From sending to the last byte.
    pub elapsed: Duration,
    /// Time spent waiting for a permit before it was sent.
    pub waited: Duration,
}

impl Response {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The wait that a header such as `retry-after` asks for: seconds, also with decimals, which some providers
    /// write, or a moment: a date, or seconds or milliseconds since 1970, which numbers of that size can only be. A
    /// moment in the past is no wait at all.
    ///
    /// Source: RFC 9110, section 10.2.3; the numbers are what providers were seen to send.
    pub fn wait_in(&self, name: &str) -> Option<Duration> {
        const MILLISECONDS_SINCE_1970: u64 = 1_000_000_000_000;
        const SECONDS_SINCE_1970: u64 = 1_000_000_000;
        let value = self.header(name)?.trim();
        let moment = |number: u64, micros: u64| {
            let micros = i64::try_from(number.saturating_mul(micros)).unwrap_or(i64::MAX);
            Timestamp::from_micros(micros)
        };
        let until = match value.parse::<u64>() {
            Ok(millis @ MILLISECONDS_SINCE_1970..) => moment(millis, 1_000),
            Ok(seconds @ SECONDS_SINCE_1970..) => moment(seconds, 1_000_000),
            Ok(seconds) => return Some(Duration::from_secs(seconds)),
            Err(_) => match value.parse::<f64>() {
                Ok(seconds) => return Duration::try_from_secs_f64(seconds).ok(),
                Err(_) => parse_http_date(value).or_else(|| Timestamp::parse(value))?,
            },
        };
        // The server's own clock, where it tells it, makes the difference right even if ours is wrong.
        let now = self.header("date").and_then(parse_http_date).unwrap_or(self.first_byte_at);
        Some(until.since(now))
    }
}

/// Why no response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchErrorKind {
    /// The host's name is unknown.
    Unresolved,
    /// Nothing listens there, or the network is down.
    Refused,
    /// The secure channel could not be made.
    Tls,
    /// No answer in time.
    Timeout,
    /// The connection broke, or the body was cut short.
    Broken,
    /// We would not send it: a secret over plain http, or to a host it does not belong to.
    Forbidden,
    /// There is no credential to sign it with, and asking again will not bring one.
    Credential,
    /// The token endpoint gave no token this time. The request itself was not sent.
    Token,
    /// A redirect that must not be followed.
    Redirect,
    /// A long window of the budget is spent; waiting for it would take hours.
    Quota,
    /// The figures of the budget cannot be kept, and nothing is sent that is not written down.
    Budget,
    /// The user stopped the run.
    Stopped,
}

/// No response came.
///
/// The message is safe to print: it holds host and path, never a query value.
#[derive(Clone, Debug)]
pub struct FetchError {
    /// What happened, for the program.
    pub kind: FetchErrorKind,
    /// What happened, for people.
    pub message: String,
}

impl FetchError {
    /// Whether another attempt may help.
    pub fn temporary(&self) -> bool {
        match self.kind {
            FetchErrorKind::Unresolved
            | FetchErrorKind::Refused
            | FetchErrorKind::Timeout
            | FetchErrorKind::Token
            | FetchErrorKind::Broken => true,
            FetchErrorKind::Tls
            | FetchErrorKind::Forbidden
            | FetchErrorKind::Credential
            | FetchErrorKind::Redirect
            | FetchErrorKind::Quota
            | FetchErrorKind::Budget
            | FetchErrorKind::Stopped => false,
        }
    }

    /// What it means for the run when it stays.
    pub fn run_kind(&self) -> Kind {
        match self.kind {
            FetchErrorKind::Unresolved
            | FetchErrorKind::Refused
            | FetchErrorKind::Tls
            | FetchErrorKind::Budget => Kind::Environment,
            FetchErrorKind::Timeout | FetchErrorKind::Broken | FetchErrorKind::Token => Kind::Failed,
            FetchErrorKind::Forbidden | FetchErrorKind::Credential | FetchErrorKind::Redirect => {
                Kind::Refused
            }
            FetchErrorKind::Quota => Kind::Quota,
            FetchErrorKind::Stopped => Kind::Stopped,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FetchError {}

/// Turns one request into one response.
///
/// Contract: one call sends at most one request; a redirect that may be followed is returned like any response. A response is returned whatever
/// its status; what it means is decided above. Dropping the future abandons the request, nothing else.
pub trait Fetch: Send + Sync {
    /// Sends the request and waits for the whole response.
    fn fetch<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, FetchError>>;
}

/// Where the provider's words "too fast" and "no more today" are heard.
///
/// Contract: after `limited` returns, no request of the same budget is sent before the time is over, whichever process
/// wants to; a later call may lengthen the pause and never shortens it. The same holds for `spent`, except that requests
/// are refused instead of held back. Requests under way are not touched.
pub trait Pause: Send + Sync {
    /// The provider refused this request because it came too fast: every request of the budget is held back for so long.
    fn limited<'a>(&'a self, request: &'a Request, wait: Duration) -> BoxFuture<'a, ()>;
    /// The provider says that a long quota is spent. It is free again after so long; without a time, when the provider's
    /// day ends. Returns that moment.
    fn spent(&self, wait: Option<Duration>) -> BoxFuture<'_, Timestamp>;
}

/// Where the provider's word "I do not know you" is heard.
///
/// Contract: `refused` is bounded: a version of the credential that was refused is not offered again, so that asking
/// in a loop ends. Many requests may be refused at once; the first finds what else there is, the others get it too.
pub trait Renew: Send + Sync {
    /// The provider refused the credential that signed this request.
    fn refused<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Renewal>;
    /// The provider took the credential that signed this request, after it had refused another.
    fn taken(&self, request: &Request);
}

/// What is left after a credential was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Another secret, with which the next attempt is signed.
    Again,
    /// Nothing.
    Spent {
        /// What was tried, in a few words; nothing where there was nothing to try.
        tried: Option<String>,
        /// What to do about it, where the usual advice is not the best.
        hint: Option<String>,
    },
}

impl Renew for () {
    fn refused<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Renewal> {
        Box::pin(std::future::ready(Renewal::Spent { tried: None, hint: None }))
    }
    fn taken(&self, _: &Request) {}
}
