//! What went wrong, for two readers: the program and the person.

use serde::Serialize;

/// What a problem means for the run. The program branches on this and on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The file or the credential is wrong; nothing was tried that could have changed anything.
    Refused,
    /// Disk, network, TLS or a lock.
    Environment,
    /// The provider failed to the last attempt, or we did.
    Failed,
    /// A stream that this credential may not read; the rest goes on.
    Unavailable,
    /// A promise about the data was broken: schema, guard, a suspicious empty answer.
    Contract,
    /// A quota is spent; the run resumes after its reset.
    Quota,
    /// The user stopped the run.
    Stopped,
}

/// What every error can say about itself.
pub trait Explain: std::error::Error {
    /// What it means for the run.
    fn kind(&self) -> Kind;
    /// A stable word for it, in `snake_case`.
    fn code(&self) -> &'static str;
    /// One thing to do that works when followed.
    fn hint(&self) -> Option<String>;

    /// The error as it is shown: its message with those of its causes.
    fn problem(&self) -> Problem {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        Problem { kind: self.kind(), code: self.code(), message, hint: self.hint(), shown: None }
    }
}

/// A problem as it is shown, and as `--json` prints it: `{code, message, hint}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it means for the run.
    #[serde(skip)]
    pub kind: Kind,
    /// A stable word for it, in `snake_case`.
    pub code: &'static str,
    /// What happened and where.
    pub message: String,
    /// One thing to do that works when followed.
    pub hint: Option<String>,
    /// How people see it, where that says more than message and hint: several findings, each with its line and a
    /// caret. Begins with `error: `.
    #[serde(skip)]
    pub shown: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), hint: None, shown: None }
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}
