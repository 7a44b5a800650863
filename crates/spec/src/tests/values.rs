//! What the fullest samples are read as.

use std::time::Duration;

use sync_core::{Disposition, Operation, Verdict};

use super::{CONNECTOR, PIPELINE, SMALLEST_PIPELINE, document};
use crate::*;

fn pipeline(text: &str) -> Pipeline {
    Pipeline::parse(&document(text)).unwrap_or_else(|findings| panic!("{findings}"))
}

fn connector() -> Connector {
    Connector::parse(&document(CONNECTOR)).unwrap_or_else(|findings| panic!("{findings}"))
}

/// A template in one line.
fn shown(template: &Template) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Hole(h) => format!("<{:?}:{}{}>", h.root, h.path, if h.optional { "?" } else { "" }),
    };
    template.0.iter().map(piece).collect()
}

fn path(names: &[&str]) -> FieldPath {
    FieldPath(names.iter().map(|&name| name.to_owned()).collect())
}

#[test]
fn a_source() {
    let source = pipeline(PIPELINE).source;
    assert_eq!(source.connector.value, "./connectors/acme.yaml");
    let Some(CredentialRef::Many(many)) = source.credential.map(|c| c.value) else {
        panic!("several secrets")
    };
    let many: Vec<_> = many.iter().map(|(name, r)| (name.value.as_str(), r)).collect();
    let (env, file) = (SecretRef::Env("PLANHAT_TOKEN".into()), SecretRef::File("./b.txt".into()));
    assert_eq!(many, [("alpha", &env), ("beta", &file)]);
    let config: Vec<_> = source.config.iter().map(|(n, v)| (n.value.as_str(), v.value.as_str())).collect();
    assert_eq!(config, [("host", "api-eu2.planhat.com"), ("port", "8080"), ("flag", "no")]);
    assert_eq!(source.base_url.map(|u| u.value).as_deref(), Some("http://127.0.0.1:9310/planhat"));
    let limits = source.rate_limit.expect("limits");
    let minute = Rate { count: 150, period: Duration::from_mins(1), calendar_day: false };
    let day = Rate { count: 50_000, period: Duration::from_hours(24), calendar_day: true };
    assert_eq!((limits.limits, limits.concurrency.map(u32::from)), (Some(vec![minute, day]), Some(4)));
    assert_eq!(limits.reserve, Some(Percent { millionths: 200_000 }));
    assert_eq!(source.account.as_deref(), Some("acme-1"));
    let retry = source.retry.expect("a retry");
    assert_eq!((retry.attempts.map(u32::from), retry.max_wait), (Some(6), Some(Duration::from_mins(10))));
}

#[test]
fn streams() {
    let pipeline = pipeline(PIPELINE);
    assert_eq!(pipeline.defaults.write.map(|w| w.value), Some(Disposition::Merge));
    let Streams::Named(named) = pipeline.streams else { panic!("named streams") };
    let in_order: Vec<_> = named.iter().map(|(name, _)| name.value.as_str()).collect();
    assert_eq!(in_order, ["companies", "endusers", "notes", "scores"]);
    let companies = &named[0].1;
    assert_eq!(companies.primary_key.as_ref().map(|k| k.value.clone()), Some(vec!["_id".to_owned()]));
    let cursor = &companies.cursor.as_ref().expect("a cursor").value;
    assert_eq!((&cursor.field, cursor.mode), (&Some(path(&["updatedAt"])), Some(CursorMode::Client)));
    assert_eq!(cursor.start.as_ref().map(|s| s.value.as_str()), Some("2024-01-01"));
    assert_eq!(cursor.lookback, Some(Duration::from_hours(2)));
    assert_eq!(named[1].1.write.as_ref().map(|w| w.value), Some(Disposition::Append));
    assert!(named[2].1.write.is_none() && named[2].1.primary_key.is_none());
}

