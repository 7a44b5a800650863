//! Reads one slice of a stream: the loop that asks for pages and hands them out in order.
//!
//! The only asynchronous part of this crate. What a page means is decided elsewhere: [`crate::paginate`] knows
//! where a listing goes on, [`crate::slice`] keeps the books.
//!
//! Pages are asked for ahead only where the place of the next ones is known, and count only if the pages
//! before them were as long as expected; otherwise they are thrown away and asked for again.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use sync_core::{
    Answer, Ask, Clock, Explain, Kind, Note, Operation, Refusal, Request, ResumePoint, SavedCursor, Sent,
    Stop, Timestamp, Verdict, Width, parse_http_date,
};
use sync_spec::StopRule;
use tokio::task::JoinHandle;

use crate::classify::misfit;
use crate::cursor::Format;
use crate::json::{self, RowsError};
use crate::mold::{Envelope, Mold};
use crate::paginate::{Broken, Mark, Spot, Turn, Walk};
use crate::plan::{Address, CursorPlan, Listing, Plan, StreamPlan};
use crate::records::{Shape, Sheet};
use crate::request::{Settings, set_parameter};
use crate::slice::{Order, Resume, Slice, Tracker, bound};

/// Answers of the wrong shape, one after the other, before a page is given up.
const MISFITS_MAX: u32 = 3;
/// Requests under way before the size of a page is known.
const UNSEEN: usize = 4;
/// A page of more than so many times the memory for pages makes the next ones smaller.
const OVERSIZE: usize = 4;

/// Why a listing is read in full although the newest changes were wanted.
const UNSORTED: &str = "the provider does not sort this listing by the time of change, so all of it is read";

/// How a slice is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The fields of the primary key. Without one, a row is told from others by all of its text.
    pub key: Vec<String>,
    /// How changes are told; nothing means as the connector says.
    pub cursor: Option<CursorOptions>,
    /// Where the last complete slice ended.
    pub from: Option<SavedCursor>,
    /// Where an unfinished slice stopped.
    pub resume: Option<ResumePoint>,
    /// Requests under way at once, at most.
    pub concurrency: u32,
    /// How many of them are worth it for now, where somebody knows.
    pub width: Option<Width>,
    /// Bytes of pages under way and waiting, at most. A single page may have more.
    pub memory: usize,
    /// Reads the whole listing and tells no changes.
    pub listing_only: bool,
    /// Hands out so many rows and ends.
    pub limit: Option<u64>,
    /// The fields that are wanted of a row, if not all are. A provider may send others, too.
    pub columns: Option<Vec<String>>,
}

/// How changes are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorOptions {
    /// The path of the field that orders changes.
    pub field: Vec<String>,
    /// The first read begins here, in the connector's format or as a day.
    pub start: Option<String>,
    /// The margin that is read again.
    pub lookback: Duration,
}

/// What a reader needs beside its questions.
#[derive(Clone)]
pub struct Hands {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The user's wish to stop.
    pub stop: Stop,
}

/// What a reader hands out.
#[derive(Debug)]
pub enum Step {
    /// Rows, in the order of the listing.
    Page(Page),
    /// The slice begins again at its start. Rows handed out so far stay valid, and come again.
    Restart {
        /// Why.
        why: Note,
    },
    /// The slice was read to its end. Nothing comes after it.
    End(End),
}

/// One page. `fetched = rows.len() + filtered + deduplicated`.
#[derive(Debug)]
pub struct Page {
    /// Which page of this slice, from 1.
    pub number: u64,
    /// What the rows are in, valid UTF-8: the whole answer, or the rows alone where `drop` or `lift` made them anew.
    pub body: Bytes,
    /// The rows to load, in order.
    pub rows: Vec<Row>,
    /// Rows accepted from the answer.
    pub fetched: u64,
    /// Rows left out: by `keep`, by the limit, or older than the cursor's bound.
    pub filtered: u64,
    /// Rows handed out before.
    pub deduplicated: u64,
    /// Covers this page and all before it.
    pub resume: ResumePoint,
    /// When it was asked for, UTC.
    pub asked_at: Timestamp,
    /// Bytes of the answer.
    pub bytes: u64,
    /// Requests sent since the page before, those that came to nothing included.
    pub requests: u64,
    /// Attempts after the first of each.
    pub retries: u64,
    /// Time they waited for permits and between attempts.
    pub waited: Duration,
    /// What a person should know.
    pub notes: Vec<Note>,
}

