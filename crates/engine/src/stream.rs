//! One stream from its first request to its last commit: fetch → decode → write.
//!
//! Three stages, each on its own, with queues between them whose bytes are counted. The fetch stage is
//! asynchronous; decoding and writing block, so each has a thread. What a stage has to say travels with the
//! pages, in order: an error of the reader arrives after every page that came before it was committed.

mod census;
mod decode;
mod prepare;
mod write;

use std::sync::Arc;

use sync_connectors::{End, Page, ReadError, ReadOptions, Reader, Step};
use sync_core::{
    Ask, Begin, Checkpoint, Disposition, Note, Problem, Reject, RunId, Schema, SchemaChange, Share, Status,
    StreamReport, Table, TableSpec, Width,
};
use tokio::sync::mpsc;

use crate::gate::{Gate, Held};
use crate::plan::{RunPlan, StreamRun};
use crate::{Hands, RunOptions};
use prepare::Preparation;

/// What leaves the reader.
pub(crate) enum Fetched {
    /// A page, and its bytes while it is in memory.
    Page(Page, Held),
    /// The slice begins again.
    Restart(Note),
    /// The slice was read to its end.
    End(End),
    /// The reader gave up.
    Failed(ReadError),
}

/// What leaves the decoder.
pub(crate) enum Shaped {
    /// A page in its columns. The schema is the table's from this page on.
    Page { page: Box<PageBooks>, parts: Vec<Part>, schema: Schema, changed: bool, held: Held },
    /// The slice begins again.
    Restart { why: Note, requests: Cost },
    /// The slice was read to its end.
    End { end: End, altered: crate::shape::Altered },
    /// Reading or decoding gave up. Nothing comes after it.
    Failed { problem: Problem, requests: Cost, change: Option<SchemaChange> },
}

/// Rows of a page that are all of one kind.
pub(crate) struct Part {
    pub batch: sync_core::arrow::record_batch::RecordBatch,
    /// Whether they say what is deleted.
    pub tombstones: bool,
}

/// What is left of a page when its rows are in a batch.
pub(crate) struct PageBooks {
    pub number: u64,
    pub fetched: u64,
    pub filtered: u64,
    pub deduplicated: u64,
    pub bytes: u64,
    pub resume: sync_core::ResumePoint,
    pub requests: Cost,
    pub notes: Vec<Note>,
    /// Rows that do not land.
    pub rejects: Vec<Reject>,
    /// Who the rows are that do.
    pub ids: Vec<u128>,
    /// What the page did to the table's columns, or would have done.
    pub changes: Vec<SchemaChange>,
    /// Values left out of rows that land.
    pub dropped: u64,
}

/// What asking cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub requests: u64,
    pub retries: u64,
    pub waited_ms: u64,
}

/// What a stream needs beside its plan.
pub(crate) struct Context<'a> {
    pub plan: &'a RunPlan,
    pub options: &'a RunOptions,
    pub hands: &'a Hands,
    pub ask: Arc<dyn Ask>,
    /// How many requests are worth having under way.
    pub width: Width,
    pub sink: Arc<dyn sync_core::Sink>,
    pub store: Arc<sync_state::Store>,
    pub run: RunId,
    /// Runs that were under way when their process died.
    pub interrupted: &'a [RunId],
    /// Bytes for this stream.
    pub memory: usize,
}

/// A queue holds few pages: its bytes are bounded by the gate, its length is only a second bound.
const QUEUE_PAGES: usize = 2;

/// Reads one stream into its table.
pub(crate) async fn run(context: &Context<'_>, stream: &StreamRun) -> StreamReport {
    let started = context.hands.clock.monotonic();
    let mut report = match told(context, stream).await {
        Ok((told, cost)) => {
            let stream = told.as_ref().unwrap_or(stream);
            let mut report = match open(context, stream).await {
                Ok(opened) => pull(context, stream, opened).await,
                Err(problem) => empty_report(stream, Some(problem)),
            };
            cost.enter(&mut report);
            report
        }
        Err((problem, cost)) => {
            let mut report = empty_report(stream, Some(problem));
            cost.enter(&mut report);
            report
        }
    };
    let elapsed = context.hands.clock.monotonic().saturating_sub(started);
    report.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    report
}

