//! Rows that were set aside, tried once more: after the pipeline was mended, most of them land.
//!
//! They are tried as they were set aside, so `select` and `transform` are not applied again; the schema contract, the
//! types and the primary key are those of the file as it is now.

use sync_connectors::json::{self, Value};
use sync_core::{
    Books, Checkpoint, Disposition, Explain as _, Kind, Note, Problem, RunId, RunReport, Schema, Sink,
    StreamReport, Table,
};
use sync_spec::{BadRow, FieldPath, Pipeline};
use sync_state::{Cause, RejectRow, Rejects, Store};

use crate::plan::{RunPlan, StreamRun};
use crate::run::sink_of;
use crate::shape::{Decoder, Leniency, Outcome, Rows, Terms};
use crate::stream::{blocking, empty_report};
use crate::{Hands, RunOptions};

/// Bytes of rows that are tried at once.
const CHUNK: usize = 4 << 20;
/// Bytes for the table.
const MEMORY: usize = 32 << 20;

/// Tries rows that were set aside once more: those of these numbers, or all of the streams of the options.
///
/// The report is that of a run: `loaded` are those that landed and are set aside no more, `quarantined` those that
/// stay.
pub async fn retry(pipeline: &Pipeline, options: &RunOptions, hands: &Hands, ids: &[i64]) -> RunReport {
    let run = RunId::new(hands.clock.now());
    let plan = match RunPlan::build(pipeline, options, hands) {
        Ok(plan) => plan,
        Err(problem) => return RunReport::refused(run, problem),
    };
    let (hands, ids, id) = (hands.clone(), ids.to_vec(), run.clone());
    match blocking(move || all(&plan, &hands, &ids, &id)).await {
        Ok(Ok(report)) => report,
        Ok(Err(problem)) | Err(problem) => RunReport::refused(run, problem),
    }
}

fn all(plan: &RunPlan, hands: &Hands, ids: &[i64], run: &RunId) -> Result<RunReport, Problem> {
    let store = Store::open(&plan.state, &plan.pipeline).map_err(|e| e.problem())?;
    let sink = sink_of(&plan.destination).map_err(|e| e.problem())?;
    store.begin_run(run, hands.clock.now()).map_err(|e| e.problem())?;
    let mut reports = Vec::new();
    for stream in &plan.streams {
        let mut attempt =
            Attempt { plan, store: &store, hands, stream, run, report: empty_report(stream, None) };
        if let Err(problem) = attempt.go(&*sink, ids) {
            attempt.report.status = problem.kind.into();
            attempt.report.error = Some(problem);
        }
        let something = attempt.report.books.fetched > 0 || attempt.report.error.is_some();
        reports.extend(something.then_some(attempt.report));
    }
    let report = RunReport::of(run.clone(), reports);
    store.end_run(&report, hands.clock.now()).map_err(|e| e.problem())?;
    Ok(report)
}

/// One stream's rejects.
struct Attempt<'a> {
    plan: &'a RunPlan,
    store: &'a Store,
    hands: &'a Hands,
    stream: &'a StreamRun,
    run: &'a RunId,
    report: StreamReport,
}

