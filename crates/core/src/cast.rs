//! Turning stored columns into wider ones.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, RecordBatchOptions, StringArray, StringBuilder,
    new_null_array,
};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;

use crate::{Schema, Type, form};

/// The greatest integer up to which every integer is a double.
const EXACT: i64 = 1 << 53;

/// A value that has no place in the wider type, or a type that does not give way to the other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CastError {
    /// The stored type.
    pub from: Type,
    /// The type asked for.
    pub to: Type,
    /// The first row whose value has no place; absent where the types themselves do not go together.
    pub row: Option<usize>,
    /// The column, where it is known.
    pub column: Option<String>,
}

impl fmt::Display for CastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(column) = &self.column {
            write!(f, "column {column:?}: ")?;
        }
        match self.row {
            Some(row) => write!(f, "the {} in row {row} has no exact place in {}", self.from, self.to),
            None => write!(f, "{} does not widen to {}", self.from, self.to),
        }
    }
}

/// The array with its values as `to`. Lossless, or an error.
///
/// What gives way to what: int to float (up to 2^53), decimal and json; float to decimal and json; decimal to
/// another decimal that holds its digits and to json; text, bool, date, timestamp and local to json; date,
/// timestamp and local to text; and a column of nulls to anything. A value that becomes text or json is
/// written in the one form of its type (see [`form`]), for the text that was sent is gone: the instant
/// `10:00+02:00` becomes `"…T08:00:00.000000Z"`. Null stays null and never becomes JSON's `null`.
pub fn cast(array: &ArrayRef, from: Type, to: Type) -> Result<ArrayRef, CastError> {
    let misfit = |row| CastError { from, to, row, column: None };
    if array.data_type() != &from.arrow() {
        return Err(misfit(None));
    }
    if from == to {
        return Ok(Arc::clone(array));
    }
    if array.null_count() == array.len() {
        return Ok(new_null_array(&to.arrow(), array.len()));
    }
    match (from, to) {
        (Type::Int, Type::Float) => int_to_float(array).map_err(|row| misfit(Some(row))),
        (Type::Int | Type::Float | Type::Decimal(..), Type::Decimal(precision, scale)) => {
            to_decimal(array, from, precision, scale).map_err(|row| misfit(Some(row)))
        }
        (Type::Float, Type::Json) => float_to_json(array).map_err(|row| misfit(Some(row))),
        (Type::Int | Type::Decimal(..) | Type::Bool, Type::Json)
        | (Type::Date | Type::Timestamp | Type::Local, Type::Text) => Ok(to_text(array, from)),
        (Type::Text | Type::Date | Type::Timestamp | Type::Local, Type::Json) => {
            Ok(to_json_string(array, from))
        }
        _ => Err(misfit(None)),
    }
}

/// A batch of one schema as a batch of a later one: types widened, new columns null.
///
/// `to` has every column of `from` in the same places, as [`crate::Table::evolve`] demands.
pub fn conform(batch: &RecordBatch, from: &Schema, to: &Schema) -> Result<RecordBatch, CastError> {
    let mut columns = Vec::with_capacity(to.columns.len() + 3);
    for (index, wanted) in to.columns.iter().enumerate() {
        columns.push(match from.columns.get(index) {
            Some(had) => cast(batch.column(index), had.ty, wanted.ty)
                .map_err(|e| CastError { column: Some(wanted.name.clone()), ..e })?,
            None => new_null_array(&wanted.ty.arrow(), batch.num_rows()),
        });
    }
    columns.extend_from_slice(&batch.columns()[from.columns.len()..]);
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(to.arrow(), columns, &options)
        .expect("each column was cast to its type"))
}

fn int_to_float(array: &ArrayRef) -> Result<ArrayRef, usize> {
    let ints = array.as_primitive::<Int64Type>();
    let floats = ints.iter().enumerate().map(|(row, value)| match value {
        Some(int) if !(-EXACT..=EXACT).contains(&int) => Err(row),
        value => Ok(value.map(|int| int as f64)),
    });
    Ok(Arc::new(floats.collect::<Result<Float64Array, _>>()?))
}

fn to_decimal(array: &ArrayRef, from: Type, precision: u8, scale: u8) -> Result<ArrayRef, usize> {
    let mut digits = String::new();
    let mut unscaled = |row: usize| match from {
        Type::Int => shift(array.as_primitive::<Int64Type>().value(row).into(), 0, scale),
        Type::Decimal(_, had) => shift(array.as_primitive::<Decimal128Type>().value(row), had, scale),
        _ => {
            digits.clear();
            form::value(array, row, from, &mut digits);
            parse_decimal(&digits, scale)
        }
    };
    let bound = 10_u128.pow(precision.into());
    let values = (0..array.len()).map(|row| {
        if array.is_null(row) {
            return Ok(None);
        }
        unscaled(row).filter(|v| v.unsigned_abs() < bound).map(Some).ok_or(row)
    });
    let values = values.collect::<Result<Decimal128Array, _>>()?;
    Ok(Arc::new(values.with_data_type(Type::Decimal(precision, scale).arrow())))
}

