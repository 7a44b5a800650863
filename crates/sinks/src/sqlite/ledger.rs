//! The checkpoints, in the database of the rows that they cover.
//!
//! `_sync_checkpoints` has a row for each table: who owns it, how far it got, and the whole checkpoint as
//! JSON. A table being built beside another has a row of its own under its own name, so that an interrupted
//! build goes on where it was.

use rusqlite::{Connection, OptionalExtension as _, params};
use sync_core::{Checkpoint, TableSpec};

/// What the ledger says about a table.
pub(super) struct Entry {
    pub(super) pipeline: String,
    pub(super) stream: String,
    pub(super) sequence: u64,
    /// The document as it is written.
    pub(super) checkpoint: String,
}

impl Entry {
    pub(super) fn is_of(&self, spec: &TableSpec) -> bool {
        self.pipeline == spec.pipeline && self.stream == spec.stream
    }
}

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS \"_sync_checkpoints\" (
    \"table\" TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    \"pipeline\" TEXT NOT NULL,
    \"stream\" TEXT NOT NULL,
    \"sequence\" INTEGER NOT NULL,
    \"at\" TEXT NOT NULL,
    \"checkpoint\" TEXT NOT NULL
)";

/// Makes the ledger where there is none.
pub(super) fn ensure(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached(LEDGER)?.execute([]).map(drop)
}

pub(super) fn load(connection: &Connection, table: &str) -> rusqlite::Result<Option<Entry>> {
    // Not by the schema that this connection remembers: another process may have made it a moment ago.
    if !super::shape::exists(connection, "_sync_checkpoints")? {
        return Ok(None);
    }
    let mut select = connection.prepare_cached(
        "SELECT \"pipeline\", \"stream\", \"sequence\", \"checkpoint\" FROM \"_sync_checkpoints\" WHERE \"table\" = ?",
    )?;
    let entry = |row: &rusqlite::Row| {
        let sequence: i64 = row.get(2)?;
        Ok(Entry {
            pipeline: row.get(0)?,
            stream: row.get(1)?,
            sequence: sequence as u64,
            checkpoint: row.get(3)?,
        })
    };
    select.query_row([table], entry).optional()
}

pub(super) fn store(
    connection: &Connection,
    table: &str,
    spec: &TableSpec,
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    let document = serde_json::to_string(checkpoint).expect("a checkpoint has text keys only");
    let mut upsert = connection.prepare_cached(
        "INSERT INTO \"_sync_checkpoints\" (\"table\", \"pipeline\", \"stream\", \"sequence\", \"at\", \"checkpoint\")
         VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (\"table\") DO UPDATE SET \"pipeline\" = excluded.\"pipeline\", \"stream\" = excluded.\"stream\",
             \"sequence\" = excluded.\"sequence\", \"at\" = excluded.\"at\", \"checkpoint\" = excluded.\"checkpoint\"",
    )?;
    let sequence = checkpoint.sequence as i64;
    let at = checkpoint.at.to_string();
    upsert.execute(params![table, spec.pipeline, spec.stream, sequence, at, document]).map(drop)
}

pub(super) fn remove(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM \"_sync_checkpoints\" WHERE \"table\" = ?")?;
    delete.execute([table]).map(drop)
}
