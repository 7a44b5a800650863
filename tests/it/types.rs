//! Every type, as other people's readers see it: values, types, statistics, row groups, partitions. And what becomes of
//! tables that an older version made.

use crate::api::Api;
use crate::stage::Stage;
use crate::support::python;

/// A row with a value of each type; every seventh has none.
fn row(n: usize) -> String {
    if n % 7 == 6 {
        return format!("{{\"id\":{n}}}");
    }
    let sign = if n.is_multiple_of(2) { "-" } else { "" };
    let int = n as i64 * 1_000_000_000_000 * if n.is_multiple_of(2) { -1 } else { 1 };
    format!(
        "{{\"id\":{n},\"text\":\"t{n} é \\\"q\\\"\",\"int\":{int},\"float\":{sign}{n}.25,\
         \"decimal\":{sign}{n}.12345678901234567,\"money\":\"{sign}{n}.50\",\"bool\":{},\"date\":\"{}-02-2{}\",\
         \"timestamp\":\"20{:02}-01-02T03:04:05.{:06}+02:00\",\"local\":\"1969-12-31T23:59:5{}.5\",\"json\":{{\"n\":[{n},null]}}}}",
        n.is_multiple_of(3),
        1900 + n % 300,
        n % 9,
        n % 50,
        n % 1_000_000,
        n % 10,
    )
}

const OPTIONS: &str = "{ types: { money: \"decimal(12,2)\" } }";

/// What all three readers must see of the rows of a folder, computed anew from the numbers.
const ORACLE: &str = r#"
import sys, os, glob, datetime as dt, decimal
import duckdb, polars, pyarrow.dataset as ds, pyarrow.parquet as pq
table, count = os.path.realpath(sys.argv[1]), int(sys.argv[2])
D = decimal.Decimal
utc = dt.timezone.utc
def expect(n):
    if n % 7 == 6:
        return (n,) + (None,) * 10
    s = -1 if n % 2 == 0 else 1
    stamp = dt.datetime(2000 + n % 50, 1, 2, 1, 4, 5, n % 1000000, tzinfo=utc)
    return (n, 't%d é "q"' % n, s * n * 10**12, s * (n + .25), s * (D(n) + D('0.12345678901234567')),
            s * (D(n) + D('0.5')), n % 3 == 0, dt.date(1900 + n % 300, 2, 20 + n % 9), stamp,
            dt.datetime(1969, 12, 31, 23, 59, 50 + n % 10, 500000), '{"n":[%d,null]}' % n)
names = ['id', 'text', 'int', 'float', 'decimal', 'money', 'bool', 'date', 'timestamp', 'local', 'json']
want = [expect(n) for n in range(count)]
def same(who, rows):
    rows = sorted(rows)
    assert len(rows) == count, (who, len(rows))
    for got, wanted in zip(rows, want):
        assert tuple(got) == wanted, (who, got, wanted)