#[test]
fn columns() {
    let pipeline = pipeline(PIPELINE);
    let evolve =
        SchemaContract { new_columns: Some(Contract::Evolve), type_change: Some(Contract::Quarantine) };
    assert_eq!(pipeline.mask_key, Some(SecretRef::Env("MASK".to_owned())));
    let Streams::Named(named) = pipeline.streams else { panic!("named streams") };
    let scores = &named[3].1;
    assert_eq!(scores.schema, evolve);
    assert_eq!(scores.on_bad_row, Some(BadRow::Quarantine));
    assert_eq!(scores.max_bad.map(|p| p.millionths), Some(5_000));
    let mark = scores.deletes.as_ref().and_then(|d| d.value.mark.as_ref());
    assert_eq!(mark.map(|m| m.value.as_str()), Some("_deleted"));
    let select = scores.select.as_ref().expect("a list");
    let select: Vec<_> = select.iter().map(|s| (s.keeps, s.path.to_string())).collect();
    assert_eq!(select, [(true, "*".to_owned()), (false, "custom.internal*".to_owned())]);
    let types: Vec<_> = scores.types.iter().map(|(p, ty)| (p.value.to_string(), ty.to_string())).collect();
    let expect = [("custom.arr_eur", "decimal(18,2)"), ("renewalDate", "timestamp")];
    assert_eq!(types, expect.map(|(p, t)| (p.to_owned(), t.to_owned())));
    let [Step::KeepIf(keep), Step::Set(set), Step::Mask(masks), Step::Rename(names)] = &scores.transform[..]
    else {
        panic!("four steps")
    };
    assert_eq!(keep.value, "status != \"prospect\"");
    assert_eq!((set[0].0.value.as_str(), set[0].1.value.as_str()), ("slug", "name.split(\" \")[0]"));
    let masks: Vec<_> = masks.iter().map(|(path, mask)| (path.value.to_string(), *mask)).collect();
    let expect = [("address", Mask::Redact), ("web", Mask::Hmac), ("custom.iban", Mask::Partial)];
    assert_eq!(masks, expect.map(|(p, m)| (p.to_owned(), m)));
    assert_eq!((names[0].0.value.as_str(), names[0].1.value.as_str()), ("_id", "company_id"));
}

#[test]
fn places() {
    let pipeline = pipeline(PIPELINE);
    let Streams::Named(named) = &pipeline.streams else { panic!("named streams") };
    let text = |span: Span| &PIPELINE[span.start..span.end];
    assert_eq!(text(pipeline.source.connector.span), "./connectors/acme.yaml");
    assert_eq!(text(named[1].0.span), "endusers");
    assert_eq!(text(named[1].1.primary_key.as_ref().expect("a key").span), "[a, b]");
    assert_eq!(text(named[0].1.cursor.as_ref().expect("a cursor").span).lines().count(), 1);
    assert_eq!(text(pipeline.source.config[1].1.span), "8080");
}

#[test]
fn destinations() {
    let read = |destination: &str| {
        let text = format!("source: a\nstreams: [b]\ndestination: {destination}\n");
        match pipeline(&text).destination {
            Destination::Parquet(p) => {
                format!("parquet {} {:?} {}", p.path.value, p.compression, p.target_file)
            }
            Destination::Sqlite(s) => format!("sqlite {}", s.path.value),
        }
    };
    assert_eq!(read("parquet://./lake"), "parquet ./lake/{stream} Zstd 128000000");
    assert_eq!(read("parquet://./lake/"), "parquet ./lake/{stream} Zstd 128000000");
    assert_eq!(read("parquet:///"), "parquet /{stream} Zstd 128000000");
    assert_eq!(read("parquet://./{stream}/x"), "parquet ./{stream}/x Zstd 128000000");
    assert_eq!(read("parquet://./{pipeline}"), "parquet ./{pipeline}/{stream} Zstd 128000000");
    assert_eq!(
        read("{ parquet: { path: ./b, compression: none, target_file: 1MiB } }"),
        "parquet ./b None 1048576"
    );
    assert_eq!(read("\"sqlite://${env:HOME}/{pipeline}.db\""), "sqlite ${env:HOME}/{pipeline}.db");
    assert_eq!(read("{ sqlite: { path: ./b.db } }"), "sqlite ./b.db");
}

#[test]
fn schedules() {
    let schedule = pipeline(PIPELINE).schedule.expect("a schedule");
    assert!(matches!(schedule.due, Due::Every(every) if every == Duration::from_hours(1)));
    assert_eq!(schedule.timezone.map(|z| z.value).as_deref(), Some("Europe/Stockholm"));
    assert_eq!(schedule.jitter, Some(Duration::from_mins(2)));
    assert_eq!((schedule.on_overlap, schedule.on_missed), (OnOverlap::Skip, OnMissed::RunOnce));
    let short = pipeline(SMALLEST_PIPELINE).schedule.expect("a schedule");
    assert!(matches!(short.due, Due::Every(every) if every == Duration::from_hours(1)));
    let cron = pipeline(&SMALLEST_PIPELINE.replace("every 1h", "{ cron: '5 * * * *', on_overlap: queue }"));
    assert!(matches!(cron.schedule.map(|s| s.due), Some(Due::Cron(cron)) if cron.value == "5 * * * *"));
}

