//! What is remembered of runs, of rows that were set aside, and of how far streams got; and taking streams back.

use serde_json::Value;

use crate::api::Api;
use crate::stage::Stage;

fn row(n: usize, v: &str) -> String {
    format!("{{\"id\":{n},\"v\":{v},\"updatedAt\":\"2026-01-01T{:02}:{:02}:00Z\"}}", n / 60 % 24, n % 60)
}

fn stage(api: &Api, options: &str, destination: &str) -> Stage {
    let stage = Stage::new();
    Api::connector(&stage, 300, ", cursor: { field: updatedAt, format: iso, mode: client, lookback: 1h }");
    api.pipeline(&stage, "p.yaml", options, destination);
    stage
}

#[track_caller]
fn json(stage: &Stage, words: &[&str]) -> Value {
    let said = stage.said(words);
    assert_eq!(said.code, Some(0), "{words:?}: {}", said.err);
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.out))
}

const QUARANTINE: &str = "{ schema: { type_change: quarantine }, max_bad: 5% }";

#[test]
fn rows_that_were_set_aside_are_listed_and_land_once_the_pipeline_is_mended() {
    for destination in ["sqlite://./x.db", "parquet://./lake"] {
        let mut rows: Vec<_> = (0..1_500).map(|n| row(n, &n.to_string())).collect();
        (1_400..1_410).for_each(|n| rows[n] = row(n, "\"n/a\""));
        let api = Api::new(rows);
        let stage = stage(&api, QUARANTINE, destination);
        let report = stage.run(&["p.yaml"]);
        assert_eq!((report.code, report.figure("quarantined")), (Some(4), 10), "{}", report.err);
        let list = json(&stage, &["rejects", "list", "p.yaml", "--json"]);
        assert_eq!(list.as_array().map(Vec::len), Some(10));
        let page = stage.said(&["runs", report.json["run"].as_str().expect("a name")]);
        assert!(page.out.contains("10 rows of this run are still set aside"), "{}", page.out);
        let (id, first) = (list[0]["id"].to_string(), &list[0]);
        assert_eq!((&first["code"], &first["field"]), (&"type_change".into(), &"v".into()));
        let shown = stage.said(&["rejects", "show", "p.yaml", &id]);
        assert!(shown.out.contains("\"v\":\"n/a\"") && shown.out.contains("type_change"), "{}", shown.out);
        assert_eq!(stage.said(&["rejects", "show", "p.yaml", "999"]).code, Some(2));

        // Nothing was mended: nothing lands.
        let tried = stage.said(&["rejects", "retry", "p.yaml", "--json"]);
        assert_eq!(tried.code, Some(4), "{}", tried.err);
        // One of them is mended at the provider, and lands by itself.
        api.rows.lock().expect("free")[1_400] =
            "{\"id\":1400,\"v\":7,\"updatedAt\":\"2026-01-01T23:59:59Z\"}".to_string();
        let report = stage.run(&["p.yaml"]);
        assert_eq!(report.figure("loaded"), 1, "{}", report.err);
        assert_eq!(json(&stage, &["rejects", "list", "p.yaml", "--json"]).as_array().map(Vec::len), Some(9));
        // The pipeline is mended, and the others land.
        api.pipeline(&stage, "p.yaml", "{ max_bad: 5% }", destination);
        let tried = stage.said(&["rejects", "retry", "p.yaml", "--json"]);
        assert_eq!(tried.code, Some(0), "{}", tried.err);
        let tried: Value = serde_json::from_str(&tried.out).expect("a report");
        assert_eq!(tried["streams"][0]["loaded"], 9);
        assert_eq!(json(&stage, &["rejects", "list", "p.yaml", "--json"]), serde_json::json!([]));
        assert_eq!(stage.run(&["p.yaml"]).done(), 0);
        if destination.starts_with("sqlite") {
            assert_eq!(stage.one("x.db", "SELECT count(*) FROM things"), 1_500);
            assert_eq!(stage.one("x.db", "SELECT count(*) FROM things WHERE v = '\"n/a\"'"), 9);
        }
    }
}