/// The stream with the types that the provider tells of its fields, where it tells any. Without them the stream does
/// not begin: they decide the types of the table, for good.
async fn told(
    context: &Context<'_>,
    stream: &StreamRun,
) -> Result<(Option<StreamRun>, Cost), (Problem, Cost)> {
    use sync_core::Explain as _;
    let Some(from) = &stream.types_from else { return Ok((None, Cost::default())) };
    let (flight, _, _) = shares(context.memory);
    let types = context.plan.bound.types(&from.listing, flight, context.ask.clone(), reader_hands(context));
    match types.await {
        Ok(types) => {
            let cost = Cost::of(types.requests, types.retries, types.waited);
            let envelope: Vec<_> = from.envelope.iter().map(String::as_str).collect();
            let columns = stream.columns.told(types.fields, from.lift.as_deref(), &envelope);
            Ok((Some(StreamRun { columns, ..stream.clone() }), cost))
        }
        Err(error) => {
            let cost = Cost::of(error.requests, error.retries, error.waited);
            Err((error.problem(), cost))
        }
    }
}

fn reader_hands(context: &Context<'_>) -> sync_connectors::Hands {
    sync_connectors::Hands { clock: context.hands.clock.clone(), stop: context.hands.stop.clone() }
}

/// The report of a stream that did nothing.
pub(crate) fn empty_report(stream: &StreamRun, problem: Option<Problem>) -> StreamReport {
    StreamReport {
        stream: stream.name.clone(),
        named: stream.named,
        status: problem.as_ref().map_or(Status::Done, |p| Status::from(p.kind)),
        error: problem,
        books: sync_core::Books::default(),
        requests: 0,
        retries: 0,
        waited_ms: 0,
        resumed_from_page: None,
        bytes: 0,
        elapsed_ms: 0,
        notes: Vec::new(),
        schema_changes: Vec::new(),
    }
}

/// An open table, and the reader that goes on where it ends.
struct Opened {
    table: Box<dyn Table>,
    reader: Reader,
    writer: write::Writer,
    schema: Option<Schema>,
    /// Whether it goes on in the middle of a listing.
    goes_on: bool,
}

/// A twelfth of the stream's bytes may be under way to us, a sixth may wait between the stages, and the sink
/// has a third. The rest is for what these cannot count: the page that goes over a bound because its size is known
/// only when it is there, its batch, and what the allocator has not given back yet.
fn shares(memory: usize) -> (usize, usize, usize) {
    (memory / 12, memory / 6, memory / 3)
}

