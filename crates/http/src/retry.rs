//! The top of the stairs: asks until there is an answer, or a reason to give up.
//!
//! Decide, wait, try again, bounded in count and in time. Two kinds of waiting are kept apart. A passing fault
//! is tried [`Policy::attempts`] times. "Too fast" is no fault: it is waited out as long as the provider's
//! waits stay within [`Policy::max_wait`], because giving up after a 429 would lose a run that only had to be
//! patient.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sync_core::{
    Answer, Ask, BoxFuture, Classify, Clock, Event, Fetch, FetchError, FetchErrorKind, Kind, Outcome, Pause,
    Refusal, Renew, Renewal, Request, Response, Stop, Verdict, Watch,
};

use crate::{Scrubber, redirect, wait};

/// Attempts at a host that has never answered: a wrong address should not take minutes to be seen.
const FIRST_CONTACT_ATTEMPTS: u32 = 3;
/// Other secrets that are tried for one question: the one that was read again, and the one before it.
const RENEWALS_MAX: u32 = 3;
/// The longest excerpt of a server's words, in characters.
const WORDS_MAX: usize = 300;

/// The bounds of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts that may end in a passing fault, at least one.
    pub attempts: u32,
    /// The longest time spent on one question, permits apart.
    pub max_wait: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { attempts: 6, max_wait: Duration::from_mins(10) }
    }
}

/// What a [`Retry`] needs from the run around it.
#[derive(Clone)]
pub struct Context {
    /// Tells time.
    pub clock: Arc<dyn Clock>,
    /// Ends every wait.
    pub stop: Stop,
    /// Is told of every wait.
    pub watch: Arc<dyn Watch>,
    /// Cleans every message.
    pub scrubber: Arc<Scrubber>,
}

/// Asks the layers below, as often as it is worth it.
pub struct Retry {
    inner: Arc<dyn Fetch>,
    classify: Arc<dyn Classify>,
    pause: Arc<dyn Pause>,
    renew: Arc<dyn Renew>,
    policy: Policy,
    context: Context,
    /// Whether anything ever answered.
    answered: AtomicBool,
}

impl Retry {
    /// Asks `inner`, tells `pause` when the provider says "too fast", and asks `renew` for another secret when it
    /// refuses the one that signed.
    pub fn new(
        inner: Arc<dyn Fetch>,
        classify: Arc<dyn Classify>,
        pause: Arc<dyn Pause>,
        renew: Arc<dyn Renew>,
        policy: Policy,
        context: Context,
    ) -> Self {
        Self { inner, classify, pause, renew, policy, context, answered: AtomicBool::new(false) }
    }
}

impl Ask for Retry {
    fn ask<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Answer, Refusal>> {
        Box::pin(async move {
            let mut asking = Asking {
                retry: self,
                request,
                started: self.context.clock.monotonic(),
                attempts: 0,
                faults: 0,
                limits: 0,
                renewals: 0,
                held: Duration::ZERO,
                slept: Duration::ZERO,
            };
            loop {
                match asking.attempt().await {
                    Step::Answer(answer) => return Ok(answer),
                    Step::Refuse(refusal) => return Err(*refusal),
                    Step::Again { wait, reason } => asking.sleep(wait, reason).await?,
                }
            }
        })
    }
}

enum Step {
    Answer(Answer),
    Refuse(Box<Refusal>),
    Again { wait: Duration, reason: String },
}

/// One question on its way.
struct Asking<'a> {
    retry: &'a Retry,
    request: &'a Request,
    started: Duration,
    attempts: u32,
    /// Passing faults so far.
    faults: u32,
    /// Times the provider said "too fast".
    limits: u32,
    /// Other secrets that were tried.
    renewals: u32,
    /// Time spent waiting for permits.
    held: Duration,
    /// Time spent waiting between attempts.
    slept: Duration,
}

