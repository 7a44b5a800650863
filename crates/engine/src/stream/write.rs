//! The write stage: batches in, commits out, and the books that say where every row went.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sync_connectors::End;
use sync_core::{
    Books, Checkpoint, Clock, Disposition, Event, Explain as _, Kind, Note, Opened, Problem, Published,
    Receipt, Reject, ResumePoint, RunId, SavedCursor, Schema, SchemaChange, Share, SinkError, Status,
    StreamReport, Table, Type, Watch,
};
use sync_spec::Percent;
use tokio::sync::mpsc;

use super::prepare::sentence;
use super::{Context, Cost, PageBooks, Shaped, empty_report};
use crate::plan::StreamRun;
use crate::shape::Altered;

/// Rows are made visible this often where the sink does not do so with each commit.
const PUBLISH_EVERY: Duration = Duration::from_secs(30);

/// And never so often that publishing takes more than this part of the time.
const PUBLISH_SHARE: u32 = 10;

/// The write stage of one stream.
pub(super) struct Writer {
    report: StreamReport,
    run: RunId,
    destination: String,
    store: Arc<sync_state::Store>,
    watch: Arc<dyn Watch>,
    clock: Arc<dyn Clock>,
    /// `--limit`: rows land, the position does not move.
    limited: bool,
    allow_empty: bool,
    replaces: bool,
    census: bool,
    opened: Opened,
    key: Vec<String>,
    shaping: String,
    max_bad: Percent,
    schema: Schema,
    /// The position that the next checkpoint holds.
    sequence: u64,
    cursor: Option<SavedCursor>,
    resume: Option<ResumePoint>,
    pages: u64,
    /// Rows of the slice, those of earlier processes counted as one a page.
    received: u64,
    /// The same, exactly, with those that were set aside.
    slice: Share,
    /// Rows set aside earlier that a row of the same key supersedes.
    superseded: HashSet<String>,
    /// Values left out of rows that landed.
    dropped: u64,
    /// Why rows were set aside: how many, and the first of them.
    reasons: Vec<(Reject, u64)>,
    publish_at: Duration,
    /// The copy in the state store could not be written; said once.
    copy_failed: bool,
}

impl Writer {
    /// The writer of a stream whose table is open.
    pub(super) fn new(
        context: &Context<'_>,
        stream: &StreamRun,
        opened: Opened,
        saved: Option<Checkpoint>,
    ) -> Result<Self, Problem> {
        let destination = context.plan.destination.to_string();
        let waiting = context.store.open_rejects_identities(&stream.name, &destination);
        let mut report = empty_report(stream, None);
        let resume = saved.as_ref().and_then(|c| c.resume.clone());
        let pages = saved.as_ref().map_or(0, |c| c.pages);
        let limited = context.options.limit.is_some();
        report.resumed_from_page = (resume.is_some() && !limited).then_some(pages + 1);
        let clock = context.hands.clock.clone();
        let watch = context.hands.watch.clone();
        watch.event(Event::Started {
            stream: stream.name.clone(),
            resumed_from_page: report.resumed_from_page,
        });
        Ok(Self {
            report,
            run: context.run.clone(),
            destination,
            store: context.store.clone(),
            watch,
            limited,
            allow_empty: context.options.allow_empty,
            replaces: stream.disposition == Disposition::Replace
                || (context.options.full_refresh && stream.disposition != Disposition::History),
            census: stream.census,
            opened,
            key: stream.columns.terms.key.clone(),
            shaping: stream.columns.shaping.clone(),
            max_bad: stream.columns.max_bad,
            slice: saved.as_ref().filter(|c| c.resume.is_some()).map(|c| c.slice).unwrap_or_default(),
            superseded: waiting.map_err(|error| error.problem())?.into_iter().collect(),
            dropped: 0,
            reasons: Vec::new(),
            sequence: saved.as_ref().map_or(0, |c| c.sequence),
            cursor: saved.as_ref().and_then(|c| c.cursor.clone()),
            schema: saved.map(|c| c.schema).unwrap_or_default(),
            resume,
            pages,
            received: pages,
            publish_at: clock.monotonic() + PUBLISH_EVERY,
            clock,
            copy_failed: false,
        })
    }

