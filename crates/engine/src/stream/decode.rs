//! The decode stage: pages of bytes in, batches out, types found and widened on the way.

use sync_connectors::{End, Page};
use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{Column, Explain as _, Kind, Problem, Reject, RunId, Schema, SchemaChange};
use sync_spec::BadRow;
use tokio::sync::mpsc;

use super::prepare::{Preparation, Prepared, sentence};
use super::{Cost, Fetched, PageBooks, Part, Shaped};
use crate::gate::Held;
use crate::shape::{Altered, Aside, Decoder, Leniency, Outcome, Rows, Sample, Stopped};

/// Rows that pin the types of a new table.
const SAMPLE_ROWS: u64 = 1_000;

/// How often the rows of a page are judged at most.
const LOOKS: usize = 3;

/// The decode stage of one stream.
pub(super) struct Decode {
    with: Preparation,
    decoder: Decoder,
    /// What the first rows look like, until the types are pinned.
    sample: Option<Sampling>,
    /// The schema of the last batch sent.
    sent: Option<Schema>,
    /// Bytes that may wait for the pin.
    patience: usize,
    altered: Altered,
}

#[derive(Default)]
struct Sampling {
    sample: Sample,
    rows: u64,
    bytes: usize,
    /// Pages that wait for the pin.
    pages: Vec<(Prepared, Held)>,
}

/// The other end of the queue is gone: the writer gave up and says why itself. Or the stream ends here, and was
/// told so.
struct Gone;

type Queue = mpsc::Sender<Shaped>;

/// A page in its columns, with what did not get there.
struct InColumns {
    batch: RecordBatch,
    schema: Schema,
    /// The rows of the prepared page that are in the batch.
    rows: Vec<usize>,
    rejects: Vec<Reject>,
    changes: Vec<SchemaChange>,
    dropped: u64,
}

impl Decode {
    /// Decodes with the table's schema, or finds one from the first 1,000 rows, or fewer if they have more
    /// than `patience` bytes.
    pub(super) fn new(schema: Option<Schema>, with: Preparation, run: RunId, patience: usize) -> Self {
        let sample = schema.is_none().then(Sampling::default);
        let sent = schema.clone();
        let decoder = Decoder::new(schema.unwrap_or_default(), run);
        Self { with, decoder, sample, sent, patience, altered: Altered::default() }
    }

