//! Chores longer than one line. Called through `cargo xtask`, mostly by the Makefile.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "chores speak for themselves")]
#![expect(clippy::disallowed_methods, reason = "chores measure and wait on the machine's own clock")]

mod bench;
mod demo;
mod glimpse;
mod pages;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo                                two providers on loopback, into Parquet and SQLite, twice
cargo xtask bench [ROWS]                        CPU, memory and bytes written of a million rows into both destinations, then of 1 % of them changed
cargo xtask show PATH [--rows N] [--table NAME] the first rows of a Parquet folder or a SQLite database";

/// What a chore may fail with. It is shown and nothing branches on it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["demo"] => demo::demo(),
        ["bench"] => bench::bench(1_000_000),
        ["bench", rows] => number(rows).and_then(bench::bench),
        // How `bench` calls itself: a process of its own, so that its CPU is not counted.
        ["serve-pages", folder] => bench::serve(Path::new(folder)),
        ["show", path, options @ ..] => show_options(options).and_then(|o| show::show(Path::new(path), &o)),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn show_options(words: &[&str]) -> Result<show::Options> {
    let mut options = show::Options::default();
    for pair in words.chunks(2) {
        match pair {
            ["--rows", rows] => options.rows = usize::try_from(number(rows)?)?,
            ["--table", name] => options.table = Some((*name).to_owned()),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<u64> {
    text.replace('_', "").parse().map_err(|_| format!("`{text}` is not a number").into())
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
