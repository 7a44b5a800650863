//! The step of the stairs that waits for a permit before each request.

use std::sync::Arc;
use std::time::Duration;

use sync_core::{
    BoxFuture, Clock, Event, Fetch, FetchError, FetchErrorKind, Request, Response, Stop, Timestamp, Watch,
};

use crate::Budget;
use crate::budget::Spent;
use crate::rules::Why;

/// Shorter waits are nobody's business.
const WORTH_TELLING: Duration = Duration::from_secs(1);
/// How far wall clock and monotonic clock may drift apart during one request before the wall clock is not
/// believed.
const DRIFT_MAX: Duration = Duration::from_millis(5);

/// Sends each request when its budget allows it.
///
/// A request that is dropped while it waits has cost nothing; one that is dropped under way keeps its place for
/// one more window, since the server may have counted it.
pub struct Paced {
    inner: Arc<dyn Fetch>,
    budget: Arc<Budget>,
    label: String,
    watch: Arc<dyn Watch>,
    stop: Stop,
    clock: Arc<dyn Clock>,
}

impl Paced {
    /// Paces `inner` by `budget`. `label` names the provider in what `watch` is told.
    pub fn new(
        inner: Arc<dyn Fetch>,
        budget: Arc<Budget>,
        label: String,
        watch: Arc<dyn Watch>,
        stop: Stop,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { inner, budget, label, watch, stop, clock }
    }

    fn reason(&self, why: &Why) -> String {
        match why {
            Why::Rule(rule) => format!("{} {rule}", self.label),
            Why::Pause => format!("{} asked for a pause", self.label),
        }
    }

    fn spent(&self, spent: &Spent) -> FetchError {
        let message = match spent {
            Spent::For { wait, why } => {
                format!("{}: the next request is possible in {}", self.reason(why), spoken(*wait))
            }
            Spent::Never { rule } => format!("{} {rule}: no request is ever possible", self.label),
        };
        FetchError { kind: FetchErrorKind::Quota, message }
    }

    /// The monotonic moment of the first byte, where it can be known; else the moment of the last.
    ///
    /// A response tells its first byte by the wall clock, which is believed only if it ran along with the
    /// monotonic clock while the request was under way.
    fn first_byte(&self, response: &Response, sent: (Timestamp, Duration)) -> Duration {
        let (wall, now) = (self.clock.now(), self.clock.monotonic());
        let elapsed = now.saturating_sub(sent.1);
        let honest = wall.since(sent.0).abs_diff(elapsed) <= DRIFT_MAX;
        let body = wall.since(response.first_byte_at);
        if honest && body <= elapsed { now.saturating_sub(body) } else { now }
    }
}

impl Fetch for Paced {
    fn fetch<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, FetchError>> {
        Box::pin(async move {
            let asked = self.clock.monotonic();
            let tell = |why: &Why, wait: Duration| {
                if wait > WORTH_TELLING {
                    self.watch.event(Event::Waiting { reason: self.reason(why), duration: wait });
                }
            };
            let permit = tokio::select! {
                biased;
                () = self.stop.wait() => {
                    return Err(FetchError { kind: FetchErrorKind::Stopped, message: "stopped".to_owned() });
                }
                permit = self.budget.permit(tell) => permit.map_err(|spent| self.spent(&spent))?,
            };
            request.sent.enter();
            let sent = (self.clock.now(), self.clock.monotonic());
            let mut response = self.inner.fetch(request).await?;
            permit.ended_at(self.first_byte(&response, sent));
            response.waited += sent.1.saturating_sub(asked);
            Ok(response)
        })
    }
}

/// A time as people say it: `45 min`, `3 h`.
fn spoken(wait: Duration) -> String {
    match wait.as_secs().div_ceil(60) {
        minutes @ 0..=119 => format!("{minutes} min"),
        minutes => format!("{} h", minutes.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests;
