//! What the state store could not do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use sync_core::{Explain, Kind};

/// What the state store could not do. Every variant names the path it is about.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process runs the pipeline. Code `pipeline_locked`.
    #[error("pipeline `{pipeline}` is already being run by {}", holder(*pid))]
    Locked {
        /// The pipeline.
        pipeline: String,
        /// The process that holds it, where its lock file tells.
        pid: Option<u32>,
    },
    /// The file system knows no locks. Code `lock_unavailable`.
    #[error("`{}` cannot be locked", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A name that is no file name. Code `pipeline_name`.
    #[error("`{0}` cannot be the name of a pipeline's state: it must be a plain file name")]
    Name(String),
    /// The state was written by a later release. Code `state_newer`.
    #[error("`{}` has state format {found}; this release reads up to {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The newest format this release reads.
        known: i64,
    },
    /// The file is no state, or is broken. Code `state_damaged`.
    #[error("`{}` is not a readable state: {why}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was wrong with it.
        why: String,
    },
    /// No space is left. Code `disk_full`.
    #[error("no space is left for `{}`", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder or file may not be written. Code `not_writable`.
    #[error("`{}` cannot be written", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Reading or writing failed in another way: a broken disk, a program that holds the database. Code
    /// `state_io`.
    #[error("reading or writing `{}` failed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl StateError {
    /// What an error of the file system at `path` means.
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source: Box::new(error) }
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotFound => Self::Unwritable { path, source: Box::new(error) },
            _ => Self::Io { path, source: Box::new(error) },
        }
    }

    /// What an error of SQLite on the database at `path` means.
    pub(crate) fn sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let path = path.to_owned();
        match code {
            Some(ErrorCode::DiskFull) => Self::Full { path, source: Box::new(error) },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::Unwritable { path, source: Box::new(error) }
            }
            // A missing table or a value of another type: somebody else wrote here.
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) | None => {
                Self::Damaged { path, why: error.to_string() }
            }
            Some(_) => Self::Io { path, source: Box::new(error) },
        }
    }
}

impl Explain for StateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Name(_) => Kind::Refused,
            _ => Kind::Environment,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "pipeline_locked",
            Self::Lock { .. } => "lock_unavailable",
            Self::Name(_) => "pipeline_name",
            Self::Newer { .. } => "state_newer",
            Self::Damaged { .. } => "state_damaged",
            Self::Full { .. } => "disk_full",
            Self::Unwritable { .. } => "not_writable",
            Self::Io { .. } => "state_io",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Locked { .. } => "wait for that run to end, or stop it".to_owned(),
            Self::Lock { .. } => "name a folder on a local disk with --state".to_owned(),
            Self::Name(_) => "rename the pipeline file".to_owned(),
            Self::Newer { path, .. } => format!(
                "use the newer release, or delete `{}`: the destination knows how far it got, only the history is lost",
                path.display()
            ),
            Self::Damaged { path, .. } => format!(
                "delete `{}` and run again: the destination knows how far it got, only the history is lost",
                path.display()
            ),
            Self::Full { .. } => "free some space and run again; nothing is lost".to_owned(),
            Self::Unwritable { .. } => {
                "make the folder writable, or name another one with --state".to_owned()
            }
            Self::Io { .. } => {
                "look whether another program holds the file and whether the disk is well, then run again"
                    .to_owned()
            }
        })
    }
}
