//! One listing of a read: how its requests are built, and what to look for in its pages.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;
use sync_core::{Answer, Kind, Note, Operation, Refusal, Request, Sent};
use sync_spec::{
    CeilingThen, Chunk, Condition, CursorMode, FieldPath, Nulls, Root, StopRule, Template, Test,
};
use tokio::task::JoinHandle;
use url::Url;

use super::{ReadError, Reader, Spent, of_changes};
use crate::course::{Course, Milestone, Spot};
use crate::plan::{Listing, ListingPlan, StreamPlan};
use crate::records::Shape;
use crate::request::Settings;
use crate::route::{self, Pass};
use crate::scope::{From, Missing, Scope, Sight};
use crate::slice::{Gate, Order, Tracker};

/// A listing while it is read.
pub(super) struct Leg {
    pub pass: Pass,
    pub plan: ListingPlan,
    pub scope: Scope,
    pub shape: Shape,
    pub course: Course,
    /// The query that sorts it newest first, where it is read so.
    pub newest_first: Option<Vec<(String, Template)>>,
    /// The query of the opposite order, as long as one row of it is still to be asked for.
    pub oldest_first: Option<Vec<(String, Template)>>,
    /// The fields to name in each of the requests that make up a page; none where they are not named.
    pub chunks: Vec<Vec<String>>,
    /// What every row is given.
    pub set: Vec<(String, Json)>,
    pub flights: VecDeque<Flight>,
    /// Pages that were handed out.
    pub pages: u64,
    /// Whether the request itself asks for changes alone.
    by_state: bool,
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg").field("pass", &self.pass).field("course", &self.course).finish_non_exhaustive()
    }
}

/// A request under way, on a task of its own so that its time-outs run by its own clock while the pages before
/// it are being loaded. Dropping it abandons it.
pub(super) struct Flight {
    pub spot: Spot,
    pub sent: Sent,
    pub task: JoinHandle<Result<Answer, Refusal>>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Leg {
    /// Whether everything that it lists will have been seen.
    pub fn complete(&self, order: Order) -> bool {
        order == Order::Stable && !self.by_state
    }

    /// Whether a shorter window is asked for where it gives too many rows.
    pub fn narrows(&self) -> bool {
        let ceiling = match &self.plan.listing {
            Listing::Pages(paging) => paging.ceiling,
            Listing::Trail(trailing) => trailing.ceiling,
            Listing::Whole => None,
        };
        ceiling.is_some_and(|ceiling| ceiling.then == CeilingThen::NarrowWindow)
    }

    /// The requests that make up a page, one for each part of the columns.
    pub fn requests(
        &self,
        spot: &Spot,
        order: Order,
        settings: &Settings,
    ) -> Result<Vec<Request>, ReadError> {
        let sorted = self.newest_first.as_deref().filter(|_| order == Order::NewestFirst).unwrap_or(&[]);
        self.requests_sorted(spot, sorted, settings)
    }

    pub fn requests_sorted(
        &self,
        spot: &Spot,
        sorted: &[(String, Template)],
        settings: &Settings,
    ) -> Result<Vec<Request>, ReadError> {
        let set = self.course.set(spot);
        let mut scope = self.scope.clone();
        scope.page.extend(set.page);
        if set.cursor.is_some() {
            scope.cursor = set.cursor;
        }
        let build = |scope: &Scope| {
            let built = self.plan.request.build(settings, scope, sorted, &set.parameters, Operation::Read);
            let mut request = built.map_err(missing)?;
            if let Some(address) = &set.url {
                request.url = beside(address, settings)?;
            }
            Ok(request)
        };
        if self.chunks.is_empty() {
            return Ok(vec![build(&scope)?]);
        }
        let mut requests = Vec::with_capacity(self.chunks.len());
        for names in &self.chunks {
            scope.columns = Some(names.clone());
            requests.push(build(&scope)?);
        }
        Ok(requests)
    }
}

impl Reader {
    /// Opens a listing, at its beginning or where another process stopped.
    pub(super) async fn open_leg(
        &mut self,
        found: route::Leg,
        resume: Option<Milestone>,
    ) -> Result<(), ReadError> {
        let stream = self.stream.clone();
        let plan = listing_of(&stream, found.pass);
        let tracker = self.slice.tracker.as_ref();
        let server = stream.cursor.as_ref().is_some_and(|cursor| cursor.mode == CursorMode::Server);
        let bound = tracker.and_then(|t| t.bound);
        let mut scope = Scope {
            stream: stream.name.clone(),
            item: found.item,
            parents: self.group.clone(),
            cursor: bound.map(From::Moment),
            window: found.window,
            pen: stream.cursor.as_ref().map(|cursor| cursor.pen.clone()).unwrap_or_default(),
            ..Scope::default()
        };
        let asks_changes = plan.request.asks(Root::Cursor) || plan.request.asks(Root::Window);
        let by_state = of_changes(found.pass) || (server && asks_changes && bound.is_some());
        let shape = shape(&stream, plan, found.pass, &self.options.key, tracker);
        let gate = gate(&stream, found.pass, tracker, server);
        let newest_first = newest_first(&stream, found.pass, tracker).filter(|_| !self.options.census);
        let oldest_first = newest_first
            .as_ref()
            .filter(|_| found.pass == Pass::Main && !gate.skip_nulls)
            .and(stream.cursor.as_ref())
            .and_then(|cursor| cursor.oldest_first.clone());
        let order = if newest_first.is_some() { Order::NewestFirst } else { Order::Stable };
        let set = self.values_to_set(&scope)?;
        let mut course = Course::new(&plan.listing);
        let resumed = resume.is_some();
        if let Some(milestone) = resume
            && course.resume(&milestone).is_none()
        {
            self.begin_anew("the place where the last run stopped cannot be read");
            return Ok(());
        }
        let whole = plan.keep.0.is_empty() && !stream.rewrite.writes() && gate.bound.is_none();
        if !resumed && whole {
            course.at_most(self.options.limit.unwrap_or(u64::MAX));
        }
        let chunks = if stream.columns.is_some() && plan.request.asks(Root::Columns) {
            let names = self.column_names(&scope, &shape).await?;
            self.chunks(plan, &mut scope, names)?
        } else {
            let wanted = self.options.columns.as_ref().and_then(|wanted| columns(wanted, &shape));
            scope.columns = wanted;
            Vec::new()
        };
        // What was read in full before goes on so.
        self.slice.turn_to(if resumed { Order::Stable } else { order }, gate);
        self.misfits = 0;
        self.leg = Some(Leg {
            pass: found.pass,
            plan: plan.clone(),
            scope,
            shape,
            course,
            newest_first: newest_first.filter(|_| !resumed),
            oldest_first: oldest_first.filter(|_| !resumed),
            chunks,
            set,
            flights: VecDeque::new(),
            pages: 0,
            by_state,
        });
        Ok(())
    }

