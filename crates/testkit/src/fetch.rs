//! A provider in a list or in a closure: answers what the test says, remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sync_core::{
    BoxFuture, Clock, Fetch, FetchError, FetchErrorKind, Method, Operation, Request, Response, Timestamp,
};
use url::Url;

/// What a script answers.
pub type Reply = Result<Response, FetchError>;

type Script = dyn Fn(&Request) -> (Duration, Reply) + Send + Sync;

/// A [`Fetch`] that follows a script and records every request it was sent.
pub struct Scripted {
    script: Box<Script>,
    clock: Option<Arc<dyn Clock>>,
    requests: Mutex<Vec<Request>>,
}

impl Scripted {
    /// Answers at once, one after the other. A request beyond the last answer panics, naming itself.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Mutex<VecDeque<_>> = Mutex::new(replies.into_iter().collect());
        Self::with(move |request| {
            replies.lock().expect("no holder panics").pop_front().unwrap_or_else(|| {
                panic!("the script has no answer left for {} {}", request.method.as_str(), request.url)
            })
        })
    }

    /// Answers at once with what the closure says.
    pub fn with(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            script: Box::new(move |request| (Duration::ZERO, script(request))),
            clock: None,
            requests: Mutex::default(),
        }
    }

    /// Answers with what the closure says, after so much time of `clock`; the response's times are set from it.
    pub fn timed(
        clock: Arc<dyn Clock>,
        script: impl Fn(&Request) -> (Duration, Reply) + Send + Sync + 'static,
    ) -> Self {
        Self { script: Box::new(script), clock: Some(clock), requests: Mutex::default() }
    }

    /// Every request so far, in the order they came.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no holder panics").clone()
    }

    /// Method and URL of every request so far, such as `GET http://acme.test/a?page=2`.
    pub fn asked(&self) -> Vec<String> {
        self.requests().iter().map(|r| format!("{} {}", r.method.as_str(), r.url)).collect()
    }
}

impl Fetch for Scripted {
    fn fetch<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            self.requests.lock().expect("no holder panics").push(request.clone());
            let (latency, reply) = (self.script)(request);
            let Some(clock) = &self.clock else { return reply };
            if latency > Duration::ZERO {
                clock.sleep(latency).await;
            }
            reply.map(|response| Response { first_byte_at: clock.now(), elapsed: latency, ..response })
        })
    }
}

/// A GET that may be repeated, without headers or secrets.
pub fn get(url: &str) -> Request {
    Request {
        method: Method::Get,
        url: Url::parse(url).expect("the test's own URL"),
        headers: Vec::new(),
        body: None,
        secrets: Vec::new(),
        operation: Operation::Read,
        repeatable: true,
        follow_redirects: false,
        sent: sync_core::Sent::default(),
    }
}

/// A response of this status and body, without headers.
pub fn response(status: u16, body: impl Into<Bytes>) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body: body.into(),
        first_byte_at: Timestamp::from_micros(0),
        elapsed: Duration::ZERO,
        waited: Duration::ZERO,
    }
}

/// The same response with one more header; its name in lower case.
#[must_use]
pub fn header(mut response: Response, name: &str, value: &str) -> Response {
    response.headers.push((name.to_owned(), value.to_owned()));
    response
}

/// A request that got no response.
pub fn failure(kind: FetchErrorKind) -> FetchError {
    FetchError { kind, message: format!("scripted: {kind:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{EPOCH, Virtual};

    #[tokio::test]
    async fn a_list_is_answered_in_order_and_requests_are_kept() {
        let fetch = Scripted::new([Ok(response(200, "a")), Err(failure(FetchErrorKind::Broken))]);
        let request = get("http://acme.test/x?page=1");
        assert_eq!(fetch.fetch(&request).await.expect("scripted").body, "a");
        assert_eq!(fetch.fetch(&request).await.expect_err("scripted").kind, FetchErrorKind::Broken);
        assert_eq!(fetch.asked(), ["GET http://acme.test/x?page=1"; 2]);
    }

    #[tokio::test]
    #[should_panic(expected = "no answer left for GET http://acme.test/x")]
    async fn a_request_beyond_the_script_is_a_failed_test() {
        let _ = Scripted::new([]).fetch(&get("http://acme.test/x")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_timed_script_takes_its_time() {
        let clock = Arc::new(Virtual::new());
        let wait = Duration::from_secs(3);
        let fetch = Scripted::timed(clock.clone(), move |_| (wait, Ok(response(200, ""))));
        let answer = fetch.fetch(&get("http://acme.test/")).await.expect("scripted");
        assert_eq!((answer.first_byte_at, answer.elapsed), (EPOCH.plus(wait), wait));
    }
}
