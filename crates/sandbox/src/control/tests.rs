use serde_json::Value;

use crate::ask::{ask, options, sandbox};
use crate::sandbox::Sandbox;

fn post(sandbox: &Sandbox, action: &str) -> (u16, Value) {
    let got = ask(sandbox, "POST", &format!("/_sandbox/{action}"), None);
    (got.status, got.json())
}

fn companies(sandbox: &Sandbox) -> u16 {
    ask(sandbox, "GET", "/planhat/companies", Some("Bearer planhat-sandbox-token")).status
}

#[test]
fn a_person_changes_rows() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let (status, answer) = post(&sandbox, "touch?stream=planhat/companies&rows=3");
    assert_eq!((status, answer["ids"].as_array().map(Vec::len)), (200, Some(3)));
    assert_eq!(post(&sandbox, "touch?stream=planhat/companies").1["ids"].as_array().map(Vec::len), Some(25));
    assert_eq!(post(&sandbox, "add?stream=planhat/companies&rows=2").0, 200);
    assert_eq!(post(&sandbox, "insert?stream=planhat/companies&rows=2&before=10").0, 200);
    assert_eq!(post(&sandbox, "delete?stream=planhat/companies&rows=1&before=10").0, 200);
    assert_eq!(sandbox.oracle("planhat/companies").expect("a stream").len(), 1_003);
    assert_eq!(post(&sandbox, "rows?stream=planhat/companies&rows=12").0, 200);
    assert_eq!(sandbox.oracle("planhat/companies").expect("a stream").len(), 12);
    assert_eq!(post(&sandbox, "round").0, 200);
    assert_eq!(sandbox.oracle("planhat/companies").expect("a stream").len(), 12 + 5 - 2);
    assert_eq!(post(&sandbox, "reset").0, 200);
    assert_eq!(sandbox.oracle("planhat/companies").expect("a stream").len(), 1_000);
}

#[test]
fn a_person_lets_things_go_wrong() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    assert_eq!(post(&sandbox, "fault?on=planhat/companies&when=next:2&what=status:503").0, 200);
    assert_eq!([companies(&sandbox), companies(&sandbox), companies(&sandbox)], [503, 503, 200]);
    assert_eq!(post(&sandbox, "fault?when=every:1&what=status:429&retry_after=5").0, 200);
    assert_eq!(companies(&sandbox), 429);
    assert_eq!(post(&sandbox, "calm").0, 200);
    assert_eq!(companies(&sandbox), 200);
    for fine in [
        "error:13",
        "hang",
        "reset",
        "cut",
        "html",
        "empty",
        "object",
        "latency:5ms",
        "touch:1&stream=flowlu/leads",
        "delete:2&on=planhat/companies&before=4",
    ] {
        assert_eq!(post(&sandbox, &format!("fault?what={fine}")).0, 200, "{fine}");
    }
}

#[test]
fn mistakes_are_explained() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    let check = |action: &str, words: &str| {
        let (status, answer) = post(&sandbox, action);
        let error = answer["error"].as_str().expect("words").to_owned();
        assert!(status == 400 && error.contains(words), "{action}: {status} {error}");
    };
    check("touch", "`stream` is missing");
    check("touch?stream=planhat/companys", "no stream `planhat/companys`; it has planhat/companies");
    check("touch?stream=planhat/companies&rows=x", "`rows=x` is not a number");
    check("explode", "`explode` is nothing the sandbox does");
    check("fault", "`what` is missing");
    check("fault?what=status", "`what=` is not a number");
    check("fault?what=status:99", "200 to 599");
    check("fault?what=hang&when=soon", "next:N, at:N or every:N");
    check("fault?what=latency:5", "latency:500ms");
    check("fault?what=touch:1&on=planhat/nothing", "no stream `planhat/nothing`");
    check("fault?what=fire", "nothing that can go wrong here");
    assert_eq!(ask(&sandbox, "GET", "/_sandbox/reset", None).status, 405);
    assert_eq!(ask(&sandbox, "POST", "/_sandbox/stats", None).status, 405);
}

#[test]
fn figures_and_help_are_shown() {
    let (_, options) = options();
    let sandbox = sandbox(options);
    companies(&sandbox);
    let stats = ask(&sandbox, "GET", "/_sandbox/stats", None).json();
    assert_eq!(stats["endpoints"]["planhat/companies"]["by_status"]["200"], 1);
    assert_eq!(stats["providers"]["planhat"]["most_in_window"], 1);
    assert_eq!(stats["providers"]["planhat"]["window_ms"], 60_000);
    let requests = ask(&sandbox, "GET", "/_sandbox/requests", None).json();
    assert_eq!(requests[0]["endpoint"], "planhat/companies");
    let help = ask(&sandbox, "GET", "/", None).text;
    assert!(help.contains("GET /flowlu/crm/account/list"), "{help}");
}
