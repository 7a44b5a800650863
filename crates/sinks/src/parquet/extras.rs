//! The columns behind those that come with every batch: marks of deleted rows, and the three of a history.
//!
//! A batch is *dressed* with them when it is encoded. A tombstone is a row while it is staged: with its mark, or as a
//! version that is closed, or, where the table has neither, with a column of its own that no published file has.

use std::sync::Arc;

use sync_core::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampMicrosecondArray};
use sync_core::arrow::compute::kernels::zip::zip;
use sync_core::arrow::datatypes::{Field, SchemaRef, TimestampMicrosecondType};
use sync_core::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use sync_core::{Disposition, Schema, TableSpec, Type, conform, system};

use super::error::Result;
use super::part::Make;
use crate::tail::Tail;

/// Whether a staged row is a tombstone, where nothing else says so: bool.
pub(super) const TOMBSTONE: &str = "_sync_tombstone";
/// The columns that come with every batch: run, moment, order in the run.
const GIVEN: usize = 3;

/// The columns of a table behind those three.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    pub tail: Tail,
    /// Whether tombstones set the mark.
    pub marking: bool,
    /// The column that orders versions.
    order: Option<String>,
}

impl Extras {
    /// Those of a table whose columns are these, as a wish has them.
    pub fn of(spec: &TableSpec, tail: Tail) -> Self {
        let marking =
            spec.deleted.is_some() && matches!(spec.disposition, Disposition::Merge | Disposition::Append);
        Self { tail, marking, order: spec.order.clone() }
    }

    /// What a table is, by the names of its columns behind the three.
    pub fn found(names: &[String]) -> Tail {
        match names {
            [] => Tail::Bare,
            [mark] => Tail::Mark(mark.clone()),
            _ => Tail::Period,
        }
    }

    /// Their names and types, in order.
    pub fn columns(&self) -> Vec<(&str, Type)> {
        self.tail.columns()
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.columns().into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// Whether a tombstone needs a column of its own while it is staged.
    pub fn tells_tombstones_apart(&self) -> bool {
        self.tail != Tail::Period && !self.marking
    }

    /// The Arrow schema of a file.
    pub fn arrow(&self, schema: &Schema, apart: bool) -> SchemaRef {
        let own = schema.arrow();
        let mut fields: Vec<_> = own.fields().iter().cloned().collect();
        let nullable = |name: &str| name == system::VALID_TO;
        fields.extend(
            self.columns()
                .into_iter()
                .map(|(name, ty)| Arc::new(Field::new(name, ty.arrow(), nullable(name)))),
        );
        fields.extend(apart.then(|| Arc::new(Field::new(TOMBSTONE, Type::Bool.arrow(), false))));
        Arc::new(sync_core::arrow::datatypes::Schema::new(fields))
    }

    /// A batch as it came, with the columns of the table behind its own.
    pub fn dress(&self, batch: &RecordBatch, schema: &Schema, tombstones: bool, apart: bool) -> RecordBatch {
        let rows = batch.num_rows();
        let all = |value| -> ArrayRef { Arc::new(BooleanArray::from(vec![value; rows])) };
        let mut columns = batch.columns().to_vec();
        for (name, _) in self.columns() {
            columns.push(match name {
                system::VALID_FROM => self.moments(batch, schema),
                system::VALID_TO if tombstones => self.moments(batch, schema),
                system::VALID_TO => no_moments(rows),
                system::CURRENT => all(!tombstones),
                _ => all(tombstones && self.marking),
            });
        }
        columns.extend(apart.then(|| all(tombstones)));
        made(self.arrow(schema, apart), columns, rows)
    }

    /// A dressed batch of one schema as one of a later one. Columns that it lacks get what a row without them has;
    /// those that the table does not have (any more) are left out.
    pub fn reshape(
        &self,
        make: &Make,
        batch: &RecordBatch,
        from: &Arc<Schema>,
        to: &Arc<Schema>,
        apart: bool,
    ) -> Result<RecordBatch> {
        let wanted = self.arrow(to, apart);
        if from.columns == to.columns && batch.schema() == wanted {
            return Ok(batch.clone());
        }
        let given: Vec<usize> = (0..from.columns.len() + GIVEN).collect();
        let bare = batch.project(&given).expect("every file has these columns");
        let bare = if from.columns == to.columns {
            bare
        } else {
            conform(&bare, from, to).map_err(|error| make.misfit(error))?
        };
        let dressed = self.dress(&bare, to, false, apart);
        let mut columns = dressed.columns().to_vec();
        for (index, field) in wanted.fields().iter().enumerate().skip(to.columns.len() + GIVEN) {
            if let Some(had) =
                batch.column_by_name(field.name()).filter(|had| had.data_type() == field.data_type())
            {
                columns[index] = had.clone();
            }
        }
        Ok(made(wanted, columns, batch.num_rows()))
    }

    /// From when each row holds: by its order, where that is a moment, else from when it was read.
    fn moments(&self, batch: &RecordBatch, schema: &Schema) -> ArrayRef {
        let at = batch.column(schema.columns.len() + 1);
        let order = self.order.as_ref().and_then(|field| {
            let place = schema.columns.iter().position(|c| c.field == *field)?;
            (schema.columns[place].ty == Type::Timestamp).then(|| batch.column(place))
        });
        match order {
            Some(order) if order.null_count() == 0 => order.clone(),
            Some(order) => {
                let there = sync_core::arrow::compute::is_not_null(order).expect("every array can be asked");
                zip(&there, order, at).expect("both are moments, one a row")
            }
            None => at.clone(),
        }
    }
}

fn no_moments(rows: usize) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::new_null(rows).with_timezone("UTC"))
}

