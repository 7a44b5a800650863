//! HubSpot: lists behind tokens, a search with a ceiling and another name for the same property, texts for everything.

mod streams;

pub(crate) use streams::STREAMS;

use serde_json::{Value, json};

use crate::field::Row;
use crate::ink::Ink;
use crate::listing::{Found, Wish};
use crate::request::{Page, Request};
use crate::sandbox::Sandbox;
use crate::state::Provider;
use crate::stream::Stream;
use crate::table::{By, Order};
use crate::window::Place;

/// The number of the account.
const PORTAL: u64 = 62_515;
/// A longer URL is refused, with a page and not with JSON.
const URL_MAX: usize = 8_000;
/// Rows that a search gives at most.
const CEILING: u64 = 10_000;
/// The names of the custom properties begin so.
const CUSTOM: &str = "custom_property_number_";

/// The answer to a request, as HubSpot gives it. Searches tell nothing of limits.
pub(crate) fn answer(sandbox: &Sandbox, request: &Request, place: Place) -> Page {
    if request.incoming.path.len() + request.incoming.query.len() > URL_MAX {
        return Page::html(414);
    }
    let page = match credential(sandbox, request) {
        Err(refused) => refused,
        Ok(()) if !place.free => {
            let body = json!({"status": "error", "message": "You have reached your ten_secondly_rolling limit.", "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"});
            Page::json(429, body.to_string())
        }
        Ok(()) => route(sandbox, request).unwrap_or_else(|refused| refused),
    };
    if request.path.last().is_some_and(|last| last == "search") {
        return page;
    }
    page.header("x-hubspot-ratelimit-max", sandbox.options.hubspot_limit.0.to_string())
        .header("x-hubspot-ratelimit-remaining", place.remaining.to_string())
        .header(
            "x-hubspot-ratelimit-interval-milliseconds",
            sandbox.options.hubspot_limit.1.as_millis().to_string(),
        )
}

