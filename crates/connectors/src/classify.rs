//! What an answer means: the connector's own rules in their order, then the table that holds for everybody.
//!
//! Whether an answer has the shape of a page is only glanced at here, because every page passes; the reader
//! finds the rows and asks again where the glance was deceived.

use std::borrow::Cow;
use std::time::Duration;

use sync_core::{Classify, Method, Operation, Outcome, Request, Response, Verdict};
use sync_spec::{ErrorRule, FieldPath, Parameter, Piece, Root, Template, Wait};

use crate::condition::holds;
use crate::json::{self, RowsError, Value};
use crate::plan::{Address, Lead, Listing, Plan, Trailing, is_for};
use crate::request::Settings;

/// The excerpt of a server's words, in characters.
const WORDS_MAX: usize = 300;

/// A connector's rules and what its pages look like.
#[derive(Debug)]
pub(crate) struct Rules {
    errors: Vec<ErrorRule>,
    shapes: Vec<Shape>,
    /// Where the provider says how long to wait, in lower case; the first that is there counts.
    waits: Vec<String>,
}

/// What the pages of one path look like. Streams may share a path.
#[derive(Debug)]
struct Shape {
    method: Method,
    /// The path in its pieces; what is none is a value of one segment.
    path: Vec<Option<String>>,
    stream: String,
    records: Vec<FieldPath>,
    /// Whether the body is JSON as it comes.
    plain: bool,
    first: First,
}

/// How the first page of a listing is told.
#[derive(Debug)]
enum First {
    /// Every page is, or none can be told from it.
    Always,
    /// The paging parameter has this value.
    Counter(String, u64),
    /// The token is not there.
    Without(Parameter),
}

impl Shape {
    fn is_of(&self, request: &Request) -> bool {
        self.method == request.method && follows(&self.path, request.url.path())
    }
}

/// Whether a path is made of these pieces: constants, and values without a slash.
fn follows(pieces: &[Option<String>], path: &str) -> bool {
    match pieces.split_first() {
        None => path.is_empty(),
        Some((Some(constant), rest)) => {
            path.strip_prefix(constant.as_str()).is_some_and(|path| follows(rest, path))
        }
        Some((None, rest)) => {
            let end = path.find('/').unwrap_or(path.len());
            (1..=end).rev().any(|length| path.is_char_boundary(length) && follows(rest, &path[length..]))
        }
    }
}

impl Rules {
    pub fn new(plan: &Plan, settings: &Settings) -> Self {
        let shapes = plan.streams().iter().flat_map(|stream| {
            stream.listings().map(|listing| Shape {
                method: listing.request.method(),
                path: listing.request.pattern(settings),
                stream: stream.name.clone(),
                records: listing.records.clone(),
                plain: stream.rewrite.decode == sync_spec::Decode::Json && !stream.rewrite.gzip,
                first: match &listing.listing {
                    Listing::Pages(paging) => match &paging.address {
                        Address::Page { param, first } => First::Counter(param.clone(), *first),
                        Address::Offset { param } => First::Counter(param.clone(), 0),
                    },
                    Listing::Trail(Trailing { lead: Lead::Token { to, .. }, .. }) => {
                        First::Without(to.clone())
                    }
                    Listing::Whole | Listing::Trail(_) => First::Always,
                },
            })
        });
        let headers = &plan.rate_limit.headers;
        let retry_after = headers.retry_after.clone().unwrap_or_else(|| "retry-after".to_owned());
        let waits = std::iter::once(retry_after).chain(headers.reset.clone()).collect();
        Self { errors: plan.errors.clone(), shapes: shapes.collect(), waits }
    }

    fn shape(&self, request: &Request) -> Option<&Shape> {
        self.shapes.iter().find(|s| s.is_of(request))
    }