    fn values_to_set(&self, scope: &Scope) -> Result<Vec<(String, Json)>, ReadError> {
        let sight = Sight { config: &self.bound.settings().config, scope };
        let mut set = Vec::new();
        for (name, value) in &self.stream.rewrite.set {
            set.extend(sight.body(value).map_err(missing)?.map(|value| (name.clone(), value)));
        }
        Ok(set)
    }

    /// The names in pieces that a request can hold.
    fn chunks(
        &self,
        plan: &ListingPlan,
        scope: &mut Scope,
        names: Vec<String>,
    ) -> Result<Vec<Vec<String>>, ReadError> {
        // A token in the URL takes room, too.
        const TOKEN_ROOM: u64 = 200;
        let chunk = self.stream.columns.as_ref().and_then(|columns| columns.chunk);
        let limit = match chunk {
            Some(Chunk::Count(count)) => {
                return Ok(names.chunks(count as usize).map(<[String]>::to_vec).collect());
            }
            Some(Chunk::Url(characters)) if plan.request.columns_in_url() => characters,
            _ => return Ok(vec![names]),
        };
        scope.columns = Some(Vec::new());
        let bare =
            plan.request.build(self.bound.settings(), scope, &[], &[], Operation::Read).map_err(missing)?;
        let room = limit.saturating_sub(bare.url.as_str().len() as u64 + TOKEN_ROOM).max(1);
        let length = |name: &str| {
            url::form_urlencoded::byte_serialize(name.as_bytes()).map(str::len).sum::<usize>() as u64 + 3
        };
        let (mut chunks, mut taken) = (Vec::<Vec<String>>::new(), u64::MAX);
        for name in names {
            let needed = length(&name);
            if taken.saturating_add(needed) > room {
                chunks.push(Vec::new());
                taken = 0;
            }
            taken += needed;
            chunks.last_mut().expect("one was opened").push(name);
        }
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        Ok(chunks)
    }

