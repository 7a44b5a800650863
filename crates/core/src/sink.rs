//! The trait of every place where rows land.

use std::fmt;

use arrow::record_batch::RecordBatch;

use crate::schema::system;
use crate::{Checkpoint, Explain, Kind, RunId, Schema, Type};

/// What a write does to the rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Adds rows.
    Append,
    /// The table becomes this listing, visible when it is whole.
    Replace,
    /// The last row per key wins; rows that were not seen stay.
    Merge,
    /// One row for each version of a key: from when to when it held, and whether it holds now (a slowly
    /// changing dimension of type 2).
    History,
}

impl Disposition {
    /// The word in a pipeline file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Merge => "merge",
            Self::History => "history",
        }
    }
}

/// How a stream begins in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Where the last run left off, be it inside a slice.
    Continue,
    /// From nothing, into a new table that is switched in when it is whole (`--full-refresh`).
    Anew,
}

/// What a stream wants of its table.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The pipeline that owns the table.
    pub pipeline: String,
    /// The stream that fills it.
    pub stream: String,
    /// The fields of the key, by which their columns are found ([`Schema::of_field`]); empty where there is no key.
    pub key: Vec<String>,
    /// The field that orders the versions of one key; absent, the order read decides.
    pub order: Option<String>,
    /// What a write does.
    pub disposition: Disposition,
    /// The column that marks what a tombstone deleted (`deletes.as`). Without one, a tombstone removes the row
    /// under merge.
    pub deleted: Option<String>,
    /// How it begins.
    pub begin: Begin,
    /// The run that writes.
    pub run: RunId,
    /// Bytes this table may hold in memory.
    pub memory: usize,
}

impl TableSpec {
    /// The engine's own columns of this table, in their order behind the provider's.
    ///
    /// `_sync_run`, `_sync_at` and `_sync_seq` come with every batch. The others are filled by the sink:
    ///
    /// - the column of `deleted`, a bool that is never null, under merge and append: true where the row is a
    ///   tombstone or was met by one;
    /// - `_valid_from`, `_valid_to`, `_current` under history. A version holds from the value of the `order`
    ///   column where that is a timestamp and not null, else from its `_sync_at`, and in no case from before the
    ///   end of the version before it, be that one ended by a tombstone; to the moment from which the next one
    ///   holds, or its tombstone says by the same rule; null while it is current. Periods of a key never overlap,
    ///   and one may be empty: versions of the same instant.
    pub fn engine_columns(&self) -> Vec<(&str, Type)> {
        let mut columns =
            vec![(system::RUN, Type::Text), (system::AT, Type::Timestamp), (system::SEQ, Type::Int)];
        match self.disposition {
            Disposition::History => columns.extend([
                (system::VALID_FROM, Type::Timestamp),
                (system::VALID_TO, Type::Timestamp),
                (system::CURRENT, Type::Bool),
            ]),
            Disposition::Merge | Disposition::Append | Disposition::Replace => {
                columns.extend(self.deleted.as_deref().map(|name| (name, Type::Bool)));
            }
        }
        columns
    }
}

/// What a sink can do. A disposition it lacks is refused when the file is checked.
#[derive(Clone, Debug)]
pub struct Capability {
    /// Its dispositions.
    pub dispositions: &'static [Disposition],
}

/// What was found when a table was opened.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// The last durable checkpoint; absent on a new table or a new beginning.
    pub checkpoint: Option<Checkpoint>,
    /// Rows a reader sees now, those included that are marked as deleted or are no longer current. Zero only where
    /// there are none; of many, a sink may say about how many instead of counting them.
    pub rows: u64,
    /// Whether a new table is being built beside the one that readers see.
    pub building: bool,
}

/// What a commit did with the rows and tombstones written since the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Rows that are new or changed something, and tombstones that did.
    pub loaded: u64,
    /// Rows equal to the stored one or older, or already taken, and tombstones that met nothing.
    pub deduplicated: u64,
}

/// What a publication did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Rows of this run that a commit had counted as loaded and that turned out to be equal to the stored
    /// one or superseded within the run: the engine moves them to `deduplicated`.
    pub unchanged: u64,
    /// Bytes of older files that had to be written again.
    pub rewritten_bytes: u64,
}

