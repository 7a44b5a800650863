use std::time::Duration;

use serde_json::Value;
use sync_http::serve::Reply;

use crate::ask::{Got, ask, incoming, options, reply, sandbox};
use crate::sandbox::Sandbox;
use crate::state::Provider;
use crate::{Change, Fault, Options, RetryAfter, What, When};

const BEARER: &str = "Bearer planhat-sandbox-token";

fn get(sandbox: &Sandbox, path: &str) -> Got {
    ask(sandbox, "GET", &format!("/planhat/{path}"), Some(BEARER))
}

fn rows(sandbox: &Sandbox, path: &str) -> Vec<Value> {
    let got = get(sandbox, path);
    assert_eq!(got.status, 200, "{path}: {}", got.text);
    match got.json() {
        Value::Array(rows) => rows,
        other => panic!("{path} is no bare array: {other}"),
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["_id"].as_str().expect("an id")).collect()
}

/// Every row that pages of `limit` give.
fn walk(sandbox: &Sandbox, path: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let page = rows(sandbox, &format!("{path}&limit={limit}&offset={}", all.len()));
        if page.is_empty() {
            return all;
        }
        assert!(page.len() <= limit);
        all.extend(page);
    }
}

#[test]
fn a_token_is_needed_in_either_form() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let check = |authorization: Option<&str>, status: u16, text: &str| {
        let got = ask(&sandbox, "GET", "/planhat/companies?limit=1", authorization);
        assert_eq!(got.status, status, "{authorization:?}");
        assert!(got.text.contains(text), "{}", got.text);
    };
    check(Some(BEARER), 200, "[{");
    check(Some("Basic cGxhbmhhdC1zYW5kYm94LXRva2VuOg=="), 200, "[{");
    check(None, 401, "Unauthorized");
    check(Some("Bearer wrong"), 401, "Invalid access token");
    check(Some("Basic cGxhbmhhdC1zYW5kYm94LXRva2Vu"), 401, "Invalid");
    check(Some("planhat-sandbox-token"), 401, "Invalid");
}

#[test]
fn limits_have_defaults_and_are_cut_silently() {
    let (_, options) = options();
    let sandbox = sandbox(options.rows("planhat/companies", 6_000).rows("planhat/conversations", 2_500));
    let check = |path: &str, count: usize| assert_eq!(rows(&sandbox, path).len(), count, "{path}");
    check("companies", 100);
    check("companies?limit=7", 7);
    check("companies?limit=9999", 5_000);
    check("companies?limit=0", 100);
    check("companies?limit=many", 100);
    check("companies?limit=5000&offset=5900", 100);
    check("companies?offset=6000", 0);
    check("companies?offset=99999999999", 0);
    check("conversations", 30);
    check("conversations?limit=9999", 2_000);
    check("churn?limit=9999", 80);
    check("users", 45);
    check("leancompanies?limit=5", 6_000);
}

