//! What a million rows cost, then one in a hundred of them changed, and a history in which all of them did: CPU
//! seconds, peak memory and bytes written of `sync run`, into both destinations.
//!
//! The pages are made beforehand and served by another process, whose CPU is not counted. Compare CPU seconds;
//! the wall clock of a shared machine says little. Needs Linux, for its `/proc`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, presets};
use sync_http::serve::{Incoming, Reply, Server};

use crate::pages::{self, PAGE};
use crate::{Result, root};

/// The kernel counts a process's CPU in hundredths of a second, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

const CONNECTOR: &str = "\
connector: bench
base_url: http://127.0.0.1
auth: none
defaults:
  key: _id
  paginate: { offset: { param: offset }, size: { limit: 2000 }, stop: short }
streams:
  companies: { get: /companies, cursor: { field: updatedAt, format: iso_ms, mode: client } }
";

/// Measures both destinations and prints a table.
pub fn bench(rows: u64) -> Result<()> {
    let folder = root().canonicalize()?.join("target/bench");
    let sync = release_binary()?;
    fs::create_dir_all(&folder)?;
    println!("making {rows} rows in pages of {PAGE} …");
    let bytes = pages::write(&folder.join("pages"), rows)?;
    println!("{} bytes of JSON, {} a row", bytes, bytes / rows.max(1));
    let some = pages::write_changed(&folder.join("changed"), rows, 100)?;
    let all = pages::write_changed(&folder.join("all-changed"), rows, 1)?;
    let tables = [
        Table { kind: Kind::Parquet, write: "merge" },
        Table { kind: Kind::Sqlite, write: "merge" },
        Table { kind: Kind::Parquet, write: "history" },
        Table { kind: Kind::Sqlite, write: "history" },
    ];
    let mut measured = Vec::new();
    for (pages, what, loaded, of) in [
        ("pages", "", rows, &tables[..]),
        ("changed", ", 1 % changed", some, &tables[..2]),
        ("all-changed", ", all changed", all, &tables[2..]),
    ] {
        let server = PageServer::start(&folder.join(pages))?;
        for table in of {
            if pages == "pages" {
                table.prepare(&folder)?;
            }
            measured.push(measure(*table, what, &sync, &folder, server.addr, loaded)?);
        }
    }
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "into",
        "CPU s",
        "rows",
        "CPU s / M rows",
        "wall s",
        "peak MB",
        "written MB",
        "on disk MB",
    ]);
    for one in measured {
        table.add_row(one.row());
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{table}");
    Ok(())
}

/// The binary that users get. Built by `make bench` before.
fn release_binary() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent).ok_or("this program lies in no target folder")?;
    let sync = target.join("release/sync");
    if sync.is_file() {
        return Ok(sync);
    }
    Err(format!("there is no {}\nhint: cargo build --release --package sync-cli", sync.display()).into())
}

#[derive(Clone, Copy)]
enum Kind {
    Parquet,
    Sqlite,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Sqlite => "sqlite",
        }
    }

    fn destination(self) -> &'static str {
        match self {
            Self::Parquet => "parquet://./lake",
            Self::Sqlite => "sqlite://./lake.db",
        }
    }
}

/// A table, in a folder of its own.
#[derive(Clone, Copy)]
struct Table {
    kind: Kind,
    write: &'static str,
}

impl Table {
    fn name(self) -> String {
        format!("{} {}", self.kind.name(), self.write)
    }

    fn place(self, folder: &Path) -> PathBuf {
        folder.join(self.name().replace(' ', "-"))
    }

    /// Takes away what an earlier measurement left.
    fn prepare(self, folder: &Path) -> Result<()> {
        let place = self.place(folder);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::create_dir_all(&place)?;
        Ok(fs::write(place.join("bench-connector.yaml"), CONNECTOR)?)
    }
}

struct Measured {
    into: String,
    rows: u64,
    cpu: f64,
    wall: f64,
    peak_bytes: u64,
    written_bytes: u64,
    disk_bytes: u64,
}

