//! A table as of its last commit.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use sync_core::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, TimestampMicrosecondArray, new_empty_array,
};
use sync_core::arrow::compute::interleave;
use sync_core::arrow::datatypes::{
    self, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, TimestampMicrosecondType,
};
use sync_core::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use sync_core::{CastError, Checkpoint, Disposition, Schema, TableSpec, Type, conform, form, system};

use crate::staged::Means;
use crate::tail::Tail;

/// Rows, and where each key has its own.
///
/// Batches are kept as they came, tombstones too, and a row is where its values are in them.
#[derive(Default)]
pub(super) struct Version {
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) tail: Tail,
    schema: Schema,
    batches: Vec<RecordBatch>,
    /// Absent where a tombstone took the row away.
    rows: Vec<Option<Row>>,
    /// Where in `rows` the rows of a key are, the last one at the end.
    keys: HashMap<String, Vec<usize>>,
}

/// A batch and a row of it.
type Place = (usize, usize);

#[derive(Clone, Copy)]
struct Row {
    /// Where the provider's columns are.
    values: Place,
    /// Where `_sync_run`, `_sync_at` and `_sync_seq` are.
    stamp: Place,
    /// Whether a tombstone met it or it is one.
    deleted: bool,
    /// From when it holds, in microseconds.
    from: i64,
    /// To when it held; absent while it does.
    to: Option<i64>,
}

/// A row or tombstone that comes.
struct New<'a> {
    at: Place,
    key: String,
    by: &'a By,
    run: &'a str,
}

/// The columns that decide what becomes of a row, with their types.
struct By {
    key: Vec<(usize, Type)>,
    order: Option<(usize, Type)>,
    own: Vec<(usize, Type)>,
}

impl Version {
    /// No rows.
    pub(super) fn new(tail: Tail) -> Self {
        Self { tail, ..Self::default() }
    }

    /// Makes every stored batch fit the schema.
    pub(super) fn evolve(&mut self, schema: &Schema, key: &[String]) -> Result<(), CastError> {
        if self.schema == *schema {
            return Ok(());
        }
        self.batches =
            self.batches.iter().map(|b| conform(b, &self.schema, schema)).collect::<Result<_, _>>()?;
        self.schema = schema.clone();
        self.keys.clear();
        let key = self.columns(key);
        for (index, row) in self.rows.iter().enumerate() {
            let Some(row) = row else { continue };
            self.keys.entry(self.text(row.values, &key)).or_default().push(index);
        }
        Ok(())
    }

    /// Takes in a batch and returns how much of it changed something.
    pub(super) fn take(&mut self, batch: RecordBatch, means: Means, spec: &TableSpec) -> u64 {
        let (place, rows) = (self.batches.len(), batch.num_rows());
        self.batches.push(batch);
        let own = self.schema.columns.iter().map(|c| c.ty).enumerate().collect();
        let order = self.columns(spec.order.as_slice()).first().copied();
        let by = By { key: self.columns(&spec.key), order, own };
        let take = match (spec.disposition, means) {
            (Disposition::Append, Means::Rows) => Self::append,
            (Disposition::Append, Means::Tombstones) => Self::append_tombstone,
            (Disposition::Merge | Disposition::Replace, Means::Rows) => Self::merge,
            (Disposition::Merge, Means::Tombstones) if spec.deleted.is_some() => Self::mark,
            (Disposition::Merge | Disposition::Replace, Means::Tombstones) => Self::remove,
            (Disposition::History, Means::Rows) => Self::follow,
            (Disposition::History, Means::Tombstones) => Self::close,
        };
        let mut loaded = 0;
        for row in 0..rows {
            let at = (place, row);
            let new = New { at, key: self.text(at, &by.key), by: &by, run: spec.run.as_str() };
            loaded += u64::from(take(self, &new));
        }
        loaded
    }

    fn append(&mut self, new: &New) -> bool {
        self.append_unless_taken(new, false)
    }

