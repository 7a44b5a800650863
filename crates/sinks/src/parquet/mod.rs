//! A folder of Parquet files for each stream.
//!
//! # What a reader sees
//!
//! The path of a stream, say `lake/companies`, is a symbolic link to a version: a folder that holds nothing
//! but the data files of one commit and `_sync_checkpoint.json`. A new version is made beside it, with hard
//! links to the files that stay, and switched in by one rename of the link. Names of files are never used
//! again, so a reader that lists the folder and opens what it listed finds one version, or "no such file",
//! never two mixed; a reader that resolves the link first finds exactly one. The last three versions stay.
//!
//! We refused the other ways of 2026-11 after measuring them under constant reading: adding and removing files
//! in place lets a listing catch two commits at once, and a table format would ask every reader to speak it.
//!
//! # What a commit is
//!
//! Readers want files of a hundred megabytes, and a commit comes with every page. So a commit appends its rows
//! and its checkpoint to a log beside the table, and makes them visible later, many at once. The log is
//! for recovery only: the rows are encoded as they are committed, so nothing is encoded twice unless the
//! process died.
//!
//! # What merging is
//!
//! Beside each data file lies a record of its keys, a few bytes a row. A publication reads those records,
//! not the data, to find the rows that lose; only files that have some are written again. That is copy on
//! write: the cost of a change to one row is that of its file, and it is reported.
//!
//! Reading order: `layout`, `claim`, `manifest` (what lies where), `log`, `syncer` (commits), `part`,
//! `properties`, `extras` (files), `fingerprint`, `keys`, `settle` (which rows stay), `rewrite`, `partition`, `publication`, `version`
//! (what readers see next), `table` (all of it together).

mod claim;
mod error;
mod extras;
mod fault;
mod fingerprint;
mod keys;
mod layout;
mod log;
mod manifest;
mod part;
mod partition;
mod patches;
mod properties;
mod publication;
mod read;
mod rewrite;
mod settle;
mod syncer;
mod table;
#[cfg(test)]
mod tests;
mod version;

use std::fmt;
use std::path::PathBuf;

use sync_core::{Capability, Disposition, Sink, SinkError, TableSpec};

pub use partition::{Partition, Unit};
pub use read::{Rows, head, read_folder};

/// How the pages of a file are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard at level 1: small files for little time.
    #[default]
    Zstd,
    /// Snappy: less time still, files half as large again.
    Snappy,
    /// None.
    None,
}

/// Where the folders of streams are, and what the files in them are like.
pub struct ParquetOptions {
    /// The folder of a stream.
    pub folder: Box<dyn Fn(&str) -> PathBuf + Send + Sync>,
    /// How pages are compressed.
    pub compression: Compression,
    /// A file is closed at about this size, in bytes.
    pub target_file: u64,
    /// What files are sorted into folders by.
    pub partition: Option<Partition>,
}

impl ParquetOptions {
    /// The size at which files are closed, in bytes, where nobody says otherwise.
    pub const TARGET_FILE: u64 = 128 << 20;

    /// Zstandard, and files of 128 MiB.
    pub fn new(folder: impl Fn(&str) -> PathBuf + Send + Sync + 'static) -> Self {
        Self {
            folder: Box::new(folder),
            compression: Compression::default(),
            target_file: Self::TARGET_FILE,
            partition: None,
        }
    }
}

impl fmt::Debug for ParquetOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder: _, compression, target_file, partition } = self;
        f.debug_struct("ParquetOptions")
            .field("compression", compression)
            .field("target_file", target_file)
            .field("partition", partition)
            .finish_non_exhaustive()
    }
}

/// Folders of Parquet files, one for each stream.
#[derive(Debug)]
pub struct Parquet {
    options: ParquetOptions,
}

impl Parquet {
    /// Touches nothing until a table is opened.
    pub fn new(options: ParquetOptions) -> Self {
        Self { options }
    }
}

impl Sink for Parquet {
    fn capability(&self) -> Capability {
        Capability {
            dispositions: &[
                Disposition::Append,
                Disposition::Replace,
                Disposition::Merge,
                Disposition::History,
            ],
        }
    }

    fn open(&self, spec: &TableSpec) -> Result<Box<dyn sync_core::Table>, SinkError> {
        Ok(Box::new(table::Table::open(&self.options, spec)?))
    }
}
