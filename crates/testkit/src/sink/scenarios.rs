//! What every sink must do, one story each.

use sync_core::Disposition::{Append, Merge, Replace};
use sync_core::{Checkpoint, Digits, Kind, Schema, TableSpec, Type};

use super::hand::{Ground, Hand, SpecExt as _, spec};

type Scenario = fn(&Ground);

/// Every story with its name.
pub(super) const ALL: &[(&str, Scenario)] = &[
    ("append adds every row", append_adds),
    ("append with a key leaves out rows already taken", append_with_key),
    ("merge keeps the last row of a key", merge_last_wins),
    ("merge keeps the greatest version of a key", merge_by_order),
    ("merge orders every type by its value", merge_orders_by_value),
    ("merge counts a key once a run", merge_counts_once),
    ("merge of many rows in many batches", merge_many),
    ("replace shows the listing when it is whole", replace_when_whole),
    ("replace with a key merges", replace_with_key),
    ("replace by an empty listing", replace_by_nothing),
    ("a restarted build forgets its rows", restart_forgets),
    ("a restarted merge forgets nothing", restart_keeps),
    ("a full refresh switches in when it is whole", anew_when_whole),
    ("a full refresh that was killed goes on", anew_goes_on),
    ("a second full refresh throws the first away", anew_twice),
    ("continue after a drop at any step", continue_anywhere),
    ("a drop forgets what was not committed", drop_forgets),
    ("a new column leaves old rows as they are", evolve_adds),
    ("a wider type rewrites old rows", evolve_widens),
    ("a schema grows between a write and its commit", evolve_in_flight),
    ("a schema grows while a table is built", evolve_while_building),
    ("a key's type grows", evolve_key),
    ("every type comes back as it was", types_round_trip),
    ("a checkpoint comes back as it was", checkpoint_round_trip),
    ("a commit compares and sets the sequence", compare_and_set),
    ("another owner is refused", other_owner),
    ("odd names of tables and columns", odd_names),
    ("null is a key like any other", null_keys),
    ("keys of several columns do not run together", composite_keys),
    ("text keys are compared as text", text_keys),
    ("empty commits move the checkpoint", empty_commits),
    ("a stream without rows", no_rows),
    ("wide rows", wide_rows),
    ("streams share a sink", streams_share),
    ("publish shows what was committed", publish_shows),
    ("like_the_model", super::model::like_the_model),
];

fn append_adds(ground: &Ground) {
    let spec = spec("log", &[], Append);
    let mut hand = ground.open(&spec);
    assert_eq!((hand.opened().rows, hand.opened().building), (0, false));
    assert_eq!(hand.opened().checkpoint, None);
    hand.evolve("n:int");
    hand.write(&["1", "2"]);
    hand.write(&["2"]);
    hand.commit();
    hand.write(&["3", "~"]);
    hand.finish();
    hand.books(5, 0);
    drop(hand);
    ground.check("log", &["1", "2", "2", "3", "~"]);
    let mut hand = ground.open(&spec.run("run-2"));
    assert_eq!(hand.opened().rows, 5);
    hand.write(&["3"]);
    hand.finish();
    hand.books(1, 0);
    drop(hand);
    ground.check("log", &["1", "2", "2", "3", "3", "~"]);
}

fn append_with_key(ground: &Ground) {
    let spec = spec("log", &["id"], Append);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|b", "1|a"]);
    hand.commit();
    hand.write(&["2|b"]);
    hand.finish();
    hand.books(2, 2);
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.write(&["2|b", "2|c", "3|~", "3|~", "3|"]);
    hand.finish();
    hand.books(3, 2);
    drop(hand);
    ground.check("log", &["1|a", "2|b", "2|c", "3|~", "3|"]);
}

fn merge_last_wins(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text w:int");
    hand.write(&["1|a|1", "2|b|2", "1|c|~"]);
    hand.commit();
    hand.write(&["3|~|3", "2|b|2"]);
    hand.finish();
    hand.books(3, 2);
    drop(hand);
    ground.check("t", &["1|c|~", "2|b|2", "3|~|3"]);
    let mut hand = ground.open(&spec.run("run-2"));
    assert_eq!(hand.opened().rows, 3);
    hand.write(&["3|~|3", "2|~|2", "4|d|4"]);
    hand.finish();
    hand.books(2, 1);
    drop(hand);
    ground.check("t", &["1|c|~", "2|~|2", "3|~|3", "4|d|4"]);
}

