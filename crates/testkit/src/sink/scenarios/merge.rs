//! Tables that hold the last row of each key.

use sync_core::Disposition::Merge;

use super::{Story, with_old_rows};
use crate::sink::hand::{Ground, SpecExt as _, spec};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("merge keeps the last row of a key", merge_last_wins),
    ("merge keeps the greatest version of a key", merge_by_order),
    ("merge orders every type by its value", merge_orders_by_value),
    ("merge counts a key once a run", merge_counts_once),
    ("merge of many rows in many batches", merge_many),
    ("a restarted merge forgets nothing", restart_keeps),
];

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
