//! The store as its callers see it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sync_core::{
    Books, Checkpoint, Digits, Explain, Kind, Problem, Reject, ResumePoint, RunId, RunReport, Schema, Status,
    StreamReport, Timestamp, Type,
};

use crate::{Cause, History, Rejects, RunStatus, StateError, Store};

const DESTINATION: &str = "sqlite:/tmp/out.db";

fn run(name: &str) -> RunId {
    name.parse().expect("every text is a run")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + second * 1_000_000)
}

fn books(fetched: u64) -> Books {
    Books { fetched, loaded: fetched, ..Books::default() }
}

fn checkpoint(of: &str, sequence: u64, columns: &[&str]) -> Checkpoint {
    let mut schema = Schema::default();
    for column in columns {
        schema.add(column, Type::Decimal(20, 2), true, Digits { whole: 5, scale: 2, wide: false });
    }
    Checkpoint {
        format: Checkpoint::FORMAT,
        sequence,
        run: run(of),
        at: at(sequence as i64),
        cursor: None,
        resume: Some(ResumePoint(json!({"offset": 9_007_199_254_740_993_u64, "ids": ["é", null]}))),
        pages: sequence,
        books: books(sequence * 10),
        key: Vec::new(),
        schema,
        slice: sync_core::Share { fetched: sequence * 10, quarantined: 0 },
        shaping: "s".to_owned(),
    }
}

fn stream_report(stream: &str, status: Status, fetched: u64) -> StreamReport {
    let error = Problem::new(Kind::Failed, "server_error", "HTTP 500");
    StreamReport {
        stream: stream.to_owned(),
        named: true,
        status,
        error: (status != Status::Done).then_some(error),
        books: books(fetched),
        requests: 3,
        retries: 1,
        waited_ms: 250,
        resumed_from_page: Some(2),
        bytes: 1_000,
        elapsed_ms: 900,
        notes: Vec::new(),
        schema_changes: Vec::new(),
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, "p").expect("a state")
}

/// Runs whose books are open, and their streams.
fn begin(store: &Store, name: &str, second: i64) -> Vec<(String, Vec<(String, u64)>)> {
    let found = store.begin_run(&run(name), at(second)).expect("a run begins");
    found
        .into_iter()
        .map(|i| {
            let streams = i.streams.into_iter().map(|s| (s.stream, s.books.fetched)).collect();
            (i.run.to_string(), streams)
        })
        .collect()
}

#[test]
fn a_run_is_read_back_as_it_was_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    assert_eq!(begin(&store, "r1", 0), []);
    let running = &store.runs(10).expect("runs")[0];
    assert_eq!((running.status, running.ended), (RunStatus::Running, None));

    store.record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", 1, &["x"])).expect("a commit");
    let half = store.history().run(&run("r1")).expect("readable").expect("the run");
    assert_eq!(half.streams[0].status, RunStatus::Running);
    assert_eq!(half.streams[0].books, books(10));

    let streams = vec![stream_report("a", Status::Done, 10), stream_report("b", Status::Failed, 0)];
    store.record_stream(&run("r1"), &streams[0]).expect("a stream ends");
    let report = RunReport::of(run("r1"), streams);
    store.end_run(&report, at(60)).expect("the run ends");

    let row = store.history().run(&run("r1")).expect("readable").expect("the run");
    assert_eq!((row.started, row.ended), (at(0), Some(at(60))));
    assert_eq!(row.status, RunStatus::Ended(Status::Partial));
    assert_eq!(row.error, Some(json!({"code": "server_error", "message": "b: HTTP 500", "hint": null})));
    assert_eq!(row.streams[0].destination.as_deref(), Some(DESTINATION));
    assert_eq!(row.streams[0].report, Some(serde_json::to_value(&report.streams[0]).expect("json")));
    assert_eq!(row.streams[1].status, RunStatus::Ended(Status::Failed));
    assert_eq!(row.streams[1].destination, None);
    assert_eq!(store.history().run(&run("r2")).expect("readable"), None);
}

