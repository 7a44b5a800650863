//! Values, keys and names come back as they were.

use sync_core::Disposition::{Append, History, Merge, Replace};
use sync_core::{Digits, Schema, Type};

use super::Story;
use crate::sink::hand::{Ground, SpecExt as _, spec};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("every type comes back as it was", types_round_trip),
    ("odd names of tables and columns", odd_names),
    ("null is a key like any other", null_keys),
    ("keys of several columns do not run together", composite_keys),
    ("text keys are compared as text", text_keys),
    ("wide rows", wide_rows),
];

fn types_round_trip(ground: &Ground) {
    let types = "i:int f:float d:decimal(38,10) b:bool day:date at:timestamp l:local t:text j:json";
    let rows = [
        "-9223372036854775808|0.1|-0.0000000001|0|0001-01-01|0001-01-01T00:00:00.000000Z|0001-01-01 00:00:00||{}",
        "9223372036854775807|-1.5|9999999999999999999999999999.9999999999|1|9999-12-31|9999-12-31T23:59:59.999999Z|9999-12-31 23:59:59.999999|null|null",
        "0|1000000000000000000000|1.0000000000|1|1970-01-01|1969-12-31T23:59:59.999999Z|1969-12-31 23:59:59.9|1.0|1.0",
        "1|0.000001|0.0000000000|0|2000-02-29|2000-02-29T12:00:00.000001Z|2000-02-29 12:00:00|0012|1e400",
        "2|3|12.5000000000|0|2026-11-24|2026-11-24T00:00:00.000000Z|2026-11-24 00:00:00.000001|a\0b 'quoted' \"text\"; --|{ \"a\" : [1,  2.50] }",
        "3|~|~|~|~|~|~|ä€😀\u{2028}\u{feff}|\"\\u0000\"",
        "~|~|~|~|~|~|~|~|~",
    ];
    let mut hand = ground.open(&spec("t", &[], Append));
    hand.evolve(types);
    hand.write(&rows);
    hand.finish();
    drop(hand);
    ground.check("t", &rows);
    // Twice with the row's first column as the key: every value equals itself.
    for disposition in [Merge, History] {
        let spec = spec(disposition.as_str(), &["i"], disposition);
        for run in ["run-1", "run-2"] {
            let mut hand = ground.open(&spec.run(run));
            hand.evolve(types);
            hand.write(&rows);
            hand.finish();
            if run == "run-2" {
                hand.books(0, rows.len() as u64);
            }
            drop(hand);
        }
        ground.check(disposition.as_str(), &rows);
    }
}

fn odd_names(ground: &Ground) {
    let streams = [
        "a b",
        "Mixed Case",
        "dotted.name",
        "it's \"quoted\"",
        "`tick` [bracket]",
        "Ünïcode 表",
        "select",
        "1st",
        "per%cent ?1 :x @y $z #h",
    ];
    let fields = [
        "id",
        "Id",
        "",
        " ",
        "a.b",
        "it's",
        "\"quoted\"",
        "[x]",
        "`tick`",
        "select",
        "rowid",
        "oid",
        "_rowid_",
        "1",
        "Ünïcode 表",
        "ünïcode 表",
        "?1",
        ":x",
        "a\nb",
        "excluded",
        "_sync_run",
        "_deleted",
        "_valid_to",
        "t",
        "*",
    ];
    for stream in streams {
        let mut schema = Schema::default();
        for field in fields {
            schema.add(field, Type::Text, true, Digits::default());
        }
        let line = |id: &str, v: &str| {
            [id].into_iter().chain(std::iter::repeat_n(v, fields.len() - 1)).collect::<Vec<_>>().join("|")
        };
        for disposition in [Merge, Append, Replace, History] {
            let stream = format!("{stream} {}", disposition.as_str());
            let spec = spec(&stream, &["id", "\"quoted\""], disposition).order("a.b");
            let mut hand = ground.open(&spec);
            hand.evolve_to(schema.clone());
            hand.write(&[&line("1", "a"), &line("2", "a")]);
            hand.commit();
            hand.write(&[&line("2", "a")]);
            hand.finish();
            hand.books(2, 1);
            drop(hand);
            let rows = ground.rows(&stream).expect("the table");
            assert_eq!(rows.names(), schema.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>());
            ground.check(&stream, &[&line("1", "a"), &line("2", "a")]);
            let mut wider = schema.clone();
            wider.columns[4].ty = Type::Json;
            let mut hand = ground.open(&spec.run("run-2"));
            hand.evolve_to(wider);
            hand.write(&[&line("3", "3")]);
            hand.finish();
            drop(hand);
            assert_eq!(
                ground.rows(&stream).expect("the table").rows.len(),
                if disposition == Replace { 1 } else { 3 }
            );
        }
    }
}

