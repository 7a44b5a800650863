//! What lies on disk: names, versions, links, sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sync_core::{Disposition, Kind, RunId, TableSpec};
use sync_testkit::sink::{SpecExt as _, batch, checkpoint, schema, spec};

use super::super::layout::names;
use super::super::version::crowded;
use super::{hand, lines, open};

/// The data files that a reader of the folder lists.
fn data(folder: &Path) -> BTreeSet<String> {
    let listed = names(folder).expect("listed").into_iter();
    listed.filter(|n| Path::new(n).extension().is_some_and(|e| e == "parquet")).collect()
}

#[test]
fn three_versions_stay_and_no_name_is_used_again() {
    let place = tempfile::tempdir().expect("a folder");
    let spec = spec("t", &["id"], Disposition::Merge);
    let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for run in 0..12 {
        // The same run's name over again, as no engine does, and one table that is opened for several slices.
        let mut hand = hand(place.path(), &spec.run(&format!("run-{}", run / 3)));
        hand.evolve("id:int v:int");
        for slice in 0..3 {
            let lines: Vec<_> = (0..9).map(|id| format!("{}|{}", id * (run + 1), slice * run)).collect();
            hand.write(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            if slice == 1 {
                hand.commit();
                hand.publish();
            } else {
                hand.finish();
            }
            for name in data(&place.path().join("t")) {
                let bytes = fs::read(place.path().join("t").join(&name)).expect("read");
                let before = seen.entry(name.clone()).or_insert_with(|| bytes.clone());
                assert!(*before == bytes, "{name} has other bytes");
            }
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
    let control = place.path().join(".t.sync");
    let versions: Vec<_> =
        names(&control).expect("listed").into_iter().filter(|n| n.starts_with('0')).collect();
    assert_eq!(versions.len(), 3, "{versions:?}");
    let visible = data(&place.path().join("t"));
    let keys = names(&control.join("keys")).expect("listed").len();
    assert_eq!(keys, visible.len(), "a record of keys for each visible file");
    assert_eq!(names(&control.join("staged")).expect("listed"), Vec::<String>::new());
}

#[test]
fn files_that_did_not_change_are_shared() {
    let place = tempfile::tempdir().expect("a folder");
    let spec = spec("t", &["id"], Disposition::Merge);
    let version = |number: u64| data(&place.path().join(format!(".t.sync/{number:06}")));
    let hand_of = |run: &str, lines: &[&str]| {
        let mut hand = hand(place.path(), &spec.run(run));
        hand.evolve("id:int v:int");
        hand.write(lines);
        hand.finish();
    };
    hand_of("run-1", &["1|1", "2|1"]);
    hand_of("run-2", &["3|1", "4|1"]);
    assert_eq!(version(1).difference(&version(2)).count(), 0);
    assert_eq!(version(2).len(), 2);
    hand_of("run-3", &["3|2"]);
    assert_eq!(version(2).intersection(&version(3)).count(), 1, "the other one was written again");
    hand_of("run-4", &["3|2"]);
    assert_eq!(version(3), version(4), "nothing changed");
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let name = version(4).pop_first().expect("a file");
        let file = fs::metadata(place.path().join("t").join(name)).expect("a file");
        assert!(file.nlink() >= 2, "linked, not copied");
    }
    assert_eq!(lines(place.path(), "t"), ["1|1", "2|1", "3|2", "4|1"]);
}

#[test]
fn rewritten_bytes_are_those_of_older_files() {
    let place = tempfile::tempdir().expect("a folder");
    let spec = spec("t", &["id"], Disposition::Merge);
    let finish = |run: &str, sequence: u64, columns: &str, lines: &[&str]| {
        let spec = spec.run(run);
        let mut table = open(place.path(), &spec).expect("it opens");
        let columns = schema(columns);
        table.evolve(&columns).expect("evolved");
        table.write(batch(&columns, &spec.run, 0, lines)).expect("written");
        table.finish(&checkpoint(sequence, 0, &spec.run, &columns)).expect("finished").1.rewritten_bytes
    };
    let size = || -> u64 {
        let folder = place.path().join("t");
        data(&folder).iter().map(|n| fs::metadata(folder.join(n)).expect("a file").len()).sum()
    };
    assert_eq!(finish("run-1", 1, "id:int v:int", &["1|1", "1|2"]), 0);
    let first = size();
    assert_eq!(finish("run-2", 2, "id:int v:int", &["2|1"]), 0);
    let both = size();
    assert_eq!(finish("run-3", 3, "id:int v:int", &["1|3", "3|1"]), 0, "all its rows lost, so it went");
    assert!(size() < both + first);
    let before = size();
    assert_eq!(finish("run-4", 4, "id:int v:int w:text", &["4|1|x"]), before, "a new column");
    assert_eq!(lines(place.path(), "t"), ["1|3|~", "2|1|~", "3|1|~", "4|1|x"]);
}

#[test]
fn many_small_loads_do_not_leave_many_small_files() {
    let place = tempfile::tempdir().expect("a folder");
    let spec = spec("t", &[], Disposition::Append);
    for run in 0..60 {
        let mut hand = hand(place.path(), &spec.run(&format!("run-{run}")));
        hand.evolve("id:int");
        hand.write(&[&run.to_string()]);
        hand.finish();
    }
    let files = data(&place.path().join("t")).len();
    assert!(files <= 8, "{files} files");
    assert_eq!(lines(place.path(), "t").len(), 60);
}

#[test]
fn files_are_joined_by_levels() {
    let check = |sizes: &[u64], expect: &[usize]| {
        let files: Vec<_> = sizes.iter().copied().enumerate().collect();
        assert_eq!(crowded(&files, 1 << 20), expect, "{sizes:?}");
    };
    check(&[], &[]);
    check(&[1; 7], &[]);
    check(&[1; 8], &[0, 1, 2, 3, 4, 5, 6, 7]);
    check(&[1 << 20; 20], &[]);
    check(&[1, 1, 1, 1, 300_000, 300_000, 1, 1, 1, 1], &[0, 1, 2, 3, 6, 7, 8, 9]);
}

#[test]
fn a_table_removed_by_hand_begins_again() {
    let spec = spec("t", &["id"], Disposition::Merge);
    let write = |dir: &Path, run: &str, line: &str, finish: bool| {
        let mut hand = hand(dir, &spec.run(run));
        hand.evolve("id:int");
        hand.write(&[line]);
        if finish {
            hand.finish();
        } else {
            hand.commit();
        }
        hand.opened().checkpoint.is_some()
    };
    for folder_too in [false, true] {
        let place = tempfile::tempdir().expect("a folder");
        write(place.path(), "run-1", "1", true);
        write(place.path(), "run-2", "2", false);
        fs::remove_file(place.path().join("t")).expect("removed");
        if folder_too {
            fs::remove_dir_all(place.path().join(".t.sync")).expect("removed");
        }
        assert!(!write(place.path(), "run-3", "3", true), "there is no checkpoint without its table");
        assert_eq!(lines(place.path(), "t"), ["3"]);
    }
    let place = tempfile::tempdir().expect("a folder");
    write(place.path(), "run-1", "1", true);
    fs::remove_dir_all(place.path().join(".t.sync")).expect("removed");
    assert!(!write(place.path(), "run-2", "2", true), "the link leads nowhere");
    assert_eq!(lines(place.path(), "t"), ["2"]);
}

#[test]
fn a_version_chosen_by_hand_is_gone_on_with() {
    let place = tempfile::tempdir().expect("a folder");
    let spec = spec("t", &["id"], Disposition::Merge);
    for run in 1..=3 {
        let mut hand = hand(place.path(), &spec.run(&format!("run-{run}")));
        hand.evolve("id:int");
        hand.write(&[&run.to_string()]);
        hand.finish();
    }
    fs::remove_file(place.path().join("t")).expect("removed");
    #[cfg(unix)]
    std::os::unix::fs::symlink(".t.sync/000002", place.path().join("t")).expect("linked");
    let mut hand = hand(place.path(), &spec.run("run-4"));
    assert_eq!(hand.opened().checkpoint.as_ref().map(|c| c.sequence), Some(2));
    hand.write(&["4"]);
    hand.finish();
    drop(hand);
    assert_eq!(lines(place.path(), "t"), ["1", "2", "4"]);
    assert_eq!(fs::read_link(place.path().join("t")).expect("a link"), Path::new(".t.sync/000004"));
}

#[test]
fn missing_data_is_told() {
    let place = tempfile::tempdir().expect("a folder");
    let spec = spec("t", &["id"], Disposition::Merge);
    let mut table = hand(place.path(), &spec);
    table.evolve("id:int");
    table.write(&["1"]);
    table.finish();
    drop(table);
    let name = data(&place.path().join("t")).pop_first().expect("a file");
    let path = place.path().join("t").join(name);
    let whole = fs::read(&path).expect("read");
    for damage in [Some(&whole[1..]), None] {
        fs::remove_file(&path).expect("removed");
        if let Some(bytes) = damage {
            fs::write(&path, bytes).expect("written");
        }
        let error = open(place.path(), &spec).err().expect("it is damaged");
        assert_eq!((error.kind, error.code), (Kind::Contract, "destination_damaged"), "{error:?}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    let place = tempfile::tempdir().expect("a folder");
    fs::write(place.path().join("lake"), "a file").expect("written");
    let error =
        open(&place.path().join("lake"), &spec("t", &[], Disposition::Append)).err().expect("an error");
    assert_eq!((error.kind, error.code), (Kind::Environment, "not_writable"), "{error:?}");
    assert!(error.message.contains("lake"), "{error:?}");
}

#[test]
fn an_empty_folder_makes_room_and_a_filled_one_does_not() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("t");
    fs::create_dir(&folder).expect("made");
    let mut hand = hand(place.path(), &spec("t", &[], Disposition::Append));
    hand.evolve("id:int");
    hand.write(&["1"]);
    hand.commit();
    assert!(folder.is_dir() && !folder.is_symlink(), "nothing is switched before it is published");
    hand.finish();
    assert!(folder.is_symlink());
    assert_eq!(lines(place.path(), "t"), ["1"]);
}

#[test]
fn rows_before_their_schema_are_refused() {
    let place = tempfile::tempdir().expect("a folder");
    let spec =
        TableSpec { run: "r".parse::<RunId>().expect("a name"), ..spec("t", &[], Disposition::Append) };
    let mut table = open(place.path(), &spec).expect("it opens");
    let error = table.write(batch(&schema("id:int"), &spec.run, 0, &["1"])).expect_err("there is none");
    assert_eq!(error.code, "table_contract");
    table.evolve(&schema("id:text")).expect("evolved");
    let error = table.write(batch(&schema("id:int"), &spec.run, 0, &["1"])).expect_err("it is another");
    assert_eq!(error.code, "table_contract");
}
