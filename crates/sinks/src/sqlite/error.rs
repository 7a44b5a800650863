//! What SQLite's errors mean for a run.

use std::path::Path;

use rusqlite::{Error, ErrorCode};
use sync_core::{Kind, SinkError};

/// An error of SQLite, named by what a person can do about it.
pub(super) fn explain(path: &Path, error: Error) -> SinkError {
    let code = error.sqlite_error_code();
    let place = path.display();
    let (kind, code, message, hint) = match code {
        Some(ErrorCode::DiskFull) => (
            Kind::Environment,
            "disk_full",
            format!("there is no room left to write {place}"),
            Some("make room on that disk and run again; everything up to the last commit is kept"),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => (
            Kind::Environment,
            "not_writable",
            format!("cannot write the database {place}"),
            Some("check that the file and its folder may be written by this user"),
        ),
        Some(ErrorCode::NotADatabase) => (
            Kind::Refused,
            "not_a_database",
            format!("{place} is not a SQLite database"),
            Some("name another file; this one was not touched"),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => (
            Kind::Environment,
            "destination_locked",
            format!("another program keeps the database {place} locked"),
            Some("end that program's transaction and run again"),
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            Kind::Environment,
            "corrupt",
            format!("the database {place} is damaged"),
            Some("restore it from a copy, or move it away and run again"),
        ),
        Some(ErrorCode::SystemIoFailure) => (
            Kind::Environment,
            "io_failed",
            format!("the disk failed under the database {place}"),
            Some("check that disk and run again; everything up to the last commit is kept"),
        ),
        Some(ErrorCode::ConstraintViolation) => (
            Kind::Contract,
            "constraint",
            format!("a row does not fit a constraint that somebody added to {place}"),
            Some("remove the constraint that the cause names"),
        ),
        Some(ErrorCode::TooBig) => {
            (Kind::Contract, "too_big", format!("a value is larger than SQLite can store in {place}"), None)
        }
        _ => (Kind::Failed, "sqlite", format!("SQLite refused a statement on {place}"), None),
    };
    SinkError { kind, code, message, hint: hint.map(str::to_owned), source: Some(Box::new(error)) }
}

/// The folder of the database cannot be made, or its path not be found.
pub(super) fn unwritable(path: &Path, error: std::io::Error) -> SinkError {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    SinkError {
        kind: Kind::Environment,
        code: if full { "disk_full" } else { "not_writable" },
        message: format!("cannot make the folder of the database {}", path.display()),
        hint: Some("check the path in the pipeline file".to_owned()),
        source: Some(Box::new(error)),
    }
}

/// A refusal that names what to change.
pub(super) fn refused(code: &'static str, message: String, hint: &str) -> SinkError {
    SinkError { kind: Kind::Refused, code, message, hint: Some(hint.to_owned()), source: None }
}