    /// Abandons what is under way; what was sent of it counts.
    pub(super) fn throw_away(&mut self) {
        use futures_util::FutureExt as _;
        let Some(leg) = &mut self.leg else { return };
        for mut flight in leg.flights.drain(..) {
            match (&mut flight.task).now_or_never() {
                Some(Ok(outcome)) => self.spent.enter(&outcome, &flight.sent),
                _ => self.spent.requests += u64::from(flight.sent.count()),
            }
        }
    }

    /// The listing that is read begins again, in its stable order: alone where the others can stand, else with them.
    pub(super) fn leg_again(&mut self, why: Note) {
        self.throw_away();
        let newest = self.slice.order == Order::NewestFirst;
        let alone = self.route.single() && self.parents.is_none();
        if newest && why.code != "full_listing" {
            self.notes.push(Note::new("full_listing", "all of the listing was read, in its stable order"));
        }
        if alone {
            if let Some(leg) = &mut self.leg {
                leg.course.reset();
            }
            self.slice.restart(Order::Stable);
            self.restart = Some(why);
        } else if self.options.key.is_empty() {
            // Rows that come twice could not be told apart, so none of this read may stay.
            self.start_over();
            self.restart = Some(why);
        } else {
            if let Some(leg) = &mut self.leg {
                leg.course.reset();
            }
            let gate = self.slice.gate;
            self.slice.turn_to(Order::Stable, gate);
            self.notes.push(why);
        }
    }
}

/// The listing of a pass.
fn listing_of(stream: &StreamPlan, pass: Pass) -> &ListingPlan {
    let also = || stream.cursor.as_ref().and_then(|cursor| cursor.also.as_ref()).map(|(listing, _)| listing);
    match pass {
        Pass::Main => Some(&stream.main),
        Pass::Changed => stream.changed.as_ref(),
        Pass::Also => also(),
        Pass::Archived => stream.archived.as_ref(),
    }
    .unwrap_or(&stream.main)
}

fn shape(
    stream: &StreamPlan,
    plan: &ListingPlan,
    pass: Pass,
    key: &[String],
    tracker: Option<&Tracker>,
) -> Shape {
    let stop = match &plan.listing {
        Listing::Pages(paging) => Some(&paging.stop),
        Listing::Trail(trailing) => trailing.stop.as_ref(),
        Listing::Whole => None,
    };
    let mut totals = match stop {
        Some(StopRule::Total(paths)) => paths.clone(),
        _ => Vec::new(),
    };
    if totals.is_empty() && matches!(&plan.listing, Listing::Trail(t) if t.ceiling.is_some()) {
        totals.push(FieldPath(vec!["total".to_owned()]));
    }
    let mut keep = plan.keep.clone();
    let mut cursor = tracker.map(|t| (t.path.as_slice(), &t.format));
    if pass == Pass::Also
        && let Some(own) = &stream.cursor
        && let Some((_, field)) = &own.also
    {
        // The first listing has the rows that have the field.
        keep = Condition(keep.0.into_iter().chain([(FieldPath(own.field.clone()), Test::Empty)]).collect());
        cursor = Some((field.as_slice(), &own.format));
    }
    let lift = stream.mold.lift.as_deref();
    Shape::new(&plan.records, &totals, (key, lift), cursor, &keep, &plan.deleted_when)
}

/// Which rows of a listing are new.
fn gate(stream: &StreamPlan, pass: Pass, tracker: Option<&Tracker>, server: bool) -> Gate {
    let bound = tracker.and_then(|t| t.bound);
    let skip = stream.cursor.as_ref().is_some_and(|cursor| cursor.nulls == Nulls::Skip);
    match pass {
        // What the provider compared is not compared again: its field may be another than the one that is filtered by.
        Pass::Main | Pass::Changed if server => Gate { bound: None, skip_nulls: false, counts: true },
        Pass::Main | Pass::Changed => Gate { bound, skip_nulls: skip, counts: true },
        Pass::Also => Gate { bound, skip_nulls: false, counts: false },
        Pass::Archived => Gate { bound: None, skip_nulls: false, counts: false },
    }
}

/// The query that lists the newest changes first, where it helps: after a first complete read, and for the
/// field it sorts by.
fn newest_first(
    stream: &StreamPlan,
    pass: Pass,
    tracker: Option<&Tracker>,
) -> Option<Vec<(String, Template)>> {
    let (own, tracker) = (stream.cursor.as_ref()?, tracker?);
    tracker.before.as_ref()?;
    match pass {
        Pass::Main if own.mode != CursorMode::Server => {
            own.newest_first.clone().filter(|_| own.field == tracker.path)
        }
        Pass::Also => Some(Vec::new()), // its own query sorts it so
        _ => None,
    }
}

/// The fields to ask for: those wanted, and those that are looked at. A name with a comma cannot be asked for.
fn columns(wanted: &[String], shape: &Shape) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in shape.looked_at().chain(wanted.iter().map(String::as_str)) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names.iter().all(|name| !name.is_empty() && !name.contains(',')).then_some(names)
}

