//! The first five minutes with `sync`, without an account: two providers played on loopback, one into Parquet
//! and one into SQLite, and then once more after some rows have changed.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sync_core::{BoxFuture, Clock, Timestamp};
use sync_sandbox::{Options, Running, Sandbox};

use crate::show::{self, show};
use crate::{Result, root};

/// Where everything of the demo lands; removed at the next start, kept until then to look around in.
const FOLDER: &str = ".demo";

/// Plays the demo.
pub fn demo() -> Result<()> {
    let root = root().canonicalize()?;
    let sync = build(&root)?;
    let folder = root.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let options = Options::new(Arc::new(MachineClock(Instant::now())));
    let keys = [
        ("SYNC_PLANHAT_TOKEN", options.planhat_token.clone()),
        ("SYNC_FLOWLU_API_KEY", options.flowlu_key.clone()),
    ];
    let options = options
        .rows("planhat/companies", 12_000)
        .rows("planhat/users", 40)
        .rows("flowlu/accounts", 350)
        .rows("flowlu/pipelines", 3);
    let sandbox = Sandbox::new(options)?;
    let running = runtime.block_on(sandbox.start(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let stage = Stage { sync, folder, pipelines: root.join("pipelines"), keys, running };

    say(&format!(
        "Planhat and Flowlu, played on http://{} — nothing leaves this machine",
        stage.running.addr()
    ));
    stage.pipeline("planhat-parquet.yaml", "planhat")?;
    stage.pipeline("flowlu-sqlite.yaml", "flowlu")?;

    say("Planhat into Parquet");
    stage.run("planhat-parquet.yaml", &["companies", "users"])?;
    stage.show("lake/companies", None)?;

    say("Flowlu into SQLite; its limit of 3 requests in 2 seconds is kept");
    stage.run("flowlu-sqlite.yaml", &["accounts", "pipelines"])?;
    stage.show("flowlu.db", Some("accounts"))?;

    let mut changed: BTreeSet<String> = sandbox.touch("planhat/companies", 25)?.into_iter().collect();
    changed.extend(sandbox.add("planhat/companies", 3)?);
    say(&format!(
        "At Planhat, {} of 12,003 companies are changed or new. The same command again",
        changed.len()
    ));
    let loaded = stage.run("planhat-parquet.yaml", &["companies", "users"])?;
    if loaded != changed.len() as u64 {
        return Err(format!("{loaded} rows were loaded where {} had changed", changed.len()).into());
    }
    say(&format!("Only those {loaded} were loaded. Look around in {FOLDER}/, or copy a file of pipelines/"));
    runtime.block_on(stage.running.stop());
    Ok(())
}

/// Builds the binary with the profile of the tests, which are likely to have built most of it.
fn build(root: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--package", "sync-cli", "--bin", "sync"])
        .current_dir(root)
        .status()?;
    let here = std::env::current_exe()?;
    let sync = here.with_file_name("sync");
    if !built.success() || !sync.is_file() {
        return Err("the binary could not be built".into());
    }
    Ok(sync)
}

struct Stage {
    sync: PathBuf,
    folder: PathBuf,
    pipelines: PathBuf,
    keys: [(&'static str, String); 2],
    running: Running,
}

impl Stage {
    /// Copies a ready-made pipeline, with the one line that turns it to the sandbox.
    fn pipeline(&self, file: &str, provider: &str) -> Result<()> {
        let text = fs::read_to_string(self.pipelines.join(file))?;
        let line = format!("  connector: {provider}\n");
        if !text.contains(&line) {
            return Err(format!("pipelines/{file} does not say `connector: {provider}`").into());
        }
        let base_url = self.running.base_url(provider);
        fs::write(self.folder.join(file), text.replace(&line, &format!("{line}  base_url: {base_url}\n")))?;
        println!("{FOLDER}/{file} is pipelines/{file} with `base_url: {base_url}`");
        Ok(())
    }

    /// Runs a pipeline and returns how many rows it loaded.
    fn run(&self, file: &str, streams: &[&str]) -> Result<u64> {
        let chosen = streams.iter().flat_map(|stream| ["--stream", stream]);
        let words: Vec<&str> = ["run", file].into_iter().chain(chosen).collect();
        println!("$ sync {}", words.join(" "));
        let output = Command::new(&self.sync)
            .args(words)
            .arg("--json")
            .envs(self.keys.iter().map(|(name, key)| (name, key)))
            .current_dir(&self.folder)
            .stderr(Stdio::inherit())
            .output()?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        if !output.status.success() {
            return Err(format!("the run ended with {}", output.status).into());
        }
        let streams = report["streams"].as_array().ok_or("the report names no streams")?;
        Ok(streams.iter().filter_map(|stream| stream["loaded"].as_u64()).sum())
    }

    fn show(&self, path: &str, table: Option<&str>) -> Result<()> {
        println!();
        let options = show::Options { rows: 4, table: table.map(str::to_owned) };
        show(&self.folder.join(path), &options)
    }
}

fn say(text: &str) {
    println!("\n— {text}\n");
}

/// The machine's time, for the sandbox.
struct MachineClock(Instant);

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(since.as_micros() as i64)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