/// A row of a page.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where in the answer it is: the text of one JSON object, unless the provider sent something else.
    pub range: Range<u32>,
    /// Its place in the answer, from 1.
    pub number: u32,
    /// Who it is: a hash of its key, or of all of it where it has none.
    pub id: u128,
    /// What it is.
    pub kind: RowKind,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A row as any other.
    Present,
    /// It says that the row of its key is deleted.
    Tombstone,
    /// It lacks its primary key.
    Keyless,
}

/// The end of a slice.
#[derive(Debug)]
pub struct End {
    /// Where the next slice begins; nothing where changes are not told, or where a limit cut this one short.
    pub cursor: Option<SavedCursor>,
    /// Whether every row of the listing was seen.
    pub full_listing: bool,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// Requests sent since the last page.
    pub requests: u64,
    /// Attempts after the first of each.
    pub retries: u64,
    /// Time they waited for permits and between attempts.
    pub waited: Duration,
}

/// Why a slice could not be read on. Pages handed out before it stay valid.
#[derive(Clone, Debug)]
pub struct ReadError {
    /// What it means for the run.
    pub kind: Kind,
    /// A stable word for it: that of the refusal, or `listing_repeats`, `listing_endless`,
    /// `unexpected_answer`, `unknown_stream`, `invalid_start`, `stopped`.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Requests sent since the last page.
    pub requests: u64,
    /// Attempts after the first of each.
    pub retries: u64,
    /// Time they waited for permits and between attempts.
    pub waited: Duration,
}

impl ReadError {
    pub(crate) fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        let (requests, retries, waited) = (0, 0, Duration::ZERO);
        Self { kind, code, message: message.into(), hint: None, requests, retries, waited }
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl Explain for ReadError {
    fn kind(&self) -> Kind {
        self.kind
    }
    fn code(&self) -> &'static str {
        self.code
    }
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// What asking cost, until a page takes it along.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    requests: u64,
    retries: u64,
    waited: Duration,
}

impl Spent {
    /// Enters an outcome and how many requests were sent for it: a followed redirect is one, too.
    fn enter(&mut self, outcome: &Result<Answer, Refusal>, sent: &Sent) {
        let (attempts, waited) = match outcome {
            Ok(answer) => (answer.retries + 1, answer.waited),
            Err(refusal) => (refusal.attempts, refusal.waited),
        };
        self.requests += u64::from(attempts.max(sent.count()));
        self.retries += u64::from(attempts.saturating_sub(1));
        self.waited += waited;
    }
}

/// A request under way, on a task of its own so that its time-outs run by its own clock while the pages before
/// it are being loaded. Dropping it abandons it.
struct Flight {
    spot: Spot,
    sent: Sent,
    task: JoinHandle<Result<Answer, Refusal>>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one slice.
pub struct Reader {
    stream: String,
    title: String,
    ask: Arc<dyn Ask>,
    hands: Hands,
    stable: Request,
    newest_first: Option<Request>,
    /// What is still to be asked before the newest changes are read alone: for one row, the oldest first.
    oldest_first: Option<Request>,
    /// The paging parameters: place and size.
    parameters: Option<(String, Option<String>)>,
    shape: Shape,
    mold: Mold,
    envelope: Envelope,
    walk: Walk,
    slice: Slice,
    limited: bool,
    concurrency: usize,
    width: Option<Width>,
    memory: usize,
    /// Bytes of the largest page so far.
    page_bytes: usize,
    flights: VecDeque<Flight>,
    misfits: u32,
    spent: Spent,
    notes: Vec<Note>,
    /// A restart to tell of before anything else.
    restart: Option<Note>,
    over: bool,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("stream", &self.stream)
            .field("walk", &self.walk)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(
        plan: &Plan,
        settings: &Settings,
        stream: &str,
        options: ReadOptions,
        ask: Arc<dyn Ask>,
        hands: Hands,
    ) -> Result<Self, ReadError> {
        let Some(stream) = plan.stream(stream) else {
            let message = format!("{} has no stream `{stream}`", plan.title());
            return Err(ReadError::new(Kind::Refused, "unknown_stream", message));
        };
        Self::over(plan.title(), settings, stream, options, ask, hands)
    }

