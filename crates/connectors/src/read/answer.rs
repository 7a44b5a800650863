//! From an answer to a page: its rows, whether they are what was asked for, and what it says about the next.

use std::time::Duration;

use bytes::Bytes;
use sync_core::{Answer, Kind, Note, Timestamp, Verdict, parse_http_date};
use sync_spec::FieldPath;
use xxhash_rust::xxh3::xxh3_128;

use super::{Page, ReadError, Reader, Row, RowKind, Spent, Step};
use crate::classify::misfit;
use crate::json::{self, RowsError};
use crate::paginate::{Broken, Mark, Turn};
use crate::records::Sheet;
use crate::rewrite::raw_at;
use crate::slice::Order;

/// Answers of the wrong shape, one after the other, before a page is given up.
const MISFITS_MAX: u32 = 3;
/// A page of more than so many times the memory for pages makes the next ones smaller.
const OVERSIZE: usize = 4;
/// Numbers of rows that a listing of one answer has by chance rarely and by a page's size often.
const ROUND: &[usize] = &[10, 20, 25, 30, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000];
/// What answers call the next page where they have one.
const NEXT: &[&str] = &[
    "next",
    "next_page",
    "nextPage",
    "next_url",
    "nextUrl",
    "next_link",
    "nextLink",
    "@odata.nextLink",
    "next_cursor",
    "nextCursor",
    "next_token",
    "nextToken",
    "nextPageToken",
    "next_page_token",
    "next_page_start_id",
    "has_more",
    "hasMore",
    "has_next",
    "hasNext",
    "has_next_page",
    "hasNextPage",
    "more",
];
/// Where they say it.
const AROUND: &[&str] = &["paging", "pagination", "links", "_links", "meta", "page_info", "pageInfo"];

/// An answer taken apart.
struct Opened {
    /// The text that the rows are in.
    body: Bytes,
    sheet: Sheet,
    /// Who the records of the answer are, and which of them each row is from, where that differs from the rows.
    records: Option<Records>,
    word: crate::trail::Word,
    /// Why there is perhaps a next page although none is declared.
    more: Option<String>,
}

impl Reader {
    pub(super) async fn arrive(&mut self, answer: &Answer) -> Result<Option<Step>, ReadError> {
        let opened = match self.open(answer) {
            Ok(opened) => opened,
            Err(Misfit::Surely(error)) => return Err(error),
            Err(Misfit::Perhaps(what)) => return self.misfit(&what).await,
        };
        self.misfits = 0;
        let response = &answer.response;
        self.page_bytes = self.page_bytes.max(response.body.len());
        let asked_at = response.first_byte_at.minus(response.elapsed);
        self.slice.clocks(response.header("date").and_then(parse_http_date), asked_at);
        let Opened { body, sheet, records, word, more } = opened;
        let leg = self.leg.as_mut().expect("it is being read");
        let ids = records.as_ref().map_or(&sheet.ids, |(ids, _)| ids);
        let turn = leg.course.take(ids, sheet.total, &word);
        self.notes.extend(leg.course.take_notes());
        let first = leg.pages == 0;
        match turn {
            Turn::On => Ok(None),
            Turn::End
                if self.slice.order == Order::NewestFirst
                    && first
                    && leg.pass == crate::route::Pass::Main =>
            {
                self.read_all("the listing of the newest changes was empty, so all of it is read");
                Ok(None)
            }
            Turn::End => {
                self.end_leg();
                Ok(None)
            }
            Turn::Restart(why) => {
                self.leg_again(why);
                Ok(None)
            }
            Turn::Fail(Broken::Ceiling(most)) => self.ceiling(most).await,
            Turn::Fail(broken) => Err(self.broken(broken)),
            Turn::Deliver { marks, last, moved } => {
                if let Some(more) = more {
                    return Err(self.more_pages(&more));
                }
                if let Err(found) = self.slice.prove(&sheet.moments, moved) {
                    let message =
                        format!("the newest changes could not be read alone, {found}; all of it is read");
                    self.read_all(&message);
                    return Ok(None);
                }
                self.suspect(count(records.as_ref(), &sheet));
                let marks = match &records {
                    None => marks,
                    Some((_, owners)) => owners.iter().map(|owner| marks[*owner]).collect(),
                };
                let page = self.page(body, &sheet, &marks, asked_at, last);
                Ok(page.map(Step::Page))
            }
        }
    }