#[test]
fn a_run_that_never_began_can_still_be_entered() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let problem = Problem::new(Kind::Refused, "credential_missing", "no key");
    store.end_run(&RunReport::refused(run("r1"), problem), at(5)).expect("entered");
    let rows = store.runs(10).expect("runs");
    assert_eq!((rows[0].started, rows[0].status), (at(5), RunStatus::Ended(Status::Refused)));
}

#[test]
fn checkpoints_come_back_whole_newest_first_and_the_last_hundred_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    for sequence in 1..=103 {
        let columns: &[&str] = if sequence < 50 { &["x"] } else { &["x", "X"] };
        store
            .record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", sequence, columns))
            .expect("a commit");
    }
    store.record_commit(&run("r1"), "a", "elsewhere", &checkpoint("r1", 1, &["x"])).expect("a commit");
    store.record_commit(&run("r1"), "b", DESTINATION, &checkpoint("r1", 7, &["x"])).expect("a commit");

    let rows = store.checkpoints("a", Some(DESTINATION), 1_000).expect("checkpoints");
    let sequences: Vec<_> = rows.iter().map(|r| r.checkpoint.sequence).collect();
    assert_eq!(sequences, (4..=103).rev().collect::<Vec<_>>());
    assert_eq!(rows[0].checkpoint, checkpoint("r1", 103, &["x", "X"]));
    assert_eq!(rows[99].checkpoint, checkpoint("r1", 4, &["x"]));
    assert_eq!(store.checkpoints("a", None, 1).expect("checkpoints")[0].destination, "elsewhere");
    assert_eq!(store.checkpoints("c", None, 1).expect("checkpoints"), []);

    // One entry per change, not per commit.
    let schemas = store.history().schemas("a").expect("schemas");
    let columns: Vec<_> = schemas.iter().map(|s| (s.destination.as_str(), s.schema.columns.len())).collect();
    assert_eq!(columns, [("elsewhere", 1), (DESTINATION, 2), (DESTINATION, 1)]);
    assert_eq!((schemas[1].at, &schemas[1].run), (at(50), &run("r1")));
}

#[test]
fn a_table_that_was_deleted_may_count_from_one_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    for sequence in [1, 2, 1] {
        store
            .record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", sequence, &["x"]))
            .expect("a commit");
    }
    let rows = store.checkpoints("a", None, 10).expect("checkpoints");
    assert_eq!(rows.iter().map(|r| r.checkpoint.sequence).collect::<Vec<_>>(), [1, 2, 1]);
}

#[test]
fn the_books_of_a_dead_run_are_closed_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    store.record_stream(&run("r1"), &stream_report("a", Status::Done, 5)).expect("a stream ends");
    store.record_commit(&run("r1"), "b", DESTINATION, &checkpoint("r1", 1, &["x"])).expect("a commit");
    drop(store);

    // The next process finds it, and dies before it closes anything; the one after finds both.
    let store = open(dir.path());
    assert_eq!(begin(&store, "r2", 10), [("r1".to_owned(), vec![("b".to_owned(), 10)])]);
    drop(store);
    let store = open(dir.path());
    let orphans = begin(&store, "r3", 20);
    assert_eq!(orphans, [("r1".to_owned(), vec![("b".to_owned(), 10)]), ("r2".to_owned(), vec![])]);

    let close = |of: &str, stream: &str, fetched| {
        store.close_interrupted(&run(of), stream, books(fetched)).expect("books")
    };
    assert!(close("r1", "b", 20), "the destination was one commit further");
    assert!(!close("r1", "b", 30), "closed is closed");
    assert!(!close("r1", "a", 30), "it had ended well");
    assert!(close("r1", "c", 40), "its first commit never came on record");
    assert!(!close("r3", "b", 50), "r3 is alive");
    assert!(!close("r0", "b", 50), "nobody knows r0");

    assert_eq!(begin(&store, "r4", 30), [("r3".to_owned(), vec![])]);
    let row = store.history().run(&run("r1")).expect("readable").expect("the run");
    assert_eq!((row.status, row.ended), (RunStatus::Interrupted, None));
    let streams: Vec<_> =
        row.streams.iter().map(|s| (s.stream.as_str(), s.status.as_str(), s.books.fetched)).collect();
    assert_eq!(streams, [("a", "done", 5), ("b", "interrupted", 20), ("c", "interrupted", 40)]);
}

