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
use sync_core::{Digits, RunId, Schema, Timestamp, Type};
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
    /// Empty texts that became null because their column holds dates, numbers or bools.
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
    /// Its numbers alone, where it is a decimal whose digits are to be found.
    numbers: Option<Seen>,
    /// How the type that the provider tells stands the test.
    trial: Option<Trial>,
}

/// Values against the type that a provider tells.
struct Trial {
    ty: Type,
    column: Column,
    values: u64,
    misfits: u64,
}

impl Trial {
    /// Values that a told type may fail to hold, one in so many; those rows are set aside.
    const ODD: u64 = 100;

    fn take(&mut self, value: &Value<'_>) {
        self.values += u64::from(*value != Value::Null);
        let number = matches!(self.ty, Type::Decimal(38, 0)).then(|| Seen::of_number(value)).flatten();
        self.misfits += u64::from(number.is_none() && self.column.append(value).is_err());
    }

    /// Whether the provider's word is another than its data.
    fn failed(&self) -> bool {
        self.misfits * Self::ODD > self.values
    }
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
                    let Observed { seen, numbers, trial, .. } = &mut self.fields[place];
                    seen.take(value);
                    if let Some(numbers) = numbers {
                        numbers.take_digits(value);
                    }
                    if let Some(trial) = trial {
                        trial.take(value);
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
        let given = terms.given(name);
        let trial = given.filter(|_| terms.told.contains(name)).map(|given| {
            let mut schema = Schema::default();
            schema.add(name, judge::fresh(given), true, Digits::default());
            schema.columns[0].declared = true;
            Trial {
                column: Column::new(&schema.columns[0], 0),
                ty: judge::fresh(given),
                values: 0,
                misfits: 0,
            }
        });
        let numbers = (given == Some(GivenType::Decimal)).then(Seen::default);
        self.fields.push(Observed { field: name.to_owned(), seen: Seen::default(), numbers, trial });
        self.fields.len() - 1
    }

    /// The schema of a new table: its fields in the order they were first seen.
    ///
    /// A field of the key is never found to be a date: should it give way to text one day, the keys that are
    /// stored would not read as they were sent, and rows would not be told apart by them. Types that somebody
    /// gave are taken as they are, with the columns that no row has had yet at the end; those that the provider tells
    /// are, unless its own data says otherwise.
    pub(crate) fn pin(&self, terms: &Terms) -> Schema {
        let mut schema = Schema::default();
        for observed in &self.fields {
            observed.add_to(&mut schema, !terms.key.contains(&observed.field), terms);
        }
        for (field, given) in &terms.declared {
            if schema.of_field(field).is_none() {
                schema.add(field, judge::fresh(*given), true, Digits::default());
                schema.columns.last_mut().expect("it was added").declared = true;
            }
        }
        schema
    }

    /// Fields that are not of the type that the provider tells.
    pub(crate) fn not_as_told(&self) -> impl Iterator<Item = &str> {
        let failed = |observed: &&Observed| observed.trial.as_ref().is_some_and(Trial::failed);
        self.fields.iter().filter(failed).map(|observed| observed.field.as_str())
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
        for observed in &self.fields {
            let Observed { field, seen, numbers, .. } = observed;
            let Some(place) = wider.columns.iter().position(|c| c.field == *field) else {
                if may_add {
                    observed.add_to(&mut wider, false, terms);
                }
                continue;
            };
            let column = &mut wider.columns[place];
            let numbers = numbers.filter(|_| column.declared);
            column.digits = column.digits.join(numbers.as_ref().unwrap_or(seen).digits());
            if numbers.is_some() && may_change(place) {
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

impl Observed {
    /// Adds its column: of the type that somebody gave, else of that which its values need.
    fn add_to(&self, schema: &mut Schema, dates: bool, terms: &Terms) {
        let given = terms.given(&self.field).filter(|_| !self.trial.as_ref().is_some_and(Trial::failed));
        let (ty, digits) = match (given, &self.numbers) {
            (Some(GivenType::Decimal), Some(numbers)) => {
                (observe::decimal(numbers.digits()), numbers.digits())
            }
            (Some(given), _) => (judge::fresh(given), self.seen.digits()),
            (None, _) => (self.seen.ty(dates), self.seen.digits()),
        };
        schema.add(&self.field, ty, given.is_some() || self.seen.settled(), digits);
        if let Some(column) = schema.columns.last_mut() {
            column.declared = given.is_some();
        }
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
