//! What is durable, when, and what a process that died leaves behind.

use sync_core::Disposition::{Append, History, Merge, Replace};
use sync_core::{Checkpoint, Kind};

use super::Story;
use crate::sink::hand::{Ground, Hand, SpecExt as _, spec};

/// The stories with their names.
pub(super) const ALL: &[Story] = &[
    ("continue after a drop at any step", continue_anywhere),
    ("a drop forgets what was not committed", drop_forgets),
    ("a checkpoint comes back as it was", checkpoint_round_trip),
    ("a commit compares and sets the sequence", compare_and_set),
    ("empty commits move the checkpoint", empty_commits),
    ("a stream without rows", no_rows),
    ("publish shows what was committed", publish_shows),
];

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
    for disposition in [Merge, Append, Replace, History] {
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
