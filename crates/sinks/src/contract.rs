//! The refusals that every sink words alike.

use sync_core::{CastError, Checkpoint, Disposition, Kind, Schema, SinkError, TableSpec};

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

/// Whether rows of a schema can be written as a stream wishes; `empty` where there are none yet.
pub(crate) fn columns(spec: &TableSpec, schema: &Schema, empty: bool) -> Result<(), SinkError> {
    let own = spec.deleted.as_ref().filter(|_| spec.disposition != Disposition::History);
    let taken = |name: &&String| schema.columns.iter().any(|c| c.name.to_lowercase() == name.to_lowercase());
    if let Some(name) = own.filter(taken) {
        return Err(name_taken(&spec.stream, name));
    }
    match spec.key.iter().find(|field| schema.of_field(field).is_none()) {
        Some(missing) if !empty => Err(key_missing(&spec.stream, missing)),
        _ => Ok(()),
    }
}

/// Whether tombstones have a meaning in a table.
pub(crate) fn takes_tombstones(spec: &TableSpec, place: &str) -> Result<(), SinkError> {
    match (spec.disposition, &spec.deleted) {
        (Disposition::Append, None) => Err(no_deleted_column(&spec.stream, place)),
        _ => Ok(()),
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

/// Tombstones came for a table that only grows and has no column to say so.
fn no_deleted_column(table: &str, place: &str) -> SinkError {
    SinkError {
        kind: Kind::Refused,
        code: "no_deleted_column",
        message: format!(
            "the table {table:?} in {place} is only appended to and has no column that marks a deletion"
        ),
        hint: Some("name that column with `deletes`, or write with `merge`".to_owned()),
        source: None,
    }
}

/// The column that marks deleted rows has the name of one that the provider fills.
fn name_taken(table: &str, name: &str) -> SinkError {
    SinkError {
        kind: Kind::Refused,
        code: "bad_name",
        message: format!("{table:?} is to mark deleted rows in {name:?}, and has a column of that name"),
        hint: Some("give the column that marks deleted rows another name".to_owned()),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use sync_testkit::sink::{SpecExt as _, schema, spec};

    use super::*;

    #[test]
    fn a_mark_has_a_name_of_its_own() {
        let check = |disposition, name: &str| {
            let spec = spec("t", &["id"], disposition).deleted(name);
            columns(&spec, &schema("id:int Gone:text"), false).map_err(|e| e.code)
        };
        assert_eq!(check(Disposition::Merge, "gone"), Err("bad_name"));
        assert_eq!(check(Disposition::Merge, "_deleted"), Ok(()));
        assert_eq!(check(Disposition::History, "gone"), Ok(()), "a history has no mark");
    }
}
