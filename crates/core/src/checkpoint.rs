//! Durable proof of how far a stream got.

use serde::{Deserialize, Serialize};

use crate::{Books, RunId, Schema, Timestamp};

/// How far one stream of one pipeline got in one destination.
///
/// Shape: a JSON document, written by a sink in the same atomic step as the rows it covers. The copy in
/// the state store is history, never proof.
///
/// A checkpoint covers every row of every page before it. It moves forward only; the `sequence` grows by one
/// with each commit and is what a commit compares and sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The form of this document; readers refuse a greater one.
    pub format: u32,
    /// Grows by one with every commit of this stream into this destination, for ever.
    pub sequence: u64,
    /// The run that wrote it.
    pub run: RunId,
    /// When it was written, UTC.
    pub at: Timestamp,
    /// Where the next complete read begins: set when a slice was read to its end, absent before the first.
    pub cursor: Option<SavedCursor>,
    /// Where an unfinished slice goes on; absent when the last slice was complete.
    pub resume: Option<ResumePoint>,
    /// Pages committed of the unfinished slice.
    pub pages: u64,
    /// Where the rows went that `run` fetched of this stream up to here. What a killed run did is read from it.
    pub books: Books,
    /// The columns of the primary key that told rows apart; empty where there was none.
    pub key: Vec<String>,
    /// The types pinned so far.
    pub schema: Schema,
    /// What the unfinished slice fetched and set aside so far, in all processes that read it.
    #[serde(default)]
    pub slice: Share,
    /// What stands for the pipeline's word on which columns there are and what is in them; rows written under
    /// another stay as they are.
    #[serde(default)]
    pub shaping: String,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Rows accepted from answers.
    pub fetched: u64,
    /// Rows of them that were set aside.
    pub quarantined: u64,
}

impl Checkpoint {
    /// The form this engine writes.
    pub const FORMAT: u32 = 2;
}

/// A position inside a listing that covers every row before it.
///
/// Only `connectors` knows what is inside; to everybody else it is a value to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResumePoint(pub serde_json::Value);

/// The value from which the next read of a stream looks for changes.
///
/// Only `connectors` knows what is inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SavedCursor(pub serde_json::Value);
