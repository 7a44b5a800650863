//! A table as an outsider sees it, every value as text.

use sync_core::arrow::array::Array;
use sync_core::arrow::datatypes::{DataType, TimeUnit};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Type, form, system};

/// A table. Values are written as [`form::value`] does, but bools as `0` and `1`; null is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The names of its columns, the engine's own included.
    pub columns: Vec<String>,
    /// Its rows, in any order.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// The provider's columns of each row joined with `|`, null as `~`, sorted. What tests compare.
    ///
    /// # Panics
    ///
    /// Where one of the engine's columns is missing or null.
    pub fn lines(&self) -> Vec<String> {
        self.lines_with(&[])
    }

    /// The same with some of the engine's columns behind those of the provider: `1|a|0` where `["_deleted"]` is
    /// asked for.
    ///
    /// # Panics
    ///
    /// Where one of the engine's columns is missing, or null though it never may be.
    pub fn lines_with(&self, engine: &[&str]) -> Vec<String> {
        let place = |name: &str| {
            let index = self.columns.iter().position(|c| c == name);
            index.unwrap_or_else(|| panic!("there is no column {name} in {:?}", self.columns))
        };
        for name in [system::RUN, system::AT, system::SEQ].iter().chain(engine) {
            let index = place(name);
            let null = self.rows.iter().any(|row| row[index].is_none());
            assert!(!null || *name == system::VALID_TO, "{name} is null");
        }
        let own = |name: &String| !system::owns(name) && !engine.contains(&name.as_str());
        let own = (0..self.columns.len()).filter(|index| own(&self.columns[*index]));
        let shown: Vec<usize> = own.chain(engine.iter().map(|name| place(name))).collect();
        let line = |row: &Vec<Option<String>>| {
            shown.iter().map(|index| row[*index].as_deref().unwrap_or("~")).collect::<Vec<_>>().join("|")
        };
        let mut lines: Vec<_> = self.rows.iter().map(line).collect();
        lines.sort();
        lines
    }

    /// These columns of each row joined with `|`, null as `~`, sorted.
    ///
    /// # Panics
    ///
    /// Where one of them is missing.
    pub fn lines_of(&self, columns: &[&str]) -> Vec<String> {
        let place = |name: &&str| {
            let place = self.columns.iter().position(|c| c == name);
            place.unwrap_or_else(|| panic!("there is no column {name} in {:?}", self.columns))
        };
        let places: Vec<_> = columns.iter().map(place).collect();
        let line = |row: &Vec<Option<String>>| {
            places.iter().map(|p| row[*p].as_deref().unwrap_or("~")).collect::<Vec<_>>().join("|")
        };
        let mut lines: Vec<_> = self.rows.iter().map(line).collect();
        lines.sort();
        lines
    }

    /// The names of the provider's columns.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(String::as_str).filter(|name| !system::owns(name)).collect()
    }
}

/// Batches of one schema as an outsider's rows.
///
/// # Panics
///
/// Where a column is of none of the engine's Arrow types.
pub fn rows_of(batches: &[RecordBatch]) -> Rows {
    let Some(first) = batches.first() else { return Rows::default() };
    let columns = first.schema().fields().iter().map(|f| f.name().clone()).collect();
    let cells = |batch: &RecordBatch, row| batch.columns().iter().map(|c| cell(c, row)).collect();
    let rows = batches.iter().flat_map(|b| (0..b.num_rows()).map(move |row| cells(b, row))).collect();
    Rows { columns, rows }
}

fn cell(array: &dyn Array, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let ty = match array.data_type() {
        DataType::Utf8 => Type::Text,
        DataType::Int64 => Type::Int,
        DataType::Float64 => Type::Float,
        DataType::Decimal128(precision, scale) => Type::Decimal(*precision, *scale as u8),
        DataType::Boolean => Type::Bool,
        DataType::Date32 => Type::Date,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Type::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, None) => Type::Local,
        other => panic!("{other} is none of the engine's types"),
    };
    let mut text = String::new();
    form::value(array, row, ty, &mut text);
    Some(match text.as_str() {
        "true" if ty == Type::Bool => "1".to_owned(),
        "false" if ty == Type::Bool => "0".to_owned(),
        _ => text,
    })
}
