//! Planhat: one bare array a collection, offset and limit, a token in a header.

mod streams;

pub(crate) use streams::STREAMS;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::ink::Ink;
use crate::listing::{Filter, Test, Wish};
use crate::request::{Page, Request};
use crate::sandbox::Sandbox;
use crate::state::Provider;
use crate::stream::Stream;
use crate::table::{By, Order};
use crate::window::Place;

/// What other people call notes is a type of conversation.
pub(crate) const NOTES: &str = "planhat/notes";
pub(crate) const CONVERSATIONS: &str = "planhat/conversations";

/// The filter that makes notes of conversations.
pub(crate) fn only_notes(conversations: &Stream) -> Filter {
    Filter::new(conversations, "type", Test::OneOf(vec!["note".to_owned()]))
}

/// The answer to a request, as Planhat gives it.
pub(crate) fn answer(sandbox: &Sandbox, request: &Request, place: Place) -> Page {
    let page = match credential(sandbox, request) {
        Err(refused) => refused,
        Ok(()) if !place.free => Page::text(429, "Too many requests"),
        Ok(()) => route(sandbox, request),
    };
    let limit = sandbox.options.planhat_limit.0;
    page.header("x-rate-limit-limit", limit.to_string())
        .header("x-rate-limit-remaining", place.remaining.to_string())
}

fn credential(sandbox: &Sandbox, request: &Request) -> Result<(), Page> {
    let token = &sandbox.options.planhat_token;
    match request.incoming.header("authorization") {
        None => Err(Page::text(401, "Unauthorized")),
        Some(header) if header == format!("Bearer {token}") => Ok(()),
        Some(header) if header == format!("Basic {}", BASE64_STANDARD.encode(format!("{token}:"))) => Ok(()),
        Some(_) => Err(Page::json(401, r#"{"error":"Unauthorized","message":"Invalid access token"}"#)),
    }
}

fn route(sandbox: &Sandbox, request: &Request) -> Page {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let missing = || Page::json(404, r#"{"error":"Not Found"}"#);
    let (name, id) = match path[..] {
        ["myprofile"] => return Page::json(200, r#"{"name":"Sandbox","roles":["admin"]}"#),
        ["leancompanies"] => ("companies", None),
        [name] => (name, None),
        [name, id] => (name, Some(id)),
        _ => return missing(),
    };
    let Some((index, stream)) = Provider::Planhat.listed(name) else {
        return missing();
    };
    if request.incoming.method != "GET" {
        return Page::json(405, r#"{"error":"Method Not Allowed","message":"the sandbox is read-only"}"#);
    }
    if sandbox.options.forbidden.iter().any(|name| name == stream.name) {
        return Page::json(403, r#"{"error":"Forbidden","message":"No permission for this model"}"#);
    }
    match id {
        Some(id) => get(sandbox, index, stream, id).unwrap_or_else(missing),
        None if path[0] == "leancompanies" => lean(sandbox, index, stream),
        None => list(sandbox, index, stream, request),
    }
}

fn list(sandbox: &Sandbox, index: usize, stream: &Stream, request: &Request) -> Page {
    let asked = request.number("limit").filter(|limit| *limit > 0).unwrap_or(stream.page);
    if asked > stream.page_max && sandbox.options.planhat_refuses_large_limits {
        let body = format!(r#"{{"error":"limit must be at most {}"}}"#, stream.page_max);
        return Page::json(400, body);
    }
    let wish = Wish {
        order: order(stream, request),
        filters: &filters(stream, request),
        offset: request.number("offset").unwrap_or(0),
        limit: asked.min(stream.page_max),
        count: false,
    };
    let select: Option<Vec<&str>> = request.param("select").map(|names| names.split(',').collect());
    write(sandbox, index, stream, &wish, |name| {
        let named = |part: &&str| part.split('.').next() == Some(name);
        name == "_id" || select.as_ref().is_none_or(|names| names.iter().any(|part| named(&part.trim())))
    })
}

/// Every company with its ids alone, in one answer without limit.
fn lean(sandbox: &Sandbox, index: usize, stream: &Stream) -> Page {
    let wish = Wish { order: ascending(), filters: &[], offset: 0, limit: u64::MAX, count: false };
    write(sandbox, index, stream, &wish, |name| matches!(name, "_id" | "name" | "externalId" | "sourceId"))
}

fn write(
    sandbox: &Sandbox,
    index: usize,
    stream: &Stream,
    wish: &Wish,
    wanted: impl Fn(&str) -> bool,
) -> Page {
    let found = sandbox.find(index, wish);
    let mut ink = Ink::new(Provider::Planhat.hand());
    ink.raw("[");
    found.write(&mut ink, stream, wanted);
    ink.raw("]");
    Page { rows: found.rows.len() as u64, ..Page::json(200, ink.out) }
}

fn get(sandbox: &Sandbox, index: usize, stream: &Stream, id: &str) -> Option<Page> {
    // The slot is in the last third of the digits; the rest is compared.
    let slot = u64::from_str_radix(id.get(16..24)?, 16).ok()?;
    let found = sandbox.get(index, slot)?;
    if found.world.id(found.salt, stream.fields, &found.rows[0]) != id {
        return None;
    }
    let mut ink = Ink::new(Provider::Planhat.hand());
    found.write(&mut ink, stream, |_| true);
    Some(Page { rows: 1, ..Page::json(200, ink.out) })
}

fn ascending() -> Order {
    Order { by: By::Id, descending: false }
}

/// The order asked for. Property names count to the letter, and one it cannot sort by is silently ignored:
/// companies then come by id, everything else with the newest first.
fn order(stream: &Stream, request: &Request) -> Order {
    let natural = Order { by: By::Id, descending: stream.path != "companies" };
    let Some(sort) = request.param("sort") else {
        return natural;
    };
    let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
    let by = stream.field(name).and_then(|(_, field)| field.order());
    by.map_or(natural, |by| Order { by, descending })
}

/// The filters asked for. Those it does not know are silently ignored.
fn filters(stream: &Stream, request: &Request) -> Vec<Filter> {
    let mut filters = Vec::new();
    for (param, field) in stream.filters {
        let Some(values) = request.param(param).filter(|values| !values.is_empty()) else {
            continue;
        };
        if stream.hidden == Some(param) && values != "true" {
            continue;
        }
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        filters.push(Filter::new(stream, field, Test::OneOf(values)));
    }
    if stream.hidden.is_some_and(|param| request.param(param) != Some("true")) {
        filters.extend(Filter::hiding(stream));
    }
    let day = |param| request.param(param).and_then(|text| text.parse().ok());
    if stream.path == "dimensiondata" && (day("from").is_some() || day("to").is_some()) {
        let days = Test::Days(day("from").unwrap_or(i64::MIN), day("to").unwrap_or(i64::MAX));
        filters.push(Filter::new(stream, "time", days));
    }
    filters
}

#[cfg(test)]
mod tests;
