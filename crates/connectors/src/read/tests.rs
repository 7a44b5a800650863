//! A provider in memory whose listings shift, lie and break, and a loader that takes what the reader hands out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use sync_core::{BoxFuture, Request, Response, Verdict};
use sync_spec::{Connector, Document};

use super::*;
use crate::{Plan, json};

mod broken;
mod changes;
mod language;
mod offsets;
mod pages;
mod resume;
mod slices;
mod storms;

/// A row of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    id: u64,
    /// The raw JSON of its time of change; empty where the field is missing.
    at: String,
}

/// How a server counts rows in its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Total {
    Right,
    Text,
    Zero,
    Missing,
    OfThisPage,
}

/// What a provider's server does.
#[derive(Clone, Debug)]
struct Style {
    /// It never gives more rows a page.
    cap: usize,
    /// It knows only offsets that are multiples of this, and gives so many rows whatever is asked.
    files: Option<usize>,
    /// It ignores where a page is asked for.
    deaf: bool,
    /// It sorts as it is asked to.
    sorts: bool,
    /// It refuses to sort by the time of change, with this status.
    refuses_sort: Option<u16>,
    total: Total,
    /// It refuses pages of more rows.
    refuses_above: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            cap: usize::MAX,
            files: None,
            deaf: false,
            sorts: true,
            refuses_sort: None,
            total: Total::Right,
            refuses_above: usize::MAX,
        }
    }
}

type Script = Box<dyn FnMut(usize, &mut Vec<Row>) + Send>;
type Override = Box<dyn FnMut(usize, &str) -> Option<String> + Send>;

/// The provider. What happens before the n-th answer (from 1) is the script's.
struct World {
    rows: Vec<Row>,
    style: Style,
    script: Script,
    /// An answer in the place of the right one.
    instead: Override,
    /// How many rows a page has at most, this time.
    lengths: Option<Box<dyn FnMut() -> usize + Send>>,
    asked: Vec<String>,
    under_way: usize,
    most_under_way: usize,
    random: fastrand::Rng,
    slow: bool,
}

#[derive(Clone)]
struct Server(Arc<Mutex<World>>);

impl Server {
    fn new(rows: Vec<Row>, style: Style) -> Self {
        Self(Arc::new(Mutex::new(World {
            rows,
            style,
            script: Box::new(|_, _| {}),
            instead: Box::new(|_, _| None),
            lengths: None,
            asked: Vec::new(),
            under_way: 0,
            most_under_way: 0,
            random: fastrand::Rng::with_seed(1),
            slow: false,
        })))
    }

    fn of(count: u64) -> Self {
        Self::new(rows(1..=count), Style::default())
    }

    fn with(self, change: impl FnOnce(&mut World)) -> Self {
        change(&mut self.0.lock().expect("no test panics in here"));
        self
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no test panics in here").asked)
    }

    fn ids(&self) -> BTreeSet<u64> {
        self.0.lock().expect("no test panics in here").rows.iter().map(|r| r.id).collect()
    }
}

/// Rows that changed one second after the other.
fn rows(ids: impl IntoIterator<Item = u64>) -> Vec<Row> {
    ids.into_iter().map(|id| Row { id, at: moment(id) }).collect()
}

fn moment(second: u64) -> String {
    format!("\"{}\"", Timestamp::from_micros(DAY + second as i64 * 1_000_000))
}

/// 2025-01-01T00:00:00Z
const DAY: i64 = 1_735_689_600_000_000;

impl World {
    fn answer(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let query: BTreeMap<_, _> = request.url.query_pairs().into_owned().collect();
        self.asked.push(request.url.query().unwrap_or_default().to_owned());
        let turn = self.asked.len();
        (self.script)(turn, &mut self.rows);
        let number = |name: &str| query.get(name).and_then(|v| v.parse::<usize>().ok());
        let limit = number("limit").unwrap_or(usize::MAX);
        if limit > self.style.refuses_above {
            return Err(refusal(Verdict::SmallerPage));
        }
        let mut list = self.rows.clone();
        if self.style.sorts && query.get("sort").is_some_and(|s| s == "-at") {
            list.sort_by(|a, b| b.at.cmp(&a.at));
        }
        if self.style.sorts && query.get("sort").is_some_and(|s| s == "at") {
            list.sort_by(|a, b| a.at.cmp(&b.at));
        }
        if query.get("sort").is_some_and(|s| s.contains("at")) && self.style.refuses_sort.is_some() {
            return Err(Refusal { status: self.style.refuses_sort, ..refusal(Verdict::Fail) });
        }
        let paged = query.contains_key("limit");
        let size = match self.style.files {
            _ if !paged => usize::MAX,
            Some(size) => size,
            None => limit.min(self.style.cap).min(self.lengths.as_mut().map_or(usize::MAX, |next| next())),
        };
        let start = match (number("offset"), number("page")) {
            _ if self.style.deaf => 0,
            (Some(offset), _) if self.style.files.is_some_and(|f| offset % f != 0) => list.len(),
            (Some(offset), _) => offset,
            (_, Some(page)) => (page - 1).saturating_mul(size),
            _ => 0,
        };
        let page: Vec<_> = list.iter().skip(start).take(size).collect();
        let items: Vec<_> = page.iter().map(|row| render(row)).collect();
        let items = items.join(",");
        let whole = if query.contains_key("page") {
            let total = match self.style.total {
                Total::Right => format!("\"total\":{},", list.len()),
                Total::Text => format!("\"total\":\"{}\",", list.len()),
                Total::Zero => "\"total\":0,".to_owned(),
                Total::Missing => String::new(),
                Total::OfThisPage => format!("\"total\":{},", page.len()),
            };
            format!("{{{total}\"items\":[{items}]}}")
        } else {
            format!("[{items}]")
        };
        let body = (self.instead)(turn, &whole).unwrap_or(whole);
        let moment = Timestamp::from_micros(DAY + 1_000_000_000_000);
        Ok(Answer {
            response: Response {
                status: 200,
                headers: vec![("date".to_owned(), "Sun, 12 Jan 2025 13:46:40 GMT".to_owned())],
                body: body.into(),
                first_byte_at: moment,
                elapsed: Duration::from_millis(1),
                waited: Duration::ZERO,
            },
            verdict: Verdict::Ok,
            say: None,
            retries: 0,
            waited: Duration::ZERO,
        })
    }
}