t = ds.dataset(table, format='parquet').to_table(columns=names)
same('pyarrow', [tuple(r[k] for k in names) for r in t.to_pylist()])
same('polars', polars.read_parquet(table + '/**/*.parquet', hive_partitioning=False).select(names).rows())
duckdb.sql("set timezone = 'UTC'"); duckdb.sql('set enable_progress_bar = false')
columns = ', '.join('"%s"' % n if n != 'timestamp' else 'epoch_us("timestamp")' for n in names)
rows = duckdb.sql("select %s from read_parquet('%s/**/*.parquet', hive_partitioning=false)" % (columns, table)).fetchall()
epoch = dt.datetime(1970, 1, 1, tzinfo=utc)
back = lambda r: tuple(epoch + dt.timedelta(microseconds=v) if i == 8 and v is not None else v for i, v in enumerate(r))
same('duckdb', [back(r) for r in rows])
types = duckdb.sql("describe select * from read_parquet('%s/**/*.parquet', hive_partitioning=false)" % table).fetchall()
print(*['%s %s' % (n, t) for n, t, *_ in types if n in names], sep=', ')
files = sorted(glob.glob(table + '/**/*.parquet', recursive=True))
groups = 0
for name in files:
    f = pq.ParquetFile(name)
    held = f.read(columns=['id']).column('id').to_pylist()
    start = 0
    for g in range(f.metadata.num_row_groups):
        group = f.metadata.row_group(g); groups += 1
        for i in range(group.num_columns):
            column = group.column(i)
            assert column.compression == 'ZSTD', column.compression
            assert column.statistics is not None and column.statistics.null_count is not None, column
        part = [want[n] for n in held[start:start + group.num_rows]]; start += group.num_rows
        for k in ['id', 'int', 'decimal', 'money', 'date', 'timestamp', 'local']:
            i = names.index(k)
            s = group.column(f.schema.names.index(k)).statistics
            values = [r[i] for r in part if r[i] is not None]
            assert s.null_count == len(part) - len(values), (k, s)
            if values:
                assert s.has_min_max and (s.min, s.max) == (min(values), max(values)), (k, s, min(values), max(values))
print(len(files), 'files', groups, 'row groups')
"#;

fn folder_of(stage: &Stage) -> std::path::PathBuf {
    stage.path("lake/things")
}

#[test]
fn three_readers_see_every_type_as_it_was_sent() {
    let count = 60_000;
    let api = Api::new((0..count).map(row).collect());
    let stage = Stage::new();
    Api::connector(&stage, 5_000, "");
    api.pipeline(&stage, "p.yaml", OPTIONS, "parquet://./lake");
    assert_eq!(stage.run(&["p.yaml", "--memory", "8MB"]).done(), count as u64);
    let path = folder_of(&stage);
    let count = count.to_string();
    let found = python(ORACLE, &[&path, std::path::Path::new(&count)]);
    let mut lines = found.lines();
    assert_eq!(
        lines.next(),
        Some(
            "id BIGINT, text VARCHAR, int BIGINT, float DOUBLE, decimal DECIMAL(38,17), money DECIMAL(12,2), bool BOOLEAN, \
             date DATE, timestamp TIMESTAMP WITH TIME ZONE, local TIMESTAMP, json VARCHAR"
        )
    );
    let groups: Vec<usize> =
        lines.next().expect("counts").split(' ').filter_map(|w| w.parse().ok()).collect();
    assert!(groups[1] > groups[0] && groups[0] >= 1, "several row groups in a file: {groups:?}");
}

#[test]
fn three_readers_see_partitions_of_every_kind() {
    let count = 1_400;
    for by in ["month(timestamp)", "year(date)", "day(local)", "bool", "money"] {
        let api = Api::new((0..count).map(row).collect());
        let stage = Stage::new();
        Api::connector(&stage, 700, "");
        // Few values of money, so that there are few folders.
        if by == "money" {
            let few = |n: usize| {
                row(n)
                    .replace(&format!("\"{}{n}.50\"", if n.is_multiple_of(2) { "-" } else { "" }), "\"2.50\"")
            };
            *api.rows.lock().expect("free") = (0..count).map(few).collect();
        }
        let destination = format!("{{ parquet: {{ path: \"./lake/{{stream}}\", partition_by: {by} }} }}");
        api.pipeline(&stage, "p.yaml", OPTIONS, &destination);
        assert_eq!(stage.run(&["p.yaml"]).done(), count as u64, "{by}");
        if by != "money" {
            let found = python(ORACLE, &[&folder_of(&stage), std::path::Path::new(&count.to_string())]);
            assert!(found.contains("row groups"), "{found}");
        }
        let script = "import duckdb, sys, os, glob\n\
                      p = os.path.realpath(sys.argv[1])\n\
                      folders = sorted(os.path.basename(f) for f in glob.glob(p + '/*=*'))\n\
                      total = duckdb.sql(f\"select count(*) from read_parquet('{p}/**/*.parquet', hive_partitioning=true, hive_types_autocast=false)\").fetchall()[0][0]\n\
                      print(len(folders), folders[-1], folders[0], total)";
        let found = python(script, &[&folder_of(&stage)]);
        let expect = match by {
            "month(timestamp)" => {
                "51 timestamp_month=__HIVE_DEFAULT_PARTITION__ timestamp_month=2000-01 1400"
            }
            "year(date)" => "301 date_year=__HIVE_DEFAULT_PARTITION__ date_year=1900 1400",
            "day(local)" => "2 local_day=__HIVE_DEFAULT_PARTITION__ local_day=1969-12-31 1400",
            "bool" => "3 bool_value=true bool_value=__HIVE_DEFAULT_PARTITION__ 1400",
            _ => "2 money_value=__HIVE_DEFAULT_PARTITION__ money_value=2.50 1400",
        };
        assert_eq!(found.trim(), expect, "{by}");
    }
}

