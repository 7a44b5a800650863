//! The types of a table: what they are, how they are written down, and how one gives way to another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Columns that the engine adds to every table, after those of the provider.
pub mod system {
    /// The run that read the row: text.
    pub const RUN: &str = "_sync_run";
    /// The instant at which the row was read: timestamp.
    pub const AT: &str = "_sync_at";
    /// Its order within the run, from 0: int.
    pub const SEQ: &str = "_sync_seq";

    /// Whether a row is deleted, where nobody gives the column another name: bool.
    pub const DELETED: &str = "_deleted";
    /// From when a version holds: timestamp.
    pub const VALID_FROM: &str = "_valid_from";
    /// To when it held: timestamp, null while it is current.
    pub const VALID_TO: &str = "_valid_to";
    /// Whether it is the current version of its key: bool.
    pub const CURRENT: &str = "_current";

    /// Whether the engine, not the provider, owns a column of this name.
    pub fn owns(name: &str) -> bool {
        matches!(name, RUN | AT | SEQ | DELETED | VALID_FROM | VALID_TO | CURRENT)
    }
}

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// UTF-8 text.
    Text,
    /// A 64-bit signed integer.
    Int,
    /// A double, used only where it prints back the digits that were sent.
    Float,
    /// An exact decimal number: `precision` digits in all (at most 38), `scale` of them behind the point.
    Decimal(u8, u8),
    /// True or false.
    Bool,
    /// A day.
    Date,
    /// An instant, UTC, in microseconds.
    Timestamp,
    /// A date and time of day in no named zone, in microseconds.
    Local,
    /// The exact JSON text that was sent: objects, lists, and columns whose values are of several kinds.
    Json,
}

impl Type {
    /// The Arrow type that holds it.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text | Self::Json => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale as i8),
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Local => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::Bool => f.write_str("bool"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Local => f.write_str("local"),
            Self::Json => f.write_str("json"),
        }
    }
}

impl FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "text" => Self::Text,
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "local" => Self::Local,
            "json" => Self::Json,
            _ => {
                let sizes = text.strip_prefix("decimal(").and_then(|t| t.strip_suffix(')'));
                let (precision, scale) =
                    sizes.and_then(|t| t.split_once(',')).ok_or_else(|| format!("`{text}` is not a type"))?;
                let precision = precision.trim().parse().map_err(|_| format!("`{text}`: precision?"))?;
                let scale = scale.trim().parse().map_err(|_| format!("`{text}`: scale?"))?;
                if precision == 0 || precision > 38 || scale > precision {
                    return Err(format!("`{text}`: precision is 1 to 38 and scale at most the precision"));
                }
                Self::Decimal(precision, scale)
            }
        })
    }
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The extent of the numbers a column has held, so that it can be widened without a look at the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digits {
    /// Most digits before the point.
    pub whole: u8,
    /// Most digits behind the point, trailing zeros not counted.
    pub scale: u8,
    /// Whether an integer of 2^53 or more was held, which a double would round.
    pub wide: bool,
}

impl Digits {
    /// The extent of both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            whole: self.whole.max(other.whole),
            scale: self.scale.max(other.scale),
            wide: self.wide || other.wide,
        }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in the table. Unique without regard to case.
    pub name: String,
    /// The field of the record it is filled from.
    pub field: String,
    /// Its type. While `settled` is false, every value so far was null and the type is a placeholder.
    #[serde(rename = "type")]
    pub ty: Type,
    /// Whether a value has been seen.
    pub settled: bool,
    /// The extent of its numbers.
    #[serde(default)]
    pub digits: Digits,
    /// Whether somebody gave it its type, which then does not give way.
    #[serde(default)]
    pub declared: bool,
}

/// The columns of a table as the provider's records fill them; the engine's own come after them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    /// In table order. New ones are added at the end and none is ever removed.
    pub columns: Vec<Column>,
}

impl Schema {
    /// Adds a column for a field, under the field's name where that is free.
    ///
    /// A name that differs from another only in case gets `_2` (`_3`, …); an empty one is `_`; one that the
    /// engine owns is treated as taken.
    pub fn add(&mut self, field: &str, ty: Type, settled: bool, digits: Digits) {
        let wanted = if field.is_empty() { "_" } else { field };
        let taken = |name: &str| {
            let lower = name.to_lowercase();
            system::owns(&lower) || self.columns.iter().any(|c| c.name.to_lowercase() == lower)
        };
        let mut name = wanted.to_owned();
        let mut n = 1;
        while taken(&name) {
            n += 1;
            name = format!("{wanted}_{n}");
        }
        self.columns.push(Column { name, field: field.to_owned(), ty, settled, digits, declared: false });
    }

    /// The column that is filled from a field.
    pub fn of_field(&self, field: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.field == field)
    }

    /// The Arrow schema of its batches: these columns, then `_sync_run`, `_sync_at`, `_sync_seq`. All nullable
    /// but those three.
    pub fn arrow(&self) -> SchemaRef {
        let own = self.columns.iter().map(|c| Field::new(&c.name, c.ty.arrow(), true));
        let engine = [
            Field::new(system::RUN, Type::Text.arrow(), false),
            Field::new(system::AT, Type::Timestamp.arrow(), false),
            Field::new(system::SEQ, Type::Int.arrow(), false),
        ];
        Arc::new(arrow::datatypes::Schema::new(own.chain(engine).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_what_they_print() {
        for ty in ["text", "int", "float", "decimal(38,4)", "bool", "date", "timestamp", "local", "json"] {
            assert_eq!(ty.parse::<Type>().expect(ty).to_string(), ty);
        }
        for wrong in ["string", "decimal(39,1)", "decimal(2,3)", "decimal(0,0)", "decimal", "decimal(a,b)"] {
            assert!(wrong.parse::<Type>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_that_meet_without_case_are_told_apart() {
        let mut schema = Schema::default();
        for field in ["Name", "name", "NAME", "", "a.b", "_sync_run"] {
            schema.add(field, Type::Text, true, Digits::default());
        }
        let names: Vec<_> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["Name", "name_2", "NAME_3", "_", "a.b", "_sync_run_2"]);
    }
}
