//! Deletions, in tables that hold rows.

use sync_core::Disposition::{Append, Merge, Replace};
use sync_core::{Disposition, Kind, TableSpec};

use super::{Story, with_old_rows};
use crate::sink::hand::{Ground, Hand, SpecExt as _, at, spec};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("a tombstone removes a row", removes),
    ("a row that comes and goes counts both ways", comes_and_goes),
    ("a tombstone that is older than the row is none", removes_by_order),
    ("a tombstone marks a row", marks),
    ("a marked row counts once a run", marks_once),
    ("a tombstone that is older than the row marks nothing", marks_by_order),
    ("a tombstone means the row of its key and type", means_its_key),
    ("a tombstone is a row of a log", appends),
    ("a log without a mark refuses tombstones", append_refuses),
    ("a tombstone takes back what a listing had", replace_takes_back),
    ("tombstones while a table is built", builds),
    ("tombstones stay after a drop at any step", continue_anywhere),
    ("a schema grows between a tombstone and its commit", evolve_in_flight),
    ("a marked table grows", evolve_marked),
    ("a table gets its mark later", mark_later),
    ("a table keeps its mark when nobody wants it", mark_stays),
    ("a mark has one name", mark_renamed),
    ("a mark of an odd name", mark_named),
    ("tombstones and nothing else", only_tombstones),
];

const MARK: &[&str] = &["_deleted"];
const MARK_AND_RUN: &[&str] = &["_deleted", "_sync_run"];

fn removes(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a", "3|a", "4|a", "5|a"]);
    hand.remove(&["9|~"]);
    hand.finish();
    hand.books(5, 1);
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.remove(&["1|~", "2|values do not count", "1|~", "9|~"]);
    hand.commit();
    hand.publish();
    ground.check("t", &["3|a", "4|a", "5|a"]);
    hand.remove(&["2|~", "3|~"]);
    hand.write(&["4|b"]);
    hand.finish();
    hand.books(4, 3);
    drop(hand);
    ground.check("t", &["4|b", "5|a"]);
    // It may come again, and is new then, whatever is in it.
    let mut hand = ground.open(&spec.run("run-3"));
    assert_eq!(hand.opened().rows, 2);
    hand.write(&["1|a", "5|a"]);
    hand.finish();
    hand.books(1, 1);
    drop(hand);
    ground.check_with("t", &["_sync_run"], &["1|a|run-3", "4|b|run-2", "5|a|run-1"]);
}

/// A tombstone that takes a row away counts, and so does a row where none is, whoever removed that: a reader may
/// have looked meanwhile. How often the sink publishes makes no difference.
fn comes_and_goes(ground: &Ground) {
    for (stream, publish) in [("at once", false), ("published", true)] {
        let spec = spec(stream, &["id"], Merge);
        let mut hand = ground.open(&spec);
        hand.evolve("id:int v:text");
        hand.write(&["2|old", "3|old", "4|old", "5|old"]);
        hand.finish();
        drop(hand);
        let mut hand = ground.open(&spec.run("run-2"));
        let show = |hand: &mut Hand| {
            if publish {
                hand.commit();
                hand.publish();
            }
        };
        hand.write(&["1|a", "2|a", "2|b", "5|old"]); // 1 is new, 2 changed once
        show(&mut hand);
        hand.remove(&["1|~", "2|~", "3|~", "5|~"]); // each takes a row away
        show(&mut hand);
        hand.write(&["1|a", "3|old", "3|old", "3|b"]); // 1 and 3 are new
        show(&mut hand);
        hand.remove(&["1|~", "2|~"]); // 2 was gone
        hand.finish();
        hand.books(9, 5);
        drop(hand);
        ground.check(stream, &["3|b", "4|old"]);
    }
}

