//! The sandbox itself: who is asked, what goes wrong, and the rows as they stand.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use sync_core::BoxFuture;
use sync_http::serve::{Handler, Incoming, Reply, Server};

use crate::counters::{Asked, Counters, ProviderCounters};
use crate::faults::{Armed, Change, Fault, RetryAfter, What, strike};
use crate::field::Row;
use crate::ink::{Ink, http_date};
use crate::listing::{self, Filter, Found, Wish};
use crate::options::{Options, OptionsError};
use crate::request::{Page, Request, decode, query};
use crate::state::{Provider, State, index as index_of, streams};
use crate::table::{By, Order, Passes};
use crate::window::{Day, Place};
use crate::{control, flowlu, hubnity, hubplanner, hubspot, planhat};

/// The built-in providers, played.
///
/// Answering is pure but for the counters and the clock: no network is needed to ask. [`Sandbox::start`] puts it
/// on a socket, [`crate::InProcess`] behind the trait of the HTTP client.
pub struct Sandbox {
    pub(crate) options: Options,
    state: Mutex<State>,
}

/// What the sandbox does with a request.
pub struct Answer {
    /// How long it takes its time.
    pub delay: Duration,
    /// What it does then.
    pub reply: Reply,
}

/// A sandbox on a socket.
pub struct Running {
    server: Server,
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The `base_url` of a provider: `http://127.0.0.1:PORT/planhat`.
    pub fn base_url(&self, provider: &str) -> String {
        format!("http://{}/{provider}", self.addr())
    }

    /// Closes every connection and stops listening.
    pub async fn stop(self) {
        self.server.shutdown().await;
    }
}

impl Sandbox {
    /// A sandbox with its rows as they are at the beginning.
    pub fn new(mut options: Options) -> Result<Arc<Self>, OptionsError> {
        let known =
            |name: &str| index_of(name).map(|index| streams().nth(index).expect("it was found").0.name);
        let rows = options.rows.iter().map(|(name, rows)| Ok((known(name)?.to_owned(), *rows)));
        options.rows = rows.collect::<Result<_, _>>()?;
        let forbidden = options.forbidden.iter().map(|name| Ok(known(name)?.to_owned()));
        options.forbidden = forbidden.collect::<Result<_, _>>()?;
        let state = Mutex::new(State::new(&options));
        Ok(Arc::new(Self { options, state }))
    }

    /// Listens on a loopback address; port 0 is any free one.
    #[expect(clippy::unused_async, reason = "listening needs a runtime; awaiting says so")]
    pub async fn start(self: &Arc<Self>, addr: SocketAddr) -> io::Result<Running> {
        Ok(Running { server: Server::start(addr, Arc::new(Played(self.clone())))? })
    }

    /// Every stream it has, as `provider/stream`, with the rows that it has now.
    pub fn streams(&self) -> Vec<(&'static str, u64)> {
        self.state().tables.iter().map(|(stream, table)| (stream.name, table.len())).collect()
    }

    /// What was asked so far.
    pub fn counters(&self) -> Counters {
        let state = self.state();
        let mut counters = state.counters.clone();
        for (index, provider) in Provider::ALL.into_iter().enumerate() {
            let window = &state.windows[index];
            let figures = ProviderCounters {
                requests: state.requests[index],
                limit: window.count,
                window: window.span,
                most_in_window: window.most,
                violations: window.violations,
                most_at_once: state.most_at_once[index],
                in_day: if provider == Provider::Hubplanner { state.days.most } else { 0 },
            };
            counters.providers.insert(provider.name(), figures);
        }
        counters
    }