/// An address that the provider sent, if it is one of the connector's own: no request and no secret leaves its host. What
/// it holds of a secret parameter is taken out; signing puts the right one in.
fn beside(address: &str, settings: &Settings) -> Result<Url, ReadError> {
    let astray = |what: &str| {
        ReadError::new(Kind::Refused, "listing_astray", format!("the provider's next page is at {what}"))
            .hint("only pages under the connector's own host are asked for; see `base_url`")
    };
    let mut url = settings.base.join(address).map_err(|_| astray("an address that cannot be read"))?;
    let same = |a: &Url, b: &Url| {
        (a.scheme(), a.host_str(), a.port_or_known_default())
            == (b.scheme(), b.host_str(), b.port_or_known_default())
    };
    if !same(&url, &settings.base) || !url.username().is_empty() || url.password().is_some() {
        let host = url.host_str().unwrap_or("another place").to_owned();
        return Err(astray(&host));
    }
    url.set_fragment(None);
    let secret = |name: &str| settings.secret_parameters.iter().any(|n| n == name);
    if url.query_pairs().any(|(name, _)| secret(&name)) {
        let kept: Vec<(String, String)> =
            url.query_pairs().into_owned().filter(|(n, _)| !secret(n)).collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
        if url.query() == Some("") {
            url.set_query(None);
        }
    }
    Ok(url)
}

pub(super) fn missing(missing: Missing) -> ReadError {
    let message = format!("a request needs {}, which has no value", missing.0);
    ReadError::new(Kind::Refused, "value_missing", message)
        .hint("where it may be absent, write `${NAME?}` in the connector file")
}

/// Asks for every part of a page and joins their rows.
pub(super) async fn ask_all(
    ask: Arc<dyn sync_core::Ask>,
    requests: Vec<Request>,
    records: Vec<FieldPath>,
    on: FieldPath,
) -> Result<Answer, Refusal> {
    /// Rows that come and go between two parts of a page are met again together.
    const TRIES: u32 = 3;
    let mut spent = Spent::default();
    for _ in 0..TRIES {
        let mut answers = Vec::with_capacity(requests.len());
        for request in &requests {
            let outcome = ask.ask(request).await;
            match outcome {
                Ok(answer) => {
                    spent.enter(&Ok(answer.clone()), &Sent::default());
                    answers.push(answer);
                }
                Err(mut refusal) => {
                    refusal.attempts += spent.requests as u32;
                    refusal.waited += spent.waited;
                    return Err(refusal);
                }
            }
        }
        let bodies: Option<Vec<&str>> =
            answers.iter().map(|answer| std::str::from_utf8(&answer.response.body).ok()).collect();
        let joined = bodies.and_then(|bodies| crate::rewrite::merged(&bodies, &records, &on).ok().flatten());
        if let Some(joined) = joined {
            let mut first = answers.swap_remove(0);
            first.response.body = joined.into();
            first.retries = spent.retries as u32;
            first.waited = spent.waited;
            return Ok(first);
        }
    }
    Err(Refusal {
        verdict: None,
        kind: Kind::Failed,
        code: "columns_differ",
        message: "the parts of a page, asked for one after the other, do not hold the same rows".to_owned(),
        hint: Some("its rows change faster than they can be read; run again later".to_owned()),
        status: None,
        attempts: spent.requests as u32,
        waited: spent.waited,
    })
}