    /// Until the slice is whole or something gives up; what happened, either way.
    pub(super) fn run(
        mut self,
        mut table: Box<dyn Table>,
        mut from_decode: mpsc::Receiver<Shaped>,
    ) -> StreamReport {
        let outcome = self.write(&mut *table, &mut from_decode);
        self.note_reasons();
        if let Err(problem) = outcome {
            self.report.status = Status::from(problem.kind);
            self.report.error = Some(problem);
        }
        drop(table);
        self.watch.event(Event::Finished(Box::new(self.report.clone())));
        self.report
    }

    fn write(
        &mut self,
        table: &mut dyn Table,
        from_decode: &mut mpsc::Receiver<Shaped>,
    ) -> Result<(), Problem> {
        while let Some(shaped) = from_decode.blocking_recv() {
            match shaped {
                Shaped::Page { page, parts, schema, changed, held } => {
                    if changed {
                        table.evolve(&schema).map_err(explain)?;
                        self.note_columns(&schema);
                    }
                    self.schema = schema;
                    for part in parts {
                        match part.tombstones {
                            true => table.remove(part.batch),
                            false => table.write(part.batch),
                        }
                        .map_err(explain)?;
                    }
                    self.commit(table, *page)?;
                    drop(held);
                }
                Shaped::Restart { why, requests } => {
                    self.asked(requests);
                    self.note(why);
                    table.restart().map_err(explain)?;
                    (self.resume, self.pages, self.received, self.slice) = (None, 0, 0, Share::default());
                }
                Shaped::End { end, altered } => return self.end(table, end, altered),
                Shaped::Failed { problem, requests, change } => {
                    self.asked(requests);
                    self.changed(change);
                    self.publish(table)?;
                    return Err(problem);
                }
            }
        }
        Err(Problem::new(Kind::Failed, "internal", "the decoder ended without a word")
            .hint("this is a bug of sync; what was committed is safe, and the next run goes on from there"))
    }

    /// A column whose type gave way is told: a reader of the table meets another type from now on. So is a field
    /// whose column could not have its name.
    fn note_columns(&mut self, schema: &Schema) {
        let new = schema.columns.iter().skip(self.schema.columns.len());
        let renamed = new.filter(|column| column.name != column.field);
        let mut notes: Vec<_> = renamed
            .map(|column| {
                let message = format!("the field {:?} is in the column {:?}", column.field, column.name);
                Note::new("column_named", message)
            })
            .collect();
        for (was, now) in self.schema.columns.iter().zip(&schema.columns).filter(|(was, _)| was.settled) {
            let digits_only = matches!((was.ty, now.ty), (Type::Decimal(..), Type::Decimal(..)));
            if was.ty != now.ty && !digits_only {
                let message = format!("the column {:?} was {} and is {} now", now.name, was.ty, now.ty);
                notes.push(Note::new("column_widened", message));
            }
        }
        for note in notes {
            self.note(note);
        }
    }

