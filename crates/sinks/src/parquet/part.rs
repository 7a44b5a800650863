//! One Parquet file while it is written, and the record of its keys beside it.
//!
//! The first rows are held back: they show which text columns have few values, which decides about
//! dictionaries, and while they are held a column that appears or gets wider costs nothing.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use sync_core::arrow::datatypes::{Field, SchemaRef};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{RunId, Schema, SinkError, Type};

use super::error::{At, Result, damaged};
use super::extras::Extras;
use super::fault;
use super::fingerprint::{Identity, Marks};
use super::keys;
use super::layout::{Layout, part_name};
use super::manifest::{DataFile, Owner, shape};
use super::partition::Partition;
use super::properties::{self, SCHEMA_KEY, properties};
use crate::contract;
use crate::parquet::Compression;

/// Rows that are held back at the start of a file.
const HEAD_ROWS: usize = 10_000;
/// Rows that the writer is given at once: between two such slices it can end a row group.
const SLICE_ROWS: usize = 4096;

/// How the files of a table are made.
#[derive(Clone, Debug)]
pub(super) struct Make {
    pub layout: Layout,
    pub owner: Owner,
    pub run: RunId,
    pub identity: Option<Identity>,
    /// The columns behind those that come with every batch.
    pub extras: Extras,
    pub compression: Compression,
    /// What files are sorted into folders by.
    pub partition: Option<Partition>,
    /// A file is closed at about this size, in bytes.
    pub target: u64,
    /// Bytes of memory for the whole table.
    pub memory: usize,
}

impl Make {
    pub fn misfit(&self, error: sync_core::CastError) -> SinkError {
        contract::misfit(&self.owner.stream, &self.layout.visible.display().to_string(), error)
    }
}

/// Hands out names of files, none twice.
#[derive(Debug)]
pub(super) struct Names {
    pub epoch: u64,
    pub next: u64,
    pub run: RunId,
}

impl Names {
    fn take(&mut self) -> String {
        self.next += 1;
        part_name(self.epoch, self.next - 1, &self.run)
    }
}

/// A file that is being written into `staged`.
pub(super) struct Writer {
    name: String,
    path: PathBuf,
    /// The run all its rows were read by.
    run: Option<RunId>,
    schema: Arc<Schema>,
    /// Whether tombstones are told apart by a column of their own.
    apart: bool,
    rows: u64,
    head: Vec<RecordBatch>,
    head_rows: usize,
    head_bytes: usize,
    body: Option<Body>,
}

struct Body {
    parquet: ArrowWriter<File>,
    keys: Option<keys::Writer>,
}

impl Writer {
    pub fn new(make: &Make, names: &mut Names, run: Option<RunId>, schema: Arc<Schema>, apart: bool) -> Self {
        let name = names.take();
        let path = make.layout.staged().join(&name);
        Self {
            name,
            path,
            run,
            schema,
            apart,
            rows: 0,
            head: Vec::new(),
            head_rows: 0,
            head_bytes: 0,
            body: None,
        }
    }

    /// Makes room for rows of another schema; false where that takes another file.
    pub fn adopt(&mut self, make: &Make, schema: &Arc<Schema>, apart: bool) -> Result<bool> {
        let apart = apart || self.apart;
        if self.schema.columns == schema.columns && self.apart == apart {
            return Ok(true);
        }
        if let Some(body) = &mut self.body {
            let shape = |schema: &Schema, apart| shape(schema, &make.extras, apart);
            let same = shape(&self.schema, self.apart) == shape(schema, apart);
            if same {
                self.schema = schema.clone();
                body.keys.iter_mut().for_each(|keys| keys.settle(schema));
            }
            return Ok(same);
        }
        for batch in &mut self.head {
            *batch = make.extras.reshape(make, batch, &self.schema, schema, apart)?;
        }
        self.schema = schema.clone();
        self.apart = apart;
        Ok(true)
    }

    /// Whether tombstones are told apart by a column of their own.
    pub fn apart(&self) -> bool {
        self.apart
    }

    /// Adds rows of its schema, dressed.
    pub fn write(&mut self, make: &Make, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        if let Some(body) = &mut self.body {
            return body.write(make, &self.path, &self.schema, batch);
        }
        self.head_rows += batch.num_rows();
        self.head_bytes += batch.get_array_memory_size();
        self.head.push(batch.clone());
        if self.head_rows >= HEAD_ROWS || self.head_bytes >= make.memory / 8 {
            self.begin(make)?;
        }
        Ok(())
    }

