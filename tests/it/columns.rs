//! What a pipeline says about its columns: which land, what is done to them, which types they have, and what never
//! reaches a disk.

use std::path::Path;

use crate::api::Api;
use crate::stage::Stage;
use crate::support::python;

const DESTINATIONS: [&str; 2] =
    ["sqlite://./x.db", "{ parquet: { path: \"./lake/{stream}\", compression: none } }"];

fn file_of(destination: &str) -> &'static str {
    if destination.starts_with("sqlite") { "sqlite.yaml" } else { "parquet.yaml" }
}

/// Every row of both tables, as Python's own SQLite and pyarrow see them; they must be the same.
const SAME_ROWS: &str = r#"
import sqlite3, sys, datetime, decimal
import pyarrow.dataset as ds
database, lake = sys.argv[1], sys.argv[2]
connection = sqlite3.connect(database)
connection.row_factory = sqlite3.Row
own = lambda name: not name.startswith("_sync_")
def plain(value):
    if isinstance(value, bool): return int(value)
    if isinstance(value, datetime.datetime):
        text = value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return text if value.tzinfo else value.isoformat(sep=" ")
    if isinstance(value, datetime.date): return value.isoformat()
    if isinstance(value, decimal.Decimal): return format(value, "f")
    return value
left = [{k: row[k] for k in row.keys() if own(k)} for row in connection.execute("select * from things")]
right = [{k: plain(v) for k, v in row.items() if own(k)} for row in ds.dataset(lake, format="parquet").to_table().to_pylist()]
key = lambda row: [str(row[k]) for k in sorted(row)]
assert len(left) == len(right), (len(left), len(right))
for a, b in zip(sorted(left, key=key), sorted(right, key=key)):
    assert a == b, (a, b)
print(len(left), "rows,", len(left[0]), "columns")
"#;

fn same_rows(stage: &Stage) -> String {
    python(SAME_ROWS, &[&stage.path("x.db"), &stage.path("lake/things")]).trim().to_owned()
}

#[test]
fn masked_values_reach_no_disk_and_both_destinations_hold_the_same() {
    let row = |n: usize| {
        let mail = format!("canary-{n}@mail.example");
        let mrr = if n == 1_441 { "\"n/a\"".to_owned() } else { format!("{}.5", n % 7) };
        let id = if n == 1_451 { "null".to_owned() } else { format!("\"c{n}\"") };
        format!(
            "{{\"id\":{id},\"mail\":\"{mail}\",\"phone\":\"+46-canary-{n}\",\"iban\":\"SE00canary{n:08}\",\"mrr\":{mrr},\
             \"status\":\"{}\",\"big\":12345678901234567890.5,\"on\":{},\"at\":\"2026-01-02T03:04:{:02}.5Z\",\"day\":\"2026-01-{:02}\",\
             \"local\":\"2026-01-02T03:04:05\",\"custom\":{{\"secret\":\"canary-{n}\",\"arr\":\"{}.25\",\"people\":[{{\"mail\":\"{mail}\"}}]}}}}",
            if n.is_multiple_of(10) { "prospect" } else { "customer" },
            n.is_multiple_of(2),
            n % 60,
            1 + n % 28,
            n
        )
    };
    let mut rows: Vec<_> = (0..3_000).map(row).collect();
    rows.push("{\"id\":\"x\",\"mail\":\"canary-broken@mail.example\",\"mrr\":nul}".to_owned());
    rows.push("\"canary, and no row at all\"".to_owned());
    let api = Api::new(rows);
    let stage = Stage::new();
    Api::connector(&stage, 400, "");
    let options = "{ select: [\"*\", \"!custom.secret\"], types: { custom.arr: \"decimal(12,2)\" }, \
                   schema: { type_change: quarantine }, transform: [ { keep_if: 'status != \"prospect\"' }, \
                   { set: { short: 'status.upperAscii().substring(0, 4)' } }, \
                   { mask: { mail: redact, phone: hmac, iban: partial, custom.people.mail: redact } }, \
                   { rename: { id: company_id } } ] }";
    for destination in DESTINATIONS {
        let file = file_of(destination);
        api.pipeline(&stage, file, options, destination);
        let report = crate::stage::Report::of(crate::support::said(
            stage.sync(&["run", "--json", file]).env("SYNC_MASK_KEY", "a key"),
        ));
        assert_eq!(report.code, Some(4), "{}\n{}", report.json, report.err);
        // Every tenth is a prospect, two of the others have no key or a text for a number, two are no rows.
        assert_eq!((report.figure("loaded"), report.figure("filtered")), (2_698, 300));
        assert_eq!(report.figure("quarantined"), 4);
        for word in [report.err.as_str(), &report.json.to_string()] {
            assert!(!word.contains("canary"), "{word}");
        }
    }
    assert_eq!(same_rows(&stage), "2698 rows, 14 columns");
    let one = "SELECT mail || ' ' || length(phone) || ' ' || iban || ' ' || short || ' ' || \"custom.arr\" || ' ' || custom \
               FROM things WHERE company_id = 'c7'";
    let found: String = stage.database("x.db").query_row(one, [], |row| row.get(0)).expect("a row");
    assert_eq!(found, "*** 64 ***0007 CUST 7.25 {\"people\":[{\"mail\":\"***\"}]}");
    no_canary(stage.folder());
    // Whoever only asks how far it got needs no key of masks.
    let state = stage.said(&["state", "show", "sqlite.yaml"]);
    assert_eq!(state.code, Some(0), "{}", state.err);
    let shown = stage.said(&["rejects", "export", "sqlite.yaml"]);
    assert!(shown.out.lines().count() == 4 && !shown.out.contains("canary"), "{}", shown.out);
}

