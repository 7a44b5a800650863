//! `sync runs`: what happened, and all about one run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sync_core::{Books, Explain as _, Kind, Problem, RunId};
use sync_state::{History, RunRow, RunStatus, StreamRow};

use crate::args;
use crate::documents;
use crate::table::table;
use crate::talk::Talk;
use crate::words;

/// A run and the pipeline it is of.
#[derive(Serialize)]
struct Shown {
    pipeline: String,
    #[serde(flatten)]
    row: RunRow,
}

/// Where the state of a pipeline is.
struct Place {
    folder: PathBuf,
    pipeline: String,
}

/// Shows the runs, or one of them.
pub fn runs(args: &args::Runs, talk: &Talk) -> Result<(), Problem> {
    let places = places(args)?;
    if let Some(name) = &args.run {
        let (shown, place) = one(&places, name)?;
        let waiting = rejects_of(&place, &shown.row.run)?;
        return if args.json { talk.json(&shown) } else { talk.data(&page(&shown, waiting, &place)) };
    }
    let mut all = Vec::new();
    for place in &places {
        let Some(history) = open(place)? else { continue };
        let rows = history.runs(args.limit).map_err(|e| e.problem())?;
        all.extend(rows.into_iter().map(|row| Shown { pipeline: place.pipeline.clone(), row }));
    }
    all.sort_by(|a, b| (&b.row.started, &b.row.run).cmp(&(&a.row.started, &a.row.run)));
    all.truncate(args.limit as usize);
    if args.json {
        return talk.json(&all);
    }
    if all.is_empty() {
        talk.say("no pipeline has run here yet");
        return Ok(());
    }
    talk.data(&list(&all))
}

fn open(place: &Place) -> Result<Option<History>, Problem> {
    History::open(&place.folder, &place.pipeline).map_err(|error| error.problem())
}

/// The pipelines that are asked about: those of the files, else every one whose state lies in the folder.
fn places(args: &args::Runs) -> Result<Vec<Place>, Problem> {
    if !args.files.is_empty() {
        return args.files.iter().map(|file| place_of(file, args.state.as_deref())).collect();
    }
    let folder = args.state.clone().unwrap_or_else(|| PathBuf::from(".sync"));
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && args.state.is_none() => {
            return Ok(Vec::new());
        }
        Err(error) => {
            let message = format!("{} cannot be listed: {error}", folder.display());
            return Err(Problem::new(Kind::Environment, "unreadable_state", message));
        }
    };
    let names =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".db")?.to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    Ok(names.into_iter().map(|pipeline| Place { folder: folder.clone(), pipeline }).collect())
}

fn place_of(file: &Path, state: Option<&Path>) -> Result<Place, Problem> {
    let pipeline = documents::pipeline(file)?;
    let beside = file.parent().unwrap_or(Path::new("")).join(".sync");
    Ok(Place { folder: state.map_or(beside, Path::to_owned), pipeline: pipeline.name.value })
}

/// The only run whose name begins so.
fn one(places: &[Place], name: &str) -> Result<(Shown, Place), Problem> {
    let mut found = Vec::new();
    for place in places {
        let Some(history) = open(place)? else { continue };
        let rows = history.runs(u32::MAX).map_err(|e| e.problem())?;
        found.extend(
            rows.into_iter().filter(|row| row.run.as_str().starts_with(name)).map(|row| (row, place)),
        );
    }
    let names: Vec<_> = found.iter().take(5).map(|(row, _)| row.run.to_string()).collect();
    match found.len() {
        1 => {
            let (row, place) = found.remove(0);
            let place = Place { folder: place.folder.clone(), pipeline: place.pipeline.clone() };
            Ok((Shown { pipeline: place.pipeline.clone(), row }, place))
        }
        0 => Err(Problem::new(
            Kind::Refused,
            "unknown_run",
            format!("no run here has a name that begins with `{name}`"),
        )
        .hint("`sync runs` lists them")),
        n => {
            let message = format!("{n} runs have a name that begins with `{name}`");
            Err(Problem::new(Kind::Refused, "ambiguous_run", message)
                .hint(format!("such as {}", names.join(", "))))
        }
    }
}

fn rejects_of(place: &Place, run: &RunId) -> Result<u64, Problem> {
    let Some(history) = open(place)? else { return Ok(0) };
    history.count_rejects_of(run).map_err(|e| e.problem())
}

