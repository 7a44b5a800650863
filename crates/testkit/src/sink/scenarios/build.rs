//! Tables that are built beside the one that readers see: replace, and a full refresh.

use sync_core::Disposition::{Append, Merge, Replace};

use super::{Story, with_old_rows};
use crate::sink::hand::{Ground, SpecExt as _, spec};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("replace shows the listing when it is whole", replace_when_whole),
    ("replace with a key merges", replace_with_key),
    ("replace by an empty listing", replace_by_nothing),
    ("a restarted build forgets its rows", restart_forgets),
    ("a full refresh switches in when it is whole", anew_when_whole),
    ("a full refresh that was killed goes on", anew_goes_on),
    ("a second full refresh throws the first away", anew_twice),
];

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
