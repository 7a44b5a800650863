//! Tables that keep every version of a key.

use sync_core::Disposition::{Append, History, Merge, Replace};
use sync_core::{Kind, TableSpec};

use super::{Story, with_old_rows};
use crate::sink::hand::{Ground, Hand, SpecExt as _, at, read, spec, version};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("history keeps every version of a key", keeps_versions),
    ("history begins a version by the column that orders", begins_by_order),
    ("history orders by a column that is no timestamp", orders_by_number),
    ("history keeps the versions of a page in their order", keeps_order_of_page),
    ("history of rows that are nothing but their key", only_keys),
    ("history ends a version by a tombstone", ends_by_tombstone),
    ("history takes a key back after its tombstone", comes_again),
    ("history never begins a version before the end of the last", never_overlaps),
    ("a restarted history forgets nothing", restart_keeps),
    ("history sees no change in a new column of nulls", evolve_adds),
    ("history widens the versions of long ago", evolve_widens),
    ("history whose order is no timestamp any longer", evolve_order),
    ("history of a schema that grows before its commit", evolve_in_flight),
    ("history of keys with nulls and of several columns", odd_keys),
    ("history goes on after a drop at any step", continue_anywhere),
    ("history is not begun or ended on a table with rows", switch_refused),
    ("history is begun and ended by a full refresh", switch_anew),
    ("history is begun on an empty table", switch_empty),
    ("history shows what was published", publish_shows),
];

fn keeps_versions(ground: &Ground) {
    let spec = spec("t", &["id"], History);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a"]);
    hand.commit();
    hand.write(&["1|b", "2|a"]);
    hand.finish();
    hand.books(3, 1);
    drop(hand);
    let first = [
        version("1|a", &read(0, 0), &read(0, 2)),
        version("1|b", &read(0, 2), "~"),
        version("2|a", &read(0, 0), "~"),
    ];
    ground.check_versions("t", &first);

    let mut hand = ground.open(&spec.run("run-2"));
    assert_eq!(hand.opened().rows, 3);
    hand.wait(60);
    hand.write(&["1|b", "2|~", "3|x"]);
    hand.finish();
    hand.books(2, 1);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            first[0].clone(),
            first[1].clone(),
            version("2|a", &read(0, 0), &read(60, 0)),
            version("2|~", &read(60, 0), "~"),
            version("3|x", &read(60, 0), "~"),
        ],
    );
    // Nothing of a version changes but its end: not who wrote it either.
    let runs = ["1|a|run-1", "1|b|run-1", "2|a|run-1", "2|~|run-2", "3|x|run-2"];
    ground.check_with("t", &["_sync_run"], &runs);
}

fn begins_by_order(ground: &Ground) {
    let spec = spec("t", &["id"], History).order("at");
    let row = |v: &str, second: u32| format!("1|{v}|{}", at(second));
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text at:timestamp");
    hand.write(&[&row("a", 10)]);
    hand.commit();
    hand.write(&[&row("b", 20), &row("late", 15), &row("b", 20)]);
    hand.finish();
    hand.books(2, 2);
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    // Of the same second, another row follows; a row of no second is not older than any.
    hand.write(&[&row("late", 19), &row("c", 20), "1|undated|~"]);
    hand.commit();
    hand.write(&[&row("d", 5)]);
    hand.finish();
    hand.books(3, 1);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version(&row("a", 10), &at(10), &at(20)),
            version(&row("b", 20), &at(20), &at(20)),
            version(&row("c", 20), &at(20), &at(20)),
            // It was read in 2025, and does not begin before the one that it follows.
            version("1|undated|~", &at(20), &at(20)),
            version(&row("d", 5), &at(20), "~"),
        ],
    );
}

fn orders_by_number(ground: &Ground) {
    let spec = spec("t", &["id"], History).order("n");
    let mut hand = ground.open(&spec);
    hand.evolve("id:int n:int");
    hand.write(&["1|9"]);
    hand.commit();
    hand.write(&["1|10", "1|9"]);
    hand.finish();
    hand.books(2, 1);
    drop(hand);
    ground
        .check_versions("t", &[version("1|9", &read(0, 0), &read(0, 1)), version("1|10", &read(0, 1), "~")]);
}