impl Asking<'_> {
    async fn attempt(&mut self) -> Step {
        if self.retry.context.stop.asked() {
            return Step::Refuse(Box::new(self.stopped()));
        }
        self.attempts += 1;
        match self.follow().await {
            Ok(response) => self.judge(response).await,
            Err(error) => self.lost(&error),
        }
    }

    /// Sends the request, and again where the answer sends it: each pays its own permit.
    async fn follow(&mut self) -> Result<Response, FetchError> {
        let mut request = Cow::Borrowed(self.request);
        for _ in 0..=redirect::HOPS_MAX {
            let response = self.retry.inner.fetch(&request).await?;
            self.retry.answered.store(true, Ordering::Relaxed);
            self.held += response.waited;
            match redirect::next(&request, response.status, response.header("location"))? {
                Some(url) => request.to_mut().url = url,
                None => return Ok(response),
            }
        }
        Err(redirect::in_circles(self.request))
    }

    /// Decides on a response.
    async fn judge(&mut self, response: Response) -> Step {
        let outcome = self.retry.classify.classify(self.request, &response);
        if outcome.verdict == Verdict::Auth {
            return self.refused(&response, &outcome).await;
        }
        if self.renewals > 0 {
            self.retry.renew.taken(self.request);
        }
        let wait = outcome.wait.or_else(|| response.wait_in("retry-after"));
        match outcome.verdict {
            Verdict::Ok | Verdict::Empty | Verdict::Gone => Step::Answer(Answer {
                response,
                verdict: outcome.verdict,
                say: outcome.say,
                retries: self.attempts - 1,
                waited: self.held + self.slept,
            }),
            Verdict::Limited => self.limited(&response, &outcome, wait).await,
            Verdict::Quota => self.spent(&response, &outcome, wait).await,
            Verdict::Retry => self.fault(&response, &outcome, wait),
            _ => refuse(self.refusal(&response, &outcome)),
        }
    }

    /// The provider does not know us: there may be another secret.
    async fn refused(&mut self, response: &Response, outcome: &Outcome) -> Step {
        let mut refusal = self.refusal(response, outcome);
        if self.renewals >= RENEWALS_MAX {
            return refuse(refusal);
        }
        self.renewals += 1;
        match self.retry.renew.refused(self.request).await {
            Renewal::Again => {
                let reason = format!("HTTP {}, with another secret", response.status);
                Step::Again { wait: Duration::ZERO, reason }
            }
            Renewal::Spent { tried, hint } => {
                if let Some(tried) = tried {
                    let tried = self.retry.context.scrubber.scrub(&tried).into_owned();
                    refusal.message = format!("{} ({tried})", refusal.message);
                }
                refusal.hint = hint.or(refusal.hint);
                refuse(refusal)
            }
        }
    }

    /// "Too fast": everyone who shares the budget waits, this question among them.
    async fn limited(&mut self, response: &Response, outcome: &Outcome, wait: Option<Duration>) -> Step {
        self.limits += 1;
        // A provider that says "now" again and again is not believed for ever.
        let grown = if self.limits > 1 { wait::limited(self.limits - 1) } else { Duration::ZERO };
        let wait = wait.map_or_else(|| wait::limited(self.limits), |wait| wait.max(grown));
        self.retry.pause.limited(self.request, wait).await;
        let left = self.retry.policy.max_wait.saturating_sub(self.slept);
        if wait > left {
            let mut refusal = self.refusal(response, outcome);
            let spent = if self.slept.is_zero() {
                String::new()
            } else {
                format!(", after {} of waiting", spoken(self.slept))
            };
            refusal.message =
                format!("{}; the next attempt would have to wait {}{spent}", refusal.message, spoken(wait));
            return refuse(refusal);
        }
        Step::Again { wait, reason: format!("HTTP {}, attempt {}", response.status, self.attempts + 1) }
    }

    /// "No more today": everyone who shares the budget stops, and nobody spends attempts on it.
    async fn spent(&mut self, response: &Response, outcome: &Outcome, wait: Option<Duration>) -> Step {
        let again = self.retry.pause.spent(wait).await;
        let mut refusal = self.refusal(response, outcome);
        let text = again.to_string();
        refusal.message =
            format!("{}; the quota is free again at {} {} UTC", refusal.message, &text[..10], &text[11..19]);
        refuse(refusal)
    }

    /// A passing fault with a response, such as a 503.
    fn fault(&mut self, response: &Response, outcome: &Outcome, wait: Option<Duration>) -> Step {
        self.faults += 1;
        let wait = wait.unwrap_or_else(|| wait::jittered(wait::fault_ceiling(self.faults)));
        let why = if !self.request.repeatable {
            Some("not sent again, because it may have been carried out".to_owned())
        } else if self.faults >= self.retry.policy.attempts {
            Some(self.counted())
        } else if wait > self.time_left() {
            Some(format!("{}; the next would have to wait {}", self.counted(), spoken(wait)))
        } else {
            None
        };
        let Some(why) = why else {
            let reason = format!(
                "HTTP {}, attempt {} of {}",
                response.status,
                self.faults + 1,
                self.retry.policy.attempts
            );
            return Step::Again { wait, reason };
        };
        let mut refusal = self.refusal(response, outcome);
        refusal.message = format!("{} ({why})", refusal.message);
        refuse(refusal)
    }

    /// No response.
    fn lost(&mut self, error: &FetchError) -> Step {
        self.faults += 1;
        let no_contact = matches!(error.kind, FetchErrorKind::Refused | FetchErrorKind::Unresolved);
        let never_sent = no_contact || error.kind == FetchErrorKind::Token;
        let first_contact = no_contact && !self.retry.answered.load(Ordering::Relaxed);
        let most = if first_contact { FIRST_CONTACT_ATTEMPTS } else { u32::MAX };
        let attempts = self.retry.policy.attempts.min(most);
        let wait = wait::jittered(wait::fault_ceiling(self.faults));
        let safe = never_sent || self.request.repeatable;
        if error.temporary() && safe && self.faults < attempts && wait <= self.time_left() {
            let reason = match error.kind {
                FetchErrorKind::Unresolved => "unknown host",
                FetchErrorKind::Refused => "no connection",
                FetchErrorKind::Timeout => "no answer in time",
                FetchErrorKind::Token => "no access token",
                _ => "broken connection",
            };
            return Step::Again {
                wait,
                reason: format!("{reason}, attempt {} of {attempts}", self.faults + 1),
            };
        }
        if error.kind == FetchErrorKind::Stopped {
            return Step::Refuse(Box::new(self.stopped()));
        }
        let mut message =
            format!("{}: {}", self.question(), self.retry.context.scrubber.scrub(&error.message));
        if error.temporary() && !safe {
            message.push_str(" (not sent again, because it may have been carried out)");
        } else if self.attempts > 1 {
            message = format!("{message} ({})", self.counted());
        }
        let (code, hint) = unanswered(error.kind);
        refuse(Refusal {
            verdict: None,
            kind: error.run_kind(),
            code,
            message,
            hint: Some(hint.to_owned()),
            status: None,
            attempts: self.attempts,
            waited: self.held + self.slept,
        })
    }

    async fn sleep(&mut self, wait: Duration, reason: String) -> Result<(), Refusal> {
        let context = &self.retry.context;
        if !wait.is_zero() {
            context.watch.event(Event::Waiting { reason, duration: wait });
        }
        let before = context.clock.monotonic();
        let stopped = tokio::select! {
            biased;
            () = context.stop.wait() => true,
            () = context.clock.sleep(wait) => false,
        };
        self.slept += context.clock.monotonic().saturating_sub(before);
        if stopped { Err(self.stopped()) } else { Ok(()) }
    }

    /// Time left for this question; waiting for permits costs none of it.
    fn time_left(&self) -> Duration {
        let spent = self.retry.context.clock.monotonic().saturating_sub(self.started);
        self.retry.policy.max_wait.saturating_sub(spent.saturating_sub(self.held))
    }

    fn refusal(&self, response: &Response, outcome: &Outcome) -> Refusal {
        let (kind, code, hint) = meaning(outcome.verdict, response.status);
        Refusal {
            verdict: Some(outcome.verdict),
            kind,
            code,
            message: format!("{}: HTTP {}{}", self.question(), response.status, self.said(outcome)),
            hint: hint.map(str::to_owned),
            status: Some(response.status),
            attempts: self.attempts,
            waited: self.held + self.slept,
        }
    }

    fn stopped(&self) -> Refusal {
        Refusal {
            verdict: None,
            kind: Kind::Stopped,
            code: "stopped",
            message: format!("{}: stopped", self.question()),
            hint: None,
            status: None,
            attempts: self.attempts,
            waited: self.held + self.slept,
        }
    }

    /// Such as `GET /companies`.
    fn question(&self) -> String {
        let path = self.retry.context.scrubber.scrub(self.request.url.path()).into_owned();
        format!("{} {path}", self.request.method.as_str())
    }

    fn counted(&self) -> String {
        match self.attempts {
            1 => "1 attempt".to_owned(),
            n => format!("{n} attempts"),
        }
    }

    /// The connector's explanation, then the server's own words, on one line.
    fn said(&self, outcome: &Outcome) -> String {
        let words = self.retry.context.scrubber.scrub(&outcome.words);
        let words = one_line(&words, WORDS_MAX);
        let say = outcome.say.as_deref().map(|say| self.retry.context.scrubber.scrub(say).into_owned());
        match (say, words.is_empty()) {
            (Some(say), true) => format!(": {say}"),
            (Some(say), false) => format!(": {say} (the server said: {words})"),
            (None, false) => format!(": {words}"),
            (None, true) => String::new(),
        }
    }
}