    /// Reads a stream, or a listing that is read as one is.
    pub(crate) fn over(
        title: &str,
        settings: &Settings,
        stream: &StreamPlan,
        options: ReadOptions,
        ask: Arc<dyn Ask>,
        hands: Hands,
    ) -> Result<Self, ReadError> {
        let mut notes = Vec::new();
        let tracker = tracker(stream, &options, &mut notes)?;
        let newest_first = newest_first(stream, tracker.as_ref());
        let oldest_first = newest_first.and(stream.cursor.as_ref()).and_then(|c| c.oldest_first.as_deref());
        let order = if newest_first.is_some() { Order::NewestFirst } else { Order::Stable };
        if order == Order::Stable && tracker.as_ref().is_some_and(|t| t.before.is_some()) {
            let message = "the provider cannot be asked for changes of this stream, so all of it was read and rows \
                           that did not change were left out";
            notes.push(Note::new("full_listing", message));
        }
        let shape = shape(stream, &options.key, tracker.as_ref());
        let columns = options.columns.as_ref().and_then(|wanted| columns(wanted, &shape));
        let settings = Settings { columns, ..settings.clone() };
        let build = |query| stream.request.build(&settings, query, Operation::Read);
        let mut reader = Self {
            stream: stream.name.clone(),
            title: title.to_owned(),
            ask,
            hands,
            stable: build(&[]),
            newest_first: newest_first.map(build),
            oldest_first: oldest_first.map(build),
            parameters: parameters(&stream.listing),
            shape,
            mold: stream.mold.clone(),
            envelope: Envelope::new(),
            walk: Walk::new(&stream.listing),
            slice: Slice::new(order, tracker, options.limit),
            limited: options.limit.is_some(),
            concurrency: options.concurrency.max(1) as usize,
            width: options.width,
            memory: options.memory,
            page_bytes: 0,
            flights: VecDeque::new(),
            misfits: 0,
            spent: Spent::default(),
            notes,
            restart: None,
            over: options.limit == Some(0),
        };
        match &options.resume {
            Some(point) => reader.go_on(point),
            None if stream.keep.0.is_empty()
                && reader.slice.tracker.as_ref().is_none_or(|t| t.bound.is_none()) =>
            {
                reader.walk.at_most(options.limit.unwrap_or(u64::MAX));
            }
            None => {}
        }
        Ok(reader)
    }

    /// Goes on where an unfinished slice stopped, or says why it begins again.
    fn go_on(&mut self, point: &ResumePoint) {
        let Some(resume) = Resume::read(point) else {
            let message = "the place where the last run stopped is of another form, so the listing is read from its start";
            self.restart = Some(Note::new("slice_restarted", message));
            return;
        };
        self.slice.resume(&resume);
        if resume.order == Order::NewestFirst {
            // A few pages at most, and rows that changed since stand before the place where it stopped.
            let message = "a listing of the newest changes is read from its start after an interruption";
            self.restart = Some(Note::new("slice_restarted", message));
            self.slice.restart(self.slice.order);
            return;
        }
        self.slice.order = Order::Stable;
        if self.walk.resume(&resume.walk).is_none() {
            let message =
                "the place where the last run stopped cannot be read, so the listing is read from its start";
            self.restart = Some(Note::new("slice_restarted", message));
            self.slice.restart(Order::Stable);
        }
    }

    /// The next page, a new beginning, or the end.
    ///
    /// May be dropped at any await; nothing that was handed out is handed out again by the next call. After an
    /// error there is nothing more to have.
    pub async fn next(&mut self) -> Result<Step, ReadError> {
        loop {
            if let Some(why) = self.restart.take() {
                return Ok(Step::Restart { why });
            }
            if self.over {
                return Ok(Step::End(self.end()));
            }
            if let Err(error) = self.look_for_rows_without_the_field().await {
                return Err(self.with_cost(error));
            }
            if self.restart.is_some() {
                continue;
            }
            let outcome = match self.fetch().await {
                Ok(Some(answer)) => self.arrive(&answer).await,
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Some(step)) => return Ok(step),
                Ok(None) => {}
                Err(error) => return Err(self.with_cost(error)),
            }
        }
    }