fn null_keys(ground: &Ground) {
    for disposition in [Merge, Replace] {
        let stream = format!("t-{}", disposition.as_str());
        let spec = spec(&stream, &["a", "b"], disposition);
        let mut hand = ground.open(&spec);
        hand.evolve("a:int b:text v:int");
        hand.write(&["~|~|1", "1|~|1", "~|x|1", "1|x|1", "~|~|2", "1|~|1"]);
        hand.commit();
        hand.write(&["~|x|2", "1||1"]);
        hand.finish();
        hand.books(5, 3);
        drop(hand);
        ground.check(&stream, &["~|~|2", "1|~|1", "~|x|2", "1|x|1", "1||1"]);
    }
    let mut hand = ground.open(&spec("t-merge", &["a", "b"], Merge).run("run-2"));
    hand.write(&["~|~|2", "1|~|3", "~|~|2"]);
    hand.finish();
    hand.books(1, 2);
    drop(hand);
    ground.check("t-merge", &["~|~|2", "1|~|3", "~|x|2", "1|x|1", "1||1"]);
    let log = spec("log", &["a"], Append);
    let mut hand = ground.open(&log);
    hand.evolve("a:int v:int");
    hand.write(&["~|1", "~|1", "~|2"]);
    hand.commit();
    hand.write(&["~|2"]);
    hand.finish();
    hand.books(2, 2);
    drop(hand);
    ground.check("log", &["~|1", "~|2"]);
}

fn composite_keys(ground: &Ground) {
    let rows =
        ["a|bc|1", "ab|c|2", "abc||3", "|abc|4", "a,b|c|5", "a|b,c|6", "a\0b|c|7", "a|\0bc|8", "A|BC|9"];
    let mut hand = ground.open(&spec("t", &["x", "y"], Merge));
    hand.evolve("x:text y:text n:int");
    hand.write(&rows);
    hand.finish();
    hand.books(rows.len() as u64, 0);
    drop(hand);
    ground.check("t", &rows);
}

fn text_keys(ground: &Ground) {
    let rows = ["1|a", "01|b", "1.0|c", "1e0|d", " 1|e", "1 |f", "+1|g", "|h", "ä|i", "a\u{308}|j"];
    let mut hand = ground.open(&spec("t", &["id"], Merge));
    hand.evolve("id:text v:text");
    hand.write(&rows);
    hand.finish();
    hand.books(rows.len() as u64, 0);
    drop(hand);
    ground.check("t", &rows);
    let big = ["9007199254740993|a", "9007199254740992|b", "-1|c"];
    let mut hand = ground.open(&spec("n", &["id"], Merge));
    hand.evolve("id:int v:text");
    hand.write(&big);
    hand.finish();
    hand.books(3, 0);
    drop(hand);
    ground.check("n", &big);
}

fn wide_rows(ground: &Ground) {
    let columns: Vec<_> = (0..1200).map(|n| format!("column_{n}:{}", ["int", "text"][n % 2])).collect();
    let line = |id: usize, n: usize| (0..n).map(|c| (id + c).to_string()).collect::<Vec<_>>().join("|");
    let spec = spec("t", &["column_0"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve(&columns[..1100].join(" "));
    let lines: Vec<_> = (0..65).map(|id| line(id, 1100)).collect();
    hand.write(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    hand.commit();
    hand.evolve(&columns.join(" "));
    let wider: Vec<_> = (0..65).map(|id| line(id, 1200)).collect();
    hand.write(&wider.iter().map(String::as_str).collect::<Vec<_>>());
    hand.finish();
    hand.books(65, 65);
    drop(hand);
    ground.check("t", &wider.iter().map(String::as_str).collect::<Vec<_>>());
}
