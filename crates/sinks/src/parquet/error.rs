//! Turning what the disk and the format say into what a person can act on.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;

use parquet::errors::ParquetError;
use sync_core::arrow::error::ArrowError;
use sync_core::{Kind, SinkError};

/// What every step here ends in.
pub(super) type Result<T> = std::result::Result<T, SinkError>;

/// Says of a failed step what it was doing, and to which path.
pub(super) trait At<T> {
    /// `doing` completes the sentence "cannot …".
    fn at(self, doing: &str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|error| on_disk(doing, path, error.kind(), Box::new(error)))
    }
}

impl<T> At<T> for std::result::Result<T, ParquetError> {
    fn at(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|error| in_format(doing, path, Box::new(error)))
    }
}

impl<T> At<T> for std::result::Result<T, ArrowError> {
    fn at(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|error| in_format(doing, path, Box::new(error)))
    }
}

impl<T> At<T> for serde_json::Result<T> {
    fn at(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|error| in_format(doing, path, Box::new(error)))
    }
}

fn on_disk(doing: &str, path: &Path, kind: io::ErrorKind, cause: Box<dyn Error + Send + Sync>) -> SinkError {
    use io::ErrorKind as E;
    let (code, hint) = match kind {
        E::StorageFull | E::QuotaExceeded | E::FileTooLarge => {
            ("disk_full", Some("Free some space and run again: it goes on from the last commit."))
        }
        E::PermissionDenied | E::ReadOnlyFilesystem | E::NotADirectory => {
            ("not_writable", Some("Give this user the right to write there, or choose another path."))
        }
        E::Unsupported => (
            "unsupported_filesystem",
            Some("The folder needs a file system with symbolic and hard links, such as ext4, xfs or APFS."),
        ),
        _ => ("disk", None),
    };
    SinkError {
        kind: Kind::Environment,
        code,
        message: format!("cannot {doing} {}", path.display()),
        hint: hint.map(str::to_owned),
        source: Some(cause),
    }
}

/// The format's errors carry those of the disk inside; a full disk must not look like a broken file.
fn in_format(doing: &str, path: &Path, error: Box<dyn Error + Send + Sync>) -> SinkError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(inner) = cause {
        if let Some(disk) = inner.downcast_ref::<io::Error>() {
            let kind = disk.kind();
            return on_disk(doing, path, kind, error);
        }
        cause = match (inner.downcast_ref::<ParquetError>(), inner.downcast_ref::<ArrowError>()) {
            (Some(ParquetError::External(inside)), _) | (_, Some(ArrowError::ExternalError(inside))) => {
                Some(&**inside)
            }
            (_, Some(ArrowError::IoError(_, inside))) => Some(inside),
            _ => inner.source(),
        };
    }
    SinkError {
        kind: Kind::Failed,
        code: "parquet",
        message: format!("cannot {doing} {}", path.display()),
        hint: None,
        source: Some(error),
    }
}

/// The table on disk is not what its own papers say. Never guessed around: rows could go missing unseen.
pub(super) fn damaged(path: &Path, what: impl Display) -> SinkError {
    SinkError {
        kind: Kind::Contract,
        code: "destination_damaged",
        message: format!("{}: {what}", path.display()),
        hint: Some(format!(
            "Restore the missing files, or remove {} and run again to load it from the start.",
            path.display()
        )),
        source: None,
    }
}

/// The caller broke the contract of `Table`.
pub(super) fn misuse(message: impl Into<String>) -> SinkError {
    SinkError {
        kind: Kind::Failed,
        code: "table_contract",
        message: message.into(),
        hint: None,
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: SinkError, code: &str) {
        assert_eq!(error.code, code, "{error:?}");
        assert_eq!(error.kind == Kind::Environment, code != "parquet", "{error:?}");
        assert!(error.message.contains("lake/x"), "{error:?}");
    }

    #[test]
    fn a_full_disk_is_known_however_deep_it_sits() {
        let path = Path::new("lake/x");
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let at = |e: io::Error| io::Result::<()>::Err(e).at("write", path).expect_err("it is one");
        check(at(full()), "disk_full");
        check(at(io::Error::from_raw_os_error(28)), "disk_full");
        check(at(io::Error::from_raw_os_error(13)), "not_writable");
        check(at(io::Error::from_raw_os_error(30)), "not_writable");
        check(at(io::Error::from_raw_os_error(20)), "not_writable");
        check(at(io::Error::from_raw_os_error(5)), "disk");
        let parquet = |e: ParquetError| Err::<(), _>(e).at("write", path).expect_err("it is one");
        check(parquet(ParquetError::from(full())), "disk_full");
        check(parquet(ParquetError::General("odd".into())), "parquet");
        let arrow = |e: ArrowError| Err::<(), _>(e).at("write", path).expect_err("it is one");
        check(arrow(ArrowError::from(full())), "disk_full");
        check(arrow(ArrowError::ExternalError(Box::new(ParquetError::from(full())))), "disk_full");
    }
}