    /// Rows without the cursor's field stand at one end of a sorted listing, and count as changed. Those at its
    /// beginning are met when it is read; whether there are any at its end, one row of the opposite order tells.
    async fn look_for_rows_without_the_field(&mut self) -> Result<(), ReadError> {
        let wanted = self.slice.order == Order::NewestFirst;
        let Some(mut request) = self.oldest_first.clone().filter(|_| wanted) else { return Ok(()) };
        if self.hands.stop.asked() {
            return Err(ReadError::new(Kind::Stopped, "stopped", "stopped"));
        }
        self.set_place(&mut request, Spot { size: Some(1), ..self.walk.next() });
        request.sent = Sent::default();
        let outcome = self.ask.ask(&request).await;
        self.oldest_first = None; // not before the answer: this future may be dropped while it waits
        self.spent.enter(&outcome, &request.sent);
        let why = match &outcome {
            Ok(answer) => {
                let text = std::str::from_utf8(&answer.response.body).ok();
                let sheet = text.and_then(|text| self.shape.sheet(text).ok());
                let missing = sheet.is_none_or(|sheet| sheet.moments.first() == Some(&None));
                missing.then_some("some rows do not say when they changed, so all of it is read")
            }
            Err(refusal) if sorting_failed(refusal) => Some(UNSORTED),
            Err(refusal) => return Err(refused(refusal)),
        };
        if let Some(why) = why {
            self.read_all(why);
        }
        Ok(())
    }

    /// The newest changes cannot be read alone.
    fn read_all(&mut self, why: &str) {
        self.walk.reset();
        let why = self.begin_again(Note::new("full_listing", why));
        self.restart = Some(why);
    }