#[test]
fn books_that_no_checkpoint_closed_are_closed_by_the_next_run_of_the_stream() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    commit(&store, "r1", 1);
    begin(&store, "r2", 10);
    store.record_stream(&run("r2"), &stream_report("b", Status::Done, 1)).expect("a stream ends");
    let first = || store.history().run(&run("r1")).expect("readable").expect("the run").streams[0].status;
    assert_eq!(first(), RunStatus::Running, "that was another stream");
    store.record_stream(&run("r2"), &stream_report("a", Status::Done, 1)).expect("a stream ends");
    assert_eq!(first(), RunStatus::Interrupted);
}

#[test]
fn a_commit_after_the_end_does_not_open_the_books_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    store.record_stream(&run("r1"), &stream_report("a", Status::Done, 5)).expect("a stream ends");
    store.record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", 9, &["x"])).expect("a commit");
    let row = store.history().run(&run("r1")).expect("readable").expect("the run");
    assert_eq!((row.streams[0].status, row.streams[0].books), (RunStatus::Ended(Status::Done), books(5)));
}

#[test]
fn the_ledger_forgets_the_oldest_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let other = rusqlite::Connection::open(dir.path().join("p.db")).expect("a database");
    other
        .execute_batch(
            "with recursive n(i) as (select 0 union all select i + 1 from n where i < 1999)
             insert into runs (run, started, status)
             select format('r%04d', i), format('2023-01-01T00:%02d:%02d.000000Z', i / 60, i % 60), 'done' from n;
             insert into streams select run, 'a', null, 'done', 1, 1, 0, 0, 0, null from runs;",
        )
        .expect("two thousand runs");
    for second in 2_000..2_003 {
        let name = format!("r{second:04}");
        store.begin_run(&run(&name), at(second)).expect("a run begins");
        store.record_stream(&run(&name), &stream_report("a", Status::Done, 1)).expect("a stream ends");
    }
    let rows = store.runs(10_000).expect("runs");
    assert_eq!((rows.len(), rows[0].run.as_str(), rows[1_999].run.as_str()), (2_000, "r2002", "r0003"));
    assert!(rows.iter().all(|r| r.streams.len() == 1));
    let streams: i64 =
        other.query_row("select count(*) from streams", [], |row| row.get(0)).expect("a count");
    assert_eq!(streams, 2_000, "their streams go with them");
}

#[test]
fn two_stores_of_one_pipeline_are_one_too_many() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path());
    let refused = Store::open(dir.path(), "p").err().expect("it is held");
    assert_eq!((refused.kind(), refused.code()), (Kind::Environment, "pipeline_locked"));
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    Store::open(dir.path(), "q").expect("another pipeline has its own lock");
    drop(first);
    open(dir.path());
}

#[test]
fn a_look_from_outside_needs_no_lock() {
    let dir = tempfile::tempdir().expect("a folder");
    assert!(History::open(dir.path(), "p").expect("readable").is_none());
    assert!(!dir.path().join("p.db").exists(), "looking makes nothing");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    let history = History::open(dir.path(), "p").expect("readable").expect("it ran");
    assert_eq!(history.runs(5).expect("runs")[0].status, RunStatus::Running);
    drop(store);
    let history = History::open(dir.path(), "p").expect("readable").expect("it ran");
    assert_eq!(history.runs(5).expect("runs").len(), 1);
}

#[test]
fn only_a_folder_of_our_own_is_hidden_from_git() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = dir.path().join(".sync");
    open(&ours);
    assert_eq!(std::fs::read_to_string(ours.join(".gitignore")).expect("a file"), "*\n");
    let theirs = dir.path().join("work");
    std::fs::create_dir(&theirs).expect("a folder");
    std::fs::write(theirs.join("main.rs"), "").expect("a file");
    open(&theirs);
    assert!(!theirs.join(".gitignore").exists());
}

#[test]
fn rows_serialize_for_people() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    store.record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", 1, &["x"])).expect("a commit");
    let row: Value = serde_json::to_value(&store.runs(1).expect("runs")[0]).expect("json");
    assert_eq!(row["status"], "running");
    assert_eq!(row["ended"], Value::Null);
    assert_eq!(row["streams"][0]["loaded"], 10);
}

