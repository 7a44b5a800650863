//! A pipeline file as written: what one person wants moved, from where, to where, when.

use std::num::NonZeroU32;
use std::time::Duration;

use sync_core::{Disposition, Type};

use crate::{CursorMode, Document, FieldPath, Rate, Spanned};

mod columns;
mod destination;
mod read;
mod schedule;
mod source;
mod streams;
mod transform;

pub(crate) use read::empty;
pub use read::pipeline_schema;
pub(crate) use source::{SourceMap, is_connector_name};

/// A pipeline file.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The file it was read from, for findings that come later.
    pub document: Document,
    /// Its name: as written, else the file's without its ending.
    pub name: Spanned<String>,
    /// For people.
    pub description: Option<String>,
    /// From where.
    pub source: Source,
    /// What every stream begins with.
    pub defaults: StreamOptions,
    /// Which streams.
    pub streams: Streams,
    /// To where.
    pub destination: Destination,
    /// When. Only the daemon reads it.
    pub schedule: Option<Schedule>,
    /// The key of `mask: { …: hmac }`; absent, the environment variable `SYNC_MASK_KEY`.
    pub mask_key: Option<SecretRef>,
}

/// `source:`.
#[derive(Clone, Debug)]
pub struct Source {
    /// A built-in connector's name, or a path that begins with `.` or `/`.
    pub connector: Spanned<String>,
    /// The credential; absent means the stored one named like the connector, else the connector's environment variable.
    pub credential: Option<Spanned<CredentialRef>>,
    /// The connector's settings. Numbers and booleans as they were written.
    pub config: Vec<(Spanned<String>, Spanned<String>)>,
    /// Replaces the connector's whole base.
    pub base_url: Option<Spanned<String>>,
    /// The account whose budget is spent.
    pub account: Option<String>,
    /// Replaces the connector's limits.
    pub rate_limit: Option<PipelineRateLimit>,
    /// How long to go on trying.
    pub retry: Option<Retry>,
}

/// `credential:`. A reference is a text that names where the secret is; the secret itself is never in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialRef {
    /// The name of a stored credential.
    Stored(String),
    /// `${env:NAME}`, `${file:PATH}`, `${cmd:PROGRAM ARGS}`: fills the connector's single secret.
    One(SecretRef),
    /// Secret name to reference.
    Many(Vec<(Spanned<String>, SecretRef)>),
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; a relative path starts at the pipeline file. A final line end is not part of the secret.
    File(String),
    /// What a program prints, such as that of a password manager: the program, then its arguments. No shell reads
    /// them. A final line end is not part of the secret.
    Cmd(Vec<String>),
}

/// `rate_limit:` of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineRateLimit {
    /// Replaces the connector's limits.
    pub limits: Option<Vec<Rate>>,
    /// Replaces the connector's concurrency.
    pub concurrency: Option<NonZeroU32>,
    /// Left free for others who use the account.
    pub reserve: Option<Percent>,
}

/// `retry:` of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Attempts of one request, the first included.
    pub attempts: Option<NonZeroU32>,
    /// From the first attempt to the last, at most.
    pub max_wait: Option<Duration>,
}

/// `streams:`.
#[derive(Clone, Debug)]
pub enum Streams {
    /// `"*"`: every verified stream.
    All,
    /// Those named, in order, with what replaces the defaults.
    Named(Vec<(Spanned<String>, StreamOptions)>),
}

/// What a pipeline says about a stream. Absent parts come from `defaults`, then from the connector.
#[derive(Clone, Debug, Default)]
pub struct StreamOptions {
    /// The fields of the primary key.
    pub primary_key: Option<Spanned<Vec<String>>>,
    /// Narrows the connector's cursor.
    pub cursor: Option<Spanned<PipelineCursor>>,
    /// How the past is read.
    pub backfill: Option<Spanned<Backfill>>,
    /// The write disposition.
    pub write: Option<Spanned<Disposition>>,
    /// What happens when the table's columns would have to change.
    pub schema: SchemaContract,
    /// What happens to a row that cannot land.
    pub on_bad_row: Option<BadRow>,
    /// Bad rows of a slice, at most.
    pub max_bad: Option<Percent>,
    /// What becomes of rows that the provider deleted.
    pub deletes: Option<Spanned<Deletes>>,
    /// Which fields land.
    pub select: Option<Vec<SelectPattern>>,
    /// Types that are given, not found.
    pub types: Vec<(Spanned<FieldPath>, Type)>,
    /// What is done to a row before it is written anywhere.
    pub transform: Vec<Step>,
}

/// `schema:`. Absent parts come from `defaults`, then they are [`Contract::Evolve`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchemaContract {
    /// A row has a field that the table has no column for.
    pub new_columns: Option<Contract>,
    /// A value is not of its column's type.
    pub type_change: Option<Contract>,
}

/// What happens when a table's columns would have to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contract {
    /// The table follows.
    #[default]
    Evolve,
    /// The stream stops.
    Freeze,
    /// The row is set aside.
    Quarantine,
    /// The row lands without the value.
    DropValue,
}

