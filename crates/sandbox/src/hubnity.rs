//! Hubnity: one documented list, and guesses at the others. No pages, no filters, one key.

use serde_json::json;

use crate::field::{
    Field,
    Make::{Created, Email, FirstName, Flag, Label, LastName, ObjectId, Pick, Text, Updated, Whole},
    f,
};
use crate::ink::Ink;
use crate::listing::Wish;
use crate::request::{Page, Request};
use crate::sandbox::Sandbox;
use crate::state::Provider;
use crate::stream::Stream;
use crate::table::{By, Order};
use crate::window::Place;

const fn stream(name: &'static str, path: &'static str, rows: u64, fields: &'static [Field]) -> Stream {
    Stream { name, path, rows, page: u64::MAX, page_max: u64::MAX, filters: &[], hidden: None, fields }
}

/// The lists; only that of members is documented.
pub(crate) static STREAMS: &[Stream] = &[
    stream("hubnity/members", "members", 37, MEMBERS),
    stream("hubnity/projects", "projects", 21, PROJECTS),
    stream("hubnity/timesheets", "timesheets", 12, ENTRIES),
    stream("hubnity/time_entries", "time_entries", 333, ENTRIES),
    stream("hubnity/payroll_batches", "payroll_batches", 4, PROJECTS),
];

const MEMBERS: &[Field] = &[
    f("id", ObjectId),
    f("email", Email),
    f("first_name", FirstName),
    f("last_name", LastName),
    f("role", Pick(&["OWNER", "ADMIN", "MANAGER", "USER"])).moves(),
    f("status", Pick(&["PENDING", "ACTIVE", "SUSPENDED", "INACTIVE"])).moves(),
    f("created_at", Created),
];

const PROJECTS: &[Field] = &[
    f("id", ObjectId),
    f("name", Label("Project")),
    f("description", Text).null().moves(),
    f("billable", Flag(2)),
    f("created_at", Created),
    f("updated_at", Updated),
];

const ENTRIES: &[Field] = &[
    f("id", ObjectId),
    f("duration", Whole(0, 28_800)).null().moves(),
    f("approved", Flag(3)).moves(),
    f("description", Text).null(),
    f("created_at", Created),
    f("updated_at", Updated),
];

/// The answer to a request. Where the code of an error stands is not documented; it is put into the body here.
pub(crate) fn answer(sandbox: &Sandbox, request: &Request, place: Place) -> Page {
    let error = |status: u16, code: &str, message: &str| {
        Page::json(status, json!({"code": code, "message": message}).to_string())
    };
    let wanted = format!("Bearer {}", sandbox.options.hubnity_key);
    if request.incoming.header("authorization") != Some(&wanted) {
        return error(401, "HUB-API-401", "Invalid or revoked API key");
    }
    if !place.free {
        return error(429, "HUB-API-429", "Rate limit exceeded").header("retry-after", "60");
    }
    let listed = request
        .path
        .first()
        .filter(|_| request.path.len() == 1)
        .and_then(|name| Provider::Hubnity.listed(name));
    let Some((index, stream)) = listed else { return error(404, "NOT_FOUND", "Not found") };
    if sandbox.options.forbidden.iter().any(|name| name == stream.name) {
        return error(403, "HUB-API-403", &format!("missing scope read:{}", stream.path));
    }
    let wish = Wish {
        order: Order { by: By::Id, descending: false },
        filters: &[],
        offset: 0,
        limit: u64::MAX,
        count: false,
    };
    let found = sandbox.find(index, &wish);
    let mut ink = Ink::new(Provider::Hubnity.hand());
    ink.raw("{\"data\":[");
    found.write(&mut ink, stream, |_| true);
    ink.raw("]}");
    Page { rows: found.rows.len() as u64, ..Page::json(200, ink.out) }
}