fn credential(sandbox: &Sandbox, request: &Request) -> Result<(), Page> {
    let wanted = format!("Bearer {}", sandbox.options.hubspot_token);
    match request.incoming.header("authorization") {
        Some(header) if header == wanted => Ok(()),
        _ => Err(error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")),
    }
}

fn error(status: u16, category: &str, message: &str) -> Page {
    Page::json(status, json!({"status": "error", "message": message, "category": category}).to_string())
}

fn route(sandbox: &Sandbox, request: &Request) -> Result<Page, Page> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let get = request.incoming.method == "GET";
    let allowed = |stream: &Stream| {
        let forbidden = sandbox.options.forbidden.iter().any(|name| name == stream.name);
        if forbidden {
            Err(error(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes."))
        } else {
            Ok(())
        }
    };
    let listed = |path: &str| {
        let (index, stream) = Provider::Hubspot.listed(path).ok_or_else(|| {
            error(400, "VALIDATION_ERROR", &format!("Unable to infer object type from: {path}"))
        })?;
        allowed(stream)?;
        Ok::<_, Page>((index, stream))
    };
    match (get, &path[..]) {
        (true, ["account-info", "v3", "details"]) => Ok(Page::json(
            200,
            json!({"portalId": PORTAL, "accountType": "STANDARD", "timeZone": "Europe/Stockholm"})
                .to_string(),
        )),
        (true, ["crm", "v3", "properties", object]) => {
            listed(object)?;
            Ok(properties(sandbox, object))
        }
        (true, ["crm", "v3", "schemas"]) => Ok(schemas()),
        (true, ["crm", "v3", "pipelines", object]) => Ok(pipelines(object)),
        (true, ["crm", "v3", "objects", object]) => {
            let (index, stream) = listed(object)?;
            list(sandbox, request, index, stream, true)
        }
        (false, ["crm", "v3", "objects", object, "search"]) => {
            let (index, stream) = listed(object)?;
            search(sandbox, request, index, stream)
        }
        (false, ["crm", "v4", "associations", from, to, "batch", "read"]) => {
            let ((_, from), (index, _)) = (listed(from)?, listed(to)?);
            associations(sandbox, request, from, index)
        }
        (true, ["crm", "v3", "owners"]) => {
            let (index, stream) = listed("owners")?;
            list(sandbox, request, index, stream, false)
        }
        (false, ["crm", "v3", "lists", "search"]) => {
            let (index, stream) = listed("lists")?;
            lists(sandbox, request, index, stream)
        }
        (true, ["marketing", "v3", name @ ("forms" | "campaigns" | "emails")]) => {
            let (index, stream) = listed(if *name == "emails" { "marketing_emails" } else { name })?;
            list(sandbox, request, index, stream, false)
        }
        _ => Err(error(404, "OBJECT_NOT_FOUND", "No such path")),
    }
}

/// The property by which a search tells the last change of an object.
fn modified(stream: &Stream) -> &'static str {
    if stream.path == "contacts" { "lastmodifieddate" } else { "hs_lastmodifieddate" }
}

fn properties(sandbox: &Sandbox, object: &str) -> Page {
    let (_, stream) = Provider::Hubspot.listed(object).expect("it was found a moment ago");
    let own = streams::PROPERTIES.iter().map(|(name, kind)| json!({"name": name, "type": kind}));
    let every = [("hs_object_id", "number"), ("createdate", "datetime"), (modified(stream), "datetime")];
    let every = every.into_iter().map(|(name, kind)| json!({"name": name, "type": kind}));
    let custom = (0..sandbox.options.hubspot_properties)
        .map(|n| json!({"name": format!("{CUSTOM}{n:03}"), "type": "string"}));
    let results: Vec<Value> = own.chain(every).chain(custom).collect();
    Page::json(200, json!({"results": results}).to_string())
}

fn schemas() -> Page {
    let machines = json!({"id": "3465404", "name": "machines", "objectTypeId": "2-3465404", "fullyQualifiedName": "p62515_machines", "labels": {"singular": "Machine"}, "archived": false});
    Page::json(200, json!({"results": [machines]}).to_string())
}

fn pipelines(object: &str) -> Page {
    let stage =
        |id: &str| json!({"id": id, "label": id, "displayOrder": 0, "metadata": {"isClosed": "false"}});
    // Ids are unique only inside the kind of object.
    let pipeline = json!({"id": "default", "label": format!("{object} pipeline"), "displayOrder": 0, "createdAt": "1970-01-01T00:00:00Z", "stages": [stage("new"), stage("won")]});
    Page::json(200, json!({"results": [pipeline]}).to_string())
}

/// A list that goes on from the id of the next row. Those of objects have properties; archived rows are another set.
fn list(
    sandbox: &Sandbox,
    request: &Request,
    index: usize,
    stream: &Stream,
    objects: bool,
) -> Result<Page, Page> {
    let limit = request.number("limit").unwrap_or(stream.page);
    if !(1..=stream.page_max).contains(&limit) {
        return Err(error(400, "VALIDATION_ERROR", &format!("limit must be at most {}", stream.page_max)));
    }
    let after = match request.param("after") {
        None => 0,
        Some(text) if stream.path == "forms" => token(text)?,
        Some(text) => {
            text.parse::<u64>().map_err(|_| error(400, "VALIDATION_ERROR", "after is not valid"))?
        }
    };
    let since =
        request.param("updatedAfter").filter(|_| stream.path == "marketing_emails").map(str::to_owned);
    let archived = request.param("archived") == Some("true");
    let names = wanted(
        request.param("properties").map(|names| names.split(',').map(str::to_owned).collect()),
        stream,
    );
    let found = if archived {
        if objects {
            sandbox.buried(index, after.saturating_sub(1))
        } else {
            sandbox.scan(index, u64::MAX, 0, false, |_| false)
        }
    } else {
        let bound = since.and_then(|text| sync_core::parse_timestamp(text.as_bytes()));
        sandbox.scan(index, after.saturating_sub(1), limit as usize + 1, false, |row| {
            bound.is_none_or(|b| row.updated >= b)
        })
    };
    let (page, next) = cut(found, limit as usize);
    let mut ink = Ink::new(Provider::Hubspot.hand());
    ink.raw("{\"results\":[");
    let rows = page.rows.len() as u64;
    for row in &page.rows {
        ink.item();
        write(&mut ink, &page, stream, row, objects.then_some(names.as_slice()), archived);
    }
    ink.raw("]");
    if let Some(next) = next {
        let id = (next + 1).to_string();
        let id = if stream.path == "forms" { encoded(&id) } else { id };
        ink.raw(&format!(",\"paging\":{{\"next\":{{\"after\":\"{id}\",\"link\":\"https://api.hubapi.com/elsewhere?after={id}\"}}}}"));
    }
    ink.raw("}");
    Ok(Page { rows, ..Page::json(200, ink.out) })
}

/// The token of a form's list: base64, and percent-encoded already.
fn encoded(id: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.encode(id).replace('=', "%3D")
}

fn token(text: &str) -> Result<u64, Page> {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let bytes = BASE64_STANDARD.decode(text).ok();
    let id = bytes.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    id.ok_or_else(|| error(400, "VALIDATION_ERROR", "after is not valid"))
}

/// The rows of a page, and the slot of the one after it.
fn cut(mut found: Found, limit: usize) -> (Found, Option<u64>) {
    let next = found.rows.get(limit).map(|row| row.slot);
    found.rows.truncate(limit);
    (found, next)
}

/// The properties asked for; without a word a few. Names that there are not are ignored.
fn wanted(names: Option<Vec<String>>, stream: &Stream) -> Vec<String> {
    names.unwrap_or_else(|| {
        vec!["hs_object_id".into(), "createdate".into(), modified(stream).into(), "name".into()]
    })
}

fn write(ink: &mut Ink, found: &Found, stream: &Stream, row: &Row, names: Option<&[String]>, archived: bool) {
    let Some(names) = names else {
        return found.world.write(ink, found.salt, stream.fields, row, |_| true);
    };
    let id = row.slot + 1;
    ink.raw(&format!("{{\"id\":\"{id}\",\"properties\":{{"));
    let mut first = true;
    for name in names {
        let mut value = Ink::new(Provider::Hubspot.hand());
        match stream.field(name).filter(|_| !matches!(name.as_str(), "id" | "createdAt" | "updatedAt")) {
            Some((number, field)) => {
                found.world.write_field(&mut value, found.salt, number, field, row, false);
            }
            None if name == "hs_object_id" => value.text(&id.to_string()),
            None if name == "createdate" => value.iso(row.created, "Z"),
            None if name == modified(stream) => value.iso(row.updated, "Z"),
            None if name.starts_with(CUSTOM) => {
                value.text(&format!("{name} of {id}, change {}", row.version));
            }
            None => continue,
        }
        let text = String::from_utf8(value.out).expect("only text is written");
        // What is nothing is null here, and a date comes with its quotes.
        let text = match text.as_str() {
            "" => "null".to_owned(),
            bare if bare.starts_with(|c: char| c.is_ascii_digit()) => format!("\"{bare}\""),
            text => text.to_owned(),
        };
        if !std::mem::take(&mut first) {
            ink.raw(",");
        }
        ink.text(name);
        ink.raw(":");
        ink.raw(&text);
    }
    ink.raw("}");
    let mut times = Ink::new(Provider::Hubspot.hand());
    times.iso(row.created, "Z");
    times.raw(" ");
    times.iso(row.updated, "Z");
    let times = String::from_utf8(times.out).expect("only text is written").replace('"', "");
    let (created, updated) = times.split_once(' ').expect("both were written");
    ink.raw(&format!(",\"createdAt\":\"{created}\",\"updatedAt\":\"{updated}\",\"archived\":{archived}}}"));
}

/// A search by a window of change, behind an id. Anything else is not played.
fn search(sandbox: &Sandbox, request: &Request, index: usize, stream: &Stream) -> Result<Page, Page> {
    let wrong = |message: &str| error(400, "VALIDATION_ERROR", message);
    let body: Value =
        serde_json::from_slice(&request.incoming.body).map_err(|_| wrong("Invalid input JSON"))?;
    let limit = body["limit"].as_u64().unwrap_or(10);
    let from = body["after"].as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if limit > 200 || from + limit > CEILING {
        return Err(wrong("the limit is 200 rows a page and 10,000 in all"));
    }
    let (mut bounds, mut after, mut known) = ((i64::MIN, i64::MAX), 0, true);
    for filter in body["filterGroups"][0]["filters"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let number = |name: &str| filter[name].as_str().and_then(|text| text.parse::<i64>().ok());
        match (filter["propertyName"].as_str(), filter["operator"].as_str()) {
            (Some("hs_object_id"), Some("GT")) => {
                after = number("value").ok_or_else(|| wrong("value is not a number"))?;
            }
            (Some(name), Some("BETWEEN")) if name == modified(stream) => {
                let (low, high) = (number("value"), number("highValue"));
                bounds = low.zip(high).ok_or_else(|| wrong("value is not a number"))?;
            }
            // A property that the object does not have finds nothing, and is no error.
            (Some("lastmodifieddate" | "hs_lastmodifieddate"), _) => known = false,
            _ => return Err(wrong("this filter is not played")),
        }
    }
    let passes = |row: &Row| known && (bounds.0..=bounds.1).contains(&row.updated.div_euclid(1_000));
    let found = sandbox.scan(index, after.max(0) as u64, limit as usize, true, passes);
    let total = found.matching;
    let names = body["properties"]
        .as_array()
        .map(|list| list.iter().filter_map(|n| Some(n.as_str()?.to_owned())).collect());
    let names = wanted(names, stream);
    let mut ink = Ink::new(Provider::Hubspot.hand());
    ink.raw(&format!("{{\"total\":{total},\"results\":["));
    for row in &found.rows {
        ink.item();
        write(&mut ink, &found, stream, row, Some(&names), false);
    }
    ink.raw("]");
    if total > found.rows.len() as u64 {
        ink.raw(&format!(",\"paging\":{{\"next\":{{\"after\":\"{}\"}}}}", from + limit));
    }
    ink.raw("}");
    Ok(Page { rows: found.rows.len() as u64, ..Page::json(200, ink.out) })
}

/// Each row belongs to up to two of the other object, none in every third; those without are an error among the results.
fn associations(sandbox: &Sandbox, request: &Request, from: &Stream, to: usize) -> Result<Page, Page> {
    let body: Value = serde_json::from_slice(&request.incoming.body).unwrap_or_default();
    let inputs = body["inputs"].as_array().cloned().unwrap_or_default();
    if inputs.is_empty() || inputs.len() > 1_000 {
        return Err(error(400, "VALIDATION_ERROR", "1 to 1,000 inputs"));
    }
    let order = Order { by: By::Id, descending: false };
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for input in inputs {
        let id = input["id"].as_str().unwrap_or_default().to_owned();
        let number: u64 = id.parse().unwrap_or(0);
        if number.is_multiple_of(3) {
            errors.push(json!({"status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND", "context": {"fromObjectId": [id], "fromObjectType": [from.path]}}));
            continue;
        }
        let wish = Wish { order, filters: &[], offset: number % 50, limit: 1 + number % 2, count: false };
        let others = sandbox.find(to, &wish).rows;
        let others: Vec<Value> = others.iter().map(|row| json!({"toObjectId": row.slot + 1, "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 279, "label": null}]})).collect();
        results.push(json!({"from": {"id": id}, "to": others}));
    }
    let (status, rows) = (if errors.is_empty() { 200 } else { 207 }, results.len() as u64);
    let body = json!({"status": "COMPLETE", "results": results, "numErrors": errors.len(), "errors": errors});
    Ok(Page { rows, ..Page::json(status, body.to_string()) })
}

fn lists(sandbox: &Sandbox, request: &Request, index: usize, stream: &Stream) -> Result<Page, Page> {
    let body: Value = serde_json::from_slice(&request.incoming.body).unwrap_or_default();
    let offset = match &body["offset"] {
        Value::Null => 0,
        Value::Number(number) => number.as_u64().unwrap_or(0),
        _ => return Err(error(400, "VALIDATION_ERROR", "offset must be a number")),
    };
    let count = body["count"].as_u64().unwrap_or(stream.page).min(stream.page_max);
    let wish = Wish {
        order: Order { by: By::Id, descending: false },
        filters: &[],
        offset,
        limit: count,
        count: false,
    };
    let found = sandbox.find(index, &wish);
    let next = offset + found.rows.len() as u64;
    let mut ink = Ink::new(Provider::Hubspot.hand());
    ink.raw("{\"lists\":[");
    found.write(&mut ink, stream, |_| true);
    ink.raw(&format!("],\"hasMore\":{},\"offset\":{next},\"total\":{}}}", next < found.total, found.total));
    Ok(Page { rows: found.rows.len() as u64, ..Page::json(200, ink.out) })
}