    fn append_tombstone(&mut self, new: &New) -> bool {
        self.append_unless_taken(new, true)
    }

    fn append_unless_taken(&mut self, new: &New, deleted: bool) -> bool {
        let taken = |row: Row| row.deleted == deleted && self.equal(row.values, new);
        if !new.by.key.is_empty() && self.all(new).any(|index| self.rows[index].is_some_and(taken)) {
            return false;
        }
        self.push(new, Row { deleted, ..self.row(new) });
        true
    }

    fn merge(&mut self, new: &New) -> bool {
        let Some((index, row)) = self.last(new) else {
            self.push(new, self.row(new));
            return true;
        };
        if self.older(row, new) || !row.deleted && self.equal(row.values, new) {
            return false;
        }
        self.rows[index] = Some(self.row(new));
        self.run(row.stamp) != new.run
    }

    fn mark(&mut self, new: &New) -> bool {
        match self.last(new) {
            Some((index, row)) if !row.deleted && !self.older(row, new) => {
                self.rows[index] = Some(Row { deleted: true, stamp: new.at, ..row });
                self.run(row.stamp) != new.run
            }
            _ => false,
        }
    }

    fn remove(&mut self, new: &New) -> bool {
        match self.last(new) {
            Some((index, row)) if !self.older(row, new) => {
                self.rows[index] = None;
                self.keys.remove(&new.key);
                true
            }
            _ => false,
        }
    }

    fn follow(&mut self, new: &New) -> bool {
        let mut row = self.row(new);
        if let Some((index, last)) = self.last(new) {
            row.from = row.from.max(last.to.unwrap_or(last.from));
            if last.to.is_none() {
                if self.older(last, new) || self.equal(last.values, new) {
                    return false;
                }
                self.rows[index] = Some(Row { to: Some(row.from), ..last });
            }
        }
        self.push(new, row);
        true
    }

    fn close(&mut self, new: &New) -> bool {
        match self.last(new) {
            Some((index, row)) if row.to.is_none() && !self.older(row, new) => {
                let to = self.row(new).from.max(row.from);
                self.rows[index] = Some(Row { to: Some(to), ..row });
                true
            }
            _ => false,
        }
    }

    /// A row as it comes.
    fn row(&self, new: &New) -> Row {
        let batch = &self.batches[new.at.0];
        let micros = |column: usize| {
            let array = batch.column(column).as_primitive::<TimestampMicrosecondType>();
            array.is_valid(new.at.1).then(|| array.value(new.at.1))
        };
        let ordered = new.by.order.filter(|(_, ty)| *ty == Type::Timestamp);
        let from = ordered.and_then(|(column, _)| micros(column));
        let from = from.or_else(|| micros(self.schema.columns.len() + 1)).expect("_sync_at is never null");
        Row { values: new.at, stamp: new.at, deleted: false, from, to: None }
    }

    fn push(&mut self, new: &New, row: Row) {
        self.keys.entry(new.key.clone()).or_default().push(self.rows.len());
        self.rows.push(Some(row));
    }

    /// Where the rows of a key are.
    fn all(&self, new: &New) -> impl Iterator<Item = usize> {
        self.keys.get(&new.key).into_iter().flatten().copied()
    }

    /// The last row of a key. A table without a key has none.
    fn last(&self, new: &New) -> Option<(usize, Row)> {
        let index = self.all(new).last().filter(|_| !new.by.key.is_empty())?;
        Some((index, self.rows[index].expect("a row that was taken away has no key")))
    }

    fn equal(&self, stored: Place, new: &New) -> bool {
        self.text(stored, &new.by.own) == self.text(new.at, &new.by.own)
    }

    /// Whether what comes is older than a stored row.
    fn older(&self, stored: Row, new: &New) -> bool {
        new.by.order.is_some_and(|(column, ty)| {
            let array = |(batch, _): Place| self.batches[batch].column(column);
            let (was, now) = (array(stored.values), array(new.at));
            compare(now, new.at.1, was, stored.values.1, ty) == Some(Ordering::Less)
        })
    }