fn merge_by_order(ground: &Ground) {
    let spec = spec("t", &["id"], Merge).order("at");
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text at:timestamp");
    let row = |id: u32, v: &str, second: u32| format!("{id}|{v}|2026-01-01T00:00:{second:02}.000000Z");
    // Inside a batch: a later row with an earlier time loses, one with the same time wins.
    let rows = [row(1, "new", 30), row(1, "old", 10), row(2, "a", 20), row(2, "b", 20)];
    hand.write(&rows.each_ref().map(String::as_str));
    hand.write(&["3|null|~"]);
    hand.commit();
    // Between commits.
    hand.write(&[&row(2, "older", 19), &row(3, "dated", 1)]);
    hand.finish();
    hand.books(3, 4);
    drop(hand);
    ground.check("t", &[&row(1, "new", 30), &row(2, "b", 20), &row(3, "dated", 1)]);
    // Between runs; a null is no order, so it counts as a change.
    let mut hand = ground.open(&spec.run("run-2"));
    hand.write(&[&row(1, "older", 29), "2|undated|~", &row(3, "same time", 1)]);
    hand.finish();
    hand.books(2, 1);
    drop(hand);
    ground.check("t", &[&row(1, "new", 30), "2|undated|~", &row(3, "same time", 1)]);
}

fn merge_orders_by_value(ground: &Ground) {
    let cases = [
        ("int", "9", "10"),
        ("float", "9.5", "10.5"),
        ("decimal(5,2)", "-10.00", "-9.00"),
        ("decimal(6,1)", "9.5", "10.0"),
        ("date", "2025-12-31", "2026-01-01"),
        ("local", "2026-01-01 00:00:09", "2026-01-01 00:00:09.5"),
        ("text", "a", "b"),
    ];
    for (index, (ty, low, high)) in cases.into_iter().enumerate() {
        let stream = format!("t{index}");
        let mut hand = ground.open(&spec(&stream, &["id"], Merge).order("o"));
        hand.evolve(&format!("id:int o:{ty}"));
        hand.write(&[&format!("1|{low}"), &format!("2|{high}")]);
        hand.commit();
        hand.write(&[&format!("1|{high}"), &format!("2|{low}")]);
        hand.finish();
        drop(hand);
        ground.check(&stream, &[&format!("1|{high}"), &format!("2|{high}")]);
    }
}

fn merge_counts_once(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:int");
    hand.write(&["1|0", "2|0", "3|0"]);
    hand.finish();
    hand.books(3, 0);
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.write(&["1|1", "1|2", "2|0"]);
    hand.commit();
    hand.write(&["1|3", "4|1"]);
    hand.commit();
    hand.publish();
    hand.write(&["4|2", "3|0", "1|3"]);
    hand.finish();
    hand.books(2, 6); // keys 1 and 4 are new or changed, each once
    drop(hand);
    ground.check("t", &["1|3", "2|0", "3|0", "4|2"]);
}