    /// The check, or the page a listing begins with: an answer that says whether we are talking to the right
    /// host at all.
    fn is_beginning(&self, request: &Request) -> bool {
        if request.operation == Operation::Check {
            return true;
        }
        match self.shape(request).map(|s| &s.first) {
            Some(First::Counter(param, first)) => {
                let first = first.to_string();
                request.url.query_pairs().any(|(name, value)| name == *param && value == first)
            }
            Some(First::Without(Parameter::Query(param))) => {
                !request.url.query_pairs().any(|(n, _)| n == *param)
            }
            Some(First::Without(Parameter::Body(param))) => {
                let body = request.body.as_ref().and_then(|body| std::str::from_utf8(&body.bytes).ok());
                body.is_none_or(|body| json::get(body, std::slice::from_ref(param)).is_none())
            }
            Some(First::Always) => true,
            None => false,
        }
    }

    /// The table for everybody.
    fn by_default(&self, request: &Request, response: &Response, body: &str) -> (Verdict, Option<String>) {
        let verdict = match response.status {
            204 if request.operation == Operation::Read => return (Verdict::Empty, None),
            200..=299 => return self.shape_of(request, body),
            300..=399 => {
                let to = response.header("location").unwrap_or("nowhere");
                let to = to.split('?').next().unwrap_or(to); // the rest may repeat a key
                return (Verdict::Config, Some(format!("answered with a redirect to {to}")));
            }
            401 => Verdict::Auth,
            403 if request.operation == Operation::Check => Verdict::Auth,
            403 => Verdict::SkipStream,
            429 => Verdict::Limited,
            408 | 423 | 425 | 500..=599 => Verdict::Retry,
            _ if is_html(response, body) && self.is_beginning(request) => {
                return (Verdict::Config, Some(WEB_PAGE.to_owned()));
            }
            _ => Verdict::Fail,
        };
        (verdict, None)
    }

    /// Whether a 2xx answer is what was asked for.
    fn shape_of(&self, request: &Request, body: &str) -> (Verdict, Option<String>) {
        if begins_as_html(body) {
            let verdict = if self.is_beginning(request) { Verdict::Config } else { Verdict::Retry };
            return (verdict, Some(WEB_PAGE.to_owned()));
        }
        let found = match (request.operation, self.shape(request)) {
            (Operation::Read, Some(shape)) if !shape.plain => Ok(()),
            (Operation::Read, Some(shape)) => json::glance(body, &shape.records),
            _ => match json::kind_of(body) {
                found @ ("nothing" | "not JSON") => Err(RowsError::NoList(found)),
                _ => Ok(()),
            },
        };
        let say = match found {
            Ok(()) => return (Verdict::Ok, None),
            Err(error) => misfit(&error, self.shape(request).map_or(&[], |s| s.records.as_slice())),
        };
        (Verdict::Retry, Some(say))
    }
}

impl Classify for Rules {
    fn classify(&self, request: &Request, response: &Response) -> Outcome {
        let body = text(&response.body);
        let matches = |rule: &&ErrorRule| {
            let status = match rule.status.as_slice() {
                [] => (200..=299).contains(&response.status),
                list => list.contains(&response.status),
            };
            status && is_for(rule, request.operation) && holds(&rule.when, |p| look_up(response, &body, &p.0))
        };
        let rule = self.errors.iter().find(matches);
        let (verdict, say) = match rule {
            Some(rule) => {
                let stream = self.shape(request).map(|shape| shape.stream.as_str());
                (rule.is, rule.say.as_ref().map(|t| say(t, response, &body, stream)))
            }
            None => self.by_default(request, response, &body),
        };
        let wait = self.wait(rule.and_then(|rule| rule.wait.as_ref()), verdict, response);
        let words = if verdict.is_answer() { String::new() } else { excerpt(&body) };
        Outcome { verdict, wait, say, words }
    }
}