fn keeps_order_of_page(ground: &Ground) {
    let spec = spec("t", &["id"], History);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "1|b", "2|x", "1|a", "1|a"]);
    hand.wait(1);
    hand.write(&["1|c", "2|x"]);
    hand.finish();
    hand.books(5, 2);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version("1|a", &read(0, 0), &read(0, 0)),
            version("1|b", &read(0, 0), &read(0, 0)),
            version("1|a", &read(0, 0), &read(1, 5)),
            version("1|c", &read(1, 5), "~"),
            version("2|x", &read(0, 0), "~"),
        ],
    );
}

fn only_keys(ground: &Ground) {
    let spec = spec("t", &["id"], History);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int");
    hand.write(&["1", "2", "1"]);
    hand.commit();
    hand.write(&["2"]);
    hand.remove(&["2"]);
    hand.finish();
    hand.books(3, 2);
    drop(hand);
    ground.check_versions("t", &[version("1", &read(0, 0), "~"), version("2", &read(0, 0), &read(0, 4))]);
}

fn ends_by_tombstone(ground: &Ground) {
    let plain = spec("plain", &["id"], History);
    let mut hand = ground.open(&plain);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a", "3|a"]);
    hand.commit();
    hand.wait(10);
    hand.remove(&["1|~", "9|~", "1|~"]);
    hand.write(&["4|a"]);
    hand.remove(&["4|~"]);
    hand.finish();
    hand.books(6, 2);
    drop(hand);
    let mut hand = ground.open(&plain.run("run-2"));
    hand.wait(20);
    hand.remove(&["1|~", "2|values do not count"]);
    hand.finish();
    hand.books(1, 1);
    drop(hand);
    ground.check_versions(
        "plain",
        &[
            version("1|a", &read(0, 0), &read(10, 3)),
            version("2|a", &read(0, 0), &read(20, 0)),
            version("3|a", &read(0, 0), "~"),
            version("4|a", &read(10, 6), &read(10, 7)),
        ],
    );

    let ordered = spec("ordered", &["id"], History).order("at");
    let row = |id: u32, second: u32| format!("{id}|{}", at(second));
    let mut hand = ground.open(&ordered);
    hand.evolve("id:int at:timestamp");
    hand.write(&[&row(1, 30), &row(2, 30), &row(3, 30)]);
    hand.finish();
    // An older tombstone is none; one of no second counts from when it was read, but ends nothing before it began.
    hand.remove(&[&row(1, 29), &row(2, 40), "3|~"]);
    hand.finish();
    hand.books(5, 1);
    drop(hand);
    ground.check_versions(
        "ordered",
        &[
            version(&row(1, 30), &at(30), "~"),
            version(&row(2, 30), &at(30), &at(40)),
            version(&row(3, 30), &at(30), &at(30)),
        ],
    );
}

fn comes_again(ground: &Ground) {
    let spec = spec("t", &["id"], History);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a"]);
    hand.wait(1);
    hand.remove(&["1|~", "2|~"]);
    hand.wait(1);
    hand.write(&["1|a", "1|a"]);
    hand.finish();
    hand.books(5, 1);
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.wait(3);
    hand.write(&["2|b", "1|a"]);
    hand.commit();
    hand.wait(1);
    hand.remove(&["2|~"]);
    hand.finish();
    hand.books(2, 1);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version("1|a", &read(0, 0), &read(1, 2)),
            version("1|a", &read(2, 4), "~"),
            version("2|a", &read(0, 0), &read(1, 2)),
            version("2|b", &read(3, 0), &read(4, 2)),
        ],
    );
}

/// A key that was taken back may bring a date from before its deletion: restoring a record need not touch it.
fn never_overlaps(ground: &Ground) {
    let spec = spec("t", &["id"], History).order("at");
    let row = |id: u32, second: u32| format!("{id}|{}", at(second));
    let mut hand = ground.open(&spec);
    hand.evolve("id:int at:timestamp");
    hand.write(&[&row(1, 10), &row(2, 10)]);
    hand.remove(&[&row(1, 30), &row(2, 30)]);
    hand.write(&[&row(1, 10)]);
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.write(&[&row(2, 20)]);
    hand.commit();
    hand.write(&[&row(2, 25)]);
    hand.finish();
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version(&row(1, 10), &at(10), &at(30)),
            version(&row(1, 10), &at(30), "~"),
            version(&row(2, 10), &at(10), &at(30)),
            version(&row(2, 20), &at(30), &at(30)),
            version(&row(2, 25), &at(30), "~"),
        ],
    );
}

