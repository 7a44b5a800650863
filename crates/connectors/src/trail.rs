//! Where a listing goes on by what each answer says about the next: a token, an address, or the greatest value of
//! the field that it is sorted by.
//!
//! Pure, as [`crate::paginate`] is for listings that are counted. No place can be checked against the one before
//! here, because the server alone knows what its tokens mean; what can be seen is that a token comes again, that a page
//! does, and that a sorted listing is sorted.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sync_core::Note;
use sync_spec::{FieldPath, KeysetOrder, KeysetTo, Parameter, StopRule};
use url::Url;

use crate::condition::holds;
use crate::cursor::Format;
use crate::json::{self, Value};
use crate::paginate::{Broken, Mark, PAGES_MAX, Turn};
use crate::plan::{Lead, Trailing};
use crate::scope::From;

/// Where a page is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Spot {
    /// At the beginning.
    #[default]
    First,
    /// Behind a token, as it was sent.
    Token(Json),
    /// At an address.
    Url(String),
    /// Behind, or from, a value; and the page of rows that share it.
    Value {
        /// As it was sent.
        value: Json,
        /// Counted from none.
        page: u64,
    },
}

/// What an answer says beside its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Word {
    /// What leads to the next page, by the kind of listing: a token or an address.
    pub next: Option<Json>,
    /// The values of a keyset's field, as they were sent, one a row.
    pub values: Vec<Option<String>>,
    /// Whether the path of `stop: absent(…)` has a value.
    pub goes_on: bool,
}

/// What of a trail is kept in a resume point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mileage {
    next: Spot,
    received: u64,
    size: Option<u64>,
}

/// One slice of one listing.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    lead: Lead,
    stop: Option<StopRule>,
    ceiling: Option<u64>,
    size: Option<u64>,
    /// The page to ask for.
    at: Spot,
    /// The rows of the last page.
    last: Vec<u128>,
    received: u64,
    pages: u64,
    /// A page and a place to compare all later ones with; they move on at every power of two (Brent's method).
    anchor: Option<(u128, Spot, u64)>,
    /// Whether the first answer after a restart is still to come: its token may have expired.
    resumed: bool,
    notes: Vec<Note>,
}

impl Trail {
    pub fn new(trailing: &Trailing) -> Self {
        Self {
            lead: trailing.lead.clone(),
            stop: trailing.stop.clone(),
            ceiling: trailing.ceiling.map(|ceiling| ceiling.rows),
            size: trailing.size.as_ref().map(|size| size.rows),
            at: Spot::First,
            last: Vec::new(),
            received: 0,
            pages: 0,
            anchor: None,
            resumed: false,
            notes: Vec::new(),
        }
    }

    /// Goes on where another process stopped.
    pub fn resume(&mut self, from: &Mileage) {
        self.at = from.next.clone();
        self.received = from.received;
        self.size = self.size.and(from.size);
        self.resumed = true;
    }

    /// Begins again at the start of the listing.
    pub fn reset(&mut self) {
        self.at = Spot::First;
        (self.received, self.pages, self.anchor, self.resumed) = (0, 0, None, false);
        self.last.clear();
    }

    /// What to keep so that another process can go on behind the page that was taken last.
    pub fn mileage(&self) -> Mileage {
        Mileage { next: self.at.clone(), received: self.received, size: self.size }
    }

    /// The page to ask for.
    pub fn next(&self) -> &Spot {
        &self.at
    }

    /// Rows that are asked for.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Asks for smaller pages from now on. False, if they are as small as is sensible.
    pub fn shrink(&mut self, to: u64, least: u64) -> bool {
        match self.size {
            Some(size) if to.max(least) < size => {
                self.size = Some(to.max(least));
                true
            }
            _ => false,
        }
    }

