//! The columns and indexes of a table, and how they change.

use rusqlite::{Connection, OptionalExtension as _, params};
use sync_core::{CastError, Disposition, Schema, TableSpec, Type, system};

use super::sql::{list, quote};
use super::widen::{Widening, with_function};

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

/// The engine's own columns of a table, and those of them that mark deleted rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub columns: Vec<(String, Type)>,
    /// Marks that the table has: that of the wish, and those of earlier ones.
    pub marks: Vec<String>,
}

impl Own {
    pub fn of(spec: &TableSpec) -> Self {
        let columns = spec.engine_columns().into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect();
        Self {
            columns,
            marks: spec
                .deleted
                .iter()
                .filter(|_| spec.disposition != Disposition::History)
                .cloned()
                .collect(),
        }
    }

    /// With the marks of a table that is there, too: columns that nobody but this file declares so.
    pub fn with_marks_of(mut self, connection: &Connection, table: &str) -> rusqlite::Result<Self> {
        let mut select = connection.prepare(
            "SELECT name FROM pragma_table_info(?) WHERE \"notnull\" AND dflt_value = '0' ORDER BY cid",
        )?;
        for name in select.query_map([table], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()? {
            if !self.marks.contains(&name) {
                self.columns.push((name.clone(), Type::Bool));
                self.marks.push(name);
            }
        }
        Ok(self)
    }
}

/// A column as the database declares it.
struct Declared {
    name: String,
    ty: &'static str,
}

impl Declared {
    fn sql(&self) -> String {
        format!("{} {}", quote(&self.name), self.ty)
    }
}

/// How a mark is declared. A row is not deleted unless something says so.
const MARK: &str = "INTEGER NOT NULL DEFAULT 0";

/// The declared type, which gives the column the affinity that leaves its values as they are.
fn declared(ty: Type) -> &'static str {
    match ty {
        Type::Int | Type::Bool => "INTEGER",
        Type::Float => "REAL",
        _ => "TEXT",
    }
}

fn columns(schema: &Schema, own: &Own) -> Vec<Declared> {
    let theirs = schema.columns.iter().map(|c| Declared { name: c.name.clone(), ty: declared(c.ty) });
    let ours = own.columns.iter().map(|(name, ty)| Declared {
        name: name.clone(),
        ty: if own.marks.contains(name) { MARK } else { declared(*ty) },
    });
    theirs.chain(ours).collect()
}

fn create_sql(table: &str, columns: &[Declared]) -> String {
    let columns: Vec<_> = columns.iter().map(Declared::sql).collect();
    format!("CREATE TABLE {} ({})", quote(table), columns.join(", "))
}

pub(super) fn create(
    connection: &Connection,
    table: &str,
    schema: &Schema,
    own: &Own,
) -> rusqlite::Result<()> {
    connection.execute(&create_sql(table, &columns(schema, own)), []).map(drop)
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

/// The first column that the table has and the schema lacks, or the other way round.
pub(super) fn difference(
    connection: &Connection,
    table: &str,
    schema: &Schema,
    own: &Own,
) -> rusqlite::Result<Option<String>> {
    let mut select = connection.prepare("SELECT name FROM pragma_table_info(?)")?;
    let actual = select.query_map([table], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let wanted: Vec<String> = columns(schema, own).into_iter().map(|c| c.name).collect();
    let only = |these: &[String], those: &[String]| {
        let those: std::collections::HashSet<_> = those.iter().collect();
        these.iter().find(|name| !those.contains(name)).cloned()
    };
    Ok(only(&actual, &wanted).or_else(|| only(&wanted, &actual)))
}

/// Whether a table keeps the versions of its rows.
pub(super) fn is_history(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    has(connection, table, system::CURRENT)
}

/// Whether a table has a column of this name.
pub(super) fn has(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let mut select =
        connection.prepare("SELECT EXISTS (SELECT 1 FROM pragma_table_info(?) WHERE name = ?)")?;
    select.query_row([table, column], |row| row.get(0))
}

/// Gives a table the marks that it lacks; no row of it is deleted so far.
pub(super) fn add_marks(connection: &Connection, table: &str, own: &Own) -> rusqlite::Result<()> {
    for mark in &own.marks {
        if !has(connection, table, mark)? {
            connection
                .execute(&format!("ALTER TABLE {} ADD COLUMN {} {MARK}", quote(table), quote(mark)), [])?;
        }
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
    own: &Own,
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
        rewrite(connection, table, to, own, widenings)
    } else if declare {
        Ok(redeclare(connection, table, to, own)?)
    } else {
        Ok(())
    }
}

/// Copies a table into one of another schema and puts that in its place.
fn rewrite(
    connection: &Connection,
    table: &str,
    to: &Schema,
    own: &Own,
    widenings: Vec<Widening>,
) -> Result<(), ShapeError> {
    let copy = format!("_sync_copy_{table}");
    let columns = columns(to, own);
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
fn redeclare(connection: &Connection, table: &str, to: &Schema, own: &Own) -> rusqlite::Result<()> {
    let mut columns = columns(to, own);
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
    current: bool,
) -> Result<(), ShapeError> {
    if current {
        return index_current(connection, table, final_name, key);
    }
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

/// The index of the current versions of a history. Nulls in a key are equal to us and not to a unique index, so it is
/// a plain one.
fn index_current(
    connection: &Connection,
    table: &str,
    final_name: &str,
    key: &[String],
) -> Result<(), ShapeError> {
    let mut select = connection.prepare("SELECT name FROM pragma_index_list(?) WHERE partial")?;
    let names = select.query_map([table], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for name in names.iter().filter(|name| name.starts_with("_sync_key_")) {
        if indexed(connection, name)? == key {
            return Ok(());
        }
        connection.execute(&format!("DROP INDEX {}", quote(name)), [])?;
    }
    let name = free_name(connection, &format!("_sync_key_{final_name}"))?;
    let columns = list(key.iter().map(String::as_str));
    let current = quote(system::CURRENT);
    connection.execute(
        &format!("CREATE INDEX {} ON {} ({columns}) WHERE {current}", quote(&name), quote(table)),
        [],
    )?;
    Ok(())
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
