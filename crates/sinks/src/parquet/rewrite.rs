//! Writing rows of older files again: without those that lost, under a wider schema, or fewer files for many.
//!
//! Copy on write: a file is never changed, another takes its place. One batch at a time is in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sync_core::arrow::array::BooleanArray;
use sync_core::arrow::buffer::BooleanBuffer;
use sync_core::arrow::compute::filter_record_batch;
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{RunId, Schema};

use super::error::{At, Result};
use super::extras::TOMBSTONE;
use super::fingerprint::{Identity, Marks};
use super::keys::{self, Keys};
use super::manifest::DataFile;
use super::part::{self, Make, Names};
use super::partition::Partition;
use super::patches::Here;
use super::settle::Bits;

/// A data file and the rows of it that go.
pub(super) struct Source {
    pub path: PathBuf,
    pub losers: Option<Bits>,
    /// What is changed of those that stay.
    pub patches: Option<Here>,
}

/// Writes what stays of some files into new ones. `run` is the run that read all the rows, if it was one; `runs` are
/// those of the files that patches speak of.
pub(super) fn rewrite(
    make: &Make,
    names: &mut Names,
    sources: &[Source],
    run: Option<&RunId>,
    schema: &Arc<Schema>,
    runs: &[String],
) -> Result<Vec<DataFile>> {
    let mut files = Vec::new();
    let mut writer: Option<part::Writer> = None;
    for source in sources {
        each(make, source, schema, runs, |batch| {
            let open = writer
                .get_or_insert_with(|| part::Writer::new(make, names, run.cloned(), schema.clone(), false));
            open.write(make, batch)?;
            if open.full(make) {
                files.extend(writer.take().map(|w| w.close(make)).transpose()?);
            }
            Ok(())
        })?;
    }
    files.extend(writer.map(|w| w.close(make)).transpose()?);
    Ok(files)
}

/// Folders that are written at once. More take another pass over the rows: what is open is in memory.
const FOLDERS: usize = 8;

/// Writes what stays of some files into new ones, each in its folder.
pub(super) fn sort(
    make: &Make,
    names: &mut Names,
    sources: &[Source],
    run: Option<&RunId>,
    schema: &Arc<Schema>,
    runs: &[String],
    by: &Partition,
) -> Result<Vec<DataFile>> {
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for source in sources {
        each(make, source, schema, runs, |batch| {
            by.folders(batch, schema).into_iter().for_each(|folder| *known.entry(folder).or_default() += 1);
            Ok(())
        })?;
    }
    let folders: Vec<String> = known.into_keys().collect();
    let mut files = Vec::new();
    for some in folders.chunks(FOLDERS) {
        let lean = Make { memory: make.memory / some.len(), ..make.clone() };
        let mut writers: Vec<Option<part::Writer>> = some.iter().map(|_| None).collect();
        for source in sources {
            each(make, source, schema, runs, |batch| {
                let rows = by.folders(batch, schema);
                for (folder, writer) in some.iter().zip(&mut writers) {
                    let here: BooleanArray = rows.iter().map(|row| Some(row == folder)).collect();
                    if here.true_count() == 0 {
                        continue;
                    }
                    let part = filter_record_batch(batch, &here).at("read", &source.path)?;
                    let fresh = || part::Writer::new(&lean, names, run.cloned(), schema.clone(), false);
                    let open = writer.get_or_insert_with(fresh);
                    open.write(&lean, &part)?;
                    if open.full(&lean) {
                        files.extend(close(&lean, writer, folder)?);
                    }
                }
                Ok(())
            })?;
        }
        for (folder, writer) in some.iter().zip(&mut writers) {
            files.extend(close(&lean, writer, folder)?);
        }
    }
    Ok(files)
}

fn close(make: &Make, writer: &mut Option<part::Writer>, folder: &str) -> Result<Option<DataFile>> {
    let file = writer.take().map(|w| w.close(make)).transpose()?;
    Ok(file.map(|file| DataFile { folder: Some(folder.to_owned()), ..file }))
}

/// Visits what stays of a file, as the table has it now.
fn each(
    make: &Make,
    source: &Source,
    schema: &Arc<Schema>,
    runs: &[String],
    mut visit: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let (from, reader) = part::read(make, &source.path)?;
    let mut patches = source.patches.as_ref().map(Here::open).transpose()?;
    let mut row = 0;
    for batch in reader {
        let batch = batch.at("read", &source.path)?;
        let rows = batch.num_rows() as u64;
        let batch = make.extras.reshape(make, &batch, &from, schema, false)?;
        let batch = match &mut patches {
            Some(patches) => {
                let here = patches.before(row + rows)?;
                make.extras.patch(&batch, row, &here, |file| runs[file as usize].clone())
            }
            None => batch,
        };
        let batch = match &source.losers {
            Some(losers) => {
                let stays = BooleanBuffer::collect_bool(rows as usize, |i| !losers.has(row + i as u64));
                filter_record_batch(&batch, &BooleanArray::new(stays, None)).at("read", &source.path)?
            }
            None => batch,
        };
        row += rows;
        if batch.num_rows() > 0 {
            visit(&batch)?;
        }
    }
    Ok(())
}

/// The record of a file's keys as a schema has them; made again where it does not serve.
pub(super) fn keys(
    make: &Make,
    by: &Identity,
    file: &DataFile,
    data: &std::path::Path,
    schema: &Arc<Schema>,
) -> Result<Keys> {
    let path = make.layout.keys_of(&file.name);
    if let Some(keys) = Keys::open(&path, file.rows, by, schema)? {
        return Ok(keys);
    }
    let fresh = path.with_extension("new");
    let mut writer = keys::Writer::create(&fresh, by, schema, make.memory / 8)?;
    let (from, reader) = part::read(make, data)?;
    for batch in reader {
        let batch = batch.at("read", data)?;
        let apart = batch.column_by_name(TOMBSTONE).is_some();
        let batch = make.extras.reshape(make, &batch, &from, schema, apart)?;
        writer.add(&Marks::of(&batch, schema, by, &make.owner.stream)?)?;
    }
    writer.close()?;
    keys::replace(&fresh, &path)?;
    let made = Keys::open(&path, file.rows, by, schema)?;
    made.ok_or_else(|| super::error::damaged(data, "it does not have the rows it was committed with"))
}
