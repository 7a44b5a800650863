//! How a read begins: how changes are told, which listings make it up, and where an unfinished one stopped.

use std::sync::Arc;
use std::time::Duration;

use sync_core::{Ask, Kind, Note, SavedCursor};
use sync_spec::CursorMode;

use super::parents::{Parents, split};
use super::{CursorOptions, Hands, ReadError, ReadOptions, Reader, Spent};
use crate::Bound;
use crate::cursor::Format;
use crate::plan::StreamPlan;
use crate::route::{Frame, Pass, Route};
use crate::slice::{Ending, Order, Resume, Slice, Tracker, bound};

impl Reader {
    pub(crate) fn new(
        bound: &Bound,
        stream: &str,
        options: ReadOptions,
        ask: Arc<dyn Ask>,
        hands: Hands,
    ) -> Result<Self, ReadError> {
        let Some(stream) = bound.plan().stream(stream) else {
            let message = format!("{} has no stream `{stream}`", bound.plan().title());
            return Err(ReadError::new(Kind::Refused, "unknown_stream", message));
        };
        Self::over(bound, stream, options, ask, hands)
    }

    /// Reads a stream, or a listing that is read as one is.
    pub(crate) fn over(
        bound: &Bound,
        stream: &StreamPlan,
        options: ReadOptions,
        ask: Arc<dyn Ask>,
        hands: Hands,
    ) -> Result<Self, ReadError> {
        let mut notes = Vec::new();
        let (own, of_parents) = options.from.as_ref().map_or((None, None), split);
        let tracker = tracker(stream, &options, own.as_ref(), &hands, &mut notes)?;
        let has_state = tracker.as_ref().is_some_and(|t| t.before.is_some());
        let passes = passes(stream, &options, has_state);
        let server = stream.cursor.as_ref().is_some_and(|cursor| cursor.mode == CursorMode::Server);
        let sorted = stream.cursor.as_ref().is_some_and(|cursor| {
            cursor.newest_first.is_some() && tracker.as_ref().is_some_and(|t| t.path == cursor.field)
        });
        if has_state && !server && !sorted && !options.census {
            let message = "the provider cannot be asked for changes of this stream, so all of it was read and rows \
                           that did not change were left out";
            notes.push(Note::new("full_listing", message));
        }
        let windowed: Vec<Pass> = passes
            .iter()
            .copied()
            .filter(|pass| match pass {
                Pass::Main => stream.main.request.asks(sync_spec::Root::Window),
                Pass::Changed => stream.windowed(),
                Pass::Also | Pass::Archived => false,
            })
            .collect();
        let frame =
            if windowed.is_empty() { None } else { Some(frame(stream, &options, tracker.as_ref(), &hands)?) };
        let ending = match (passes.first(), &stream.changed) {
            (Some(Pass::Main), Some(_)) if server => Ending::Began,
            _ => Ending::Seen,
        };
        let resume = options.resume.as_ref().and_then(Resume::read);
        let mut restart = None;
        if options.resume.is_some() && resume.is_none() {
            let message = "the place where the last run stopped is of another form, so the listing is read from its start";
            restart = Some(Note::new("slice_restarted", message));
        }
        let mut slice = Slice::new(Order::Stable, tracker, options.limit);
        if let Some(resume) = &resume {
            slice.resume(resume);
        }
        let resume = resume.filter(|resume| {
            let anew = resume.order == Order::NewestFirst;
            if anew {
                // A few pages at most, and rows that changed since stand before the place where it stopped.
                let message = "a listing of the newest changes is read from its start after an interruption";
                restart = Some(Note::new("slice_restarted", message));
                slice.restart(Order::Stable);
            }
            !anew
        });
        let parents = stream.slices.for_each.as_ref().map(|plan| {
            let wanted =
                resume.as_ref().and_then(|r| r.place.as_ref()).and_then(|place| place.parent.clone());
            Parents::new(plan, bound, ask.clone(), hands.clone(), of_parents, wanted)
        });
        let in_part = parents.as_ref().is_some_and(Parents::in_part);
        Ok(Self {
            bound: bound.clone(),
            stream: Arc::new(stream.clone()),
            ask,
            hands,
            full_listing: !in_part,
            route: Route::new(passes, windowed, frame),
            parents,
            group: Vec::new(),
            names: None,
            items_known: false,
            leg: None,
            slice,
            envelope: crate::mold::Envelope::new(),
            ending,
            doubtful: false,
            limited: options.limit.is_some(),
            page_bytes: 0,
            silent: 0,
            misfits: 0,
            spent: Spent::default(),
            notes,
            restart,
            resume,
            over: options.limit == Some(0),
            options,
        })
    }
}

/// The listings that make up a read.
fn passes(stream: &StreamPlan, options: &ReadOptions, has_state: bool) -> Vec<Pass> {
    let server = stream.cursor.as_ref().is_some_and(|cursor| cursor.mode == CursorMode::Server);
    let mut passes = vec![match &stream.changed {
        Some(_) if server && has_state && !options.listing_only => Pass::Changed,
        _ => Pass::Main,
    }];
    if stream.cursor.as_ref().is_some_and(|cursor| cursor.also.is_some()) {
        passes.push(Pass::Also);
    }
    if stream.archived.is_some() && !options.listing_only {
        passes.push(Pass::Archived);
    }
    passes
}

/// How changes are told in this read, if they are.
fn tracker(
    stream: &StreamPlan,
    options: &ReadOptions,
    from: Option<&SavedCursor>,
    hands: &Hands,
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
    let (mut found, mut before, note) = bound(from, &field, &format, start, wanted.lookback);
    notes.extend(note);
    let reach = own.and_then(|own| own.fallback_after).filter(|_| before.is_some());
    if let (Some(reach), Some(moment)) = (reach, found)
        && moment < hands.clock.now().minus(reach).micros()
    {
        let days = reach.as_secs() / 86_400;
        let message = format!(
            "the last read lies further back than the {days} days for which the provider tells changes, so all of it is read"
        );
        notes.push(Note::new("full_listing", message));
        (found, before) = (start, None);
    }
    let hold_back = own.map(|own| own.hold_back).unwrap_or_default();
    Ok(Some(Tracker { field, path: wanted.field, format, bound: found, hold_back, before }))
}

/// What the windows of a read lie in.
fn frame(
    stream: &StreamPlan,
    options: &ReadOptions,
    tracker: Option<&Tracker>,
    hands: &Hands,
) -> Result<Frame, ReadError> {
    let own = stream.cursor.as_ref();
    let step = options.window.or_else(|| own.and_then(|own| own.window));
    let hold_back = own.map(|own| own.hold_back).unwrap_or_default();
    let start = own.and_then(|own| own.format.parse_start(own.start.as_deref()?));
    let Some(from) = tracker.and_then(|t| t.bound).or(start) else {
        let message =
            format!("{} is read by windows of time, and nothing says where the first begins", stream.name);
        return Err(ReadError::new(Kind::Refused, "start_missing", message)
            .hint("write `cursor: { start: 2024-01-31 }` for the stream"));
    };
    let step = step.map(|step: Duration| i64::try_from(step.as_micros()).unwrap_or(i64::MAX));
    Ok(Frame { from, until: hands.clock.now().minus(hold_back).micros(), step })
}
