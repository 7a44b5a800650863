//! Who may write, and who else does.

use sync_core::Disposition::{Merge, Replace};
use sync_core::{Kind, TableSpec};

use super::{Story, with_old_rows};
use crate::sink::hand::{Ground, SpecExt as _, batch, checkpoint, schema, spec};

/// The stories with their names.
pub(super) const ALL: &[Story] =
    &[("another owner is refused", other_owner), ("streams share a sink", streams_share)];

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

fn streams_share(ground: &Ground) {
    let sink = (ground.make)(ground.dir);
    let mut tables: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|stream| sink.open(&spec(stream, &["id"], Merge)).expect("each has a table of its own"))
        .collect();
    let schema = schema("id:int v:text");
    let run = spec("one", &[], Merge).run;
    for sequence in 1..=3 {
        for (index, table) in tables.iter_mut().enumerate() {
            table.evolve(&schema).expect("the same schema again changes nothing");
            let rows = [format!("{sequence}|{index}"), format!("0|{sequence}")];
            let batch = batch(&schema, &run, 0, &rows.each_ref().map(String::as_str));
            table.write(batch).expect("the batch fits");
        }
        for table in &mut tables {
            let checkpoint = checkpoint(sequence, sequence, &run, &schema);
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