    fn run(&self, (batch, row): Place) -> &str {
        self.batches[batch].column(self.schema.columns.len()).as_string::<i32>().value(row)
    }

    fn text(&self, (batch, row): Place, columns: &[(usize, Type)]) -> String {
        text_of(&self.batches[batch], row, columns)
    }

    /// Places and types of the columns of these fields that there are.
    fn columns(&self, fields: &[String]) -> Vec<(usize, Type)> {
        let place = |field: &String| self.schema.columns.iter().position(|c| c.field == *field);
        fields.iter().filter_map(place).map(|index| (index, self.schema.columns[index].ty)).collect()
    }

    /// Rows that a reader sees.
    pub(super) fn rows(&self) -> u64 {
        self.rows.iter().flatten().count() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.iter().flatten().next().is_none()
    }

    /// The rows, as a reader sees them.
    pub(super) fn batch(&self) -> RecordBatch {
        let rows: Vec<Row> = self.rows.iter().flatten().copied().collect();
        let (schema, tail) = (self.schema.arrow(), self.tail.columns());
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            let places: Vec<Place> = match index < self.schema.columns.len() {
                true => rows.iter().map(|row| row.values).collect(),
                false => rows.iter().map(|row| row.stamp).collect(),
            };
            let stored: Vec<&dyn Array> = self.batches.iter().map(|b| &**b.column(index)).collect();
            arrays.push(if stored.is_empty() {
                new_empty_array(field.data_type())
            } else {
                interleave(&stored, &places).expect("all batches have the version's schema")
            });
        }
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        for (name, ty) in tail {
            fields.push(Arc::new(Field::new(name, ty.arrow(), name == system::VALID_TO)));
            arrays.push(match name {
                system::VALID_FROM => instants(rows.iter().map(|row| Some(row.from))),
                system::VALID_TO => instants(rows.iter().map(|row| row.to)),
                system::CURRENT => {
                    Arc::new(rows.iter().map(|row| Some(row.to.is_none())).collect::<BooleanArray>())
                }
                _ => Arc::new(rows.iter().map(|row| Some(row.deleted)).collect::<BooleanArray>()),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let schema = Arc::new(datatypes::Schema::new(fields));
        RecordBatch::try_new_with_options(schema, arrays, &options).expect("a column for each field")
    }
}

fn instants(micros: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// Some columns of a row as a text that tells any two different rows apart.
fn text_of(batch: &RecordBatch, row: usize, columns: &[(usize, Type)]) -> String {
    let (mut text, mut cell) = (String::new(), String::new());
    for (column, ty) in columns {
        let array = batch.column(*column);
        if array.is_null(row) {
            text.push('~');
            continue;
        }
        cell.clear();
        form::value(array, row, *ty, &mut cell);
        write!(text, "{}:{cell}", cell.len()).expect("a string takes every write");
    }
    text
}

/// How two values of one type are ordered; absent where one of them is null.
fn compare(a: &ArrayRef, a_row: usize, b: &ArrayRef, b_row: usize, ty: Type) -> Option<Ordering> {
    if a.is_null(a_row) || b.is_null(b_row) {
        return None;
    }
    macro_rules! primitive {
        ($t:ty) => {
            a.as_primitive::<$t>().value(a_row).partial_cmp(&b.as_primitive::<$t>().value(b_row))
        };
    }
    match ty {
        Type::Text | Type::Json => {
            Some(a.as_string::<i32>().value(a_row).cmp(b.as_string::<i32>().value(b_row)))
        }
        Type::Bool => Some(a.as_boolean().value(a_row).cmp(&b.as_boolean().value(b_row))),
        Type::Int => primitive!(Int64Type),
        Type::Float => primitive!(Float64Type),
        Type::Decimal(..) => primitive!(Decimal128Type),
        Type::Date => primitive!(Date32Type),
        Type::Timestamp | Type::Local => primitive!(TimestampMicrosecondType),
    }
}
