//! Values of Arrow arrays as the parameters of a statement.

use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use sync_core::arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use sync_core::arrow::datatypes::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Type, form};

/// The columns of a batch while its rows are bound.
pub(super) struct Row<'a> {
    columns: Vec<Cells<'a>>,
    scratch: String,
}

impl<'a> Row<'a> {
    /// The columns of a batch of these types.
    pub(super) fn of(batch: &'a RecordBatch, types: &[Type]) -> Self {
        let columns = types.iter().zip(batch.columns()).map(|(ty, array)| Cells::new(array, *ty));
        Self { columns: columns.collect(), scratch: String::new() }
    }

    /// Binds rows and runs the statement. One that needs only the first columns gets no more.
    pub(super) fn execute(
        &mut self,
        statement: &mut rusqlite::Statement,
        rows: &[usize],
    ) -> rusqlite::Result<u64> {
        let columns = self.columns.len().min(statement.parameter_count());
        let mut parameter = 1;
        for row in rows {
            for column in &self.columns[..columns] {
                column.bind(statement, parameter, *row, &mut self.scratch)?;
                parameter += 1;
            }
        }
        statement.raw_execute().map(|changed| changed as u64)
    }
}

/// An array by the type of its column.
enum Cells<'a> {
    Text(&'a StringArray),
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Bool(&'a BooleanArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Local(&'a TimestampMicrosecondArray),
}

impl<'a> Cells<'a> {
    fn new(array: &'a dyn Array, ty: Type) -> Self {
        match ty {
            Type::Text | Type::Json => Self::Text(array.as_string()),
            Type::Int => Self::Int(array.as_primitive::<Int64Type>()),
            Type::Float => Self::Float(array.as_primitive::<Float64Type>()),
            Type::Decimal(_, scale) => Self::Decimal(array.as_primitive::<Decimal128Type>(), scale),
            Type::Bool => Self::Bool(array.as_boolean()),
            Type::Date => Self::Date(array.as_primitive::<Date32Type>()),
            Type::Timestamp => Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>()),
            Type::Local => Self::Local(array.as_primitive::<TimestampMicrosecondType>()),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(array) => array.is_null(row),
            Self::Int(array) => array.is_null(row),
            Self::Float(array) => array.is_null(row),
            Self::Decimal(array, _) => array.is_null(row),
            Self::Bool(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Timestamp(array) | Self::Local(array) => array.is_null(row),
        }
    }

    fn bind(
        &self,
        statement: &mut rusqlite::Statement,
        parameter: usize,
        row: usize,
        scratch: &mut String,
    ) -> rusqlite::Result<()> {
        if self.is_null(row) {
            return statement.raw_bind_parameter(parameter, Null);
        }
        scratch.clear();
        match self {
            Self::Text(array) => return statement.raw_bind_parameter(parameter, text(array.value(row))),
            Self::Int(array) => return statement.raw_bind_parameter(parameter, array.value(row)),
            Self::Float(array) => return statement.raw_bind_parameter(parameter, array.value(row)),
            Self::Bool(array) => return statement.raw_bind_parameter(parameter, array.value(row)),
            Self::Decimal(array, scale) => form::decimal(array.value(row), *scale, scratch),
            Self::Date(array) => form::date(array.value(row), scratch),
            Self::Timestamp(array) => form::timestamp(array.value(row), scratch),
            Self::Local(array) => form::local(array.value(row), scratch),
        }
        statement.raw_bind_parameter(parameter, text(scratch))
    }
}

fn text(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}