impl Measured {
    fn row(&self) -> [String; 8] {
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        [
            self.into.clone(),
            format!("{:.2}", self.cpu),
            self.rows.to_string(),
            format!("{:.2}", self.cpu / self.rows as f64 * 1e6),
            format!("{:.1}", self.wall),
            megabytes(self.peak_bytes),
            megabytes(self.written_bytes),
            megabytes(self.disk_bytes),
        ]
    }
}

/// One run into one destination, of which so many rows are to land.
fn measure(
    table: Table,
    what: &str,
    sync: &Path,
    folder: &Path,
    addr: SocketAddr,
    rows: u64,
) -> Result<Measured> {
    let (place, destination, write) = (table.place(folder), table.kind.destination(), table.write);
    fs::write(
        place.join("bench.yaml"),
        format!(
            "source: {{ connector: ./bench-connector.yaml, base_url: \"http://{addr}\" }}\n\
             streams: {{ companies: {{ write: {write} }} }}\ndestination: {destination}\n"
        ),
    )?;
    let (cpu_before, written_before, begun) = (children_cpu()?, written()?, Instant::now());
    let mut child = Command::new(sync)
        .args(["run", "bench.yaml", "--json"])
        .current_dir(&place)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak_bytes = 0;
    let exit = loop {
        // The kernel keeps the high-water mark; it is gone once the process is.
        peak_bytes = high_water(&status).unwrap_or(0).max(peak_bytes);
        match child.try_wait()? {
            Some(exit) => break exit,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), children_cpu()? - cpu_before);
    let written_bytes = written()? - written_before;
    let mut report = String::new();
    child.stdout.take().ok_or("the child has no stdout")?.read_to_string(&mut report)?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let loaded = &report["streams"][0]["loaded"];
    if !exit.success() || *loaded != rows {
        return Err(format!(
            "the run into {} loaded {loaded} of {rows} rows and ended with {exit}",
            table.name()
        )
        .into());
    }
    let (into, disk_bytes) = (format!("{}{what}", table.name()), size_of(&place)?);
    Ok(Measured { into, rows, cpu, wall, peak_bytes, written_bytes, disk_bytes })
}

/// CPU seconds, user and system, of all children that have ended. Source: proc(5), `cutime` and `cstime`.
fn children_cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(") ").ok_or("/proc/self/stat has an unknown form")?;
    let ticks = after_name.split(' ').skip(13).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<std::result::Result<u64, _>>()? as f64 / TICKS_PER_SECOND)
}

/// Bytes that this process and all children that have ended sent to the disk. Source: proc(5), `write_bytes`.
fn written() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.ok_or("/proc/self/io has an unknown form")?.parse()?)
}

/// The most memory a process has held so far. Source: proc(5), `VmHWM`, in KiB.
fn high_water(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Bytes of the files below a folder; links are passed over, so that nothing counts twice.
fn size_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.path().symlink_metadata()?;
        bytes += if meta.is_dir() { size_of(&entry.path())? } else { meta.len() * u64::from(meta.is_file()) };
    }
    Ok(bytes)
}

/// The process that serves the pages.
struct PageServer {
    child: Child,
    addr: SocketAddr,
}

impl PageServer {
    fn start(pages: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve-pages")
            .arg(pages)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("the server has no stdout")?).read_line(&mut line)?;
        let addr = line.trim().parse().map_err(|_| format!("the page server said `{line}`"))?;
        Ok(Self { child, addr })
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        // It may have ended by itself, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves `GET /companies?offset=N` from a folder of pages until the process is ended.
pub fn serve(folder: &Path) -> Result<()> {
    let folder = folder.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let handler = move |incoming: Incoming| answer(&folder, &incoming);
        let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(handler))?;
        println!("{}", server.addr());
        std::future::pending::<()>().await;
        Ok(())
    })
}

fn answer(folder: &Path, incoming: &Incoming) -> Reply {
    let offset = incoming.query.split('&').find_map(|pair| pair.strip_prefix("offset=")).unwrap_or("0");
    let whole = incoming.path == "/companies" && offset.bytes().all(|b| b.is_ascii_digit());
    match (whole, fs::read(folder.join(format!("{offset}.json")))) {
        (false, _) => Reply::json(404, "{}"),
        (true, Ok(page)) => Reply::json(200, page),
        (true, Err(_)) => Reply::json(200, "[]"),
    }
}