    /// Makes a page's rows durable with the position behind it.
    fn commit(&mut self, table: &mut dyn Table, page: PageBooks) -> Result<(), Problem> {
        self.asked(page.requests);
        page.notes.into_iter().for_each(|note| self.note(note));
        self.changed(page.changes);
        self.dropped += page.dropped;
        let aside = page.rejects.len() as u64;
        let mut books = self.report.books;
        books.fetched += page.fetched;
        books.filtered += page.filtered;
        books.deduplicated += page.deduplicated;
        books.quarantined += aside;
        self.report.bytes += page.bytes;
        self.received += page.fetched;
        self.slice.fetched += page.fetched;
        self.slice.quarantined += aside;
        if !self.limited {
            self.resume = Some(page.resume);
            self.pages = page.number;
        }
        // Rows that are about to be committed count as loaded until the sink knows better, so that a checkpoint's
        // own books balance.
        let staged = page.fetched - page.filtered - page.deduplicated - aside;
        let checkpoint = self.checkpoint(Books { loaded: books.loaded + staged, ..books });
        if aside > 0 {
            // Before the commit that leaves them out: in no case may a row be in neither place.
            let kept = self.store.quarantine(
                &self.run,
                &self.report.stream,
                &self.destination,
                checkpoint.sequence,
                &page.rejects,
            );
            kept.map_err(|error| error.problem())?;
        }
        let receipt = table.commit(&checkpoint).map_err(explain)?;
        // Only now: rows of a commit that failed are in no book, since the next run fetches them again.
        self.report.books = books;
        self.receive(receipt)?;
        self.copy(&checkpoint);
        self.supersede(&page.ids)?;
        page.rejects.into_iter().for_each(|reject| self.set_aside(reject));
        self.watch.event(Event::Committed {
            stream: self.report.stream.clone(),
            fetched: self.report.books.fetched,
            loaded: self.report.books.loaded,
            pages: self.pages,
        });
        if self.clock.monotonic() >= self.publish_at {
            self.publish(table)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, books: Books) -> Checkpoint {
        self.sequence += 1;
        Checkpoint {
            format: Checkpoint::FORMAT,
            sequence: self.sequence,
            run: self.run.clone(),
            at: self.clock.now(),
            cursor: self.cursor.clone(),
            resume: self.resume.clone(),
            pages: self.pages,
            books,
            key: self.key.clone(),
            schema: self.schema.clone(),
            slice: self.slice,
            shaping: self.shaping.clone(),
        }
    }

    /// Enters what a commit did, and checks that every row has a place.
    fn receive(&mut self, receipt: Receipt) -> Result<(), Problem> {
        let books = &mut self.report.books;
        books.loaded += receipt.loaded;
        books.deduplicated += receipt.deduplicated;
        if books.balance() {
            return Ok(());
        }
        let message = format!("the books do not balance: {books:?}");
        Err(Problem::new(Kind::Failed, "books_unbalanced", message)
            .hint("this is a bug of sync; compare the table with the provider before you rely on it"))
    }

    fn publish(&mut self, table: &mut dyn Table) -> Result<(), Problem> {
        let began = self.clock.monotonic();
        let published = table.publish().map_err(explain)?;
        self.published(published);
        let now = self.clock.monotonic();
        self.publish_at = now + PUBLISH_EVERY.max(now.saturating_sub(began) * PUBLISH_SHARE);
        Ok(())
    }

    fn published(&mut self, published: Published) {
        let books = &mut self.report.books;
        books.loaded = books.loaded.saturating_sub(published.unchanged);
        books.deduplicated += published.unchanged;
        tracing::debug!(
            stream = self.report.stream,
            unchanged = published.unchanged,
            rewritten_bytes = published.rewritten_bytes,
            "published"
        );
    }

    /// The slice is whole.
    fn end(&mut self, table: &mut dyn Table, end: End, altered: Altered) -> Result<(), Problem> {
        self.asked(Cost::of(end.requests, end.retries, end.waited));
        end.notes.into_iter().for_each(|note| self.note(note));
        if altered.mended > 0 {
            let message = format!(
                "{} texts held half of a surrogate pair, which is no character; it was stored as U+FFFD",
                altered.mended
            );
            self.note(Note::new("half_characters", message));
        }
        if altered.emptied > 0 {
            let emptied = altered.emptied;
            let message =
                format!("{emptied} empty texts were stored as null, in columns of dates, numbers or bools");
            self.note(Note::new("empty_as_null", message));
        }
        if self.dropped > 0 {
            let message = format!(
                "{} values that their columns cannot hold, or that have none, were left out of rows that landed",
                self.dropped
            );
            self.note(Note::new("values_dropped", message));
        }
        self.judge()?;
        if self.received == 0 && self.opened.rows > 0 && !self.allow_empty && !self.limited {
            return Err(self.suspicious());
        }
        if self.received == 0 && self.schema.columns.is_empty() && (self.opened.rows == 0 || !self.replaces) {
            self.note(Note::new(
                "no_rows",
                "the listing has no rows; the table is made when the first one comes",
            ));
            return Ok(());
        }
        if self.limited {
            return self.publish(table);
        }
        self.cursor = end.cursor.or_else(|| self.cursor.take());
        (self.resume, self.pages, self.slice) = (None, 0, Share::default());
        let checkpoint = self.checkpoint(self.report.books);
        if self.schema.columns.is_empty() {
            table.evolve(&self.schema).map_err(explain)?;
        }
        let (receipt, published) = table.finish(&checkpoint).map_err(explain)?;
        self.published(published);
        self.receive(receipt)?;
        self.copy(&checkpoint);
        if self.census
            && let Err(error) = self.forget_the_missed()
        {
            return Err(error);
        }
        if self.replaces {
            // The rows that earlier runs set aside belonged to a table that is no more.
            let forgotten =
                self.store.forget_rejects_of_the_table_before(&self.report.stream, &self.destination);
            forgotten.map_err(|error| error.problem())?;
        }
        Ok(())
    }

    /// Those whose deletion has landed are nobody's concern any more.
    fn forget_the_missed(&self) -> Result<(), Problem> {
        let (stream, destination) = (&self.report.stream, &self.destination);
        let generation =
            self.store.census_begins(stream, destination, true).map_err(|error| error.problem())?;
        self.store.census_ends(stream, destination, generation).map_err(|error| error.problem())
    }

    /// Remembers why a row was set aside, and that a row of the same key makes it out of date.
    fn set_aside(&mut self, mut reject: Reject) {
        self.superseded.extend(reject.identity.take());
        let same = |r: &Reject| (&r.code, &r.field) == (&reject.code, &reject.field);
        match self.reasons.iter_mut().find(|(first, _)| same(first)) {
            Some((_, count)) => *count += 1,
            None => self.reasons.push((reject, 1)),
        }
    }

    /// Says why rows were set aside.
    fn note_reasons(&mut self) {
        for (reject, count) in std::mem::take(&mut self.reasons) {
            let rows = if count == 1 { "1 row was".to_owned() } else { format!("{count} rows were") };
            let message =
                format!("{rows} set aside ({}), the first of them {}", reject.code, sentence(&reject));
            self.note(Note::new("rows_set_aside", message));
        }
    }

    /// Too many bad rows are not a few bad rows: something else is wrong.
    fn judge(&self) -> Result<(), Problem> {
        const ENOUGH: u64 = 1_000;
        let Share { fetched, quarantined } = self.slice;
        let most = u128::from(fetched) * u128::from(self.max_bad.millionths);
        if fetched < ENOUGH || u128::from(quarantined) * 1_000_000 <= most {
            return Ok(());
        }
        let message = format!(
            "{quarantined} of {fetched} rows were set aside, which is more than `max_bad` allows; the others landed, and \
             the listing is not taken as read"
        );
        Err(Problem::new(Kind::Contract, "too_many_bad_rows", message).hint(
            "look at them with `sync rejects list`; then mend the pipeline, or allow more with `max_bad`, and run again",
        ))
    }

    /// A row that landed stands for one of the same key that was set aside before: that one is out of date.
    fn supersede(&mut self, ids: &[u128]) -> Result<(), Problem> {
        if self.superseded.is_empty() {
            return Ok(());
        }
        let gone = ids.iter().map(|id| format!("{id:032x}")).filter(|id| self.superseded.remove(id));
        let gone: Vec<_> = gone.collect();
        if gone.is_empty() {
            return Ok(());
        }
        let done = self.store.supersede_rejects(&self.report.stream, &self.destination, &gone);
        done.map_err(|error| error.problem())
    }

    /// Enters what became of the columns, each change once.
    fn changed(&mut self, changes: impl IntoIterator<Item = SchemaChange>) {
        for change in changes {
            let same = |c: &SchemaChange| {
                (&c.column, c.to, &c.contract) == (&change.column, change.to, &change.contract)
            };
            if !self.report.schema_changes.iter().any(same) {
                self.report.schema_changes.push(change);
            }
        }
    }

    fn suspicious(&self) -> Problem {
        let message = format!(
            "the provider answered with no rows at all, and the table has {}; nothing was changed",
            self.opened.rows
        );
        Problem::new(Kind::Contract, "suspicious_empty", message)
            .hint("if the provider really has none left, run again with --allow-empty")
    }

    /// The copy of a checkpoint for the history. The proof is in the destination, so a failure is told and no
    /// more.
    fn copy(&mut self, checkpoint: &Checkpoint) {
        if self.copy_failed {
            return;
        }
        let copied = self.store.record_commit(&self.run, &self.report.stream, &self.destination, checkpoint);
        if let Err(error) = copied {
            self.copy_failed = true;
            let message = format!("the history of checkpoints could not be written: {}", error.problem());
            self.note(Note::new("history_not_written", message));
        }
    }

    fn asked(&mut self, requests: Cost) {
        requests.enter(&mut self.report);
    }

    pub(super) fn note(&mut self, note: Note) {
        if self.report.notes.contains(&note) {
            return;
        }
        self.watch.event(Event::Note { stream: self.report.stream.clone(), note: note.clone() });
        self.report.notes.push(note);
    }
}

fn explain(error: SinkError) -> Problem {
    error.problem()
}
