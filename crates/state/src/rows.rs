//! What is read back from the store.

use serde::{Serialize, Serializer};
use serde_json::Value;
use sync_core::{Books, Checkpoint, Reject, RunId, Schema, Status, Timestamp};

/// How a run or one of its streams stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunStatus {
    /// It has not ended; its process may be alive.
    Running,
    /// It never ended: its process died. When is not known.
    Interrupted,
    /// It ended so.
    Ended(Status),
}

impl RunStatus {
    /// The status as it is stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Ended(status) => status.as_str(),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "running" => Some(Self::Running),
            "interrupted" => Some(Self::Interrupted),
            _ => serde_json::from_value(Value::from(text)).ok().map(Self::Ended),
        }
    }
}

impl Serialize for RunStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A run as the ledger has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// When it began, UTC.
    pub started: Timestamp,
    /// When it ended, UTC; absent while it runs, and for ever if it was interrupted.
    pub ended: Option<Timestamp>,
    /// How it stands.
    pub status: RunStatus,
    /// Why it did not end well: `{code, message, hint}`.
    pub error: Option<Value>,
    /// Its streams by name.
    pub streams: Vec<StreamRow>,
}

/// A stream of a run as the ledger has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamRow {
    /// The stream.
    pub stream: String,
    /// Where its rows went, once something was committed.
    pub destination: Option<String>,
    /// How it stands.
    pub status: RunStatus,
    /// Where its rows went: those of its last commit while it runs or if it was interrupted.
    #[serde(flatten)]
    pub books: Books,
    /// The report of its end, as `--json` printed it.
    pub report: Option<Value>,
}

/// A run whose process died before it could close its books.
#[derive(Clone, Debug, PartialEq)]
pub struct Interrupted {
    /// The run.
    pub run: RunId,
    /// When it began, UTC.
    pub started: Timestamp,
    /// The streams that had a commit on record and no end, by name. One that was killed before its first
    /// commit came on record is missing here; its checkpoint in the destination names the run.
    pub streams: Vec<InterruptedStream>,
}

/// A stream whose books nobody closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterruptedStream {
    /// The stream.
    pub stream: String,
    /// The destination it was writing.
    pub destination: Option<String>,
    /// Its books at the last commit on record; the destination's checkpoint may be one commit further.
    pub books: Books,
}

/// What made a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A run committed rows.
    Commit,
    /// Somebody made the stream begin anew.
    Reset,
    /// Somebody took it back to where it was before.
    Rewind,
    /// Rows that had been set aside landed.
    Retry,
}

impl Cause {
    /// The cause as it is stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Reset => "reset",
            Self::Rewind => "rewind",
            Self::Retry => "retry",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Commit, Self::Reset, Self::Rewind, Self::Retry]
            .into_iter()
            .find(|cause| cause.as_str() == text)
    }
}

/// A checkpoint of the past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointRow {
    /// Its number, which grows with every checkpoint of the pipeline and is never used again.
    pub version: i64,
    /// What made it.
    pub cause: Cause,
    /// The stream.
    pub stream: String,
    /// The destination.
    pub destination: String,
    /// The checkpoint, its schema included.
    pub checkpoint: Checkpoint,
}

/// The schema of a table from some moment on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SchemaRow {
    /// The stream.
    pub stream: String,
    /// The destination.
    pub destination: String,
    /// The run that brought it.
    pub run: RunId,
    /// The checkpoint's moment it came with, UTC.
    pub at: Timestamp,
    /// The types.
    pub schema: Schema,
}

/// A row that was set aside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RejectRow {
    /// Its number, never used again.
    pub id: i64,
    /// The stream.
    pub stream: String,
    /// The destination that it did not reach.
    pub destination: String,
    /// The run that set it aside.
    pub run: RunId,
    /// The row and why.
    #[serde(flatten)]
    pub reject: Reject,
}

/// How many rows of a stream were set aside for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectCount {
    /// The stream.
    pub stream: String,
    /// The reason.
    pub code: String,
    /// The field that is to blame, where it is one.
    pub field: Option<String>,
    /// How many.
    pub rows: u64,
}
