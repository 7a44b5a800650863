//! What a run did, as people and `--json` are told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Kind, Problem, Timestamp};

/// A run's name: the UTC second it began and four letters, such as `20261124-170012-k3qz`. Sorts by time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new name for a run that begins now.
    pub fn new(now: Timestamp) -> Self {
        let stamp: String = now.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        let letters: String = std::iter::repeat_with(fastrand::lowercase).take(4).collect();
        Self(format!("{}-{}-{letters}", &stamp[..8], &stamp[8..]))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// How a run or a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All of it, and the books balance.
    Done,
    /// Gave up.
    Failed,
    /// The file or the credential is wrong.
    Refused,
    /// Disk, network, TLS or a lock.
    Environment,
    /// Part of it: another stream failed, or rows were set aside.
    Partial,
    /// A promise about the data was broken.
    Contract,
    /// A quota is spent; resumes later.
    Quota,
    /// Stopped by the user; resumable.
    Stopped,
    /// A stream that this credential may not read. Never the status of a run.
    Unavailable,
}

impl Status {
    /// The status as `--json` and the state store write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Environment => "environment",
            Self::Partial => "partial",
            Self::Contract => "contract",
            Self::Quota => "quota",
            Self::Stopped => "stopped",
            Self::Unavailable => "unavailable",
        }
    }

    /// The exit code of a process whose run ended so.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Refused => 2,
            Self::Environment => 3,
            Self::Partial | Self::Unavailable => 4,
            Self::Contract => 5,
            Self::Quota => 6,
            Self::Stopped => 130,
        }
    }
}

impl From<Kind> for Status {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Refused => Self::Refused,
            Kind::Environment => Self::Environment,
            Kind::Failed => Self::Failed,
            Kind::Unavailable => Self::Unavailable,
            Kind::Contract => Self::Contract,
            Kind::Quota => Self::Quota,
            Kind::Stopped => Self::Stopped,
        }
    }
}

/// Where every fetched row went. They balance when
/// `fetched = loaded + deduplicated + filtered + quarantined`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Rows accepted from answers.
    pub fetched: u64,
    /// Rows written.
    pub loaded: u64,
    /// Rows already taken, or equal to the stored one.
    pub deduplicated: u64,
    /// Rows left out by `keep`, `--limit`, or older than the client cursor's bound.
    pub filtered: u64,
    /// Rows set aside.
    pub quarantined: u64,
}

impl Books {
    /// Whether every fetched row is accounted for.
    pub fn balance(&self) -> bool {
        self.fetched == self.loaded + self.deduplicated + self.filtered + self.quarantined
    }
}

impl std::ops::AddAssign for Books {
    fn add_assign(&mut self, more: Self) {
        self.fetched += more.fetched;
        self.loaded += more.loaded;
        self.deduplicated += more.deduplicated;
        self.filtered += more.filtered;
        self.quarantined += more.quarantined;
    }
}

impl std::iter::Sum for Books {
    fn sum<I: Iterator<Item = Self>>(books: I) -> Self {
        books.fold(Self::default(), |mut all, one| {
            all += one;
            all
        })
    }
}

/// Something a person should know about a stream that is not an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// A stable word for it, such as `full_listing`.
    pub code: String,
    /// What happened, in a sentence.
    pub message: String,
}

impl Note {
    /// A note.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// What a run did to the columns of a table, or would have had to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaChange {
    /// The column.
    pub column: String,
    /// Its type before; null where it is new.
    pub from: Option<crate::Type>,
    /// Its type from now on, or the one that its values would need.
    pub to: crate::Type,
    /// What came of it: `evolve` where the table followed, else the word of the schema contract that kept it
    /// from that.
    pub contract: String,
    /// The first page whose rows wanted it, from 1.
    pub page: u64,
}

/// What one stream did in one run. All figures are those of this process.
#[derive(Clone, Debug, Serialize)]
pub struct StreamReport {
    /// The stream.
    pub stream: String,
    /// Whether the pipeline or the command line names it, rather than `"*"`.
    #[serde(skip)]
    pub named: bool,
    /// How it ended.
    pub status: Status,
    /// Why, where it did not end well.
    pub error: Option<Problem>,
    /// Where its rows went.
    #[serde(flatten)]
    pub books: Books,
    /// Requests sent, retries included.
    pub requests: u64,
    /// Attempts after the first of each request.
    pub retries: u64,
    /// Time its requests waited for permits and between attempts, in milliseconds.
    pub waited_ms: u64,
    /// The page it went on with, counted from 1; null when it began at the start.
    pub resumed_from_page: Option<u64>,
    /// Bytes of decoded bodies.
    pub bytes: u64,
    /// From its start to its end, in milliseconds.
    pub elapsed_ms: u64,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// How its table's columns changed, or would have.
    pub schema_changes: Vec<SchemaChange>,
}

