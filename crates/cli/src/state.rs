//! `sync state`: how far streams got, and taking them back.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sync_core::{Explain as _, Problem, SavedCursor};
use sync_engine::{Moved, Position, RunOptions, Target};
use sync_spec::Pipeline;

use crate::args;
use crate::documents;
use crate::hands::Tools;
use crate::table::table;
use crate::talk::Talk;
use crate::words;

/// Shows, prints, resets or rewinds.
pub async fn state(verb: args::State, talk: &Talk, tools: &Tools) -> Result<u8, Problem> {
    match verb {
        args::State::Show { of, stream, history } => {
            let (pipeline, options) = asked(&of, stream)?;
            let positions = sync_engine::positions(&pipeline, &options, &tools.hands(Arc::new(())), history)?;
            if of.json {
                talk.json(&document(&positions))?;
            } else {
                talk.data(&page(&pipeline, &positions, history))?;
            }
        }
        args::State::Export { of } => {
            let (pipeline, options) = asked(&of, None)?;
            let hands = tools.hands(Arc::new(()));
            let positions = sync_engine::positions(&pipeline, &options, &hands, u32::MAX)?;
            let history = sync_engine::history(&pipeline, &options)?;
            let counts =
                history.map(|h| h.count_rejects()).transpose().map_err(|e| e.problem())?.unwrap_or_default();
            talk.json(&json!({
                "pipeline": pipeline.name.value,
                "streams": document(&positions),
                "rejects": counts,
            }))?;
        }
        args::State::Reset { of, streams, all: _, dry_run } => {
            let (pipeline, mut options) = asked(&of, None)?;
            options.streams = streams;
            let hands = tools.hands(Arc::new(()));
            let moved = sync_engine::move_to(&pipeline, &options, &hands, &Target::Start, dry_run).await?;
            told(&of.file, &moved, of.json, dry_run, talk)?;
        }
        args::State::Rewind { of, stream, to, dry_run } => {
            let (pipeline, options) = asked(&of, Some(stream))?;
            let hands = tools.hands(Arc::new(()));
            let moved =
                sync_engine::move_to(&pipeline, &options, &hands, &Target::Version(to), dry_run).await?;
            told(&of.file, &moved, of.json, dry_run, talk)?;
        }
    }
    Ok(0)
}

fn asked(of: &args::Of, stream: Option<String>) -> Result<(Pipeline, RunOptions), Problem> {
    let pipeline = documents::pipeline(&of.file)?;
    let options = RunOptions {
        state: of.state.clone(),
        streams: stream.into_iter().collect(),
        without_rows: true,
        ..RunOptions::default()
    };
    Ok((pipeline, options))
}

/// The positions as JSON.
fn document(positions: &[Position]) -> Value {
    let one = |position: &Position| {
        json!({
            "stream": position.stream,
            "destination": position.destination,
            "checkpoint": position.checkpoint,
            "proven": position.unproven.is_none(),
            "building": position.building,
            "versions": position.history,
        })
    };
    positions.iter().map(one).collect()
}

fn page(pipeline: &Pipeline, positions: &[Position], history: u32) -> String {
    let mut text = String::new();
    for position in positions {
        let Some(checkpoint) = &position.checkpoint else {
            writeln!(text, "{}\n  has not landed anything in {} yet", position.stream, position.destination)
                .expect("a string takes text");
            continue;
        };
        writeln!(text, "{}", position.stream).expect("a string takes text");
        let mut line =
            |name: &str, value: &str| writeln!(text, "  {name:<12} {value}").expect("a string takes text");
        line("destination", &position.destination);
        line("as of", &format!("{}, run {}", checkpoint.at, checkpoint.run));
        line("cursor", &cursor(checkpoint.cursor.as_ref()));
        if checkpoint.resume.is_some() {
            line("unfinished", &format!("goes on with page {}", words::count(checkpoint.pages + 1)));
        }
        if position.building {
            line("building", "a new table beside the one that readers see");
        }
        let key = if checkpoint.key.is_empty() { "none".to_owned() } else { checkpoint.key.join(", ") };
        line("primary key", &key);
        line("columns", &words::count(checkpoint.schema.columns.len() as u64));
        for column in checkpoint.schema.columns.iter().filter(|column| column.name != column.field) {
            line("", &format!("the field {:?} is in the column {:?}", column.field, column.name));
        }
        if let Some(problem) = &position.unproven {
            line(
                "remark",
                &format!("the last copy; the destination could not be looked at: {}", problem.message),
            );
        }
        if history > 0 {
            text.push_str(&versions(position));
        }
    }
    if positions.is_empty() {
        writeln!(text, "{} has no streams", pipeline.name.value).expect("a string takes text");
    }
    text
}

fn versions(position: &Position) -> String {
    let rows = position.history.iter().map(|row| {
        let checkpoint = &row.checkpoint;
        let unfinished = match checkpoint.resume {
            Some(_) => format!("page {}", words::count(checkpoint.pages + 1)),
            None => "-".to_owned(),
        };
        vec![
            row.version.to_string(),
            checkpoint.at.to_string(),
            row.cause.as_str().to_owned(),
            checkpoint.run.to_string(),
            cursor(checkpoint.cursor.as_ref()),
            unfinished,
        ]
    });
    table(&["version", "at", "by", "run", "cursor", "goes on with"], rows, &[0])
}

/// A cursor for people: its value where it has one, else all of it.
fn cursor(cursor: Option<&SavedCursor>) -> String {
    let Some(SavedCursor(value)) = cursor else { return "none: reads from the start".to_owned() };
    match value.get("at").or_else(|| value.get("value")).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

fn told(file: &Path, moved: &[Moved], json: bool, dry: bool, talk: &Talk) -> Result<(), Problem> {
    if json {
        let one = |m: &Moved| {
            json!({
                "stream": m.stream, "before": m.before, "after": m.after, "cursor": m.cursor, "pages": m.pages,
                "cursor_before": m.cursor_before, "pages_before": m.pages_before,
            })
        };
        return talk.json(&moved.iter().map(one).collect::<Value>());
    }
    for one in moved {
        let place = |cursor_of: Option<&SavedCursor>, pages: u64| match pages {
            0 => format!("cursor {}", cursor(cursor_of)),
            pages => format!("cursor {}, page {}", cursor(cursor_of), words::count(pages + 1)),
        };
        let from = place(one.cursor_before.as_ref(), one.pages_before);
        let to = place(one.cursor.as_ref(), one.pages);
        let verb = if dry { "would go" } else { "went" };
        talk.data(&format!("{}: {verb} from {from} to {to}\n", one.stream))?;
        if let Some(version) = one.before.filter(|_| !dry) {
            let (file, stream) = (file.display(), &one.stream);
            talk.say(&format!("undo: sync state rewind {file} --stream {stream} --to {version}"));
        }
    }
    Ok(())
}