impl Attempt<'_> {
    fn go(&mut self, sink: &dyn Sink, ids: &[i64]) -> Result<(), Problem> {
        let destination = self.plan.destination.to_string();
        let mut which = Rejects {
            stream: Some(self.stream.name.clone()),
            destination: Some(destination.clone()),
            limit: 500,
            ..Rejects::default()
        };
        let mut table = None;
        loop {
            let rows = self.store.history().rejects(&which).map_err(|e| e.problem())?;
            let Some(last) = rows.last().map(|row| row.id) else { return Ok(()) };
            which.after = last;
            let rows: Vec<_> =
                rows.into_iter().filter(|row| ids.is_empty() || ids.contains(&row.id)).collect();
            if rows.is_empty() {
                continue;
            }
            let (table, checkpoint) = match &mut table {
                Some(open) => open,
                none => none.insert(self.open(sink)?),
            };
            for chunk in chunks(rows) {
                self.land(&mut **table, checkpoint, &destination, chunk)?;
            }
        }
    }

    fn open(&self, sink: &dyn Sink) -> Result<(Box<dyn Table>, Checkpoint), Problem> {
        let name = &self.stream.name;
        let refused = |code, message: String| Problem::new(Kind::Refused, code, message);
        if self.stream.disposition == Disposition::Replace {
            let message = format!("{name} is written with `replace`: the next run reads these rows again");
            return Err(refused("read_again", message));
        }
        let table =
            sink.open(&self.stream.table(&self.plan.pipeline, self.run, MEMORY)).map_err(|e| e.problem())?;
        let opened = table.opened().clone();
        if opened.building {
            let message =
                format!("a new table of {name} is being built; a run without --full-refresh finishes it");
            return Err(refused("building", message));
        }
        let Some(checkpoint) = opened.checkpoint else {
            let message = format!("{name} has no table yet; the next run makes it");
            return Err(refused("no_table", message));
        };
        if checkpoint.key != self.stream.columns.terms.key {
            let message = format!("the primary key of {name} is another than that of its table");
            return Err(refused("key_changed", message).hint("rebuild the table with --full-refresh"));
        }
        Ok((table, checkpoint))
    }

    /// Lands what can land of some rows, in one commit.
    fn land(
        &mut self,
        table: &mut dyn Table,
        checkpoint: &mut Checkpoint,
        destination: &str,
        rows: Vec<RejectRow>,
    ) -> Result<(), Problem> {
        let mut terms = Terms { bad_row: BadRow::Quarantine, ..self.stream.columns.terms.clone() };
        let mut schema = checkpoint.schema.clone();
        if self.stream.types_from.is_some() {
            // Nothing is asked here: the types that the provider told are those that the last run knew.
            terms.remember(&schema);
        }
        terms.adopt(&mut schema);
        let all = rows.len() as u64;
        let shaped = shape(&rows, schema, &terms, self.run);
        let mut books =
            Books { fetched: all, quarantined: all - shaped.landed.len() as u64, ..Books::default() };
        if !shaped.landed.is_empty() {
            let staged = shaped.landed.len() as u64;
            let next = Checkpoint {
                format: Checkpoint::FORMAT,
                sequence: checkpoint.sequence + 1,
                run: self.run.clone(),
                at: self.hands.clock.now(),
                books: Books { loaded: staged, ..books },
                schema: shaped.schema.clone(),
                ..checkpoint.clone()
            };
            let receipt = table
                .evolve(&shaped.schema)
                .and_then(|()| shaped.batches.into_iter().try_for_each(|batch| table.write(batch)))
                .and_then(|()| table.commit(&next))
                .map_err(|e| e.problem())?;
            let published = table.publish().map_err(|e| e.problem())?;
            books.loaded = receipt.loaded - published.unchanged;
            books.deduplicated = receipt.deduplicated + published.unchanged;
            self.store
                .record_change(&self.stream.name, destination, &next, Cause::Retry)
                .and_then(|()| self.store.forget_rejects(&shaped.landed))
                .map_err(|e| e.problem())?;
            *checkpoint = next;
        }
        self.report.books += books;
        for message in shaped.stay {
            let note = Note::new("stays_set_aside", message);
            if self.report.notes.len() < 10 && !self.report.notes.contains(&note) {
                self.report.notes.push(note);
            }
        }
        Ok(())
    }
}

/// Rows as a table takes them.
struct Shaped {
    batches: Vec<sync_core::arrow::record_batch::RecordBatch>,
    schema: Schema,
    /// The numbers of the rejects that are in the batches.
    landed: Vec<i64>,
    /// Why others are not.
    stay: Vec<String>,
}