/// The unscaled number for another scale; absent where digits would be lost or there are too many.
fn shift(unscaled: i128, had: u8, scale: u8) -> Option<i128> {
    let power = 10_i128.checked_pow(had.abs_diff(scale).into())?;
    if scale >= had {
        unscaled.checked_mul(power)
    } else {
        (unscaled % power == 0).then_some(unscaled / power)
    }
}

/// Digits with at most one point, as the unscaled number of a scale.
fn parse_decimal(text: &str, scale: u8) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let had = u8::try_from(fraction.len()).ok()?;
    let unscaled = [whole, fraction].concat().parse().ok()?;
    shift(unscaled, had, scale)
}

fn to_text(array: &ArrayRef, from: Type) -> ArrayRef {
    texts(array, |row, out| form::value(array, row, from, out))
}

fn to_json_string(array: &ArrayRef, from: Type) -> ArrayRef {
    let mut plain = String::new();
    texts(array, |row, out| {
        plain.clear();
        form::value(array, row, from, &mut plain);
        form::json_string(&plain, out);
    })
}

/// Shortest digits, with an exponent where it is shorter; JSON has no infinities.
fn float_to_json(array: &ArrayRef) -> Result<ArrayRef, usize> {
    let floats = array.as_primitive::<Float64Type>();
    if let Some(row) = (0..floats.len()).find(|row| floats.is_valid(*row) && !floats.value(*row).is_finite())
    {
        return Err(row);
    }
    Ok(texts(array, |row, out| {
        write!(out, "{:?}", floats.value(row)).expect("a string takes every write");
    }))
}

