//! Tables that only grow.

use sync_core::Disposition::Append;

use super::Story;
use crate::sink::hand::{Ground, SpecExt as _, spec};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("append adds every row", append_adds),
    ("append with a key leaves out rows already taken", append_with_key),
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