#[test]
fn too_many_bad_rows_fail_the_stream_until_somebody_decides() {
    let rows = (0..1_500).map(|n| row(n, if n > 1_200 { "\"n/a\"" } else { "1" })).collect();
    let api = Api::new(rows);
    let stage = stage(&api, "{ schema: { type_change: quarantine } }", "sqlite://./x.db");
    for _ in 0..2 {
        let report = stage.run(&["p.yaml"]);
        assert_eq!((report.code, report.error()), (Some(5), "too_many_bad_rows"), "{}", report.err);
    }
    assert_eq!(stage.one("x.db", "SELECT count(*) FROM things"), 1_201);
    api.pipeline(
        &stage,
        "p.yaml",
        "{ schema: { type_change: quarantine }, max_bad: 30% }",
        "sqlite://./x.db",
    );
    assert_eq!(stage.run(&["p.yaml"]).code, Some(0));
    let set_aside = json(&stage, &["rejects", "list", "p.yaml", "--limit", "1000", "--json"]);
    assert_eq!(set_aside.as_array().map(Vec::len), Some(299));
}

#[test]
fn runs_are_told_with_their_books_and_what_became_of_columns() {
    let mut rows: Vec<_> = (0..1_200).map(|n| row(n, "1")).collect();
    rows.push("{\"id\":9000,\"v\":1.5,\"tier\":\"gold\"}".to_owned());
    let api = Api::new(rows);
    let stage = stage(&api, "{}", "sqlite://./x.db");
    assert_eq!(stage.said(&["runs"]).code, Some(0));
    assert_eq!(stage.run(&["p.yaml"]).done(), 1_201);
    let runs = json(&stage, &["runs", "--json"]);
    assert_eq!((&runs[0]["pipeline"], &runs[0]["status"]), (&"p".into(), &"done".into()));
    assert_eq!(runs[0]["streams"][0]["loaded"], 1_201);
    let name = runs[0]["run"].as_str().expect("a name");
    let page = stage.said(&["runs", &name[..15]]);
    assert_eq!(page.code, Some(0), "{}", page.err);
    assert!(page.out.contains("~ v int -> float") && page.out.contains("+ tier text"), "{}", page.out);
    assert_eq!(stage.said(&["runs", "1999"]).code, Some(2));
}

#[test]
fn a_stream_is_taken_back_and_forth_again() {
    for destination in ["sqlite://./x.db", "parquet://./lake"] {
        let api = Api::new((0..1_200).map(|n| row(n, "1")).collect());
        let stage = stage(&api, "{}", destination);
        assert_eq!(stage.said(&["state", "reset", "p.yaml", "--all"]).code, Some(2), "it never ran");
        assert_eq!(stage.run(&["p.yaml"]).done(), 1_200);
        let position = |stage: &Stage| {
            let shown = json(stage, &["state", "show", "p.yaml", "--history", "5", "--json"]);
            let of = &shown[0];
            assert_eq!(of["proven"], true);
            (of["checkpoint"]["cursor"].clone(), of["versions"][0]["version"].as_i64().expect("a version"))
        };
        let (cursor, version) = position(&stage);
        assert!(!cursor.is_null());
        let dry = stage.said(&["state", "reset", "p.yaml", "--stream", "things", "--dry-run"]);
        assert_eq!((dry.code, position(&stage).1), (Some(0), version), "{}", dry.err);
        let reset = stage.said(&["state", "reset", "p.yaml", "--stream", "things"]);
        assert_eq!(reset.code, Some(0), "{}", reset.err);
        assert!(reset.err.contains(&format!("--to {version}")), "{}", reset.err);
        assert_eq!(position(&stage).0, Value::Null);
        // Undone, the next run looks for changes only.
        let to = version.to_string();
        assert_eq!(
            stage.said(&["state", "rewind", "p.yaml", "--stream", "things", "--to", &to]).code,
            Some(0)
        );
        assert_eq!(position(&stage).0, cursor);
        assert!(stage.run(&["p.yaml"]).figure("filtered") > 1_000);
        assert_eq!(stage.said(&["state", "reset", "p.yaml", "--all"]).code, Some(0));
        let all = stage.run(&["p.yaml"]);
        assert_eq!((all.done(), all.figure("deduplicated"), all.figure("filtered")), (0, 1_200, 0));
        let unknown = stage.said(&["state", "rewind", "p.yaml", "--stream", "things", "--to", "9999"]);
        assert_eq!(unknown.code, Some(2), "{}", unknown.err);
        let whole = json(&stage, &["state", "export", "p.yaml"]);
        assert!(whole["streams"][0]["versions"].as_array().is_some_and(|v| v.len() > 5));
    }
}
