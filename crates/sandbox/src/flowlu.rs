//! Flowlu: a key in the query, pages by number, and status 200 for everything, errors included.

mod streams;

pub(crate) use streams::STREAMS;

use crate::ink::Ink;
use crate::listing::{Filter, Found, Test, Wish};
use crate::options::Astray;
use crate::request::{Page, Request};
use crate::sandbox::Sandbox;
use crate::state::Provider;
use crate::stream::Stream;
use crate::table::{By, Order};
use crate::window::Place;

/// The answer to a request, as Flowlu gives it.
pub(crate) fn answer(sandbox: &Sandbox, request: &Request, place: Place) -> Page {
    match &sandbox.options.flowlu_astray {
        Some(Astray::Redirect(to)) => return Page::html(302).header("location", to),
        Some(Astray::Page) => return Page::html(404),
        None => {}
    }
    if request.param("api_key") != Some(sandbox.options.flowlu_key.as_str()) {
        return error(11);
    }
    if !place.free {
        return throttled(place);
    }
    route(sandbox, request)
}

/// Two ways of saying the same, in turns.
fn throttled(place: Place) -> Page {
    if place.refused % 2 == 1 {
        return Page::text(429, "Too Many Requests");
    }
    Page::json(200, r#"{"error":{"error_code":10,"error_msg":"Request limit exceeded"}}"#)
}

/// An error in the documented shape. Status 200, like everything.
pub(crate) fn error(code: i64) -> Page {
    let words = match code {
        11 => "api key not found",
        12 => "invalid request",
        13 => "internal server error",
        20 => "not found",
        21 => "Validation error",
        22 => "access denied",
        30 => "unknown method",
        31 => "unknown module",
        _ => "unknown error",
    };
    let details = if code == 21 { r#","error_details":[]"# } else { "" };
    Page::json(200, format!(r#"{{"error":{{"error_code":{code},"error_msg":"{words}"{details}}}}}"#))
}

/// The other shape: a word where the object was.
fn invalid(field: &str, why: &str) -> Page {
    let body = serde_json::json!({
        "error": "validation",
        "description": "Form filling error",
        "details": {field: why},
    });
    Page::json(200, body.to_string())
}

fn route(sandbox: &Sandbox, request: &Request) -> Page {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let [module, entity, method, rest @ ..] = &path[..] else {
        return error(12);
    };
    if !STREAMS.iter().any(|stream| stream.path.split('/').next() == Some(module)) {
        return error(31);
    }
    let Some((index, stream)) = Provider::Flowlu.listed(&format!("{module}/{entity}")) else {
        return error(30);
    };
    if sandbox.options.forbidden.iter().any(|name| name == stream.name) {
        // A key without the module hears the one, without the method the other.
        return error(if crate::draw::salt(stream.name).is_multiple_of(2) { 22 } else { 30 });
    }
    match (*method, rest) {
        ("list", []) => list(sandbox, index, stream, request),
        ("get", [id]) => get(sandbox, index, stream, id).unwrap_or_else(|| error(20)),
        ("create" | "update" | "delete", _) => error(22), // the sandbox is read-only
        _ => error(30),
    }
}

fn list(sandbox: &Sandbox, index: usize, stream: &Stream, request: &Request) -> Page {
    let page = match request.param("page").map(str::parse::<u64>) {
        None => 1,
        Some(Ok(page)) if page > 0 => page,
        Some(_) => return error(12),
    };
    // Beyond its maximum it answers with less and does not say so.
    let limit =
        request.number("limit").filter(|limit| *limit > 0).unwrap_or(stream.page).min(stream.page_max);
    let filters = match filters(stream, request) {
        Ok(filters) => filters,
        Err(page) => return page,
    };
    let offset = (page - 1).saturating_mul(limit);
    let wish = Wish { order: order(stream, request), filters: &filters, offset, limit, count: true };
    let found = sandbox.find(index, &wish);
    let mut ink = Ink::new(Provider::Flowlu.hand());
    envelope(&mut ink, &found, page);
    found.write(&mut ink, stream, |_| true);
    ink.raw("]}}");
    Page { rows: found.rows.len() as u64, ..Page::json(200, ink.out) }
}

fn envelope(ink: &mut Ink, found: &Found, page: u64) {
    ink.raw(r#"{"response":{"#);
    for (name, number) in [
        ("total", found.total),
        ("total_result", found.matching),
        ("page", page),
        ("count", found.rows.len() as u64),
    ] {
        ink.key(name);
        ink.decimal(number, 1);
    }
    ink.key("items");
    ink.raw("[");
}

fn get(sandbox: &Sandbox, index: usize, stream: &Stream, id: &str) -> Option<Page> {
    let found = sandbox.get(index, id.parse::<u64>().ok()?.checked_sub(1)?)?;
    let mut ink = Ink::new(Provider::Flowlu.hand());
    ink.raw(r#"{"response":"#);
    let row = &found.rows[0];
    found.world.write(&mut ink, found.salt, stream.fields, row, |_| true);
    ink.raw("}");
    Some(Page { rows: 1, ..Page::json(200, ink.out) })
}

/// The order asked for, the direction being in the key. A field it cannot sort by is silently ignored: the
/// newest row then comes first.
fn order(stream: &Stream, request: &Request) -> Order {
    let asked =
        [("order_by[asc][]", false), ("order_by[desc][]", true)].into_iter().find_map(|(key, descending)| {
            let by = stream.field(request.param(key)?).and_then(|(_, field)| field.order())?;
            Some(Order { by, descending })
        });
    asked.unwrap_or(Order { by: By::Id, descending: true })
}

/// The filters asked for. Those it does not know are silently ignored.
fn filters(stream: &Stream, request: &Request) -> Result<Vec<Filter>, Page> {
    let mut filters = Vec::new();
    for (param, field) in std::iter::once(&("id", "id")).chain(stream.filters) {
        let Some(value) = request.param(&format!("filter[{param}]")) else {
            continue;
        };
        let test = if value.starts_with('{') {
            more(value).ok_or_else(|| invalid(field, "Incorrect filter"))?
        } else {
            Test::OneOf(vec![value.to_owned()])
        };
        filters.push(Filter::new(stream, field, test));
    }
    Ok(filters)
}

/// `{"type":"more","value":42}`, the one comparison that anybody has seen to work.
fn more(text: &str) -> Option<Test> {
    let filter: serde_json::Value = serde_json::from_str(text).ok()?;
    let value = &filter["value"];
    let bound = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    (filter["type"] == "more").then_some(Test::More(bound))
}

#[cfg(test)]
mod tests;
