//! One storm: a wish, runs with a fault each, and what must hold when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::Tally;
use super::model::{Provider, Row, Weather};
use crate::support::{Said, python, said, sync_in};

/// What happens to a run.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Dies at the n-th seam.
    Kill(u64),
    /// Is killed after so many milliseconds.
    KillAfter(u64),
    /// Finds the disk full from the n-th seam on.
    Full(u64),
    /// Finds the destination locked.
    Locked,
    /// Is asked to stop after so many milliseconds.
    Interrupt(u64),
}

/// What the storms so far came to.
#[derive(Default)]
pub struct Seen {
    pub schedules: u64,
    runs: u64,
    requests: u64,
    rows: u64,
    /// Seams at which a process died or the disk was full.
    pub seams: Tally,
    /// Runs by fault, bad answers by kind, tables by disposition and destination.
    tally: Tally,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, more: Self) {
        self.schedules += more.schedules;
        self.runs += more.runs;
        self.requests += more.requests;
        self.rows += more.rows;
        for (tally, more) in [(&mut self.seams, more.seams), (&mut self.tally, more.tally)] {
            for (name, count) in more {
                *tally.entry(name).or_default() += count;
            }
        }
    }
}

impl Seen {
    fn saw(&mut self, name: impl Into<String>) {
        *self.tally.entry(name.into()).or_default() += 1;
    }

    #[expect(clippy::print_stderr, reason = "what was found is for whoever looks")]
    pub fn tell(&self, first: u64, took: Duration) {
        eprintln!(
            "storm: {} schedules from seed {first} in {} s, {} runs, {} requests, {} rows compared; {} seams hit {} times",
            self.schedules,
            took.as_secs(),
            self.runs,
            self.requests,
            self.rows,
            self.seams.len(),
            self.seams.values().sum::<u64>()
        );
        for (name, count) in self.tally.iter().chain(&self.seams) {
            eprintln!("  {count:>6}  {name}");
        }
    }
}

/// One storm.
pub struct Schedule {
    seed: u64,
    random: fastrand::Rng,
    write: &'static str,
    destination: &'static str,
    quarantines: bool,
    tombstones: bool,
    /// Whether deleted rows stay, marked.
    marks: bool,
    page: usize,
    provider: Provider,
    folder: TempDir,
    seen: Seen,
}

const PARQUET: &str = "{ parquet: { path: \"./lake/{stream}\", target_file: 20KB } }";
const SORTED: &str = "{ parquet: { path: \"./lake/{stream}\", partition_by: hour(updatedAt) } }";