fn list(all: &[Shown]) -> String {
    let several = all.iter().any(|shown| shown.pipeline != all[0].pipeline);
    let mut header = vec!["run"];
    header.extend(several.then_some("pipeline"));
    header.extend([
        "started",
        "took",
        "status",
        "fetched",
        "loaded",
        "deduplicated",
        "filtered",
        "quarantined",
    ]);
    let rows = all.iter().map(|shown| {
        let books: Books = shown.row.streams.iter().map(|stream| stream.books).sum();
        let mut row = vec![shown.row.run.to_string()];
        row.extend(several.then(|| shown.pipeline.clone()));
        row.extend([second(&shown.row.started.to_string()), took(&shown.row), status(shown.row.status)]);
        row.extend(figures(&books));
        row
    });
    let first = header.len() - 5;
    table(&header, rows, &(first..header.len()).collect::<Vec<_>>())
}

/// An instant to the second.
fn second(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text.to_owned(),
    }
}

fn took(row: &RunRow) -> String {
    let Some(ended) = row.ended else { return "-".to_owned() };
    let micros = ended.micros().saturating_sub(row.started.micros());
    words::span(Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
}

fn status(status: RunStatus) -> String {
    status.as_str().to_owned()
}

fn figures(books: &Books) -> [String; 5] {
    [books.fetched, books.loaded, books.deduplicated, books.filtered, books.quarantined].map(words::count)
}

/// All about one run.
fn page(shown: &Shown, waiting: u64, place: &Place) -> String {
    let row = &shown.row;
    let mut text = format!("run {} of {}\n", row.run, shown.pipeline);
    let mut line =
        |name: &str, value: &str| writeln!(text, "  {name:<9} {value}").expect("a string takes text");
    line("started", &second(&row.started.to_string()));
    line("took", &took(row));
    line("status", row.status.as_str());
    if let Some(error) = &row.error {
        line("error", error["message"].as_str().unwrap_or_default());
        if let Some(hint) = error["hint"].as_str() {
            line("hint", hint);
        }
    }
    if !row.streams.is_empty() {
        let header = [
            "stream",
            "status",
            "fetched",
            "loaded",
            "deduplicated",
            "filtered",
            "quarantined",
            "requests",
            "retries",
            "waited",
        ];
        let rows = row.streams.iter().map(|stream| {
            let figure = |name: &str| stream.report.as_ref().and_then(|r| r[name].as_u64());
            let mut cells = vec![stream.stream.clone(), stream.status.as_str().to_owned()];
            cells.extend(figures(&stream.books));
            let count = |name: &str| figure(name).map_or("-".to_owned(), words::count);
            cells.extend([count("requests"), count("retries")]);
            cells.push(
                figure("waited_ms").map_or("-".to_owned(), |ms| words::span(Duration::from_millis(ms))),
            );
            cells
        });
        text.push('\n');
        text.push_str(&table(&header, rows, &(2..header.len()).collect::<Vec<_>>()));
    }
    for stream in &row.streams {
        text.push_str(&about(stream));
    }
    if waiting > 0 {
        let rows = words::counted(waiting, "row");
        writeln!(text, "\n{rows} of this run are still set aside: `sync rejects list` with the pipeline's file shows them")
            .expect("a string takes text");
    }
    let _ = place;
    text
}

/// What a stream had to say: its error, its notes, and how its table changed.
fn about(stream: &StreamRow) -> String {
    let Some(report) = &stream.report else { return String::new() };
    let mut lines = Vec::new();
    if let Some(error) = report["error"].as_object() {
        let part = |name: &str| error.get(name).and_then(Value::as_str);
        lines.push(format!("  error: {}", part("message").unwrap_or_default()));
        lines.extend(part("hint").map(|hint| format!("  hint: {hint}")));
    }
    for note in report["notes"].as_array().into_iter().flatten() {
        lines.push(format!("  {}", note["message"].as_str().unwrap_or_default()));
    }
    for change in report["schema_changes"].as_array().into_iter().flatten() {
        lines.push(format!("  {}", change_line(change)));
    }
    if lines.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}\n", stream.stream, lines.join("\n"))
}

/// A change of a table as a line of a diff: `+ tier text`, `~ mrr int -> json`, with what kept it from happening.
pub fn change_line(change: &Value) -> String {
    let text = |name: &str| change[name].as_str().unwrap_or_default();
    let (column, to, page) = (text("column"), text("to"), change["page"].as_u64().unwrap_or_default());
    let what = match change["from"].as_str() {
        None => format!("+ {column} {to}"),
        Some(from) => format!("~ {column} {from} -> {to}"),
    };
    match text("contract") {
        "evolve" => format!("{what}  (page {page})"),
        contract => format!("{what}  (page {page}; not done: {contract})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_read_as_a_diff() {
        let line = |change| change_line(&change);
        let new = json!({"column": "tier", "from": null, "to": "text", "contract": "evolve", "page": 3});
        assert_eq!(line(new), "+ tier text  (page 3)");
        let wider =
            json!({"column": "mrr", "from": "int", "to": "json", "contract": "quarantine", "page": 700});
        assert_eq!(line(wider), "~ mrr int -> json  (page 700; not done: quarantine)");
    }
}
