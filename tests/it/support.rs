//! What the end-to-end tests share: where things are, how `sync` is called, and other people's readers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The readers whose word about a table counts besides our own. Installed from PyPI once, under `target/`.
const READERS: &[&str] =
    &["duckdb==2.0.1", "polars==2.1.0", "pyarrow==26.0.1", "pynacl==1.6.2", "argon2-cffi==25.1.0"];

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// The text of a file of the repository.
#[track_caller]
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder with that ending, sorted. Folders that are built or hidden are passed over.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a folder's entries can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                let skipped = matches!(name.as_str(), "target" | ".git" | ".demo" | ".sync");
                folders.extend((!skipped).then_some(path));
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The binary under test, in a folder, with an environment that holds nothing but a search path.
pub fn sync_in(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sync"));
    command.current_dir(folder).env_clear();
    command.envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"));
    command.env("SYNC_HOME", folder.join(".home")); // what one test spends is no other's affair
    command
}

/// What a finished process said.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("everything that is printed is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn said(command: &mut Command) -> Said {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
}

/// Runs a script in a Python that has the readers, and returns what it printed.
///
/// Fails, and says what to do, where there is no Python or the readers cannot be installed: a test that
/// passed over the readers would have proved nothing.
#[track_caller]
pub fn python(script: &str, arguments: &[&Path]) -> String {
    let said = said(Command::new(python_path()).arg("-c").arg(script).args(arguments));
    assert_eq!(said.code, Some(0), "the readers failed:\n{}\n{}", said.out, said.err);
    said.out
}

/// That Python, made ready once.
#[track_caller]
pub fn python_path() -> &'static Path {
    static READY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    READY.get_or_init(prepare_readers).as_ref().unwrap_or_else(|error| panic!("{error}"))
}

fn prepare_readers() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readers");
    let (python, mark) = (folder.join("bin/python"), folder.join("installed.txt"));
    let wanted = READERS.join("\n");
    if std::fs::read_to_string(&mark).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    let step = |what: &str, hint: &str, command: &mut Command| -> Result<(), String> {
        let output = command.output().map_err(|error| format!("{what}: {error}\nhint: {hint}"))?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{what} failed\nhint: {hint}\n{words}"))
    };
    step(
        "making a Python environment for the reader tests",
        "install python3 and python3-venv; `make test` does so on Debian",
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder),
    )?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    step(
        "installing the readers for the reader tests",
        "these tests need PyPI, or a mirror named by PIP_INDEX_URL, once",
        Command::new(&python).args(pip).args(READERS),
    )?;
    std::fs::write(&mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(python)
}

#[test]
fn the_readers_can_be_asked() {
    let script = "import duckdb, polars, pyarrow; print(duckdb.sql('select 42').fetchall()[0][0])";
    assert_eq!(python(script, &[]).trim(), "42");
}