fn refuse(refusal: Refusal) -> Step {
    Step::Refuse(Box::new(refusal))
}

/// What a verdict means for the run: kind, code, and what to do.
fn meaning(verdict: Verdict, status: u16) -> (Kind, &'static str, Option<&'static str>) {
    match verdict {
        Verdict::Auth => (
            Kind::Refused,
            "credential_refused",
            Some(
                "check that the secret is right, still valid and allowed to read this, then run `sync check`",
            ),
        ),
        Verdict::Config if (200..300).contains(&status) => (
            Kind::Refused,
            "not_an_api",
            Some("check `base_url` and the source's settings: what answers there is not this API"),
        ),
        Verdict::Config => (
            Kind::Refused,
            "wrong_address",
            Some("check `base_url` and the source's settings: the API is not at this address"),
        ),
        Verdict::Quota => (
            Kind::Quota,
            "quota_exhausted",
            Some("run again when the provider has reset the quota; the run goes on where it stopped"),
        ),
        Verdict::Limited => (
            Kind::Quota,
            "rate_limited",
            Some(
                "run again after that time, or set a lower `rate_limit` in the pipeline; the run goes on where it stopped",
            ),
        ),
        Verdict::SkipStream => (
            Kind::Unavailable,
            "stream_unavailable",
            Some("allow the credential to read this stream, or leave it out of `streams`"),
        ),
        Verdict::SmallerPage => {
            (Kind::Failed, "page_too_large", Some("set a smaller page size for this stream"))
        }
        Verdict::SmallerWindow => {
            (Kind::Failed, "window_too_large", Some("set a shorter `cursor.window` for this stream"))
        }
        Verdict::Retry => {
            (Kind::Failed, "provider_failed", Some("run again later; the run goes on where it stopped"))
        }
        Verdict::Fail | Verdict::Reject | Verdict::Ok | Verdict::Empty | Verdict::Gone => {
            (Kind::Failed, "provider_error", None)
        }
    }
}

