//! Rows and tombstones from Arrow arrays into a table, many to a statement where that can be.

use rusqlite::{CachedStatement, Connection};
use sync_core::arrow::array::Array as _;
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Disposition, Schema, TableSpec, Type};

use super::cells::Row;
use super::statements::Statements;
use crate::staged::Means;
use crate::tail::Tail;

/// Rows a statement; more gain nothing.
const ROWS: usize = 20;

/// How rows of one schema are written into one table.
pub(super) struct Insert {
    types: Vec<Type>,
    key: Vec<usize>,
    /// For rows that are known to be new.
    new: Statement,
    /// For rows whose key may be there already.
    known: Known,
    /// For tombstones; absent where none can mean anything.
    tombstone: Option<Statement>,
}

/// What becomes of a row whose key may be there already.
enum Known {
    /// It is added; or not, if it is there altogether.
    Added(Statement),
    /// It takes the place of the stored one. Those with a null in their key are apart, for a unique index does
    /// not hold them together.
    Merged(Statement, Pair),
    /// It follows the current version, which ends.
    Follows(Pair),
}

/// One way to write rows, many at a time.
struct Statement {
    rows: usize,
    many: String,
    one: String,
}

/// A statement that meets the stored row and one that adds the new.
struct Pair {
    meet: String,
    add: String,
}

impl Insert {
    pub(super) fn new(
        table: &str,
        schema: &Schema,
        spec: &TableSpec,
        tail: &Tail,
        variables_max: usize,
    ) -> Self {
        let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        let types: Vec<Type> = schema.columns.iter().map(|c| c.ty).collect();
        let place = |field: &String| schema.columns.iter().position(|c| c.field == *field);
        let key: Vec<usize> = spec.key.iter().filter_map(place).collect();
        let order = spec.order.as_ref().and_then(place).map(|index| (index, types[index]));
        let statements = Statements { table, names: &names, key: &key, order, tail };
        let rows = (variables_max / (types.len() + 3)).clamp(1, ROWS);
        let plain = || Statement::new(rows, |rows| statements.insert(rows));
        let known = match spec.disposition {
            _ if key.is_empty() => Known::Added(plain()),
            Disposition::Append => Known::Added(Statement::single(statements.insert_unless_whole())),
            Disposition::Merge | Disposition::Replace => Known::Merged(
                Statement::new(rows, |rows| statements.upsert(rows)),
                Pair { meet: statements.update(), add: statements.insert_unless_key() },
            ),
            Disposition::History => Known::Follows(Pair { meet: statements.close(), add: statements.open() }),
        };
        let tombstone = match (spec.disposition, &spec.deleted) {
            (Disposition::Append, Some(_)) => Some(statements.insert_tombstone()),
            (Disposition::Append, None) => None,
            _ if key.is_empty() => None,
            (Disposition::Merge, Some(_)) => Some(statements.mark_deleted()),
            (Disposition::Merge | Disposition::Replace, _) => Some(statements.delete()),
            (Disposition::History, _) => Some(statements.close_deleted()),
        };
        Self {
            new: plain(),
            known,
            tombstone: tombstone.map(Statement::single),
            types: types.into_iter().chain([Type::Text, Type::Timestamp, Type::Int]).collect(),
            key,
        }
    }

    /// Whether rows have a key.
    pub(super) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Writes a batch and returns how many rows it changed, added or removed; `new` if none of its keys is
    /// there.
    pub(super) fn write(
        &self,
        connection: &Connection,
        means: Means,
        batch: &RecordBatch,
        new: bool,
    ) -> rusqlite::Result<u64> {
        let mut row = Row::of(batch, &self.types);
        let rows: Vec<usize> = (0..batch.num_rows()).collect();
        match (means, &self.known) {
            (Means::Tombstones, _) => match &self.tombstone {
                Some(statement) => statement.write(connection, &mut row, &rows),
                None => Ok(0),
            },
            (Means::Rows, _) if new => self.new.write(connection, &mut row, &rows),
            (Means::Rows, Known::Added(statement)) => statement.write(connection, &mut row, &rows),
            (Means::Rows, Known::Follows(pair)) => pair.follow(connection, &mut row, &rows),
            (Means::Rows, Known::Merged(statement, nulls)) => {
                let (apart, whole): (Vec<_>, Vec<_>) = match self.nulls(batch) {
                    false => (Vec::new(), rows),
                    true => rows.into_iter().partition(|at| self.has_null(batch, *at)),
                };
                let mut changed = statement.write(connection, &mut row, &whole)?;
                if !apart.is_empty() {
                    changed += nulls.merge(connection, &mut row, &apart)?;
                }
                Ok(changed)
            }
        }
    }

    /// Whether any row has a null in its key.
    fn nulls(&self, batch: &RecordBatch) -> bool {
        self.key.iter().any(|column| batch.column(*column).null_count() > 0)
    }

    fn has_null(&self, batch: &RecordBatch, row: usize) -> bool {
        self.key.iter().any(|column| batch.column(*column).is_null(row))
    }
}

impl Statement {
    fn new(rows: usize, sql: impl Fn(usize) -> String) -> Self {
        Self { rows, many: sql(rows), one: sql(1) }
    }

    fn single(sql: String) -> Self {
        Self { rows: 1, many: sql.clone(), one: sql }
    }

    fn write(&self, connection: &Connection, row: &mut Row, rows: &[usize]) -> rusqlite::Result<u64> {
        let mut changed = 0;
        let chunks = rows.chunks_exact(self.rows);
        let rest = chunks.remainder();
        if rows.len() >= self.rows {
            let mut many = connection.prepare_cached(&self.many)?;
            for chunk in chunks {
                changed += row.execute(&mut many, chunk)?;
            }
        }
        if !rest.is_empty() {
            let mut one = connection.prepare_cached(&self.one)?;
            for at in rest {
                changed += row.execute(&mut one, &[*at])?;
            }
        }
        Ok(changed)
    }
}

impl Pair {
    /// A row changes the stored one or, where there is none, is added.
    fn merge(&self, connection: &Connection, row: &mut Row, rows: &[usize]) -> rusqlite::Result<u64> {
        let mut meet: CachedStatement = connection.prepare_cached(&self.meet)?;
        let mut add: CachedStatement = connection.prepare_cached(&self.add)?;
        let mut changed = 0;
        for at in rows {
            let met = row.execute(&mut meet, &[*at])?;
            changed += if met == 0 { row.execute(&mut add, &[*at])? } else { met };
        }
        Ok(changed)
    }

    /// A row ends the current version if it is another one, and is added where none is current then.
    fn follow(&self, connection: &Connection, row: &mut Row, rows: &[usize]) -> rusqlite::Result<u64> {
        let mut meet: CachedStatement = connection.prepare_cached(&self.meet)?;
        let mut add: CachedStatement = connection.prepare_cached(&self.add)?;
        let mut added = 0;
        for at in rows {
            row.execute(&mut meet, &[*at])?;
            added += row.execute(&mut add, &[*at])?;
        }
        Ok(added)
    }
}
