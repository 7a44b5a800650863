//! The tables of a state database and the steps that lead to them.

use std::path::Path;

use rusqlite::Connection;

use crate::StateError;

/// `sync` in ASCII: marks the file as ours.
const APPLICATION: i64 = 0x7379_6e63;

/// Each step leads from the format of its index to the next. A step that was released never changes.
const STEPS: &[&str] = &[
    "
    create table runs (
        run text primary key,
        started text not null,
        ended text,
        status text not null,
        error text,
        report text
    ) strict, without rowid;
    create table streams (
        run text not null,
        stream text not null,
        destination text,
        status text not null,
        fetched integer not null,
        loaded integer not null,
        deduplicated integer not null,
        filtered integer not null,
        quarantined integer not null,
        report text,
        primary key (run, stream)
    ) strict, without rowid;
    create table schemas (
        id integer primary key,
        stream text not null,
        destination text not null,
        run text not null,
        at text not null,
        schema text not null
    ) strict;
    create index schemas_of on schemas (stream, destination, id);
    create table checkpoints (
        id integer primary key,
        stream text not null,
        destination text not null,
        sequence integer not null,
        run text not null,
        at text not null,
        schema_id integer not null references schemas (id),
        checkpoint text not null
    ) strict;
    create index checkpoints_of on checkpoints (stream, destination, id);
",
    "
    alter table checkpoints add column cause text not null default 'commit';
    create table rejects (
        id integer primary key autoincrement,
        stream text not null,
        destination text not null,
        run text not null,
        sequence integer not null,
        committed integer not null,
        page integer not null,
        row integer not null,
        code text not null,
        field text,
        message text not null,
        raw text,
        bytes integer not null,
        hash text not null,
        identity text,
        at text not null
    ) strict;
    create index rejects_of on rejects (stream, destination, id);
    create index rejects_by_hash on rejects (stream, destination, hash);
    create index rejects_by_identity on rejects (stream, destination, identity);
",
    "
    create table census (
        stream text not null,
        destination text not null,
        identity blob not null,
        generation integer not null,
        key text not null,
        primary key (stream, destination, identity)
    ) strict, without rowid;
    create table censuses (
        stream text not null,
        destination text not null,
        generation integer not null,
        primary key (stream, destination)
    ) strict, without rowid;
",
];

/// The newest format.
pub(crate) const FORMAT: i64 = STEPS.len() as i64;

/// Refuses a database that is not ours or newer than we are; the format of any other.
pub(crate) fn format_of(connection: &Connection, path: &Path) -> Result<i64, StateError> {
    let sql = |e| StateError::sqlite(path, e);
    let number =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sql);
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    if application != APPLICATION && (application != 0 || format != 0 || tables != 0) {
        let why = "it is a database of something else".to_owned();
        return Err(StateError::Damaged { path: path.to_owned(), why });
    }
    if format > FORMAT {
        return Err(StateError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    Ok(format)
}

/// Brings a database to the newest format.
pub(crate) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StateError> {
    let format = format_of(connection, path)?;
    let missing = usize::try_from(format).ok().and_then(|done| STEPS.get(done..)).unwrap_or(STEPS);
    if missing.is_empty() {
        return Ok(());
    }
    let made = connection.transaction().and_then(|transaction| {
        for step in missing {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    });
    made.map_err(|e| StateError::sqlite(path, e))
}