    /// Lets something go wrong.
    pub fn fault(&self, fault: Fault) -> Result<(), OptionsError> {
        let mut state = self.state();
        if let What::Shift { stream, .. } = &fault.what {
            index_of(stream)?;
        }
        state.faults.push(Armed::new(fault));
        Ok(())
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Begins a stream anew with so many rows.
    pub fn set_rows(&self, stream: &str, rows: u64) -> Result<(), OptionsError> {
        let mut state = self.state();
        let index = index_of(stream)?;
        state.set_rows(index, rows);
        Ok(())
    }

    /// Changes rows by chance: their times and some of their values. Gives their ids.
    pub fn touch(&self, stream: &str, rows: u64) -> Result<Vec<String>, OptionsError> {
        self.change(stream, Change::Touch, rows, u64::MAX)
    }

    /// Adds rows at the end. Gives their ids.
    pub fn add(&self, stream: &str, rows: u64) -> Result<Vec<String>, OptionsError> {
        self.change(stream, Change::Add, rows, u64::MAX)
    }

    /// Deletes rows by chance. Gives their ids.
    pub fn delete(&self, stream: &str, rows: u64) -> Result<Vec<String>, OptionsError> {
        self.change(stream, Change::Delete, rows, u64::MAX)
    }

    /// Changes the rows of a stream; only among the first `before` by id where rows are put in or deleted. Gives
    /// the ids of the rows it befell.
    pub fn change(
        &self,
        stream: &str,
        change: Change,
        rows: u64,
        before: u64,
    ) -> Result<Vec<String>, OptionsError> {
        let now = self.options.clock.now().micros();
        let mut state = self.state();
        let index = index_of(stream)?;
        Ok(state.change(index, change, rows, before, now))
    }

    /// A round of changes: in every stream some rows are changed, a fifth as many added and a tenth deleted.
    pub fn round(&self) {
        let rows = self.options.changes_per_round;
        let now = self.options.clock.now().micros();
        let mut state = self.state();
        for index in 0..state.tables.len() {
            state.change(index, Change::Touch, rows, u64::MAX, now);
            state.change(index, Change::Add, rows / 5, u64::MAX, now);
            state.change(index, Change::Delete, rows / 10, u64::MAX, now);
        }
    }

    /// Everything as at the beginning: rows, faults and counters.
    pub fn reset(&self) {
        let fresh = State::new(&self.options);
        let mut state = self.state();
        // Requests under way are still to be counted out.
        let at_once = state.at_once;
        *state = State { at_once, ..fresh };
    }

    /// Every row of a stream as it stands, by id: what a complete read without parameters has to find. Rows that
    /// the provider hides from such a read are left out.
    pub fn oracle(&self, stream: &str) -> Result<Vec<Value>, OptionsError> {
        let mut rows = Vec::new();
        self.each_row(stream, |row| {
            rows.push(serde_json::from_str(row).expect("the sandbox writes JSON"));
        })?;
        Ok(rows)
    }

    /// The same one by one, as the exact text that is sent.
    pub fn each_row(&self, stream: &str, mut see: impl FnMut(&str)) -> Result<(), OptionsError> {
        let notes = stream == planhat::NOTES;
        let index = index_of(if notes { planhat::CONVERSATIONS } else { stream })?;
        let (stream, provider) = streams().nth(index).expect("the index of a stream");
        let filters: Vec<Filter> =
            Filter::hiding(stream).into_iter().chain(notes.then(|| planhat::only_notes(stream))).collect();
        let order = Order { by: By::Id, descending: false };
        let mut offset = 0;
        loop {
            let wish = Wish { order, filters: &filters, offset, limit: 1_000, count: false };
            let found = self.find(index, &wish);
            if found.rows.is_empty() {
                return Ok(());
            }
            offset += found.rows.len() as u64;
            for row in &found.rows {
                let mut ink = Ink::new(provider.hand());
                found.world.write(&mut ink, found.salt, stream.fields, row, |_| true);
                see(std::str::from_utf8(&ink.out).expect("only text is written"));
            }
        }
    }

    /// Answers a request without a network.
    pub fn answer(&self, incoming: &Incoming) -> Answer {
        let mut path = incoming.path.split('/').filter(|part| !part.is_empty()).map(decode);
        let first = path.next().unwrap_or_default();
        let request = Request { incoming, path: path.collect(), query: query(&incoming.query) };
        let provider = Provider::ALL.into_iter().find(|provider| provider.name() == first);
        if let Some(provider) = provider {
            return self.answer_as(provider, &request);
        }
        Answer { delay: Duration::ZERO, reply: control::answer(self, &first, &request).reply() }
    }

    fn answer_as(&self, provider: Provider, request: &Request) -> Answer {
        let endpoint = endpoint(provider, request);
        let clock = &self.options.clock;
        let (at, index) = (clock.now(), provider as usize);
        let (place, day, struck) = {
            let mut state = self.state();
            state.requests[index] += 1;
            let place = state.windows[index].ask(clock.monotonic());
            let day = match provider {
                Provider::Hubplanner => state.days.ask(at),
                _ => Day::default(),
            };
            (place, day, strike(&mut state.faults, &endpoint))
        };
        let place = Place { free: place.free || !self.options.limits, ..place };
        let day = Day { free: day.free || !self.options.limits, ..day };
        let (mut delay, mut fault) = (Duration::ZERO, None);
        for what in struck {
            match what {
                What::Latency(more) => delay += more,
                What::Shift { stream, change, rows, before } => {
                    self.change(&stream, change, rows, before)
                        .expect("the stream was looked up when it was set");
                }
                other => fault = fault.or(Some(other)),
            }
        }
        let right = || match provider {
            Provider::Planhat => planhat::answer(self, request, place),
            Provider::Flowlu => flowlu::answer(self, request, place),
            Provider::Hubplanner => hubplanner::answer(self, request, place, day),
            Provider::Hubspot => hubspot::answer(self, request, place),
            Provider::Hubnity => hubnity::answer(self, request, place),
        };
        let (reply, status, rows, bytes) = match fault {
            None => sent(right()),
            Some(What::Cut) => cut(right()),
            Some(What::Hang) => (Reply::Hang, 0, 0, 0),
            Some(What::Reset) => (Reply::Reset, 0, 0, 0),
            Some(other) => sent(self.broken(&other)),
        };
        let asked = Asked {
            at,
            endpoint,
            method: request.incoming.method.clone(),
            query: self.public(request),
            status,
            rows,
        };
        self.state().counters.note(asked, bytes);
        Answer { delay, reply }
    }

    fn broken(&self, what: &What) -> Page {
        match what {
            What::Status(status, retry_after) => {
                let page = match status {
                    429 => Page::text(429, "Too many requests"),
                    500.. => Page::html(*status),
                    _ => Page::text(*status, "That did not work"),
                };
                match retry_after {
                    None => page,
                    Some(RetryAfter::Seconds(seconds)) => page.header("retry-after", seconds.to_string()),
                    Some(RetryAfter::Date(seconds)) => {
                        let then = self.options.clock.now().plus(Duration::from_secs(*seconds));
                        page.header("retry-after", http_date(then.micros()))
                    }
                }
            }
            What::ErrorCode(code) => flowlu::error(*code),
            What::Html => Page::html(200),
            What::Empty => Page::json(200, ""),
            _ => Page::json(200, r#"{"message":"something else"}"#),
        }
    }

    /// The query without secrets.
    fn public(&self, request: &Request) -> Vec<(String, String)> {
        let secret = |text: &str| {
            let own = &self.options;
            [&own.planhat_token, &own.flowlu_key, &own.hubplanner_key, &own.hubspot_token, &own.hubnity_key]
                .into_iter()
                .any(|secret| !secret.is_empty() && text.contains(secret.as_str()))
        };
        let kept =
            request.query.iter().filter(|(name, value)| name != "api_key" && !secret(name) && !secret(value));
        kept.cloned().collect()
    }

    /// The rows a request asks for.
    pub(crate) fn find(&self, index: usize, wish: &Wish) -> Found {
        let mut state = self.state();
        let world = state.world.clone();
        let table = &mut state.tables[index].1;
        let salt = table.salt;
        let name = listing::name(wish.filters);
        let passes = listing::test(&world, salt, wish.filters);
        let filter = (!name.is_empty()).then_some((name.as_str(), &passes as Passes));
        let (rows, matching) = table.page(wish.order, filter, wish.offset, wish.limit, wish.count);
        let total = table.len();
        drop(passes);
        Found { rows, matching, total, world, salt }
    }

    /// So many rows from a slot on, by id, that pass; and how many do in all, where that is asked.
    pub(crate) fn scan(
        &self,
        index: usize,
        from: u64,
        limit: usize,
        count: bool,
        passes: impl Fn(&Row) -> bool,
    ) -> Found {
        let state = self.state();
        let table = &state.tables[index].1;
        let order = Order { by: By::Id, descending: false };
        let (mut rows, mut matching, mut position) = (Vec::new(), 0, table.position(from));
        while let Some(row) = table.at(order, position) {
            position += 1;
            if passes(&row) {
                matching += 1;
                if rows.len() < limit {
                    rows.push(row);
                }
                if !count && rows.len() >= limit {
                    break;
                }
            }
        }
        Found { rows, matching, total: table.len(), world: state.world.clone(), salt: table.salt }
    }

    /// The rows that were deleted, from a slot on, by id.
    pub(crate) fn buried(&self, index: usize, from: u64) -> Found {
        let state = self.state();
        let table = &state.tables[index].1;
        let mut rows: Vec<Row> =
            state.graves[index].iter().map(|(row, _)| *row).filter(|row| row.slot >= from).collect();
        rows.sort_by_key(|row| row.slot);
        Found {
            matching: rows.len() as u64,
            rows,
            total: table.len(),
            world: state.world.clone(),
            salt: table.salt,
        }
    }

    /// The rows that were deleted, and when.
    pub(crate) fn graves(&self, index: usize) -> Vec<(Row, i64)> {
        self.state().graves[index].clone()
    }

    /// One row, if its slot lives.
    pub(crate) fn get(&self, index: usize, slot: u64) -> Option<Found> {
        let state = self.state();
        let table = &state.tables[index].1;
        let rows = vec![table.get(slot)?];
        Some(Found { rows, matching: 1, total: 1, world: state.world.clone(), salt: table.salt })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_in(&self, path: &str) -> Option<Under<'_>> {
        let index = Provider::ALL.into_iter().position(|provider| {
            path.strip_prefix('/')
                .and_then(|p| p.strip_prefix(provider.name()))
                .is_some_and(|p| p.is_empty() || p.starts_with('/'))
        })?;
        let mut state = self.state();
        state.at_once[index] += 1;
        state.most_at_once[index] = state.most_at_once[index].max(state.at_once[index]);
        Some(Under { sandbox: self, index })
    }

    /// Answers a request, taking its time.
    pub(crate) async fn serve(&self, incoming: &Incoming) -> Reply {
        let _under_way = self.count_in(&incoming.path);
        let answer = self.answer(incoming);
        if !answer.delay.is_zero() {
            self.options.clock.sleep(answer.delay).await;
        }
        answer.reply
    }
}

/// A request under way; counted out when it is answered or the client leaves.
struct Under<'a> {
    sandbox: &'a Sandbox,
    index: usize,
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.sandbox.state().at_once[self.index] -= 1;
    }
}

struct Played(Arc<Sandbox>);

impl Handler for Played {
    fn answer(&self, incoming: Incoming) -> BoxFuture<'_, Reply> {
        Box::pin(async move { self.0.serve(&incoming).await })
    }
}

/// What the counters call a request's target: the path without ids.
fn endpoint(provider: Provider, request: &Request) -> String {
    let parts = match provider {
        Provider::Planhat | Provider::Hubplanner | Provider::Hubnity => 1,
        Provider::Flowlu => 3,
        Provider::Hubspot => 5,
    };
    let mut endpoint = provider.name().to_owned();
    for part in request.path.iter().take(parts) {
        endpoint.push('/');
        endpoint.push_str(part);
    }
    endpoint
}

fn sent(page: Page) -> (Reply, u16, u64, u64) {
    let (status, rows, bytes) = (page.status, page.rows, page.body.len() as u64);
    (page.reply(), status, rows, bytes)
}

fn cut(page: Page) -> (Reply, u16, u64, u64) {
    let half = page.body.len() / 2;
    let (status, headers, body) = (page.status, page.headers, page.body);
    (Reply::Cut { status, headers, body, sent: half }, status, 0, half as u64)
}