impl Schedule {
    pub fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let write = ["merge", "merge", "replace", "append", "history"][random.usize(..5)];
        let destination = ["sqlite://./x.db", "sqlite://./x.db", PARQUET, PARQUET, SORTED][random.usize(..5)];
        let quarantines = write == "merge" && random.u8(..4) == 0;
        let weather = Weather {
            changes: random.u8(5..60),
            faults: if random.bool() { random.u8(1..15) } else { 0 },
            deletes: write == "replace",
            mixed: quarantines || random.u8(..3) == 0,
            tombstones: !quarantines && random.bool(),
        };
        let marks = weather.tombstones && write == "merge" && random.bool();
        let provider = Provider::new(seed, random.usize(20..1500), weather);
        let page = random.usize(5..200);
        let folder = tempfile::tempdir().expect("a folder");
        let schedule = Self {
            seed,
            random,
            write,
            destination,
            quarantines,
            tombstones: weather.tombstones,
            marks,
            page,
            provider,
            folder,
            seen: Seen::default(),
        };
        schedule.lay_out();
        schedule
    }

    fn lay_out(&self) {
        let deleted = if self.tombstones { "    deleted_when: { gone: true }\n" } else { "" };
        let connector = format!(
            "connector: model\nbase_url: http://127.0.0.1\nauth: none\nstreams:\n  things:\n    get: /things\n    key: id\n    \
             paginate: {{ offset: {{ param: offset }}, size: {{ limit: {} }}, stop: empty }}\n    \
             cursor: {{ field: updatedAt, format: iso, mode: client, lookback: 1h }}\n{deleted}",
            self.page
        );
        let contract =
            if self.quarantines { ", schema: { type_change: quarantine }, max_bad: 100%" } else { "" };
        let marks = if self.marks { ", deletes: { as: _deleted }" } else { "" };
        let pipeline = format!(
            "source: {{ connector: ./model.yaml, base_url: \"{}\", retry: {{ attempts: 1, max_wait: 1s }}, \
             rate_limit: {{ limits: [10000/s], concurrency: {} }} }}\nstreams:\n  things: {{ write: {}{contract}{marks} }}\ndestination: {}\n",
            self.provider.base_url(),
            1 + self.seed % 3,
            self.write,
            self.destination
        );
        fs::write(self.path("model.yaml"), connector).expect("the folder can be written");
        fs::write(self.path("p.yaml"), pipeline).expect("the folder can be written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Plays it, and checks what came of it.
    pub fn play(mut self) -> Seen {
        let watch = Failing { seed: self.seed, folder: self.folder.path().to_owned() };
        for _ in 0..self.random.usize(1..6) {
            let fault = self.fault();
            match self.random.u8(..10) {
                0 => self.verb("state reset", &["state", "reset", "--all"], fault),
                1 if self.quarantines => self.verb("rejects retry", &["rejects", "retry"], fault),
                _ => self.run(fault),
            }
        }
        self.provider.calm();
        self.settle();
        self.compare();
        self.nothing_is_left();
        self.seen.schedules = 1;
        self.seen.saw(format!("{} into {}", self.write, if self.sqlite() { "SQLite" } else { "Parquet" }));
        if self.tombstones {
            self.seen.saw(format!("with deletions, {}", if self.marks { "marked" } else { self.write }));
        }
        let world = self.provider.world.lock().expect("no answer panics");
        self.seen.requests = world.requests;
        for (name, count) in &world.faults {
            *self.seen.tally.entry(format!("answer: {name}")).or_default() += count;
        }
        drop(world);
        std::mem::forget(watch);
        self.seen
    }

    fn sqlite(&self) -> bool {
        self.destination.starts_with("sqlite")
    }

    fn fault(&mut self) -> Fault {
        // Most seams are passed early: small numbers often, large ones too.
        let bits = self.random.u8(1..9);
        let seam = 1 + self.random.u64(..1 << bits);
        match self.random.u8(..12) {
            0..6 => Fault::Kill(seam),
            6 => Fault::KillAfter(self.random.u64(20..250)),
            7 | 8 => Fault::Full(seam),
            9 => Fault::Locked,
            10 => Fault::Interrupt(self.random.u64(20..250)),
            _ => Fault::None,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = sync_in(self.folder.path());
        command.args(words).stdin(Stdio::null());
        command
    }

    fn run(&mut self, fault: Fault) {
        let mut words = vec!["run", "--json", "p.yaml"];
        if self.random.u8(..8) == 0 {
            words.push("--full-refresh");
            self.seen.saw("run: full refresh");
        }
        if self.seed.is_multiple_of(3) {
            // So little that logs, keys and changes of stored rows go to disk.
            words.extend(["--memory", "4MB"]);
        }
        let mut command = self.command(&words);
        let mut lock = None;
        match fault {
            Fault::Kill(seam) => _ = command.env("SYNC_FAULT", format!("kill@{seam}")),
            Fault::Full(seam) => _ = command.env("SYNC_FAULT", format!("full@{seam}")),
            Fault::Locked => lock = self.lock(),
            Fault::None | Fault::KillAfter(_) | Fault::Interrupt(_) => {}
        }
        let said = match fault {
            Fault::KillAfter(ms) => struck(&mut command, ms, "KILL"),
            Fault::Interrupt(ms) => struck(&mut command, ms, "INT"),
            _ => said(&mut command),
        };
        drop(lock);
        self.seen.runs += 1;
        self.seen.saw(match fault {
            Fault::None => "run: undisturbed".to_owned(),
            Fault::Kill(_) => "run: dies at a seam".to_owned(),
            Fault::KillAfter(_) => "run: killed".to_owned(),
            Fault::Full(_) => "run: disk full".to_owned(),
            Fault::Locked => "run: destination locked".to_owned(),
            Fault::Interrupt(_) => "run: interrupted".to_owned(),
        });
        for line in said.err.lines().filter_map(|line| line.strip_prefix("fault at ")) {
            *self.seen.seams.entry(line.to_owned()).or_default() += 1;
        }
        self.judge(fault, &said);
    }

    /// Another verb that writes into the destination, and dies as runs do.
    fn verb(&mut self, name: &str, words: &[&str], fault: Fault) {
        let mut command = self.command(words);
        command.arg("p.yaml");
        match fault {
            Fault::Kill(seam) => _ = command.env("SYNC_FAULT", format!("kill@{}", 1 + seam % 16)),
            Fault::Full(seam) => _ = command.env("SYNC_FAULT", format!("full@{}", 1 + seam % 16)),
            _ => {}
        }
        let said = said(&mut command);
        self.seen.runs += 1;
        self.seen.saw(format!("verb: {name}"));
        for line in said.err.lines().filter_map(|line| line.strip_prefix("fault at ")) {
            *self.seen.seams.entry(line.to_owned()).or_default() += 1;
        }
        // Where nothing ran yet, or a table is being built, it is refused.
        let fine = matches!(said.code, None | Some(0 | 2 | 3 | 4));
        assert!(fine, "seed {}: {name} under {fault:?} gave {:?}: {}", self.seed, said.code, said.err);
    }

    /// A run that could speak has balanced books and an exit code that fits what befell it.
    fn judge(&self, fault: Fault, said: &Said) {
        let Some(code) = said.code else { return }; // it died
        let allowed: &[i32] = match fault {
            Fault::Interrupt(_) => &[0, 1, 3, 4, 6, 130],
            // A provider's bad answer ends a run, too.
            _ => &[0, 1, 3, 4, 6],
        };
        assert!(
            allowed.contains(&code),
            "seed {}: {fault:?} gave {code}: {}\n{}",
            self.seed,
            said.out,
            said.err
        );
        balanced(self.seed, said);
    }

    /// Somebody else holds the destination while a run begins.
    fn lock(&self) -> Option<Box<dyn std::any::Any>> {
        if self.sqlite() {
            let connection = rusqlite::Connection::open(self.path("x.db")).ok()?;
            connection.execute_batch("begin immediate").ok()?;
            // Ours waits for half a minute; the other one is done sooner.
            let waiting = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(120));
                drop(connection);
            });
            return Some(Box::new(Joined(Some(waiting))));
        }
        let file = fs::File::open(self.path("lake/.things.sync/lock")).ok()?;
        file.try_lock().ok()?;
        Some(Box::new(file))
    }

    /// Undisturbed runs until one finds nothing new.
    fn settle(&mut self) {
        for attempt in 0..8 {
            let said = said(&mut self.command(&["run", "--json", "p.yaml"]));
            self.seen.runs += 1;
            balanced(self.seed, &said);
            let report: Value = serde_json::from_str(&said.out).expect("one object");
            let code = said.code.unwrap_or(-1);
            let fine = code == 0 || (code == 4 && self.quarantines);
            assert!(fine, "seed {}: an undisturbed run gave {code}: {}\n{}", self.seed, said.out, said.err);
            let stream = &report["streams"][0];
            let from_the_start = stream["resumed_from_page"].is_null();
            if from_the_start && (stream["loaded"] == 0 || (self.write == "replace" && attempt > 0)) {
                return;
            }
        }
        panic!("seed {}: the table does not come to rest", self.seed);
    }

    /// The table as rows of `id`, `v`, and the columns of a history.
    fn table(&self) -> Vec<BTreeMap<String, Option<String>>> {
        if !self.sqlite() {
            return parquet(&self.path("lake/things"));
        }
        let connection = rusqlite::Connection::open(self.path("x.db")).expect("the database is there");
        let mut select = connection.prepare("select * from things").expect("the table is there");
        let names: Vec<String> = select.column_names().map(str::to_owned).collect();
        let row = |row: &rusqlite::Row| {
            let cell = |index: usize| match row.get_ref(index).expect("a cell") {
                rusqlite::types::ValueRef::Null | rusqlite::types::ValueRef::Blob(_) => None,
                rusqlite::types::ValueRef::Integer(int) => Some(int.to_string()),
                rusqlite::types::ValueRef::Real(float) => Some(float.to_string()),
                rusqlite::types::ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            };
            Ok(names.iter().enumerate().map(|(index, name)| (name.clone(), cell(index))).collect())
        };
        select.query_map([], row).expect("rows").map(|row| row.expect("a row")).collect()
    }

    fn compare(&mut self) {
        let table = self.table();
        self.seen.rows += table.len() as u64;
        let world = self.provider.world.lock().expect("no answer panics");
        let all: BTreeMap<String, &Row> = world.rows.iter().map(|row| (plain(&row.id), row)).collect();
        let stays = |row: &&Row| !row.gone || self.marks;
        let truth: BTreeMap<String, &Row> =
            all.iter().filter(|(_, row)| stays(row)).map(|(id, row)| (id.clone(), *row)).collect();
        let current: Vec<_> = match self.write {
            "history" => table.iter().filter(|row| row["_current"].as_deref() == Some("1")).collect(),
            _ => table.iter().collect(),
        };
        let key = |row: &BTreeMap<String, Option<String>>| plain(row["id"].as_deref().expect("a key"));
        let value = |row: &BTreeMap<String, Option<String>>| {
            row.get("v").cloned().flatten().map_or("null".to_owned(), |v| plain(&v))
        };
        if self.write == "append" {
            return self.compare_versions(&table, &all, &world.served, key, value);
        }
        let mut found = BTreeMap::new();
        for row in current {
            let before = found.insert(key(row), value(row));
            assert!(before.is_none(), "seed {}: {} is there twice", self.seed, key(row));
            if self.marks {
                let marked = row["_deleted"].as_deref() == Some("1");
                let gone = all.get(&key(row)).is_some_and(|row| row.gone);
                assert_eq!(marked, gone, "seed {}: whether {} is deleted", self.seed, key(row));
            }
        }
        let aside = if self.quarantines { self.set_aside() } else { BTreeMap::new() };
        for (id, row) in &truth {
            if row.gone && !found.contains_key(id) {
                continue; // it was gone before anybody could see it
            }
            // What a deleted row said last does not matter, only that it is gone.
            let (got, want) = (found.get(id), plain(&row.v));
            let want = if row.gone { got.cloned().unwrap_or(want) } else { want };
            let fine = got == Some(&want) || aside.get(id) == Some(&want);
            assert!(
                fine,
                "seed {}: {id} is {got:?} and should be {want}; set aside: {:?}",
                self.seed,
                aside.get(id)
            );
            assert!(
                got != Some(&want) || !aside.contains_key(id),
                "seed {}: {id} landed and is set aside",
                self.seed
            );
        }
        let strange: Vec<_> = found.keys().filter(|id| !truth.contains_key(*id)).collect();
        assert!(strange.is_empty(), "seed {}: nobody has {strange:?}", self.seed);
        if self.write == "history" {
            self.check_chains(&table, &all, key);
        }
    }

    /// Under append the table has versions that were served, each once, the last one of each key among them.
    fn compare_versions(
        &self,
        table: &[BTreeMap<String, Option<String>>],
        truth: &BTreeMap<String, &Row>,
        served: &BTreeSet<(String, String, i64)>,
        key: impl Fn(&BTreeMap<String, Option<String>>) -> String,
        value: impl Fn(&BTreeMap<String, Option<String>>) -> String,
    ) {
        let mut there = BTreeSet::new();
        for row in table {
            let version = (key(row), value(row), row["updatedAt"].clone().unwrap_or_default());
            assert!(there.insert(version.clone()), "seed {}: {version:?} is there twice", self.seed);
        }
        let moment = |at: i64| sync_core::Timestamp::from_micros(at).to_string();
        let known: BTreeSet<_> =
            served.iter().map(|(id, v, at)| (plain(id), plain(v), moment(*at))).collect();
        let invented: Vec<_> = there.difference(&known).take(3).collect();
        assert!(invented.is_empty(), "seed {}: nobody served {invented:?}", self.seed);
        for (id, row) in truth {
            let last = (id.clone(), plain(&row.v), moment(row.at));
            assert!(there.contains(&last), "seed {}: {last:?} is missing", self.seed);
        }
    }

    /// The versions of a key follow each other, without a gap but where it was deleted, and the last one is current
    /// unless it is deleted now.
    fn check_chains(
        &self,
        table: &[BTreeMap<String, Option<String>>],
        all: &BTreeMap<String, &Row>,
        key: impl Fn(&BTreeMap<String, Option<String>>) -> String,
    ) {
        let mut chains: BTreeMap<String, Vec<(String, Option<String>)>> = BTreeMap::new();
        for row in table {
            let from = row["_valid_from"].clone().expect("every version begins");
            chains.entry(key(row)).or_default().push((from, row["_valid_to"].clone()));
        }
        for (id, mut chain) in chains {
            chain.sort_by(|a, b| (&a.0, a.1.is_none(), &a.1).cmp(&(&b.0, b.1.is_none(), &b.1)));
            for pair in chain.windows(2) {
                let fine = match &pair[0].1 {
                    Some(end) if self.tombstones => *end <= pair[1].0,
                    end => end.as_ref() == Some(&pair[1].0),
                };
                assert!(fine, "seed {}: the versions of {id}: {chain:?}", self.seed);
            }
            let ended = chain.last().is_some_and(|last| last.1.is_some());
            assert_eq!(ended, all[&id].gone, "seed {}: whether {id} has ended: {chain:?}", self.seed);
        }
    }

    /// Values of rows that are set aside, by id.
    fn set_aside(&self) -> BTreeMap<String, String> {
        let said = said(&mut self.command(&["rejects", "export", "p.yaml"]));
        assert_eq!(said.code, Some(0), "{}", said.err);
        let row = |line: &str| {
            let object: Value = serde_json::from_str(line).expect("one object a line");
            let row = &object["row"];
            (plain(&row["id"].to_string()), plain(&row["v"].to_string()))
        };
        said.out.lines().map(row).collect()
    }

    /// No file, no table and no open book that a dead process made.
    fn nothing_is_left(&self) {
        let seed = self.seed;
        if self.sqlite() {
            let connection = rusqlite::Connection::open(self.path("x.db")).expect("the database is there");
            let left: i64 = connection
                .query_row("select count(*) from sqlite_schema where type = 'table' and name not in ('things', '_sync_checkpoints')", [], |row| row.get(0))
                .expect("a count");
            assert_eq!(left, 0, "seed {seed}: tables are left over");
        } else {
            let control = self.path("lake/.things.sync");
            let names = |folder: &Path| -> Vec<String> {
                let entries = fs::read_dir(folder).expect("the folder is there");
                let mut names: Vec<_> = entries
                    .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
                    .collect();
                names.sort();
                names
            };
            let (versions, others): (Vec<_>, Vec<_>) =
                names(&control).into_iter().partition(|name| name.bytes().all(|b| b.is_ascii_digit()));
            assert_eq!(others, ["keys", "lock", "log", "owner.json", "staged"], "seed {seed}");
            assert!(versions.len() <= 3, "seed {seed}: {versions:?}");
            let shown = fs::canonicalize(self.path("lake/things")).expect("the link");
            assert!(
                shown.ends_with(versions.last().expect("one")),
                "seed {seed}: {} of {versions:?}",
                shown.display()
            );
            assert!(names(&control.join("staged")).is_empty(), "seed {seed}: parts are left over");
        }
        let runs = said(&mut self.command(&["runs", "--json", "--limit", "100"]));
        let runs: Value = serde_json::from_str(&runs.out).expect("a list");
        for run in runs.as_array().expect("a list") {
            let open = |status: &Value| status == "running";
            let streams = run["streams"].as_array().into_iter().flatten();
            assert!(
                !open(&run["status"]) && !streams.clone().any(|s| open(&s["status"])),
                "seed {seed}: {run}"
            );
            for stream in streams {
                let figure = |name: &str| stream[name].as_u64().expect("a figure");
                let placed =
                    figure("loaded") + figure("deduplicated") + figure("filtered") + figure("quarantined");
                assert_eq!(figure("fetched"), placed, "seed {seed}: the books of {stream}");
            }
        }
        if seed.is_multiple_of(25) && !self.sqlite() {
            let script = "import duckdb, sys\nprint(duckdb.sql(f\"select count(*) from read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning=false)\").fetchall()[0][0])";
            let counted = python(script, &[&self.path("lake/things")]);
            assert_eq!(counted.trim(), self.table().len().to_string(), "seed {seed}: as DuckDB counts");
        }
    }
}

