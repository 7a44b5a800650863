//! What the values of a column have been, and the type that holds all of them.
//!
//! The rule: one kind of scalar gives that kind's type; several kinds, objects and lists are kept as the
//! exact JSON text that was sent. Numbers are whole, else doubles where a double prints back the same
//! digits, else decimals. Text is a moment, a local time or a day only if every non-empty value has that one
//! form.

use sync_connectors::json::{self, Value};
use sync_core::{Digits, Type, parse_date, parse_local, parse_timestamp};

use super::number::{self, Number};

/// What the values of a column have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    bools: bool,
    ints: bool,
    fractions: bool,
    /// A fraction was seen that a double would change.
    inexact: bool,
    text: bool,
    nested: bool,
    forms: Forms,
    digits: Digits,
}

/// The forms that every non-empty text so far has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Forms {
    seen: bool,
    timestamp: bool,
    local: bool,
    date: bool,
}

impl Seen {
    /// One value.
    pub(super) fn of(value: &Value<'_>) -> Self {
        let mut seen = Self::default();
        seen.take(value);
        seen
    }

    /// One number, in quotes or not; nothing for any other value.
    pub(super) fn of_number(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Number(_) => Some(Self::of(value)),
            Value::Text(text) => match json::value(text) {
                Ok(number @ Value::Number(_)) => Some(Self::of(&number)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Takes notice of a value.
    pub(super) fn take(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.bools = true,
            Value::Number(text) => self.take_number(number::read(text)),
            Value::Text(text) => {
                self.text = true;
                self.forms.take(text.as_bytes());
            }
            Value::Nested(_) => self.nested = true,
        }
    }

    /// Takes notice of a number, in quotes or not, and of nothing else.
    pub(super) fn take_digits(&mut self, value: &Value<'_>) {
        if let Some(number) = Self::of_number(value) {
            let all = self.digits.join(number.digits);
            if fits_a_decimal(all) {
                (self.digits, self.ints) = (all, true);
            }
        }
    }

    fn take_number(&mut self, number: Number) {
        self.digits = self.digits.join(number.digits());
        match number {
            Number::Int(_) => self.ints = true,
            Number::Long(_) => {
                self.ints = true;
                self.inexact = true;
            }
            Number::Fraction(f) => {
                self.fractions = true;
                self.inexact |= !f.exact;
            }
        }
    }

    /// Whether a value other than null has been seen.
    pub(super) fn settled(&self) -> bool {
        self.bools || self.ints || self.fractions || self.text || self.nested
    }

    /// The extent of the numbers seen.
    pub(super) fn digits(&self) -> Digits {
        self.digits
    }

    /// Whether a column of this date type can hold every value seen.
    pub(super) fn all_have_the_form_of(&self, date: Type) -> bool {
        let only_text = self.text && !(self.bools || self.ints || self.fractions || self.nested);
        only_text
            && match date {
                Type::Timestamp => !self.forms.seen || self.forms.timestamp,
                Type::Local => !self.forms.seen || self.forms.local,
                Type::Date => !self.forms.seen || self.forms.date,
                _ => false,
            }
    }

    /// The narrowest type that holds every value seen. `dates` says whether text may be found to be a date:
    /// only the first rows of a table decide that.
    pub(super) fn ty(&self, dates: bool) -> Type {
        let numbers = self.ints || self.fractions;
        let kinds = [self.bools, numbers, self.text, self.nested].into_iter().filter(|k| *k).count();
        match kinds {
            0 => Type::Text,
            1 if self.bools => Type::Bool,
            1 if numbers => self.number(),
            1 if self.text && dates => self.forms.ty(),
            1 if self.text => Type::Text,
            _ => Type::Json,
        }
    }

    fn number(&self) -> Type {
        if !self.fractions {
            return if self.inexact { decimal(self.digits) } else { Type::Int };
        }
        if self.inexact || self.digits.wide { decimal(self.digits) } else { Type::Float }
    }
}

/// The decimal type for numbers of this extent, with all the room that is left before the point; exact text
/// where 38 digits are not enough.
pub(super) fn decimal(digits: Digits) -> Type {
    if fits_a_decimal(digits) { Type::Decimal(38, digits.scale) } else { Type::Json }
}

/// Whether 38 digits are enough.
pub(super) fn fits_a_decimal(digits: Digits) -> bool {
    u32::from(digits.whole) + u32::from(digits.scale) <= 38
}

impl Forms {
    fn take(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let first = !self.seen;
        self.seen = true;
        self.timestamp = (first || self.timestamp) && parse_timestamp(text).is_some();
        self.local = (first || self.local) && parse_local(text).is_some();
        self.date = (first || self.date) && parse_date(text).is_some();
    }

    fn ty(self) -> Type {
        match self {
            Self { timestamp: true, .. } => Type::Timestamp,
            Self { local: true, .. } => Type::Local,
            Self { date: true, .. } => Type::Date,
            _ => Type::Text,
        }
    }
}

/// The type of a pinned column of type `was` that must also hold values that need `now`.
///
/// `digits` is the extent of all its numbers, stored and new. A table's text columns become dates only when
/// they are pinned, so a date that meets other text becomes text for good.
pub(super) fn widen(was: Type, now: Type, digits: Digits) -> Type {
    use Type::{Date, Decimal, Float, Int, Json, Local, Text, Timestamp};
    match (was, now) {
        (was, now) if was == now => was,
        (Int | Float, Int | Float) if !digits.wide => Float,
        (Int | Float | Decimal(..), Int | Float | Decimal(..)) => decimal(digits),
        (Text | Date | Timestamp | Local, Text | Date | Timestamp | Local) => Text,
        _ => Json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The type of a column with these values, written as a JSON list.
    #[track_caller]
    fn check(values: &str, expect: &str) {
        let mut seen = Seen::default();
        for value in values.split_whitespace() {
            let row = format!("{{\"f\":{value}}}");
            json::each_field::<json::JsonError>(&row, |_, value| {
                seen.take(&value);
                Ok(())
            })
            .expect("test rows are JSON");
        }
        assert_eq!(seen.ty(true).to_string(), expect, "{values}");
    }

    #[test]
    fn types_are_found_by_rule() {
        check("null", "text");
        check("true null false", "bool");
        check("1 2 -3", "int");
        check("1 2.5", "float");
        check("9007199254740993", "int");
        check("9007199254740993 0.5", "decimal(38,1)");
        check("9223372036854775808", "decimal(38,0)");
        check("1234567890.12345678901", "decimal(38,11)");
        check("1e400", "json");
        check("true 1", "json");
        check("1 \"1\"", "json");
        check("{} []", "json");
        check("\"a\" {}", "json");
        check("\"a\" \"\"", "text");
        check("\"\"", "text");
        check("\"2026-11-24\" \"\"", "date");
        check("\"2026-11-24T10:00:00Z\" \"2026-11-24T10:00:00.123+01:00\"", "timestamp");
        check("\"2026-11-24T10:00:00\"", "local");
        check("\"2026-11-24T10:00:00\" \"2026-11-24T10:00:00Z\"", "text");
        check("\"2026-11-24\" \"2026-11-24T10:00:00\"", "text");
        check("\"0000-00-00\" \"2026-11-24\"", "text");
    }

    #[test]
    fn pinned_types_give_way_along_one_lattice() {
        let narrow = Digits { whole: 4, scale: 2, wide: false };
        let wide = Digits { whole: 17, scale: 2, wide: true };
        assert_eq!(widen(Type::Int, Type::Float, narrow), Type::Float);
        assert_eq!(widen(Type::Float, Type::Int, wide), Type::Decimal(38, 2));
        assert_eq!(widen(Type::Int, Type::Decimal(38, 0), wide), Type::Decimal(38, 2));
        assert_eq!(widen(Type::Decimal(38, 1), Type::Float, narrow), Type::Decimal(38, 2));
        assert_eq!(widen(Type::Date, Type::Text, narrow), Type::Text);
        assert_eq!(widen(Type::Timestamp, Type::Int, narrow), Type::Json);
        assert_eq!(widen(Type::Bool, Type::Int, narrow), Type::Json);
        assert_eq!(widen(Type::Text, Type::Json, narrow), Type::Json);
    }
}