#[test]
fn large_limits_can_be_refused_instead() {
    let (_, options) = options();
    let sandbox = sandbox(Options { planhat_refuses_large_limits: true, ..options });
    assert_eq!(get(&sandbox, "companies?limit=5000").status, 200);
    let got = get(&sandbox, "companies?limit=5001");
    assert_eq!((got.status, got.text.as_str()), (400, r#"{"error":"limit must be at most 5000"}"#));
}

#[test]
fn every_stream_pages_to_its_oracle() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    for stream in Provider::Planhat.streams() {
        let mut found = walk(&sandbox, &format!("{}?sort=_id", stream.path), 300);
        assert!(!found.is_empty(), "{}", stream.name);
        found.sort_by(|a, b| a["_id"].as_str().cmp(&b["_id"].as_str()));
        assert_eq!(found, sandbox.oracle(stream.name).expect("a stream"), "{}", stream.name);
        let mut unique = ids(&found);
        unique.dedup();
        assert_eq!(unique.len(), found.len(), "{}", stream.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_rows_and_another_others() {
    let of = |seed| {
        let (_, options) = options();
        get(&sandbox(Options { seed, ..options }), "companies?limit=20").text
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn sorting_is_by_known_names_to_the_letter() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    sandbox.touch("planhat/companies", 10).expect("a stream");
    let by = |path: &str, field: &str, descending: bool| {
        let found = walk(&sandbox, path, 400);
        let mut values: Vec<_> = found.iter().map(|r| r[field].as_str().expect("text")).collect();
        if descending {
            values.reverse();
        }
        assert!(values.is_sorted(), "{path}");
        found.len()
    };
    assert_eq!(by("companies?sort=_id", "_id", false), 1_000);
    assert_eq!(by("companies?sort=-_id", "_id", true), 1_000);
    assert_eq!(by("companies?sort=updatedAt", "updatedAt", false), 1_000);
    assert_eq!(by("companies?sort=-updatedAt", "updatedAt", true), 1_000);
    assert_eq!(by("companies?sort=-lastUpdated", "lastUpdated", true), 1_000);
    assert_eq!(by("companies?sort=createDate", "createDate", false), 1_000);
    assert_eq!(by("tickets?sort=-updateDate", "updateDate", true), 900);
    assert_eq!(by("invoices?sort=lastUpdated", "lastUpdated", false), 700);
    let first = |path: &str| get(&sandbox, path).text;
    for ignored in
        ["companies?sort=updatedat", "companies?sort=-name", "companies?sort=", "companies?order=-_id"]
    {
        assert_eq!(first(ignored), first("companies?sort=_id"), "{ignored}");
    }
    assert_eq!(first("licenses?sort=-updatedAt"), first("licenses"), "licenses have no such field");
    assert_eq!(first("licenses"), first("licenses?sort=-_id"), "the newest first where nothing is asked");
}

#[test]
fn select_keeps_the_id() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let row = &rows(&sandbox, "companies?limit=1&select=name,updatedAt,Status")[0];
    let keys: Vec<_> = row.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["_id", "name", "updatedAt"]);
    let row = &rows(&sandbox, "companies?limit=1&select=_id")[0];
    assert_eq!(row.as_object().expect("an object").len(), 1);
}

#[test]
fn only_some_filters_are_honoured() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let companies = rows(&sandbox, "companies?limit=2");
    let (one, two) = (ids(&companies)[0].to_owned(), ids(&companies)[1].to_owned());
    for (stream, key) in
        [("endusers", "companyId"), ("nps", "cId"), ("invoices", "cId"), ("companies", "_id")]
    {
        let found = walk(&sandbox, &format!("{stream}?companyId={one},{two}"), 500);
        let all = walk(&sandbox, &format!("{stream}?x=y"), 500);
        let expect: Vec<_> = all.iter().filter(|r| r[key] == *one || r[key] == *two).cloned().collect();
        assert_eq!(found, expect, "{stream}");
    }
    let issues = walk(&sandbox, "issues?x=y", 500);
    let company = issues.iter().find_map(|r| r["companyIds"][0].as_str()).expect("an issue of a company");
    let found = walk(&sandbox, &format!("issues?companyId={company}"), 500);
    assert!(!found.is_empty() && found.len() < issues.len());
    assert_eq!(get(&sandbox, "companies?name=nobody&limit=3").text, get(&sandbox, "companies?limit=3").text);
}

#[test]
fn archived_rows_are_hidden_until_asked_for() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    for (stream, flag) in [("endusers", "archived"), ("tasks", "isArchived")] {
        let shown = walk(&sandbox, &format!("{stream}?a=b"), 500);
        assert!(shown.iter().all(|r| r[flag] == false), "{stream}");
        let hidden = walk(&sandbox, &format!("{stream}?{flag}=true"), 500);
        assert!(!hidden.is_empty() && hidden.iter().all(|r| r[flag] == true), "{stream}");
        let name = format!("planhat/{stream}");
        let all = sandbox.streams().into_iter().find(|(n, _)| *n == name).expect("a stream").1;
        assert_eq!((shown.len() + hidden.len()) as u64, all, "{stream}");
        assert_eq!(sandbox.oracle(&name).expect("a stream").len(), shown.len(), "{stream}");
        assert_eq!(walk(&sandbox, &format!("{stream}?{flag}=false"), 500), shown);
    }
}

#[test]
fn notes_are_conversations() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    assert_eq!(get(&sandbox, "notes").status, 404);
    let mut notes = walk(&sandbox, "conversations?type=note", 500);
    assert!(notes.iter().all(|r| r["type"] == "note"));
    notes.reverse();
    assert_eq!(notes, sandbox.oracle("planhat/notes").expect("an alias"));
}