/// What a run did: the object that `sync run --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run's name.
    pub run: RunId,
    /// How it ended.
    pub status: Status,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// Why, where it did not end well.
    pub error: Option<Problem>,
    /// Its streams, in the order of the file.
    pub streams: Vec<StreamReport>,
    /// What it drew from the account's budget; null where nothing was asked.
    pub budget: Option<BudgetReport>,
}

/// What a run drew from the budget of its account.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BudgetReport {
    /// Permits that were used: requests sent, those included that came to nothing.
    pub requests: u64,
    /// What was waited for, in the order it was first met.
    pub waits: Vec<BudgetWait>,
    /// The account's day, whoever used it; null where the provider counts by no day.
    pub day: Option<BudgetDay>,
}

/// Waits for one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetWait {
    /// Such as `50 per 5 s`.
    pub rule: String,
    /// How many times.
    pub times: u64,
    /// For how long in all, in milliseconds; requests wait side by side.
    pub waited_ms: u64,
}

/// How much of the provider's day is used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetDay {
    /// Requests used, as far as we know.
    pub used: u64,
    /// Requests allowed.
    pub limit: u64,
    /// The one by the other, to four places.
    pub share: f64,
    /// When it ends, UTC.
    pub ends: Timestamp,
}

impl RunReport {
    /// A run that ended before any stream began.
    pub fn refused(run: RunId, problem: Problem) -> Self {
        let status = Status::from(problem.kind);
        Self {
            run,
            status,
            exit_code: status.exit_code(),
            error: Some(problem),
            streams: Vec::new(),
            budget: None,
        }
    }

    /// The report of a run whose streams ended as they did.
    ///
    /// Of several endings the first of stopped, environment, refused, contract, quota, failed, partial is
    /// the run's. All streams failed is failed; some of them is partial, as is a named stream that was
    /// unavailable or any row set aside.
    pub fn of(run: RunId, streams: Vec<StreamReport>) -> Self {
        let status = run_status(&streams);
        let failed = || streams.iter().filter(|s| s.error.is_some() && status != Status::Done);
        let error = failed().find(|s| worst(s.status) == worst(status)).or_else(|| failed().next());
        let error = error.and_then(|s| {
            let mut problem = s.error.clone()?;
            problem.message = format!("{}: {}", s.stream, problem.message);
            Some(problem)
        });
        Self { run, status, exit_code: status.exit_code(), error, streams, budget: None }
    }
}

/// Lower is worse.
fn worst(status: Status) -> u8 {
    match status {
        Status::Stopped => 0,
        Status::Environment => 1,
        Status::Refused => 2,
        Status::Contract => 3,
        Status::Quota => 4,
        Status::Failed => 5,
        Status::Partial | Status::Unavailable => 6,
        Status::Done => 7,
    }
}

fn run_status(streams: &[StreamReport]) -> Status {
    let all_failed = !streams.is_empty() && streams.iter().all(|s| s.status == Status::Failed);
    streams
        .iter()
        .map(|s| match s.status {
            Status::Failed if !all_failed => Status::Partial,
            Status::Unavailable if s.named => Status::Partial,
            Status::Unavailable => Status::Done,
            Status::Done if s.books.quarantined > 0 => Status::Partial,
            other => other,
        })
        .min_by_key(|s| worst(*s))
        .unwrap_or(Status::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(status: Status) -> StreamReport {
        StreamReport {
            stream: "s".into(),
            named: true,
            status,
            error: None,
            books: Books::default(),
            requests: 0,
            retries: 0,
            waited_ms: 0,
            resumed_from_page: None,
            bytes: 0,
            elapsed_ms: 0,
            notes: Vec::new(),
            schema_changes: Vec::new(),
        }
    }

    #[track_caller]
    fn check(streams: &[Status], expect: Status) {
        assert_eq!(run_status(&streams.iter().map(|s| stream(*s)).collect::<Vec<_>>()), expect);
    }

    #[test]
    fn the_worst_stream_names_the_run() {
        use Status::*;
        check(&[], Done);
        check(&[Done, Done], Done);
        check(&[Failed, Failed], Failed);
        check(&[Done, Failed], Partial);
        check(&[Done, Unavailable], Partial);
        check(&[Failed, Unavailable], Partial);
        check(&[Failed, Environment, Done], Environment);
        check(&[Stopped, Refused], Stopped);
        check(&[Contract, Refused], Refused);
        check(&[Refused, Environment], Environment);
        check(&[Quota, Contract], Contract);
        check(&[Quota, Failed], Quota);
    }

    #[test]
    fn run_ids_sort_by_time() {
        let early = RunId::new(Timestamp::from_micros(1_700_000_000_000_000));
        let late = RunId::new(Timestamp::from_micros(1_800_000_000_000_000));
        assert!(early < late, "{early} {late}");
        assert_eq!(early.as_str().len(), 20);
        assert!(early.as_str().starts_with("20231114-221320-"), "{early}");
    }
}
