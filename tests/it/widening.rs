//! Columns that give way: what was stored before reads as what comes after, in both destinations, and rows are still
//! told apart by their key.

use crate::api::Api;
use crate::stage::Stage;
use crate::support::python;

/// Rows with `before`, then one with `after`: what column `v` of the first and the last row holds in the end.
#[track_caller]
fn check(before: &str, after: &str, sqlite: [&str; 2], parquet: [&str; 2]) {
    let row = |id: usize, v: &str| format!("{{\"id\":{id},\"v\":{v}}}");
    let api = Api::new((0..1_200).map(|id| row(id, before)).collect());
    let stage = Stage::new();
    Api::connector(&stage, 500, "");
    for destination in ["sqlite://./x.db", "parquet://./lake"] {
        let file = format!("{}.yaml", &destination[..6]);
        api.pipeline(&stage, &file, "", destination);
        api.rows.lock().expect("free").truncate(1_200);
        assert_eq!(stage.run(&[&file]).done(), 1_200);
        api.rows.lock().expect("free").push(row(1_200, after));
        let grown = stage.run(&[&file]);
        assert_eq!(grown.done(), 1, "{before} then {after}: {}", grown.err);
        let again = stage.run(&[&file]);
        assert_eq!(again.done(), 0, "{before} then {after}, once more: {}", again.err);
        assert!(again.notes().is_empty(), "{}", again.err);
    }
    let query = "SELECT group_concat(v, '|') FROM (SELECT CAST(v AS TEXT) AS v FROM things WHERE id IN (0, 1200) ORDER BY id)";
    let found: String = stage.database("x.db").query_row(query, [], |row| row.get(0)).expect("two rows");
    assert_eq!(found, sqlite.join("|"), "{before} then {after} in SQLite");
    let script = "import duckdb, sys\nrows = duckdb.sql(f\"select cast(v as varchar) from '{sys.argv[1]}/*.parquet' where id in (0, 1200) order by id\").fetchall()\nprint('|'.join(row[0] for row in rows))";
    let found = python(script, &[&stage.path("lake/things")]);
    assert_eq!(found.trim_end(), parquet.join("|"), "{before} then {after} in Parquet");
}

#[test]
fn every_edge_of_the_lattice_rewrites_what_is_stored() {
    let same = |before: &str, after: &str, stored: [&str; 2]| check(before, after, stored, stored);
    same("\"a\"", "{\"b\":1}", ["\"a\"", "{\"b\":1}"]);
    same("7", "\"x\"", ["7", "\"x\""]);
    same("7", "0.5", ["7.0", "0.5"]);
    same("9007199254740993", "0.5", ["9007199254740993.0", "0.5"]);
    same("7", "12345678901234567890", ["7", "12345678901234567890"]);
    check("true", "1", ["true", "1"], ["true", "1"]);
    same("\"2026-01-02\"", "\"soon\"", ["2026-01-02", "soon"]);
}

#[test]
fn a_key_that_turns_from_text_to_number_and_back_tells_rows_apart() {
    for (before, after) in [("\"k\"", "7"), ("1", "\"1\""), ("\"2026-01-01T10:00:00\"", "\"never\"")] {
        let key = |n: usize, text: &str| match text.strip_prefix('"') {
            Some(_) if text.contains("2026") => format!("\"2026-01-01T10:{:02}:{:02}\"", n / 60, n % 60),
            Some(_) => format!("\"k{n}\""),
            None => n.to_string(),
        };
        let rows: Vec<_> = (0..1_100).map(|n| format!("{{\"id\":{},\"v\":{n}}}", key(n, before))).collect();
        let api = Api::new(rows);
        let stage = Stage::new();
        Api::connector(&stage, 500, "");
        for destination in ["sqlite://./x.db", "parquet://./lake"] {
            let file = format!("{}.yaml", &destination[..6]);
            api.pipeline(&stage, &file, "", destination);
            api.rows.lock().expect("free").truncate(1_100);
            assert_eq!(stage.run(&[&file]).done(), 1_100);
            api.rows.lock().expect("free").push(format!("{{\"id\":{after},\"v\":-1}}"));
            for expect in [1, 0, 0] {
                let report = stage.run(&[&file]);
                assert_eq!(report.done(), expect, "{before} then {after} into {destination}: {}", report.err);
            }
        }
        assert_eq!(stage.one("x.db", "SELECT count(*) FROM things"), 1_101);
    }
}