// What goes wrong.

#[track_caller]
fn refusal(dir: &Path, pipeline: &str) -> StateError {
    Store::open(dir, pipeline).err().expect("a refusal")
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["", ".", "..", "../p", "a/b", "/p", "a\\b", "p/", "./p", "p\0"] {
        let error = refusal(dir.path(), name);
        assert_eq!((error.kind(), error.code()), (Kind::Refused, "pipeline_name"), "{name:?}");
    }
    Store::open(dir.path(), "Bücher 2. Teil").expect("any plain name is fine");
}

#[test]
fn a_newer_state_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    let database = rusqlite::Connection::open(dir.path().join("p.db")).expect("a database");
    database.pragma_update(None, "user_version", 99).expect("a pragma");
    drop(database);
    let error = refusal(dir.path(), "p");
    assert_eq!(error.code(), "state_newer");
    assert!(error.to_string().ends_with("has state format 99; this release reads up to 3"), "{error}");
}

#[test]
fn what_is_no_state_is_called_so_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("p.db");
    std::fs::write(&path, "not a database, but long enough to have a header of one hundred bytes".repeat(20))
        .expect("a file");
    let error = refusal(dir.path(), "p");
    assert_eq!((error.kind(), error.code()), (Kind::Environment, "state_damaged"));
    assert!(error.hint().expect("a hint").starts_with("delete `"));

    std::fs::remove_file(&path).expect("removed");
    let theirs = rusqlite::Connection::open(&path).expect("a database");
    theirs.execute_batch("create table precious (x)").expect("a table");
    drop(theirs);
    let error = refusal(dir.path(), "p");
    assert_eq!(error.code(), "state_damaged");
    let theirs = rusqlite::Connection::open(&path).expect("a database");
    let tables: i64 =
        theirs.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).expect("a count");
    assert_eq!(tables, 1);
}

#[test]
fn a_state_that_somebody_tampered_with_is_damaged_not_a_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    store.record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", 1, &["x"])).expect("a commit");
    let other = rusqlite::Connection::open(dir.path().join("p.db")).expect("a database");
    other
        .execute_batch("update runs set status = 'odd'; update checkpoints set checkpoint = '{'")
        .expect("an update");
    assert_eq!(store.runs(1).expect_err("no status").code(), "state_damaged");
    assert_eq!(store.checkpoints("a", None, 1).expect_err("no JSON").code(), "state_damaged");
    other.execute_batch("drop table runs").expect("dropped");
    assert_eq!(store.begin_run(&run("r2"), at(1)).expect_err("no table").code(), "state_damaged");
}

#[test]
fn a_full_disk_is_called_by_its_name_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    store.grow_at_most(3);
    let full = (1..10_000)
        .find_map(|n| {
            store.record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", n, &["x"; 40])).err()
        })
        .expect("three pages are soon full");
    assert_eq!((full.kind(), full.code()), (Kind::Environment, "disk_full"));
    let kept = store.checkpoints("a", None, 1_000).expect("checkpoints").len();
    assert!(kept > 0, "the commits before it are there");
    store.grow_at_most(1_000);
    store.record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", 1, &["x"])).expect("space again");
}

#[test]
fn a_folder_that_cannot_be_made_is_not_writable() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("file"), "").expect("a file");
    let error = refusal(&dir.path().join("file/.sync"), "p");
    assert_eq!((error.kind(), error.code()), (Kind::Environment, "not_writable"));
}

// A writer that is killed. The test starts itself again as another process and kills that.

const HOLD: &str = "SYNC_STATE_TEST_HOLD";

