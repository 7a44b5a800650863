//! `/_sandbox/…`: how a person with `curl` changes rows and lets things go wrong.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use crate::faults::{Change, Fault, RetryAfter, What, When};
use crate::options::OptionsError;
use crate::request::{Page, Request};
use crate::sandbox::Sandbox;
use crate::state::Provider;

const HELP: &str = "\
The providers of `sync`, played. Nothing leaves this machine.

GET  /_sandbox/stats                                       requests, statuses, the most in any window
GET  /_sandbox/requests                                    the last requests one by one
POST /_sandbox/touch?stream=planhat/companies&rows=25      changes rows; add, insert and delete likewise
POST /_sandbox/round                                       changes, adds and deletes rows in every stream
POST /_sandbox/rows?stream=planhat/companies&rows=1000000  begins a stream anew with so many rows
POST /_sandbox/fault?on=planhat/companies&when=next:3&what=status:503
       when  next:N  at:N  every:N
       what  status:N  error:N  hang  reset  cut  html  empty  object  latency:500ms  touch:N  add:N  insert:N  delete:N
       and   retry_after=5 or retry_date=5 with a status, before=100 with insert and delete
POST /_sandbox/calm                                        nothing goes wrong any more
POST /_sandbox/reset                                       rows, faults and counters as at the beginning

Streams:
";

/// The answer to anything that is no provider's.
pub(crate) fn answer(sandbox: &Sandbox, first: &str, request: &Request) -> Page {
    let action = match (first, &request.path[..]) {
        ("" | "_sandbox", []) => return help(sandbox),
        ("_sandbox", [action]) => action.as_str(),
        _ => return Page::text(404, "no such provider; GET / tells what there is\n"),
    };
    let reads = matches!(action, "stats" | "requests");
    match (request.incoming.method.as_str(), reads) {
        ("GET", true) | ("POST", false) => {}
        _ => return Page::text(405, "POST what changes something, GET the rest\n"),
    }
    act(sandbox, action, request).unwrap_or_else(|why| Page::json(400, json!({"error": why}).to_string()))
}

fn help(sandbox: &Sandbox) -> Page {
    let mut text = HELP.to_owned();
    for provider in Provider::ALL {
        for stream in provider.streams() {
            let list = if provider == Provider::Flowlu { "/list" } else { "" };
            let rows =
                sandbox.streams().iter().find(|(name, _)| *name == stream.name).map_or(0, |(_, rows)| *rows);
            let path = format!("/{}/{}{list}", provider.name(), stream.path);
            let _ = writeln!(text, "  {:<36} GET {path:<42} {rows:>9} rows", stream.name);
        }
    }
    Page::new(200, "text/plain; charset=utf-8", text)
}

fn act(sandbox: &Sandbox, action: &str, request: &Request) -> Result<Page, String> {
    let stream = || request.param("stream").ok_or("`stream` is missing, such as planhat/companies");
    let rows = || match request.param("rows") {
        None => Ok(sandbox.options.changes_per_round),
        Some(text) => number("rows", text),
    };
    let unknown = |error: OptionsError| error.to_string();
    let change = |change| {
        let before = request.param("before").map_or(Ok(u64::MAX), |text| number("before", text))?;
        let ids = sandbox.change(stream()?, change, rows()?, before).map_err(unknown)?;
        Ok::<_, String>(json!({"ids": ids}))
    };
    let done = match action {
        "stats" => sandbox.counters().to_json(),
        "requests" => sandbox.counters().asked_json(),
        "touch" => change(Change::Touch)?,
        "add" => change(Change::Add)?,
        "insert" => change(Change::Insert)?,
        "delete" => change(Change::Delete)?,
        "round" => {
            sandbox.round();
            json!({})
        }
        "rows" => {
            sandbox.set_rows(stream()?, rows()?).map_err(unknown)?;
            json!({})
        }
        "fault" => {
            sandbox.fault(fault(request)?).map_err(unknown)?;
            json!({})
        }
        "calm" => {
            sandbox.clear_faults();
            json!({})
        }
        "reset" => {
            sandbox.reset();
            json!({})
        }
        other => return Err(format!("`{other}` is nothing the sandbox does; GET / tells what is")),
    };
    Ok(Page::json(200, format!("{done}\n")))
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{name}={text}` is not a number"))
}

fn fault(request: &Request) -> Result<Fault, String> {
    let on = request.param("on").unwrap_or_default().to_owned();
    let text = request.param("when").unwrap_or("next:1");
    let (kind, count) = text.split_once(':').unwrap_or((text, "1"));
    let count = number("when", count)?;
    let when = match kind {
        "next" => When::Next(count),
        "at" => When::At(count),
        "every" => When::Every(count),
        _ => return Err(format!("`when={text}`: next:N, at:N or every:N")),
    };
    let what = what(request, &on)?;
    Ok(Fault { on, when, what })
}

fn what(request: &Request, on: &str) -> Result<What, String> {
    let text = request.param("what").ok_or("`what` is missing, such as status:503")?;
    let (kind, value) = text.split_once(':').unwrap_or((text, ""));
    let count = || number("what", value);
    let seconds = |name| request.param(name).map(|text| number(name, text)).transpose();
    let shift = |change| {
        let stream = request.param("stream").unwrap_or(on).to_owned();
        let before = request.param("before").map_or(Ok(u64::MAX), |text| number("before", text))?;
        Ok::<_, String>(What::Shift { stream, change, rows: count()?, before })
    };
    Ok(match kind {
        "status" => {
            let status = u16::try_from(count()?).ok().filter(|status| (200..600).contains(status));
            let retry_after = seconds("retry_after")?.map(RetryAfter::Seconds);
            let retry_date = seconds("retry_date")?.map(RetryAfter::Date);
            What::Status(status.ok_or("a status is 200 to 599")?, retry_after.or(retry_date))
        }
        "error" => What::ErrorCode(value.parse().map_err(|_| format!("`what={text}`: which code?"))?),
        "hang" => What::Hang,
        "reset" => What::Reset,
        "cut" => What::Cut,
        "html" => What::Html,
        "empty" => What::Empty,
        "object" => What::Object,
        "latency" => {
            let millis = value.strip_suffix("ms").map(|ms| number("what", ms));
            What::Latency(Duration::from_millis(millis.ok_or("latency is in milliseconds: latency:500ms")??))
        }
        "touch" => shift(Change::Touch)?,
        "add" => shift(Change::Add)?,
        "insert" => shift(Change::Insert)?,
        "delete" => shift(Change::Delete)?,
        _ => return Err(format!("`what={text}` is nothing that can go wrong here; GET / tells what can")),
    })
}

#[cfg(test)]
mod tests;
