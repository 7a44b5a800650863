use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sync_testkit::sink::{Hand, Rows, SpecExt as _, conformance, spec};

use super::sql::quote;
use super::statements::Statements;
use super::*;
use crate::tail::Tail;

fn at(dir: &Path) -> PathBuf {
    dir.join("test.db")
}

/// A table as a program sees it that knows nothing of us.
fn read(dir: &Path, table: &str) -> Option<Rows> {
    let connection = Connection::open_with_flags(at(dir), OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let mut select = connection.prepare(&format!("SELECT * FROM {}", quote(table))).ok()?;
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    let text = |value: ValueRef| match value {
        ValueRef::Null => None,
        ValueRef::Integer(int) => Some(int.to_string()),
        ValueRef::Real(float) => Some(float.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).expect("text is UTF-8")),
        ValueRef::Blob(_) => panic!("nothing is stored as a blob"),
    };
    let cells = |row: &rusqlite::Row| (0..columns.len()).map(|i| row.get_ref(i).map(text)).collect();
    let rows = select.query_map([], cells).expect("a query").collect::<Result<_, _>>().expect("rows");
    Some(Rows { columns, rows })
}

#[test]
fn keeps_the_contract() {
    conformance(&|dir| Box::new(Sqlite::open(&at(dir)).expect("a new database")), &read);
}

fn open(dir: &Path, spec: &TableSpec) -> Hand {
    Hand::open(Box::new(Sqlite::open(&at(dir)).expect("a database")), spec)
}

/// An index that was built in one go has no room in its pages, so that each row of a statement splits some. What
/// SQLite keeps of them to undo the statement was once more than it could put aside, and it said that the disk
/// was full.
#[test]
fn new_keys_find_room_among_many() {
    let dir = tempfile::tempdir().expect("a folder");
    let spec = spec("t", &["id"], Disposition::Merge);
    let line = |n: u64| format!("{:064x}|{n}", u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64);
    for (run, rows) in [("run-1", 0..100_000), ("run-2", 100_000..101_000)] {
        let mut hand = open(dir.path(), &spec.run(run));
        hand.evolve("id:text n:int");
        let lines: Vec<String> = rows.map(line).collect();
        hand.write(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        hand.finish();
        hand.books(lines.len() as u64, 0);
    }
}

/// A table of many rows is not counted when it is opened.
#[test]
fn many_rows_are_about_as_many() {
    let dir = tempfile::tempdir().expect("a folder");
    let lines: Vec<String> = (0..12_000).map(|n| n.to_string()).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for (stream, column) in [("t", "id:int"), ("odd", "id:int rowid:int _rowid_:int OID:int")] {
        let spec = spec(stream, &["id"], Disposition::Merge);
        let mut hand = open(dir.path(), &spec);
        hand.evolve("id:int");
        hand.write(&lines);
        hand.evolve(column);
        hand.finish();
        drop(hand);
        let mut hand = open(dir.path(), &spec.run("run-2"));
        assert_eq!(hand.opened().rows, 12_000);
        let nulls = "|~".repeat(column.split(' ').count() - 1);
        hand.remove(&[&format!("3{nulls}")]);
        hand.finish();
        drop(hand);
        let exact = u64::from(stream == "odd");
        assert_eq!(open(dir.path(), &spec.run("run-3")).opened().rows, 12_000 - exact);
    }
}

/// Each row of a history, and each tombstone, is found by the index of its key.
#[test]
fn keys_are_found_by_their_index() {
    let dir = tempfile::tempdir().expect("a folder");
    for disposition in [Disposition::Merge, Disposition::History] {
        let spec = spec(disposition.as_str(), &["a", "b"], disposition);
        let mut hand = open(dir.path(), &spec);
        hand.evolve("a:int b:text v:text");
        hand.write(&["1|a|x"]);
        hand.finish();
        drop(hand);
        let (names, tail) = (["a", "b", "v"], Tail::of(&spec));
        let statements =
            Statements { table: &spec.stream, names: &names, key: &[0, 1], order: None, tail: &tail };
        let all = match disposition {
            Disposition::History => vec![statements.close(), statements.close_deleted(), statements.open()],
            _ => vec![statements.update(), statements.delete()],
        };
        let connection = Connection::open(at(dir.path())).expect("the database");
        count_superseded(&connection).expect("a function");
        for sql in all {
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
            let mut steps = explain.raw_query();
            let mut searches = 0;
            while let Some(row) = steps.next().expect("a plan") {
                let step: String = row.get(3).expect("a text");
                assert!(!step.contains("SCAN _sync_t") && !step.contains("TEMP B-TREE"), "{step} in {sql}");
                searches += usize::from(step.contains("INDEX _sync_key_") && step.contains("(a=? AND b=?"));
            }
            assert!(searches > 0, "{sql}");
        }
    }
}

/// A column that somebody added is not mistaken for ours.
#[test]
fn a_foreign_column_is_no_mark() {
    let dir = tempfile::tempdir().expect("a folder");
    let spec = spec("t", &["id"], Disposition::Merge).deleted("_deleted");
    let mut hand = open(dir.path(), &spec);
    hand.evolve("id:int");
    hand.finish();
    drop(hand);
    let refusal = |change: &str| {
        let connection = Connection::open(at(dir.path())).expect("the database");
        connection.execute_batch(change).expect("a change");
        let sink = Sqlite::open(&at(dir.path())).expect("the database");
        sink.open(&spec).err().map(|error| (error.code, error.message.contains("\"theirs\"")))
    };
    let refused = Some(("table_changed", true));
    assert_eq!(refusal("ALTER TABLE t ADD COLUMN theirs INTEGER NOT NULL DEFAULT 0"), refused);
    assert_eq!(refusal("ALTER TABLE t DROP COLUMN theirs"), None);
    assert_eq!(refusal("ALTER TABLE t ADD COLUMN theirs TEXT"), refused);
}
