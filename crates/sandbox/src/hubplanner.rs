//! Hub Planner: bare arrays in pages from 0, a raw key, and two limits that share their headers.

mod streams;

pub(crate) use streams::STREAMS;

use std::time::Duration;

use serde_json::json;

use crate::ink::{Ink, http_date};
use crate::listing::Wish;
use crate::options::Reset;
use crate::request::{Page, Request};
use crate::sandbox::Sandbox;
use crate::state::Provider;
use crate::stream::Stream;
use crate::table::{By, Order};
use crate::window::{Day, Place};

/// The answer to a request, as Hub Planner gives it. Every answer tells of the daily quota; one that is refused for a
/// burst tells of the burst instead, and when to come back.
pub(crate) fn answer(sandbox: &Sandbox, request: &Request, place: Place, day: Day) -> Page {
    let page = match credential(sandbox, request) {
        Err(refused) => refused,
        Ok(()) if !day.free => too_many("The daily limit of API calls is reached."),
        Ok(()) if !place.free => {
            let (count, _) = sandbox.options.hubplanner_limit;
            let page = too_many("Too many requests in a short time.");
            let page = page.header("retry-after", place.wait.as_secs_f64().ceil().max(1.0).to_string());
            return limits(sandbox, page, count, 0, place.wait);
        }
        Ok(()) => route(sandbox, request),
    };
    limits(sandbox, page, sandbox.options.hubplanner_daily.0, day.remaining, day.left)
}

/// The three headers. In which of four forms the reset comes is nowhere documented, so it is an option.
fn limits(sandbox: &Sandbox, page: Page, limit: u32, remaining: u32, wait: Duration) -> Page {
    let then = sandbox.options.clock.now().plus(wait).micros();
    let reset = match sandbox.options.hubplanner_reset {
        Reset::EpochMs => (then / 1_000).to_string(),
        Reset::Epoch => then.div_euclid(1_000_000).saturating_add(1).to_string(),
        Reset::Seconds => wait.as_secs_f64().ceil().to_string(),
        Reset::Date => http_date(then + 999_999),
    };
    page.header("x-ratelimit-limit", limit.to_string())
        .header("x-ratelimit-remaining", remaining.to_string())
        .header("x-ratelimit-reset", reset)
}

fn too_many(words: &str) -> Page {
    error(429, words, "TOO_MANY_REQUESTS", &json!({}))
}

fn error(status: u16, message: &str, error: &str, properties: &serde_json::Value) -> Page {
    let body =
        json!({"message": message, "error": error, "code": "", "properties": properties, "version": 2});
    Page::json(status, body.to_string())
}

/// The key as it is. A wrong one is answered with 403 and comes back in the body.
fn credential(sandbox: &Sandbox, request: &Request) -> Result<(), Page> {
    match request.incoming.header("authorization") {
        None => Err(error(401, "Authentication required", "UNAUTHORIZED", &json!({}))),
        Some(key) if key == sandbox.options.hubplanner_key => Ok(()),
        Some(key) => {
            let echo = json!({"authHeaders": key});
            Err(error(403, "Token is not valid", "OAUTH_ERROR_TOKEN_NOT_VALID", &echo))
        }
    }
}

fn route(sandbox: &Sandbox, request: &Request) -> Page {
    let is_json =
        |name| request.incoming.header(name).is_some_and(|value| value.starts_with("application/json"));
    if !(is_json("accept") && is_json("content-type")) {
        return error(400, "Accept and Content-Type must be application/json", "BAD_REQUEST", &json!({}));
    }
    let missing = || error(404, "Not found", "NOT_FOUND", &json!({}));
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let (name, id) = match path[..] {
        [name] => (name, None),
        [name, id] => (name, Some(id)),
        _ => return missing(),
    };
    let Some((index, stream)) = Provider::Hubplanner.listed(name) else { return missing() };
    if request.incoming.method != "GET" {
        return error(403, "The key is read only", "FORBIDDEN", &json!({}));
    }
    if sandbox.options.forbidden.iter().any(|name| name == stream.name) {
        return error(403, "Extension is not active", "EXTENSION_IS_NOT_ACTIVE", &json!({}));
    }
    match id {
        Some(id) => get(sandbox, index, stream, id).unwrap_or_else(missing),
        None => list(sandbox, index, stream, request).unwrap_or_else(|refused| refused),
    }
}

fn list(sandbox: &Sandbox, index: usize, stream: &Stream, request: &Request) -> Result<Page, Page> {
    let assertion = |name: &str| error(400, "Bad request", "PROPERTY_ASSERTION_ERROR", &json!(name));
    let number = |name: &str, default: u64| match request.param(name) {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|_| assertion(name)),
    };
    let limit = number("limit", stream.page)?;
    if request.param("limit").is_some() && !(1..=stream.page_max).contains(&limit) {
        return Err(assertion("limit"));
    }
    let offset = number("page", 0)?.saturating_mul(limit);
    let wish = Wish {
        order: order(stream, request).ok_or_else(|| assertion("sort"))?,
        filters: &[],
        offset,
        limit,
        count: false,
    };
    let found = sandbox.find(index, &wish);
    let mut ink = Ink::new(Provider::Hubplanner.hand());
    ink.raw("[");
    found.write(&mut ink, stream, |_| true);
    ink.raw("]");
    Ok(Page { rows: found.rows.len() as u64, ..Page::json(200, ink.out) })
}

fn get(sandbox: &Sandbox, index: usize, stream: &Stream, id: &str) -> Option<Page> {
    // The slot is in the last third of the digits; the rest is compared.
    let slot = u64::from_str_radix(id.get(16..24)?, 16).ok()?;
    let found = sandbox.get(index, slot)?;
    if found.world.id(found.salt, stream.fields, &found.rows[0]) != id {
        return None;
    }
    let mut ink = Ink::new(Provider::Hubplanner.hand());
    found.write(&mut ink, stream, |_| true);
    Some(Page { rows: 1, ..Page::json(200, ink.out) })
}

/// The order asked for; nothing where it cannot sort by that field, which is an error.
fn order(stream: &Stream, request: &Request) -> Option<Order> {
    let Some(sort) = request.param("sort") else {
        return Some(Order { by: By::Id, descending: false });
    };
    let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
    let sortable = matches!(name, "createdDate" | "updatedDate");
    let by = stream.field(name).filter(|_| sortable).and_then(|(_, field)| field.order())?;
    Some(Order { by, descending })
}

#[cfg(test)]
mod tests;