    /// Whether the place comes from another process and has not been answered yet.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Reads an answer for what leads on. `body` is as it was sent.
    pub fn word(&self, body: &str, link: &[&str], base: &Url, rows: &[&str]) -> Word {
        let path = |path: &FieldPath| json::get(body, &path.0).and_then(|value| written(&value));
        let (next, values) = match &self.lead {
            Lead::Token { from, more, percent, .. } => {
                let on = more.as_ref().is_none_or(|more| holds(more, |p| json::get(body, &p.0)));
                let token = json::get(body, &from.0).filter(|_| on).and_then(|value| token(&value, *percent));
                (token, Vec::new())
            }
            Lead::Url { from } => (path(from).map(|text| joined(base, &text).into()), Vec::new()),
            Lead::Link => {
                let next = link.iter().find_map(|text| next_link(text));
                (next.map(|text| joined(base, &text).into()), Vec::new())
            }
            Lead::Keyset { by, .. } => {
                (None, rows.iter().map(|row| json::get(row, &by.0).and_then(|v| raw(&v))).collect())
            }
        };
        let goes_on = match &self.stop {
            Some(StopRule::Absent(at)) => {
                path(at).is_some() || matches!(json::get(body, &at.0), Some(Value::Nested(_)))
            }
            _ => true,
        };
        Word { next, values, goes_on }
    }

    /// What an answer means: who its rows are, the total it tells, and what it says about the next.
    pub fn take(&mut self, ids: &[u128], total: Option<u64>, word: &Word) -> Turn {
        self.resumed = false;
        self.pages += 1;
        if self.pages > PAGES_MAX {
            return Turn::Fail(Broken::Endless);
        }
        let rows = ids.len() as u64;
        let marks = self.marks(ids, word);
        let fresh = marks.iter().filter(|mark| **mark == Mark::Fresh).count() as u64;
        let over = match &self.stop {
            Some(StopRule::Short) => self.size.is_some_and(|size| rows < size),
            Some(StopRule::Absent(_)) => !word.goes_on,
            Some(StopRule::Total(_)) => self.has_all(fresh, rows, total),
            Some(StopRule::Empty) => rows == 0,
            None => rows == 0 && matches!(self.lead, Lead::Keyset { .. }),
        };
        let before = self.at.clone();
        let next = match self.onward(word) {
            Ok(next) => next,
            Err(broken) => return Turn::Fail(broken),
        };
        let last = over || next.is_none();
        // The rows of a listing that ends at its ceiling are all there are; of one that goes on, the rest is hidden.
        let hidden = |most: u64| {
            (!last && self.received + fresh >= most)
                || (self.pages == 1 && total.is_some_and(|total| total > most))
        };
        if let Some(most) = self.ceiling.filter(|most| hidden(*most)) {
            return Turn::Fail(Broken::Ceiling(most));
        }
        if !last && self.circles(ids, next.as_ref().unwrap_or(&before)) {
            return Turn::Fail(Broken::Repeats);
        }
        if let Some(next) = next.filter(|_| !last) {
            if next == before {
                return Turn::Fail(Broken::Stuck);
            }
            self.at = next;
        }
        self.received += fresh;
        self.last = ids.to_vec();
        Turn::Deliver { marks, last, moved: false }
    }

    /// Whether a page has all that was left. A keyset's total counts what is behind its value.
    fn has_all(&self, fresh: u64, rows: u64, total: Option<u64>) -> bool {
        let Some(total) = total else { return rows == 0 };
        match self.lead {
            Lead::Keyset { .. } => rows >= total,
            _ => self.received + fresh >= total,
        }
    }

    /// Rows that were on the page before come again where the next page begins with the value of its last row.
    fn marks(&self, ids: &[u128], word: &Word) -> Vec<Mark> {
        let again =
            matches!((&self.lead, &self.at), (Lead::Keyset { to: KeysetTo::Cursor, .. }, Spot::Value { .. }));
        let first = word.values.first();
        let mark = |(id, value)| {
            let seen = again && Some(value) == first && self.last.contains(id);
            if seen { Mark::Overlap } else { Mark::Fresh }
        };
        let values = word.values.iter().map(Some).chain(std::iter::repeat(None));
        ids.iter().zip(values).map(|(id, value)| mark((id, value.unwrap_or(&None)))).collect()
    }