/// A destination.
pub trait Sink: Send + Sync {
    /// What it can do.
    fn capability(&self) -> Capability;

    /// Opens the table of a stream, making it where it does not exist.
    ///
    /// Refuses a table that another pipeline or stream owns ([`Kind::Refused`]) and one that another process
    /// is writing ([`Kind::Environment`]). With [`Begin::Continue`] it refuses, too, a table with rows that is a
    /// history and shall be none, or the other way round (`disposition_changed`), and, under merge and append,
    /// one that marks deleted rows in another column (`deleted_column_changed`). The column is added to a table
    /// that has none, false for the rows that are there; one that nobody wishes for any longer stays, and rows
    /// that come are not deleted in it.
    fn open(&self, spec: &TableSpec) -> Result<Box<dyn Table>, SinkError>;
}

/// One table while a stream is written to it.
///
/// Contract:
/// - The checkpoint and the rows it covers become durable in one step, or the rows first. Never the
///   checkpoint first.
/// - Nobody sees rows of a commit in part. Under [`Disposition::Replace`] and [`Begin::Anew`] nobody sees any
///   row before `finish`.
/// - Dropping a table forgets what was written since the last commit and nothing else. Killing the process
///   at any instant does the same.
/// - Calls block and come from one thread. A sink that speaks over a network brings its own runtime.
/// - After an error the table is only good for dropping.
pub trait Table: Send {
    /// What was found when it was opened.
    fn opened(&self) -> &Opened;

    /// Makes the table fit a schema. It has every column of the one before, in the same places; types may be
    /// wider. Takes effect with the next commit; batches written from now on have exactly
    /// [`Schema::arrow`].
    fn evolve(&mut self, schema: &Schema) -> Result<(), SinkError>;

    /// Stages rows. Nobody can see them yet.
    fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError>;

    /// Stages tombstones: rows of the schema of which the key, the order and the engine's columns count.
    ///
    /// Rows and tombstones of a key take effect one after the other, in the order in which they were staged,
    /// whatever the sink does at once. Each meets what is stored when its turn comes, and does nothing where its
    /// order is smaller than that of the stored row, both being present. No tombstone is remembered: a row that
    /// comes after one is compared with what is stored, and is new where nothing is.
    ///
    /// - Merge: the stored row goes. With a column of [`TableSpec::deleted`] it keeps its values instead, is
    ///   marked, and gets the `_sync_` columns of the tombstone; the next row of the key unmarks it, were it
    ///   equal. No row is made of a tombstone.
    /// - Replace: the row goes that the listing had so far, whatever the spec says of `deleted`.
    /// - Append: the tombstone is a row, true in the column of `deleted`. Where there is a key, one that is there
    ///   already, values and mark, is left out. Without that column it is [`Kind::Refused`],
    ///   `no_deleted_column`.
    /// - History: the current version ends. The next row of the key begins another, were it equal.
    ///
    /// One that meets nothing, or a row that is marked already, is `deduplicated`, any other `loaded`. Where there
    /// is no key, all but those of append are `deduplicated`.
    fn remove(&mut self, batch: RecordBatch) -> Result<(), SinkError>;

    /// Makes the staged rows and the checkpoint durable.
    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<Receipt, SinkError>;

    /// Makes visible what is durable, where the sink has not done so at the commit. Called at intervals and
    /// when the stream stops early. Does nothing while a new table is being built.
    fn publish(&mut self) -> Result<Published, SinkError>;

    /// Commits the last rows of a complete slice and makes everything visible; switches a new table in.
    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(Receipt, Published), SinkError>;

    /// The slice starts again from its beginning. A new table that is being built forgets its rows; of other
    /// tables nothing is forgotten, since the key tells what was taken. In a history without an order, versions
    /// between which a row went back and forth are then there twice.
    fn restart(&mut self) -> Result<(), SinkError>;
}

/// What a sink could not do.
#[derive(Debug)]
pub struct SinkError {
    /// What it means for the run.
    pub kind: Kind,
    /// A stable word for it: `disk_full`, `destination_owned`, `destination_locked`, `not_writable`, …
    pub code: &'static str,
    /// What could not be done, and to which path.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The cause.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl Explain for SinkError {
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
