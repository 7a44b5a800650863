//! A table per stream in one SQLite database.
//!
//! Rows and the checkpoint that covers them are one transaction of one file, so either both are there or
//! neither is, whatever happens to the process or the machine. A new database gets 16 KiB pages and a
//! write-ahead log, so readers never wait; one that exists keeps its own settings, and nothing in it is
//! touched but the tables that `sync` made and the ledger `_sync_checkpoints`.
//!
//! The tables of a run share one connection under a lock, because SQLite has one writer at a time. Rows are
//! staged in memory until their commit, so no table holds the lock, or a transaction, while it waits for its
//! provider.

mod cells;
mod error;
mod found;
mod insert;
mod keys;
mod ledger;
mod shape;
mod sql;
mod statements;
mod table;
#[cfg(test)]
mod tests;
mod widen;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use sync_core::{Capability, Disposition, Sink, SinkError, Table, TableSpec};

use table::Writing;

/// Reading and writing are fastest with these on a new file; measured against 4 and 64 KiB.
const PAGE_BYTES: u32 = 16_384;
/// What the connection keeps of the file in memory.
const CACHE_BYTES: u32 = 16 << 20;
/// How long a commit waits for another process to end its transaction.
const BUSY: Duration = Duration::from_secs(30);
/// Statements kept ready: about six a table.
const STATEMENTS: usize = 96;
/// Pages in the write-ahead log before they are moved into the file: 64 MiB. Commits that touch the same
/// pages of an index, as those of random keys do, then move them once.
const LOG_PAGES: u32 = 4096;

/// A SQLite database as a destination.
///
/// Text columns keep text as it was sent; bool is 0 or 1, int INTEGER, float REAL; decimal, json, timestamp,
/// local and date are TEXT in the forms of [`sync_core::form`]. The sign of a negative zero is lost, since
/// SQLite does not store it.
pub struct Sqlite {
    base: Arc<Base>,
}

/// What the tables of one database share.
struct Base {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Rows of this transaction that took the place of one of the same run.
    superseded: Arc<AtomicU64>,
    columns_max: usize,
    variables_max: usize,
    wal: bool,
}

impl Sqlite {
    /// Opens the database, making the file and its folder where they do not exist.
    ///
    /// Errors: `not_writable`, `destination_locked`, `disk_full` and `corrupt` are
    /// [`sync_core::Kind::Environment`], `not_a_database` is [`sync_core::Kind::Refused`].
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        Self::open_patiently(path, BUSY)
    }

    fn open_patiently(path: &Path, patience: Duration) -> Result<Self, SinkError> {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.map_err(|e| error::unwritable(path, e))?;
        // An absolute path never begins with `file:`, which SQLite would read as a URI.
        let path = std::path::absolute(path).map_err(|e| error::unwritable(path, e))?;
        let base = Base::open(&path, patience).map_err(|e| error::explain(&path, e))?;
        Ok(Self { base: Arc::new(base) })
    }
}

impl Sink for Sqlite {
    fn capability(&self) -> Capability {
        use Disposition::{Append, History, Merge, Replace};
        Capability { dispositions: &[Append, Replace, Merge, History] }
    }

    fn open(&self, spec: &TableSpec) -> Result<Box<dyn Table>, SinkError> {
        Ok(Box::new(Writing::open(Arc::clone(&self.base), spec)?))
    }
}

impl Base {
    fn open(path: &Path, patience: Duration) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(patience)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // A column that is not there is an error, not a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        // Switching a table must neither delete what refers to it nor rewrite the views that name it.
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "legacy_alter_table", true)?;
        let new: bool = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |r| r.get(0))?;
        if new {
            connection.pragma_update(None, "page_size", PAGE_BYTES)?;
            connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        }
        // After the page size: SQLite turns bytes into pages of the size that it knows at this moment.
        connection.pragma_update(None, "cache_size", -i64::from(CACHE_BYTES / 1024))?;
        let journal: String = connection.query_row("PRAGMA journal_mode", [], |r| r.get(0))?;
        let wal = journal == "wal";
        // With a write-ahead log NORMAL loses at most the last commits, rows and checkpoint together; with a
        // rollback journal it could tear the file.
        connection.pragma_update(None, "synchronous", if wal { "NORMAL" } else { "FULL" })?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        let superseded = count_superseded(&connection)?;
        compare_decimals(&connection)?;
        // Finds out now whether the file can be written.
        drop(connection.transaction_with_behavior(TransactionBehavior::Immediate)?);
        let columns_max = limit(&connection, "MAX_COLUMN", 2000)?;
        let variables_max = limit(&connection, "MAX_VARIABLE_NUMBER", 32_766)?;
        let connection = Mutex::new(connection);
        Ok(Self { path: path.to_owned(), connection, superseded, columns_max, variables_max, wal })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere rolled its transaction back when it was dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, error: rusqlite::Error) -> SinkError {
        error::explain(&self.path, error)
    }

    /// Passes a moment at which a process can die or a disk be full.
    #[track_caller]
    fn seam(&self) -> Result<(), SinkError> {
        sync_core::fault::seam().map_err(|e| error::unwritable(&self.path, e))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// A limit that SQLite was compiled with.
fn limit(connection: &Connection, name: &str, default: usize) -> rusqlite::Result<usize> {
    let mut options = connection.prepare("PRAGMA compile_options")?;
    let options = options.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let value = options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    Ok(value.unwrap_or(default))
}

/// `sync_taken(stored run, run, value)` is the value, and counts where both runs are the same.
///
/// An upsert asks it once for every row that it updates, which is the only place where SQLite tells what
/// became of each row.
fn count_superseded(connection: &Connection) -> rusqlite::Result<Arc<AtomicU64>> {
    let superseded = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&superseded);
    connection.create_scalar_function("sync_taken", 3, FunctionFlags::SQLITE_UTF8, move |context| {
        if context.get_raw(0) == context.get_raw(1) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        context.get::<i64>(2)
    })?;
    Ok(superseded)
}

/// `sync_decimal(a, b)` is below, at or above 0 as the first decimal of one scale is to the second.
fn compare_decimals(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("sync_decimal", 2, flags, |context| {
        let unscaled = |index| -> rusqlite::Result<Option<i128>> {
            let text = context.get_raw(index).as_str_or_null()?;
            Ok(text.and_then(|text| text.replacen('.', "", 1).parse().ok()))
        };
        let (a, b) = (unscaled(0)?, unscaled(1)?);
        Ok(a.zip(b).map(|(a, b)| a.cmp(&b) as i64))
    })
}