    /// Until the reader is done or the writer gives up.
    pub(super) fn run(mut self, mut from_fetch: mpsc::Receiver<Fetched>, to_write: &Queue) {
        while let Some(fetched) = from_fetch.blocking_recv() {
            let outcome = match fetched {
                Fetched::Page(page, held) => self.page(page, held, to_write),
                Fetched::Restart(why) => self.restart(why, to_write),
                Fetched::End(end) => self.end(end, to_write),
                Fetched::Failed(error) => {
                    let requests = Cost::of(error.requests, error.retries, error.waited);
                    let requests = requests.and(self.forget());
                    let problem = error.problem();
                    send(to_write, Shaped::Failed { problem, requests, change: None })
                }
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    fn page(&mut self, page: Page, held: Held, to_write: &Queue) -> Result<(), Gone> {
        let prepared = self.with.prepare(page);
        if let Some(reject) = prepared.rejects.first().filter(|_| self.with.terms.bad_row == BadRow::Fail) {
            let reject = reject.clone();
            return self.stop(&prepared, &reject, None, to_write);
        }
        let Some(sampling) = &mut self.sample else { return self.decode(prepared, held, to_write) };
        let ranges: Vec<_> = prepared.rows.iter().map(|row| row.range.clone()).collect();
        sampling.sample.take(&rows(&prepared, &ranges), &self.with.terms);
        sampling.rows += prepared.rows.len() as u64;
        sampling.bytes += prepared.page.body.len();
        sampling.pages.push((prepared, held));
        let enough = sampling.rows >= SAMPLE_ROWS || sampling.bytes >= self.patience;
        if enough { self.pin(to_write) } else { Ok(()) }
    }

    /// Pins the types that the rows so far need, and lets their pages go.
    fn pin(&mut self, to_write: &Queue) -> Result<(), Gone> {
        let Some(mut sampling) = self.sample.take() else { return Ok(()) };
        self.decoder.adopt(sampling.sample.pin(&self.with.terms));
        let strange: Vec<_> = sampling.sample.not_as_told().collect();
        if let Some((first, _)) = sampling.pages.first_mut().filter(|_| !strange.is_empty()) {
            let message = format!(
                "what the provider sends in {} is not of the type that its own metadata tells, so the type is found from \
                 the data",
                strange.join(", ")
            );
            first.page.notes.push(sync_core::Note::new("types_not_as_told", message));
        }
        sampling.pages.into_iter().try_for_each(|(page, held)| self.decode(page, held, to_write))
    }

    fn restart(&mut self, why: sync_core::Note, to_write: &Queue) -> Result<(), Gone> {
        let requests = self.forget();
        send(to_write, Shaped::Restart { why, requests })
    }

    /// Pages that wait for the pin are not committed: when the slice ends early or begins again they go, and
    /// are asked for again, so that types never depend on where a run was cut. What asking cost stays known.
    fn forget(&mut self) -> Cost {
        let sampling = self.sample.as_mut().map(std::mem::take).unwrap_or_default();
        sampling.pages.iter().map(|(page, _)| cost(&page.page)).fold(Cost::default(), Cost::and)
    }

    fn end(&mut self, end: End, to_write: &Queue) -> Result<(), Gone> {
        self.pin(to_write)?;
        send(to_write, Shaped::End { end, altered: self.altered })
    }

    fn decode(&mut self, prepared: Prepared, held: Held, to_write: &Queue) -> Result<(), Gone> {
        let shaped = match self.shape(&prepared) {
            Ok(shaped) => shaped,
            Err(stopped) => {
                let Stopped { why, change } = *stopped;
                let reject = prepared.reject(&why, &self.with);
                return self.stop(&prepared, &reject, change, to_write);
            }
        };
        // Not by the Arrow types: text and json are one there and two to a table.
        let changed = !self.sent.as_ref().is_some_and(|sent| same_columns(sent, &shaped.schema));
        if changed {
            self.sent = Some(shaped.schema.clone());
        }
        let tombstones: Vec<bool> = shaped.rows.iter().map(|row| prepared.rows[*row].tombstone).collect();
        let ids = shaped.rows.iter().map(|row| prepared.id(*row)).collect();
        let mut page = PageBooks::of(prepared.page);
        page.filtered += prepared.left_out;
        page.rejects = prepared.rejects;
        page.rejects.extend(shaped.rejects);
        (page.changes, page.dropped, page.ids) = (shaped.changes, shaped.dropped, ids);
        let parts = parts(&shaped.batch, &tombstones);
        send(to_write, Shaped::Page { page: Box::new(page), parts, schema: shaped.schema, changed, held })
    }

    /// A page as a batch; judged row by row where it does not fit as it is.
    fn shape(&mut self, prepared: &Prepared) -> Result<InColumns, Box<Stopped>> {
        let ranges: Vec<_> = prepared.rows.iter().map(|row| row.range.clone()).collect();
        let page = rows(prepared, &ranges);
        if let Outcome::Fits(shaped) = self.decoder.decode(&page, Leniency::default()) {
            self.altered += shaped.altered;
            return Ok(InColumns {
                batch: shaped.batch,
                schema: shaped.schema,
                rows: (0..ranges.len()).collect(),
                rejects: Vec::new(),
                changes: Vec::new(),
                dropped: 0,
            });
        }
        let mut kept: Vec<usize> = (0..ranges.len()).collect();
        let (mut rejects, mut changes) = (Vec::new(), Vec::new());
        // One look is enough, but for a column that is new and has a type that somebody gave: whether it holds the
        // values shows once it is there.
        for _ in 0..LOOKS {
            let ranges: Vec<_> = kept.iter().map(|index| prepared.rows[*index].range.clone()).collect();
            let page = rows(prepared, &ranges);
            let judged = self.decoder.judge(&page, &self.with.terms, prepared.page.number);
            let judged = judged.map_err(|mut stopped| {
                stopped.why.row = kept[stopped.why.row];
                stopped
            })?;
            for aside in &judged.aside {
                rejects.push(prepared.reject(&Aside { row: kept[aside.row], ..aside.clone() }, &self.with));
            }
            kept = judged.keep.iter().map(|place| kept[*place]).collect();
            let ranges: Vec<_> = judged.keep.iter().map(|place| ranges[*place].clone()).collect();
            let page = rows(prepared, &ranges);
            let before = self.decoder.schema().clone();
            self.decoder.adopt(self.decoder.widened(&page, &judged, &self.with.terms));
            changes.extend(evolved(&before, self.decoder.schema(), prepared.page.number));
            changes.extend(judged.refused.clone());
            let dropped = judged.dropped; // those of rows that were looked at before are among them
            if let Outcome::Fits(shaped) = self.decoder.decode(&page, judged.lenient) {
                self.altered += shaped.altered;
                let (batch, schema) = (shaped.batch, shaped.schema);
                return Ok(InColumns { batch, schema, rows: kept, rejects, changes, dropped });
            }
        }
        unreachable!("the rows that land fit the schema that was made for them")
    }

    /// The terms end the stream at a row. The pages before its own stay committed.
    fn stop(
        &mut self,
        prepared: &Prepared,
        reject: &Reject,
        change: Option<SchemaChange>,
        to_write: &Queue,
    ) -> Result<(), Gone> {
        let code = match reject.code.as_str() {
            "key_missing" => "key_missing",
            "type_change" => "type_change",
            "new_column" => "new_column",
            "expression" => "expression",
            _ => "invalid_row",
        };
        let hint = match &change {
            Some(change) if change.from.is_some() => {
                "let the column follow with `schema: { type_change: evolve }`, or give it a type with `types`"
            }
            Some(_) => {
                "let the table follow with `schema: { new_columns: evolve }`, or leave the field out with `select`"
            }
            None => "with `on_bad_row: quarantine` such rows are set aside and the others land",
        };
        let problem = Problem::new(Kind::Contract, code, format!("stopped before {}", sentence(reject)))
            .hint(format!("{hint}; the pages before are kept"));
        let requests = cost(&prepared.page).and(self.forget());
        send(to_write, Shaped::Failed { problem, requests, change })?;
        Err(Gone)
    }
}

/// The rows of a batch in their order, tombstones apart from the others.
fn parts(batch: &RecordBatch, tombstones: &[bool]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < tombstones.len() {
        let tombstone = tombstones[start];
        let length = tombstones[start..].iter().take_while(|t| **t == tombstone).count();
        parts.push(Part { batch: batch.slice(start, length), tombstones: tombstone });
        start += length;
    }
    parts
}

/// What a table did to follow its rows. A column that had had only nulls has settled, which is no change of type.
fn evolved(before: &Schema, after: &Schema, page: u64) -> Vec<SchemaChange> {
    let change = |(place, column): (usize, &Column)| {
        let from = match before.columns.get(place) {
            None => None,
            Some(had) if !had.settled || had.ty == column.ty => return None,
            Some(had) => Some(had.ty),
        };
        Some(SchemaChange {
            column: column.name.clone(),
            from,
            to: column.ty,
            contract: "evolve".to_owned(),
            page,
        })
    };
    after.columns.iter().enumerate().filter_map(change).collect()
}

/// Whether two schemas differ in nothing but how far their numbers have gone.
fn same_columns(a: &Schema, b: &Schema) -> bool {
    let same =
        |a: &Column, b: &Column| (&a.name, &a.field, a.ty, a.settled) == (&b.name, &b.field, b.ty, b.settled);
    a.columns.len() == b.columns.len() && a.columns.iter().zip(&b.columns).all(|(a, b)| same(a, b))
}

fn rows<'a>(prepared: &'a Prepared, ranges: &'a [std::ops::Range<u32>]) -> Rows<'a> {
    Rows { body: prepared.text(), ranges, asked_at: prepared.page.asked_at }
}

fn cost(page: &Page) -> Cost {
    Cost::of(page.requests, page.retries, page.waited)
}

fn send(to_write: &Queue, shaped: Shaped) -> Result<(), Gone> {
    to_write.blocking_send(shaped).map_err(|_| Gone)
}

impl PageBooks {
    fn of(page: Page) -> Self {
        Self {
            number: page.number,
            fetched: page.fetched,
            filtered: page.filtered,
            deduplicated: page.deduplicated,
            bytes: page.bytes,
            requests: cost(&page),
            resume: page.resume,
            notes: page.notes,
            rejects: Vec::new(),
            changes: Vec::new(),
            dropped: 0,
            ids: Vec::new(),
        }
    }
}

impl Cost {
    /// Enters it into the report of a stream.
    pub(super) fn enter(self, report: &mut sync_core::StreamReport) {
        report.requests += self.requests;
        report.retries += self.retries;
        report.waited_ms += self.waited_ms;
    }

    pub(super) fn of(requests: u64, retries: u64, waited: std::time::Duration) -> Self {
        Self { requests, retries, waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX) }
    }

    fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            retries: self.retries + other.retries,
            waited_ms: self.waited_ms + other.waited_ms,
        }
    }
}
