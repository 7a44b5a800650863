//! Rows as they were sent, into Arrow batches.
//!
//! A page is read once, straight into the builders of its batch, against the pinned schema. A row that the
//! schema cannot hold (a new field, a value of another type) makes the whole page look at itself: what it
//! needs is joined to the schema, the table follows, and the page is read again. That is rare, and what it
//! costs is one page.

mod column;
mod number;
mod observe;

use std::collections::HashMap;
use std::sync::Arc;

use sync_connectors::json::{self, JsonError, Value};
use sync_core::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use sync_core::{RunId, Schema, Timestamp};

use column::Column;
use observe::Seen;

/// Rows of a page, each the text of one JSON object.
pub(crate) struct Rows<'a> {
    pub body: &'a str,
    pub ranges: &'a [std::ops::Range<u32>],
    /// When the page was asked for.
    pub asked_at: Timestamp,
}

impl<'a> Rows<'a> {
    fn iter(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.ranges.iter().map(|r| &self.body[r.start as usize..r.end as usize])
    }
}

/// A row that is not JSON, by its number in the page, counted from 1.
#[derive(Debug)]
pub(crate) struct BadRow {
    number: usize,
    error: JsonError,
}

impl std::fmt::Display for BadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row {} is {}", self.number, self.error)
    }
}

impl BadRow {
    fn at(index: usize) -> impl Fn(JsonError) -> Self {
        move |error| Self { number: index + 1, error }
    }
}

/// Values that were not stored quite as they were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Altered {
    /// Empty texts that became null because their column holds dates.
    pub emptied: u64,
    /// Texts with half a surrogate pair, which became U+FFFD.
    pub mended: u64,
}

impl std::ops::AddAssign for Altered {
    fn add_assign(&mut self, more: Self) {
        self.emptied += more.emptied;
        self.mended += more.mended;
    }
}

/// What the first rows of a table look like, until there are enough to pin its types.
#[derive(Default)]
pub(crate) struct Sample {
    fields: Vec<(String, Seen)>,
    places: HashMap<String, usize>,
}

impl Sample {
    /// Takes notice of the rows of a page.
    pub(crate) fn take(&mut self, rows: &Rows<'_>) -> Result<(), BadRow> {
        for (index, row) in rows.iter().enumerate() {
            let mut expected = 0;
            json::each_field(row, |name, value| {
                let place = match self.fields.get(expected) {
                    Some((field, _)) if field == name => expected,
                    _ => self.place(name),
                };
                self.fields[place].1.take(&value);
                expected = place + 1;
                Ok::<_, JsonError>(())
            })
            .map_err(BadRow::at(index))?;
        }
        Ok(())
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.places.insert(name.to_owned(), self.fields.len());
        self.fields.push((name.to_owned(), Seen::default()));
        self.fields.len() - 1
    }

    /// The schema of a new table: its fields in the order they were first seen.
    ///
    /// A field of the key is never found to be a date: should it give way to text one day, the keys that are
    /// stored would not read as they were sent, and rows would not be told apart by them.
    pub(crate) fn pin(&self, key: &[String]) -> Schema {
        let mut schema = Schema::default();
        for (field, seen) in &self.fields {
            schema.add(field, seen.ty(!key.contains(field)), seen.settled(), seen.digits());
        }
        schema
    }

    /// The schema with what these rows need on top: new columns at its end, wider types in place.
    ///
    /// A column of a pinned table is never found to be a date, however its first values read: that is for
    /// the rows that pinned the table to decide, so that no split into pages changes the outcome.
    pub(crate) fn widen(&self, schema: &Schema) -> Schema {
        let mut wider = schema.clone();
        for (field, seen) in &self.fields {
            let Some(column) = wider.columns.iter_mut().find(|c| c.field == *field) else {
                wider.add(field, seen.ty(false), seen.settled(), seen.digits());
                continue;
            };
            column.digits = column.digits.join(seen.digits());
            if !seen.settled() {
                continue;
            }
            let dates = column.ty;
            column.ty = match column.settled {
                false => seen.ty(false),
                true if seen.all_have_the_form_of(dates) => dates,
                true => observe::widen(column.ty, seen.ty(false), column.digits),
            };
            column.settled = true;
        }
        wider
    }
}