/// No file of a folder holds what was masked or left out.
fn no_canary(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            no_canary(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes.windows(6).any(|window| window == b"canary");
            assert!(!found, "{} holds a masked value", path.display());
        }
    }
}

#[test]
fn odd_names_two_thousand_columns_and_a_row_of_fifty_megabytes_land() {
    let wide: Vec<_> = (0..2_000).map(|n| format!(",\"c{n}\":{n}")).collect();
    let wide = wide.concat();
    let large = "x".repeat(50_000_000);
    let rows = vec![
        "{\"id\":1,\"Name\":\"a\",\"name\":\"b\",\"NAME\":\"c\",\"\":\"empty\",\"a.b\":\"dots\",\"select \\\"x\\\"\":\"quotes\"}".to_owned(),
        format!("{{\"id\":2{wide}}}"),
        format!("{{\"id\":3,\"large\":\"{large}\"}}"),
    ];
    let api = Api::new(rows);
    let stage = Stage::new();
    Api::connector(&stage, 2, "");
    for destination in DESTINATIONS {
        let file = file_of(destination);
        api.pipeline(&stage, file, "", destination);
        let first = stage.run(&[file]);
        assert_eq!((first.done(), first.notes()), (3, vec!["column_named"; 3]), "{}", first.err);
        assert_eq!(stage.run(&[file]).done(), 0);
        let shown = stage.said(&["state", "show", file]);
        assert!(shown.out.contains("the field \"NAME\" is in the column \"NAME_3\""), "{}", shown.out);
    }
    let script = "import pyarrow.dataset as ds, sys\n\
                  t = ds.dataset(sys.argv[1], format='parquet').to_table()\n\
                  rows = {r['id']: r for r in t.to_pylist()}\n\
                  r = rows[1]\n\
                  print(r['Name'], r['name_2'], r['NAME_3'], r['_'], r['a.b'], r['select \"x\"'], rows[2]['c1999'], len(rows[3]['large']), len(t.column_names))";
    let found = python(script, &[&stage.path("lake/things")]);
    assert_eq!(found.trim(), "a b c empty dots quotes 1999 50000000 2011");
    let query =
        "SELECT Name || name_2 || NAME_3 || _ || \"a.b\" || \"select \"\"x\"\"\" FROM things WHERE id = 1";
    let found: String = stage.database("x.db").query_row(query, [], |row| row.get(0)).expect("a row");
    assert_eq!(found, "abcemptydotsquotes");
    assert_eq!(stage.one("x.db", "SELECT length(large) FROM things WHERE id = 3"), 50_000_000);
    assert_eq!(stage.one("x.db", "SELECT c1999 FROM things WHERE id = 2"), 1999);
}

/// A row that says when it changed, and whether it is gone.
fn version(id: usize, v: &str, second: usize, gone: bool) -> String {
    format!("{{\"id\":{id},\"v\":\"{v}\",\"updatedAt\":\"2026-01-01T00:00:{second:02}Z\",\"gone\":{gone}}}")
}