#[test]
fn a_connector() {
    let connector = connector();
    assert_eq!(connector.version.as_deref(), Some("1.2"));
    assert_eq!(
        shown(&connector.base_url.value),
        "https://<Config:subdomain>.flowlu.<Config:region>/api/v1/module"
    );
    let config: Vec<_> =
        connector.config.iter().map(|(name, field)| (name.value.as_str(), &field.kind)).collect();
    let region = ConfigKind::Enum(vec!["com".into(), "ru".into()]);
    assert_eq!(
        config,
        [("subdomain", &ConfigKind::HostLabel), ("region", &region), ("since", &ConfigKind::Date)]
    );
    assert_eq!(connector.config[0].1.clean, ["scheme", ".flowlu.com"]);
    assert!(connector.config[2].1.optional);
    assert_eq!(connector.redirects, Redirects::Never);
    let Auth::One(method) = &connector.auth else { panic!("one method") };
    let AuthKind::Query(query) = &method.kind else { panic!("a query") };
    assert_eq!((query[0].0.as_str(), shown(&query[0].1).as_str()), ("api_key", "<Secret:api_key>"));
    let headers: Vec<_> = connector.headers.iter().map(|(n, t)| format!("{n}={}", shown(t))).collect();
    assert_eq!(headers, ["Accept=application/json", "X-App=a <Secret:app?>"]);
    let limits = &connector.rate_limit;
    assert_eq!((limits.limits.len(), limits.concurrency, limits.scope), (2, Some(1), Scope::Host));
    assert_eq!((limits.limits[0].scope, limits.limits[1].scope), (None, Some(Scope::Credential)));
    assert_eq!(limits.day_ends, Duration::from_hours(6));
    assert_eq!(limits.headers.remaining.as_deref(), Some("x-left"));
    let (name, search) = &limits.buckets[0];
    assert_eq!((name.as_str(), search.matches.path.as_str(), search.instead), ("search", "*/search", true));
    assert_eq!(limits.buckets[1].1.matches.method.as_deref(), Some("PUT"));
    let costs: Vec<_> = limits.cost.iter().map(|(m, weight)| (m.path.as_str(), *weight)).collect();
    assert_eq!(costs, [("*/export", 10), ("*/wide", 2)]);
    assert_eq!(connector.account.as_ref().map(|a| a.value.clone()), Some(path(&["portal", "id"])));
    let check = connector.check.expect("a check");
    assert!(matches!(&check.target, Some((RequestMethod::Get, p)) if shown(&p.value) == "/core/user/list"));
    assert_eq!(check.query[0].1.as_ref().map(shown).as_deref(), Some("1"));
}

#[test]
fn error_rules() {
    let rules = connector().errors;
    assert_eq!((rules[0].is, rules[0].status.len()), (Verdict::SkipStream, 0));
    let numbers = ["22", "30", "31"].map(|n| Scalar::Number(n.to_owned())).to_vec();
    let expect = vec![
        (path(&["body", "error", "error_code"]), Test::OneOf(numbers)),
        (path(&["headers", "x-id"]), Test::Present),
    ];
    assert_eq!(rules[0].when, Condition(expect));
    assert_eq!(rules[1].wait, Some(Wait { header: None, default: Some(Duration::from_secs(5)) }));
    assert_eq!(rules[2].when.0[0].1, Test::Not(Box::new(Test::Absent)));
    let say = rules[2].say.as_ref().map(shown);
    assert_eq!(say.as_deref(), Some("<Body:error.error_msg> (<Status:>, <Headers:x-id>)"));
    let header = Some("retry-after".to_owned());
    assert_eq!(rules[3].wait, Some(Wait { header, default: Some(Duration::from_mins(1)) }));
    assert_eq!((&rules[4].status, &rules[4].op), (&vec![301, 302], &vec![Operation::Read, Operation::Check]));
}

