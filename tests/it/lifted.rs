//! Columns inside an object of each row, and their types from the provider's own metadata.

use crate::api::Api;
use crate::stage::Stage;

/// Everything as text, as some providers send the values of fields that their customers made.
fn row(id: usize, properties: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"properties\":{{{properties}}},\"archived\":false,\"updatedAt\":\"2026-01-01T00:00:{:02}Z\",\"internal\":{{\"etag\":\"x\"}}}}",
        id % 60
    )
}

const FIELDS: &str = r#"{"results":[
    {"name":"amount","type":"number"},{"name":"closed","type":"datetime"},{"name":"day","type":"date"},
    {"name":"won","type":"bool"},{"name":"owner","type":"enumeration"},{"name":"id","type":"number"},
    {"name":"archived","type":"string"},{"name":"never","type":"number"},{"name":"secret","type":"number"}]}"#;

const WORDS: &str = ", drop: [ internal ], lift: properties, keep: { archived: { not: true } }, \
    cursor: { field: updatedAt, format: iso, mode: client, lookback: 1d }, \
    types_from: { get: /fields, records: results, name: name, type: type, \
    map: { number: decimal, datetime: timestamp, date: date, bool: bool, string: text } }";

fn stage_and_api() -> (Stage, Api) {
    let api = Api::new(vec![
        row(
            1,
            r#""amount":"1200.50","closed":"2026-01-02T03:04:05.678Z","day":"2026-01-02","won":"true","owner":"17","secret":"12""#,
        ),
        row(2, r#""amount":"","closed":"","day":null,"won":"false","owner":"x","id":"77","archived":"n""#),
        row(3, r#""amount":"7","owner":null"#),
    ]);
    api.others.lock().expect("free").push(("/fields".to_owned(), 200, FIELDS.to_owned()));
    let stage = Stage::new();
    Api::connector(&stage, 2, WORDS);
    (stage, api)
}

fn text(stage: &Stage, query: &str) -> String {
    stage.database("x.db").query_row(query, [], |row| row.get(0)).expect("a row")
}

#[test]
fn lifted_columns_have_the_types_that_the_provider_tells() {
    let (stage, api) = stage_and_api();
    let options = "{ transform: [ { mask: { secret: redact } }, { rename: { day: close_day } } ] }";
    api.pipeline(&stage, "p.yaml", options, "sqlite://./x.db");
    let first = stage.run(&["p.yaml"]);
    assert_eq!(first.done(), 3);
    let types = "SELECT group_concat(name || ' ' || type, ', ') FROM pragma_table_info('things') WHERE name NOT LIKE '\\_sync%' ESCAPE '\\'";
    assert_eq!(
        text(&stage, types),
        "id TEXT, archived INTEGER, updatedAt TEXT, amount TEXT, closed TEXT, close_day TEXT, won INTEGER, owner TEXT, \
         secret TEXT, properties.id TEXT, properties.archived TEXT, never TEXT"
    );
    let rows = "SELECT group_concat(id || '|' || ifnull(amount, '∅') || '|' || ifnull(closed, '∅') || '|' || ifnull(close_day, '∅') || '|' || ifnull(won, '∅') || '|' || ifnull(\"properties.id\", '∅') || '|' || typeof(archived), ' ') FROM (SELECT * FROM things ORDER BY id)";
    assert_eq!(
        text(&stage, rows),
        "1|1200.5|2026-01-02T03:04:05.678000Z|2026-01-02|1|∅|integer 2|∅|∅|∅|0|77|integer 3|7.0|∅|∅|∅|∅|integer"
    );
    // The next run compares and finds nothing new; more digits make more room, and what is no number is set aside.
    assert_eq!(stage.run(&["p.yaml"]).done(), 0);
    api.rows.lock().expect("free")[1] = row(2, r#""amount":"0.125","id":"77""#);
    api.rows.lock().expect("free")[2] = row(3, r#""amount":"a lot""#);
    let second = stage.run(&["p.yaml"]);
    assert_eq!(
        (second.code, second.figure("loaded"), second.figure("quarantined")),
        (Some(4), 1, 1),
        "{}",
        second.err
    );
    assert!(second.err.contains("a lot"), "{}", second.err);
    assert_eq!(
        text(&stage, "SELECT group_concat(amount, ' ') FROM (SELECT * FROM things ORDER BY id)"),
        "1200.500 0.125 7.000"
    );
    // Tried once more it stays what it is, and its column too.
    let retried = stage.said(&["rejects", "retry", "p.yaml"]);
    assert_eq!(retried.code, Some(4), "{}{}", retried.out, retried.err);
    assert_eq!(text(&stage, "SELECT amount FROM things WHERE id = '3'"), "7.000");
}

#[test]
fn a_listing_of_fields_may_have_pages_and_must_be_read() {
    let (stage, api) = stage_and_api();
    // The list itself is paged as the fields are here: every element has a name and a type.
    let fields: Vec<_> = (0..5).map(|n| format!("{{\"name\":\"f{n}\",\"type\":\"number\"}}")).collect();
    *api.rows.lock().expect("free") = fields;
    api.others.lock().expect("free")[0].0 = "/things".to_owned();
    api.others.lock().expect("free")[0].2 = r#"[{"id":1,"properties":{"f0":"1","f4":"2.5"}}]"#.to_owned();
    let words = ", lift: properties, paginate: none, types_from: { get: /fields, name: name, type: type, map: { number: decimal }, \
                 paginate: { offset: { param: offset }, size: { limit: 2 } } }";
    Api::connector(&stage, 2, words);
    let connector = std::fs::read_to_string(stage.path("acme.yaml")).expect("written");
    stage.write(
        "acme.yaml",
        &connector.replacen("paginate: { offset: { param: offset }, size: { limit: 2 } }, lift", "lift", 1),
    );
    api.pipeline(&stage, "p.yaml", "", "sqlite://./x.db");
    assert_eq!(stage.run(&["p.yaml"]).done(), 1);
    assert_eq!(text(&stage, "SELECT f0 || ' ' || f4 FROM things"), "1 2.5");

    for (status, body, code) in
        [(200, "{\"results\":[{\"type\":\"number\"}]}", 1), (200, "{}", 1), (404, "{}", 1)]
    {
        let (stage, api) = stage_and_api();
        *api.others.lock().expect("free") = vec![("/fields".to_owned(), status, body.to_owned())];
        api.pipeline(&stage, "p.yaml", "", "sqlite://./x.db");
        let refused = stage.run(&["p.yaml"]);
        assert_eq!(refused.code, Some(code), "{}", refused.err);
        assert!(refused.err.contains("types of columns could not be read"), "{}", refused.err);
        assert!(
            !stage.path("x.db").exists() || stage.database("x.db").prepare("SELECT * FROM things").is_err()
        );
    }
}

#[test]
fn a_lifted_field_can_be_selected_and_be_the_key() {
    let (stage, api) = stage_and_api();
    *api.rows.lock().expect("free") = vec![
        row(1, r#""mail":"a@x","amount":"1""#),
        row(2, r#""mail":"b@x","amount":"2","other":"x""#),
        row(3, r#""mail":"a@x","amount":"3""#),
        row(4, r#""amount":"4""#),
    ];
    api.pipeline(&stage, "p.yaml", "{ primary_key: mail, select: [ mail, amount ] }", "sqlite://./x.db");
    let run = stage.run(&["p.yaml"]);
    assert_eq!((run.code, run.figure("quarantined")), (Some(4), 1), "{}", run.err);
    let rows = "SELECT group_concat(mail || amount, ' ') FROM (SELECT * FROM things ORDER BY mail)";
    assert_eq!(text(&stage, rows), "a@x3 b@x2");
    let columns = "SELECT group_concat(name, ' ') FROM pragma_table_info('things') WHERE name NOT LIKE '\\_sync%' ESCAPE '\\'";
    assert_eq!(text(&stage, columns), "mail amount");
}