fn shape(rows: &[RejectRow], schema: Schema, terms: &Terms, run: &RunId) -> Shaped {
    let mut shaped = Shaped { batches: Vec::new(), schema, landed: Vec::new(), stay: Vec::new() };
    let mut decoder = Decoder::new(shaped.schema.clone(), run.clone());
    // Rows of one page were read at one moment; others are apart.
    let mut left = rows;
    let mut pages = Vec::new();
    while let Some(first) = left.first() {
        let same = left.iter().take_while(|row| row.reject.at == first.reject.at).count();
        pages.push(left.split_at(same).0);
        left = &left[same..];
    }
    let mut texts = Vec::new();
    for page in pages {
        let mut body = String::new();
        let (mut ranges, mut ids) = (Vec::new(), Vec::new());
        for row in page {
            match keyed(row, terms) {
                Err(why) => shaped.stay.push(format!("row {} stays: {why}", row.id)),
                Ok(raw) => {
                    let start = body.len() as u32;
                    body.push_str(raw);
                    ranges.push(start..body.len() as u32);
                    ids.push(row.id);
                }
            }
        }
        texts.push((body, ranges, ids, page[0].reject.at));
    }
    // First the types of all of them, so that every batch is of one schema.
    let mut kept = Vec::new();
    for (body, ranges, ids, at) in texts {
        let page = Rows { body: &body, ranges: &ranges, asked_at: at };
        let judged = match decoder.judge(&page, terms, 0) {
            Ok(judged) => judged,
            Err(stopped) => {
                shaped.stay.push(format!("row {} stays: {}", ids[stopped.why.row], stopped.why.message));
                continue;
            }
        };
        for aside in &judged.aside {
            shaped.stay.push(format!("row {} stays: {}", ids[aside.row], aside.message));
        }
        let fit: Vec<_> = judged.keep.iter().map(|index| ranges[*index].clone()).collect();
        let fit_ids: Vec<_> = judged.keep.iter().map(|index| ids[*index]).collect();
        let page = Rows { body: &body, ranges: &fit, asked_at: at };
        decoder.adopt(decoder.widened(&page, &judged, terms));
        kept.push((body, fit, fit_ids, at, judged.lenient));
    }
    for (body, ranges, ids, at, lenient) in kept {
        let page = Rows { body: &body, ranges: &ranges, asked_at: at };
        let lenient = Leniency { unknown: lenient.unknown, misfits: lenient.misfits };
        if let Outcome::Fits(fits) = decoder.decode(&page, lenient)
            && !ids.is_empty()
        {
            shaped.batches.push(fits.batch);
            shaped.landed.extend(ids);
        }
    }
    shaped.schema = decoder.schema().clone();
    shaped
}

/// The text of a reject that has one, and its primary key in it.
fn keyed<'a>(row: &'a RejectRow, terms: &Terms) -> Result<&'a str, String> {
    let Some(raw) = row.reject.raw.as_deref() else {
        return Err("it was not kept, since it could not be read and so not be masked".to_owned());
    };
    let paths: Vec<_> = terms.key.iter().map(|name| FieldPath(vec![name.clone()])).collect();
    let mut values = Vec::new();
    json::pick(raw, &paths, &mut values).map_err(|error| error.to_string())?;
    match values.iter().position(|value| matches!(value, None | Some(Value::Null))) {
        Some(missing) => Err(format!("it has no {}, which is its primary key", terms.key[missing])),
        None => Ok(raw),
    }
}

/// Rows in portions of about so many bytes.
fn chunks(rows: Vec<RejectRow>) -> Vec<Vec<RejectRow>> {
    let mut chunks: Vec<Vec<RejectRow>> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        bytes += row.reject.raw.as_ref().map_or(0, String::len);
        if let Some(chunk) = chunks.last_mut().filter(|_| bytes < CHUNK) {
            chunk.push(row);
        } else {
            bytes = row.reject.raw.as_ref().map_or(0, String::len);
            chunks.push(vec![row]);
        }
    }
    chunks
}
