//! Reads the files that were named.

use std::io::ErrorKind;
use std::path::Path;

use sync_core::{Explain as _, Kind, Problem};
use sync_spec::{Document, Pipeline};

/// Reads and parses a pipeline file; everything that is wrong with it, in one problem.
pub fn pipeline(path: &Path) -> Result<Pipeline, Problem> {
    let name = path.to_string_lossy();
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&name, &error))?;
    Pipeline::parse(&Document::new(&*name, text)).map_err(|findings| findings.problem())
}

fn unreadable(name: &str, error: &std::io::Error) -> Problem {
    let problem = |kind, message| Problem::new(kind, "unreadable_file", message);
    match error.kind() {
        ErrorKind::NotFound => problem(Kind::Refused, format!("there is no file {name}"))
            .hint("name a pipeline file; `pipelines/` of the source tree has some to copy"),
        ErrorKind::IsADirectory => {
            problem(Kind::Refused, format!("{name} is a folder")).hint("name the pipeline files in it")
        }
        ErrorKind::InvalidData => problem(Kind::Refused, format!("{name} is not UTF-8 text")),
        _ => problem(Kind::Environment, format!("{name} cannot be read: {error}")),
    }
}
