//! The refusals that every sink words alike.

use sync_core::{CastError, Checkpoint, Kind, SinkError};

/// The table belongs to somebody else.
pub(crate) fn owned(table: &str, place: &str, owner: Option<(&str, &str)>) -> SinkError {
    let whose = match owner {
        Some((pipeline, stream)) => format!("belongs to stream {stream:?} of pipeline {pipeline:?}"),
        None => "was not made by sync".to_owned(),
    };
    SinkError {
        kind: Kind::Refused,
        code: "destination_owned",
        message: format!("the table {table:?} in {place} {whose}"),
        hint: Some(match owner {
            Some((pipeline, _)) => format!(
                "name another destination; or, if this is that pipeline under a new file name, write `name: {pipeline}` in it"
            ),
            None => "name another destination, or rename or remove that table".to_owned(),
        }),
        source: None,
    }
}

/// Compares the sequence of a checkpoint with that of the one before; absent, it is the first.
pub(crate) fn next(before: Option<u64>, checkpoint: &Checkpoint, place: &str) -> Result<(), SinkError> {
    if checkpoint.sequence == before.unwrap_or(0) + 1 {
        return Ok(());
    }
    let before = before.map_or("no checkpoint".to_owned(), |n| format!("checkpoint {n}"));
    Err(moved(place, format!("{before} is followed by {}", checkpoint.sequence)))
}

/// The stored checkpoint is not the one that this process goes on from.
pub(crate) fn moved(place: &str, how: String) -> SinkError {
    SinkError {
        kind: Kind::Environment,
        code: "checkpoint_moved",
        message: format!("somebody else has written to {place} meanwhile: {how}"),
        hint: Some("run the pipeline in one place at a time, then run it again".to_owned()),
        source: None,
    }
}

/// A table that keeps versions of rows cannot become one that does not, nor the other way round.
pub(crate) fn disposition_changed(table: &str, place: &str, history: bool) -> SinkError {
    let (has, wish) = match history {
        true => ("keeps the versions of its rows", "it would keep the last one only"),
        false => ("has one row for each key", "it would keep all versions"),
    };
    SinkError {
        kind: Kind::Refused,
        code: "disposition_changed",
        message: format!("the table {table:?} in {place} {has}, and by the pipeline {wish}"),
        hint: Some("undo that, or rebuild the table with --full-refresh".to_owned()),
        source: None,
    }
}

/// Tombstones need a key to find their rows by; under append, where they are rows, a column that says so.
pub(crate) fn can_remove(stream: &str, can: bool) -> Result<(), SinkError> {
    if can {
        return Ok(());
    }
    Err(SinkError {
        kind: Kind::Refused,
        code: "no_place_for_tombstones",
        message: format!("{stream:?} tells of deleted rows, and its table has no way to know them"),
        hint: Some(
            "give the stream a `primary_key`, and under append `deletes: { as: _deleted }`".to_owned(),
        ),
        source: None,
    })
}

/// A stored value does not fit the wider type.
pub(crate) fn misfit(table: &str, place: &str, error: CastError) -> SinkError {
    SinkError {
        kind: Kind::Contract,
        code: "type_change",
        message: format!("the table {table:?} in {place} cannot be widened"),
        hint: Some("rebuild the table with --full-refresh".to_owned()),
        source: Some(Box::new(error)),
    }
}

/// The key's column is not in the schema that the rows have.
pub(crate) fn key_missing(table: &str, column: &str) -> SinkError {
    SinkError {
        kind: Kind::Contract,
        code: "key_missing",
        message: format!("the rows of {table:?} have no column {column:?}, which is part of their key"),
        hint: None,
        source: None,
    }
}
