//! The keys of a table that is loaded for the first time.
//!
//! Putting random keys into an index one page of rows at a time writes the whole index anew with every
//! commit, which makes such a load five times slower than building the index once at the end. Until then
//! somebody has to know that no two rows share a key, for readers may look at any commit: this set does. It
//! holds a hash of each key, so "new" is certain and "taken" is a guess; at the first guess, and when the set
//! grows beyond its share of memory, the index is built and takes over.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use sync_core::arrow::array::{Array, AsArray};
use sync_core::arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Schema, Type};
use xxhash_rust::xxh3::Xxh3Default;

/// Bytes of the set for each key that it can hold.
const BYTES: usize = 9;

/// Hashes of keys.
pub(super) struct Keys {
    columns: Vec<(usize, Type)>,
    hashes: HashSet<u64, BuildHasherDefault<Same>>,
    /// Keys it may hold.
    most: usize,
}

impl Keys {
    /// No keys yet, of these columns, within so many bytes.
    pub(super) fn new(schema: &Schema, key: &[String], bytes: usize) -> Self {
        let place = |name: &String| schema.columns.iter().position(|c| c.field == *name);
        let columns = key.iter().filter_map(place).map(|index| (index, schema.columns[index].ty)).collect();
        // While it grows, the old set is there with the one of twice its size.
        Self { columns, hashes: HashSet::default(), most: bytes / (3 * BYTES) }
    }

    /// Whether keys have the same columns and types under another schema, so that hashes stay comparable.
    pub(super) fn fits(&self, schema: &Schema) -> bool {
        self.columns.iter().all(|(index, ty)| schema.columns.get(*index).is_some_and(|c| c.ty == *ty))
    }

    /// Adds the keys of a batch; false where one may have been taken, or where they are too many.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> bool {
        let enough = self.hashes.len() + batch.num_rows() <= self.most;
        let mut hasher = Xxh3Default::new();
        enough && (0..batch.num_rows()).all(|row| self.hashes.insert(self.hash(&mut hasher, batch, row)))
    }

    /// Whether none of the keys of a batch is here.
    pub(super) fn lack(&self, batch: &RecordBatch) -> bool {
        let mut hasher = Xxh3Default::new();
        (0..batch.num_rows()).all(|row| !self.hashes.contains(&self.hash(&mut hasher, batch, row)))
    }

    fn hash(&self, hasher: &mut Xxh3Default, batch: &RecordBatch, row: usize) -> u64 {
        hasher.reset();
        for (column, ty) in &self.columns {
            hash(hasher, batch.column(*column), row, *ty);
        }
        hasher.digest()
    }
}

/// Feeds a value in such a way that different keys give different bytes, and those that SQLite holds to be
/// equal the same.
fn hash(hasher: &mut Xxh3Default, array: &dyn Array, row: usize, ty: Type) {
    if array.is_null(row) {
        return hasher.update(&[0]);
    }
    hasher.update(&[1]);
    match ty {
        Type::Text | Type::Json => {
            let text = array.as_string::<i32>().value(row);
            hasher.update(&text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        }
        Type::Int => hasher.update(&array.as_primitive::<Int64Type>().value(row).to_le_bytes()),
        // Adding zero makes a negative zero a positive one.
        Type::Float => hasher.update(&(array.as_primitive::<Float64Type>().value(row) + 0.0).to_le_bytes()),
        Type::Decimal(..) => hasher.update(&array.as_primitive::<Decimal128Type>().value(row).to_le_bytes()),
        Type::Bool => hasher.update(&[u8::from(array.as_boolean().value(row))]),
        Type::Date => hasher.update(&array.as_primitive::<Date32Type>().value(row).to_le_bytes()),
        Type::Timestamp | Type::Local => {
            hasher.update(&array.as_primitive::<TimestampMicrosecondType>().value(row).to_le_bytes());
        }
    }
}

/// A hash of a hash is itself.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole numbers are hashed");
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