fn removes_by_order(ground: &Ground) {
    let spec = spec("t", &["id"], Merge).order("at");
    let row = |id: u32, second: u32| format!("{id}|{}", at(second));
    let mut hand = ground.open(&spec);
    hand.evolve("id:int at:timestamp");
    hand.write(&[&row(1, 10), &row(2, 10), &row(3, 10), &row(4, 10), "5|~"]);
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.remove(&[&row(1, 9), &row(2, 10), &row(3, 11), "4|~", &row(5, 1)]);
    hand.finish();
    hand.books(4, 1);
    drop(hand);
    ground.check("t", &[&row(1, 10)]);
    // Nothing remembers the tombstone: a row that is older than it is there again, in one commit as in two.
    let mut hand = ground.open(&spec.run("run-3"));
    hand.write(&[&row(3, 5)]);
    hand.remove(&[&row(1, 20), &row(3, 4)]);
    hand.write(&[&row(1, 15)]);
    hand.finish();
    drop(hand);
    ground.check("t", &[&row(1, 15), &row(3, 5)]);
}

fn marks(ground: &Ground) {
    let spec = spec("t", &["id"], Merge).deleted("_deleted");
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a", "3|a", "4|a"]);
    hand.finish();
    drop(hand);
    ground.check_with("t", MARK_AND_RUN, &["1|a|0|run-1", "2|a|0|run-1", "3|a|0|run-1", "4|a|0|run-1"]);

    let mut hand = ground.open(&spec.run("run-2"));
    hand.remove(&["1|~", "2|values do not count", "1|~", "9|~"]);
    hand.commit();
    hand.remove(&["2|~", "3|~"]);
    hand.finish();
    hand.books(3, 3); // no row is made of a tombstone
    drop(hand);
    ground.check_with("t", MARK_AND_RUN, &["1|a|1|run-2", "2|a|1|run-2", "3|a|1|run-2", "4|a|0|run-1"]);

    // A row that comes again is unmarked, were it equal.
    let mut hand = ground.open(&spec.run("run-3"));
    assert_eq!(hand.opened().rows, 4);
    hand.write(&["1|a", "2|b", "4|a"]);
    hand.remove(&["3|~"]);
    hand.finish();
    hand.books(2, 2);
    drop(hand);
    ground.check_with("t", MARK_AND_RUN, &["1|a|0|run-3", "2|b|0|run-3", "3|a|1|run-2", "4|a|0|run-1"]);
}

fn marks_once(ground: &Ground) {
    let spec = spec("t", &["id"], Merge).deleted("_deleted");
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a", "3|a"]);
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.write(&["1|b", "4|a", "4|a"]);
    hand.remove(&["1|~", "2|~", "4|~"]);
    hand.commit();
    hand.publish();
    hand.write(&["2|a", "4|a"]);
    hand.remove(&["2|~"]);
    hand.finish();
    hand.books(3, 6); // 1, 2 and 4 are new or changed, each once
    drop(hand);
    ground.check_with("t", MARK, &["1|b|1", "2|a|1", "3|a|0", "4|a|0"]);
}

fn marks_by_order(ground: &Ground) {
    let spec = spec("t", &["id"], Merge).order("n").deleted("_deleted");
    let mut hand = ground.open(&spec);
    hand.evolve("id:int n:int v:text");
    hand.write(&["1|10|a", "2|10|a", "3|10|a", "4|10|a"]);
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.remove(&["1|9|~", "2|10|~", "3|20|~", "4|~|~"]);
    hand.finish();
    hand.books(3, 1);
    drop(hand);
    ground.check_with("t", MARK, &["1|10|a|0", "2|10|a|1", "3|10|a|1", "4|10|a|1"]);
    // The row keeps its own order, which is what others are compared with.
    let mut hand = ground.open(&spec.run("run-3"));
    hand.write(&["2|9|old", "3|15|b", "4|10|a"]);
    hand.finish();
    hand.books(2, 1);
    drop(hand);
    ground.check_with("t", MARK, &["1|10|a|0", "2|10|a|1", "3|15|b|0", "4|10|a|0"]);
}

