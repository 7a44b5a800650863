//! What other people's readers see of a Parquet table while commits go on: one committed version, never a mixture.

use std::process::{Command, Stdio};

use sync_sandbox::{Fault, What, When};

use crate::stage::Stage;
use crate::support::{python_path, read};

/// Reads in a loop until told to stop; every table seen must be of one run and whole.
///
/// Under replace each run writes every row, so a version holds rows of one run only, as many as a listing has. The
/// link is resolved first, as the README says; then nothing may fail.
const LOOP: &str = r#"
import os, sys, polars, duckdb, pyarrow.dataset
lake, stop, kind = sys.argv[1:]
seen, reads = set(), 0
while not os.path.exists(stop):
    try:
        table = os.path.realpath(lake, strict=True)
    except FileNotFoundError:
        continue
    if kind == "duckdb":
        rows = duckdb.sql(f"select _sync_run, count(*) from '{table}/*.parquet' group by 1").fetchall()
    elif kind == "polars":
        rows = polars.read_parquet(f"{table}/*.parquet", columns=["_sync_run"])["_sync_run"].value_counts().rows()
    else:
        counts = pyarrow.dataset.dataset(table, format="parquet", exclude_invalid_files=True).to_table(columns=["_sync_run"])
        rows = [(c["values"], c["counts"]) for c in counts["_sync_run"].value_counts().to_pylist()]
    reads += 1
    assert len(rows) == 1 and rows[0][1] == 3000, f"a mixture: {rows}"
    seen.add(rows[0][0])
print(reads, len(seen))
"#;

#[test]
fn readers_see_one_version_while_commits_go_on() {
    let stage = Stage::with(|options| {
        options.limits = false;
        options.rows.insert("planhat/churn".to_owned(), 3_000);
    });
    let streams = "{ churn: { write: replace } }";
    stage.write(
        "p.yaml",
        &stage.four_lines(
            "planhat",
            streams,
            "{ parquet: { path: \"./lake/{stream}\", target_file: 256KB } }",
        ),
    );
    stage.run(&["p.yaml"]).done();
    let stop = stage.path("stop");
    let readers = ["duckdb", "polars", "pyarrow"].map(|kind| {
        let out = std::fs::File::create(stage.path(kind)).expect("a file");
        let err = std::fs::File::create(stage.path(&format!("{kind}.err"))).expect("a file");
        Command::new(python_path())
            .arg("-c")
            .arg(LOOP)
            .args([stage.path("lake/churn"), stop.clone(), kind.into()])
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("there is a Python")
    });
    for _ in 0..25 {
        stage.sandbox.touch("planhat/churn", 100).expect("rows");
        assert_eq!(stage.run(&["p.yaml"]).done(), 3_000);
    }
    std::fs::write(&stop, "").expect("written");
    for (mut reader, kind) in readers.into_iter().zip(["duckdb", "polars", "pyarrow"]) {
        let ended = reader.wait().expect("a child can be waited for");
        assert!(ended.success(), "{kind}: {}", read(&stage.path(&format!("{kind}.err"))));
        let counts = read(&stage.path(kind));
        let counts: Vec<u32> = counts.split_whitespace().map(|n| n.parse().expect("a number")).collect();
        assert!(counts[0] > 5 && counts[1] > 2, "{kind} read {counts:?} times and versions");
    }
}

/// Under merge a killed run's rows show as nothing or as whole pages; here a run dies between two pages.
#[test]
fn a_run_that_dies_leaves_the_version_before_it() {
    let stage = Stage::new();
    stage.write(
        "p.yaml",
        &stage.four_lines("planhat", "{ endusers: { write: replace } }", "parquet://./lake"),
    );
    let first = stage.run(&["p.yaml"]).done();
    let hang = Fault { on: "planhat/endusers".to_owned(), when: When::At(2), what: What::Hang };
    stage.sandbox.fault(hang).expect("a fault");
    let mut child = stage.start(&["p.yaml"], "err.txt");
    while stage.sandbox.counters().requests("planhat/endusers") < 5 {
        assert!(child.try_wait().expect("a child").is_none(), "it waits for an answer");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    let count = "import sys, duckdb\nprint(duckdb.sql(f\"select count(*), count(distinct _sync_run) from '{sys.argv[1]}/*.parquet'\").fetchall())";
    let seen = crate::support::python(count, &[&stage.path("lake/endusers")]);
    assert_eq!(seen.trim(), format!("[({first}, 1)]"));
}
