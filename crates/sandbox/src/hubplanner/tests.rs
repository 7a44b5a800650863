use std::sync::Arc;
use std::time::Duration;

use sync_http::serve::Reply;
use sync_testkit::clock::Manual;

use crate::ask::{Got, incoming, sandbox};
use crate::sandbox::Sandbox;
use crate::{Options, Reset};

const KEY: &str = "hubplanner.sandbox.key";

fn ask(sandbox: &Sandbox, url: &str, authorization: Option<&str>, json: bool) -> Got {
    let mut incoming = incoming("GET", &format!("/hubplanner/{url}"), authorization);
    if json {
        for name in ["accept", "content-type"] {
            incoming.headers.push((name.to_owned(), "application/json".to_owned()));
        }
    }
    match sandbox.answer(&incoming).reply {
        Reply::Whole { status, headers, body } => {
            Got { status, headers, text: String::from_utf8(body.to_vec()).expect("UTF-8") }
        }
        _ => panic!("{url} was not answered well"),
    }
}

fn get(sandbox: &Sandbox, url: &str) -> Got {
    ask(sandbox, url, Some(KEY), true)
}

fn played(set: impl FnOnce(&mut Options)) -> (Arc<Manual>, Arc<Sandbox>) {
    let clock = Arc::new(Manual::new());
    let mut options = Options::new(clock.clone());
    set(&mut options);
    (clock, sandbox(options))
}

#[test]
fn the_raw_key_is_wanted_and_a_wrong_one_is_echoed() {
    let (_, sandbox) = played(|_| ());
    let check = |authorization: Option<&str>, status: u16, words: &str| {
        let got = ask(&sandbox, "project?limit=1", authorization, true);
        assert_eq!(got.status, status, "{authorization:?}");
        assert!(got.text.contains(words), "{}", got.text);
    };
    check(Some(KEY), 200, "[{");
    check(Some("Bearer hubplanner.sandbox.key"), 403, r#""authHeaders":"Bearer hubplanner.sandbox.key""#);
    check(Some("wrong"), 403, "OAUTH_ERROR_TOKEN_NOT_VALID");
    check(None, 401, "Authentication required");
    assert_eq!(ask(&sandbox, "project?limit=1", Some(KEY), false).status, 400, "JSON is to be asked for");
}

#[test]
fn pages_begin_at_zero_and_a_limit_is_one_to_a_thousand() {
    let (_, sandbox) = played(|o| {
        o.limits = false;
        o.rows.insert("hubplanner/projects".to_owned(), 2_500);
    });
    let check = |url: &str, rows: usize| {
        let got = get(&sandbox, url);
        assert_eq!(got.status, 200, "{url}: {}", got.text);
        assert_eq!(got.json().as_array().map(Vec::len), Some(rows), "{url}");
    };
    check("project?page=0&limit=1000", 1_000);
    check("project?page=2&limit=1000", 500);
    check("project?page=3&limit=1000", 0);
    check("project", 2_500);
    check("booking", 20);
    check("booking?page=1&limit=50&sort=-updatedDate", 50);
    for wrong in ["limit=0", "limit=1001", "limit=many", "page=x", "sort=title", "sort=-nothing"] {
        let got = get(&sandbox, &format!("booking?{wrong}"));
        assert_eq!(got.status, 400, "{wrong}");
        assert!(got.text.contains("PROPERTY_ASSERTION_ERROR"), "{}", got.text);
    }
}

fn told(got: &Got) -> [Option<&str>; 4] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"]
        .map(|name| got.header(name))
}

#[test]
fn the_headers_tell_of_the_day_and_of_a_burst_where_one_is_broken() {
    let (clock, sandbox) = played(|o| o.hubplanner_reset = Reset::Seconds);
    assert_eq!(told(&get(&sandbox, "project?limit=1")), [Some("6000"), Some("5999"), Some("86400"), None]);
    clock.advance(Duration::from_millis(1_500));
    for _ in 0..49 {
        assert_eq!(get(&sandbox, "project?limit=1").status, 200);
    }
    let got = get(&sandbox, "project?limit=1");
    assert_eq!((got.status, told(&got)), (429, [Some("50"), Some("0"), Some("4"), Some("4")]));
    clock.advance(Duration::from_millis(3_500));
    let got = get(&sandbox, "project?limit=1");
    assert_eq!(got.status, 200, "the first of them left the window");
    assert_eq!(
        told(&got),
        [Some("6000"), Some("5948"), Some("86395"), None],
        "refused calls count in the day"
    );
}

#[test]
fn a_day_that_is_used_up_promises_no_time_but_its_reset() {
    for (form, expect) in [
        (Reset::Seconds, "3600"),
        (Reset::EpochMs, "1767229200000"),
        (Reset::Epoch, "1767229201"),
        (Reset::Date, "Thu, 01 Jan 2026 01:00:00 GMT"),
    ] {
        let (clock, sandbox) = played(|o| {
            o.hubplanner_reset = form;
            o.hubplanner_daily = (2, Duration::from_hours(1));
        });
        get(&sandbox, "project?limit=1");
        get(&sandbox, "project?limit=1");
        let got = get(&sandbox, "project?limit=1");
        assert_eq!((got.status, told(&got)), (429, [Some("2"), Some("0"), Some(expect), None]));
        clock.advance(Duration::from_hours(1));
        assert_eq!(get(&sandbox, "project?limit=1").status, 200);
        assert_eq!(sandbox.counters().providers["hubplanner"].in_day, 3);
    }
}
