//! What a connector file says, as a table for people: `docs/providers.md` is made of these.

use std::fmt::Write;

use sync_spec::{CursorMode, Rate, Size, Template};

use crate::plan::{Address, Lead, Listing, ListingPlan, Plan, StreamPlan, Trailing};

/// A section about a connector: its limits, and a row for each stream.
pub fn reference(plan: &Plan) -> String {
    let mut text = format!("## {}\n\n", plan.title());
    let limits: Vec<String> = plan.rate_limit.limits.iter().map(|limit| rate(&limit.rate)).collect();
    let at_once = plan.rate_limit.concurrency.map(|most| format!(", {most} at once")).unwrap_or_default();
    let _ =
        writeln!(text, "Requests, unless a pipeline says otherwise: {}{at_once}.\n", limits.join(" and "));
    text.push_str("| stream | asked for at | key | changes by | how | pages |\n|---|---|---|---|---|---|\n");
    for stream in plan.streams() {
        text.push_str(&row(stream));
    }
    text
}

fn row(stream: &StreamPlan) -> String {
    let mark = if stream.unverified { " *" } else { "" };
    let mut asked: Vec<String> = Vec::new();
    for listing in stream.listings() {
        let line =
            format!("`{} {}`", listing.request.method().as_str(), shown(listing.request.path_template()));
        if !asked.contains(&line) {
            asked.push(line);
        }
    }
    let (field, how) = match &stream.cursor {
        None => ("", "all of it"),
        Some(cursor) => (
            cursor.field.last().map_or("", String::as_str),
            match cursor.mode {
                CursorMode::Server => "the provider filters",
                CursorMode::Client if cursor.newest_first.is_some() => "newest first, compared here",
                CursorMode::Client => "all of it, compared here",
                CursorMode::Feed => "newest first by itself, compared here",
            },
        ),
    };
    let pages = pages(stream.changed.as_ref().unwrap_or(&stream.main));
    let key = stream.key.join(", ");
    format!("| `{}`{mark} | {} | {key} | {field} | {how} | {pages} |\n", stream.name, asked.join("<br>"))
}

fn pages(listing: &ListingPlan) -> String {
    let sized = |size: Option<&Size>| size.map(|size| format!(" of {}", size.rows)).unwrap_or_default();
    match &listing.listing {
        Listing::Whole => "one answer".to_owned(),
        Listing::Pages(paging) => {
            let by = match paging.address {
                Address::Page { .. } => "numbered",
                Address::Offset { .. } => "by offset",
            };
            format!("{by}{}", sized(paging.size.as_ref()))
        }
        Listing::Trail(Trailing { lead, size, .. }) => {
            let by = match lead {
                Lead::Token { .. } => "by token",
                Lead::Url { .. } | Lead::Link => "by link",
                Lead::Keyset { .. } => "by key",
            };
            format!("{by}{}", sized(size.as_ref()))
        }
    }
}

fn shown(template: &Template) -> String {
    let piece = |piece: &sync_spec::Piece| match piece {
        sync_spec::Piece::Text(text) => text.clone(),
        sync_spec::Piece::Hole(hole) => format!("{{{}}}", hole.path.0.join(".")),
    };
    template.0.iter().map(piece).collect()
}

fn rate(rate: &Rate) -> String {
    let seconds = rate.period.as_secs();
    match seconds {
        86_400 if rate.calendar_day => format!("{} a day", rate.count),
        1 => format!("{} a second", rate.count),
        60 => format!("{} a minute", rate.count),
        seconds => format!("{} in {seconds} seconds", rate.count),
    }
}
