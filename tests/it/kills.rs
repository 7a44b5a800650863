//! `kill -9` and Ctrl-C: whatever the instant, the same command goes on and the table ends up as if nothing had
//! happened.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::stage::{Report, Stage};
use crate::support::{python, read, said};

const ROWS: u64 = 200_000;
const KILLS: usize = 20;
/// Rows of a page that `planhat.yaml` asks for; the next page begins with its last row.
const PAGE: u64 = 5_000;

/// What was asked of companies, as offsets, since the log had so many lines.
fn offsets(stage: &Stage, from: usize) -> Vec<u64> {
    let counters = stage.sandbox.counters();
    let asked = counters.asked_of("planhat/companies").skip(from);
    asked.map(|a| a.param("offset").and_then(|o| o.parse().ok()).unwrap_or(0)).collect()
}

/// Lets a run go on until so many pages were asked for and a little longer.
fn await_pages(stage: &Stage, from: usize, pages: usize, child: &mut Child) {
    let patience = Instant::now();
    while offsets(stage, from).len() < pages && child.try_wait().expect("a child can be asked").is_none() {
        assert!(patience.elapsed() < Duration::from_mins(1), "the run does not get on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the sandbox has noticed whatever a killed process had asked for.
fn await_quiet(stage: &Stage) {
    let mut before = usize::MAX;
    loop {
        let now = offsets(stage, 0).len();
        if now == before {
            return;
        }
        before = now;
        std::thread::sleep(Duration::from_millis(60));
    }
}

/// The page that a run said it went on with.
fn resumed(err: &str) -> Option<u64> {
    let words = err.lines().find_map(|line| line.strip_prefix("companies: goes on with page "))?;
    words.replace(',', "").parse().ok()
}

/// Starts a run again and again and kills it each time, then lets the last one end.
fn torment(stage: &Stage, file: &str, seed: u64) -> Report {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut kills, mut passed) = (0, BTreeSet::new());
    while kills < KILLS {
        let from = offsets(stage, 0).len();
        let mut child = stage.start(&[file], "killed.txt");
        await_pages(stage, from, random.usize(1..5), &mut child);
        std::thread::sleep(Duration::from_micros(random.u64(0..60_000)));
        assert!(
            child.try_wait().expect("a child can be asked").is_none(),
            "seed {seed}: it ended before its kill"
        );
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        kills += 1;
        await_quiet(stage);
        look_at_what_was_asked_again(stage, from, &mut passed);
    }
    let from = offsets(stage, 0).len();
    let report = stage.run(&[file]);
    std::fs::write(stage.path("killed.txt"), &report.err).expect("written");
    look_at_what_was_asked_again(stage, from, &mut passed);
    report
}

/// Of the pages that were committed before a start, at most the last one may be asked for again.
fn look_at_what_was_asked_again(stage: &Stage, from: usize, passed: &mut BTreeSet<u64>) {
    let asked = offsets(stage, from);
    let Some(page) = resumed(&read(&stage.path("killed.txt"))) else {
        passed.extend(asked);
        return;
    };
    let begins = (page - 1) * (PAGE - 1);
    let again: Vec<_> = asked.iter().filter(|offset| **offset < begins && passed.contains(offset)).collect();
    assert!(again.len() <= 1, "pages before {page} were asked for again: {again:?}");
    passed.extend(asked);
}

fn tormented(destination: &str, seed: u64) -> (Stage, Report) {
    let stage = Stage::with(|options| {
        options.limits = false;
        options.rows.insert("planhat/companies".to_owned(), ROWS);
    });
    stage.write(
        "calm.yaml",
        &stage.four_lines("planhat", "[companies]", &destination.replace("NAME", "calm")),
    );
    stage.write(
        "killed.yaml",
        &stage.four_lines("planhat", "[companies]", &destination.replace("NAME", "killed")),
    );
    assert_eq!(stage.run(&["calm.yaml"]).done(), ROWS);
    let report = torment(&stage, "killed.yaml", seed);
    report.done();
    (stage, report)
}

/// The columns of a table but for the engine's own.
fn columns(stage: &Stage, database: &str) -> String {
    let database = stage.database(database);
    let mut names = database.prepare("SELECT name FROM pragma_table_info('companies')").expect("a table");
    let names = names.query_map([], |row| row.get::<_, String>(0)).expect("names");
    let names = names.map(|n| n.expect("a name")).filter(|n| !n.starts_with("_sync_"));
    names.map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_sqlite_table_is_whole_after_twenty_kills() {
    let (stage, _) = tormented("sqlite://./NAME.db", 1);
    let columns = columns(&stage, "calm.db");
    let database = stage.database("killed.db");
    database.execute("ATTACH ? AS calm", [stage.path("calm.db").to_str()]).expect("attached");
    let one = |query: &str| -> i64 { database.query_row(query, [], |row| row.get(0)).expect("a count") };
    assert_eq!(one("SELECT count(*) FROM companies"), ROWS as i64);
    assert_eq!(one("SELECT count(DISTINCT _id) FROM companies"), ROWS as i64);
    let minus = |a: &str, b: &str| {
        one(&format!("SELECT count(*) FROM (SELECT {columns} FROM {a} EXCEPT SELECT {columns} FROM {b})"))
    };
    assert_eq!(minus("main.companies", "calm.companies"), 0);
    assert_eq!(minus("calm.companies", "main.companies"), 0);
    assert_eq!(
        one("SELECT count(*) FROM pragma_table_info('companies')"),
        columns.split(", ").count() as i64 + 3
    );
}

#[test]
fn a_parquet_table_is_whole_after_twenty_kills() {
    let (stage, _) = tormented("parquet://./NAME", 2);
    let script = r#"
import duckdb, sys
duckdb.sql("set enable_progress_bar = false")
calm, killed = (f"read_parquet('{path}/companies/*.parquet')" for path in sys.argv[1:])
names = [row[0] for row in duckdb.sql(f"describe select * from {calm}").fetchall()]
own = ", ".join('"' + name + '"' for name in names if not name.startswith("_sync_"))
one = lambda query: duckdb.sql(query).fetchall()[0][0]
print(one(f"select count(*) from {killed}"), one(f"select count(distinct _id) from {killed}"))
for a, b in ((calm, killed), (killed, calm)):
    print(one(f"select count(*) from (select {own} from {a} except all select {own} from {b})"))
print(names == [row[0] for row in duckdb.sql(f"describe select * from {killed}").fetchall()])
"#;
    let (calm, killed) = (stage.path("calm"), stage.path("killed"));
    let rows = ROWS;
    assert_eq!(python(script, &[&calm, &killed]), format!("{rows} {rows}\n0\n0\nTrue\n"));
    assert_eq!(leftovers(&killed.join(".companies.sync")), Vec::<String>::new());
}

/// Files that are neither part of a version nor of the machinery that every table keeps.
fn leftovers(control: &Path) -> Vec<String> {
    let staged = std::fs::read_dir(control.join("staged")).expect("the folder is there");
    staged.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn ctrl_c_stops_within_two_seconds_and_the_same_command_goes_on() {
    for destination in ["sqlite://./x.db", "parquet://./x"] {
        let stage = Stage::with(|options| {
            options.limits = false;
            options.rows.insert("planhat/companies".to_owned(), ROWS);
        });
        stage.write("x.yaml", &stage.four_lines("planhat", "[companies]", destination));
        let mut child = stage.start(&["x.yaml"], "stopped.txt");
        await_pages(&stage, 0, 6, &mut child);
        let kill = said(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]));
        assert_eq!(kill.code, Some(0), "{}", kill.err);
        let asked = Instant::now();
        let ended = child.wait().expect("a child can be waited for");
        assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
        let err = read(&stage.path("stopped.txt"));
        assert_eq!(ended.code(), Some(130), "{err}");
        assert!(err.contains("next: run the same command again to go on: companies with page "), "{err}");
        let report = stage.run(&["x.yaml"]);
        report.done();
        let page = report.figure("resumed_from_page");
        assert!(page > 1, "{}", report.err);
        assert!(report.figure("fetched") < ROWS, "it did not begin again");
    }
}

#[test]
fn a_second_process_on_one_pipeline_is_refused() {
    let stage = Stage::new();
    stage.write("x.yaml", &stage.four_lines("planhat", "[companies]", "sqlite://./x.db"));
    let slow = sync_sandbox::Fault {
        on: "planhat".to_owned(),
        when: sync_sandbox::When::Next(1),
        what: sync_sandbox::What::Latency(Duration::from_secs(5)),
    };
    stage.sandbox.fault(slow).expect("a fault");
    let mut first = stage.start(&["x.yaml"], "first.txt");
    await_pages(&stage, 0, 1, &mut first);
    let second = stage.run(&["x.yaml"]);
    assert_eq!((second.code, second.error()), (Some(3), "pipeline_locked"), "{}", second.err);
    assert!(second.err.contains(&first.id().to_string()), "it names the process: {}", second.err);
    first.kill().expect("a child can be killed");
    first.wait().expect("a child can be waited for");
    assert_eq!(stage.run(&["x.yaml"]).done(), 1_000, "the lock of a dead process blocks nobody");
}