impl Rules {
    /// How long the provider asks to wait: in the rule's own header, else in those of the connector. What it says of a
    /// limit's reset is no answer to a passing fault.
    fn wait(&self, rule: Option<&Wait>, verdict: Verdict, response: &Response) -> Option<Duration> {
        let asked = match verdict {
            Verdict::Limited | Verdict::Quota => self.waits.as_slice(),
            Verdict::Retry => &self.waits[..1],
            _ => return None,
        };
        let own = rule.and_then(|wait| wait.header.as_deref());
        let mut named = own.into_iter().chain(asked.iter().map(String::as_str));
        named
            .find_map(|name| response.wait_in(&name.to_lowercase()))
            .or_else(|| rule.and_then(|wait| wait.default))
    }
}

const WEB_PAGE: &str = "answered with a web page, not JSON";

/// The body as text. What is not UTF-8 fits no shape and shows as `\u{fffd}`.
pub(crate) fn text(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match simdutf8::basic::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    }
}

/// Why an answer is not a page, in words that continue "the provider".
pub(crate) fn misfit(error: &RowsError, records: &[FieldPath]) -> String {
    let paths: Vec<_> = records.iter().map(|p| p.0.join(".")).filter(|p| !p.is_empty()).collect();
    match error {
        RowsError::Json(error) => format!("answered with a text that is {error}"),
        RowsError::NoList(found) if paths.is_empty() => format!("answered with {found} instead of a list"),
        RowsError::NoList(found) => {
            format!("answered with {found} that holds no list at `{}`", paths.join("` or `"))
        }
        RowsError::NotAnObject { found } => {
            format!("answered with a list whose first element is {found}, not an object")
        }
        RowsError::TooLarge => "answered with 4 GiB or more".to_owned(),
    }
}

fn is_html(response: &Response, body: &str) -> bool {
    response.header("content-type").is_some_and(|t| t.contains("html")) || begins_as_html(body)
}

fn begins_as_html(body: &str) -> bool {
    body.trim_start().starts_with('<')
}

/// The value that a path of a rule leads to.
pub(crate) fn look_up<'a>(response: &'a Response, body: &'a str, path: &[String]) -> Option<Value<'a>> {
    let (root, rest) = path.split_first()?;
    match (root.as_str(), rest) {
        ("body", rest) => json::get(body, rest),
        ("headers", [name]) => Some(Value::Text(response.header(&name.to_lowercase())?.into())),
        _ => None,
    }
}

/// The explanation with its holes filled; `?` where a value is missing.
fn say(template: &Template, response: &Response, body: &str, stream: Option<&str>) -> String {
    let mut text = String::new();
    for piece in &template.0 {
        let hole = match piece {
            Piece::Text(constant) => {
                text.push_str(constant);
                continue;
            }
            Piece::Hole(hole) => hole,
        };
        let value = match hole.root {
            Root::Status => Some(Cow::Owned(response.status.to_string())),
            Root::Headers => {
                hole.path.0.first().and_then(|n| response.header(&n.to_lowercase())).map(Cow::Borrowed)
            }
            Root::Body => json::get(body, &hole.path.0).map(|value| match value {
                Value::Null => Cow::Borrowed("?"),
                Value::Bool(bool) => Cow::Owned(bool.to_string()),
                Value::Number(raw) | Value::Nested(raw) => Cow::Borrowed(raw),
                Value::Text(text) => text,
            }),
            Root::Stream => stream.map(Cow::Borrowed),
            _ => None,
        };
        text.push_str(&excerpt(value.as_deref().unwrap_or("?")));
    }
    text
}

/// Text on one line, cut to a length that can be shown.
pub(crate) fn excerpt(text: &str) -> String {
    let mut line = String::new();
    // Blanks shrink to one, so a few times the length is enough to look at.
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().take(WORDS_MAX + 1));
        if let Some((at, _)) = line.char_indices().nth(WORDS_MAX) {
            line.truncate(at);
            line.push('…');
            break;
        }
    }
    line
}