    /// The place of the next page; nothing, where the answer leads no further.
    fn onward(&mut self, word: &Word) -> Result<Option<Spot>, Broken> {
        let next = word.next.clone();
        match &self.lead {
            Lead::Token { .. } => Ok(next.map(Spot::Token)),
            Lead::Url { .. } | Lead::Link => {
                Ok(next.and_then(|address| address.as_str().map(|text| Spot::Url(text.to_owned()))))
            }
            Lead::Keyset { order, format, to, ties, .. } => {
                self.sorted(*order, format, to, word)?;
                let Some(last) = word.values.last() else { return Ok(None) };
                let (now, page) = match &self.at {
                    Spot::Value { value, page } => (Some(value), *page),
                    _ => (None, 0),
                };
                let last: Option<Json> = last.as_ref().and_then(|raw| serde_json::from_str(raw).ok());
                match (last, ties) {
                    (Some(last), _) if Some(&last) != now => Ok(Some(Spot::Value { value: last, page: 0 })),
                    // All of a page has one value, or none at all: the page of the same place that comes next.
                    (_, Some(_)) => {
                        Ok(Some(Spot::Value { value: now.cloned().unwrap_or(Json::Null), page: page + 1 }))
                    }
                    (Some(_), None) => Err(Broken::Stuck),
                    (None, None) => Err(Broken::Unsorted),
                }
            }
        }
    }

    /// Whether the rows of a page have the order that a keyset stands on. What has no value stands before or behind
    /// all others, and no order of its own.
    fn sorted(&self, order: KeysetOrder, format: &Format, to: &KeysetTo, word: &Word) -> Result<(), Broken> {
        let mut before = match &self.at {
            Spot::Value { value, .. } if !value.is_null() => Some(value.to_string()),
            _ => None,
        };
        let mut strict = matches!(to, KeysetTo::Page(_));
        for value in word.values.iter().flatten() {
            let fine = match &before {
                None => true,
                Some(before) => match compare(order, format, before, value) {
                    None => return Err(Broken::Unsorted),
                    Some(ordering) if strict => ordering.is_lt(),
                    Some(ordering) => ordering.is_le(),
                },
            };
            if !fine {
                return Err(Broken::Unsorted);
            }
            before = Some(value.clone());
            strict = matches!(to, KeysetTo::Page(_));
        }
        Ok(())
    }

    fn circles(&mut self, ids: &[u128], next: &Spot) -> bool {
        if ids.is_empty() {
            // Empty pages may stand between others, where a filter is applied behind the paging; a place that comes
            // again is still seen.
            return self.comes_again(0, next, true);
        }
        let same = !self.last.is_empty() && self.last == ids;
        let page = ids.iter().fold(0_u128, |sum, id| sum.wrapping_add(*id));
        same || self.comes_again(page, next, false)
    }

    fn comes_again(&mut self, page: u128, next: &Spot, empty: bool) -> bool {
        match &self.anchor {
            Some((anchor, spot, at))
                if *at != self.pages && (spot == next || (!empty && *anchor == page)) =>
            {
                return true;
            }
            Some((_, _, at)) if self.pages < at * 2 => {}
            _ => self.anchor = Some((page, next.clone(), self.pages)),
        }
        false
    }

