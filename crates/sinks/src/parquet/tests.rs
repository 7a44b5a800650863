//! The table as a whole.

mod crash;
mod files;
mod merge;
mod readers;

use std::path::{Path, PathBuf};

use sync_core::{Sink, SinkError, Table, TableSpec};
use sync_testkit::sink::{Hand, Rows, conformance, rows_of};

use super::{Parquet, ParquetOptions, Partition, read_folder};

/// A sink whose streams lie in `dir`.
fn sink(dir: &Path, target_file: u64) -> Parquet {
    let dir = dir.to_owned();
    let folder = move |stream: &str| -> PathBuf { dir.join(stream) };
    Parquet::new(ParquetOptions { target_file, ..ParquetOptions::new(folder) })
}

fn open(dir: &Path, spec: &TableSpec) -> Result<Box<dyn Table>, SinkError> {
    sink(dir, ParquetOptions::TARGET_FILE).open(spec)
}

fn hand(dir: &Path, spec: &TableSpec) -> Hand {
    Hand::open(Box::new(sink(dir, ParquetOptions::TARGET_FILE)), spec)
}

fn rows(dir: &Path, stream: &str) -> Option<Rows> {
    let path = dir.join(stream);
    path.exists().then(|| {
        let batches: Result<Vec<_>, _> = read_folder(&path).expect("a table").collect();
        rows_of(&batches.expect("readable"))
    })
}

fn lines(dir: &Path, stream: &str) -> Vec<String> {
    rows(dir, stream).map(|rows| rows.lines()).unwrap_or_default()
}

#[test]
fn it_keeps_the_contract_of_a_sink() {
    conformance(&|dir| Box::new(sink(dir, ParquetOptions::TARGET_FILE)), &rows);
}

#[test]
fn it_keeps_the_contract_with_files_of_a_few_rows() {
    conformance(&|dir| Box::new(sink(dir, 1)), &rows);
}

#[test]
fn it_keeps_the_contract_with_a_folder_for_each_value() {
    let by = Partition { field: "v".to_owned(), unit: None };
    let make = |dir: &Path| {
        let dir = dir.to_owned();
        let folder = move |stream: &str| -> PathBuf { dir.join(stream) };
        Parquet::new(ParquetOptions { partition: Some(by.clone()), ..ParquetOptions::new(folder) })
    };
    conformance(&|dir| Box::new(make(dir)), &rows);
}

/// A sink whose tables have so little memory that nearly nothing of them stays in it.
struct Lean(Parquet);

impl Sink for Lean {
    fn capability(&self) -> sync_core::Capability {
        self.0.capability()
    }

    fn open(&self, spec: &TableSpec) -> Result<Box<dyn Table>, SinkError> {
        self.0.open(&TableSpec { memory: 4 << 10, ..spec.clone() })
    }
}

#[test]
fn it_keeps_the_contract_in_hardly_any_memory() {
    conformance(&|dir| Box::new(Lean(sink(dir, ParquetOptions::TARGET_FILE))), &rows);
}
