//! Reads one stream: the loop that asks for pages and hands them out in order.
//!
//! The only asynchronous part of this crate. What a page means is decided elsewhere: [`crate::route`] knows which
//! listings make up a read, [`crate::course`] where one of them goes on, [`crate::slice`] keeps the books.
//!
//! Pages are asked for ahead only where the place of the next ones is known, and count only if the pages
//! before them were as long as expected; otherwise they are thrown away and asked for again.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value as Json};
use sync_core::{
    Answer, Ask, Clock, Explain, Kind, Note, Refusal, ResumePoint, SavedCursor, Sent, Stop, Timestamp, Width,
};

use crate::Bound;
use crate::mold::Envelope;
use crate::plan::{CursorPlan, StreamPlan};
use crate::route::{Pass, Route};
use crate::slice::{Ending, Order, Resume, Slice};

mod answer;
mod ask;
mod leg;
mod parents;
mod start;

use leg::Leg;
use parents::Parents;

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
    /// How much time is asked for at once; nothing means as the connector says.
    pub window: Option<Duration>,
    /// Reads the whole listing although changes are told, and says of each page whose rows were on it.
    pub census: bool,
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
    /// What the rows are in, valid UTF-8: the whole answer, or the rows alone where words such as `drop` or `lift` made
    /// them anew.
    pub body: Bytes,
    /// The rows to load, in order.
    pub rows: Vec<Row>,
    /// Whose rows were on the page, those included that did not change; empty unless a census was asked for.
    pub seen: Vec<Seen>,
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

/// Somebody whose row was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who it is: a hash of its key.
    pub id: u128,
    /// The fields of its key, as a JSON object.
    pub key: String,
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
    /// A stable word for it: that of the refusal, or `listing_repeats`, `listing_endless`, `listing_stuck`,
    /// `listing_unsorted`, `listing_ceiling`, `listing_astray`, `more_pages`, `columns_differ`, `unexpected_answer`,
    /// `value_missing`, `start_missing`, `unknown_stream`, `invalid_start`, `stopped`.
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

    /// A reason that lies with who keeps what was read.
    pub fn of(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(kind, code, message)
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
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.waited += other.waited;
    }

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

/// Reads one stream.
pub struct Reader {
    bound: Bound,
    stream: Arc<StreamPlan>,
    options: ReadOptions,
    ask: Arc<dyn Ask>,
    hands: Hands,
    route: Route,
    parents: Option<Parents>,
    /// The parents whose listings are being read; none where there are no slices.
    group: Vec<Map<String, Json>>,
    /// The names of the fields to ask for, by the address they came from.
    names: Option<(String, Vec<String>)>,
    /// Whether the slices have been asked for.
    items_known: bool,
    /// The listing that is being read.
    leg: Option<Leg>,
    slice: Slice,
    envelope: Envelope,
    /// What is saved at the end, beside the end of the last window.
    ending: Ending,
    /// Whether all of what there is will have been read.
    full_listing: bool,
    /// Whether rows may be missing from a listing that was read before this one.
    doubtful: bool,
    limited: bool,
    /// Bytes of the largest page so far.
    page_bytes: usize,
    /// Listings that ended since the last page: they leave a mark now and then, so that a restart passes them over.
    silent: u32,
    misfits: u32,
    spent: Spent,
    notes: Vec<Note>,
    /// A restart to tell of before anything else.
    restart: Option<Note>,
    /// Where an unfinished read stopped.
    resume: Option<Resume>,
    over: bool,
}

