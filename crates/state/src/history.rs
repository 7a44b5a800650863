//! Checkpoints and schemas of the past.
//!
//! A schema is some kilobytes and hardly ever changes, a checkpoint is written with every page; so a
//! checkpoint is stored without its schema and points at it.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::Value;
use sync_core::{Checkpoint, Timestamp};

use crate::ledger::{id, json, moment, unreadable};
use crate::rows::{Cause, CheckpointRow, SchemaRow};

/// Checkpoints kept per stream and destination.
pub(crate) const CHECKPOINTS_MAX: u32 = 100;

type Result<T> = rusqlite::Result<T>;

/// Adds a checkpoint, and its schema if that is another than before; forgets the oldest.
pub(crate) fn add(
    tx: &Transaction,
    stream: &str,
    destination: &str,
    checkpoint: &Checkpoint,
    cause: Cause,
) -> Result<()> {
    let mut document = serde_json::to_value(checkpoint).expect("a checkpoint has text keys");
    let schema = document.as_object_mut().and_then(|d| d.remove("schema")).unwrap_or_default();
    let at = checkpoint.at.to_string();
    let schema_id = schema_id(tx, stream, destination, checkpoint, &at, &schema)?;
    tx.prepare(
        "insert into checkpoints (stream, destination, sequence, run, at, schema_id, checkpoint, cause)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        stream,
        destination,
        checkpoint.sequence as i64,
        checkpoint.run.as_str(),
        at,
        schema_id,
        json(&document),
        cause.as_str()
    ])?;
    tx.prepare(
        "delete from checkpoints where id in
         (select id from checkpoints where stream = ?1 and destination = ?2 order by id desc limit -1 offset ?3)",
    )?
    .execute(params![stream, destination, CHECKPOINTS_MAX])?;
    Ok(())
}

fn schema_id(
    tx: &Transaction,
    stream: &str,
    destination: &str,
    checkpoint: &Checkpoint,
    at: &str,
    schema: &Value,
) -> Result<i64> {
    let text = json(schema);
    let last: Option<(i64, String)> = tx
        .prepare(
            "select id, schema from schemas where stream = ?1 and destination = ?2 order by id desc limit 1",
        )?
        .query_row([stream, destination], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((id, _)) = last.filter(|(_, before)| *before == text) {
        return Ok(id);
    }
    tx.execute(
        "insert into schemas (stream, destination, run, at, schema) values (?1, ?2, ?3, ?4, ?5)",
        params![stream, destination, checkpoint.run.as_str(), at, text],
    )?;
    Ok(tx.last_insert_rowid())
}

/// The newest checkpoints of a stream, newest first; of every destination where none is named.
pub(crate) fn checkpoints(
    connection: &Connection,
    format: i64,
    stream: &str,
    destination: Option<&str>,
    limit: u32,
) -> Result<Vec<CheckpointRow>> {
    let cause = if format >= 2 { "c.cause" } else { "'commit'" };
    let mut query = connection.prepare(&format!(
        "select c.stream, c.destination, c.checkpoint, s.schema, c.id, {cause}
         from checkpoints c join schemas s on s.id = c.schema_id
         where c.stream = ?1 and (?2 is null or c.destination = ?2) order by c.id desc limit ?3"
    ))?;
    let rows = query.query_map(params![stream, destination, limit], |row| {
        let (document, schema): (String, String) = (row.get(2)?, row.get(3)?);
        let checkpoint = joined(&document, &schema).map_err(|e| unreadable(2, e.to_string()))?;
        let cause: String = row.get(5)?;
        let cause = Cause::parse(&cause).ok_or_else(|| unreadable(5, format!("`{cause}` is no cause")))?;
        Ok(CheckpointRow {
            version: row.get(4)?,
            cause,
            stream: row.get(0)?,
            destination: row.get(1)?,
            checkpoint,
        })
    })?;
    rows.collect()
}

fn joined(document: &str, schema: &str) -> serde_json::Result<Checkpoint> {
    let mut document: Value = serde_json::from_str(document)?;
    if let Some(fields) = document.as_object_mut() {
        fields.insert("schema".to_owned(), serde_json::from_str(schema)?);
    }
    serde_json::from_value(document)
}

/// Every schema a stream's tables ever had, newest first.
pub(crate) fn schemas(connection: &Connection, stream: &str) -> Result<Vec<SchemaRow>> {
    let mut query = connection.prepare(
        "select stream, destination, run, at, schema from schemas where stream = ?1 order by id desc",
    )?;
    let rows = query.query_map([stream], |row| {
        let text: String = row.get(4)?;
        let at: Timestamp = moment(row, 3)?;
        let schema = serde_json::from_str(&text).map_err(|e| unreadable(4, e.to_string()))?;
        Ok(SchemaRow { stream: row.get(0)?, destination: row.get(1)?, run: id(row, 2)?, at, schema })
    })?;
    rows.collect()
}
