//! How far streams got, and taking them back.
//!
//! The destination's checkpoint is the proof of how far a stream got, so a change of position is a commit there: of no
//! rows, with another cursor. What was before stays in the history, and so can be gone back to.

use std::sync::Arc;

use sync_core::{
    Books, Checkpoint, Disposition, Explain as _, Kind, Problem, ResumePoint, RunId, SavedCursor, Share,
    Sink, Table,
};
use sync_spec::Pipeline;
use sync_state::{Cause, CheckpointRow, History, Store};

use crate::plan::{RunPlan, StreamRun, state_folder};
use crate::run::sink_of;
use crate::stream::blocking;
use crate::{Hands, RunOptions};

/// How far a stream got.
#[derive(Clone, Debug)]
pub struct Position {
    /// The stream.
    pub stream: String,
    /// Where its rows land.
    pub destination: String,
    /// The checkpoint in the destination; the copy in the state store where that could not be looked at.
    pub checkpoint: Option<Checkpoint>,
    /// Why the destination could not be looked at.
    pub unproven: Option<Problem>,
    /// Whether a new table is being built beside the one that readers see.
    pub building: bool,
    /// The newest checkpoints in the history, newest first.
    pub history: Vec<CheckpointRow>,
}

/// Where a stream is to go on.
#[derive(Clone, Debug)]
pub enum Target {
    /// At its beginning: the cursor is forgotten, rows stay.
    Start,
    /// Where it was at a version of the history.
    Version(i64),
}

/// A change of position.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The stream.
    pub stream: String,
    /// The version of the history that held before.
    pub before: Option<i64>,
    /// The version that holds now; absent where nothing was changed.
    pub after: Option<i64>,
    /// Where it goes on from now on.
    pub cursor: Option<SavedCursor>,
    /// The page after which it goes on inside an unfinished slice.
    pub pages: u64,
    /// Where it went on until now.
    pub cursor_before: Option<SavedCursor>,
    /// The same of the page.
    pub pages_before: u64,
}

/// The state of a pipeline as it stands, without a lock; nothing if it never ran.
pub fn history(pipeline: &Pipeline, options: &RunOptions) -> Result<Option<History>, Problem> {
    let folder = state_folder(pipeline, options);
    History::open(&folder, &pipeline.name.value).map_err(|error| error.problem())
}

/// How far each stream got. Blocks.
pub fn positions(
    pipeline: &Pipeline,
    options: &RunOptions,
    hands: &Hands,
    versions: u32,
) -> Result<Vec<Position>, Problem> {
    let plan = RunPlan::build(pipeline, options, hands)?;
    let destination = plan.destination.to_string();
    let history = History::open(&plan.state, &plan.pipeline).map_err(|error| error.problem())?;
    let run = RunId::new(hands.clock.now());
    let mut sink = None;
    let mut positions = Vec::new();
    for stream in &plan.streams {
        let rows = history.as_ref().map(|h| h.checkpoints(&stream.name, Some(&destination), versions.max(1)));
        let rows = rows.transpose().map_err(|error| error.problem())?.unwrap_or_default();
        let mut position = Position {
            stream: stream.name.clone(),
            destination: destination.clone(),
            checkpoint: rows.first().map(|row| row.checkpoint.clone()),
            unproven: None,
            building: false,
            history: rows,
        };
        // A table that was never written is not opened: that would make it.
        if position.checkpoint.is_some() {
            match look(&plan, &mut sink, stream, &run) {
                Ok(table) => {
                    let opened = table.opened();
                    (position.checkpoint, position.building) = (opened.checkpoint.clone(), opened.building);
                }
                Err(problem) => position.unproven = Some(problem),
            }
        }
        position.history.truncate(versions as usize);
        positions.push(position);
    }
    Ok(positions)
}

fn look(
    plan: &RunPlan,
    sink: &mut Option<Arc<dyn Sink>>,
    stream: &StreamRun,
    run: &RunId,
) -> Result<Box<dyn Table>, Problem> {
    let sink = match sink {
        Some(sink) => sink,
        None => sink.insert(sink_of(&plan.destination).map_err(|e| e.problem())?),
    };
    sink.open(&stream.table(&plan.pipeline, run, MEMORY)).map_err(|e| e.problem())
}

/// Bytes for a table that is only looked at, or gets a commit without rows.
const MEMORY: usize = 8 << 20;