#[test]
fn a_history_keeps_what_was_and_a_tombstone_ends_it() {
    let api = Api::new((1..=3).map(|id| version(id, "old", 1, false)).collect());
    let stage = Stage::new();
    let words = ", deleted_when: { gone: true }, cursor: { field: updatedAt, format: iso, mode: client, lookback: 1h }";
    Api::connector(&stage, 100, words);
    for destination in DESTINATIONS {
        let file = file_of(destination);
        api.pipeline(&stage, file, "{ write: history }", destination);
        *api.rows.lock().expect("free") = (1..=3).map(|id| version(id, "old", 1, false)).collect();
        assert_eq!(stage.run(&[file]).done(), 3);
        *api.rows.lock().expect("free") = vec![
            version(1, "old", 1, false),
            version(2, "new", 7, false),
            version(3, "old", 9, true),
            version(4, "first", 8, false),
        ];
        assert_eq!(stage.run(&[file]).done(), 3, "a new version, an end and a new row");
        assert_eq!(stage.run(&[file]).done(), 0);
        let again = stage.run(&[file, "--full-refresh"]);
        assert_eq!(again.done(), 0, "a full refresh compares and keeps the past");
    }
    assert_eq!(same_rows(&stage), "5 rows, 7 columns");
    let query = "SELECT group_concat(id || v || substr(_valid_from, 18, 2) || '-' || ifnull(substr(_valid_to, 18, 2), '') || _current, ' ') \
                 FROM (SELECT * FROM things ORDER BY id, _valid_from)";
    let found: String = stage.database("x.db").query_row(query, [], |row| row.get(0)).expect("rows");
    assert_eq!(found, "1old01-1 2old01-070 2new07-1 3old01-090 4first08-1");
}

#[test]
fn a_tombstone_takes_a_row_away_or_marks_it() {
    for (options, expect) in [("{}", "1 2"), ("{ deletes: { as: _deleted } }", "10 20 31")] {
        let api = Api::new((1..=3).map(|id| version(id, "old", 1, false)).collect());
        let stage = Stage::new();
        Api::connector(&stage, 100, ", deleted_when: { gone: true }");
        for destination in DESTINATIONS {
            let file = file_of(destination);
            api.pipeline(&stage, file, options, destination);
            *api.rows.lock().expect("free") = (1..=3).map(|id| version(id, "old", 1, false)).collect();
            assert_eq!(stage.run(&[file]).done(), 3);
            *api.rows.lock().expect("free") = vec![version(1, "old", 1, false), version(3, "", 1, true)];
            assert_eq!(stage.run(&[file]).done(), 1);
            assert_eq!(stage.run(&[file]).done(), 0);
        }
        same_rows(&stage);
        let mark = if options == "{}" { "''" } else { "_deleted" };
        let query = format!("SELECT group_concat(id || {mark}, ' ') FROM (SELECT * FROM things ORDER BY id)");
        let found: String = stage.database("x.db").query_row(&query, [], |row| row.get(0)).expect("rows");
        assert_eq!(found, expect);
    }
    // Where nothing tells what is deleted, nothing can be marked.
    let stage = Stage::new();
    Api::connector(&stage, 100, "");
    Api::new(Vec::new()).pipeline(&stage, "p.yaml", "{ deletes: { as: _deleted } }", DESTINATIONS[0]);
    let refused = stage.run(&["p.yaml"]);
    assert_eq!((refused.code, refused.error()), (Some(2), "invalid_file"), "{}", refused.err);
}