#[test]
fn one_row_is_found_by_its_id() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    for stream in ["companies", "users"] {
        for row in rows(&sandbox, &format!("{stream}?limit=6")) {
            assert_eq!(
                get(&sandbox, &format!("{stream}/{}", row["_id"].as_str().expect("an id"))).json(),
                row
            );
        }
    }
    for id in ["nope", "64a1f0c2b7d3e85a9c001122", "ffffffffffffffffffffffff", "ééééééééééééé"] {
        assert_eq!(get(&sandbox, &format!("companies/{id}")).status, 404, "{id}");
    }
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let (_, options) = options();
    let sandbox = sandbox(Options { forbidden: vec!["planhat/nps".to_owned()], ..options });
    assert_eq!(get(&sandbox, "nps").status, 403);
    assert_eq!(get(&sandbox, "Companies").status, 404);
    assert_eq!(get(&sandbox, "companies/1/2").status, 404);
    assert_eq!(get(&sandbox, "").status, 404);
    assert_eq!(ask(&sandbox, "PUT", "/planhat/companies", Some(BEARER)).status, 405);
    assert_eq!(ask(&sandbox, "GET", "/nobody/contacts", Some(BEARER)).status, 404);
}

#[test]
fn the_two_hundred_and_first_call_of_a_minute_is_too_many() {
    let (clock, options) = options();
    let sandbox = sandbox(Options { limits: true, ..options });
    for n in 0..200 {
        let got = get(&sandbox, "companies?limit=1");
        assert_eq!(got.status, 200);
        assert_eq!(got.header("x-rate-limit-limit"), Some("200"));
        assert_eq!(got.header("x-rate-limit-remaining"), Some((199 - n).to_string().as_str()));
        clock.advance(Duration::from_millis(100));
    }
    let got = get(&sandbox, "companies?limit=1");
    assert_eq!((got.status, got.text.as_str()), (429, "Too many requests"));
    assert_eq!(got.header("x-rate-limit-remaining"), Some("0"));
    clock.advance(Duration::from_millis(39_999));
    assert_eq!(get(&sandbox, "companies?limit=1").status, 429);
    clock.advance(Duration::from_millis(1));
    assert_eq!(get(&sandbox, "companies?limit=1").status, 200);
    assert_eq!(get(&sandbox, "companies?limit=1").status, 429);
    let planhat = &sandbox.counters().providers["planhat"];
    assert_eq!((planhat.requests, planhat.violations), (204, 4));
    assert_eq!(planhat.most_in_window, 203, "the first had left, the refused are counted");
    assert_eq!(sandbox.counters().endpoints["planhat/companies"].by_status[&429], 3);
}

#[test]
fn rows_have_every_quirk() {
    let (_, options) = options();
    let sandbox = sandbox(options.rows("planhat/companies", 3_000));
    let companies = sandbox.oracle("planhat/companies").expect("a stream");
    let some = |what: &str, test: &dyn Fn(&Value) -> bool| {
        assert!(companies.iter().any(test), "no company {what}");
        assert!(!companies.iter().all(test), "all companies {what}");
    };
    some("lacks a phase", &|r| r.get("phase").is_none());
    some("has phase null", &|r| r.get("phase") == Some(&Value::Null));
    some("has phase \"\"", &|r| r["phase"] == "");
    some("has phase undefined", &|r| r["phase"] == "undefined");
    some("has an owner object", &|r| r["owner"]["nickName"].is_string());
    some("has an owner id", &|r| r["owner"].is_string());
    some("has nextTouch in text", &|r| r["nextTouch"].is_string());
    some("has nextTouch in milliseconds", &|r| {
        r["nextTouch"].as_i64().is_some_and(|ms| ms > 1_000_000_000_000)
    });
    some("has no health", &|r| r["h"].is_null());
    some("has a number beyond 2^53", &|r| r["nrrTotal"].as_i64().is_some_and(|n| n.unsigned_abs() > 1 << 53));
    some("has 0.1", &|r| r["mrr"] == 0.1);
    some("has many digits", &|r| r["mrr"] == 12_345_678_901_234.56);
    some("has an orgLevel as text", &|r| r["orgLevel"].is_string());
    some("has labels that differ by case", &|r| {
        r["custom"]["Region"].is_string() && r["custom"]["region"].is_i64()
    });
    some("has an empty label", &|r| r["custom"].get("").is_some());
    some("has a name beyond ASCII", &|r| !r["name"].as_str().expect("text").is_ascii());
    some("has an emoji", &|r| r["name"].as_str().expect("text").contains('🚀'));
    some("has a line break", &|r| r["description"].as_str().is_some_and(|t| t.contains('\n')));
    some("has two clocks apart", &|r| r["updatedAt"] != r["lastUpdated"]);
    some("has one clock", &|r| r["updatedAt"] == r["lastUpdated"]);
    assert!(!get(&sandbox, "companies?limit=5000").text.contains("\\u0000"));

    let users = sandbox.oracle("planhat/users").expect("a stream");
    let mut lengths: Vec<_> = users.iter().map(|r| r["_id"].as_str().expect("text").len()).collect();
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, [24, 32]);
    let invoice = &sandbox.oracle("planhat/invoices").expect("a stream")[0];
    assert!(invoice["invoiceDate"].as_i64().is_some_and(|day| (18_000..22_000).contains(&day)));
    assert!(invoice.get("companyId").is_none());
    assert!(get(&sandbox, "invoices?limit=700").text.contains("1500.0,"), "a fraction that is none");
}

