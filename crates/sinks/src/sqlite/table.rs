//! One table while a stream is written to it.
//!
//! Rows go to the table that readers see, or to one beside it: under replace, and on a full refresh. That one
//! is named `_sync_new_…`, grows by a transaction a page with a checkpoint of its own, and takes the other's
//! place in the transaction of the last checkpoint. Killed meanwhile, the next process finds it and goes on
//! with it, whatever it was begun for; only [`Begin::Anew`] throws it away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{
    Begin, Checkpoint, Disposition, Kind, Opened, Published, Receipt, Schema, SinkError, Table, TableSpec,
    conform, system,
};

use super::insert::Insert;
use super::keys::Keys;
use super::ledger::Entry;
use super::shape::ShapeError;
use super::sql::quote;
use super::{Base, error, ledger, shape};
use crate::contract;

pub(super) struct Writing {
    base: Arc<Base>,
    spec: TableSpec,
    opened: Opened,
    /// The table's name, which is the stream's.
    name: String,
    /// The name of the table that is built beside it.
    side: String,
    /// Whether rows go to that one.
    aside: bool,
    /// Whether that one begins empty with the next commit.
    fresh: bool,
    /// The schema of the batches that come.
    schema: Schema,
    /// The sequence of the last checkpoint of this line.
    sequence: Option<u64>,
    /// The sequences in the ledger as we left them.
    seen: Seen,
    /// How rows are written; made at the first commit after a change of shape.
    insert: Option<Insert>,
    /// The keys of a table that began empty and has no index of its key yet.
    keys: Option<Keys>,
    /// The engine's own columns of the table that rows go to.
    own: shape::Own,
    staged: Vec<Staged>,
    /// Staged rows that a restart threw away.
    dropped: u64,
    /// Committed rows of this run that a restart threw away.
    forgotten: u64,
}

/// Rows that wait for their commit.
struct Staged {
    batch: RecordBatch,
    tombstones: bool,
}

/// Sequences in the ledger of the table that readers see and of the one beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    live: Option<u64>,
    side: Option<u64>,
}

/// What the database holds of a stream.
struct Found {
    live: Option<Entry>,
    side: Option<Entry>,
    /// Whether the table that readers see is there.
    exists: bool,
}

impl Found {
    fn seen(&self) -> Seen {
        Seen { live: self.live.as_ref().map(|e| e.sequence), side: self.side.as_ref().map(|e| e.sequence) }
    }
}

impl Writing {
    pub(super) fn open(base: Arc<Base>, spec: &TableSpec) -> Result<Self, SinkError> {
        let name = spec.stream.clone();
        check_name(&name)?;
        let side = format!("_sync_new_{name}");
        let mut connection = base.lock();
        let transaction = connection.transaction().map_err(|e| base.explain(e))?;
        let found = look(&base, &transaction, spec, &side)?;
        let rows = match found.exists {
            true => count(&transaction, &name, None).map_err(|e| base.explain(e))?,
            false => 0,
        };
        let (entry, building) = match (spec.begin, &found.side) {
            (Begin::Anew, _) => (None, false),
            (Begin::Continue, Some(side)) => (Some(side), true),
            (Begin::Continue, None) => (found.live.as_ref().filter(|_| found.exists), false),
        };
        let checkpoint = entry.map(|e| parse(&base, e)).transpose()?;
        let aside = spec.begin == Begin::Anew || spec.disposition == Disposition::Replace || building;
        let fresh = aside && !building;
        let mut own = shape::Own::of(spec);
        if let Some(checkpoint) = checkpoint.as_ref().filter(|_| !fresh) {
            let target = if aside { &side } else { &name };
            check_disposition(&base, &transaction, target, spec)?;
            own = own.with_marks_of(&transaction, target).map_err(|e| base.explain(e))?;
            check_columns(&base, &transaction, target, &checkpoint.schema, &own)?;
        }
        drop(transaction);
        drop(connection);
        Ok(Self {
            spec: spec.clone(),
            name,
            side,
            aside,
            fresh,
            schema: checkpoint.as_ref().map(|c| c.schema.clone()).unwrap_or_default(),
            sequence: checkpoint.as_ref().map(|c| c.sequence),
            seen: found.seen(),
            opened: Opened { checkpoint, rows, building },
            own,
            insert: None,
            keys: None,
            staged: Vec::new(),
            dropped: 0,
            forgotten: 0,
            base,
        })
    }

    fn target(&self) -> &str {
        if self.aside { &self.side } else { &self.name }
    }

