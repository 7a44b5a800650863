//! Stored values as values of a wider type, by the rules of [`sync_core::cast`].

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error};
use sync_core::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use sync_core::arrow::datatypes::{Float64Type, Int64Type};
use sync_core::{CastError, Type, cast, form, parse_date, parse_local, parse_timestamp};

/// A change of type that changes what is stored.
#[derive(Clone)]
pub(super) struct Widening {
    pub(super) column: String,
    pub(super) from: Type,
    pub(super) to: Type,
}

impl Widening {
    /// Whether stored values of one type are, byte for byte, those of the other.
    pub(super) fn is_free(from: Type, to: Type) -> bool {
        match (from, to) {
            (Type::Decimal(_, had), Type::Decimal(_, scale)) => had == scale,
            (Type::Decimal(..), Type::Json) | (Type::Date | Type::Timestamp | Type::Local, Type::Text) => {
                true
            }
            _ => from == to,
        }
    }
}

/// Defines `sync_widen(value, n)`, the value widened as the `n`th of these, for as long as `work` takes.
///
/// The first value that does not fit is returned beside SQLite's error.
pub(super) fn with_function<T>(
    connection: &Connection,
    widenings: Vec<Widening>,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> Result<T, (Error, Option<CastError>)> {
    let misfit = Arc::new(Mutex::new(None));
    let first = Arc::clone(&misfit);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let defined = connection.create_scalar_function("sync_widen", 2, flags, move |context| {
        let Widening { column, from, to } = &widenings[context.get::<u32>(1)? as usize];
        widen(context.get_raw(0), *from, *to).map_err(|error| {
            let error = CastError { column: Some(column.clone()), row: None, ..error };
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
            Error::UserFunctionError(Box::new(error))
        })
    });
    let result = defined.and_then(|()| work());
    let result = result.and_then(|done| connection.remove_function("sync_widen", 2).map(|()| done));
    result.map_err(|error| (error, misfit.lock().unwrap_or_else(PoisonError::into_inner).take()))
}

/// Goes through an array of one value, so that there is one set of rules; a table is rewritten rarely.
fn widen(value: ValueRef, from: Type, to: Type) -> Result<Value, CastError> {
    if value == ValueRef::Null {
        return Ok(Value::Null);
    }
    let stored = array_of(value, from).ok_or(CastError { from, to, row: Some(0), column: None })?;
    let wider = cast(&stored, from, to)?;
    Ok(match to {
        Type::Int => Value::Integer(wider.as_primitive::<Int64Type>().value(0)),
        Type::Float => Value::Real(wider.as_primitive::<Float64Type>().value(0)),
        Type::Bool => Value::Integer(i64::from(wider.as_boolean().value(0))),
        _ => {
            let mut text = String::new();
            form::value(&wider, 0, to, &mut text);
            Value::Text(text)
        }
    })
}

/// A stored value as Arrow holds it; absent where somebody has put something else there.
fn array_of(value: ValueRef, ty: Type) -> Option<ArrayRef> {
    let text = || value.as_str().ok();
    Some(match ty {
        Type::Text | Type::Json => Arc::new(StringArray::from(vec![text()?])),
        Type::Int => Arc::new(Int64Array::from(vec![value.as_i64().ok()?])),
        Type::Float => Arc::new(Float64Array::from(vec![value.as_f64().ok()?])),
        Type::Bool => Arc::new(BooleanArray::from(vec![value.as_i64().ok()? != 0])),
        Type::Date => Arc::new(Date32Array::from(vec![parse_date(text()?.as_bytes())?])),
        Type::Timestamp => {
            let micros = parse_timestamp(text()?.as_bytes())?;
            Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"))
        }
        Type::Local => Arc::new(TimestampMicrosecondArray::from(vec![parse_local(text()?.as_bytes())?])),
        Type::Decimal(_, scale) => {
            let (whole, fraction) = text()?.split_once('.').unwrap_or((text()?, ""));
            let unscaled = [whole, fraction]
                .concat()
                .parse()
                .ok()
                .filter(|_: &i128| fraction.len() == usize::from(scale))?;
            Arc::new(Decimal128Array::from(vec![unscaled]).with_data_type(ty.arrow()))
        }
    })
}