    /// What the listing sets in a request for a page, and where it is asked if not at the request's own address.
    pub fn set(&self, size: Option<&Parameter>) -> Set {
        let mut set = Set::default();
        if let (Some(parameter), Some(rows)) = (size, self.size) {
            set.parameters.push((parameter.clone(), rows.into()));
        }
        match (&self.lead, &self.at) {
            (Lead::Token { to, .. }, Spot::Token(token)) => set.parameters.push((to.clone(), token.clone())),
            (_, Spot::Url(url)) => set.url = Some(url.clone()),
            (Lead::Keyset { to, first, ties, .. }, spot) => {
                let (value, page) = match spot {
                    Spot::Value { value, page } => (Some(value.clone()).filter(|v| !v.is_null()), *page),
                    _ => (None, 0),
                };
                if let Some((param, first)) = ties {
                    set.parameters.push((Parameter::Query(param.clone()), (first + page).into()));
                }
                match to {
                    KeysetTo::Cursor => set.cursor = value.map(From::Sent),
                    KeysetTo::Page(name) => {
                        let value = value.or_else(|| first.as_ref().map(|first| first.as_str().into()));
                        set.page = value.map(|value| (name.clone(), value));
                    }
                }
            }
            _ => {}
        }
        set
    }
}

/// What a listing sets in the request for a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Set {
    /// Parameters and their values.
    pub parameters: Vec<(Parameter, Json)>,
    /// Another address.
    pub url: Option<String>,
    /// What `${cursor}` is.
    pub cursor: Option<From>,
    /// What `${page.NAME}` is.
    pub page: Option<(String, Json)>,
}

/// A token as it goes into a request: a number stays one. What says that there is none is none.
fn token(value: &Value<'_>, percent: bool) -> Option<Json> {
    match value {
        Value::Number(digits) => serde_json::from_str(digits).ok(),
        _ => written(value).map(|text| if percent { decoded(&text).into() } else { text.into() }),
    }
}

/// An address as it goes into a request; what says that there is none is none.
fn written(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) if !text.is_empty() => Some(text.to_string()),
        Value::Number(digits) => Some((*digits).to_owned()),
        _ => None,
    }
}

/// A value as JSON.
fn raw(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) if !text.is_empty() => Some(Json::from(text.as_ref()).to_string()),
        Value::Number(digits) => Some((*digits).to_owned()),
        _ => None,
    }
}

/// The order of two values, each as JSON; nothing, where one of them has no place in it.
fn compare(order: KeysetOrder, format: &Format, a: &str, b: &str) -> Option<std::cmp::Ordering> {
    let (a, b) = (json::value(a).ok()?, json::value(b).ok()?);
    match order {
        KeysetOrder::Int => {
            let number = |value: &Value<'_>| match value {
                Value::Number(digits) => digits.parse::<i128>().ok(),
                Value::Text(text) => text.parse().ok(),
                _ => None,
            };
            Some(number(&a)?.cmp(&number(&b)?))
        }
        KeysetOrder::Text => match (&a, &b) {
            (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => None,
        },
        KeysetOrder::Time => Some(format.parse(&a)?.cmp(&format.parse(&b)?)),
    }
}

/// Percent-encoding taken off, once.
fn decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    let value = url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned());
    value.unwrap_or_else(|| text.to_owned())
}

/// An address that may lack its beginning; one that cannot be read stays as it is, to be refused where it is used.
fn joined(base: &Url, text: &str) -> String {
    base.join(text).map_or_else(|_| text.to_owned(), String::from)
}