/// Code and hint of a request that got no response.
fn unanswered(kind: FetchErrorKind) -> (&'static str, &'static str) {
    match kind {
        FetchErrorKind::Unresolved => {
            ("unknown_host", "check the host's name in `base_url` and this machine's network")
        }
        FetchErrorKind::Refused => {
            ("unreachable", "check `base_url` and this machine's network, proxy and firewall")
        }
        FetchErrorKind::Tls => {
            ("tls", "check the host's certificate and the certificate authorities of this machine")
        }
        FetchErrorKind::Timeout | FetchErrorKind::Broken | FetchErrorKind::Token => {
            ("provider_failed", "run again later; the run goes on where it stopped")
        }
        FetchErrorKind::Forbidden => {
            ("request_forbidden", "use an https address of the credential's own host")
        }
        FetchErrorKind::Credential => (
            "credential_refused",
            "check that the credential is right and still valid, then run `sync check`",
        ),
        FetchErrorKind::Redirect => ("wrong_address", "set `base_url` to the address the API answers at"),
        FetchErrorKind::Quota => {
            ("quota_exhausted", "run again when the quota is free again; the run goes on where it stopped")
        }
        FetchErrorKind::Budget => {
            ("budget_not_kept", "see that SYNC_HOME names a folder of a disk that can be written")
        }
        FetchErrorKind::Stopped => ("stopped", "run again; the run goes on where it stopped"),
    }
}

/// The text on one line, cut at so many characters.
fn one_line(text: &str, max: usize) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A time as people say it: `45 s`, `20 min`, `3 h`.
fn spoken(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7199 => format!("{} min", s.div_ceil(60)),
        s => format!("{} h", s.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests;