    fn begin(&mut self, make: &Make) -> Result<()> {
        fault::point().at("make", &self.path)?;
        let file = File::create(&self.path).at("make", &self.path)?;
        let arrow = make.extras.arrow(&self.schema, self.apart);
        let properties = properties(make, self.run.as_ref(), &self.schema, &arrow, &self.head);
        let parquet = ArrowWriter::try_new(file, marked(&arrow, &self.schema), Some(properties))
            .at("make", &self.path)?;
        let keys = match &make.identity {
            Some(by) => {
                let path = make.layout.keys_of(&self.name);
                Some(keys::Writer::create(&path, by, &self.schema, make.memory / 8)?)
            }
            None => None,
        };
        let body = self.body.insert(Body { parquet, keys });
        for batch in self.head.drain(..) {
            body.write(make, &self.path, &self.schema, &batch)?;
        }
        self.head_bytes = 0;
        Ok(())
    }

    /// Whether it has reached the size at which files are closed.
    pub fn full(&self, make: &Make) -> bool {
        let size = |b: &Body| (b.parquet.bytes_written() + b.parquet.in_progress_size()) as u64;
        self.body.as_ref().is_some_and(|body| size(body) >= make.target)
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The run its rows were read by.
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    /// Ends the file. On disk when this returns.
    pub fn close(mut self, make: &Make) -> Result<DataFile> {
        if self.body.is_none() {
            self.begin(make)?;
        }
        let mut body = self.body.take().expect("it has begun");
        fault::point().at("write", &self.path)?;
        body.parquet.finish().at("write", &self.path)?;
        let file = body.parquet.inner();
        fault::sync(file).at("sync", &self.path)?;
        let bytes = file.metadata().at("look at", &self.path)?.len();
        if let Some(keys) = body.keys {
            fault::point().at("write", &self.path)?;
            keys.close()?;
        }
        let shape = shape(&self.schema, &make.extras, self.apart);
        Ok(DataFile { name: self.name, bytes, rows: self.rows, run: self.run, shape, folder: None })
    }
}

impl Body {
    fn write(&mut self, make: &Make, path: &Path, schema: &Schema, batch: &RecordBatch) -> Result<()> {
        if let (Some(keys), Some(by)) = (&mut self.keys, &make.identity) {
            keys.add(&Marks::of(batch, schema, by, &make.owner.stream)?)?;
        }
        for at in (0..batch.num_rows()).step_by(SLICE_ROWS) {
            let slice = batch.slice(at, SLICE_ROWS.min(batch.num_rows() - at));
            self.parquet.write(&slice).at("write", path)?;
            if self.parquet.memory_size() >= properties::row_group_bytes(make.memory) {
                self.parquet.flush().at("write", path)?;
            }
        }
        Ok(())
    }
}

/// The schema of a file as readers of Arrow's own metadata see it: `sync.type` says which texts are JSON.
fn marked(arrow: &SchemaRef, schema: &Schema) -> SchemaRef {
    let json = |place: usize| schema.columns.get(place).is_some_and(|c| c.settled && c.ty == Type::Json);
    let field = |(place, field): (usize, &Arc<Field>)| match json(place) {
        true => {
            let mark = HashMap::from([("sync.type".to_owned(), "json".to_owned())]);
            Arc::new(field.as_ref().clone().with_metadata(mark))
        }
        false => field.clone(),
    };
    let fields: Vec<_> = arrow.fields().iter().enumerate().map(field).collect();
    Arc::new(sync_core::arrow::datatypes::Schema::new(fields))
}

/// Reads a data file in batches that are small against the memory of the table.
pub(super) fn read(make: &Make, path: &Path) -> Result<(Arc<Schema>, ParquetRecordBatchReader)> {
    let file = File::open(path).at("read", path)?;
    // Its Parquet types say all that we need; marks for other readers would make its schema another one.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).at("read", path)?;
    let meta = builder.metadata();
    let pairs = meta.file_metadata().key_value_metadata();
    let text = pairs.and_then(|p| p.iter().find(|p| p.key == SCHEMA_KEY)?.value.as_deref());
    let schema: Option<Schema> = text.and_then(|text| serde_json::from_str(text).ok());
    let schema =
        schema.ok_or_else(|| damaged(&make.layout.visible, format!("{} is not ours", path.display())))?;
    let bytes: i64 =
        meta.row_groups().iter().map(parquet::file::metadata::RowGroupMetaData::total_byte_size).sum();
    let row = bytes.max(1) as usize / meta.file_metadata().num_rows().max(1) as usize + 1;
    let rows = (make.memory / 16 / row).clamp(16, 2 * SLICE_ROWS);
    Ok((Arc::new(schema), builder.with_batch_size(rows).build().at("read", path)?))
}
