//! `sync check`: everything that can be found out without moving a row.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use sync_core::{Problem, Status};
use sync_engine::CheckReport;

use crate::args;
use crate::documents;
use crate::hands::Tools;
use crate::run::worst;
use crate::signals;
use crate::talk::{Talk, problem_text};

/// The object that `--json` prints for each file.
#[derive(Serialize)]
struct FileReport<'a> {
    /// The file as it was given.
    file: &'a str,
    status: Status,
    exit_code: u8,
    #[serde(flatten)]
    report: &'a CheckReport,
}

/// Checks the files; the exit code of the worst.
pub async fn check(args: args::Check, talk: &Talk, tools: &Tools) -> u8 {
    if let Err(error) = signals::listen(talk.clone(), tools.stop.clone(), "stopping…") {
        tracing::warn!(%error, "signals cannot be heard");
    }
    let mut codes = Vec::new();
    for file in &args.files {
        codes.push(one(file, args.json, talk, tools).await);
    }
    worst(codes)
}

async fn one(file: &Path, json: bool, talk: &Talk, tools: &Tools) -> u8 {
    let name = file.to_string_lossy();
    let report = match documents::pipeline(file) {
        Ok(pipeline) => sync_engine::check(&pipeline, &tools.hands(Arc::new(()))).await,
        Err(problem) => unparsed(file, problem),
    };
    let exit_code = worst(report.problems.iter().map(|p| Status::from(p.kind).exit_code()));
    let worst_of = report.problems.iter().map(|p| Status::from(p.kind));
    let status = worst_of.into_iter().find(|s| s.exit_code() == exit_code).unwrap_or(Status::Done);
    for problem in &report.problems {
        talk.say(&problem_text(problem, talk.paint));
    }
    let printed = if json {
        talk.json(&FileReport { file: &name, status, exit_code, report: &report })
    } else {
        talk.data(&findings(&name, &report))
    };
    match printed {
        Ok(()) => exit_code,
        Err(problem) => {
            talk.problem(&problem);
            worst([exit_code, Status::Environment.exit_code()])
        }
    }
}

/// What is known of a file that could not be read: its name.
fn unparsed(file: &Path, problem: Problem) -> CheckReport {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    CheckReport { problems: vec![problem], ..CheckReport::of(&name) }
}

/// The report for people.
fn findings(file: &str, report: &CheckReport) -> String {
    let mut text = match report.problems.len() {
        0 => format!("{file}: fine\n"),
        1 => format!("{file}: 1 problem\n"),
        n => format!("{file}: {n} problems\n"),
    };
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            writeln!(text, "  {name:<12} {value}").expect("a string takes text");
        }
    };
    line("connector", report.connector.as_deref());
    line("asked at", report.base_url.as_deref());
    line("streams", Some(report.streams.join(", ")).filter(|s| !s.is_empty()).as_deref());
    line("destination", report.destination.as_deref());
    let credential = match report.accepted {
        Some(true) => Some("accepted by the provider"),
        Some(false) => Some("refused by the provider"),
        None if report.problems.is_empty() => Some("not asked: the connector has no check"),
        None => None,
    };
    line("credential", credential);
    for remark in &report.remarks {
        line("remark", Some(remark));
    }
    text
}

#[cfg(test)]
mod tests {
    use sync_core::Kind;

    use super::*;

    #[test]
    fn a_report_shows_what_is_known() {
        let mut report = unparsed(Path::new("x/p.yaml"), Problem::new(Kind::Refused, "x", "broken"));
        assert_eq!(report.pipeline, "p");
        assert_eq!(findings("x/p.yaml", &report), "x/p.yaml: 1 problem\n");
        report.problems.clear();
        report.connector = Some("acme".into());
        report.streams = vec!["a".into(), "b".into()];
        report.accepted = Some(true);
        assert_eq!(
            findings("x/p.yaml", &report),
            "x/p.yaml: fine\n  connector    acme\n  streams      a, b\n  credential   accepted by the provider\n"
        );
    }
}