fn made(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).expect("each column was made for its field")
}

/// What is changed of a row when its file is written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patch {
    /// From when it holds.
    pub from: Option<i64>,
    /// To when it held; it is not current any more.
    pub to: Option<i64>,
    /// The tombstone that it met.
    pub mark: Option<Mark>,
}

/// A tombstone that marks a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// When it was read.
    pub at: i64,
    /// Its order in the run.
    pub seq: i64,
    /// Its file, by place.
    pub file: u32,
}

impl Extras {
    /// A dressed batch whose first row has this number in its file, with the patches of its rows applied. `run` names
    /// the run that read a file's rows.
    pub fn patch(
        &self,
        batch: &RecordBatch,
        first: u64,
        patches: &[(u32, Patch)],
        run: impl Fn(u32) -> String,
    ) -> RecordBatch {
        let place = |(row, patch): &(u32, Patch)| ((u64::from(*row) - first) as usize, *patch);
        let here: Vec<(usize, Patch)> = patches.iter().map(place).collect();
        if here.is_empty() {
            return batch.clone();
        }
        let mut columns = batch.columns().to_vec();
        let schema = batch.schema();
        let place = |name: &str| schema.index_of(name).ok();
        let mut moments = |name: &str, value: fn(&Patch) -> Option<i64>| {
            let Some(place) = place(name) else { return };
            let mut values: Vec<_> =
                columns[place].as_primitive::<TimestampMicrosecondType>().iter().collect();
            for (row, patch) in &here {
                values[*row] = value(patch).or(values[*row]);
            }
            columns[place] = Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"));
        };
        moments(system::VALID_FROM, |p| p.from);
        moments(system::VALID_TO, |p| p.to);
        moments(system::AT, |p| p.mark.map(|m| m.at));
        let mut flags = |name: &str, met: fn(&Patch) -> bool, flag: bool| {
            let Some(place) = place(name) else { return };
            let mut values: Vec<_> = columns[place].as_boolean().iter().collect();
            here.iter().filter(|(_, patch)| met(patch)).for_each(|(row, _)| values[*row] = Some(flag));
            columns[place] = Arc::new(BooleanArray::from(values));
        };
        flags(system::CURRENT, |p| p.to.is_some(), false);
        if let Some(mark) = self.tail.mark() {
            flags(mark, |p| p.mark.is_some(), true);
        }
        if here.iter().any(|(_, patch)| patch.mark.is_some()) {
            stamp(&mut columns, &schema, &here, run);
        }
        made(schema, columns, batch.num_rows())
    }
}

/// Marked rows tell the run and the order of the tombstone that they met.
fn stamp(columns: &mut [ArrayRef], schema: &SchemaRef, here: &[(usize, Patch)], run: impl Fn(u32) -> String) {
    use sync_core::arrow::array::{Int64Array, StringArray};
    use sync_core::arrow::datatypes::Int64Type;
    let marks = || here.iter().filter_map(|(row, patch)| Some((*row, patch.mark?)));
    if let Ok(place) = schema.index_of(system::SEQ) {
        let mut values: Vec<_> = columns[place].as_primitive::<Int64Type>().iter().collect();
        marks().for_each(|(row, mark)| values[row] = Some(mark.seq));
        columns[place] = Arc::new(Int64Array::from(values));
    }
    if let Ok(place) = schema.index_of(system::RUN) {
        let mut values: Vec<_> =
            columns[place].as_string::<i32>().iter().map(|run| run.map(str::to_owned)).collect();
        marks().for_each(|(row, mark)| values[row] = Some(run(mark.file)));
        columns[place] = Arc::new(StringArray::from(values));
    }
}