#[test]
fn references_lead_to_rows() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let companies = sandbox.oracle("planhat/companies").expect("a stream");
    for enduser in &rows(&sandbox, "endusers?limit=50") {
        let company = companies.iter().find(|c| c["_id"] == enduser["companyId"]).expect("its company");
        assert_eq!(enduser["companyName"], company["name"]);
    }
}

#[test]
fn u0000_comes_only_on_request() {
    let (_, options) = options();
    let sandbox = sandbox(Options { nul: true, ..options });
    assert!(get(&sandbox, "companies?limit=5000").text.contains("before\\u0000after"));
}

#[test]
fn changes_show_in_the_listing() {
    let (clock, options) = options();
    let sandbox = sandbox(options);
    let before = sandbox.oracle("planhat/companies").expect("a stream");
    clock.advance(Duration::from_hours(1));
    let touched = sandbox.touch("planhat/companies", 25).expect("a stream");
    let newest = rows(&sandbox, "companies?sort=-updatedAt&limit=26");
    let mut found: Vec<_> = ids(&newest[..25]).into_iter().map(str::to_owned).collect();
    found.sort();
    assert_eq!(found, touched);
    for row in &newest[..25] {
        assert_eq!(row["updatedAt"], "2026-01-01T01:00:00.000Z");
        assert_eq!(row["__v"], 1);
        let old = before.iter().find(|old| old["_id"] == row["_id"]).expect("it was there");
        assert_eq!(old["name"], row["name"]);
        assert_ne!(old, row);
    }
    let added = sandbox.add("planhat/companies", 2).expect("a stream");
    assert_eq!(ids(&rows(&sandbox, "companies?sort=_id&offset=1000")), added);
    let deleted = sandbox.delete("planhat/companies", 3).expect("a stream");
    let left = sandbox.oracle("planhat/companies").expect("a stream");
    assert_eq!(left.len(), 999);
    assert!(left.iter().all(|row| !deleted.contains(&row["_id"].as_str().expect("an id").to_owned())));
    assert!(sandbox.touch("planhat/nothing", 1).is_err());
    sandbox.reset();
    assert_eq!(sandbox.oracle("planhat/companies").expect("a stream"), before);
    sandbox.set_rows("planhat/companies", 7).expect("a stream");
    assert_eq!(sandbox.oracle("planhat/companies").expect("a stream").len(), 7);
}

#[test]
fn a_listing_shifts_while_it_is_read() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let shift = |change, at| {
        let stream = "planhat/companies".to_owned();
        let what = What::Shift { stream: stream.clone(), change, rows: 2, before: 100 };
        sandbox.fault(Fault { on: stream, when: When::At(at), what }).expect("a stream");
    };
    let whole = rows(&sandbox, "companies?sort=_id&limit=300");
    shift(Change::Delete, 2);
    let first = rows(&sandbox, "companies?sort=_id&limit=100");
    let second = rows(&sandbox, "companies?sort=_id&limit=100&offset=100");
    assert_eq!(first, whole[..100]);
    assert_eq!(second, whole[102..202], "two rows slipped through");
    shift(Change::Insert, 1);
    let second = rows(&sandbox, "companies?sort=_id&limit=100&offset=100");
    assert_eq!(second, whole[100..200], "two rows pushed back");
}

