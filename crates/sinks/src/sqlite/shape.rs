//! The columns and indexes of a table, and how they change.

use rusqlite::{Connection, OptionalExtension as _, params};
use sync_core::{CastError, Schema, Type, system};

use super::sql::{list, quote};
use super::widen::{Widening, with_function};
use crate::tail::Tail;

/// Why a table could not be given its shape.
pub(super) enum ShapeError {
    Sqlite(rusqlite::Error),
    /// A stored value has no place in the wider type.
    Misfit(CastError),
    /// Rows that are there share a key.
    KeyNotUnique,
    /// An index or trigger that somebody else made does not fit the new table.
    NotOurs(rusqlite::Error, String),
}

impl From<rusqlite::Error> for ShapeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// How the column is declared that marks deleted rows. None of ours is so but that one, which is how it is known
/// again.
const MARK: &str = "INTEGER NOT NULL DEFAULT 0";

/// A column as the database declares it.
struct Declared {
    name: String,
    /// Its type and what else is declared of it.
    ty: &'static str,
}

impl Declared {
    fn sql(&self) -> String {
        format!("{} {}", quote(&self.name), self.ty)
    }
}

/// The declared type, which gives the column the affinity that leaves its values as they are.
fn declared(ty: Type) -> &'static str {
    match ty {
        Type::Int | Type::Bool => "INTEGER",
        Type::Float => "REAL",
        _ => "TEXT",
    }
}

fn columns(schema: &Schema, tail: &Tail) -> Vec<Declared> {
    let own = schema.columns.iter().map(|c| Declared { name: c.name.clone(), ty: declared(c.ty) });
    let engine = [(system::RUN, "TEXT"), (system::AT, "TEXT"), (system::SEQ, "INTEGER")];
    let engine = engine.map(|(name, ty)| Declared { name: name.to_owned(), ty });
    own.chain(engine).chain(tail_columns(tail)).collect()
}

fn tail_columns(tail: &Tail) -> impl Iterator<Item = Declared> {
    let mark = tail.mark();
    tail.columns().into_iter().map(move |(name, ty)| Declared {
        name: name.to_owned(),
        ty: if mark == Some(name) { MARK } else { declared(ty) },
    })
}

fn create_sql(table: &str, columns: &[Declared]) -> String {
    let columns: Vec<_> = columns.iter().map(Declared::sql).collect();
    format!("CREATE TABLE {} ({})", quote(table), columns.join(", "))
}

pub(super) fn create(
    connection: &Connection,
    table: &str,
    schema: &Schema,
    tail: &Tail,
) -> rusqlite::Result<()> {
    connection.execute(&create_sql(table, &columns(schema, tail)), []).map(drop)
}

pub(super) fn remove(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    connection.execute(&format!("DROP TABLE IF EXISTS {}", quote(table)), []).map(drop)
}

/// Whether a table or view of the name exists, in any case.
pub(super) fn exists(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE)",
    )?;
    select.query_row([table], |row| row.get(0))
}

/// Whether a table has no rows.
pub(super) fn is_empty(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let select = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", quote(table));
    connection.query_row(&select, [], |row| row.get(0))
}

