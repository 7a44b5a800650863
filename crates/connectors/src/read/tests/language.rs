//! Ways to go on and to be told changes, each against a provider that answers as its words say.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value as Json, json};
use sync_core::{BoxFuture, Request, Response, Verdict};
use sync_spec::{Connector, Document};

use super::super::*;
use super::{DAY, Still};
use crate::Plan;

/// A request as the provider sees it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: Json,
}

impl Asked {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }
}

/// Status, headers, body.
pub(super) struct Reply(pub u16, pub Vec<(String, String)>, pub String);

pub(super) fn ok(body: &Json) -> Reply {
    Reply(200, Vec::new(), body.to_string())
}

type Provider = Box<dyn FnMut(&Asked) -> Reply + Send>;

#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<(Provider, Vec<String>)>>);

impl Fake {
    pub fn new(provider: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new((Box::new(provider), Vec::new()))))
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no test panics in here").1)
    }
}

impl Ask for Fake {
    fn ask<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Answer, Refusal>> {
        Box::pin(async move {
            let body = request
                .body
                .as_ref()
                .and_then(|b| serde_json::from_slice(&b.bytes).ok())
                .unwrap_or(Json::Null);
            let query = request.url.query_pairs().into_owned().collect();
            let asked = Asked { path: request.url.path().to_owned(), query, body };
            let mut inner = self.0.lock().expect("no test panics in here");
            let mut line = asked.path.clone();
            line.extend(request.url.query().map(|query| format!("?{query}")));
            if !asked.body.is_null() {
                line.extend([" ".to_owned(), asked.body.to_string()]);
            }
            inner.1.push(line);
            request.sent.enter();
            let Reply(status, mut headers, body) = (inner.0)(&asked);
            if status != 200 {
                return Err(Refusal {
                    verdict: Some(if status == 413 { Verdict::SmallerWindow } else { Verdict::Fail }),
                    kind: Kind::Failed,
                    code: "provider_error",
                    message: format!("status {status}"),
                    hint: None,
                    status: Some(status),
                    attempts: 1,
                    waited: Duration::ZERO,
                });
            }
            headers.push(("date".to_owned(), "Sun, 12 Jan 2025 13:46:40 GMT".to_owned()));
            let response = Response {
                status,
                headers,
                body: body.into(),
                first_byte_at: Timestamp::from_micros(DAY + 1_000_000_000_000),
                elapsed: Duration::from_millis(1),
                waited: Duration::ZERO,
            };
            Ok(Answer { response, verdict: Verdict::Ok, say: None, retries: 0, waited: Duration::ZERO })
        })
    }
}

/// What came of a read.
#[derive(Debug, Default)]
pub(super) struct Took {
    pub rows: Vec<Json>,
    pub resumes: Vec<ResumePoint>,
    pub notes: Vec<String>,
    pub tombstones: usize,
    pub requests: u64,
    pub restarts: usize,
    pub end: Option<(Option<SavedCursor>, bool)>,
    pub error: Option<ReadError>,
}

impl Took {
    /// The ids of the rows, in order.
    pub fn ids(&self) -> Vec<u64> {
        self.rows.iter().map(|row| row["id"].as_u64().expect("an id")).collect()
    }

    #[track_caller]
    pub fn whole(&self) -> &Self {
        assert!(self.error.is_none(), "{:?}", self.error);
        assert!(self.end.is_some());
        self
    }

    pub fn cursor(&self) -> Option<SavedCursor> {
        self.end.as_ref().and_then(|end| end.0.clone())
    }
}

pub(super) fn options() -> ReadOptions {
    super::options()
}

pub(super) fn try_reader(
    fake: &Fake,
    connector: &str,
    stream: &str,
    options: ReadOptions,
) -> Result<Reader, ReadError> {
    let text = format!("connector: acme\nbase_url: https://api.acme.example/v1\n{connector}");
    let connector = Connector::parse(&Document::new("acme.yaml", text)).unwrap_or_else(|f| panic!("{f}"));
    let bound =
        Plan::build(&connector).unwrap_or_else(|f| panic!("{f}")).bind(&[], None).expect("no settings");
    let hands = Hands { clock: Arc::new(Still::default()), stop: Stop::default() };
    let key = bound.plan().stream(stream).map(|s| s.key.clone()).unwrap_or_default();
    bound.read(stream, ReadOptions { key, ..options }, Arc::new(fake.clone()), hands)
}