    /// The answer for the place where the walk is; nothing, if it has to be asked for in another way.
    async fn fetch(&mut self) -> Result<Option<Answer>, ReadError> {
        if self.hands.stop.asked() {
            return Err(ReadError::new(Kind::Stopped, "stopped", "stopped"));
        }
        let spot = self.walk.next();
        if self.flights.front().is_some_and(|flight| flight.spot != spot) {
            self.throw_away();
        }
        if self.flights.is_empty() {
            self.launch(spot);
        }
        while self.flights.len() < self.flights_max()
            && let Some(spot) = self.walk.ahead(self.flights.len() as u64)
        {
            self.launch(spot);
        }
        // Taken out of the queue only when it has landed, so that nothing is lost if this future is dropped.
        let flight = self.flights.front_mut().expect("one was launched");
        let outcome = match (&mut flight.task).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return Err(ReadError::new(Kind::Stopped, "stopped", "the runtime is shutting down")),
        };
        let sent = self.flights.pop_front().map(|flight| flight.sent.clone()).unwrap_or_default();
        self.spent.enter(&outcome, &sent);
        match outcome {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal)
                if refusal.verdict == Some(Verdict::SmallerPage) && self.walk.shrink(self.walk.half()) =>
            {
                self.throw_away();
                let size = self.walk.next().size.unwrap_or_default();
                self.notes.push(Note::new(
                    "smaller_pages",
                    format!("pages of {size} rows are asked for: {refusal}"),
                ));
                Ok(None)
            }
            Err(refusal) if self.slice.order == Order::NewestFirst && sorting_failed(&refusal) => {
                self.read_all(UNSORTED);
                Ok(None)
            }
            Err(refusal) => Err(refused(&refusal)),
        }
    }

    fn set_place(&self, request: &mut Request, spot: Spot) {
        if let Some((place, size)) = &self.parameters {
            if let (Some(name), Some(value)) = (size, spot.size) {
                set_parameter(&mut request.url, name, &value.to_string());
            }
            set_parameter(&mut request.url, place, &spot.at.to_string());
        }
    }

    fn launch(&mut self, spot: Spot) {
        let mut request = match (self.slice.order, &self.newest_first) {
            (Order::NewestFirst, Some(request)) => request.clone(),
            _ => self.stable.clone(),
        };
        self.set_place(&mut request, spot);
        let (ask, sent) = (self.ask.clone(), Sent::default());
        request.sent = sent.clone();
        let task = tokio::spawn(async move { ask.ask(&request).await });
        self.flights.push_back(Flight { spot, sent, task });
    }

    /// How many requests may be under way: as many as the bytes of their pages allow.
    fn flights_max(&self) -> usize {
        let serial = self.slice.order == Order::NewestFirst;
        let worth = self.width.as_ref().map_or(usize::MAX, |width| width.get() as usize);
        // Before a page has come nobody knows how large they are.
        let unseen = if self.width.is_some() { UNSEEN } else { usize::MAX };
        let by_memory = self.memory.checked_div(self.page_bytes).unwrap_or(unseen);
        // With a limit, no further than the rows that are still wanted.
        let full = self.walk.full().unwrap_or(1);
        let by_limit = self.slice.left.map_or(usize::MAX, |left| left.div_ceil(full) as usize);
        let most = self.concurrency.min(worth).min(by_memory).min(by_limit);
        if serial { 1 } else { most.max(1) }
    }

    /// Abandons what is under way; what was sent of it counts.
    fn throw_away(&mut self) {
        for mut flight in self.flights.drain(..) {
            match (&mut flight.task).now_or_never() {
                Some(Ok(outcome)) => self.spent.enter(&outcome, &flight.sent),
                _ => self.spent.requests += u64::from(flight.sent.count()),
            }
        }
    }

    async fn arrive(&mut self, answer: &Answer) -> Result<Option<Step>, ReadError> {
        let response = &answer.response;
        let body = match response.body.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => response.body.slice_ref(rest),
            None => response.body.clone(),
        };
        let sheet = match (answer.verdict, simdutf8::basic::from_utf8(&body)) {
            (Verdict::Ok, Ok(text)) => self.shape.sheet(text).and_then(|sheet| {
                // Behind rows, what is none is set aside; a list that begins so is of something else.
                let begins = self.slice.number == 0;
                if begins { json::objects(text, &sheet.rows).map(|()| sheet) } else { Ok(sheet) }
            }),
            (Verdict::Ok, Err(_)) => {
                return self.misfit("answered with a text that is not UTF-8").await;
            }
            _ => Ok(Sheet::default()), // meant to have no rows
        };
        let sheet = match sheet {
            Ok(sheet) => sheet,
            Err(error @ RowsError::NotAnObject { .. }) => {
                let misfit = misfit(&error, &self.shape.records);
                return Err(self.unexpected(&misfit));
            }
            Err(error) => {
                let misfit = misfit(&error, &self.shape.records);
                return self.misfit(&misfit).await;
            }
        };
        self.misfits = 0;
        self.page_bytes = self.page_bytes.max(body.len());
        let asked_at = response.first_byte_at.minus(response.elapsed);
        self.slice.clocks(response.header("date").and_then(parse_http_date), asked_at);
        let turn = self.walk.take(&sheet.ids, sheet.total);
        let notes = self.walk.take_notes();
        self.notes.extend(notes);
        match turn {
            Turn::On => Ok(None),
            Turn::End if self.slice.order == Order::NewestFirst && self.slice.number == 0 => {
                self.read_all("the listing of the newest changes was empty, so all of it is read");
                Ok(None)
            }
            Turn::End => {
                self.over = true;
                Ok(None)
            }
            Turn::Restart(why) => Ok(Some(Step::Restart { why: self.begin_again(why) })),
            Turn::Fail(broken) => Err(self.broken(broken)),
            Turn::Deliver { marks, last, moved } => {
                if let Err(found) = self.slice.prove(&sheet.moments, moved) {
                    let message =
                        format!("the newest changes could not be read alone, {found}; all of it is read");
                    self.read_all(&message);
                    return Ok(None);
                }
                self.over = last;
                Ok(self.page(body, &sheet, &marks, asked_at).map(Step::Page))
            }
        }
    }

    /// The rows of a page that are to be loaded; nothing, if it has none at all.
    fn page(&mut self, body: Bytes, sheet: &Sheet, marks: &[Mark], asked_at: Timestamp) -> Option<Page> {
        if marks.is_empty() {
            return None;
        }
        let sorted = self.slice.sort(sheet, marks);
        self.slice.number += 1;
        self.over |= self.slice.far_enough() || self.slice.left == Some(0);
        self.keep_pages_small(body.len(), marks.len());
        let walk = self.walk.mileage().expect("a page was taken");
        let Spent { requests, retries, waited } = std::mem::take(&mut self.spent);
        let bytes = body.len() as u64;
        let mut rows: Vec<_> = sorted.rows.iter().map(|index| row(sheet, *index)).collect();
        let body = self.molded(body, &mut rows);
        Some(Page {
            number: self.slice.number,
            bytes,
            rows,
            body,
            fetched: sorted.fetched,
            filtered: sorted.filtered,
            deduplicated: sorted.deduplicated,
            resume: self.slice.resume_point(walk),
            asked_at,
            requests,
            retries,
            waited,
            notes: std::mem::take(&mut self.notes),
        })
    }

    /// The text of the rows as they leave, with their places in it.
    fn molded(&mut self, body: Bytes, rows: &mut [Row]) -> Bytes {
        if self.mold.is_idle() {
            return body;
        }
        let sent = simdutf8::basic::from_utf8(&body).expect("the page was read as text a moment ago");
        let mut text = String::with_capacity(sent.len());
        for row in rows {
            let start = text.len();
            let whole = &sent[row.range.start as usize..row.range.end as usize];
            // What is no object stays as it is, for whoever loads it to say so.
            if self.mold.row(whole, &mut self.envelope, &mut text).is_err() {
                text.truncate(start);
                text.push_str(whole);
            }
            row.range = start as u32..text.len() as u32;
        }
        Bytes::from(text)
    }

    /// A page that is far larger than the memory for pages makes those after it smaller, where offsets allow it
    /// without a new count.
    fn keep_pages_small(&mut self, bytes: usize, rows: usize) {
        let most = self.memory.saturating_mul(OVERSIZE);
        if bytes > most && self.walk.counts_rows() {
            let fitting = (rows as u128 * most as u128 / bytes as u128) as u64;
            self.walk.shrink(fitting);
        }
    }

    /// The slice begins again, in its stable order.
    fn begin_again(&mut self, why: Note) -> Note {
        self.throw_away();
        let newest = self.slice.order == Order::NewestFirst;
        self.slice.restart(Order::Stable);
        if newest && why.code != "full_listing" {
            self.notes.push(Note::new("full_listing", "all of the listing was read, in its stable order"));
        }
        why
    }

    fn end(&mut self) -> End {
        self.throw_away();
        let cut = self.limited && self.slice.left == Some(0);
        if let Some(field) = self.slice.field_never_seen() {
            let message = format!(
                "no row has the field `{field}` with a time in it, so changes cannot be told; all rows are compared"
            );
            self.notes.push(Note::new("cursor_field_missing", message));
        }
        let Spent { requests, retries, waited } = std::mem::take(&mut self.spent);
        End {
            // Rows that may be missing are looked for again: the cursor waits for a listing that held still.
            cursor: if cut || self.walk.doubtful() {
                None
            } else {
                self.slice.cursor(self.hands.clock.now())
            },
            full_listing: !cut && self.slice.order == Order::Stable,
            notes: std::mem::take(&mut self.notes),
            requests,
            retries,
            waited,
        }
    }

    /// An answer that looked like a page and is none: asked for again after a while, a few times.
    async fn misfit(&mut self, misfit: &str) -> Result<Option<Step>, ReadError> {
        self.misfits += 1;
        if self.misfits >= MISFITS_MAX {
            return Err(self.unexpected(misfit));
        }
        self.throw_away();
        self.spent.retries += 1;
        let wait = Duration::from_secs(1 << (self.misfits - 1));
        tracing::debug!(stream = self.stream, misfit, "the page is asked for again");
        self.spent.waited += wait;
        let stop = self.hands.stop.clone();
        let stopped = std::pin::pin!(stop.wait());
        // Whether the wait ended or the user wished to stop, the next fetch knows what to do.
        futures_util::future::select(self.hands.clock.sleep(wait), stopped).await;
        Ok(None)
    }

    fn unexpected(&self, misfit: &str) -> ReadError {
        let page = self.slice.number + 1;
        let message = format!("{} {misfit} (page {page} of {})", self.title, self.stream);
        ReadError::new(Kind::Failed, "unexpected_answer", message).hint(
            "if it stays so, the connector's `records` or its path does not fit what the provider sends",
        )
    }

    fn broken(&self, broken: Broken) -> ReadError {
        let (stream, pages) = (&self.stream, self.slice.number);
        match broken {
            Broken::Repeats => {
                let message = format!(
                    "the listing of {stream} repeats itself: after page {pages} came a page that was there before"
                );
                ReadError::new(Kind::Failed, "listing_repeats", message).hint(
                    "the provider seems to ignore the paging parameters; check `paginate` of the stream",
                )
            }
            Broken::Endless => {
                let message = format!("the listing of {stream} does not end: {pages} pages were read");
                ReadError::new(Kind::Failed, "listing_endless", message)
                    .hint("check `paginate` of the stream; pages read so far are kept")
            }
        }
    }

    fn with_cost(&mut self, mut error: ReadError) -> ReadError {
        self.throw_away();
        let Spent { requests, retries, waited } = std::mem::take(&mut self.spent);
        (error.requests, error.retries, error.waited) = (requests, retries, waited);
        error
    }
}