fn means_its_key(ground: &Ground) {
    let rows =
        ["~|~|1", "1|~|1", "~|x|1", "a|bc|1", "ab|c|1", "a\0b|c|1", "A|BC|1", "01|x|1", "1|x|1", "||1"];
    let gone = ["~|x|~", "1|~|~", "ab|c|~", "1|x|~", "||~", "a|b|~"];
    for (stream, deleted) in [("removed", None), ("marked", Some("_deleted".to_owned()))] {
        let spec = TableSpec { deleted, ..spec(stream, &["a", "b"], Merge) };
        let mut hand = ground.open(&spec);
        hand.evolve("a:text b:text n:int");
        hand.write(&rows);
        hand.commit();
        hand.remove(&gone[..2]);
        hand.finish();
        drop(hand);
        let mut hand = ground.open(&spec.run("run-2"));
        hand.remove(&gone);
        hand.finish();
        hand.books(3, 3);
        drop(hand);
        let stays = ["~|~|1", "a|bc|1", "a\0b|c|1", "A|BC|1", "01|x|1"];
        if stream == "removed" {
            ground.check(stream, &stays);
            continue;
        }
        let mark = |row: &&str| format!("{row}|{}", u8::from(!stays.contains(row)));
        ground.check_with(stream, MARK, &rows.iter().map(mark).collect::<Vec<_>>());
    }
    let keys = [
        ("int", "-5", "5"),
        ("float", "0.1", "0.2"),
        ("decimal(9,2)", "0.10", "0.01"),
        ("bool", "1", "0"),
        ("date", "2026-01-01", "2026-01-02"),
        ("timestamp", "2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.000000Z"),
        ("local", "2026-01-01 00:00:00", "2026-01-01 00:00:00.5"),
        ("json", "{\"a\":1}", "{\"a\": 1}"),
    ];
    for (index, (ty, gone, stays)) in keys.into_iter().enumerate() {
        let spec = spec(&format!("t{index}"), &["k"], Merge);
        let mut hand = ground.open(&spec);
        hand.evolve(&format!("k:{ty} v:int"));
        hand.write(&[&format!("{gone}|1"), &format!("{stays}|1")]);
        hand.finish();
        hand.remove(&[&format!("{gone}|~")]);
        hand.finish();
        drop(hand);
        ground.check(&spec.stream, &[&format!("{stays}|1")]);
    }
}

fn appends(ground: &Ground) {
    let plain = spec("plain", &[], Append).deleted("_deleted");
    let mut hand = ground.open(&plain);
    hand.evolve("id:int v:text");
    hand.write(&["1|a"]);
    hand.remove(&["1|~", "1|~"]);
    hand.commit();
    hand.write(&["1|a"]);
    hand.finish();
    hand.books(4, 0);
    drop(hand);
    ground.check_with("plain", MARK, &["1|a|0", "1|a|0", "1|~|1", "1|~|1"]);
    // With a key, what was taken already is left out; a tombstone is not the row that it is equal to.
    let keyed = spec("keyed", &["id"], Append).deleted("_deleted");
    let mut hand = ground.open(&keyed);
    hand.evolve("id:int v:text");
    hand.remove(&["1|a", "~|~"]);
    hand.write(&["1|a", "1|a", "2|a", "~|~"]);
    hand.remove(&["1|a", "2|~"]);
    hand.commit();
    hand.remove(&["2|~", "2|a"]);
    hand.finish();
    hand.books(7, 3);
    drop(hand);
    let mut hand = ground.open(&keyed.run("run-2"));
    assert_eq!(hand.opened().rows, 7);
    hand.remove(&["1|a", "3|~", "~|~"]);
    hand.write(&["2|a", "~|~"]);
    hand.finish();
    hand.books(1, 4);
    drop(hand);
    let expect = ["1|a|1", "1|a|0", "2|a|0", "2|~|1", "2|a|1", "3|~|1", "~|~|0", "~|~|1"];
    ground.check_with("keyed", MARK, &expect);
}

fn append_refuses(ground: &Ground) {
    let mut hand = ground.open(&spec("t", &["id"], Append));
    hand.evolve("id:int");
    hand.write(&["1"]);
    hand.finish();
    let error = hand.try_remove(&["1"]).expect_err("nothing could say what it is");
    assert_eq!((error.kind, error.code), (Kind::Refused, "no_deleted_column"), "{error}");
    drop(hand);
    ground.check("t", &["1"]);
}

