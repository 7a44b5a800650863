//! Rows as they were sent, into Arrow batches.
//!
//! A page is read once, straight into the builders of its batch, against the pinned schema. A row that the
//! schema cannot hold (a new field, a value of another type) makes the whole page look at itself, row by row:
//! the schema contract says whether the table follows, the row is set aside, the value is left out or the
//! stream stops; then the page is read again. That is rare, and what it costs is one page.

mod column;
mod judge;
mod number;
mod observe;

use std::collections::HashMap;
use std::sync::Arc;

use sync_connectors::json::{self, JsonError, Value};
use sync_core::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use sync_core::{RunId, Schema, Timestamp};
use sync_spec::GivenType;

use column::Column;
pub(crate) use judge::{Aside, Stopped, Terms, excerpt};
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
    fields: Vec<Observed>,
    places: HashMap<String, usize>,
}

/// A field and what its values have been.
struct Observed {
    field: String,
    seen: Seen,
    /// Whether it is a decimal of which only the digits are to be found.
    digits_only: bool,
}

impl Sample {
    /// Takes notice of the rows of a page. One that cannot be read has no say; whoever loads it says what it is.
    pub(crate) fn take(&mut self, rows: &Rows<'_>, terms: &Terms) {
        let mut values = Vec::new();
        for row in rows.iter() {
            values.clear();
            let read = json::each_field(row, |name, value| {
                values.push((name.to_owned(), value));
                Ok::<_, JsonError>(())
            });
            if read.is_ok() {
                for (name, value) in &values {
                    let place = self.place(name, terms);
                    let observed = &mut self.fields[place];
                    match observed.digits_only {
                        true => observed.seen.take_digits(value),
                        false => observed.seen.take(value),
                    }
                }
            }
        }
    }

    fn place(&mut self, name: &str, terms: &Terms) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.places.insert(name.to_owned(), self.fields.len());
        let digits_only = terms.given(name) == Some(GivenType::Decimal);
        self.fields.push(Observed { field: name.to_owned(), seen: Seen::default(), digits_only });
        self.fields.len() - 1
    }

    /// The schema of a new table: its fields in the order they were first seen.
    ///
    /// A field of the key is never found to be a date: should it give way to text one day, the keys that are
    /// stored would not read as they were sent, and rows would not be told apart by them. Types that somebody
    /// gave are taken as they are, with the columns that no row has had yet at the end.
    pub(crate) fn pin(&self, terms: &Terms) -> Schema {
        let mut schema = Schema::default();
        for Observed { field, seen, .. } in &self.fields {
            add(&mut schema, field, seen, !terms.key.contains(field), terms);
        }
        for (field, _) in &terms.declared {
            if schema.of_field(field).is_none() {
                add(&mut schema, field, &Seen::default(), false, terms);
            }
        }
        schema
    }

    /// The schema with what these rows need on top: new columns at its end where they may come, wider types in
    /// place where `may_change` lets them.
    ///
    /// A column of a pinned table is never found to be a date, however its first values read: that is for
    /// the rows that pinned the table to decide, so that no split into pages changes the outcome.
    pub(crate) fn widen(
        &self,
        schema: &Schema,
        terms: &Terms,
        may_add: bool,
        may_change: impl Fn(usize) -> bool,
    ) -> Schema {
        let mut wider = schema.clone();
        for Observed { field, seen, digits_only } in &self.fields {
            let Some(place) = wider.columns.iter().position(|c| c.field == *field) else {
                if may_add {
                    add(&mut wider, field, seen, false, terms);
                }
                continue;
            };
            let column = &mut wider.columns[place];
            column.digits = column.digits.join(seen.digits());
            if column.declared && *digits_only && may_change(place) {
                column.ty = observe::decimal(column.digits);
            }
            if !seen.settled() || column.declared || !may_change(place) {
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

/// Adds a column: of the type that somebody gave, else of that which its values need.
fn add(schema: &mut Schema, field: &str, seen: &Seen, dates: bool, terms: &Terms) {
    let given = terms.given(field);
    schema.add(
        field,
        match given {
            Some(GivenType::Decimal) => observe::decimal(seen.digits()),
            Some(given) => judge::fresh(given),
            None => seen.ty(dates),
        },
        given.is_some() || seen.settled(),
        seen.digits(),
    );
    if let Some(column) = schema.columns.last_mut() {
        column.declared = given.is_some();
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
    /// Its rows have to be judged first.
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

/// A row did not fit, or could not be read.
struct Drift;

impl From<JsonError> for Drift {
    fn from(_: JsonError) -> Self {
        Self
    }
}

/// What a page may be read past, once its rows were judged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leniency {
    /// Fields without a column.
    pub unknown: bool,
    /// Values that their column cannot hold.
    pub misfits: bool,
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

    /// Reads the rows, or says that they have to be judged; in that case nothing was read.
    pub(crate) fn decode(&mut self, rows: &Rows<'_>, lenient: Leniency) -> Outcome {
        let mut columns = self.columns(rows.ranges.len());
        let mut slots: Vec<Value<'_>> = Vec::new();
        for row in rows.iter() {
            if self.read(row, &mut slots, &mut columns, lenient).is_err() {
                return Outcome::Drift;
            }
        }
        Outcome::Fits(self.finish(columns, rows))
    }

    fn columns(&self, rows: usize) -> Vec<Column> {
        self.schema.columns.iter().map(|column| Column::new(column, rows)).collect()
    }

    /// Reads one row: each field goes to its column's slot, so that of a field sent twice the last one
    /// counts, then every slot to its column.
    fn read<'a>(
        &self,
        row: &'a str,
        slots: &mut Vec<Value<'a>>,
        columns: &mut [Column],
        lenient: Leniency,
    ) -> Result<(), Drift> {
        slots.clear();
        slots.resize_with(columns.len(), || Value::Null);
        let mut expected = 0;
        json::each_field(row, |name, value| {
            // Fields come in the same order row after row, so the next column is nearly always the right one.
            let place = match self.schema.columns.get(expected) {
                Some(column) if column.field == name => expected,
                _ => match self.places.get(name) {
                    Some(place) => *place,
                    None if lenient.unknown => return Ok(()),
                    None => return Err(Drift),
                },
            };
            slots[place] = value;
            expected = place + 1;
            Ok(())
        })?;
        for (column, slot) in columns.iter_mut().zip(slots) {
            if column.append(slot).is_err() {
                if !lenient.misfits {
                    return Err(Drift);
                }
                column.append_null();
            }
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