/// Listings without a row, one after the other, before a page without rows marks how far we are.
const SILENT_MAX: u32 = 20;

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("stream", &self.stream.name)
            .field("leg", &self.leg)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// The next page, a new beginning, or the end.
    ///
    /// May be dropped at any await; nothing that was handed out is handed out again by the next call. After an
    /// error there is nothing more to have.
    pub async fn next(&mut self) -> Result<Step, ReadError> {
        // On the heap: a stream's future holds it, and a run holds those of all streams.
        match Box::pin(self.step()).await {
            Ok(step) => Ok(step),
            Err(error) => Err(self.with_cost(error)),
        }
    }

    async fn step(&mut self) -> Result<Step, ReadError> {
        loop {
            if let Some(why) = self.restart.take() {
                return Ok(Step::Restart { why });
            }
            if self.over {
                return Ok(Step::End(self.end()));
            }
            if self.leg.is_none() {
                if self.silent >= SILENT_MAX
                    && let Some(page) = self.mark()
                {
                    return Ok(Step::Page(page));
                }
                if !self.begin_leg().await? {
                    self.over = true;
                }
                continue;
            }
            self.look_for_rows_without_the_field().await?;
            if self.restart.is_some() {
                continue;
            }
            if let Some(answer) = self.fetch().await?
                && let Some(step) = self.arrive(&answer).await?
            {
                return Ok(step);
            }
        }
    }

    /// The next listing, if there is one.
    async fn begin_leg(&mut self) -> Result<bool, ReadError> {
        if self.hands.stop.asked() {
            return Err(stopped());
        }
        let resume = self.resume.take();
        let place = resume.as_ref().and_then(|resume| resume.place.clone());
        if self.parents.is_some() && self.group.is_empty() && !self.next_group().await? {
            return Ok(false);
        }
        loop {
            self.know_items().await?;
            let same_group = self.parents.as_ref().is_none_or(Parents::resumed_in_group);
            let found = match &place {
                Some(place) if same_group && resume.is_some() => {
                    let found = self.route.seek(place);
                    if found.is_none() {
                        self.begin_anew("the place where the last run stopped is not to be found any more");
                        return Ok(true);
                    }
                    found
                }
                _ => self.route.next(),
            };
            if let Some(found) = found {
                let walk = resume.filter(|_| same_group).and_then(|resume| resume.walk);
                self.open_leg(found, walk).await?;
                return Ok(true);
            }
            if self.parents.is_none() || !self.next_group().await? {
                return Ok(false);
            }
            self.route.reset();
        }
    }

    /// The listing that was read ended.
    fn end_leg(&mut self) {
        self.throw_away();
        let Some(leg) = self.leg.take() else { return };
        self.doubtful |= leg.course.doubtful();
        self.full_listing &= leg.complete(self.slice.order);
        self.silent += 1;
    }

    /// The read begins again with its first listing.
    fn begin_anew(&mut self, why: &str) {
        let why = format!("{why}, so the stream is read from its start");
        let note = Note::new("slice_restarted", why);
        self.start_over();
        self.restart = Some(note);
    }

    fn start_over(&mut self) {
        self.throw_away();
        self.leg = None;
        self.route.reset();
        self.slice.restart(Order::Stable);
        self.group.clear();
        if let Some(parents) = &mut self.parents {
            parents.reset();
        }
    }

    /// A page without rows that says how far we are.
    fn mark(&mut self) -> Option<Page> {
        let place = self.route.place(self.parents.as_ref().map(Parents::place))?;
        self.silent = 0;
        self.slice.number += 1;
        let Spent { requests, retries, waited } = std::mem::take(&mut self.spent);
        Some(Page {
            number: self.slice.number,
            body: Bytes::from_static(b"[]"),
            rows: Vec::new(),
            seen: Vec::new(),
            fetched: 0,
            filtered: 0,
            deduplicated: 0,
            resume: self.slice.resume_point(None, Some(place)),
            asked_at: self.hands.clock.now(),
            bytes: 0,
            requests,
            retries,
            waited,
            notes: std::mem::take(&mut self.notes),
        })
    }

    fn end(&mut self) -> End {
        self.throw_away();
        let cut = self.limited && self.slice.left == Some(0);
        if let Some(field) = self.slice.field_never_seen().filter(|_| self.ending == Ending::Seen) {
            let message = format!(
                "no row has the field `{field}` with a time in it, so changes cannot be told; all rows are compared"
            );
            self.notes.push(Note::new("cursor_field_missing", message));
        }
        let Spent { requests, retries, waited } = std::mem::take(&mut self.spent);
        let ending = match (self.ending, self.route.until()) {
            (Ending::Seen, Some(until)) => Ending::Window(until),
            (ending, _) => ending,
        };
        // Rows that may be missing are looked for again: the cursor waits for a listing that held still.
        let cursor = if cut || self.doubtful {
            None
        } else {
            let own = self.slice.cursor(self.hands.clock.now(), ending);
            match &self.parents {
                Some(parents) => parents.cursor_with(own),
                None => own,
            }
        };
        End {
            cursor,
            full_listing: !cut && self.full_listing,
            notes: std::mem::take(&mut self.notes),
            requests,
            retries,
            waited,
        }
    }

    fn with_cost(&mut self, mut error: ReadError) -> ReadError {
        self.throw_away();
        let Spent { requests, retries, waited } = std::mem::take(&mut self.spent);
        (error.requests, error.retries, error.waited) = (requests, retries, waited);
        error
    }

    fn title(&self) -> &str {
        self.bound.plan().title()
    }
}

/// Whether a listing is read for changes alone.
fn of_changes(pass: Pass) -> bool {
    matches!(pass, Pass::Changed)
}

fn stopped() -> ReadError {
    ReadError::new(Kind::Stopped, "stopped", "stopped")
}

fn refused(refusal: &Refusal) -> ReadError {
    let error = ReadError::new(refusal.kind, refusal.code, refusal.message.clone());
    ReadError { hint: refusal.hint.clone(), ..error }
}

impl From<&CursorPlan> for CursorOptions {
    fn from(plan: &CursorPlan) -> Self {
        Self { field: plan.field.clone(), start: plan.start.clone(), lookback: plan.lookback }
    }
}

#[cfg(test)]
mod tests;
