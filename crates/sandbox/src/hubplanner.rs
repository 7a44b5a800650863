//! Hub Planner: bare arrays in pages from 0, a raw key, and two limits that share their headers.

mod streams;

pub(crate) use streams::STREAMS;

use std::time::Duration;

use serde_json::json;

use crate::field::Row;
use crate::ink::{Ink, http_date};
use crate::listing::{Found, Wish};
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
    let searched = path.last() == Some(&"search");
    let whole = if searched { path[..path.len() - 1].join("/") } else { path.join("/") };
    let (name, id) = match path[..] {
        [name, id] if !searched && Provider::Hubplanner.listed(&whole).is_none() => (name, Some(id)),
        _ => (whole.as_str(), None),
    };
    let Some((index, stream)) = Provider::Hubplanner.listed(name) else { return missing() };
    match (request.incoming.method.as_str(), searched) {
        // Milestones have no list, only a search for all.
        ("GET", false) if stream.path == "milestone" && id.is_none() => return missing(),
        ("GET", false) | ("POST", true) => {}
        ("GET", true) => return missing(),
        _ => return error(403, "The key is read only", "FORBIDDEN", &json!({})),
    }
    if sandbox.options.forbidden.iter().any(|name| name == stream.name) {
        return error(403, "Extension is not active", "EXTENSION_IS_NOT_ACTIVE", &json!({}));
    }
    match id {
        Some(id) => get(sandbox, index, stream, id).unwrap_or_else(missing),
        None if searched => search(sandbox, index, stream, request).unwrap_or_else(|refused| refused),
        None => list(sandbox, index, stream, request).unwrap_or_else(|refused| refused),
    }
}

fn assertion(name: &str) -> Page {
    error(400, "Bad request", "PROPERTY_ASSERTION_ERROR", &json!(name))
}

/// Where a page begins, and how many rows it has at most.
fn paging(stream: &Stream, request: &Request) -> Result<(u64, u64), Page> {
    let number = |name: &str, default: u64| match request.param(name) {
        None => Ok(default),
        Some(text) => text.parse::<u64>().map_err(|_| assertion(name)),
    };
    let limit = number("limit", stream.page)?;
    if request.param("limit").is_some() && !(1..=stream.page_max).contains(&limit) {
        return Err(assertion("limit"));
    }
    Ok((number("page", 0)?.saturating_mul(limit), limit))
}

/// A search by time of change or of deletion. Rows without a time of change stand first in its order, and pass no filter
/// on it. A field that cannot be searched is an error.
fn search(sandbox: &Sandbox, index: usize, stream: &Stream, request: &Request) -> Result<Page, Page> {
    let (offset, limit) = paging(stream, request)?;
    let body: serde_json::Value =
        serde_json::from_slice(&request.incoming.body).map_err(|_| assertion("body"))?;
    let searched = matches!(stream.path, "booking" | "timeentry");
    let known = |name: &str| match name {
        "updatedDate" => searched,
        "deleted" | "deletedDate" => stream.path == "booking",
        _ => false,
    };
    let fields = body.as_object().ok_or_else(|| assertion("body"))?;
    if let Some(strange) = fields.keys().find(|name| !known(name)) {
        return Err(error(
            400,
            "Bad request",
            &format!("should not contains property [\"{strange}\"]"),
            &json!({}),
        ));
    }
    let since = |name: &str| -> Result<Option<i64>, Page> {
        match &body[name]["$gte"] {
            serde_json::Value::Null => Ok(None),
            value => {
                let moment = value.as_str().and_then(|text| sync_core::parse_timestamp(text.as_bytes()));
                moment.map(Some).ok_or_else(|| assertion(name))
            }
        }
    };
    // Times are told in milliseconds, and compared as they are told.
    let told = |micros: i64| micros.div_euclid(1_000) * 1_000;
    let (updated, deleted) = (since("updatedDate")?, since("deletedDate")?);
    let mut found = if body["deleted"] == json!(true) {
        let graves = sandbox.graves(index);
        let rows = graves.into_iter().filter(|(_, at)| deleted.is_none_or(|from| told(*at) >= from));
        let rows = rows.map(|(row, _)| row).collect();
        Found { rows, ..sandbox.scan(index, u64::MAX, 0, false, |_| false) }
    } else {
        sandbox.scan(index, 0, usize::MAX, false, |_| true)
    };
    let (world, salt) = (found.world.clone(), found.salt);
    let changed = |row: &Row| (!world.never_changed(salt, row)).then(|| told(row.updated));
    if let Some(from) = updated {
        found.rows.retain(|row| changed(row).is_some_and(|at| at >= from));
    }
    if request.param("sort") == Some("updatedDate") {
        found.rows.sort_by_key(|row| (changed(row), row.slot));
    }
    found.rows = found.rows.into_iter().skip(offset as usize).take(limit as usize).collect();
    let mut ink = Ink::new(Provider::Hubplanner.hand());
    ink.raw("[");
    found.write(&mut ink, stream, |_| true);
    ink.raw("]");
    Ok(Page { rows: found.rows.len() as u64, ..Page::json(200, ink.out) })
}

fn list(sandbox: &Sandbox, index: usize, stream: &Stream, request: &Request) -> Result<Page, Page> {
    let (offset, limit) = paging(stream, request)?;
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
