//! What is said when a run is over: the books, what to know, what went wrong, and what to type next. Pure.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use sync_core::{BudgetReport, Kind, Problem, RunReport, Status, StreamReport};

use crate::paint::Paint;
use crate::talk::problem_text;
use crate::tally::Tally;
use crate::words;

/// What the summary needs besides the report.
pub struct Told<'a> {
    /// The file as it was given.
    pub file: &'a str,
    /// From the first line to the last.
    pub elapsed: Duration,
    /// What was heard while it ran.
    pub tally: &'a Tally,
    /// Whether the run was told to forget how far it got.
    pub full_refresh: bool,
    /// Whether the run was to remember nothing.
    pub limited: bool,
}

/// The whole summary, several lines.
pub fn summary(report: &RunReport, told: &Told<'_>, paint: Paint) -> String {
    let mut lines = Vec::new();
    if !report.streams.is_empty() {
        lines.push(String::new());
        lines.push(paint.bold(&format!("{} · run {}", told.file, report.run)));
        lines.push(books(&report.streams));
    }
    lines.extend(report.budget.as_ref().and_then(spent));
    lines.extend(remarks(report, told.tally));
    lines.extend(problems(report).iter().map(|problem| problem_text(problem, paint)));
    lines.push(verdict(report, told, paint));
    lines.extend(next(report, told).map(|text| format!("{}: {text}", paint.help("next"))));
    lines.join("\n")
}

