use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::{Got, ask, options, sandbox};
use crate::sandbox::Sandbox;
use crate::state::Provider;
use crate::{Astray, Fault, Options, What, When};

fn get(sandbox: &Sandbox, path: &str) -> Got {
    let and = if path.contains('?') { '&' } else { '?' };
    ask(sandbox, "GET", &format!("/flowlu/{path}{and}api_key=flowlu-sandbox-key"), None)
}

fn response(sandbox: &Sandbox, path: &str) -> Value {
    let got = get(sandbox, path);
    assert_eq!(got.status, 200, "{path}");
    let mut json = got.json();
    assert!(json["response"].is_object(), "{path}: {json}");
    json["response"].take()
}

fn items(sandbox: &Sandbox, path: &str) -> Vec<Value> {
    response(sandbox, path)["items"].as_array().expect("items").clone()
}

/// Every row that pages of a hundred give.
fn walk(sandbox: &Sandbox, path: &str) -> Vec<Value> {
    let page = |number: usize| items(sandbox, &format!("{path}&limit=100&page={number}"));
    (1..).map(page).take_while(|page| !page.is_empty()).flatten().collect()
}

#[track_caller]
fn check_error(got: &Got, expect: &Value) {
    assert_eq!((got.status, got.json()), (200, json!({"error": *expect})));
}

#[test]
fn errors_have_status_200_and_two_shapes() {
    let (_, options) = options();
    let sandbox = sandbox(Options { forbidden: vec!["flowlu/leads".to_owned()], ..options });
    let key = json!({"error_code": 11, "error_msg": "api key not found"});
    check_error(&ask(&sandbox, "GET", "/flowlu/crm/account/list", None), &key);
    check_error(&ask(&sandbox, "GET", "/flowlu/crm/account/list?api_key=wrong", None), &key);
    let check = |path: &str, code: i64, words: &str| {
        check_error(&get(&sandbox, path), &json!({"error_code": code, "error_msg": words}));
    };
    check("nothing/account/list", 31, "unknown module");
    check("crm/nothing/list", 30, "unknown method");
    check("crm/account/count", 30, "unknown method");
    check("crm", 12, "invalid request");
    check("crm/account/list?page=0", 12, "invalid request");
    check("crm/account/get/999999", 20, "not found");
    check("crm/account/get/x", 20, "not found");
    let refused = get(&sandbox, "crm/lead/list").json()["error"]["error_code"].clone();
    assert!(refused == 22 || refused == 30, "{refused}");
    let got = get(&sandbox, "crm/account/list?filter[id]=%7Bnonsense");
    let expect = json!({"error": "validation", "description": "Form filling error", "details": {"id": "Incorrect filter"}});
    assert_eq!((got.status, got.json()), (200, expect));

    let fault = |code| Fault { on: "flowlu".to_owned(), when: When::Next(1), what: What::ErrorCode(code) };
    sandbox.fault(fault(13)).expect("no stream is named");
    check("crm/account/list", 13, "internal server error");
    sandbox.fault(fault(21)).expect("no stream is named");
    assert_eq!(get(&sandbox, "crm/account/list").json()["error"]["error_details"], json!([]));
}

#[test]
fn pages_are_numbered_and_at_most_a_hundred() {
    let (_, options) = options();
    let sandbox = sandbox(options.rows("flowlu/crm/account", 250));
    let check = |query: &str, page: u64, count: usize| {
        let answer = response(&sandbox, &format!("crm/account/list?{query}"));
        let figures = json!({"total": 250, "total_result": 250, "page": page, "count": count});
        for (name, figure) in figures.as_object().expect("an object") {
            assert_eq!(answer[name], *figure, "{query}: {name}");
        }
        assert_eq!(answer["items"].as_array().expect("items").len(), count, "{query}");
    };
    check("", 1, 50);
    check("limit=100", 1, 100);
    check("limit=200", 1, 100);
    check("limit=100&page=3", 3, 50);
    check("limit=100&page=4", 4, 0);
    check("limit=100&page=99999999999", 99_999_999_999, 0);
    check("limit=-1", 1, 50);
    check("count=10", 1, 50);
}