/// The address with the relation `next` of one `Link` header (RFC 8288, section 3).
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some(open) = rest.find('<') {
        let close = open + rest[open..].find('>')?;
        let target = &rest[open + 1..close];
        let after = &rest[close + 1..];
        // Parameters go on to the comma that is in no quotes.
        let mut quoted = false;
        let end = after
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .map_or(after.len(), |(at, _)| at);
        let is_next = after[..end].split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = &after[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use sync_spec::Ceiling;

    use super::*;

    fn token() -> Lead {
        Lead::Token {
            from: FieldPath(vec!["next".into()]),
            to: Parameter::Query("after".into()),
            more: None,
            percent: false,
        }
    }

    fn keyset(to: KeysetTo, order: KeysetOrder, ties: bool) -> Lead {
        Lead::Keyset {
            by: FieldPath(vec!["id".into()]),
            order,
            format: Format::Iso,
            to,
            first: None,
            ties: ties.then(|| ("page".to_owned(), 0)),
        }
    }

    fn trail(lead: Lead, stop: Option<StopRule>, size: u64) -> Trail {
        let size = Some(sync_spec::Size { parameter: Parameter::Query("limit".into()), rows: size });
        Trail::new(&Trailing { lead, size, stop, ceiling: None })
    }

    fn word(next: Option<&str>) -> Word {
        Word { next: next.map(Json::from), values: Vec::new(), goes_on: true }
    }

    fn values(values: &[&str]) -> Word {
        let values = values.iter().map(|v| (!v.is_empty()).then(|| (*v).to_owned())).collect();
        Word { next: None, values, goes_on: true }
    }

    fn delivered(turn: &Turn) -> (usize, bool) {
        match turn {
            Turn::Deliver { marks, last, .. } => (marks.iter().filter(|m| **m == Mark::Fresh).count(), *last),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tokens_are_given_back_until_there_is_none() {
        let mut trail = trail(token(), None, 2);
        assert_eq!(trail.set(None), Set::default());
        assert_eq!(delivered(&trail.take(&[1, 2], None, &word(Some("b")))), (2, false));
        let set = trail.set(None);
        assert_eq!(set.parameters, [(Parameter::Query("after".into()), Json::from("b"))]);
        assert_eq!(
            delivered(&trail.take(&[30], None, &word(Some("c")))),
            (1, false),
            "a short page ends nothing"
        );
        assert_eq!(delivered(&trail.take(&[], None, &word(Some("d")))), (0, false), "nor does an empty one");
        assert_eq!(delivered(&trail.take(&[4], None, &word(None))), (1, true));
    }

    #[test]
    fn a_listing_that_comes_by_again_is_told() {
        let mut stuck = trail(token(), None, 2);
        stuck.take(&[1, 2], None, &word(Some("b")));
        assert_eq!(stuck.take(&[3, 4], None, &word(Some("b"))), Turn::Fail(Broken::Repeats));
        let mut deaf = trail(token(), None, 2);
        deaf.take(&[1, 2], None, &word(Some("b")));
        assert_eq!(deaf.take(&[1, 2], None, &word(Some("c"))), Turn::Fail(Broken::Repeats));
        let mut circle = trail(token(), None, 2);
        let names = ["a", "b", "c"];
        let found = (0..20_usize).find(|n| {
            let page = [(n % 3) as u128 * 2 + 1, (n % 3) as u128 * 2 + 2];
            matches!(circle.take(&page, None, &word(Some(names[n % 3]))), Turn::Fail(Broken::Repeats))
        });
        assert!(found.is_some_and(|n| n < 9), "{found:?}");
    }

    #[test]
    fn a_keyset_goes_on_behind_its_greatest_value() {
        let mut trail = trail(keyset(KeysetTo::Page("after".into()), KeysetOrder::Int, false), None, 2);
        assert_eq!(delivered(&trail.take(&[1, 2], None, &values(&["\"9\"", "\"10\""]))), (2, false));
        assert_eq!(trail.set(None).page, Some(("after".into(), Json::from("10"))));
        assert_eq!(trail.take(&[3, 4], None, &values(&["\"10\"", "\"11\""])), Turn::Fail(Broken::Unsorted));
        trail.reset();
        assert_eq!(trail.take(&[3, 4], None, &values(&["12", "11"])), Turn::Fail(Broken::Unsorted));
        trail.reset();
        assert_eq!(delivered(&trail.take(&[], None, &values(&[]))), (0, true));
    }

    #[test]
    fn a_keyset_from_a_value_on_passes_over_what_it_had() {
        let order = KeysetOrder::Time;
        let mut trail = trail(keyset(KeysetTo::Cursor, order, true), Some(StopRule::Short), 3);
        let (a, b) = ("\"2025-01-01T00:00:00Z\"", "\"2025-01-02T00:00:00Z\"");
        assert_eq!(delivered(&trail.take(&[1, 2, 3], None, &values(&["", a, b]))), (3, false));
        assert_eq!(trail.set(None).cursor, Some(From::Sent("2025-01-02T00:00:00Z".into())));
        assert_eq!(delivered(&trail.take(&[3, 4, 5], None, &values(&[b, b, b]))), (2, false));
        let set = trail.set(None);
        assert_eq!(
            set.parameters,
            [(Parameter::Query("page".into()), Json::from(1))],
            "the same value, its next page"
        );
        assert_eq!(delivered(&trail.take(&[6], None, &values(&[b]))), (1, true));
    }

    #[test]
    fn rows_without_the_value_are_paged_by_number() {
        let mut trail = trail(keyset(KeysetTo::Cursor, KeysetOrder::Time, true), Some(StopRule::Short), 2);
        assert_eq!(delivered(&trail.take(&[1, 2], None, &values(&["", ""]))), (2, false));
        let set = trail.set(None);
        assert_eq!(set.cursor, None);
        assert_eq!(set.parameters, [(Parameter::Query("page".into()), Json::from(1))]);
        let a = "\"2025-01-01T00:00:00Z\"";
        assert_eq!(delivered(&trail.take(&[3, 4], None, &values(&["", a]))), (2, false));
        assert_eq!(trail.set(None).parameters, [(Parameter::Query("page".into()), Json::from(0))]);
    }

    #[test]
    fn a_ceiling_is_told_before_a_row_is_lost() {
        let mut trailing = Trailing { lead: token(), size: None, stop: None, ceiling: None };
        trailing.ceiling = Some(Ceiling { rows: 4, then: sync_spec::CeilingThen::Error });
        let mut trail = Trail::new(&trailing);
        trail.take(&[1, 2], None, &word(Some("b")));
        assert_eq!(trail.take(&[3, 4], None, &word(Some("c"))), Turn::Fail(Broken::Ceiling(4)));
        let mut trail = Trail::new(&trailing);
        assert_eq!(trail.take(&[1, 2], Some(5), &word(Some("b"))), Turn::Fail(Broken::Ceiling(4)));
    }

    #[test]
    fn links_are_read_as_the_standard_writes_them() {
        let next = |header: &str| next_link(header);
        let two = r#"<https://a.example/x?page=1>; rel="prev", <https://a.example/x?page=3,4>; title="a, b"; rel="next last""#;
        assert_eq!(next(two).as_deref(), Some("https://a.example/x?page=3,4"));
        assert_eq!(next("</x?p=2>; rel=next").as_deref(), Some("/x?p=2"));
        assert_eq!(next(r#"<https://a.example>; rel="nextish""#), None);
        assert_eq!(next("nonsense"), None);
        let base = Url::parse("https://a.example/v1/orders?page=2").expect("a URL");
        assert_eq!(joined(&base, "?page=3"), "https://a.example/v1/orders?page=3");
        assert_eq!(decoded("MQ%3D%3D+"), "MQ==+");
    }

    #[test]
    fn what_leads_on_is_read_from_the_answer() {
        let base = Url::parse("https://a.example/v1").expect("a URL");
        let token = trail(token(), None, 2);
        let next = |body: &str| token.word(body, &[], &base, &[]).next;
        assert_eq!(next(r#"{"next":"b"}"#), Some("b".into()));
        assert_eq!(next(r#"{"next":7}"#), Some(7.into()));
        for none in [r#"{"next":null}"#, r#"{"next":""}"#, "{}", r#"{"next":false}"#, "[]"] {
            assert_eq!(next(none), None, "{none}");
        }
        let rows = [r#"{"id":"7"}"#, r#"{"id":null}"#];
        let keyset = trail(keyset(KeysetTo::Cursor, KeysetOrder::Int, true), None, 2);
        assert_eq!(keyset.word("[]", &[], &base, &rows).values, [Some("\"7\"".to_owned()), None]);
    }
}
