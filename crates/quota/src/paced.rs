//! The step of the stairs that waits for a permit before each request, and listens to what the answer says.

use std::sync::Arc;
use std::time::Duration;

use sync_core::{
    BoxFuture, Clock, Event, Fetch, FetchError, FetchErrorKind, Request, Response, Stop, Timestamp, Watch,
};

use crate::Budget;
use crate::budget::{Denied, spoken};
use crate::figures::micros;
use crate::hint::Hint;
use crate::ledger::{Op, Why};

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
            Why::Pause => format!("{} asked for a pause", self.label),
            rule => format!("{} {}", self.label, spoken(rule)),
        }
    }

    fn denied(&self, denied: Denied) -> FetchError {
        let (kind, message) = match denied {
            Denied::Spent { wait, at, rule } => {
                let (at, wait) = (moment(at), spoken_wait(wait));
                let message = format!(
                    "{} {rule}: used up; the next request is possible at {at}, in {wait}",
                    self.label
                );
                (FetchErrorKind::Quota, message)
            }
            Denied::Never { rule } => {
                (FetchErrorKind::Quota, format!("{} {rule}: no request is ever possible", self.label))
            }
            Denied::Store(problem) => (FetchErrorKind::Budget, problem.message),
        };
        FetchError { kind, message }
    }

    /// From the first byte of the answer to now, where it can be known; else nothing.
    ///
    /// A response tells its first byte by the wall clock, which is believed only if it ran along with the
    /// monotonic clock while the request was under way.
    fn since_first_byte(&self, response: &Response, sent: (Timestamp, Duration)) -> Duration {
        let (wall, now) = (self.clock.now(), self.clock.monotonic());
        let elapsed = now.saturating_sub(sent.1);
        let honest = wall.since(sent.0).abs_diff(elapsed) <= DRIFT_MAX;
        let body = wall.since(response.first_byte_at);
        if honest && body <= elapsed { body } else { Duration::ZERO }
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
                permit = self.budget.permit(request, tell) => permit.map_err(|denied| self.denied(denied))?,
            };
            request.sent.enter();
            let (granted, sent) = (permit.sent, (self.clock.now(), self.clock.monotonic()));
            let mut response = match self.inner.fetch(request).await {
                Ok(response) => response,
                Err(error) => {
                    permit.lost();
                    return Err(error);
                }
            };
            let body = self.since_first_byte(&response, sent);
            let end = self.budget.moment() - micros(body);
            let latency = self.clock.monotonic().saturating_sub(sent.1).saturating_sub(body);
            let (refused, trouble) = (response.status == 429, matches!(response.status, 429 | 500..));
            let class = permit.answered(end, latency, refused, trouble);
            if let Some(hint) = Hint::read(&self.budget.terms().headers, &response) {
                let (bucket, units) = (class.bucket, class.cost);
                self.budget.told(Op::Told { bucket, units, hint, sent: granted, at: end });
            }
            response.waited += sent.1.saturating_sub(asked);
            Ok(response)
        })
    }
}

/// A time as people say it: `40 s`, `45 min`, `3 h`.
fn spoken_wait(wait: Duration) -> String {
    match wait.as_secs_f64().ceil() as u64 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3_600)),
    }
}

/// A moment as people read it: `2026-11-28 00:00:01 UTC`.
fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", &text[..10], &text[11..19])
}

#[cfg(test)]
mod tests;