async fn open(context: &Context<'_>, stream: &StreamRun) -> Result<Opened, Problem> {
    use sync_core::Explain as _;
    let (flight, _, sink_memory) = shares(context.memory);
    let anew = context.options.full_refresh;
    // Of a history the past is kept: a full refresh reads everything and compares.
    let keeps_past = stream.disposition == Disposition::History;
    let spec = TableSpec {
        begin: if anew && !keeps_past { Begin::Anew } else { Begin::Continue },
        ..stream.table(&context.plan.pipeline, &context.run, sink_memory)
    };
    let sink = context.sink.clone();
    let opening = move || {
        let mut table = sink.open(&spec)?;
        let opened = table.opened();
        // A table that was built to its end and not switched in: the listing is read again, and what has gone from it
        // since must not stay.
        if opened.building && opened.checkpoint.as_ref().is_some_and(|c| c.resume.is_none()) {
            table.restart()?;
        }
        Ok(table)
    };
    let table = blocking(opening).await?.map_err(|error: sync_core::SinkError| error.problem())?;
    let opened = table.opened().clone();
    let saved = opened.checkpoint.clone();
    if let Some(saved) = saved.as_ref().filter(|c| context.interrupted.contains(&c.run)) {
        let close = context.store.close_interrupted(&saved.run, &stream.name, saved.books);
        close.map_err(|error| error.problem())?;
    }
    context
        .store
        .settle_rejects(&stream.name, &context.plan.destination.to_string(), saved.as_ref())
        .map_err(|error| error.problem())?;
    let whole = stream.disposition == Disposition::Replace;
    if let Some(before) =
        saved.as_ref().filter(|c| !whole && opened.rows > 0 && c.key != stream.columns.terms.key)
    {
        return Err(another_key(stream, &before.key));
    }
    let mut notes: Vec<Note> = saved.iter().filter_map(|c| reshaped(stream, c, &opened, whole)).collect();
    let limited = context.options.limit.is_some();
    let saved = saved.map(|c| match whole && !opened.building {
        // A position inside a slice that went into the old table says nothing about a new one.
        true => Checkpoint { resume: None, pages: 0, ..c },
        false => c,
    });
    let saved = saved.map(|c| match keeps_past && anew {
        true => Checkpoint { cursor: None, resume: None, pages: 0, slice: Share::default(), ..c },
        false => c,
    });
    let goes_on = saved.as_ref().is_some_and(|c| c.resume.is_some()) && !limited;
    let options = ReadOptions {
        key: stream.key.clone(),
        cursor: stream.cursor.clone(),
        from: saved.as_ref().and_then(|c| c.cursor.clone()).filter(|_| !opened.building),
        resume: saved.as_ref().and_then(|c| c.resume.clone()).filter(|_| !limited),
        concurrency: IN_FLIGHT,
        width: Some(context.width.clone()),
        memory: flight,
        listing_only: whole,
        limit: context.options.limit,
        columns: stream.columns.wanted.clone(),
        window: stream.window,
        census: stream.census,
    };
    let reader = context
        .plan
        .bound
        .read(&stream.name, options, context.ask.clone(), reader_hands(context))
        .map_err(|error| error.problem())?;
    let mut schema = saved.as_ref().map(|c| c.schema.clone());
    let kept = schema.as_mut().map(|schema| stream.columns.terms.adopt(schema)).unwrap_or_default();
    if !kept.is_empty() && (opened.rows > 0 || opened.building) {
        let message = format!(
            "`types` gives {} another type than the table has, which keeps its own until --full-refresh rebuilds it",
            kept.join(", ")
        );
        notes.push(Note::new("types_not_applied", message));
    }
    let mut writer = write::Writer::new(context, stream, opened, saved)?;
    for note in notes {
        writer.note(note);
    }
    Ok(Opened { table, reader, writer, schema, goes_on })
}

/// Rows that landed under other words about their columns stay as they are, which somebody should know.
fn reshaped(stream: &StreamRun, saved: &Checkpoint, opened: &sync_core::Opened, whole: bool) -> Option<Note> {
    if whole || opened.rows == 0 || saved.shaping == stream.columns.shaping {
        return None;
    }
    let message = "`select`, `types` or `transform` is another than when the rows of this table landed; they stay as they \
                   are until they change at the provider, or until --full-refresh reads everything again";
    Some(Note::new("columns_changed", message))
}

/// Requests of a stream under way at once. How many are worth it is the budget's to say.
const IN_FLIGHT: u32 = 64;

/// Rows told apart by one key cannot be merged by another: they would take each other's place.
fn another_key(stream: &StreamRun, before: &[String]) -> Problem {
    let named = |key: &[String]| {
        if key.is_empty() { "no key".to_owned() } else { format!("the key {}", key.join(", ")) }
    };
    let message = format!(
        "the rows of {} were told apart by {}, and now they would be by {}",
        stream.name,
        named(before),
        named(&stream.columns.terms.key)
    );
    Problem::new(sync_core::Kind::Refused, "key_changed", message)
        .hint("undo that, or read everything into a new table with --full-refresh")
}