fn restart_keeps(ground: &Ground) {
    let spec = spec("t", &["id"], History).order("n");
    let mut hand = ground.open(&spec);
    hand.evolve("id:int n:int");
    hand.write(&["1|1", "1|2"]);
    hand.commit();
    hand.write(&["2|1"]);
    hand.restart();
    hand.wait(1);
    hand.write(&["1|1", "1|2", "2|1", "3|1"]);
    hand.finish();
    hand.books(4, 3);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version("1|1", &read(0, 0), &read(0, 0)),
            version("1|2", &read(0, 0), "~"),
            version("2|1", &read(0, 2), "~"),
            version("3|1", &read(1, 3), "~"),
        ],
    );
}

fn evolve_adds(ground: &Ground) {
    let spec = spec("t", &["id"], History);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a"]);
    hand.commit();
    hand.evolve("id:int v:text w:int");
    hand.write(&["1|a|~", "2|a|7"]);
    hand.finish();
    hand.books(3, 1);
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.evolve("id:int v:text w:int x:?");
    hand.wait(1);
    hand.write(&["1|a|~|~", "2|a|7|~"]);
    hand.remove(&["1|~|~|~"]);
    hand.finish();
    hand.books(1, 2);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version("1|a|~|~", &read(0, 0), &read(1, 2)),
            version("2|a|~|~", &read(0, 0), &read(0, 2)),
            version("2|a|7|~", &read(0, 2), "~"),
        ],
    );
    assert_eq!(ground.rows("t").expect("the table").names(), ["id", "v", "w", "x"]);
}

fn evolve_widens(ground: &Ground) {
    let spec = spec("t", &["id"], History);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:int later:?");
    hand.write(&["1|1|~", "2|1|~"]);
    hand.commit();
    hand.write(&["1|2|~"]);
    hand.finish();
    drop(hand);
    let mut hand = ground.open(&spec.run("run-2"));
    hand.evolve("id:json v:decimal(9,2) later:bool");
    hand.wait(1);
    hand.write(&["1|2.00|~", "2|1.00|1", "\"x\"|0.50|~"]);
    hand.finish();
    hand.books(2, 1);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version("1|1.00|~", &read(0, 0), &read(0, 2)),
            version("1|2.00|~", &read(0, 2), "~"),
            version("2|1.00|~", &read(0, 0), &read(1, 0)),
            version("2|1.00|1", &read(1, 0), "~"),
            version("\"x\"|0.50|~", &read(1, 0), "~"),
        ],
    );
}

fn evolve_order(ground: &Ground) {
    let spec = spec("t", &["id"], History).order("at");
    let mut hand = ground.open(&spec);
    hand.evolve("id:int at:timestamp");
    hand.write(&[&format!("1|{}", at(10)), "2|~"]);
    hand.commit();
    hand.evolve("id:int at:text");
    hand.wait(1);
    hand.write(&["1|some day", "2|some day"]);
    hand.finish();
    hand.books(4, 0);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version(&format!("1|{}", at(10)), &at(10), &at(10)),
            version("1|some day", &at(10), "~"),
            version("2|~", &read(0, 0), &read(1, 2)),
            version("2|some day", &read(1, 2), "~"),
        ],
    );
}

fn evolve_in_flight(ground: &Ground) {
    let spec = spec("t", &["id"], History);
    let mut hand = ground.open(&spec);
    hand.evolve("id:int v:int");
    hand.write(&["1|1", "2|1", "1|2"]);
    hand.remove(&["2|~"]);
    hand.evolve("id:int v:json w:text");
    hand.wait(1);
    hand.write(&["1|2|~", "2|1|~", "3|[1]|a"]);
    hand.finish();
    hand.books(6, 1);
    drop(hand);
    ground.check_versions(
        "t",
        &[
            version("1|1|~", &read(0, 0), &read(0, 0)),
            version("1|2|~", &read(0, 0), "~"),
            version("2|1|~", &read(0, 0), &read(0, 3)),
            version("2|1|~", &read(1, 4), "~"),
            version("3|[1]|a", &read(1, 4), "~"),
        ],
    );
}