#[test]
fn a_killed_writer_leaves_the_lock_free_and_its_books_open() {
    if let Some(dir) = std::env::var_os(HOLD) {
        return hold(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "tests::a_killed_writer_leaves_the_lock_free_and_its_books_open", "--nocapture"])
        .env(HOLD, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    assert!(output.lines().map_while(Result::ok).any(|line| line.contains("held")), "it never began");

    let refused = refusal(dir.path(), "p");
    let expect = format!("pipeline `p` is already being run by process {}", child.id());
    assert_eq!(refused.to_string(), expect);
    child.kill().expect("killed");
    child.wait().expect("gone");

    let store = open(dir.path());
    assert_eq!(begin(&store, "r2", 10), [("r1".to_owned(), vec![("a".to_owned(), 10)])]);
}

fn hold(dir: &Path) {
    let store = open(dir);
    begin(&store, "r1", 0);
    store.record_commit(&run("r1"), "a", DESTINATION, &checkpoint("r1", 1, &["x"])).expect("a commit");
    std::io::stdout().write_all(b"\nheld\n").expect("somebody listens");
    // Ends when it is killed, or when the process that started it is gone.
    let _ = std::io::stdin().read(&mut [0]);
}

fn reject(n: u64, identity: &str) -> Reject {
    Reject {
        page: n,
        row: 3,
        code: "type_change".to_owned(),
        field: Some("mrr".to_owned()),
        message: "no number".to_owned(),
        raw: Some(format!("{{\"id\":{n}}}")),
        bytes: 8,
        hash: format!("{n:032x}"),
        identity: Some(identity.to_owned()),
        at: at(n as i64),
    }
}

/// The numbers of the rows that are set aside, as `raw` has them.
fn waiting(store: &Store) -> Vec<u64> {
    let all = store.history().rejects(&Rejects { limit: 100, ..Rejects::default() }).expect("rejects");
    all.iter().map(|row| row.reject.page).collect()
}

fn set_aside(store: &Store, of: &str, sequence: u64, rows: &[(u64, &str)]) {
    let rejects: Vec<_> = rows.iter().map(|(n, identity)| reject(*n, identity)).collect();
    store.quarantine(&run(of), "a", DESTINATION, sequence, &rejects).expect("set aside");
}

fn commit(store: &Store, of: &str, sequence: u64) {
    store.record_commit(&run(of), "a", DESTINATION, &checkpoint(of, sequence, &["x"])).expect("a commit");
}

#[test]
fn a_reject_counts_once_its_commit_came_about() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    set_aside(&store, "r1", 1, &[(1, "k1")]);
    assert_eq!(waiting(&store), [] as [u64; 0]);
    commit(&store, "r1", 1);
    assert_eq!(waiting(&store), [1]);
    // The process dies between the two: the destination tells what became of the commit.
    set_aside(&store, "r1", 2, &[(2, "k2")]);
    set_aside(&store, "r1", 3, &[(3, "k3")]);
    store.settle_rejects("a", DESTINATION, Some(&checkpoint("r1", 2, &["x"]))).expect("settled");
    assert_eq!(waiting(&store), [1, 2]);
    set_aside(&store, "r1", 3, &[(3, "k3")]);
    store.settle_rejects("a", DESTINATION, Some(&checkpoint("another", 9, &["x"]))).expect("settled");
    set_aside(&store, "r1", 3, &[(3, "k3")]);
    store.settle_rejects("a", DESTINATION, None).expect("settled");
    assert_eq!(waiting(&store), [1, 2]);
}

#[test]
fn a_row_is_set_aside_once_however_often_it_comes() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    set_aside(&store, "r1", 1, &[(1, "k1"), (2, "k2"), (1, "k1")]);
    commit(&store, "r1", 1);
    assert_eq!(waiting(&store), [2, 1]);
    begin(&store, "r2", 10);
    set_aside(&store, "r2", 2, &[(2, "k2")]);
    // Another version of the row with the first key.
    set_aside(&store, "r2", 2, &[(5, "k1")]);
    assert_eq!(waiting(&store), [2, 1], "nothing goes before its successor is certain");
    commit(&store, "r2", 2);
    assert_eq!(waiting(&store), [2, 5]);
    let counts = store.history().count_rejects().expect("counts");
    assert_eq!(
        (counts[0].rows, counts[0].code.as_str(), counts[0].field.as_deref()),
        (2, "type_change", Some("mrr"))
    );
}

