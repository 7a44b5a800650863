//! The values of one column on their way into an Arrow array.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use sync_connectors::json::Value;
use sync_core::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use sync_core::{Digits, Type, parse_date, parse_local, parse_timestamp};

use super::Altered;
use super::number::{self, Number};

/// A value that the column's type cannot hold.
pub(super) struct Misfit;

/// What a column's type makes of its values.
pub(super) enum Values {
    Text(StringBuilder),
    Json(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Bool(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Local(TimestampMicrosecondBuilder),
    /// Every value so far was null; any other is a misfit, so that the column settles.
    Unsettled(usize),
}

/// One column of the batch that is being built.
pub(super) struct Column {
    values: Values,
    /// Whether somebody gave it its type, which values are then read as wherever nothing of them is lost.
    declared: bool,
    /// The extent of the numbers appended.
    pub digits: Digits,
    /// What was not stored quite as it was sent.
    pub altered: Altered,
}

impl Column {
    /// A column with room for so many rows.
    pub(super) fn new(column: &sync_core::Column, rows: usize) -> Self {
        let (ty, settled) = (column.ty, column.settled);
        // The text room is a guess of 16 bytes a value; growing is cheaper than asking for too much.
        let text = || StringBuilder::with_capacity(rows, rows * 16);
        let values = match ty {
            _ if !settled => Values::Unsettled(0),
            Type::Text => Values::Text(text()),
            Type::Json => Values::Json(text()),
            Type::Int => Values::Int(Int64Builder::with_capacity(rows)),
            Type::Float => Values::Float(Float64Builder::with_capacity(rows)),
            Type::Decimal(precision, scale) => {
                let builder = Decimal128Builder::with_capacity(rows).with_data_type(ty.arrow());
                Values::Decimal(builder, precision, scale)
            }
            Type::Bool => Values::Bool(BooleanBuilder::with_capacity(rows)),
            Type::Date => Values::Date(Date32Builder::with_capacity(rows)),
            Type::Timestamp => {
                let builder = TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(ty.arrow());
                Values::Timestamp(builder)
            }
            Type::Local => Values::Local(TimestampMicrosecondBuilder::with_capacity(rows)),
        };
        Self { values, declared: column.declared, digits: Digits::default(), altered: Altered::default() }
    }

    /// Takes a value, or says that the type must give way.
    pub(super) fn append(&mut self, value: &Value<'_>) -> Result<(), Misfit> {
        match (&mut self.values, value) {
            (Values::Text(b), Value::Text(text)) => {
                self.altered.mended +=
                    u64::from(matches!(text, Cow::Owned(text) if text.contains('\u{fffd}')));
                b.append_value(text);
            }
            (Values::Int(b), Value::Number(text)) => match number::read(text) {
                Number::Int(int) => {
                    self.digits = self.digits.join(number::int_digits(int));
                    b.append_value(int);
                }
                _ => return Err(Misfit),
            },
            (Values::Float(b), Value::Number(text)) => {
                let number = number::read(text);
                let digits = number.digits();
                let double = match number {
                    Number::Int(int) if !digits.wide => int as f64,
                    Number::Fraction(f) if f.exact => text.parse().map_err(|_| Misfit)?,
                    _ => return Err(Misfit),
                };
                self.digits = self.digits.join(digits);
                b.append_value(double);
            }
            (Values::Decimal(b, precision, scale), Value::Number(text)) => {
                let digits = number::read(text).digits();
                if digits.whole > *precision - *scale {
                    return Err(Misfit);
                }
                b.append_value(number::unscaled(text, *scale).ok_or(Misfit)?);
                self.digits = self.digits.join(digits);
            }
            (Values::Bool(b), Value::Bool(value)) => b.append_value(*value),
            (Values::Date(_) | Values::Timestamp(_) | Values::Local(_), Value::Text(text)) => {
                self.append_date(text.as_bytes())?;
            }
            (Values::Json(b), value) => append_json(b, value),
            (_, Value::Null) => self.append_null(),
            (_, value) if self.declared => return self.append_as_declared(value),
            _ => return Err(Misfit),
        }
        Ok(())
    }

    /// Takes a value of another kind for a type that somebody gave: the digits or the word that a text holds, the
    /// text of a scalar or of JSON. An empty text is null, as it is in columns of dates.
    #[cold]
    fn append_as_declared(&mut self, value: &Value<'_>) -> Result<(), Misfit> {
        match (&mut self.values, value) {
            (Values::Text(b), Value::Number(text) | Value::Nested(text)) => b.append_value(text),
            (Values::Text(b), Value::Bool(value)) => b.append_value(if *value { "true" } else { "false" }),
            (
                Values::Int(_) | Values::Float(_) | Values::Decimal(..) | Values::Bool(_),
                Value::Text(text),
            ) => match text.as_ref() {
                "" => {
                    self.altered.emptied += 1;
                    self.append_null();
                }
                "true" | "false" if matches!(self.values, Values::Bool(_)) => {
                    return self.append(&Value::Bool(text == "true"));
                }
                text => match sync_connectors::json::value(text) {
                    Ok(number @ Value::Number(_)) if !matches!(self.values, Values::Bool(_)) => {
                        return self.append(&number);
                    }
                    _ => return Err(Misfit),
                },
            },
            _ => return Err(Misfit),
        }
        Ok(())
    }

    fn append_date(&mut self, text: &[u8]) -> Result<(), Misfit> {
        if text.is_empty() {
            self.altered.emptied += 1;
            self.append_null();
            return Ok(());
        }
        match &mut self.values {
            Values::Date(b) => b.append_value(parse_date(text).ok_or(Misfit)?),
            Values::Timestamp(b) => b.append_value(parse_timestamp(text).ok_or(Misfit)?),
            Values::Local(b) => b.append_value(parse_local(text).ok_or(Misfit)?),
            _ => return Err(Misfit),
        }
        Ok(())
    }

    /// The row has no such field, or null.
    pub(super) fn append_null(&mut self) {
        match &mut self.values {
            Values::Text(b) | Values::Json(b) => b.append_null(),
            Values::Int(b) => b.append_null(),
            Values::Float(b) => b.append_null(),
            Values::Decimal(b, ..) => b.append_null(),
            Values::Bool(b) => b.append_null(),
            Values::Date(b) => b.append_null(),
            Values::Timestamp(b) | Values::Local(b) => b.append_null(),
            Values::Unsettled(count) => *count += 1,
        }
    }

    /// The array.
    pub(super) fn finish(self) -> ArrayRef {
        match self.values {
            Values::Text(mut b) | Values::Json(mut b) => Arc::new(b.finish()),
            Values::Int(mut b) => Arc::new(b.finish()),
            Values::Float(mut b) => Arc::new(b.finish()),
            Values::Decimal(mut b, ..) => Arc::new(b.finish()),
            Values::Bool(mut b) => Arc::new(b.finish()),
            Values::Date(mut b) => Arc::new(b.finish()),
            Values::Timestamp(mut b) | Values::Local(mut b) => Arc::new(b.finish()),
            Values::Unsettled(count) => sync_core::arrow::array::new_null_array(&Type::Text.arrow(), count),
        }
    }
}

/// The exact JSON text of a value.
fn append_json(b: &mut StringBuilder, value: &Value<'_>) {
    match value {
        Value::Null => b.append_null(),
        Value::Bool(value) => b.append_value(if *value { "true" } else { "false" }),
        Value::Number(text) | Value::Nested(text) => b.append_value(text),
        // Borrowed text had no escapes, so quotes around it are what was sent.
        Value::Text(Cow::Borrowed(text)) => {
            write!(b, "\"{text}\"").expect("a string builder takes all text");
            b.append_value("");
        }
        Value::Text(Cow::Owned(text)) => {
            b.append_value(serde_json::to_string(text).expect("text is always JSON"));
        }
    }
}