fn replace_takes_back(ground: &Ground) {
    for (stream, deleted) in [("bare", None), ("marked", Some("_deleted".to_owned()))] {
        let spec = TableSpec { deleted, ..spec(stream, &["id"], Replace) };
        with_old_rows(ground, &spec);
        let mut hand = ground.open(&spec.run("run-2"));
        // That a row was in the listing before means nothing to the new one.
        hand.remove(&["1|~"]);
        hand.write(&["3|a", "4|a"]);
        hand.commit();
        hand.remove(&["3|~", "2|~"]);
        hand.write(&["5|a", "2|a"]);
        hand.remove(&["5|~"]);
        hand.commit();
        ground.check_with(stream, &["_sync_run"], &["1|old|run-1", "2|old|run-1"]);
        drop(hand);
        let mut hand = ground.open(&spec.run("run-3"));
        hand.remove(&["4|~", "1|~"]);
        hand.write(&["5|b"]);
        hand.finish();
        hand.books(2, 1);
        drop(hand);
        ground.check_with(stream, &["_sync_run"], &["2|a|run-2", "5|b|run-3"]);
        if stream == "marked" {
            ground.check_with(stream, MARK, &["2|a|0", "5|b|0"]);
        }
    }
    // A table without a key has nothing that a tombstone could mean.
    let mut hand = ground.open(&spec("keyless", &[], Replace));
    hand.evolve("id:int");
    hand.write(&["1", "2"]);
    hand.remove(&["1"]);
    hand.finish();
    hand.books(2, 1);
    drop(hand);
    ground.check("keyless", &["1", "2"]);
}

fn builds(ground: &Ground) {
    let soft = spec("soft", &["id"], Merge).deleted("_deleted");
    for spec in [spec("hard", &["id"], Merge), soft] {
        let stream = spec.stream.as_str();
        let hard = spec.deleted.is_none();
        with_old_rows(ground, &spec);
        let mut hand = ground.open(&spec.run("run-2").anew());
        hand.evolve("id:int v:text");
        hand.write(&["1|a", "2|a"]);
        hand.commit();
        hand.remove(&["1|~"]);
        hand.commit();
        hand.remove(&["2|~"]);
        hand.restart();
        // A restart forgets rows and tombstones alike.
        hand.write(&["2|b", "3|b", "4|b"]);
        hand.remove(&["3|~", "1|~"]);
        hand.commit();
        hand.publish();
        ground.check(stream, &["1|old", "2|old"]);
        hand.remove(&["4|~"]);
        hand.finish();
        // Removing counts on its own, marking a row of this run does not.
        hand.books(if hard { 5 } else { 3 }, if hard { 5 } else { 7 });
        drop(hand);
        match hard {
            true => ground.check(stream, &["2|b"]),
            false => ground.check_with(stream, MARK, &["2|b|0", "3|b|1", "4|b|1"]),
        }
    }
}

/// The steps of an undisturbed run of three pages; a run is cut after each of them.
const STEPS: usize = 9;

fn step(hand: &mut Hand, index: usize) {
    let (page, gone) = [
        (["1|a", "2|a"], ["0|~", "8|~"]),
        (["2|b", "0|back"], ["1|~", "2|~"]),
        (["3|a", "1|a"], ["3|~", "0|~"]),
    ][index / 3];
    match (index % 3, index / 3) {
        (0, _) => hand.write(&page),
        (1, _) => hand.remove(&gone),
        (_, 2) => hand.finish(),
        _ => drop(hand.commit()),
    }
}