fn render(row: &Row) -> String {
    let kind = if row.id.is_multiple_of(2) { "even" } else { "odd" };
    let at = if row.at.is_empty() { String::new() } else { format!(",\"at\":{}", row.at) };
    format!("{{\"id\":\"r{}\",\"kind\":\"{kind}\",\"x\":\"]}}\\\"\"{at}}}", row.id)
}

fn refusal(verdict: Verdict) -> Refusal {
    Refusal {
        verdict: Some(verdict),
        kind: Kind::Failed,
        code: "refused",
        message: "refused".to_owned(),
        hint: None,
        status: Some(504),
        attempts: 1,
        waited: Duration::ZERO,
    }
}

impl Ask for Server {
    fn ask<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Answer, Refusal>> {
        Box::pin(async move {
            let turns = {
                let mut world = self.0.lock().expect("no test panics in here");
                world.under_way += 1;
                world.most_under_way = world.most_under_way.max(world.under_way);
                if world.slow { world.random.usize(0..20) } else { 0 }
            };
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            let mut world = self.0.lock().expect("no test panics in here");
            world.under_way -= 1;
            world.answer(request)
        })
    }
}

/// A clock that moves only when somebody sleeps.
#[derive(Default)]
struct Still(Mutex<Duration>);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(DAY + 1_000_000_000_000).plus(self.monotonic())
    }
    fn monotonic(&self) -> Duration {
        *self.0.lock().expect("no test panics in here")
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        *self.0.lock().expect("no test panics in here") += duration;
        Box::pin(std::future::ready(()))
    }
}

/// A connector with one stream of each kind.
const CONNECTOR: &str = r#"
connector: acme
base_url: https://api.acme.example/v1
defaults: { key: id, cursor: none, query: { sort: id } }
streams:
  offset:  { get: /o, paginate: { offset: { param: offset }, size: { limit: 10 } } }
  short:   { get: /o, paginate: { offset: { param: offset }, size: { limit: 10 }, stop: short } }
  large:   { get: /o, paginate: { offset: { param: offset }, size: { limit: 400 } } }
  keyless: { get: /o, key: none, paginate: { offset: { param: offset }, size: { limit: 10 } } }
  even:    { get: /o, keep: { kind: even }, paginate: { offset: { param: offset }, size: { limit: 10 } } }
  page:    { get: /p, records: items, paginate: { page: { param: page, first: 1 }, size: { limit: 10 }, stop: total(total) } }
  pages:   { get: /p, records: items, paginate: { page: { param: page, first: 1 }, size: { limit: 400 }, stop: total(total) } }
  endless: { get: /p, records: items, paginate: { page: { param: page, first: 1 }, size: { limit: 10 } } }
  whole:   { get: /w }
  feed:
    get: /o
    paginate: { offset: { param: offset }, size: { limit: 10 } }
    cursor: { field: at, format: iso, mode: client, lookback: 5s, newest_first: { sort: -at } }
  looked:
    get: /o
    paginate: { offset: { param: offset }, size: { limit: 10 } }
    cursor: { field: at, format: iso, mode: client, lookback: 5s, newest_first: { sort: -at }, oldest_first: { sort: at } }
  plain:
    get: /o
    paginate: { offset: { param: offset }, size: { limit: 10 } }
    cursor: { field: at, format: iso, mode: client, hold_back: 2s }
  numbered:
    get: /p
    records: items
    paginate: { page: { param: page, first: 1 }, size: { limit: 10 }, stop: total(total) }
    cursor: { field: at, format: iso, mode: client }
  picked:
    get: /o
    query: { fields: "${columns?:comma}" }
    keep: { kind.of: even }
    paginate: { offset: { param: offset }, size: { limit: 10 } }
    cursor: { field: at, format: iso, mode: client }
  local:
    get: /o
    paginate: { offset: { param: offset }, size: { limit: 10 } }
    cursor: { field: at, format: "%Y-%m-%dT%H:%M:%S.000000Z", mode: client }
