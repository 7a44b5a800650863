//! What the database holds of a stream when somebody comes to write it.

use rusqlite::Connection;
use sync_core::{Checkpoint, Kind, Schema, SinkError, TableSpec};

use super::ledger::Entry;
use super::{Base, error, ledger, shape};
use crate::contract;
use crate::tail::Tail;

/// Sequences in the ledger of the table that readers see and of the one beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) live: Option<u64>,
    pub(super) side: Option<u64>,
}

/// What the database holds of a stream.
pub(super) struct Found {
    pub(super) live: Option<Entry>,
    pub(super) side: Option<Entry>,
    /// Whether the table that readers see is there.
    pub(super) exists: bool,
}

impl Found {
    pub(super) fn seen(&self) -> Seen {
        Seen { live: self.live.as_ref().map(|e| e.sequence), side: self.side.as_ref().map(|e| e.sequence) }
    }
}

/// What the database holds of a stream. Refuses what is not its own.
pub(super) fn look(
    base: &Base,
    connection: &Connection,
    spec: &TableSpec,
    side: &str,
) -> Result<Found, SinkError> {
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

pub(super) fn parse(base: &Base, entry: &Entry) -> Result<Checkpoint, SinkError> {
    let unreadable = |kind, code, why: String| SinkError {
        kind,
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
        return Err(unreadable(Kind::Refused, "newer_format", "was written by a newer version".to_owned()));
    }
    serde_json::from_str(&entry.checkpoint)
        .map_err(|e| unreadable(Kind::Environment, "bad_checkpoint", format!("cannot be read: {e}")))
}

/// What a table that goes on has behind its `_sync_seq`, and what it has from now on.
///
/// Refuses a table whose columns somebody has changed, before rows are put in the wrong place, and one that holds
/// something else than is wished for.
pub(super) fn tails(
    base: &Base,
    connection: &Connection,
    table: &str,
    schema: &Schema,
    spec: &TableSpec,
) -> Result<(Tail, Tail), SinkError> {
    let had = shape::tail(connection, table, schema).map_err(|e| base.explain(e))?;
    let had = had.map_err(|column| {
        error::refused(
            "table_changed",
            format!("somebody added or removed the column {column:?} of {table:?} in {}", base.place()),
            "undo that, or rebuild the table with --full-refresh",
        )
    })?;
    let empty = shape::is_empty(connection, table).map_err(|e| base.explain(e))?;
    let next = had.next(spec, empty, &base.place())?;
    Ok((had, next))
}
