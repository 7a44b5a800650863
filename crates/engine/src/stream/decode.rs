//! The decode stage: pages of bytes in, batches out, types found and widened on the way.

use sync_connectors::{End, Page};
use sync_core::{Column, Explain as _, Kind, Problem, RunId, Schema};
use tokio::sync::mpsc;

use super::{Cost, Fetched, PageBooks, Shaped};
use crate::gate::Held;
use crate::shape::{Altered, BadRow, Decoder, Outcome, Rows, Sample};

/// Rows that pin the types of a new table.
const SAMPLE_ROWS: u64 = 1_000;

/// The decode stage of one stream.
pub(super) struct Decode {
    decoder: Decoder,
    /// What the first rows look like, until the types are pinned.
    sample: Option<Sampling>,
    /// The schema of the last batch sent.
    sent: Option<Schema>,
    /// The fields of the primary key.
    key: Vec<String>,
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
    pages: Vec<(Page, Held)>,
}

/// The other end of the queue is gone: the writer gave up and says why itself.
struct Gone;

type Queue = mpsc::Sender<Shaped>;

impl Decode {
    /// Decodes with the table's schema, or finds one from the first 1,000 rows, or fewer if they have more
    /// than `patience` bytes.
    pub(super) fn new(schema: Option<Schema>, key: Vec<String>, run: RunId, patience: usize) -> Self {
        let sample = schema.is_none().then(Sampling::default);
        let sent = schema.clone();
        Self {
            decoder: Decoder::new(schema.unwrap_or_default(), run),
            sample,
            sent,
            key,
            patience,
            altered: Altered::default(),
        }
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
                    send(to_write, Shaped::Failed { problem: error.problem(), requests })
                }
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    fn page(&mut self, page: Page, held: Held, to_write: &Queue) -> Result<(), Gone> {
        let Some(sampling) = &mut self.sample else { return self.decode(page, held, to_write) };
        if let Err(error) = sampling.sample.take(&rows(&page)) {
            return fail(to_write, &page, &error);
        }
        sampling.rows += page.rows.len() as u64;
        sampling.bytes += page.body.len();
        sampling.pages.push((page, held));
        let enough = sampling.rows >= SAMPLE_ROWS || sampling.bytes >= self.patience;
        if enough { self.pin(to_write) } else { Ok(()) }
    }

    /// Pins the types that the rows so far need, and lets their pages go.
    fn pin(&mut self, to_write: &Queue) -> Result<(), Gone> {
        let Some(sampling) = self.sample.take() else { return Ok(()) };
        self.decoder.adopt(sampling.sample.pin(&self.key));
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
        let cost = |page: &Page| Cost::of(page.requests, page.retries, page.waited);
        sampling.pages.iter().map(|(page, _)| cost(page)).fold(Cost::default(), Cost::and)
    }

    fn end(&mut self, end: End, to_write: &Queue) -> Result<(), Gone> {
        self.pin(to_write)?;
        send(to_write, Shaped::End { end, altered: self.altered })
    }

    fn decode(&mut self, page: Page, held: Held, to_write: &Queue) -> Result<(), Gone> {
        let shaped = match self.shape(&page) {
            Ok(shaped) => shaped,
            Err(error) => return fail(to_write, &page, &error),
        };
        self.altered += shaped.altered;
        // Not by the Arrow types: text and json are one there and two to a table.
        let changed = !self.sent.as_ref().is_some_and(|sent| same_columns(sent, &shaped.schema));
        if changed {
            self.sent = Some(shaped.schema.clone());
        }
        let page = PageBooks::of(page);
        send(to_write, Shaped::Page { page, batch: shaped.batch, schema: shaped.schema, changed, held })
    }

    fn shape(&mut self, page: &Page) -> Result<crate::shape::Shaped, BadRow> {
        let rows = rows(page);
        if let Outcome::Fits(shaped) = self.decoder.decode(&rows)? {
            return Ok(shaped);
        }
        let mut sample = Sample::default();
        sample.take(&rows)?;
        self.decoder.adopt(sample.widen(self.decoder.schema()));
        match self.decoder.decode(&rows)? {
            Outcome::Fits(shaped) => Ok(shaped),
            Outcome::Drift => unreachable!("a page fits the schema that was widened for it"),
        }
    }
}

/// Whether two schemas differ in nothing but how far their numbers have gone.
fn same_columns(a: &Schema, b: &Schema) -> bool {
    let same =
        |a: &Column, b: &Column| (&a.name, &a.field, a.ty, a.settled) == (&b.name, &b.field, b.ty, b.settled);
    a.columns.len() == b.columns.len() && a.columns.iter().zip(&b.columns).all(|(a, b)| same(a, b))
}

fn rows(page: &Page) -> Rows<'_> {
    let body = simdutf8::basic::from_utf8(&page.body).expect("the reader checked that the page is UTF-8");
    Rows { body, ranges: &page.rows, asked_at: page.asked_at }
}

fn send(to_write: &Queue, shaped: Shaped) -> Result<(), Gone> {
    to_write.blocking_send(shaped).map_err(|_| Gone)
}

/// A page that is not JSON after all. The pages before it stay committed.
fn fail(to_write: &Queue, page: &Page, error: &BadRow) -> Result<(), Gone> {
    let message = format!("page {}: {error}", page.number);
    let problem = Problem::new(Kind::Failed, "invalid_json", message)
        .hint("run again to ask for the page once more; pages before it are kept");
    let requests = Cost::of(page.requests, page.retries, page.waited);
    send(to_write, Shaped::Failed { problem, requests })?;
    Err(Gone)
}

impl PageBooks {
    fn of(page: Page) -> Self {
        Self {
            number: page.number,
            fetched: page.fetched,
            filtered: page.filtered,
            deduplicated: page.deduplicated,
            bytes: page.bytes,
            resume: page.resume,
            requests: Cost::of(page.requests, page.retries, page.waited),
            notes: page.notes,
        }
    }
}

impl Cost {
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