#[test]
fn files_are_sorted_into_folders_that_every_reader_takes() {
    let row =
        |n: usize, month: usize| format!("{{\"id\":{n},\"at\":\"2026-{month:02}-05T00:00:00Z\",\"n\":{n}}}");
    let api = Api::new((0..1_500).map(|n| row(n, 1 + n % 3)).collect());
    let stage = Stage::new();
    Api::connector(&stage, 500, "");
    let by = |by: &str| format!("{{ parquet: {{ path: \"./lake/{{stream}}\", partition_by: {by} }} }}");
    api.pipeline(&stage, "p.yaml", "", &by("month(at)"));
    assert_eq!(stage.run(&["p.yaml"]).done(), 1_500);
    // One row moves to another month, and one is new.
    api.rows.lock().expect("free")[0] = row(0, 3);
    api.rows.lock().expect("free").push(row(1_500, 4));
    assert_eq!(stage.run(&["p.yaml"]).done(), 2);
    let script = "import duckdb, polars, pyarrow.dataset as ds, sys, os\n\
                  p = os.path.realpath(sys.argv[1])\n\
                  duckdb.sql('set enable_progress_bar = false')\n\
                  print(duckdb.sql(f\"select at_month, count(*) from read_parquet('{p}/**/*.parquet', hive_partitioning=true, hive_types_autocast=false) group by 1 order by 1\").fetchall())\n\
                  print(duckdb.sql(f\"select count(distinct id) from read_parquet('{p}/**/*.parquet', hive_partitioning=false)\").fetchall()[0][0])\n\
                  t = ds.dataset(p, format='parquet', partitioning='hive').to_table()\n\
                  print(t.num_rows, t.schema.field('at').type, 'at_month' in t.column_names)\n\
                  print(polars.scan_parquet(f'{p}/**/*.parquet', hive_partitioning=True).collect().height)";
    let found = python(script, &[&stage.path("lake/things")]);
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "[('2026-01', 499), ('2026-02', 500), ('2026-03', 501), ('2026-04', 1)]",
            "1501",
            "1501 timestamp[us, tz=UTC] True",
            "1501",
        ]
    );
    api.pipeline(&stage, "p.yaml", "", &by("day(at)"));
    let refused = stage.run(&["p.yaml"]);
    assert_eq!((refused.code, refused.error()), (Some(2), "partition_changed"), "{}", refused.err);
    assert_eq!(stage.run(&["p.yaml", "--full-refresh"]).done(), 1_501);
}

#[test]
fn parquet_tells_its_types_as_readers_want_them() {
    let row = |n: usize| {
        format!(
            "{{\"id\":{n},\"at\":\"2026-01-02T03:04:05.{n:06}Z\",\"day\":\"2026-01-02\",\"price\":1234567890.12345678901,\"o\":{{\"a\":1}},\"ok\":true}}"
        )
    };
    let api = Api::new((0..1_200).map(row).collect());
    let stage = Stage::new();
    Api::connector(&stage, 500, "");
    api.pipeline(&stage, "p.yaml", "", "parquet://./lake");
    assert_eq!(stage.run(&["p.yaml"]).done(), 1_200);
    let script = "import pyarrow.parquet as pq, glob, sys\n\
                  f = pq.ParquetFile(glob.glob(sys.argv[1] + '/*.parquet')[0])\n\
                  s = f.schema\n\
                  for name in ['id', 'at', 'day', 'price', 'o', 'ok', '_sync_at']:\n\
                  \x20   i = s.names.index(name); c = f.metadata.row_group(0).column(i)\n\
                  \x20   l = str(s.column(i).logical_type)\n\
                  \x20   print(name, s.column(i).physical_type, l.split(', is_from')[0], c.compression, c.statistics.has_min_max, (f.schema_arrow.field(name).metadata or {}).get(b'sync.type'))";
    let found = python(script, &[&stage.path("lake/things")]);
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "id INT64 None ZSTD True None",
            "at INT64 Timestamp(isAdjustedToUTC=true, timeUnit=microseconds ZSTD True None",
            "day INT32 Date ZSTD True None",
            "price FIXED_LEN_BYTE_ARRAY Decimal(precision=38, scale=11) ZSTD True None",
            "o BYTE_ARRAY String ZSTD True b'json'",
            "ok BOOLEAN None ZSTD True None",
            "_sync_at INT64 Timestamp(isAdjustedToUTC=true, timeUnit=microseconds ZSTD True None",
        ]
    );
}

#[test]
fn a_type_given_to_a_column_that_comes_later_sets_aside_what_it_cannot_hold() {
    for (contract, code, loaded) in [("evolve", 4, 2), ("drop_value", 0, 3)] {
        let api = Api::new(vec!["{\"id\":1}".to_owned()]);
        let stage = Stage::new();
        Api::connector(&stage, 100, "");
        api.pipeline(&stage, "p.yaml", "", DESTINATIONS[0]);
        assert_eq!(stage.run(&["p.yaml"]).done(), 1);
        let more = ["{\"id\":2,\"v\":\"5\"}", "{\"id\":3,\"v\":\"five\"}", "{\"id\":4,\"v\":null}"];
        api.rows.lock().expect("free").extend(more.map(str::to_owned));
        let options = format!("{{ types: {{ v: int }}, schema: {{ type_change: {contract} }} }}");
        api.pipeline(&stage, "p.yaml", &options, DESTINATIONS[0]);
        let run = stage.run(&["p.yaml"]);
        assert_eq!((run.code, run.figure("loaded")), (Some(code), loaded), "{contract}: {}", run.err);
        assert_eq!(stage.one("x.db", "SELECT sum(v) FROM things"), 5);
    }
}