/// The proof of how far a table got, as a document that can be edited.
fn edit(stage: &Stage, destination: &str, change: &dyn Fn(&mut serde_json::Value)) {
    if destination.starts_with("sqlite") {
        let database = rusqlite::Connection::open(stage.path("x.db")).expect("a database");
        let read = "SELECT checkpoint FROM _sync_checkpoints";
        let text: String = database.query_row(read, [], |row| row.get(0)).expect("a checkpoint");
        let mut document = serde_json::from_str(&text).expect("JSON");
        change(&mut document);
        let write = "UPDATE _sync_checkpoints SET checkpoint = ?";
        database.execute(write, [document.to_string()]).expect("written");
        return;
    }
    let control = stage.path("lake/.things.sync");
    let owner = control.join("owner.json");
    let text = std::fs::read_to_string(&owner).expect("an owner");
    let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    change(&mut document);
    std::fs::write(&owner, document.to_string()).expect("written");
    let version = std::fs::canonicalize(folder_of(stage)).expect("a version").join("_sync_checkpoint.json");
    let text = std::fs::read_to_string(&version).expect("a manifest");
    let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    change(&mut document["checkpoint"]);
    change(&mut document);
    std::fs::write(&version, document.to_string()).expect("written");
}

/// Leaves out what the first form did not have.
fn first_form(document: &mut serde_json::Value) {
    let fields = document.as_object_mut().expect("an object");
    for later in ["slice", "shaping", "extras", "partition_by"] {
        fields.remove(later);
    }
    if let Some(format) = fields.get_mut("format") {
        *format = 1.into();
    }
    for column in fields.get_mut("schema").and_then(|s| s.as_array_mut()).into_iter().flatten() {
        column.as_object_mut().expect("a column").remove("declared");
    }
}

#[test]
fn tables_of_an_older_form_go_on_and_of_a_newer_one_are_refused_and_left_alone() {
    for destination in ["sqlite://./x.db", "parquet://./lake"] {
        let api = Api::new((0..1_200).map(row).collect());
        let stage = Stage::new();
        Api::connector(&stage, 500, "");
        api.pipeline(&stage, "p.yaml", "", destination);
        assert_eq!(stage.run(&["p.yaml"]).done(), 1_200);
        edit(&stage, destination, &first_form);
        api.rows.lock().expect("free").push(row(1_200));
        assert_eq!(stage.run(&["p.yaml"]).done(), 1, "only the new row");

        // Whatever else a newer form holds, its number is what counts.
        edit(&stage, destination, &|document| {
            if let Some(format) = document.get_mut("format") {
                *format = 99.into();
                document["schema"] = "of another shape".into();
            }
        });
        let refused = stage.run(&["p.yaml"]);
        assert_eq!((refused.code, refused.error()), (Some(2), "newer_format"), "{}", refused.err);
        let state = stage.said(&["state", "show", "p.yaml"]);
        assert!(state.out.contains("newer"), "{}{}", state.out, state.err);
    }
}