    fn misfit(&self, error: sync_core::CastError) -> SinkError {
        contract::misfit(&self.name, &self.base.place(), error)
    }

    /// One transaction: shape, rows, checkpoint and, if this is the last, the switch.
    fn write_out(&mut self, checkpoint: &Checkpoint, last: bool) -> Result<Receipt, SinkError> {
        let base = Arc::clone(&self.base);
        contract::next(self.sequence, checkpoint, &base.place())?;
        self.check_rows()?;
        base.seam()?;
        let mut connection = base.lock();
        base.superseded.store(0, Ordering::Relaxed);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| base.explain(e))?;
        let found = look(&base, &transaction, &self.spec, &self.side)?;
        if found.seen() != self.seen {
            return Err(contract::moved(
                &base.place(),
                format!("the checkpoint of {:?} is another", self.name),
            ));
        }
        let shaped = self.shape(&base, &transaction, &found)?;
        let receipt = self.insert_rows(&transaction, &shaped)?;
        base.seam()?;
        if last && self.keys.take().is_some() {
            self.index(&transaction)?;
        }
        let target = self.target();
        ledger::store(&transaction, target, &self.spec, checkpoint).map_err(|e| base.explain(e))?;
        let switched = last && self.aside;
        if switched {
            base.seam()?;
            shape::switch(&transaction, &self.side, &self.name).map_err(|e| self.shape_error(e))?;
            ledger::remove(&transaction, &self.side).map_err(|e| base.explain(e))?;
            ledger::store(&transaction, &self.name, &self.spec, checkpoint).map_err(|e| base.explain(e))?;
        }
        base.seam()?;
        transaction.commit().map_err(|e| base.explain(e))?;
        base.seam()?;

        self.insert = Some(shaped).filter(|_| !switched);
        self.dropped = 0;
        self.sequence = Some(checkpoint.sequence);
        self.fresh = false;
        if self.aside && !switched {
            self.seen.side = self.sequence;
        } else {
            self.seen = Seen { live: self.sequence, side: if switched { None } else { self.seen.side } };
        }
        if switched {
            self.aside = self.spec.disposition == Disposition::Replace;
            self.fresh = self.aside;
        }
        Ok(receipt)
    }

    /// What can be said about the staged rows before anything is touched.
    fn check_rows(&self) -> Result<(), SinkError> {
        let columns = self.schema.columns.len() + 3;
        if columns > self.base.columns_max {
            return Err(SinkError {
                kind: Kind::Environment,
                code: "too_many_columns",
                message: format!(
                    "{:?} has {columns} columns, and SQLite takes {} in {}",
                    self.name,
                    self.base.columns_max,
                    self.base.place()
                ),
                hint: Some("leave columns out with `select`, or write to Parquet".to_owned()),
                source: None,
            });
        }
        if let Some(column) = self.schema.columns.iter().find(|c| c.name.contains('\0')) {
            let message = format!(
                "the column {:?} of {:?} has a name that SQLite cannot store",
                column.name, self.name
            );
            return Err(error::refused("bad_name", message, "leave that field out with `select`"));
        }
        let there = |field: &String| self.schema.of_field(field).is_some();
        match self.spec.key.iter().find(|name| !there(name)) {
            Some(missing) if !self.staged.is_empty() => Err(contract::key_missing(&self.name, missing)),
            _ => Ok(()),
        }
    }

    /// Makes the table that the rows go to, or makes it fit them.
    fn shape(&mut self, base: &Base, transaction: &Transaction, found: &Found) -> Result<Insert, SinkError> {
        if let Some(insert) = self.insert.take() {
            return Ok(insert);
        }
        ledger::ensure(transaction).map_err(|e| base.explain(e))?;
        let target = self.target();
        let stored = match (self.aside, self.fresh) {
            (true, true) => None,
            (true, false) => found.side.as_ref(),
            (false, _) => found.live.as_ref().filter(|_| found.exists),
        };
        let stored = stored.map(|entry| parse(base, entry)).transpose()?;
        let shaped = match stored {
            Some(ref stored) => shape::add_marks(transaction, target, &self.own)
                .map_err(ShapeError::from)
                .and_then(|()| shape::evolve(transaction, target, &stored.schema, &self.schema, &self.own)),
            None => shape::remove(transaction, target)
                .and_then(|()| shape::create(transaction, target, &self.schema, &self.own))
                .map_err(ShapeError::from),
        };
        shaped.map_err(|e| self.shape_error(e))?;
        let insert = Insert::new(target, &self.schema, &self.spec, &self.own, base.variables_max);
        if stored.is_none() && insert.has_key() {
            self.keys = Some(Keys::new(&self.schema, &self.spec.key, self.spec.memory / 2));
        }
        self.keys = self.keys.take().filter(|keys| keys.fits(&self.schema));
        if self.keys.is_none() {
            self.index(transaction)?;
        }
        Ok(insert)
    }

    /// Gives the table the index of its key, if it has all of the key's columns.
    fn index(&self, transaction: &Transaction) -> Result<(), SinkError> {
        let columns = self.spec.key.iter().map(|field| Some(self.schema.of_field(field)?.name.clone()));
        let Some(columns) = columns.collect::<Option<Vec<_>>>().filter(|columns| !columns.is_empty()) else {
            return Ok(());
        };
        let unique = self.spec.disposition != Disposition::Append;
        let current = self.spec.disposition == Disposition::History;
        shape::index_key(transaction, self.target(), &self.name, &columns, unique, current)
            .map_err(|e| self.shape_error(e))
    }

    fn insert_rows(&mut self, transaction: &Transaction, insert: &Insert) -> Result<Receipt, SinkError> {
        let (mut written, mut changed) = (self.dropped, 0);
        for Staged { batch, tombstones } in std::mem::take(&mut self.staged) {
            written += batch.num_rows() as u64;
            if tombstones {
                if self.keys.take().is_some() {
                    self.index(transaction)?;
                }
                changed += insert.remove(transaction, &batch).map_err(|e| self.base.explain(e))?;
                continue;
            }
            let new = self.keys.as_mut().is_some_and(|keys| keys.take(&batch));
            if !new && self.keys.take().is_some() {
                self.index(transaction)?;
            }
            changed += insert.write(transaction, &batch, new).map_err(|e| self.base.explain(e))?;
        }
        let loaded = changed - self.base.superseded.load(Ordering::Relaxed);
        Ok(Receipt { loaded, deduplicated: written - loaded })
    }

    fn shape_error(&self, error: ShapeError) -> SinkError {
        let place = self.base.place();
        match error {
            ShapeError::Sqlite(error) => self.base.explain(error),
            ShapeError::Misfit(error) => self.misfit(error),
            ShapeError::KeyNotUnique => error::refused(
                "key_not_unique",
                format!(
                    "rows of {:?} in {place} share a key, so new ones cannot be merged into them",
                    self.name
                ),
                "rebuild the table with --full-refresh",
            ),
            ShapeError::NotOurs(error, name) => SinkError {
                source: Some(Box::new(error)),
                ..error::refused(
                    "not_ours",
                    format!(
                        "{name:?}, which sync did not make, does not fit the new {:?} in {place}",
                        self.name
                    ),
                    "drop that index or trigger, or make it fit, and run again",
                )
            },
        }
    }
}