/// The name by which a table's rowid can be asked for; absent where columns have taken all of them.
pub(super) fn rowid(connection: &Connection, table: &str) -> rusqlite::Result<Option<&'static str>> {
    let mut taken = connection
        .prepare("SELECT EXISTS (SELECT 1 FROM pragma_table_info(?) WHERE name = ? COLLATE NOCASE)")?;
    for name in ["rowid", "_rowid_", "oid"] {
        if !taken.query_row([table, name], |row| row.get::<_, bool>(0))? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What a table of a schema has behind `_sync_seq`; or the first column that somebody added or removed.
pub(super) fn tail(
    connection: &Connection,
    table: &str,
    schema: &Schema,
) -> rusqlite::Result<Result<Tail, String>> {
    let mut select =
        connection.prepare("SELECT name, \"notnull\" AND dflt_value IS '0' FROM pragma_table_info(?)")?;
    let actual = select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut extra = actual.collect::<Result<Vec<(String, bool)>, _>>()?;
    for wanted in columns(schema, &Tail::Bare) {
        match extra.iter().position(|(name, _)| *name == wanted.name) {
            Some(index) => drop(extra.remove(index)),
            None => return Ok(Err(wanted.name)),
        }
    }
    let period = Tail::Period.columns();
    Ok(match extra.as_slice() {
        [] => Ok(Tail::Bare),
        [(name, true)] => Ok(Tail::Mark(name.clone())),
        _ if extra.iter().map(|(name, _)| name.as_str()).eq(period.iter().map(|(name, _)| *name)) => {
            Ok(Tail::Period)
        }
        // Ours was there first.
        [.., (name, _)] => Err(name.clone()),
    })
}

/// Gives a table the column that marks deleted rows; those that are there are not.
pub(super) fn add_mark(connection: &Connection, table: &str, tail: &Tail) -> rusqlite::Result<()> {
    for column in tail_columns(tail) {
        connection.execute(&format!("ALTER TABLE {} ADD COLUMN {}", quote(table), column.sql()), [])?;
    }
    Ok(())
}

/// Makes a table of one schema fit a later one.
///
/// New columns cost nothing. A column that held only nulls changes its declared type and nothing else, which
/// is common: a field that is null on every row of the first pages. Everything else copies the table.
pub(super) fn evolve(
    connection: &Connection,
    table: &str,
    from: &Schema,
    to: &Schema,
    tail: &Tail,
) -> Result<(), ShapeError> {
    for column in &to.columns[from.columns.len()..] {
        let column = Declared { name: column.name.clone(), ty: declared(column.ty) };
        connection.execute(&format!("ALTER TABLE {} ADD COLUMN {}", quote(table), column.sql()), [])?;
    }
    let mut declare = false;
    let mut widenings = Vec::new();
    for (had, wanted) in from.columns.iter().zip(&to.columns) {
        declare |= declared(had.ty) != declared(wanted.ty);
        if had.settled && !Widening::is_free(had.ty, wanted.ty) {
            widenings.push(Widening { column: wanted.name.clone(), from: had.ty, to: wanted.ty });
        }
    }
    if !widenings.is_empty() {
        rewrite(connection, table, columns(to, tail), widenings)
    } else if declare {
        Ok(redeclare(connection, table, columns(to, tail))?)
    } else {
        Ok(())
    }
}

/// Copies a table into one of another schema and puts that in its place.
fn rewrite(
    connection: &Connection,
    table: &str,
    columns: Vec<Declared>,
    widenings: Vec<Widening>,
) -> Result<(), ShapeError> {
    let copy = format!("_sync_copy_{table}");
    let value = |column: &Declared| {
        let name = quote(&column.name);
        match widenings.iter().position(|w| w.column == column.name) {
            Some(index) => format!("sync_widen({name}, {index})"),
            None => name,
        }
    };
    let values: Vec<_> = columns.iter().map(value).collect();
    let insert = format!("INSERT INTO {} SELECT {} FROM {}", quote(&copy), values.join(", "), quote(table));
    connection.execute(&create_sql(&copy, &columns), [])?;
    with_function(connection, widenings, || connection.execute(&insert, [])).map_err(|(error, misfit)| {
        match misfit {
            Some(misfit) => ShapeError::Misfit(misfit),
            None => error.into(),
        }
    })?;
    switch(connection, &copy, table)
}

/// Puts one table in the place of another, with the indexes and triggers that others have made on that.
pub(super) fn switch(connection: &Connection, from: &str, to: &str) -> Result<(), ShapeError> {
    let mut select = connection.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL
         AND type IN ('index', 'trigger') AND name NOT LIKE '\\_sync\\_key\\_%' ESCAPE '\\'",
    )?;
    let others = select.query_map([to], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let others = others.collect::<Result<Vec<(String, String)>, _>>()?;
    remove(connection, to)?;
    connection.execute(&format!("ALTER TABLE {} RENAME TO {}", quote(from), quote(to)), [])?;
    for (name, sql) in others {
        connection.execute(&sql, []).map_err(|error| ShapeError::NotOurs(error, name))?;
    }
    Ok(())
}

/// Changes declared types where no value is touched, in the way that SQLite's documentation gives for it:
/// <https://www.sqlite.org/lang_altertable.html#otheralter>, read 2026-11-25.
fn redeclare(connection: &Connection, table: &str, mut columns: Vec<Declared>) -> rusqlite::Result<()> {
    let mut select = connection.prepare("SELECT name FROM pragma_table_info(?)")?;
    let order = select.query_map([table], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let place: std::collections::HashMap<_, _> =
        order.iter().enumerate().map(|(i, name)| (name, i)).collect();
    columns.sort_by_key(|c| place.get(&c.name));
    let version: i64 = connection.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
    connection.pragma_update(None, "writable_schema", true)?;
    let updated = connection.execute(
        "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ? COLLATE NOCASE",
        params![create_sql(table, &columns), table],
    );
    connection.pragma_update(None, "writable_schema", false)?;
    updated?;
    connection.pragma_update(None, "schema_version", version + 1)
}

/// Gives a table the index of its key: unique, or not.
pub(super) fn index_key(
    connection: &Connection,
    table: &str,
    final_name: &str,
    key: &[String],
    unique: bool,
) -> Result<(), ShapeError> {
    for (name, is_unique, ours) in indexes(connection, table)? {
        if indexed(connection, &name)? == key && (is_unique || !unique) {
            return Ok(());
        }
        if ours {
            connection.execute(&format!("DROP INDEX {}", quote(&name)), [])?;
        }
    }
    let create = if unique { "CREATE UNIQUE INDEX" } else { "CREATE INDEX" };
    let name = free_name(connection, &format!("_sync_key_{final_name}"))?;
    let columns = list(key.iter().map(String::as_str));
    connection.execute(&format!("{create} {} ON {} ({columns})", quote(&name), quote(table)), []).map_or_else(
        |error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Err(ShapeError::KeyNotUnique),
            _ => Err(error.into()),
        },
        |_| Ok(()),
    )
}

/// Name, whether it is unique, and whether we made it, of each whole index.
fn indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, bool, bool)>> {
    let mut select =
        connection.prepare("SELECT name, \"unique\" FROM pragma_index_list(?) WHERE NOT partial")?;
    let index = |row: &rusqlite::Row| {
        let name: String = row.get(0)?;
        let ours = name.starts_with("_sync_key_");
        Ok((name, row.get(1)?, ours))
    };
    select.query_map([table], index)?.collect()
}

/// The columns of an index, in order; an expression is an empty name.
fn indexed(connection: &Connection, index: &str) -> rusqlite::Result<Vec<String>> {
    let mut select =
        connection.prepare("SELECT ifnull(name, '') FROM pragma_index_info(?) ORDER BY seqno")?;
    select.query_map([index], |row| row.get(0))?.collect()
}

/// A table that is built beside another keeps its index when it takes the other's place, so the next one
/// needs another name.
fn free_name(connection: &Connection, wanted: &str) -> rusqlite::Result<String> {
    let mut number = 1;
    loop {
        let name = if number == 1 { wanted.to_owned() } else { format!("{wanted}_{number}") };
        let taken = connection
            .query_row("SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE", [&name], |_| Ok(()))
            .optional()?;
        if taken.is_none() {
            return Ok(name);
        }
        number += 1;
    }
}
