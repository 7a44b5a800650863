//! `sync run`: each file once, one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sync_core::{Clock as _, Kind, Problem, RunId, RunReport, Status};
use sync_engine::RunOptions;
use sync_scheduler::Turn;

use crate::args;
use crate::documents;
use crate::hands::{MachineClock, Tools};
use crate::progress::Progress;
use crate::signals;
use crate::summary::{Told, summary};
use crate::talk::Talk;

/// The object that `--json` prints for each file.
#[derive(Serialize)]
struct FileReport<'a> {
    /// The file as it was given.
    file: &'a str,
    #[serde(flatten)]
    report: &'a RunReport,
}

/// Runs the files and says what became of them; the exit code of the worst.
pub async fn run(args: args::Run, talk: &Talk, tools: &Tools) -> u8 {
    let farewell = "stopping after the pages in flight; once more ends at once…";
    if let Err(error) = signals::listen(talk.clone(), tools.stop.clone(), farewell) {
        talk.say(&format!("signals cannot be heard ({error}); Ctrl-C will end the run at once"));
    }
    let options = RunOptions {
        streams: args.streams,
        full_refresh: args.full_refresh,
        limit: args.limit,
        allow_empty: args.allow_empty,
        memory: args.memory,
        state: args.state,
        priority: sync_engine::Priority::Interactive,
        without_rows: false,
    };
    let turns = sync_scheduler::once(&args.files, &tools.stop, async |file| {
        one(file, &options, args.json, talk, tools).await
    })
    .await;
    let mut codes = Vec::new();
    for (file, turn) in args.files.iter().zip(turns) {
        codes.push(match turn {
            Turn::Ran(code) => code,
            Turn::Left => left(file, args.json, talk, tools),
        });
    }
    worst(codes)
}

/// The reports of files that could not even be tried, where somebody reads them; else the problem itself.
pub fn none(files: &[PathBuf], json: bool, talk: &Talk, problem: &Problem) -> Result<u8, Problem> {
    if !json {
        return Err(problem.clone());
    }
    talk.problem(problem);
    let report = |file: &PathBuf| {
        let report = RunReport::refused(RunId::new(MachineClock::new().now()), problem.clone());
        finish(&file.to_string_lossy(), &report, json, talk)
    };
    Ok(worst(files.iter().map(report)))
}

/// One file from its bytes to its summary.
async fn one(file: &Path, options: &RunOptions, json: bool, talk: &Talk, tools: &Tools) -> u8 {
    let name = file.to_string_lossy();
    let begun = tools.clock.monotonic();
    let progress = Arc::new(Progress::new(talk.clone(), tools.clock.clone()));
    let report = match documents::pipeline(file) {
        Ok(pipeline) => sync_engine::run(&pipeline, options, &tools.hands(progress.clone())).await,
        Err(problem) => RunReport::refused(RunId::new(tools.clock.now()), problem),
    };
    let told = Told {
        file: &name,
        elapsed: tools.clock.monotonic().saturating_sub(begun),
        tally: &progress.end(),
        full_refresh: options.full_refresh,
        limited: options.limit.is_some(),
    };
    talk.say(&summary(&report, &told, talk.paint));
    finish(&name, &report, json, talk)
}

/// The report of a file whose turn never came.
fn left(file: &Path, json: bool, talk: &Talk, tools: &Tools) -> u8 {
    let name = file.to_string_lossy();
    let problem = Problem::new(Kind::Stopped, "stopped", format!("{name}: stopped before it began"));
    let report = RunReport::refused(RunId::new(tools.clock.now()), problem);
    talk.say(&format!("{name}: not begun"));
    finish(&name, &report, json, talk)
}

/// Prints the JSON where it is wanted; the exit code. A report that cannot be handed over is a fault of the
/// environment, whatever the run did.
fn finish(file: &str, report: &RunReport, json: bool, talk: &Talk) -> u8 {
    if json && let Err(problem) = talk.json(&FileReport { file, report }) {
        talk.problem(&problem);
        return worst([report.exit_code, Status::Environment.exit_code()]);
    }
    report.exit_code
}

/// The exit code of several.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    const ORDER: [Status; 7] = [
        Status::Stopped,
        Status::Environment,
        Status::Refused,
        Status::Contract,
        Status::Quota,
        Status::Failed,
        Status::Partial,
    ];
    let rank = |code: &u8| ORDER.iter().position(|s| s.exit_code() == *code).unwrap_or(ORDER.len());
    codes.into_iter().min_by_key(rank).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_file_names_the_exit_code() {
        let check = |codes: &[u8], expect| assert_eq!(worst(codes.iter().copied()), expect, "{codes:?}");
        check(&[], 0);
        check(&[0, 0], 0);
        check(&[0, 4], 4);
        check(&[4, 1], 1);
        check(&[1, 6], 6);
        check(&[6, 5], 5);
        check(&[5, 2], 2);
        check(&[2, 3], 3);
        check(&[3, 130, 0], 130);
    }
}