#[test]
fn every_stream_pages_to_its_oracle() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    for stream in Provider::Flowlu.streams() {
        let found = walk(&sandbox, &format!("{}/list?order_by[asc][]=id", stream.path));
        assert_eq!(found, sandbox.oracle(stream.name).expect("a stream"), "{}", stream.name);
        assert!(!found.is_empty(), "{}", stream.name);
        let id = &found[0]["id"];
        let text = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        assert_eq!(get(&sandbox, &format!("{}/get/{text}", stream.path)).json()["response"], found[0]);
    }
}

#[test]
fn sorting_has_its_direction_in_the_key() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    sandbox.touch("flowlu/accounts", 9).expect("a stream");
    let ids = |rows: &[Value]| rows.iter().map(|r| r["id"].as_i64().expect("a number")).collect::<Vec<_>>();
    let up = walk(&sandbox, "crm/account/list?order_by%5Basc%5D%5B%5D=id");
    assert!(ids(&up).is_sorted());
    let down = walk(&sandbox, "crm/account/list?order_by[desc][]=id");
    assert!(down.iter().eq(up.iter().rev()));
    let updated = walk(&sandbox, "crm/account/list?order_by[desc][]=updated_date");
    let moments: Vec<_> = updated.iter().rev().map(|r| r["updated_date"].as_str().expect("text")).collect();
    assert!(moments.is_sorted());
    assert_eq!(updated.len(), up.len());
    let products = walk(&sandbox, "products/product/list?order_by[asc][]=updated");
    assert!(products.is_sorted_by_key(|r| r["updated"].as_str().expect("text").to_owned()));
    for ignored in ["order_by[asc][]=name", "order_by=id", "order_by[up][]=id", ""] {
        assert_eq!(walk(&sandbox, &format!("crm/account/list?{ignored}")), down, "{ignored}");
    }
}

