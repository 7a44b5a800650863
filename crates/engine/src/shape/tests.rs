use sync_core::arrow::array::AsArray;
use sync_core::arrow::datatypes::{DataType, Float64Type, Int64Type};
use sync_core::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;

/// The rows of a page as ranges of its text, one JSON object a line.
fn ranges(body: &str) -> Vec<std::ops::Range<u32>> {
    let mut at = 0;
    body.split('\n')
        .map(|line| {
            let range = at..at + line.len() as u32;
            at = range.end + 1;
            range
        })
        .collect()
}

struct Table {
    decoder: Decoder,
}

impl Table {
    fn pinned_by(body: &str) -> Self {
        let mut sample = Sample::default();
        sample.take(&rows(body, &ranges(body))).expect("test rows are JSON");
        Self { decoder: Decoder::new(sample.pin(&[]), RunId::new(Timestamp::from_micros(0))) }
    }

    /// Reads a page as a run does; the columns with their types and values.
    fn read(&mut self, body: &str) -> String {
        let ranges = ranges(body);
        let page = rows(body, &ranges);
        let outcome = self.decoder.decode(&page).expect("test rows are JSON");
        let shaped = match outcome {
            Outcome::Fits(shaped) => shaped,
            Outcome::Drift => {
                let mut sample = Sample::default();
                sample.take(&page).expect("test rows are JSON");
                let wider = sample.widen(self.decoder.schema());
                self.decoder.adopt(wider);
                match self.decoder.decode(&page).expect("test rows are JSON") {
                    Outcome::Fits(shaped) => shaped,
                    Outcome::Drift => panic!("the page does not fit the schema made for it"),
                }
            }
        };
        show(&shaped)
    }
}

fn rows<'a>(body: &'a str, ranges: &'a [std::ops::Range<u32>]) -> Rows<'a> {
    Rows { body, ranges, asked_at: Timestamp::from_micros(0) }
}

fn show(shaped: &Shaped) -> String {
    let options = FormatOptions::new().with_null("∅");
    let column = |i: usize| {
        let array = shaped.batch.column(i);
        let format = ArrayFormatter::try_new(array, &options).expect("every type prints");
        let values: Vec<_> = (0..array.len()).map(|row| format.value(row).to_string()).collect();
        let pinned = &shaped.schema.columns[i];
        format!("{} {}: {}", pinned.name, pinned.ty, values.join(" "))
    };
    (0..shaped.schema.columns.len()).map(column).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(first: &str, second: &str, expect: &str) {
    let mut table = Table::pinned_by(first);
    table.read(first);
    assert_eq!(table.read(second), expect);
}

#[test]
fn values_are_kept_as_they_were_sent() {
    let body = r#"{"i":9007199254740993,"f":0.1,"t":"Zürich \"x\"","b":true,"o":{"a": [1, 2]},"n":null}"#;
    let mut table = Table::pinned_by(body);
    assert_eq!(
        table.read(body),
        "i int: 9007199254740993\nf float: 0.1\nt text: Zürich \"x\"\nb bool: true\no json: {\"a\": [1, 2]}\nn text: ∅"
    );
}

#[test]
fn a_wider_value_widens_its_column_and_nothing_else() {
    check(r#"{"a":1,"b":"x"}"#, r#"{"a":2.5,"b":"y"}"#, "a float: 2.5\nb text: y");
    check(r#"{"a":9007199254740993}"#, r#"{"a":0.5}"#, "a decimal(38,1): 0.5");
    check(r#"{"a":0.25}"#, r#"{"a":9007199254740993}"#, "a decimal(38,2): 9007199254740993.00");
    check(r#"{"a":1}"#, r#"{"a":12345678901234567890}"#, "a decimal(38,0): 12345678901234567890");
    check(r#"{"a":1}"#, r#"{"a":"x"}"#, "a json: \"x\"");
    check(r#"{"a":"x"}"#, r#"{"a":{"b":1}}"#, "a json: {\"b\":1}");
    check(r#"{"a":true}"#, r#"{"a":0}"#, "a json: 0");
    check(r#"{"a":1.5}"#, r#"{"a":1e400}"#, "a json: 1e400");
    check(
        r#"{"a":12345678901234567890}"#,
        r#"{"a":0.12345678901234567890123}"#,
        "a json: 0.12345678901234567890123",
    );
}

#[test]
fn dates_are_found_at_the_pin_and_only_there() {
    let day = r#"{"a":"2026-11-24"}"#;
    check(day, r#"{"a":"2026-11-25"}"#, "a date: 2026-11-25");
    check(day, r#"{"a":""}"#, "a date: ∅");
    check(day, r#"{"a":"soon"}"#, "a text: soon");
    check(r#"{"a":null}"#, day, "a text: 2026-11-24");
    check(r#"{"b":1}"#, r#"{"b":1,"a":"2026-11-24"}"#, "b int: 1\na text: 2026-11-24");
    // Another column drifts on the same page: the date stays a date.
    check(r#"{"a":"2026-11-24","b":1}"#, r#"{"a":"2026-11-25","b":1.5}"#, "a date: 2026-11-25\nb float: 1.5");
}

#[test]
fn absent_fields_are_null_and_the_last_of_a_field_sent_twice_counts() {
    let mut table = Table::pinned_by("{\"a\":1,\"b\":2}\n{\"b\":3,\"a\":4}");
    assert_eq!(table.read("{\"b\":7}\n{\"a\":8}\n{}"), "a int: ∅ 8 ∅\nb int: 7 ∅ ∅");
    assert_eq!(table.read(r#"{"a":1,"a":2,"b":3}"#), "a int: 2\nb int: 3");
}

#[test]
fn the_engine_adds_its_columns() {
    let mut table = Table::pinned_by("{\"a\":1}");
    for first in [0, 1] {
        let body = "{\"a\":1}";
        let ranges = ranges(body);
        let Ok(Outcome::Fits(shaped)) = table.decoder.decode(&rows(body, &ranges)) else { panic!("it fits") };
        assert_eq!(shaped.batch.schema(), shaped.schema.arrow());
        assert_eq!(shaped.batch.column(3).as_primitive::<Int64Type>().value(0), first);
    }
}

#[test]
fn numbers_of_a_float_column_are_doubles() {
    let mut table = Table::pinned_by("{\"a\":1}\n{\"a\":1.5}");
    let body = "{\"a\":1}\n{\"a\":1.5}\n{\"a\":1e3}";
    let ranges = ranges(body);
    let Ok(Outcome::Fits(shaped)) = table.decoder.decode(&rows(body, &ranges)) else { panic!("it fits") };
    assert_eq!(shaped.batch.column(0).data_type(), &DataType::Float64);
    assert_eq!(shaped.batch.column(0).as_primitive::<Float64Type>().values(), &[1.0, 1.5, 1000.0]);
}