/// The table of books: a line a stream, and their sum where there are several.
fn books(streams: &[StreamReport]) -> String {
    let shown = Shown::of(streams);
    let mut header = vec!["stream", "status", "fetched", "loaded", "deduplicated", "filtered"];
    header.extend(shown.quarantined.then_some("quarantined"));
    header.push("requests");
    // What is zero everywhere is left out, so that the table fits a terminal.
    header.extend(shown.retries.then_some("retries"));
    header.extend(shown.waited.then_some("waited"));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.clone());
    for stream in streams {
        let mut row = vec![stream.stream.clone(), stream.status.as_str().to_owned()];
        row.extend(figures(std::slice::from_ref(stream), shown));
        table.add_row(row);
    }
    if streams.len() > 1 {
        let mut row = vec!["all".to_owned(), String::new()];
        row.extend(figures(streams, shown));
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// The columns that say something.
#[derive(Clone, Copy)]
struct Shown {
    quarantined: bool,
    retries: bool,
    waited: bool,
}

impl Shown {
    fn of(streams: &[StreamReport]) -> Self {
        let any = |figure: fn(&StreamReport) -> u64| streams.iter().any(|s| figure(s) > 0);
        Self {
            quarantined: any(|s| s.books.quarantined),
            retries: any(|s| s.retries),
            waited: any(|s| s.waited_ms),
        }
    }
}

fn figures(streams: &[StreamReport], shown: Shown) -> Vec<String> {
    let sum = |pick: fn(&StreamReport) -> u64| words::count(streams.iter().map(pick).sum());
    let mut row = vec![
        sum(|s| s.books.fetched),
        sum(|s| s.books.loaded),
        sum(|s| s.books.deduplicated),
        sum(|s| s.books.filtered),
    ];
    row.extend(shown.quarantined.then(|| sum(|s| s.books.quarantined)));
    row.push(sum(|s| s.requests));
    row.extend(shown.retries.then(|| sum(|s| s.retries)));
    // Streams wait side by side, so the waits of several are not added up.
    let longest = streams.iter().map(|s| s.waited_ms).max().unwrap_or(0);
    row.extend(shown.waited.then(|| words::span(Duration::from_millis(longest))));
    row
}

/// What was waited for, and how much of the day is used; nothing where there is nothing to say.
fn spent(budget: &BudgetReport) -> Option<String> {
    let waits = budget.waits.iter().filter(|wait| wait.waited_ms >= 1_000).map(|wait| {
        let span = words::span(Duration::from_millis(wait.waited_ms));
        format!("waited {span} for {}", wait.rule)
    });
    let day = budget.day.as_ref().map(|day| {
        let ends = day.ends.to_string();
        format!(
            "{} of the day's {} requests are used ({:.1} %), until {} {} UTC",
            words::count(day.used),
            words::count(day.limit),
            day.share * 100.0,
            &ends[..10],
            &ends[11..16]
        )
    });
    let parts: Vec<_> = waits.chain(day).collect();
    (!parts.is_empty()).then(|| format!("limits: {}", parts.join(" · ")))
}

/// Where streams went on, and the notes that nobody has said yet.
fn remarks(report: &RunReport, tally: &Tally) -> Vec<String> {
    let mut lines = Vec::new();
    for stream in &report.streams {
        let name = &stream.stream;
        if let Some(page) = stream.resumed_from_page {
            lines.push(format!("{name}: went on with page {}", words::count(page)));
        }
        let unsaid = |message: &String| !tally.notes.iter().any(|(s, m)| s == name && m == message);
        let notes = stream.notes.iter().map(|note| &note.message);
        lines.extend(notes.filter(|message| unsaid(message)).map(|message| format!("{name}: {message}")));
        lines.extend(drift(stream, report));
    }
    lines
}

/// Changes of a table that are shown; the run's page has all of them.
const CHANGES_SHOWN: usize = 20;

/// What became of the table's columns, as a diff.
fn drift(stream: &StreamReport, report: &RunReport) -> Vec<String> {
    let changes = &stream.schema_changes;
    if changes.is_empty() {
        return Vec::new();
    }
    let line = |change| format!("  {}", crate::runs::change_line(&serde_json::json!(change)));
    let mut lines = vec![format!("{}: the schema changed", stream.stream)];
    lines.extend(changes.iter().take(CHANGES_SHOWN).map(line));
    if let Some(more) = changes.len().checked_sub(CHANGES_SHOWN).filter(|more| *more > 0) {
        lines.push(format!("  and {} more: sync runs {}", words::counted(more as u64, "change"), report.run));
    }
    lines
}

/// Each problem once, with the streams it befell before it.
fn problems(report: &RunReport) -> Vec<Problem> {
    let mut told: Vec<(Problem, Vec<&str>)> = Vec::new();
    for stream in &report.streams {
        // That a stream stopped because it was asked to is no news.
        let Some(problem) = stream.error.as_ref().filter(|p| p.kind != Kind::Stopped) else { continue };
        match told.iter_mut().find(|(known, _)| known == problem) {
            Some((_, streams)) => streams.push(&stream.stream),
            None => told.push((problem.clone(), vec![&stream.stream])),
        }
    }
    if told.is_empty() {
        return report.error.iter().filter(|p| p.kind != Kind::Stopped).cloned().collect();
    }
    let named = |(problem, streams): (Problem, Vec<&str>)| Problem {
        message: format!("{}: {}", streams.join(", "), problem.message),
        ..problem
    };
    told.into_iter().map(named).collect()
}

fn verdict(report: &RunReport, told: &Told<'_>, paint: Paint) -> String {
    let status = report.status.as_str();
    let status = match report.status {
        Status::Done => paint.good(status),
        Status::Partial | Status::Stopped | Status::Quota => paint.odd(status),
        _ => paint.bad(status),
    };
    if report.streams.is_empty() {
        return format!("{status}: {} (exit code {})", told.file, report.exit_code);
    }
    let loaded = report.streams.iter().map(|s| s.books.loaded).sum();
    let loaded = words::counted(loaded, "row");
    let code = match report.exit_code {
        0 => String::new(),
        code => format!(" (exit code {code})"),
    };
    format!("{status}: {loaded} loaded in {}{code}", words::span(told.elapsed))
}

/// What to type next, where the same command would go on rather than begin.
fn next(report: &RunReport, told: &Told<'_>) -> Option<String> {
    let resumable = matches!(
        report.status,
        Status::Stopped | Status::Quota | Status::Environment | Status::Failed | Status::Partial
    );
    if !resumable || told.limited {
        return None;
    }
    let unfinished = report.streams.iter().filter(|s| {
        !matches!(s.status, Status::Done | Status::Unavailable | Status::Refused | Status::Contract)
    });
    let places: Vec<_> = unfinished.map(|s| place(s, told.tally)).collect();
    if places.is_empty() {
        return None;
    }
    // A new table is there from its first page on; until then the wish for one is remembered nowhere.
    let building = unfinished_pages(report, told.tally);
    if told.full_refresh && !building {
        return Some("run the same command again; the full refresh begins anew".to_owned());
    }
    let command = match (report.status, told.full_refresh) {
        (Status::Quota, false) => "run the same command again after the quota's reset to go on",
        (_, false) => "run the same command again to go on",
        (_, true) => "run it again without --full-refresh to go on building the new tables",
    };
    Some(format!("{command}: {}", places.join(", ")))
}

/// Whether every stream that has not ended well has pages that are safe.
fn unfinished_pages(report: &RunReport, tally: &Tally) -> bool {
    report.streams.iter().filter(|s| s.status != Status::Done).all(|s| safe_pages(s, tally) > 0)
}

fn safe_pages(stream: &StreamReport, tally: &Tally) -> u64 {
    let safe = tally.stream(&stream.stream).map_or(0, |heard| heard.safe_pages);
    safe.max(stream.resumed_from_page.map_or(0, |page| page.saturating_sub(1)))
}

fn place(stream: &StreamReport, tally: &Tally) -> String {
    let name = &stream.stream;
    match safe_pages(stream, tally) {
        0 => format!("{name} from where it began"),
        pages => format!("{name} with page {}", words::count(pages + 1)),
    }
}

#[cfg(test)]
mod tests {
    use sync_core::{Books, Event, Kind, Note, RunId};

    use super::*;

    fn stream(name: &str, status: Status, fetched: u64, loaded: u64) -> StreamReport {
        StreamReport {
            stream: name.into(),
            named: true,
            status,
            error: None,
            books: Books { fetched, loaded, filtered: fetched - loaded, ..Books::default() },
            requests: 11,
            retries: 1,
            waited_ms: 1500,
            resumed_from_page: None,
            bytes: 0,
            elapsed_ms: 0,
            notes: Vec::new(),
            schema_changes: Vec::new(),
        }
    }

    fn report(streams: Vec<StreamReport>) -> RunReport {
        RunReport::of("20261124-170012-abcd".parse::<RunId>().expect("any text is a name"), streams)
    }

    #[track_caller]
    fn check(report: &RunReport, tally: &Tally, full_refresh: bool, expect: &str) {
        let told = Told {
            file: "p.yaml",
            elapsed: Duration::from_millis(3200),
            tally,
            full_refresh,
            limited: false,
        };
        assert_eq!(summary(report, &told, Paint::PLAIN), expect.trim_end());
    }

    #[test]
    fn a_good_run_shows_its_books() {
        let mut first = stream("companies", Status::Done, 20_000, 19_990);
        first.resumed_from_page = Some(5);
        first.notes = vec![Note::new("said", "Said before."), Note::new("new", "A new note.")];
        let mut tally = Tally::default();
        let note = Note::new("said", "Said before.");
        tally.hear(&Event::Note { stream: "companies".into(), note }, Duration::ZERO);
        check(
            &report(vec![first, stream("users", Status::Done, 10, 10)]),
            &tally,
            false,
            "
p.yaml · run 20261124-170012-abcd
 stream     status  fetched  loaded  deduplicated  filtered  requests  retries  waited
 companies  done     20,000  19,990             0        10        11        1   1.5 s
 users      done         10      10             0         0        11        1   1.5 s
 all                 20,010  20,000             0        10        22        2   1.5 s
companies: went on with page 5
companies: A new note.
done: 20,000 rows loaded in 3.2 s",
        );
    }

    #[test]
    fn what_became_of_columns_is_shown_as_a_diff() {
        let mut one = stream("companies", Status::Done, 1, 1);
        let change = |n: usize| sync_core::SchemaChange {
            column: format!("c{n}"),
            from: n.is_multiple_of(2).then_some(sync_core::Type::Int),
            to: sync_core::Type::Float,
            contract: if n == 0 { "quarantine" } else { "evolve" }.to_owned(),
            page: 7,
        };
        one.schema_changes = (0..23).map(change).collect();
        let lines = remarks(&report(vec![one]), &Tally::default());
        assert_eq!(lines.len(), 22);
        assert_eq!(
            [&lines[0], &lines[1], &lines[2], &lines[21]],
            [
                "companies: the schema changed",
                "  ~ c0 int -> float  (page 7; not done: quarantine)",
                "  + c1 float  (page 7)",
                "  and 3 changes more: sync runs 20261124-170012-abcd"
            ]
        );
    }

    #[test]
    fn a_stopped_run_says_how_to_go_on() {
        let mut tally = Tally::default();
        let committed = Event::Committed { stream: "a".into(), fetched: 1, loaded: 1, pages: 12 };
        tally.hear(&committed, Duration::ZERO);
        let streams = || vec![stream("a", Status::Stopped, 4, 4), stream("b", Status::Stopped, 0, 0)];
        let table = "
p.yaml · run 20261124-170012-abcd
 stream  status   fetched  loaded  deduplicated  filtered  requests  retries  waited
 a       stopped        4       4             0         0        11        1   1.5 s
 b       stopped        0       0             0         0        11        1   1.5 s
 all                    4       4             0         0        22        2   1.5 s
stopped: 4 rows loaded in 3.2 s (exit code 130)
next: ";
        let again = "run the same command again to go on: a with page 13, b from where it began";
        check(&report(streams()), &tally, false, &format!("{table}{again}"));
        // The new table of b was never begun, so nothing remembers that one was wanted.
        let again = "run the same command again; the full refresh begins anew";
        check(&report(streams()), &tally, true, &format!("{table}{again}"));
        let committed = Event::Committed { stream: "b".into(), fetched: 1, loaded: 1, pages: 1 };
        tally.hear(&committed, Duration::ZERO);
        let again = "run it again without --full-refresh to go on building the new tables: \
                     a with page 13, b with page 2";
        check(&report(streams()), &tally, true, &format!("{table}{again}"));
    }

    #[test]
    fn a_problem_that_streams_share_is_told_once() {
        let mut streams = vec![stream("a", Status::Refused, 0, 0), stream("b", Status::Refused, 0, 0)];
        for stream in &mut streams {
            stream.error = Some(Problem::new(Kind::Refused, "x", "the key was refused").hint("make one"));
        }
        let text =
            problems(&report(streams)).iter().map(|p| problem_text(p, Paint::PLAIN)).collect::<String>();
        assert_eq!(text, "error: a, b: the key was refused\nhint: make one");
    }

    #[test]
    fn a_file_that_was_refused_has_no_table() {
        let run = "20261124-170012-abcd".parse::<RunId>().expect("any text is a name");
        let report = RunReport::refused(run, Problem::new(Kind::Refused, "x", "p.yaml: no streams"));
        let expect = "error: p.yaml: no streams\nrefused: p.yaml (exit code 2)";
        check(&report, &Tally::default(), false, expect);
    }
}