"#;

fn options() -> ReadOptions {
    ReadOptions {
        key: vec!["id".to_owned()],
        cursor: None,
        from: None,
        resume: None,
        concurrency: 1,
        width: None,
        memory: usize::MAX,
        listing_only: false,
        limit: None,
        columns: None,
        window: None,
        census: false,
    }
}

fn try_reader(server: &Server, stream: &str, options: ReadOptions) -> Result<Reader, ReadError> {
    let connector = Connector::parse(&Document::new("acme.yaml", CONNECTOR)).expect("a good connector");
    let bound = Plan::build(&connector).expect("a good plan").bind(&[], None).expect("no settings needed");
    let hands = Hands { clock: Arc::new(Still::default()), stop: Stop::default() };
    bound.read(stream, options, Arc::new(server.clone()), hands)
}

fn reader(server: &Server, stream: &str, options: ReadOptions) -> Reader {
    try_reader(server, stream, options).expect("a stream to read")
}

/// What a loader took.
#[derive(Debug, Default)]
struct Loaded {
    /// Every row handed out, in order, as often as it was.
    ids: Vec<u64>,
    numbers: Vec<u64>,
    resumes: Vec<ResumePoint>,
    fetched: u64,
    filtered: u64,
    deduplicated: u64,
    requests: u64,
    retries: u64,
    /// Codes of restarts, then of notes.
    restarts: Vec<String>,
    notes: Vec<String>,
    end: Option<(Option<SavedCursor>, bool)>,
    error: Option<ReadError>,
}

impl Loaded {
    fn set(&self) -> BTreeSet<u64> {
        self.ids.iter().copied().collect()
    }

    fn cursor(&self) -> Option<SavedCursor> {
        self.end.as_ref().expect("the slice was read to its end").0.clone()
    }

    #[track_caller]
    fn is_whole(&self, expect: &BTreeSet<u64>) {
        assert!(self.error.is_none(), "{:?}", self.error);
        assert!(self.end.is_some());
        assert_eq!(&self.set(), expect);
    }

    /// Every row once, in order, without anything to tell.
    #[track_caller]
    fn is_plain(&self, expect: std::ops::RangeInclusive<u64>) {
        assert!(self.error.is_none(), "{:?}", self.error);
        assert!(self.end.is_some());
        assert_eq!(self.ids, expect.collect::<Vec<_>>());
        assert_eq!((self.restarts.len(), self.notes.len(), self.deduplicated), (0, 0, 0), "{self:?}");
    }
}

/// Takes pages until the end, an error, or so many pages.
async fn load(reader: &mut Reader, pages: usize) -> Loaded {
    let mut loaded = Loaded::default();
    while loaded.numbers.len() < pages {
        match reader.next().await {
            Ok(Step::Page(page)) => take(&mut loaded, page),
            Ok(Step::Restart { why }) => {
                loaded.restarts.push(why.code);
                loaded.numbers.clear();
                loaded.resumes.clear();
            }
            Ok(Step::End(end)) => {
                loaded.notes.extend(end.notes.into_iter().map(|n| n.code));
                loaded.requests += end.requests;
                loaded.retries += end.retries;
                loaded.end = Some((end.cursor, end.full_listing));
                break;
            }
            Err(error) => {
                loaded.requests += error.requests;
                loaded.retries += error.retries;
                loaded.error = Some(error);
                break;
            }
        }
    }
    loaded
}

fn take(loaded: &mut Loaded, page: Page) {
    assert_eq!(page.fetched, page.rows.len() as u64 + page.filtered + page.deduplicated);
    let body = std::str::from_utf8(&page.body).expect("a page is UTF-8");
    for row in &page.rows {
        let row = &body[row.range.start as usize..row.range.end as usize];
        let Some(json::Value::Text(id)) = json::get(row, &["id".to_owned()]) else { panic!("{row}") };
        loaded.ids.push(id[1..].parse().expect("a number after the r"));
    }
    loaded.numbers.push(page.number);
    // As a checkpoint does, through text.
    let text = serde_json::to_string(&page.resume).expect("it is JSON");
    loaded.resumes.push(serde_json::from_str(&text).expect("it was JSON"));
    loaded.fetched += page.fetched;
    loaded.filtered += page.filtered;
    loaded.deduplicated += page.deduplicated;
    loaded.requests += page.requests;
    loaded.retries += page.retries;
    loaded.notes.extend(page.notes.into_iter().map(|n| n.code));
}

async fn load_all(server: &Server, stream: &str, options: ReadOptions) -> Loaded {
    load(&mut reader(server, stream, options), usize::MAX).await
}
