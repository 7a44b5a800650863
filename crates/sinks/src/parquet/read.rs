//! Reading a table as it stands, for people and for tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use sync_core::SinkError;
use sync_core::arrow::record_batch::{RecordBatch, RecordBatchReader};

use super::error::{At, Result};
use super::layout::names;

/// The rows of a table's folder, in the order of its files.
///
/// The link is followed once, here, so everything comes from one version however often the table changes
/// meanwhile (as long as it does not change three times before the last file is opened).
pub fn read_folder(path: &Path) -> std::result::Result<Rows, SinkError> {
    let folder = fs::canonicalize(path).at("find", path)?;
    let mut files = Vec::new();
    gather(&folder, &mut files)?;
    files.sort_unstable_by(|a, b| b.cmp(a));
    Ok(Rows { files, open: None, some: false })
}

/// The first rows of a table's folder, at most so many.
pub fn head(path: &Path, rows: usize) -> std::result::Result<Vec<RecordBatch>, SinkError> {
    let mut batches = Vec::new();
    let mut left = rows;
    for batch in read_folder(path)? {
        let batch = batch?;
        let taken = left.min(batch.num_rows());
        batches.push(batch.slice(0, taken));
        left -= taken;
        if left == 0 {
            break;
        }
    }
    Ok(batches)
}

/// The data files of a folder and of the folders in it.
fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for name in names(folder)? {
        let path = folder.join(&name);
        if path.is_dir() && name.contains('=') {
            gather(&path, files)?;
        } else if is_data(&name) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_data(name: &str) -> bool {
    let hidden = name.starts_with(['.', '_']);
    !hidden && Path::new(name).extension().is_some_and(|e| e == "parquet")
}

/// Batches of rows; of an empty table one batch without rows, which tells the columns.
pub struct Rows {
    /// The files that are left, the next one last.
    files: Vec<PathBuf>,
    open: Option<(PathBuf, ParquetRecordBatchReader)>,
    /// Whether there was a batch.
    some: bool,
}

impl Rows {
    fn open_next(&mut self) -> Result<bool> {
        let Some(path) = self.files.pop() else { return Ok(false) };
        let file = File::open(&path).at("read", &path)?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).at("read", &path)?.with_batch_size(2048);
        self.open = Some((path.clone(), reader.build().at("read", &path)?));
        Ok(true)
    }
}

impl Iterator for Rows {
    type Item = std::result::Result<RecordBatch, SinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((path, reader)) = &mut self.open {
                if let Some(batch) = reader.next() {
                    self.some = true;
                    return Some(batch.at("read", path));
                }
                let schema = reader.schema();
                self.open = None;
                if self.files.is_empty() && !self.some {
                    self.some = true;
                    return Some(Ok(RecordBatch::new_empty(schema)));
                }
            }
            match self.open_next() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