/// A page as a batch.
pub(crate) struct Shaped {
    /// Exactly [`Schema::arrow`] of the schema it was read with.
    pub batch: RecordBatch,
    /// The schema with the extent of this page's numbers joined in.
    pub schema: Schema,
    /// What was not stored quite as it was sent.
    pub altered: Altered,
}

/// What came of reading a page against a schema.
pub(crate) enum Outcome {
    /// It fits.
    Fits(Shaped),
    /// The schema must give way first.
    Drift,
}

/// Reads pages against a schema that changes rarely.
pub(crate) struct Decoder {
    schema: Schema,
    places: HashMap<String, usize>,
    run: RunId,
    /// The order within the run of the next row.
    sequence: i64,
}

/// A row did not fit.
enum Stop {
    Drift,
    Json(JsonError),
}

impl From<JsonError> for Stop {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl Decoder {
    /// A decoder for the rows of a run.
    pub(crate) fn new(schema: Schema, run: RunId) -> Self {
        let mut decoder = Self { schema: Schema::default(), places: HashMap::new(), run, sequence: 0 };
        decoder.adopt(schema);
        decoder
    }

    /// The schema from now on.
    pub(crate) fn adopt(&mut self, schema: Schema) {
        self.places = schema.columns.iter().enumerate().map(|(i, c)| (c.field.clone(), i)).collect();
        self.schema = schema;
    }

    /// The schema now.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Reads the rows, or says that the schema must give way; in that case nothing was read.
    pub(crate) fn decode(&mut self, rows: &Rows<'_>) -> Result<Outcome, BadRow> {
        let count = rows.ranges.len();
        let mut columns: Vec<_> =
            self.schema.columns.iter().map(|c| Column::new(c.ty, c.settled, count)).collect();
        let mut slots: Vec<Value<'_>> = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            match self.read(row, &mut slots, &mut columns) {
                Ok(()) => {}
                Err(Stop::Drift) => return Ok(Outcome::Drift),
                Err(Stop::Json(error)) => return Err(BadRow::at(index)(error)),
            }
        }
        Ok(Outcome::Fits(self.finish(columns, rows)))
    }

    /// Reads one row: each field goes to its column's slot, so that of a field sent twice the last one
    /// counts, then every slot to its column.
    fn read<'a>(&self, row: &'a str, slots: &mut Vec<Value<'a>>, columns: &mut [Column]) -> Result<(), Stop> {
        slots.clear();
        slots.resize_with(columns.len(), || Value::Null);
        let mut expected = 0;
        json::each_field(row, |name, value| {
            // Fields come in the same order row after row, so the next column is nearly always the right one.
            let place = match self.schema.columns.get(expected) {
                Some(column) if column.field == name => expected,
                _ => *self.places.get(name).ok_or(Stop::Drift)?,
            };
            slots[place] = value;
            expected = place + 1;
            Ok::<_, Stop>(())
        })?;
        for (column, slot) in columns.iter_mut().zip(slots) {
            column.append(slot).map_err(|_| Stop::Drift)?;
        }
        Ok(())
    }

    fn finish(&mut self, columns: Vec<Column>, rows: &Rows<'_>) -> Shaped {
        let mut schema = self.schema.clone();
        let mut altered = Altered::default();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 3);
        for (column, pinned) in columns.into_iter().zip(&mut schema.columns) {
            pinned.digits = pinned.digits.join(column.digits);
            altered += column.altered;
            arrays.push(column.finish());
        }
        let count = rows.ranges.len();
        let last = self.sequence + count as i64;
        let at = TimestampMicrosecondArray::from_value(rows.asked_at.micros(), count).with_timezone("UTC");
        arrays.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.run.as_str(), count))));
        arrays.push(Arc::new(at));
        arrays.push(Arc::new(Int64Array::from_iter_values(self.sequence..last)));
        self.sequence = last;
        let batch =
            RecordBatch::try_new(schema.arrow(), arrays).expect("each column was built for this schema");
        self.schema = schema.clone();
        Shaped { batch, schema, altered }
    }
}

#[cfg(test)]
mod tests;