#[test]
fn rejects_go_when_their_rows_land_or_their_table_is_rebuilt() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    begin(&store, "r1", 0);
    set_aside(&store, "r1", 1, &[(1, "k1"), (2, "k2"), (3, "k3")]);
    commit(&store, "r1", 1);
    assert_eq!(store.open_rejects_identities("a", DESTINATION).expect("keys"), ["k1", "k2", "k3"]);
    store.supersede_rejects("a", DESTINATION, &["k2".to_owned()]).expect("superseded");
    assert_eq!(waiting(&store), [1, 3]);
    let first = store.history().rejects(&Rejects { limit: 1, ..Rejects::default() }).expect("rejects")[0].id;
    store.forget_rejects(&[first]).expect("forgotten");
    assert_eq!(waiting(&store), [3]);
    assert_eq!(store.history().reject(first).expect("read"), None);

    store.record_stream(&run("r1"), &stream_report("a", Status::Done, 3)).expect("a stream ends");
    for (name, second) in [("r2", 10), ("r3", 20)] {
        begin(&store, name, second);
        set_aside(&store, name, second as u64, &[(second as u64, name)]);
        commit(&store, name, second as u64);
    }
    store.forget_rejects_of_the_table_before("a", DESTINATION).expect("forgotten");
    assert_eq!(waiting(&store), [10, 20]);
}

/// The first form, as it was released.
const FORM_1: &str = "
    pragma application_id = 0x73796e63;
    pragma user_version = 1;
    create table runs (run text primary key, started text not null, ended text, status text not null, error text,
        report text) strict, without rowid;
    create table streams (run text not null, stream text not null, destination text, status text not null,
        fetched integer not null, loaded integer not null, deduplicated integer not null, filtered integer not null,
        quarantined integer not null, report text, primary key (run, stream)) strict, without rowid;
    create table schemas (id integer primary key, stream text not null, destination text not null, run text not null,
        at text not null, schema text not null) strict;
    create index schemas_of on schemas (stream, destination, id);
    create table checkpoints (id integer primary key, stream text not null, destination text not null,
        sequence integer not null, run text not null, at text not null,
        schema_id integer not null references schemas (id), checkpoint text not null) strict;
    create index checkpoints_of on checkpoints (stream, destination, id);
    insert into runs values ('r1', '2026-11-25T10:00:00.000000Z', '2026-11-25T10:01:00.000000Z', 'done', null, null);
    insert into streams values ('r1', 'a', 'sqlite:///x.db', 'done', 10, 10, 0, 0, 0, null);
    insert into schemas values (1, 'a', 'sqlite:///x.db', 'r1', '2026-11-25T10:00:30.000000Z',
        '[{\"name\":\"x\",\"field\":\"x\",\"type\":\"int\",\"settled\":true,\"digits\":{\"whole\":1,\"scale\":0,\"wide\":false}}]');
    insert into checkpoints values (7, 'a', 'sqlite:///x.db', 3, 'r1', '2026-11-25T10:00:30.000000Z', 1,
        '{\"format\":1,\"sequence\":3,\"run\":\"r1\",\"at\":\"2026-11-25T10:00:30.000000Z\",\"cursor\":null,\"resume\":null,\"pages\":0,\"books\":{\"fetched\":10,\"loaded\":10,\"deduplicated\":0,\"filtered\":0,\"quarantined\":0},\"key\":[\"x\"]}');
";

#[test]
fn a_state_of_the_first_form_is_read_as_it_is_and_brought_to_the_second() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = rusqlite::Connection::open(dir.path().join("p.db")).expect("a database");
    old.execute_batch(FORM_1).expect("the first form");
    drop(old);
    let look = History::open(dir.path(), "p").expect("a state").expect("it ran");
    let before = look.checkpoints("a", None, 10).expect("checkpoints");
    assert_eq!((before[0].version, before[0].cause, before[0].checkpoint.sequence), (7, Cause::Commit, 3));
    assert_eq!(look.rejects(&Rejects::default()).expect("none"), []);
    drop(look);
    let store = open(dir.path());
    assert_eq!(store.checkpoints("a", None, 10).expect("checkpoints"), before);
    assert_eq!(store.runs(10).expect("runs")[0].streams[0].books, books(10));
    begin(&store, "r2", 2_000_000_000);
    set_aside(&store, "r2", 4, &[(1, "k1")]);
    commit(&store, "r2", 4);
    assert_eq!(waiting(&store), [1]);
    assert!(store.checkpoints("a", None, 1).expect("checkpoints")[0].version > 7);
}
