//! Streams that are read in slices, rows that are made of others, and fields that are asked for in pieces.

use serde_json::{Value as Json, json};

use super::super::*;
use super::language::{Fake, Reply, all, ok, options, survives, take};

/// Orders in pages of 3, each with as many lines as its number, but for the fourth, which is gone.
fn orders() -> Fake {
    Fake::new(|asked| {
        let parts: Vec<&str> = asked.path.trim_start_matches("/v1/").split('/').collect();
        match parts[..] {
            ["orders"] => {
                let from = asked.number("offset").unwrap_or(0);
                let orders = (1..=7)
                    .skip(from)
                    .take(3)
                    .map(|id| json!({"id": id, "name": format!("a/{id}"), "big": "x"}));
                ok(&orders.collect())
            }
            ["orders", "a%2F4", "lines"] => Reply(404, Vec::new(), String::new()),
            ["orders", order, "lines"] => {
                let order: usize = order.trim_start_matches("a%2F").parse().expect("a number");
                let page = asked.number("page").expect("a page");
                ok(&(1..=order).skip(page * 2).take(2).map(|id| json!({"id": id, "n": 1.50})).collect())
            }
            _ => Reply(400, Vec::new(), String::new()),
        }
    })
}

const ORDERS: &str = "
streams:
  orders: { get: /orders, key: id, paginate: { offset: { param: offset }, size: { limit: 3 } } }
  lines:
    for_each: orders
    get: /orders/${parent.name}/lines
    key: [order_id, id]
    set: { order_id: \"${parent.id}\", of: order }
    paginate: { page: { param: page, first: 0 }, size: { limit: 2 }, stop: short }
";

#[tokio::test]
async fn every_parent_has_its_children_and_a_restart_goes_on_inside() {
    let fake = orders();
    let took = all(&fake, ORDERS, "lines").await;
    assert_eq!(took.whole().rows.len(), 1 + 2 + 3 + 5 + 6 + 7);
    assert_eq!(took.rows[1], json!({"id": 1, "n": 1.5, "order_id": 2, "of": "order"}));
    assert!(took.notes.contains(&"parents_gone".to_owned()), "{:?}", took.notes);
    assert_eq!(took.requests as usize, fake.asked().len(), "those for the parents are counted, too");
    survives(orders, ORDERS, "lines").await;
    // Killed in the middle, it asks for nothing that was done.
    let begun = take(&fake, ORDERS, "lines", options(), 8).await;
    fake.asked();
    let resume = begun.resumes.last().cloned();
    take(&fake, ORDERS, "lines", ReadOptions { resume, ..options() }, usize::MAX).await.whole();
    let asked = fake.asked();
    assert!(asked.iter().all(|line| !line.contains("a%2F1/") && !line.contains("a%2F3/")), "{asked:?}");
}

#[tokio::test]
async fn only_changed_parents_count_after_the_first_read() {
    const CHANGED: &str = "
streams:
  orders: { get: /orders, key: id, cursor: { field: at, mode: client } }
  lines: { for_each: { stream: orders, only_changed: true, batch: 2 }, post: /lines, body: { ids: \"${parent.id}\", each: [{ id: \"${parent.id}\" }] }, key: id }
";
    let provider = |changed: Vec<u64>| {
        Fake::new(move |asked| {
            if asked.path == "/v1/orders" {
                let day = |id| if changed.contains(&id) { 9 } else { 2 };
                let order = |id| json!({"id": id, "at": format!("2025-01-0{}T00:00:00Z", day(id))});
                return ok(&(1..=5_u64).map(order).collect());
            }
            let each = asked.body["each"].as_array().expect("a list").iter().map(|e| &e["id"]);
            let ids = match &asked.body["ids"] {
                Json::Array(ids) => ids.iter().collect(),
                one => vec![one],
            };
            assert_eq!(ids, each.collect::<Vec<_>>(), "every parent once");
            ok(&ids.iter().map(|id| json!({"id": id})).collect())
        })
    };
    let fake = provider(vec![]);
    let first = all(&fake, CHANGED, "lines").await;
    assert_eq!(first.whole().ids(), [1, 2, 3, 4, 5]);
    assert_eq!(fake.asked().len(), 1 + 3, "two a request");
    let later = provider(vec![3]);
    let from = ReadOptions { from: first.cursor(), ..options() };
    let second = take(&later, CHANGED, "lines", from, usize::MAX).await;
    assert!(second.whole().ids().contains(&3));
    assert_eq!(second.end.as_ref().map(|end| end.1), Some(false));
    assert!(second.cursor().is_some());
}

#[tokio::test]
async fn lists_give_every_combination() {
    const EACH: &str = "
streams:
  rows:
    each_from: { get: /kinds, records: kinds }
    each: { archived: [false, true] }
    get: /rows/${item.name}
    query: { archived: \"${item.archived}\" }
    set: { kind: \"${item.name}\", archived: \"${item.archived}\" }
    key: [kind, archived]
";
    let make = || {
        Fake::new(|asked| match asked.path.as_str() {
            "/v1/kinds" => ok(&json!({"kinds": [{"name": "a"}, {"name": "b"}]})),
            _ => ok(&json!([{"id": 1}])),
        })
    };
    let fake = make();
    let took = all(&fake, EACH, "rows").await;
    let seen: Vec<String> =
        took.whole().rows.iter().map(|row| format!("{}{}", row["kind"], row["archived"])).collect();
    assert_eq!(seen, [r#""a"false"#, r#""a"true"#, r#""b"false"#, r#""b"true"#]);
    assert_eq!(fake.asked()[1], "/v1/rows/a?archived=false");
    survives(make, EACH, "rows").await;
}

#[tokio::test]
async fn elements_of_a_list_are_rows_and_the_listing_ends_by_its_records() {
    const EXPLODE: &str = "
streams:
  links: { get: /links, explode: { path: to, carry: { from: id } }, key: [from, to], paginate: { page: { param: page, first: 0 }, size: { limit: 2 }, stop: short } }
";
    let make = || {
        Fake::new(|asked| {
            let page = asked.number("page").expect("a page");
            // Three records, the second of which has nothing inside.
            let all = [
                json!({"id": 1, "to": [{"to": 7}, {"to": 8}, {"to": 9}]}),
                json!({"id": 2, "to": []}),
                json!({"id": 3, "to": [{"to": 7}]}),
            ];
            ok(&all.into_iter().skip(page * 2).take(2).collect())
        })
    };
    let took = all(&make(), EXPLODE, "links").await;
    let rows: Vec<String> =
        took.whole().rows.iter().map(|row| format!("{}-{}", row["from"], row["to"])).collect();
    assert_eq!(rows, ["1-7", "1-8", "1-9", "3-7"]);
    survives(make, EXPLODE, "links").await;
}

#[tokio::test]
async fn hundreds_of_fields_are_asked_for_in_pieces_that_fit() {
    const COLUMNS: &str = "
streams:
  rows:
    get: /rows
    key: id
    records: results
    query: { properties: \"${columns:comma}\" }
    columns: { get: /fields, records: results, name: name, chunk: { url: 1000 }, merge_on: id }
    paginate: { cursor: { from: next, to: { query: after } }, size: { limit: 2 } }
";
    let make = || {
        let mut answers = 0;
        Fake::new(move |asked| {
            if asked.path.ends_with("fields") {
                return ok(
                    &json!({"results": (0..400).map(|n| json!({"name": format!("custom_field_number_{n:03}")})).collect::<Vec<_>>()}),
                );
            }
            answers += 1;
            let from = asked.number("after").unwrap_or(0);
            let names: Vec<&str> = asked.get("properties").expect("named").split(',').collect();
            let mut rows: Vec<Json> = (from + 1..=5)
                .take(2)
                .map(|id| json!({"id": id, "properties": names.iter().map(|n| ((*n).to_owned(), json!(id.to_string()))).collect::<Map<_, _>>()}))
                .collect();
            if answers == 3 {
                rows.pop(); // for one of the pieces, a row is not there for a moment
            }
            ok(&json!({"results": rows, "next": (from + 2 < 5).then_some(from + 2)}))
        })
    };
    let fake = make();
    let took = all(&fake, COLUMNS, "rows").await;
    assert_eq!(took.whole().ids(), [1, 2, 3, 4, 5]);
    for row in &took.rows {
        let properties = row["properties"].as_object().expect("an object");
        assert_eq!(properties.len(), 400);
        assert!(properties.values().all(|value| *value == json!(row["id"].to_string())));
    }
    let asked = fake.asked();
    assert!(asked.len() > 30, "{}", asked.len());
    assert!(asked.iter().all(|line| "https://api.acme.example".len() + line.len() <= 1000));
    assert_eq!(took.requests as usize, asked.len());
}

#[tokio::test]
async fn a_stream_may_be_of_a_file_of_lines() {
    const FILES: &str = "streams: { rows: { get: /file, key: id, decode: csv } }\n";
    let fake = Fake::new(|_| Reply(200, Vec::new(), "id,name\n1,\"a, b\"\n2,\n".to_owned()));
    let took = all(&fake, FILES, "rows").await;
    assert_eq!(took.whole().rows, [json!({"id": "1", "name": "a, b"}), json!({"id": "2", "name": ""})]);
    let lines = FILES.replace("csv", "jsonl");
    let fake = Fake::new(|_| Reply(200, Vec::new(), "{\"id\":1}\n{\"id\":2}\n".to_owned()));
    assert_eq!(all(&fake, &lines, "rows").await.whole().ids(), [1, 2]);
}

#[test]
fn what_cannot_go_together_is_told_when_the_file_is_read() {
    #[track_caller]
    fn wrong(streams: &str, expect: &str) {
        let text = format!("connector: acme\nbase_url: https://a.example\nstreams:\n{streams}");
        let connector =
            sync_spec::Connector::parse(&sync_spec::Document::new("a.yaml", text)).expect("good words");
        let findings = crate::Plan::build(&connector).expect_err("something is wrong");
        assert!(findings.to_string().contains(expect), "{findings}");
    }
    wrong("  a: { get: \"/a/${parent.id}\" }\n", "without `for_each`");
    wrong("  a: { for_each: b, get: /a }\n", "names no stream of this file: `b`");
    wrong("  a: { for_each: b, get: /a }\n  b: { for_each: a, get: /b }\n", "leads back to itself");
    wrong("  a: { get: /a, query: { x: \"${item.y}\" } }\n", "`each` gives no `y`");
    wrong("  a: { get: /a, query: { x: \"${window.start}\" } }\n", "without `cursor: { mode: server }`");
    wrong("  a: { get: /a, cursor: { field: at, mode: server } }\n", "never told from where on");
    wrong("  a: { get: /a, query: { x: \"${columns}\" } }\n", "`columns` may be absent");
    wrong("  a: { get: /a, kind: b }\n", "there is no kind `b`");
    wrong("  a: { get: /a, query: { x: \"${page.after}\" } }\n", "`paginate` does not give it");
    wrong(
        "  a: { get: /a, query: { x: 1 }, paginate: { cursor: { from: n, to: { query: x } } } }\n",
        "stands in `query`, and `paginate` sets it",
    );
    wrong("  a: { get: /a, paginate: { cursor: { from: n, to: { body: x } } } }\n", "a `get` has none");
}
