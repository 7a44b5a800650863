//! What a response means, and the question asked at the top of the stairs.

use std::time::Duration;

use crate::{BoxFuture, Explain, Kind, Request, Response};

/// What a response means. The words of `errors:` in a connector file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Fine.
    Ok,
    /// Fine, and no rows are meant.
    Empty,
    /// The record was not there any more.
    Gone,
    /// The credential was refused.
    Auth,
    /// The file or its config is wrong: another host, HTML where JSON was due.
    Config,
    /// A long quota (a day's) is spent.
    Quota,
    /// Too fast; wait, then again.
    Limited,
    /// A passing fault; again.
    Retry,
    /// A fault that stays.
    Fail,
    /// This stream cannot be read with this credential; the rest can.
    SkipStream,
    /// This record was refused.
    Reject,
    /// Again, with a smaller page.
    SmallerPage,
    /// Again, with a shorter window of time.
    SmallerWindow,
}

impl Verdict {
    /// Whether the response is an answer rather than an error.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Ok | Self::Empty | Self::Gone)
    }
}

/// A verdict with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it means.
    pub verdict: Verdict,
    /// How long the provider asks to wait, where it says so.
    pub wait: Option<Duration>,
    /// The connector's own explanation, if the rule that matched had one.
    pub say: Option<String>,
    /// The server's words: a short excerpt of the body on one line, without secrets.
    pub words: String,
}

/// Decides what a response means. Pure.
pub trait Classify: Send + Sync {
    /// The outcome of this response to this request.
    fn classify(&self, request: &Request, response: &Response) -> Outcome;
}

/// A response that is an answer, and what it cost.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The response.
    pub response: Response,
    /// [`Verdict::Ok`], [`Verdict::Empty`] or [`Verdict::Gone`].
    pub verdict: Verdict,
    /// What the connector has to say about it, if the rule that matched has something.
    pub say: Option<String>,
    /// Attempts before the one that was answered.
    pub retries: u32,
    /// Time spent waiting for permits and between attempts.
    pub waited: Duration,
}

/// No answer, after everything that was worth trying.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the last response meant; absent where there was no response.
    pub verdict: Option<Verdict>,
    /// What it means for the run.
    pub kind: Kind,
    /// A stable word for it, such as `credential_refused`.
    pub code: &'static str,
    /// What happened, with the server's own words. Safe to print.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The HTTP status of the last response, if there was one.
    pub status: Option<u16>,
    /// Attempts made, at least one unless the run was stopped first.
    pub attempts: u32,
    /// Time spent waiting for permits and between attempts.
    pub waited: Duration,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl Explain for Refusal {
    fn kind(&self) -> Kind {
        self.kind
    }
    fn code(&self) -> &'static str {
        self.code
    }
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// The top of the stairs retry → quota → auth → http: one question, one answer or one refusal.
///
/// Contract: bounded in attempts and in time; every attempt pays its own permit and is signed afresh; returns
/// soon after the run's [`crate::Stop`] was asked for, with [`Kind::Stopped`].
pub trait Ask: Send + Sync {
    /// Asks until there is an answer or a reason to give up.
    fn ask<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Answer, Refusal>>;
}
