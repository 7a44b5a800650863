//! Schemas that grow.

use sync_core::Disposition::{Merge, Replace};

use super::{Story, with_old_rows};
use crate::sink::hand::{Ground, SpecExt as _, schema, spec};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("a new column leaves old rows as they are", evolve_adds),
    ("a wider type rewrites old rows", evolve_widens),
    ("a schema grows between a write and its commit", evolve_in_flight),
    ("a schema grows while a table is built", evolve_while_building),
    ("a key's type grows", evolve_key),
];

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
    let found = hand.opened().checkpoint.as_ref().map(|c| c.schema.clone());
    assert_eq!(found, Some(schema("id:int v:json w:text")));
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