#[test]
fn connector_streams() {
    let connector = connector();
    let total = vec![path(&["response", "total_result"]), path(&["response", "total"])];
    let paginate = connector.defaults.paginate.as_ref().expect("pagination");
    assert_eq!(paginate.kind, Some(PaginateKind::Page { param: "p".into(), first: 1 }));
    assert_eq!(
        (&paginate.size, &paginate.stop),
        (
            &Some(Size { parameter: Parameter::Query("count".into()), rows: 100 }),
            &Some(StopRule::Total(total))
        )
    );
    let stream = |name: &str| {
        connector.streams.iter().find(|(n, _)| n.value == name).map(|(_, s)| s).expect("a stream")
    };

    let leads = stream("leads");
    let query: Vec<_> =
        leads.request.query.iter().map(|(n, t)| (n.as_str(), t.as_ref().map(shown))).collect();
    assert_eq!(query, [("order_by[asc][]", None), ("since", Some("<Config:since?>".to_owned()))]);
    let keep = &leads.keep.as_ref().expect("a condition").0;
    assert_eq!(keep[2], (path(&["custom", "# Open"]), Test::Compare(Relation::Gt, 1.0)));
    let Some(CursorWord::Some(cursor)) = &leads.cursor else { panic!("a cursor") };
    assert_eq!((cursor.field.as_ref(), cursor.hold_back), (None, Some(Duration::from_secs(30))));

    let bookings = stream("bookings");
    assert_eq!(
        bookings.records.as_ref().map(|r| r.iter().map(|p| p.value.0.len()).collect()),
        Some(vec![0, 1])
    );
    let Some(BodyTemplate::Object(body)) = &bookings.request.body else { panic!("a body") };
    let BodyTemplate::Object(inner) = &body[0].1 else { panic!("a map") };
    assert!(matches!(&inner[0], (k, BodyTemplate::Text(t)) if k == "$gte" && shown(t) == "<Config:since>"));
    let constants = ["1", "2.5", "true", "null", "\"x\""]
        .map(|json| BodyTemplate::Const(serde_json::from_str(json).expect("it is JSON")));
    assert_eq!(body[1].1, BodyTemplate::List(constants.to_vec()));

    let licenses = stream("licenses");
    assert_eq!(licenses.paginate.as_ref().and_then(|p| p.kind.clone()), Some(PaginateKind::None));
    assert!(matches!(licenses.cursor, Some(CursorWord::None)));
    assert_eq!((licenses.key.as_deref(), &licenses.keep), (Some([].as_slice()), &Some(Condition::default())));
    assert_eq!(licenses.unverified, Some(true));

    let deals = stream("deals");
    assert_eq!(deals.drop, Some(Said::Some(vec![path(&["links"]), path(&["custom", "internal"])])));
    assert_eq!(deals.lift, Some(Said::Some(path(&["properties"]))));
    let from = deals.types_from.as_ref().and_then(Said::some).expect("types from somewhere");
    assert!(matches!(&from.request.target, Some((RequestMethod::Post, p)) if shown(&p.value) == "/fields"));
    assert_eq!((&from.name, &from.kind), (&path(&["field", "name"]), &path(&["field", "type"])));
    let map: Vec<_> = from.map.iter().map(|(word, ty)| (word.as_str(), *ty)).collect();
    let exactly = GivenType::Exactly;
    assert_eq!(
        map,
        [
            ("number", GivenType::Decimal),
            ("money", exactly(sync_core::Type::Decimal(18, 2))),
            ("datetime", exactly(sync_core::Type::Timestamp)),
            ("free text", exactly(sync_core::Type::Text))
        ]
    );
}

#[test]
fn an_auth_with_several_methods() {
    let connector = Connector::parse(&document(super::AUTH_CONNECTOR)).expect("it is fine");
    let Auth::OneOf(methods) = connector.auth else { panic!("several methods") };
    let names: Vec<_> = methods.iter().map(|(name, _)| name.value.as_str()).collect();
    assert_eq!(names, ["token", "old", "any", "login", "app", "machine", "carried"]);
    assert_eq!(methods[0].1.overlap, Some(Duration::from_hours(24)));
    assert_eq!(methods[0].1.help.as_deref(), Some("Settings, API"));
    assert_eq!(methods[1].1.warn.as_deref(), Some("retired"));
    let AuthKind::At(at) = &methods[2].1.kind else { panic!("a key anywhere") };
    assert_eq!(
        (shown(&at.place), shown(&at.value)),
        ("<Config:place>".to_owned(), "<Secret:value>".to_owned())
    );
    let AuthKind::OAuth(app) = &methods[4].1.kind else { panic!("tokens") };
    assert_eq!((app.grant, app.pkce), (sync_core::Grant::Code, true));
    assert_eq!(app.refresh_before, Duration::from_mins(5));
    assert_eq!(app.token_path, Some(path(&["data", "auth"])));
    assert!(app.refresh_fatal.is_some());
    let AuthKind::OAuth(machine) = &methods[5].1.kind else { panic!("tokens") };
    assert_eq!((machine.client_in, machine.send), (sync_core::ClientIn::Basic, sync_core::SendAs::Json));
    assert_eq!(machine.refresh_before, Duration::from_mins(1));
}
