//! The sandbox behind the trait of the HTTP client, without a socket: for tests on virtual time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sync_core::{BoxFuture, Clock, Fetch, FetchError, FetchErrorKind, Place, Request, Response};
use sync_http::serve::{Incoming, Reply};

use crate::Sandbox;

/// After so long a client gives up on an answer that does not come.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks a sandbox directly. The host of a request is of no concern; its path begins with the provider.
///
/// What would break a connection is told as the client would tell it: a body cut short and a reset as
/// [`FetchErrorKind::Broken`], an answer that never comes as [`FetchErrorKind::Timeout`] after a minute of the
/// sandbox's clock, a redirect as [`FetchErrorKind::Redirect`].
pub struct InProcess(Arc<Sandbox>);

impl InProcess {
    /// Asks this sandbox.
    pub fn new(sandbox: Arc<Sandbox>) -> Self {
        Self(sandbox)
    }

    async fn ask(&self, request: &Request) -> Result<Response, FetchError> {
        let clock = &self.0.options.clock;
        let began = clock.monotonic();
        let incoming = incoming(request);
        let broken = |kind, what: &str| FetchError { kind, message: format!("{}: {what}", incoming.path) };
        match self.0.serve(&incoming).await {
            Reply::Whole { status: 300..400, .. } => {
                Err(broken(FetchErrorKind::Redirect, "redirected to another host"))
            }
            Reply::Whole { status, headers, body } => Ok(response(&**clock, began, status, headers, body)),
            Reply::Cut { .. } | Reply::Chunks { .. } => {
                Err(broken(FetchErrorKind::Broken, "the body ended too early"))
            }
            Reply::Reset => Err(broken(FetchErrorKind::Broken, "connection reset")),
            Reply::Hang => {
                clock.sleep(PATIENCE).await;
                Err(broken(FetchErrorKind::Timeout, "no answer in 60 s"))
            }
        }
    }
}

fn response(
    clock: &dyn Clock,
    began: Duration,
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
) -> Response {
    Response {
        status,
        headers,
        body,
        first_byte_at: clock.now(),
        elapsed: clock.monotonic().saturating_sub(began),
        waited: Duration::ZERO,
    }
}

fn incoming(request: &Request) -> Incoming {
    let mut url = request.url.clone();
    let mut headers: Vec<(String, String)> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    let mut body = request.body.as_ref().map(|body| body.bytes.clone());
    for part in &request.secrets {
        match part.place {
            Place::Query => {
                url.query_pairs_mut().append_pair(&part.name, part.value.expose());
            }
            Place::Header => headers.push((part.name.to_ascii_lowercase(), part.value.expose().to_owned())),
            Place::Body => {
                headers.push(("content-type".to_owned(), part.name.clone()));
                body = Some(Bytes::from(part.value.expose().to_owned()));
            }
        }
    }
    Incoming {
        method: request.method.as_str().to_owned(),
        path: url.path().to_owned(),
        query: url.query().unwrap_or_default().to_owned(),
        headers,
        body: body.unwrap_or_default(),
    }
}

impl Fetch for InProcess {
    fn fetch<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, FetchError>> {
        Box::pin(self.ask(request))
    }
}

#[cfg(test)]
mod tests;