/// A row of a page, by its index in the answer.
fn row(sheet: &Sheet, index: usize) -> Row {
    let kind = match (sheet.keyless.binary_search(&index), sheet.deleted.get(index)) {
        (Ok(_), _) => RowKind::Keyless,
        (Err(_), Some(true)) => RowKind::Tombstone,
        (Err(_), _) => RowKind::Present,
    };
    Row { range: sheet.rows[index].clone(), number: index as u32 + 1, id: sheet.ids[index], kind }
}

/// Whether the provider answered that it cannot list in this order, as far as an answer can tell: not what is
/// wrong with the credential, the address or the moment.
fn sorting_failed(refusal: &Refusal) -> bool {
    let passing = matches!(refusal.status, None | Some(408 | 425 | 429 | 502..=504));
    refusal.kind == Kind::Failed && !passing
}

fn refused(refusal: &Refusal) -> ReadError {
    let error = ReadError::new(refusal.kind, refusal.code, refusal.message.clone());
    ReadError { hint: refusal.hint.clone(), ..error }
}

/// How changes are told in this slice, if they are.
fn tracker(
    stream: &StreamPlan,
    options: &ReadOptions,
    notes: &mut Vec<Note>,
) -> Result<Option<Tracker>, ReadError> {
    if options.listing_only {
        return Ok(None);
    }
    let own = stream.cursor.as_ref();
    let Some(wanted) = options.cursor.clone().or_else(|| own.map(CursorOptions::from)) else {
        return Ok(None);
    };
    let format = own.map_or(Format::Iso, |own| own.format.clone());
    let start = match &wanted.start {
        None => None,
        Some(text) => Some(format.parse_start(text).ok_or_else(|| {
            let message = format!("`start` of {} is not a moment: `{text}`", stream.name);
            ReadError::new(Kind::Refused, "invalid_start", message).hint("write a day such as 2024-01-31")
        })?),
    };
    let field = wanted.field.join(".");
    let (bound, before, note) = bound(options.from.as_ref(), &field, &format, start, wanted.lookback);
    notes.extend(note);
    let hold_back = own.map(|own| own.hold_back).unwrap_or_default();
    Ok(Some(Tracker { field, path: wanted.field, format, bound, hold_back, before }))
}

