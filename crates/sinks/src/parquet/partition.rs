//! `partition_by`: folders by the value of a column, as Hive names them.
//!
//! `createDate_month=2026-11/part-….parquet`, `owner_value=abc/part-….parquet`. The name before the `=` is never that of
//! a column, because readers that take the folder for a column would find two of one name and of different types; the
//! column itself stays in the files. Null, an empty text and what is no moment lie under
//! `__HIVE_DEFAULT_PARTITION__`.
//!
//! Rows are sorted into folders when they are published, from parts that know nothing of it: while they come they
//! would need a file for each folder, open and in memory. That costs a second encoding, for tables with folders only.

use std::fmt::Write as _;

use sync_core::arrow::array::{Array, AsArray};
use sync_core::arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Schema, Type, form, parse_date, parse_local, parse_timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// What files are sorted into folders by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The field.
    pub field: String,
    /// The unit of time; absent where each value has a folder.
    pub unit: Option<Unit>,
}

/// A unit of time, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `2026`
    Year,
    /// `2026-11`
    Month,
    /// `2026-11-24`
    Day,
    /// `2026-11-24T10`
    Hour,
}

const NOTHING: &str = "__HIVE_DEFAULT_PARTITION__";
/// A folder's name has at most about so many bytes; file systems take 255.
const LONGEST: usize = 180;

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// How much of `2026-11-24T10:00:00` it is.
    fn length(self) -> usize {
        match self {
            Self::Year => 4,
            Self::Month => 7,
            Self::Day => 10,
            Self::Hour => 13,
        }
    }
}

impl Partition {
    /// As it is written in a pipeline, for a version to tell how it is sorted.
    pub(super) fn word(&self) -> String {
        match self.unit {
            Some(unit) => format!("{}({})", unit.word(), self.field),
            None => self.field.clone(),
        }
    }

    /// The folder of each row.
    pub(super) fn folders(&self, batch: &RecordBatch, schema: &Schema) -> Vec<String> {
        let place = schema.columns.iter().position(|c| c.field == self.field);
        let mut text = String::new();
        let folder = |row: usize, place: usize, text: &mut String| {
            let array = batch.column(place);
            if array.is_null(row) {
                return self.folder("");
            }
            text.clear();
            self.value(array, row, schema.columns[place].ty, text);
            self.folder(text)
        };
        match place {
            Some(place) => (0..batch.num_rows()).map(|row| folder(row, place, &mut text)).collect(),
            None => vec![self.folder(""); batch.num_rows()],
        }
    }

    /// The value that names the folder; empty where it has none.
    fn value(&self, array: &dyn Array, row: usize, ty: Type, out: &mut String) {
        let Some(unit) = self.unit else { return form::value(array, row, ty, out) };
        match ty {
            Type::Timestamp => {
                form::timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), out);
            }
            Type::Local => form::local(array.as_primitive::<TimestampMicrosecondType>().value(row), out),
            Type::Date => form::date(array.as_primitive::<Date32Type>().value(row), out),
            Type::Text => {
                let text = array.as_string::<i32>().value(row).as_bytes();
                if let Some(micros) = parse_timestamp(text).or_else(|| parse_local(text)) {
                    form::timestamp(micros, out);
                } else if let Some(days) = parse_date(text) {
                    form::date(days, out);
                }
            }
            _ => {}
        }
        if out.len() == 10 {
            out.push_str("T00");
        }
        out.truncate(unit.length());
        if let Some(blank) = out.find(' ') {
            out.replace_range(blank..=blank, "T");
        }
    }

    fn folder(&self, value: &str) -> String {
        let mut name = String::new();
        escape(&self.field, &mut name);
        write!(name, "_{}=", self.unit.map_or("value", Unit::word)).expect("a string takes every write");
        if value.is_empty() {
            name.push_str(NOTHING);
            return name;
        }
        escape(value, &mut name);
        if name.len() > LONGEST {
            // `~` stands in no escaped text, so no other value has this name.
            name.truncate(LONGEST - 17);
            write!(name, "~{:016x}", xxh3_64(value.as_bytes())).expect("a string takes every write");
        }
        name
    }
}

/// Percent-encodes what is not the same in every file system and shell.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-') {
            out.push(byte.into());
        } else {
            write!(out, "%{byte:02X}").expect("a string takes every write");
        }
    }
}

#[cfg(test)]
mod tests {
    use sync_testkit::sink::{batch, schema, spec};

    use super::*;

    #[track_caller]
    fn check(unit: Option<Unit>, ty: &str, values: &[&str], expect: &[&str]) {
        let schema = schema(&format!("at:{ty}"));
        let run = spec("t", &[], sync_core::Disposition::Append).run;
        let partition = Partition { field: "at".to_owned(), unit };
        let folders = partition.folders(&batch(&schema, &run, 0, values), &schema);
        assert_eq!(folders, expect);
    }

    #[test]
    fn folders_are_named_by_value() {
        let none = "at_month=__HIVE_DEFAULT_PARTITION__";
        let moments = ["2026-11-24T23:59:59Z", "~", "0999-01-01T00:00:00Z"];
        check(Some(Unit::Month), "timestamp", &moments, &["at_month=2026-11", none, "at_month=0999-01"]);
        check(Some(Unit::Year), "timestamp", &moments[..1], &["at_year=2026"]);
        check(Some(Unit::Day), "timestamp", &moments[..1], &["at_day=2026-11-24"]);
        check(Some(Unit::Hour), "timestamp", &moments[..1], &["at_hour=2026-11-24T23"]);
        check(Some(Unit::Hour), "local", &["2026-11-24T10:00:00"], &["at_hour=2026-11-24T10"]);
        check(Some(Unit::Hour), "date", &["2026-11-24"], &["at_hour=2026-11-24T00"]);
        let texts = ["2026-11-24", "2026-11-24T10:00:00+02:00", "soon", ""];
        check(Some(Unit::Month), "text", &texts, &["at_month=2026-11", "at_month=2026-11", none, none]);
        check(Some(Unit::Month), "int", &["7"], &[none]);
        check(None, "int", &["7", "-7"], &["at_value=7", "at_value=-7"]);
        check(None, "bool", &["1"], &["at_value=true"]);
        check(None, "text", &["a/b c", "..", "é"], &["at_value=a%2Fb%20c", "at_value=..", "at_value=%C3%A9"]);
    }

    #[test]
    fn long_values_are_cut_and_stay_apart() {
        let partition = Partition { field: "x".to_owned(), unit: None };
        let (a, b) = (partition.folder(&"a".repeat(300)), partition.folder(&"a".repeat(301)));
        assert!(a.len() <= LONGEST && a != b, "{a} {b}");
    }
}