fn odd_keys(ground: &Ground) {
    let rows =
        ["~|~|1", "1|~|1", "~|x|1", "1|x|1", "a|bc|1", "ab|c|1", "abc||1", "|abc|1", "a\0b|c|1", "A|BC|1"];
    let spec = spec("t", &["a", "b"], History);
    let mut hand = ground.open(&spec);
    hand.evolve("a:text b:text v:int");
    hand.write(&rows);
    hand.write(&["~|~|1", "1|~|1", "A|BC|1"]);
    hand.finish();
    hand.books(rows.len() as u64, 3);
    let mut expect: Vec<_> = rows[3..].iter().map(|row| version(row, &read(0, 0), "~")).collect();
    hand.wait(1);
    hand.write(&["~|~|2", "~|x|2", "~|x|2"]);
    hand.remove(&["1|~|~", "~|y|~"]);
    hand.finish();
    hand.books(rows.len() as u64 + 3, 5);
    drop(hand);
    let later = rows.len() as i64 + 3;
    expect.extend([
        version("~|~|1", &read(0, 0), &read(1, later)),
        version("~|~|2", &read(1, later), "~"),
        version("1|~|1", &read(0, 0), &read(1, later + 3)),
        version("~|x|1", &read(0, 0), &read(1, later)),
        version("~|x|2", &read(1, later), "~"),
    ]);
    ground.check_versions("t", &expect);
}

/// The steps of an undisturbed run of three pages; a run is cut after each of them.
const STEPS: usize = 9;

fn step(hand: &mut Hand, index: usize) {
    let row = |id: u32, v: &str, second: u32| format!("{id}|{v}|{}", at(second));
    let (page, gone) = [
        ([row(1, "a", 1), row(2, "a", 2)], row(0, "~", 3)),
        ([row(2, "b", 4), row(0, "back", 5)], row(1, "~", 6)),
        ([row(2, "old", 3), row(3, "a", 7)], row(3, "~", 8)),
    ][index / 3]
        .clone();
    match (index % 3, index / 3) {
        (0, _) => hand.write(&page.each_ref().map(String::as_str)),
        (1, _) => hand.remove(&[&gone]),
        (_, 2) => hand.finish(),
        _ => drop(hand.commit()),
    }
}

fn continue_anywhere(ground: &Ground) {
    let row = |id: u32, v: &str, second: u32| format!("{id}|{v}|{}", at(second));
    let whole = [
        version(&row(0, "old", 0), &at(0), &at(3)),
        version(&row(0, "back", 5), &at(5), "~"),
        version(&row(1, "a", 1), &at(1), &at(6)),
        version(&row(2, "a", 2), &at(2), &at(4)),
        version(&row(2, "b", 4), &at(4), "~"),
        version(&row(3, "a", 7), &at(7), &at(8)),
    ];
    for cut in 0..STEPS {
        let stream = format!("t{cut}");
        let spec = spec(&stream, &["id"], History).order("at");
        let mut hand = ground.open(&spec);
        hand.evolve("id:int v:text at:timestamp");
        hand.write(&[&row(0, "old", 0)]);
        hand.finish();
        drop(hand);
        let mut hand = ground.open(&spec.run("run-2"));
        (0..=cut).for_each(|index| step(&mut hand, index));
        drop(hand);
        let mut hand = ground.open(&spec.run("run-3"));
        ((cut + 1) / 3 * 3..STEPS).for_each(|index| step(&mut hand, index));
        drop(hand);
        ground.check_versions(&stream, &whole);
        // The same pages again change nothing but where no order tells that they are old.
        let mut hand = ground.open(&spec.run("run-4"));
        hand.write(&[&row(0, "back", 5), &row(2, "a", 2), &row(2, "b", 4)]);
        hand.finish();
        hand.books(0, 3);
        drop(hand);
        ground.check_versions(&stream, &whole);
    }
}

