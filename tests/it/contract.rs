//! Rows that a table cannot hold as it is: under each schema contract, what happens is what docs/tables.md says, nothing
//! else is lost, and the message shows the row.

use crate::api::Api;
use crate::stage::{Report, Stage};
use crate::support::python;

/// 7,500 rows in pages of ten, each page beginning with the last row of the one before; one in page 700 has a text
/// for a number.
fn rows() -> Vec<String> {
    let row = |n| match n {
        6_295 => r#"{"id":"c-06295","mrr":"n/a","name":"n6295"}"#.to_owned(),
        n => format!("{{\"id\":\"c-{n:05}\",\"mrr\":{},\"name\":\"n{n}\"}}", n % 997),
    };
    (0..7_500).map(row).collect()
}

/// Rows of the table, rows whose `mrr` is null, and the type of `mrr`, as DuckDB or SQLite see them.
fn landed(stage: &Stage, destination: &str) -> String {
    if destination.starts_with("sqlite") {
        let query = "SELECT count(*) || ' ' || sum(mrr IS NULL) || ' ' || group_concat(DISTINCT typeof(mrr)) FROM things";
        return stage.database("x.db").query_row(query, [], |row| row.get(0)).expect("a row");
    }
    let script = "import duckdb, sys\nprint(*duckdb.sql(f\"select count(*), count(*) - count(mrr), any_value(typeof(mrr)) from '{sys.argv[1]}/*.parquet'\").fetchall()[0])";
    python(script, &[&stage.path("lake/things")]).trim().to_owned()
}

/// A first run over everything under a contract, and what is there after it.
#[track_caller]
fn check(contract: &str, code: i32, sqlite: &str, parquet: &str, then: impl Fn(&Stage, &Report)) {
    let api = Api::new(rows());
    let stage = Stage::new();
    Api::connector(&stage, 10, "");
    for (destination, expect) in [("sqlite://./x.db", sqlite), ("parquet://./lake", parquet)] {
        let file = format!("{}.yaml", &destination[..6]);
        api.pipeline(&stage, &file, &format!("{{ schema: {{ type_change: {contract} }} }}"), destination);
        let report = stage.run(&[&file]);
        assert_eq!(report.code, Some(code), "{contract}: {}\n{}", report.json, report.err);
        then(&stage, &report);
        assert_eq!(landed(&stage, destination), expect, "{contract} into {destination}");
    }
}

const ROW: &str = r#"row 5 of page 700, since "mrr" is int, and this row has "n/a": {"id":"c-06295","mrr":"n/a","name":"n6295"}"#;

#[test]
fn evolve_lets_the_column_follow() {
    check("evolve", 0, "7500 0 text", "7500 0 VARCHAR", |_, report| {
        assert_eq!(report.figure("loaded"), 7_500);
        let change = &report.json["streams"][0]["schema_changes"][0];
        assert_eq!(change["column"], "mrr");
        assert_eq!((&change["from"], &change["to"]), (&"int".into(), &"json".into()));
        assert_eq!((&change["contract"], &change["page"]), (&"evolve".into(), &700.into()));
    });
}

#[test]
fn freeze_stops_before_the_page() {
    check("freeze", 5, "6292 0 integer", "6292 0 BIGINT", |_, report| {
        assert_eq!((report.error(), report.figure("loaded")), ("type_change", 6_292));
        assert!(
            report.err.contains(ROW) || report.json.to_string().contains("row 5 of page 700"),
            "{}",
            report.err
        );
        let message = report.json["error"]["message"].as_str().expect("a message");
        assert!(message.contains(ROW), "{message}");
        let change = &report.json["streams"][0]["schema_changes"][0];
        assert_eq!((&change["contract"], &change["to"]), (&"freeze".into(), &"json".into()));
    });
}

#[test]
fn quarantine_sets_the_row_aside() {
    check("quarantine", 4, "7499 0 integer", "7499 0 BIGINT", |_, report| {
        assert_eq!((report.figure("loaded"), report.figure("quarantined")), (7_499, 1));
        let notes = report.json["streams"][0]["notes"].to_string().replace("\\\"", "\"");
        assert!(notes.contains(ROW), "{notes}");
    });
}

#[test]
fn drop_value_leaves_the_value_out() {
    check("drop_value", 0, "7500 1 integer,null", "7500 1 BIGINT", |_, report| {
        assert_eq!((report.figure("loaded"), report.figure("quarantined")), (7_500, 0));
        assert_eq!(report.notes(), ["values_dropped"]);
    });
}