impl Table for Writing {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn evolve(&mut self, schema: &Schema) -> Result<(), SinkError> {
        if *schema == self.schema {
            return Ok(());
        }
        for index in 0..self.staged.len() {
            let batch =
                conform(&self.staged[index].batch, &self.schema, schema).map_err(|e| self.misfit(e))?;
            self.staged[index].batch = batch;
        }
        self.schema = schema.clone();
        self.insert = None;
        Ok(())
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        debug_assert_eq!(batch.schema(), self.schema.arrow(), "a batch has the schema that was announced");
        self.staged.push(Staged { batch, tombstones: false });
        Ok(())
    }

    fn remove(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        let marked = self.spec.disposition != Disposition::Append || self.spec.deleted.is_some();
        contract::can_remove(&self.spec.stream, marked && !self.spec.key.is_empty())?;
        self.staged.push(Staged { batch, tombstones: true });
        Ok(())
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<Receipt, SinkError> {
        self.write_out(checkpoint, false)
    }

    /// Every commit is visible at once.
    fn publish(&mut self) -> Result<Published, SinkError> {
        Ok(Published::default())
    }

    fn finish(&mut self, checkpoint: &Checkpoint) -> Result<(Receipt, Published), SinkError> {
        let receipt = self.write_out(checkpoint, true)?;
        if self.base.wal {
            // Keeps the log short. Readers that are still at an older version only put it off.
            let moved = self.base.lock().query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            moved.map_err(|e| self.base.explain(e))?;
        }
        let unchanged = std::mem::take(&mut self.forgotten);
        Ok((receipt, Published { unchanged, rewritten_bytes: 0 }))
    }

    fn restart(&mut self) -> Result<(), SinkError> {
        if !self.aside {
            return Ok(());
        }
        self.dropped += self.staged.drain(..).map(|staged| staged.batch.num_rows() as u64).sum::<u64>();
        if !self.fresh {
            let run = Some(self.spec.run.as_str());
            self.forgotten += count(&self.base.lock(), &self.side, run).map_err(|e| self.base.explain(e))?;
        }
        self.fresh = true;
        self.insert = None;
        Ok(())
    }
}

/// SQLite keeps some names for itself, and so do we.
fn check_name(name: &str) -> Result<(), SinkError> {
    let lower = name.to_ascii_lowercase();
    if !lower.starts_with("sqlite_") && !lower.starts_with("_sync_") && !lower.contains('\0') {
        return Ok(());
    }
    let message = format!("a table in SQLite cannot be named {name:?}");
    Err(error::refused("bad_name", message, "write this stream to another destination"))
}

/// What the database holds of a stream. Refuses what is not its own.
fn look(base: &Base, connection: &Connection, spec: &TableSpec, side: &str) -> Result<Found, SinkError> {
    let name = &spec.stream;
    let load = |table: &str| ledger::load(connection, table).map_err(|e| base.explain(e));
    let exists = |table: &str| shape::exists(connection, table).map_err(|e| base.explain(e));
    let found = Found { live: load(name)?, side: load(side)?, exists: exists(name)? };
    let unowned = (found.exists && found.live.is_none()) || (found.side.is_none() && exists(side)?);
    if unowned {
        return Err(contract::owned(name, &base.place(), None));
    }
    // The entry of a table that was removed keeps nobody out.
    let entries = [found.live.as_ref().filter(|_| found.exists), found.side.as_ref()];
    if let Some(other) = entries.into_iter().flatten().find(|entry| !entry.is_of(spec)) {
        return Err(contract::owned(name, &base.place(), Some((&other.pipeline, &other.stream))));
    }
    Ok(found)
}

fn parse(base: &Base, entry: &Entry) -> Result<Checkpoint, SinkError> {
    let unreadable = |code, why: String| SinkError {
        kind: Kind::Environment,
        code,
        message: format!("the checkpoint of {:?} in {} {why}", entry.stream, base.place()),
        hint: Some(
            "use the version of sync that wrote it, or rebuild the table with --full-refresh".to_owned(),
        ),
        source: None,
    };
    let format = serde_json::from_str::<serde_json::Value>(&entry.checkpoint).ok();
    let format = format.and_then(|document| document.get("format")?.as_u64());
    if format.is_some_and(|format| format > u64::from(Checkpoint::FORMAT)) {
        return Err(unreadable("newer_checkpoint", "was written by a newer version".to_owned()));
    }
    serde_json::from_str(&entry.checkpoint)
        .map_err(|e| unreadable("bad_checkpoint", format!("cannot be read: {e}")))
}

/// A table either keeps the versions of its rows or does not.
fn check_disposition(
    base: &Base,
    connection: &Connection,
    table: &str,
    spec: &TableSpec,
) -> Result<(), SinkError> {
    let history = shape::is_history(connection, table).map_err(|e| base.explain(e))?;
    match history == (spec.disposition == Disposition::History) {
        true => Ok(()),
        false => Err(contract::disposition_changed(&spec.stream, &base.place(), history)),
    }
}

/// Refuses a table whose columns somebody has changed, before rows are put in the wrong place.
fn check_columns(
    base: &Base,
    connection: &Connection,
    table: &str,
    schema: &Schema,
    own: &shape::Own,
) -> Result<(), SinkError> {
    // A mark that this table is about to get is not missing.
    let mut there = own.clone();
    for mark in &own.marks {
        if !shape::has(connection, table, mark).map_err(|e| base.explain(e))? {
            there.columns.retain(|(name, _)| name != mark);
        }
    }
    match shape::difference(connection, table, schema, &there).map_err(|e| base.explain(e))? {
        None => Ok(()),
        Some(column) => Err(error::refused(
            "table_changed",
            format!("somebody added or removed the column {column:?} of {table:?} in {}", base.place()),
            "undo that, or rebuild the table with --full-refresh",
        )),
    }
}

/// How many rows there are, or how many a run wrote.
fn count(connection: &Connection, table: &str, run: Option<&str>) -> rusqlite::Result<u64> {
    let table = quote(table);
    let count: i64 = match run {
        None => connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?,
        Some(run) => connection.query_row(
            &format!("SELECT count(*) FROM {table} WHERE {} = ?", quote(system::RUN)),
            [run],
            |row| row.get(0),
        )?,
    };
    Ok(count as u64)
}