fn switch_refused(ground: &Ground) {
    for disposition in [Merge, Append, Replace] {
        let rows = spec(disposition.as_str(), &["id"], disposition);
        with_old_rows(ground, &rows);
        let history = TableSpec { disposition: History, ..rows.run("run-2") };
        ground.refused(&history, Kind::Refused, "disposition_changed");
        ground.check(disposition.as_str(), &["1|old", "2|old"]);
    }
    let history = spec("t", &["id"], History);
    with_old_rows(ground, &history);
    let versions = ["1|old", "2|old"].map(|row| version(row, &read(0, 0), "~"));
    for disposition in [Merge, Append, Replace] {
        let rows = TableSpec { disposition, ..history.run("run-2") };
        ground.refused(&rows, Kind::Refused, "disposition_changed");
        ground.refused(&rows.deleted("_deleted"), Kind::Refused, "disposition_changed");
        ground.check_versions("t", &versions);
    }
    // Whoever refused left it as it was.
    let mut hand = ground.open(&history.run("run-3"));
    hand.write(&["1|old"]);
    hand.finish();
    hand.books(0, 1);
    drop(hand);
    ground.check_versions("t", &versions);
}

fn switch_anew(ground: &Ground) {
    for disposition in [Merge, Append, Replace] {
        let stream = disposition.as_str();
        let rows = spec(stream, &["id"], disposition);
        with_old_rows(ground, &rows);
        let history = TableSpec { disposition: History, ..rows.clone() };
        let mut hand = ground.open(&history.run("run-2").anew());
        hand.evolve("id:int v:text");
        hand.write(&["2|new"]);
        hand.commit();
        hand.publish();
        ground.check(stream, &["1|old", "2|old"]);
        drop(hand);
        // Killed meanwhile, it goes on.
        let mut hand = ground.open(&history.run("run-3"));
        assert!(hand.opened().building);
        hand.wait(1);
        hand.write(&["2|newer", "3|new"]);
        hand.finish();
        hand.books(2, 0);
        drop(hand);
        ground.check_versions(
            stream,
            &[
                version("2|new", &read(0, 0), &read(1, 0)),
                version("2|newer", &read(1, 0), "~"),
                version("3|new", &read(1, 0), "~"),
            ],
        );
        let mut hand = ground.open(&rows.run("run-4").anew());
        hand.evolve("id:int v:text");
        hand.write(&["4|new"]);
        hand.finish();
        drop(hand);
        ground.check_with(stream, &["_sync_run"], &["4|new|run-4"]);
        let columns = ground.rows(stream).expect("the table").columns;
        assert!(!columns.iter().any(|name| name == "_current"), "{columns:?}");
    }
}

fn switch_empty(ground: &Ground) {
    let rows = spec("t", &["id"], Merge);
    let history = TableSpec { disposition: History, ..rows.clone() };
    for (spec, run) in [(&rows, "run-1"), (&history, "run-2"), (&rows, "run-3"), (&history, "run-4")] {
        let mut hand = ground.open(&spec.run(run));
        hand.evolve("id:int v:text");
        hand.finish();
    }
    let mut hand = ground.open(&history.run("run-5"));
    assert_eq!(hand.opened().checkpoint.as_ref().map(|c| c.sequence), Some(4));
    hand.write(&["1|a"]);
    hand.finish();
    drop(hand);
    ground.check_versions("t", &[version("1|a", &read(0, 0), "~")]);
}

fn publish_shows(ground: &Ground) {
    let mut hand = ground.open(&spec("t", &["id"], History));
    hand.evolve("id:int v:text");
    hand.write(&["1|a", "2|a"]);
    hand.commit();
    hand.write(&["1|b"]);
    hand.publish();
    ground.check_versions("t", &[version("1|a", &read(0, 0), "~"), version("2|a", &read(0, 0), "~")]);
    hand.commit();
    hand.publish();
    hand.publish();
    let ended = version("1|a", &read(0, 0), &read(0, 2));
    ground.check_versions(
        "t",
        &[ended.clone(), version("1|b", &read(0, 2), "~"), version("2|a", &read(0, 0), "~")],
    );
    hand.remove(&["1|~"]);
    hand.commit();
    hand.publish();
    hand.finish();
    hand.books(4, 0);
    let expect = [ended, version("1|b", &read(0, 2), &read(0, 3)), version("2|a", &read(0, 0), "~")];
    ground.check_versions("t", &expect);
    drop(hand);
    ground.check_versions("t", &expect);
}
