//! `sync rejects`: rows that were set aside.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use sync_core::{Explain as _, Kind, Problem, RunReport};
use sync_engine::RunOptions;
use sync_spec::Pipeline;
use sync_state::{History, RejectRow, Rejects};

use crate::args;
use crate::documents;
use crate::hands::Tools;
use crate::table::table;
use crate::talk::{Talk, problem_text};
use crate::words;

/// Rows asked of the state at once.
const PORTION: u32 = 500;

/// Lists, shows, prints or retries.
pub async fn rejects(verb: args::Rejects, talk: &Talk, tools: &Tools) -> Result<u8, Problem> {
    match verb {
        args::Rejects::List { of, stream, run, limit } => {
            let asked = Asked::new(&of)?;
            let which = which(stream, run, limit);
            list(&asked, &which, of.json, talk).map(|()| 0)
        }
        args::Rejects::Show { of, id } => show(&Asked::new(&of)?, id, of.json, talk).map(|()| 0),
        args::Rejects::Export { of, stream, run } => {
            let asked = Asked::new(&of)?;
            let which = which(stream, run, PORTION);
            export(&asked, which, talk).map(|()| 0)
        }
        args::Rejects::Retry { of, streams, ids } => {
            let asked = Asked::new(&of)?;
            let options = RunOptions { streams, ..asked.options.clone() };
            asked.check(&ids)?;
            let report =
                sync_engine::retry(&asked.pipeline, &options, &tools.hands(Arc::new(())), &ids).await;
            retried(&of.file, &report, of.json, talk)
        }
    }
}

/// A pipeline whose rejects somebody asks about.
struct Asked {
    pipeline: Pipeline,
    options: RunOptions,
    history: Option<History>,
}

fn which(stream: Option<String>, run: Option<String>, limit: u32) -> Rejects {
    let run = run.map(|run| {
        let Ok(run) = run.parse();
        run
    });
    Rejects { stream, run, limit, ..Rejects::default() }
}

impl Asked {
    fn new(of: &args::Of) -> Result<Self, Problem> {
        let pipeline = documents::pipeline(&of.file)?;
        let options = RunOptions { state: of.state.clone(), ..RunOptions::default() };
        let history = sync_engine::history(&pipeline, &options)?;
        Ok(Self { pipeline, options, history })
    }

    fn rows(&self, which: &Rejects) -> Result<Vec<RejectRow>, Problem> {
        let rows = self.history.as_ref().map(|history| history.rejects(which));
        Ok(rows.transpose().map_err(|e| e.problem())?.unwrap_or_default())
    }

    fn one(&self, id: i64) -> Result<RejectRow, Problem> {
        let row = self.history.as_ref().map(|history| history.reject(id));
        row.transpose().map_err(|e| e.problem())?.flatten().ok_or_else(|| {
            let message = format!("no row with the number {id} is set aside of {}", self.pipeline.name.value);
            Problem::new(Kind::Refused, "unknown_reject", message)
                .hint("`sync rejects list` shows the numbers; a row that has landed since is there no more")
        })
    }

    fn check(&self, ids: &[i64]) -> Result<(), Problem> {
        ids.iter().try_for_each(|id| self.one(*id).map(drop))
    }
}

fn list(asked: &Asked, which: &Rejects, json: bool, talk: &Talk) -> Result<(), Problem> {
    let rows = asked.rows(which)?;
    if json {
        return talk.json(&rows);
    }
    if rows.is_empty() {
        talk.say(&format!("{}: no rows are set aside", asked.pipeline.name.value));
        return Ok(());
    }
    let line = |row: &RejectRow| {
        let place = format!("{}:{}", row.reject.page, row.reject.row);
        let text = row.reject.raw.as_deref().unwrap_or("(not kept: it could not be read)");
        vec![
            row.id.to_string(),
            row.stream.clone(),
            place,
            row.reject.code.clone(),
            cut(&row.reject.message, 70),
            cut(text, 60),
        ]
    };
    talk.data(&table(&["id", "stream", "page:row", "why", "", "row"], rows.iter().map(line), &[0]))?;
    let counts = asked.history.as_ref().map(History::count_rejects).transpose().map_err(|e| e.problem())?;
    let all: u64 = counts.unwrap_or_default().iter().map(|count| count.rows).sum();
    talk.say(&format!("{} of {} set aside", words::count(rows.len() as u64), words::counted(all, "row")));
    Ok(())
}

/// The beginning of a text, on one line.
fn cut(text: &str, length: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(length) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

fn show(asked: &Asked, id: i64, json: bool, talk: &Talk) -> Result<(), Problem> {
    let row = asked.one(id)?;
    if json {
        return talk.json(&row);
    }
    let reject = &row.reject;
    let mut text = format!("row {} of {}, set aside by run {}\n", row.id, row.stream, row.run);
    let mut line =
        |name: &str, value: &str| writeln!(text, "  {name:<12} {value}").expect("a string takes text");
    line("why", &format!("{}: {}", reject.code, reject.message));
    line("page and row", &format!("{}:{}", reject.page, reject.row));
    line("read at", &reject.at.to_string());
    line("destination", &row.destination);
    line("as sent", &format!("{} bytes, xxh3 {}", reject.bytes, reject.hash));
    match &reject.raw {
        None => line("row", "not kept: it could not be read, and so not be masked"),
        Some(raw) => {
            // As it is: another form of it would be another row.
            text.push_str(raw);
            text.push('\n');
        }
    }
    talk.data(&text)
}

/// One object a line, the row in it as JSON where it is JSON.
fn export(asked: &Asked, mut which: Rejects, talk: &Talk) -> Result<(), Problem> {
    loop {
        let rows = asked.rows(&which)?;
        let Some(last) = rows.last() else { return Ok(()) };
        which.after = last.id;
        for row in &rows {
            let mut object = serde_json::to_value(row).expect("rejects have text keys");
            let raw = object.as_object_mut().and_then(|o| o.remove("raw")).unwrap_or_default();
            let parsed = raw
                .as_str()
                .and_then(|raw| serde_json::from_str::<Box<serde_json::value::RawValue>>(raw).ok());
            object["row"] = match (parsed, raw) {
                (Some(value), _) => json!(value),
                (None, raw) => raw,
            };
            talk.json(&object)?;
        }
    }
}

fn retried(file: &Path, report: &RunReport, json: bool, talk: &Talk) -> Result<u8, Problem> {
    for stream in &report.streams {
        for note in &stream.notes {
            talk.say(&format!("{}: {}", stream.stream, note.message));
        }
        if let Some(problem) = &stream.error {
            talk.say(&problem_text(problem, talk.paint));
        }
    }
    if let Some(problem) = report.error.as_ref().filter(|_| report.streams.is_empty()) {
        talk.say(&problem_text(problem, talk.paint));
    }
    let sum = |figure: fn(&sync_core::StreamReport) -> u64| report.streams.iter().map(figure).sum::<u64>();
    let (tried, stay) = (sum(|s| s.books.fetched), sum(|s| s.books.quarantined));
    talk.say(&format!(
        "{}: {} tried, {} landed, {} still set aside",
        file.display(),
        words::counted(tried, "row"),
        words::count(tried - stay),
        words::count(stay)
    ));
    if json {
        talk.json(report)?;
    }
    Ok(report.exit_code)
}