/// Takes streams to another position, one after the other; with `dry`, only says what would be done.
pub async fn move_to(
    pipeline: &Pipeline,
    options: &RunOptions,
    hands: &Hands,
    target: &Target,
    dry: bool,
) -> Result<Vec<Moved>, Problem> {
    let plan = RunPlan::build(pipeline, options, hands)?;
    let run = RunId::new(hands.clock.now());
    let (hands, target) = (hands.clone(), target.clone());
    let work = move || -> Result<Vec<Moved>, Problem> {
        let store = Store::open(&plan.state, &plan.pipeline).map_err(|error| error.problem())?;
        let mut sink = None;
        plan.streams
            .iter()
            .map(|stream| one(&plan, &store, &mut sink, stream, &run, &hands, &target, dry))
            .collect()
    };
    blocking(work).await?
}

#[expect(clippy::too_many_arguments, reason = "they are what a change of position is made of")]
fn one(
    plan: &RunPlan,
    store: &Store,
    sink: &mut Option<Arc<dyn Sink>>,
    stream: &StreamRun,
    run: &RunId,
    hands: &Hands,
    target: &Target,
    dry: bool,
) -> Result<Moved, Problem> {
    let destination = plan.destination.to_string();
    let rows = store.checkpoints(&stream.name, Some(&destination), u32::MAX).map_err(|e| e.problem())?;
    if rows.is_empty() {
        return Err(refused(
            "never_ran",
            format!("{} has not landed anything in {destination} yet", stream.name),
        ));
    }
    if stream.disposition == Disposition::Replace {
        let message = format!("{} is written with `replace`: each run reads all of it", stream.name);
        return Err(refused("no_position", message));
    }
    let wanted = match target {
        Target::Start => None,
        Target::Version(version) => Some(version_of(stream, &rows, *version)?),
    };
    let mut table = look(plan, sink, stream, run)?;
    let opened = table.opened().clone();
    if opened.building {
        let message = format!(
            "a new table of {} is being built; a run without --full-refresh finishes it",
            stream.name
        );
        return Err(refused("building", message));
    }
    let Some(current) = opened.checkpoint else {
        let message =
            format!("{} has no table in {destination} any more; the next run makes it", stream.name);
        return Err(refused("no_table", message));
    };
    let (cursor, resume, pages) = match wanted {
        None => (None, None, 0),
        Some(row) => (row.checkpoint.cursor.clone(), row.checkpoint.resume.clone(), row.checkpoint.pages),
    };
    let mut moved = Moved {
        stream: stream.name.clone(),
        before: rows.iter().find(|row| row.checkpoint.sequence == current.sequence).map(|row| row.version),
        after: None,
        cursor: cursor.clone(),
        pages,
        cursor_before: current.cursor.clone(),
        pages_before: current.pages,
    };
    if moved.before.is_none() {
        // The process that made it died before the copy was written: without one there is no way back.
        store.record_change(&stream.name, &destination, &current, Cause::Commit).map_err(|e| e.problem())?;
        moved.before = newest(store, stream, &destination)?;
    }
    if dry {
        return Ok(moved);
    }
    let next = at(&current, cursor, resume, pages, run, hands);
    table.commit(&next).and_then(|_| table.publish()).map_err(|e| e.problem())?;
    drop(table);
    let cause = if wanted.is_some() { Cause::Rewind } else { Cause::Reset };
    store.record_change(&stream.name, &destination, &next, cause).map_err(|e| e.problem())?;
    moved.after = newest(store, stream, &destination)?;
    Ok(moved)
}

/// The checkpoint behind the current one, at another position.
fn at(
    current: &Checkpoint,
    cursor: Option<SavedCursor>,
    resume: Option<ResumePoint>,
    pages: u64,
    run: &RunId,
    hands: &Hands,
) -> Checkpoint {
    Checkpoint {
        format: Checkpoint::FORMAT,
        sequence: current.sequence + 1,
        run: run.clone(),
        at: hands.clock.now(),
        cursor,
        resume,
        pages,
        books: Books::default(),
        slice: Share::default(),
        ..current.clone()
    }
}

fn newest(store: &Store, stream: &StreamRun, destination: &str) -> Result<Option<i64>, Problem> {
    let rows = store.checkpoints(&stream.name, Some(destination), 1).map_err(|e| e.problem())?;
    Ok(rows.first().map(|row| row.version))
}

fn version_of<'a>(
    stream: &StreamRun,
    rows: &'a [CheckpointRow],
    version: i64,
) -> Result<&'a CheckpointRow, Problem> {
    if let Some(row) = rows.iter().find(|row| row.version == version) {
        return Ok(row);
    }
    let known: Vec<_> = rows.iter().take(10).map(|row| row.version.to_string()).collect();
    let message = format!("{} has no version {version}", stream.name);
    Err(refused("unknown_version", message).hint(format!("the newest are {}", known.join(", "))))
}

fn refused(code: &'static str, message: String) -> Problem {
    Problem::new(Kind::Refused, code, message)
}