#[test]
fn bad_days_come_as_ordered() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let on = || "planhat/companies".to_owned();
    let ordered = |what: What| {
        sandbox.fault(Fault { on: on(), when: When::Next(1), what }).expect("no stream is named");
        reply(&sandbox, "GET", "/planhat/companies?limit=1", Some(BEARER))
    };
    let whole = |what: What| match ordered(what) {
        Reply::Whole { status, headers, body } => {
            let header = headers.into_iter().find(|(name, _)| name == "retry-after").map(|(_, value)| value);
            (status, String::from_utf8(body.to_vec()).expect("UTF-8"), header)
        }
        _ => panic!("not answered well"),
    };
    let (status, text, header) = whole(What::Status(503, None));
    assert_eq!((status, header), (503, None));
    assert!(text.starts_with("<!DOCTYPE html>"));
    let (status, text, header) = whole(What::Status(429, Some(RetryAfter::Seconds(7))));
    assert_eq!((status, text.as_str(), header.as_deref()), (429, "Too many requests", Some("7")));
    let (_, _, header) = whole(What::Status(429, Some(RetryAfter::Date(90))));
    assert_eq!(header.as_deref(), Some("Thu, 01 Jan 2026 00:01:30 GMT"));
    let (status, text, _) = whole(What::Html);
    assert_eq!((status, text.contains("<html>")), (200, true));
    assert_eq!(whole(What::Empty).1, "");
    assert_eq!(whole(What::Object).1, r#"{"message":"something else"}"#);
    assert!(matches!(ordered(What::Hang), Reply::Hang));
    assert!(matches!(ordered(What::Reset), Reply::Reset));
    let Reply::Cut { status: 200, body, sent, .. } = ordered(What::Cut) else { panic!("not cut") };
    assert!(sent > 0 && sent < body.len());
    assert!(serde_json::from_slice::<Value>(&body).is_ok(), "what is announced is the right answer");
    assert_eq!(get(&sandbox, "companies?limit=1").status, 200, "and then all is well");
    assert_eq!(sandbox.counters().endpoints["planhat/companies"].by_status[&0], 2);

    let late = What::Latency(Duration::from_millis(300));
    sandbox.fault(Fault { on: String::new(), when: When::Every(1), what: late }).expect("no stream is named");
    let incoming = incoming("GET", "/planhat/companies?limit=1", Some(BEARER));
    assert_eq!(sandbox.answer(&incoming).delay, Duration::from_millis(300));
    sandbox.clear_faults();
    assert_eq!(sandbox.answer(&incoming).delay, Duration::ZERO);
}

#[test]
fn what_was_asked_is_remembered_without_secrets() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    get(&sandbox, "companies?sort=-updatedAt&limit=3&key=planhat-sandbox-token");
    get(&sandbox, "nothing?limit=3");
    let counters = sandbox.counters();
    let asked: Vec<_> = counters.asked_of("planhat/companies").collect();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].param("sort"), asked[0].param("limit")), (Some("-updatedAt"), Some("3")));
    assert_eq!((asked[0].status, asked[0].rows), (200, 3));
    assert!(!format!("{counters:?}{}", counters.asked_json()).contains("sandbox-token"));
    assert_eq!(counters.requests("planhat/nothing"), 1);
}

#[test]
fn a_million_companies_are_served_from_anywhere() {
    let (_, options) = options();
    let sandbox = sandbox(options.rows("planhat/companies", 1_000_000));
    let page = rows(&sandbox, "companies?sort=-updatedAt&limit=50&offset=999975");
    assert_eq!(page.len(), 25);
    let page = rows(&sandbox, "companies?sort=_id&limit=2&offset=500000");
    assert!(page[0]["_id"].as_str() < page[1]["_id"].as_str());
}

#[test]
fn options_that_name_no_stream_are_refused() {
    let (_, options) = options();
    let error = Sandbox::new(options.rows("planhat/company", 1)).err().expect("a refusal");
    assert!(
        error
            .to_string()
            .starts_with("the sandbox has no stream `planhat/company`; it has planhat/companies,")
    );
}