#[test]
fn filters_are_honoured_by_name_and_otherwise_ignored() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let all = walk(&sandbox, "crm/account/list?order_by[asc][]=id");
    let check = |filter: &str, test: &dyn Fn(&Value) -> bool| {
        let found = walk(&sandbox, &format!("crm/account/list?order_by[asc][]=id&{filter}"));
        let expect: Vec<_> = all.iter().filter(|row| test(row)).cloned().collect();
        assert_eq!(found, expect, "{filter}");
        let answer = response(&sandbox, &format!("crm/account/list?{filter}"));
        assert_eq!((&answer["total"], &answer["total_result"]), (&json!(all.len()), &json!(expect.len())));
    };
    check("filter[type]=2", &|r| r["type"] == 2);
    check("filter[id]=41", &|r| r["id"] == 41);
    check("filter%5Bid%5D=%7B%22type%22%3A%22more%22%2C%22value%22%3A1000%7D", &|r| {
        r["id"].as_i64() > Some(1_000)
    });
    check(r#"filter[id]={"type":"more","value":"1000"}"#, &|r| r["id"].as_i64() > Some(1_000));
    check("filter[type_id]=2", &|_| true);
    check(r#"filter[updated_date]={"type":"more","value":"2025-06-01 00:00:00"}"#, &|_| true);
    let projects = walk(&sandbox, "st/projects/list?filter[is_archive]=0");
    assert!(!projects.is_empty() && projects.iter().all(|r| r["is_archive"] == 0));
    assert!(
        walk(&sandbox, "st/projects/list?a=b").len() > projects.len(),
        "archived ones come unless refused"
    );
}

#[test]
fn too_fast_is_said_in_two_ways() {
    let (clock, options) = options();
    let sandbox = sandbox(Options { limits: true, ..options });
    let asked: Vec<(u16, bool)> = (0..5)
        .map(|_| {
            let got = get(&sandbox, "crm/account/list?limit=1");
            (got.status, got.text.contains("Request limit exceeded"))
        })
        .collect();
    let fine = (200, false);
    assert_eq!(asked, [fine, fine, fine, (429, false), (200, true)]);
    clock.advance(Duration::from_secs(2));
    assert_eq!(get(&sandbox, "crm/account/list?limit=1").json()["response"]["count"], 1);
    assert_eq!(sandbox.counters().providers["flowlu"].violations, 2);
    assert_eq!(sandbox.counters().providers["planhat"].requests, 0);
}

#[test]
fn an_account_that_does_not_exist_leads_astray() {
    let (_, base) = options();
    let to = Astray::Redirect("https://www.flowlu.example/".to_owned());
    let lost = sandbox(Options { flowlu_astray: Some(to), ..base.clone() });
    let got = get(&lost, "crm/account/list");
    assert_eq!((got.status, got.header("location")), (302, Some("https://www.flowlu.example/")));
    let lost = sandbox(Options { flowlu_astray: Some(Astray::Page), ..base });
    let got = get(&lost, "crm/account/list");
    assert_eq!((got.status, got.text.contains("<html>")), (404, true));
}

#[test]
fn rows_have_every_quirk() {
    let (_, options) = options();
    let sandbox = sandbox(options.rows("flowlu/accounts", 2_000));
    let some = |stream: &str, what: &str, test: &dyn Fn(&Value) -> bool| {
        let rows = sandbox.oracle(stream).expect("a stream");
        assert!(rows.iter().any(test), "none of {stream} {what}");
        assert!(!rows.iter().all(test), "all of {stream} {what}");
    };
    some("flowlu/accounts", "has ref_id as text", &|r| r["ref_id"].is_string());
    some("flowlu/accounts", "has ref_id as number", &|r| r["ref_id"].is_i64());
    some("flowlu/accounts", "has VAT and vat", &|r| r.get("VAT").is_some() && r.get("vat").is_some());
    some("flowlu/accounts", "has a zero date", &|r| r["last_activity_time"] == "0000-00-00 00:00:00");
    some("flowlu/accounts", "has no date", &|r| r["last_activity_time"] == "");
    some("flowlu/accounts", "has a wide number", &|r| {
        r["organization_revenue"].as_i64().is_some_and(|n| n.unsigned_abs() > 1 << 53)
    });
    some("flowlu/tasks", "points at nothing with 0", &|r| r["parent_id"] == 0);
    some("flowlu/tasks", "points at nothing with null", &|r| r["crm_account_id"].is_null());
    some("flowlu/tasks", "is archived as text", &|r| r["is_archive"] == "1");
    some("flowlu/projects", "is archived as number", &|r| r["is_archive"] == 1);
    some("flowlu/invoice_items", "has a discount of 0.1 as text", &|r| r["discount"] == "0.1");
    assert!(sandbox.oracle("flowlu/users").expect("a stream").iter().all(|r| r["id"].is_string()));
    let raw = get(&sandbox, "crm/account/list?limit=100").text;
    assert!(raw.is_ascii(), "what is beyond ASCII is escaped");
    assert!(raw.contains("\\u"));
    assert!(raw.contains("https:\\/\\/www.example\\/a"));
}

#[test]
fn times_are_local_and_say_nothing_of_it() {
    let (clock, options) = options();
    let sandbox = sandbox(options);
    clock.advance(Duration::from_mins(30));
    sandbox.touch("flowlu/accounts", 1).expect("a stream");
    let newest = &items(&sandbox, "crm/account/list?order_by[desc][]=updated_date&limit=1")[0];
    assert_eq!(newest["updated_date"], "2026-01-01 02:30:00", "half past midnight in Greenwich");
}

#[test]
fn the_key_is_not_remembered() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    get(&sandbox, "crm/account/list?limit=2");
    let counters = sandbox.counters();
    let asked = &counters.asked[0];
    assert_eq!((asked.endpoint.as_str(), asked.rows), ("flowlu/crm/account/list", 2));
    assert_eq!(asked.query, [("limit".to_owned(), "2".to_owned())]);
    assert_eq!(
        sandbox.oracle("flowlu/crm/account").expect("by its path"),
        sandbox.oracle("flowlu/accounts").expect("by its name")
    );
}