fn continue_anywhere(ground: &Ground) {
    let hard = |disposition: Disposition| spec(disposition.as_str(), &["id"], disposition);
    let append = [
        "0|old|0", "1|a|0", "2|a|0", "0|~|1", "8|~|1", "2|b|0", "0|back|0", "1|~|1", "2|~|1", "3|a|0",
        "3|~|1",
    ];
    let cases: [(TableSpec, &[&str]); 4] = [
        (hard(Merge), &["1|a"]),
        (hard(Replace), &["1|a"]),
        (spec("soft", &["id"], Merge).deleted("_deleted"), &["0|back|1", "1|a|0", "2|b|1", "3|a|1"]),
        (hard(Append).deleted("_deleted"), &append),
    ];
    for (wish, whole) in cases {
        for cut in 0..STEPS {
            let spec = TableSpec { stream: format!("{}{cut}", wish.stream), ..wish.clone() };
            let mut hand = ground.open(&spec);
            hand.evolve("id:int v:text");
            hand.write(&["0|old"]);
            hand.finish();
            drop(hand);
            let mut hand = ground.open(&spec.run("run-2"));
            (0..=cut).for_each(|index| step(&mut hand, index));
            drop(hand);
            let mut hand = ground.open(&spec.run("run-3"));
            ((cut + 1) / 3 * 3..STEPS).for_each(|index| step(&mut hand, index));
            drop(hand);
            let mark = if spec.deleted.is_some() { MARK } else { &[] };
            ground.check_with(&spec.stream, mark, whole);
        }
    }
}

fn evolve_in_flight(ground: &Ground) {
    for (stream, deleted) in [("hard", None), ("soft", Some("_deleted".to_owned()))] {
        let spec = TableSpec { deleted, ..spec(stream, &["id"], Merge) };
        let mut hand = ground.open(&spec);
        hand.evolve("id:int v:int");
        hand.write(&["1|1", "2|1", "3|1"]);
        hand.commit();
        hand.remove(&["1|~"]);
        hand.evolve("id:json v:json w:text");
        hand.remove(&["2|~|~", "\"3\"|~|~"]);
        hand.write(&["\"1\"|[]|a"]);
        hand.finish();
        drop(hand);
        match spec.deleted {
            None => ground.check(stream, &["3|1|~", "\"1\"|[]|a"]),
            Some(_) => ground.check_with(stream, MARK, &["1|1|~|1", "2|1|~|1", "3|1|~|0", "\"1\"|[]|a|0"]),
        }
    }
}

fn evolve_marked(ground: &Ground) {
    let spec = spec("t", &["id"], Merge).deleted("_deleted");
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:int later:?");
    hand.write(&["1|1|~", "2|1|~", "3|1|~"]);
    hand.commit();
    hand.remove(&["1|~|~", "3|~|~"]);
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.evolve("id:int v:int later:bool w:text");
    hand.write(&["2|1|~|~", "4|1|1|x"]);
    hand.commit();
    hand.evolve("id:int v:json later:bool w:text x:int");
    hand.write(&["1|1|~|~|~", "5|{}|0|~|1"]);
    hand.finish();
    hand.books(3, 1);
    drop(hand);
    let expect = ["1|1|~|~|~|0", "2|1|~|~|~|0", "3|1|~|~|~|1", "4|1|1|x|~|0", "5|{}|0|~|1|0"];
    ground.check_with("t", MARK, &expect);
    assert_eq!(ground.rows("t").expect("the table").names(), ["id", "v", "later", "w", "x"]);
}

fn mark_later(ground: &Ground) {
    for disposition in [Merge, Append, Replace] {
        let stream = disposition.as_str();
        let spec = spec(stream, &["id"], disposition);
        with_old_rows(ground, &spec);
        // With a row of a new column in the same commit.
        let mut hand = ground.open(&spec.deleted("_deleted").run("run-2"));
        hand.evolve("id:int v:text w:int");
        hand.write(&["1|old|~", "3|new|1"]);
        hand.remove(&["2|~|~", "9|~|~"]);
        hand.finish();
        drop(hand);
        let expect: &[&str] = match disposition {
            Append => &["1|old|~|0", "2|old|~|0", "3|new|1|0", "2|~|~|1", "9|~|~|1"],
            Replace => &["1|old|~|0", "3|new|1|0"],
            _ => &["1|old|~|0", "2|old|~|1", "3|new|1|0"],
        };
        ground.check_with(stream, MARK, expect);
    }
    // No rows need come for it.
    let spec = spec("quiet", &["id"], Merge);
    with_old_rows(ground, &spec);
    let mut hand = ground.open(&spec.deleted("_deleted").run("run-2"));
    hand.finish();
    drop(hand);
    ground.check_with("quiet", MARK_AND_RUN, &["1|old|0|run-1", "2|old|0|run-1"]);
}

