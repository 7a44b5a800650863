//! The store of a pipeline, and a look at it from outside.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};
use sync_core::{Books, Checkpoint, RunId, RunReport, StreamReport, Timestamp};

use crate::lock::Lock;
use crate::rows::{Cause, CheckpointRow, Interrupted, RunRow, SchemaRow};
use crate::{StateError, history, ledger, rejects, tables};

/// How long to wait for a program that looks into the database while we write.
const BUSY: Duration = Duration::from_secs(10);

/// The state of a pipeline, held by the one process that runs it.
///
/// Contract: while a store lives, no other process has one of the same folder and pipeline. Every call is one
/// small transaction, durable when it returns. Dropping it lets go of the pipeline.
pub struct Store {
    history: History,
    // Fields drop in order: the database is closed before the lock is let go.
    _lock: Lock,
}

/// A look at the state of a pipeline that may be running. Takes no lock and changes nothing.
pub struct History {
    connection: Mutex<Connection>,
    path: PathBuf,
    /// The form of the database.
    format: i64,
}

impl Store {
    /// Takes hold of the pipeline's state, making the folder and the database where they do not exist.
    ///
    /// A folder that is new or empty gets a `.gitignore` of `*`: state is of one machine.
    pub fn open(dir: &Path, pipeline: &str) -> Result<Self, StateError> {
        let (database, lock) = paths(dir, pipeline)?;
        make_folder(dir).map_err(|e| StateError::io(dir, e))?;
        let lock = Lock::take(&lock, pipeline)?;
        let sql = |e| StateError::sqlite(&database, e);
        let mut connection = Connection::open(&database).map_err(sql)?;
        connection.busy_timeout(BUSY).map_err(sql)?;
        tables::format_of(&connection, &database)?;
        // Some network file systems cannot do WAL; SQLite then keeps its rollback journal, which serves too.
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(sql)?;
        connection.pragma_update(None, "synchronous", "full").map_err(sql)?;
        tables::prepare(&mut connection, &database)?;
        let format = tables::FORMAT;
        let history = History { connection: Mutex::new(connection), path: database, format };
        Ok(Self { history, _lock: lock })
    }

    /// Opens a run. Runs still open belong to dead processes, since we hold the lock: they become
    /// interrupted, and those whose books are not closed are handed back, oldest first.
    pub fn begin_run(&self, run: &RunId, at: Timestamp) -> Result<Vec<Interrupted>, StateError> {
        self.write(|tx| ledger::begin(tx, run, at))
    }

    /// Keeps a copy of a checkpoint that the destination has made durable. The last hundred per stream and
    /// destination are kept.
    pub fn record_commit(
        &self,
        run: &RunId,
        stream: &str,
        destination: &str,
        checkpoint: &Checkpoint,
    ) -> Result<(), StateError> {
        self.write(|tx| {
            history::add(tx, stream, destination, checkpoint, Cause::Commit)?;
            rejects::committed(tx, run, stream, destination, checkpoint.sequence)?;
            ledger::committed(tx, run, stream, destination, &checkpoint.books)
        })
    }

    /// Keeps a copy of a checkpoint that something else than a run has made.
    pub fn record_change(
        &self,
        stream: &str,
        destination: &str,
        checkpoint: &Checkpoint,
        cause: Cause,
    ) -> Result<(), StateError> {
        self.write(|tx| history::add(tx, stream, destination, checkpoint, cause))
    }

    /// Closes the books of a stream of a run.
    pub fn record_stream(&self, run: &RunId, report: &StreamReport) -> Result<(), StateError> {
        self.write(|tx| ledger::stream_ended(tx, run, report))
    }

    /// Closes the books of a run and of all its streams.
    pub fn end_run(&self, report: &RunReport, at: Timestamp) -> Result<(), StateError> {
        self.write(|tx| ledger::end(tx, report, at))
    }

    /// Closes the books of a stream of an interrupted run with those of the destination's checkpoint.
    ///
    /// False, and nothing is changed, if the run is not an interrupted one or the stream's books are closed:
    /// it may be called with any checkpoint that is found.
    pub fn close_interrupted(&self, run: &RunId, stream: &str, books: Books) -> Result<bool, StateError> {
        self.write(|tx| ledger::close(tx, run, stream, &books))
    }