/// Takes pages until the end, an error, or so many of them.
pub(super) async fn take(
    fake: &Fake,
    connector: &str,
    stream: &str,
    options: ReadOptions,
    pages: usize,
) -> Took {
    let mut reader = try_reader(fake, connector, stream, options).expect("a stream to read");
    let mut took = Took::default();
    while took.resumes.len() < pages {
        match reader.next().await {
            Ok(Step::Page(page)) => {
                assert_eq!(page.fetched, page.rows.len() as u64 + page.filtered + page.deduplicated);
                let body = std::str::from_utf8(&page.body).expect("UTF-8");
                for row in &page.rows {
                    took.tombstones += usize::from(row.kind == RowKind::Tombstone);
                    let text = &body[row.range.start as usize..row.range.end as usize];
                    took.rows.push(serde_json::from_str(text).expect("a row is JSON"));
                }
                let text = serde_json::to_string(&page.resume).expect("it is JSON");
                took.resumes.push(serde_json::from_str(&text).expect("it was JSON"));
                took.notes.extend(page.notes.into_iter().map(|note| note.code));
                took.requests += page.requests;
            }
            Ok(Step::Restart { .. }) => {
                took.restarts += 1;
                took.rows.clear();
            }
            Ok(Step::End(end)) => {
                took.notes.extend(end.notes.into_iter().map(|note| note.code));
                took.requests += end.requests;
                took.end = Some((end.cursor, end.full_listing));
                break;
            }
            Err(error) => {
                took.error = Some(error);
                break;
            }
        }
    }
    took
}

pub(super) async fn all(fake: &Fake, connector: &str, stream: &str) -> Took {
    take(fake, connector, stream, options(), usize::MAX).await
}

/// A read that is killed after each of its pages in turn ends up with the rows of one that is not.
pub(super) async fn survives(make: impl Fn() -> Fake, connector: &str, stream: &str) {
    let whole = all(&make(), connector, stream).await;
    whole.whole();
    let sorted = |rows: &[Json]| {
        let mut rows: Vec<String> = rows.iter().map(Json::to_string).collect();
        rows.sort();
        rows.dedup();
        rows
    };
    for kill in 1..=whole.resumes.len() {
        let fake = make();
        let mut begun = take(&fake, connector, stream, options(), kill).await;
        let asked = fake.asked().len();
        let resume = begun.resumes.last().cloned();
        let rest = take(&fake, connector, stream, ReadOptions { resume, ..options() }, usize::MAX).await;
        assert!(rest.error.is_none(), "{kill}: {:?}", rest.error);
        assert_eq!(rest.restarts, 0, "{kill}: {:?}", rest.notes);
        begun.rows.extend(rest.rows);
        assert_eq!(sorted(&begun.rows), sorted(&whole.rows), "killed after page {kill}, {asked} asked");
    }
}

fn row(id: usize) -> Json {
    json!({"id": id, "at": Timestamp::from_micros(DAY + id as i64 * 1_000_000).to_string()})
}

/// 25 rows in pages of 10 behind a token, which is the number of rows before.
fn tokens() -> Fake {
    Fake::new(|asked| {
        let from = asked.number("after").or_else(|| asked.body["after"].as_str()?.parse().ok()).unwrap_or(0);
        let rows: Vec<Json> = (from + 1..=25).take(10).map(row).collect();
        let next = (from + 10 < 25).then(|| (from + 10).to_string());
        ok(&json!({"data": rows, "paging": {"next": {"after": next}}, "has_more": from + 10 < 25}))
    })
}

const TOKENS: &str = "
defaults: { key: id, records: data }
streams:
  query: { get: /t, paginate: { cursor: { from: paging.next.after, to: { query: after } }, size: { limit: 10 } } }
  body: { post: /t, body: { a: 1 }, paginate: { cursor: { from: paging.next.after, to: { body: after } }, size: { body: { limit: 10 } } } }
  more: { get: /t, paginate: { cursor: { from: paging.next.after, to: { query: after }, more: { has_more: true } } } }
  absent: { get: /t, paginate: { cursor: { from: paging.next.after, to: { query: after } }, stop: absent(paging.next) } }
