//! A stage for the real binary: the sandbox on loopback, a folder of its own, and eyes for what landed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use sync_sandbox::{Options, Running, Sandbox};
use sync_testkit::clock::Machine;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::{Said, said, sync_in};

/// The secrets that the sandbox accepts, by the variables that pipelines of a stage name.
pub const SECRETS: [(&str, &str); 5] = [
    ("PLANHAT_TOKEN", "planhat-sandbox-token"),
    ("FLOWLU_KEY", "flowlu-sandbox-key"),
    ("HUBPLANNER_KEY", "hubplanner.sandbox.key"),
    ("HUBSPOT_TOKEN", "hubspot-sandbox-token"),
    ("HUBNITY_KEY", "hbn_sandbox"),
];

/// Sandbox, folder and binary.
pub struct Stage {
    pub sandbox: Arc<Sandbox>,
    running: Running,
    /// Serves the sandbox; goes last.
    _runtime: Runtime,
    folder: TempDir,
}

impl Stage {
    /// A stage with a sandbox that knows no limits, so that no test waits for one it is not about.
    pub fn new() -> Self {
        Self::with(|options| options.limits = false)
    }

    /// A stage with a sandbox of these options.
    pub fn with(set: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(Arc::new(Machine::default()));
        set(&mut options);
        let sandbox = Sandbox::new(options).expect("the streams are there");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread can be had");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let running = runtime.block_on(sandbox.start(any)).expect("a loopback port is free");
        Self { sandbox, running, _runtime: runtime, folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// `http://127.0.0.1:PORT/planhat`.
    pub fn base_url(&self, provider: &str) -> String {
        self.running.base_url(provider)
    }

    /// The four lines of a pipeline that reads a provider of the sandbox.
    pub fn four_lines(&self, provider: &str, streams: &str, destination: &str) -> String {
        let variable = match provider {
            "planhat" => "PLANHAT_TOKEN",
            "flowlu" => "FLOWLU_KEY",
            "hubspot" => "HUBSPOT_TOKEN",
            "hubnity" => "HUBNITY_KEY",
            _ => "HUBPLANNER_KEY",
        };
        let base_url = self.base_url(provider);
        format!(
            "source: {{ connector: {provider}, base_url: \"{base_url}\", credential: \"${{env:{variable}}}\", \
             rate_limit: {{ limits: [1000/s] }} }}\n\
             streams: {streams}\ndestination: {destination}\nschedule: every 1h\n"
        )
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the folder can be written");
    }

    /// `sync` with these words, in the folder, with the secrets.
    pub fn sync(&self, words: &[&str]) -> Command {
        let mut command = sync_in(self.folder());
        command.args(words).envs(SECRETS).stdin(Stdio::null());
        command
    }

    /// Runs `sync` to its end.
    #[track_caller]
    pub fn said(&self, words: &[&str]) -> Said {
        said(&mut self.sync(words))
    }

    /// Runs a pipeline to its end; its report, and what was said besides.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Report {
        let said = self.said(&[&["run", "--json"], words].concat());
        Report::of(said)
    }

    /// Starts a run and leaves it alone; what it says goes to a file.
    pub fn start(&self, words: &[&str], err: &str) -> Child {
        let err = std::fs::File::create(self.path(err)).expect("the folder can be written");
        let mut command = self.sync(&[&["run"], words].concat());
        command.stdout(Stdio::null()).stderr(err);
        command.spawn().expect("the binary was built")
    }

    /// Opens a database of the folder to look into it.
    pub fn database(&self, name: &str) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(self.path(name), flags).expect("the database is there")
    }

    /// The only value that a query gives.
    #[track_caller]
    pub fn one(&self, database: &str, query: &str) -> i64 {
        self.database(database)
            .query_row(query, [], |row| row.get(0))
            .unwrap_or_else(|e| panic!("{query}: {e}"))
    }
}

/// A run as `--json` tells it.
pub struct Report {
    pub json: Value,
    pub code: Option<i32>,
    pub err: String,
}

impl Report {
    #[track_caller]
    pub fn of(said: Said) -> Self {
        let json = serde_json::from_str(&said.out)
            .unwrap_or_else(|e| panic!("stdout is not one object ({e}): {}\n{}", said.out, said.err));
        let report = Self { json, code: said.code, err: said.err };
        assert_eq!(report.json["exit_code"].as_i64().map(|c| c as i32), report.code, "{}", report.err);
        report.balance();
        report
    }

    /// Everything went well, and these are the rows that were loaded of the first stream.
    #[track_caller]
    pub fn done(&self) -> u64 {
        assert_eq!(self.code, Some(0), "{}\n{}", self.json, self.err);
        self.figure("loaded")
    }

    /// A figure of the first stream.
    #[track_caller]
    pub fn figure(&self, name: &str) -> u64 {
        self.json["streams"][0][name].as_u64().unwrap_or_else(|| panic!("no figure {name}: {}", self.json))
    }

    /// The codes of the first stream's notes.
    pub fn notes(&self) -> Vec<&str> {
        let notes = self.json["streams"][0]["notes"].as_array().into_iter().flatten();
        notes.filter_map(|note| note["code"].as_str()).collect()
    }

    /// The code of what went wrong.
    pub fn error(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }

    #[track_caller]
    fn balance(&self) {
        for stream in self.json["streams"].as_array().into_iter().flatten() {
            let of = |name: &str| stream[name].as_u64().expect("a figure");
            let placed = of("loaded") + of("deduplicated") + of("filtered") + of("quarantined");
            assert_eq!(of("fetched"), placed, "the books of {stream}");
        }
    }
}