fn merge_many(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:text v:int");
    let line = |id: u64, v: u64| format!("key-{:06}|{v}", id * 7919 % 3001);
    for (page, size) in [1_u64, 19, 20, 21, 999, 1000, 941].into_iter().enumerate() {
        let first = [0, 1, 20, 40, 61, 1060, 2060][page];
        let lines: Vec<_> = (first..first + size).map(|id| line(id, 0)).collect();
        hand.write(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        hand.commit();
    }
    hand.books(3001, 0);
    let again: Vec<_> = (0..3001).map(|id| line(id, u64::from(id % 3 == 0))).collect();
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    assert_eq!(hand.opened().rows, 3001);
    for lines in again.chunks(777) {
        hand.write(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
    hand.finish();
    hand.books(1001, 2000);
    drop(hand);
    ground.check("t", &again.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A table with a finished listing of the rows `1|old` and `2|old`.
fn with_old_rows(ground: &Ground, spec: &TableSpec) {
    let mut hand = ground.open(spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|old", "2|old"]);
    hand.finish();
    hand.books(2, 0);
}

fn replace_when_whole(ground: &Ground) {
    let spec = spec("t", &[], Replace);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|old"]);
    hand.commit();
    hand.publish();
    ground.check("t", &[]);
    hand.write(&["2|old"]);
    hand.finish();
    hand.books(2, 0);
    ground.check("t", &["1|old", "2|old"]);
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    assert_eq!((hand.opened().rows, hand.opened().building), (2, false));
    hand.write(&["2|new", "2|new"]);
    hand.commit();
    hand.publish();
    ground.check("t", &["1|old", "2|old"]);
    hand.write(&["3|new"]);
    hand.commit();
    ground.check("t", &["1|old", "2|old"]);
    let last = hand.last();
    hand.finish();
    hand.books(3, 0);
    ground.check("t", &["2|new", "2|new", "3|new"]);
    drop(hand);
    let hand = ground.open(&spec.run("run-3"));
    assert_eq!((hand.opened().rows, hand.opened().building), (3, false));
    assert_eq!(hand.opened().checkpoint.as_ref(), Some(&last));
    drop(hand);
    ground.check("t", &["2|new", "2|new", "3|new"]);
}

fn replace_with_key(ground: &Ground) {
    let spec = spec("t", &["id"], Replace);
    with_old_rows(ground, &spec);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.write(&["2|a", "3|a", "2|b"]);
    hand.commit();
    hand.write(&["3|a", "4|a"]);
    hand.finish();
    hand.books(3, 2);
    drop(hand);
    ground.check("t", &["2|b", "3|a", "4|a"]);
}

fn replace_by_nothing(ground: &Ground) {
    let spec = spec("t", &[], Replace);
    with_old_rows(ground, &spec);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.commit();
    ground.check("t", &["1|old", "2|old"]);
    hand.finish();
    hand.books(0, 0);
    drop(hand);
    ground.check("t", &[]);
    assert_eq!(ground.open(&spec.run("run-3")).opened().rows, 0);
}

fn restart_forgets(ground: &Ground) {
    for (stream, key) in [("plain", &[] as &[&str]), ("keyed", &["id"])] {
        let spec = spec(stream, key, Replace);
        with_old_rows(ground, &spec);
        let mut hand = ground.open(&spec.run("run-2"));
        hand.write(&["7|shifted", "8|shifted"]);
        hand.commit();
        hand.write(&["9|staged"]);
        hand.restart();
        hand.write(&["8|new", "10|new"]);
        hand.commit();
        drop(hand);
        // The restart was durable with the commit after it.
        let mut hand = ground.open(&spec.run("run-3"));
        assert!(hand.opened().building);
        hand.write(&["11|new"]);
        hand.finish();
        hand.books(1, 0);
        drop(hand);
        ground.check(stream, &["8|new", "10|new", "11|new"]);

        let mut hand = ground.open(&spec.run("run-4"));
        hand.write(&["1|a", "2|a"]);
        hand.commit();
        hand.write(&["3|a"]);
        hand.restart();
        hand.write(&["1|b"]);
        hand.finish();
        hand.books(1, 3);
        drop(hand);
        ground.check(stream, &["1|b"]);
    }
}

fn restart_keeps(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    with_old_rows(ground, &spec);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.write(&["3|new"]);
    hand.commit();
    hand.write(&["4|new"]);
    hand.restart();
    hand.write(&["3|new", "4|new", "5|new"]);
    hand.finish();
    hand.books(3, 2);
    drop(hand);
    ground.check("t", &["1|old", "2|old", "3|new", "4|new", "5|new"]);
}

fn anew_when_whole(ground: &Ground) {
    for (stream, key, disposition) in
        [("merge", &["id"] as &[&str], Merge), ("append", &[], Append), ("replace", &["id"], Replace)]
    {
        let spec = spec(stream, key, disposition);
        with_old_rows(ground, &spec);
        let mut hand = ground.open(&spec.run("run-2").anew());
        assert_eq!(hand.opened().checkpoint, None);
        assert_eq!(hand.opened().rows, 2);
        hand.evolve("other:text id:int"); // another shape altogether
        hand.write(&["x|2"]);
        hand.commit();
        hand.publish();
        ground.check(stream, &["1|old", "2|old"]);
        hand.write(&["y|3"]);
        hand.finish();
        hand.books(2, 0);
        ground.check(stream, &["x|2", "y|3"]);
        drop(hand);
        let mut hand = ground.open(&spec.run("run-3"));
        assert_eq!((hand.opened().rows, hand.opened().building), (2, false));
        hand.write(&["z|4"]);
        hand.finish();
        drop(hand);
        let expect: &[&str] = if disposition == Replace { &["z|4"] } else { &["x|2", "y|3", "z|4"] };
        ground.check(stream, expect);
    }
}

fn anew_goes_on(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    with_old_rows(ground, &spec);
    let mut hand = ground.open(&spec.run("run-2").anew());
    hand.evolve("id:int v:text");
    hand.write(&["2|new"]);
    let committed = hand.next();
    hand.commit();
    hand.write(&["3|lost"]);
    drop(hand);
    let mut hand = ground.open(&spec.run("run-3"));
    assert!(hand.opened().building);
    assert_eq!(hand.opened().checkpoint.as_ref(), Some(&committed));
    assert_eq!(hand.opened().rows, 2, "the rows that a reader sees");
    hand.write(&["4|new"]);
    hand.commit();
    hand.publish();
    ground.check("t", &["1|old", "2|old"]);
    hand.finish();
    hand.books(1, 0);
    drop(hand);
    ground.check("t", &["2|new", "4|new"]);
}

fn anew_twice(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    with_old_rows(ground, &spec);
    for run in ["run-2", "run-3"] {
        let mut hand = ground.open(&spec.run(run).anew());
        assert_eq!(hand.opened().checkpoint, None);
        hand.evolve("id:int v:text");
        hand.write(&[&format!("7|{run}"), &format!("{}|only", &run[4..])]);
        hand.commit();
        drop(hand);
        ground.check("t", &["1|old", "2|old"]);
    }
    let mut hand = ground.open(&spec.run("run-4"));
    hand.finish();
    drop(hand);
    ground.check("t", &["7|run-3", "3|only"]);
}

/// The steps of an undisturbed run of three pages; a run is cut after each of them.
const STEPS: usize = 6;

fn step(hand: &mut Hand, index: usize) {
    let page = [["1|a", "2|a"], ["2|b", "3|a"], ["4|a", "1|a"]][index / 2];
    match (index % 2, index / 2) {
        (0, _) => hand.write(&page),
        (_, 2) => hand.finish(),
        _ => drop(hand.commit()),
    }
}

fn continue_anywhere(ground: &Ground) {
    for (disposition, whole) in [
        (Merge, &["0|old", "1|a", "2|b", "3|a", "4|a"] as &[&str]),
        (Append, &["0|old", "1|a", "2|a", "2|b", "3|a", "4|a"]),
        (Replace, &["1|a", "2|b", "3|a", "4|a"]),
    ] {
        for cut in 0..STEPS {
            let stream = format!("{}{cut}", disposition.as_str());
            let spec = spec(&stream, &["id"], disposition);
            let mut hand = ground.open(&spec);
            hand.evolve("id:int v:text");
            hand.write(&["0|old"]);
            let mut committed = hand.last();
            hand.finish();
            drop(hand);

            let mut hand = ground.open(&spec.run("run-2"));
            let mut pages = 0;
            for index in 0..=cut {
                let next = if index == STEPS - 1 { hand.last() } else { hand.next() };
                step(&mut hand, index);
                if index % 2 == 1 {
                    committed = next;
                    pages += 1;
                }
            }
            drop(hand);

            let mut hand = ground.open(&spec.run("run-3"));
            let building = disposition == Replace && (1..STEPS - 1).contains(&cut);
            assert_eq!(hand.opened().checkpoint.as_ref(), Some(&committed), "{stream}");
            assert_eq!(hand.opened().building, building, "{stream}");
            (pages * 2..STEPS).for_each(|index| step(&mut hand, index));
            drop(hand);
            ground.check(&stream, whole);
        }
    }
}

fn drop_forgets(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int");
    hand.write(&["1"]);
    drop(hand);
    let mut hand = ground.open(&spec);
    assert_eq!((hand.opened().checkpoint.clone(), hand.opened().rows), (None, 0));
    hand.evolve("id:int");
    hand.write(&["2"]);
    hand.finish();
    hand.write(&["3"]);
    drop(hand);
    ground.check("t", &["2"]);
}

fn evolve_adds(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int");
    hand.write(&["1", "2"]);
    hand.commit();
    hand.evolve("id:int late:text");
    hand.write(&["3|x"]);
    hand.finish();
    drop(hand);
    ground.check("t", &["1|~", "2|~", "3|x"]);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.evolve("id:int late:text later:bool");
    hand.write(&["1|~|~", "2|~|1", "3|x|~", "4|~|0"]);
    hand.finish();
    hand.books(2, 2); // a null in a new column is no change
    drop(hand);
    ground.check("t", &["1|~|~", "2|~|1", "3|x|~", "4|~|0"]);
    assert_eq!(ground.rows("t").expect("the table").names(), ["id", "late", "later"]);
}

fn evolve_widens(ground: &Ground) {
    let cases = [
        ("int", "9007199254740992", "float", "9007199254740992", "0.5"),
        ("int", "-5", "decimal(20,2)", "-5.00", "0.01"),
        ("int", "9223372036854775807", "json", "9223372036854775807", "{\"a\": 1.0}"),
        ("float", "0.1", "decimal(20,3)", "0.100", "0.001"),
        ("float", "0.1", "json", "0.1", "[]"),
        ("decimal(9,1)", "-0.5", "decimal(12,3)", "-0.500", "1.234"),
        ("decimal(9,1)", "0.5", "decimal(12,1)", "0.5", "12345678901.5"),
        ("decimal(9,1)", "12345678.9", "json", "12345678.9", "null "),
        ("bool", "1", "json", "true", "false"),
        ("text", "a \"b\"\n", "json", "\"a \\\"b\\\"\\n\"", "1"),
        ("date", "2026-11-24", "text", "2026-11-24", ""),
        ("date", "2026-11-24", "json", "\"2026-11-24\"", "{}"),
        ("timestamp", "2026-11-24T10:00:00Z", "text", "2026-11-24T10:00:00.000000Z", "later"),
        ("timestamp", "2026-11-24T10:00:00.5Z", "json", "\"2026-11-24T10:00:00.500000Z\"", "1"),
        ("local", "2026-11-24 10:00:00", "text", "2026-11-24 10:00:00", "soon"),
        ("local", "2026-11-24 10:00:00.25", "json", "\"2026-11-24 10:00:00.25\"", "1"),
        ("?", "~", "int", "~", "7"),
        ("?", "~", "float", "~", "1.5"),
        ("?", "~", "decimal(9,2)", "~", "1.50"),
        ("?", "~", "bool", "~", "1"),
        ("?", "~", "timestamp", "~", "2026-11-24T10:00:00.000000Z"),
        ("?", "~", "json", "~", "{}"),
    ];
    for (index, (from, stored, to, expect, new)) in cases.into_iter().enumerate() {
        let stream = format!("t{index}");
        let spec = spec(&stream, &["id"], Merge);
        let mut hand = ground.open(&spec);
        hand.evolve(&format!("id:int v:{from} last:text"));
        hand.write(&[&format!("1|{stored}|x"), "2|~|y"]);
        hand.commit();
        hand.evolve(&format!("id:int v:{to} last:text"));
        hand.write(&[&format!("3|{new}|z")]);
        hand.finish();
        drop(hand);
        let (one, three) = (format!("1|{expect}|x"), format!("3|{new}|z"));
        ground.check(&stream, &[&one, "2|~|y", &three]);
        // The rewritten row is equal to the same row when it comes again.
        let mut hand = ground.open(&spec.run("run-2"));
        hand.write(&[&one, "2|~|y", &three]);
        hand.finish();
        hand.books(0, 3);
    }
}

fn evolve_in_flight(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:int");
    hand.write(&["1|1", "2|~"]);
    hand.evolve("id:int v:json w:text");
    hand.write(&["3|[1]|a"]);
    hand.commit();
    hand.write(&["1|1|~"]);
    hand.finish();
    hand.books(3, 1);
    drop(hand);
    ground.check("t", &["1|1|~", "2|~|~", "3|[1]|a"]);
    // A schema that was never committed is forgotten with the rows.
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:json w:text x:int");
    hand.write(&["4|1|a|1"]);
    drop(hand);
    let hand = ground.open(&spec);
    let schema = hand.opened().checkpoint.as_ref().map(|c| c.schema.clone());
    assert_eq!(schema, Some(super::schema("id:int v:json w:text")));
    drop(hand);
    ground.check("t", &["1|1|~", "2|~|~", "3|[1]|a"]);
}

fn evolve_while_building(ground: &Ground) {
    let spec = spec("t", &["id"], Replace);
    with_old_rows(ground, &spec);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.write(&["1|a"]);
    hand.commit();
    hand.evolve("id:int v:json w:int");
    hand.write(&["2|{}|1"]);
    hand.commit();
    drop(hand);
    ground.check("t", &["1|old", "2|old"]);
    let mut hand = ground.open(&spec.run("run-3"));
    assert!(hand.opened().building);
    hand.evolve("id:json v:json w:float");
    hand.write(&["\"x\"|1|0.5", "1|\"a\"|~"]);
    hand.finish();
    hand.books(1, 1);
    drop(hand);
    ground.check("t", &["1|\"a\"|~", "2|{}|1", "\"x\"|1|0.5"]);
}

fn evolve_key(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a"]);
    hand.commit();
    hand.evolve("id:json v:text");
    hand.write(&["1|b", "\"1\"|c", "\"x\"|d"]);
    hand.finish();
    hand.books(4, 1);
    drop(hand);
    ground.check("t", &["1|b", "2|a", "\"1\"|c", "\"x\"|d"]);
}

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
    // Twice as a merge on the whole row's first column: every value equals itself.
    let merge = spec("m", &["i"], Merge);
    for run in ["run-1", "run-2"] {
        let mut hand = ground.open(&merge.run(run));
        hand.evolve(types);
        hand.write(&rows);
        hand.finish();
        if run == "run-2" {
            hand.books(0, rows.len() as u64);
        }
        drop(hand);
    }
    ground.check("m", &rows);
}

fn checkpoint_round_trip(ground: &Ground) {
    let spec = spec("t", &[], Append);
    let mut hand = ground.open(&spec);
    hand.evolve("n:int d:decimal(38,4) later:?");
    hand.write(&["1|1.0000|~"]);
    let page = hand.next();
    hand.commit();
    drop(hand);
    let mut hand = ground.open(&spec);
    assert_eq!(hand.opened().checkpoint.as_ref(), Some(&page));
    let last = hand.last();
    hand.finish();
    drop(hand);
    assert_eq!(ground.open(&spec).opened().checkpoint.as_ref(), Some(&last));
}

fn compare_and_set(ground: &Ground) {
    let spec = spec("t", &[], Append);
    for wrong in [0, 2] {
        let mut hand = ground.open(&spec);
        hand.evolve("n:int");
        hand.write(&["1"]);
        moved(&mut hand, wrong);
    }
    let mut hand = ground.open(&spec);
    hand.evolve("n:int");
    hand.write(&["2"]);
    hand.commit();
    hand.finish();
    drop(hand);
    for wrong in [1, 2, 4] {
        let mut hand = ground.open(&spec);
        hand.write(&["3"]);
        moved(&mut hand, wrong);
    }
    ground.check("t", &["2"]);
    assert_eq!(ground.open(&spec).opened().checkpoint.as_ref().map(|c| c.sequence), Some(2));
}

#[track_caller]
fn moved(hand: &mut Hand, sequence: u64) {
    let error = hand.try_commit(sequence).expect_err("the sequence is wrong");
    assert_eq!((error.kind, error.code), (Kind::Environment, "checkpoint_moved"), "{error}");
}

fn other_owner(ground: &Ground) {
    let mine = spec("t", &["id"], Merge);
    with_old_rows(ground, &mine);
    let theirs = TableSpec { pipeline: "another".to_owned(), ..mine.clone() };
    for theirs in [theirs.clone(), theirs.anew(), TableSpec { disposition: Replace, ..theirs }] {
        ground.refused(&theirs, Kind::Refused, "destination_owned");
    }
    ground.check("t", &["1|old", "2|old"]);
    // A table that is still being built has an owner too.
    let mine = spec("new", &[], Replace);
    let mut hand = ground.open(&mine);
    hand.evolve("n:int");
    hand.write(&["1"]);
    hand.commit();
    drop(hand);
    let theirs = TableSpec { pipeline: "another".to_owned(), ..mine.clone() };
    ground.refused(&theirs, Kind::Refused, "destination_owned");
    let mut hand = ground.open(&mine);
    assert!(hand.opened().building);
    hand.finish();
    drop(hand);
    ground.check("new", &["1"]);
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
        for disposition in [Merge, Append, Replace] {
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
    let spec = spec("t-merge", &["a", "b"], Merge).run("run-2");
    let mut hand = ground.open(&spec);
    hand.write(&["~|~|2", "1|~|3", "~|~|2"]);
    hand.finish();
    hand.books(1, 2);
    drop(hand);
    ground.check("t-merge", &["~|~|2", "1|~|3", "~|x|2", "1|x|1", "1||1"]);
    let log = super::spec("log", &["a"], Append);
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

fn empty_commits(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int");
    hand.commit();
    hand.write(&[]);
    hand.commit();
    hand.publish();
    hand.finish();
    hand.books(0, 0);
    drop(hand);
    let mut hand = ground.open(&spec);
    assert_eq!(hand.opened().checkpoint.as_ref().map(|c| c.sequence), Some(3));
    assert_eq!(hand.opened().rows, 0);
    hand.write(&["1"]);
    hand.finish();
    drop(hand);
    ground.check("t", &["1"]);
}

fn no_rows(ground: &Ground) {
    for disposition in [Merge, Append, Replace] {
        let stream = disposition.as_str();
        let spec = spec(stream, &["id"], disposition);
        let mut hand = ground.open(&spec);
        let last = hand.last();
        hand.finish();
        hand.books(0, 0);
        drop(hand);
        ground.check(stream, &[]);
        let mut hand = ground.open(&spec.run("run-2"));
        assert_eq!(hand.opened().checkpoint.as_ref(), Some::<&Checkpoint>(&last));
        assert_eq!((hand.opened().rows, hand.opened().building), (0, false));
        hand.evolve("id:int");
        hand.write(&["1"]);
        hand.finish();
        drop(hand);
        ground.check(stream, &["1"]);
    }
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

fn streams_share(ground: &Ground) {
    let sink = (ground.make)(ground.dir);
    let mut tables: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|stream| sink.open(&spec(stream, &["id"], Merge)).expect("each has a table of its own"))
        .collect();
    let schema = super::schema("id:int v:text");
    let run = spec("one", &[], Merge).run;
    for sequence in 1..=3 {
        for (index, table) in tables.iter_mut().enumerate() {
            table.evolve(&schema).expect("the same schema again changes nothing");
            let rows = [format!("{sequence}|{index}"), format!("0|{sequence}")];
            let batch = super::batch(&schema, &run, 0, &rows.each_ref().map(String::as_str));
            table.write(batch).expect("the batch fits");
        }
        for table in &mut tables {
            let checkpoint = super::checkpoint(sequence, sequence, &run, &schema);
            match sequence {
                3 => drop(table.finish(&checkpoint).expect("the sequence is right")),
                _ => drop(table.commit(&checkpoint).expect("the sequence is right")),
            }
        }
    }
    drop(tables);
    drop(sink);
    for (index, stream) in ["one", "two", "three"].iter().enumerate() {
        let rows = [1, 2, 3].map(|n| format!("{n}|{index}"));
        ground.check(stream, &["0|3", &rows[0], &rows[1], &rows[2]]);
    }
}

fn publish_shows(ground: &Ground) {
    for (disposition, key) in [(Merge, &["id"] as &[&str]), (Append, &[])] {
        let stream = disposition.as_str();
        let mut hand = ground.open(&spec(stream, key, disposition));
        hand.evolve("id:int");
        hand.write(&["1"]);
        hand.commit();
        hand.write(&["2"]);
        hand.publish();
        ground.check(stream, &["1"]);
        hand.commit();
        hand.publish();
        hand.publish();
        ground.check(stream, &["1", "2"]);
        hand.write(&["3"]);
        hand.finish();
        ground.check(stream, &["1", "2", "3"]);
        drop(hand);
        ground.check(stream, &["1", "2", "3"]);
    }
}
