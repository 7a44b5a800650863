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
    system,
};

use super::found::{Found, Seen, look, parse, tails};
use super::insert::Insert;
use super::keys::Keys;
use super::shape::ShapeError;
use super::sql::quote;
use super::{Base, error, ledger, shape};
use crate::contract;
use crate::staged::{Means, Staged};
use crate::tail::Tail;

/// Up to so many rows are counted when a table is opened.
const COUNTED: i64 = 10_000;

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
    staged: Staged,
    /// The sequence of the last checkpoint of this line.
    sequence: Option<u64>,
    /// The sequences in the ledger as we left them.
    seen: Seen,
    /// How rows are written; made at the first commit after a change of shape.
    insert: Option<Insert>,
    /// The keys of a table that began empty and has no index of its key yet.
    keys: Option<Keys>,
    /// What this run loaded into the table beside.
    built: u64,
    /// What a restart threw away of that.
    forgotten: u64,
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
            true => count(&transaction, &name).map_err(|e| base.explain(e))?,
            false => 0,
        };
        let (entry, building) = match (spec.begin, &found.side) {
            (Begin::Anew, _) => (None, false),
            (Begin::Continue, Some(side)) => (Some(side), true),
            (Begin::Continue, None) => (found.live.as_ref().filter(|_| found.exists), false),
        };
        let checkpoint = entry.map(|e| parse(&base, e)).transpose()?;
        let replaces = spec.disposition == Disposition::Replace;
        let aside = spec.begin == Begin::Anew || replaces || building;
        let fresh = aside && !building;
        if let Some(checkpoint) = &checkpoint {
            let table = if building { &side } else { &name };
            let tails = tails(&base, &transaction, table, &checkpoint.schema, spec);
            // A table that is about to be replaced may have lost or won columns, but not be a history.
            tails.map(drop).or_else(|e| if fresh && e.code == "table_changed" { Ok(()) } else { Err(e) })?;
        }
        drop(transaction);
        drop(connection);
        Ok(Self {
            spec: spec.clone(),
            name,
            side,
            aside,
            fresh,
            staged: Staged::new(checkpoint.as_ref().map(|c| c.schema.clone()).unwrap_or_default()),
            sequence: checkpoint.as_ref().map(|c| c.sequence),
            seen: found.seen(),
            opened: Opened { checkpoint, rows, building },
            insert: None,
            keys: None,
            built: 0,
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
        self.sequence = Some(checkpoint.sequence);
        self.fresh = false;
        if self.aside && !switched {
            self.seen.side = self.sequence;
        } else {
            self.seen = Seen { live: self.sequence, side: if switched { None } else { self.seen.side } };
        }
        self.built += receipt.loaded;
        if switched {
            self.aside = self.spec.disposition == Disposition::Replace;
            self.fresh = self.aside;
            self.built = 0;
        }
        Ok(receipt)
    }

    /// What can be said about the staged rows before anything is touched.
    fn check_rows(&self) -> Result<(), SinkError> {
        let schema = self.staged.schema();
        let columns = schema.columns.len() + self.spec.engine_columns().len();
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
        if let Some(column) = schema.columns.iter().find(|c| c.name.contains('\0')) {
            let message = format!(
                "the column {:?} of {:?} has a name that SQLite cannot store",
                column.name, self.name
            );
            return Err(error::refused("bad_name", message, "leave that field out with `select`"));
        }
        contract::columns(&self.spec, schema, self.staged.is_empty())
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
        let schema = self.staged.schema();
        let mut tail = Tail::of(&self.spec);
        let mut grown = None;
        if let Some(stored) = stored.map(|entry| parse(base, entry)).transpose()? {
            let (had, next) = tails(base, transaction, target, &stored.schema, &self.spec)?;
            if had == next || had == Tail::Bare && next.mark().is_some() {
                tail = next;
                grown = Some((had, stored.schema));
            }
        }
        let new = grown.is_none();
        let shaped = match grown {
            Some((had, stored)) => {
                if had != tail {
                    shape::add_mark(transaction, target, &tail).map_err(|e| base.explain(e))?;
                }
                shape::evolve(transaction, target, &stored, schema, &tail)
            }
            None => shape::remove(transaction, target)
                .and_then(|()| shape::create(transaction, target, schema, &tail))
                .map_err(ShapeError::from),
        };
        shaped.map_err(|e| self.shape_error(e))?;
        let insert = Insert::new(target, schema, &self.spec, &tail, base.variables_max);
        if new && insert.has_key() {
            self.keys = Some(Keys::new(schema, &self.spec.key, self.spec.memory / 2));
        }
        self.keys = self.keys.take().filter(|keys| keys.fits(self.staged.schema()));
        if self.keys.is_none() {
            self.index(transaction)?;
        }
        Ok(insert)
    }

    /// Gives the table the index of its key, if it has all of the key's columns.
    ///
    /// That of a history ends with `_valid_to`, so that it finds the current version of a key, where that is
    /// null, and the end of the last one.
    fn index(&self, transaction: &Transaction) -> Result<(), SinkError> {
        let schema = self.staged.schema();
        let columns = self.spec.key.iter().map(|field| Some(schema.of_field(field)?.name.clone()));
        let columns = columns.collect::<Option<Vec<_>>>().filter(|columns| !columns.is_empty());
        let Some(mut columns) = columns else { return Ok(()) };
        if self.spec.disposition == Disposition::History {
            columns.push(system::VALID_TO.to_owned());
        }
        let unique = matches!(self.spec.disposition, Disposition::Merge | Disposition::Replace);
        shape::index_key(transaction, self.target(), &self.name, &columns, unique)
            .map_err(|e| self.shape_error(e))
    }

    fn insert_rows(&mut self, transaction: &Transaction, insert: &Insert) -> Result<Receipt, SinkError> {
        let (batches, written) = self.staged.take();
        let mut changed = 0;
        for (means, batch) in batches {
            let new = self.keys.as_mut().is_some_and(|keys| match means {
                Means::Rows => keys.take(&batch),
                Means::Tombstones => self.spec.disposition != Disposition::Append && keys.lack(&batch),
            });
            if !new && self.keys.take().is_some() {
                self.index(transaction)?;
            }
            if new && means == Means::Tombstones {
                continue; // of rows that are not there
            }
            changed += insert.write(transaction, means, &batch, new).map_err(|e| self.base.explain(e))?;
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
        if self.staged.evolve(schema).map_err(|e| self.misfit(e))? {
            self.insert = None;
        }
        Ok(())
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        self.staged.push(Means::Rows, batch);
        Ok(())
    }

    fn remove(&mut self, batch: RecordBatch) -> Result<(), SinkError> {
        contract::takes_tombstones(&self.spec, &self.base.place())?;
        self.staged.push(Means::Tombstones, batch);
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
        if self.aside {
            self.staged.forget();
            self.forgotten += std::mem::take(&mut self.built);
            self.fresh = true;
            self.insert = None;
        }
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

/// How many rows there are; where they are more than [`COUNTED`], about how many.
///
/// Counting reads an index from end to end, which takes a minute in a table of a hundred million. The greatest
/// rowid is the number of rows where none was ever removed, and a little more where some were.
fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let number = |select: &str| connection.query_row(select, [], |row| row.get::<_, Option<i64>>(0));
    let from = quote(table);
    let counted = number(&format!("SELECT count(*) FROM (SELECT 1 FROM {from} LIMIT {COUNTED})"))?;
    let rows = match shape::rowid(connection, table)? {
        _ if counted < Some(COUNTED) => counted,
        Some(rowid) => number(&format!("SELECT max({rowid}) FROM {from}"))?,
        None => number(&format!("SELECT count(*) FROM {from}"))?,
    };
    Ok(rows.unwrap_or(0) as u64)
}
