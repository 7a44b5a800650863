//! How rows become bytes of Parquet.
//!
//! Measured on a million CRM rows of 950 bytes (2026-11): zstd 1 costs a third less time than zstd 3 for files
//! 3 % larger, and dictionaries everywhere cost the most time and give the largest file, so a column gets one
//! only where it pays. Timestamps are microseconds, decimals are decimals, and JSON is text of which a
//! field's own metadata says that it is JSON (`sync.type`). The logical type JSON was tried (2026-11): DuckDB 2.0 has a
//! type for it, pyarrow 26 hands out an extension type from one of its two readers, and Polars 2.1 hands out bytes.

use std::collections::HashSet;

use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sync_core::arrow::array::{Array, AsArray};
use sync_core::arrow::datatypes::{DataType, SchemaRef};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{RunId, Schema};
use xxhash_rust::xxh3::xxh3_64;

use super::part::Make;
use crate::parquet::Compression;

/// The key under which a file tells its schema in the engine's own words.
pub(super) const SCHEMA_KEY: &str = "sync.schema";

/// A row group ends at so many rows, or earlier at [`row_group_bytes`].
const ROW_GROUP_ROWS: usize = 100_000;
/// A text column gets a dictionary if no more than one value in so many is new.
const REPEATS: usize = 10;

/// Bytes that a row group may take while it is gathered.
pub(super) fn row_group_bytes(memory: usize) -> usize {
    (memory * 2 / 5).min(32 << 20)
}

/// The properties of a file whose first rows are these.
pub(super) fn properties(
    make: &Make,
    run: Option<&RunId>,
    schema: &Schema,
    arrow: &SchemaRef,
    head: &[RecordBatch],
) -> WriterProperties {
    let columns = arrow.fields().len();
    // Every column has a page in the making, and a compressor that is sized by it.
    let page = (make.memory / 8 / columns).clamp(4 << 10, 256 << 10);
    let mut builder = WriterProperties::builder()
        .set_compression(codec(make.compression))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_size_limit(page)
        .set_dictionary_page_size_limit(page)
        .set_write_batch_size((page / widest(head).max(1)).clamp(16, 1024))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(metadata(make, run, schema)));
    for (index, field) in arrow.fields().iter().enumerate() {
        if field.data_type() == &DataType::Utf8 && repeats(head, index) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            builder = builder.set_column_dictionary_enabled(path, true);
        }
    }
    builder.build()
}

fn codec(compression: Compression) -> Codec {
    match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd")),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    }
}

fn metadata(make: &Make, run: Option<&RunId>, schema: &Schema) -> Vec<KeyValue> {
    let text = serde_json::to_string(schema).expect("a schema is plain data");
    let mut pairs = vec![
        KeyValue::new("sync.pipeline".to_owned(), make.owner.pipeline.clone()),
        KeyValue::new("sync.stream".to_owned(), make.owner.stream.clone()),
        KeyValue::new(SCHEMA_KEY.to_owned(), text),
    ];
    pairs.extend(run.map(|run| KeyValue::new("sync.run".to_owned(), run.to_string())));
    pairs
}

/// Whether the values of a text column come again and again.
fn repeats(head: &[RecordBatch], column: usize) -> bool {
    let mut distinct = HashSet::new();
    let mut values = 0;
    for batch in head {
        for text in batch.column(column).as_string::<i32>().iter().flatten() {
            values += 1;
            distinct.insert(xxh3_64(text.as_bytes()));
        }
    }
    distinct.len() * REPEATS <= values
}

/// The mean bytes of a value in the widest text column.
fn widest(head: &[RecordBatch]) -> usize {
    let rows: usize = head.iter().map(RecordBatch::num_rows).sum();
    let Some(first) = head.first() else { return 0 };
    let texts = (0..first.num_columns()).filter(|c| first.column(*c).data_type() == &DataType::Utf8);
    let bytes = |column: usize| -> usize {
        let of = |b: &RecordBatch| {
            let offsets = b.column(column).as_string::<i32>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as usize
        };
        head.iter().map(of).sum()
    };
    texts.map(bytes).max().unwrap_or(0) / rows.max(1)
}