    /// Takes an answer apart.
    fn open(&mut self, answer: &Answer) -> Result<Opened, Misfit> {
        let response = &answer.response;
        let body = match response.body.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => response.body.slice_ref(rest),
            None => response.body.clone(),
        };
        let leg = self.leg.as_ref().expect("it is being read");
        if answer.verdict != Verdict::Ok {
            // Meant to have no rows.
            let (sheet, word) = (Sheet::default(), crate::trail::Word::default());
            return Ok(Opened { body: Bytes::from_static(b"[]"), sheet, records: None, word, more: None });
        }
        let stream = self.stream.clone();
        let rewrite = &stream.rewrite;
        let body = rewrite.decoded(body).map_err(Misfit::Perhaps)?;
        let Ok(text) = simdutf8::basic::from_utf8(&body) else {
            return Err(Misfit::Perhaps("answered with a text that is not UTF-8".to_owned()));
        };
        let fits = |error: RowsError| match error {
            RowsError::NotAnObject { .. } => {
                Misfit::Surely(self.unexpected(&misfit(&error, &leg.plan.records)))
            }
            error => Misfit::Perhaps(misfit(&error, &leg.plan.records)),
        };
        let ranges = json::rows(text, &leg.plan.records).map_err(fits)?;
        // Behind rows, what is none is set aside; a list that begins so is of something else.
        if self.slice.number == 0 && leg.pages == 0 {
            json::objects(text, &ranges).map_err(fits)?;
        }
        let rows: Vec<&str> = ranges.iter().map(|r| &text[r.start as usize..r.end as usize]).collect();
        let links: Vec<&str> = response
            .headers
            .iter()
            .filter(|(name, _)| name == "link")
            .map(|(_, value)| value.as_str())
            .collect();
        let word = leg.course.word(text, &links, &self.bound.settings().base, &rows);
        let more = if leg.course.is_whole() { names_more(text, &links) } else { None };
        if !rewrite.writes() {
            let sheet = leg.shape.sheet(text).map_err(fits)?;
            return Ok(Opened { body, sheet, records: None, word, more });
        }
        let rewritten = rewrite.apply(text, &ranges, &leg.set).map_err(|error| fits(error.into()))?;
        let mut sheet = leg.shape.rows_in(&rewritten.body).map_err(fits)?;
        sheet.total = leg.shape.total(text);
        if rewritten.cut > 0 {
            let message = format!(
                "{} records of a page have more elements than the answer gave; those are missing",
                rewritten.cut
            );
            self.notes.push(Note::new("list_cut", message));
        }
        let exploded = self.stream.rewrite.explode.is_some();
        let records = exploded
            .then(|| (rows.iter().map(|row| xxh3_128(row.as_bytes())).collect(), rewritten.owners.clone()));
        Ok(Opened { body: rewritten.body.into(), sheet, records, word, more })
    }

    /// The rows of a page that are to be loaded; nothing, if it has none at all.
    fn page(
        &mut self,
        body: Bytes,
        sheet: &Sheet,
        marks: &[Mark],
        asked_at: Timestamp,
        last: bool,
    ) -> Option<Page> {
        let sorted = (!marks.is_empty()).then(|| self.slice.sort(sheet, marks));
        let far_enough = self.slice.far_enough();
        let limited = self.slice.left == Some(0);
        if let Some(leg) = &mut self.leg {
            leg.pages += 1;
        }
        let Some(sorted) = sorted else {
            if last {
                self.end_leg();
            }
            return None;
        };
        self.slice.number += 1;
        self.silent = 0;
        self.keep_pages_small(body.len(), marks.len());
        let alone = self.route.single() && self.parents.is_none() && self.stream.slices.each_from.is_none();
        let place =
            if alone { None } else { self.route.place(self.parents.as_ref().map(super::Parents::place)) };
        let milestone = self.leg.as_ref().and_then(|leg| leg.course.milestone());
        let resume = self.slice.resume_point(milestone, place);
        if last || far_enough || limited {
            self.end_leg();
            self.silent = 0;
            self.over |= limited;
        }
        let Spent { requests, retries, waited } = std::mem::take(&mut self.spent);
        let bytes = body.len() as u64;
        let seen = self.census(&body, sheet, marks);
        let mut rows: Vec<_> = sorted.rows.iter().map(|index| row(sheet, *index)).collect();
        let body = self.molded(body, &mut rows);
        Some(Page {
            number: self.slice.number,
            bytes,
            rows,
            seen,
            body,
            fetched: sorted.fetched,
            filtered: sorted.filtered,
            deduplicated: sorted.deduplicated,
            resume,
            asked_at,
            requests,
            retries,
            waited,
            notes: std::mem::take(&mut self.notes),
        })
    }

    /// Whose rows are on a page. What is not wanted is nobody's: it never landed.
    fn census(&self, body: &Bytes, sheet: &Sheet, marks: &[Mark]) -> Vec<super::Seen> {
        if !self.options.census {
            return Vec::new();
        }
        let text = simdutf8::basic::from_utf8(body).expect("the page was read as text a moment ago");
        let listed = (0..marks.len()).filter(|index| {
            let wanted = sheet.kept.get(*index) != Some(&false);
            let lives = sheet.deleted.get(*index) != Some(&true);
            wanted && lives && sheet.keyless.binary_search(index).is_err()
        });
        listed
            .map(|index| {
                let range = &sheet.rows[index];
                let key = self.key_of(&text[range.start as usize..range.end as usize]);
                super::Seen { id: sheet.ids[index], key }
            })
            .collect()
    }

    /// The fields of a row's key, as a JSON object.
    fn key_of(&self, row: &str) -> String {
        let lift = self.stream.mold.lift.as_deref();
        let mut key = String::from("{");
        for name in &self.options.key {
            let own = FieldPath(vec![name.clone()]);
            let lifted = lift.map(|lift| FieldPath([lift, std::slice::from_ref(name)].concat()));
            let raw = raw_at(row, &own).or_else(|| raw_at(row, lifted.as_ref()?)).unwrap_or("null");
            if key.len() > 1 {
                key.push(',');
            }
            key.push_str(&serde_json::Value::from(name.as_str()).to_string());
            key.push(':');
            key.push_str(raw);
        }
        key.push('}');
        key
    }

    /// The text of the rows as they leave, with their places in it.
    fn molded(&mut self, body: Bytes, rows: &mut [Row]) -> Bytes {
        let mold = &self.stream.mold;
        if mold.is_idle() {
            return body;
        }
        let sent = simdutf8::basic::from_utf8(&body).expect("the page was read as text a moment ago");
        let mut text = String::with_capacity(sent.len());
        for row in rows {
            let start = text.len();
            let whole = &sent[row.range.start as usize..row.range.end as usize];
            // What is no object stays as it is, for whoever loads it to say so.
            if mold.row(whole, &mut self.envelope, &mut text).is_err() {
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
        let most = self.options.memory.saturating_mul(OVERSIZE);
        if let Some(leg) = &mut self.leg
            && bytes > most
            && leg.course.counts_rows()
        {
            let fitting = (rows as u128 * most as u128 / bytes as u128) as u64;
            leg.course.shrink(fitting);
        }
    }

    /// A listing that is declared to be one answer and has a round number of rows may be a first page. What is asked
    /// for by the keys of many parents at once has as many rows as those keys find.
    fn suspect(&mut self, rows: usize) {
        let whole = self.group.len() < 2 && self.leg.as_ref().is_some_and(|leg| leg.course.is_whole());
        if whole && ROUND.contains(&rows) && !self.notes.iter().any(|note| note.code == "round_count") {
            let message = format!(
                "the answer has exactly {rows} rows and no paging is declared: perhaps it is a first page, and the rest is missing"
            );
            self.notes.push(Note::new("round_count", message));
        }
    }

    fn more_pages(&self, named: &str) -> ReadError {
        let message = format!(
            "the answer names a next page ({named}), and the connector declares no paging for {}",
            self.stream.name
        );
        ReadError::new(Kind::Failed, "more_pages", message)
            .hint("say under `paginate` how the listing goes on")
    }

    /// A listing that gives so many rows at most has more: a shorter window has fewer.
    async fn ceiling(&mut self, most: u64) -> Result<Option<Step>, ReadError> {
        if self.leg.as_ref().is_some_and(super::leg::Leg::narrows) && self.narrow().await? {
            return Ok(None);
        }
        let message =
            format!("a listing of {} gives {most} rows at most, and there are more", self.stream.name);
        Err(ReadError::new(Kind::Failed, "listing_ceiling", message)
            .hint("the rows behind them cannot be had this way; see `ceiling` and `keyset` of the connector language"))
    }

    /// Begins the first half of the window that is read. False where there is none, or none that is shorter.
    pub(super) async fn narrow(&mut self) -> Result<bool, ReadError> {
        self.throw_away();
        let Some(found) = self.route.narrow() else { return Ok(false) };
        self.open_leg(found, None).await?;
        Ok(true)
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
        tracing::debug!(stream = self.stream.name, misfit, "the page is asked for again");
        self.spent.waited += wait;
        let stop = self.hands.stop.clone();
        let stopped = std::pin::pin!(stop.wait());
        // Whether the wait ended or the user wished to stop, the next fetch knows what to do.
        futures_util::future::select(self.hands.clock.sleep(wait), stopped).await;
        Ok(None)
    }

    pub(super) fn unexpected(&self, misfit: &str) -> ReadError {
        let page = self.slice.number + 1;
        let message = format!("{} {misfit} (page {page} of {})", self.title(), self.stream.name);
        ReadError::new(Kind::Failed, "unexpected_answer", message).hint(
            "if it stays so, the connector's `records` or its path does not fit what the provider sends",
        )
    }

    fn broken(&self, broken: Broken) -> ReadError {
        let (stream, pages) = (&self.stream.name, self.slice.number);
        let failed = |code, message| ReadError::new(Kind::Failed, code, message);
        match broken {
            Broken::Repeats => {
                let message = format!(
                    "the listing of {stream} repeats itself: after page {pages} came a page that was there before"
                );
                failed("listing_repeats", message).hint(
                    "the provider seems to ignore the paging parameters; check `paginate` of the stream",
                )
            }
            Broken::Endless => {
                let message = format!("the listing of {stream} does not end: {pages} pages were read");
                failed("listing_endless", message)
                    .hint("check `paginate` of the stream; pages read so far are kept")
            }
            Broken::Stuck => {
                let message = format!(
                    "the listing of {stream} does not move: page {pages} leads to the place where it is"
                );
                failed("listing_stuck", message)
                    .hint("check `paginate` of the stream; pages read so far are kept")
            }
            Broken::Unsorted => {
                let message = format!(
                    "the listing of {stream} is not sorted as `keyset` needs it: behind page {pages} rows would be missed"
                );
                failed("listing_unsorted", message)
                    .hint("the request must sort by the field of `keyset`, and `as` must be how the provider compares it")
            }
            Broken::Ceiling(most) => failed(
                "listing_ceiling",
                format!("a listing of {stream} gives {most} rows at most, and there are more"),
            ),
        }
    }
}

/// Why an answer could not be taken apart.
enum Misfit {
    /// It may have been an accident; asked again.
    Perhaps(String),
    /// It is of something else.
    Surely(ReadError),
}

/// Records of an answer: who each is, and which of them each row is from.
type Records = (Vec<u128>, Vec<usize>);

fn count(records: Option<&Records>, sheet: &Sheet) -> usize {
    records.map_or(sheet.ids.len(), |(ids, _)| ids.len())
}

/// What an answer of a listing without paging calls its next page, if it names one.
fn names_more(body: &str, links: &[&str]) -> Option<String> {
    use crate::json::Value;
    if links.iter().any(|link| link.contains("rel=\"next\"") || link.contains("rel=next")) {
        return Some("header Link".to_owned());
    }
    if !body.trim_start().starts_with('{') {
        return None;
    }
    let says = |value: &Value<'_>| match value {
        Value::Text(text) => !text.is_empty(),
        Value::Bool(flag) => *flag,
        Value::Number(digits) => *digits != "0",
        Value::Nested(raw) => raw.starts_with('{') && raw[1..raw.len() - 1].trim() != "",
        Value::Null => false,
    };
    let around = std::iter::once(None).chain(AROUND.iter().map(Some));
    for outer in around {
        for name in NEXT {
            let path: Vec<String> =
                outer.iter().map(|o| (**o).to_owned()).chain([(*name).to_owned()]).collect();
            if json::get(body, &path).is_some_and(|value| says(&value)) {
                return Some(path.join("."));
            }
        }
    }
    None
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
