use sync_core::arrow::array::AsArray;
use sync_core::arrow::datatypes::{DataType, Float64Type, Int64Type};
use sync_core::arrow::util::display::{ArrayFormatter, FormatOptions};

use sync_spec::Contract;

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
    terms: Terms,
}

impl Table {
    fn pinned_by(body: &str) -> Self {
        let terms = Terms::default();
        let mut sample = Sample::default();
        sample.take(&rows(body, &ranges(body)), &terms);
        Self { decoder: Decoder::new(sample.pin(&terms), RunId::new(Timestamp::from_micros(0))), terms }
    }

    /// Reads a page as a run does; the columns with their types and values.
    fn read(&mut self, body: &str) -> String {
        let ranges = ranges(body);
        let page = rows(body, &ranges);
        if let Outcome::Fits(shaped) = self.decoder.decode(&page, Leniency::default()) {
            return show(&shaped);
        }
        let judged = match self.decoder.judge(&page, &self.terms, 7) {
            Ok(judged) => judged,
            Err(stopped) => return format!("stopped at {}: {}", stopped.why.row, stopped.why.message),
        };
        let kept: Vec<_> = judged.keep.iter().map(|index| ranges[*index].clone()).collect();
        let page = rows(body, &kept);
        self.decoder.adopt(self.decoder.widened(&page, &judged, &self.terms));
        let Outcome::Fits(shaped) = self.decoder.decode(&page, judged.lenient) else {
            panic!("the page does not fit the schema made for it")
        };
        let mut lines = vec![show(&shaped)];
        lines.extend(judged.aside.iter().map(|a| format!("{} {}: {}", a.code, a.row, a.message)));
        lines.extend((judged.dropped > 0).then(|| format!("dropped {}", judged.dropped)));
        lines.join("\n")
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
        let Outcome::Fits(shaped) = table.decoder.decode(&rows(body, &ranges), Leniency::default()) else {
            panic!("it fits")
        };
        assert_eq!(shaped.batch.schema(), shaped.schema.arrow());
        assert_eq!(shaped.batch.column(3).as_primitive::<Int64Type>().value(0), first);
    }
}

#[test]
fn numbers_of_a_float_column_are_doubles() {
    let mut table = Table::pinned_by("{\"a\":1}\n{\"a\":1.5}");
    let body = "{\"a\":1}\n{\"a\":1.5}\n{\"a\":1e3}";
    let ranges = ranges(body);
    let Outcome::Fits(shaped) = table.decoder.decode(&rows(body, &ranges), Leniency::default()) else {
        panic!("it fits")
    };
    assert_eq!(shaped.batch.column(0).data_type(), &DataType::Float64);
    assert_eq!(shaped.batch.column(0).as_primitive::<Float64Type>().values(), &[1.0, 1.5, 1000.0]);
}

/// A page against a table under a contract: `new_columns` and `type_change`.
#[track_caller]
fn contract(first: &str, second: &str, contract: Contract, expect: &str) {
    let mut table = Table::pinned_by(first);
    table.terms = Terms {
        new_columns: contract,
        type_change: contract,
        key: vec!["id".to_owned()],
        ..Terms::default()
    };
    assert_eq!(table.read(second), expect, "{contract:?}");
}

#[test]
fn a_value_of_another_type_meets_the_contract() {
    let first = r#"{"id":1,"mrr":10}"#;
    let second = "{\"id\":2,\"mrr\":20}\n{\"id\":3,\"mrr\":\"n/a\"}\n{\"id\":4,\"mrr\":30}";
    contract(first, second, Contract::Evolve, "id int: 2 3 4\nmrr json: 20 \"n/a\" 30");
    contract(first, second, Contract::Freeze, "stopped at 1: \"mrr\" is int, and this row has \"n/a\"");
    contract(
        first,
        second,
        Contract::Quarantine,
        "id int: 2 4\nmrr int: 20 30\ntype_change 1: \"mrr\" is int, and this row has \"n/a\"",
    );
    contract(first, second, Contract::DropValue, "id int: 2 3 4\nmrr int: 20 ∅ 30\ndropped 1");
}