async fn pull(context: &Context<'_>, stream: &StreamRun, opened: Opened) -> StreamReport {
    let Opened { table, reader, writer, schema, goes_on } = opened;
    let (_, waiting, _) = shares(context.memory);
    let gate = Gate::new(waiting);
    let (to_decode, from_fetch) = mpsc::channel(QUEUE_PAGES);
    let (to_write, from_decode) = mpsc::channel(QUEUE_PAGES);
    let decoder = decode::Decode::new(schema, preparation(context, stream), context.run.clone(), waiting / 2);
    let decoding = tokio::task::spawn_blocking(move || decoder.run(from_fetch, &to_write));
    let writing = tokio::task::spawn_blocking(move || writer.run(table, from_decode));
    let seen = |page: &Page| {
        context.hands.watch.event(sync_core::Event::Page {
            stream: stream.name.clone(),
            rows: page.fetched,
            bytes: page.bytes,
            requests: page.requests,
        });
    };
    let mut census = census::Census::of(context, stream, goes_on);
    fetch(reader, &gate, &to_decode, &mut census, seen).await;
    drop(to_decode);
    let _ = decoding.await; // a panic in there closes its queue, and the writer reports that
    match writing.await {
        Ok(report) => report,
        Err(error) => {
            let message = format!("the writer of {} ended: {error}", stream.name);
            let hint =
                "this is a bug of sync; what was committed is safe, and the next run goes on from there";
            empty_report(stream, Some(Problem::new(sync_core::Kind::Failed, "internal", message).hint(hint)))
        }
    }
}

/// What is done to every row before it lands.
pub(crate) fn preparation(context: &Context<'_>, stream: &StreamRun) -> Preparation {
    let columns = &stream.columns;
    Preparation {
        refinery: columns.refinery.clone(),
        terms: columns.terms.clone(),
        sent_key: stream.key.clone(),
        mark: columns.terms.key.iter().chain(&columns.order).cloned().collect(),
        disposition: stream.disposition,
        scrubber: context.hands.scrubber.clone(),
    }
}

/// The fetch stage: pages as long as there is room and somebody takes them.
async fn fetch(
    mut reader: Reader,
    gate: &Gate,
    to_decode: &mpsc::Sender<Fetched>,
    census: &mut Option<census::Census>,
    seen: impl Fn(&Page),
) {
    loop {
        tokio::select! {
            () = gate.room() => {}
            () = to_decode.closed() => return,
        }
        let (fetched, last) = match reader.next().await {
            Ok(Step::Page(page)) => {
                seen(&page);
                if let Some(problem) = census.as_mut().and_then(|census| census.saw(&page)) {
                    let _ = to_decode.send(Fetched::Failed(problem)).await;
                    return;
                }
                let held = gate.hold(page.body.len());
                (Fetched::Page(page, held), false)
            }
            Ok(Step::Restart { why }) => {
                if let Some(problem) = census.as_mut().and_then(census::Census::begins_again) {
                    let _ = to_decode.send(Fetched::Failed(problem)).await;
                    return;
                }
                (Fetched::Restart(why), false)
            }
            Ok(Step::End(end)) => {
                if end.full_listing
                    && let Some(census) = census
                {
                    loop {
                        match census.missed() {
                            Ok(None) => break,
                            Ok(Some(page)) => {
                                let held = gate.hold(page.body.len());
                                if to_decode.send(Fetched::Page(page, held)).await.is_err() {
                                    return;
                                }
                            }
                            Err(problem) => {
                                let _ = to_decode.send(Fetched::Failed(problem)).await;
                                return;
                            }
                        }
                    }
                }
                (Fetched::End(end), true)
            }
            Err(error) => (Fetched::Failed(error), true),
        };
        if to_decode.send(fetched).await.is_err() || last {
            return;
        }
    }
}

/// Runs something that blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Problem::new(sync_core::Kind::Failed, "internal", format!("a task ended: {error}"))
            .hint("this is a bug of sync; what was committed is safe")
    })
}