    /// The newest runs, newest first.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunRow>, StateError> {
        self.history.runs(limit)
    }

    /// The newest checkpoints of a stream, newest first; of every destination where none is named.
    pub fn checkpoints(
        &self,
        stream: &str,
        destination: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CheckpointRow>, StateError> {
        self.history.checkpoints(stream, destination, limit)
    }

    /// What can be read of it.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Lets the database grow by so many pages more: a small disk.
    #[cfg(test)]
    pub(crate) fn grow_at_most(&self, pages: i64) {
        let connection = self.history.connection();
        let now: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("a pragma");
        connection
            .pragma_update_and_check(None, "max_page_count", now + pages, |_| Ok(()))
            .expect("a pragma");
    }

    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let seam = || sync_core::fault::seam().map_err(|e| StateError::io(&self.history.path, e));
        let mut connection = self.history.connection();
        seam()?;
        let done = connection.transaction().and_then(|tx| {
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        });
        seam()?;
        done.map_err(|e| StateError::sqlite(&self.history.path, e))
    }
}

impl History {
    /// Opens the pipeline's state for reading; nothing if it never ran.
    pub fn open(dir: &Path, pipeline: &str) -> Result<Option<Self>, StateError> {
        let (database, _) = paths(dir, pipeline)?;
        if !database.try_exists().map_err(|e| StateError::io(&database, e))? {
            return Ok(None);
        }
        let sql = |e| StateError::sqlite(&database, e);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&database, flags).map_err(sql)?;
        connection.busy_timeout(BUSY).map_err(sql)?;
        // Format 0 is a database whose first process died before it made the tables.
        let format = tables::format_of(&connection, &database)?;
        Ok((format > 0).then(|| Self { connection: Mutex::new(connection), path: database, format }))
    }

    /// The newest runs, newest first.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunRow>, StateError> {
        self.read(|c| ledger::runs(c, limit))
    }

    /// One run, if the ledger has it.
    pub fn run(&self, run: &RunId) -> Result<Option<RunRow>, StateError> {
        self.read(|c| ledger::run(c, run))
    }

    /// The newest checkpoints of a stream, newest first; of every destination where none is named.
    pub fn checkpoints(
        &self,
        stream: &str,
        destination: Option<&str>,
        limit: u32,
    ) -> Result<Vec<CheckpointRow>, StateError> {
        self.read(|c| history::checkpoints(c, self.format, stream, destination, limit))
    }

    /// Every schema the stream's tables ever had, newest first.
    pub fn schemas(&self, stream: &str) -> Result<Vec<SchemaRow>, StateError> {
        self.read(|c| history::schemas(c, stream))
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        work(&self.connection()).map_err(|e| StateError::sqlite(&self.path, e))
    }

    /// Whether the database is of a form that has rejects; one that is only looked at may be older.
    pub(crate) fn has_rejects(&self) -> bool {
        self.format >= 2
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic inside a transaction rolled it back when it was dropped; the connection is fine.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The database and the lock of a pipeline.
fn paths(dir: &Path, pipeline: &str) -> Result<(PathBuf, PathBuf), StateError> {
    let mut parts = Path::new(pipeline).components();
    let plain =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == pipeline);
    if !plain || pipeline.contains(['/', '\\', '\0']) {
        return Err(StateError::Name(pipeline.to_owned()));
    }
    Ok((dir.join(format!("{pipeline}.db")), dir.join(format!("{pipeline}.lock"))))
}

/// Makes the folder. Only one of our own is hidden from git: `--state` may name the middle of somebody's work.
fn make_folder(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    if std::fs::read_dir(dir)?.next().is_some() {
        return Ok(());
    }
    match std::fs::File::create_new(dir.join(".gitignore")) {
        Ok(mut file) => io::Write::write_all(&mut file, b"*\n"),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()), // another pipeline was here first
        Err(e) => Err(e),
    }
}
