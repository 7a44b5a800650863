//! Columns that give way: what was stored before reads as what comes after, in both destinations, and rows are still
//! told apart by their key.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sync_http::serve::{Incoming, Reply, Server};

use crate::stage::Stage;
use crate::support::python;

const CONNECTOR: &str = "\
connector: acme
base_url: http://127.0.0.1
auth: none
defaults: { key: id, paginate: { offset: { param: offset }, size: { limit: 500 } } }
streams:
  things: { get: /things }
";

/// An API with one list of rows, each a JSON text.
struct Api {
    rows: Arc<Mutex<Vec<String>>>,
    server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Api {
    fn new(rows: Vec<String>) -> Self {
        let rows = Arc::new(Mutex::new(rows));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be had");
        let served = rows.clone();
        let answer = move |incoming: Incoming| {
            let number =
                |name: &str| incoming.query.split('&').find_map(|p| p.strip_prefix(name)?.parse().ok());
            let (offset, limit) = (number("offset=").unwrap_or(0), number("limit=").unwrap_or(100_usize));
            let rows = served.lock().expect("no test panics in here");
            let page: Vec<&str> = rows.iter().skip(offset).take(limit).map(String::as_str).collect();
            Reply::json(200, format!("[{}]", page.join(",")))
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = {
            let _inside = runtime.enter();
            Server::start(any, Arc::new(answer)).expect("a loopback port is free")
        };
        Self { rows, server, _runtime: runtime }
    }
}

/// Rows with `before`, then one with `after`: what column `v` of the first and the last row holds in the end.
#[track_caller]
fn check(before: &str, after: &str, sqlite: [&str; 2], parquet: [&str; 2]) {
    let row = |id: usize, v: &str| format!("{{\"id\":{id},\"v\":{v}}}");
    let api = Api::new((0..1_200).map(|id| row(id, before)).collect());
    let stage = Stage::new();
    stage.write("acme.yaml", CONNECTOR);
    for destination in ["sqlite://./x.db", "parquet://./lake"] {
        let base_url = format!("http://{}", api.server.addr());
        let text = format!(
            "source: {{ connector: ./acme.yaml, base_url: \"{base_url}\" }}\nstreams: [things]\ndestination: {destination}\n"
        );
        let file = format!("{}.yaml", &destination[..6]);
        stage.write(&file, &text);
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
        stage.write("acme.yaml", CONNECTOR);
        for destination in ["sqlite://./x.db", "parquet://./lake"] {
            let file = format!("{}.yaml", &destination[..6]);
            let base_url = format!("http://{}", api.server.addr());
            stage.write(&file, &format!("source: {{ connector: ./acme.yaml, base_url: \"{base_url}\" }}\nstreams: [things]\ndestination: {destination}\n"));
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