impl From<&CursorPlan> for CursorOptions {
    fn from(plan: &CursorPlan) -> Self {
        Self { field: plan.field.clone(), start: plan.start.clone(), lookback: plan.lookback }
    }
}

/// The query that lists the newest changes first, where it helps: after a first complete read, and for the
/// field it sorts by.
fn newest_first<'a>(
    stream: &'a StreamPlan,
    tracker: Option<&Tracker>,
) -> Option<&'a [(String, sync_spec::Template)]> {
    let (own, tracker) = (stream.cursor.as_ref()?, tracker?);
    tracker.before.as_ref()?;
    own.newest_first.as_deref().filter(|_| own.field == tracker.path)
}

fn shape(stream: &StreamPlan, key: &[String], tracker: Option<&Tracker>) -> Shape {
    let totals = match &stream.listing {
        Listing::Pages(paging) => match &paging.stop {
            StopRule::Total(paths) => paths.as_slice(),
            StopRule::Short | StopRule::Empty => &[],
        },
        Listing::Whole => &[],
    };
    let cursor = tracker.map(|t| (t.path.as_slice(), &t.format));
    let lift = stream.mold.lift.as_deref();
    Shape::new(&stream.records, totals, (key, lift), cursor, &stream.keep, &stream.deleted_when)
}

/// The fields to ask for: those wanted, and those that are looked at. A name with a comma cannot be asked for.
fn columns(wanted: &[String], shape: &Shape) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in shape.looked_at().chain(wanted.iter().map(String::as_str)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.iter().all(|name| !name.is_empty() && !name.contains(',')).then(|| names.join(","))
}

fn parameters(listing: &Listing) -> Option<(String, Option<String>)> {
    let Listing::Pages(paging) = listing else { return None };
    let (Address::Page { param, .. } | Address::Offset { param }) = &paging.address;
    Some((param.clone(), paging.size.as_ref().map(|(name, _)| name.clone())))
}

#[cfg(test)]
mod tests;