#[test]
fn a_new_field_meets_the_contract() {
    let first = r#"{"id":1}"#;
    let second = "{\"id\":2}\n{\"id\":3,\"tier\":\"gold\"}";
    contract(first, second, Contract::Evolve, "id int: 2 3\ntier text: ∅ gold");
    let why = "the table has no column \"tier\", and this row has \"gold\" in it";
    contract(first, second, Contract::Freeze, &format!("stopped at 1: {why}"));
    contract(first, second, Contract::Quarantine, &format!("id int: 2\nnew_column 1: {why}"));
    contract(first, second, Contract::DropValue, "id int: 2 3\ndropped 1");
}

#[test]
fn the_key_is_never_dropped_and_a_column_of_nulls_takes_what_comes() {
    contract(
        r#"{"id":1}"#,
        "{\"id\":\"x\"}\n{\"id\":2}",
        Contract::DropValue,
        "id int: 2\ntype_change 0: \"id\" is int, and this row has \"x\"",
    );
    let nulls = r#"{"id":1,"later":null}"#;
    contract(nulls, r#"{"id":2,"later":"x"}"#, Contract::Freeze, "id int: 2\nlater text: x");
}

#[test]
fn numbers_that_widen_meet_the_contract_too() {
    let first = r#"{"id":1,"n":1}"#;
    let second = "{\"id\":2,\"n\":9007199254740993}\n{\"id\":3,\"n\":0.5}";
    contract(first, second, Contract::Evolve, "id int: 2 3\nn decimal(38,1): 9007199254740993.0 0.5");
    contract(
        first,
        second,
        Contract::Quarantine,
        "id int: 2\nn int: 9007199254740993\ntype_change 1: \"n\" is int, and this row has 0.5",
    );
}

#[test]
fn what_is_no_row_is_set_aside() {
    contract(
        r#"{"id":1}"#,
        "null\n{\"id\":2}\n{\"id\":nul}",
        Contract::Evolve,
        "id int: 2\ninvalid_row 0: it is null, not an object\ninvalid_row 2: not JSON at byte 9: only true, false and null stand without quotes",
    );
}

/// Rows whose only field is `v`, one for each value.
fn values_of_v(values: &str) -> String {
    values.split_whitespace().map(|v| format!("{{\"v\":{v}}}")).collect::<Vec<_>>().join("\n")
}

/// A table whose column `v` was given a type, and which these rows pin.
fn given(ty: GivenType, body: &str) -> Table {
    let terms = Terms { declared: vec![("v".to_owned(), ty)], ..Terms::default() };
    let mut sample = Sample::default();
    sample.take(&rows(body, &ranges(body)), &terms);
    let decoder = Decoder::new(sample.pin(&terms), RunId::new(Timestamp::from_micros(0)));
    Table { decoder, terms }
}

/// A page whose column `v` was given a type.
#[track_caller]
fn declared(ty: &str, values: &str, expect: &str) {
    let body = values_of_v(values);
    let got = given(GivenType::Exactly(ty.parse().expect("a type")), &body).read(&body);
    let got: Vec<_> = got.lines().map(|line| line.split_once(": ").unwrap_or(("", line)).1).collect();
    assert_eq!(got.join(" | "), expect, "{ty} {values}");
}

#[test]
fn a_type_that_was_given_reads_what_loses_nothing() {
    declared("decimal(18,2)", "1 \"2.50\" 0.1 \"\" null", "1.00 2.50 0.10 ∅ ∅");
    declared("int", "7 \"8\" \"\"", "7 8 ∅");
    declared("bool", "true \"false\" \"\"", "true false ∅");
    declared("text", "1 true \"x\" [1]", "1 true x [1]");
    declared("local", "\"2026-11-24T10:00:00\" \"\"", "2026-11-24T10:00:00 ∅");
    declared("json", "1 \"x\"", "1 \"x\"");
}

#[test]
fn a_type_that_was_given_does_not_give_way() {
    declared(
        "int",
        "7 \"007\" 1.5",
        "7 | \"v\" is int, and this row has \"007\" | \"v\" is int, and this row has 1.5",
    );
    declared("bool", "1", " | \"v\" is bool, and this row has 1");
    declared("date", "\"soon\"", " | \"v\" is date, and this row has \"soon\"");
}

#[test]
fn a_decimal_without_digits_gets_those_that_its_values_have() {
    let nines = "9".repeat(30);
    let mut table = given(GivenType::Decimal, &values_of_v("\"1.5\" 2 \"\" null \"n/a\" 1e1"));
    let mut read = |values: &str| table.read(&values_of_v(values));
    assert_eq!(read("\"1.5\" 2 \"\" null"), "v decimal(38,1): 1.5 2.0 ∅ ∅");
    assert_eq!(read("\"0.125\" 7"), "v decimal(38,3): 0.125 7.000");
    assert_eq!(
        read("\"n/a\" \"0.5\" true"),
        "v decimal(38,3): 0.500\ntype_change 0: \"v\" is decimal(38,3), and this row has \"n/a\"\n\
         type_change 2: \"v\" is decimal(38,3), and this row has true"
    );
    // Both would fit, but not side by side: the first that comes is taken.
    let both = read(&format!("{nines} 0.123456789"));
    assert_eq!(
        both,
        format!(
            "v decimal(38,3): {nines}.000\ntype_change 1: \"v\" is decimal(38,3), and this row has 0.123456789"
        )
    );
    assert_eq!(read("\"0.12345678\""), "v decimal(38,8): 0.12345678");
}

#[test]
fn numbers_that_never_fit_one_decimal_are_set_aside_whichever_comes_first() {
    let (long, fine) = ("9".repeat(30), format!("0.{}1", "0".repeat(20)));
    for (first, second) in [(&long, &fine), (&fine, &long)] {
        let body = values_of_v(&format!("{first} {second}"));
        let read = given(GivenType::Decimal, &body).read(&body);
        assert_eq!(read.lines().count(), 2, "{read}");
        assert!(read.contains("type_change 1: \"v\" is decimal(38,"), "{read}");
    }
}

#[test]
fn a_decimal_without_digits_changes_only_where_the_contract_lets_it() {
    let mut table = given(GivenType::Decimal, &values_of_v("1.5"));
    table.terms.type_change = Contract::Quarantine;
    assert_eq!(
        table.read(&values_of_v("1 0.25")),
        "v decimal(38,1): 1.0\ntype_change 1: \"v\" is decimal(38,1), and this row has 0.25"
    );
}

#[test]
fn what_a_provider_tells_counts_unless_its_own_data_says_otherwise() {
    let told = |ty: &str, values: &str| {
        let body = values_of_v(values);
        let given =
            if ty == "decimal" { GivenType::Decimal } else { GivenType::Exactly(ty.parse().expect(ty)) };
        let terms = Terms {
            declared: vec![("v".to_owned(), given)],
            told: ["v".to_owned()].into(),
            ..Terms::default()
        };
        let mut sample = Sample::default();
        sample.take(&rows(&body, &ranges(&body)), &terms);
        let column = sample.pin(&terms).columns.remove(0);
        assert_eq!(sample.not_as_told().count(), usize::from(!column.declared));
        format!("{}{}", column.ty, if column.declared { "" } else { ", found" })
    };
    assert_eq!(told("decimal", "\"1.25\" \"\" null 3"), "decimal(38,2)");
    assert_eq!(told("decimal", "\"1.25\" \"x\""), "text, found");
    assert_eq!(told("date", "\"2026-01-02\" \"\""), "date");
    assert_eq!(told("date", "\"1767312000000\" \"1767312000001\""), "text, found");
    assert_eq!(told("timestamp", "1767312000000"), "int, found");
    assert_eq!(told("bool", "\"true\" false null"), "bool");
    assert_eq!(told("text", "1 true [2]"), "text");
    assert_eq!(told("int", "null null"), "int");
    // One in a hundred may be odd; its row is set aside.
    let (many, odd) = ("\"1\" ".repeat(150), "\"n/a\"");
    assert_eq!(told("int", &format!("{many} {odd}")), "int");
    assert_eq!(told("int", &format!("{many} {odd} {odd}")), "text, found");
}
