//! Writing rows of older files again: without those that lost, under a wider schema, or fewer files for many.
//!
//! Copy on write: a file is never changed, another takes its place. One batch at a time is in memory.

use std::path::PathBuf;
use std::sync::Arc;

use sync_core::arrow::array::BooleanArray;
use sync_core::arrow::buffer::BooleanBuffer;
use sync_core::arrow::compute::filter_record_batch;
use sync_core::{RunId, Schema};

use super::error::{At, Result};
use super::extras::{Patch, TOMBSTONE};
use super::fingerprint::{Identity, Marks};
use super::keys::{self, Keys};
use super::manifest::DataFile;
use super::part::{self, Make, Names};
use super::settle::Bits;

/// A data file and the rows of it that go.
pub(super) struct Source {
    pub path: PathBuf,
    pub losers: Option<Bits>,
    /// What is changed of those that stay.
    pub patches: Vec<(u32, Patch)>,
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
        let (from, reader) = part::read(make, &source.path)?;
        let mut row = 0;
        for batch in reader {
            let batch = batch.at("read", &source.path)?;
            let rows = batch.num_rows() as u64;
            let batch = make.extras.reshape(make, &batch, &from, schema, false)?;
            let run_of = |file: u32| runs[file as usize].clone();
            let batch = make.extras.patch(&batch, row, &source.patches, run_of);
            let batch = match &source.losers {
                Some(losers) => {
                    let stays = BooleanBuffer::collect_bool(rows as usize, |i| !losers.has(row + i as u64));
                    let stays = BooleanArray::new(stays, None);
                    filter_record_batch(&batch, &stays).at("read", &source.path)?
                }
                None => batch,
            };
            row += rows;
            if batch.num_rows() == 0 {
                continue;
            }
            let open = writer
                .get_or_insert_with(|| part::Writer::new(make, names, run.cloned(), schema.clone(), false));
            open.write(make, &batch)?;
            if open.full(make) {
                files.extend(writer.take().map(|w| w.close(make)).transpose()?);
            }
        }
    }
    files.extend(writer.map(|w| w.close(make)).transpose()?);
    Ok(files)
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