fn texts(array: &ArrayRef, mut write: impl FnMut(usize, &mut String)) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        builder.append_value(&text);
    }
    let array: StringArray = builder.finish();
    Arc::new(array)
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Date32Array, Int64Array, TimestampMicrosecondArray};

    use super::*;
    use crate::{Digits, parse_timestamp};

    const BIG: i64 = 1 << 53;

    fn ints(values: &[i64]) -> ArrayRef {
        Arc::new(values.iter().map(|v| Some(*v)).chain([None]).collect::<Int64Array>())
    }

    fn floats(values: &[f64]) -> ArrayRef {
        Arc::new(values.iter().map(|v| Some(*v)).chain([None]).collect::<Float64Array>())
    }

    fn decimals(values: &[i128], precision: u8, scale: u8) -> ArrayRef {
        let array: Decimal128Array = values.iter().map(|v| Some(*v)).chain([None]).collect();
        Arc::new(array.with_data_type(Type::Decimal(precision, scale).arrow()))
    }

    fn strings(values: &[&str]) -> ArrayRef {
        Arc::new(values.iter().map(|v| Some(*v)).chain([None]).collect::<StringArray>())
    }

    /// The values after the cast, the null at the end left out; the row of the misfit otherwise.
    #[track_caller]
    fn check(array: &ArrayRef, from: Type, to: Type, expect: Result<&[&str], usize>) {
        let cast = match (cast(array, from, to), expect) {
            (Ok(cast), Ok(_)) => cast,
            (Err(error), Err(row)) => return assert_eq!(error.row, Some(row), "{error}"),
            (result, expect) => panic!("{result:?}, expected {expect:?}"),
        };
        assert_eq!(cast.data_type(), &to.arrow());
        assert_eq!(cast.len(), array.len());
        let text = |row: usize| {
            let mut out = String::new();
            form::value(&cast, row, to, &mut out);
            out
        };
        let got: Vec<_> = (0..cast.len()).filter(|row| cast.is_valid(*row)).map(text).collect();
        assert_eq!(got, expect.expect("checked above"));
        assert!(cast.is_null(cast.len() - 1), "null stays null");
    }

    #[test]
    fn integers_widen_while_they_stay_exact() {
        let edges = [0, -1, BIG, -BIG];
        check(
            &ints(&edges),
            Type::Int,
            Type::Float,
            Ok(&["0", "-1", "9007199254740992", "-9007199254740992"]),
        );
        check(&ints(&[1, BIG + 1]), Type::Int, Type::Float, Err(1));
        check(&ints(&[-BIG - 1]), Type::Int, Type::Float, Err(0));
        check(&ints(&[i64::MIN]), Type::Int, Type::Float, Err(0));
        check(&ints(&[5, -12]), Type::Int, Type::Decimal(4, 2), Ok(&["5.00", "-12.00"]));
        check(&ints(&[99, 100]), Type::Int, Type::Decimal(4, 2), Err(1));
        check(&ints(&[i64::MIN]), Type::Int, Type::Decimal(19, 0), Ok(&["-9223372036854775808"]));
        check(&ints(&[i64::MAX]), Type::Int, Type::Decimal(38, 38), Err(0));
        check(&ints(&[i64::MAX, 0]), Type::Int, Type::Json, Ok(&["9223372036854775807", "0"]));
    }

    #[test]
    fn floats_become_the_decimal_they_print() {
        let decimal = Type::Decimal(20, 3);
        check(
            &floats(&[0.1, -2.5, 1e10, -0.0]),
            Type::Float,
            decimal,
            Ok(&["0.100", "-2.500", "10000000000.000", "0.000"]),
        );
        check(&floats(&[1.0, 0.1234]), Type::Float, decimal, Err(1));
        check(&floats(&[1e300]), Type::Float, decimal, Err(0));
        check(&floats(&[5e-324]), Type::Float, Type::Decimal(38, 38), Err(0));
        check(&floats(&[f64::NAN]), Type::Float, decimal, Err(0));
        check(&floats(&[f64::INFINITY]), Type::Float, decimal, Err(0));
        check(
            &floats(&[1.0, 0.1, 1e300, 5e-324]),
            Type::Float,
            Type::Json,
            Ok(&["1.0", "0.1", "1e300", "5e-324"]),
        );
        check(&floats(&[0.0, f64::NEG_INFINITY]), Type::Float, Type::Json, Err(1));
    }

    #[test]
    fn decimals_widen_by_value() {
        let from = Type::Decimal(5, 2);
        check(&decimals(&[12345, -5], 5, 2), from, Type::Decimal(10, 4), Ok(&["123.4500", "-0.0500"]));
        check(&decimals(&[12300], 5, 2), from, Type::Decimal(5, 0), Ok(&["123"]));
        check(&decimals(&[1, 12345], 5, 2), from, Type::Decimal(5, 1), Err(0));
        check(&decimals(&[99999], 5, 2), from, Type::Decimal(4, 2), Err(0));
        let most = 10_i128.pow(38) - 1;
        check(&decimals(&[most], 38, 0), Type::Decimal(38, 0), Type::Decimal(38, 1), Err(0));
        check(&decimals(&[-12300, 5], 5, 2), from, Type::Json, Ok(&["-123.00", "0.05"]));
    }

    #[test]
    fn everything_becomes_json_and_times_become_text() {
        check(&strings(&["", "a\"b\\\n"]), Type::Text, Type::Json, Ok(&["\"\"", r#""a\"b\\\n""#]));
        let bools: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
        check(&bools, Type::Bool, Type::Json, Ok(&["true", "false"]));
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(20_781), None]));
        check(&days, Type::Date, Type::Text, Ok(&["1970-01-01", "2026-11-24"]));
        check(&days, Type::Date, Type::Json, Ok(&["\"1970-01-01\"", "\"2026-11-24\""]));
        let instant = parse_timestamp(b"2026-11-24T10:00:00+02:00");
        let instants = TimestampMicrosecondArray::from(vec![instant, None]);
        let zoned: ArrayRef = Arc::new(instants.clone().with_timezone("UTC"));
        check(&zoned, Type::Timestamp, Type::Text, Ok(&["2026-11-24T08:00:00.000000Z"]));
        check(&zoned, Type::Timestamp, Type::Json, Ok(&["\"2026-11-24T08:00:00.000000Z\""]));
        let plain: ArrayRef = Arc::new(instants);
        check(&plain, Type::Local, Type::Text, Ok(&["2026-11-24 08:00:00"]));
        check(&plain, Type::Local, Type::Json, Ok(&["\"2026-11-24 08:00:00\""]));
    }

    #[test]
    fn types_that_do_not_give_way_are_refused() {
        for (from, to) in [(Type::Text, Type::Int), (Type::Json, Type::Text), (Type::Int, Type::Bool)] {
            let array: ArrayRef = match from {
                Type::Int => ints(&[1]),
                _ => strings(&["1"]),
            };
            let error = cast(&array, from, to).expect_err("no such widening");
            assert_eq!(error, CastError { from, to, row: None, column: None });
        }
        assert!(cast(&ints(&[1]), Type::Text, Type::Json).is_err(), "the array is not what `from` says");
    }

    #[test]
    fn a_column_of_nulls_becomes_anything() {
        for to in [Type::Int, Type::Json, Type::Decimal(9, 2), Type::Bool, Type::Timestamp, Type::Local] {
            check(&strings(&[]), Type::Text, to, Ok(&[]));
            assert_eq!(cast(&ints(&[]).slice(0, 0), Type::Int, to).map(|a| a.len()), Ok(0));
        }
    }

    #[test]
    fn a_batch_follows_its_schema() {
        let mut from = Schema::default();
        from.add("id", Type::Int, true, Digits::default());
        let mut to = from.clone();
        to.columns[0].ty = Type::Json;
        to.add("new", Type::Bool, true, Digits::default());
        let row = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
        let columns = vec![ints(&[7]).slice(0, 1), row("run"), at, ints(&[0]).slice(0, 1)];
        let batch = RecordBatch::try_new(from.arrow(), columns).expect("the schema's own types");
        let conformed = conform(&batch, &from, &to).expect("an integer is JSON");
        assert_eq!(conformed.schema(), to.arrow());
        assert_eq!(conformed.column(0).as_string::<i32>().value(0), "7");
        assert!(conformed.column(1).is_null(0));
        assert_eq!(conformed.column(2).as_string::<i32>().value(0), "run");
        to.columns[0].ty = Type::Date;
        let error = conform(&batch, &from, &to).expect_err("no such widening");
        assert_eq!(error.to_string(), "column \"id\": int does not widen to date");
    }
}