fn mark_stays(ground: &Ground) {
    let bare = spec("t", &["id"], Merge);
    let marked = bare.deleted("_deleted");
    let mut hand = ground.open(&marked);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a", "3|a", "4|a"]);
    hand.remove(&["1|~", "2|~"]);
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&bare.run("run-2"));
    hand.write(&["1|a", "5|a", "4|a"]);
    hand.remove(&["3|~"]);
    hand.finish();
    hand.books(3, 1);
    drop(hand);
    ground.check_with("t", MARK, &["1|a|0", "2|a|1", "4|a|0", "5|a|0"]);
    // A marked row is there until it is removed.
    let mut hand = ground.open(&bare.run("run-3"));
    hand.remove(&["2|~"]);
    hand.finish();
    hand.books(1, 0);
    drop(hand);
    let mut hand = ground.open(&marked.run("run-4"));
    hand.remove(&["4|~"]);
    hand.finish();
    hand.books(1, 0);
    drop(hand);
    ground.check_with("t", MARK, &["1|a|0", "4|a|1", "5|a|0"]);

    let log = spec("log", &[], Append);
    let mut hand = ground.open(&log.deleted("_deleted"));
    hand.evolve("id:int");
    hand.remove(&["1"]);
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&log.run("run-2"));
    hand.write(&["1"]);
    hand.finish();
    drop(hand);
    ground.check_with("log", MARK, &["1|0", "1|1"]);
}

fn mark_renamed(ground: &Ground) {
    let spec = spec("t", &["id"], Merge);
    with_old_rows(ground, &spec.deleted("gone"));
    ground.refused(&spec.deleted("_deleted").run("run-2"), Kind::Refused, "deleted_column_changed");
    let mut hand = ground.open(&spec.deleted("_deleted").run("run-3").anew());
    hand.evolve("id:int v:text");
    hand.write(&["1|a"]);
    hand.finish();
    drop(hand);
    ground.check_with("t", MARK, &["1|a|0"]);
    let columns = ground.rows("t").expect("the table").columns;
    assert!(!columns.iter().any(|name| name == "gone"), "{columns:?}");
}

fn mark_named(ground: &Ground) {
    for name in ["is_deleted", "it's \"gone\"", "rowid", "select", "excluded", "Ünïcode 表"] {
        let stream = format!("t {name}");
        let spec = spec(&stream, &["id"], Merge).order("n").deleted(name);
        let mut hand = ground.open(&spec);
        hand.evolve("id:int n:int");
        hand.write(&["1|1", "2|1", "~|1"]);
        hand.commit();
        hand.remove(&["1|1", "2|0", "~|~"]);
        hand.finish();
        drop(hand);
        ground.check_with(&stream, &[name], &["1|1|1", "2|1|0", "~|1|1"]);
        let mut hand = ground.open(&spec.run("run-2"));
        hand.evolve("id:int n:decimal(9,1)");
        hand.write(&["1|1.0"]);
        hand.finish();
        drop(hand);
        ground.check_with(&stream, &[name], &["1|1.0|0", "2|1.0|0", "~|1.0|1"]);
    }
}

fn only_tombstones(ground: &Ground) {
    let soft = spec("soft", &["id"], Merge).deleted("_deleted");
    for spec in [spec("hard", &["id"], Merge), soft, spec("replace", &["id"], Replace)] {
        let mut hand = ground.open(&spec);
        hand.evolve("id:int v:text");
        hand.remove(&["1|~", "2|~"]);
        hand.commit();
        hand.remove(&["1|~"]);
        hand.finish();
        hand.books(0, 3);
        drop(hand);
        ground.check(&spec.stream, &[]);
        let mut hand = ground.open(&spec.run("run-2"));
        assert_eq!((hand.opened().rows, hand.opened().building), (0, false));
        hand.write(&["1|a"]);
        hand.finish();
        drop(hand);
        ground.check(&spec.stream, &["1|a"]);
    }
}