/// A thread that is waited for.
struct Joined(Option<std::thread::JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        let _ = self.0.take().map(std::thread::JoinHandle::join);
    }
}

/// Says how to see a failure again, if there is one.
struct Failing {
    seed: u64,
    folder: PathBuf,
}

impl Drop for Failing {
    #[expect(clippy::print_stderr, reason = "how to see it again is for whoever looks")]
    fn drop(&mut self) {
        let kept = std::env::temp_dir().join(format!("storm-{}", self.seed));
        let _ = fs::remove_dir_all(&kept);
        let kept = if fs::rename(&self.folder, &kept).is_ok() { kept } else { self.folder.clone() };
        eprintln!(
            "storm: seed {} failed; see {}; again: make storm SEED={}",
            self.seed,
            kept.display(),
            self.seed
        );
    }
}

/// JSON text or a cell, the same for the same value.
fn plain(text: &str) -> String {
    text.trim_matches('"').to_owned()
}

fn balanced(seed: u64, said: &Said) {
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| {
        panic!("seed {seed}: stdout is not one object ({e}): {}\n{}", said.out, said.err)
    });
    for stream in report["streams"].as_array().into_iter().flatten() {
        let figure = |name: &str| stream[name].as_u64().expect("a figure");
        let placed = figure("loaded") + figure("deduplicated") + figure("filtered") + figure("quarantined");
        assert_eq!(figure("fetched"), placed, "seed {seed}: the books of {stream}");
        assert_ne!(stream["error"]["code"], "internal", "seed {seed}: {stream}");
    }
}

/// Runs a command and sends it a signal after a while.
fn struck(command: &mut Command, ms: u64, signal: &str) -> Said {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child: Child = command.spawn().expect("the binary was built");
    let pid = child.id().to_string();
    std::thread::sleep(Duration::from_millis(ms));
    // The child is ours and not waited for yet, so the number is still its own.
    let _ = Command::new("kill").args([&format!("-{signal}"), &pid]).stderr(Stdio::null()).status();
    child.wait_with_output().expect("a child ends").into()
}

fn parquet(path: &Path) -> Vec<BTreeMap<String, Option<String>>> {
    let mut rows = Vec::new();
    for batch in sync_sinks::parquet::read_folder(path).expect("a table") {
        let found = sync_testkit::sink::rows_of(&[batch.expect("readable")]);
        let named = |row: Vec<Option<String>>| found.columns.iter().cloned().zip(row).collect();
        rows.extend(found.rows.clone().into_iter().map(named));
    }
    rows
}