";

#[tokio::test]
async fn tokens_lead_on_from_the_query_and_the_body() {
    for stream in ["query", "body", "more", "absent"] {
        let fake = tokens();
        let took = all(&fake, TOKENS, stream).await;
        assert_eq!(took.whole().ids(), (1..=25).collect::<Vec<_>>(), "{stream}");
        assert_eq!(took.end.as_ref().map(|end| end.1), Some(true));
        survives(tokens, TOKENS, stream).await;
    }
    let fake = tokens();
    all(&fake, TOKENS, "body").await;
    assert_eq!(fake.asked()[1], r#"/v1/t {"a":1,"after":"10","limit":10}"#);
}

#[tokio::test]
async fn a_token_that_has_expired_begins_the_listing_again() {
    let fake = tokens();
    let begun = take(&fake, TOKENS, "query", options(), 1).await;
    let expired = Fake::new(|asked| match asked.get("after") {
        Some("10") => Reply(410, Vec::new(), String::new()),
        after => {
            let from: usize = after.and_then(|text| text.parse().ok()).unwrap_or(0);
            let rows: Vec<Json> = (from + 1..=from + 5).map(row).collect();
            ok(&json!({"data": rows, "paging": {"next": {"after": (from < 5).then_some("5")}}}))
        }
    });
    let options = ReadOptions { resume: begun.resumes.last().cloned(), ..options() };
    let took = take(&expired, TOKENS, "query", options, usize::MAX).await;
    assert_eq!((took.whole().ids().len(), took.restarts), (10, 1));
}

/// 25 rows in pages of 10, each with the address of the next.
fn linked(address: fn(usize) -> String, header: bool) -> Fake {
    Fake::new(move |asked| {
        let from = asked.number("from").unwrap_or(0);
        let rows: Vec<Json> = (from + 1..=25).take(10).map(row).collect();
        let next = (from + 10 < 25).then(|| address(from + 10));
        let links = match &next {
            Some(next) if header => vec![
                ("link".to_owned(), r#"</v1/l?from=0>; rel="first""#.to_owned()),
                ("link".to_owned(), format!("<{next}>; rel=\"next\"")),
            ],
            _ => Vec::new(),
        };
        let body = if header { json!(rows) } else { json!({"data": rows, "links": {"next": next}}) };
        Reply(200, links, body.to_string())
    })
}

const LINKED: &str = "
auth: { query: { api_key: \"${secret.key}\" } }
defaults: { key: id }
streams:
  url: { get: /l, records: data, paginate: { next_url: { from: links.next } } }
  header: { get: /l, paginate: link_header }
";

#[tokio::test]
async fn addresses_lead_on_inside_the_host() {
    let relative = |from| format!("?from={from}&api_key=abc");
    let absolute = |from| format!("https://api.acme.example/v1/l?from={from}&api_key=abc");
    for (stream, header) in [("url", false), ("header", true)] {
        for address in [relative, absolute] {
            let fake = linked(address, header);
            let took = all(&fake, LINKED, stream).await;
            assert_eq!(took.whole().ids(), (1..=25).collect::<Vec<_>>(), "{stream}");
            assert!(
                fake.asked().iter().all(|line| !line.contains("abc")),
                "a secret stays out of what is kept"
            );
            survives(|| linked(address, header), LINKED, stream).await;
        }
    }
    let astray = linked(|_| "https://evil.example/v1/l".to_owned(), false);
    let took = all(&astray, LINKED, "url").await;
    assert_eq!(took.error.map(|error| error.code), Some("listing_astray"));
}

/// Rows whose time of change ties: all of 5 to 19 at one moment, none at all for 1 to 3.
fn tied() -> Vec<Json> {
    let at = |second: i64| Timestamp::from_micros(DAY + second * 1_000_000).to_string();
    (1..=30)
        .map(|id: usize| match id {
            1..=3 => json!({"id": id, "at": null}),
            5..=19 => json!({"id": id, "at": at(10)}),
            _ => json!({"id": id, "at": at(id as i64)}),
        })
        .collect()
}

/// A search with a filter, sorted, in pages of 4: rows without a time are at its beginning, and never pass the filter.
fn search() -> Fake {
    Fake::new(|asked| {
        let mut rows = tied();
        rows.sort_by_key(|row| row["at"].as_str().map(str::to_owned));
        if let Some(from) = asked.body["at"]["$gte"].as_str() {
            rows.retain(|row| row["at"].as_str().is_some_and(|at| at.get(..19) >= from.get(..19)));
        }
        let (page, limit) = (asked.number("page").unwrap_or(0), asked.number("limit").unwrap_or(20));
        ok(&rows.into_iter().skip(page * limit).take(limit).collect())
    })
}

const SEARCH: &str = "
streams:
  rows:
    post: /search
    key: id
    query: { sort: at }
    body: { at: { $gte: \"${cursor?}\" } }
    paginate: { keyset: { by: at, to: cursor, ties: { page: { param: page, first: 0 } } }, size: { limit: 4 }, stop: short }
    cursor: { field: at, format: iso, mode: server, lookback: 1s }
";

#[tokio::test]
async fn a_keyset_gets_past_ties_and_rows_without_a_value() {
    let fake = search();
    let took = all(&fake, SEARCH, "rows").await;
    let mut ids = took.whole().ids();
    ids.sort_unstable();
    assert_eq!(ids, (1..=30).collect::<Vec<_>>());
    assert_eq!(fake.asked()[0], "/v1/search?sort=at&limit=4&page=0 {}");
    survives(search, SEARCH, "rows").await;
    // From where it left off: the last moment, less the second that is read again.
    let options = ReadOptions { from: took.cursor(), ..options() };
    let again = take(&fake, SEARCH, "rows", options, usize::MAX).await;
    assert_eq!(again.whole().ids(), [29, 30]);
    assert_eq!(again.end.as_ref().map(|end| end.1), Some(false), "no listing of all");
    let asked = fake.asked().pop().expect("one request");
    assert!(asked.ends_with(r#"{"at":{"$gte":"2025-01-01T00:00:29Z"}}"#), "{asked}");
}

#[tokio::test]
async fn a_listing_that_is_not_sorted_as_its_keyset_needs_is_no_listing() {
    let fake = Fake::new(|_| ok(&json!([row(3), row(1), row(2), row(9)])));
    let took = all(&fake, SEARCH, "rows").await;
    assert_eq!(took.error.map(|error| error.code), Some("listing_unsorted"));
}

/// The full listing by token, the changes by windows behind ids, and what was archived.
fn objects() -> Fake {
    Fake::new(|asked| {
        let archived = asked.get("archived") == Some("true");
        if asked.path.ends_with("/search") {
            let filters = &asked.body["filters"];
            let number =
                |value: &Json| value.as_str().and_then(|text| text.parse::<i64>().ok()).expect("a number");
            let (start, end, after) = (number(&filters[0]), number(&filters[1]), number(&filters[2]));
            let limit = asked.body["limit"].as_u64().expect("a limit") as usize;
            let changed = (1..=40_i64).filter(|id| {
                let at = (DAY + id * 60_000_000) / 1000;
                at >= start && at <= end && *id > after
            });
            let all: Vec<i64> = changed.collect();
            let rows: Vec<Json> =
                all.iter().take(limit).map(|id| json!({"id": id.to_string(), "archived": false})).collect();
            let paging = (all.len() > limit).then(|| json!({"next": {"after": "x"}}));
            return ok(&json!({"results": rows, "total": all.len(), "paging": paging}));
        }
        let from = asked.number("after").unwrap_or(0);
        let last = if archived { 3 } else { 40 };
        let rows: Vec<Json> = (from + 1..=last)
            .take(15)
            .map(|id| json!({"id": (id + usize::from(archived) * 100).to_string(), "archived": archived}))
            .collect();
        let next = (from + 15 < last).then(|| json!({"next": {"after": (from + 15).to_string()}}));
        ok(&json!({"results": rows, "paging": next}))
    })
}

const OBJECTS: &str = "
kinds:
  object:
    key: id
    records: results
    full: { get: \"/objects/${kind.type}\", paginate: { cursor: { from: paging.next.after, to: { query: after } } } }
    changed:
      post: /objects/${kind.type}/search
      body: { filters: [\"${window.start:epoch_ms}\", \"${window.end:epoch_ms}\", \"${page.after}\"] }
      paginate: { keyset: { by: id, as: int, to: page.after, first: \"0\" }, size: { body: { limit: 7 } }, stop: absent(paging.next) }
    archived: { get: \"/objects/${kind.type}\", query: { archived: true }, deleted_when: { archived: true }, paginate: { cursor: { from: paging.next.after, to: { query: after } } } }
    cursor: { field: updatedAt, format: iso_ms, mode: server, lookback: 10m, hold_back: 30s, window: 5d }
streams:
  contacts: { kind: { object: { type: contacts } } }
";

#[tokio::test]
async fn all_is_listed_first_and_then_the_changes_by_windows() {
    let fake = objects();
    let first = all(&fake, OBJECTS, "contacts").await;
    assert_eq!((first.whole().rows.len(), first.tombstones), (43, 3));
    assert!(fake.asked().iter().all(|line| !line.contains("search")));
    survives(objects, OBJECTS, "contacts").await;

    // The start of that read is where the next begins, less hold-back and lookback: after all of the changes.
    let options = ReadOptions { from: first.cursor(), ..options() };
    let second = take(&fake, OBJECTS, "contacts", options.clone(), usize::MAX).await;
    assert_eq!((second.whole().rows.len(), second.tombstones), (3, 3));
    assert_eq!(second.end.as_ref().map(|end| end.1), Some(false));
    let asked = fake.asked();
    let expect = format!(
        r#"/v1/objects/contacts/search {{"filters":["{}","{}","0"],"limit":7}}"#,
        (DAY + 1_000_000_000_000) / 1000 - 630_000,
        (DAY + 1_000_000_000_000) / 1000 - 30_000
    );
    assert_eq!(asked[0], expect);

    // With a cursor from before, all of them come, past every page and every window.
    let saved = json!({"form": 1, "field": "updatedAt", "value": "2024-12-28T00:00:00.000000Z"});
    let early = ReadOptions { from: Some(SavedCursor(saved)), ..options };
    let third = take(&fake, OBJECTS, "contacts", early, usize::MAX).await;
    assert_eq!(third.whole().rows.len(), 43);
    let windows: std::collections::BTreeSet<String> = fake
        .asked()
        .iter()
        .filter_map(|line| Some(line.split_once("[\"")?.1.split('"').next()?.to_owned()))
        .collect();
    assert_eq!(windows.len(), 4, "16 days in steps of five");
}

#[tokio::test]
async fn a_window_with_too_many_rows_is_halved() {
    const CEILING: &str = "
streams:
  rows:
    get: /rows
    key: id
    records: data
    query: { from: \"${window.start:epoch}\", to: \"${window.end:epoch}\" }
    paginate: { page: { param: page, first: 1 }, size: { limit: 10 }, stop: total(total), ceiling: { rows: 30, then: narrow_window } }
    cursor: { field: at, mode: server, start: 2025-01-01 }
";
    let fake = Fake::new(|asked| {
        let number = |name: &str| asked.number(name).expect(name) as i64;
        let (from, to) = (number("from"), number("to"));
        let all: Vec<Json> = (1..=200)
            .filter(|id| {
                let at = DAY / 1_000_000 + *id as i64;
                at >= from && at <= to
            })
            .map(row)
            .collect();
        let page = number("page") as usize - 1;
        assert!(page * 10 < 30, "never behind the ceiling");
        let rows: Vec<Json> = all.iter().skip(page * 10).take(10).cloned().collect();
        ok(&json!({"data": rows, "total": all.len()}))
    });
    let took = all(&fake, CEILING, "rows").await;
    let mut ids = took.whole().ids();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (1..=200).collect::<Vec<_>>());
    let error = CEILING.replace("then: narrow_window", "then: error");
    assert_eq!(all(&fake, &error, "rows").await.error.map(|error| error.code), Some("listing_ceiling"));
}

#[tokio::test]
async fn a_window_that_the_provider_finds_too_long_is_halved() {
    const WINDOWS: &str = "
streams:
  rows:
    get: /rows
    key: id
    records: data
    query: { from: \"${window.start:epoch}\", to: \"${window.end:epoch}\" }
    paginate: none
    cursor: { field: at, mode: server, start: 2025-01-01 }
";
    let longest = |seconds: i64| {
        Fake::new(move |asked| {
            let number = |name: &str| asked.number(name).expect(name) as i64;
            let (from, to) = (number("from"), number("to"));
            if to - from > seconds {
                return Reply(413, Vec::new(), "too much at once".to_owned());
            }
            let within = |id: &usize| (from..=to).contains(&(DAY / 1_000_000 + *id as i64));
            ok(&json!({"data": (1..=200).filter(within).map(row).collect::<Vec<_>>()}))
        })
    };
    let took = all(&longest(86_400), WINDOWS, "rows").await;
    let mut ids = took.whole().ids();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (1..=200).collect::<Vec<_>>());
    assert!(took.notes.contains(&"smaller_windows".to_owned()), "{:?}", took.notes);
    // Where no window is short enough, the provider's refusal is the end.
    let took = all(&longest(-1), WINDOWS, "rows").await;
    assert!(took.error.is_some());
}

#[tokio::test]
async fn rows_that_the_filter_hides_are_found_by_a_second_listing() {
    const ALSO: &str = "
streams:
  rows:
    post: /search
    key: id
    body: { at: { $gte: \"${cursor?}\" } }
    query: { sort: at }
    paginate: { keyset: { by: at, to: cursor, ties: { page: { param: page, first: 0 } } }, size: { limit: 10 }, stop: short }
    cursor:
      field: at
      mode: server
      also: { get: /list, query: { sort: -made }, field: made, paginate: { page: { param: page, first: 0 }, size: { limit: 10 }, stop: short } }
";
    let made = |id: usize| Timestamp::from_micros(DAY + id as i64 * 60_000_000).to_string();
    // Every third row was never changed: it has no time of change at all, and no search finds it.
    let rows = move || -> Vec<Json> {
        (1..=60)
            .map(|id: usize| match id % 3 {
                0 => json!({"id": id, "made": made(id)}),
                _ => json!({"id": id, "made": made(id), "at": made(id)}),
            })
            .collect()
    };
    let fake = Fake::new(move |asked| {
        let (page, limit) = (asked.number("page").expect("a page"), asked.number("limit").expect("a limit"));
        let mut rows = rows();
        if asked.path.ends_with("search") {
            let from = asked.body["at"]["$gte"].as_str().unwrap_or_default();
            rows.retain(|row| row["at"].as_str().is_some_and(|at| at.get(..19) >= from.get(..19)));
        } else {
            rows.reverse();
        }
        ok(&rows.into_iter().skip(page * limit).take(limit).collect())
    });
    let first = all(&fake, ALSO, "rows").await;
    let mut ids = first.whole().ids();
    ids.sort_unstable();
    assert_eq!(ids, (1..=60).collect::<Vec<_>>(), "each once");
    fake.asked();
    let options = ReadOptions { from: first.cursor(), ..options() };
    let second = take(&fake, ALSO, "rows", options, usize::MAX).await;
    assert_eq!(second.whole().ids(), [59, 60], "the last change, and what was made since it");
    assert!(fake.asked().len() <= 3);
}

#[tokio::test]
async fn after_too_long_a_pause_all_is_read() {
    let feed = "
streams:
  rows: { get: /feed, key: id, paginate: { page: { param: page, first: 0 }, size: { limit: 10 }, stop: short }, cursor: { field: at, mode: feed, fallback_after: 5d, lookback: 1s } }
";
    let fake = Fake::new(|asked| {
        let page = asked.number("page").expect("a page");
        ok(&(1..=60).rev().map(row).skip(page * 10).take(10).collect())
    });
    let first = all(&fake, feed, "rows").await;
    assert_eq!(first.whole().ids().len(), 60);
    let saved = |text: &str| Some(SavedCursor(json!({"form": 1, "field": "at", "value": text})));
    fake.asked();
    let near = ReadOptions { from: saved("2025-01-11T00:00:00.000000Z"), ..options() };
    let near = take(&fake, feed, "rows", near, usize::MAX).await;
    assert_eq!(near.whole().rows.len(), 0);
    assert_eq!(fake.asked().len(), 2, "a feed is read to one page behind the bound");
    let far = ReadOptions { from: saved("2025-01-01T00:00:30.000000Z"), ..options() };
    let far = take(&fake, feed, "rows", far, usize::MAX).await;
    assert_eq!(far.whole().rows.len(), 60);
    assert!(far.notes.contains(&"full_listing".to_owned()), "{:?}", far.notes);
}

#[tokio::test]
async fn what_may_be_a_first_page_only_is_told() {
    const WHOLE: &str = "streams: { rows: { get: /w, key: id, records: [\".\", data], paginate: none } }\n";
    let round = Fake::new(|_| ok(&(1..=100).map(row).collect()));
    let took = all(&round, WHOLE, "rows").await;
    assert_eq!((took.whole().rows.len(), took.notes), (100, vec!["round_count".to_owned()]));
    let odd = Fake::new(|_| ok(&(1..=101).map(row).collect()));
    assert!(all(&odd, WHOLE, "rows").await.whole().notes.is_empty());
    for next in [json!({"next_page_start_id": "100"}), json!({"has_more": true})] {
        let more = Fake::new(move |_| ok(&json!({"data": [row(1)], "pagination": next})));
        assert_eq!(all(&more, WHOLE, "rows").await.error.map(|error| error.code), Some("more_pages"));
    }
    let last = Fake::new(|_| ok(&json!({"data": [row(1)], "pagination": {"next": null, "has_more": false}})));
    all(&last, WHOLE, "rows").await.whole();
}

#[tokio::test]
async fn a_server_that_gives_everything_at_once_is_read_once() {
    const PAGED: &str = "streams: { rows: { get: /w, key: id, paginate: { page: { param: page, first: 0 }, size: { limit: 10 }, stop: short } } }\n";
    let deaf = Fake::new(|_| ok(&(1..=25).map(row).collect()));
    let took = all(&deaf, PAGED, "rows").await;
    assert_eq!(took.whole().ids(), (1..=25).collect::<Vec<_>>());
    assert!(took.notes.contains(&"page_too_large".to_owned()), "{:?}", took.notes);
    assert!(took.notes.contains(&"paging_ignored".to_owned()), "{:?}", took.notes);
}

/// A provider whose rows come, go and change between any two answers. What existed all the time is in the read.
#[tokio::test]
async fn a_keyset_loses_no_row_that_was_there_all_the_time() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rows: Vec<(u64, i64)> = (1..=80).map(|id| (id, DAY + id as i64 / 2 * 1_000_000)).collect();
        let (mut next, mut now) = (81_u64, DAY + 1_000_000_000);
        let world: Arc<Mutex<std::collections::BTreeSet<u64>>> = Arc::new(Mutex::new((1..=80).collect()));
        let throughout = world.clone();
        let fake = Fake::new(move |asked| {
            let mut page: Vec<(u64, i64)> = rows.clone();
            page.sort_by_key(|(id, at)| (*at, id.wrapping_mul(7_919)));
            if let Some(from) = asked.body["at"]["$gte"].as_str() {
                let from = Timestamp::parse(from).expect("a moment").micros();
                page.retain(|(_, at)| *at >= from);
            }
            let (number, limit) = (asked.number("page").unwrap_or(0), asked.number("limit").unwrap_or(4));
            let time = |at: i64| Timestamp::from_micros(at).to_string();
            let answer = page
                .into_iter()
                .skip(number * limit)
                .take(limit)
                .map(|(id, at)| json!({"id": id, "at": time(at)}));
            let answer = ok(&answer.collect());
            for _ in 0..random.usize(0..4) {
                now += 1_000_000;
                let at = random.usize(0..rows.len());
                match random.u8(0..3) {
                    0 => rows[at].1 = now,
                    1 => {
                        rows.push((next, now));
                        next += 1;
                    }
                    _ => {
                        let (gone, _) = rows.swap_remove(at);
                        throughout.lock().expect("no test panics in here").remove(&gone);
                    }
                }
            }
            answer
        });
        let took = take(&fake, SEARCH, "rows", options(), 2_000).await;
        let seen: std::collections::BTreeSet<u64> = took.whole().ids().into_iter().collect();
        let throughout = world.lock().expect("no test panics in here");
        let lost: Vec<_> = throughout.iter().filter(|id| !seen.contains(id)).collect();
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
    }
}