impl Contract {
    /// The word in a pipeline file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evolve => "evolve",
            Self::Freeze => "freeze",
            Self::Quarantine => "quarantine",
            Self::DropValue => "drop_value",
        }
    }
}

/// `on_bad_row:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRow {
    /// It is set aside.
    #[default]
    Quarantine,
    /// The stream stops.
    Fail,
}

/// A share of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent {
    /// From 0 to a million.
    pub millionths: u32,
}

/// `backfill:`.
#[derive(Clone, Debug)]
pub struct Backfill {
    /// The first read begins here.
    pub from: Spanned<String>,
    /// How much time is asked for at once.
    pub chunk: Option<Duration>,
}

/// `deletes:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletes {
    /// The column that marks a deleted row, which then stays.
    pub mark: Option<Spanned<String>>,
    /// How deletions are found where nothing tells them.
    pub detect: Option<Detect>,
}

/// How deletions are found where nothing tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detect {
    /// By what a complete listing has no more.
    Snapshot,
}

/// One pattern of `select:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectPattern {
    /// Whether what fits is kept, or left out.
    pub keeps: bool,
    /// Names, in which `*` stands for any letters.
    pub path: FieldPath,
    /// Where it stands.
    pub span: crate::Span,
}

/// One step of `transform:`. Expressions are CEL.
#[derive(Clone, Debug)]
pub enum Step {
    /// Leaves out rows for which it is false.
    KeepIf(Spanned<String>),
    /// Columns, and what makes them.
    Set(Vec<(Spanned<String>, Spanned<String>)>),
    /// Paths, and how they are masked.
    Mask(Vec<(Spanned<FieldPath>, Mask)>),
    /// Fields, and what they are called from here on.
    Rename(Vec<(Spanned<String>, Spanned<String>)>),
}

/// How a value is made unreadable. Null stays null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// `***`.
    Redact,
    /// HMAC-SHA256 with a key.
    Hmac,
    /// The last four characters stay.
    Partial,
}

/// `cursor:` of a stream in a pipeline.
#[derive(Clone, Debug, Default)]
pub struct PipelineCursor {
    /// The field that orders changes.
    pub field: Option<FieldPath>,
    /// Who compares.
    pub mode: Option<CursorMode>,
    /// The first read begins here.
    pub start: Option<Spanned<String>>,
    /// The margin that is read again.
    pub lookback: Option<Duration>,
}

/// `destination:`.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A folder of Parquet files for each stream.
    Parquet(ParquetDestination),
    /// A table of a SQLite database for each stream.
    Sqlite(SqliteDestination),
}

/// `parquet://DIR`, or `parquet: { path: … }`.
#[derive(Clone, Debug)]
pub struct ParquetDestination {
    /// The folder of one stream; `{stream}` and `{pipeline}` are filled in. Relative paths start at the
    /// pipeline file.
    pub path: Spanned<String>,
    /// How pages are packed.
    pub compression: Compression,
    /// A file is closed when it has about this many bytes.
    pub target_file: u64,
    /// The folders that files are sorted into.
    pub partition_by: Option<PartitionBy>,
}

/// `partition_by:`, a field or a unit of time of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBy {
    /// The field.
    pub field: String,
    /// The unit; absent where each value has a folder.
    pub unit: Option<TimeUnit>,
}

/// A unit of time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// `year(…)`
    Year,
    /// `month(…)`
    Month,
    /// `day(…)`
    Day,
    /// `hour(…)`
    Hour,
}

/// How Parquet pages are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard, level 1.
    #[default]
    Zstd,
    /// Snappy.
    Snappy,
    /// Not at all.
    None,
}

/// `sqlite://FILE`, or `sqlite: { path: … }`.
#[derive(Clone, Debug)]
pub struct SqliteDestination {
    /// The database file; `{pipeline}` is filled in. A relative path starts at the pipeline file.
    pub path: Spanned<String>,
}

/// `schedule:`.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// When it is due.
    pub due: Due,
    /// The zone of `cron`, an IANA name. Default UTC.
    pub timezone: Option<Spanned<String>>,
    /// At most this much later, by chance.
    pub jitter: Option<Duration>,
    /// What happens when the last run is still going.
    pub on_overlap: OnOverlap,
    /// What happens to a run that was due while nobody was there.
    pub on_missed: OnMissed,
}

/// When a schedule is due.
#[derive(Clone, Debug)]
pub enum Due {
    /// Again and again, so long after the last due time.
    Every(Duration),
    /// Five fields, or six with seconds first.
    Cron(Spanned<String>),
}

/// What happens when the last run is still going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOverlap {
    /// The new one does not happen.
    #[default]
    Skip,
    /// The new one waits.
    Queue,
}

/// What happens to runs that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissed {
    /// One run makes up for all of them.
    #[default]
    RunOnce,
    /// Nothing.
    Skip,
}
